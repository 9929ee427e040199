"""Fuzzing of what reads bytes from strangers: model files, vocabularies and texts, canonical inputs. libFuzzer with coverage,
AddressSanitizer and overflow checks, every target for 10 minutes."""

import json
import re
import time

import common
from common import ROOT, STATE, Failed, say

HOME = STATE / "fuzz"
# Coverage and sanitizer flags are the compiler's unstable ones; the pinned stable compiler takes them with this.
ENV = {"RUSTC_BOOTSTRAP": "1"}
CARGO_FUZZ = "0.13.2"
# Seconds between two notes of how far a target is.
PART = 120
# Seconds that an input may take, and MiB that the fuzzer may.
LIMITS = ["-timeout=60", "-rss_limit_mb=4096"]
# More to begin from than is replayed in CI: a small model of every family.
SEEDS = {"gguf_loader": [ROOT / "tests/vectors/families"]}


def prove(seconds="600"):
    start, seconds = time.monotonic(), int(seconds)
    sources, folder = _sources(), _build()
    results = {target: _fuzz(target, folder / target, seconds, sources) for target in _targets()}
    findings = sum(len(result["findings"]) for result in results.values())
    figures = {
        "targets": len(results),
        "seconds_a_target": seconds,
        "inputs_run": sum(result["runs"] for result in results.values()),
        "findings": findings,
        "rust_sources": sources,
        "cargo_fuzz": CARGO_FUZZ,
        "by_target": results,
    }
    lines = ["| target | inputs run | edges covered | inputs kept | findings |", "|---|---|---|---|---|"]
    for target, r in results.items():
        found = ", ".join(r["findings"]) or "none"
        lines.append(f"| {target} | {r['runs']:,} | {r['edges']:,} | {r['kept']:,} | {found} |")
    body = "Findings of earlier runs are fixed and lie in fuzz/corpus, which every run of the tests replays.\n\n"
    return common.report("fuzz", "Fuzzing", findings == 0, figures, body + "\n".join(lines), time.monotonic() - start)


def _targets():
    return sorted(path.stem for path in (ROOT / "fuzz/fuzz_targets").glob("*.rs"))


def _sources():
    """Identifies the code that is fuzzed; results for other code are not reused."""
    files = [ROOT / name for name in ("Cargo.toml", "rust-toolchain.toml", "fuzz/Cargo.toml", "fuzz/Cargo.lock")]
    for folder in ("crates/engine/src", "crates/protocol/src", "fuzz/src", "fuzz/fuzz_targets"):
        files += [path for path in (ROOT / folder).rglob("*.rs") if "tests" not in path.parts]
    return common.fingerprint(files)


def _build():
    """Builds the fuzzers and returns where they are."""
    tools = STATE / "cargo"
    if not (tools / "bin/cargo-fuzz").exists():
        say("installing cargo-fuzz into target/evidence/cargo")
        common.must(["cargo", "install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ, "--root", tools])
    say("fuzz: building")
    env = ENV | {"PATH": f"{tools / 'bin'}:{common.os.environ['PATH']}"}
    command = ["cargo", "fuzz", "build", "--fuzz-dir", ROOT / "fuzz", "--target-dir", ROOT / "target/fuzz"]
    common.must(command, cwd=ROOT / "fuzz", env=env)
    host = re.search(r"host: (\S+)", common.must(["rustc", "-vV"]))[1]
    return ROOT / "target/fuzz" / host / "release"


def _fuzz(target, program, seconds, sources):
    """Runs a target in parts until it has had its time, and notes each part."""
    home, note = HOME / target, HOME / f"{target}.json"
    corpus, found = home / "corpus", home / "findings"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    done = json.loads(note.read_text()) if note.exists() else {}
    if done.get("sources") != sources:
        done = {"sources": sources, "seconds": 0, "runs": 0, "edges": 0, "kept": 0, "findings": []}
        for file in found.iterdir():
            file.unlink()
    while done["seconds"] < seconds and not done["findings"]:
        part = min(PART, seconds - done["seconds"])
        say(f"fuzz: {target}, {done['seconds']} of {seconds} s")
        command = [program, f"-max_total_time={part}", "-print_final_stats=1", f"-artifact_prefix={found}/", *LIMITS]
        seeds = [ROOT / "fuzz/corpus" / target, *SEEDS.get(target, [])]
        code, output = common.run([*command, corpus, *seeds], log=home / "last.log")
        edges, runs = re.findall(r" cov: (\d+)", output), re.search(r"number_of_executed_units: (\d+)", output)
        # A slow input is none: a busy machine makes any input slow.
        done["findings"] = sorted(file.name for file in found.iterdir() if not file.name.startswith("slow-unit-"))
        if not edges or not runs or (code and not done["findings"]):
            raise Failed(f"{target} did not run:\n{output[-4000:]}")
        done["seconds"] += part
        done["runs"] += int(runs[1])
        done["edges"] = max(done["edges"], int(edges[-1]))
        done["kept"] = sum(1 for _ in corpus.iterdir())
        note.write_text(json.dumps(done))
    return done
