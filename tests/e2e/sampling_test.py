"""Penalties, biases, grammars and schemas through the whole network: followed, proven, and the same after a failover."""
import json
import unittest

from network import MODEL, Network, chat, proof_of, text_of, wait_for

ASK = "Tell me about an animal."
SCHEMA = {
    "type": "object",
    "properties": {
        "animal": {"enum": ["rabbit", "fox", "bear"]},
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer"},
        "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}, "maxItems": 2},
        "brave": {"type": "boolean"},
    },
    "required": ["animal", "name", "brave"],
    "additionalProperties": False,
    "$defs": {"friend": {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]}},
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "animal", "strict": True, "schema": SCHEMA}}
PENALISED = {"temperature": 0.9, "presence_penalty": 0.6, "frequency_penalty": 0.3, "repetition_penalty": 1.1,
             "logit_bias": {"300": 2.5, "301": -100}}


def check(value):
    """Whether SCHEMA accepts the value, keyword by keyword."""
    assert list(value) == [name for name in SCHEMA["properties"] if name in value], value
    assert {"animal", "name", "brave"} <= set(value) <= set(SCHEMA["properties"]), value
    assert value["animal"] in ("rabbit", "fox", "bear")
    assert isinstance(value["name"], str) and 1 <= len(value["name"]) <= 12
    assert type(value.get("age", 1)) is int and type(value["brave"]) is bool
    friends = value.get("friends", [])
    assert len(friends) <= 2 and all(friend is None or len(friend) <= 8 for friend in friends)


class Constrained(unittest.TestCase):
    def test_answers_of_twenty_seeds_follow_the_schema_and_verify_at_home(self):
        with Network() as network:
            network.add("miner")
            network.add("validator", "validator", options=["--isa", "scalar"])
            session = network.open_session("full")
            path = network.folder / "receipt.json"
            seen = set()
            for seed in range(20):
                events = network.stream(chat(ASK, session, temperature=1, seed=seed, max_tokens=300, response_format=FORMAT))
                check(json.loads(text_of(events)))
                seen.add(text_of(events))
                self.assertEqual(proof_of(events)["verdict"], "VALID")
                finish = [choice["finish_reason"] for event in events for choice in event["choices"]]
                self.assertEqual(finish[-1], "stop")
                receipt = network.get("/v1/receipts/" + proof_of(events)["receipts"][0])
                self.assertIn("root ::=", receipt["request"]["grammar"])
                path.write_text(json.dumps(receipt))
                self.assertIn("\nVALID", network.command("verify", str(path), "--model", MODEL))
            self.assertGreater(len(seen), 10)
            # Another grammar would have led elsewhere: the papers say that the request was changed.
            receipt["request"]["grammar"] += " "
            path.write_text(json.dumps(receipt))
            self.assertIn("a parameter was changed", network.command("verify", str(path), code=3))
            network.audit()

    def test_a_grammar_and_its_refusals(self):
        with Network() as network:
            network.add("miner")
            grammar = 'root ::= "A " ("brave" | "small") " " animal ".\n"?\nanimal ::= "fox" | "bear"'
            answer = network.post("/v1/chat/completions", chat(ASK, temperature=1, grammar=grammar, max_tokens=50))
            self.assertRegex(answer["choices"][0]["message"]["content"], r"\AA (brave|small) (fox|bear)(\.\n)?\Z")
            for more, param in (({"grammar": "root ::= root"}, "grammar"),
                                ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
                                 "response_format"),
                                ({"presence_penalty": 3}, "presence_penalty"), ({"logit_bias": {"x": 1}}, "logit_bias")):
                status, _, body = network.request("POST", "/v1/chat/completions", chat(ASK, **more))
                self.assertEqual((status, body["error"]["param"]), (400, param), body)

    def test_the_command_line_answers_the_same(self):
        with Network() as network:
            schema, grammar = network.folder / "schema.json", network.folder / "grammar"
            schema.write_text(json.dumps(SCHEMA))
            grammar.write_text("root ::= [0-9]{3}")
            common = ("generate", "--model", MODEL, "--chat", "--prompt", ASK, "--temperature", "1", "--seed", "4")
            check(json.loads(network.command(*common, "--json-schema", str(schema))))
            self.assertRegex(network.command(*common, "--grammar", str(grammar)), r"\A[0-9]{3}\n\Z")
            biased = network.command(*common, "-n", "8", "--logit-bias", "300=100", "--frequency-penalty", "2", "--digest")
            self.assertEqual(biased, network.command(*common, "-n", "8", "--logit-bias", "300=100", "--frequency-penalty", "2",
                                                     "--digest", "--isa", "scalar", "--threads", "1"))


class Failover(unittest.TestCase):
    def test_a_killed_miner_changes_no_byte(self):
        with Network() as network:
            network.add("validator", "validator")
            network.add("a")
            network.add("b", options=["--isa", "scalar"])
            session = network.open_session("full")
            for more in ({**PENALISED, "max_tokens": 200},
                         {"temperature": 1, "grammar": 'root ::= ([a-z]+ " "){60} "."', "max_tokens": 300}):
                body = chat(ASK, session, **{**more, "seed": 9})
                undisturbed = network.stream(body)
                killed = []

                def kill(events):
                    if len(events) == 10 and not killed:
                        busy = wait_for(lambda: {row["id"] for row in network.get("/v1/nodes")["data"]
                                                 if row["role"] == "miner" and row["busy"] > 0}, "a busy miner", 10)
                        killed.append(next(node for node in network.nodes if node.id in busy))
                        killed[0].kill()
                        network.nodes.remove(killed[0])

                events = network.stream(body, on_event=kill)
                self.assertEqual(len(killed), 1)
                self.assertEqual(text_of(events), text_of(undisturbed))
                self.assertEqual(proof_of(events)["verdict"], "VALID")
                network.add(f"again-{len(network.nodes)}")
            network.audit()


class Logprobs(unittest.TestCase):
    def test_alternatives_are_told_in_both_shapes(self):
        with Network() as network:
            network.add("miner")
            answer = network.post("/v1/chat/completions", chat(ASK, max_tokens=6, logprobs=True, top_logprobs=20))
            for token in answer["choices"][0]["logprobs"]["content"]:
                self.assertEqual(len(token["top_logprobs"]), 20)
                self.assertEqual(token["top_logprobs"][0]["logprob"], token["logprob"])  # greedy
                values = [one["logprob"] for one in token["top_logprobs"]]
                self.assertEqual(values, sorted(values, reverse=True))
            answer = network.post("/v1/completions", {"model": answer["model"], "prompt": "Once", "max_tokens": 4,
                                                      "logprobs": 3, "temperature": 2, "seed": 3})
            top = answer["choices"][0]["logprobs"]["top_logprobs"]
            self.assertEqual(len(top), 4)
            self.assertTrue(all(3 <= len(one) <= 4 for one in top))


if __name__ == "__main__":
    unittest.main(verbosity=2)
