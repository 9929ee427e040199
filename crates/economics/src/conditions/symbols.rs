//! The symbols of docs/ECONOMICS.md as integers of any size.

use assay_protocol::PoolParams;
use num_bigint::BigInt;

/// Amounts in the token's smallest unit, rates in 2^-64, shares in thousandths.
pub(super) struct Symbols {
    /// S, F
    pub(super) stake: BigInt,
    pub(super) float: BigInt,
    /// R0, R
    pub(super) reward_fixed: BigInt,
    pub(super) reward_unit: BigInt,
    /// u0, u
    pub(super) fee_fixed: BigInt,
    pub(super) fee_unit: BigInt,
    /// C
    pub(super) cost: BigInt,
    /// c0
    pub(super) check_fixed: BigInt,
    /// g
    pub(super) gain: BigInt,
    /// G
    pub(super) gas: BigInt,
    pub(super) juror_pay: BigInt,
    pub(super) juror_penalty: BigInt,
    pub(super) bond: BigInt,
    pub(super) check_cap: BigInt,
    /// R_V
    pub(super) audit_pay: BigInt,
    /// p0, p1
    pub(super) challenge_fixed: BigInt,
    pub(super) challenge_unit: BigInt,
    pub(super) audit_fixed: BigInt,
    pub(super) audit_unit: BigInt,
    /// d
    pub(super) discount: BigInt,
    /// M
    pub(super) max: BigInt,
    /// Jurors of both juries together.
    pub(super) jurors: BigInt,
    /// n
    pub(super) audit_size: BigInt,
}

impl From<&PoolParams> for Symbols {
    fn from(p: &PoolParams) -> Self {
        let (prices, rates, limits) = (&p.prices, &p.rates, &p.limits);
        macro_rules! amount {
            ($field:ident) => {
                BigInt::from(prices.$field.to::<u128>())
            };
        }
        Self {
            stake: amount!(seatStake),
            float: amount!(seatFloat),
            reward_fixed: amount!(rewardFixed),
            reward_unit: amount!(rewardUnit),
            fee_fixed: amount!(feeFixed),
            fee_unit: amount!(feeUnit),
            cost: amount!(costUnit),
            check_fixed: amount!(checkFixed),
            gain: amount!(outsideGain),
            gas: amount!(gasAllowance),
            juror_pay: amount!(jurorPay),
            juror_penalty: amount!(jurorPenalty),
            bond: amount!(minBond),
            check_cap: amount!(checkCap),
            audit_pay: amount!(auditPay),
            challenge_fixed: rates.challengeFixed.into(),
            challenge_unit: rates.challengeUnit.into(),
            audit_fixed: rates.auditFixed.into(),
            audit_unit: rates.auditUnit.into(),
            discount: rates.discount.into(),
            max: limits.maxUnits.into(),
            jurors: BigInt::from(limits.firstJury) + limits.secondJury,
            audit_size: limits.auditSize.into(),
        }
    }
}

impl Symbols {
    /// `p(m) = p0 + p1·m`.
    pub(super) fn challenge_rate(&self, m: &BigInt) -> BigInt {
        &self.challenge_fixed + &self.challenge_unit * m
    }

    /// `pay(m) = R0 + R·m`.
    pub(super) fn pay(&self, m: &BigInt) -> BigInt {
        &self.reward_fixed + &self.reward_unit * m
    }

    /// `base(m) = u0 + u·m`.
    pub(super) fn base(&self, m: &BigInt) -> BigInt {
        &self.fee_fixed + &self.fee_unit * m
    }

    /// `fee(m) = pay(m) + base(m)`.
    pub(super) fn fee(&self, m: &BigInt) -> BigInt {
        self.pay(m) + self.base(m)
    }

    /// `R·m + c0`: the validator's part of a check.
    pub(super) fn check_pay(&self, m: &BigInt) -> BigInt {
        &self.reward_unit * m + &self.check_fixed
    }

    /// `check(m) = R·m + c0 + d·u·m`, the discount rounded down.
    pub(super) fn check(&self, m: &BigInt) -> BigInt {
        self.check_pay(m) + &self.fee_unit * m * &self.discount / 1000
    }

    /// J.
    pub(super) fn jury_budget(&self) -> BigInt {
        &self.juror_pay * &self.jurors
    }

    /// What one conviction gives its user: `S/3` rounded down, the fee and the base fee of the largest response.
    pub(super) fn compensation(&self) -> BigInt {
        &self.stake / 3 + self.fee(&self.max) + self.base(&self.max)
    }

    /// `S_net`; negative where the payouts exceed the stake.
    pub(super) fn net_stake(&self) -> BigInt {
        let others = self.check_pay(&self.max) + self.jury_budget() + &self.gas;
        &self.stake - self.compensation() - others
    }

    /// What a juror or an auditor must be paid at least: `C·M + G`.
    pub(super) fn recomputation(&self) -> BigInt {
        self.work() + &self.gas
    }

    /// `C·M`.
    pub(super) fn work(&self) -> BigInt {
        &self.cost * &self.max
    }

    /// Whether any response may be audited.
    pub(super) fn is_audited(&self) -> bool {
        self.audit_fixed > BigInt::ZERO || self.audit_unit > BigInt::ZERO
    }
}
