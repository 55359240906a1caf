"""The commands' words: sessions with every rule there is, receipts from the wrong people, secrets that no argument shows, numbers
that are refused and not bent."""
import hashlib
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import tempfile
import unittest

from network import BINARY, MODEL, MODEL_ID, Network, chat, proof_of, wait_for


class Sessions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = Network(router_options=["--prompt-price", "1", "--completion-price", "2"])

    @classmethod
    def tearDownClass(cls):
        cls.network.__exit__()

    def session(self, *arguments, code=0):
        environment = {**os.environ, "CORTENSOR_URL": f"http://127.0.0.1:{self.network.api_port}",
                       "CORTENSOR_API_KEY": self.network.key}
        done = subprocess.run([BINARY, "session", *arguments], capture_output=True, text=True, env=environment, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def open(self, *arguments):
        shown = self.session("open", *arguments)
        id = re.search(r"sess_\S+", shown).group(0)
        return id, shown, self.network.get("/v1/sessions/" + id)

    def test_every_rule_of_the_api_has_an_option(self):
        id, shown, made = self.open("--model", MODEL_ID, "--quantisation", "q8_0", "--budget", "2.5", "--validation", "spot",
                                    "--probability", "0.25", "--redundancy", "3", "--max-prompt-price", "1.5",
                                    "--max-completion-price", "2", "--expires-in", "7200", "--label", "night run ü",
                                    "--min-speed", "20", "--max-first-token", "500", "--min-reliability", "0.9",
                                    "--miner", "ab" * 32, "--miner", "cd" * 32)
        self.assertEqual(made["budget_microcredits"], 2_500_000)
        self.assertEqual(made["validation"], {"level": "spot", "probability": 0.25})
        self.assertEqual(made["redundancy"], 3)
        self.assertEqual(made["max_prompt_price_microcredits_per_million"], 1_500_000)
        self.assertEqual(made["max_completion_price_microcredits_per_million"], 2_000_000)
        self.assertEqual(made["expires_at"] - made["opened_at"], 7200)
        self.assertEqual(made["label"], "night run ü")
        self.assertEqual([made["min_tokens_per_second"], made["max_first_token_ms"], made["min_reliability"]], [20, 500, 0.9])
        self.assertEqual(made["miners"], ["ab" * 32, "cd" * 32])
        for words in ("20 tokens a second", "within 500 ms", "at least 0.9", "ab" * 32, "cd" * 32, "spot 0.25", "3 per answer", "1.500000 credits per million prompt", "night run ü", "2.500000 credits"):
            self.assertIn(words, shown)
        self.assertEqual(self.session("show", id), shown)
        listed = next(line for line in self.session("list").splitlines() if id in line)
        for words in ("spot 0.25", "open", "night run ü"):
            self.assertIn(words, listed)
        self.assertIn("2.500000 back in the account", self.session("close", id))
        self.assertIn("closed", self.session("show", id))

        _, shown, made = self.open("--validation", "quorum", "--quorum-k", "2", "--quorum-n", "3")
        self.assertEqual(made["validation"], {"level": "quorum", "k": 2, "n": 3})
        self.assertIn("quorum 2/3", shown)
        self.assertEqual(self.open()[2]["validation"], {"level": "full"})
        self.assertEqual(self.open("--validation", "none")[2]["validation"], {"level": "none"})

    def test_a_refusal_names_the_option(self):
        for option, arguments, code in (
                ("--model", ["--model", "other"], 1), ("--quantisation", ["--quantisation", "q4_0"], 1),
                ("--quantisation", ["--quantisation", "S4"], 1), ("--quantisation", ["--quantisation", "mixed"], 1),
                ("--quantisation", ["--quantisation", "q4_k"], 1), ("--quantisation", ["--quantisation", "q4_k_m"], 105),
                ("--budget", ["--budget", "1000"], 1), ("--budget", ["--budget", "0"], 105),
                ("--max-prompt-price", ["--max-prompt-price", "0.5"], 1),
                ("--max-completion-price", ["--max-completion-price", "1.999999"], 1),
                ("--probability", ["--probability", "0.5"], 2), ("--probability", ["--validation", "spot", "--probability", "0"], 105),
                ("--quorum-k", ["--quorum-k", "2"], 2),
                ("--quorum-k", ["--validation", "quorum", "--quorum-k", "2", "--quorum-n", "4"], 2),
                ("--quorum-k", ["--validation", "quorum", "--quorum-k", "3", "--quorum-n", "2"], 2),
                ("--redundancy", ["--validation", "quorum", "--redundancy", "2"], 2), ("--redundancy", ["--redundancy", "17"], 105),
                ("--expires-in", ["--expires-in", "2592001"], 105), ("--label", ["--label", "x" * 513], 105),
                ("--validation", ["--validation", "some"], 105)):
            self.assertIn(option, self.session("open", *arguments, code=code), arguments)
        self.assertIn("expected sess_", self.session("show", "../account", code=105))


class Embed(unittest.TestCase):
    def test_one_line_of_numbers_for_each_text_and_a_receipt_that_verifies(self):
        with Network() as network:
            network.add("miner")
            environment = {**os.environ, "CORTENSOR_URL": f"http://127.0.0.1:{network.api_port}", "CORTENSOR_API_KEY": network.key}

            def embed(*arguments, code=0):
                done = subprocess.run([BINARY, "embed", *arguments], capture_output=True, text=True, env=environment, timeout=60)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                return done

            folder = network.folder / "receipts"
            done = embed("A brave rabbit.", "Once", "--dimensions", "8", "--receipts", str(folder))
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual([len(line) for line in lines], [8, 8])
            self.assertIn("UNCHECKED", done.stderr)
            receipts = [path for path in folder.iterdir() if str(path) in done.stderr]
            self.assertEqual(len(receipts), 2)
            for path in receipts:
                shown = network.command("verify", str(path), "--model", MODEL)
                self.assertIn("an embedding of 8", shown)
                self.assertIn("\nVALID", shown)
            self.assertIn("dimensions", embed("x", "--dimensions", "513", code=2).stderr)


class Books(unittest.TestCase):
    def test_the_operator_pardons_pays_and_revokes(self):
        with Network() as network:
            miner = network.add("miner")
            proof_of(network.stream(chat("Hello", max_tokens=64)))

            def account(*arguments, code=0):
                return network.command("account", "--data", network.data, *arguments, code=code)

            def row(node):
                return next(line for line in account("list").splitlines() if line.startswith(node)).split()

            # Every node by its whole key, and the router's fees.
            router = re.search("router=([0-9a-f]{64})", network.router.log.read_text()).group(1)
            self.assertEqual(row(router)[1], "router")
            self.assertEqual(row(miner.id)[1], "miner")
            earned = float(row(miner.id)[2])
            self.assertGreater(earned, float(row(router)[2]))
            self.assertGreater(float(row(router)[2]), 0)

            paid = account("payout", miner.id.upper(), "0.000001", "--reference", "transfer-1")
            self.assertAlmostEqual(float(paid.split()[-1]), earned - 0.000001, places=6)
            self.assertIn("transfer-1", account("payout", miner.id, "0.000001", "--reference", "transfer-1", code=1))
            self.assertIn("the node", account("payout", miner.id, "1000", "--reference", "transfer-2", code=1))
            account("payout", router, "0.000001", "--reference", "transfer-3")
            self.assertIn("64 hexadecimal digits", account("pardon", "abc", code=105))
            account("audit")

            with sqlite3.connect(network.data + "/ledger.sqlite") as book:
                book.execute("UPDATE nodes SET strikes = 9, quarantined = 1, reason = 'an answer found invalid'")
            book.close()
            self.assertEqual(row(miner.id)[3:5], ["9", "quarantined"])
            account("pardon", miner.id)
            self.assertEqual(row(miner.id)[3:], ["0"])
            self.assertIn("node", account("pardon", "ab" * 32, code=1))

            made = account("key", "tester", "--label", "laptop")
            id, secret = re.search(r"id\s+(\S+)\nkey\s+(\S+)", made).groups()
            self.assertEqual(network.request("GET", "/v1/account", key=secret)[0], 200)
            self.assertRegex(account("keys", "tester"), id + r"  \d{4}-\d\d-\d\d \d\d:\d\d  valid    laptop")
            account("revoke", id)
            account("revoke", id)
            self.assertEqual(network.request("GET", "/v1/account", key=secret)[0], 401)
            self.assertEqual(network.request("GET", "/v1/account")[0], 200)
            self.assertRegex(account("keys", "tester"), id + r"  \S+ \S+  revoked  laptop")
            self.assertNotIn("ctk_", account("keys", "tester"))
            self.assertIn("0123456789abcdef", account("revoke", "0123456789abcdef", code=1))


class Identities(unittest.TestCase):
    def test_a_receipt_can_be_pinned_to_those_who_should_have_signed(self):
        with Network() as network:
            miner, validator = network.add("miner"), network.add("validator", "validator")
            proof = proof_of(network.stream(chat("Hello", network.open_session("full"), max_tokens=8)))
            receipt = network.get("/v1/receipts/" + proof["receipts"][0])
            path = network.folder / "receipt.json"
            path.write_text(json.dumps(receipt))

            def verify(*pins, code=0):
                return network.command("verify", str(path), "--model", MODEL, *pins, code=code)

            shown = verify()
            for identity in (receipt["router"], miner.id, validator.id):
                self.assertIn(identity, shown)
            self.assertIn("not compared", shown)
            pinned = verify("--router", receipt["router"].upper(), "--miner", "00" * 32, "--miner", miner.id, "--validator", validator.id)
            self.assertNotIn("not compared", pinned)
            self.assertTrue(pinned.endswith("\nVALID\n"), pinned)
            for role, id in (("router", receipt["router"]), ("miner", miner.id), ("validator", validator.id)):
                wrong = verify(f"--{role}", "ab" * 32, code=3)
                self.assertIn(f"WRONG     {role}: signed by {id}", wrong)
                self.assertTrue(wrong.endswith("\nINVALID\n"), wrong)
            self.assertIn("64 hexadecimal digits", verify("--router", "abc", code=105))


class Secrets(unittest.TestCase):
    def test_a_node_takes_its_token_from_a_file_or_the_environment(self):
        with Network() as network:
            token = network.folder / "token"
            link = network.command("invite", "--data", network.data, "--address", f"127.0.0.1:{network.node_port}", "--uses", "2",
                                   "--token-file", str(token)).strip()
            self.assertNotIn("token", link)
            self.assertEqual(token.stat().st_mode & 0o777, 0o600)
            network.links["miner"] = link
            network.add("file", options=["--join-token-file", str(token)])
            os.environ["CORTENSOR_JOIN_TOKEN"] = token.read_text().strip()
            try:
                network.add("environment")
            finally:
                del os.environ["CORTENSOR_JOIN_TOKEN"]
            again = network.nodes.pop(0)
            again.kill()
            again.log.unlink()
            network.add("file")  # known by its key
            stranger = network.add("stranger", attach=False)
            self.assertEqual(stranger.process.wait(30), 1)
            network.nodes.remove(stranger)
            for options, words in (("none", "cannot be read"), (os.devnull, "cannot be read or is empty")):
                shown = network.command("miner", "--join", link, "--join-token-file", options, "--model", MODEL, code=1)
                self.assertIn("--join-token-file: " + options, shown)
                self.assertIn(words, shown)

    def test_a_file_that_holds_no_key_is_refused_by_its_name_before_anything_is_asked(self):
        with tempfile.TemporaryDirectory(prefix="cortensor-key-") as folder:
            path = pathlib.Path(folder, "key")
            for content in (b"\x7fELF\x02\x01\x00\n", "ctk_ü\n".encode(), b"two words\n", b"ctk_x\x01\n"):
                path.write_bytes(content)
                path.chmod(0o600)
                nobody = ["--url", "http://127.0.0.1:1"]
                for arguments in (["models"], ["session", "list"], ["chat", "hello"]):
                    done = subprocess.run([BINARY, arguments[0], *nobody, "--key-file", str(path), *arguments[1:]],
                                          capture_output=True, timeout=60)
                    self.assertEqual(done.returncode, 2, done.stderr)
                    self.assertIn(b"--key-file: " + bytes(path) + b": expected an API key", done.stderr)
            done = subprocess.run([BINARY, "models", *nobody], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "CORTENSOR_API_KEY": "not a key"})
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("CORTENSOR_API_KEY: expected an API key", done.stderr)

    def test_up_shows_no_secret_among_its_processes(self):
        with tempfile.TemporaryDirectory(prefix="cortensor-up-") as folder:
            log = pathlib.Path(folder, "out")
            with open(log, "wb") as out:
                process = subprocess.Popen([BINARY, "up", "--data", folder + "/local", "--model", MODEL, "--miners", "1"],
                                           stdout=out, stderr=out)
            try:
                wait_for(lambda: "Ctrl-C ends it" in log.read_text(), "the network", 120)
                children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                self.assertEqual(len(children), 3)
                for child in children:
                    shown = pathlib.Path(f"/proc/{child}/cmdline").read_bytes()
                    self.assertNotIn(b"cjt_", shown)
                    self.assertNotIn(b"token", shown)
                    self.assertNotIn(b"ctk_", shown)
                url = re.search(r"API\s+(http://\S+)/v1", log.read_text()).group(1)
                done = subprocess.run([BINARY, "session", "--url", url, "--key-file", folder + "/local/api_key", "list"],
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
            finally:
                process.terminate()
                self.assertEqual(process.wait(30), 0)


class Numbers(unittest.TestCase):
    def test_every_numeric_option_refuses_what_is_no_number_in_its_range(self):
        join = ["--join", "cortensor://h:1/" + "0" * 64, "--model", "m"]
        invite = ["invite", "--data", "d", "--address", "h:1"]
        commands = {
            ("generate", "-p", "x"): ["--seed", "--max-tokens", "--temperature", "--top-p", "--top-k", "--min-p", "--threads"],
            ("chat",): ["--seed", "--max-tokens", "--temperature"],
            ("verify", "r", "--model", "m"): ["--threads"],
            ("miner", *join): ["--threads", "--slots"],
            ("validator", *join): ["--threads", "--slots"],
            tuple(invite): ["--uses", "--days"],
            ("up",): ["--miners", "--api-port", "--node-port"],
            ("router", "--data", "d", "--model", "m"): ["--grace", "--prompt-price", "--completion-price"],
            ("session", "open"): ["--budget", "--probability", "--quorum-k", "--quorum-n", "--redundancy", "--max-prompt-price",
                                  "--max-completion-price", "--expires-in", "--min-speed", "--max-first-token", "--min-reliability", "--miner"],
            ("account", "--data", "d", "create", "n"): ["--credits"],
            ("bench", "--model", "m"): ["--prompt", "--tokens", "--rounds"],
            ("perplexity", "--model", "m", "--file", "f"): ["--context", "--stride", "--windows", "--threads"],
            ("logits", "--model", "m", "--tokens", "t", "--out", "o"): ["--threads"],
        }
        for command, options in commands.items():
            for option in options:
                for value in ("-1", "99999999999999999999999", "nan", "inf", "", "x", "1x", "0x1"):
                    done = subprocess.run([BINARY, *command, option, value], capture_output=True, text=True, timeout=60)
                    self.assertEqual(done.returncode, 105, (command, option, value, done.stdout, done.stderr))
                    self.assertIn(option, done.stderr)
                    self.assertRegex(done.stderr, "expected|does not fit")


def has_open(process, folder):
    """Whether the process has a file of the folder open, also one without a name."""
    files = f"/proc/{process.pid}/fd/"
    for file in os.listdir(files):
        try:
            if os.readlink(files + file).startswith(folder + "/"):
                return True
        except FileNotFoundError:
            pass
    return False


class ModelTools(unittest.TestCase):
    """inspect, logits, perplexity, bench and convert on the default model."""

    def run_tool(self, *arguments, code=0):
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_inspect_lists_metadata_tensors_types_and_the_digest(self):
        listed = json.loads(self.run_tool("inspect", "--json", str(MODEL)))
        self.assertEqual(listed["digest"], hashlib.sha256(pathlib.Path(MODEL).read_bytes()).hexdigest())
        self.assertEqual(listed["metadata"]["general.architecture"], {"type": "string", "value": "llama"})
        self.assertEqual(listed["metadata"]["tokenizer.ggml.tokens"]["value"]["count"],
                         listed["metadata"]["llama.vocab_size"]["value"])
        self.assertEqual(sum(tensor["bytes"] for tensor in listed["tensors"]),
                         sum(total["bytes"] for total in listed["types"].values()))
        shown = self.run_tool("inspect", str(MODEL))
        for words in (listed["digest"], "token_embd.weight", "Q8_0", "general.architecture"):
            self.assertIn(words, shown)

    def test_logits_and_perplexity_agree_between_instruction_sets(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "ids.json").write_text("[1, 2, 3, 500, 4]")
            (folder / "text").write_text("Once upon a time there was a rabbit who lived in a wood. " * 12)
            answers = []
            for isa in ([], ["--isa", "scalar", "--threads", "1"]):
                self.run_tool("logits", "--model", str(MODEL), "--tokens", str(folder / "ids.json"), "--out", str(folder / "f"), *isa)
                measured = self.run_tool("perplexity", "--model", str(MODEL), "--file", str(folder / "text"), "--context", "64", *isa)
                answers.append(((folder / "f").read_bytes(), measured.split("\n")[1:]))
            self.assertEqual(answers[0], answers[1])
            self.assertEqual(len(answers[0][0]) % (5 * 4), 0)
            self.assertIn("perplexity", answers[0][1][1])
            for tokens in ("[1, -2]", "[]"):
                (folder / "ids.json").write_text(tokens)
                self.assertIn("list of one or more token ids",
                              self.run_tool("logits", "--model", str(MODEL), "--tokens", str(folder / "ids.json"),
                                            "--out", str(folder / "g"), code=2))
            self.assertFalse((folder / "g").exists())
            for option, value, words in (("--stride", 600, "a stride of 1 to 511, found 600"),
                                         ("--context", 4096, "a context of 8 to 1024, found 4096")):
                self.assertIn(words, self.run_tool("perplexity", "--model", str(MODEL), "--file", str(folder / "text"),
                                                   option, str(value), code=2))
            for arguments in (["perplexity", "--file", folder], ["logits", "--tokens", folder, "--out", folder / "g"]):
                self.assertIn(f"{folder}: cannot be read: Is a directory",
                              self.run_tool(*map(str, arguments), "--model", str(MODEL), code=1))

    def test_logits_do_not_replace_what_they_are_made_from(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            tokens, link, hard = folder / "ids.json", folder / "link", folder / "model.gguf"
            tokens.write_text("[1, 2]")
            link.symlink_to(MODEL)
            (folder / "copy").write_bytes(pathlib.Path(MODEL).read_bytes())
            hard.hardlink_to(folder / "copy")
            for model, out in ((MODEL, tokens), (MODEL, link), (folder / "copy", folder / "copy"), (folder / "copy", hard)):
                shown = self.run_tool("logits", "--model", str(model), "--tokens", str(tokens), "--out", str(out), code=2)
                self.assertIn(f"{out}: is an input file", shown)
            self.assertEqual(tokens.read_text(), "[1, 2]")
            self.assertTrue(link.is_symlink())
            self.assertEqual(hard.read_bytes(), pathlib.Path(MODEL).read_bytes())

    def test_bench_prints_figures_for_each_test(self):
        figures = json.loads(self.run_tool("bench", "--model", str(MODEL), "-p", "32", "-n", "4", "--batch", "1,3", "-t", "1",
                                           "-r", "1", "--json"))
        rows = figures["runs"][0]["rows"]
        self.assertEqual([row["test"] for row in rows], ["prompt 32", "generate 4 x 1", "generate 4 x 3"])
        for row in rows:
            self.assertGreater(row["tokens_per_second"], 0)
        self.assertGreater(figures["runs"][0]["peak_memory_over_weights"], 0)
        self.assertIn("--model or --shape", self.run_tool("bench", code=2))

    def test_an_interrupted_command_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            try:
                os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
            except OSError:
                self.skipTest("this file system knows no files without names")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process = subprocess.Popen([BINARY, "bench", "--shape", "llama-3.2-1b", "--type", "q8_0", "--write", folder + "/out"],
                                           stderr=subprocess.DEVNULL)
                wait_for(lambda: has_open(process, folder), "the output file")
                process.send_signal(number)
                self.assertEqual(process.wait(60), -number)
                self.assertEqual(os.listdir(folder), [])

    def test_bench_refuses_what_it_can_not_measure(self):
        for arguments, code, words in (
                (["--model", str(MODEL), "--write", "f"], 2, "--write: expected --shape"),
                (["--model", str(MODEL), "-p", "0", "-n", "4096"], 2, "--tokens: the model's context of 1024 positions"),
                (["--model", str(MODEL), "-p", "1024", "-n", "0"], 2, "--prompt: the model's context of 1024 positions"),
                (["--shape", "llama-3-70b", "-p", "8192"], 2, "--prompt: the model's context of 8192 positions"),
                (["--shape", "llama-3-70b", "--type", "F32"], 1, "GB of memory"),
                (["--shape", "llama-3-70b", "--type", "q9_0"], 105, "--type")):
            self.assertIn(words, self.run_tool("bench", *arguments, code=code))
        said = self.run_tool("bench", "--model", str(MODEL), "--isa", "foo", code=2)
        self.assertNotIn("MB of weights", said)

    def test_bench_takes_any_name_and_compares_only_what_compares(self):
        with tempfile.TemporaryDirectory() as folder:
            name = os.fsencode(folder) + b"/bad\xff.gguf"
            self.run_tool("quantize", str(MODEL), folder + "/f16", "F16")
            os.rename(folder + "/f16", name)
            done = subprocess.run([BINARY, "bench", "--model", name, "-p", "8", "-n", "0", "-r", "1", "-t", "1", "--json"],
                                  capture_output=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            figures = json.loads(done.stdout)
            self.assertIn("bad\ufffd.gguf", figures["model"])
            self.assertEqual(figures["runs"][0]["rows"][0]["share_of_integer_products"], 0)

    def test_convert_names_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("config.json", self.run_tool("convert", folder, folder + "/out.gguf", code=1))
            self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
