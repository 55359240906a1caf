"""The Llama 3 architecture in PyTorch, small enough to read in one go.

Rotary pairs are adjacent (2i, 2i+1), as GGUF's llama architecture stores them, so exported weights
need no permutation. Master weights are float32; the forward pass computes in the dtype asked for.
"""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 4096
    dim: int = 512
    layers: int = 8
    heads: int = 8
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 1536
    context: int = 1024
    theta: float = 500000.0
    eps: float = 1e-5


def linear(x, weight):
    return F.linear(x, weight.to(x.dtype))


def rms_norm(x, weight, eps):
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def rope(x, cos, sin):
    """x: [batch, heads, tokens, head_dim]; cos, sin: [tokens, head_dim / 2]"""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
    return turned.flatten(-2).to(x.dtype)


def plain_attention(q, k, v, mask):
    """mask: [batch or 1, 1, tokens, tokens], true where a query may look."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, -math.inf).softmax(-1).to(v.dtype) @ v


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        q_dim, kv_dim = c.heads * c.head_dim, c.kv_heads * c.head_dim
        deep = 0.02 / math.sqrt(2 * c.layers)  # what is added to the residual stream starts small
        self.attn_norm = nn.Parameter(torch.ones(c.dim))
        self.qkv = nn.Parameter(torch.randn(q_dim + 2 * kv_dim, c.dim) * 0.02)
        self.attn_output = nn.Parameter(torch.randn(c.dim, q_dim) * deep)
        self.ffn_norm = nn.Parameter(torch.ones(c.dim))
        self.gate_up = nn.Parameter(torch.randn(2 * c.ffn, c.dim) * 0.02)
        self.ffn_down = nn.Parameter(torch.randn(c.dim, c.ffn) * deep)

    def forward(self, x, cos, sin, attend, dropout):
        c = self.c
        batch, tokens, _ = x.shape
        qkv = linear(rms_norm(x, self.attn_norm, c.eps), self.qkv)
        qkv = qkv.view(batch, tokens, -1, c.head_dim).transpose(1, 2)
        q, k, v = qkv.split((c.heads, c.kv_heads, c.kv_heads), 1)
        y = attend(rope(q, cos, sin), rope(k, cos, sin), v)
        y = linear(y.transpose(1, 2).reshape(batch, tokens, -1), self.attn_output)
        x = x + F.dropout(y, dropout, dropout > 0)
        gate, up = linear(rms_norm(x, self.ffn_norm, c.eps), self.gate_up).chunk(2, -1)
        y = linear(F.silu(gate) * up, self.ffn_down)
        return x + F.dropout(y, dropout, dropout > 0)

    def tensors(self):
        """(GGUF name, weight) in the file's order."""
        q_dim, kv_dim = self.c.heads * self.c.head_dim, self.c.kv_heads * self.c.head_dim
        q, k, v = self.qkv.split((q_dim, kv_dim, kv_dim))
        gate, up = self.gate_up.chunk(2)
        return [("attn_norm", self.attn_norm), ("attn_q", q), ("attn_k", k), ("attn_v", v),
                ("attn_output", self.attn_output), ("ffn_norm", self.ffn_norm),
                ("ffn_gate", gate), ("ffn_up", up), ("ffn_down", self.ffn_down)]


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embedding = nn.Parameter(torch.randn(c.vocab, c.dim) * 0.02)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.output_norm = nn.Parameter(torch.ones(c.dim))
        frequency = c.theta ** (-torch.arange(0, c.head_dim, 2).double() / c.head_dim)
        angle = torch.arange(c.context).double()[:, None] * frequency
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, ids, attend, dtype=torch.float32, dropout=0.0):
        """ids: [batch, tokens]; attend(q, k, v) is the masked attention. Logits in dtype."""
        # Looked up before the cast, so that gradients of frequent tokens add up in float32.
        x = F.dropout(F.embedding(ids, self.embedding).to(dtype), dropout, dropout > 0)
        cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin, attend, dropout)
        return linear(rms_norm(x, self.output_norm, self.c.eps), self.embedding)

    def tensors(self):
        named = [("token_embd.weight", self.embedding)]
        for i, block in enumerate(self.blocks):
            named += [(f"blk.{i}.{name}.weight", w) for name, w in block.tensors()]
        return named + [("output_norm.weight", self.output_norm)]
