"""The engine on AArch64: its tests, run by an emulator with the back ends for NEON. It says nothing about speed."""

import json
import os
import pathlib
import re
import shutil
import time

import common
from common import ROOT, STATE, Failed, say

TARGET = "aarch64-unknown-linux-gnu"
HOME = STATE / "neon"
LIBRARIES = pathlib.Path("/usr/aarch64-linux-gnu")
# Of a processor's instructions those that the emulator knows, and those of one without the dot product.
PROCESSORS = {"max": "neon-dot", "cortex-a72": "neon"}
# The tests that run on the second one too: each kernel against the reference, and the digests of whole outputs.
AGAIN = {"assay_engine": ["fast::"], "backends": []}
PACKAGES = "apt-get install --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
STANDARD_LIBRARY = (
    f"no compiler with a standard library for {TARGET}: run `rustup target add {TARGET}`, or on Debian `dpkg --add-architecture arm64 && "
    "apt-get update && apt-get install --no-install-recommends rustc-web libstd-rust-web-dev:arm64`; "
    "`neon=/path/to/rustc` chooses another"
)


def prove(compiler=""):
    """`compiler`, if given, is a rustc that has a standard library for AArch64."""
    start = time.monotonic()
    emulator, objdump = _programs()
    compiler, version = _compiler(compiler)
    binaries = _build(compiler, emulator)
    rows, passed, failed, ignored, chosen = [], 0, 0, 0, {}
    for processor in PROCESSORS:
        for name, binary in binaries.items():
            if processor != "max" and name not in AGAIN:
                continue
            say(f"neon: {name} on {processor}")
            began = time.monotonic()
            # What the tests print says which back end was chosen.
            command = [emulator, "-cpu", processor, "-L", LIBRARIES, binary, "--nocapture"]
            filters = AGAIN.get(name, []) if processor != "max" else []
            _, output = common.run([*command, *filters], cwd=ROOT / "crates/engine", log=HOME / f"{name}-{processor}.log")
            result = re.search(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", output)
            if not result:
                raise Failed(f"{name} on {processor} did not finish:\n{output[-4000:]}")
            counts = [int(n) for n in result.groups()]
            passed, failed, ignored = passed + counts[0], failed + counts[1], ignored + counts[2]
            rows.append(f"| {name} | {processor} | {counts[0]} | {counts[1]} | {counts[2]} | {time.monotonic() - began:.0f} |")
            if name == "backends":
                chosen[processor] = re.search(r"chosen: (\S+)", output)[1]
    dots = {name: _dots(objdump, binary) for name, binary in binaries.items()}
    figures = {
        "passed": passed,
        "failed": failed,
        "ignored": ignored,
        "chosen": ", ".join(f"{backend} on {processor}" for processor, backend in chosen.items()),
        "sdot_instructions": dots["backends"],
        "rust_sources": _sources(),
        "compiler": version,
        "emulator": common.must([emulator, "--version"]).split("\n")[0],
    }
    holds = passed > 0 and failed == 0 and chosen == PROCESSORS and dots["backends"] > 0
    body = "\n".join(
        ["| tests | processor | passed | failed | ignored | seconds |", "|---|---|---|---|---|---|", *rows]
        + ["", "Emulated, so no figure here says how fast a real processor is. An instruction that a processor lacks ends the tests."]
    )
    return common.report("neon", "The engine on AArch64", holds, figures, body, time.monotonic() - start)


def _programs():
    """The emulator and the disassembler."""
    found = {name: shutil.which(name) for name in ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objdump")}
    found["qemu-aarch64-static"] = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    found[f"{LIBRARIES}/lib"] = (LIBRARIES / "lib/libc.so.6").exists()
    missing = [name for name, there in found.items() if not there]
    if missing:
        raise Failed(f"{', '.join(missing)} missing: run `{PACKAGES}`")
    return found["qemu-aarch64-static"], found["aarch64-linux-gnu-objdump"]


def _compiler(wanted):
    """A compiler that can build for AArch64, and its version: the pinned one if it can."""
    for compiler in [wanted] if wanted else ["rustc", "/usr/bin/rustc"]:
        if not shutil.which(compiler):
            continue
        code, folder = common.run([compiler, "--print", "target-libdir", "--target", TARGET])
        if code == 0 and list(pathlib.Path(folder.strip()).glob("libstd-*.rlib")):
            return compiler, common.must([compiler, "--version"]).strip()
    raise Failed(STANDARD_LIBRARY)


def _build(compiler, emulator):
    """The engine's test programs by name."""
    say("neon: building")
    env = {"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "aarch64-linux-gnu-gcc"}
    if compiler != "rustc":
        env["RUSTC"] = compiler
    command = ["cargo", "test", "--release", "--locked", "--package", "assay-engine", "--target", TARGET]
    command += ["--target-dir", HOME / "target", "--no-run", "--message-format", "json-render-diagnostics"]
    output = common.must(command, env=env)
    binaries = {}
    for line in output.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message["profile"]["test"]:
            binaries[message["target"]["name"]] = message["executable"]
    return dict(sorted(binaries.items()))


def _dots(objdump, binary):
    """How many `sdot` instructions the engine's functions in a program have."""
    count, inside = 0, False
    for line in common.must([objdump, "-d", "--no-show-raw-insn", binary]).splitlines():
        if line.endswith(">:"):
            inside = "assay_engine" in line
        elif inside and re.search(r"\tsdot\t", line):
            count += 1
    return count


def _sources():
    """Identifies the code that was tested."""
    files = [ROOT / name for name in ("Cargo.toml", "Cargo.lock", "crates/engine/Cargo.toml", "crates/protocol/Cargo.toml")]
    for folder in ("crates/engine/src", "crates/engine/tests", "crates/protocol/src"):
        files += (ROOT / folder).rglob("*.rs")
    return common.fingerprint(files)
