//! Worst-case errors against double precision.

use super::{
    decode::*,
    exp2::{EXP2_ZERO, LOG2_E_Q30, exp2_neg, gelu, reciprocal_q60, silu},
    softcap::SoftCap,
    trig::*,
    yarn::yarn_turns,
};

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
            None => assert!(value.is_nan() || value.abs() >= 512.0),
        }
    }
    assert_eq!(f32_to_fixed(0, 22, 9), Some(0));
    assert_eq!(f32_to_fixed(1, 22, 9), Some(0));
    assert_eq!(f32_to_fixed(0x8000_0001, 40, 16), Some(0));
    assert_eq!(bf16_to_q40(0x3f80), Some(1 << 40));
    assert_eq!(bf16_to_q40(0x7f80), None);
}

#[test]
fn exp2_error_and_order() {
    let (mut worst, mut last) = (0f64, i64::MAX);
    for z in 0..=EXP2_ZERO + 10 {
        let got = exp2_neg(z);
        assert!(got <= last, "not monotone at {z}");
        last = got;
        worst = worst.max((got as f64 / 2f64.powi(30) - (-(z as f64) / 65536.0).exp2()).abs());
    }
    println!("exp2: worst absolute error {worst:.3e}");
    assert!(worst < 1.2e-7);
    assert_eq!(exp2_neg(0), 1 << 30);
    assert_eq!(exp2_neg(i64::MAX), 0);
    assert_eq!(LOG2_E_Q30 as f64, (std::f64::consts::LOG2_E * 2f64.powi(30)).round());
}

#[test]
fn silu_error() {
    let mut worst = 0f64;
    let near = (-20 * 65536..20 * 65536).step_by(3);
    let far = (i32::MIN..i32::MAX).step_by(40_009).chain([i32::MIN, i32::MAX]);
    for g in near.chain(far) {
        let x = f64::from(g) / 65536.0;
        let got = f64::from(silu(g)) / 65536.0;
        // Relative to the argument where that is over 1.
        worst = worst.max((got - x / (1.0 + (-x).exp())).abs() / x.abs().max(1.0));
        assert!(silu(g).unsigned_abs() <= g.unsigned_abs());
    }
    println!("silu: worst error relative to max(1, |x|) {worst:.3e}");
    assert!(worst < 9.0e-6);
}

#[test]
fn gelu_error() {
    let mut worst = 0f64;
    for g in (-20 * 65536..20 * 65536).step_by(3).chain((i32::MIN..i32::MAX).step_by(40_009)) {
        let x = f64::from(g) / 65536.0;
        let got = f64::from(gelu(g)) / 65536.0;
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        worst = worst.max((got - 0.5 * x * (1.0 + u.tanh())).abs() / x.abs().max(1.0));
        assert!(gelu(g).unsigned_abs() <= g.unsigned_abs());
    }
    println!("gelu: worst error relative to max(1, |x|) {worst:.3e}");
    assert!(worst < 1.8e-5);
    assert_eq!((gelu(0), gelu(i32::MAX), gelu(i32::MIN)), (0, i32::MAX, 0));
}

#[test]
fn reciprocals_are_floors() {
    let step = if cfg!(debug_assertions) { 611 } else { 7 };
    for d in ((1i64 << 30)..=1 << 31).step_by(step).chain([(1 << 31) - 1, 1 << 31]) {
        assert_eq!(reciprocal_q60(d), (1i64 << 60) / d, "{d}");
    }
}

#[test]
#[ignore = "takes seconds: `cargo test --release -p assay-engine -- --ignored reciprocals`"]
fn reciprocals_are_floors_everywhere() {
    for d in (1i64 << 30)..=1 << 31 {
        assert_eq!(reciprocal_q60(d), (1i64 << 60) / d, "{d}");
    }
}

#[test]
fn frequencies_match_floating_point() {
    let mut worst = 0f64;
    for base in [1f32, 10_000.0, 500_000.0, 1e6, 1.5, 2f32.powi(40)] {
        for dims in [2u32, 32, 64, 80, 128, 256] {
            for j in 0..dims / 2 {
                for factor in [1f32, 8.0, 32.0, 0.3] {
                    let got = rope_turns(base.to_bits(), factor.to_bits(), j, dims).unwrap();
                    let exact = f64::from(base).powf(-2.0 * f64::from(j) / f64::from(dims))
                        / (std::f64::consts::TAU * f64::from(factor));
                    // One unit of Q64, which position 131,071 turns into 2^-47 of a turn.
                    let error = (got as f64 / 2f64.powi(64) - exact).abs() - 2f64.powi(-64);
                    worst = worst.max(error / exact);
                }
            }
        }
    }
    println!("rope frequency: worst relative error beyond one unit of Q64 {worst:.3e}");
    assert!(worst < 2e-14);
    for bad in [0f32, -1.0, 0.5, f32::NAN, f32::INFINITY, 1.1e12, 1e30, 1e-30] {
        assert_eq!(rope_turns(bad.to_bits(), 1f32.to_bits(), 0, 32), None, "{bad}");
    }
    for bad in [0f32, -1.0, f32::NAN, 1e30, 1e-30] {
        assert_eq!(rope_turns(10_000f32.to_bits(), bad.to_bits(), 0, 32), None, "{bad}");
    }
}

