"""What is hashed: model root, canonical input, work digest, D. docs/ARITHMETIC.md, Model root, and docs/PROTOCOL.md, 7."""

import numpy as np

from keccak import keccak, keccak_each
from weights import Matrix

VERSION = 1
FINISH = {"stop": 1, "length": 2, "cancelled": 3}


def number(x, size):
    return (x % (1 << 8 * size)).to_bytes(size, "big")


def merkle(nodes):
    while len(nodes) > 1:
        pairs = [b"\1" + nodes[i] + nodes[i + 1] for i in range(0, len(nodes) - 1, 2)]
        nodes = keccak_each(pairs) + nodes[len(nodes) & ~1 :]
    return nodes[0]


def tensor_root(tensor):
    if isinstance(tensor, Matrix):
        leaves = []
        two_bytes = lambda x: x.astype(">i2").view(np.uint8).reshape(-1, 2)  # noqa: E731
        for row, (q, sw, e) in enumerate(zip(tensor.q, tensor.sw, tensor.e)):
            parts = [two_bytes(sw), q.view(np.uint8)]
            if tensor.mw is not None:
                parts.insert(1, two_bytes(tensor.mw[row]))
            blocks = np.concatenate(parts, axis=1)
            for start in range(0, len(blocks), 64):
                leaves.append((b"\0" if tensor.mw is None else b"\2") + number(int(e), 1) + blocks[start : start + 64].tobytes())
    else:
        parts = [tensor[start : start + 2048] for start in range(0, len(tensor), 2048)]
        leaves = [b"\0" + part.astype(">i4").tobytes() for part in parts]
    return merkle(keccak_each(leaves))


def shape_table(model):
    s, family = model.shape, model.shape.family
    table = [s.layers, s.width, s.heads, s.kv_heads, s.head, s.rotated, s.inner, s.vocabulary, s.positions, *s.eps]
    table += [s.query_factor, *s.turns]
    if family.halves:  # every family but llama
        table += [1, family.gelu, s.embedding_factor, family.biases, family.head_norms, family.added_norms]
        table += [family.period, s.window, *s.window_turns] if s.window else [0, 0]
        table += [s.score_cap, s.logit_cap] if family.caps else []
    table += [s.magnitude] if s.magnitude else []
    return b"".join(number(int(x), 8) for x in table) + number(model.tied, 1)


def end_tokens(file):
    ids = (file.meta.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom"))
    return sorted({i for i in ids if i is not None})


def tokenizer_hash(file):
    text = lambda data: number(len(data), 8) + data  # noqa: E731
    ends = end_tokens(file)
    parts = [number(len(ends), 8), *(number(i, 4) for i in ends)]
    for key in sorted(key for key in file.meta if key.startswith("tokenizer.")):
        parts += [text(key.encode()), _entry(file.types[key], file.meta[key], text)]
    return keccak(*parts)


def _entry(kind, value, text):
    listed = lambda items: number(len(value), 8) + b"".join(items)  # noqa: E731
    if kind == 6:
        return text(b"single") + number(value.bits, 4)
    if kind == 7:
        return text(b"bool") + number(value, 1)
    if kind == 8:
        return text(b"text") + text(value)
    if kind == (9, 8):
        return text(b"texts") + listed(text(one) for one in value)
    if kind in ((9, 4), (9, 5)):
        return text(b"ints") + listed(number(one, 8) for one in value)
    if kind == (9, 6):
        return text(b"singles") + listed(number(one.bits, 4) for one in value)
    if kind == 12 or isinstance(kind, tuple):
        return text(b"other")
    return text(b"int") + number(value, 16)


def tensors(model):
    yield model.embedding
    for layer in model.layers:
        yield from (layer.attention_norm, layer.query, layer.key, layer.value, layer.output)
        yield from (layer.feed_forward_norm, layer.gate, layer.up, layer.down)
        more = (layer.query_bias, layer.query_norm, layer.key_bias, layer.key_norm, layer.value_bias)
        yield from (tensor for tensor in (*more, layer.after_attention, layer.after_feed_forward) if tensor is not None)
    yield model.norm
    if not model.tied:
        yield model.output


def model_root(model):
    weights = merkle([tensor_root(tensor) for tensor in tensors(model)])
    name = keccak(b"assay.model.v1")
    return keccak(name, number(VERSION, 4), keccak(shape_table(model)), tokenizer_hash(model.file), weights)


def canonical_input(nonce, max_tokens, sampling, stop_tokens, prompt):
    s = sampling
    parts = [b"ASI1", nonce, number(max_tokens, 4), number(s["seed"], 8)]
    parts += [number(s[key], 4) for key in ("temperature", "top_p", "top_k")]
    parts += [number(len(stop_tokens), 2), *(number(one, 4) for one in stop_tokens)]
    parts += [number(len(prompt), 4), *(number(one, 4) for one in prompt)]
    return b"".join(parts)


class Work:
    """The work digest."""

    def __init__(self):
        self.digest = keccak(b"assay.work.v1")

    def absorb(self, hidden):
        self.digest = keccak(self.digest, hidden.astype("<i4").tobytes())


def digest(root, input_hash, prompt, output, finish, work):
    head = [keccak(b"assay.digest.v1"), number(VERSION, 4), root, input_hash]
    head += [number(len(prompt), 4), number(len(output), 4), number(FINISH[finish], 1)]
    return keccak(*head, *(number(one, 4) for one in output), work)
