"""Inputs and exact outputs of each step: tests/vectors/engine-steps.json, and the models in tests/vectors/families."""

import json
import struct

import numpy as np

import commit
import families
import golden
from families import Noise
from fixed import L, cos_sin, exp2, gelu, half_up, i32, rescale, silu, soft_cap
from forward import (
    Sequence, attend, blocks_of, embed, feed_forward, logits, narrow, norm, probabilities, product, product_to_residual,
    quantise, query_of, rotate, scores,
)  # fmt: skip
from gguf import BLOCKS, KINDS, File, Refused, Single, Tensor
from keccak import keccak
from sampling import random, sample
from shape import turn
from weights import Matrix, fixed_point, matrix

FILE = golden.VECTORS / "engine-steps.json"
FAMILIES = golden.VECTORS / "families"
LOW, HIGH = -(1 << 31), (1 << 31) - 1


def array(x):
    return np.array([int(one) for one in x], np.int64)


def numbers(x):
    return [int(one) for one in np.asarray(x).reshape(-1)]


def spread(noise, count, bits):
    """Numbers of either sign and up to `bits` binary digits, small ones as often as large ones."""
    out = []
    for _ in range(count):
        wide = noise.next(1 << 32) << 32 | noise.next(1 << 32)
        out.append((wide >> 1 >> 63 - noise.between(1, bits)) * (1 - 2 * noise.next(2)))
    return out


def even(noise, count, limit):
    """Numbers of -limit to limit."""
    return [noise.between(-limit, limit) for _ in range(count)]


def rounding():
    noise, cases = Noise(1), []
    for x, s, bits in [(-6, 2, 31), (-2, 2, 31), (2, 2, 31), (5, 0, 31), (1, -63, 60), (-1, -63, 60), ((1 << 62) - 1, 62, 46),
                       (1 - (1 << 62), 62, 46), (1 << 40, 0, 31), (-(1 << 40), 0, 31), (HIGH, 0, 31), (-(1 << 45), -1, 46)]:
        cases.append((x, s, bits))  # fmt: skip
    cases += [(x, noise.between(-30, 62), [31, 30, 46, 48, 60][noise.next(5)]) for x in spread(noise, 40, 61)]
    return [[x, s, bits, rescale(x, s, 1 << bits)] for x, s, bits in cases]


def powers():
    noise = Noise(2)
    z = [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x10001, 0x1FFFF]
    z += [31 << 16, (32 << 16) - 1, 32 << 16, (32 << 16) + 1, 1 << 40, 1 << 60]
    z += [noise.next(33 << 16) for _ in range(40)]
    return [[one, *exp2(one)] for one in z]


EXTREMES = [0, 1, -1, 2, -2, 32768, -32768, 65536, -65536, 1 << 20, (1 << 20) - 1, -(1 << 20), -(1 << 20) - 1, HIGH, LOW, LOW + 1]


def activations():
    noise = Noise(3)
    return [[g, silu(g), gelu(g)] for g in EXTREMES + spread(noise, 60, 31) + even(noise, 60, 8 << 16)]


def limits():
    noise, cases = Noise(15), []
    for c in (1 << 12, 3 << 15, 30 << 16, half_up((50 << 16) * L, 30), (1 << 31) - 1):
        x = [0, 1, -1, c, -c, 12 * c, 16 * c, 16 * c + 1, 1 << 58, -(1 << 58), *even(noise, 8, 4 * c), *even(noise, 4, 20 * c), *spread(noise, 4, 40)]
        cases += [[one, c, int(y)] for one, y in zip(x, soft_cap(array(x), c))]
    return cases


def gates():
    noise = Noise(4)
    pairs = [(g, u) for g in (LOW, -65536, -1, 0, 1, 65536, HIGH) for u in (LOW, -1, 0, 3, HIGH)]
    pairs += list(zip(even(noise, 40, 10 << 16), spread(noise, 40, 24)))
    return [[g, u, i32(half_up(silu(g) * u, 16)), i32(half_up(gelu(g) * u, 16))] for g, u in pairs]


def angles():
    noise = Noise(5)
    quarters = [0, 1, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, 3 << 62, (1 << 64) - 1]
    cases = [(0, 1 << 63), *((1, t) for t in quarters), (131071, 2935890503282001226), (131071, (1 << 64) - 1)]
    cases += [(noise.next(1 << 17), noise.next(1 << 32) << 32 | noise.next(1 << 32)) for _ in range(40)]
    return [[p, t, *cos_sin(p * t % 2**64)] for p, t in cases]


