//! AVX2.

use std::{arch::x86_64::*, ops::Range};

use super::{
    body,
    kernels::{ActBlock, Acts, Attention, AttentionScratch, Kernels},
};
use crate::{
    blocks::BLOCK,
    model::{GROUP, Matrix, Unit},
    reference::{self, Output},
};

pub(super) static KERNELS: Kernels = Kernels { product, norm, quantise, swiglu, attend };

#[target_feature(enable = "avx2")]
fn norm(x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
    body::norm(x, gains, eps, out);
}

#[target_feature(enable = "avx2")]
fn quantise(x: &[i32], out: &mut Acts) {
    body::quantise(x, out);
}

#[target_feature(enable = "avx2")]
fn swiglu(gate: &mut [i32], up: &[i32]) {
    body::swiglu(gate, up);
}

#[target_feature(enable = "avx2")]
fn product(matrix: &Matrix, groups: Range<usize>, acts: &[Acts], output: Output, out: &mut [i64]) {
    let row_units = matrix.row_units();
    for (group, out) in groups.zip(out.chunks_exact_mut(GROUP * acts.len())) {
        let units = &matrix.units[group * row_units..][..row_units];
        let (acts, out) = (acts.as_chunks::<2>(), out.as_chunks_mut::<{ 2 * GROUP }>());
        for (acts, out) in acts.0.iter().zip(out.0) {
            tile(matrix, group, units, acts, output, out);
        }
        if let [a] = acts.1 {
            tile(matrix, group, units, &[a], output, out.1);
        }
    }
}

/// One row group times `T` vectors, finished into `out`, `[token][row]`; eight rows at a time.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "h, j and t index several arrays each")]
fn tile<const T: usize, A: std::borrow::Borrow<Acts>>(
    matrix: &Matrix,
    group: usize,
    units: &[Unit],
    acts: &[A; T],
    output: Output,
    out: &mut [i64],
) {
    let blocks: [&[[ActBlock; 2]]; T] =
        std::array::from_fn(|t| &acts[t].borrow().blocks.as_chunks::<2>().0[..units.len()]);
    let mut sums = [[0i64; GROUP]; T];
    for eight in 0..2 {
        let zero = _mm256_setzero_si256();
        // Sums of even and of odd rows.
        let (mut even, mut odd) = ([zero; T], [zero; T]);
        for (p, unit) in units.iter().enumerate() {
            // SAFETY: 8 rows of 2 scales are 32 bytes.
            let scales = unsafe { _mm256_loadu_si256(unit.scales[8 * eight..][..8].as_ptr().cast()) };
            for h in 0..2 {
                let mut block = [zero; T];
                for j in 0..8 {
                    let line = &unit.lines[8 * h + j][32 * eight..][..32];
                    // SAFETY: `line` is 32 bytes; the load needs no alignment.
                    let stored = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
                    let weights = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
                    // |w| ≤ 128 as unsigned times a with w's sign: pairs stay within 2 · 128 · 127 < 2^15.
                    let magnitude = _mm256_abs_epi8(weights);
                    for t in 0..T {
                        let x = _mm256_set1_epi32(blocks[t][p][h].words[j]);
                        let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, weights));
                        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                        block[t] = _mm256_add_epi32(block[t], fours);
                    }
                }
                let scales = match h {
                    0 => _mm256_and_si256(scales, _mm256_set1_epi32(0xffff)),
                    _ => _mm256_srli_epi32::<16>(scales),
                };
                for t in 0..T {
                    let scale = _mm256_mullo_epi32(scales, _mm256_set1_epi32(blocks[t][p][h].scale));
                    even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(block[t], scale));
                    let (sum, scale) = (_mm256_srli_epi64::<32>(block[t]), _mm256_srli_epi64::<32>(scale));
                    odd[t] = _mm256_add_epi64(odd[t], _mm256_mul_epi32(sum, scale));
                }
            }
        }
        for t in 0..T {
            let mut halves = [[0i64; 4]; 2];
            // SAFETY: each half is 32 bytes; the stores need no alignment.
            unsafe {
                _mm256_storeu_si256(halves[0].as_mut_ptr().cast(), even[t]);
                _mm256_storeu_si256(halves[1].as_mut_ptr().cast(), odd[t]);
            }
            for i in 0..8 {
                sums[t][8 * eight + i] = halves[i % 2][i / 2];
            }
        }
    }
    for ((sums, acts), out) in sums.iter().zip(acts).zip(out.chunks_exact_mut(GROUP)) {
        body::finish_group(matrix, group, sums, acts.borrow().exponent, output, out);
    }
}

#[target_feature(enable = "avx2")]
fn attend(attention: &Attention<'_>, scratch: &mut AttentionScratch, out: &mut [i32]) {
    let Attention { shape, query, cache, kv_head, positions } = *attention;
    let blocks = shape.head_blocks();
    let (stride, first) = (shape.kv_heads * blocks, kv_head * blocks);
    let key_blocks = cache.keys.q.as_chunks::<BLOCK>().0;
    let query_blocks = query.q.as_chunks::<BLOCK>().0;
    scratch.scores.clear();
    for position in 0..positions {
        let at = position * stride + first;
        let keys = &key_blocks[at..at + blocks];
        let shifts = &cache.keys.shifts[at..at + blocks];
        let mut sum = _mm256_setzero_si256();
        for ((key, shift), query) in keys.iter().zip(shifts).zip(query_blocks) {
            let mut both = _mm256_setzero_si256();
            for (key, query) in key.as_chunks::<16>().0.iter().zip(query.as_chunks::<16>().0) {
                // SAFETY: both are 32 bytes; the loads need no alignment.
                let (key, query) = unsafe {
                    (_mm256_loadu_si256(key.as_ptr().cast()), _mm256_loadu_si256(query.as_ptr().cast()))
                };
                // Elements are within ±32,767, so a pair's sum is below 2^31.
                let pairs = _mm256_madd_epi16(key, query);
                let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(pairs));
                let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(pairs));
                both = _mm256_add_epi64(both, _mm256_add_epi64(low, high));
            }
            sum = _mm256_add_epi64(sum, _mm256_sll_epi64(both, _mm_cvtsi32_si128((*shift).into())));
        }
        let mut lanes = [0i64; 4];
        // SAFETY: 32 bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        scratch.scores.push(reference::scale_score(lanes.iter().sum(), query.shift));
    }
    body::softmax_and_mix(attention, scratch, out, |_, probabilities, mixed| {
        let value_blocks = cache.values.q.as_chunks::<BLOCK>().0;
        for (block, mixed) in mixed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sums = [_mm256_setzero_si256(); 8];
            for (position, p) in probabilities.iter().enumerate() {
                let at = position * stride + first + block;
                // At most 32,767 · 2^16, which fits the low half of a lane.
                let p = _mm256_set1_epi64x(i64::from(*p) << cache.values.shifts[at]);
                for (sum, four) in sums.iter_mut().zip(value_blocks[at].as_chunks::<4>().0) {
                    // SAFETY: 8 bytes; the load needs no alignment.
                    let v = unsafe { _mm_loadl_epi64(four.as_ptr().cast()) };
                    *sum = _mm256_add_epi64(*sum, _mm256_mul_epi32(_mm256_cvtepi16_epi64(v), p));
                }
            }
            for (sum, four) in sums.iter().zip(mixed.as_chunks_mut::<4>().0) {
                // SAFETY: 32 bytes; the store needs no alignment.
                unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), *sum) };
            }
        }
    });
}
