#!/usr/bin/env python3
"""Learns the byte-level BPE merges from the training text, each file weighted by its passes.

usage: train_tokenizer.py --corpus DIR --out tokenizer.json [--vocab 4096]

Standard library only; deterministic: ties go to the pair with the smaller ids.
"""
import argparse
from collections import Counter, defaultdict

import corpus
from tokenizer import BYTE_ID, PRE_SPLIT, SPECIALS, Tokenizer


def count_words(folder):
    words = Counter()
    for name, passes in corpus.MIX.items():
        pieces = Counter()
        for document in corpus.read(folder, "train", name):
            for _, text in document:
                pieces.update(PRE_SPLIT.findall(text))
        for word, count in pieces.items():
            words[word] += count * passes
        print(f"{name}: {len(words)} distinct words so far", flush=True)
    return words


def learn(words, merges_wanted):
    spelled = [[BYTE_ID[b] for b in word.encode("utf-8")] for word in words]
    counts = list(words.values())
    pairs, where = Counter(), defaultdict(set)
    for index, ids in enumerate(spelled):
        for pair in zip(ids, ids[1:]):
            pairs[pair] += counts[index]
            where[pair].add(index)
    merges = []
    while len(merges) < merges_wanted:
        best = max(pairs, key=lambda p: (pairs[p], -p[0], -p[1]))
        new = 256 + len(merges)
        merges.append(best)
        for index in where.pop(best):
            ids, count = spelled[index], counts[index]
            for pair in zip(ids, ids[1:]):
                pairs[pair] -= count
                if pair != best:
                    where[pair].discard(index)
            merged, i = [], 0
            while i < len(ids):
                if tuple(ids[i:i + 2]) == best:
                    merged.append(new)
                    i += 2
                else:
                    merged.append(ids[i])
                    i += 1
            spelled[index] = merged
            for pair in zip(merged, merged[1:]):
                pairs[pair] += count
                where[pair].add(index)
        del pairs[best]
        if len(merges) % 500 == 0:
            print(f"{len(merges)} merges", flush=True)
    return merges


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--vocab", type=int, default=4096)
    args = parser.parse_args()
    tokenizer = Tokenizer(learn(count_words(args.corpus), args.vocab - 256 - len(SPECIALS)))
    odd = [raw for token, raw in enumerate(tokenizer.bytes) if tokenizer.merge_word(raw) != [token]]
    print(f"{tokenizer.size} tokens; {len(odd)} that their own merges do not reach: {odd[:10]}")
    tokenizer.save(args.out)


if __name__ == "__main__":
    main()
