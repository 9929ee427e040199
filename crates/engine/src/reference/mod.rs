//! The specification: the forward pass as a sequence of typed steps over integers, in plain loops.
//!
//! `docs/ARITHMETIC.md` has the formulas under the same names. Every fast back end equals this bit for bit.

mod attention;
mod norm;
mod product;

pub(crate) use attention::{attend, mix_element, mix_reciprocal, probability, rotate, scale_score};
pub(crate) use norm::{InverseRms, rms_norm};
pub(crate) use product::{Output, embed, finish, multiply, swiglu};

use crate::{
    blocks::quantise,
    cache::{Cache, compress_query},
    fixed::{clamp_i32, cos_sin},
    model::{Layer, Model, Shape},
};

/// Computes the next position of a sequence, appends its keys and values to the cache, and returns its final
/// normalised hidden state in Q16.
pub(crate) fn forward(model: &Model, cache: &mut Cache, token: u32) -> Vec<i32> {
    let (shape, weights) = (model.shape(), model.weights());
    let mut residual = embed(&weights.embedding, token);
    for (i, layer) in weights.layers.iter().enumerate() {
        attention_block(shape, layer, cache, i, &mut residual);
        feed_forward_block(shape, layer, &mut residual);
    }
    cache.len += 1;
    rms_norm(&residual, &weights.final_norm, shape.eps)
}

/// Logits in Q16 of a final normalised hidden state.
pub(crate) fn logits(model: &Model, hidden: &[i32]) -> Vec<i32> {
    to_i32(&multiply(model.weights().head(), &quantise(hidden), Output::Hidden))
}

fn attention_block(shape: &Shape, layer: &Layer, cache: &mut Cache, index: usize, residual: &mut [i64]) {
    let position = cache.len as u32;
    let x = quantise(&rms_norm(residual, &layer.attention_norm, shape.eps));
    let mut queries = to_i32(&multiply(&layer.query, &x, Output::Hidden));
    let mut keys = to_i32(&multiply(&layer.key, &x, Output::Hidden));
    let values = to_i32(&multiply(&layer.value, &x, Output::Hidden));

    let angles: Vec<(i32, i32)> = shape.turns.iter().map(|t| cos_sin(position, *t)).collect();
    for head in queries.chunks_mut(shape.head_dim).chain(keys.chunks_mut(shape.head_dim)) {
        rotate(head, &angles);
    }
    let cache = &mut cache.layers[index];
    cache.keys.push(&keys, shape.head_dim);
    cache.values.push(&values, shape.head_dim);

    let mut mixed = Vec::with_capacity(shape.query_width());
    for (h, head) in queries.chunks(shape.head_dim).enumerate() {
        let kv_head = h / (shape.heads / shape.kv_heads);
        let query = compress_query(head, shape.query_factor);
        mixed.extend(attend(shape, &query, &cache.keys, &cache.values, kv_head));
    }
    add(residual, &multiply(&layer.attention_output, &quantise(&mixed), Output::Residual));
}

fn feed_forward_block(shape: &Shape, layer: &Layer, residual: &mut [i64]) {
    let x = quantise(&rms_norm(residual, &layer.feed_forward_norm, shape.eps));
    let gate = to_i32(&multiply(&layer.gate, &x, Output::Hidden));
    let up = to_i32(&multiply(&layer.up, &x, Output::Hidden));
    let active: Vec<i32> = gate.iter().zip(&up).map(|(g, u)| swiglu(*g, *u)).collect();
    add(residual, &multiply(&layer.down, &quantise(&active), Output::Residual));
}

/// Each addend is below 2^46 and there are at most 1,024 of them, so the residual stays below 2^57.
fn add(residual: &mut [i64], addend: &[i64]) {
    for (r, a) in residual.iter_mut().zip(addend) {
        *r += a;
    }
}

fn to_i32(x: &[i64]) -> Vec<i32> {
    x.iter().map(|x| clamp_i32(*x)).collect()
}
