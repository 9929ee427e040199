"""What a file says about its model: hyperparameters, family, frequencies of the rotation."""

from dataclasses import dataclass
from math import isqrt

import numpy as np

from fixed import L, cut, half_up
from gguf import Refused, Single
from weights import biases, gains, matrix

# ln 2 in Q62 and 1 / 2 pi in Q64, to the nearest.
LN2 = 3196577161300663915
INVERSE_TAU = 2935890503282001226


ONE, TEN_THOUSAND = Single(0x3F800000), Single(0x461C4000)


@dataclass(frozen=True)
class Family:
    halves: bool = True
    biases: bool = False
    head_norms: bool = False
    added_norms: bool = False
    gelu: bool = False
    factor: bool = False
    period: int = 0
    caps: bool = False


FAMILIES = {
    "llama": Family(halves=False),
    "qwen2": Family(biases=True),
    "qwen3": Family(head_norms=True),
    "gemma": Family(gelu=True, factor=True),
    "gemma2": Family(added_norms=True, gelu=True, factor=True, period=2, caps=True),
    "gemma3": Family(head_norms=True, added_norms=True, gelu=True, factor=True, period=6),
}


@dataclass(frozen=True)
class Shape:
    family: Family
    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    rotated: int
    inner: int
    vocabulary: int
    positions: int
    eps: tuple
    query_factor: int
    turns: list
    embedding_factor: int
    window: int
    window_turns: list
    magnitude: int  # Q30, or 0
    score_cap: int
    logit_cap: int

    def windowed(self, layer):
        return self.family.period > 0 and (layer + 1) % self.family.period != 0


def log2(base):
    """log2 of base = (m, x) with m > 0, in Q58, cut."""
    m, x = base
    y, result = m << (64 - m.bit_length()), m.bit_length() - 1 + x
    for _ in range(58):
        y = y * y >> 63
        result = result << 1 | y >> 64
        y >>= y >> 64
    return result


def power(x):
    """2^-x for x in Q58 as (y in Q62, n): y · 2^(-62 - n)."""
    n, fraction = x >> 58, x & ((1 << 58) - 1)
    argument = fraction * LN2 >> 58
    term = total = 1 << 62
    for k in range(1, 25):
        term = cut(-(term * argument >> 62), k)
        total += term
    return total, n


def within(number, low, high):
    """2^low ≤ m · 2^x ≤ 2^high."""
    m, x = number
    length = m.bit_length() + x
    return m > 0 and low < length <= high + 1 and (length <= high or m & (m - 1) == 0)


