"""Killed miners, killed routers, wrong keys and hostile input: clear errors, nothing lost, nobody else disturbed."""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import unittest

from network import BINARY, MODEL, MODEL_ID, Network, chat, proof_of, text_of, wait_for

STORY = "Tell me a long story about a robot and a castle."


class Failover(unittest.TestCase):
    def busy_miner(self, network):
        busy = {row["id"] for row in network.get("/v1/nodes")["data"] if row["role"] == "miner" and row["busy"] > 0}
        return next((node for node in network.nodes if node.id in busy), None)

    def disturbed(self, network, body, after=10):
        """The same request while its miner is killed with SIGKILL in the middle of the answer."""
        killed = []

        def kill_in_the_middle(events):
            if len(events) == after and not killed:
                node = wait_for(lambda: self.busy_miner(network), "a busy miner", 10)
                node.kill()
                killed.append(node)
                network.nodes.remove(node)

        events = network.stream(body, on_event=kill_in_the_middle)
        self.assertEqual(len(killed), 1)
        self.killed = killed[0]
        return events

    def test_a_miner_killed_in_the_middle_of_an_answer_changes_no_byte(self):
        with Network() as network:
            network.add("validator", "validator")
            network.add("a")
            network.add("b", options=["--isa", "scalar"])
            session = network.open_session("full")
            for temperature in (0, 0.9):
                body = chat(STORY, session, temperature=temperature, seed=11, max_tokens=300)
                undisturbed = network.stream(body)
                events = self.disturbed(network, body)
                self.assertEqual(text_of(events), text_of(undisturbed))
                self.assertEqual(proof_of(events)["verdict"], "VALID")
                network.add(f"replacement-{temperature}")
            network.audit()

    def test_a_miner_killed_after_it_has_signed_is_paid_for_that(self):
        with Network() as network:
            network.add("validator", "validator")
            network.add("a")
            network.add("b")
            events = self.disturbed(network, chat(STORY, network.open_session("full"), max_tokens=300), after=100)
            proof = proof_of(events)
            self.assertEqual(proof["verdict"], "VALID")
            receipt = network.get("/v1/receipts/" + proof["receipts"][0])
            whole, *segments = receipt["commitments"]
            self.assertEqual([(one["miner"], one["finish"]) for one in segments], [(self.killed.id, "none")])
            self.assertEqual(segments[0]["count"] % 64, 0)
            payments = {payment["party"]: payment["amount"] for payment in receipt["bill"]["payments"] if payment["kind"] == "miner"}
            self.assertEqual(payments[self.killed.id], sum(payments.values()) * segments[0]["count"] // whole["count"])
            path = network.folder / "receipt.json"
            path.write_text(json.dumps(receipt))
            self.assertIn("\nVALID", network.command("verify", str(path), "--model", MODEL))
            segments[0]["count"] -= 1
            path.write_text(json.dumps(receipt))
            self.assertIn("commitment 1", network.command("verify", str(path), "--model", MODEL, code=3))
            network.audit()


    def test_a_miner_that_stands_still_is_overtaken(self):
        with Network() as network:
            network.add("a")
            network.add("b")
            stopped = []

            def stop_in_the_middle(events):
                if len(events) == 100 and not stopped:
                    stopped.append(wait_for(lambda: self.busy_miner(network), "a busy miner", 10))
                    stopped[0].process.send_signal(signal.SIGSTOP)

            body = chat(STORY, network.open_session("none"), max_tokens=300)
            try:
                events = network.stream(body, on_event=stop_in_the_middle)
            finally:
                for node in stopped:
                    node.process.send_signal(signal.SIGCONT)
            self.assertIn("attempt_hedged", network.router.log.read_text())
            proof = proof_of(events)
            self.assertEqual(len(proof["miners"]), 2)
            self.assertEqual(proof["miners"][1], stopped[0].id)  # paid for what it had signed
            self.assertEqual(text_of(events), text_of(network.stream(body)))
            network.audit()


class RouterLoss(unittest.TestCase):
    def test_a_killed_router_comes_back_with_its_books_and_its_nodes(self):
        with Network() as network:
            miner = network.add("miner")
            network.add("validator", "validator")
            session = network.open_session("full")
            paid = proof_of(network.stream(chat(STORY, session, max_tokens=20)))["cost_microcredits"]
            self.assertGreater(paid, 0)

            def kill(events):
                if len(events) == 5:
                    network.router.kill()

            with self.assertRaises(Exception):
                proof_of(network.stream(chat(STORY, session, max_tokens=300), on_event=kill))
            network.audit()
            network.start_router()
            wait_for(lambda: network.attached(miner), "the miner to come back by itself")
            wait_for(lambda: len(network.get("/v1/nodes")["data"]) == 2, "the validator to come back by itself")
            kept = network.get(f"/v1/sessions/{session}")
            self.assertEqual((kept["state"], kept["spent_microcredits"]), ("open", paid))
            self.assertEqual(proof_of(network.stream(chat(STORY, session, max_tokens=20)))["verdict"], "VALID")
            closed = network.post(f"/v1/sessions/{session}/close", {})
            self.assertEqual(closed["hold_microcredits"], 0)
            self.assertEqual(network.balance(), 50_000_000 - closed["spent_microcredits"])
            network.audit()


class Memory(unittest.TestCase):
    def test_full_caches_cost_time_and_nothing_else(self):
        """Room for one of the answers at a time in the miner, and in the validator."""
        with Network() as network:
            network.add("validator", "validator", options=["--kv-memory", "2"])
            miner = network.add("miner", options=["--kv-memory", "2"])
            session = network.open_session("full")

            def verdict(seed):
                prompt = [(31 * i + 7 * seed) % 4000 for i in range(300)]
                events = network.stream({"model": MODEL_ID, "prompt": prompt, "session": session, "max_tokens": 100, "seed": seed},
                                        path="/v1/completions")
                return proof_of(events)["verdict"]

            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                self.assertEqual(list(pool.map(verdict, range(6))), ["VALID"] * 6)
            models = lambda: next(row["models"] for row in network.get("/v1/nodes")["data"] if row["id"] == miner.id)
            before = models()
            status, _, answer = network.request("POST", "/v1/completions", {"model": MODEL_ID, "prompt": [1] * 600, "session": session})
            self.assertEqual(status, 400, answer)
            self.assertEqual(models(), before)
            network.audit()


class Ledger(unittest.TestCase):
    def test_a_ledger_that_fails_is_in_the_log_once_and_so_is_its_recovery(self):
        with Network() as network:
            blocker = sqlite3.connect(network.data + "/ledger.sqlite", isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                status, _, answer = network.request("POST", "/v1/sessions", {"model": MODEL_ID, "budget_microcredits": 1000})
                self.assertEqual(status, 503, answer)
            blocker.execute("ROLLBACK")
            blocker.close()
            network.open_session("none")
            log = network.router.log.read_text()
            self.assertEqual(log.count("ledger_fails"), 1, log)
            self.assertIn("locked by another process", log)
            self.assertEqual(log.count("ledger_works_again"), 1, log)


class SharedFolder(unittest.TestCase):
    def test_a_second_router_on_the_same_books_is_refused(self):
        with Network() as network:
            second = ["router", "--data", network.data, "--api", "127.0.0.1:0", "--nodes", "127.0.0.1:0", "--model", MODEL]
            self.assertIn("another router", network.command(*second, code=1))
            network.router.kill()
            network.start_router()  # a lock does not outlive its owner
            network.audit()


class Admission(unittest.TestCase):
    def refused(self, network, link, key="stranger"):
        done = subprocess.run([BINARY, "miner", "--join", link, "--model", MODEL, "--key",
                               str(network.folder / f"{key}.key"), "--threads", "1"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_a_wrong_token_is_refused_for_good(self):
        with Network() as network:
            link = re.sub(r"token=.*", "token=cjt_" + "w" * 43, network.link("miner"))
            self.assertIn("token", self.refused(network, link))

    def test_a_token_that_no_router_made_is_refused_before_anything_is_loaded(self):
        join = "cortensor://127.0.0.1:1/" + "ab" * 32
        for token in ("cjt_short", "cjt_" + "x" * 44, "cjt_" + "x" * 200, "cjt_" + "ü" * 21 + "x"):
            for arguments, environment in (["--join", join + "?token=" + token], {}), (["--join", join], {"CORTENSOR_JOIN_TOKEN": token}):
                done = subprocess.run([BINARY, "miner", *arguments, "--model", "/nowhere", "--key", "/nowhere/key"],
                                      capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("join token", done.stderr)
                self.assertNotIn(token, done.stderr)

    def test_a_router_with_another_key_is_not_believed(self):
        with Network() as network:
            link = re.sub(r"/[0-9a-f]{64}", "/" + "ab" * 32, network.link("miner"))
            node = network.spawn("doubter", ["miner", "--join", link, "--model", MODEL, "--threads", "1", "--key",
                                             str(network.folder / "doubter.key")])
            network.nodes.append(node)
            wait_for(lambda: "presents key" in node.log.read_text(), "the reason in the log")
            self.assertEqual(network.get("/v1/nodes")["data"], [])

    def test_two_processes_with_one_key_do_not_fight_over_it(self):
        with Network() as network:
            first = network.add("twin")
            second = network.spawn("second", ["miner", "--join", network.link("miner"), "--model", MODEL, "--threads", "1",
                                              "--key", str(network.folder / "twin.key")])
            network.nodes.append(second)
            self.assertEqual(first.process.wait(30), 1)
            self.assertIn("taken its place", first.log.read_text())
            wait_for(lambda: network.attached(second), "the second one to attach")

    def test_a_model_the_router_does_not_serve_is_refused_by_name(self):
        with Network() as network:
            done = subprocess.run([BINARY, "miner", "--join", network.link("miner"), "--model",
                                   MODEL.replace("q8_0", "q4_0"), "--key", str(network.folder / "x.key"), "--threads", "1"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn("model", done.stderr)


class HostileInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = Network()
        cls.network.add("miner")
        cls.network.add("validator", "validator")

    @classmethod
    def tearDownClass(cls):
        cls.network.__exit__()

    def error(self, body, status, **more):
        found, _, answer = self.network.request("POST", "/v1/chat/completions", body, **more)
        self.assertEqual(found, status, answer)
        self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
        return answer["error"]

    def test_requests_that_make_no_sense_get_a_clear_error_in_openai_shape(self):
        self.error(b"not json", 400)
        self.error(b"\xff\xfe{}", 400)
        self.error({}, 400)
        self.error({"model": MODEL_ID}, 400)
        self.error({"model": MODEL_ID, "messages": []}, 400)
        self.assertEqual(self.error(chat("x", temperature=-1), 400)["param"], "temperature")
        self.assertEqual(self.error(chat("x", n=1000), 400)["param"], "n")
        self.assertEqual(self.error(chat("x", max_tokens=0), 400)["param"], "max_tokens")
        self.error(chat("x", stop=["a"] * 9), 400)
        self.error({**chat("x"), "tools": [{}]}, 400)
        self.error({**chat("x"), "model": "no-such-model"}, 404)
        self.error(chat("word " * 5000), 400)
        self.error(chat("x"), 401, key="ctk_wrong")
        self.error(chat("x"), 401, key=None)
        self.assertEqual(self.network.request("GET", "/v1/nothing")[0], 404)
        self.assertEqual(self.network.request("PUT", "/v1/models")[0], 405)
        # And the network goes on.
        self.assertTrue(text_of(self.network.stream(chat("Hello", max_tokens=8))))

    def test_short_money_is_refused_before_anything_runs(self):
        before = self.network.balance()
        status, _, answer = self.network.request("POST", "/v1/sessions",
                                                 {"model": MODEL_ID, "budget_microcredits": 10**12})
        self.assertEqual(status, 402, answer)
        self.assertEqual(answer["error"]["code"], "insufficient_quota")
        session = self.network.post("/v1/sessions", {"model": MODEL_ID, "budget_microcredits": 50})["id"]
        self.assertEqual(self.error(chat("Hello", session, max_tokens=500), 402)["code"], "insufficient_quota")
        self.network.post(f"/v1/sessions/{session}/close", {})
        self.assertEqual(self.network.balance(), before)

    def test_garbage_and_half_requests_disturb_nobody(self):
        sockets = []
        for garbage in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/chat/completions HTTP/1.1\r\nContent-Le",
                        b"GET /" + b"a" * 100_000, b"\r\n" * 1000):
            for port in (self.network.api_port, self.network.node_port):
                peer = socket.create_connection(("127.0.0.1", port))
                sockets.append(peer)
                try:
                    peer.sendall(garbage)
                except OSError:
                    pass  # hung up on already
        self.assertTrue(text_of(self.network.stream(chat("Hello", max_tokens=8))))
        for peer in sockets:
            peer.close()

    def test_a_body_too_large_is_refused(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.network.api_port, timeout=30)
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("Authorization", f"Bearer {self.network.key}")
        connection.putheader("Content-Length", str(1 << 33))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)

    def test_a_client_that_hangs_up_frees_its_miner(self):
        peer = socket.create_connection(("127.0.0.1", self.network.api_port))
        body = json.dumps({**chat(STORY, max_tokens=600), "stream": True}).encode()
        peer.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + self.network.key.encode() +
                     b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
        peer.recv(1000)
        peer.close()
        wait_for(lambda: all(row["busy"] == 0 for row in self.network.get("/v1/nodes")["data"]), "a free miner", 20)


class Shutdown(unittest.TestCase):
    def test_every_process_ends_cleanly_on_sigterm(self):
        network = Network()
        try:
            nodes = [network.add("miner"), network.add("validator", "validator")]
            for node in [*nodes, network.router]:
                node.process.send_signal(signal.SIGTERM)
                self.assertEqual(node.process.wait(15), 0, node.log.read_text())
        finally:
            network.__exit__()


if __name__ == "__main__":
    unittest.main(verbosity=2)
