//! Floating-point formats of model files, decoded bit by bit.

/// A half as an exact multiple of 2^-24 (every finite half is one), or `None` for NaN and infinities.
/// `|result| < 2^40`.
pub(crate) fn f16_to_q24(bits: u16) -> Option<i64> {
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = i64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0x1f => return None,
        0 => fraction,
        _ => (fraction | 0x400) << (exponent - 1),
    };
    Some(if bits >> 15 == 1 { -magnitude } else { magnitude })
}

/// A single as `(mantissa, exponent)`, meaning `mantissa · 2^exponent` exactly with `|mantissa| < 2^24`, or `None`
/// for NaN and infinities.
pub(crate) fn f32_parts(bits: u32) -> Option<(i64, i32)> {
    let exponent = (bits >> 23 & 0xff) as i32;
    let fraction = i64::from(bits & 0x7f_ffff);
    let (magnitude, exponent) = match exponent {
        0xff => return None,
        0 => (fraction, -149),
        _ => (fraction | 0x80_0000, exponent - 150),
    };
    Some((if bits >> 31 == 1 { -magnitude } else { magnitude }, exponent))
}

/// A single in `Qn`, rounded half up, or `None` where it is not finite or its magnitude is `2^range` or more.
/// `n + range` must be at most 62.
pub(crate) fn f32_to_fixed(bits: u32, n: i32, range: i32) -> Option<i64> {
    let (mantissa, exponent) = f32_parts(bits)?;
    let shift = exponent + n;
    if mantissa == 0 {
        return Some(0);
    }
    let length = 64 - mantissa.unsigned_abs().leading_zeros() as i32;
    if length + exponent > range {
        return None;
    }
    Some(match shift {
        0.. => mantissa << shift,
        -62..0 => super::half_up(mantissa, shift.unsigned_abs()),
        _ => 0,
    })
}

/// A bfloat16 in Q40, rounded half up, or `None` where it is not finite or is 2^16 or more.
pub(crate) fn bf16_to_q40(bits: u16) -> Option<i64> {
    f32_to_fixed(u32::from(bits) << 16, 40, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a half by its definition, in floating point.
    fn half(bits: u16) -> f64 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let (e, f) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
        match e {
            0 => sign * f * 2f64.powi(-24),
            31 => f64::NAN,
            _ => sign * (1.0 + f / 1024.0) * 2f64.powi(e - 15),
        }
    }

    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let expected = half(bits);
            match f16_to_q24(bits) {
                Some(v) => assert_eq!(v as f64 * 2f64.powi(-24), expected, "{bits:#06x}"),
                None => assert!(expected.is_nan(), "{bits:#06x}"),
            }
        }
    }

    #[test]
    fn singles_match_the_hardware() {
        let mut bits = 1u32;
        for _ in 0..200_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f64::from(f32::from_bits(bits));
            match f32_parts(bits) {
                Some((m, e)) => assert_eq!(m as f64 * 2f64.powi(e), value),
                None => assert!(!value.is_finite()),
            }
            match f32_to_fixed(bits, 22, 9) {
                Some(v) => {
                    assert!(value.abs() < 512.0);
                    assert_eq!(v as f64, (value * 2f64.powi(22) + 0.5).floor());
                }
                None => assert!(!(value.abs() < 512.0)),
            }
        }
        assert_eq!(f32_to_fixed(0, 22, 9), Some(0));
        assert_eq!(f32_to_fixed(1, 22, 9), Some(0));
        assert_eq!(f32_to_fixed(0x8000_0001, 40, 16), Some(0));
        assert_eq!(bf16_to_q40(0x3f80), Some(1 << 40));
        assert_eq!(bf16_to_q40(0x7f80), None);
    }
}
