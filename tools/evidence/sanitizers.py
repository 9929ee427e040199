"""The engine's tests under LLVM's sanitizers: AddressSanitizer over nearly all of them, ThreadSanitizer over the kernels and the team of
threads, which hold the unsafe code that shares memory."""

import json
import re
import time

import common
from common import ROOT, STATE, Failed, say

TARGET = "x86_64-unknown-linux-gnu"
HOME = STATE / "sanitizers"
# The pinned stable compiler takes the unstable flags with this.
ENV = {"RUSTC_BOOTSTRAP": "1"}
FLAGS = {
    "address": "-Zsanitizer=address -Cdebug-assertions",
    # The standard library is not instrumented, so what only its locks and channels order is not looked at.
    "thread": "-Zsanitizer=thread -Cdebug-assertions -Zunstable-options -Cunsafe-allow-abi-mismatch=sanitizer",
}
# What is left out of the first takes minutes and reaches no other code. Weights lie in mapped pages, around which nothing is guarded.
CHOSEN = {"address": ["--skip", "accuracy", "--skip", "long_runs"], "thread": ["fast::"]}
# The channel that carries the test runner's own results.
SUPPRESSED = "race:std::sync::mpmc\nrace:test::\n"


def prove():
    start = time.monotonic()
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / "suppressions").write_text(SUPPRESSED)
    rows, reports, passed = [], 0, 0
    for name, flags in FLAGS.items():
        binary = _build(name, flags)
        say(f"sanitizers: {name}")
        began = time.monotonic()
        options = {"ASAN_OPTIONS": "detect_leaks=1", "TSAN_OPTIONS": f"suppressions={HOME / 'suppressions'}"}
        command = [binary, "--test-threads", "1", *CHOSEN[name]]
        code, output = common.run(command, cwd=ROOT / "crates/engine", env=options, log=HOME / f"{name}.log")
        found = len(re.findall(r"(?:ERROR: Address|WARNING: Thread|ERROR: Leak)Sanitizer", output))
        result = re.search(r"test result: \w+\. (\d+) passed; (\d+) failed", output)
        if not result and not found:
            raise Failed(f"the tests under {name} did not finish:\n{output[-4000:]}")
        counts = [int(n) for n in result.groups()] if result else [0, 1]
        reports += found + (code != 0 and not found)
        passed += counts[0]
        rows.append(f"| {name} | {counts[0]} | {counts[1]} | {found} | {time.monotonic() - began:.0f} |")
    figures = {"tests_passed": passed, "reports": reports, "rust_sources": _sources(), "compiler": _version()}
    body = "\n".join(
        ["| sanitizer | passed | failed | reports | seconds |", "|---|---|---|---|---|", *rows]
        + ["", "ThreadSanitizer runs the kernels and the team that shares out their work; the engine's own thread talks to others by"]
        + ["the standard library's locks and channels alone, which it can't follow as they are not instrumented."]
    )
    holds = reports == 0 and passed > 0
    return common.report("sanitizers", "The engine under sanitizers", holds, figures, body, time.monotonic() - start)


def _build(name, flags):
    """The engine's unit tests, instrumented."""
    say(f"sanitizers: building for {name}")
    command = ["cargo", "test", "--release", "--locked", "--package", "assay-engine", "--lib", "--target", TARGET]
    command += ["--target-dir", HOME / name, "--no-run", "--message-format", "json-render-diagnostics"]
    for line in common.must(command, env=ENV | {"RUSTFLAGS": flags}).splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message["profile"]["test"]:
            return message["executable"]
    raise Failed("cargo built no test")


def _version():
    return common.must(["rustc", "--version"]).strip()


def _sources():
    """Identifies the code that was tested."""
    files = [ROOT / name for name in ("Cargo.toml", "Cargo.lock", "crates/engine/Cargo.toml", "crates/protocol/Cargo.toml")]
    for folder in ("crates/engine/src", "crates/protocol/src"):
        files += (ROOT / folder).rglob("*.rs")
    return common.fingerprint(files)
