//! Attention of one head.

use std::arch::x86_64::*;

use crate::{
    blocks::BLOCK,
    cache::{Compressed, Part},
    fast::{body, kernels::AttentionScratch},
    reference::View,
};

/// The sum of the lanes of each of eight vectors.
#[target_feature(enable = "avx512f")]
#[inline]
fn totals_of(v: [__m512i; 8]) -> __m512i {
    let pairs = |a, b| _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let fours = |a, b| {
        let (even, odd) = (_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xdd>(a, b));
        _mm512_add_epi64(even, odd)
    };
    let low = fours(pairs(v[0], v[1]), pairs(v[2], v[3]));
    let high = fours(pairs(v[4], v[5]), pairs(v[6], v[7]));
    fours(low, high)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn attend(
    view: View<'_>,
    query: &[Compressed],
    query_shift: u32,
    scratch: &mut AttentionScratch,
    out: &mut [i32],
) {
    let blocks = query.len();
    scratch.scores.clear();
    for (keys, shifts) in body::seen(view, Part::Keys, blocks) {
        for (keys, shifts) in keys.chunks(8 * blocks).zip(shifts.chunks(8 * blocks)) {
            let mut sums = [_mm512_setzero_si512(); 8];
            for ((keys, shifts), sum) in
                keys.chunks_exact(blocks).zip(shifts.chunks_exact(blocks)).zip(&mut sums)
            {
                for ((key, shift), query) in keys.iter().zip(shifts).zip(query) {
                    // SAFETY: both blocks are 64 bytes; the loads need no alignment.
                    let (key, query) = unsafe {
                        (_mm512_loadu_si512(key.as_ptr().cast()), _mm512_loadu_si512(query.as_ptr().cast()))
                    };
                    // Elements are within ±32,767, so a pair's sum is below 2^31.
                    let pairs = _mm512_madd_epi16(key, query);
                    let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(pairs));
                    let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(pairs));
                    let both =
                        _mm512_sll_epi64(_mm512_add_epi64(low, high), _mm_cvtsi32_si128((*shift).into()));
                    *sum = _mm512_add_epi64(*sum, both);
                }
            }
            let mut totals = [0i64; 8];
            // SAFETY: 64 bytes; the store needs no alignment.
            unsafe { _mm512_storeu_si512(totals.as_mut_ptr().cast(), totals_of(sums)) };
            scratch.scores.extend_from_slice(&totals[..shifts.len() / blocks]);
        }
    }
    body::scale_scores(view, &mut scratch.scores, query_shift);
    body::softmax_and_mix(scratch, blocks, out, |probabilities, mixed| {
        for (block, mixed) in mixed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sums = [_mm512_setzero_si512(); 4];
            let mut probabilities = probabilities.iter();
            for (values, shifts) in body::seen(view, Part::Values, blocks) {
                let count = shifts.len() / blocks;
                for (at, p) in (0..count).map(|i| i * blocks + block).zip(&mut probabilities) {
                    // At most 32,767 · 2^16, which fits the low half of a lane.
                    let p = _mm512_set1_epi64(i64::from(*p) << shifts[at]);
                    for (sum, eight) in sums.iter_mut().zip(values[at].as_chunks::<8>().0) {
                        // SAFETY: 16 bytes; the load needs no alignment.
                        let v = unsafe { _mm_loadu_si128(eight.as_ptr().cast()) };
                        *sum = _mm512_add_epi64(*sum, _mm512_mul_epi32(_mm512_cvtepi16_epi64(v), p));
                    }
                }
            }
            for (sum, eight) in sums.iter().zip(mixed.as_chunks_mut::<8>().0) {
                // SAFETY: 64 bytes; the store needs no alignment.
                unsafe { _mm512_storeu_si512(eight.as_mut_ptr().cast(), *sum) };
            }
        }
    });
}
