"""cortensor chat on a pseudo-terminal: keys, history, pasted text, Ctrl-C and Ctrl-D; and a router that tries to write on it."""
import http.server
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time
import unittest

from network import BINARY

HOME, END, LEFT, UP, DOWN, DELETE = "\x1b[H", "\x1b[F", "\x1b[D", "\x1b[A", "\x1b[B", "\x1b[3~"
CTRL = {letter: chr(ord(letter) - 64) for letter in "ACDEKUW"}


class Terminal:
    """The chat as a child on a pseudo-terminal of its own."""

    def __init__(self, arguments, environment):
        try:
            self.pid, self.fd = pty.fork()
        except OSError as error:
            raise unittest.SkipTest(f"no pseudo-terminal can be had: {error}")
        if self.pid == 0:
            os.execve(BINARY, [BINARY, *arguments], environment)
        self.shown = ""

    def read(self, until, seconds=60):
        """Waits until the text has been shown since the last call, and yields everything up to its end."""
        deadline = time.monotonic() + seconds
        while until not in self.shown:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"timed out waiting for {until!r}, shown: {self.shown!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended before {until!r}, shown: {self.shown!r}")
            self.shown += data.decode(errors="surrogateescape")
        found, self.shown = self.shown.split(until, 1)
        return found + until

    def prompt(self):
        return self.read("> ")

    def type(self, text):
        os.write(self.fd, text.encode(errors="surrogateescape"))

    def end(self, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.fd, 65536).decode(errors="surrogateescape")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"did not end, shown: {self.shown!r}")


