"""Every section cited as 'Spec: A…' exists in docs/spec/arithmetic.md, and every numbered section is cited by code."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
spec = (root / "docs/spec/arithmetic.md").read_text()
sections = set(re.findall(r"^#+\s+(A\d+(?:\.\d+)?)\b", spec, re.M))
cited = {}
for path in (root / "src").rglob("*"):
    if path.suffix in (".h", ".cc", ".inc"):
        for line in re.findall(r"Spec:([^\n]*)", path.read_text()):
            for name in re.findall(r"\bA\d+(?:\.\d+)?\b", line):
                cited.setdefault(name, path.relative_to(root))
faults = [f"{path} cites {name}, which docs/spec/arithmetic.md does not have" for name, path in cited.items() if name not in sections]
tops_cited = {name.split(".")[0] for name in cited}
faults += [f"section {name} is cited by no code" for name in sorted(sections) if "." not in name and name not in tops_cited]
print("\n".join(faults) or f"{len(sections)} sections, {len(cited)} cited")
sys.exit(1 if faults else 0)
