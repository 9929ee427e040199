//! Embedding rows, matrix products and the feed-forward activation.

use crate::{
    blocks::{BLOCK, Quantised},
    fixed::{clamp_i32, half_up, rescale, silu},
    model::Matrix,
};

/// Magnitude bound of what one product adds to the residual: 2^46 in Q24, that is 4,194,304.
const RESIDUAL_LIMIT: i64 = 1 << 46;

/// What a product's outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Q16, clamped to the range of `i32`.
    Hidden,
    /// Q24, clamped to `-2^46..2^46`.
    Residual,
}

impl Output {
    #[inline(always)]
    pub(crate) fn bits(self) -> i32 {
        match self {
            Self::Hidden => 16,
            Self::Residual => 24,
        }
    }

    #[inline(always)]
    pub(crate) fn limit(self) -> i64 {
        match self {
            Self::Hidden => 1 << 31,
            Self::Residual => RESIDUAL_LIMIT,
        }
    }
}

/// The one rounding of a product: the exact sum `acc`, in units of 2^(row − 24) · 2^(token − 16), to the output's
/// format.
#[inline(always)]
pub(crate) fn finish(acc: i64, row_exponent: i8, token_exponent: u32, output: Output) -> i64 {
    let shift = 40 - output.bits() - i32::from(row_exponent) - token_exponent as i32;
    rescale(acc, shift, output.limit())
}

/// A token's embedding in Q24: `q · scale · 2^exponent`, magnitude below 2^48.
pub(crate) fn embed(matrix: &Matrix, token: u32) -> Vec<i64> {
    let row = token as usize;
    let shift = -i32::from(matrix.exponents[row]);
    let mut out = Vec::with_capacity(matrix.row_blocks() * BLOCK);
    for block in 0..matrix.row_blocks() {
        let (scale, q) = matrix.block(row, block);
        out.extend(q.iter().map(|q| rescale(i64::from(*q) * i64::from(scale), shift, 1 << 48)));
    }
    out.truncate(matrix.cols);
    out
}

/// Matrix times vector. Sums are exact: a block's is below 2^19, times two 15-bit scales below 2^49, and there are
/// at most 2^13 blocks.
pub(crate) fn multiply(matrix: &Matrix, x: &Quantised, output: Output) -> Vec<i64> {
    let row = |row: usize| {
        let mut acc = 0i64;
        for block in 0..matrix.row_blocks() {
            let (scale, weights) = matrix.block(row, block);
            let activations = &x.q[block * BLOCK..][..BLOCK];
            let sum: i32 = weights.iter().zip(activations).map(|(w, a)| i32::from(*w) * i32::from(*a)).sum();
            acc += i64::from(sum) * (i64::from(scale) * i64::from(x.scales[block]));
        }
        finish(acc, matrix.exponents[row], x.exponent, output)
    };
    (0..matrix.rows).map(row).collect()
}

/// `silu(gate) · up`, all in Q16, clamped to `i32`.
#[inline(always)]
pub(crate) fn swiglu(gate: i32, up: i32) -> i32 {
    // |silu(gate)| ≤ |gate| ≤ 2^31, so the product is at most 2^62 in magnitude, and only for two i32::MIN.
    clamp_i32(half_up(i64::from(silu(gate)) * i64::from(up), 16))
}
