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

/// Powers of two up to the largest shift, to be read into every lane: faster than to shift and to copy.
const POWERS: [i64; 17] = {
    let mut powers = [1; 17];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = 2 * powers[i - 1];
        i += 1;
    }
    powers
};

/// `2^shift` in every lane of 64 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn power(shift: u8) -> __m512i {
    _mm512_set1_epi64(POWERS[usize::from(shift)])
}

/// Positions that are mixed at a time.
const SPAN: usize = 16;
/// Where weights add up to no more, each at most 32,767, their products with values of at most 32,767 add up to less than
/// 2^31.
const MOST_WEIGHT: i32 = 65_534;

/// Sums of 32 elements: of lanes of 64 bits, those of the elements 0, 2, 8, 10, 16, …, of 1, 3, 9, 11, …, of 4, 6, 12, 14, …
/// and of 5, 7, 13, 15, ….
type Mixed = [[__m512i; 2]; 2];

/// The values of one block at some positions, at most [`SPAN`], and their shifts.
#[derive(Clone, Copy)]
struct Span<'a> {
    /// Every `stride`th is meant.
    values: &'a [Compressed],
    shifts: &'a [u8],
    stride: usize,
}

impl Span<'_> {
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn value(&self, position: usize) -> __m512i {
        // SAFETY: 64 bytes; the load needs no alignment.
        unsafe { _mm512_loadu_si512(self.values[position * self.stride].as_ptr().cast()) }
    }

    /// Elements of two positions side by side, 0 for one that is not there.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn pair(&self, first: usize, count: usize) -> [__m512i; 2] {
        let a = self.value(first);
        let b = if first + 1 < count { self.value(first + 1) } else { _mm512_setzero_si512() };
        [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
    }

    /// In lanes of 32 bits.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn shifts(&self, count: usize) -> __m512i {
        let mut words = [0u64; 2];
        for (i, shift) in self.shifts.iter().step_by(self.stride).take(count).enumerate() {
            words[i / 8] |= u64::from(*shift) << (i % 8 * 8);
        }
        _mm512_cvtepu8_epi32(_mm_set_epi64x(words[1] as i64, words[0] as i64))
    }
}

/// Adds a span's values times their probabilities.
///
/// Products are added in 32 bits as far as that is exact: of a whole span where the weights are small enough, once they have
/// the same shift, of two positions otherwise.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
fn mix(span: Span<'_>, probabilities: &[i32], sums: &mut Mixed) {
    let count = probabilities.len();
    let lanes = ((1u32 << count) - 1) as u16;
    let largest = _mm512_set1_epi32(i16::MAX.into());
    // SAFETY: lanes that are read lie within `probabilities`; the load needs no alignment.
    let p = unsafe { _mm512_maskz_loadu_epi32(lanes, probabilities.as_ptr()) };
    // Lanes beyond have no weight, and no influence on the least shift.
    let shifts = _mm512_mask_mov_epi32(_mm512_set1_epi32(i8::MAX.into()), lanes, span.shifts(count));
    let least = _mm512_reduce_min_epi32(shifts);
    // Below 2^31: a probability has 15 bits, a shift is at most 16. Shifting by more than 31 gives 0.
    let weights = _mm512_sllv_epi32(p, _mm512_sub_epi32(shifts, _mm512_set1_epi32(least)));
    let small = _mm512_cmpgt_epi32_mask(weights, largest) == 0;
    if small && _mm512_reduce_add_epi32(weights) <= MOST_WEIGHT {
        let pairs = pairs_of(weights);
        let mut totals = [[_mm512_setzero_si512(); 2]; 2];
        for (k, pair) in pairs[..count.div_ceil(2)].iter().enumerate() {
            // Two sums each, so that one need not wait for the other.
            let pair = _mm512_set1_epi32(*pair);
            for (total, values) in totals.iter_mut().zip(span.pair(2 * k, count)) {
                total[k % 2] = _mm512_dpwssd_epi32(total[k % 2], values, pair);
            }
        }
        for (sums, [a, b]) in sums.iter_mut().zip(totals) {
            *sums = add_scaled(*sums, _mm512_add_epi32(a, b), power(least as u8));
        }
        return;
    }
    let least = _mm512_min_epi32(shifts, _mm512_shuffle_epi32::<0b10_11_00_01>(shifts));
    let weights = _mm512_sllv_epi32(p, _mm512_sub_epi32(shifts, least));
    let too_large = _mm512_cmpgt_epi32_mask(weights, largest);
    let pairs = pairs_of(weights);
    let mut least_ = [0i32; SPAN];
    // SAFETY: 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(least_.as_mut_ptr().cast(), least) };
    for (k, pair) in pairs[..count.div_ceil(2)].iter().enumerate() {
        let values = span.pair(2 * k, count);
        if too_large >> (2 * k) & 3 == 0 {
            add_pair(sums, values, *pair, least_[2 * k] as u8);
        } else {
            // One at a time, which is exact with any shift.
            add_pair(sums, values, probabilities[2 * k], span.shifts[2 * k * span.stride]);
            if let Some(p) = probabilities.get(2 * k + 1) {
                add_pair(sums, values, p << 16, span.shifts[(2 * k + 1) * span.stride]);
            }
        }
    }
}

/// Two weights a lane, in 16 bits each.
#[target_feature(enable = "avx512f,avx512vl")]
#[inline]
fn pairs_of(weights: __m512i) -> [i32; SPAN / 2] {
    let mut pairs = [0; SPAN / 2];
    // SAFETY: 32 bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(pairs.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(weights)) };
    pairs
}

/// Adds the products of two positions' values with two weights of at most 32,767.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn add_pair(sums: &mut Mixed, values: [__m512i; 2], pair: i32, shift: u8) {
    let (pair, factor) = (_mm512_set1_epi32(pair), power(shift));
    for (sums, values) in sums.iter_mut().zip(values) {
        *sums = add_scaled(*sums, _mm512_madd_epi16(values, pair), factor);
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
    let pages = body::seen(view, Part::Keys, blocks).zip(body::seen(view, Part::Values, blocks));
    for ((keys, shifts), (values, _)) in pages {
        let eights = keys.chunks(8 * blocks).zip(shifts.chunks(8 * blocks)).zip(values.chunks(8 * blocks));
        for ((keys, shifts), values) in eights {
            // Their turn comes soon.
            for value in values {
                _mm_prefetch::<_MM_HINT_T0>(value.as_ptr().cast());
            }
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
    // What lies behind this head's keys: the next one's, or values.
    let after = View { kv_head: view.kv_head + 1, ..view };
    body::softmax_and_mix(scratch, blocks, out, |probabilities, mixed| {
        for (block, mixed) in mixed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sums = [[_mm512_setzero_si512(); 2]; 2];
            let mut rest = probabilities;
            let pages = body::seen(view, Part::Values, blocks).zip(body::seen(after, Part::Keys, blocks));
            for ((values, shifts), (keys, _)) in pages {
                let (these, others) = rest.split_at(shifts.len() / blocks);
                rest = others;
                for (i, probabilities) in these.chunks(SPAN).enumerate() {
                    let first = i * SPAN * blocks + block;
                    let span = Span { values: &values[first..], shifts: &shifts[first..], stride: blocks };
                    for key in keys[first..].iter().step_by(blocks).take(SPAN) {
                        _mm_prefetch::<_MM_HINT_T0>(key.as_ptr().cast());
                    }
                    mix(span, probabilities, &mut sums);
                }
            }
            in_order(sums, mixed);
        }
    });
}
