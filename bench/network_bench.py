"""Measures a local network of real processes: router overhead per streamed request, many concurrent streams, memory,
and the time to a first proven answer. Usage: CORTENSOR_BINARY=./cortensor CORTENSOR_MODELS=models python3 bench/network_bench.py
"""
import concurrent.futures
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/e2e"))
from network import Network, chat, proof_of, text_of  # noqa: E402

PROMPT = "Tell me a story about a brave rabbit."


def resident_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def histogram(text, name):
    """The count, the sum in ms, and (upper bound in ms, count up to it) of each bucket."""
    rows = [(float(bound) * 1e3, int(running)) for bound, running in re.findall(name + r'_bucket\{le="([^"]+)"\} (\d+)', text)]
    return rows[-1][1], float(re.search(name + r"_sum (\S+)", text).group(1)) * 1e3, rows


def report_router(network, before):
    """What the router itself took of the requests since `before`; returns what to pass next time."""
    text = network.request("GET", "/metrics")[2]
    now = {}
    for name, words in (("overhead", "a request waited for the router"), ("work", "the router worked for a request")):
        count, total, rows = now[name] = histogram(text, f"cortensor_router_{name}_seconds")
        old_count, old_total, old_rows = before.get(name, (0, 0, [(bound, 0) for bound, _ in rows]))
        median = next(bound for (bound, running), (_, old) in zip(rows, old_rows) if (running - old) * 2 >= count - old_count)
        print(f"{words}: median at most {median:.2f} ms, mean {(total - old_total) / (count - old_count):.3f} ms, "
              f"{count - old_count} requests")
    return now


def main():
    with Network() as network:
        network.add("one", options=["--slots", "128"])
        network.add("two", options=["--slots", "128"])
        network.add("validator", "validator", options=["--slots", "16"])
        session = network.open_session("full")
        network.stream(chat(PROMPT, session, max_tokens=8))
        seen = {}

        begin = time.monotonic()
        for _ in range(50):
            network.stream(chat(PROMPT, session, max_tokens=32))
        alone = (time.monotonic() - begin) / 50
        print(f"one stream at a time: {alone * 1e3:.1f} ms for 32 tokens, checked")
        seen = report_router(network, seen)

        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda i: network.stream(chat(PROMPT, session, seed=i, temperature=0.8, max_tokens=32)),
                                    range(200)))
        seconds = time.monotonic() - begin
        verdicts = [proof_of(events)["verdict"] for events in answers]
        print(f"200 concurrent streams: {verdicts.count('VALID')} VALID of {len(verdicts)}, {seconds:.1f} s, "
              f"{200 * 32 / seconds:.0f} tokens/s, checked")
        report_router(network, seen)
        processes = {"router": network.router, **{node.name: node for node in network.nodes}}
        sizes = {name: resident_mb(node.process.pid) for name, node in processes.items()}
        print("memory:", ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()), f"sum {sum(sizes.values()):.0f} MB")
        network.audit()
        assert all(text_of(events) for events in answers)
        return 0 if verdicts.count("VALID") == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
