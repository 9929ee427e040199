"""Whole answers: the digests D and model roots of tests/vectors/engine-golden.json, computed anew."""

import json
import pathlib

import commit
from forward import Sequence, logits
from gguf import File
from keccak import keccak
from sampling import sample
from shape import read_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors"


def open_model(path):
    return read_model(File(path.read_bytes()))


def generate(model, prompt, sampling, max_tokens, stop_tokens=(), limit=None):
    """(tokens, finish, work digest), cut off after `limit` tokens."""
    ends = {*commit.end_tokens(model.file), *stop_tokens}
    sequence, work, output = Sequence(model), commit.Work(), []
    for token in prompt:
        hidden = sequence.step(token)
    while True:
        output.append(sample(logits(model, hidden), sampling, sequence.position))
        work.absorb(hidden)
        if output[-1] in ends:
            return output, "stop", work.digest
        if len(output) == max_tokens:
            return output, "length", work.digest
        if len(output) == limit:
            return output, "cancelled", work.digest
        hidden = sequence.step(output[-1])


def check(say=print):
    """Compares every entry. Returns (what was compared, what agrees) by kind, and the names of what differs."""
    golden = json.loads((VECTORS / "engine-golden.json").read_text())
    # The tokenizer is no part of the arithmetic: ids of the prompts are taken from another file.
    ids = {one["prompt"]: one["ids"] for one in json.loads((VECTORS / "engine-greedy.json").read_text())["prompts"]}
    counts, differing = {}, []

    def compare(kind, name, got, expected):
        seen, equal = counts.get(kind, (0, 0))
        counts[kind] = seen + 1, equal + (got == expected)
        if got != expected:
            differing.append(f"{kind} of {name}")
            say(f"{kind} of {name}: {got} instead of {expected}")

    for entry in golden["models"]:
        model = open_model(ROOT / f"models/{entry['model']}.gguf")
        root = commit.model_root(model)
        compare("model root", entry["model"], "0x" + root.hex(), entry["root"])
        for i, case in enumerate(entry["cases"]):
            name, prompt, sampling = f"{entry['model']} case {i}", ids[case["prompt"]], case["sampling"]
            canonical = commit.canonical_input(bytes.fromhex(entry["nonce"]), case["max_tokens"], sampling, [], prompt)
            input_hash = keccak(canonical)
            compare("input hash", name, "0x" + input_hash.hex(), case["input_hash"])
            output, finish, work = generate(model, prompt, sampling, case["max_tokens"], limit=case["limit"])
            compare("output", name, (output, finish), (case["tokens"], case["finish"]))
            d = commit.digest(root, input_hash, prompt, output, finish, work)
            compare("digest D", name, "0x" + d.hex(), case["digest"])
        say(f"{entry['model']}: {len(entry['cases'])} answers computed")
    return counts, differing
