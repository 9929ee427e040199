"""Which lines and branches of contracts/src the tests run.

Without the optimizer the older code generator runs out of stack, and of what the newer one makes forge counts two things
wrongly: neither branch of a `require` is ever taken, and no line of assembly is run. So here every `require` is an `if`
with a `revert`, and lines of assembly are left out.
"""

import re
import time

import common
from common import Failed, say
from compiler import Compiler
from mutator import nodes, range_of

LINES, BRANCHES = 0.98, 0.95


def _sources():
    """Contracts with an `if` for each `require`, line by line the same; and where their assembly is."""
    files = [name for name in common.sources() if name.startswith("contracts/src/") and name.endswith(".sol")]
    compiler = Compiler(common.ROOT)
    trees = compiler.trees(files)
    compiler.close()
    texts, assembly = {}, {}
    for file in files:
        text = (common.ROOT / file).read_bytes()
        line = lambda at: text[:at].count(b"\n") + 1
        edits, assembly[file] = [], set()
        for node in nodes(trees[file]):
            if node["nodeType"] == "InlineAssembly":
                start, length = range_of(node)
                assembly[file] |= set(range(line(start) + 1, line(start + length) + 1))
            if node["nodeType"] == "FunctionCall" and node["expression"].get("name") == "require":
                (start, length), (held, error) = range_of(node), map(range_of, node["arguments"])
                edits.append((start, held[0], b"if (!("))
                edits.append((sum(held), error[0], b")) revert "))
                edits.append((sum(error), start + length, b""))
        edited = text
        for start, end, new in sorted(edits, reverse=True):
            edited = edited[:start] + new + b"\n" * text[start:end].count(b"\n") + edited[end:]
        texts[file] = edited.decode()
    return texts, assembly


def _tests_that_need_no_optimizer(path, text):
    """Coverage is measured on code that the optimizer left alone: figures of gas and size mean nothing there, and the campaign,
    whose moves call one another, does not compile."""
    if re.search(r"(gas|bounds|sizes)\.t\.sol$", path.lower()) or re.match(r"contracts/test/(symbolic|invariant)/", path):
        return None
    return common.without_inline_config(path, text)


def prove():
    start = time.monotonic()
    texts, assembly = _sources()
    edit = lambda path, text: texts.get(path) or _tests_that_need_no_optimizer(path, text)
    tree, _ = common.workspace("coverage", edit)
    say("coverage: building and testing")
    result = tree.parent / "lcov.info"
    result.unlink(missing_ok=True)
    command = [common.FORGE, "coverage", "--ir-minimum", "--report", "lcov", "--report-file", result]
    env = {
        # Tests run what is instrumented, not what is shipped; all of it is compiled at once.
        "ASSAY_INSTRUMENTED": "true",
        "FOUNDRY_SKIP": "[]",
        "FOUNDRY_FUZZ_RUNS": "16",
        "FOUNDRY_CODE_SIZE_LIMIT": "10000000",
        "FOUNDRY_GAS_SNAPSHOT_CHECK": "false",
    }
    code, output = common.run(command, cwd=tree, env=env, log=tree.parent / "last.log")
    if code or not result.exists():
        raise Failed("forge coverage failed:\n" + output[-4000:])
    files = _files(result.read_text(), assembly)
    total = {key: sum(len(f[key]) for f in files.values()) for key in ("lines", "branches")}
    hit = {key: sum(sum(map(bool, f[key].values())) for f in files.values()) for key in ("lines", "branches")}
    share = {key: hit[key] / total[key] for key in total}
    figures = {
        "lines": f"{hit['lines']} of {total['lines']} ({share['lines']:.2%})",
        "branches": f"{hit['branches']} of {total['branches']} ({share['branches']:.2%})",
        "lines_of_assembly_left_out": sum(map(len, assembly.values())),
    }
    rows = ["| file | lines | branches | lines not run | branches not taken |", "|---|---|---|---|---|"]
    for name, f in sorted(files.items()):
        missed = [str(line) for line, count in f["lines"].items() if not count]
        untaken = sorted({str(line) for (line, *_), count in f["branches"].items() if not count}, key=int)
        of = lambda key: f"{sum(map(bool, f[key].values()))}/{len(f[key])}"
        rows.append(
            f"| {name.removeprefix('contracts/src/')} | {of('lines')} | {of('branches')} "
            f"| {', '.join(missed)} | {', '.join(untaken)} |"
        )
    holds = share["lines"] >= LINES and share["branches"] >= BRANCHES
    return common.report("coverage", "Coverage of the contracts", holds, figures, "\n".join(rows), time.monotonic() - start)


def _files(lcov, assembly):
    """By file of contracts/src: how often each line and each branch was run."""
    files = {}
    for record in lcov.split("end_of_record"):
        name = re.search(r"^SF:(.*)", record, flags=re.M)
        if not name or "contracts/src/" not in name[1]:
            continue
        file = "contracts/src/" + name[1].split("contracts/src/")[1]
        lines = {int(a): int(b) for a, b in re.findall(r"^DA:(\d+),(\d+)", record, flags=re.M)}
        lines = {line: count for line, count in lines.items() if line not in assembly[file]}
        branches = {
            (int(a), b, c): 0 if d == "-" else int(d)
            for a, b, c, d in re.findall(r"^BRDA:(\d+),(\d+),(\d+),(\d+|-)", record, flags=re.M)
        }
        files[file] = {"lines": lines, "branches": branches}
    if not files:
        raise Failed("forge coverage reports no file of contracts/src")
    return files
