//! Rotary position angles in turns, and their cosines and sines.

use super::f32_parts;

/// `ln 2` in Q62.
const LN_2_Q62: i128 = 3_196_577_161_300_663_915;
/// `1 / 2π` in Q64.
const INV_TAU_Q64: u128 = 2_935_890_503_282_001_226;
/// `2π` in Q60.
const TAU_Q60: u128 = 7_244_019_458_077_122_842;

/// `log2(mantissa · 2^exponent)` in Q58 for a value of 1 to 2^40, by squaring one bit at a time.
pub(super) fn log2_q58(mantissa: u64, exponent: i32) -> u128 {
    let length = 64 - mantissa.leading_zeros();
    let mut result = ((length as i32 - 1 + exponent).max(0) as u128) << 58;
    // Within [1, 2) in Q63.
    let mut x = u128::from(mantissa) << (64 - length);
    for bit in (0..58).rev() {
        x = (x * x) >> 63;
        if x >> 64 != 0 {
            x >>= 1;
            result |= 1 << bit;
        }
    }
    result
}

/// `2^-f` in Q62 for `f` in Q58 below 1, by the exponential series.
fn exp2_neg_q62(f: u128) -> u128 {
    let x = ((f as i128) * LN_2_Q62) >> 58;
    let (mut term, mut sum) = (1i128 << 62, 1i128 << 62);
    for k in 1..=24 {
        term = -((term * x) >> 62) / k;
        sum += term;
    }
    sum as u128
}

/// Turns a position advances pair `j`, in Q64: `base^(-2j/dims) / (2π · factor)`.
///
/// `base` and `factor` are the bits of singles; `None` where the base is outside `1..=2^40` or the factor outside
/// `2^-4..=2^20`. `j < dims / 2`.
pub(crate) fn rope_turns(base: u32, factor: u32, j: u32, dims: u32) -> Option<u64> {
    let (mantissa, exponent) = f32_parts(base)?;
    let mantissa = u64::try_from(mantissa).ok().filter(|m| *m > 0)?;
    let bits = 64 - mantissa.leading_zeros() as i32 + exponent;
    // `bits - 1` is the floor of log2: 0 to 40, and 40 only for 2^40 itself.
    if !(1..=41).contains(&bits) || (bits == 41 && !mantissa.is_power_of_two()) {
        return None;
    }
    let power = log2_q58(mantissa, exponent) * u128::from(2 * j) / u128::from(dims);
    let fraction = exp2_neg_q62(power & ((1 << 58) - 1));
    // Q94, below 2^92.
    let turns = (fraction * INV_TAU_Q64) >> 32;
    let (mantissa, exponent) = f32_parts(factor)?;
    let mantissa = u128::try_from(mantissa).ok().filter(|m| *m > 0)?;
    let bits = 128 - mantissa.leading_zeros() as i32 + exponent;
    if !(-3..=20).contains(&bits) {
        return None;
    }
    // The exponent is within -27..=-4 for singles of this range, so the dividend stays below 2^119.
    let scaled = (turns << exponent.unsigned_abs()) / mantissa;
    u64::try_from(scaled >> 30 >> (power >> 58)).ok()
}

/// `(cos, sin)` of `position · turns` turns, in Q30, error below 0.51 units.
///
/// The angle wraps by design: whole turns do not matter.
pub(crate) fn cos_sin(position: u32, turns: u64) -> (i32, i32) {
    let angle = u64::from(position).wrapping_mul(turns);
    let quadrant = angle >> 62;
    // [0, π/2) in Q60.
    let x = ((u128::from(angle & ((1 << 62) - 1)) * TAU_Q60) >> 64) as i64;
    let square = (i128::from(x) * i128::from(x)) >> 60;
    let series = |first: i64, mut k: i64| {
        let (mut term, mut sum) = (first, first);
        while term != 0 {
            term = -((i128::from(term) * square) >> 60) as i64 / (k * (k + 1));
            sum += term;
            k += 2;
        }
        ((sum + (1 << 29)) >> 30) as i32
    };
    let (cos, sin) = (series(1 << 60, 1), series(x, 2));
    match quadrant {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}
