//! Worst-case errors of the composed steps against double precision.

use proptest::prelude::*;

use super::gguf_file::Noise;
use crate::{
    blocks::quantise,
    cache::{Cache, Layout, Part, compress_query, compress_row},
    fixed::LOG2_E_Q30,
    model::{Activation, Block, Matrix, Pairs, Width},
    reference::{View, activate, attend, multiply, probability, rms_norm, rotate},
};

fn unit(bits: i32) -> f64 {
    2f64.powi(-bits)
}

#[test]
fn rms_norm_error() {
    let mut noise = Noise(1);
    let eps = (10_995_116, -40);
    let eps_value = 10_995_116.0 * unit(40);
    let mut worst = 0f64;
    for n in [2usize, 31, 64, 192, 4096] {
        for scale in [1e-6, 1e-3, 0.05, 1.0, 648.0, 1e5] {
            let mut x: Vec<i64> =
                (0..n).map(|_| (f64::from(noise.unit()) * scale * 2f64.powi(24)) as i64).collect();
            // One massive activation, as real models have.
            x[n / 2] *= 50;
            let gains: Vec<i32> = (0..n).map(|_| (noise.unit() * 4.0 * 4_194_304.0) as i32).collect();
            let got = rms_norm(&x, &gains, eps);
            let values: Vec<f64> = x.iter().map(|x| *x as f64 * unit(24)).collect();
            let mean = values.iter().map(|x| x * x).sum::<f64>() / n as f64;
            for ((got, x), gain) in got.iter().zip(&values).zip(&gains) {
                let exact = x / (mean + eps_value).sqrt() * f64::from(*gain) * unit(22);
                worst = worst.max((f64::from(*got) * unit(16) - exact).abs() / exact.abs().max(1.0));
            }
        }
    }
    println!("rms_norm: worst error relative to max(1, |y|) {worst:.3e}");
    assert!(worst < 1.1e-5);
}

#[test]
fn rotation_error() {
    let mut noise = Noise(2);
    let mut worst = 0f64;
    for _ in 0..100_000 {
        let angle = f64::from(noise.unit()) * 4.0;
        let (cos, sin) = ((angle.cos() * 2f64.powi(30)).round(), (angle.sin() * 2f64.powi(30)).round());
        let pair = [noise.next() as i32 >> 4, noise.next() as i32 >> 4];
        let mut got = pair;
        rotate(&mut got, Pairs::Neighbours, &[(cos as i32, sin as i32)]);
        let [a, b] = pair.map(f64::from);
        worst = worst.max((f64::from(got[0]) - (a * angle.cos() - b * angle.sin())).abs());
        worst = worst.max((f64::from(got[1]) - (a * angle.sin() + b * angle.cos())).abs());
    }
    println!("rotation: worst error {worst:.4} units of 2^-16 for magnitudes up to 2,048");
    assert!(worst < 0.63);
}

#[test]
fn probability_error() {
    let mut worst = 0f64;
    for z in 0..40 << 16 {
        let exact = (-f64::from(z) / 65536.0).exp2() * 32768.0;
        worst = worst.max((f64::from(probability(z.into())) - exact).abs());
    }
    println!("probability: worst error {worst:.4} units of 2^-15");
    assert!(worst <= 1.0);
    assert_eq!(probability(i64::MAX), 0);
}

#[test]
fn activation_error() {
    let mut noise = Noise(3);
    for (activation, bound) in [(Activation::Silu, 1.7e-5), (Activation::Gelu, 3.4e-5)] {
        let mut worst = 0f64;
        for _ in 0..300_000 {
            let (g, u) = (noise.unit() * 16.0, noise.unit() * 16.0);
            let (g, u) = ((g * 65536.0) as i32, (u * 65536.0) as i32);
            let (x, y) = (f64::from(g) * unit(16), f64::from(u) * unit(16));
            let exact = match activation {
                Activation::Silu => x / (1.0 + (-x).exp()) * y,
                Activation::Gelu => {
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                    0.5 * x * (1.0 + inner.tanh()) * y
                }
            };
            let error = (f64::from(activate(activation, g, u)) * unit(16) - exact).abs();
            worst = worst.max(error / (x.abs().max(1.0) * y.abs().max(1.0)));
        }
        println!("{activation:?}: worst error relative to max(1, |g|) · max(1, |u|) {worst:.3e}");
        assert!(worst < bound);
        for (g, u) in [(i32::MIN, i32::MIN), (i32::MAX, i32::MIN), (i32::MAX, i32::MAX), (-1, i32::MIN)] {
            activate(activation, g, u);
        }
    }
}

