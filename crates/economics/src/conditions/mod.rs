//! The conditions that a pool must meet to be created, decided twice: by the formulas of docs/ECONOMICS.md without any
//! rounding, and by the rule of the contract `Conditions`, bit for bit.
//!
//! The two differ only in how they take the probabilities of Deterrence and Jury, which the contract bounds from the safe
//! side; so it refuses every pool that the exact formulas refuse.
//!
//! Amounts that move between accounts are integers by definition: `S/3` and `d·u·m` are rounded down in both.

mod probability;
mod rules;
mod symbols;

use assay_protocol::PoolParams;
use num_bigint::BigInt;
use num_rational::BigRational;

use probability::Rule;

/// A condition; its number is that of the contract's enum and of the sections of docs/ECONOMICS.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Condition {
    /// Every parameter is in its range.
    Domain = 0,
    /// A liar loses more than it gains, for every size.
    Deterrence = 1,
    /// Many wrong answers at once gain nothing either.
    Forfeiture = 2,
    /// Self-dealing loses money.
    PositiveBurn = 3,
    /// A conviction covers its payouts and burns 2J.
    Coverage = 4,
    /// Honest servers, users, jurors and auditors earn.
    Participation = 5,
    /// Nothing leaves while it can still be claimed.
    Windows = 6,
    /// A user's bond pays its first checks and a dispute.
    Bond = 7,
    /// Colluders neither frame nor block often.
    Jury = 8,
    /// A redemption's reward carries its audits.
    Audits = 9,
}

impl Condition {
    /// All of them, in the order in which the contract decides them.
    pub const ORDER: [Self; 10] = [
        Self::Domain,
        Self::Coverage,
        Self::Deterrence,
        Self::Forfeiture,
        Self::PositiveBurn,
        Self::Participation,
        Self::Windows,
        Self::Bond,
        Self::Jury,
        Self::Audits,
    ];
}

/// What both sides of an inequality are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The token's smallest unit.
    Token,
    /// Seconds.
    Seconds,
    /// A pure number: counts, bytes, weights.
    Number,
    /// A probability or a share.
    Share,
}

/// One inequality of a condition, `left > right` or `left ≥ right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inequality {
    /// In the symbols of docs/ECONOMICS.md.
    pub formula: &'static str,
    /// Of both sides.
    pub unit: Unit,
    /// What the parameters give.
    pub left: BigRational,
    /// What the condition asks for.
    pub right: BigRational,
    /// Whether equality breaks it.
    pub strict: bool,
}

impl Inequality {
    /// `left − right`; negative where the inequality is broken.
    pub fn margin(&self) -> BigRational {
        &self.left - &self.right
    }

    /// Whether it is met.
    pub fn holds(&self) -> bool {
        if self.strict { self.left > self.right } else { self.left >= self.right }
    }
}

/// One condition, decided for one set of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionResult {
    /// Which.
    pub condition: Condition,
    /// Its inequalities with exact probabilities. That of Deterrence stands at the size where its margin is least.
    pub inequalities: Vec<Inequality>,
    /// Whether the contract's rule accepts it.
    pub accepted: bool,
}

impl ConditionResult {
    /// Whether the exact formulas accept it.
    pub fn holds(&self) -> bool {
        self.inequalities.iter().all(Inequality::holds)
    }
}

/// Every condition for `params` with its margins, in the contract's order. `period` is the number of seconds between two
/// rounds of the pool's beacon. If Domain is broken the others have no meaning and are left out.
pub fn check(params: &PoolParams, period: u64) -> Vec<ConditionResult> {
    let decide = |condition| ConditionResult {
        condition,
        inequalities: rules::inequalities(condition, params, period, Rule::Exact),
        accepted: is_accepted(condition, params, period),
    };
    let domain = decide(Condition::Domain);
    if !domain.holds() {
        return vec![domain];
    }
    std::iter::once(domain).chain(Condition::ORDER.into_iter().skip(1).map(decide)).collect()
}

/// The condition that `Pools.create` names when it refuses `params`; nothing if it accepts them. `period` as in [`check`].
pub fn first_broken(params: &PoolParams, period: u64) -> Option<Condition> {
    Condition::ORDER.into_iter().find(|condition| !is_accepted(*condition, params, period))
}

/// Whether the contract's rule accepts `condition`, which must be one that does not depend on the beacon's period (all but
/// Domain and Windows do not). Domain must hold.
pub fn accepts(params: &PoolParams, condition: Condition) -> bool {
    is_accepted(condition, params, 1)
}

fn is_accepted(condition: Condition, params: &PoolParams, period: u64) -> bool {
    rules::inequalities(condition, params, period, Rule::Contract).iter().all(Inequality::holds)
}

fn whole(number: impl Into<BigInt>) -> BigRational {
    BigRational::from_integer(number.into())
}
