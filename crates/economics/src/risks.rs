//! What no condition enforces: how large each remaining risk is, and the assumption that carries it.

use assay_protocol::PoolParams;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, Zero};

use crate::{
    chances::{hypergeometric, hypergeometric_tail},
    conditions::{self, Condition},
};

/// One risk of a pool that rests on an assumption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// What may happen.
    pub name: &'static str,
    /// Figures, each with what it is.
    pub figures: Vec<(&'static str, Figure)>,
    /// What keeps it from happening.
    pub assumption: &'static str,
}

/// A value of a [`Risk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figure {
    /// In the token's smallest unit.
    Token(BigRational),
    /// A probability or a share.
    Share(BigRational),
    /// Whether something holds.
    Holds(bool),
}

/// The risks of a pool whose parameters meet Domain.
pub fn of(p: &PoolParams) -> Vec<Risk> {
    let m = u64::from(p.limits.maxUnits);
    let stake = big(p.prices.seatStake.to::<u128>());
    let compensation = &stake / whole(3) + big256(p.fee(m)) + big256(p.base_fee(m));
    let bribe = |jury: u8| {
        whole(jury / 3 + 1) * (big(p.prices.jurorPay.to::<u128>()) + big(p.prices.jurorPenalty.to::<u128>()))
    };
    let rate = BigRational::new(BigInt::from(p.rates.challengeFixed), BigInt::one() << 64);
    vec![
        Risk {
            name: "a bribed user does not challenge",
            figures: vec![
                ("suits the user from, for one lie", Figure::Token(compensation.clone())),
                ("suits the liar up to", Figure::Token(&stake + big256(p.pay(m)))),
                ("audits alone meet Deterrence", Figure::Holds(audits_deter(p))),
            ],
            assumption: "users challenge, or audits do it for them; the ticket's nonce hides which response to bribe for",
        },
        Risk {
            name: "a bribed jury is blocked",
            figures: vec![
                ("first jury's price", Figure::Token(bribe(p.limits.firstJury))),
                ("second jury's price", Figure::Token(bribe(p.limits.secondJury))),
                ("worth it up to, beside the vesting pay", Figure::Token(stake.clone())),
            ],
            assumption: "jurors drawn after the fact can't be found and paid within a commit window",
        },
        Risk {
            name: "a validator does not recompute",
            figures: vec![("saves, a check", Figure::Token(big(p.prices.costUnit.to::<u128>()) * whole(m)))],
            assumption: "the server does not hand it its digest: what both lose is the stake, if they are ever drawn apart",
        },
        Risk {
            name: "an honest server is convicted by mistake",
            figures: vec![
                (
                    "bearable share of wrong verdicts, nothing vesting",
                    Figure::Share(bearable_mistakes(p, &rate, &BigRational::zero())),
                ),
                (
                    "bearable, with the pay of 10,000 such responses vesting",
                    Figure::Share(bearable_mistakes(p, &rate, &(big256(p.pay(m)) * whole(10_000)))),
                ),
            ],
            assumption: "the arithmetic is bit-exact, so the share is 0",
        },
        Risk {
            name: "a server serves itself",
            figures: vec![("loses, the largest response", Figure::Token(self_dealing_loss(p, m)))],
            assumption: "none: Positive burn is enforced",
        },
    ]
}

/// What serving oneself a response of `m` units burns at least: its base fee less the e-money made of it.
pub fn self_dealing_loss(p: &PoolParams, m: u64) -> BigRational {
    big256(p.base_fee(m)) - big256(p.check_credit(1, m))
}

/// The share of an honest server's challenges that may end in a wrong conviction before honesty stops to pay, at the largest
/// response: `f = (pay − C·m) / (p·(pay + S + V))`, V its vesting pay. At most 1.
pub fn bearable_mistakes(p: &PoolParams, rate: &BigRational, vesting: &BigRational) -> BigRational {
    let m = u64::from(p.limits.maxUnits);
    let pay = big256(p.pay(m));
    let stake = big(p.prices.seatStake.to::<u128>());
    let profit = &pay - big(p.prices.costUnit.to::<u128>()) * whole(m);
    (profit / (rate * (pay + stake + vesting))).min(BigRational::one())
}

/// Whether Deterrence would hold if nobody but audits challenged.
pub fn audits_deter(p: &PoolParams) -> bool {
    let mut alone = p.clone();
    alone.rates.challengeFixed = p.rates.auditFixed;
    alone.rates.challengeUnit = p.rates.auditUnit;
    conditions::accepts(&alone, Condition::Deterrence) && alone.rates.challengeFixed > 0
}

/// `k` wrong answers at once, each convicted with chance `caught`, none before all are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    /// R, paid for each.
    pub reward: BigRational,
    /// C, saved by each.
    pub cost: BigRational,
    /// S, lost once however many are caught.
    pub stake: BigRational,
    /// q
    pub caught: BigRational,
    /// Whether a conviction takes the pay of all of them.
    pub forfeiture: bool,
}

