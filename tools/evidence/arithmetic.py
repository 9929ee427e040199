"""The arithmetic, twice: tests/second, written from docs/ARITHMETIC.md, computes every golden answer and every step's vectors
anew, and the engine is held to the same files by its own tests."""

import hashlib
import json
import re
import time

import common
from common import ROOT, STATE, Failed

HOME = ROOT / "tests/second"
REQUIREMENTS = HOME / "requirements.txt"
# The engine's own tests over the same files: every step and small models, whole answers.
TESTS = {"steps": ["--lib", "tests::vectors"], "answers": ["--test", "generation", "golden_digests"]}


def prove():
    start = time.monotonic()
    result = STATE / "arithmetic.json"
    result.unlink(missing_ok=True)
    python = common.python_tool("python", REQUIREMENTS, "venv-second")
    code, output = common.run([python, "-B", HOME, "--json", result], log=STATE / "arithmetic.log")
    if not result.exists():
        raise Failed(f"tests/second did not run:\n{output[-4000:]}")
    compared = json.loads(result.read_text())
    engine = {name: _engine(name) for name in TESTS}
    holds = code == 0 and not compared["differing"] and all(engine.values())
    figures = {
        "answers": compared["golden"]["digest D"][0],
        "answers_that_agree": compared["golden"]["digest D"][1],
        "vectors": sum(seen for seen, _ in compared["steps"].values()),
        "vectors_that_agree": sum(equal for _, equal in compared["steps"].values()),
        "tests_of_the_engine": sum(engine.values()),
        "packages": REQUIREMENTS.read_text().strip(),
        "arithmetic_sources": _sources(),
        "compared": compared,
    }
    lines = ["| | compared | agree |", "|---|---|---|"]
    for part, counts in (("answer", compared["golden"]), ("vector", compared["steps"])):
        lines += [f"| {part}: {name} | {seen} | {equal} |" for name, (seen, equal) in counts.items()]
    if compared["differing"]:
        lines += ["", "Differing: " + ", ".join(compared["differing"]) + "."]
    return common.report("arithmetic", "Two implementations", holds, figures, "\n".join(lines), time.monotonic() - start)


def _engine(name):
    """Runs tests of the engine and returns how many passed, 0 if one failed."""
    command = ["cargo", "test", "--release", "--locked", "--package", "assay-engine", *TESTS[name]]
    code, output = common.run(command, log=STATE / f"arithmetic-{name}.log")
    return 0 if code else sum(int(passed) for passed in re.findall(r"test result: ok\. (\d+) passed", output))


def _sources():
    """Identifies the document, the second implementation and what is compared."""
    files = [ROOT / "docs/ARITHMETIC.md", *HOME.glob("*.py"), *(ROOT / "tests/vectors").glob("engine-*.json")]
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(str(path.relative_to(ROOT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]
