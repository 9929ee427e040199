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
#[cfg(target_arch = "aarch64")]
mod neon;
mod products;
mod team;

use std::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use self::{
    kernels::{Acts, AttentionScratch, Kernels, Preparation},
    products::Products,
    team::Team,
};
use crate::{
    Backend,
    blocks::BLOCK,
    cache::{Cache, Compressed, Part},
    model::{GROUP, Layer, Model, Projection, Shape, Units},
    reference::{View, angles, cap_logits, embed, seen},
    runner::{Outputs, Work},
};

/// What normalising, activating or rounding an element costs, in multiplications of a product.
const ELEMENT_WORK: usize = 64;
/// What multiplying a key or value costs, in the same unit.
const ATTENTION_WORK: usize = 8;

/// Threads, kernels and buffers of one batch at a time.
#[derive(Debug)]
pub(crate) struct Fast {
    kernels: &'static Kernels,
    team: Team,
    rows: Vec<Row>,
    /// One a row.
    acts: Vec<Acts>,
    /// Rows that are not in use, for their buffers.
    spare: Vec<(Row, Acts)>,
    hidden: Products<i32>,
    residual: Products<i64>,
    /// `[row][head][element]`, Q16.
    mixed: Vec<i32>,
}

/// One position of one sequence on its way through the layers.
#[derive(Debug, Default)]
struct Row {
    /// Index into the batch.
    work: usize,
    position: usize,
    /// Of the last layer with other angles than its predecessor.
    angles: Vec<(i32, i32)>,
    /// Q24.
    residual: Vec<i64>,
    /// `[head][block]`
    queries: Vec<Compressed>,
    /// One a head.
    query_shifts: Vec<u32>,
    keys: (Vec<Compressed>, Vec<u8>),
    values: (Vec<Compressed>, Vec<u8>),
}

impl Row {
    fn start(&mut self, shape: &Shape, work: usize, position: usize, residual: Vec<i64>) {
        let blocks = shape.head_blocks();
        (self.work, self.position, self.residual) = (work, position, residual);
        self.queries.resize(shape.heads * blocks, [0; BLOCK]);
        self.query_shifts.resize(shape.heads, 0);
        for (q, shifts) in [&mut self.keys, &mut self.values] {
            q.resize(shape.kv_heads * blocks, [0; BLOCK]);
            shifts.resize(shape.kv_heads * blocks, 0);
        }
    }
}

impl Fast {
    /// `None` if the machine lacks what the back end needs, or it is no fast one.
    pub(crate) fn new(backend: Backend, threads: usize) -> Option<Self> {
        let kernels = Kernels::of(backend)?;
        let team = Team::new(threads.clamp(1, 256));
        // Test models are small: all of their work is shared out.
        #[cfg(test)]
        let team = team.eager();
        Some(Self {
            kernels,
            team,
            rows: Vec::new(),
            acts: Vec::new(),
            spare: Vec::new(),
            hidden: Products::default(),
            residual: Products::default(),
            mixed: Vec::new(),
        })
    }

