#!/usr/bin/env python3
"""Makes GGUF files of random weights, in the shapes of real models, to measure speed with.

    bench/make_model.py 134m q8_0 target/bench/134m-q8_0.gguf

Needs numpy. The same arguments make the same bytes.
"""

import argparse
import struct

import numpy as np

# width, layers, heads, heads of keys and values, feed-forward, vocabulary, context
SHAPES = {
    "15m": (288, 6, 6, 6, 768, 32000, 2048),
    "134m": (768, 12, 12, 12, 2048, 32000, 2048),
    "1.1b": (2048, 22, 32, 4, 5632, 32000, 2048),
}
UINT32, FLOAT32, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "q4_k": 12}
# Weights and bytes of a block.
BLOCKS = {"f32": (1, 4), "f16": (1, 2), "q4_0": (32, 18), "q8_0": (32, 34), "q4_k": (256, 144)}
ALIGNMENT = 32


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    out = text(key) + struct.pack("<I", kind)
    if kind == STRING:
        return out + text(value)
    if kind == ARRAY:
        of, values = value
        out += struct.pack("<IQ", of, len(values))
        if of == STRING:
            return out + b"".join(map(text, values))
        return out + np.asarray(values, {FLOAT32: "<f4", INT32: "<i4"}[of]).tobytes()
    return out + struct.pack({UINT32: "<I", FLOAT32: "<f"}[kind], value)


def vocabulary(count):
    """SentencePiece style: specials, bytes, then words that no text needs."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = ["\u2581"] + letters + [a + b for a in ["\u2581"] + letters for b in letters]
    words += [a + b + c for a in ["\u2581"] + letters for b in letters for c in letters]
    words += ["x" * 12 + str(i) for i in range(count)]
    tokens = (tokens + words)[:count]
    kinds += [1] * (count - len(kinds))
    scores = [-float(i) for i in range(count)]
    return tokens, scores, kinds


def encode(kind, weights):
    if kind == "f32":
        return weights.astype("<f4").tobytes()
    if kind == "f16":
        return weights.astype("<f2").tobytes()
    blocks = weights.reshape(-1, 32)
    if kind == "q8_0":
        scale = (np.abs(blocks).max(axis=1) / 127).astype("<f2")
        q = np.rint(blocks / np.maximum(scale.astype("f4"), 1e-30)[:, None]).clip(-127, 127).astype("i1")
        return np.concatenate([scale.view("u1").reshape(-1, 2), q.view("u1")], axis=1).tobytes()
    if kind == "q4_k":
        return q4_k(blocks.reshape(-1, 8, 32))
    # q4_0: the element of the largest magnitude becomes -8.
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)[:, 0]
    scale = (extreme / -8).astype("<f2")
    inverse = np.where(scale == 0, 0, 1 / np.where(scale == 0, 1, scale.astype("f4")))
    q = np.floor(blocks * inverse[:, None] + 8.5).clip(0, 15).astype("u1")
    packed = q[:, :16] | q[:, 16:] << 4
    return np.concatenate([scale.view("u1").reshape(-1, 2), packed], axis=1).tobytes()


def q4_k(blocks):
    """Super-blocks [super][8][32]: d and dmin in half precision, scales and minima of six bits, weights of four."""
    minimum = np.maximum(-blocks.min(axis=2), 0)
    scale = (blocks.max(axis=2) + minimum) / 15
    d, dmin = ((x.max(axis=1) / 63).astype("<f2") for x in (scale, minimum))
    part = lambda x, of: np.divide(x, of, out=np.zeros_like(x), where=of != 0)  # noqa: E731
    wide = lambda x: x.astype("f4")[:, None]  # noqa: E731
    s, m = (np.rint(part(x, np.broadcast_to(wide(of), x.shape))).clip(0, 63) for x, of in ((scale, d), (minimum, dmin)))
    step, low = (wide(d) * s)[:, :, None], (wide(dmin) * m)[:, :, None]
    q = np.rint(part(blocks + low, np.broadcast_to(step, blocks.shape))).clip(0, 15).astype("u1")
    s, m = s.astype("u1"), m.astype("u1")
    packed = [s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6, s[:, 4:] & 15 | (m[:, 4:] & 15) << 4]
    halves = [x.view("u1").reshape(-1, 2) for x in (d, dmin)]
    # Runs two by two: one in the lower halves of bytes, the next in the upper ones.
    return np.concatenate([*halves, *packed, (q[:, ::2] | q[:, 1::2] << 4).reshape(len(q), 128)], axis=1).tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("path")
    arguments = parser.parse_args()
    width, layers, heads, kv_heads, hidden, vocab, context = SHAPES[arguments.shape]
    kv_width = width // heads * kv_heads

    tokens, scores, kinds = vocabulary(vocab)
    metadata = [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, f"random weights, {arguments.shape}"),
        entry("llama.context_length", UINT32, context),
        entry("llama.embedding_length", UINT32, width),
        entry("llama.block_count", UINT32, layers),
        entry("llama.feed_forward_length", UINT32, hidden),
        entry("llama.attention.head_count", UINT32, heads),
        entry("llama.attention.head_count_kv", UINT32, kv_heads),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        entry("llama.rope.dimension_count", UINT32, width // heads),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        entry("tokenizer.ggml.scores", ARRAY, (FLOAT32, scores)),
        entry("tokenizer.ggml.token_type", ARRAY, (INT32, kinds)),
        entry("tokenizer.ggml.bos_token_id", UINT32, 1),
        entry("tokenizer.ggml.eos_token_id", UINT32, 2),
    ]

    tensors = [("token_embd.weight", vocab, width)]
    for i in range(layers):
        tensors += [
            (f"blk.{i}.attn_norm.weight", 0, width),
            (f"blk.{i}.attn_q.weight", width, width),
            (f"blk.{i}.attn_k.weight", kv_width, width),
            (f"blk.{i}.attn_v.weight", kv_width, width),
            (f"blk.{i}.attn_output.weight", width, width),
            (f"blk.{i}.ffn_norm.weight", 0, width),
            (f"blk.{i}.ffn_gate.weight", hidden, width),
            (f"blk.{i}.ffn_up.weight", hidden, width),
            (f"blk.{i}.ffn_down.weight", width, hidden),
        ]
    tensors += [("output_norm.weight", 0, width), ("output.weight", vocab, width)]

    random = np.random.default_rng(1)
    infos, offset = [], 0
    sizes = []
    for name, rows, cols in tensors:
        kind = arguments.type if rows else "f32"
        dims = [cols, rows] if rows else [cols]
        infos.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, TYPES[kind], offset))
        weights = cols * max(rows, 1)
        count, size = BLOCKS[kind]
        if cols % count:
            raise SystemExit(f"rows of {name} have {cols} weights, no multiple of {count}: {kind} can't hold them")
        size *= weights // count
        sizes.append(size)
        offset += -(-size // ALIGNMENT) * ALIGNMENT

    with open(arguments.path, "wb") as out:
        out.write(struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(metadata)))
        out.write(b"".join(metadata) + b"".join(infos))
        out.write(bytes(-out.tell() % ALIGNMENT))
        for (name, rows, cols), size in zip(tensors, sizes):
            if rows:
                weights = random.standard_normal((rows, cols), dtype="f4") * np.float32(cols**-0.5)
                data = encode(arguments.type, weights)
            else:
                data = encode("f32", np.ones(cols, "f4"))
            assert len(data) == size, name
            out.write(data + bytes(-size % ALIGNMENT))


if __name__ == "__main__":
    main()
