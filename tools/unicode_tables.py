#!/usr/bin/env python3
"""Writes src/engine/unicode_tables.h: the ranges of letters and numbers that the pre-split of a tokenizer knows.

usage: unicode_tables.py > src/engine/unicode_tables.h

The tables are part of docs/spec/tokenizer.md, which names the version of Unicode: another version is another
tokenizer. Run with a Python whose unicodedata has that version.
"""
import sys
import unicodedata

VERSION = "15.1.0"
PER_LINE = 5


def ranges(major_class):
    """Inclusive ranges of the code points whose general category begins with the letter given."""
    found, begin = [], None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == major_class
        if inside and begin is None:
            begin = code
        elif not inside and begin is not None:
            found.append((begin, code - 1))
            begin = None
    return found


def print_table(name, comment, table):
    print(f"// {comment}: {len(table)} ranges.")
    print(f"inline constexpr CodeRange {name}[] = {{")
    for i in range(0, len(table), PER_LINE):
        print("    " + " ".join(f"{{0x{a:05x}, 0x{b:05x}}}," for a, b in table[i:i + PER_LINE]))
    print("};\n")


def main():
    if unicodedata.unidata_version != VERSION:
        raise SystemExit(f"expected Unicode {VERSION}, found {unicodedata.unidata_version}")
    print(f"// Unicode {VERSION}, written by tools/unicode_tables.py. Inclusive ranges of code points, ascending.")
    print("#pragma once\n\n#include <cstdint>\n\nnamespace cortensor::engine {\n")
    print("struct CodeRange {\n  std::uint32_t first;\n  std::uint32_t last;\n};\n")
    print("// clang-format off")
    print_table("kLetterRanges", "General category L", ranges("L"))
    print_table("kNumberRanges", "General category N", ranges("N"))
    print("// clang-format on\n\n}  // namespace cortensor::engine")


if __name__ == "__main__":
    main()
