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

/// Adds each even lane of 32 bits, then each odd one, multiplied by `factor`'s even lanes, to the lanes of two sums.
#[target_feature(enable = "avx512f")]
#[inline]
fn add_scaled([even, odd]: [__m512i; 2], x: __m512i, factor: __m512i) -> [__m512i; 2] {
    let upper = _mm512_srli_epi64::<32>(x);
    [
        _mm512_add_epi64(even, _mm512_mul_epi32(x, factor)),
        _mm512_add_epi64(odd, _mm512_mul_epi32(upper, factor)),
    ]
}

/// `2^shift` in every lane of 64 bits, for shifts of at most 30.
#[target_feature(enable = "avx512f")]
#[inline]
fn power(shift: u8) -> __m512i {
    _mm512_set1_epi64(1 << shift)
}

/// Positions that are mixed at a time.
const SPAN: usize = 16;
/// Where weights add up to no more, each at most 32,767, their products with values of at most 32,767 add up to less than
/// 2^31.
const MOST_WEIGHT: i32 = 65_534;

/// Sums of 32 elements: of lanes of 64 bits, those of the elements 0, 2, 8, 10, 16, …, of 1, 3, 9, 11, …, of 4, 6, 12, 14, …
/// and of 5, 7, 13, 15, ….
type Mixed = [[__m512i; 2]; 2];

/// Adds the values of at most [`SPAN`] positions, which are `stride` blocks apart, times their probabilities.
///
/// The products are added in 32 bits as far as that is exact: shifts are taken into the probabilities as far as they
/// differ, and where these become too large the positions are halved.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn mix(values: &[Compressed], stride: usize, probabilities: &[i32], shifts: &[u8; SPAN], sums: &mut Mixed) {
    let count = probabilities.len();
    let Some(least) = shifts[..count].iter().min() else { return };
    let lanes = (1u32 << count) - 1;
    // SAFETY: lanes that are read lie within `probabilities`, and `shifts` is 16 bytes; the loads need no alignment.
    let (p, shifts_) = unsafe {
        let p = _mm512_maskz_loadu_epi32(lanes as u16, probabilities.as_ptr());
        (p, _mm512_cvtepu8_epi32(_mm_loadu_si128(shifts.as_ptr().cast())))
    };
    let up = _mm512_maskz_sub_epi32(lanes as u16, shifts_, _mm512_set1_epi32((*least).into()));
    // Below 2^31: a probability has 15 bits, a shift is at most 16.
    let weights = _mm512_sllv_epi32(p, up);
    let too_large = _mm512_cmpgt_epi32_mask(weights, _mm512_set1_epi32(i16::MAX.into()));
    if too_large != 0 || _mm512_reduce_add_epi32(weights) > MOST_WEIGHT {
        // One position alone always passes: its shift is the least.
        let half = count / 2;
        let mut rest = [0; SPAN];
        rest[..count - half].copy_from_slice(&shifts[half..count]);
        mix(values, stride, &probabilities[..half], shifts, sums);
        mix(&values[half * stride..], stride, &probabilities[half..], &rest, sums);
        return;
    }
    let mut pairs = [0i32; SPAN / 2];
    // SAFETY: 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(weights)) };
    let zero = _mm512_setzero_si512();
    let load = |position: usize| match values.get(position * stride).filter(|_| position < count) {
        // SAFETY: 64 bytes; the load needs no alignment.
        Some(value) => unsafe { _mm512_loadu_si512(value.as_ptr().cast()) },
        None => zero,
    };
    let (mut low, mut high) = ([zero; 2], [zero; 2]);
    for (k, pair) in pairs[..count.div_ceil(2)].iter().enumerate() {
        let (a, b) = (load(2 * k), load(2 * k + 1));
        let pair = _mm512_set1_epi32(*pair);
        // Two sums each, so that one need not wait for the other.
        low[k % 2] = _mm512_dpwssd_epi32(low[k % 2], _mm512_unpacklo_epi16(a, b), pair);
        high[k % 2] = _mm512_dpwssd_epi32(high[k % 2], _mm512_unpackhi_epi16(a, b), pair);
    }
    let factor = power(*least);
    for (sums, [a, b]) in sums.iter_mut().zip([low, high]) {
        *sums = add_scaled(*sums, _mm512_add_epi32(a, b), factor);
    }
}

/// The elements of a mix in their order.
#[target_feature(enable = "avx512f")]
#[inline]
fn in_order([[a, b], [c, d]]: Mixed, out: &mut [i64; BLOCK]) {
    // Elements 0, 1, 8, 9, …, then 2, 3, 10, 11, …, then 4, 5, …, then 6, 7, ….
    let quarters = [
        _mm512_unpacklo_epi64(a, b),
        _mm512_unpackhi_epi64(a, b),
        _mm512_unpacklo_epi64(c, d),
        _mm512_unpackhi_epi64(c, d),
    ];
    for (q, quarter) in quarters.into_iter().enumerate() {
        let mut lanes = [0i64; 8];
        // SAFETY: 64 bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), quarter) };
        for (eight, two) in out.as_chunks_mut::<8>().0.iter_mut().zip(lanes.as_chunks::<2>().0) {
            eight[2 * q..][..2].copy_from_slice(two);
        }
    }
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
                let mut parts = [_mm512_setzero_si512(); 2];
                for ((key, shift), query) in keys.iter().zip(shifts).zip(query) {
                    // SAFETY: both blocks are 64 bytes; the loads need no alignment.
                    let (key, query) = unsafe {
                        (_mm512_loadu_si512(key.as_ptr().cast()), _mm512_loadu_si512(query.as_ptr().cast()))
                    };
                    // Elements are within ±32,767, so a pair's sum is below 2^31.
                    parts = add_scaled(parts, _mm512_madd_epi16(key, query), power(*shift));
                }
                *sum = _mm512_add_epi64(parts[0], parts[1]);
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
            let mut sums = [[_mm512_setzero_si512(); 2]; 2];
            let mut rest = probabilities;
            for (values, shifts) in body::seen(view, Part::Values, blocks) {
                let (these, after) = rest.split_at(shifts.len() / blocks);
                rest = after;
                for (i, probabilities) in these.chunks(SPAN).enumerate() {
                    let first = i * SPAN * blocks + block;
                    let mut of_block = [0; SPAN];
                    for (one, shift) in of_block.iter_mut().zip(shifts[first..].iter().step_by(blocks)) {
                        *one = *shift;
                    }
                    mix(&values[first..], blocks, probabilities, &of_block, &mut sums);
                }
            }
            in_order(sums, mixed);
        }
    });
}
