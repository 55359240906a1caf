"""Time to the first token of requests that share long beginnings, over eight real miners: as the router places them, and
dealt to the miners in turn (sessions that name one miner each). Both orders of the two, each on miners that have computed
nothing yet. Usage: CORTENSOR_BINARY=./cortensor CORTENSOR_MODELS=models python3 bench/affinity_bench.py [MINERS]
"""
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/e2e"))
from network import MODEL_ID, Network  # noqa: E402

MINERS = int(sys.argv[1]) if len(sys.argv) > 1 else 8
TEXTS, QUESTIONS, SHARED, OWN = 8, 12, 832, 24


def requests():
    """Prompts as tokens: each of a few long beginnings with many ends, in a random order."""
    order = random.Random(1)
    texts = [[order.randrange(4000) for _ in range(SHARED)] for _ in range(TEXTS)]
    prompts = [text + [order.randrange(4000) for _ in range(OWN)] for text in texts for _ in range(QUESTIONS)]
    order.shuffle(prompts)
    return prompts


def first_token_ms(network, prompt, session):
    """Also the tokens that were not computed anew."""
    first = []
    begin = time.monotonic()
    events = network.stream({"model": MODEL_ID, "prompt": prompt, "session": session, "max_tokens": 2, "seed": 1,
                             "stream_options": {"include_usage": True}},
                            path="/v1/completions", on_event=lambda _: first.append(time.monotonic()))
    usage = next(event["usage"] for event in events if event.get("usage"))
    return (first[0] - begin) * 1e3, usage["prompt_tokens_details"]["cached_tokens"]


def measure(placed):
    with Network() as network:
        miners = [network.add(f"miner{i}", options=["--kv-memory", "64"]) for i in range(MINERS)]
        free = network.open_session("none")
        rules = {"model": MODEL_ID, "budget_microcredits": 1_000_000, "validation": "none"}
        named = [network.post("/v1/sessions", {**rules, "miners": [miner.id]})["id"] for miner in miners]
        seen = [first_token_ms(network, prompt, free if placed else named[i % MINERS]) for i, prompt in enumerate(requests())]
    times, cached = zip(*seen)
    print(f"{'placed by the router' if placed else 'in turn':>20}: mean {statistics.mean(times):6.1f} ms, "
          f"median {statistics.median(times):6.1f} ms, {100 * sum(cached) / (len(seen) * (SHARED + OWN)):.0f} % of the prompts cached")
    return statistics.mean(times), statistics.median(times)


def main():
    for placed in (True, False):
        one, other = measure(placed), measure(not placed)
        ours, turn = (one, other) if placed else (other, one)
        print(f"in turn / placed: mean {turn[0] / ours[0]:.2f}, median {turn[1] / ours[1]:.2f}")


if __name__ == "__main__":
    main()
