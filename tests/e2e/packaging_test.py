"""packaging/ works as it is: HAProxy before two routers, of which one is killed in the middle of an answer; and systemd finds no fault
with the units."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.request

from network import BINARY, Network, chat, free_port, text_of, wait_for
from postgres import MISSING, Server

PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging"
HAPROXY = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
STORY = "Tell me a long story about a robot and a castle."


class Proxy:
    """HAProxy as packaging/haproxy.cfg has it, but for addresses and the certificate, and with a page that tells who is up."""

    def __init__(self, routers):
        self.api_port, self.page_port = free_port(), free_port()
        text = (PACKAGING / "haproxy.cfg").read_text()
        text += f"\nlisten page\n    bind 127.0.0.1:{self.page_port}\n    stats enable\n    stats uri /\n"
        for pattern, by in [(r"bind :443 ssl .*", f"bind 127.0.0.1:{self.api_port}"), (r"log /dev/log local0", ""),
                            *[(rf"{name}\.example:7600", f"127.0.0.1:{router.api_port}") for name, router in routers.items()]]:
            text, count = re.subn(pattern, by, text)
            assert count == 1, pattern
        self.file = tempfile.NamedTemporaryFile("w", suffix=".cfg")
        self.file.write(text)
        self.file.flush()

    def __enter__(self):
        self.process = subprocess.Popen([HAPROXY, "-db", "-q", "-f", self.file.name])
        wait_for(self.open, "HAProxy")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.file.close()

    def up(self):
        """The routers that it takes for healthy."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/;csv") as page:
            rows = [row.split(",") for row in page.read().decode().splitlines()]
        return {row[1] for row in rows if row[0] == "routers" and row[1] != "BACKEND" and row[rows[0].index("status")] == "UP"}

    def open(self):
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.api_port)) == 0


@unittest.skipUnless(HAPROXY, "HAProxy is not installed")
@unittest.skipIf(MISSING, MISSING)
class HAProxy(unittest.TestCase):
    def test_a_chat_behind_it_outlives_its_router(self):
        with Server() as server, Network(ledger=server.url) as one, Network(ledger=server.url, key=one.key) as two:
            miner = one.add("miner", options=["--join", two.link("miner")])
            wait_for(lambda: two.attached(miner), "the miner to join the other router")
            whole = text_of(one.stream(chat(STORY, max_tokens=200)))
            with Proxy({"one": one, "two": two}) as proxy:
                asked = subprocess.Popen([BINARY, "chat", STORY, "--url", f"http://127.0.0.1:{proxy.api_port}", "--temperature", "0",
                                          "--max-tokens", "200"], env={**os.environ, "CORTENSOR_API_KEY": one.key},
                                         stdout=subprocess.PIPE, text=True)
                begun = asked.stdout.read(20)
                busy = wait_for(lambda: [router for router in (one, two) if router.get("/healthz")["tasks"]], "the router at work")
                busy[0].router.kill()
                printed = begun + asked.stdout.read()
                asked.stdout.close()
                self.assertEqual(asked.wait(60), 0)
                self.assertTrue(printed.startswith(whole), printed)
                busy[0].start_router()
                wait_for(lambda: busy[0].attached(miner), "the miner to come back")
                wait_for(lambda: proxy.up() == {"one", "two"}, "HAProxy to see both routers")

                # A session of the one is answered for by the one, whichever the proxy has chosen first.
                for router in (one, two):
                    body = chat(STORY, router.open_session("none"), max_tokens=100)
                    status = []

                    def meanwhile(events):
                        if len(events) == 5:
                            connection, router.api_port = router.api_port, proxy.api_port
                            try:
                                status.append(router.request("POST", "/v1/chat/completions", {**body, "max_tokens": 5})[::2])
                            finally:
                                router.api_port = connection
                    router.stream(body, on_event=meanwhile)
                    self.assertEqual([one[0] for one in status], [200], status)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
class Systemd(unittest.TestCase):
    def test_the_units_are_sound_and_tight(self):
        units = sorted((PACKAGING / "systemd").glob("*.service"))
        self.assertEqual(len(units), 3)
        with tempfile.TemporaryDirectory() as folder:
            for unit in units:
                copy = pathlib.Path(folder) / unit.name
                copy.write_text(unit.read_text().replace("/usr/bin/cortensor", BINARY))
                for check in (["verify"], ["security", "--offline=true", "--threshold=15"]):
                    done = subprocess.run(["systemd-analyze", *check, str(copy)], capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    self.assertNotIn("Unknown", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
