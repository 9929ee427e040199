//! Powers of two, and the activation built on them.

use super::{half_up, signed_product, unsigned_product};

/// `log2(e)` in Q30.
pub(crate) const LOG2_E_Q30: i64 = 1_549_082_005;
/// From this Q16 argument on, [`exp2_neg`] is zero.
pub(crate) const EXP2_ZERO: i64 = 32 << 16;
/// Degree-5 Chebyshev fit of `2^-f` on `[0, 1]` in Q30, constant term set to 1.
const COEFFICIENTS: [i64; 6] = [1_073_741_824, -744_256_846, 257_890_763, -59_377_501, 9_890_102, -1_017_428];

/// `2^-z` for `z ≥ 0` in Q16, as `(m, n)` meaning `m · 2^(-30-n)`: `m` in `2^29..=2^30` is the polynomial's value
/// at the fractional part, `n` the integer part (32 for every `z ≥ 32`).
#[inline(always)]
pub(crate) fn exp2_parts(z: i64) -> (i64, u32) {
    let z = z.min(EXP2_ZERO);
    let f = z & 0xffff;
    let [c0, c1, c2, c3, c4, c5] = COEFFICIENTS;
    let mut y = c5;
    y = c4 + (signed_product(y, f) >> 16);
    y = c3 + (signed_product(y, f) >> 16);
    y = c2 + (signed_product(y, f) >> 16);
    y = c1 + (signed_product(y, f) >> 16);
    y = c0 + (signed_product(y, f) >> 16);
    (y, (z >> 16) as u32)
}

/// `2^-z` in Q30 for `z ≥ 0` in Q16, rounded half up once. Absolute error below 1.2e-7.
#[inline(always)]
pub(crate) fn exp2_neg(z: i64) -> i64 {
    let (m, n) = exp2_parts(z);
    half_up(m, n)
}

/// `2 · sqrt(2/π) · log2(e)` in Q30.
const GELU_FIRST: i64 = 2_471_977_230;
/// `0.044715 ·` that.
const GELU_THIRD: i64 = 110_534_462;

/// `g / (1 + e^-g)` for `g` in Q16; result in Q16, `|result| ≤ |g|`.
#[inline(always)]
pub(crate) fn silu(g: i32) -> i32 {
    gated(g, half_up(unsigned_product(i64::from(g).abs(), LOG2_E_Q30), 30))
}

/// `g / (1 + e^(-2u))`, `u = sqrt(2/π) · (g + 0.044715 · g³)`, for `g` in Q16; result in Q16, `|result| ≤ |g|`.
#[inline(always)]
pub(crate) fn gelu(g: i32) -> i32 {
    // From 16 on the exponential is zero by far.
    let magnitude = i64::from(g).abs().min(16 << 16);
    let square = half_up(magnitude * magnitude, 16);
    let factor = GELU_FIRST + half_up(square * GELU_THIRD, 16);
    gated(g, half_up(magnitude * factor, 30))
}

/// `g / (1 + 2^-z)` where `g ≥ 0`, else `g · 2^-z / (1 + 2^-z)`; both in Q16, `z ≥ 0`.
#[inline(always)]
fn gated(g: i32, z: i64) -> i32 {
    let e = exp2_neg(z);
    // 1 / (1 + 2^-z) in Q30.
    let s = reciprocal_q60((1 << 30) + e);
    let sigmoid = if g >= 0 { s } else { half_up(signed_product(e, s), 30) };
    half_up(signed_product(g.into(), sigmoid), 30) as i32
}

/// `floor(2^60 / d)` for `2^30 ≤ d ≤ 2^31`, without the division, which vector units lack.
#[inline(always)]
pub(crate) fn reciprocal_q60(d: i64) -> i64 {
    // 48/17 − 32/17 · d is within 1/17 of 1/d on 1/2..=1 (Q31 of d / 2^31, result Q30); each step squares the error.
    let mut r = 3_031_741_621 - (unsigned_product(d, 2_021_161_080) >> 31);
    for _ in 0..3 {
        // `r + r · (1 − dr)`, which is at most 2^31, with numbers that are never negative.
        r = 2 * r - ((unsigned_product(r, unsigned_product(d, r) >> 31) + (1 << 30) - 1) >> 30);
    }
    // `r` is Q30 of 2^31 / d, that is 2^61 / d. Half of it is off by at most 1, as a test of every `d` shows.
    let q = r >> 1;
    let left = (1 << 60) - unsigned_product(q, d);
    q + i64::from(left >= d) - i64::from(left < 0)
}
