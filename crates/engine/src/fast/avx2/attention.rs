//! Attention of one head.

use std::arch::x86_64::*;

use crate::{
    blocks::BLOCK,
    cache::{Compressed, Part},
    fast::{body, kernels::AttentionScratch},
    reference::View,
};

/// Positions that are mixed at a time.
const SPAN: usize = 16;
/// Bits of a digit of a weight: a span's products of digits with values of at most 32,767 add up to less than 2^31.
const DIGIT: u32 = 12;

/// Sums of 32 elements: of lanes of 64 bits, those of the elements 0, 2, 8, 10, of 1, 3, 9, 11, of 4, 6, 12, 14, of 5, 7, 13, 15,
/// and the same of the second 16.
type Mixed = [[__m256i; 2]; 4];

/// The values of one block at some positions, at most [`SPAN`], and their shifts.
#[derive(Clone, Copy)]
struct Span<'a> {
    /// Every `stride`th is meant.
    values: &'a [Compressed],
    shifts: &'a [u8],
    stride: usize,
}

impl Span<'_> {
    #[target_feature(enable = "avx2")]
    #[inline]
    fn value(&self, position: usize) -> [__m256i; 2] {
        let (low, high) = self.values[position * self.stride].split_at(BLOCK / 2);
        // SAFETY: 32 bytes each; the loads need no alignment.
        unsafe { [_mm256_loadu_si256(low.as_ptr().cast()), _mm256_loadu_si256(high.as_ptr().cast())] }
    }

    /// Elements of two positions side by side, 0 for one that is not there.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn pair(&self, first: usize, count: usize) -> [__m256i; 4] {
        let a = self.value(first);
        let b = if first + 1 < count { self.value(first + 1) } else { [_mm256_setzero_si256(); 2] };
        [
            _mm256_unpacklo_epi16(a[0], b[0]),
            _mm256_unpackhi_epi16(a[0], b[0]),
            _mm256_unpacklo_epi16(a[1], b[1]),
            _mm256_unpackhi_epi16(a[1], b[1]),
        ]
    }
}

/// Adds a span's values times their probabilities.
///
/// The weight of a value is its probability shifted by what its shift exceeds the span's least one. Its digits in base
/// 2^[`DIGIT`] are 16-bit factors, whose products are added exactly in 32 bits over the span.
#[target_feature(enable = "avx2")]
#[inline]
fn mix(span: Span<'_>, probabilities: &[i32], sums: &mut Mixed) {
    // Positions beyond have no weight, and no influence on the least shift.
    let (mut shifts, mut weights) = ([u32::from(u8::MAX); SPAN], [0i32; SPAN]);
    for (to, shift) in
        shifts.iter_mut().zip(span.shifts.iter().step_by(span.stride)).take(probabilities.len())
    {
        *to = (*shift).into();
    }
    let least = shifts.iter().fold(u32::MAX, |a, b| a.min(*b));
    for ((weight, p), shift) in weights.iter_mut().zip(probabilities).zip(shifts) {
        // Below 2^31: a probability has 15 bits, a shift is at most 16.
        *weight = p << (shift - least);
    }
    let most = weights.iter().fold(0, |a, b| a | *b);
    if most >> DIGIT == 0 {
        add_digits::<1>(span, probabilities.len(), &weights, least, sums);
    } else if most >> (2 * DIGIT) == 0 {
        add_digits::<2>(span, probabilities.len(), &weights, least, sums);
    } else {
        add_digits::<3>(span, probabilities.len(), &weights, least, sums);
    }
}

/// Adds a span's values times weights of `N` digits, times `2^shift`.
#[target_feature(enable = "avx2")]
#[inline]
fn add_digits<const N: usize>(
    span: Span<'_>,
    count: usize,
    weights: &[i32; SPAN],
    shift: u32,
    sums: &mut Mixed,
) {
    let mut totals = [[_mm256_setzero_si256(); 4]; N];
    for (i, pair) in weights.as_chunks::<2>().0[..count.div_ceil(2)].iter().enumerate() {
        let values = span.pair(2 * i, count);
        for (digit, totals) in totals.iter_mut().enumerate() {
            let [a, b] = pair.map(|w| w >> (digit as u32 * DIGIT) & ((1 << DIGIT) - 1));
            let factors = _mm256_set1_epi32(a | b << 16);
            for (total, values) in totals.iter_mut().zip(values) {
                *total = _mm256_add_epi32(*total, _mm256_madd_epi16(values, factors));
            }
        }
    }
    for (digit, totals) in totals.into_iter().enumerate() {
        // At most 2^30: a shift is at most 16, and at most 6 where a weight has three digits.
        let factor = _mm256_set1_epi64x(1 << (shift + digit as u32 * DIGIT));
        for ([even, odd], total) in sums.iter_mut().zip(totals) {
            *even = _mm256_add_epi64(*even, _mm256_mul_epi32(total, factor));
            *odd = _mm256_add_epi64(*odd, _mm256_mul_epi32(_mm256_srli_epi64::<32>(total), factor));
        }
    }
}

/// The elements of a mix in their order.
#[target_feature(enable = "avx2")]
#[inline]
fn in_order(sums: Mixed, out: &mut [i64; BLOCK]) {
    for (sums, out) in sums.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<16>().0) {
        for (q, [even, odd]) in sums.iter().enumerate() {
            let (a, b) = (_mm256_unpacklo_epi64(*even, *odd), _mm256_unpackhi_epi64(*even, *odd));
            let fours = [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)];
            for (i, four) in fours.into_iter().enumerate() {
                // SAFETY: 32 bytes; the store needs no alignment.
                unsafe { _mm256_storeu_si256(out[8 * i + 4 * q..][..4].as_mut_ptr().cast(), four) };
            }
        }
    }
}

#[target_feature(enable = "avx2")]
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
        for (keys, shifts) in keys.chunks_exact(blocks).zip(shifts.chunks_exact(blocks)) {
            let mut sum = _mm256_setzero_si256();
            for ((key, shift), query) in keys.iter().zip(shifts).zip(query) {
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
            scratch.scores.push(lanes.iter().sum());
        }
    }
    body::scale_scores(view, &mut scratch.scores, query_shift);
    body::softmax_and_mix(scratch, blocks, out, |probabilities, mixed| {
        for (block, mixed) in mixed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sums = [[_mm256_setzero_si256(); 2]; 4];
            let mut rest = probabilities;
            for (values, shifts) in body::seen(view, Part::Values, blocks) {
                let (these, others) = rest.split_at(shifts.len() / blocks);
                rest = others;
                for (i, probabilities) in these.chunks(SPAN).enumerate() {
                    let first = i * SPAN * blocks + block;
                    let span = Span { values: &values[first..], shifts: &shifts[first..], stride: blocks };
                    mix(span, probabilities, &mut sums);
                }
            }
            in_order(sums, mixed);
        }
    });
}
