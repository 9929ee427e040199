"""Long proofs. `make evidence` runs all, `make evidence ONLY="mutants slither"` some; `mutants=20` passes an argument.

A run that was interrupted goes on where it was, as long as the sources are the same.
"""

import fcntl
import importlib
import sys

import common

PROOFS = ["slither", "coverage", "proofs", "conditions", "mutants", "speed", "arithmetic", "neon", "sanitizers", "fuzz", "campaign"]


def main(chosen):
    unknown = [one for one in chosen if one.split("=")[0] not in PROOFS]
    if unknown:
        raise common.Failed(f"no proof named {', '.join(unknown)}; there are {', '.join(PROOFS)}")
    common.STATE.mkdir(parents=True, exist_ok=True)
    lock = (common.STATE / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise common.Failed("another run is under way in this checkout") from None
    verdicts = {}
    for one in chosen or PROOFS:
        name, *arguments = one.split("=")
        verdicts[name] = importlib.import_module(name).prove(*arguments)
    return all(verdicts.values())


if __name__ == "__main__":
    try:
        sys.exit(0 if main(sys.argv[1:]) else 1)
    except common.Failed as problem:
        sys.exit(f"evidence: {problem}")
    except KeyboardInterrupt:
        sys.exit("evidence: interrupted; the same command goes on from here")
