//! AVX2.

use std::{arch::x86_64::*, ops::Range};

use super::{
    body,
    kernels::{ActBlock, Acts, AttentionScratch, Kernels, Preparation},
};
use crate::{
    blocks::BLOCK,
    cache::{Compressed, Part},
    model::{Activation, GROUP, Matrix, Unit, Unit4, Unit4Minima, Unit8, Units},
    reference::{Output, View},
};

pub(super) static KERNELS: Kernels = Kernels {
    hidden: product::<i32>,
    residual: product::<i64>,
    norm,
    quantise,
    activate,
    queries,
    row,
    attend,
    sum,
    multiply,
    multiplications: 8 * 32,
};

#[target_feature(enable = "avx2")]
fn norm(x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
    body::norm(x, gains, eps, out);
}

#[target_feature(enable = "avx2")]
fn quantise(x: &[i32], out: &mut Acts) {
    body::quantise(x, out);
}

#[target_feature(enable = "avx2")]
fn activate(activation: Activation, gate: &mut [i32], up: &[i32]) {
    body::activate(activation, gate, up);
}

#[target_feature(enable = "avx2")]
fn queries(x: &mut [i32], how: &Preparation<'_>, factor: i64, q: &mut [Compressed], shifts: &mut [u32]) {
    body::queries(x, how, factor, q, shifts);
}

#[target_feature(enable = "avx2")]
fn row(x: &mut [i32], how: &Preparation<'_>, q: &mut [Compressed], shifts: &mut [u8]) {
    body::row(x, how, q, shifts);
}

#[target_feature(enable = "avx2")]
fn sum(words: &[u64]) -> u64 {
    // Enough lines to keep several loads in flight.
    let mut sums = [_mm256_setzero_si256(); 8];
    let (whole, rest) = words.as_chunks::<32>();
    for words in whole {
        for (sum, line) in sums.iter_mut().zip(words.as_chunks::<4>().0) {
            // SAFETY: 32 bytes; the load needs no alignment.
            *sum = _mm256_add_epi64(*sum, unsafe { _mm256_loadu_si256(line.as_ptr().cast()) });
        }
    }
    let mut total = rest.iter().copied().fold(0, u64::wrapping_add);
    for sum in sums {
        let mut lanes = [0u64; 4];
        // SAFETY: 32 bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        total = lanes.iter().copied().fold(total, u64::wrapping_add);
    }
    total
}

#[target_feature(enable = "avx2")]
fn multiply(rounds: u64) -> i32 {
    let x = _mm256_set1_epi32(std::hint::black_box(0x0102_0304));
    let mut sums = [x; 8];
    for _ in 0..rounds {
        for sum in &mut sums {
            // Depends on the sum, or the products would be computed once.
            let pairs = _mm256_maddubs_epi16(x, *sum);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
    }
    let mut total = 0i32;
    for sum in sums {
        let mut lanes = [0i32; 8];
        // SAFETY: 32 bytes; the store needs no alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        total = lanes.iter().fold(total, |a, b| a.wrapping_add(*b));
    }
    total
}

/// A packing of weights, read as eight rows' share of a line.
trait Packed: Unit + Sized {
    /// The weights of elements `4j..4j+4` of block `h` in eight rows, signed.
    ///
    /// # Safety
    /// The machine must have AVX2.
    unsafe fn line(&self, eight: usize, h: usize, j: usize) -> __m256i;
}

impl Packed for Unit8 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn line(&self, eight: usize, h: usize, j: usize) -> __m256i {
        let line = &self.lines[8 * h + j][32 * eight..][..32];
        // SAFETY: `line` is 32 bytes; the load needs no alignment.
        let stored = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
        _mm256_xor_si256(stored, _mm256_set1_epi8(-128))
    }
}

impl Packed for Unit4 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn line(&self, eight: usize, h: usize, j: usize) -> __m256i {
        _mm256_sub_epi8(halves(&self.lines[j], eight, h), _mm256_set1_epi8(8))
    }
}

impl Packed for Unit4Minima {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn line(&self, eight: usize, h: usize, j: usize) -> __m256i {
        halves(&self.lines[j], eight, h)
    }
}

/// The low halves of eight rows' bytes of a line, or the high ones.
#[target_feature(enable = "avx2")]
#[inline]
fn halves(line: &[u8; 64], eight: usize, h: usize) -> __m256i {
    let line = &line[32 * eight..][..32];
    // SAFETY: `line` is 32 bytes; the load needs no alignment.
    let stored = unsafe { _mm256_loadu_si256(line.as_ptr().cast()) };
    let stored = if h == 0 { stored } else { _mm256_srli_epi32::<4>(stored) };
    _mm256_and_si256(stored, _mm256_set1_epi8(15))
}

/// Of eight rows' two numbers those of block `h`, in 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn of_block(pairs: &[[i16; 2]; GROUP], eight: usize, h: usize) -> __m256i {
    // SAFETY: 8 rows of 2 numbers are 32 bytes; the load needs no alignment.
    let pairs = unsafe { _mm256_loadu_si256(pairs[8 * eight..][..8].as_ptr().cast()) };
    match h {
        0 => _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs)),
        _ => _mm256_srai_epi32::<16>(pairs),
    }
}