impl Burst {
    /// What `k` of them bring beyond what honest answers would.
    pub fn gain(&self, k: u32) -> BigRational {
        let missed = Pow::pow(BigRational::one() - &self.caught, k);
        let pay = whole(k) * &self.reward;
        let kept = if self.forfeiture { &missed * &pay } else { pay.clone() };
        kept - (BigRational::one() - missed) * &self.stake - (pay - whole(k) * &self.cost)
    }

    /// The smallest number up to `most` that gains.
    pub fn first_profitable(&self, most: u32) -> Option<u32> {
        (1..=most).find(|k| self.gain(*k).is_positive())
    }
}

/// How a jury drawn from a table ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts {
    /// For what honest jurors computed.
    pub right: BigRational,
    /// For what colluders want.
    pub framed: BigRational,
    /// Neither: a second ballot, or void.
    pub none: BigRational,
}

/// The chances of a jury of `size` from `seats` of which `colluding` vote alike against the truth and `absent` don't vote.
/// Nothing where the three don't fit into one table.
pub fn verdicts(seats: u64, colluding: u64, absent: u64, size: u64) -> Option<Verdicts> {
    if colluding + absent > seats || size > seats || size == 0 {
        return None;
    }
    let quorum = size - size / 3;
    let framed = hypergeometric_tail(seats, colluding, size, quorum);
    // By the number of colluders, then how many of the rest are absent.
    let right: BigRational = (0..=size - quorum)
        .map(|i| {
            let present = (0..=size - quorum - i)
                .map(|gone| hypergeometric(seats - colluding, absent, size - i, gone))
                .sum::<BigRational>();
            hypergeometric(seats, colluding, size, i) * present
        })
        .sum();
    let none = BigRational::one() - &framed - &right;
    Some(Verdicts { right, framed, none })
}

fn whole(n: impl Into<BigInt>) -> BigRational {
    BigRational::from_integer(n.into())
}

fn big(n: u128) -> BigRational {
    whole(n)
}

fn big256(n: assay_protocol::U256) -> BigRational {
    whole(BigInt::from_bytes_be(num_bigint::Sign::Plus, &n.to_be_bytes::<32>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(a: i64, b: i64) -> BigRational {
        BigRational::new(a.into(), b.into())
    }

    /// The paper's numbers at 1.05 times Proposition 1's rate.
    fn burst(forfeiture: bool) -> Burst {
        let (reward, stake) = (ratio(12, 10), whole(150));
        let threshold = whole(1) / (ratio(9, 10) * (&reward + &stake));
        Burst {
            reward,
            cost: whole(1),
            stake,
            caught: threshold * ratio(105, 100) * ratio(9, 10),
            forfeiture,
        }
    }

    #[test]
    fn without_forfeiture_thirteen_lies_at_once_pay() {
        assert_eq!(burst(false).first_profitable(1_000), Some(13));
        assert_eq!(burst(true).first_profitable(1_000), None);
    }

    /// Every outcome of `k` lies, one by one.
    #[test]
    fn a_bursts_gain_is_the_mean_over_its_outcomes() {
        for forfeiture in [false, true] {
            let b = Burst { caught: ratio(1, 7), ..burst(forfeiture) };
            for k in 1..=6u32 {
                let mean: BigRational = (0u32..1 << k)
                    .map(|caught| {
                        let chance: BigRational =
                            (0..k)
                                .map(|i| {
                                    if caught >> i & 1 == 1 { b.caught.clone() } else { whole(1) - &b.caught }
                                })
                                .product();
                        let pay = whole(k) * &b.reward;
                        let kept = if caught == 0 {
                            pay
                        } else if forfeiture {
                            -b.stake.clone()
                        } else {
                            pay - &b.stake
                        };
                        chance * kept
                    })
                    .sum();
                assert_eq!(b.gain(k), mean - whole(k) * (&b.reward - &b.cost), "{k} {forfeiture}");
            }
        }
    }

    #[test]
    fn verdicts_are_what_all_juries_of_a_small_table_say() {
        let (seats, colluding, absent, size) = (10u32, 3u32, 2u32, 5u32);
        let (mut right, mut framed, mut all) = (0, 0, 0);
        for jury in (0u32..1 << seats).filter(|jury| jury.count_ones() == size) {
            let bad = (jury & 0b111).count_ones();
            let gone = (jury >> colluding & 0b11).count_ones();
            let quorum = size - size / 3;
            all += 1;
            framed += i64::from(bad >= quorum);
            right += i64::from(size - bad - gone >= quorum);
        }
        let v = verdicts(seats.into(), colluding.into(), absent.into(), size.into());
        let expected = Verdicts {
            right: ratio(right, all),
            framed: ratio(framed, all),
            none: ratio(all - right - framed, all),
        };
        assert_eq!(v, Some(expected));
        assert_eq!(verdicts(10, 8, 3, 5), None);
        assert_eq!(verdicts(10, 1, 1, 11), None);
        assert_eq!(verdicts(10, 1, 1, 0), None);
    }
}
