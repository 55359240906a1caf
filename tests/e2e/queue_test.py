"""Many clients, one slot: who waits knows its place, batch work comes last, who hangs up is gone, refusals say when to come again."""
import http.client
import json
import threading
import unittest

from network import Network, chat, text_of, wait_for


class Stream:
    """A streamed answer on a connection of its own, read in the background."""

    def __init__(self, network, body):
        self.connection = http.client.HTTPConnection("127.0.0.1", network.api_port, timeout=120)
        self.connection.request("POST", "/v1/chat/completions", json.dumps({**body, "stream": True}),
                                {"Authorization": f"Bearer {network.key}"})
        self.socket = self.connection.sock
        self.lines, self.headers, self.ended = [], {}, threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            response = self.connection.getresponse()
            self.headers = dict(response.headers)
            for line in response:
                self.lines.append(line.decode().strip())
        except (OSError, http.client.HTTPException):
            pass
        self.ended.set()

    def hang_up(self):
        self.socket.shutdown(2)
        self.ended.wait(60)
        self.connection.close()

    @property
    def comments(self):
        return [line for line in self.lines if line.startswith(":")]

    @property
    def text(self):
        return text_of([json.loads(line[6:]) for line in self.lines if line.startswith("data: {")])


class Queue(unittest.TestCase):
    def test_a_line_before_one_slot(self):
        with Network() as network:
            network.add("miner", options=("--slots", "1"))
            short = chat("Tell me a story.", max_tokens=8)
            expected = network.post("/v1/chat/completions", short)["choices"][0]["message"]["content"]
            session = network.open_session("none")

            def health(name):
                return network.get("/healthz")[name]

            def busy():
                return sum(node["busy"] for node in network.get("/v1/nodes")["data"])

            long = [Stream(network, chat("Tell me a long story.", session, max_tokens=900, seed=i, temperature=1))
                    for i in range(30)]
            wait_for(lambda: health("waiting") > 20, "many to wait")
            flex = Stream(network, chat("Tell me a story.", session, max_tokens=8, service_tier="flex"))
            told = Stream(network, short)
            wait_for(lambda: told.comments and flex.comments, "their places to be told")
            self.assertRegex(told.comments[0], r"^: queue place=\d+( eta_ms=\d+)?$")
            for stream in long:  # some wait, some are at a prompt, some are being answered
                stream.hang_up()
            wait_for(told.ended.is_set, "the answer")
            wait_for(flex.ended.is_set, "the batch work's answer")
            self.assertEqual(told.text, expected)
            self.assertEqual(told.lines[-2:], ["data: [DONE]", ""])
            self.assertGreater(int(told.headers["Cortensor-Queue-Place"]), 10)
            self.assertEqual(flex.lines[-2:], ["data: [DONE]", ""])
            self.assertIn('"service_tier":"flex"', flex.lines[-4])
            wait_for(lambda: busy() == 0 and health("waiting") == 0, "every slot to be free again")

            holder = Stream(network, chat("Tell me a long story.", session, max_tokens=900, temperature=1))
            wait_for(lambda: busy() == 1, "the slot to be taken")
            status, headers, body = network.request("POST", "/v1/chat/completions", {**short, "deadline_ms": 1})
            self.assertEqual(status, 429, body)
            self.assertGreaterEqual(int(headers["Retry-After"]), 1)
            holder.hang_up()
            wait_for(lambda: busy() == 0, "the slot to be free")
            self.assertIn('cortensor_router_refused_total{class="interactive",reason=', network.request("GET", "/metrics")[2])
            network.audit()


if __name__ == "__main__":
    unittest.main()
