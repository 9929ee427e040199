//! Soft limits of scores and logits.

use super::{
    exp2::{LOG2_E_Q30, exp2_parts, reciprocal_q60},
    half_up,
};

/// `ln(2)` in Q30.
const LN_2_Q30: i64 = 744_261_118;

/// `c · tanh(x / c)` for `x` in Q16 and a limit `c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SoftCap {
    /// `c`, Q16.
    pub(crate) limit: i64,
    /// `2 · log2(e) / c`, Q30.
    steepness: i64,
}

impl SoftCap {
    /// For a limit in Q16 of `2^12 ≤ limit < 2^31`, or `None` for any other.
    pub(crate) fn new(limit: i64) -> Option<Self> {
        (1 << 12..1 << 31).contains(&limit).then(|| Self { limit, steepness: (LOG2_E_Q30 << 17) / limit })
    }

    /// Q16; the magnitude is at most the limit's. `|x|` must stay below 2^63.
    #[inline(always)]
    pub(crate) fn apply(self, x: i64) -> i64 {
        // From 12 limits on the exponential is zero. The product stays below 2^52.
        let z = x.abs().min(16 * self.limit) * self.steepness;
        let (m, n) = exp2_parts(z >> 30);
        // 2^-r is 1 − r · ln 2 for what is left of the exponent, r < 2^-16.
        let left = ((z & ((1 << 30) - 1)) * LN_2_Q30) >> 30;
        let e = half_up(m - ((m * left) >> 46), n);
        let tanh = half_up(((1 << 30) - e) * reciprocal_q60((1 << 30) + e), 30);
        let capped = half_up(self.limit * tanh, 30);
        if x < 0 { -capped } else { capped }
    }
}
