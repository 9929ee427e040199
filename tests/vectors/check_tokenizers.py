"""Holds tokenizers.json against llama.cpp, which the vectors do not come from.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install llama-cpp-python==0.3.36 gguf==0.19.0
    /tmp/venv/bin/python tests/vectors/check_tokenizers.py

One difference is known: for `tekken` llama.cpp has a simpler regular expression, which takes combining marks for
no part of a word. The vectors follow the model's own tokenizer.json.
"""

import json
import pathlib
import struct
import sys
import tempfile
import unicodedata

import gguf
from llama_cpp import Llama

VECTORS = json.loads((pathlib.Path(__file__).resolve().parent / "tokenizers.json").read_text())


def write(path, vocabulary, pre):
    """A model file without weights."""
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(128)
    file.add_embedding_length(64)
    file.add_block_count(1)
    file.add_feed_forward_length(96)
    file.add_head_count(4)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(16)
    file.add_tokenizer_model(vocabulary["model"])
    file.add_tokenizer_pre(pre or "default")
    file.add_token_list([token.encode() for token in vocabulary["tokens"]])
    file.add_token_types(vocabulary["kinds"])
    if pre:
        file.add_token_merges(vocabulary["merges"])
    else:
        file.add_token_scores([struct.unpack("<f", struct.pack("<I", bits))[0] for bits in vocabulary["scores"]])
        file.add_add_space_prefix(vocabulary["add_space_prefix"])
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def check(case, folder):
    vocabulary, pre = VECTORS["vocabularies"][case["vocabulary"]], case.get("pre")
    path = f"{folder}/{case['name']}.gguf"
    write(path, vocabulary, pre)
    model = Llama(path, vocab_only=True, verbose=False)
    wrong, known = [], 0
    for i, text in enumerate(VECTORS["texts"]):
        wanted = {False: case["ids"][i]}
        if pre:
            wanted[True] = case["special"].get(str(i), case["ids"][i])
        for special, ids in wanted.items():
            if model.tokenize(text.encode(), add_bos=False, special=special) != ids:
                marks = any(unicodedata.category(c).startswith("M") for c in text)
                if pre == "tekken" and marks:
                    known += 1
                else:
                    wrong.append(text)
    print(f"{case['name']}: {len(wrong)} differ, {known} in the known way", *map(repr, wrong))
    return not wrong


with tempfile.TemporaryDirectory() as place:
    sys.exit(0 if all([check(case, place) for case in VECTORS["cases"]]) else 1)
