//! Rotary positions and attention of one head.

use crate::{
    blocks::BLOCK,
    cache::{Cache, Compressed, Part},
    fixed::{SoftCap, clamp_i32, exp2_parts, half_up, rescale},
    model::Pairs,
};

/// Largest probability: 2^15 − 1 in Q15, so that one shifted by 16 fits an `i32`.
const MAX_PROBABILITY: i64 = 32_767;

/// Rotates pairs of a head's leading elements by `(cos, sin)` in Q30; elements beyond the pairs stay.
#[inline(always)]
pub(crate) fn rotate(head: &mut [i32], pairs: Pairs, angles: &[(i32, i32)]) {
    let turn = |a: &mut i32, b: &mut i32, (cos, sin): (i32, i32)| {
        let (x, y) = (i64::from(*a), i64::from(*b));
        let (cos, sin) = (i64::from(cos), i64::from(sin));
        // |x·cos − y·sin| ≤ 2^31 · 2^31 · sqrt(2), below 2^63 with what rounds.
        *a = clamp_i32(half_up(x * cos - y * sin, 30));
        *b = clamp_i32(half_up(x * sin + y * cos, 30));
    };
    match pairs {
        Pairs::Neighbours => {
            for ([a, b], angle) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                turn(a, b, *angle);
            }
        }
        Pairs::Halves => {
            let (first, second) = head.split_at_mut(angles.len());
            for ((a, b), angle) in first.iter_mut().zip(second).zip(angles) {
                turn(a, b, *angle);
            }
        }
    }
}

/// A head's view of its sequence: one head's query against the keys and values of the positions that it sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) layer: usize,
    pub(crate) kv_head: usize,
    /// The first position seen.
    pub(crate) from: usize,
    /// One past the last position seen.
    pub(crate) to: usize,
    /// Soft limit of scores.
    pub(crate) cap: Option<SoftCap>,
}

/// Attention of one head: scores, softmax, mix. `query` is Q(20 − shift); result in Q16, padded to whole blocks.
pub(crate) fn attend(view: View<'_>, query: &[Compressed], query_shift: u32) -> Vec<i32> {
    let (probabilities, sum) = softmax(&scores(view, query, query_shift));
    mix(view, &probabilities, sum, query.len())
}

/// Scores of a query against every position seen, Q16 in log2 units.
fn scores(view: View<'_>, query: &[Compressed], query_shift: u32) -> Vec<i64> {
    let mut scores = Vec::with_capacity(view.to);
    for (keys, shifts) in view.cache.head(view.layer, Part::Keys, view.kv_head, view.to) {
        for (keys, shifts) in keys.chunks_exact(query.len()).zip(shifts.chunks_exact(query.len())) {
            let mut sum = 0i64;
            for ((key, query), shift) in keys.iter().zip(query).zip(shifts) {
                let dot: i64 = key.iter().zip(query).map(|(k, q)| i64::from(*k) * i64::from(*q)).sum();
                // At most 2^35 · 2^16, and 32 blocks.
                sum += dot << shift;
            }
            let score = scale_score(sum, query_shift);
            scores.push(view.cap.map_or(score, |cap| cap.apply(score)));
        }
    }
    scores.split_off(view.from)
}

/// Brings a sum of products in Q(36 − shift) to Q16.
#[inline(always)]
pub(crate) fn scale_score(sum: i64, query_shift: u32) -> i64 {
    rescale(sum, 20 - query_shift as i32, 1 << 60)
}

/// `min(32767, 2^(score − max))` in Q15, rounded half up, and their sum, which is at least 32,767.
fn softmax(scores: &[i64]) -> (Vec<i32>, i64) {
    let max = scores.iter().copied().max().unwrap_or(0);
    let probabilities: Vec<i32> = scores.iter().map(|s| probability(max - s)).collect();
    let sum = probabilities.iter().map(|p| i64::from(*p)).sum();
    (probabilities, sum)
}

/// `min(32767, 2^-z)` in Q15 for `z ≥ 0` in Q16.
#[inline(always)]
pub(crate) fn probability(z: i64) -> i32 {
    let (m, n) = exp2_parts(z);
    half_up(m, 15 + n).min(MAX_PROBABILITY) as i32
}

/// The values' mean weighted by `probabilities`, Q16.
fn mix(view: View<'_>, probabilities: &[i32], sum: i64, blocks: usize) -> Vec<i32> {
    let mut acc = vec![0i64; blocks * BLOCK];
    let mut position = 0;
    for (values, shifts) in view.cache.head(view.layer, Part::Values, view.kv_head, view.to) {
        for (values, shifts) in values.chunks_exact(blocks).zip(shifts.chunks_exact(blocks)) {
            if position >= view.from {
                let p = i64::from(probabilities[position - view.from]);
                for ((value, shift), acc) in values.iter().zip(shifts).zip(acc.as_chunks_mut::<BLOCK>().0) {
                    // 2^17 positions of at most 32,767 · 32,767 · 2^16 stay below 2^63.
                    for (acc, v) in acc.iter_mut().zip(value) {
                        *acc += (p << shift) * i64::from(*v);
                    }
                }
            }
            position += 1;
        }
    }
    let reciprocal = mix_reciprocal(sum);
    acc.iter().map(|acc| mix_element(*acc, reciprocal)).collect()
}

/// `floor(2^62 / sum)` for the sum of the probabilities.
#[inline(always)]
pub(crate) fn mix_reciprocal(sum: i64) -> i64 {
    (1 << 62) / sum
}

/// One element of the weighted mean, clamped to `i32`.
#[inline(always)]
pub(crate) fn mix_element(acc: i64, reciprocal: i64) -> i32 {
    let product = i128::from(acc) * i128::from(reciprocal);
    clamp_i32(((product + (1 << 61)) >> 62) as i64)
}
