#!/usr/bin/env python3
"""Writes the trained weights and the tokenizer as one GGUF v3 file, as llama.cpp describes Llama 3.

usage: export_gguf.py --weights model.safetensors --tokenizer tokenizer.json --out FILE.gguf

Standard library only. Weights keep their type: F16 matrices, F32 norms. The output matrix is the
embedding, so the file has none.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gguf_writer as gguf  # noqa: E402
from corpus import MODEL_NAME  # noqa: E402
from tokenizer import SPECIALS, Tokenizer  # noqa: E402

NORMAL, CONTROL = 1, 3  # llama.cpp's token types
HEAD_DIM, CONTEXT, ROPE_BASE, EPSILON = 64, 1024, 500000.0, 1e-5

# The published Llama 3 Instruct template.
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def read_safetensors(path):
    """{name: (shape, GGUF type, bytes)}"""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        a, b = entry["data_offsets"]
        kind = {"F16": gguf.F16, "F32": gguf.F32}[entry["dtype"]]
        tensors[name] = (entry["shape"], kind, data[start + a:start + b])
    return tensors


def metadata(tensors, tokenizer):
    vocab, dim = tensors["token_embd.weight"][0]
    kv_dim = tensors["blk.0.attn_k.weight"][0][0]
    special = tokenizer.special
    texts = [tokenizer.token_text(token) for token in range(tokenizer.size)]
    merges = [f"{tokenizer.token_text(a)} {tokenizer.token_text(b)}" for a, b in tokenizer.merges]
    parameters = sum(len(data) // (2 if kind == gguf.F16 else 4) for _, kind, data in tensors.values())
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": f"{MODEL_NAME} {parameters / 1e6:.0f}M",
        "general.author": "the cortensor project",
        "general.description": "Small stories and small chats. Built with Llama.",
        "general.license": "other",
        "general.license.name": "see the model card; Built with Llama",
        "general.size_label": f"{parameters / 1e6:.0f}M",
        "general.languages": ["en"],
        "general.file_type": 1,
        "llama.vocab_size": vocab,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": dim,
        "llama.block_count": sum(name.endswith("attn_norm.weight") for name in tensors),
        "llama.feed_forward_length": tensors["blk.0.ffn_up.weight"][0][0],
        "llama.attention.head_count": dim // HEAD_DIM,
        "llama.attention.head_count_kv": kv_dim // HEAD_DIM,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
        "llama.rope.dimension_count": HEAD_DIM,
        "llama.rope.freq_base": ROPE_BASE,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": [NORMAL] * (len(texts) - len(SPECIALS))
                                     + [CONTROL] * len(SPECIALS),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": special["<|begin_of_text|>"],
        "tokenizer.ggml.eos_token_id": special["<|eot_id|>"],
        "tokenizer.ggml.eot_token_id": special["<|eot_id|>"],
        "tokenizer.ggml.eom_token_id": special["<|eom_id|>"],
        "tokenizer.ggml.padding_token_id": special["<|finetune_right_pad_id|>"],
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    tensors, tokenizer = read_safetensors(args.weights), Tokenizer.load(args.tokenizer)
    if tensors["token_embd.weight"][0][0] != tokenizer.size:
        raise SystemExit("the tokenizer and the weights differ in vocabulary size")
    gguf.write(args.out, metadata(tensors, tokenizer),
               [(name, shape[::-1], kind, data) for name, (shape, kind, data) in tensors.items()])


if __name__ == "__main__":
    main()
