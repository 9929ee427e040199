//! The chances of juries, exact and as the contract bounds them.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::whole;

/// Denominator of shares in the parameters.
const THOUSAND: u32 = 1000;
/// Bits of the contract's terms, of its tails, and of its chance of a conviction.
const TERM_BITS: u32 = 192;
const TAIL_BITS: u32 = 64;
const CAUGHT_BITS: u32 = 32;

/// How a probability is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// As it is.
    Exact,
    /// As the contract rounds it (docs/ECONOMICS.md, Probabilities).
    Contract,
}

impl Rule {
    /// The chance that at least `k` of `n` seats collude: `P[Bin(n, r/1000) ≥ k]`, with `r` below 1000.
    pub(super) fn tail(self, n: u8, k: u8, r: u16) -> BigRational {
        match self {
            Self::Exact => exact_tail(n, k, r),
            Self::Contract => BigRational::new(tail_bound(n, k, r), one(TAIL_BITS)),
        }
    }

    /// The chance that a wrong answer which was drawn is convicted: `(1 − r)(1 − v1·v2)`.
    pub(super) fn conviction(self, juries: [u8; 2], r: u16) -> BigRational {
        let blocked: BigRational = juries.iter().map(|n| self.tail(*n, n - quorum(*n) + 1, r)).product();
        let honest = BigRational::new((THOUSAND - u32::from(r)).into(), THOUSAND.into());
        match self {
            Self::Exact => honest * (whole(1) - blocked),
            Self::Contract => {
                let blocked = (blocked * one(TAIL_BITS)).ceil() / one(TAIL_BITS);
                (honest * (whole(1) - blocked) * one(CAUGHT_BITS)).floor() / one(CAUGHT_BITS)
            }
        }
    }
}

/// Seats that a verdict needs: two thirds of the jury, rounded up.
pub(super) fn quorum(size: u8) -> u8 {
    size - size / 3
}

/// Sum of `C(n, i)·r^i·(1000 − r)^(n − i)` from `k` to `n`, over `1000^n`.
fn exact_tail(n: u8, k: u8, r: u16) -> BigRational {
    let (collude, honest) = (BigInt::from(r), BigInt::from(THOUSAND - u32::from(r)));
    let mut choose = BigInt::one();
    let mut sum = BigInt::zero();
    for i in 0..=n {
        if i >= k {
            sum += &choose * collude.pow(i.into()) * honest.pow((n - i).into());
        }
        choose = choose * (n - i) / (u32::from(i) + 1);
    }
    BigRational::new(sum, BigInt::from(THOUSAND).pow(n.into()))
}

/// The contract's upper bound, in 2^-64: terms by recurrence at 192 bits, each division rounded up, the sum cut and one added.
fn tail_bound(n: u8, k: u8, r: u16) -> BigInt {
    let (collude, honest) = (u32::from(r), THOUSAND - u32::from(r));
    let mut term = one(TERM_BITS);
    for _ in 0..n {
        term = div_ceil(term * honest, THOUSAND);
    }
    let mut sum = if k == 0 { term.clone() } else { BigInt::zero() };
    for i in 0..n {
        let next = u32::from(i) + 1;
        term = div_ceil(term * (n - i) * collude, next * honest);
        if next >= u32::from(k) {
            sum += &term;
        }
    }
    ((sum >> (TERM_BITS - TAIL_BITS)) + 1u32).min(one(TAIL_BITS))
}

fn div_ceil(a: BigInt, b: u32) -> BigInt {
    (a + (b - 1)) / b
}

fn one(bits: u32) -> BigInt {
    BigInt::one() << bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(numerator: u64, denominator: u64) -> BigRational {
        BigRational::new(numerator.into(), denominator.into())
    }

    #[test]
    fn a_quorum_is_two_thirds_rounded_up() {
        for n in 1..=255u8 {
            let (q, n) = (u32::from(quorum(n)), u32::from(n));
            assert!(3 * q >= 2 * n && 3 * (q - 1) < 2 * n, "{n}");
        }
    }

    #[test]
    fn tails_of_small_juries_by_hand() {
        assert_eq!(Rule::Exact.tail(3, 2, 100), share(28, 1_000)); // 3 · 0.09 · 0.1 + 0.001 · 1
        assert_eq!(Rule::Exact.tail(5, 4, 200), share(21, 3_125)); // 5 · 0.2^4 · 0.8 + 0.2^5
        assert_eq!(Rule::Exact.tail(9, 0, 333), share(1, 1));
        assert_eq!(Rule::Exact.tail(9, 1, 0), share(0, 1));
        assert_eq!(Rule::Contract.tail(9, 0, 333), share(1, 1)); // no more than certainty
        assert_eq!(tail_bound(9, 1, 0), BigInt::one());
    }

    /// Never below, at both thresholds of any jury. Above by less than 2^-63, in the largest juries, whose first terms keep
    /// few of the 192 bits, by less than 2^-43.
    #[test]
    fn the_contracts_tail_is_an_upper_bound_and_tight() {
        for n in (3..=64).chain([100, 200, 230, 255]) {
            let slack = BigRational::new(1.into(), one(if n <= 200 { 63 } else { 43 }));
            for r in [0, 1, 100, 250, 333] {
                for k in [quorum(n), n - quorum(n) + 1] {
                    let (exact, bound) = (Rule::Exact.tail(n, k, r), Rule::Contract.tail(n, k, r));
                    assert!(bound >= exact && bound < exact + &slack, "{n} {k} {r}");
                }
                let (exact, bound) =
                    (Rule::Exact.conviction([n, 255], r), Rule::Contract.conviction([n, 255], r));
                assert!(bound <= exact, "{n} {r}");
            }
        }
    }
}
