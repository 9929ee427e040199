//! Embedding rows, matrix products and the feed-forward activation.

use crate::{
    blocks::{BLOCK, Quantised},
    fixed::{clamp_i32, gelu, half_up, rescale, silu},
    model::{Activation, Block, Matrix, Shape},
};

/// The format of a product's elements. `i32` is Q16, clamped to its range; `i64` is Q24, clamped to `-2^46..2^46`,
/// which bounds what one product adds to the residual.
pub(crate) trait Output: Copy + Default + Send + Sync {
    /// Fractional bits.
    const BITS: i32;
    /// Values lie within `-LIMIT..LIMIT`.
    const LIMIT: i64;

    /// A value within the limits.
    fn of(value: i64) -> Self;
}

impl Output for i32 {
    const BITS: i32 = 16;
    const LIMIT: i64 = 1 << 31;

    #[inline(always)]
    fn of(value: i64) -> Self {
        value as Self
    }
}

impl Output for i64 {
    const BITS: i32 = 24;
    const LIMIT: i64 = 1 << 46;

    #[inline(always)]
    fn of(value: i64) -> Self {
        value
    }
}

/// The one rounding of a product: the exact sum `acc`, in units of 2^(row − 24) · 2^(token − 16), to the output's
/// format.
#[inline(always)]
pub(crate) fn finish<O: Output>(acc: i64, row_exponent: i8, token_exponent: u32) -> O {
    let shift = 40 - O::BITS - i32::from(row_exponent) - token_exponent as i32;
    O::of(rescale(acc, shift, O::LIMIT))
}

/// A token's embedding in Q24: `(q · scale - minimum) · 2^exponent`, times the model's factor if it has one; magnitude below
/// 2^48.
pub(crate) fn embed(shape: &Shape, matrix: &Matrix, token: u32) -> Vec<i64> {
    const LIMIT: i64 = 1 << 48;
    let row = token as usize;
    let shift = -i32::from(matrix.exponents[row]);
    let mut out = Vec::with_capacity(matrix.row_blocks() * BLOCK);
    for block in 0..matrix.row_blocks() {
        let Block { scale, minimum, q } = matrix.block(row, block);
        let weight = |q: &i8| i64::from(*q) * i64::from(scale) - i64::from(minimum);
        out.extend(q.iter().map(|q| rescale(weight(q), shift, LIMIT)));
    }
    out.truncate(matrix.cols);
    if let Some(factor) = shape.embedding_factor {
        for x in &mut out {
            // At most 2^48 · 2^29.
            let scaled = (i128::from(*x) * i128::from(factor) + (1 << 19)) >> 20;
            *x = scaled.clamp((-LIMIT).into(), (LIMIT - 1).into()) as i64;
        }
    }
    out
}

/// Matrix times vector. Sums are exact: a block's is at most 2^19, times a scale of 15 bits and a sign and one of 15
/// bits below 2^49, and there are at most 2^13 blocks. Where there are minima, `q ≤ 15` keeps the difference below 2^31.
pub(crate) fn multiply<O: Output>(matrix: &Matrix, x: &Quantised) -> Vec<O> {
    let row = |row: usize| {
        let mut acc = 0i64;
        for block in 0..matrix.row_blocks() {
            let Block { scale, minimum, q } = matrix.block(row, block);
            let activations = &x.q[block * BLOCK..][..BLOCK];
            let sum: i32 = q.iter().zip(activations).map(|(q, a)| i32::from(*q) * i32::from(*a)).sum();
            let total: i32 = activations.iter().map(|a| i32::from(*a)).sum();
            let difference = i64::from(sum) * i64::from(scale) - i64::from(total) * i64::from(minimum);
            acc += difference * i64::from(x.scales[block]);
        }
        finish(acc, matrix.exponents[row], x.exponent)
    };
    (0..matrix.rows).map(row).collect()
}

/// `activation(gate) · up`, all in Q16, clamped to `i32`.
#[inline(always)]
pub(crate) fn activate(activation: Activation, gate: i32, up: i32) -> i32 {
    let active = match activation {
        Activation::Silu => silu(gate),
        Activation::Gelu => gelu(gate),
    };
    // |active| ≤ |gate| ≤ 2^31, so the product is at most 2^62 in magnitude, and only for two i32::MIN.
    clamp_i32(half_up(i64::from(active) * i64::from(up), 16))
}
