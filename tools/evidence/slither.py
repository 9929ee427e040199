"""Static analysis by slither: every finding is fixed or has a reason in evidence/reasons.toml."""

import json
import time

import common
from common import Failed, say


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
    lines, counts, unexplained = [], {}, 0
    for finding in sorted(map(_finding, answer["results"].get("detectors", []))):
        impact, check, place, text = finding
        counts[impact] = counts.get(impact, 0) + 1
        reason = known.get(f"{check} {place}") or known.get(check)
        unexplained += not reason
        lines.append(f"- {impact}, {check}, {place}: {text} {reason or '**Unexplained.**'}")
    figures = {"findings": len(lines), "unexplained": unexplained} | {f"{k.lower()}": v for k, v in counts.items()}
    figures["detectors"] = output.count("INFO:Detectors") or None
    body = "## Findings\n\nReasons are in reasons.toml, by detector and place, or by detector.\n\n" + "\n".join(lines)
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
