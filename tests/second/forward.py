"""The forward pass of one token at a time. docs/ARITHMETIC.md, The forward pass."""

from math import isqrt

import numpy as np

from fixed import clamp, cos_sin, exp2, gelu, half_up, i32, length, rescale, silu, soft_cap
from weights import scales


def norm(x, gains, eps):
    """RMSNorm of Q24 to Q16. The sums are Python ints."""
    n, (m, z) = len(x), eps
    b = length(x)
    s = max(0, b - (62 - (n - 1).bit_length()) // 2)
    part = half_up(x, s)
    a = int((part * part).sum())
    shift = z + 48 - 2 * s
    e = max(1, n * m << shift if shift >= 0 else half_up(n * m, -shift))
    total = a + e
    k = 0
    while n << k < total << 46:
        k += 2
    r = isqrt((n << k) // total)
    u = max(0, b - 36)
    y = rescale(half_up(x, u) * r, k // 2 + s - 20 - u, 1 << 30)
    return i32(half_up(y * gains, 26))


def quantise(a):
    """Activations Q16 for a product: (q [block][32], sa [block], e)."""
    a = np.pad(a, (0, -len(a) % 32)).reshape(-1, 32)
    e, sa = scales(abs(a).max(axis=1))
    d = sa << e
    w = np.array([30 + int(one).bit_length() - 1 for one in d])
    r = (1 << w) // d
    # |a| ≤ 2^31, r ≤ 2^30.
    return half_up(a * r[:, None], np.broadcast_to(w[:, None], a.shape)), sa, int(e)


def accumulate(matrix, q, sa):
    blocks = np.einsum("rbi,bi->rb", matrix.q, q) * matrix.sw
    if matrix.mw is not None:
        blocks = blocks - matrix.mw * q.sum(axis=1)
    return (blocks * sa).sum(axis=1)


def rescale_rows(acc, shifts, limit):
    """`rescale` with a shift a row."""
    result = np.empty_like(acc)
    for shift in np.unique(shifts):
        rows = shifts == shift
        result[rows] = rescale(acc[rows], int(shift), limit)
    return result


def product(matrix, a):
    """To Q16."""
    q, sa, e = quantise(a)
    return rescale_rows(accumulate(matrix, q, sa), 24 - matrix.e - e, 1 << 31)


def product_to_residual(matrix, a):
    """To Q24."""
    q, sa, e = quantise(a)
    return rescale_rows(accumulate(matrix, q, sa), 16 - matrix.e - e, 1 << 46)


def rotate(x, position, turns, halves, magnitude=0):
    """Heads [head][i] with their pairs rotated."""
    n = 2 * len(turns)
    first = np.arange(n // 2) if halves else np.arange(0, n, 2)
    second = first + (n // 2 if halves else 1)
    c, s = np.array([cos_sin(position * t % 2**64) for t in turns], np.int64).reshape(-1, 2).T
    if magnitude:
        c, s = half_up(c * magnitude, 30), half_up(s * magnitude, 30)
    a, b = x[:, first], x[:, second]
    x = x.copy()
    x[:, first], x[:, second] = i32(half_up(a * c - b * s, 30)), i32(half_up(a * s + b * c, 30))
    return x


def narrow(x, cap=None):
    """Numbers as (q, shift) with |q| ≤ 32767. Without `cap` the whole array shares a shift."""
    largest = int(abs(x).max())
    shift = max(0, (largest if cap is None else min(largest, cap)).bit_length() - 15)
    return clamp(half_up(x, shift), -32767, 32767), shift


def blocks_of(head):
    """A head [i] of keys or values as q [i] and shift [i], the shift that of the element's block."""
    q, shift = np.empty_like(head), np.empty_like(head)
    for start in range(0, len(head), 32):
        block = slice(start, start + 32)
        q[block], shift[block] = narrow(head[block], (1 << 31) - 1)
    return q, shift


def query_of(head, c):
    """A head of queries Q16 as (q, shift), Q20."""
    return narrow(half_up(head * c, 26))


def attend(query, keys, values, cap=0):
    """Output of a head. `query` is (q, shift); `keys` and `values` are q and shift [position][i]; `cap` 0 is none."""
    p = probabilities(scores(query, keys, cap))
    inverse = (1 << 62) // int(p.sum())
    v = (p[:, None] * (values[0] << values[1])).sum(axis=0)
    return np.array([i32((int(one) * inverse + (1 << 61)) >> 62) for one in v], np.int64)


def scores(query, keys, cap=0):
    """Q16, in log2 units."""
    q, shift = query
    result = rescale(((q * keys[0]) << keys[1]).sum(axis=1), 20 - shift, 1 << 60)
    return soft_cap(result, cap) if cap else result


def probabilities(scores):
    """Q15."""
    m, n = exp2(scores.max() - scores)
    return np.minimum(32767, half_up(m, 15 + n))


class Sequence:
    """A sequence under evaluation: its keys and values."""

    def __init__(self, model):
        self.model, self.position = model, 0
        self.cache = [([], []) for _ in model.layers]

    def step(self, token):
        """The hidden state, Q16, after one more token."""
        model, shape = self.model, self.model.shape
        x = embed(model, token)
        for i in range(shape.layers):
            x = self.layer(i, x)
        self.position += 1
        return norm(x, model.norm, shape.eps)

    def layer(self, i, x):
        layer, shape = self.model.layers[i], self.model.shape
        added = self.attention(i, norm(x, layer.attention_norm, shape.eps))
        if layer.after_attention is not None:
            added = norm(added, layer.after_attention, shape.eps) << 8
        x = x + added
        added = feed_forward(layer, norm(x, layer.feed_forward_norm, shape.eps), shape.family.gelu)
        if layer.after_feed_forward is not None:
            added = norm(added, layer.after_feed_forward, shape.eps) << 8
        return x + added

    def attention(self, i, a):
        layer, shape = self.model.layers[i], self.model.shape
        windowed = shape.windowed(i)
        turns = shape.window_turns if windowed else shape.turns

        def heads(matrix, bias, gains):
            x = product(matrix, a)
            if bias is not None:
                x = i32(x + bias)
            x = x.reshape(-1, shape.head)
            if gains is not None:
                x = np.array([norm(one << 8, gains, shape.eps) for one in x])
            return x

        how = (self.position, turns, shape.family.halves, shape.magnitude)
        queries = rotate(heads(layer.query, layer.query_bias, layer.query_norm), *how)
        key = rotate(heads(layer.key, layer.key_bias, layer.key_norm), *how)
        value = heads(layer.value, layer.value_bias, None)
        keys, values = self.cache[i]
        keys.append([blocks_of(one) for one in key])
        values.append([blocks_of(one) for one in value])
        first = max(0, self.position - shape.window + 1) if windowed else 0
        # [position][kv head][q or shift][i]
        keys, values = np.array(keys[first:]), np.array(values[first:])
        result = []
        for h, query in enumerate(queries):
            g = h // (shape.heads // shape.kv_heads)
            pick = lambda x: (x[:, g, 0], x[:, g, 1])  # noqa: E731
            result.append(attend(query_of(query, shape.query_factor), pick(keys), pick(values), shape.score_cap))
        return product_to_residual(layer.output, np.concatenate(result))


def embed(model, token):
    table, shape = model.embedding, model.shape
    x = table.q[token].astype(np.int64) * table.sw[token][:, None]
    if table.mw is not None:
        x = x - table.mw[token][:, None]
    x = rescale(x.reshape(-1)[: shape.width], -int(table.e[token]), 1 << 48)
    if shape.embedding_factor:
        x = [clamp((int(one) * shape.embedding_factor + (1 << 19)) >> 20, -(1 << 48), (1 << 48) - 1) for one in x]
    return np.array(x, np.int64)


def feed_forward(layer, a, with_gelu):
    g, u = product(layer.gate, a), product(layer.up, a)
    return product_to_residual(layer.down, i32(half_up((gelu if with_gelu else silu)(g) * u, 16)))


def logits(model, hidden):
    result = product(model.output, hidden)
    return soft_cap(result, model.shape.logit_cap) if model.shape.logit_cap else result
