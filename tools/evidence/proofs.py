"""The symbolic tests of contracts/test/symbolic, by halmos: each holds for every value of its arguments."""

import json
import re
import time

import common
from common import TimedOut, say

# A proof that takes longer is none.
MOST_SECONDS = 900
# Iterations of a loop that are followed; halmos fails where more could happen.
LOOP = 8
# The shipped settings, for contracts and tests alike: tests make the contracts themselves.
BUILD = {"FOUNDRY_SKIP": "[]"}


def _only_the_proofs(path, text):
    return text if path.startswith(("contracts/src/", "contracts/test/symbolic/")) else None


def prove():
    start = time.monotonic()
    program = common.python_tool("halmos")
    tree, mark = common.workspace("proofs", _only_the_proofs)
    say("proofs: building")
    common.must([common.FORGE, "build", "--ast"], cwd=tree, env=BUILD)
    log = common.STATE / "proofs" / f"results-{mark}.jsonl"
    done = {}
    if log.exists():
        done = {r["name"]: r for r in map(json.loads, log.read_text().splitlines())}
    results = []
    for file in sorted((tree / "contracts/test/symbolic").glob("*.t.sol")):
        text = file.read_text()
        contract = re.search(r"^contract (\w+) is", text[text.index("SymbolicTest is") - 40 :], flags=re.M)[1]
        for check in re.findall(r"function (check_\w+)", text):
            name = f"{contract}.{check}"
            if name not in done:
                done[name] = {"name": name} | _proof(program, tree, contract, check)
                with log.open("a") as out:
                    out.write(json.dumps(done[name]) + "\n")
            results.append(done[name])
            say(f"proofs: {name}: {done[name]['verdict']} ({done[name]['seconds']} s)")
    proven = sum(r["verdict"] == "proven" for r in results)
    figures = {"proofs": len(results), "proven": proven, "loop_bound": LOOP, "results": results}
    rows = ["| proof | verdict | paths | seconds |", "|---|---|---|---|"]
    rows += [f"| {r['name']} | {r['verdict']} | {r['paths']} | {r['seconds']} |" for r in results]
    holds = proven == len(results) > 0
    return common.report("proofs", "Symbolic proofs", holds, figures, "\n".join(rows), time.monotonic() - start)


def _proof(program, tree, contract, check):
    command = [program, "--root", tree, "--forge-build-out", "target/forge/out", "--contract", contract]
    command += ["--function", check, "--loop", LOOP, "--solver-timeout-assertion", "0"]
    env = BUILD | {"PATH": f"{common.FORGE.parent}:{program.parent}:{common.os.environ['PATH']}"}
    began = time.monotonic()
    try:
        code, output = common.run(
            command, cwd=tree, env=env, timeout=MOST_SECONDS, log=common.STATE / f"proofs/{check}.log"
        )
    except TimedOut:
        return {"verdict": "timeout", "paths": 0, "seconds": MOST_SECONDS}
    output = re.sub(r"\x1b\[\d*m", "", output)
    seconds = round(time.monotonic() - began, 1)
    line = re.search(rf"\[(\w+)\] {check}\([^\n]*paths: (\d+)", output)
    # A bound that cut paths off makes it no proof.
    cut = "incomplete execution" in output or "loop bound" in output.lower()
    verdict = "error" if not line else "proven" if line[1] == "PASS" and not code and not cut else line[1].lower()
    if verdict == "pass":
        verdict = "bounded"
    return {"verdict": verdict, "paths": int(line[2]) if line else 0, "seconds": seconds}
