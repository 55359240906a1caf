"""What a newcomer sees: one command, a proven answer, exit 0; and the other commands on the network it leaves up."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import unittest

from network import BINARY, MODEL, wait_for


class FirstRun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cortensor-up-")

    def tearDown(self):
        self.folder.cleanup()

    def up(self, *more):
        return [BINARY, "up", "--data", self.folder.name + "/local", "--model", MODEL, *more]

    def test_once_proves_one_answer_twice_in_a_row(self):
        for _ in range(2):  # the second run finds keys and ledger of the first
            done = subprocess.run(self.up("--demo", "Tell me a story about a brave rabbit.", "--once"),
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(len(re.findall(r"^VALID", done.stdout, re.M)), 2, done.stdout)
        self.assertEqual(len(list(pathlib.Path(self.folder.name, "local/receipts").glob("*.json"))), 2)

    def test_it_stays_up_until_ctrl_c_and_the_other_commands_work(self):
        log = pathlib.Path(self.folder.name, "out")
        with open(log, "wb") as out:
            process = subprocess.Popen(self.up(), stdout=out, stderr=out)

        def printed():
            self.assertIsNone(process.poll(), log.read_text())
            return log.read_text()

        try:
            wait_for(lambda: "Ctrl-C ends it" in printed(), "the network", 120)
            url = re.search(r"API\s+(http://\S+)/v1", printed()).group(1)
            key = re.search(r"key\s+(ctk_\S+)", printed()).group(1)
            for command in ("chat", "session", "miner"):  # as they were called here
                self.assertRegex(printed(), rf"(?m)^ *{re.escape(BINARY)} {command} ")
            environment = {**os.environ, "CORTENSOR_URL": url, "CORTENSOR_API_KEY": key}

            def cortensor(*arguments, **more):
                done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, env=environment, timeout=60, **more)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                return done.stdout

            self.assertIn("q8_0", cortensor("models"))
            self.assertIn("VALID", cortensor("chat", "What is a castle?", "--temperature", "0", "--session",
                                             re.search(r"sess_\S+", cortensor("session", "open")).group(0)))
            self.assertTrue(cortensor("chat", input="Hello\n").strip())
            self.assertIn("open", cortensor("session", "list"))

            children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            arguments = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in children}

            # The caches of all nodes together get a quarter of the memory.
            caches = [int(words[words.index("--kv-memory") + 1]) << 20 for words in arguments.values()
                      if "router" not in words]
            self.assertEqual(len(caches), 3)
            self.assertGreater(min(caches), 0)
            self.assertLessEqual(sum(caches), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)

            # One miner dies: the network says so and goes on.
            miner = next(pid for pid, words in arguments.items() if "miner" in words)
            os.kill(int(miner), signal.SIGKILL)
            wait_for(lambda: "goes on without it" in printed(), "the notice")
            self.assertTrue(cortensor("chat", "Hello").strip())
        finally:
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 0, log.read_text())


class Help(unittest.TestCase):
    def test_every_command_explains_itself_with_examples(self):
        text = subprocess.run([BINARY, "--help"], capture_output=True, text=True).stdout
        commands = ["up", "chat", "session", "verify", "models", "generate", "quantize", "router", "miner", "validator",
                    "account", "invite"]
        for command in commands:
            self.assertIn(f"  {command} ", text)
            done = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0)
            self.assertIn("Examples:", done.stdout)
        self.assertEqual(subprocess.run([BINARY, "nonsense"], capture_output=True).returncode, 106)


if __name__ == "__main__":
    unittest.main(verbosity=2)
