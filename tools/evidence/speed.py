"""The engine's speed beside llama.cpp's, on models of random weights in the shapes of real ones."""

import json
import os
import subprocess
import sys
import time

import common
from common import ROOT, STATE, say

# Rounds a number of threads. Nothing else may run meanwhile.
MODELS = {"134m-q8_0": 8, "134m-q4_0": 8, "1.1b-q8_0": 3, "1.1b-q4_0": 3}
FIGURES = {
    "prefill": "prefill, tokens/s",
    "llama_prefill": "llama.cpp",
    "prefill_ratio": "ratio",
    "decode": "decode, tokens/s",
    "llama_decode": "llama.cpp",
    "decode_ratio": "ratio",
    "eight_to_one": "eight requests together ÷ one",
    "decode_of_bandwidth": "decode ÷ reading the weights alone",
    "prefill_of_peak": "prefill ÷ int8 peak of registers",
    "load_seconds_a_gb": "load, s a GB of file",
    "memory_of_weights": "peak memory ÷ weights, the caches of 8 requests and the vocabulary included",
}


def prove(python=""):
    """`python`, if given, has numpy and llama_cpp; otherwise both are installed into target/evidence/speed."""
    start = time.monotonic()
    folder = STATE / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    python = python or _python(folder)
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "assay-cli"], cwd=ROOT, check=True)
    lines, figures = [], {}
    for name, rounds in MODELS.items():
        file, out = folder / f"{name}.gguf", folder / f"{name}.json"
        if not file.exists():
            say(f"speed: making {name}")
            shape, kind = name.split("-")
            subprocess.run([python, ROOT / "bench/make_model.py", shape, kind, f"{file}.part"], check=True)
            os.rename(f"{file}.part", file)
        say(f"speed: {name}, {rounds} rounds of each number of threads")
        command = [sys.executable, ROOT / "bench/compare.py", file, "--threads", "1,2", "--rounds", str(rounds)]
        subprocess.run([*command, "--python", python, "--json", out], check=True)
        for result in json.loads(out.read_text())["results"]:
            key = f"{name}, {result['threads']} threads"
            figures[key] = {k: {n: round(v, 3) for n, v in result[k].items()} for k in FIGURES}
            lines += [f"## {key}", "", "| | median | 95 % |", "|---|---|---|"]
            for figure, label in FIGURES.items():
                of = result[figure]
                lines.append(f"| {label} | {of['median']:.3f} | {of['low']:.3f} to {of['high']:.3f} |")
            lines.append("")
    least = min(f["decode_ratio"]["low"] for f in figures.values())
    holds = least >= 1 and min(f["prefill_ratio"]["median"] for f in figures.values()) >= 3
    return common.report("speed", "Speed beside llama.cpp", holds, figures, "\n".join(lines), time.monotonic() - start)


def _python(folder):
    python = folder / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "numpy", "llama-cpp-python"], check=True)
    return python