#[target_feature(enable = "avx2")]
fn product<O: Output>(matrix: &Matrix, groups: Range<usize>, acts: &[Acts], out: &mut [O]) {
    match &matrix.units {
        Units::Int8(units) => packed(matrix, units, groups, acts, out),
        Units::Int4(units) => packed(matrix, units, groups, acts, out),
        Units::Int4Minima(units) => packed(matrix, units, groups, acts, out),
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn packed<U: Packed, O: Output>(
    matrix: &Matrix,
    units: &[U],
    groups: Range<usize>,
    acts: &[Acts],
    out: &mut [O],
) {
    let row_units = matrix.row_units();
    let line = out.len() / groups.len();
    for (group, out) in groups.zip(out.chunks_exact_mut(line)) {
        let units = &units[group * row_units..][..row_units];
        let Some(exponents) = matrix.exponents[group * GROUP..].first_chunk() else { return };
        for (acts, out) in acts.chunks(2).zip(out.chunks_mut(2 * GROUP)) {
            match acts {
                [a, b] => tile(units, exponents, [a, b], out),
                [a] => tile(units, exponents, [a], out),
                _ => {}
            }
        }
    }
}

/// One row group times `T` vectors, finished into `out`, `[vector][row]`; eight rows at a time.
#[target_feature(enable = "avx2")]
#[inline]
#[expect(clippy::needless_range_loop, reason = "h, j and t index several arrays each")]
fn tile<const T: usize, U: Packed, O: Output>(
    units: &[U],
    exponents: &[i8; GROUP],
    acts: [&Acts; T],
    out: &mut [O],
) {
    let blocks: [&[[ActBlock; 2]]; T] =
        std::array::from_fn(|t| &acts[t].blocks.as_chunks::<2>().0[..units.len()]);
    let mut sums = [[0i64; GROUP]; T];
    for eight in 0..2 {
        let zero = _mm256_setzero_si256();
        // Sums of even and of odd rows.
        let (mut even, mut odd) = ([zero; T], [zero; T]);
        for (p, unit) in units.iter().enumerate() {
            for h in 0..2 {
                let mut block = [zero; T];
                for j in 0..8 {
                    // SAFETY: this function has AVX2.
                    let weights = unsafe { unit.line(eight, h, j) };
                    // |w| ≤ 128 as unsigned times a with w's sign: pairs stay within 2 · 128 · 127 < 2^15.
                    let magnitude = _mm256_abs_epi8(weights);
                    for t in 0..T {
                        let x = _mm256_set1_epi32(blocks[t][p][h].words[j]);
                        let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, weights));
                        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
                        block[t] = _mm256_add_epi32(block[t], fours);
                    }
                }
                let scales = of_block(unit.scales(), eight, h);
                if let Some(minima) = unit.minima() {
                    let minima = of_block(minima, eight, h);
                    for t in 0..T {
                        let total = _mm256_set1_epi32(blocks[t][p][h].total());
                        // Below 2^31, as `reference::multiply` says.
                        let less = _mm256_mullo_epi32(minima, total);
                        let value = _mm256_sub_epi32(_mm256_mullo_epi32(scales, block[t]), less);
                        let scale = _mm256_set1_epi32(blocks[t][p][h].scale);
                        even[t] = _mm256_add_epi64(even[t], _mm256_mul_epi32(value, scale));
                        let value = _mm256_srli_epi64::<32>(value);
                        odd[t] = _mm256_add_epi64(odd[t], _mm256_mul_epi32(value, scale));
                    }
                    continue;
                }
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
    for ((sums, acts), out) in sums.iter().zip(acts).zip(out.as_chunks_mut::<GROUP>().0) {
        body::finish(sums, exponents, acts.exponent, out);
    }
}

#[target_feature(enable = "avx2")]
fn attend(
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
            let mut sums = [_mm256_setzero_si256(); 8];
            let mut probabilities = probabilities.iter();
            for (values, shifts) in body::seen(view, Part::Values, blocks) {
                let count = shifts.len() / blocks;
                for (at, p) in (0..count).map(|i| i * blocks + block).zip(&mut probabilities) {
                    // At most 32,767 · 2^16, which fits the low half of a lane.
                    let p = _mm256_set1_epi64x(i64::from(*p) << shifts[at]);
                    for (sum, four) in sums.iter_mut().zip(values[at].as_chunks::<4>().0) {
                        // SAFETY: 8 bytes; the load needs no alignment.
                        let v = unsafe { _mm_loadl_epi64(four.as_ptr().cast()) };
                        *sum = _mm256_add_epi64(*sum, _mm256_mul_epi32(_mm256_cvtepi16_epi64(v), p));
                    }
                }
            }
            for (sum, four) in sums.iter().zip(mixed.as_chunks_mut::<4>().0) {
                // SAFETY: 32 bytes; the store needs no alignment.
                unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast(), *sum) };
            }
        }
    });
}
