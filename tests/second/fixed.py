"""Integer functions of one number or of an array of them: rounding, exp2, activations, sines. docs/ARITHMETIC.md, Notation
and exp2.

A number is a Python int or a numpy array of int64. Where a comment gives a bound, an int64 holds every value between."""

from math import isqrt  # noqa: F401  (part of the notation)

import numpy as np

# log2(e) in Q30.
L = 1549082005
# ln 2 in Q30.
LN2 = 744261118
# 2 pi in Q60.
TAU = 7244019458077122842
# Coefficients of 2^-f in Q30, from c_0 up.
EXP2 = [1073741824, -744256846, 257890763, -59377501, 9890102, -1017428]
# 2 sqrt(2/pi) log2(e) in Q30, and 0.044715 times it.
GELU = (2471977230, 110534462)


def half_up(x, s):
    """floor(x / 2^s + 1/2), without the sum that could overflow. `s` may be an array."""
    if isinstance(x, np.ndarray):
        if not isinstance(s, np.ndarray):
            return x if s == 0 else ((x >> min(s - 1, 63)) + 1) >> 1
        return np.where(s == 0, x, ((x >> np.clip(s - 1, 0, 63)) + 1) >> 1)
    return (2 * x + (1 << s)) >> (s + 1)


def clamp(x, low, high):
    if isinstance(x, np.ndarray):
        return np.minimum(np.maximum(x, low), high)
    return max(low, min(x, high))


def rescale(x, s, limit):
    if s >= 0:
        return clamp(half_up(x, s), -limit, limit - 1)
    # What is cut here is cut below too. The widest limit is 2^60, so few bits may be left for the shift.
    x = clamp(x, -limit, limit)
    if not isinstance(x, np.ndarray):
        return clamp(x << -s, -limit, limit - 1)
    if limit.bit_length() - s < 64:
        return clamp(x << -s, -limit, limit - 1)
    return clamp(x.astype(object) * 2**-s, -limit, limit - 1).astype(np.int64)


def i32(x):
    return clamp(x, -(1 << 31), (1 << 31) - 1)


def length(x):
    """Number of binary digits of the largest magnitude in `x`, written len(max|x|) in the document."""
    if isinstance(x, np.ndarray):
        return max(int(x.max()).bit_length(), int(-x.min()).bit_length()) if x.size else 0
    return abs(x).bit_length()


def exp2(z):
    """2^-z as (m, n): m · 2^(-30 - n). Where `z` is an int so are they."""
    z = clamp(z, 0, 32 << 16)
    n, f = z >> 16, z & 0xFFFF
    y = EXP2[5]
    for c in EXP2[4::-1]:
        y = c + ((y * f) >> 16)
    return y, n


def sigmoids(z):
    """The logistic function at z and at -z for z ≥ 0 in log2 units, Q30."""
    m, n = exp2(z)
    e = half_up(m, n)
    s = (1 << 60) // ((1 << 30) + e)
    return s, half_up(e * s, 30)


def gated(g, z):
    up, down = sigmoids(z)
    # |g| ≤ 2^31, both factors ≤ 2^30.
    if isinstance(g, np.ndarray):
        return half_up(g * np.where(g >= 0, up, down), 30)
    return half_up(g * (up if g >= 0 else down), 30)


def soft_cap(x, c):
    """c tanh(x / c), Q16, of an array."""
    z = np.minimum(abs(x), 16 * c) * ((L << 17) // c)
    m, n = exp2(z >> 30)
    e = half_up(m - (m * ((z & (1 << 30) - 1) * LN2 >> 30) >> 46), n)
    t = half_up(((1 << 30) - e) * ((1 << 60) // ((1 << 30) + e)), 30)
    return np.where(x < 0, -1, 1) * half_up(c * t, 30)


def silu(g):
    return gated(g, half_up(abs(g) * L, 30))


def gelu(g):
    v = clamp(abs(g), 0, 1 << 20)
    return gated(g, half_up(v * (GELU[0] + half_up(half_up(v * v, 16) * GELU[1], 16)), 30))


def cos_sin(angle):
    """Cosine and sine in Q30 of an angle in turns, Q64, reduced mod 1. Python ints."""
    quadrant, v = angle >> 62, angle & ((1 << 62) - 1)
    phi = v * TAU >> 64
    c, s = half_up(_series(1 << 60, 1, phi), 30), half_up(_series(phi, 2, phi), 30)
    return [(c, s), (-s, c), (-c, -s), (s, -c)][quadrant]


def cut(x, divisor):
    """x / divisor towards zero."""
    return x // divisor if x >= 0 else -(-x // divisor)


def _series(term, k, phi):
    square, total = phi * phi >> 60, 0
    while term:
        total += term
        term = cut(-(term * square >> 60), k * (k + 1))
        k += 2
    return total
