"""Our engine against llama.cpp as the npm package node-llama-cpp ships it: the same file, the same threads, in turns.

    python3 bench/peer_bench.py --cortensor build/release/src/app/cortensor --folder FOLDER [--type q4_0,q8_0] [--threads 2]
        [--shape llama-3.2-1b] [--rounds 3] [--batch 1,8] [--prompt 512] [--tokens 64] [--isa avx2]

FOLDER lies outside the repository: the package is installed into it once, and the model files are made there by `cortensor bench
--write`. A type like s8:q8_0 measures ours on S8 and the peer on Q8_0. Each round runs ours, then the peer's; medians are compared. The peer picks the variant of its library that suits the
processor. Needs node and npm.
"""
import argparse
import json
import pathlib
import statistics
import subprocess

PACKAGE = "node-llama-cpp@3.22"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cortensor", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--shape", default="llama-3.2-1b")
    parser.add_argument("--type", default="q4_0,q8_0")
    parser.add_argument("--model", help="this file instead of a shape")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isa", default="")
    return parser.parse_args()


class Peer:
    """A node process that keeps the model loaded."""

    def __init__(self, folder, model, threads):
        script = pathlib.Path(__file__).with_name("peer_bench.mjs")
        self.process = subprocess.Popen(["node", script, folder, model, str(threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        while (line := self.process.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit("the peer ended before it was ready")

    def measure(self, prompt, tokens, batch):
        self.process.stdin.write(json.dumps({"prompt": prompt, "tokens": tokens, "batch": batch}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(options, model):
    """All tests in one process, which loads the model once: the rows follow each other as the tests do."""
    command = [options.cortensor, "bench", "--model", model, "-p", str(options.prompt), "-n", str(options.tokens), "--batch",
               *options.batch.split(","), "-t", str(options.threads), "-r", "1", "--json"]
    command += ["--isa", options.isa] if options.isa else []
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["runs"][0]


def made(options, folder, kind):
    path = folder / f"{options.shape}.{kind}.gguf"
    if not path.exists():
        subprocess.run([options.cortensor, "bench", "--shape", options.shape, "--type", kind, "--write", path], check=True)
    return str(path)


def main():
    options = arguments()
    folder = pathlib.Path(options.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules/node-llama-cpp").exists():
        (folder / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE], cwd=folder, check=True)
    tests = [("prompt", options.prompt, 0, 1)] * (options.prompt > 0) + \
        [("generate", 0, options.tokens, int(batch)) for batch in options.batch.split(",") if options.tokens]
    for kind in [None] if options.model else options.type.split(","):
        files = [options.model] * 2
        if not options.model:
            mine, _, theirs = kind.partition(":")
            files = [made(options, folder, mine), made(options, folder, theirs or mine)]
        peer = Peer(str(folder), files[1], options.threads)
        results = [{"ours": [], "share": [], "peer": []} for _ in tests]
        for _ in range(options.rounds):
            run = ours(options, files[0])
            for result, row, (name, prompt, tokens, batch) in zip(results, run["rows"], tests):
                result["ours"].append(row["tokens_per_second"])
                result["share"].append(row["share_of_memory_read"] or row["share_of_integer_products"])
                result["peer"].append(peer.measure(prompt, tokens, batch)[name])
        peer.close()
        print(f"{pathlib.Path(files[0]).name}, {run['isa']}, {options.threads} threads; plain read "
              f"{run['memory_read_bytes_per_second'] / 1e9:.1f} GB/s, products {run['integer_products_per_second'] / 1e9:.0f} G/s, peak "
              f"memory {run['peak_memory_over_weights']:.2f} x the weights")
        for result, (_, prompt, tokens, batch) in zip(results, tests):
            middle = {key: statistics.median(values) for key, values in result.items()}
            what = f"prompt {prompt}" if prompt else f"generate {tokens} x {batch}"
            print(f"  {what}: ours {middle['ours']:.2f}, peer {middle['peer']:.2f} tokens/s, ratio "
                  f"{middle['ours'] / middle['peer']:.2f} ({'/'.join(f'{a / b:.2f}' for a, b in zip(result['ours'], result['peer']))}); "
                  f"{middle['share']:.0%} of the ceiling", flush=True)


if __name__ == "__main__":
    main()
