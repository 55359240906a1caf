"""Two routers on one PostgreSQL: they share accounts and sessions, but a session with work in it is one router's; when that one
is killed the other takes it over, and the books balance."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from network import BINARY, Network, chat, proof_of, text_of, wait_for

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
STORY = "Tell me a long story about a robot and a castle."


class Server:
    """PostgreSQL on a socket in a folder of its own. It does not run as root."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="cortensor-postgres-")
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(self.folder, "postgres")
        self.run("initdb", "--no-sync", "-D", self.folder + "/data", "-A", "trust", "-E", "UTF8", "-U", "cortensor")
        self.run("pg_ctl", "-D", self.folder + "/data", "-w", "-l", self.folder + "/log", "-o",
                 f"-k {self.folder} -c listen_addresses=''", "start")
        self.url = f"postgresql://cortensor@/postgres?host={self.folder}"
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", self.folder + "/data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program, *arguments):
        subprocess.run([*self.user, PROGRAMS / program, *arguments], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)


@unittest.skipUnless((PROGRAMS / "initdb").exists(), "PostgreSQL is not installed")
class Routers(unittest.TestCase):
    def test_a_session_is_one_routers_until_that_dies(self):
        with Server() as server, Network(ledger=server.url) as one, Network(ledger=server.url, key=one.key) as other:
            one.add("miner-one")
            other.add("miner-other")
            session = one.open_session("none")
            body = chat(STORY, session, max_tokens=60)
            answer = one.stream(body)
            spent = proof_of(answer)["cost_microcredits"]

            refused = []

            def meanwhile(events):
                if len(events) == 5 and not refused:
                    refused.append(other.request("POST", "/v1/chat/completions", body)[0])
                    one.router.kill()

            try:
                one.stream(chat(STORY, session, max_tokens=300), on_event=meanwhile)
            except Exception:  # whatever a broken stream is to the client's library
                pass
            self.assertEqual(refused, [503])

            def taken_over():
                status, _, _ = other.request("POST", "/v1/chat/completions", body)
                return status == 200
            begin = time.monotonic()
            wait_for(taken_over, "the other router to take the session over", 30)
            self.assertLess(time.monotonic() - begin, 15)
            again = other.stream(body)
            self.assertEqual(text_of(again), text_of(answer))
            closed = other.post(f"/v1/sessions/{session}/close", {})
            self.assertEqual(closed["spent_microcredits"], 3 * spent)  # nothing for the answer that was cut off
            self.assertEqual(closed["hold_microcredits"], 0)
            self.assertIn("the books balance", other.audit())

    def test_a_stream_goes_on_at_the_other_router(self):
        with Server() as server, Network(ledger=server.url) as one, Network(ledger=server.url, key=one.key) as other:
            one.add("miner-one")
            other.add("miner-other")
            body = chat(STORY, max_tokens=200)
            whole = text_of(other.stream(body))
            before = []
            try:
                one.stream(body, on_event=lambda events: (before.append(events[-1]), len(events) == 20 and one.router.kill()))
            except Exception:  # whatever a broken stream is to the client's library
                pass
            behind = other.stream(body, after=one.last_event_id)
            self.assertEqual(text_of(before) + text_of(behind), whole)
            self.assertEqual(behind[-1]["id"], before[0]["id"])
            self.assertIn("the books balance", other.audit())

            one.start_router()
            wait_for(lambda: one.attached(one.nodes[0]), "the miner to come back")
            asked = subprocess.Popen(
                [BINARY, "chat", STORY, "--url", f"http://127.0.0.1:{one.api_port},http://127.0.0.1:{other.api_port}",
                 "--temperature", "0", "--max-tokens", "200"], env={**os.environ, "CORTENSOR_API_KEY": one.key},
                stdout=subprocess.PIPE, text=True)
            begun = asked.stdout.read(20)
            one.router.kill()
            printed = begun + asked.stdout.read()
            asked.stdout.close()
            self.assertEqual(asked.wait(60), 0)
            self.assertTrue(printed.startswith(whole), printed)
            self.assertIn("the books balance", other.audit())


if __name__ == "__main__":
    unittest.main(verbosity=2)
