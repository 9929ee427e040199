"""Choice of a token. docs/ARITHMETIC.md, Sampling."""

import struct

from fixed import L, exp2, half_up


def chacha_block(key, counter, nonce):
    """The block function of RFC 8439, 2.3."""
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter, *struct.unpack("<3I", nonce)]
    x = list(state)

    def quarter(a, b, c, d):
        for left, right, turn, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[left] = (x[left] + x[right]) & 0xFFFFFFFF
            mixed = x[turn] ^ x[left]
            x[turn] = (mixed << by | mixed >> (32 - by)) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(x, state)))


def random(seed, position):
    key = struct.pack("<Q", seed) + bytes(24)
    return struct.unpack("<Q", chacha_block(key, position, b"assay.sample")[:8])[0]


def candidates(logits, temperature, top_p, top_k):
    """(id, weight) of the tokens that may be drawn, ascending."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    kept = order[:top_k] if top_k else order
    factor, weights = L * 1000 // temperature, {}
    for i in kept:
        m, n = exp2(min(half_up((logits[order[0]] - logits[i]) * factor, 30), 1 << 40))
        weights[i] = half_up(m, n)
    wanted, run, total = top_p * sum(weights.values()), [], 0
    for i in kept:
        if top_p < 1000 and total * 1000 >= wanted:
            break
        run.append(i)
        total += weights[i]
    return [(i, weights[i]) for i in sorted(run)]


def sample(logits, sampling, position):
    """The token for `position`."""
    logits = [int(one) for one in logits]
    if sampling["temperature"] == 0:
        return logits.index(max(logits))
    chosen = candidates(logits, sampling["temperature"], sampling["top_p"], sampling["top_k"])
    d = random(sampling["seed"], position) * sum(weight for _, weight in chosen) >> 64
    for i, weight in chosen:
        if d < weight:
            return i
        d -= weight
    raise AssertionError
