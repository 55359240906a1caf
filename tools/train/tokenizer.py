"""Byte-level BPE with Llama 3's pre-split expression and special tokens.

Token ids: 256 bytes in GPT-2's order, then one token per merge, then the special tokens.
The file is JSON with the merges as pairs of ids, in the order they were learned.
"""
import json
import re

SPECIALS = [
    "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
    "<|reserved_special_token_3|>", "<|reserved_special_token_4|>", "<|reserved_special_token_5|>",
    "<|reserved_special_token_6|>", "<|reserved_special_token_7|>",
]

# Llama 3's expression with \p{L} and \p{N} spelled for Python's re. Equal on ASCII, which is all
# the corpus holds.
PRE_SPLIT = re.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|(?:[^\w\r\n]|_)?[^\W\d_]+"
    r"|\d{1,3}"
    r"| ?(?:[^\w\s]|_)+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+")


def _byte_order():
    """GPT-2's order of the bytes, and the printable character that stands for each."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    chars = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
    return printable + others, chars


BYTE_ORDER, BYTE_CHAR = _byte_order()
BYTE_ID = {b: i for i, b in enumerate(BYTE_ORDER)}


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.bytes = [bytes([b]) for b in BYTE_ORDER]
        for left, right in self.merges:
            self.bytes.append(self.bytes[left] + self.bytes[right])
        self.whole = {raw: token for token, raw in enumerate(self.bytes)}
        self.special = {text: len(self.bytes) + i for i, text in enumerate(SPECIALS)}
        self.size = len(self.bytes) + len(SPECIALS)
        self._cache = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file)["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"merges": self.merges, "special": SPECIALS}, file)

    def token_text(self, token):
        """The token as GGUF lists it: bytes as printable characters."""
        if token >= len(self.bytes):
            return SPECIALS[token - len(self.bytes)]
        return "".join(BYTE_CHAR[b] for b in self.bytes[token])

    def merge_word(self, raw):
        """The tokens of one pre-split piece: the lowest merge rank first, leftmost first."""
        ids = [BYTE_ID[b] for b in raw]
        while len(ids) > 1:
            rank, at = min((self.ranks.get(pair, len(self.ranks)), i)
                           for i, pair in enumerate(zip(ids, ids[1:])))
            if rank == len(self.ranks):
                break
            ids[at:at + 2] = [256 + rank]
        return ids

    def encode(self, text):
        """Plain text only: special tokens are never recognised in it."""
        out, cache = [], self._cache
        for word in PRE_SPLIT.findall(text):
            ids = cache.get(word)
            if ids is None:
                raw = word.encode("utf-8")
                # As Llama 3: a piece that is a token is that token, whatever the merges say.
                ids = [self.whole[raw]] if raw in self.whole else self.merge_word(raw)
                cache[word] = ids
            out += ids
        return out

    def header(self, role):
        return [self.special["<|start_header_id|>"], *self.encode(role),
                self.special["<|end_header_id|>"], *self.encode("\n\n")]

    def encode_document(self, turns):
        """turns: [(role or None, text)], as corpus.read gives them."""
        ids = [self.special["<|begin_of_text|>"]]
        for role, text in turns:
            if role is None:
                ids += self.encode(text) + [self.special["<|end_of_text|>"]]
            else:
                ids += self.header(role) + self.encode(text) + [self.special["<|eot_id|>"]]
        return ids

    def encode_prompt(self, prompt, chat):
        if not chat:
            return [self.special["<|begin_of_text|>"], *self.encode(prompt)]
        return self.encode_document([("user", prompt)]) + self.header("assistant")

    def decode(self, ids):
        raw = b"".join(self.bytes[i] if i < len(self.bytes) else b"" for i in ids)
        return raw.decode("utf-8", "replace")
