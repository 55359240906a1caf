"""Miners killed with SIGKILL every two seconds under load, each started anew at once, one always left alone: every request has
to succeed, with the text of the undisturbed network, and the books have to balance.

    CORTENSOR_BINARY=./cortensor CORTENSOR_MODELS=models python3 bench/churn_bench.py [--seconds 600] [--miners 4] [--clients 6]
"""
import argparse
import pathlib
import random
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/e2e"))
from network import Network, chat, text_of, wait_for  # noqa: E402

WORDS = "a brave rabbit|a robot and a castle|the last apple|two friends in the rain|a boat without a captain|the moon's birthday"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--miners", type=int, default=4)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--every", type=float, default=2, help="seconds between kills")
    return parser.parse_args()


def bodies(session):
    """Greedy and seeded, short and long."""
    return [chat(f"Tell me a story about {words}.", session, seed=i, temperature=(0, 0.8)[i % 2], max_tokens=(40, 160)[i // 2 % 2])
            for i, words in enumerate(WORDS.split("|"))]


class Load:
    """Clients that ask in turn, streaming, until told to stop."""

    def __init__(self, network, session, expected):
        self.network, self.expected, self.requests = network, expected, bodies(session)
        self.done, self.wrong, self.failed, self.moved, self.seconds = 0, 0, [], 0, []
        self.lock, self.stop = threading.Lock(), threading.Event()

    def client(self, number):
        order = random.Random(number)
        while not self.stop.is_set():
            which = order.randrange(len(self.requests))
            begin = time.monotonic()
            try:
                events = self.network.stream(self.requests[which])
                text, proof = text_of(events), events[-1].get("cortensor")
            except Exception as error:  # whatever a client would see
                text, proof = None, repr(error)
            with self.lock:
                self.done += 1
                self.seconds.append(time.monotonic() - begin)
                if not isinstance(proof, dict):
                    self.failed.append(proof or events[-1])
                elif text != self.expected[which]:
                    self.wrong += 1

    def run(self, clients, disturb):
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(clients)]
        for thread in threads:
            thread.start()
        try:
            disturb()
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


def main():
    options = arguments()
    with Network() as network:
        miners = [network.add(f"miner{i}") for i in range(options.miners)]
        session = network.post("/v1/sessions", {"model": bodies(None)[0]["model"], "budget_microcredits": 40_000_000,
                                                "expires_in_seconds": 7200})["id"]
        expected = [text_of(network.stream(body)) for body in bodies(session)]
        load, kills, dice = Load(network, session, expected), [0], random.Random(1)

        def disturb():
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                time.sleep(options.every)
                # One miner that serves is always left.
                living = [miner for miner in miners if network.attached(miner)]
                if len(living) < 2:
                    continue
                victim = dice.choice(living)
                victim.kill()
                network.nodes.remove(victim)
                miners[miners.index(victim)] = network.add(victim.name, attach=False)
                kills[0] += 1

        load.run(options.clients, disturb)
        log = network.router.log.read_text()
        print(f"{options.seconds} s, {options.miners} miners, {options.clients} clients: {kills[0]} miners killed, {load.done} answers, "
              f"{log.count('attempt_lost')} times moved, {len(load.failed)} failed, {load.wrong} with another text; "
              f"median {statistics.median(load.seconds):.1f} s, longest {max(load.seconds):.1f} s")
        for error in load.failed[:5]:
            print("  ", error)
        print("  ", wait_for(lambda: network.audit().strip(), "the audit"))
        sys.exit(bool(load.failed or load.wrong))


if __name__ == "__main__":
    main()
