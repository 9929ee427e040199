"""Tensors of a file as integers. docs/ARITHMETIC.md, Loading."""

from dataclasses import dataclass

import numpy as np

from fixed import half_up
from gguf import KINDS, Refused


@dataclass
class Matrix:
    """Weight [row][block][i] = (q · sw - mw) · 2^(e - 24)."""

    q: np.ndarray  # int8 [row][block][32]
    sw: np.ndarray  # [row][block]
    e: np.ndarray  # [row]
    mw: np.ndarray | None = None  # [row][block], or zeros


def halves(bits):
    """Exact multiples of 2^-24."""
    bits = bits.astype(np.int64)
    exponent, fraction = bits >> 10 & 31, bits & 1023
    if (exponent == 31).any():
        raise Refused("NaN or infinity")
    magnitude = np.where(exponent == 0, fraction, (fraction | 1024) << np.maximum(exponent - 1, 0))
    return np.where(bits >> 15 == 1, -magnitude, magnitude)


def fixed_point(tensor, bits, limit):
    """Elements of an unquantised tensor in Q`bits`, rounded half up; magnitudes of 2^`limit` and more are refused."""
    if tensor.kind == KINDS["F16"]:
        values, x = halves(tensor.data.view("<u2")), -24
        shift = np.full(values.shape, -(x + bits))
    elif tensor.kind in (KINDS["F32"], KINDS["BF16"]):
        raw = tensor.data.view("<u4") if tensor.kind == KINDS["F32"] else tensor.data.view("<u2").astype(np.uint32) << 16
        raw = raw.astype(np.int64)
        exponent, fraction = raw >> 23 & 255, raw & 0x7FFFFF
        if (exponent == 255).any():
            raise Refused("NaN or infinity")
        values = np.where(exponent == 0, fraction, fraction | 1 << 23)
        values = np.where(raw >> 31 == 1, -values, values)
        shift = -(np.maximum(exponent, 1) - 150 + bits)
    else:
        raise Refused(f"type {tensor.kind} where numbers are wanted")
    # Below 2^24 · 2^-shift; what would not fit is refused anyway.
    if (shift + limit + bits < -40).any() and (values[shift + limit + bits < -40] != 0).any():
        raise Refused("too large")
    left = np.where(shift < 0, values << np.clip(-shift, 0, 38), 0)
    fixed = np.where(shift >= 0, half_up(values, np.maximum(shift, 0)), left)
    if (abs(fixed) >= 1 << (limit + bits)).any() or ((shift < -38) & (values != 0)).any():
        raise Refused("too large")
    return fixed


