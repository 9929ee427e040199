//! The cheapest parameters that the conditions accept.

use assay_protocol::PoolParams;

use crate::conditions::{Condition, accepts, first_broken};

/// Largest amount that a parameter can hold.
const MOST: u128 = (1 << 96) - 1;
const RATE_ONE: u128 = 1 << 64;

/// Why there is no such design, with the nearest one that there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Infeasible {
    /// Something else than stake and rate is wrong: no value of them helps.
    #[error("{0:?} is broken whatever stake and challenge rate are")]
    Broken(Condition),
    /// The stake is too small for any rate up to 1.
    #[error(
        "no challenge rate up to 1 is safe with this stake; the smallest stake that is safe at rate 1 is {least_stake}"
    )]
    NoRate {
        /// In the token's smallest unit.
        least_stake: u128,
    },
    /// No stake that a parameter can hold is safe at this rate.
    #[error("no stake below 2^96 is safe at this challenge rate")]
    NoStake,
    /// Stakes that deter make framing pay: the jury is too small, or colludes too much.
    #[error("{broken:?} is broken at the smallest stake that deters, {least_stake}, and at any larger one")]
    TooMuchStake {
        /// What a larger stake breaks.
        broken: Condition,
        /// In the token's smallest unit.
        least_stake: u128,
    },
    /// Base fees pay for no more checks than this.
    #[error("a challenge rate of {rate} of 2^64 would be safe, but base fees pay for {most} at most")]
    TooManyChecks {
        /// The smallest safe rate, a fraction of 2^64.
        rate: u128,
        /// The largest that Positive burn accepts, a fraction of 2^64.
        most: u128,
    },
}

/// A pair of stake and constant challenge rate that the contract accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Design {
    /// In the token's smallest unit.
    pub stake: u128,
    /// A fraction of 2^64.
    pub rate: u128,
}

/// The smallest stake of a seat with which the contract accepts `params`, all else as it is.
///
/// # Errors
/// [`Infeasible`]: the stake alone can't make the pool safe.
pub fn least_stake(params: &PoolParams, period: u64) -> Result<u128, Infeasible> {
    // Both grow with the stake; no other condition asks for more of it.
    let deters = |stake| {
        let p = with_stake(params, stake);
        accepts(&p, Condition::Coverage) && accepts(&p, Condition::Deterrence)
    };
    domain(params, period)?;
    let stake = least(0, MOST, deters).ok_or(Infeasible::NoStake)?;
    match first_broken(&with_stake(params, stake), period) {
        None => Ok(stake),
        Some(broken @ Condition::Jury) => Err(Infeasible::TooMuchStake { broken, least_stake: stake }),
        Some(broken) => Err(Infeasible::Broken(broken)),
    }
}

/// The smallest constant challenge rate (p1 = 0) with which the contract accepts `params`, as a fraction of 2^64.
///
/// # Errors
/// [`Infeasible`]: the rate alone can't make the pool safe.
pub fn least_rate(params: &PoolParams, period: u64) -> Result<u128, Infeasible> {
    let at = |rate| with_rate(params, rate);
    domain(&at(RATE_ONE), period)?;
    if !accepts(&at(RATE_ONE), Condition::Coverage) || !accepts(&at(RATE_ONE), Condition::Deterrence) {
        let deters = |stake| {
            let p = with_stake(&at(RATE_ONE), stake);
            accepts(&p, Condition::Coverage) && accepts(&p, Condition::Deterrence)
        };
        let least_stake = least(0, MOST, deters).ok_or(Infeasible::NoStake)?;
        return Err(Infeasible::NoRate { least_stake });
    }
    let rate = least(1, RATE_ONE, |rate| accepts(&at(rate), Condition::Deterrence)).unwrap_or(RATE_ONE);
    match first_broken(&at(rate), period) {
        None => Ok(rate),
        Some(Condition::PositiveBurn) => {
            let unaffordable = least(1, rate, |rate| !accepts(&at(rate), Condition::PositiveBurn));
            Err(Infeasible::TooManyChecks { rate, most: unaffordable.unwrap_or(rate) - 1 })
        }
        Some(broken) => Err(Infeasible::Broken(broken)),
    }
}

/// What a design costs: recomputing the share that is checked, and the capital that lies in seats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Interest on a seat's stake over the time in which it answers once, as a share of it.
    pub capital_a_response: f64,
    /// Units of a typical response.
    pub units: u32,
}

impl Prices {
    /// What one response costs beyond computing it, in the token's smallest unit.
    pub fn of(&self, params: &PoolParams, design: Design) -> f64 {
        let cost = params.prices.costUnit.to::<u128>() as f64 * f64::from(self.units);
        design.rate as f64 / RATE_ONE as f64 * cost + design.stake as f64 * self.capital_a_response
    }
}

/// The smallest safe stake at rates from 1 down to 2^-20, `steps` of them in geometric order, with those that are infeasible left
/// out.
pub fn frontier(params: &PoolParams, period: u64, steps: u32) -> Vec<Design> {
    (0..steps)
        .filter_map(|step| {
            let exponent = 20.0 * f64::from(step) / f64::from(steps.saturating_sub(1).max(1));
            let rate = ((RATE_ONE as f64) * (-exponent).exp2()) as u128;
            least_stake(&with_rate(params, rate), period).ok().map(|stake| Design { stake, rate })
        })
        .collect()
}

/// The cheapest safe design, and what it costs a response. The cost has one minimum over the rate, which is found to a
/// thousandth.
///
/// # Errors
/// What hinders the design at the rate of `params`, where no rate has one.
pub fn cheapest(params: &PoolParams, period: u64, prices: Prices) -> Result<(Design, f64), Infeasible> {
    let coarse = frontier(params, period, 200);
    let price = |design: &Design| prices.of(params, *design);
    let Some(start) = coarse.iter().copied().min_by(|a, b| price(a).total_cmp(&price(b))) else {
        return Err(least_stake(params, period).err().unwrap_or(Infeasible::NoStake));
    };
    let around = (-100i32..=100).filter_map(|step| {
        let rate = ((start.rate as f64) * (1.0 + f64::from(step) / 1_000.0)) as u128;
        let rate = rate.clamp(1, RATE_ONE);
        least_stake(&with_rate(params, rate), period).ok().map(|stake| Design { stake, rate })
    });
    let best = around.min_by(|a, b| price(a).total_cmp(&price(b))).unwrap_or(start);
    Ok((best, price(&best)))
}

/// `params` with another stake.
pub fn with_stake(params: &PoolParams, stake: u128) -> PoolParams {
    let mut p = params.clone();
    p.prices.seatStake = assay_protocol::U256::from(stake).to();
    p
}

/// `params` with a constant challenge rate, a fraction of 2^64.
pub fn with_rate(params: &PoolParams, rate: u128) -> PoolParams {
    let mut p = params.clone();
    (p.rates.challengeFixed, p.rates.challengeUnit) = (rate, 0);
    p
}

fn domain(params: &PoolParams, period: u64) -> Result<(), Infeasible> {
    match first_broken(params, period) {
        Some(Condition::Domain) => Err(Infeasible::Broken(Condition::Domain)),
        _ => Ok(()),
    }
}

/// The first number from `low` to `high` that meets a condition which, once met, stays met.
fn least(low: u128, high: u128, meets: impl Fn(u128) -> bool) -> Option<u128> {
    if !meets(high) {
        return None;
    }
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        if meets(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}
