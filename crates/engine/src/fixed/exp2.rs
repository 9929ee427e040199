//! Powers of two, and the activation built on them.

use super::half_up;

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
    y = c4 + ((y * f) >> 16);
    y = c3 + ((y * f) >> 16);
    y = c2 + ((y * f) >> 16);
    y = c1 + ((y * f) >> 16);
    y = c0 + ((y * f) >> 16);
    (y, (z >> 16) as u32)
}

/// `2^-z` in Q30 for `z ≥ 0` in Q16, rounded half up once. Absolute error below 1.2e-7.
#[inline(always)]
pub(crate) fn exp2_neg(z: i64) -> i64 {
    let (m, n) = exp2_parts(z);
    half_up(m, n)
}

/// `g / (1 + e^-g)` for `g` in Q16; result in Q16, `|result| ≤ |g|`.
#[inline(always)]
pub(crate) fn silu(g: i32) -> i32 {
    let magnitude = i64::from(g).abs();
    let e = exp2_neg(half_up(magnitude * LOG2_E_Q30, 30));
    // 1 / (1 + e) in Q30, within 2^29..=2^30.
    let s = ((1u64 << 60) / ((1 << 30) + e as u64)) as i64;
    let sigmoid = if g >= 0 { s } else { half_up(e * s, 30) };
    half_up(i64::from(g) * sigmoid, 30) as i32
}
