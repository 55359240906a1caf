#!/usr/bin/env python3
"""Trains the model on prepared rows within a time limit and keeps the best checkpoint.

usage: train.py --data DIR --tokenizer tokenizer.json --out DIR [--minutes 6]

Needs PyTorch with CUDA (made for one H200; --device cpu and --tiny are for a dry run). The number
of steps is the whole schedule, or fewer if the measured speed says that it would not fit. Written
to --out: model.safetensors (matrices rounded to F16, norms F32), loss.csv, samples.txt, check.json
(logits of one prompt, for check_gguf.py).
"""
import argparse
import csv
import itertools
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import samples
from model import Config, Model, plain_attention
from tokenizer import Tokenizer

WARMUP = 150
CLIP = 1.0
IGNORED = -100


def log(*text):
    print(f"[{time.time() - STARTED:6.1f}s]", *text, flush=True)


class Rows:
    """The prepared rows, on the device."""

    def __init__(self, folder, device):
        def load(name, kind):
            return np.fromfile(os.path.join(folder, name), kind)

        with open(os.path.join(folder, "meta.json"), encoding="utf-8") as file:
            self.meta = json.load(file)
        row = self.meta["row"]
        tokens, lengths = load("tokens.u16", np.uint16), load("lengths.u16", np.uint16).tolist()
        order, row_docs = load("order.u32", np.uint32).tolist(), load("row_docs.u16", np.uint16).tolist()
        starts = [0, *itertools.accumulate(lengths)]
        train = np.full((len(row_docs), row), self.meta["pad"], np.int16)
        at = 0
        for r, count in enumerate(row_docs):
            filled = 0
            for d in order[at:at + count]:
                train[r, filled:filled + lengths[d]] = tokens[starts[d]:starts[d + 1]]
                filled += lengths[d]
            at += count
        self.train = torch.from_numpy(train).to(device)
        valid = torch.from_numpy(load("valid.u16", np.uint16).astype(np.int16)).view(-1, row)
        parts = valid.to(device).split(list(self.meta["valid_rows"].values()))
        self.valid = dict(zip(self.meta["valid_rows"], parts))

    def batch(self, rows):
        """ids and targets; the first token of a document and padding are never targets."""
        ids = rows.long()
        targets = F.pad(ids[:, 1:], (0, 1), value=self.meta["pad"])
        unwanted = (targets == self.meta["pad"]) | (targets == self.meta["bos"])
        return ids, targets.masked_fill(unwanted, IGNORED)

    def documents(self, ids):
        return (ids == self.meta["bos"]).cumsum(1).int()


def dense_mask(documents):
    tokens = documents.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool, device=documents.device).tril()
    return ((documents[:, None, :, None] == documents[:, None, None, :]) & causal)


def loss_of(model, ids, targets, attend, dtype, dropout=0.0):
    logits = model(ids, attend, dtype, dropout)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)


