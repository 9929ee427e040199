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