class Recorder:
    """A router that answers every prompt with fixed text and keeps what it was asked; with `wait` the first answer never ends."""

    def __init__(self, answer="fine", wait=False, comment=b""):
        self.asked, self.gone = [], threading.Event()
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                body = json.dumps({"data": [{"id": "mo\x1b[31mdel\nVALID", "cortensor": {}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                recorder.asked.append(body.get("messages"))
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()

                def event(value):
                    self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
                    self.wfile.flush()

                self.wfile.write(comment)
                event({"choices": [{"delta": {"content": answer}}]})
                if wait and len(recorder.asked) == 1:
                    try:  # until the chat hangs up
                        while True:
                            event({"choices": []})
                            time.sleep(0.05)
                    except OSError:
                        recorder.gone.set()
                        return
                event({"choices": [], "cortensor": {"verdict": "VA\x1b[2JLID", "cost_microcredits": 1, "receipts": []}})
                self.wfile.write(b"data: [DONE]\n\n")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def chat(self, *arguments, **environment):
        url = self.url()
        return Terminal(["chat", *arguments], {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm",
                                               "LANG": "C.UTF-8", "CORTENSOR_URL": url, **environment})

    def last(self):
        return self.asked[-1][-1]["content"]


class Editing(unittest.TestCase):
    def asked(self, keys, **environment):
        """What the router is asked when these keys and Enter are typed."""
        with Recorder() as router:
            terminal = router.chat(**environment)
            terminal.prompt()
            terminal.type(keys + "\r")
            terminal.read("credits")
            terminal.prompt()
            terminal.type(CTRL["D"])
            self.assertEqual(terminal.end(), 0)
            return router.last()

    def test_keys_move_and_delete(self):
        self.assertEqual(self.asked("world" + HOME + "hello " + END + "!"), "hello world!")
        self.assertEqual(self.asked("world" + CTRL["A"] + "hello " + CTRL["E"] + "!"), "hello world!")
        self.assertEqual(self.asked("world\x1bOHhello \x1bOF!"), "hello world!")
        self.assertEqual(self.asked("abd" + LEFT + "c"), "abcd")
        self.assertEqual(self.asked("abxc" + LEFT + LEFT + DELETE), "abc")
        self.assertEqual(self.asked("keep this" + LEFT * 5 + CTRL["K"]), "keep")
        self.assertEqual(self.asked("not this" + LEFT * 4 + CTRL["U"]), "this")
        self.assertEqual(self.asked("one two" + CTRL["W"] + "three"), "one three")
        self.assertEqual(self.asked("abcx\x7f"), "abc")

    def test_characters_of_several_bytes_are_one(self):
        for environment in ({}, {"LANG": "C", "LC_ALL": "C"}):
            self.assertEqual(self.asked("Grüße 城堡🏰" + LEFT + "\x7f" + HOME + DELETE, **environment), "rüße 城🏰")

    def test_what_is_not_utf8_takes_no_key_with_it(self):
        def keys(data):
            return data.decode(errors="surrogateescape")
        self.assertEqual(self.asked(keys(b"caf\xe9")), "caf\ufffd")
        self.assertEqual(self.asked(keys(b"\xf0\x9f\x8fq\xed\xa0\x80")), "\ufffdq" + 3 * "\ufffd")
        self.assertEqual(self.asked(keys(b"\xf4\x90\x80\x80")), 4 * "\ufffd")
        self.assertEqual(self.asked(keys(b"\x1b[200~a\xc3\x1b[201~b")), "a\ufffdb")
        self.assertEqual(self.asked(keys(b"\x1b[200~a\xe0\x80\x9b[201~b\x1b[201~c")), "a" + 3 * "\ufffd" + "[201~bc")

    def test_pasted_lines_are_one_message(self):
        for ending in ("\r", "\n", "\r\n"):
            self.assertEqual(self.asked(f"see: \x1b[200~one{ending}two ü\tthree{ending}{ending}four\x1b[201~ end"),
                             "see: one\ntwo ü three\n\nfour end")
        self.assertEqual(self.asked("\x1b[200~a\x02\x1b[31mb\x1b[201~c"), "a[31mbc")

    def test_the_history_is_that_of_this_conversation(self):
        with Recorder() as router:
            terminal = router.chat()
            for keys, expected in (("first", "first"), ("\x1b[200~second\nline\x1b[201~", "second\nline"), (UP, "second\nline"),
                                   (UP + UP, "first"), (UP + UP + DOWN + "!", "first!")):
                terminal.prompt()
                terminal.type(keys + "\r")
                terminal.read("credits")
                self.assertEqual(router.last(), expected)
            terminal.prompt()
            terminal.type(CTRL["D"])
            self.assertEqual(terminal.end(), 0)
            self.assertEqual([message["role"] for message in router.asked[-1]],
                             ["user", "assistant"] * 4 + ["user"])


class Ending(unittest.TestCase):
    def test_ctrl_c_or_ctrl_d_at_the_prompt_ends_cleanly(self):
        for keys in (CTRL["C"], CTRL["D"], "half a line" + CTRL["C"]):
            with Recorder() as router:
                terminal = router.chat()
                terminal.prompt()
                terminal.type(keys)
                self.assertEqual(terminal.end(), 0, keys)
                self.assertEqual(router.asked, [])
                self.assertTrue(terminal.shown.endswith("\x1b[?2004l\r\n"), terminal.shown)

    def test_ctrl_c_stops_the_answer_and_keeps_the_chat(self):
        with Recorder(answer="Once upon a time", wait=True) as router:
            terminal = router.chat()
            terminal.prompt()
            terminal.type("a story\r")
            terminal.read("Once upon a time")
            terminal.type(CTRL["C"])
            terminal.read("stopped")
            self.assertTrue(router.gone.wait(20), "the connection was not ended")
            terminal.prompt()
            terminal.type("go on\r")
            terminal.read("credits")
            self.assertEqual(router.asked[-1], [{"role": "user", "content": "a story"},
                                                {"role": "assistant", "content": "Once upon a time"},
                                                {"role": "user", "content": "go on"}])
            terminal.prompt()
            terminal.type(CTRL["C"])
            self.assertEqual(terminal.end(), 0)


class Waiting(unittest.TestCase):
    def test_the_place_in_the_queue_is_shown_until_the_answer_begins(self):
        with Recorder(comment=b": queue place=3 eta_ms=1200\n\n: \x1b[31mnothing\n\n") as router:
            terminal = router.chat()
            terminal.prompt()
            terminal.type("a story\r")
            self.assertIn("\r\x1b[Kall miners are busy, place 3 in the queue, about 2 s\r\x1b[Kfine", terminal.read("credits"))
            terminal.prompt()
            terminal.type(CTRL["D"])
            self.assertEqual(terminal.end(), 0)


class Piped(unittest.TestCase):
    def run_chat(self, lines, url, *arguments):
        environment = {**os.environ, "CORTENSOR_URL": url}
        return subprocess.run([BINARY, "chat", "--model", "m", *arguments], input=lines, capture_output=True, env=environment, timeout=60)

    def test_blank_lines_are_not_sent_and_line_ends_are_no_part_of_a_message(self):
        with Recorder() as router:
            done = self.run_chat(b"\r\n\t\n \t \r\n\nhello\r\n", router.url())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(router.asked, [[{"role": "user", "content": "hello"}]])

    def test_a_message_that_is_empty_opens_no_conversation(self):
        with Recorder() as router:
            for message in ("", " \t\n"):
                done = self.run_chat(b"hello\n", router.url(), message)
                self.assertEqual((done.returncode, done.stderr), (2, b"cortensor: MESSAGE: is empty\n"))
            self.assertEqual(router.asked, [])

    def test_the_exit_code_is_that_of_the_last_failure(self):
        with Recorder() as router:
            url = router.url()
        done = self.run_chat(b"hello\n\n", url)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cortensor: ", done.stderr)


class Hostile(unittest.TestCase):
    def test_nothing_from_a_router_controls_the_terminal(self):
        with Recorder(answer="a\x1b]0;title\x07b\x9b31mc\rd") as router:
            environment = {**os.environ, "CORTENSOR_URL": router.url()}
            for arguments in (["models"], ["chat", "hello"], ["session", "list"], ["session", "show", "sess_a"], ["session", "open"]):
                done = subprocess.run([BINARY, *arguments], capture_output=True, env=environment, timeout=60)
                self.assertNotRegex((done.stdout + done.stderr).decode(), "[\x00-\x08\x0b-\x1f\x7f-\x9f]", arguments)
                self.assertNotRegex(done.stdout.decode(), "(?m)^VALID", arguments)


if __name__ == "__main__":
    unittest.main(verbosity=2)