def flex_step(model, dropout):
    """The compiled training loss with block-sparse attention."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def loss(ids, targets, mask):
        def attend(q, k, v):
            return flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        return loss_of(model, ids, targets, attend, torch.bfloat16, dropout)

    def mask_of(documents):
        def same_document(b, h, q, k):
            return (documents[b, q] == documents[b, k]) & (q >= k)
        batch, tokens = documents.shape
        return create_block_mask(same_document, batch, None, tokens, tokens, "cuda")

    return torch.compile(loss, dynamic=False), mask_of


def sdpa_step(model, dropout):
    """The same with a dense mask: slower, but needs nothing special."""
    def loss(ids, targets, mask):
        def attend(q, k, v):
            group = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return loss_of(model, ids, targets, attend, torch.bfloat16, dropout)
    return torch.compile(loss, dynamic=False), dense_mask


def plain_step(model, dropout):
    """For the dry run on a CPU."""
    def loss(ids, targets, mask):
        return loss_of(model, ids, targets, lambda q, k, v: plain_attention(q, k, v, mask),
                       torch.float32, dropout)
    return loss, dense_mask


def working_step(args, model, rows):
    """The fastest training step that runs here."""
    kinds = (plain_step,) if args.device == "cpu" else (flex_step, sdpa_step)
    for kind in kinds:
        try:
            step, mask_of = kind(model, args.dropout)
            for at in range(0, 3 * args.batch, args.batch):
                begun = time.time()
                ids, targets = rows.batch(rows.train[at:at + args.batch])
                loss = step(ids, targets, mask_of(rows.documents(ids)))
                loss.backward()
                model.zero_grad(set_to_none=True)
                first_loss = loss.item()  # waits for the device
                took = time.time() - begun
                log(kind.__name__, f"{took:.2f} s")
            if args.device == "cuda" and took > 2:
                raise RuntimeError("it compiles anew for every batch")
            log(kind.__name__, f"works, loss {first_loss:.3f}")
            return step, mask_of
        except Exception as error:  # whatever this PyTorch cannot do, the next kind may
            log(kind.__name__, "failed:", repr(error)[:600])
    raise SystemExit("no training step works")


@torch.no_grad()
def validate(model, rows, dtype):
    """Mean loss per file, with the plain attention: a check on the fast one as well."""
    losses = {}
    for name, all_rows in rows.valid.items():
        total = count = 0
        for part in all_rows.split(16):
            ids, targets = rows.batch(part)
            mask = dense_mask(rows.documents(ids))
            used = (targets != IGNORED).sum().item()
            total += used * loss_of(model, ids, targets,
                                    lambda q, k, v: plain_attention(q, k, v, mask), dtype).item()
            count += used
        losses[name] = total / count
    return losses


def optimizer_for(model, args):
    matrices = [p for p in model.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": args.decay}, {"params": norms, "weight_decay": 0.0}]
    extra = {"fused": True} if args.device == "cuda" else {}
    return torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.95), **extra)


def rate_at(step, steps, peak):
    """Linear rise, then a linear fall to zero."""
    return peak * min((step + 1) / WARMUP, (steps - step) / max(1, steps - WARMUP))


def train(args, model, rows):
    """Leaves the best checkpoint in the model; returns the curve for loss.csv."""
    step_loss, mask_of = working_step(args, model, rows)
    optimizer = optimizer_for(model, args)
    planned = len(rows.train) // args.batch
    steps = min(planned, args.steps or planned)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    best, best_weights, curve, recent = float("inf"), None, [], []
    measured_from, begun = 10, None
    step = 0
    while step < steps:
        if step == measured_from:
            torch.cuda.synchronize() if args.device == "cuda" else None
            begun = time.time()
        if step == measured_from + 40:
            loss.item()  # waits for the device
            each = (time.time() - begun) / 40
            left = args.deadline - time.time()
            fitting = step + int(left * 0.96 / each)
            steps = min(steps, fitting)
            log(f"{each * 1e3:.1f} ms a step, {args.batch * rows.meta['row'] / each / 1e6:.3f} M "
                f"tokens/s: {steps} of {planned} steps")
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps, args.rate)
        at = step * planned // steps * args.batch  # fewer steps still run through all phases
        ids, targets = rows.batch(rows.train[at:at + args.batch])
        loss = step_loss(ids, targets, mask_of(rows.documents(ids)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent.append(loss.detach())
        step += 1
        if step % 50 == 0 or step == steps:
            train_loss = torch.stack(recent).mean().item()
            recent = []
            judged = {}
            if step % 150 == 0 or step == steps:
                judged = validate(model, rows, dtype)
                mean = sum(judged[n] for n in rows.meta["judges"]) / len(rows.meta["judges"])
                if mean < best:
                    best = mean
                    best_weights = {k: v.clone() for k, v in model.state_dict().items()}
                log(f"step {step} loss {train_loss:.4f} valid {mean:.4f}",
                    " ".join(f"{n}={v:.3f}" for n, v in judged.items()))
            else:
                log(f"step {step} loss {train_loss:.4f}")
            curve.append({"step": step, "train": round(train_loss, 4),
                          **{n: round(v, 4) for n, v in judged.items()}})
    model.load_state_dict(best_weights)
    log(f"best mean validation loss {best:.4f}")
    return curve


def write_curve(path, curve, names):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["step", "train", *names])
        writer.writeheader()
        writer.writerows(curve)


@torch.no_grad()
def round_and_save(model, path):
    """Rounds the matrices to F16 in place and writes them in the safetensors layout."""
    for p in model.parameters():
        if p.dim() == 2:
            p.copy_(p.half().float())
    header, blobs, at = {"__metadata__": {}}, [], 0
    for name, weight in model.tensors():
        kind, data = ("F16", weight.half()) if weight.dim() == 2 else ("F32", weight.float())
        raw = data.contiguous().cpu().numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(weight.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        blobs.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for raw in blobs:
            file.write(raw)


@torch.no_grad()
def write_check(model, tokenizer, path, device):
    ids = tokenizer.encode_prompt("Tell me a story about a brave rabbit.", chat=True)
    mask = torch.ones(1, 1, len(ids), len(ids), dtype=torch.bool, device=device).tril()
    logits = model(torch.tensor([ids], device=device),
                   lambda q, k, v: plain_attention(q, k, v, mask))
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"ids": ids, "logits": logits[0, -1].tolist()}, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=6, help="for loading and training")
    parser.add_argument("--steps", type=int, default=0, help="0: the whole schedule")
    parser.add_argument("--batch", type=int, default=128, help="rows a step")
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--decay", type=float, default=0.3, help="weight decay of the matrices")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a toy shape for a dry run")
    args = parser.parse_args()
    args.deadline = STARTED + args.minutes * 60
    os.makedirs(args.out, exist_ok=True)
    torch.manual_seed(1)
    tokenizer = Tokenizer.load(args.tokenizer)
    rows = Rows(args.data, args.device)
    shape = {"dim": 64, "layers": 2, "heads": 4, "head_dim": 16, "ffn": 96} if args.tiny else {}
    model = Model(Config(vocab=rows.meta["vocab"], context=rows.meta["row"], **shape))
    model = model.to(args.device)
    log(f"{len(rows.train)} rows, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    curve = train(args, model, rows)
    write_curve(os.path.join(args.out, "loss.csv"), curve, rows.valid)
    round_and_save(model, os.path.join(args.out, "model.safetensors"))
    write_check(model, tokenizer, os.path.join(args.out, "check.json"), args.device)
    log("rounded to F16:", " ".join(f"{n}={v:.4f}" for n, v in
                                    validate(model, rows, torch.float32).items()))
    ends = (rows.meta["eot"], rows.meta["end"])
    samples.write(model, tokenizer, ends, os.path.join(args.out, "samples.txt"), args.device)
    log("done")


if __name__ == "__main__":
    STARTED = time.time()
    main()
