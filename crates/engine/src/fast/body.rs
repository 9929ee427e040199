//! What all back ends share: element-wise loops, compiled once for each instruction set by inlining them into its
//! functions, where the compiler vectorises them.

use super::kernels::{Acts, AttentionScratch, Preparation};
use crate::{
    blocks::{self, BLOCK},
    cache::{Compressed, Part, compress_query, compress_row},
    fixed::half_up,
    model::{Activation, GROUP},
    reference::{self, InverseRms, Output, View},
};

#[inline(always)]
pub(super) fn norm(x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
    let inverse = InverseRms::of(x, eps);
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gains) {
        *out = inverse.element(*x, *gain);
    }
}

#[inline(always)]
pub(super) fn quantise(x: &[i32], out: &mut Acts) {
    let amax = |x: &[i32]| x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0).into();
    let e = blocks::exponent(amax(x));
    out.exponent = e;
    for (x, out) in x.chunks(BLOCK).zip(&mut out.blocks) {
        let scale = blocks::scale(amax(x), e);
        let (reciprocal, shift) = blocks::reciprocal(scale, e);
        let mut q = [0i32; BLOCK];
        for (q, x) in q.iter_mut().zip(x) {
            *q = half_up(i64::from(*x) * reciprocal, shift) as i32;
        }
        for (word, q) in out.words.iter_mut().zip(q.as_chunks::<4>().0) {
            *word = i32::from_le_bytes(q.map(|q| q as u8));
        }
        out.scale = scale.into();
        out.offset = -128 * q.iter().sum::<i32>();
    }
}

#[inline(always)]
pub(super) fn activate(activation: Activation, gate: &mut [i32], up: &[i32]) {
    // One loop each, so that neither has a branch.
    match activation {
        Activation::Silu => activate_each(Activation::Silu, gate, up),
        Activation::Gelu => activate_each(Activation::Gelu, gate, up),
    }
}

#[inline(always)]
fn activate_each(activation: Activation, gate: &mut [i32], up: &[i32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = reference::activate(activation, *gate, *up);
    }
}

#[inline(always)]
fn prepare(x: &mut [i32], how: &Preparation<'_>) {
    if let Some(bias) = how.bias {
        reference::add_bias(x, bias);
    }
    if let Some(gains) = how.norm {
        reference::normalise_heads(x, gains, how.eps);
    }
    if let Some((pairs, angles)) = how.rotation {
        for head in x.chunks_exact_mut(how.head_dim) {
            reference::rotate(head, pairs, angles);
        }
    }
}

#[inline(always)]
pub(super) fn queries(
    x: &mut [i32],
    how: &Preparation<'_>,
    factor: i64,
    q: &mut [Compressed],
    shifts: &mut [u32],
) {
    prepare(x, how);
    let heads = x.chunks_exact(how.head_dim).zip(q.chunks_exact_mut(how.head_dim.div_ceil(BLOCK)));
    for ((head, q), shift) in heads.zip(shifts) {
        *shift = compress_query(head, factor, q);
    }
}

#[inline(always)]
pub(super) fn row(x: &mut [i32], how: &Preparation<'_>, q: &mut [Compressed], shifts: &mut [u8]) {
    prepare(x, how);
    compress_row(x, how.head_dim, q, shifts);
}

/// [`reference::finish`] of a row group's exact sums.
#[inline(always)]
pub(super) fn finish<O: Output>(
    sums: &[i64; GROUP],
    exponents: &[i8; GROUP],
    token_exponent: u32,
    out: &mut [O; GROUP],
) {
    for ((out, sum), e) in out.iter_mut().zip(sums).zip(exponents) {
        *out = reference::finish(*sum, *e, token_exponent);
    }
}

/// The keys or values that a head sees, page by page: blocks and their shifts, `[position][block]`.
#[inline(always)]
pub(super) fn seen(
    view: View<'_>,
    part: Part,
    blocks: usize,
) -> impl Iterator<Item = (&[Compressed], &[u8])> {
    let mut position = 0;
    view.cache.head(view.layer, part, view.kv_head, view.to).map(move |(q, shifts)| {
        let skipped = view.from.saturating_sub(position).min(shifts.len() / blocks) * blocks;
        position += shifts.len() / blocks;
        (&q[skipped..], &shifts[skipped..])
    })
}

/// Makes scores of sums: [`reference::scale_score`], and the soft limit where there is one.
#[inline(always)]
pub(super) fn scale_scores(view: View<'_>, sums: &mut [i64], query_shift: u32) {
    for sum in &mut *sums {
        *sum = reference::scale_score(*sum, query_shift);
    }
    if let Some(cap) = view.cap {
        for score in sums {
            *score = cap.apply(*score);
        }
    }
}

/// Softmax over `scratch.scores`, then the caller's `mix` into `scratch.mixed`, then the division.
#[inline(always)]
pub(super) fn softmax_and_mix(
    scratch: &mut AttentionScratch,
    blocks: usize,
    out: &mut [i32],
    mix: impl FnOnce(&[i32], &mut [i64]),
) {
    let max = scratch.scores.iter().copied().max().unwrap_or(0);
    // A loop, as what extends a vector is not compiled for the caller's instruction set.
    scratch.probabilities.resize(scratch.scores.len(), 0);
    for (p, score) in scratch.probabilities.iter_mut().zip(&scratch.scores) {
        *p = reference::probability(max - score);
    }
    let sum = scratch.probabilities.iter().map(|p| i64::from(*p)).sum();
    scratch.mixed.clear();
    scratch.mixed.resize(blocks * BLOCK, 0);
    mix(&scratch.probabilities, &mut scratch.mixed);
    let reciprocal = reference::mix_reciprocal(sum);
    for (out, mixed) in out.iter_mut().zip(&scratch.mixed) {
        *out = mix_element(*mixed, reciprocal);
    }
}

/// [`reference::mix_element`] without 128-bit numbers, which no vector unit has: `acc = a · 2^32 + b`, `reciprocal = c · 2^31 + d`.
/// `|acc · reciprocal|` is below 2^93, as the reciprocal is that of the sum of the weights in `acc`.
#[inline(always)]
pub(super) fn mix_element(acc: i64, reciprocal: i64) -> i32 {
    let (a, b) = (acc >> 32, acc & 0xffff_ffff);
    let (c, d) = (reciprocal >> 31, reciprocal & 0x7fff_ffff);
    // Below 2^64: b · d is below 2^63.
    let low = (((b * d) as u64 + (1 << 61)) >> 31) as i64;
    let rest = 2 * (a * d) + b * c + low;
    (2 * (a * c) + (rest >> 31)).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}
