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


def overhead(network):
    """Buckets of cortensor_router_overhead_seconds: the median's upper bound, and the mean."""
    text = network.request("GET", "/metrics")[2]
    rows = re.findall(r'cortensor_router_overhead_seconds_bucket\{[^}]*le="([^"]+)"\} (\d+)', text)
    total = float(re.search(r"cortensor_router_overhead_seconds_sum\S* (\S+)", text).group(1))
    count = int(rows[-1][1])
    median = next(bound for bound, running in rows if int(running) * 2 >= count)
    return float(median) * 1e3, total / count * 1e3, count


def main():
    with Network() as network:
        network.add("one", options=["--slots", "128"])
        network.add("two", options=["--slots", "128"])
        network.add("validator", "validator", options=["--slots", "16"])
        session = network.open_session("full")
        network.stream(chat(PROMPT, session, max_tokens=8))

        begin = time.monotonic()
        for _ in range(50):
            network.stream(chat(PROMPT, session, max_tokens=32))
        alone = (time.monotonic() - begin) / 50
        print(f"one stream at a time: {alone * 1e3:.1f} ms for 32 tokens, checked")
        print("router overhead a request: median at most {:.2f} ms, mean {:.3f} ms over {} requests".format(*overhead(network)))

        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda i: network.stream(chat(PROMPT, session, seed=i, temperature=0.8, max_tokens=32)),
                                    range(200)))
        seconds = time.monotonic() - begin
        verdicts = [proof_of(events)["verdict"] for events in answers]
        print(f"200 concurrent streams: {verdicts.count('VALID')} VALID of {len(verdicts)}, {seconds:.1f} s, "
              f"{200 * 32 / seconds:.0f} tokens/s, checked")
        print("router overhead a request: median at most {:.2f} ms, mean {:.3f} ms over {} requests".format(*overhead(network)))
        processes = {"router": network.router, **{node.name: node for node in network.nodes}}
        sizes = {name: resident_mb(node.process.pid) for name, node in processes.items()}
        print("memory:", ", ".join(f"{name} {size:.0f} MB" for name, size in sizes.items()), f"sum {sum(sizes.values()):.0f} MB")
        network.audit()
        assert all(text_of(events) for events in answers)
        return 0 if verdicts.count("VALID") == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