    /// Same contract as [`crate::reference::forward`] for each token of each sequence in turn. The outputs are those
    /// of each sequence's last `wanted` tokens.
    pub(crate) fn step(&mut self, model: &Model, batch: &mut [Work<'_>], outputs: &mut Outputs) {
        let (shape, weights) = (model.shape(), model.weights());
        let count = batch.iter().map(|work| work.tokens.len()).sum();
        self.spare.extend(self.rows.drain(..).zip(self.acts.drain(..)));
        for _ in 0..count {
            let (row, acts) = self.spare.pop().unwrap_or_default();
            self.rows.push(row);
            self.acts.push(acts);
        }
        self.mixed.resize(count * shape.query_width(), 0);
        let mut rows = self.rows.iter_mut();
        for (w, work) in batch.iter().enumerate() {
            for ((i, token), row) in work.tokens.iter().enumerate().zip(&mut rows) {
                row.start(shape, w, work.cache.len() + i, embed(shape, &weights.embedding, *token));
            }
        }
        for (i, layer) in weights.layers.iter().enumerate() {
            if i == 0 || shape.local(i).is_some() != shape.local(i - 1).is_some() {
                self.team.split(&mut self.rows, 1, count * shape.rope_dims * ELEMENT_WORK, |_, rows| {
                    for row in rows {
                        row.angles = angles(shape, i, row.position);
                    }
                });
            }
            self.attention(shape, layer, batch, i);
            self.feed_forward(shape, layer);
        }
        for work in &mut *batch {
            work.cache.advance(work.tokens.len());
        }
        self.finish(model, outputs);
    }

    /// Final hidden states and logits of the rows, which are those that were wanted.
    fn finish(&mut self, model: &Model, outputs: &mut Outputs) {
        let (shape, weights) = (model.shape(), model.weights());
        let Self { kernels, team, rows, acts, hidden, .. } = self;
        outputs.resize(rows.len(), shape);
        if rows.is_empty() {
            return;
        }
        let states = outputs.hidden.chunks_exact_mut(shape.width);
        for ((row, acts), state) in rows.iter().zip(&mut *acts).zip(states) {
            kernels.norm(&row.residual, &weights.final_norm, shape.eps, state);
            kernels.quantise(state, acts);
        }
        hidden.compute(kernels, team, &[weights.head()], acts);
        let work = ELEMENT_WORK / 8 * outputs.logits.len();
        team.split(&mut outputs.logits, shape.vocabulary, work, |first, logits| {
            for (i, logits) in logits.chunks_exact_mut(shape.vocabulary).enumerate() {
                hidden.gather(0, first + i, logits);
                if let Some(cap) = shape.logit_cap {
                    cap_logits(cap, logits);
                }
            }
        });
    }

    /// Leaves the rows whose outputs are wanted: of the last layer others give keys and values only.
    fn retain_wanted(&mut self, batch: &[Work<'_>]) {
        let end = |work: &Work<'_>| work.cache.len() + work.tokens.len();
        let wanted = |row: &Row| row.position + batch[row.work].wanted >= end(&batch[row.work]);
        let mut kept = 0;
        for i in 0..self.rows.len() {
            if wanted(&self.rows[i]) {
                self.rows.swap(kept, i);
                self.acts.swap(kept, i);
                kept += 1;
            }
        }
        self.spare.extend(self.rows.drain(kept..).zip(self.acts.drain(kept..)));
    }

    fn attention(&mut self, shape: &Shape, layer: &Layer, batch: &mut [Work<'_>], index: usize) {
        self.normalise(shape, &layer.attention_norm);
        self.keys_and_values(shape, layer, batch, index);
        if index + 1 == shape.layers {
            self.retain_wanted(batch);
        }
        let Self { kernels, team, rows, acts, hidden, residual, mixed, .. } = self;
        hidden.compute(kernels, team, &[&layer.query.matrix], acts);
        let work = ELEMENT_WORK * rows.len() * shape.query_width();
        team.split(rows, 1, work, |first, rows| {
            let mut x = vec![0; shape.query_width()];
            for (i, row) in rows.iter_mut().enumerate() {
                hidden.gather(0, first + i, &mut x);
                let how = preparation(shape, &layer.query, Some(&row.angles));
                kernels.queries(&mut x, &how, shape.query_factor, &mut row.queries, &mut row.query_shifts);
            }
        });
        let seen_in_all: usize =
            rows.iter().map(|row| row.position + 1 - seen(shape, index, row.position)).sum();

        let batch: Vec<&Cache> = batch.iter().map(|work| &*work.cache).collect();
        let (blocks, group) = (shape.head_blocks(), shape.heads / shape.kv_heads);
        // Two products of a query with every position that it sees, which come from far away.
        let work = 2 * ATTENTION_WORK * shape.query_width() * seen_in_all;
        let mixed = &mut mixed[..rows.len() * shape.query_width()];
        team.split(mixed, shape.head_dim, work, |first, mixed| {
            let mut scratch = AttentionScratch::default();
            for (i, mixed) in mixed.chunks_exact_mut(shape.head_dim).enumerate() {
                let (row, head) = (&rows[(first + i) / shape.heads], (first + i) % shape.heads);
                let view = View {
                    cache: batch[row.work],
                    layer: index,
                    kv_head: head / group,
                    from: seen(shape, index, row.position),
                    to: row.position + 1,
                    cap: shape.score_cap,
                };
                let query = &row.queries[head * blocks..][..blocks];
                kernels.attend(view, query, row.query_shifts[head], &mut scratch, mixed);
            }
        });
        team.split(acts, 1, ELEMENT_WORK * mixed.len(), |first, acts| {
            for (i, acts) in acts.iter_mut().enumerate() {
                kernels.quantise(&mixed[(first + i) * shape.query_width()..][..shape.query_width()], acts);
            }
        });
        residual.compute(kernels, team, &[&layer.attention_output], acts);
        self.add(shape, layer.post_attention_norm.as_deref());
    }

    /// Computes and stores the keys and values of all rows.
    fn keys_and_values(&mut self, shape: &Shape, layer: &Layer, batch: &mut [Work<'_>], index: usize) {
        let Self { kernels, team, rows, acts, hidden, .. } = self;
        hidden.compute(kernels, team, &[&layer.key.matrix, &layer.value.matrix], acts);
        let work = ELEMENT_WORK * rows.len() * 2 * shape.kv_width();
        team.split(rows, 1, work, |first, rows| {
            let mut x = vec![0; shape.kv_width()];
            for (i, row) in rows.iter_mut().enumerate() {
                hidden.gather(0, first + i, &mut x);
                let how = preparation(shape, &layer.key, Some(&row.angles));
                kernels.row(&mut x, &how, &mut row.keys.0, &mut row.keys.1);
                hidden.gather(1, first + i, &mut x);
                let how = preparation(shape, &layer.value, None);
                kernels.row(&mut x, &how, &mut row.values.0, &mut row.values.1);
            }
        });
        for row in rows.iter() {
            let cache = &mut batch[row.work].cache;
            cache.store(index, Part::Keys, row.position, &row.keys.0, &row.keys.1);
            cache.store(index, Part::Values, row.position, &row.values.0, &row.values.1);
        }
    }

    fn feed_forward(&mut self, shape: &Shape, layer: &Layer) {
        self.normalise(shape, &layer.feed_forward_norm);
        let Self { kernels, team, acts, hidden, residual, .. } = self;
        hidden.compute(kernels, team, &[&layer.gate, &layer.up], acts);
        let work = ELEMENT_WORK * acts.len() * shape.hidden;
        team.split(acts, 1, work, |first, acts| {
            let (mut gate, mut up) = (vec![0; shape.hidden], vec![0; shape.hidden]);
            for (i, acts) in acts.iter_mut().enumerate() {
                hidden.gather(0, first + i, &mut gate);
                hidden.gather(1, first + i, &mut up);
                kernels.activate(shape.activation, &mut gate, &up);
                kernels.quantise(&gate, acts);
            }
        });
        residual.compute(kernels, team, &[&layer.down], acts);
        self.add(shape, layer.post_feed_forward_norm.as_deref());
    }

    /// Each row's residual, normalised and quantised, becomes its activations.
    fn normalise(&mut self, shape: &Shape, gains: &[i32]) {
        let Self { kernels, team, rows, acts, .. } = self;
        let work = ELEMENT_WORK * rows.len() * shape.width;
        team.split(acts, 1, work, |first, acts| {
            let mut x = vec![0; shape.width];
            for (row, acts) in rows[first..].iter().zip(acts) {
                kernels.norm(&row.residual, gains, shape.eps, &mut x);
                kernels.quantise(&x, acts);
            }
        });
    }

    /// Adds the products to each row's residual, normalised where the model does that.
    fn add(&mut self, shape: &Shape, post_norm: Option<&[i32]>) {
        let Self { kernels, team, rows, residual: products, .. } = self;
        let work = ELEMENT_WORK / 2 * rows.len() * shape.width;
        team.split(rows, 1, work, |first, rows| {
            for (i, row) in rows.iter_mut().enumerate() {
                let Some(gains) = post_norm else {
                    let groups = products.groups(0, first + i);
                    for (x, added) in row.residual.chunks_mut(GROUP).zip(groups) {
                        x.iter_mut().zip(added).for_each(|(x, added)| *x += added);
                    }
                    continue;
                };
                let (mut added, mut normal) = (vec![0; shape.width], vec![0; shape.width]);
                products.gather(0, first + i, &mut added);
                kernels.norm(&added, gains, shape.eps, &mut normal);
                for (x, added) in row.residual.iter_mut().zip(&normal) {
                    *x += i64::from(*added) << 8;
                }
            }
        });
    }

    /// Reads every weight once, as fast as the machine can, and returns a sum that depends on all of them.
    pub(crate) fn read_weights(&self, model: &Model) -> u64 {
        let total = AtomicU64::new(0);
        for matrix in model.weights().matrices() {
            let words: &[u64] = match &matrix.units {
                // SAFETY: units are plain integers, aligned to 64 bytes and a multiple of that long.
                Units::Int8(units) => unsafe { units.align_to().1 },
                // SAFETY: as above.
                Units::Int4(units) => unsafe { units.align_to().1 },
                // SAFETY: as above.
                Units::Int4Minima(units) => unsafe { units.align_to().1 },
            };
            let threads = self.team.threads_for(words.len());
            let job = |i: usize| {
                if i < threads {
                    let part = &words[share(words.len(), i, threads)..share(words.len(), i + 1, threads)];
                    total.fetch_add(self.kernels.sum(part), Ordering::Relaxed);
                }
            };
            match threads {
                1 => job(0),
                _ => self.team.run(&job),
            }
        }
        total.into_inner()
    }

    /// Multiplies in registers on every thread, as fast as the machine can; returns the number of multiplications.
    pub(crate) fn multiply(&self, rounds: u64) -> u64 {
        self.team.run(&|_| {
            std::hint::black_box(self.kernels.multiply(rounds));
        });
        rounds * self.kernels.multiplications * self.team.threads() as u64
    }
}

fn preparation<'a>(
    shape: &Shape,
    projection: &'a Projection,
    angles: Option<&'a [(i32, i32)]>,
) -> Preparation<'a> {
    Preparation {
        head_dim: shape.head_dim,
        bias: projection.bias.as_deref(),
        norm: projection.norm.as_deref(),
        eps: shape.eps,
        rotation: angles.map(|angles| (shape.pairs, angles)),
    }
}

/// Parts of a job for each thread: those that are done first take more of them, as cores are rarely equally free.
const PARTS_A_THREAD: usize = 8;

/// Disjoint parts of a slice, each handed out once.
struct Parts<'a, T> {
    parts: Vec<Mutex<Option<&'a mut [T]>>>,
    next: AtomicUsize,
}

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
        Self { parts, next: AtomicUsize::new(0) }
    }

    /// A part that nobody has, with its index.
    fn take(&self) -> Option<(usize, &'a mut [T])> {
        let i = self.next.fetch_add(1, Ordering::Relaxed);
        let part = self.parts.get(i)?.lock().ok()?.take()?;
        Some((i, part))
    }
}

/// First of `total` units that belongs to part `i` of `count`.
fn share(total: usize, i: usize, count: usize) -> usize {
    total * i / count
}

impl Team {
    /// Runs `f(first unit, part)` on parts of `items`, which are cut at multiples of `unit`; `work` is the number of
    /// multiplications in all of them.
    fn split<T: Send>(&self, items: &mut [T], unit: usize, work: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        let units = items.len() / unit.max(1);
        let threads = self.threads_for(work).min(units);
        if threads <= 1 {
            return f(0, items);
        }
        let count = (threads * PARTS_A_THREAD).min(units);
        let parts = Parts::new(items, unit, count);
        self.run(&|_| {
            while let Some((i, part)) = parts.take() {
                f(share(units, i, count), part);
            }
        });
    }
}
