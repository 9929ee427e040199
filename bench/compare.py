#!/usr/bin/env python3
"""Compares this engine with llama.cpp on the same GGUF file, threads and machine, in alternation, in one run.

    bench/compare.py target/bench/134m-q8_0.gguf --threads 1,2

llama.cpp comes as llama-cpp-python from PyPI, which pip compiles into target/bench/venv the first time (some ten minutes);
`--python` names one that has it. Each round measures one of them, then the other; the ratio is taken within a round. Prints
the median ratio with the 2.5 % and 97.5 % quantiles of its bootstrap.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEER = """
import json, sys, time
import llama_cpp
path, threads, prompt, tokens = sys.argv[1], *map(int, sys.argv[2:5])
model = llama_cpp.Llama(path, n_ctx=prompt + tokens + 8, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False)
ids = [(i * 127 + 300) % model.n_vocab() for i in range(prompt)]
# A line asks for a measurement; the first one touches fresh memory, as the other side's does.
for line in sys.stdin:
    model.reset()
    start = time.perf_counter()
    model.eval(ids)
    prefill = prompt / (time.perf_counter() - start)
    start = time.perf_counter()
    for i in range(tokens - 1):
        model.eval([300 + i])
    print(json.dumps([prefill, (tokens - 1) / (time.perf_counter() - start)]), flush=True)
"""


def peer_python():
    python = ROOT / "target/bench/venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
    if subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode:
        print("installing llama-cpp-python", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", "llama-cpp-python"], check=True)
    return python


def interval(ratios, seed=1):
    """Median, and the middle 95 % of the medians of resampled ratios."""
    source = random.Random(seed)
    medians = sorted(statistics.median(source.choices(ratios, k=len(ratios))) for _ in range(2000))
    return {"median": statistics.median(ratios), "low": medians[50], "high": medians[1949]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, as 1,2")
    parser.add_argument("--prompt", type=int, default=64, help="prompt tokens")
    parser.add_argument("--tokens", type=int, default=64, help="output tokens")
    parser.add_argument("--rounds", type=int, default=12, help="rounds a number of threads")
    parser.add_argument("--assay", type=pathlib.Path, default=ROOT / "target/release/assay", help="the program")
    parser.add_argument("--python", help="a Python that has llama_cpp")
    parser.add_argument("--json", type=pathlib.Path, help="write every measurement there")
    arguments = parser.parse_args()
    python = arguments.python or peer_python()

    results, backend = [], None
    for threads in map(int, arguments.threads.split(",")):
        sizes = [str(threads), str(arguments.prompt), str(arguments.tokens)]
        peer = subprocess.Popen(
            [python, "-c", PEER, arguments.model, *sizes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        def ask_peer():
            peer.stdin.write("\n")
            peer.stdin.flush()
            return json.loads(peer.stdout.readline())

        def ask_ours():
            command = [arguments.assay, "bench", arguments.model, "--threads", sizes[0], "--prompt", sizes[1]]
            # Eight come first: what one engine leaves behind in the allocator would add to the peak of the next one.
            command += ["--tokens", sizes[2], "--batch", "8,1", "--repeat", "1", "--json"]
            return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        ask_peer()
        rounds = []
        for number in range(arguments.rounds):
            # Who comes first alternates too.
            if number % 2:
                theirs, ours = ask_peer(), ask_ours()
            else:
                ours, theirs = ask_ours(), ask_peer()
            backend = ours["backend"]
            eight, one = ours["cases"]
            rounds.append(
                {
                    "prefill": one["prefill"]["median"],
                    "decode": one["decode"]["median"],
                    "eight": eight["decode"]["median"],
                    "of_bandwidth": one["decode_of_bandwidth"],
                    "of_peak": one["prefill_of_peak"],
                    "work_digest": max(one["work_digest_share"], eight["work_digest_share"]),
                    "load_seconds_a_gb": ours["load_seconds"] / ours["file_bytes"] * 1e9,
                    "memory": ours["peak_memory_bytes"]
                    / (ours["weight_bytes"] + max(case["cache_bytes"] for case in ours["cases"])),
                    "llama_prefill": theirs[0],
                    "llama_decode": theirs[1],
                }
            )
            print(f"{threads} threads, round {number + 1} of {arguments.rounds}", end="\r", file=sys.stderr)
        peer.stdin.close()
        peer.wait()
        ratio = lambda a, b: interval([r[a] / r[b] for r in rounds])
        value = lambda a: interval([r[a] for r in rounds])
        result = {
            "threads": threads,
            "prefill": value("prefill"),
            "decode": value("decode"),
            "llama_prefill": value("llama_prefill"),
            "llama_decode": value("llama_decode"),
            "prefill_ratio": ratio("prefill", "llama_prefill"),
            "decode_ratio": ratio("decode", "llama_decode"),
            "eight_to_one": ratio("eight", "decode"),
            "decode_of_bandwidth": value("of_bandwidth"),
            "prefill_of_peak": value("of_peak"),
            "work_digest": value("work_digest"),
            "load_seconds_a_gb": value("load_seconds_a_gb"),
            "memory": value("memory"),
            "rounds": rounds,
        }
        results.append(result)
        print(f"{arguments.model.name}, {threads} threads, {arguments.rounds} rounds")
        for name, of in result.items():
            if isinstance(of, dict):
                print(f"  {name:22} {of['median']:8.3f}   95 %: {of['low']:.3f} to {of['high']:.3f}")
    if arguments.json:
        measured = {"model": arguments.model.name, "backend": backend, "results": results}
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