def turn(base, rotated, j, factor):
    """t_j in Q64 of a base and a factor (m, x)."""
    m, x = factor
    if not within(base, 0, 40) or not within(factor, -4, 20) or m >= 1 << 20 - x:
        raise Refused("base or factor of the rotation")
    y, n = power(log2(base) * 2 * j // rotated)
    # Q94; the factor's limits leave x < 0.
    result = ((y * INVERSE_TAU >> 32) << -x) // m >> 30 + n
    if result >> 64:
        raise Refused("more than a turn a position")
    return result


def turns(base, rotated, factors):
    return [turn(base, rotated, j, factor) for j, factor in enumerate(factors)]


LOG2_TAU = 764241726762614231
TENTH_LN_2 = 74426112


def yarn(base, factor, trained, rotated):
    """Turns, and the magnitude in Q30."""
    if not within(base, 1, 40) or not within(factor, 0, 12):
        raise Refused("yarn")
    length = log2(base)

    def pair(power):
        return rotated * (log2((trained, 0)) - (power << 58) - LOG2_TAU)

    low, high = max(0, pair(5) // (2 * length)), min(rotated - 1, -(-pair(0) // (2 * length)))
    result = []
    for j in range(rotated // 2):
        kept, slowed = turn(base, rotated, j, ONE.exact()), turn(base, rotated, j, factor)
        between = slowed if j >= high else slowed + (kept - slowed) * (high - j) // (high - low)
        result.append(kept if j <= low else between)
    return result, (1 << 30) + ((log2(factor) >> 28) * TENTH_LN_2 >> 30)


def read_shape(file):
    name = file.meta.get("general.architecture", b"").decode()
    if name not in FAMILIES:
        raise Refused(f"family {name}")
    family = FAMILIES[name]

    def get(key, default=None):
        value = file.meta.get(f"{name}.{key}", default)
        if value is None:
            raise Refused(f"no {name}.{key}")
        return value

    def integer(key, low, high, default=None):
        value = get(key, default)
        if not isinstance(value, int) or not low <= value <= high:
            raise Refused(f"{name}.{key} is {value}")
        return value

    layers, width = integer("block_count", 1, 512), integer("embedding_length", 2, 1 << 18)
    heads = integer("attention.head_count", 1, 1 << 18)
    kv_heads = integer("attention.head_count_kv", 1, heads, heads)
    head = integer("attention.key_length", 2, 1 << 10, width // heads)
    rotated = integer("rope.dimension_count", 2, head, head)
    vocabulary = len(file.meta["tokenizer.ggml.tokens"])
    exact_head = f"{name}.attention.key_length" in file.meta or width % heads == 0
    if heads % kv_heads or head % 2 or rotated % 2 or heads * head > 1 << 18 or not exact_head:
        raise Refused("shape of the heads")
    if get("attention.value_length", head) != head or get("vocab_size", vocabulary) != vocabulary:
        raise Refused("lengths that should be the same")
    if not 1 <= vocabulary <= 1 << 20:
        raise Refused("vocabulary")
    if get("expert_count", 0):
        raise Refused("experts")

    def cap(key, default):
        """Q16, or 0."""
        value = get(key, Single(default if family.caps else 0))
        if value.bits == 0:
            return 0
        m, x = value.exact()
        limit = half_up(m, -(x + 16)) if x < -16 else m << x + 16
        if not family.caps or not 1 << 12 <= limit or m.bit_length() + x > 14:
            raise Refused(key)
        return limit

    score_cap, logit_cap = cap("attn_logit_softcapping", 0x42480000), cap("final_logit_softcapping", 0x41F00000)
    eps = get("attention.layer_norm_rms_epsilon").exact()
    if not within(eps, -60, -4) or eps[0] << 4 >= 1 << -eps[1]:
        raise Refused("eps")
    kind = get("rope.scaling.type", b"none")
    usual = {"attn_factor": 1, "yarn_attn_factor": 1, "yarn_ext_factor": 1, "yarn_beta_fast": 32, "yarn_beta_slow": 1, "yarn_log_multiplier": 0}
    if kind not in (b"none", b"linear", b"yarn"):
        raise Refused("scaling of positions")
    if kind == b"yarn" and (family.period or "rope_freqs.weight" in file.tensors):
        raise Refused("yarn with windows or rope_freqs.weight")
    for key, value in usual.items() if kind == b"yarn" else ():
        m, x = get(f"rope.scaling.{key}", ONE).exact() if f"{name}.rope.scaling.{key}" in file.meta else (value, 0)
        if m != value * 2**-x:
            raise Refused(key)
    factor = (get("rope.scaling.factor") if kind == b"linear" else ONE).exact()
    factors = [factor] * (rotated // 2)
    if "rope_freqs.weight" in file.tensors:
        own = file.tensors["rope_freqs.weight"]
        if own.kind != 0 or own.shape != (rotated // 2,) or factor != ONE.exact():
            raise Refused("rope_freqs.weight")
        factors = [Single(int(bits)).exact() for bits in own.data.view("<u4")]
    base, magnitude = get("rope.freq_base", TEN_THOUSAND).exact(), 0
    if kind == b"yarn":
        trained = integer("rope.scaling.original_context_length", 1, (1 << 32) - 1, get("context_length"))
        own_turns, magnitude = yarn(base, get("rope.scaling.factor").exact(), trained, rotated)
    else:
        own_turns = turns(base, rotated, factors)
    window, window_turns = 0, []
    if family.period:
        window = integer("attention.sliding_window", 1, (1 << 32) - 1, 4096 if name == "gemma2" else None)
        window_turns = own_turns
    if name == "gemma3":
        window_turns = turns(get("rope.freq_base_swa", TEN_THOUSAND).exact(), rotated, [ONE.exact()] * (rotated // 2))
    return Shape(
        family=family,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        rotated=rotated,
        inner=integer("feed_forward_length", 1, 1 << 18),
        vocabulary=vocabulary,
        positions=min(integer("context_length", 1, (1 << 32) - 1), 1 << 17),
        eps=eps,
        query_factor=isqrt(L * L // (width // heads if (name, layers) in (("gemma2", 46), ("gemma3", 62)) else head)),
        turns=own_turns,
        embedding_factor=isqrt(width << 40) if family.factor else 0,
        window=window,
        window_turns=window_turns,
        magnitude=magnitude,
        score_cap=half_up(score_cap * L, 30),
        logit_cap=logit_cap,
    )


@dataclass
class Layer:
    attention_norm: np.ndarray
    query: object
    key: object
    value: object
    output: object
    feed_forward_norm: np.ndarray
    gate: object
    up: object
    down: object
    query_bias: np.ndarray | None = None
    key_bias: np.ndarray | None = None
    value_bias: np.ndarray | None = None
    query_norm: np.ndarray | None = None
    key_norm: np.ndarray | None = None
    after_attention: np.ndarray | None = None
    after_feed_forward: np.ndarray | None = None


@dataclass
class Model:
    file: object
    shape: Shape
    embedding: object
    layers: list
    norm: np.ndarray
    output: object  # the embedding if the file has none of its own

    @property
    def tied(self):
        return self.output is self.embedding


def read_model(file):
    shape, used = read_shape(file), {"rope_freqs.weight"}
    family, queries, keys = shape.family, shape.heads * shape.head, shape.kv_heads * shape.head

    def tensor(name, *dims):
        used.add(name)
        if name not in file.tensors or file.tensors[name].shape != dims:
            raise Refused(f"{name} is missing or has another shape")
        return file.tensors[name]

    def layer(i):
        at = lambda name, *dims: tensor(f"blk.{i}.{name}", *dims)  # noqa: E731
        result = Layer(
            attention_norm=gains(at("attn_norm.weight", shape.width)),
            query=matrix(at("attn_q.weight", shape.width, queries)),
            key=matrix(at("attn_k.weight", shape.width, keys)),
            value=matrix(at("attn_v.weight", shape.width, keys)),
            output=matrix(at("attn_output.weight", queries, shape.width)),
            feed_forward_norm=gains(at("ffn_norm.weight", shape.width)),
            gate=matrix(at("ffn_gate.weight", shape.width, shape.inner)),
            up=matrix(at("ffn_up.weight", shape.width, shape.inner)),
            down=matrix(at("ffn_down.weight", shape.inner, shape.width)),
        )
        if family.biases:
            result.query_bias = biases(at("attn_q.bias", queries))
            result.key_bias, result.value_bias = biases(at("attn_k.bias", keys)), biases(at("attn_v.bias", keys))
        if family.head_norms:
            result.query_norm, result.key_norm = (gains(at(f"attn_{x}_norm.weight", shape.head)) for x in "qk")
        if family.added_norms:
            result.after_attention = gains(at("post_attention_norm.weight", shape.width))
            result.after_feed_forward = gains(at("post_ffw_norm.weight", shape.width))
        return result

    embedding = matrix(tensor("token_embd.weight", shape.width, shape.vocabulary))
    layers = [layer(i) for i in range(shape.layers)]
    norm = gains(tensor("output_norm.weight", shape.width))
    output = embedding
    if "output.weight" in file.tensors:
        output = matrix(tensor("output.weight", shape.width, shape.vocabulary))
    if set(file.tensors) - used:
        raise Refused("tensors without a place")
    return Model(file, shape, embedding, layers, norm, output)
