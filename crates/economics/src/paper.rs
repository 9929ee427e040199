//! The games of "Proof of Sampling" with the paper's own assumptions, apart from those of the contracts: closed forms, and the
//! same games written out so that [`crate::games`] can solve them.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, Zero};

use crate::{chances::binomial, games::Game};

/// The sampling game of one assertion. Amounts in any one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampling {
    /// C, of computing f(x) once.
    pub cost: BigRational,
    /// R_A, to the asserter.
    pub asserter_reward: BigRational,
    /// R_V, shared by the validators.
    pub validator_reward: BigRational,
    /// S, what a cheat is slashed.
    pub stake: BigRational,
    /// U1, a cheating asserter's gain where nobody checks.
    pub unchallenged_gain: BigRational,
    /// U2, its gain where all validators collude with it.
    pub colluding_gain: BigRational,
    /// n
    pub validators: u64,
    /// r, the share of validators that collude with the asserter.
    pub collusion: BigRational,
}

impl Sampling {
    /// Proposition 1's: `n = 1, R_A = R_V = U1 = R, U2 = 2R`.
    pub fn single(
        cost: BigRational,
        reward: BigRational,
        stake: BigRational,
        collusion: BigRational,
    ) -> Self {
        let two = BigRational::from_integer(2.into());
        Self {
            cost,
            asserter_reward: reward.clone(),
            validator_reward: reward.clone(),
            stake,
            unchallenged_gain: reward.clone(),
            colluding_gain: reward * two,
            validators: 1,
            collusion,
        }
    }

    /// What an honest asserter and its colluders, who copy, expect at challenge rate `p`.
    pub fn honest(&self, p: &BigRational) -> BigRational {
        let alone = &self.asserter_reward - &self.cost;
        let n = whole(self.validators);
        let with = |i: u64| -> BigRational { whole(i) * &self.validator_reward / &n + &alone };
        (BigRational::one() - p) * &alone + p * self.expected(0..=self.validators, with)
    }

    /// What a cheating asserter and its colluders expect: colluders that are not alone recompute and report. Nobody has to
    /// where there are none, so C is not charged then: the form that the theorem belongs to.
    pub fn cheat(&self, p: &BigRational) -> BigRational {
        self.cheating(p, |i| if i == 0 { BigRational::zero() } else { self.cost.clone() })
    }

    /// As the paper's appendix prints it, which charges C also where nobody colludes, and so contradicts its theorem.
    pub fn cheat_as_printed(&self, p: &BigRational) -> BigRational {
        self.cheating(p, |_| self.cost.clone())
    }

    fn cheating(&self, p: &BigRational, cost: impl Fn(u64) -> BigRational) -> BigRational {
        let n = whole(self.validators);
        let caught =
            |i: u64| -> BigRational { whole(i) * &self.validator_reward / &n - cost(i) - &self.stake };
        (BigRational::one() - p) * &self.unchallenged_gain
            + p * self.all_collude() * &self.colluding_gain
            + p * self.expected(0..=self.validators - 1, caught)
    }

    fn expected(
        &self,
        colluding: std::ops::RangeInclusive<u64>,
        payoff: impl Fn(u64) -> BigRational,
    ) -> BigRational {
        colluding.map(|i| binomial(self.validators, i, &self.collusion) * payoff(i)).sum()
    }

    /// r^n
    fn all_collude(&self) -> BigRational {
        Pow::pow(&self.collusion, self.validators)
    }

    /// The chance that some, but not all, collude: `1 − r^n − (1 − r)^n`.
    fn some_collude(&self) -> BigRational {
        let honest = Pow::pow(BigRational::one() - &self.collusion, self.validators);
        BigRational::one() - self.all_collude() - honest
    }

    /// Theorem 1's left side less its right one; honesty is dominant where it is positive.
    pub fn theorem_margin(&self, p: &BigRational) -> BigRational {
        self.corollary_margin(p) + self.some_collude() * p * &self.cost
    }

