"""Miners killed with SIGKILL every two seconds under load, each started anew at once, one always left alone: every request has
to succeed, with the text of the undisturbed network, and what was paid has to be what the answers cost. With --routers, two routers
share a PostgreSQL and one of them is killed every ten seconds as well; clients go on at the other one with the last event's id.

    CORTENSOR_BINARY=./cortensor CORTENSOR_MODELS=models python3 bench/churn_bench.py [--seconds 600] [--miners 4] [--clients 6] [--routers]
"""
import argparse
import contextlib
import http.client
import pathlib
import random
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/e2e"))
from network import Network, chat, proof_of, text_of, wait_for  # noqa: E402
from postgres import Server  # noqa: E402

WORDS = "a brave rabbit|a robot and a castle|the last apple|two friends in the rain|a boat without a captain|the moon's birthday"
# Greedy and seeded, short and long.
BODIES = [chat(f"Tell me a story about {words}.", seed=i, temperature=(0, 0.8)[i % 2], max_tokens=(40, 160)[i // 2 % 2])
          for i, words in enumerate(WORDS.split("|"))]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--miners", type=int, default=4)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--routers", action="store_true")
    return parser.parse_args()


def ask(routers, at, body):
    """The events of an answer. Of several routers one may be lost at any time."""
    events, last, deadline = [], None, time.monotonic() + 120

    def on_event(event_id, event):
        nonlocal last
        last = event_id or last
        if "error" not in event:
            events.append(event)
        elif len(routers) == 1 or event["error"]["code"] != "unavailable":
            raise RuntimeError(event["error"])

    while not (events and "cortensor" in events[-1]):
        if time.monotonic() > deadline:
            raise RuntimeError("the answer does not end")
        try:
            status = routers[at].follow(body, on_event, last)
            if status not in ((200,) if len(routers) == 1 else (200, 429, 503)):
                raise RuntimeError(f"status {status}")
        except (OSError, http.client.HTTPException):
            if len(routers) == 1:
                raise
            status = 0
        if status != 200:
            time.sleep(0.2)
        at = (at + 1) % len(routers)
    return events


class Load:
    """Clients that ask in turn, streaming, until told to stop."""

    def __init__(self, routers, expected):
        self.routers, self.expected = routers, expected
        self.cost, self.wrong, self.failed, self.seconds = 0, 0, [], []
        self.lock, self.stop = threading.Lock(), threading.Event()

    def client(self, number):
        order = random.Random(number)
        while not self.stop.is_set():
            which, begin, events, failure = order.randrange(len(BODIES)), time.monotonic(), [], None
            try:
                events = ask(self.routers, number % len(self.routers), BODIES[which])
            except Exception as error:  # whatever a client would see
                failure = repr(error)
            with self.lock:
                self.seconds.append(time.monotonic() - begin)
                if failure:
                    self.failed.append(failure)
                else:
                    self.cost += proof_of(events)["cost_microcredits"]
                    self.wrong += text_of(events) != self.expected[which]

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


class Churn:
    def __init__(self, routers, miners):
        self.routers = routers
        self.dice = random.Random(1)
        self.options = [part for other in routers[1:] for part in ("--join", other.link("miner"))]
        self.miners = [routers[0].add(f"miner{i}", options=self.options) for i in range(miners)]
        self.killed, self.routers_killed = 0, 0
        self.starting = None

    def kill_miner(self):
        """One miner that serves every router is always left."""
        living = [miner for miner in self.miners if self.serves_all(miner)]
        if len(living) < 2:
            return
        victim = self.dice.choice(living)
        victim.kill()
        self.routers[0].nodes.remove(victim)
        self.miners[self.miners.index(victim)] = self.routers[0].add(victim.name, options=self.options, attach=False)
        self.killed += 1

    def serves_all(self, miner):
        try:
            return all(router.attached(miner) for router in self.routers)
        except OSError:  # a router that comes back just now
            return False

    def kill_router(self):
        """One at a time, and not before the last one has its miners again."""
        if self.starting and self.starting.is_alive() or not any(self.serves_all(miner) for miner in self.miners):
            return
        victim = self.dice.choice(self.routers)
        victim.router.kill()
        self.routers_killed += 1
        self.starting = threading.Thread(target=victim.start_router)
        self.starting.start()

    def run(self, seconds):
        end = time.monotonic() + seconds
        for turn in range(1, 10**6):
            if time.monotonic() > end:
                break
            time.sleep(2)
            if len(self.routers) > 1 and turn % 5 == 0:
                self.kill_router()
            else:
                self.kill_miner()
        if self.starting:
            self.starting.join()


def spent(network):
    return sum(session["spent_microcredits"] for session in network.get("/v1/sessions?limit=100")["data"])


def main():
    options = arguments()
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(Server()).url if options.routers else None
        routers = [stack.enter_context(Network(ledger=ledger))]
        if options.routers:
            routers.append(stack.enter_context(Network(ledger=ledger, key=routers[0].key)))
        churn = Churn(routers, options.miners)
        expected = [text_of(routers[0].stream(body)) for body in BODIES]
        before, load = spent(routers[0]), Load(routers, expected)
        load.run(options.clients, lambda: churn.run(options.seconds))
        wait_for(routers[0].healthy, "the router")
        paid = spent(routers[0]) - before
        print(f"{options.seconds} s, {options.miners} miners, {options.clients} clients: {churn.killed} miners and {churn.routers_killed} routers "
              f"killed, {len(load.seconds)} answers, {len(load.failed)} failed, {load.wrong} with another text; "
              f"median {statistics.median(load.seconds):.1f} s, longest {max(load.seconds):.1f} s; they cost {load.cost}, {paid} was paid")
        for error in load.failed[:5]:
            print("  ", error)
        print("  ", routers[0].audit().strip())
        sys.exit(bool(load.failed or load.wrong or load.cost != paid))


if __name__ == "__main__":
    main()
