//! AVX2.

mod attention;
mod product;

use std::arch::x86_64::*;

use attention::attend;
use product::product;

use super::{
    body,
    kernels::{Acts, Kernels, Preparation},
};
use crate::{cache::Compressed, model::Activation};

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
    multiplications: 12 * 32,
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
    // As products read them: in streams, of which hardware reads ahead in each.
    let (low, high) = words.split_at(words.len() / 2);
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<16>(), high.as_chunks::<16>());
    let both = low.len().min(high.len());
    // Enough lines to keep several loads in flight.
    let mut sums = [_mm256_setzero_si256(); 8];
    for (low, high) in low.iter().zip(high) {
        for (sum, line) in sums.iter_mut().zip(low.as_chunks::<4>().0.iter().chain(high.as_chunks::<4>().0)) {
            // SAFETY: 32 bytes; the load needs no alignment.
            *sum = _mm256_add_epi64(*sum, unsafe { _mm256_loadu_si256(line.as_ptr().cast()) });
        }
    }
    let rest = [low[both..].as_flattened(), low_rest, high[both..].as_flattened(), high_rest];
    let mut total = rest.into_iter().flatten().copied().fold(0, u64::wrapping_add);
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
    // Enough chains for the 11 cycles that a round of one takes where two multiplications a cycle are begun.
    let mut sums = [x; 12];
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
