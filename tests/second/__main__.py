"""A second implementation of docs/ARITHMETIC.md, in integers and without regard to speed, for whoever writes a third.

    python tests/second            compares the golden answers, then every step's vectors
    python tests/second write      makes the vectors anew: tests/vectors/engine-steps.json and tests/vectors/families

Needs Python 3.11 and requirements.txt. To be read in this order: fixed (functions of numbers), gguf and weights (a file's
tensors as integers), shape (what a file says of its model), forward, sampling, commit (what is hashed, by keccak); then
golden (whole answers), families (models made of noise) and steps (the vectors).
"""

import argparse
import json
import pathlib
import sys

import golden
import steps


def main():
    parser = argparse.ArgumentParser(prog="tests/second")
    parser.add_argument("command", nargs="?", default="check", choices=["check", "write"])
    parser.add_argument("--json", type=pathlib.Path, help="where to write what was compared")
    arguments = parser.parse_args()
    if arguments.command == "write":
        steps.write()
        return 0
    result, failures = {}, []
    for name, part in (("golden", golden), ("steps", steps)):
        result[name], differing = part.check()
        failures += differing
    for part, counts in result.items():
        for name, (seen, equal) in counts.items():
            print(f"{part}, {name}: {equal} of {seen}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result | {"differing": failures}))
    print("all agree" if not failures else "differing: " + ", ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
