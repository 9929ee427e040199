//! AVX-512 with VNNI.

mod attention;
mod product;

use std::arch::x86_64::*;

use attention::attend;
use product::product;

use super::{
    body,
    kernels::{Acts, Kernels, Preparation},
};
use crate::{
    blocks::{self, BLOCK},
    cache::Compressed,
    model::Activation,
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
    multiplications: 16 * 64,
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn norm(x: &[i64], gains: &[i32], eps: (u64, i32), out: &mut [i32]) {
    body::norm(x, gains, eps, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn quantise(x: &[i32], out: &mut Acts) {
    let (whole, rest) = x.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let load = |x: &[i32; BLOCK]| {
        let (a, b) = x.split_at(BLOCK / 2);
        // SAFETY: 16 elements each; the loads need no alignment.
        unsafe { [_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())] }
    };
    let magnitude = |[a, b]: [__m512i; 2]| _mm512_max_epu32(_mm512_abs_epi32(a), _mm512_abs_epi32(b));
    let mut largest = magnitude(load(&last));
    for x in whole {
        largest = _mm512_max_epu32(largest, magnitude(load(x)));
    }
    let e = blocks::exponent(_mm512_reduce_max_epu32(largest).into());
    out.exponent = e;
    let blocks = whole.iter().chain((!rest.is_empty()).then_some(&last));
    for (x, out) in blocks.zip(&mut out.blocks) {
        let x = load(x);
        let scale = blocks::scale(_mm512_reduce_max_epu32(magnitude(x)).into(), e);
        let (reciprocal, shift) = blocks::reciprocal(scale, e);
        let reciprocal = _mm512_set1_epi64(reciprocal);
        let half = _mm512_set1_epi64((1i64 << shift) >> 1);
        let count = _mm_cvtsi32_si128(shift as i32);
        let mut q = [0u64; 4];
        for (q, x) in q.as_chunks_mut::<2>().0.iter_mut().zip(x) {
            let eights = [_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x)];
            for (q, x) in q.iter_mut().zip(eights) {
                let product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(x), reciprocal);
                let rounded = _mm512_sra_epi64(_mm512_add_epi64(product, half), count);
                *q = _mm_cvtsi128_si64(_mm512_cvtepi64_epi8(rounded)) as u64;
            }
        }
        // SAFETY: 32 bytes each; load and store need no alignment.
        let q = unsafe {
            let q = _mm256_loadu_si256(q.as_ptr().cast());
            _mm256_storeu_si256(out.words.as_mut_ptr().cast(), q);
            q
        };
        let fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), q);
        let halves = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
        let pairs = _mm_add_epi32(halves, _mm_shuffle_epi32::<0b1110>(halves));
        let sum = _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32::<0b01>(pairs)));
        out.scale = scale.into();
        out.offset = -128 * sum;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn activate(activation: Activation, gate: &mut [i32], up: &[i32]) {
    body::activate(activation, gate, up);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn queries(x: &mut [i32], how: &Preparation<'_>, factor: i64, q: &mut [Compressed], shifts: &mut [u32]) {
    body::queries(x, how, factor, q, shifts);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn row(x: &mut [i32], how: &Preparation<'_>, q: &mut [Compressed], shifts: &mut [u8]) {
    body::row(x, how, q, shifts);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn sum(words: &[u64]) -> u64 {
    // Enough lines to keep several loads in flight.
    let mut sums = [_mm512_setzero_si512(); 8];
    let (whole, rest) = words.as_chunks::<64>();
    for words in whole {
        for (sum, line) in sums.iter_mut().zip(words.as_chunks::<8>().0) {
            // SAFETY: 64 bytes; the load needs no alignment.
            *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(line.as_ptr().cast()) });
        }
    }
    let sums = sums.iter().map(|sum| _mm512_reduce_add_epi64(*sum) as u64);
    sums.chain(rest.iter().copied()).fold(0, u64::wrapping_add)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn multiply(rounds: u64) -> i32 {
    let x = _mm512_set1_epi32(std::hint::black_box(0x0102_0304));
    let mut sums = [x; 16];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, x, x);
        }
    }
    sums.iter().fold(0, |total: i32, sum| total.wrapping_add(_mm512_reduce_add_epi32(*sum)))
}
