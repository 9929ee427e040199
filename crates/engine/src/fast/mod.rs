//! The forward pass on vector kernels and several threads, equal to the reference bit for bit.
//!
//! It holds because every sum is exact, so that its order is free, and because all rounding is done by the
//! reference's own functions.

#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod body;
mod kernels;
mod products;
mod team;

use std::sync::Mutex;

use self::{
    kernels::{Acts, Attention, AttentionScratch, Kernels},
    products::{Products, products},
    team::Team,
};
use crate::{
    Backend,
    cache::{Cache, compress_query},
    fixed::cos_sin,
    model::{Layer, Model, Shape},
    reference::{Output, embed, rotate},
};

/// Prompt tokens computed together.
const CHUNK: usize = 64;
/// What normalising, activating or rounding an element costs, in multiplications of a product.
const ELEMENT_WORK: usize = 64;

/// Threads, kernels and buffers of one sequence.
#[derive(Debug)]
pub(crate) struct Fast {
    kernels: &'static Kernels,
    team: Team,
    buffers: Buffers,
}

/// Everything that is needed between two steps; grows to the size of a chunk once.
#[derive(Debug, Default)]
struct Buffers {
    /// `[token][element]`, Q24.
    residual: Vec<i64>,
    /// `[token]`
    acts: Vec<Acts>,
    products: Products,
    /// `[token][element]`, Q16.
    mixed: Vec<i32>,
    /// `[token][pair]`
    angles: Vec<Vec<(i32, i32)>>,
    /// `[token][element]`, Q16.
    queries: Vec<i32>,
}

impl Fast {
    /// `None` if the machine lacks what the back end needs, or it is no fast one.
    pub(crate) fn new(backend: Backend, threads: usize) -> Option<Self> {
        let kernels = Kernels::of(backend)?;
        Some(Self { kernels, team: Team::new(threads.clamp(1, 256)), buffers: Buffers::default() })
    }

    /// Same contract as [`crate::reference::forward`] for each token in turn; returns the last hidden state.
    pub(crate) fn advance(&mut self, model: &Model, cache: &mut Cache, tokens: &[u32]) -> Vec<i32> {
        for chunk in tokens.chunks(CHUNK) {
            self.chunk(model, cache, chunk);
        }
        let (shape, weights) = (model.shape(), model.weights());
        let count = tokens.len().saturating_sub(1) % CHUNK;
        let last = &self.buffers.residual[count * shape.width..];
        let mut hidden = vec![0; shape.width];
        self.kernels.norm(last, &weights.final_norm, shape.eps, &mut hidden);
        hidden
    }

    /// Same contract as [`crate::reference::logits`].
    pub(crate) fn logits(&mut self, model: &Model, hidden: &[i32]) -> Vec<i32> {
        let Buffers { acts, products: out, .. } = &mut self.buffers;
        acts.resize_with(acts.len().max(1), Acts::default);
        self.kernels.quantise(hidden, &mut acts[0]);
        products(self.kernels, &self.team, &[model.weights().head()], &acts[..1], Output::Hidden, out);
        let mut logits = vec![0; model.shape().vocabulary];
        out.gather_i32(0, 0, &mut logits);
        logits
    }

    /// Logits `[token][id]` of every position of a sequence.
    #[cfg(test)]
    pub(crate) fn all_logits(&mut self, model: &Model, tokens: &[u32]) -> Vec<i32> {
        let (shape, weights) = (model.shape(), model.weights());
        let mut cache = Cache::new(shape);
        let mut logits = vec![0; tokens.len() * shape.vocabulary];
        for (chunk, logits) in tokens.chunks(CHUNK).zip(logits.chunks_mut(CHUNK * shape.vocabulary)) {
            self.chunk(model, &mut cache, chunk);
            let Buffers { residual, acts, products: out, .. } = &mut self.buffers;
            let acts = &mut acts[..chunk.len()];
            norm_and_quantise(self.kernels, &self.team, residual, &weights.final_norm, shape, acts);
            products(self.kernels, &self.team, &[weights.head()], acts, Output::Hidden, out);
            for (t, logits) in logits.chunks_exact_mut(shape.vocabulary).enumerate() {
                out.gather_i32(0, t, logits);
            }
        }
        logits
    }

    fn chunk(&mut self, model: &Model, cache: &mut Cache, tokens: &[u32]) {
        let (shape, weights) = (model.shape(), model.weights());
        let buffers = &mut self.buffers;
        buffers.residual.clear();
        buffers.angles.clear();
        for (i, token) in tokens.iter().enumerate() {
            buffers.residual.extend(embed(&weights.embedding, *token));
            let position = (cache.len + i) as u32;
            buffers.angles.push(shape.turns.iter().map(|t| cos_sin(position, *t)).collect());
        }
        buffers.acts.resize_with(tokens.len().max(buffers.acts.len()), Acts::default);
        buffers.mixed.resize(tokens.len() * shape.query_width(), 0);
        buffers.queries.resize(tokens.len() * shape.query_width(), 0);
        for (i, layer) in weights.layers.iter().enumerate() {
            self.attention(shape, layer, cache, i, tokens.len());
            self.feed_forward(shape, layer, tokens.len());
        }
        cache.len += tokens.len();
    }

