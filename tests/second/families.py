"""Small random models, one file each in tests/vectors/families: every family, and every type of weights whose rows may be
short. Numbers are made as bits; which ones is of no importance, only that the files stay what they are."""

import struct

from gguf import KINDS

LCG = (6364136223846793005, 1442695040888963407)


class Noise:
    """A deterministic stream of 32-bit numbers."""

    def __init__(self, seed):
        self.state = seed

    def next(self, below):
        self.state = (self.state * LCG[0] + LCG[1]) % 2**64
        return (self.state >> 32) * below >> 32

    def between(self, low, high):
        return low + self.next(high - low + 1)


def single(noise, low, high):
    """A single of a magnitude from 2^low to below 2^(high + 1)."""
    return noise.next(2) << 31 | (127 + noise.between(low, high)) << 23 | noise.next(1 << 23)


def half(noise, low, high, signed=True):
    return (noise.next(2) << 15 if signed else 0) | (15 + noise.between(low, high)) << 10 | noise.next(1 << 10)


def elements(kind, count, low, high, noise):
    if kind == KINDS["F32"]:
        return b"".join(struct.pack("<I", single(noise, low, high)) for _ in range(count))
    if kind == KINDS["BF16"]:
        return b"".join(struct.pack("<H", single(noise, low, high) >> 16) for _ in range(count))
    if kind == KINDS["F16"]:
        return b"".join(struct.pack("<H", half(noise, low, high)) for _ in range(count))
    if kind == KINDS["Q4_K"]:
        parts = []
        for _ in range(count // 256):
            # Of the largest scale 15 times, of the largest minimum about 8 times.
            parts.append(struct.pack("<HH", half(noise, low - 10, high - 10), half(noise, low - 7, high - 7)))
            parts.append(bytes(noise.next(256) for _ in range(140)))
        return b"".join(parts)
    # Quantised: scales so that the largest weight is about 2^high.
    down, size = (3, 16) if kind == KINDS["Q4_0"] else (7, 32)
    parts = []
    for _ in range(count // 32):
        parts.append(struct.pack("<H", half(noise, low - down, high - down, kind == KINDS["Q4_0"])))
        parts.append(bytes(noise.next(256) for _ in range(size)))
    return b"".join(parts)


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def value(x):
    """Metadata: ints, singles as ("single", bits), texts, lists of texts or ints."""
    if isinstance(x, tuple):
        return struct.pack("<II", 6, x[1])
    if isinstance(x, int):
        return struct.pack("<II", 4, x)
    if isinstance(x, str):
        return struct.pack("<I", 8) + text(x)
    if x and isinstance(x[0], int):
        return struct.pack("<IIQ", 9, 5, len(x)) + b"".join(struct.pack("<i", one) for one in x)
    return struct.pack("<IIQ", 9, 8, len(x)) + b"".join(text(one) for one in x)


def file(meta, tensors):
    """`tensors` are (name, dimensions, kind, bytes)."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta))
    out += b"".join(text(key) + value(x) for key, x in meta.items())
    data = b""
    for name, dims, kind, raw in tensors:
        out += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
        data += raw + bytes(-len(raw) % 32)
    return out + bytes(-len(out) % 32) + data


VOCABULARY = 40
# 1e-6 and 10,000.
EPS, BASE = ("single", 0x358637BD), ("single", 0x461C4000)

# Family, type, layers, width, heads, KV heads, head, feed-forward width, whether tied, magnitudes, further metadata.
MODELS = {
    "llama-q4_0": ("llama", "Q4_0", 2, 32, 4, 2, 24, 64, False, (-4, -2), {
        "rope.dimension_count": 16, "rope.scaling.type": "linear", "rope.scaling.factor": ("single", 0x40600000),
    }),
    "llama-yarn": ("llama", "Q8_0", 2, 32, 2, 1, 32, 32, True, (-4, -2), {
        "rope.freq_base": ("single", 0x42C80000), "rope.scaling.type": "yarn", "rope.scaling.factor": ("single", 0x40900000),
        "rope.scaling.original_context_length": 24, "rope.scaling.yarn_beta_fast": ("single", 0x42000000),
    }),
    "llama-f32": ("llama", "F32", 1, 36, 2, 1, 16, 40, True, (-5, -2), {"rope.freq_base": ("single", 0x48F42400)}),
    "llama-saturating": ("llama", "BF16", 2, 32, 2, 1, 16, 32, False, (-4, 12), {}),
    "qwen2-f16": ("qwen2", "F16", 2, 32, 2, 1, 24, 48, True, (-5, -2), {}),
    "qwen2-q4_k": ("qwen2", "Q4_K", 1, 256, 4, 1, 64, 256, False, (-5, -4), {}),
    "qwen3-bf16": ("qwen3", "BF16", 2, 40, 2, 1, 20, 44, False, (-5, -2), {"rope.freq_base": ("single", 0x49742400)}),
    "gemma-q8_0": ("gemma", "Q8_0", 2, 32, 2, 1, 48, 64, True, (-4, -2), {}),
    "gemma2-f16": ("gemma2", "F16", 2, 36, 2, 1, 24, 40, True, (-5, -2), {
        "attention.sliding_window": 4, "attn_logit_softcapping": ("single", 0x3FC00000),
        "final_logit_softcapping": ("single", 0x3F99999A),
    }),
    "gemma3-q4_0": ("gemma3", "Q4_0", 7, 32, 2, 1, 48, 64, True, (-4, -2), {
        "attention.sliding_window": 5, "rope.freq_base": ("single", 0x49742400), "rope.scaling.type": "linear",
        "rope.scaling.factor": ("single", 0x41000000), "rope.freq_base_swa": ("single", 0x461C4400),
    }),
}  # fmt: skip


def model(name):
    family, kind, layers, width, heads, kv_heads, head, inner, tied, magnitudes, more = MODELS[name]
    noise, kind = Noise(sum(name.encode())), KINDS[kind]
    meta = {
        "general.architecture": family,
        f"{family}.block_count": layers,
        f"{family}.embedding_length": width,
        f"{family}.attention.head_count": heads,
        f"{family}.attention.head_count_kv": kv_heads,
        f"{family}.attention.key_length": head,
        f"{family}.feed_forward_length": inner,
        f"{family}.context_length": 64,
        f"{family}.attention.layer_norm_rms_epsilon": EPS,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(VOCABULARY)],
        "tokenizer.ggml.token_type": [1] * VOCABULARY,
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.eot_token_id": 3,
    } | {f"{family}.{key}": x for key, x in ({"rope.freq_base": BASE} | more).items()}
    tensors = []

    def matrix(name, cols, rows):
        tensors.append((name + ".weight", (cols, rows), kind, elements(kind, cols * rows, *magnitudes, noise)))

    def vector(name, n, low, high):
        # A type of each width that vectors may have.
        kind = KINDS[["F32", "F16", "BF16"][len(tensors) % 3]]
        tensors.append((name, (n,), kind, elements(kind, n, low, high, noise)))

    matrix("token_embd", width, VOCABULARY)
    for i in range(layers):
        at = f"blk.{i}."
        vector(at + "attn_norm.weight", width, -1, 1)
        matrix(at + "attn_q", width, heads * head)
        matrix(at + "attn_k", width, kv_heads * head)
        matrix(at + "attn_v", width, kv_heads * head)
        matrix(at + "attn_output", heads * head, width)
        vector(at + "ffn_norm.weight", width, -1, 1)
        matrix(at + "ffn_gate", width, inner)
        matrix(at + "ffn_up", width, inner)
        matrix(at + "ffn_down", inner, width)
        if family == "qwen2":
            vector(at + "attn_q.bias", heads * head, -4, 2)
            vector(at + "attn_k.bias", kv_heads * head, -4, 2)
            vector(at + "attn_v.bias", kv_heads * head, -4, 2)
        if family in ("qwen3", "gemma3"):
            vector(at + "attn_q_norm.weight", head, -1, 1)
            vector(at + "attn_k_norm.weight", head, -1, 1)
        if family in ("gemma2", "gemma3"):
            vector(at + "post_attention_norm.weight", width, -3, 0)
            vector(at + "post_ffw_norm.weight", width, -3, 0)
    vector("output_norm.weight", width, -1, 1)
    if not tied:
        matrix("output", width, VOCABULARY)
    if name == "llama-f32":
        tensors.append(("rope_freqs.weight", (head // 2,), 0, elements(0, head // 2, 0, 4, noise)))
        # Factors are positive.
        name, dims, kind, raw = tensors[-1]
        tensors[-1] = (name, dims, kind, bytes(b & 0x7F if i % 4 == 3 else b for i, b in enumerate(raw)))
    return file(meta, tensors)
