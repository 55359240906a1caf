"""Batches with real processes: files go up and come down, a batch's answers are those of single requests, it can be cancelled, and
a router that is killed in the middle goes on with it: nothing is lost, and nothing paid twice."""
import json
import os
import pty
import signal
import subprocess
import unittest

from network import BINARY, MODEL_ID, Network, chat, wait_for
from postgres import MISSING, Server


def line(number, **more):
    body = {"model": MODEL_ID, "messages": [{"role": "user", "content": f"Tell me story number {number}."}],
            "max_tokens": 24, **more}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def jsonl(lines):
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


def upload(network, content, purpose="batch", code=200):
    boundary = "a-boundary-that-no-line-has"
    body = (f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n'
            'Content-Type: application/octet-stream\r\n\r\n').encode() + content + f"\r\n--{boundary}--\r\n".encode()
    status, _, answer = network.request("POST", "/v1/files", body,
                                        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert status == code, answer
    return answer


def create(network, content, **more):
    file = upload(network, content)["id"]
    return network.post("/v1/batches", {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
                                        **more})["id"]


def ended(network, batch, seconds=240):
    def look():
        found = network.get(f"/v1/batches/{batch}")
        return found if found["status"] in ("completed", "failed", "expired", "cancelled") else None
    return wait_for(look, f"batch {batch} to end", seconds)


def content(network, file):
    status, _, text = network.request("GET", f"/v1/files/{file}/content")
    assert status == 200, text
    return [json.loads(one) for one in text.splitlines()]


def answers(rows):
    """What must be the same each time: not the ids, the miners and the receipts."""
    return {row["custom_id"]: (row["response"]["body"]["choices"], row["response"]["body"]["usage"]["completion_tokens"])
            for row in rows}


class Batches(unittest.TestCase):
    def test_a_batch_does_what_single_requests_do(self):
        with Network() as network:
            network.add("miner", options=["--slots", "4"])
            network.add("validator", "validator")
            lines = [line(i, seed=i) for i in range(12)]
            lines.append(line(12, seed=12, max_tokens=100_000))  # more than the context has
            lines.append(line(13, temperature=0))
            session = network.open_session("full")
            batch = create(network, jsonl(lines), session=session, metadata={"of": "mine"})
            done = ended(network, batch)
            self.assertEqual(done["status"], "completed", done)
            self.assertEqual(done["request_counts"], {"total": 14, "completed": 13, "failed": 1})
            self.assertEqual(done["metadata"], {"of": "mine"})
            rows = content(network, done["output_file_id"])
            self.assertEqual([row["custom_id"] for row in rows], [f"line-{i}" for i in range(14) if i != 12])
            for row in rows:
                self.assertEqual(row["response"]["status_code"], 200)
                self.assertEqual(row["response"]["body"]["cortensor"]["verdict"], "VALID")
                self.assertEqual(row["response"]["body"]["cortensor"]["session"], session)
                self.assertEqual(row["response"]["body"]["service_tier"], "flex")
            for i in (0, 5):
                single = network.post("/v1/chat/completions", lines[i]["body"])
                self.assertEqual(answers(rows)[f"line-{i}"][0], single["choices"])
            failures = content(network, done["error_file_id"])
            self.assertEqual([(row["custom_id"], row["response"]["status_code"]) for row in failures], [("line-12", 400)])
            self.assertIn("context", failures[0]["response"]["body"]["error"]["message"])
            spent = sum(row["response"]["body"]["cortensor"]["cost_microcredits"] for row in rows)
            self.assertEqual(network.get(f"/v1/sessions/{session}")["spent_microcredits"], spent)

            bad = ended(network, create(network, jsonl([line(0), line(0), line(1, temperature=9)]) + b"{no JSON\n"))
            self.assertEqual(bad["status"], "failed")
            self.assertEqual([(fault["line"], fault["code"]) for fault in bad["errors"]["data"]],
                             [(2, "duplicate_custom_id"), (3, "invalid_request"), (4, "invalid_json_line")])

            poor = network.post("/v1/sessions", {"model": MODEL_ID, "budget_microcredits": 60})["id"]
            short = ended(network, create(network, jsonl([line(i) for i in range(6)]), session=poor))
            self.assertGreater(short["request_counts"]["failed"], 0)
            self.assertEqual({row["response"]["status_code"] for row in content(network, short["error_file_id"])}, {402})

            files = network.get("/v1/files?purpose=batch_output")["data"]
            self.assertIn(done["output_file_id"], [file["id"] for file in files])
            status, _, _ = network.request("DELETE", f"/v1/files/{done['output_file_id']}")
            self.assertEqual(status, 200)
            self.assertEqual(network.request("GET", f"/v1/files/{done['output_file_id']}")[0], 404)
            self.assertIn("the books balance", network.audit())

    def test_a_batch_that_is_cancelled_keeps_what_is_done(self):
        with Network() as network:
            network.add("miner", options=["--slots", "2"])
            batch = create(network, jsonl([line(i, seed=i, max_tokens=200) for i in range(40)]))
            wait_for(lambda: network.get(f"/v1/batches/{batch}")["request_counts"]["completed"] >= 3, "the first lines", 120)
            # Who asks meanwhile need not wait for the batch.
            network.post("/v1/chat/completions", chat("Tell me a story.", max_tokens=5))
            self.assertIn(network.post(f"/v1/batches/{batch}/cancel", {})["status"], ("cancelling", "cancelled"))
            done = ended(network, batch)
            counts = done["request_counts"]
            self.assertEqual(done["status"], "cancelled")
            self.assertEqual(counts["completed"] + counts["failed"], 40)
            self.assertGreater(counts["failed"], 0)
            rows = content(network, done["output_file_id"])
            left = content(network, done["error_file_id"])
            self.assertEqual(len(rows), counts["completed"])
            self.assertEqual({row["error"]["code"] for row in left}, {"batch_cancelled"})
            self.assertEqual(len({row["custom_id"] for row in rows + left}), 40)
            self.assertEqual(network.request("POST", f"/v1/batches/{batch}/cancel", {})[0], 409)
            self.assertIn("the books balance", network.audit())

    def test_a_killed_router_goes_on_with_its_batch(self):
        lines = jsonl([line(i) for i in range(20)])  # no seed: it follows from batch and line
        with Network() as network:
            network.add("miner", options=["--slots", "2"])
            session = network.open_session("none")
            before = network.balance()
            batch = create(network, lines, session=session)
            for done_before in (3, 9):
                wait_for(lambda: network.get(f"/v1/batches/{batch}")["request_counts"]["completed"] >= done_before,
                         "some lines", 120)
                network.router.kill()
                network.start_router()
            done = ended(network, batch)
            self.assertEqual(done["request_counts"], {"total": 20, "completed": 20, "failed": 0})
            rows = content(network, done["output_file_id"])
            self.assertEqual([row["custom_id"] for row in rows], [f"line-{i}" for i in range(20)])
            spent = sum(row["response"]["body"]["cortensor"]["cost_microcredits"] for row in rows)
            self.assertEqual(network.get(f"/v1/sessions/{session}")["spent_microcredits"], spent)
            self.assertEqual(network.balance(), before)
            # Undisturbed, with the seeds that the lines had.
            seeded = [line(i, seed=row["response"]["body"]["cortensor"]["seed"]) for i, row in enumerate(rows)]
            again = ended(network, create(network, jsonl(seeded), session=session))
            self.assertEqual(answers(content(network, again["output_file_id"])), answers(rows))
            self.assertIn("the books balance", network.audit())

    @unittest.skipIf(MISSING, MISSING)
    def test_another_router_goes_on_with_the_batch_of_one_that_died(self):
        with Server() as server, Network(ledger=server.url) as one, Network(ledger=server.url, key=one.key) as other:
            one.add("miner-one", options=["--slots", "2"])
            session = one.open_session("none")
            batch = create(one, jsonl([line(i, max_tokens=60) for i in range(20)]), session=session)
            wait_for(lambda: other.get(f"/v1/batches/{batch}")["request_counts"]["completed"] >= 3, "the first lines", 120)
            one.router.kill()
            other.add("miner-other", options=["--slots", "2"])
            done = ended(other, batch)
            self.assertEqual(done["request_counts"], {"total": 20, "completed": 20, "failed": 0})
            rows = content(other, done["output_file_id"])
            self.assertEqual([row["custom_id"] for row in rows], [f"line-{i}" for i in range(20)])
            self.assertEqual(len({row["response"]["body"]["cortensor"]["miners"][0] for row in rows}), 2)
            spent = sum(row["response"]["body"]["cortensor"]["cost_microcredits"] for row in rows)
            self.assertEqual(other.get(f"/v1/sessions/{session}")["spent_microcredits"], spent)
            self.assertIn("the books balance", other.audit())

    def test_the_command_runs_a_batch_and_comes_back_to_one(self):
        with Network() as network:
            folder = network.folder
            (folder / "key").write_text(network.key)
            (folder / "key").chmod(0o600)
            (folder / "in.jsonl").write_bytes(jsonl([line(i, seed=i) for i in range(5)] + [line(5, max_tokens=100_000)]))
            (folder / "bad.jsonl").write_bytes(jsonl([line(0), line(0)]))
            (folder / "good.jsonl").write_bytes(jsonl([line(i, seed=i) for i in range(3)]))
            remote = [BINARY, "batch", "--url", f"http://127.0.0.1:{network.api_port}", "--key-file", str(folder / "key")]

            def cortensor(*arguments, code=0):
                done = subprocess.run([*remote, *map(str, arguments)], capture_output=True, text=True, timeout=120)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                return done.stdout + done.stderr

            # Nobody is there to do it: left alone, it goes on.
            process = subprocess.Popen([*remote, "run", folder / "in.jsonl", folder / "out.jsonl"], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True)
            batch = process.stderr.readline().strip()
            process.send_signal(signal.SIGINT)
            self.assertIn(f"batch resume {batch}", process.communicate(timeout=30)[1])
            self.assertEqual(process.returncode, 130)
            self.assertIn("0", cortensor("status", batch))
            # A person is asked.
            master, terminal = pty.openpty()
            process = subprocess.Popen([*remote, "run", folder / "good.jsonl", folder / "never"], stdin=terminal,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            other = process.stderr.readline().strip()
            process.send_signal(signal.SIGINT)
            os.write(master, b"y\n")
            said = process.communicate(timeout=60)[1]
            self.assertIn(f"Cancel {other}?", said)
            self.assertIn("is cancelled: 3 of 3 done, 3 failed", said)
            self.assertEqual(process.returncode, 1)
            self.assertFalse((folder / "never").exists())

            network.add("miner")
            said = cortensor("resume", batch, folder / "out.jsonl", code=1)
            self.assertIn("6 of 6 done, 1 failed", said)
            rows = [json.loads(row) for row in (folder / "out.jsonl").read_text().splitlines()]
            self.assertEqual([row["custom_id"] for row in rows], [f"line-{i}" for i in range(5)])
            self.assertEqual(json.loads((folder / "out.jsonl.errors").read_text())["custom_id"], "line-5")
            cortensor("run", folder / "good.jsonl", folder / "good.out")
            self.assertEqual(len((folder / "good.out").read_text().splitlines()), 3)
            self.assertFalse((folder / "good.out.errors").exists())
            self.assertIn("line 2: custom_id: an earlier line", cortensor("run", folder / "bad.jsonl", folder / "no", code=1))
            self.assertFalse((folder / "no").exists())
            self.assertEqual(cortensor("list").count("batch_"), 4)
            self.assertIn("has ended", cortensor("cancel", batch, code=1))
            cortensor("status", "../x", code=105)
            (folder / "empty").write_text("")
            self.assertIn("line 1: expected", cortensor("run", folder / "empty", folder / "no", code=2))

    def test_what_is_no_file_is_refused_by_line(self):
        with Network() as network:
            refused = upload(network, b"{}\n" * 3 + b"\xff\n" + b"{}\n", code=400)
            self.assertIn("line 4", refused["error"]["message"])
            self.assertEqual(upload(network, b"{}\n", purpose="fine-tune", code=400)["error"]["param"], "purpose")
            long = upload(network, b"{}\n" + b"x" * (5 << 20), code=400)
            self.assertIn("line 2 is longer", long["error"]["message"])
            self.assertEqual(upload(network, b"x" * (101 << 20), code=413)["error"]["code"], "request_too_large")
            self.assertEqual(network.get("/v1/files")["data"], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
