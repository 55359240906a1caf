#!/usr/bin/env python3
"""Writes the seeds of gguf_fuzz: small model files, one for each kind of content.

usage: make_seeds.py [corpus folder]
"""
import os
import pathlib
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import gguf_writer as gguf  # noqa: E402

BF16, Q4_0, Q8_0 = 30, 2, 8


def alphabet():
    """GPT-2's characters for the bytes 0 to 255."""
    visible = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    codes = {byte: chr(byte) for byte in visible} | {byte: chr(0x100 + i) for i, byte in enumerate(hidden)}
    return [codes[byte] for byte in range(256)]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus/gguf_fuzz")
    folder.mkdir(parents=True, exist_ok=True)
    gguf.write(folder / "empty", {}, [])
    gguf.write(folder / "values", {"general.architecture": "llama", "n": 7, "x": 0.5, "b": True, "s": ["a", "", "bc"],
                                   "i": [1, -2], "f": [1.5, 2.5], "general.alignment": 32}, [])
    gguf.write(folder / "tensors", {}, [
        ("f32", (3, 2), gguf.F32, struct.pack("<6f", *range(6))),
        ("f16", (4,), gguf.F16, bytes(8)),
        ("bf16", (4,), BF16, bytes(8)),
        ("q8_0", (32, 2), Q8_0, bytes(68)),
        ("q4_0", (64,), Q4_0, bytes(36))])
    gguf.write(folder / "byte_level", {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": alphabet() + ["ab", "<|bos|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "tokenizer.ggml.token_type": [1] * 257 + [3] * 4, "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 257, "tokenizer.ggml.eos_token_id": 260,
        "tokenizer.chat_template": "<|start_header_id|><|eot_id|>"}, [])
    gguf.write(folder / "scored", {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["\u2581", "a", "\u2581a"],
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 3, "tokenizer.ggml.scores": [0.0] * 261 + [-1.0],
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}, [])


if __name__ == "__main__":
    main()
