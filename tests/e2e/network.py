"""A real network for the end-to-end tests: processes of the shipped binary on loopback, spoken to over HTTP."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BINARY = os.environ["CORTENSOR_BINARY"]
MODELS = pathlib.Path(os.environ["CORTENSOR_MODELS"])  # where the test fixture put f16, q8_0 and q4_0
MODEL = str(MODELS / "llama-tales-26m.q8_0.gguf")
MODEL_ID = "llama-tales-26m.q8_0"


def wait_for(condition, what, seconds=60):
    """Polls until the condition yields something true; a network that never gets there fails the test by name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"timed out waiting for {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    def __init__(self, name, process, log):
        self.name, self.process, self.log = name, process, log

    @property
    def id(self):
        found = re.search(r" attached .*node=([0-9a-f]{64})", self.log.read_text())
        return found and found.group(1)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Network:
    """Router first; nodes join one by one. Everything lives in a folder of its own and ends with the test."""

    def __init__(self, models=(MODEL,), router_options=(), ledger=None, key=None):
        """ledger: a postgresql:// URL; key: of an account that it has already."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cortensor-e2e-"))
        self.models, self.router_options = list(models), list(router_options)
        self.ledger = ["--ledger", ledger] if ledger else []
        self.api_port, self.node_port = free_port(), free_port()
        self.nodes, self.router = [], None
        self.links = {}
        self.start_router()
        if not key:
            created = self.command("account", "--data", self.data, *self.ledger, "create", "tester", "--credits", "50")
            key = re.search(r"key\s+(ctk_\S+)", created).group(1)
        self.key = key

    @property
    def data(self):
        return str(self.folder / "router")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in reversed(self.nodes):
            node.process.terminate()
        if self.router:
            self.router.process.terminate()
        for node in [*self.nodes, *([self.router] if self.router else [])]:
            try:
                node.process.wait(10)
            except subprocess.TimeoutExpired:
                node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments, code=0):
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == code, f"cortensor {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def spawn(self, name, arguments, program=BINARY):
        log = self.folder / f"{name}.log"
        with open(log, "ab") as out:
            process = subprocess.Popen([program, *arguments], stdout=out, stderr=out)
        return Node(name, process, log)

    def start_router(self):
        models = [part for model in self.models for part in ("--model", model)]
        self.router = self.spawn("router", ["router", "--data", self.data, "--api", f"127.0.0.1:{self.api_port}",
                                            "--nodes", f"127.0.0.1:{self.node_port}", *models, *self.ledger, *self.router_options])
        wait_for(self.healthy, "the router")

    def healthy(self):
        assert self.router.process.poll() is None, self.router.log.read_text()
        try:
            return self.request("GET", "/healthz", key=None)[0] == 200
        except OSError:
            return False

    def link(self, role):
        if role not in self.links:
            printed = self.command("invite", "--data", self.data, *self.ledger, "--role", role, "--address", f"127.0.0.1:{self.node_port}",
                                   "--uses", "16")
            self.links[role] = re.search(r"cortensor://\S+", printed).group(0)
        return self.links[role]

    def add(self, name, role="miner", models=None, options=(), program=BINARY, subcommand=True, attach=True):
        chosen = [part for model in (models or self.models) for part in ("--model", model)]
        node = self.spawn(name, [*([role] if subcommand else []), "--join", self.link(role), "--key",
                                 str(self.folder / f"{name}.key"), "--threads", "1", *chosen, *options], program)
        self.nodes.append(node)
        if attach:
            wait_for(lambda: self.attached(node), f"{name} to attach")
        return node

    def attached(self, node):
        assert node.process.poll() is None, node.log.read_text()
        return node.id and any(row["id"] == node.id for row in self.get("/v1/nodes")["data"])

    def request(self, method, path, body=None, key="", headers=None):
        """One request; yields status, headers and the parsed body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=120)
        all_headers = dict(headers or {})
        if key is not None:
            all_headers["Authorization"] = f"Bearer {key or self.key}"
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, all_headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        kind = response.headers.get("Content-Type", "")
        return response.status, response.headers, json.loads(text) if "json" in kind else text.decode()

    def get(self, path):
        status, _, body = self.request("GET", path)
        assert status == 200, body
        return body

    def post(self, path, body):
        status, _, answer = self.request("POST", path, body)
        assert status in (200, 201), answer
        return answer

    def open_session(self, level="full", **more):
        return self.post("/v1/sessions", {"model": MODEL_ID, "budget_microcredits": 2_000_000,
                                          "validation": {"level": level, **more}})["id"]

    def follow(self, body, on_event, after=None, path="/v1/chat/completions"):
        """Streams, behind the event with that id if there is one: on_event gets id and JSON of each, without [DONE]. The status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=120)
        connection.request("POST", path, json.dumps({**body, "stream": True}),
                           {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json",
                            **({"Last-Event-ID": after} if after else {})})
        response = connection.getresponse()
        id = None
        for line in response if response.status == 200 else ():
            if line.startswith(b"id: "):
                id = line[4:].strip().decode()
            if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                on_event(id, json.loads(line[6:]))
        connection.close()
        return response.status

    def stream(self, body, path="/v1/chat/completions", on_event=None, after=None):
        """All events as parsed JSON."""
        events = []

        def take(id, event):
            self.last_event_id = id
            events.append(event)
            if on_event:
                on_event(events)
        status = self.follow(body, take, after, path)
        assert status == 200, status
        return events

    def balance(self):
        return self.get("/v1/account")["balance_microcredits"]

    def audit(self):
        return self.command("account", "--data", self.data, *self.ledger, "audit")


def chat(prompt, session=None, **more):
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": prompt}], "temperature": 0, "seed": 1, **more}
    if session:
        body["session"] = session
    return body


def text_of(events):
    return "".join(choice.get("delta", {}).get("content") or choice.get("text") or ""
                   for event in events for choice in event.get("choices", []))


def proof_of(events):
    return events[-1]["cortensor"]
