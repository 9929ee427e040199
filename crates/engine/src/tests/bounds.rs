//! The proven bounds of docs/ARITHMETIC.md, in integers where they are statements about integers.

use proptest::prelude::*;

use super::gguf_file::Noise;
use crate::{
    blocks::quantise,
    model::{Block, ExactBlock, Matrix, Width},
    reference::{multiply, rms_norm},
};

/// `(q · scale − minimum) · 2^exponent` of a weight, in units of 2^-40.
fn weight(matrix: &Matrix, row: usize, i: usize) -> i128 {
    let Block { scale, minimum, q } = matrix.block(row, i / 32);
    (i128::from(q[i % 32]) * i128::from(scale) - i128::from(minimum))
        << (i32::from(matrix.exponents[row]) + 16)
}

/// 64 bits.
fn wide(noise: &mut Noise) -> u64 {
    noise.next() << 16 ^ noise.next()
}

proptest! {
    #[test]
    fn weights_of_a_file_stay_within_their_bound(seed: u64, blocks in 1usize..6, down in 0u32..40, width in 0usize..3) {
        let mut noise = Noise(seed);
        let (width, low, span) = [(Width::Int8, -128, 256), (Width::Int4, -8, 16), (Width::Int4Minima, 0, 16)][width];
        let minima = width == Width::Int4Minima;
        let mut number = || (wide(&mut noise) >> 24) as i64 - (1 << 39);
        let given: Vec<ExactBlock> = (0..blocks)
            .map(|_| {
                let (scale, minimum) = (number() >> down, if minima { number() >> down } else { 0 });
                ExactBlock { scale, minimum, q: std::array::from_fn(|_| (low + number().rem_euclid(span)) as i8) }
            })
            .collect();
        let mut matrix = Matrix::zeros(1, 32 * blocks, width);
        matrix.rows_mut().set_row_from_blocks(0, &given);
        let largest = given.iter().map(|b| b.scale.abs().max(b.minimum.abs())).max().unwrap();
        for i in 0..32 * blocks {
            let ExactBlock { scale, minimum, q } = &given[i / 32];
            let exact = i128::from(*scale) * i128::from(q[i % 32]) - i128::from(*minimum);
            let error = (weight(&matrix, 0, i) - (exact << 16)).abs();
            let steps = i128::from(q[i % 32].unsigned_abs()) + i128::from(minima);
            prop_assert!(error * 32_767 <= (steps * i128::from(largest)) << 16);
            if matrix.exponents[0] == 0 {
                prop_assert_eq!(error, 0);
            }
        }
    }

    #[test]
    fn activations_stay_within_their_bound(x in prop::collection::vec(any::<i32>(), 1..200), down in 0u32..32) {
        let x: Vec<i32> = x.into_iter().enumerate().map(|(i, x)| x >> if i % 3 == 0 { down } else { 0 }).collect();
        let largest = |x: &[i32]| x.iter().map(|x| i128::from(x.unsigned_abs())).max().unwrap();
        let got = quantise(&x);
        if got.exponent > 0 {
            prop_assert!(largest(&x) > (127 * 32_767) << (got.exponent - 1));
        }
        for (b, block) in x.chunks(32).enumerate() {
            let step = i128::from(got.scales[b]) << got.exponent;
            prop_assert!(127 * step <= largest(block) + (127 << got.exponent));
            for (i, x) in block.iter().enumerate() {
                let error = (i128::from(got.q[32 * b + i]) * step - i128::from(*x)).abs();
                prop_assert!(error << 22 <= step * ((1 << 21) + 1));
            }
        }
    }

    #[test]
    fn products_stay_within_their_bound(seed: u64, cols in 1usize..200, down in 8u32..31, up in 0u32..16) {
        let mut noise = Noise(seed);
        let mut matrix = Matrix::zeros(1, cols, Width::Int8);
        let weights: Vec<i64> = (0..cols).map(|_| i64::from(noise.next() as i32) << up).collect();
        matrix.rows_mut().set_row_from_q40(0, &weights);
        let x: Vec<i32> = (0..cols).map(|_| noise.next() as i32 >> down).collect();
        let q = quantise(&x);
        let [got]: [i32; 1] = multiply(&matrix, &q).try_into().unwrap();
        prop_assume!(got != i32::MAX && got != i32::MIN);
        // In units of 2^-56.
        let (mut exact, mut bound) = (0i128, 0i128);
        for (i, x) in x.iter().enumerate() {
            let step = i128::from(q.scales[i / 32]) << q.exponent;
            exact += weight(&matrix, 0, i) * i128::from(*x);
            bound += step * ((1 << 21) + 1) * weight(&matrix, 0, i).abs();
        }
        let error = ((i128::from(got) << 40) - exact).abs();
        prop_assert!(error << 22 <= bound + (1 << 61));
    }

    /// `|y − y'| ≤ |y'|·(α + 1/B + 2^-22) + |g|·2^-20 + 2^-17`.
    #[test]
    fn norms_stay_within_their_bound(seed: u64, log in 0u32..13, more in 0usize..40, size in 1u32..57, z in -83i32..-28) {
        let n = (1usize << log) + more;
        let mut noise = Noise(seed);
        let x: Vec<i64> = (0..n).map(|_| (wide(&mut noise) as i64 >> 7) >> (57 - size)).collect();
        let gains: Vec<i32> = (0..n).map(|_| (noise.unit() * 511.0 * 4_194_304.0) as i32).collect();
        let m = 1u64 << 23 | wide(&mut noise) >> 41;
        let eps = (m, z);
        let got = rms_norm(&x, &gains, eps);
        // What the document says of its sum.
        let bits = 64 - x.iter().map(|x| x.unsigned_abs()).max().unwrap().leading_zeros();
        let kept = (62 - n.next_power_of_two().ilog2()) / 2;
        let s = bits.saturating_sub(kept);
        let alpha = if s == 0 { 0.0 } else { (n as f64).sqrt() * 2f64.powi(1 - kept as i32) };
        let squares = x.iter().map(|x| (*x as f64).powi(2)).sum::<f64>();
        let eps = n as f64 * m as f64 * 2f64.powi(z + 48);
        let b = ((squares + eps) * 2f64.powi(-2 * s as i32)).max(1.0);
        for ((got, x), gain) in got.iter().zip(&x).zip(&gains) {
            let g = f64::from(*gain) * 2f64.powi(-22);
            let exact = *x as f64 / ((squares + eps) / n as f64).sqrt() * g;
            if exact.abs() >= 32_767.0 {
                continue;
            }
            let bound = exact.abs() * (alpha + 1.0 / b + 2f64.powi(-22)) + g.abs() * 2f64.powi(-20) + 2f64.powi(-17);
            let error = (f64::from(*got) * 2f64.powi(-16) - exact).abs();
            // Double precision itself is off by 2^-40 here.
            prop_assert!(error <= bound * (1.0 + 2f64.powi(-30)), "{error:e} {bound:e} of {exact:e}");
        }
    }
}