    /// Corollary 1's, without the term `pC`: sufficient.
    pub fn corollary_margin(&self, p: &BigRational) -> BigRational {
        &self.asserter_reward + p * &self.stake
            - (BigRational::one() - p) * &self.unchallenged_gain
            - &self.cost
            - p * self.all_collude() * (&self.colluding_gain + &self.stake - &self.validator_reward)
    }

    /// The challenge rate above which honesty is dominant; nothing where no rate makes it so. It may exceed 1, where none does
    /// that is a probability.
    pub fn threshold(&self) -> Option<BigRational> {
        // The margin is linear in p.
        let (at_0, at_1) =
            (self.theorem_margin(&BigRational::zero()), self.theorem_margin(&BigRational::one()));
        let slope = at_1 - &at_0;
        slope.is_positive().then(|| (-at_0 / slope).max(BigRational::zero()))
    }

    /// The game of an asserter and `n` validators none of whom colludes, written out: action 0 is honest, 1 cheats. Two cheats
    /// that report the same wrong answer can't be told from two honest ones; `matches` says whether they do. The paper's
    /// assumption 1 is that they never do.
    pub fn game(&self, p: &BigRational, matches: bool) -> Game {
        let players = usize::try_from(self.validators).unwrap_or(usize::MAX - 1) + 1;
        Game::new(&vec![2; players], |profile| {
            let validators = &profile[1..];
            let honest = validators.iter().filter(|action| **action == 0).count();
            let all_alike =
                honest == validators.len() && profile[0] == 0 || honest == 0 && profile[0] == 1 && matches;
            let mut payoffs = vec![self.asserter_payoff(p, profile[0], all_alike)];
            payoffs.extend(validators.iter().map(|action| {
                // Validators are paid, and slashed, only where they are drawn.
                p * if all_alike {
                    let cost = if *action == 0 { self.cost.clone() } else { BigRational::zero() };
                    &self.validator_reward / whole(self.validators) - cost
                } else if *action == 0 {
                    &self.validator_reward / whole(honest) - &self.cost
                } else {
                    -self.stake.clone()
                }
            }));
            payoffs
        })
    }

    fn asserter_payoff(&self, p: &BigRational, action: usize, all_alike: bool) -> BigRational {
        if action == 0 {
            return &self.asserter_reward - &self.cost;
        }
        let checked = if all_alike { self.unchallenged_gain.clone() } else { -self.stake.clone() };
        (BigRational::one() - p) * &self.unchallenged_gain + p * checked
    }
}

/// The game of optimistic machine learning: a server may cheat, a validator may check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Optimistic {
    /// C, of computing, for the server and for a check.
    pub cost: BigRational,
    /// R, to the server.
    pub reward: BigRational,
    /// S, what a caught server loses.
    pub stake: BigRational,
    /// R_C, to who catches it, net of C.
    pub catch_reward: BigRational,
}

impl Optimistic {
    /// Two players: the validator checks (0) or skips (1), the server cheats (0) or is honest (1).
    pub fn game(&self) -> Game {
        let nothing = BigRational::zero();
        Game::new(&[2, 2], |profile| match profile {
            [0, 0] => vec![self.catch_reward.clone(), -self.stake.clone()],
            [0, _] => vec![-self.cost.clone(), &self.reward - &self.cost],
            [_, 0] => vec![nothing.clone(), self.reward.clone()],
            _ => vec![nothing.clone(), &self.reward - &self.cost],
        })
    }

    /// How often the validator checks in the only equilibrium: `C/(S + R)`.
    pub fn check_chance(&self) -> BigRational {
        &self.cost / (&self.stake + &self.reward)
    }

    /// How often the server cheats in it: `C/(R_C + C)`.
    pub fn fraud_chance(&self) -> BigRational {
        &self.cost / (&self.catch_reward + &self.cost)
    }

    /// How often it cheats and is not checked.
    pub fn undetected(&self) -> BigRational {
        self.fraud_chance() * (BigRational::one() - self.check_chance())
    }
}

fn whole(n: impl Into<BigInt>) -> BigRational {
    BigRational::from_integer(n.into())
}