    fn attention(&mut self, shape: &Shape, layer: &Layer, cache: &mut Cache, index: usize, count: usize) {
        let (kernels, team) = (self.kernels, &self.team);
        let Buffers { residual, acts, products: out, mixed, angles, queries } = &mut self.buffers;
        let acts = &mut acts[..count];
        norm_and_quantise(kernels, team, residual, &layer.attention_norm, shape, acts);
        products(kernels, team, &[&layer.query, &layer.key, &layer.value], acts, Output::Hidden, out);

        let before = cache.len;
        let cache = &mut cache.layers[index];
        let (mut keys, mut values) = (vec![0; shape.kv_width()], vec![0; shape.kv_width()]);
        for (t, queries) in queries.chunks_exact_mut(shape.query_width()).take(count).enumerate() {
            out.gather_i32(0, t, queries);
            out.gather_i32(1, t, &mut keys);
            out.gather_i32(2, t, &mut values);
            for head in queries.chunks_exact_mut(shape.head_dim).chain(keys.chunks_exact_mut(shape.head_dim))
            {
                rotate(head, &angles[t]);
            }
            cache.keys.push(&keys, shape.head_dim);
            cache.values.push(&values, shape.head_dim);
        }

        let mixed = &mut mixed[..count * shape.query_width()];
        let group = shape.heads / shape.kv_heads;
        // Two products of a head with every position.
        let work = 2 * mixed.len() * (before + count);
        team.split(mixed, shape.head_dim, work, |first, mixed| {
            let mut scratch = AttentionScratch::default();
            for (i, mixed) in mixed.chunks_exact_mut(shape.head_dim).enumerate() {
                let (t, head) = ((first + i) / shape.heads, (first + i) % shape.heads);
                let query = &queries[(first + i) * shape.head_dim..][..shape.head_dim];
                let query = compress_query(query, shape.query_factor);
                let attention = Attention {
                    shape,
                    query: &query,
                    cache,
                    kv_head: head / group,
                    positions: before + t + 1,
                };
                kernels.attend(&attention, &mut scratch, mixed);
            }
        });
        team.split(acts, 1, ELEMENT_WORK * mixed.len(), |first, acts| {
            for (i, acts) in acts.iter_mut().enumerate() {
                kernels.quantise(&mixed[(first + i) * shape.query_width()..][..shape.query_width()], acts);
            }
        });
        products(kernels, team, &[&layer.attention_output], acts, Output::Residual, out);
        out.add_to(0, residual, shape.width);
    }

    fn feed_forward(&mut self, shape: &Shape, layer: &Layer, count: usize) {
        let (kernels, team) = (self.kernels, &self.team);
        let Buffers { residual, acts, products: out, .. } = &mut self.buffers;
        let acts = &mut acts[..count];
        norm_and_quantise(kernels, team, residual, &layer.feed_forward_norm, shape, acts);
        products(kernels, team, &[&layer.gate, &layer.up], acts, Output::Hidden, out);
        team.split(acts, 1, ELEMENT_WORK * count * shape.hidden, |first, acts| {
            let (mut gate, mut up) = (vec![0; shape.hidden], vec![0; shape.hidden]);
            for (i, acts) in acts.iter_mut().enumerate() {
                out.gather_i32(0, first + i, &mut gate);
                out.gather_i32(1, first + i, &mut up);
                kernels.swiglu(&mut gate, &up);
                kernels.quantise(&gate, acts);
            }
        });
        products(kernels, team, &[&layer.down], acts, Output::Residual, out);
        out.add_to(0, residual, shape.width);
    }
}

fn norm_and_quantise(
    kernels: &Kernels,
    team: &Team,
    residual: &[i64],
    gains: &[i32],
    shape: &Shape,
    acts: &mut [Acts],
) {
    team.split(acts, 1, ELEMENT_WORK * residual.len(), |first, acts| {
        let mut x = vec![0; shape.width];
        for (i, acts) in acts.iter_mut().enumerate() {
            kernels.norm(&residual[(first + i) * shape.width..][..shape.width], gains, shape.eps, &mut x);
            kernels.quantise(&x, acts);
        }
    });
}

/// Hands each of `parts` to the thread of its index once.
struct Parts<'a, T>(Vec<Mutex<Option<&'a mut [T]>>>);

impl<'a, T> Parts<'a, T> {
    /// Cuts `items` at multiples of `unit`, as evenly as whole units allow.
    fn new(mut items: &'a mut [T], unit: usize, count: usize) -> Self {
        let units = items.len() / unit.max(1);
        let mut parts = Vec::with_capacity(count);
        for i in 0..count {
            let len = (share(units, i + 1, count) - share(units, i, count)) * unit;
            let (part, rest) = items.split_at_mut(len);
            parts.push(Mutex::new(Some(part)));
            items = rest;
        }
        Self(parts)
    }

    fn take(&self, i: usize) -> Option<&'a mut [T]> {
        self.0.get(i)?.lock().ok()?.take()
    }
}

/// First of `total` units that belongs to part `i` of `count`.
fn share(total: usize, i: usize, count: usize) -> usize {
    total * i / count
}

impl Team {
    /// Runs `f(first unit, part)` on every thread's part of `items`, which are cut at multiples of `unit`; `work` is
    /// the number of multiplications in all of them.
    fn split<T: Send>(&self, items: &mut [T], unit: usize, work: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let units = items.len() / unit.max(1);
        let threads = self.threads_for(work).min(units);
        if threads <= 1 {
            return f(0, items);
        }
        let parts = Parts::new(items, unit, threads);
        self.run(&|i| {
            if let Some(part) = parts.take(i) {
                f(share(units, i, threads), part);
            }
        });
    }
}
