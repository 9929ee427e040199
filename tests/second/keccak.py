"""Keccak-256 as Ethereum uses it (padding 0x01, not SHA-3's 0x06)."""

import numpy as np

MASK = (1 << 64) - 1


def _constants():
    """Round constants and rotations, by their definition (FIPS 202, 3.2)."""
    rounds, r = [], 1
    for _ in range(24):
        constant = 0
        for j in range(7):
            if r & 1:
                constant |= 1 << ((1 << j) - 1)
            r = (r << 1) ^ (0x171 if r & 0x80 else 0)
        rounds.append(constant)
    turns, x, y = [0] * 25, 1, 0
    for t in range(24):
        turns[x + 5 * y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return rounds, turns


ROUNDS, TURNS = _constants()
# Where rotated lane i goes.
PLACES = [(i // 5) + 5 * ((2 * (i % 5) + 3 * (i // 5)) % 5) for i in range(25)]
STEPS = [(i, i % 5, TURNS[i], 64 - TURNS[i], PLACES[i]) for i in range(25)]


def _permute(a):
    """Keccak-f[1600] of 25 lanes, ints or arrays of unsigned 64-bit integers."""
    b = [0] * 25
    for constant in ROUNDS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ ((c[x - 4] << 1 | c[x - 4] >> 63) & MASK) for x in range(5)]
        for i, x, left, right, place in STEPS:
            lane = a[i] ^ d[x]
            b[place] = (lane << left | lane >> right) & MASK
        for y in range(0, 25, 5):
            p, q, r, s, t = b[y : y + 5]
            a[y : y + 5] = p ^ ~q & r, q ^ ~r & s, r ^ ~s & t, s ^ ~t & p, t ^ ~p & q
        a[0] ^= constant


def _pad(data):
    padding = 136 - len(data) % 136
    data = bytearray(data) + bytes(padding)
    data[-padding] |= 1
    data[-1] |= 0x80
    return data


def keccak(*parts):
    data, state = _pad(b"".join(parts)), [0] * 25
    for start in range(0, len(data), 136):
        for i in range(17):
            at = start + 8 * i
            state[i] ^= int.from_bytes(data[at : at + 8], "little")
        _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


def keccak_each(messages):
    """Hashes of many messages, those of a length at once: lanes are arrays."""
    groups = {}
    for i, message in enumerate(messages):
        groups.setdefault(len(message), []).append(i)
    result = [b""] * len(messages)
    for places in groups.values():
        words = np.frombuffer(b"".join(_pad(messages[i]) for i in places), "<u8").reshape(len(places), -1, 17)
        state = [np.zeros(len(places), np.uint64) for _ in range(25)]
        for block in range(words.shape[1]):
            for i in range(17):
                state[i] = state[i] ^ words[:, block, i]
            _permute(state)
        hashes = np.stack(state[:4], axis=1).astype("<u8")
        for i, one in zip(places, hashes):
            result[i] = one.tobytes()
    return result
