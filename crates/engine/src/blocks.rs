//! The block format: numbers as int8 in blocks of 32, a 15-bit scale a block, and one exponent for all blocks.

use crate::fixed::half_up;

/// Elements of a block.
pub(crate) const BLOCK: usize = 32;
/// Largest scale of a block: 15 bits.
pub(crate) const MAX_SCALE: u64 = 32_767;

/// The smallest `e` with `ceil(amax / (127 · 2^e)) ≤ 32767`. `amax < 2^57`.
#[inline(always)]
pub(crate) fn exponent(amax: u64) -> u32 {
    let steps = amax.div_ceil(127);
    let mut e = (64 - steps.leading_zeros()).saturating_sub(15);
    // `steps` just under a power of two can round up to it.
    if steps.div_ceil(1 << e) > MAX_SCALE {
        e += 1;
    }
    e
}

/// `max(1, ceil(amax / (127 · 2^e)))` for `e` from [`exponent`] of an `amax` at least as large.
#[inline(always)]
pub(crate) fn scale(amax: u64, e: u32) -> u16 {
    amax.div_ceil(127 << e).max(1) as u16
}

/// A vector of activations in the block format; element `i` is `q[i] · scales[i / 32] · 2^exponent` in units of the
/// input's least significant bit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Quantised {
    /// Padded with zeros to a multiple of 64; `|q| ≤ 127`.
    pub(crate) q: Vec<i8>,
    /// One a block of `q`, at least 1.
    pub(crate) scales: Vec<u16>,
    /// At most 10.
    pub(crate) exponent: u32,
}

/// `(reciprocal, shift)` of a step `scale · 2^e < 2^26`: `reciprocal = floor(2^shift / step)` with
/// `shift = 30 + floor(log2 step)`, so that `2^29 ≤ reciprocal ≤ 2^30`.
#[inline(always)]
pub(crate) fn reciprocal(scale: u16, e: u32) -> (i64, u32) {
    let step = u64::from(scale) << e;
    let shift = 30 + step.ilog2();
    (((1u64 << shift) / step) as i64, shift)
}

/// Puts a vector into the block format.
pub(crate) fn quantise(x: &[i32]) -> Quantised {
    let amax = |x: &[i32]| x.iter().map(|x| u64::from(x.unsigned_abs())).max().unwrap_or(0);
    let e = exponent(amax(x));
    let padded = x.len().next_multiple_of(2 * BLOCK);
    let mut out = Quantised { q: vec![0; padded], scales: vec![1; padded / BLOCK], exponent: e };
    for (b, x) in x.chunks(BLOCK).enumerate() {
        let s = scale(amax(x), e);
        let (r, shift) = reciprocal(s, e);
        for (q, x) in out.q[b * BLOCK..].iter_mut().zip(x) {
            // |x| · r ≤ 127 · 2^shift, so |q| ≤ 127.
            *q = half_up(i64::from(*x) * r, shift) as i8;
        }
        out.scales[b] = s;
    }
    out
}
