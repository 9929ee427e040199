//! The one rounding rule: half up, that is `floor(x + 1/2)`.

/// `floor(value / 2^shift + 1/2)` for a shift of 0 to 62. `|value|` must stay below 2^63 - 2^61.
#[inline(always)]
pub(crate) fn half_up(value: i64, shift: u32) -> i64 {
    // For a shift of 0 the added half is 0.
    (value + ((1i64 << shift) >> 1)) >> shift
}

/// `value · 2^-shift`, rounded half up, clamped to `-limit..=limit - 1`; a negative shift multiplies.
///
/// `shift` must be within -63 to 62 and `|value|` below 2^62.
#[inline(always)]
pub(crate) fn rescale(value: i64, shift: i32, limit: i64) -> i64 {
    if shift >= 0 {
        half_up(value, shift as u32).clamp(-limit, limit - 1)
    } else {
        // Saturates instead of overflowing; the clamp would cut it off anyway.
        let wide = (i128::from(value)) << -shift;
        wide.clamp(i128::from(-limit), i128::from(limit - 1)) as i64
    }
}

/// Clamps to the range of `i32`.
#[inline(always)]
pub(crate) fn clamp_i32(value: i64) -> i32 {
    value.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_up() {
        let got: Vec<i64> = [-6, -3, -2, -1, 0, 1, 2, 3, 6].iter().map(|v| half_up(*v, 2)).collect();
        assert_eq!(got, [-1, -1, 0, 0, 0, 0, 1, 1, 2]);
        assert_eq!(half_up(-5, 0), -5);
    }

    proptest! {
        #[test]
        fn rescale_is_exact_arithmetic(value in -(1i64 << 62) + 1..1i64 << 62, shift in -63i32..=62, bits in 8u32..62) {
            let limit = 1i64 << bits;
            let exact = if shift > 0 {
                (i128::from(value) * 2 + (1i128 << shift)).div_euclid(2i128 << shift)
            } else {
                i128::from(value) << -shift
            };
            let expected = exact.clamp((-limit).into(), (limit - 1).into());
            prop_assert_eq!(i128::from(rescale(value, shift, limit)), expected);
        }
    }
}
