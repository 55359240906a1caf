#!/usr/bin/env python3
"""Converts the golden test model stories260K (llama2.c's first checkpoint format) to GGUF, all F32.

usage: stories260k_to_gguf.py stories260K.bin tok512.bin out.gguf

Checkpoint: seven int32 (dim, hidden, layers, heads, kv heads, vocabulary, context; a negative
vocabulary means a separate output matrix), then float32 weights grouped by kind over all layers.
Matrices are [out, in] row-major and rotary pairs are adjacent, as GGUF's llama architecture wants,
so the weights are copied as they are. Tokenizer: int32 longest length, then per token a float32
score, an int32 length and the bytes.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import gguf_writer as gguf  # noqa: E402

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # llama.cpp's token types
UNK, BOS, EOS = 0, 1, 2


def read_tokenizer(path, vocab_size):
    data = open(path, "rb").read()
    texts, scores, types, at = [], [], [], 4
    for token in range(vocab_size):
        score, length = struct.unpack_from("<fi", data, at)
        raw = data[at + 8:at + 8 + length]
        at += 8 + length
        if token <= EOS:
            texts.append(("<unk>", "<s>", "</s>")[token])
            types.append(UNKNOWN if token == UNK else CONTROL)
        else:
            texts.append(raw.decode("utf-8").replace(" ", "\u2581"))
            types.append(BYTE if raw.startswith(b"<0x") and length == 6 else NORMAL)
        scores.append(score)
    if at != len(data):
        raise SystemExit(f"{path}: {len(data) - at} bytes left after {vocab_size} tokens")
    return texts, scores, types


def read_tensors(data, dim, hidden, layers, kv_dim, vocab, context, head_dim, tied):
    at = 28

    def take(*dims):
        nonlocal at
        size = 4
        for d in dims:
            size *= d
        at += size
        if at > len(data):
            raise SystemExit(f"checkpoint: expected at least {at} bytes, found {len(data)}")
        return dims, gguf.F32, data[at - size:at]

    tensors = {"token_embd.weight": take(dim, vocab)}
    for kind, dims in (("attn_norm", (dim,)), ("attn_q", (dim, dim)), ("attn_k", (dim, kv_dim)),
                       ("attn_v", (dim, kv_dim)), ("attn_output", (dim, dim)),
                       ("ffn_norm", (dim,)), ("ffn_gate", (dim, hidden)),
                       ("ffn_down", (hidden, dim)), ("ffn_up", (dim, hidden))):
        for layer in range(layers):
            tensors[f"blk.{layer}.{kind}.weight"] = take(*dims)
    tensors["output_norm.weight"] = take(dim)
    take(context * head_dim)  # the cosine and sine tables; the engine makes its own
    if not tied:
        tensors["output.weight"] = take(dim, vocab)
    if at != len(data):
        raise SystemExit(f"checkpoint: expected {at} bytes, found {len(data)}")
    return tensors


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    checkpoint, tokenizer, out = sys.argv[1:]
    data = open(checkpoint, "rb").read()
    dim, hidden, layers, heads, kv_heads, vocab, context = struct.unpack_from("<7i", data)
    tied, vocab, head_dim = vocab > 0, abs(vocab), dim // heads
    tensors = read_tensors(data, dim, hidden, layers, kv_heads * head_dim, vocab, context,
                           head_dim, tied)
    texts, scores, types = read_tokenizer(tokenizer, vocab)
    metadata = {
        "general.architecture": "llama",
        "general.name": "stories260K",
        "general.license": "mit",
        "general.file_type": 0,
        "llama.vocab_size": vocab,
        "llama.context_length": context,
        "llama.embedding_length": dim,
        "llama.block_count": layers,
        "llama.feed_forward_length": hidden,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": head_dim,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": BOS,
        "tokenizer.ggml.eos_token_id": EOS,
        "tokenizer.ggml.unknown_token_id": UNK,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": True,
    }
    gguf.write(out, metadata, [(name, *rest) for name, rest in tensors.items()])


if __name__ == "__main__":
    main()
