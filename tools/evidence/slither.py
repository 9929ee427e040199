"""Static analysis by slither: every finding is fixed or has a reason in evidence/reasons.toml."""

import json
import re
import time

import common
from common import Failed, say

IMPACTS = ["High", "Medium", "Low", "Informational", "Optimization"]


def _only_the_contracts(path, text):
    return None if path.startswith(("contracts/test/", "script/")) else text


def prove():
    start = time.monotonic()
    program = common.python_tool("slither")
    tree, _ = common.workspace("slither", _only_the_contracts)
    say("slither: building and analysing")
    found = tree.parent / "findings.json"
    found.unlink(missing_ok=True)
    # It wants forge on the path, and exits with 255 where it finds something.
    env = {"PATH": f"{common.FORGE.parent}:{common.os.environ['PATH']}"}
    command = [program, ".", "--json", found, "--exclude-dependencies", "--filter-paths", "node_modules"]
    _, output = common.run(command, cwd=tree, env=env, log=tree.parent / "last.log")
    if not found.exists():
        raise Failed("slither did not finish:\n" + output[-4000:])
    answer = json.loads(found.read_text())
    if not answer["success"]:
        raise Failed("slither failed: " + str(answer["error"])[-4000:])
    known = common.reasons("slither")
    counts, rows, unexplained = {}, {}, 0
    for impact, check, place, text in sorted(map(_finding, answer["results"].get("detectors", []))):
        counts[impact] = counts.get(impact, 0) + 1
        name = next((one for one in (f"{check} {place}", check) if one in known), None)
        unexplained += not name
        # A reason that fits all findings of a detector is given once.
        row = (impact, name or f"{check} {place}: {text}")
        rows[row] = rows.get(row, 0) + 1
    figures = {"findings": sum(counts.values()), "unexplained": unexplained}
    figures |= {impact.lower(): count for impact, count in counts.items()}
    figures["detectors"] = int(re.search(r"with (\d+) detectors", output)[1])
    lines = ["| impact | finding | times | reason |", "|---|---|---|---|"]
    lines += [
        f"| {impact} | {name} | {times} | {known.get(name, '**Unexplained.**')} |"
        for (impact, name), times in sorted(rows.items(), key=lambda row: (IMPACTS.index(row[0][0]), row[0][1]))
    ]
    body = "Reasons are in reasons.toml, by detector and place, or by detector.\n\n" + "\n".join(lines)
    return common.report("slither", "Static analysis", unexplained == 0, figures, body, time.monotonic() - start)


def _finding(d):
    """(impact, detector, place, what): the place is a name, so that it outlives edits elsewhere."""
    elements = d["elements"]
    first = next((e for e in elements if e["type"] in ("function", "variable", "contract", "event")), None)
    if not first and elements:
        first = elements[0].get("type_specific_fields", {}).get("parent", elements[0])
    place = "-"
    if first:
        parent = first.get("type_specific_fields", {}).get("parent", {})
        inside = parent.get("name") if parent.get("type") in ("contract", "function") else None
        place = f"{inside}.{first['name']}" if inside else first["name"]
    text = d["description"].strip().split("\n")[0]
    return d["impact"], d["check"], place, text[:300]
