//! AVX-512 with VNNI.

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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn norm(x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
    body::norm(x, gains, eps, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn quantise(x: &[i32], out: &mut Acts) {
    body::quantise(x, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn swiglu(gate: &mut [i32], up: &[i32]) {
    body::swiglu(gate, up);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn product(matrix: &Matrix, groups: Range<usize>, acts: &[Acts], output: Output, out: &mut [i64]) {
    let row_units = matrix.row_units();
    for (group, out) in groups.zip(out.chunks_exact_mut(GROUP * acts.len())) {
        let units = &matrix.units[group * row_units..][..row_units];
        let (acts, out) = (acts.as_chunks::<4>(), out.as_chunks_mut::<{ 4 * GROUP }>());
        for (acts, out) in acts.0.iter().zip(out.0) {
            tile(matrix, group, units, acts, output, out);
        }
        match acts.1 {
            [a] => tile(matrix, group, units, &[a], output, out.1),
            [a, b] => tile(matrix, group, units, &[a, b], output, out.1),
            [a, b, c] => tile(matrix, group, units, &[a, b, c], output, out.1),
            _ => {}
        }
    }
}

/// One row group times `T` vectors, finished into `out`, `[token][row]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
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
    let zero = _mm512_setzero_si512();
    // Sums of even and of odd rows.
    let (mut even, mut odd) = ([zero; T], [zero; T]);
    let blocks: [&[[ActBlock; 2]]; T] =
        std::array::from_fn(|t| &acts[t].borrow().blocks.as_chunks::<2>().0[..units.len()]);
    for (p, unit) in units.iter().enumerate() {
        // SAFETY: the field is 64 bytes at a multiple of 64.
        let scales = unsafe { _mm512_load_si512(unit.scales.as_ptr().cast()) };
        for h in 0..2 {
            let mut sums: [__m512i; T] = std::array::from_fn(|t| _mm512_set1_epi32(blocks[t][p][h].offset));
            for j in 0..8 {
                // SAFETY: a line is 64 bytes at a multiple of 64.
                let weights = unsafe { _mm512_load_si512(unit.lines[8 * h + j].as_ptr().cast()) };
                for t in 0..T {
                    let x = _mm512_set1_epi32(blocks[t][p][h].words[j]);
                    sums[t] = _mm512_dpbusd_epi32(sums[t], weights, x);
                }
            }
            let scales = match h {
                0 => _mm512_and_si512(scales, _mm512_set1_epi32(0xffff)),
                _ => _mm512_srli_epi32::<16>(scales),
            };
            for t in 0..T {
                let scale = _mm512_mullo_epi32(scales, _mm512_set1_epi32(blocks[t][p][h].scale));
                even[t] = _mm512_add_epi64(even[t], _mm512_mul_epi32(sums[t], scale));
                let (sum, scale) = (_mm512_srli_epi64::<32>(sums[t]), _mm512_srli_epi64::<32>(scale));
                odd[t] = _mm512_add_epi64(odd[t], _mm512_mul_epi32(sum, scale));
            }
        }
    }
    for ((t, acts), out) in acts.iter().enumerate().zip(out.chunks_exact_mut(GROUP)) {
        let mut sums = [0i64; GROUP];
        let low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
        let high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
        // SAFETY: `sums` holds 16 elements; unaligned stores of 8 each at 0 and 8.
        unsafe {
            let to = sums.as_mut_ptr();
            _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi64(even[t], low, odd[t]));
            _mm512_storeu_si512(to.add(8).cast(), _mm512_permutex2var_epi64(even[t], high, odd[t]));
        }
        body::finish_group(matrix, group, &sums, acts.borrow().exponent, output, out);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
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
        let mut sum = _mm512_setzero_si512();
        for ((key, shift), query) in keys.iter().zip(shifts).zip(query_blocks) {
            // SAFETY: both blocks are 64 bytes; the loads need no alignment.
            let (key, query) = unsafe {
                (_mm512_loadu_si512(key.as_ptr().cast()), _mm512_loadu_si512(query.as_ptr().cast()))
            };
            // Elements are within ±32,767, so a pair's sum is below 2^31.
            let pairs = _mm512_madd_epi16(key, query);
            let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(pairs));
            let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(pairs));
            let both = _mm512_add_epi64(low, high);
            sum = _mm512_add_epi64(sum, _mm512_sll_epi64(both, _mm_cvtsi32_si128((*shift).into())));
        }
        scratch.scores.push(reference::scale_score(_mm512_reduce_add_epi64(sum), query.shift));
    }
    body::softmax_and_mix(attention, scratch, out, |_, probabilities, mixed| {
        let value_blocks = cache.values.q.as_chunks::<BLOCK>().0;
        for (block, mixed) in mixed.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut sums = [_mm512_setzero_si512(); 4];
            for (position, p) in probabilities.iter().enumerate() {
                let at = position * stride + first + block;
                // At most 32,767 · 2^16, which fits the low half of a lane.
                let p = _mm512_set1_epi64(i64::from(*p) << cache.values.shifts[at]);
                for (sum, eight) in sums.iter_mut().zip(value_blocks[at].as_chunks::<8>().0) {
                    // SAFETY: 16 bytes; the load needs no alignment.
                    let v = unsafe { _mm_loadu_si128(eight.as_ptr().cast()) };
                    *sum = _mm512_add_epi64(*sum, _mm512_mul_epi32(_mm512_cvtepi16_epi64(v), p));
                }
            }
            for (sum, eight) in sums.iter().zip(mixed.as_chunks_mut::<8>().0) {
                // SAFETY: 64 bytes; the store needs no alignment.
                unsafe { _mm512_storeu_si512(eight.as_mut_ptr().cast(), *sum) };
            }
        }
    });
}
