//! The same models in double precision, straight from the definition: what the integer arithmetic is held against.

use std::{collections::BTreeMap, path::Path};

use crate::{
    fixed::{f16_to_q24, f32_parts},
    gguf::{self, Header, Source, TensorType},
};

/// How the float model treats what an engine would round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Nothing is rounded.
    Exact,
    /// As llama.cpp does with Q8_0 weights on a CPU: activations to int8 blocks of 32 with half-precision scales,
    /// keys and values to half precision.
    LlamaCpp,
}

pub(super) struct FloatModel {
    architecture: String,
    tensors: BTreeMap<String, Vec<f64>>,
    layers: usize,
    width: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    hidden: usize,
    vocabulary: usize,
    eps: f64,
    base: f64,
    /// Positions that layers with a window see.
    window: usize,
    /// Divides every angle.
    linear: f64,
    /// Factor and positions of the training, of a model with YaRN.
    yarn: Option<[f64; 2]>,
    /// Soft limits of scores and logits.
    caps: Option<[f64; 2]>,
}

fn single(bits: u32) -> f64 {
    let (m, e) = f32_parts(bits).unwrap();
    m as f64 * 2f64.powi(e)
}

fn half(bits: u16) -> f64 {
    f16_to_q24(bits).unwrap() as f64 * 2f64.powi(-24)
}

fn read(source: &Source<'_>, header: &Header, name: &str) -> Vec<f64> {
    let info = &header.tensors[name];
    let mut bytes = vec![0; info.bytes as usize];
    source.read_at(info.offset, &mut bytes, name).unwrap();
    match info.kind {
        TensorType::F32 => bytes.as_chunks::<4>().0.iter().map(|b| single(u32::from_le_bytes(*b))).collect(),
        TensorType::F16 => bytes.as_chunks::<2>().0.iter().map(|b| half(u16::from_le_bytes(*b))).collect(),
        TensorType::Q8_0 => {
            let block = |b: &[u8; 34]| {
                let d = half(u16::from_le_bytes([b[0], b[1]]));
                b[2..].iter().map(|q| f64::from(*q as i8) * d).collect::<Vec<_>>()
            };
            bytes.as_chunks::<34>().0.iter().flat_map(block).collect()
        }
        TensorType::Q4K => {
            let block = |b: &[u8; 144]| {
                let [d, dmin] = [0, 2].map(|i| half(u16::from_le_bytes([b[i], b[i + 1]])));
                let (s, q) = b[4..].split_at(12);
                let run = |i: usize| {
                    let (scale, minimum) = match i {
                        0..4 => (s[i] & 63, s[i + 4] & 63),
                        _ => ((s[i + 4] & 15) + 16 * (s[i - 4] >> 6), (s[i + 4] >> 4) + 16 * (s[i] >> 6)),
                    };
                    let run = q[32 * (i / 2)..][..32].iter().map(|b| b >> (4 * (i % 2)) & 15);
                    run.map(|q| d * f64::from(scale) * f64::from(q) - dmin * f64::from(minimum))
                        .collect::<Vec<_>>()
                };
                (0..8).flat_map(run).collect::<Vec<_>>()
            };
            bytes.as_chunks::<144>().0.iter().flat_map(block).collect()
        }
        TensorType::Q4_0 => {
            let block = |b: &[u8; 18]| {
                let d = half(u16::from_le_bytes([b[0], b[1]]));
                let quarter = |q: u8| (f64::from(q) - 8.0) * d;
                let low = b[2..].iter().map(|q| quarter(q & 15));
                low.chain(b[2..].iter().map(|q| quarter(q >> 4))).collect::<Vec<_>>()
            };
            bytes.as_chunks::<18>().0.iter().flat_map(block).collect()
        }
        other => unreachable!("no such test model: {}", other.name()),
    }
}

/// The nearest half, for normal magnitudes.
fn to_half(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let unit = 2f64.powi((x.abs().log2().floor() as i32).max(-14) - 10);
    (x / unit).round_ties_even() * unit
}

