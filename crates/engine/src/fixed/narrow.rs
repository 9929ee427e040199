//! Products of numbers that fit 32 bits. Vector units multiply these several times as fast as numbers of 64 bits, which
//! some can't multiply at all, and the compiler must see from the code that they fit.

/// `a · b` where both fit an `i32`.
#[inline(always)]
pub(crate) fn signed_product(a: i64, b: i64) -> i64 {
    debug_assert!(i32::try_from(a).is_ok() && i32::try_from(b).is_ok(), "{a} · {b}");
    i64::from(a as i32) * i64::from(b as i32)
}

/// `a · b`, below 2^63, where both fit a `u32`.
#[inline(always)]
pub(crate) fn unsigned_product(a: i64, b: i64) -> i64 {
    debug_assert!(u32::try_from(a).is_ok() && u32::try_from(b).is_ok(), "{a} · {b}");
    (u64::from(a as u32) * u64::from(b as u32)) as i64
}