#[test]
fn attention_error() {
    let mut noise = Noise(4);
    let mut worst = 0f64;
    for head_dim in [2usize, 32, 80, 128] {
        let layout = Layout::test(1, 1, head_dim);
        let blocks = layout.row_blocks();
        let factor = ((LOG2_E_Q30 * LOG2_E_Q30) as u64 / head_dim as u64).isqrt() as i64;
        for magnitude in [0.1f32, 1.0, 8.0] {
            let mut cache = Cache::new(layout, Vec::new());
            let mut vector = || (0..head_dim).map(|_| (noise.unit() * magnitude * 65536.0) as i32).collect();
            let rows: Vec<(Vec<i32>, Vec<i32>)> = (0..200).map(|_| (vector(), vector())).collect();
            for (position, (key, value)) in rows.iter().enumerate() {
                for (part, row) in [(Part::Keys, key), (Part::Values, value)] {
                    let (mut q, mut shifts) = (vec![[0; 32]; blocks], vec![0; blocks]);
                    compress_row(row, head_dim, &mut q, &mut shifts);
                    cache.store(0, part, position, &q, &shifts);
                }
                cache.advance(1);
            }
            let query: Vec<i32> = vector();
            let mut q = vec![[0; 32]; blocks];
            let shift = compress_query(&query, factor, &mut q);
            let view = View { cache: &cache, layer: 0, kv_head: 0, from: 0, to: 200, cap: None };
            let mut got = attend(view, &q, shift);
            got.truncate(head_dim);
            let dot = |a: &[i32], b: &[i32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * unit(32)
            };
            let scores: Vec<f64> =
                rows.iter().map(|(k, _)| dot(&query, k) / (head_dim as f64).sqrt()).collect();
            let max = scores.iter().fold(f64::MIN, |m, s| m.max(*s));
            let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            for (i, got) in got.iter().enumerate() {
                let exact: f64 = rows
                    .iter()
                    .zip(&scores)
                    .map(|((_, v), s)| (s - max).exp() / sum * f64::from(v[i]) * unit(16))
                    .sum();
                worst = worst.max((f64::from(*got) * unit(16) - exact).abs() / f64::from(magnitude));
            }
        }
    }
    println!("attention over 200 positions: worst error relative to the values' magnitude {worst:.3e}");
    assert!(worst < 2e-3);
}

#[test]
fn product_of_extremes_is_exact() {
    // The longest row there may be, every number at its limit.
    let cols = 1 << 18;
    let mut matrix = Matrix::zeros(1, cols, Width::Int8);
    for block in 0..cols / 32 {
        matrix.rows_mut().set_block(0, block, &Block { scale: 32_767, minimum: 0, q: [-128; 32] });
    }
    matrix.exponents[0] = 0;
    let x = quantise(&vec![i32::MIN; cols]);
    let sum = (cols as f64) * 128.0 * 32_767.0 * f64::from(x.scales[0]) * f64::from(-i32::from(x.q[0]));
    assert!(sum < 2f64.powi(62));
    assert_eq!(multiply::<i32>(&matrix, &x), [i32::MAX]);
    assert_eq!(multiply::<i64>(&matrix, &x), [(1 << 46) - 1]);
}

proptest! {
    #[test]
    fn product_is_the_rounded_exact_sum(rows in 1usize..20, cols in 1usize..150, seed: u64, down in 0u32..31, up in 0u32..24) {
        let mut noise = Noise(seed);
        let mut matrix = Matrix::zeros(rows, cols, Width::Int8);
        let weights: Vec<Vec<i64>> = (0..rows)
            .map(|_| (0..cols).map(|_| noise.next() as i32 as i64 >> 8 << up).collect())
            .collect();
        for (row, weights) in weights.iter().enumerate() {
            matrix.rows_mut().set_row_from_q40(row, weights);
        }
        let x: Vec<i32> = (0..cols).map(|_| noise.next() as i32 >> down).collect();
        let q = quantise(&x);
        let got: Vec<i32> = multiply(&matrix, &q);
        for row in 0..rows {
            // The exact sum of the rounded operands, in units of 2^-40 · 2^-16.
            let mut exact = 0i128;
            for i in 0..cols {
                let Block { scale, q: w, .. } = matrix.block(row, i / 32);
                let weight = (i128::from(w[i % 32]) * i128::from(scale)) << (i32::from(matrix.exponents[row]) + 16);
                let value = (i128::from(q.q[i]) * i128::from(q.scales[i / 32])) << q.exponent;
                exact += weight * value;
                // And each weight within half a step of the original.
                let step = i128::from(scale) << (i32::from(matrix.exponents[row]) + 16);
                prop_assert!((2 * (weight - i128::from(weights[row][i]))).abs() <= step);
            }
            let rounded = (exact + (1 << 39)) >> 40;
            prop_assert_eq!(i128::from(got[row]), rounded.clamp(i32::MIN.into(), i32::MAX.into()));
        }
    }
}
