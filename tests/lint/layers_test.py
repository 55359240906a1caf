"""A folder includes only what cmake/layers.txt allows, and third-party headers only where they have their home."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
INCLUDE = re.compile(r'^\s*#include\s+(["<])([^">]+)[">]')


def read_table():
    table = {}
    for line in (root / "cmake/layers.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            folder, rest = line.split(":", 1)
            ours, third = rest.split("|")
            table[folder.strip()] = (set(ours.split()), set(third.split()))
    return table


def is_standard(name):
    """A C++ or C standard header, a compiler's intrinsics, or a POSIX or Linux header."""
    return "/" not in name and (not name.endswith(".h") or name in POSIX) or name.startswith(("sys/", "netinet/", "arpa/"))


POSIX = {"unistd.h", "fcntl.h", "poll.h", "signal.h", "netdb.h", "stdint.h", "stddef.h", "immintrin.h", "cpuid.h",
         "arm_neon.h", "pthread.h", "sched.h", "errno.h", "spawn.h", "malloc.h"}


def sources():
    return [path for path in sorted((root / "src").rglob("*")) if path.suffix in (".h", ".cc", ".inc")]


def public_headers():
    """Headers that another folder includes."""
    found = set()
    for path in sources():
        folder = path.relative_to(root / "src").parts[0]
        for line in path.read_text().splitlines():
            match = INCLUDE.match(line)
            if match and match.group(1) == '"' and match.group(2).split("/")[0] != folder:
                found.add(match.group(2))
    return found


def faults(table):
    public = public_headers()
    for path in sources():
        parts = path.relative_to(root / "src").parts
        folder = parts[0]
        if folder not in table:
            yield f"{path}: folder {folder} is not in cmake/layers.txt"
            continue
        ours, third = table[folder]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            kind, name = found.groups()
            top = name.split("/")[0]
            where = f"{path.relative_to(root)}:{number}"
            if kind == '"' and top in table:
                if top != folder and top not in ours:
                    yield f"{where}: {folder} may not include {name}"
                if folder == "arith" and top != "arith":
                    yield f"{where}: arith includes the standard library only"
                if "core" in parts and top in ("wire", "http", "router") and not name.startswith(f"{folder}/core/"):
                    yield f"{where}: a role's core sees no shell and no transport: {name}"
            elif not is_standard(name) and top not in third:
                yield f"{where}: {name} has no home in {folder}"
            elif not is_standard(name) and str(path.relative_to(root / "src")) in public and top != "tl":
                yield f"{where}: another folder includes this header, so {name} would leak"


if __name__ == "__main__":
    found = list(faults(read_table()))
    print("\n".join(found) or "every include respects the layers")
    sys.exit(1 if found else 0)
