#!/usr/bin/env python3
"""Turns the training text into token rows in the order they are trained on.

usage: prepare.py --corpus DIR --tokenizer tokenizer.json --out DIR [--seed 1]

Standard library only. Every row holds whole documents, each opened by <|begin_of_text|>, and is
filled up with the padding token; a document longer than a row is cut. Written to --out:
  tokens.u16     all training documents, one after another
  lengths.u16    their lengths
  order.u32      document numbers, row after row, in training order
  row_docs.u16   how many documents each row holds
  valid.u16      validation rows, filled up, file after file
  meta.json      sizes, special ids, rows of each validation file
"""
import argparse
import json
import os
import random
from array import array

import corpus
from tokenizer import Tokenizer

ROW = 1024
SHORTEST_PIECE = 64      # the end of a cut document is dropped below this
LATE_SHARE, EARLY_SHARE = 0.15, 0.70
SYSTEM_SHARE = 0.08      # of the chats get a system message, so that one does no harm later
SYSTEM = ("You are a helpful assistant.", "You are a friendly storyteller.", "Be kind and short.",
          "You tell stories to children.", "Answer in simple words.", "You are a helpful AI.")
WINDOW = 8192            # documents that are fitted into rows together


def pieces(ids, bos, chat):
    """Documents of at most ROW tokens; a chat keeps only its beginning."""
    yield ids[:ROW]
    at = ROW
    while not chat and len(ids) - at >= SHORTEST_PIECE:
        yield [bos] + ids[at:at + ROW - 1]
        at += ROW - 1


def encode_file(tokenizer, folder, split, name, rng):
    bos = tokenizer.special["<|begin_of_text|>"]
    for turns in corpus.read(folder, split, name):
        chat = turns[0][0] is not None
        if chat and split == "train" and rng.random() < SYSTEM_SHARE:
            turns = [("system", rng.choice(SYSTEM))] + turns
        yield from pieces(tokenizer.encode_document(turns), bos, chat)


def pack(documents, lengths):
    """Best fit, longest first: lists of document numbers, at most ROW tokens each."""
    free = [[] for _ in range(ROW + 1)]  # rows by the room they have left
    nonempty = 0                         # bit r: some row has r tokens of room
    rows = []
    for document in sorted(documents, key=lambda d: -lengths[d]):
        length = lengths[document]
        fitting = nonempty >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = free[room].pop()
            if not free[room]:
                nonempty &= ~(1 << room)
        else:
            room, row = ROW, []
            rows.append(row)
        row.append(document)
        free[room - length].append(row)
        nonempty |= 1 << (room - length)
    return rows


def schedule(numbers, lengths, rng):
    """Three phases of document numbers. numbers: {file: its documents}.

    Every file's passes are laid end to end, each newly shuffled. The last phase takes the end of
    the LATE files, the first one all of the EARLY files; the rest is split by tokens."""
    laid, tokens = {}, {}
    for name, passes in corpus.MIX.items():
        laid[name] = [d for _ in range(passes) for d in rng.sample(numbers[name], len(numbers[name]))]
        tokens[name] = sum(lengths[d] for d in laid[name])
    total = sum(tokens.values())
    late = LATE_SHARE * total / sum(tokens[n] for n in corpus.LATE)
    early = EARLY_SHARE * total - sum(tokens[n] for n in corpus.EARLY)
    middle_files = [n for n in laid if n not in corpus.EARLY]
    rest = {n: 1 - late if n in corpus.LATE else 1.0 for n in middle_files}
    first = early / sum(tokens[n] * rest[n] for n in middle_files)
    phases = [[], [], []]
    for name, documents in laid.items():
        if name in corpus.EARLY:
            phases[0] += documents
            continue
        a = round(len(documents) * rest[name] * first)
        b = round(len(documents) * rest[name])
        for phase, part in zip(phases, (documents[:a], documents[a:b], documents[b:])):
            phase += part
    return phases


def write_train(args, tokenizer, rng):
    tokens, lengths, numbers = array("H"), array("H"), {}
    for name in corpus.MIX:
        first = len(lengths)
        for ids in encode_file(tokenizer, args.corpus, "train", name, rng):
            tokens.extend(ids)
            lengths.append(len(ids))
        numbers[name] = range(first, len(lengths))
        print(f"{name}: {len(numbers[name])} documents, "
              f"{sum(lengths[d] for d in numbers[name]) / 1e6:.2f} M tokens, "
              f"{corpus.MIX[name]} passes", flush=True)
    order, row_docs = array("I"), array("H")
    for phase in schedule(numbers, lengths, rng):
        rng.shuffle(phase)
        for at in range(0, len(phase), WINDOW):
            rows = pack(phase[at:at + WINDOW], lengths)
            rng.shuffle(rows)
            for row in rows:
                order.extend(row)
                row_docs.append(len(row))
        print(f"phase: {sum(lengths[d] for d in phase) / 1e6:.1f} M tokens, "
              f"{len(row_docs)} rows so far", flush=True)
    for file, data in (("tokens.u16", tokens), ("lengths.u16", lengths), ("order.u32", order),
                       ("row_docs.u16", row_docs)):
        with open(os.path.join(args.out, file), "wb") as out:
            data.tofile(out)
    used = sum(lengths[d] for d in order)
    print(f"{used / 1e6:.1f} M tokens in {len(row_docs)} rows, "
          f"{100 * used / len(row_docs) / ROW:.1f} % full")
    return len(row_docs)


def write_valid(args, tokenizer, rng):
    pad, counts = tokenizer.special["<|finetune_right_pad_id|>"], {}
    with open(os.path.join(args.out, "valid.u16"), "wb") as out:
        for name in corpus.MIX:
            documents = list(encode_file(tokenizer, args.corpus, "valid", name, rng))
            rows = pack(range(len(documents)), [len(d) for d in documents])
            for row in rows:
                ids = [i for d in row for i in documents[d]]
                array("H", ids + [pad] * (ROW - len(ids))).tofile(out)
            counts[name] = len(rows)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    tokenizer, rng = Tokenizer.load(args.tokenizer), random.Random(args.seed)
    meta = {"row": ROW, "vocab": tokenizer.size, "rows": write_train(args, tokenizer, rng),
            "valid_rows": write_valid(args, tokenizer, rng), "judges": corpus.JUDGES,
            "bos": tokenizer.special["<|begin_of_text|>"],
            "eot": tokenizer.special["<|eot_id|>"], "end": tokenizer.special["<|end_of_text|>"],
            "pad": tokenizer.special["<|finetune_right_pad_id|>"]}
    with open(os.path.join(args.out, "meta.json"), "w", encoding="utf-8") as out:
        json.dump(meta, out, indent=1)


if __name__ == "__main__":
    main()
