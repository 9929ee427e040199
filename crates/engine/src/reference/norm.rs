//! RMSNorm.

use crate::fixed::{clamp_i32, half_up, rescale, signed_product};

/// Fractional bits of a normalised element before its gain.
const Z_BITS: i32 = 20;
/// Fractional bits of the residual.
const RESIDUAL_BITS: i32 = 24;
/// Bits kept of a residual element when it is scaled.
const W_BITS: u32 = 36;

/// `1 / sqrt(mean(x²) + eps)` as a 24-bit number and the shifts that apply it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InverseRms {
    /// Right shift of an element before it is multiplied, so that it fits 37 bits with its sign.
    pub(crate) before: u32,
    /// Within `2^23..2^24`.
    pub(crate) mantissa: i64,
    /// Right shift of the product to Q20; negative means left.
    pub(crate) after: i32,
}

impl InverseRms {
    /// Of a residual in Q24 whose elements are below 2^57; `eps = (m, e)` means `m · 2^e`.
    ///
    /// The sum of squares is at most 2^62, whatever the elements.
    #[inline(always)]
    pub(crate) fn of(x: &[i64], eps: (u64, i32)) -> Self {
        let n = x.len() as u64;
        let largest = x.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0);
        let bits = 64 - largest.leading_zeros();
        let square_bits = (62 - n.next_power_of_two().ilog2()) / 2;
        let s = bits.saturating_sub(square_bits);
        let mut sum = 0u64;
        for x in x {
            let v = half_up(*x, s);
            sum += (v * v) as u64;
        }
        // n · (mean + eps) in Q(48 - 2s), at least 1.
        let sum = sum + scaled_eps(n, eps, 2 * RESIDUAL_BITS - 2 * s as i32);
        // The smallest even k with n · 2^k ≥ sum · 2^46: the quotient has 47 or 48 bits, its root 24.
        let (wide_n, wide_sum) = (u128::from(n), u128::from(sum));
        let mut k = (46 + sum.ilog2()).saturating_sub(n.ilog2() + 1) & !1;
        while wide_n << k < wide_sum << 46 {
            k += 2;
        }
        let mantissa = (((wide_n << k) / wide_sum) as u64).isqrt() as i64;
        let before = bits.saturating_sub(W_BITS);
        Self { before, mantissa, after: (k / 2 + s) as i32 - Z_BITS - before as i32 }
    }

    /// `x / rms · gain` in Q16.
    #[inline(always)]
    pub(crate) fn element(&self, x: i64, gain: i32) -> i32 {
        clamp_i32(half_up(signed_product(self.apply(x), gain.into()), 26))
    }

    /// `x / rms` in Q20, magnitude below 2^30.
    #[inline(always)]
    fn apply(&self, x: i64) -> i64 {
        rescale(half_up(x, self.before) * self.mantissa, self.after, 1 << 30)
    }
}

/// `max(1, n · eps)` in Q`bits`, rounded half up.
#[inline(always)]
fn scaled_eps(n: u64, (mantissa, exponent): (u64, i32), bits: i32) -> u64 {
    // n ≤ 2^18 and mantissa < 2^24; eps < 2^-4 bounds the left shift, see Shape::read.
    let product = (n * mantissa) as i64;
    let shift = exponent + bits;
    let scaled = match shift {
        0.. => product << shift,
        -62..0 => half_up(product, shift.unsigned_abs()),
        _ => 0,
    };
    scaled.max(1) as u64
}

/// Normalises a residual in Q24 and multiplies it by gains in Q22; result in Q16, clamped to `i32`.
pub(crate) fn rms_norm(x: &[i64], gains: &[i32], eps: (u64, i32)) -> Vec<i32> {
    let inverse = InverseRms::of(x, eps);
    x.iter().zip(gains).map(|(x, gain)| inverse.element(*x, *gain)).collect()
}

/// [`rms_norm`] of each head, in place; elements in Q16, as many gains in Q22 as a head has elements.
#[inline(always)]
pub(crate) fn normalise_heads(x: &mut [i32], gains: &[i32], eps: (u64, i32)) {
    for head in x.chunks_exact_mut(gains.len()) {
        let wide: Vec<i64> = head.iter().map(|x| i64::from(*x) << 8).collect();
        let inverse = InverseRms::of(&wide, eps);
        for ((out, x), gain) in head.iter_mut().zip(&wide).zip(gains) {
            *out = inverse.element(*x, *gain);
        }
    }
}
