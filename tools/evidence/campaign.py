"""The stateful campaign of contracts/test/invariant, long: 1,000 runs of 500 moves, all invariants after each."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import common
from common import Failed, say

RUNS, DEPTH = 1000, 500
# Runs at a time: what an interruption costs at most. The campaign asks that so many runs reach every move.
PART = 64
# Of the pool without audits, whose moves are fewer, so many with each part.
UNAUDITED = 12


def _only_the_campaign(path, text):
    if path.endswith((".s.sol", "/Scripts.sol")) or re.match(r"contracts/test/(unit|fuzz|symbolic)/", path):
        return None
    return common.without_inline_config(path, text)


def prove(runs=RUNS, depth=DEPTH):
    runs, depth = int(runs), int(depth)
    start = time.monotonic()
    tree, mark = common.workspace("campaign", _only_the_campaign)
    say("campaign: building")
    common.build(tree)
    log = common.Results("campaign", f"{mark}-{depth}")
    parts = range(-(-runs // PART))
    results = {result["part"]: result for result in log.known if result["part"] in parts}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for ended in as_completed([pool.submit(_part, tree, part, depth) for part in parts if part not in results]):
                result = ended.result()
                results[result["part"]] = result
                log.add(result)
                speed = result["calls"] / result["seconds"]
                say(f"campaign: {len(results)} of {len(parts)} parts, {speed:.0f} calls a second on a core")
        except Failed:
            pool.shutdown(cancel_futures=True)
            raise
    done = list(results.values())
    calls, seconds = sum(r["calls"] for r in done), sum(r["seconds"] for r in done)
    moves = {}
    for result in done:
        for move, count in result["moves"].items():
            moves[move] = moves.get(move, 0) + count
    figures = {
        "runs": sum(r["runs"] for r in done),
        "moves_a_run": depth,
        "calls": calls,
        "reverts": sum(r["reverts"] for r in done),
        "calls_a_second_on_a_core": round(calls / seconds, 1),
        "core_seconds": round(seconds),
        "runs_without_audits": sum(r["unaudited"]["runs"] for r in done),
        "reverts_without_audits": sum(r["unaudited"]["reverts"] for r in done),
        "seeds": f"{_seed(0)} to {_seed(parts[-1])}",
        "calls_by_move": moves,
    }
    body = "| move | calls |\n|---|---|\n" + "\n".join(f"| {m} | {n} |" for m, n in sorted(moves.items()))
    return common.report("campaign", "The stateful campaign", True, figures, body, time.monotonic() - start)


def _seed(part):
    return f"0x{0x61737361790001 + part:x}"


def _part(tree, part, depth):
    result = _campaign(tree, "ProtocolInvariantTest", PART, part, depth)
    return {"part": part} | result | {"unaudited": _campaign(tree, "UnauditedInvariantTest", UNAUDITED, part, depth)}


def _campaign(tree, contract, runs, part, depth):
    env = {
        "FOUNDRY_INVARIANT_RUNS": str(runs),
        "FOUNDRY_INVARIANT_DEPTH": str(depth),
        "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "300",
    }
    command = [common.FORGE, "test", "--fuzz-seed", _seed(part), "--match-contract", f"^{contract}$"]
    log = common.STATE / f"campaign/{contract}-{part}.log"
    code, output = common.run(command, cwd=tree, env=common.TESTS | env, log=log)
    passed = re.search(r"^\[PASS\] invariant_\w+\(\) \(runs: (\d+), calls: (\d+), reverts: (\d+)\)", output, flags=re.M)
    if code or not passed:
        # The log holds the moves that broke it; forge keeps them too, and tries them first the next time.
        raise Failed(f"{contract} fails with seed {_seed(part)}; see {log}\n{output[-3000:]}")
    seconds = float(re.search(r"finished in ([\d.]+)s", output)[1])
    moves = {m: int(n) for m, n in re.findall(r"^\|\s*\w+\s*\|\s*(\w+)\s*\|\s*(\d+)\s*\|", output, flags=re.M)}
    runs, calls, reverts = map(int, passed.groups())
    return {"runs": runs, "calls": calls, "reverts": reverts, "seconds": seconds, "moves": moves}