fn to_blocks(x: &mut [f64]) {
    for block in x.chunks_mut(32) {
        let d = block.iter().fold(0f64, |m, x| m.max(x.abs())) / 127.0;
        let stored = to_half(d);
        for x in block {
            *x = if d == 0.0 { 0.0 } else { (*x / d).round() * stored };
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; 8];
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let tail: f64 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + tail
}

impl FloatModel {
    pub(super) fn open(path: &Path) -> Self {
        Self::read(&Source::open(path).unwrap())
    }

    pub(super) fn read(source: &Source<'_>) -> Self {
        let header = gguf::parse(source).unwrap();
        let architecture = header.text("general.architecture").unwrap().unwrap().to_owned();
        let key = |key: &str| format!("{architecture}.{key}");
        let int = |name: &str| header.required_int(&key(name), 0, u32::MAX).unwrap() as usize;
        let float = |name: &str| single(header.f32_bits(&key(name)).unwrap().unwrap());
        let tensors: BTreeMap<String, Vec<f64>> =
            header.tensors.keys().map(|name| (name.clone(), read(source, &header, name))).collect();
        Self {
            layers: int("block_count"),
            width: int("embedding_length"),
            heads: int("attention.head_count"),
            kv_heads: int("attention.head_count_kv"),
            head_dim: int("attention.key_length"),
            hidden: int("feed_forward_length"),
            vocabulary: header.tensors["token_embd.weight"].dims[1] as usize,
            eps: float("attention.layer_norm_rms_epsilon"),
            base: float("rope.freq_base"),
            window: match &*architecture {
                "gemma2" | "gemma3" => int("attention.sliding_window"),
                _ => usize::MAX,
            },
            linear: match header.text(&key("rope.scaling.type")).unwrap() {
                Some("linear") => float("rope.scaling.factor"),
                _ => 1.0,
            },
            yarn: (header.text(&key("rope.scaling.type")).unwrap() == Some("yarn"))
                .then(|| [float("rope.scaling.factor"), int("rope.scaling.original_context_length") as f64]),
            caps: (architecture == "gemma2")
                .then(|| ["attn_logit_softcapping", "final_logit_softcapping"].map(float)),
            architecture,
            tensors,
        }
    }

    /// Whether a layer sees a window only.
    fn is_local(&self, layer: usize) -> bool {
        match &*self.architecture {
            "gemma2" => layer.is_multiple_of(2),
            "gemma3" => layer % 6 != 5,
            _ => false,
        }
    }

    /// Adds a bias to each of `x`'s rows, and normalises each head, where the model has such tensors.
    fn adjust(&self, x: &mut [f64], layer: usize, part: &str) {
        if let Some(bias) = self.tensors.get(&format!("blk.{layer}.{part}.bias")) {
            x.chunks_mut(bias.len()).for_each(|x| x.iter_mut().zip(bias).for_each(|(x, b)| *x += b));
        }
        let norm = format!("blk.{layer}.{part}_norm.weight");
        if self.tensors.contains_key(&norm) {
            x.chunks_mut(self.head_dim).for_each(|head| head.copy_from_slice(&self.norm(&norm, head)));
        }
    }

    fn activate(&self, gate: f64) -> f64 {
        if self.architecture.starts_with("gemma") {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (gate + 0.044715 * gate.powi(3));
            return 0.5 * gate * (1.0 + u.tanh());
        }
        gate / (1.0 + (-gate).exp())
    }

    /// `x` is `[token][column]`; returns `[token][row]`.
    fn multiply(&self, name: &str, x: &[f64], rows: usize, rounding: Rounding) -> Vec<f64> {
        let weights = &self.tensors[name];
        let cols = weights.len() / rows;
        let mut x = x.to_vec();
        if rounding == Rounding::LlamaCpp {
            x.chunks_mut(cols).for_each(to_blocks);
        }
        let tokens = x.len() / cols;
        let mut out = vec![0.0; tokens * rows];
        for (r, weights) in weights.chunks(cols).enumerate() {
            for (t, x) in x.chunks(cols).enumerate() {
                out[t * rows + r] = dot(weights, x);
            }
        }
        out
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let gains = &self.tensors[name];
        let normalise = |x: &[f64]| {
            let scale = 1.0 / (dot(x, x) / x.len() as f64 + self.eps).sqrt();
            x.iter().zip(gains).map(|(x, g)| x * scale * g).collect::<Vec<_>>()
        };
        x.chunks(gains.len()).flat_map(normalise).collect()
    }

    fn rotate(&self, x: &mut [f64], heads: usize, base: f64) {
        for (position, x) in x.chunks_mut(heads * self.head_dim).enumerate() {
            for head in x.chunks_mut(self.head_dim) {
                for j in 0..self.head_dim / 2 {
                    let divisor = self.tensors.get("rope_freqs.weight").map_or(self.linear, |f| f[j]);
                    let angle = position as f64 * base.powf(-2.0 * j as f64 / self.head_dim as f64) / divisor;
                    let (slower, magnitude) = self.yarn(j, base);
                    let (sin, cos) = (angle * slower).sin_cos();
                    let (sin, cos) = (sin * magnitude, cos * magnitude);
                    let (a, b) = match self.architecture.as_str() {
                        "llama" => (2 * j, 2 * j + 1),
                        _ => (j, j + self.head_dim / 2),
                    };
                    (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
                }
            }
        }
    }

    /// What YaRN multiplies the angle of a pair and its cosine and sine by.
    fn yarn(&self, j: usize, base: f64) -> (f64, f64) {
        let Some([factor, trained]) = self.yarn else { return (1.0, 1.0) };
        let dims = self.head_dim as f64;
        let pair = |turns: f64| dims * (trained / (turns * std::f64::consts::TAU)).ln() / (2.0 * base.ln());
        let (low, high) = (pair(32.0).floor().max(0.0), pair(1.0).ceil().min(dims - 1.0));
        let slowed = ((j as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
        (slowed / factor + 1.0 - slowed, 1.0 + 0.1 * factor.ln())
    }

    /// Logits `[token][id]` of a sequence.
    pub(super) fn logits(&self, tokens: &[u32], rounding: Rounding) -> Vec<f64> {
        let embedding = &self.tensors["token_embd.weight"];
        let mut x: Vec<f64> = Vec::new();
        for token in tokens {
            x.extend_from_slice(&embedding[*token as usize * self.width..][..self.width]);
        }
        if self.architecture.starts_with("gemma") {
            x.iter_mut().for_each(|x| *x *= (self.width as f64).sqrt());
        }
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let h = self.norm(&name("attn_norm"), &x);
            let (q_width, kv_width) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
            let mut q = self.multiply(&name("attn_q"), &h, q_width, rounding);
            let mut k = self.multiply(&name("attn_k"), &h, kv_width, rounding);
            let mut v = self.multiply(&name("attn_v"), &h, kv_width, rounding);
            for (x, part) in [(&mut q, "attn_q"), (&mut k, "attn_k"), (&mut v, "attn_v")] {
                self.adjust(x, layer, part);
            }
            let local = self.is_local(layer);
            let base = if local && self.architecture == "gemma3" { 10_000.0 } else { self.base };
            self.rotate(&mut q, self.heads, base);
            self.rotate(&mut k, self.kv_heads, base);
            if rounding == Rounding::LlamaCpp {
                k.iter_mut().chain(&mut v).for_each(|x| *x = to_half(*x));
            }
            let window = if local { self.window } else { usize::MAX };
            let mixed = self.attend(&q, &k, &v, tokens.len(), window);
            let mut out = self.multiply(&name("attn_output"), &mixed, self.width, rounding);
            if self.tensors.contains_key(&name("post_attention_norm")) {
                out = self.norm(&name("post_attention_norm"), &out);
            }
            x.iter_mut().zip(out).for_each(|(x, o)| *x += o);
            let h = self.norm(&name("ffn_norm"), &x);
            let gate = self.multiply(&name("ffn_gate"), &h, self.hidden, rounding);
            let up = self.multiply(&name("ffn_up"), &h, self.hidden, rounding);
            let active: Vec<f64> = gate.iter().zip(up).map(|(g, u)| self.activate(*g) * u).collect();
            let mut out = self.multiply(&name("ffn_down"), &active, self.width, rounding);
            if self.tensors.contains_key(&name("post_ffw_norm")) {
                out = self.norm(&name("post_ffw_norm"), &out);
            }
            x.iter_mut().zip(out).for_each(|(x, o)| *x += o);
        }
        let h = self.norm("output_norm.weight", &x);
        let head = ["output.weight", "token_embd.weight"].into_iter().find(|n| self.tensors.contains_key(*n));
        let mut logits = self.multiply(head.unwrap(), &h, self.vocabulary, rounding);
        if let Some([_, cap]) = self.caps {
            logits.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
        }
        logits
    }

    fn attend(&self, q: &[f64], k: &[f64], v: &[f64], tokens: usize, window: usize) -> Vec<f64> {
        let (hd, kv_width) = (self.head_dim, self.kv_heads * self.head_dim);
        let mut mixed = vec![0.0; q.len()];
        for t in 0..tokens {
            for h in 0..self.heads {
                let at = (t * self.heads + h) * hd;
                let kv = h / (self.heads / self.kv_heads) * hd;
                let score = |p: usize| {
                    let score = dot(&q[at..at + hd], &k[p * kv_width + kv..][..hd]) / (hd as f64).sqrt();
                    self.caps.map_or(score, |[cap, _]| cap * (score / cap).tanh())
                };
                let from = (t + 1).saturating_sub(window);
                let scores: Vec<f64> = (from..=t).map(score).collect();
                let max = scores.iter().fold(f64::MIN, |m, s| m.max(*s));
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                for (p, score) in (from..).zip(&scores) {
                    let weight = (score - max).exp() / sum;
                    for (m, v) in mixed[at..at + hd].iter_mut().zip(&v[p * kv_width + kv..][..hd]) {
                        *m += weight * v;
                    }
                }
            }
        }
        mixed
    }
}
