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
        TensorType::Bf16 => unreachable!("no such test model"),
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
        let source = Source::open(path).unwrap();
        let header = gguf::parse(&source).unwrap();
        let int = |key: &str| header.required_int(key, 0, u32::MAX).unwrap() as usize;
        let tensors: BTreeMap<String, Vec<f64>> =
            header.tensors.keys().map(|name| (name.clone(), read(&source, &header, name))).collect();
        Self {
            layers: int("llama.block_count"),
            width: int("llama.embedding_length"),
            heads: int("llama.attention.head_count"),
            kv_heads: int("llama.attention.head_count_kv"),
            head_dim: int("llama.attention.key_length"),
            hidden: int("llama.feed_forward_length"),
            vocabulary: int("llama.vocab_size"),
            eps: single(header.f32_bits("llama.attention.layer_norm_rms_epsilon").unwrap().unwrap()),
            base: single(header.f32_bits("llama.rope.freq_base").unwrap().unwrap()),
            tensors,
        }
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
        x.chunks(self.width).flat_map(normalise).collect()
    }

    fn rotate(&self, x: &mut [f64], heads: usize) {
        for (position, x) in x.chunks_mut(heads * self.head_dim).enumerate() {
            for head in x.chunks_mut(self.head_dim) {
                for (j, pair) in head.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let angle = position as f64 * self.base.powf(-2.0 * j as f64 / self.head_dim as f64);
                    let (sin, cos) = angle.sin_cos();
                    *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
                }
            }
        }
    }

    /// Logits `[token][id]` of a sequence.
    pub(super) fn logits(&self, tokens: &[u32], rounding: Rounding) -> Vec<f64> {
        let embedding = &self.tensors["token_embd.weight"];
        let mut x: Vec<f64> = Vec::new();
        for token in tokens {
            x.extend_from_slice(&embedding[*token as usize * self.width..][..self.width]);
        }
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let h = self.norm(&name("attn_norm"), &x);
            let (q_width, kv_width) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
            let mut q = self.multiply(&name("attn_q"), &h, q_width, rounding);
            let mut k = self.multiply(&name("attn_k"), &h, kv_width, rounding);
            let mut v = self.multiply(&name("attn_v"), &h, kv_width, rounding);
            self.rotate(&mut q, self.heads);
            self.rotate(&mut k, self.kv_heads);
            if rounding == Rounding::LlamaCpp {
                k.iter_mut().chain(&mut v).for_each(|x| *x = to_half(*x));
            }
            let mixed = self.attend(&q, &k, &v, tokens.len());
            let out = self.multiply(&name("attn_output"), &mixed, self.width, rounding);
            x.iter_mut().zip(out).for_each(|(x, o)| *x += o);
            let h = self.norm(&name("ffn_norm"), &x);
            let gate = self.multiply(&name("ffn_gate"), &h, self.hidden, rounding);
            let up = self.multiply(&name("ffn_up"), &h, self.hidden, rounding);
            let active: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            let out = self.multiply(&name("ffn_down"), &active, self.width, rounding);
            x.iter_mut().zip(out).for_each(|(x, o)| *x += o);
        }
        let h = self.norm("output_norm.weight", &x);
        let head = ["output.weight", "token_embd.weight"].into_iter().find(|n| self.tensors.contains_key(*n));
        self.multiply(head.unwrap(), &h, self.vocabulary, rounding)
    }

    fn attend(&self, q: &[f64], k: &[f64], v: &[f64], tokens: usize) -> Vec<f64> {
        let (hd, kv_width) = (self.head_dim, self.kv_heads * self.head_dim);
        let mut mixed = vec![0.0; q.len()];
        for t in 0..tokens {
            for h in 0..self.heads {
                let at = (t * self.heads + h) * hd;
                let kv = h / (self.heads / self.kv_heads) * hd;
                let score =
                    |p: usize| dot(&q[at..at + hd], &k[p * kv_width + kv..][..hd]) / (hd as f64).sqrt();
                let scores: Vec<f64> = (0..=t).map(score).collect();
                let max = scores.iter().fold(f64::MIN, |m, s| m.max(*s));
                let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
                for (p, score) in scores.iter().enumerate() {
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
