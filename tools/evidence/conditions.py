"""The enforced conditions twice, in Solidity and in exact arithmetic: the same parameter sets through `Pools.create` in revm and
through crates/economics."""

import json
import time

import common
from common import STATE, Failed

SETS, SEED = 100_000, 1


def prove(sets=SETS):
    start = time.monotonic()
    out = STATE / "conditions.json"
    out.unlink(missing_ok=True)
    command = ["cargo", "run", "--release", "--locked", "--package", "assay-economics", "--example", "conditions-differential"]
    command += ["--", "--sets", sets, "--seed", SEED, "--out", out]
    common.say("conditions: building, then some minutes")
    code, output = common.run(command, log=STATE / "conditions.log")
    if not out.exists():
        raise Failed(f"the comparison did not run:\n{output[-4000:]}")
    report = json.loads(out.read_text())["report"]
    holds = code == 0 and report["disagreements"] == 0 and report["laxer"] == 0
    figures = {
        "sets": sum(report["sets"].values()),
        "disagreements": report["disagreements"],
        "accepted_by_the_contract_alone": report["laxer"],
        "seed": SEED,
        "report": report,
    }
    lines = ["| kind of set | sets |", "|---|---|"]
    lines += [f"| {kind} | {count} |" for kind, count in sorted(report["sets"].items())]
    lines += ["", "| first condition broken | sets at its edge |", "|---|---|"]
    lines += [f"| {condition} | {count} |" for condition, count in sorted(report["edges"].items())]
    title = "Contract and crate accept the same pools"
    return common.report("conditions", title, holds, figures, "\n".join(lines), time.monotonic() - start)
