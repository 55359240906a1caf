#!/usr/bin/env python3
"""Runs an exported GGUF file through a plain NumPy forward pass, independent of the trainer.

usage: check_gguf.py FILE.gguf check.json      compares with the logits the trainer recorded
       check_gguf.py FILE.gguf --ask PROMPT    answers greedily, with the tokenizer of the file
"""
import json
import struct
import sys

import numpy as np


class Gguf:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 4
        magic = self.data[:4]
        version, tensors, keys = self.take("I"), self.take("Q"), self.take("Q")
        assert magic == b"GGUF" and version == 3
        self.meta = {}
        for _ in range(keys):
            key = self.text()
            self.meta[key] = self.value(self.take("I"))
        entries = []
        for _ in range(tensors):
            name = self.text()
            dims = [self.take("Q") for _ in range(self.take("I"))]
            entries.append((name, dims, self.take("I"), self.take("Q")))
        base = -(-self.at // 32) * 32
        self.tensors = {}
        for name, dims, kind, offset in entries:
            raw = np.frombuffer(self.data, {0: "<f4", 1: "<f2"}[kind], int(np.prod(dims)), base + offset)
            self.tensors[name] = raw.reshape(dims[::-1]).astype(np.float32)

    def take(self, kind):
        size = struct.calcsize("<" + kind)
        self.at += size
        return struct.unpack_from("<" + kind, self.data, self.at - size)[0]

    def text(self):
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length:self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, count = self.take("I"), self.take("Q")
            return [self.value(item) for _ in range(count)]
        return self.take({4: "I", 5: "i", 6: "f", 7: "?"}[kind])


class Forward:
    """One token at a time, with a key and value cache."""

    def __init__(self, gguf):
        self.w, m = gguf.tensors, gguf.meta
        self.layers, self.heads = m["llama.block_count"], m["llama.attention.head_count"]
        self.kv_heads, self.head = m["llama.attention.head_count_kv"], m["llama.rope.dimension_count"]
        self.eps = m["llama.attention.layer_norm_rms_epsilon"]
        pairs = np.arange(0, self.head, 2) / self.head
        self.frequency = m["llama.rope.freq_base"] ** -pairs
        self.keys = [[] for _ in range(self.layers)]
        self.values = [[] for _ in range(self.layers)]

    def norm(self, x, name):
        return x / np.sqrt(np.mean(x * x) + self.eps) * self.w[name + ".weight"]

    def rope(self, x, position):
        angle = position * self.frequency
        pair = x.reshape(-1, self.head // 2, 2)
        turned = np.empty_like(pair)
        turned[..., 0] = pair[..., 0] * np.cos(angle) - pair[..., 1] * np.sin(angle)
        turned[..., 1] = pair[..., 0] * np.sin(angle) + pair[..., 1] * np.cos(angle)
        return turned.reshape(-1, self.head)

    def step(self, token):
        position = len(self.keys[0])
        x = self.w["token_embd.weight"][token].copy()
        for layer in range(self.layers):
            w = {k: self.w[f"blk.{layer}.{k}.weight"] for k in
                 ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
            h = self.norm(x, f"blk.{layer}.attn_norm")
            q = self.rope(w["attn_q"] @ h, position)
            self.keys[layer].append(self.rope(w["attn_k"] @ h, position))
            self.values[layer].append((w["attn_v"] @ h).reshape(-1, self.head))
            keys, values = np.stack(self.keys[layer], 1), np.stack(self.values[layer], 1)
            group = self.heads // self.kv_heads
            scores = np.einsum("gqd,gtd->gqt", q.reshape(-1, group, self.head), keys)
            scores = np.exp((scores - scores.max(-1, keepdims=True)) / np.sqrt(self.head))
            mixed = np.einsum("gqt,gtd->gqd", scores / scores.sum(-1, keepdims=True), values)
            x += w["attn_output"] @ mixed.reshape(-1)
            h = self.norm(x, f"blk.{layer}.ffn_norm")
            gate = w["ffn_gate"] @ h
            x += w["ffn_down"] @ (gate / (1 + np.exp(-gate)) * (w["ffn_up"] @ h))
        return self.w["token_embd.weight"] @ self.norm(x, "output_norm")


def compare(gguf, path):
    with open(path, encoding="utf-8") as file:
        check = json.load(file)
    forward = Forward(gguf)
    for token in check["ids"]:
        logits = forward.step(token)
    wanted = np.array(check["logits"])
    error = np.linalg.norm(logits - wanted) / np.linalg.norm(wanted)
    print(f"relative error of the logits {error:.2e}, best token {logits.argmax()} "
          f"(trainer: {wanted.argmax()})")
    return error < 1e-3 and logits.argmax() == wanted.argmax()


def ask(gguf, prompt, limit=400):
    from tokenizer import BYTE_CHAR, Tokenizer
    tokens = gguf.meta["tokenizer.ggml.tokens"]
    number = {text: i for i, text in enumerate(tokens)}
    tokenizer = Tokenizer([[number[part] for part in merge.split(" ")]
                           for merge in gguf.meta["tokenizer.ggml.merges"]])
    byte_of = {char: byte for byte, char in BYTE_CHAR.items()}
    forward, end = Forward(gguf), gguf.meta["tokenizer.ggml.eos_token_id"]
    for token in tokenizer.encode_prompt(prompt, chat=True):
        logits = forward.step(token)
    raw = b""
    for _ in range(limit):
        token = int(logits.argmax())
        if token == end:
            break
        raw += bytes(byte_of[c] for c in tokens[token])
        logits = forward.step(token)
    print(raw.decode("utf-8", "replace"))
    return True


if __name__ == "__main__":
    FILE = Gguf(sys.argv[1])
    sys.exit(0 if (ask(FILE, sys.argv[3]) if sys.argv[2] == "--ask" else compare(FILE, sys.argv[2]))
             else 1)
