//! The specification: the forward pass as a sequence of typed steps over integers, in plain loops.
//!
//! `docs/ARITHMETIC.md` has the formulas under the same names. Every fast back end equals this bit for bit.

mod attention;
mod norm;
mod product;

#[cfg(test)]
pub(crate) use attention::mix_element;
pub(crate) use attention::{View, attend, mix_reciprocal, probability, rotate, scale_score};
pub(crate) use norm::{InverseRms, normalise_heads, rms_norm};
pub(crate) use product::{Output, activate, embed, finish, multiply};

use crate::{
    blocks::{BLOCK, Quantised, quantise},
    cache::{Cache, Compressed, Part, compress_query, compress_row},
    fixed::{SoftCap, clamp_i32, cos_sin, half_up},
    model::{Layer, Model, Projection, Shape},
};

/// Computes the next position of a sequence, appends its keys and values to the cache, and returns its final
/// normalised hidden state in Q16.
pub(crate) fn forward(model: &Model, cache: &mut Cache, token: u32) -> Vec<i32> {
    let (shape, weights) = (model.shape(), model.weights());
    let mut residual = embed(shape, &weights.embedding, token);
    for (i, layer) in weights.layers.iter().enumerate() {
        attention_block(shape, layer, cache, i, &mut residual);
        feed_forward_block(shape, layer, &mut residual);
    }
    cache.advance(1);
    rms_norm(&residual, &weights.final_norm, shape.eps)
}

/// Logits in Q16 of a final normalised hidden state.
pub(crate) fn logits(model: &Model, hidden: &[i32]) -> Vec<i32> {
    let mut logits = multiply(model.weights().head(), &quantise(hidden));
    if let Some(cap) = model.shape().logit_cap {
        cap_logits(cap, &mut logits);
    }
    logits
}

#[inline(always)]
pub(crate) fn cap_logits(cap: SoftCap, logits: &mut [i32]) {
    for logit in logits {
        // A cap's limit is below 2^31.
        *logit = cap.apply(i64::from(*logit)) as i32;
    }
}

/// The first position that a layer sees at `position`.
pub(crate) fn seen(shape: &Shape, layer: usize, position: usize) -> usize {
    shape.local(layer).map_or(0, |local| (position + 1).saturating_sub(local.window))
}

/// `(cos, sin)` of each rotated pair of a layer at a position, times the model's magnitude, Q30.
pub(crate) fn angles(shape: &Shape, layer: usize, position: usize) -> Vec<(i32, i32)> {
    let turns = shape.local(layer).map_or(&shape.turns, |local| &local.turns);
    let scaled = |x: i32| shape.magnitude.map_or(x, |m| half_up(i64::from(x) * m, 30) as i32);
    let scaled = |(cos, sin)| (scaled(cos), scaled(sin));
    turns.iter().map(|turns| scaled(cos_sin(position as u32, *turns))).collect()
}

pub(crate) fn attention_block(
    shape: &Shape,
    layer: &Layer,
    cache: &mut Cache,
    index: usize,
    residual: &mut [i64],
) {
    let position = cache.len();
    let x = quantise(&rms_norm(residual, &layer.attention_norm, shape.eps));
    let mut queries = project(shape, &layer.query, &x);
    let mut keys = project(shape, &layer.key, &x);
    let values = project(shape, &layer.value, &x);
    let angles = angles(shape, index, position);
    for head in queries.chunks_mut(shape.head_dim).chain(keys.chunks_mut(shape.head_dim)) {
        rotate(head, shape.pairs, &angles);
    }
    for (part, row) in [(Part::Keys, &keys), (Part::Values, &values)] {
        let blocks = cache.layout().row_blocks();
        let (mut q, mut shifts) = (vec![[0; BLOCK]; blocks], vec![0; blocks]);
        compress_row(row, shape.head_dim, &mut q, &mut shifts);
        cache.store(index, part, position, &q, &shifts);
    }

    let mut mixed = Vec::with_capacity(shape.query_width());
    for (h, head) in queries.chunks(shape.head_dim).enumerate() {
        let mut query: Vec<Compressed> = vec![[0; BLOCK]; shape.head_blocks()];
        let shift = compress_query(head, shape.query_factor, &mut query);
        let kv_head = h / (shape.heads / shape.kv_heads);
        let (from, to) = (seen(shape, index, position), position + 1);
        let view = View { cache, layer: index, kv_head, from, to, cap: shape.score_cap };
        mixed.extend_from_slice(&attend(view, &query, shift)[..shape.head_dim]);
    }
    let added = multiply(&layer.attention_output, &quantise(&mixed));
    add(residual, &post_norm(shape, layer.post_attention_norm.as_deref(), added));
}

/// Queries, keys or values before their rotation, Q16.
fn project(shape: &Shape, projection: &Projection, x: &Quantised) -> Vec<i32> {
    let mut out = multiply(&projection.matrix, x);
    if let Some(bias) = &projection.bias {
        add_bias(&mut out, bias);
    }
    if let Some(gains) = &projection.norm {
        normalise_heads(&mut out, gains, shape.eps);
    }
    out
}

#[inline(always)]
pub(crate) fn add_bias(x: &mut [i32], bias: &[i32]) {
    for (x, bias) in x.iter_mut().zip(bias) {
        *x = clamp_i32(i64::from(*x) + i64::from(*bias));
    }
}

pub(crate) fn feed_forward_block(shape: &Shape, layer: &Layer, residual: &mut [i64]) {
    let x = quantise(&rms_norm(residual, &layer.feed_forward_norm, shape.eps));
    let gate: Vec<i32> = multiply(&layer.gate, &x);
    let up: Vec<i32> = multiply(&layer.up, &x);
    let active: Vec<i32> = gate.iter().zip(&up).map(|(g, u)| activate(shape.activation, *g, *u)).collect();
    let added = multiply(&layer.down, &quantise(&active));
    add(residual, &post_norm(shape, layer.post_feed_forward_norm.as_deref(), added));
}

/// What a block adds to the residual, Q24: normalised where the model does that.
fn post_norm(shape: &Shape, gains: Option<&[i32]>, added: Vec<i64>) -> Vec<i64> {
    match gains {
        Some(gains) => rms_norm(&added, gains, shape.eps).iter().map(|x| i64::from(*x) << 8).collect(),
        None => added,
    }
}

/// Each addend is below 2^46 and there are at most 1,024 of them, so the residual stays below 2^57.
fn add(residual: &mut [i64], addend: &[i64]) {
    for (r, a) in residual.iter_mut().zip(addend) {
        *r += a;
    }
}
