"""The engine's speed beside llama.cpp's, on models of random weights in the shapes of real ones. One report for each back end that
machines choose."""

import hashlib
import json
import os
import subprocess
import sys
import time

import common
from common import ROOT, STATE, say

# Rounds a number of threads. Nothing else may run meanwhile.
MODELS = {"134m-q8_0": 12, "134m-q4_0": 8, "134m-q4_k": 8, "1.1b-q8_0": 8, "1.1b-q4_0": 4, "1.1b-q4_k": 4}
FIGURES = {
    "prefill": "prefill, tokens/s",
    "llama_prefill": "llama.cpp's prefill",
    "prefill_ratio": "prefill ÷ llama.cpp's",
    "decode": "decode, tokens/s",
    "llama_decode": "llama.cpp's decode",
    "decode_ratio": "decode ÷ llama.cpp's",
    "eight_to_one": "eight requests together ÷ one",
    "decode_of_bandwidth": "decode ÷ reading the weights alone",
    "prefill_of_peak": "prefill ÷ int8 peak of registers",
    "work_digest": "work digest ÷ decode, one request or eight",
    "load_seconds_a_gb": "load, s a GB of file",
    "memory": "peak memory ÷ (weights + KV cache)",
}
TITLES = {"avx2": "AVX2", "avx512": "AVX-512", "neon": "NEON", "neon-dot": "NEON and its dot product"}
# Least or most that a median may be; of 4-bit weights only that decoding is not slower than llama.cpp's, and what all share.
AT_LEAST = {"prefill_ratio": 3, "decode_ratio": 1.1, "eight_to_one": 4, "decode_of_bandwidth": 0.95}
AT_LEAST_OF_FOUR_BITS = {"decode_ratio": 1}
AT_MOST = {"work_digest": 0.01, "load_seconds_a_gb": 1, "memory": 1.1}


def prove(python=""):
    """`python`, if given, has numpy and llama_cpp; otherwise both are installed into target/evidence/speed."""
    start = time.monotonic()
    folder = STATE / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    python = python or _python(folder)
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "assay-cli"], cwd=ROOT, check=True)
    lines, figures, missed = [], {}, []
    mark = _mark()
    for name, rounds in MODELS.items():
        file, out = folder / f"{name}.gguf", folder / f"{name}-{rounds}-{mark}.json"
        if not file.exists():
            say(f"speed: making {name}")
            shape, kind = name.split("-")
            subprocess.run([python, ROOT / "bench/make_model.py", shape, kind, f"{file}.part"], check=True)
            os.rename(f"{file}.part", file)
        if not out.exists():
            say(f"speed: {name}, {rounds} rounds of each number of threads")
            command = [sys.executable, ROOT / "bench/compare.py", file, "--threads", "1,2", "--rounds", str(rounds)]
            subprocess.run([*command, "--python", python, "--json", out], check=True)
        measured = json.loads(out.read_text())
        backend = measured["backend"]
        for result in measured["results"]:
            key = f"{name}, {result['threads']} threads"
            figures[key] = {k: {n: round(v, 3) for n, v in result[k].items()} for k in FIGURES}
            lines += [f"## {key}", "", "| | median | 95 % | aim | |", "|---|---|---|---|---|"]
            least = AT_LEAST if name.endswith("q8_0") else AT_LEAST_OF_FOUR_BITS
            for figure, label in FIGURES.items():
                of = result[figure]
                aim = f"≥ {least[figure]}" if figure in least else f"≤ {AT_MOST[figure]}" if figure in AT_MOST else ""
                reached = least.get(figure, 0) <= of["median"] <= AT_MOST.get(figure, float("inf"))
                # That decoding is not slower must be no accident.
                reached &= figure != "decode_ratio" or of["low"] >= 1
                if not reached:
                    missed.append(f"{label} of {key}")
                word = "" if not aim else "reached" if reached else "**missed**"
                row = f"| {label} | {of['median']:.3f} | {of['low']:.3f} to {of['high']:.3f} | {aim} | {word} |"
                lines.append(row)
            lines.append("")
    lines = [f"Missed: {'; '.join(missed) or 'nothing'}.", "", *lines]
    title = f"Speed beside llama.cpp with {TITLES.get(backend, backend)}"
    took = time.monotonic() - start
    return common.report("speed", title, not missed, figures, "\n".join(lines), took, of=backend)


def _mark():
    """Identifies the program, what compares it, and the machine: what was measured of others is not reused."""
    whole = hashlib.sha256(json.dumps(common.machine()).encode())
    for file in ("target/release/assay", "bench/compare.py", "bench/make_model.py"):
        whole.update((ROOT / file).read_bytes())
    return whole.hexdigest()[:16]


def _python(folder):
    python = folder / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "numpy", "llama-cpp-python"], check=True)
    return python