#[test]
fn cosines_and_sines_match_floating_point() {
    let mut worst = 0f64;
    let mut turns = 0x28be_60db_9391_054au64;
    for i in 0..200_000u32 {
        turns = turns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let position = i % 131_072;
        let (cos, sin) = cos_sin(position, turns);
        let angle = u64::from(position).wrapping_mul(turns) as f64 / 2f64.powi(64) * std::f64::consts::TAU;
        let unit = 2f64.powi(30);
        worst = worst.max((f64::from(cos) - angle.cos() * unit).abs());
        worst = worst.max((f64::from(sin) - angle.sin() * unit).abs());
    }
    println!("cos, sin: worst error {worst:.4} units of 2^-30");
    assert!(worst < 0.51);
    assert_eq!(cos_sin(0, 5), (1 << 30, 0));
    assert_eq!(cos_sin(1, 1 << 62), (0, 1 << 30));
    assert_eq!(cos_sin(3, 1 << 62), (0, -(1 << 30)));
}

#[test]
fn soft_cap_error_and_order() {
    for limit in [1 << 12, 30 << 16, (50 * LOG2_E_Q30) >> 14, (1 << 31) - 1] {
        let cap = SoftCap::new(limit).unwrap();
        let (mut worst, mut last) = (0f64, 0);
        for i in 0..200_000 {
            let x = 14 * limit * i / 200_000;
            let got = cap.apply(x);
            assert_eq!(cap.apply(-x), -got);
            assert!(got <= limit && got <= x + 1 + limit / (1 << 26), "{x}");
            assert!(got >= last - limit / (1 << 26), "{x}");
            last = got;
            let exact = limit as f64 * (x as f64 / limit as f64).tanh();
            worst = worst.max((got as f64 - exact).abs() / limit as f64);
        }
        println!("soft limit {limit}: worst error {worst:.3e} of the limit");
        // Half a unit of the result, the exponential's error, and what is cut off of `2 · log2(e) / c`.
        let cut = limit as f64 / (LOG2_E_Q30 << 17) as f64;
        assert!(worst < 0.5 / limit as f64 + 1e-7 + cut);
        assert_eq!(cap.apply(1 << 62), limit);
        assert_eq!(cap.apply(-(1 << 62)), -limit);
    }
    assert!([(1 << 12) - 1, 1 << 31, 0, -1].into_iter().all(|limit| SoftCap::new(limit).is_none()));
}

#[test]
fn yarn_is_the_paper_s() {
    use std::f64::consts::{LN_2, TAU};
    let mut seen = [0; 3];
    for (base, factor, trained, dims) in [
        (10_000f32, 8f32, 4_096u32, 128u32),
        (1_000_000.0, 4.0, 32_768, 128),
        (10_000.0, 16.0, 4_096, 80),
        (500_000.0, 1.0, 8_192, 64),
        (10_000.0, 2.5, 64, 32),
        (2.0, 4_096.0, 1, 2),
        (3.0, 40.0, 131_072, 16),
    ] {
        let (turns, magnitude) = yarn_turns(base.to_bits(), factor.to_bits(), trained, dims).unwrap();
        let (b, f) = (f64::from(base), f64::from(factor));
        let pair =
            |rotations: f64| f64::from(dims) * (f64::from(trained) / (rotations * TAU)).ln() / (2.0 * b.ln());
        let low = pair(32.0).floor().max(0.0);
        let high = pair(1.0).ceil().min(f64::from(dims) - 1.0);
        for (j, turns) in (0..dims / 2).zip(&turns) {
            let slowed = ((f64::from(j) - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            seen[if slowed == 0.0 { 0 } else { 1 + usize::from(slowed == 1.0) }] += 1;
            let plain = b.powf(-2.0 * f64::from(j) / f64::from(dims)) / TAU;
            let expected = (plain / f * slowed + plain * (1.0 - slowed)) * 2f64.powi(64);
            assert!((*turns as f64 / expected - 1.0).abs() < 1e-12 + 4.0 / expected, "{base} {factor} {j}");
        }
        let expected = 1.0 + 0.1 * f.ln();
        assert!((magnitude as f64 / 2f64.powi(30) - expected).abs() < 13.0 * LN_2 / 2f64.powi(30));
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    for (base, factor, trained) in [
        (1.5f32, 4f32, 4_096u32),
        (f32::NAN, 4.0, 4_096),
        (2e12, 4.0, 4_096),
        (10_000.0, 0.99, 4_096),
        (10_000.0, 4_097.0, 4_096),
        (10_000.0, -4.0, 4_096),
        (10_000.0, f32::INFINITY, 4_096),
        (10_000.0, 4.0, 0),
    ] {
        assert_eq!(yarn_turns(base.to_bits(), factor.to_bits(), trained, 64), None);
    }
}