def scales(largest):
    """The block rule for the largest magnitudes [..., block]: the exponent of each row, the scale of each block."""
    worst = largest.max(axis=-1)
    e = np.zeros_like(worst)
    while True:
        wide = -(-worst // (127 << e)) > 32767
        if not wide.any():
            break
        e = e + wide
    scale = -(-largest // (127 << e)[..., None])
    return e, np.maximum(1, scale)


def quantised(w):
    """Rows [row][i] in Q40 as a matrix."""
    rows, n = w.shape
    w = np.pad(w, ((0, 0), (0, -n % 32))).reshape(rows, -1, 32)
    e, sw = scales(abs(w).max(axis=2))
    d = (sw << e[:, None])[:, :, None]
    q = (2 * w + d) // (2 * d)
    return Matrix(q.astype(np.int8), sw, e - 16)


def scaled(d, q, m=None):
    """Rows of blocks with scales d, and minima m if there are any, in units of 2^-24."""
    worst = abs(d).max(axis=1)
    if m is not None:
        worst = np.maximum(worst, abs(m).max(axis=1))
    e = np.zeros_like(worst)
    while (wide := half_up(worst, e) > 32767).any():
        e = e + wide

    def rounded(x):
        magnitude = half_up(abs(x), np.broadcast_to(e[:, None], x.shape))
        return np.where(x < 0, -magnitude, magnitude)

    return Matrix(q.astype(np.int8), rounded(d), e, None if m is None else rounded(m))


def matrix(tensor):
    n, rows = tensor.shape
    kind, data = tensor.kind, tensor.data
    if kind == KINDS["Q8_0"]:
        data = data.reshape(rows, n // 32, 34)
        d = halves(np.ascontiguousarray(data[:, :, :2]).view("<u2")[:, :, 0])
        if (d < 0).any():
            raise Refused("negative scale")
        return scaled(d, data[:, :, 2:].view(np.int8))
    if kind == KINDS["Q4_0"]:
        data = data.reshape(rows, n // 32, 18)
        d = halves(np.ascontiguousarray(data[:, :, :2]).view("<u2")[:, :, 0])
        nibbles = data[:, :, 2:].astype(np.int64)
        return scaled(d, np.concatenate([nibbles & 15, nibbles >> 4], axis=2) - 8)
    if kind == KINDS["Q4_K"]:
        parts = four_or_five_bits(kind, data.reshape(-1, 144))
        d, m, q = (part.reshape(rows, n // 32, -1) for part in parts)
        if (abs(d) >= 1 << 40).any() or (abs(m) >= 1 << 40).any():
            raise Refused("too large")
        return scaled(d[:, :, 0], q, m[:, :, 0])
    if kind in (KINDS["Q5_K"], KINDS["Q6_K"]):
        w = k_quants(kind, data.reshape(-1, {13: 176, 14: 210}[kind]))
        if (abs(w) >= 1 << 40).any():
            raise Refused("too large")
        return quantised(w.reshape(rows, n) << 16)
    return quantised(fixed_point(tensor, 40, 16).reshape(rows, n))


def k_quants(kind, data):
    """Super-blocks of 256 elements as integers in Q24."""
    half = lambda part: halves(np.ascontiguousarray(part).view("<u2")[:, 0])  # noqa: E731
    count = len(data)
    if kind == KINDS["Q6_K"]:
        low = data[:, :128].astype(np.int64).reshape(count, 2, 2, 32)
        high = data[:, 128:192].astype(np.int64).reshape(count, 2, 32)
        scale = data[:, 192:208].view(np.int8).astype(np.int64)
        d = half(data[:, 208:210])
        # A half of 128 elements: four runs of 32, two in the low nibbles, two in the high ones.
        runs = [(low[:, :, i % 2] >> 4 * (i // 2) & 15) | (high >> 2 * i & 3) << 4 for i in range(4)]
        q = np.stack(runs, axis=2).reshape(count, 16, 16) - 32
        return (q * (d[:, None] * scale)[:, :, None]).reshape(count, 256)
    d, m, q = four_or_five_bits(kind, data)
    return (q * d[:, :, None] - m[:, :, None]).reshape(count, 256)


def four_or_five_bits(kind, data):
    """Super-blocks of Q4_K or Q5_K: scales and minima [block][8] in Q24, q [block][8][32]."""
    half = lambda part: halves(np.ascontiguousarray(part).view("<u2")[:, 0])  # noqa: E731
    count = len(data)
    d, dmin = half(data[:, 0:2]), half(data[:, 2:4])
    packed = data[:, 4:16].astype(np.int64)
    low, mid, top = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scale = np.concatenate([low & 63, (top & 15) | (low >> 6) << 4], axis=1)
    minimum = np.concatenate([mid & 63, (top >> 4) | (mid >> 6) << 4], axis=1)
    nibbles = data[:, -128:].astype(np.int64).reshape(count, 4, 1, 32)
    q = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).reshape(count, 8, 32)
    if kind == KINDS["Q5_K"]:
        high = data[:, 16:48].astype(np.int64)[:, None, :]
        q = q | (high >> np.arange(8)[None, :, None] & 1) << 4
    return d[:, None] * scale, dmin[:, None] * minimum, q


def gains(tensor):
    return fixed_point(tensor, 22, 9)


def biases(tensor):
    return fixed_point(tensor, 16, 15)