def frequencies():
    # 1, 2, 10,000, 10,001, 500,000, 1,000,000, 2^40, 8,388,609, just below 1, just above 2^40.
    bases = [0x3F800000, 0x40000000, 0x461C4000, 0x461C4400, 0x48F42400, 0x49742400, 0x53800000, 0x4B000001, 0x3F7FFFFF, 0x53800001]
    # 1/16, just below it, 0.15, 0.16, 0.3, 1, 3.5, 8, just below 2^20, 2^20.
    factors = [0x3D800000, 0x3D7FFFFF, 0x3E19999A, 0x3E23D70A, 0x3E99999A, 0x3F800000, 0x40600000, 0x41000000, 0x497FFFFF, 0x49800000]
    cases = []
    for i, base in enumerate(bases):
        for n in (2, 32, 80, 128, 1024):
            for k, j in enumerate(sorted({0, 1, n // 4, n // 2 - 2, n // 2 - 1})):
                if 0 <= j < n // 2:
                    # Every factor with some base, 1 most of the time.
                    factor = factors[5 if k % 2 else (3 * i + n // 16 + k) % 10]
                    try:
                        t = turn(Single(base).exact(), n, j, Single(factor).exact())
                    except Refused:
                        t = None
                    cases.append([base, factor, j, n, t])
    return cases


def singles():
    noise = Noise(6)
    bits = [0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F800000, 0xBF800000]
    # About 2^16, 2^-40, 2^-41 and 2^9.
    bits += [0x477FFFFF, 0x47800000, 0x2B800000, 0x2B000000, 0xAB000000, 0x2AFFFFFF, 0x43FFFFFF, 0x44000000, 0xC3FFFFFF, 0xC4000000]
    bits += [families.single(noise, -45, 18) for _ in range(40)]
    cases = []
    for one in bits:
        tensor = Tensor(0, (1,), np.frombuffer(struct.pack("<I", one), np.uint8))
        for n, limit in ((40, 16), (22, 9), (16, 15)):
            try:
                cases.append([one, n, limit, int(fixed_point(tensor, n, limit)[0])])
            except Refused:
                cases.append([one, n, limit, None])
    return cases


def rows():
    """Rows of each type: those at the edges, then random ones."""
    noise, cases = Noise(7), []
    pack = lambda letter, items: struct.pack(f"<{len(items)}{letter}", *items)  # noqa: E731
    # 2^-40 and small multiples of it, as singles: with 254 of them as the largest the scale is 2, so odd ones are ties.
    ties = [0x2B800000, 0xAB800000, 0x2C400000, 0xAC400000, 0x2CA00000, 0xACA00000]
    unit = 0x2B800000
    plain = {
        "F32": [
            [0] * 40,
            [unit + (7 << 23) - (1 << 17), *ties, *[0] * 33],
            [0x477FFFFF, 0xC77FFFFF, 0x3F800000, 0, *[0] * 28, 1, 0x80000001, *[0] * 6],
            [0x2A800000, 0xAA800000, 0x2B000000, *[0] * 37],
            *([families.single(noise, *range_) for _ in range(40)] for range_ in ((-6, -2), (-30, 15), (-45, -38))),
        ],
        "F16": [
            [0x8000] * 40,
            [0x7BFF, 0xFBFF, 1, 0x8001, *[0] * 36],
            [1] * 40,
            *([families.half(noise, *range_) for _ in range(40)] for range_ in ((-6, -2), (-14, 15))),
        ],
        "BF16": [
            [0x477F, 0xC77F, 1, *[0] * 37],
            *([families.single(noise, *range_) >> 16 for _ in range(40)] for range_ in ((-6, -2), (-30, 15))),
        ],
    }
    for kind, items in plain.items():
        cases += [(kind, 40, pack("I" if kind == "F32" else "H", one)) for one in items]

    def blocks(scales, size):
        return b"".join(pack("H", [scale]) + bytes(noise.next(256) for _ in range(size)) for scale in scales)

    for kind, size in (("Q8_0", 32), ("Q4_0", 16)):
        signs = 0x8000 if kind == "Q4_0" else 0
        edges = [[0, 0], [0x7BFF, 1], [1, 2], [0x7BFF, 0x7BFE | signs], [0x2400, 0x1234 | signs], [0x0400, 0x77FF | signs]]
        for scales in edges:
            cases.append((kind, 64, blocks(scales, size)))
    for kind, size in (("Q4_K", 140), ("Q5_K", 172)):
        for d, dmin in ((0, 0), (0x1400, 0x1800), (0x9400, 0x8001), (0x4C00, 0x4800)):
            cases.append((kind, 256, pack("H", [d, dmin]) + bytes(noise.next(256) for _ in range(size))))
    for d in (0, 0x0400, 0x8C00, 0x3800):
        cases.append(("Q6_K", 256, bytes(noise.next(256) for _ in range(208)) + pack("H", [d])))
    result = []
    for kind, n, data in cases:
        assert len(data) == n // BLOCKS[KINDS[kind]][0] * BLOCKS[KINDS[kind]][1]
        row = matrix(Tensor(KINDS[kind], (n, 1), np.frombuffer(data, np.uint8)))
        one = {"type": kind, "n": n, "bytes": data.hex(), "e": int(row.e[0]), "sw": numbers(row.sw), "q": numbers(row.q)}
        result.append(one | ({} if row.mw is None else {"mw": numbers(row.mw)}))
    return result


# 1e-5, 1e-6, 2^-60 and just below 1/16.
EPSILONS = [(10995116, -40), (8796093, -43), (1 << 23, -83), (16777215, -28)]


def norms():
    noise, top = Noise(8), (1 << 57) - 1
    cases = [
        ([0] * 8, [1 << 22] * 8, 0),
        ([0, 1, -1, 0], [1 << 22] * 4, 2),
        ([1], [HIGH], 2),
        ([top], [HIGH], 0),
        ([-top] * 7, [LOW] * 7, 0),
        ([top, *[1 << 24] * 30, -top], [1 << 22] * 32, 1),
        ([top, *[0] * 63], [HIGH, *[1] * 63], 2),
        ([1 << 36, -(1 << 36), (1 << 36) - 1, 1 << 35], [1 << 22] * 4, 0),
        (spread(noise, 33, 57), spread(noise, 33, 31), 3),
        (spread(noise, 64, 20), spread(noise, 64, 24), 3),
        (spread(noise, 192, 30), spread(noise, 192, 23), 0),
        (even(noise, 300, top), spread(noise, 300, 23), 1),
        (even(noise, 24, 1 << 24), even(noise, 24, 1 << 23), 1),
        (even(noise, 20, 300), even(noise, 20, 1 << 23), 0),
    ]
    result = []
    for x, g, e in cases:
        (m, z), y = EPSILONS[e], norm(array(x), array(g), EPSILONS[e])
        result.append({"x": x, "gains": g, "m": m, "z": z, "y": numbers(y)})
    return result


def vectors(noise):
    return [
        [0] * 40,
        [1, -1, 0, 2],
        [127, -127, 63, -64, *[0] * 28],
        # A scale of 2: odd numbers are ties.
        [254, 1, -1, 3, -3, 253, -253, -254],
        [LOW] * 33,
        [HIGH, LOW, 1, -1],
        # Just below and at what takes one exponent more.
        [127 * 32767, 1, *[0] * 30, 5],
        [127 * 32767 + 1, 1, *[0] * 30, 5],
        [127 * 65535, 0, 3],
        even(noise, 70, 1 << 17),
        spread(noise, 96, 31),
    ]


def quantisation():
    cases = []
    for a in vectors(Noise(9)):
        q, sa, e = quantise(array(a))
        cases.append({"a": a, "e": e, "sa": numbers(sa), "q": numbers(q)})
    return cases


def products():
    noise, cases = Noise(10), []
    for a in vectors(noise):
        blocks = -(-len(a) // 32)
        for extreme in (False, True, None):
            mw = None
            if extreme is None:
                q = array(noise.next(16) for _ in range(4 * blocks * 32)).reshape(4, blocks, 32)
                q[3], sw, mw = 15, array(even(noise, 4 * blocks, 32767)).reshape(4, blocks), array(even(noise, 4 * blocks, 32767))
                mw, e = mw.reshape(4, blocks), array(noise.between(-16, 12) for _ in range(4))
                sw[3], mw[3] = 32767, -32767
            elif extreme:
                q = np.full((4, blocks, 32), -128)
                sw, e = np.full((4, blocks), 32767), array([25, 0, -16, 3])
                sw[3] = -32767
            else:
                q = array(even(noise, 4 * blocks * 32, 127)).reshape(4, blocks, 32)
                sw, e = array(even(noise, 4 * blocks, 32767)).reshape(4, blocks), array(noise.between(-16, 12) for _ in range(4))
            # A row's padding is zeros.
            q.reshape(4, -1)[:, len(a) :] = 0
            m = Matrix(q, sw, e, mw)
            case = {"q": [numbers(row) for row in q], "sw": [numbers(row) for row in sw], "e": numbers(e), "a": a}
            case |= {} if mw is None else {"mw": [numbers(row) for row in mw]}
            cases.append(case | {"q16": numbers(product(m, array(a))), "q24": numbers(product_to_residual(m, array(a)))})
    return cases


def rotations():
    noise, cases = Noise(11), []
    for n, pairs, bits in ((4, 2, 31), (24, 8, 20), (32, 16, 31), (6, 3, 8)):
        for halves in (False, True):
            t = [noise.next(1 << 32) << 32 for _ in range(pairs)]
            x, p = spread(noise, n, bits), noise.next(1 << 17)
            cases.append({"x": x, "halves": halves, "p": p, "t": t, "y": numbers(rotate(array(x)[None], p, t, halves))})
    # An eighth of a turn: both sums leave 32 bits.
    for x in ([LOW, LOW], [LOW, HIGH], [HIGH, LOW], [HIGH, HIGH]):
        cases.append({"x": x, "halves": False, "p": 1, "t": [1 << 61], "y": numbers(rotate(array(x)[None], 1, [1 << 61], False))})
    return cases


def stored():
    noise = Noise(12)
    heads = [[0, 0], [LOW, HIGH, 0, 1], [LOW] * 32, [32767, -32767, 1], [32768, -32768, 1, -1, 3, -3], [65535, 65533, -65535, 1]]
    heads += [even(noise, 40, HIGH), spread(noise, 80, 31), spread(noise, 32, 16)]
    cases = []
    for x in heads:
        q, shift = blocks_of(array(x))
        cases.append({"x": x, "q": numbers(q), "shifts": numbers(shift[::32])})
    return cases


# Of heads of 2, 32, 64, 80 and 1,024 elements.
FACTORS = [1095366390, 273841597, 193635251, 173192590, 48408812]


def queries():
    noise, cases = Noise(13), []
    heads = [[0, 0], [LOW, HIGH], [1, -1, 2, -2], [LOW] * 32, even(noise, 40, 1 << 20), spread(noise, 80, 31), [2047, 2048, -2048]]
    for i, x in enumerate(heads):
        q, shift = query_of(array(x), FACTORS[i % 5])
        cases.append({"x": x, "c": FACTORS[i % 5], "q": numbers(q), "shift": shift})
    return cases


def attentions():
    noise, cases = Noise(14), []

    def case(query, c, keys, values, cap=0):
        pack = lambda x: tuple(np.array(part) for part in zip(*(blocks_of(array(one)) for one in x)))  # noqa: E731
        q, k, v = query_of(array(query), c), pack(keys), pack(values)
        s = scores(q, k, cap)
        one = {"query": query, "c": c, "keys": keys, "values": values} | ({"cap": cap} if cap else {})
        cases.append(one | {"scores": numbers(s), "probabilities": numbers(probabilities(s)), "out": numbers(attend(q, k, v, cap))})

    several = lambda count, make: [make() for _ in range(count)]  # noqa: E731
    case([65536, 0], FACTORS[0], [[65536, 5]], [[LOW, HIGH]])
    case([LOW] * 40, FACTORS[1], [[LOW] * 40, [HIGH] * 40, [0] * 40], [[HIGH] * 40, [LOW] * 40, even(noise, 40, HIGH)])
    case(even(noise, 40, 1 << 18), FACTORS[1], several(6, lambda: even(noise, 40, 1 << 18)), several(6, lambda: even(noise, 40, 1 << 18)), 4727423)
    case([HIGH, LOW], FACTORS[0], [[HIGH, LOW]] * 3, [[1, 2], [2, LOW], [4, HIGH]])
    case([0] * 4, FACTORS[1], several(9, lambda: spread(noise, 4, 31)), several(9, lambda: spread(noise, 4, 20)))
    head, narrow_head = lambda: even(noise, 32, 3 << 16), lambda: even(noise, 40, 1 << 16)
    case(head(), FACTORS[1], several(12, head), several(12, head))
    case(narrow_head(), FACTORS[2], several(8, narrow_head), several(8, lambda: spread(noise, 40, 31)))
    case(spread(noise, 80, 24), FACTORS[3], several(3, lambda: spread(noise, 80, 20)), several(3, lambda: spread(noise, 80, 20)))
    return cases


TOKENS = [0, 625, 608, 261, 700]


def layers():
    """Every half of every layer of tales-300k for the last of some tokens."""
    model = golden.open_model(golden.ROOT / "models/tales-300k.gguf")
    sequence, eps = Sequence(model), model.shape.eps
    for token in TOKENS[:-1]:
        sequence.step(token)
    x = embed(model, TOKENS[-1])
    result = {"model": "tales-300k", "tokens": TOKENS, "embedding": numbers(x), "layers": []}
    for i, layer in enumerate(model.layers):
        x = x + sequence.attention(i, norm(x, layer.attention_norm, eps))
        between = numbers(x)
        x = x + feed_forward(layer, norm(x, layer.feed_forward_norm, eps), False)
        result["layers"].append({"attention": between, "feed_forward": numbers(x)})
    hidden = norm(x, model.norm, eps)
    return result | {"hidden": numbers(hidden), "logits": numbers(logits(model, hidden))}


def draws():
    noise = Noise(15)
    cases = [(0, 0), (1, 0), (0, 1), (42, 7), (1 << 32, 0), ((1 << 64) - 1, (1 << 17) - 1)]
    cases += [(noise.next(1 << 32) << 32 | noise.next(1 << 32), noise.next(1 << 17)) for _ in range(10)]
    return [[seed, p, random(seed, p)] for seed, p in cases]


def samples():
    noise, cases = Noise(16), []
    lists = [[5], [1, 7, 7, 3], [LOW] * 3, [HIGH, LOW, HIGH], [0, 90852, 136278, 90852], [HIGH - 1, HIGH, HIGH - 65536]]
    lists += [spread(noise, 12, 18) for _ in range(3)] + [spread(noise, 30, 31)]
    for x in lists:
        for temperature in (0, 1, 800, 1000, 10000):
            for top_p, top_k in ((1000, 0), (1, 0), (472, 0), (950, 40), (1000, 2), (600, 3)):
                if temperature == 0 and top_p != 1000:
                    continue
                s = {"seed": noise.next(1 << 32), "temperature": temperature, "top_p": top_p, "top_k": top_k}
                p = noise.next(1 << 17)
                cases.append({"logits": x, **s, "position": p, "token": sample(x, s, p)})
    return cases


def models():
    result = []
    for name in families.MODELS:
        model = golden.read_model(File(families.model(name)))
        sequence, whole = Sequence(model), []
        tokens = [i * 29 % families.VOCABULARY for i in range(24)]
        for token in tokens:
            hidden = sequence.step(token)
            whole.append(logits(model, hidden))
        data = np.concatenate(whole).astype("<i4").tobytes()
        result.append({"file": name + ".gguf", "root": commit.model_root(model).hex(), "tokens": tokens, "hidden": numbers(hidden),
                       "last_logits": numbers(whole[-1]), "all_logits": keccak(data).hex()})  # fmt: skip
    return result


def roots():
    files = ["models/tales-300k.gguf", "models/tales-3m.gguf", "crates/engine/tests/tales-300k-f16.gguf"]
    return [[file, commit.model_root(golden.open_model(golden.ROOT / file)).hex()] for file in files]


# What each list holds, and how. Qn: an integer that stands for itself times 2^-n. [n]: a list of n.
STEPS = {
    "rescale": (rounding, "[x, s, b, rescale(x, s, 2^b)]"),
    "exp2": (powers, "[z Q16, m Q30, n]"),
    "activations": (activations, "[g Q16, silu(g) Q16, gelu(g) Q16]"),
    "gates": (gates, "[g Q16, u Q16, a Q16 with silu, a Q16 with gelu]"),
    "limits": (limits, "[x Q16, c Q16, soft_cap(x, c) Q16]"),
    "cos_sin": (angles, "[p, t Q64, C Q30, S Q30]"),
    "turns": (
        frequencies,
        "[bits of the base, bits of f_j, j, n, t_j Q64, or null where it is refused]; bits are those of a single",
    ),
    "singles": (
        singles,
        "[bits of a single, n, limit, the number in Qn, or null where it is refused: not finite, or 2^limit or more]",
    ),
    "rows": (
        rows,
        "bytes of a row of n weights as in the file (hex); e; sw [blocks]; q [32 · blocks], padding included; mw [blocks] of Q4_K",
    ),
    "norm": (norms, "x Q24 [n]; gains Q22 [n]; eps = m · 2^z; y Q16 [n]"),
    "quantise": (quantisation, "a Q16 [n]; e; sa [blocks]; q [32 · blocks], padding included"),
    "product": (
        products,
        "q [row][32 · blocks]; sw, and mw if there are minima, [row][blocks]; e [row]; a Q16 [n]; q16: the product in Q16 [row]; q24: to the "
        "residual, Q24 [row]",
    ),
    "rotate": (
        rotations,
        "a head x Q16 [n]; whether pairs are halves apart; position p; t Q64 [pairs]; y Q16 [n]",
    ),
    "store": (stored, "a head's key or value x Q16 [n]; q [n]; shifts [blocks]: x is about q · 2^shift"),
    "query": (queries, "a head's query x Q16 [n]; c Q30; q [n]; shift: Q20 is about q · 2^shift"),
    "attend": (
        attentions,
        "query Q16 [n], rotated; c Q30; keys, values Q16 [position][n]; cap Q16, or none; scores Q16 [position]; probabilities Q15 "
        "[position]; out Q16 [n]",
    ),
    "layers": (
        layers,
        "for the last token: its embedding; the residual Q24 [width] after each layer's attention and after its "
        "feed-forward; hidden, logits Q16",
    ),
    "draw": (draws, "[seed, position, r], 64 bits"),
    "sample": (
        samples,
        "logits Q16 [vocabulary]; seed, temperature, top_p, top_k as in a canonical input; position; the token",
    ),
    "roots": (roots, "[file, model root]"),
    "families": (
        models,
        "a file in tests/vectors/families; model root; tokens from position 0 on; hidden, last_logits Q16 after the "
        "last; all_logits: keccak of all positions' logits, 4 bytes little-endian each",
    ),
}


def compute():
    """The text of engine-steps.json."""
    compact = lambda x: json.dumps(x, separators=(",", ":"))  # noqa: E731
    parts = ['"arithmetic_version": %d' % commit.VERSION]
    parts.append('"note": "docs/ARITHMETIC.md, step by step; made by tests/second. Integers of up to 64 bits: parse them exactly."')
    for name, (make, formats) in STEPS.items():
        cases = make()
        if isinstance(cases, dict):
            listed = compact(cases)
        else:
            listed = "[\n   " + ",\n   ".join(compact(one) for one in cases) + "\n  ]"
        parts.append(f'"{name}": {{\n  "formats": {json.dumps(formats, ensure_ascii=False)},\n  "cases": {listed}\n }}')
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def write():
    FILE.write_text(compute())
    FAMILIES.mkdir(exist_ok=True)
    for name in families.MODELS:
        (FAMILIES / f"{name}.gguf").write_bytes(families.model(name))


def check():
    """(what was compared, what agrees) by step, and what differs."""
    old, new = json.loads(FILE.read_text()), json.loads(compute())
    counts, differing = {}, []
    for name in STEPS:
        listed = lambda x: x if isinstance(x, list) else [x]  # noqa: E731
        stored, made = listed(old[name]["cases"]), listed(new[name]["cases"])
        counts[name] = max(len(stored), len(made)), sum(a == b for a, b in zip(stored, made))
    for name in families.MODELS:
        seen, equal = counts.get("files", (0, 0))
        counts["files"] = seen + 1, equal + ((FAMILIES / f"{name}.gguf").read_bytes() == families.model(name))
    differing = [f"{name}: {seen - equal} of {seen}" for name, (seen, equal) in counts.items() if seen != equal]
    if old | {name: None for name in STEPS} != new | {name: None for name in STEPS}:
        differing.append("the head of the file")
    return counts, differing
