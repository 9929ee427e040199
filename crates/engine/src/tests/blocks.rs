//! The block format.

use proptest::prelude::*;

use crate::blocks::*;

fn check(x: &[i32]) {
    let got = quantise(x);
    assert!(got.exponent <= 10);
    assert_eq!(got.q.len() % 64, 0);
    for (i, q) in got.q.iter().enumerate() {
        let step = f64::from(got.scales[i / BLOCK]) * f64::from(got.exponent).exp2();
        let x = f64::from(x.get(i).copied().unwrap_or(0));
        assert!((-127..=127).contains(q));
        // Half a step, and the reciprocal's own error of at most 127 · 2^-29 steps.
        assert!((x - f64::from(*q) * step).abs() <= step * (0.5 + 2.4e-7), "{x} {q} {step}");
    }
}

#[test]
fn extremes() {
    check(&[]);
    check(&[0; 5]);
    check(&[i32::MIN; 64]);
    check(&[i32::MAX, i32::MIN, 1, -1, 0]);
    for bits in 0..31 {
        for d in -1..=1 {
            check(&[(1i32 << bits) + d, 3]);
            check(&[127 * ((1i32 << bits.min(23)) + d), 3]);
        }
    }
    assert_eq!(quantise(&[127 << 15, 1]).scales, [16_384, 1]);
    assert_eq!(exponent(127 * 32_767), 0);
    assert_eq!(exponent(127 * 32_767 + 1), 1);
    assert_eq!(exponent(127 * 65_535), 2);
}

proptest! {
    #[test]
    fn within_half_a_step(x in proptest::collection::vec(any::<i32>(), 0..200), shift in 0u32..32) {
        check(&x.iter().map(|x| x >> shift).collect::<Vec<_>>());
    }
}
