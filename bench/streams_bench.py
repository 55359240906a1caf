"""A router under many streams, its miners made-up ones that stream at a fixed pace: what it adds to each request, its memory
with thousands of streams open, and short requests a second. Usage:
CORTENSOR_BINARY=./cortensor CORTENSOR_MODELS=models CORTENSOR_LYING_MINER= BENCHES=build/release/bench python3 bench/streams_bench.py
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/e2e"))
from network import MODEL_ID, Network  # noqa: E402

BENCHES = pathlib.Path(os.environ["BENCHES"])


def resident_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def overhead(network):
    text = network.request("GET", "/metrics")[2]
    name = "cortensor_router_overhead_seconds"
    return [(float(bound) * 1e3, int(count)) for bound, count in re.findall(name + r'_bucket\{le="([^"]+)"\} (\d+)', text)]


def quantile(before, after, part):
    old = dict(before)
    rows = [(bound, count - old.get(bound, 0)) for bound, count in after]
    return next(bound for bound, count in rows if count >= part * rows[-1][1])


def load(network, session, name, streams, requests, tokens):
    body = {"model": MODEL_ID, "session": session, "prompt": "Once upon a time", "max_tokens": tokens, "stream": True, "seed": 1}
    before, cpu = overhead(network), processor_seconds(network.router.process.pid)
    client = subprocess.Popen([BENCHES / "load_client", "--url", f"http://127.0.0.1:{network.api_port}/v1/completions", "--key",
                               network.key, "--body", json.dumps(body), "--streams", str(streams), "--requests", str(requests)],
                              stdout=subprocess.PIPE, text=True)
    most = 0

    def watch():
        nonlocal most
        while client.poll() is None:
            most = max(most, resident_mb(network.router.process.pid))
            time.sleep(0.2)
    watcher = threading.Thread(target=watch)
    watcher.start()
    seen = json.loads(client.communicate()[0])
    watcher.join()
    after = overhead(network)
    busy = (processor_seconds(network.router.process.pid) - cpu) / seen["seconds"]
    print(f"{name}: {seen['good']} good, {seen['failed']} failed, {seen['requests_per_second']:.0f} requests/s, "
          f"{seen['events_per_second']:.0f} events/s; waiting for the router at most {quantile(before, after, 0.5):.2f} ms (median), "
          f"{quantile(before, after, 0.99):.2f} ms (p99); first token {seen['first_ms']['median']:.0f} ms; "
          f"router {busy:.2f} cores, {most:.0f} MB", flush=True)


def network_of(miners, pause):
    network = Network()
    for i in range(miners):
        network.add(f"paced{i}", program=BENCHES / "paced_miner", subcommand=False, options=["--pause-ms", str(pause)])
    network.command("account", "--data", network.data, "deposit", "tester", "10000", "--reference", "load")
    rules = {"model": MODEL_ID, "budget_microcredits": 1_000_000_000, "validation": "none"}
    return network, network.post("/v1/sessions", rules)["id"]


def main():
    network, session = network_of(2, 50)
    with network:
        load(network, session, "500 streams of 20 tokens/s", 500, 2000, 100)
    network, session = network_of(6, 500)
    with network:
        load(network, session, "5,000 streams of 2 tokens/s", 5000, 5000, 60)
    network, session = network_of(2, 0)
    with network:
        load(network, session, "short requests", 64, 20_000, 1)


if __name__ == "__main__":
    main()
