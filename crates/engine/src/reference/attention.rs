//! Rotary positions and attention of one head.

use crate::{
    blocks::BLOCK,
    cache::{Query, Rows},
    fixed::{clamp_i32, exp2_parts, half_up, rescale},
    model::Shape,
};

/// Largest probability: 2^15 − 1 in Q15, so that one shifted by 16 fits an `i32`.
const MAX_PROBABILITY: i64 = 32_767;

/// Rotates neighbouring pairs of a head by `(cos, sin)` in Q30; elements beyond the pairs stay.
#[inline(always)]
pub(crate) fn rotate(head: &mut [i32], angles: &[(i32, i32)]) {
    for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
        let [a, b] = pair.map(i64::from);
        let (cos, sin) = (i64::from(*cos), i64::from(*sin));
        // |a·cos − b·sin| ≤ 2^31 · 2^30 · sqrt(2), below 2^62.
        *pair = [clamp_i32(half_up(a * cos - b * sin, 30)), clamp_i32(half_up(a * sin + b * cos, 30))];
    }
}

/// Attention of one head over every cached position: scores, softmax, mix. Result in Q16.
pub(crate) fn attend(shape: &Shape, query: &Query, keys: &Rows, values: &Rows, kv_head: usize) -> Vec<i32> {
    let (probabilities, sum) = softmax(&scores(shape, query, keys, kv_head));
    mix(shape, &probabilities, sum, values, kv_head)
}

/// Scores of a query against every cached position, Q16 in log2 units.
fn scores(shape: &Shape, query: &Query, keys: &Rows, kv_head: usize) -> Vec<i64> {
    let blocks = shape.head_blocks();
    let stride = shape.kv_heads * blocks;
    let positions = keys.shifts.len() / stride;
    let score = |position: usize| {
        let first = position * stride + kv_head * blocks;
        let mut sum = 0i64;
        for block in 0..blocks {
            let key = &keys.q[(first + block) * BLOCK..][..BLOCK];
            let query = &query.q[block * BLOCK..][..BLOCK];
            let dot: i64 = key.iter().zip(query).map(|(k, q)| i64::from(*k) * i64::from(*q)).sum();
            // At most 2^35 · 2^16, and 32 blocks.
            sum += dot << keys.shifts[first + block];
        }
        scale_score(sum, query.shift)
    };
    (0..positions).map(score).collect()
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
fn mix(shape: &Shape, probabilities: &[i32], sum: i64, values: &Rows, kv_head: usize) -> Vec<i32> {
    let blocks = shape.head_blocks();
    let stride = shape.kv_heads * blocks;
    let mut acc = vec![0i64; blocks * BLOCK];
    for (position, p) in probabilities.iter().enumerate() {
        let first = position * stride + kv_head * blocks;
        for block in 0..blocks {
            let scaled = i64::from(*p) << values.shifts[first + block];
            let value = &values.q[(first + block) * BLOCK..][..BLOCK];
            // 2^17 positions of at most 32,767 · 32,767 · 2^16 stay below 2^63.
            for (acc, v) in acc[block * BLOCK..].iter_mut().zip(value) {
                *acc += scaled * i64::from(*v);
            }
        }
    }
    acc.truncate(shape.head_dim);
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
