"""Two routers on one PostgreSQL: they share accounts and sessions, but a session with work in it is one router's; when that one
is killed the other takes it over. A stream goes on at the other router, miners work for both, and the books balance."""
import http.client
import os
import random
import subprocess
import threading
import time
import unittest

from network import BINARY, Network, chat, proof_of, text_of, wait_for
from postgres import MISSING, Server

STORY = "Tell me a long story about a robot and a castle."


def spent(network):
    return sum(session["spent_microcredits"] for session in network.get("/v1/sessions?limit=100")["data"])


@unittest.skipIf(MISSING, MISSING)
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

    def test_miners_and_validators_work_for_both(self):
        with Server() as server, Network(ledger=server.url) as one, Network(ledger=server.url, key=one.key) as other:
            for name, role in (("miner", "miner"), ("validator", "validator")):
                node = one.add(name, role, options=["--join", other.link(role), "--slots", "2"])
                wait_for(lambda: other.attached(node), f"{name} to join the other router")

            seen = []

            def meanwhile(events):
                if len(events) != 5:
                    return
                busy = wait_for(lambda: [row for row in other.get("/v1/nodes")["data"] if row["busy_elsewhere"]], "the miner's word")
                seen.extend((row["role"], row["busy_elsewhere"], row["busy"]) for row in busy)
                self.assertEqual(proof_of(other.stream(chat("Hi", other.open_session("full"), max_tokens=10)))["verdict"], "VALID")
                other.router.kill()

            events = one.stream(chat(STORY, one.open_session("full"), max_tokens=300), on_event=meanwhile)
            self.assertEqual(seen, [("miner", 1, 0)])
            self.assertEqual(proof_of(events)["verdict"], "VALID")  # the other router's death did not touch it
            self.assertIn("the books balance", one.audit())

    def test_no_stream_is_lost_while_routers_are_killed(self):
        draw = random.Random(7)
        with Server() as server, Network(ledger=server.url) as one, Network(ledger=server.url, key=one.key) as other:
            routers = (one, other)
            miners = [one.add(f"miner-{i}", options=["--join", other.link("miner")]) for i in range(2)]
            wait_for(lambda: all(other.attached(miner) for miner in miners), "the miners to join the other router")
            bodies = [chat(f"{STORY} Number {i}.", temperature=1, seed=i, max_tokens=150, n=1 + i % 2) for i in range(6)]
            whole = [one.stream(body) for body in bodies]
            before = spent(one)
            self.assertEqual(before, sum(proof_of(events)["cost_microcredits"] for events in whole))
            down, kills = threading.Lock(), []

            def kill(router):
                """One at a time: the other one lives."""
                if not down.acquire(blocking=False):
                    return
                router.router.kill()
                kills.append(router)
                router.start_router()
                wait_for(lambda: all(router.attached(miner) for miner in miners), "the miners to come back")
                down.release()

            def choice_texts(events):
                texts = {}
                for event in events:
                    for choice in event["choices"]:
                        texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
                return texts

            def run(number, kill_after):
                events, last_id, router = [], None, routers[number % 2]
                deadline = time.monotonic() + 200
                while not (events and "cortensor" in events[-1]):
                    assert time.monotonic() < deadline, f"stream {number} does not end"

                    def on_event(id, event):
                        nonlocal last_id
                        last_id = id or last_id
                        if "error" in event:
                            self.assertEqual(event["error"]["code"], "unavailable")
                            return
                        events.append(event)
                        if kill_after and len(events) == kill_after[0]:
                            kill_after.pop(0)
                            kill(router)

                    try:
                        status = router.follow(bodies[number], on_event, last_id)
                        assert status in (200, 429, 503), status
                        if status != 200:
                            time.sleep(0.2)  # as Retry-After would have it, and sooner
                    except (OSError, http.client.HTTPException):
                        pass
                    router = routers[1 - routers.index(router)]
                streams[number] = events

            streams = {}
            plans = [sorted(draw.sample(range(2, 140), 2)) for _ in bodies]
            threads = [threading.Thread(target=run, args=(i, plan)) for i, plan in enumerate(plans)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(streams), len(bodies))
            self.assertGreaterEqual(len(kills), 3)
            for number, events in streams.items():
                self.assertEqual(choice_texts(events), choice_texts(whole[number]))
                self.assertEqual(len({event["id"] for event in events}), 1)  # one task, wherever it ran
            self.assertEqual(spent(one) - before, sum(proof_of(events)["cost_microcredits"] for events in streams.values()))
            self.assertIn("the books balance", one.audit())


if __name__ == "__main__":
    unittest.main(verbosity=2)
