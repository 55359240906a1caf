"""An object compiled for one instruction set exports one symbol and holds no weak one, so that the linker can never
pick a copy of a shared inline function that was compiled for a processor this machine may not be."""
import subprocess
import sys

nm, *objects = sys.argv[1:]
failed = False
for path in objects:
    exported, weak = [], []
    for line in subprocess.run([nm, "--defined-only", path], capture_output=True, text=True, check=True).stdout.splitlines():
        kind, name = line.split()[-2:]
        if kind in "VWvwu":
            weak.append(name)
        elif kind.isupper():
            exported.append(name)
    print(f"{path}: exports {exported}, weak {weak}")
    failed |= len(exported) != 1 or bool(weak)
sys.exit(failed)
