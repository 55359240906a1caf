"""Every test, fuzz target and source file is named in a CMakeLists.txt of its folder or above: nothing is forgotten."""
import pathlib
import sys

root = pathlib.Path(sys.argv[1])
missing = []
for top in ("src", "tests", "fuzz", "bench"):
    for path in sorted((root / top).rglob("*.cc")):
        lists = [folder / "CMakeLists.txt" for folder in path.parents if root in folder.parents or folder == root]
        texts = [text.read_text() for text in lists if text.exists()]
        if not any(path.name in text or f"{path.stem} " in text or f"{path.stem})" in text or f"{path.stem}\n" in text
                   for text in texts):
            missing.append(str(path.relative_to(root)))
print("\n".join(f"{name}: not named in any CMakeLists.txt" for name in missing) or "every source file is registered")
sys.exit(1 if missing else 0)
