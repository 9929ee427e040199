//! Exact chances of draws.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Zero};

/// `n` over `k`.
pub fn choose(n: u64, k: u64) -> BigInt {
    if k > n {
        return BigInt::zero();
    }
    (0..k.min(n - k)).fold(BigInt::one(), |product, i| product * (n - i) / (i + 1))
}

/// `P[Bin(n, share) = i]`.
pub fn binomial(n: u64, i: u64, share: &BigRational) -> BigRational {
    if i > n {
        return BigRational::zero();
    }
    let other = BigRational::one() - share;
    BigRational::from_integer(choose(n, i)) * Pow::pow(share, i) * Pow::pow(other, n - i)
}

/// `P[Bin(n, share) ≥ k]`.
pub fn binomial_tail(n: u64, k: u64, share: &BigRational) -> BigRational {
    (k..=n).map(|i| binomial(n, i, share)).sum()
}

/// The chance that exactly `i` of `n` seats, drawn without replacement from `seats`, are among `colluding` ones. Zero where
/// that can't be.
pub fn hypergeometric(seats: u64, colluding: u64, n: u64, i: u64) -> BigRational {
    if colluding > seats || n > seats || i > n {
        return BigRational::zero();
    }
    BigRational::new(choose(colluding, i) * choose(seats - colluding, n - i), choose(seats, n))
}

/// The chance that at least `k` of them are.
pub fn hypergeometric_tail(seats: u64, colluding: u64, n: u64, k: u64) -> BigRational {
    (k..=n).map(|i| hypergeometric(seats, colluding, n, i)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(a: i64, b: i64) -> BigRational {
        BigRational::new(a.into(), b.into())
    }

    /// All draws of `n` from `seats`, one by one.
    fn counted(seats: u32, colluding: u32, n: u32, i: u32) -> BigRational {
        let draws = (0u32..1 << seats).filter(|set| set.count_ones() == n);
        let (mut all, mut hits) = (0, 0);
        for set in draws {
            all += 1;
            hits += i64::from((set & ((1 << colluding) - 1)).count_ones() == i);
        }
        ratio(hits, all)
    }

    #[test]
    fn draws_without_replacement_are_those_that_one_can_count() {
        for (seats, colluding, n) in [(9, 3, 5), (10, 4, 4), (12, 1, 12), (7, 7, 3), (8, 0, 2)] {
            for i in 0..=n {
                assert_eq!(
                    hypergeometric(seats.into(), colluding.into(), n.into(), i.into()),
                    counted(seats, colluding, n, i),
                    "{seats} {colluding} {n} {i}"
                );
            }
        }
    }

    #[test]
    fn chances_add_up_and_impossible_draws_have_none() {
        let share = ratio(3, 10);
        assert_eq!(binomial_tail(11, 0, &share), BigRational::one());
        assert_eq!(hypergeometric_tail(20, 6, 9, 0), BigRational::one());
        assert_eq!(hypergeometric(5, 6, 2, 1), BigRational::zero());
        assert_eq!(hypergeometric(5, 2, 6, 1), BigRational::zero());
        assert_eq!(binomial(3, 4, &share), BigRational::zero());
        assert_eq!(choose(5, 9), BigInt::zero());
        assert_eq!(choose(31, 21), BigInt::from(44_352_165));
    }

    /// A finite table is more concentrated than the binomial at quorums above the mean, and approaches it.
    #[test]
    fn small_tables_frame_less_often_than_the_binomial_says() {
        let binomial = binomial_tail(5, 4, &ratio(3, 10));
        let mut last = BigRational::zero();
        for seats in [20, 50, 100, 1_000] {
            let tail = hypergeometric_tail(seats, seats * 3 / 10, 5, 4);
            assert!(tail < binomial && tail > last, "{seats}");
            last = tail;
        }
    }
}
