//! What all back ends share: element-wise loops, compiled once for each instruction set by inlining them into its
//! functions, where the compiler vectorises them.

use super::kernels::{Acts, Attention, AttentionScratch};
use crate::{
    blocks::{self, BLOCK},
    fixed::{clamp_i32, half_up},
    model::{GROUP, Matrix},
    reference::{self, InverseRms, Output},
};

#[inline(always)]
pub(super) fn norm(x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
    let inverse = InverseRms::of(x, eps);
    for ((out, x), gain) in out.iter_mut().zip(x).zip(gains) {
        *out = clamp_i32(half_up(inverse.apply(*x) * i64::from(*gain), 26));
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
pub(super) fn swiglu(gate: &mut [i32], up: &[i32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = reference::swiglu(*gate, *up);
    }
}

/// Rounds the exact sums of a group of rows for one token.
#[inline(always)]
pub(super) fn finish_group(
    matrix: &Matrix,
    group: usize,
    sums: &[i64; GROUP],
    token_exponent: u32,
    output: Output,
    out: &mut [i64],
) {
    let Some(exponents) = matrix.exponents[group * GROUP..].first_chunk::<GROUP>() else { return };
    let base = 40 - output.bits() - token_exponent as i32;
    let largest = exponents.iter().copied().max().unwrap_or(0);
    if i32::from(largest) <= base {
        // `finish` without its case of a negative shift, so that the loop has no branch.
        let limit = output.limit();
        for ((out, sum), e) in out.iter_mut().zip(sums).zip(exponents) {
            *out = half_up(*sum, (base - i32::from(*e)) as u32).clamp(-limit, limit - 1);
        }
    } else {
        for ((out, sum), e) in out.iter_mut().zip(sums).zip(exponents) {
            *out = reference::finish(*sum, *e, token_exponent, output);
        }
    }
}

/// Softmax over `scratch.scores`, then the caller's `mix` into `scratch.mixed`, then the division.
#[inline(always)]
pub(super) fn softmax_and_mix(
    attention: &Attention<'_>,
    scratch: &mut AttentionScratch,
    out: &mut [i32],
    mix: impl FnOnce(&Attention<'_>, &[i32], &mut [i64]),
) {
    let max = scratch.scores.iter().copied().max().unwrap_or(0);
    scratch.probabilities.clear();
    scratch.probabilities.extend(scratch.scores.iter().map(|s| reference::probability(max - s)));
    let sum = scratch.probabilities.iter().map(|p| i64::from(*p)).sum();
    scratch.mixed.clear();
    scratch.mixed.resize(attention.shape.head_blocks() * BLOCK, 0);
    mix(attention, &scratch.probabilities, &mut scratch.mixed);
    let reciprocal = reference::mix_reciprocal(sum);
    for (out, mixed) in out.iter_mut().zip(&scratch.mixed) {
        *out = reference::mix_element(*mixed, reciprocal);
    }
}
