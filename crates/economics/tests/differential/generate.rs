//! Where parameter sets come from.

use alloy_primitives::U256;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::set::{FIELDS, NUMBERS, Set, field, largest};
use assay_economics::conditions::Condition;

/// Seeded, so that a run can be repeated.
pub(crate) struct Generator(StdRng);

fn int(n: u64) -> U256 {
    U256::from(n)
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number of at most `bits` bits, each length as likely as another.
    fn number(&mut self, bits: usize) -> U256 {
        match self.0.random_range(0..=bits) {
            0 => U256::ZERO,
            length => U256::from_limbs(self.0.random()) >> (256 - length) | U256::ONE << (length - 1),
        }
    }

    /// Zero one time in three: what just suffices.
    fn slack(&mut self, bits: usize) -> U256 {
        if self.0.random_ratio(1, 3) { U256::ZERO } else { self.number(bits) }
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        from[self.0.random_range(0..from.len())]
    }

    fn any_field(&mut self) -> usize {
        self.0.random_range(NUMBERS..FIELDS.len())
    }

    /// A value at or near a limit of `field`'s type or of a range in Domain.
    fn extreme(&mut self, field: usize) -> U256 {
        let near = match self.0.random_range(0..3) {
            0 => U256::ZERO,
            1 => largest(field),
            _ => U256::ONE << self.0.random_range(0..FIELDS[field].1),
        };
        let offset = self.0.random_range(0..3u64);
        (near.wrapping_add(int(offset)).wrapping_sub(U256::ONE)) & largest(field)
    }

    /// All fields at random.
    pub(crate) fn wild(&mut self) -> Set {
        (NUMBERS..FIELDS.len()).fold(self.addressed(), |set, i| {
            let value = self.number(FIELDS[i].1);
            set.with(i, value)
        })
    }

    /// One to three fields of `set` at random: anew, a little up or down, or by a factor.
    pub(crate) fn changed(&mut self, set: &Set) -> Set {
        (0..self.0.random_range(1..=3)).fold(set.clone(), |set, _| {
            let i = self.any_field();
            let old = set.get(i);
            let few = self.number(3);
            let value = match self.0.random_range(0..4) {
                0 => self.number(FIELDS[i].1),
                1 => old + few,
                2 => old.saturating_sub(few),
                _ => (old << self.0.random_range(0..4)) / int(3),
            };
            set.with(i, value.min(largest(i)))
        })
    }

    /// One to five fields of `set` at limits of their types, addresses too.
    pub(crate) fn extremes(&mut self, set: &Set) -> Set {
        (0..self.0.random_range(1..=5)).fold(set.clone(), |set, _| {
            if self.0.random_ratio(1, 50) {
                let missing = self.0.random_range(0..NUMBERS);
                return set.with(missing, U256::ZERO);
            }
            let i = self.any_field();
            let value = self.extreme(i);
            set.with(i, value)
        })
    }

    /// The last accepted value of `field` on the way from an accepted set to its smallest or largest value, and the first
    /// refused one beyond, by the crate. Nothing if even the extreme is accepted.
    pub(crate) fn edge(accepted: &Set, field: usize, up: bool) -> Option<[Set; 2]> {
        let extreme = if up { largest(field) } else { U256::ZERO };
        let (mut last, mut first) = (accepted.get(field), extreme);
        accepted.clone().with(field, first).broken()?;
        while last.abs_diff(first) > U256::ONE {
            let middle = (last + first) >> 1;
            let refused = accepted.clone().with(field, middle).broken().is_some();
            *(if refused { &mut first } else { &mut last }) = middle;
        }
        Some([last, first].map(|value| accepted.clone().with(field, value)))
    }

    /// A pool that the crate accepts. Sizes vary over their ranges, and many inequalities are met with nothing to spare.
    pub(crate) fn accepted(&mut self) -> Set {
        loop {
            let set = self.plausible();
            if let Some(set) = set.and_then(|set| self.with_enough_stake(set)) {
                return set;
            }
        }
    }

    /// Meets all conditions but, perhaps, those about the stake and the jurors' pay.
    fn plausible(&mut self) -> Option<Set> {
        let set = self.addressed();
        let set = self.with_sizes(set);
        let set = self.with_prices(set)?;
        Some(self.with_windows(set))
    }

    fn addressed(&mut self) -> Set {
        // Beyond the addresses of precompiled contracts.
        (0..NUMBERS).fold(Set::empty(), |set, i| {
            set.with(i, (U256::from_limbs(self.0.random()) & largest(i)) | int(1 << 20))
        })
    }

    fn with_sizes(&mut self, set: Set) -> Set {
        let most = self.pick(&[6, 15, 15, 40, 250]) as u64;
        let first = self.0.random_range(3..=4 + most / 3);
        let second = self.0.random_range(first + 1..=first + 1 + most / 2);
        let collusion = self.pick(&[0, 50, 200, 333]) as u64;
        fill(
            set,
            [
                ("maxUnits", self.number(24) + U256::ONE),
                ("maxInputBytes", self.number(16) + U256::ONE),
                ("promptWeight", self.number(16) + U256::ONE),
                ("outputWeight", self.number(16) + U256::ONE),
                ("stride", self.number(16).max(U256::ONE)),
                ("redraws", self.number(8)),
                ("setSize", self.number(5) + U256::ONE),
                ("firstJury", int(first)),
                ("secondJury", int(second)),
                ("collusion", int(self.0.random_range(0..=collusion))),
                ("discount", int(self.0.random_range(1..=1000))),
            ],
        )
    }

    fn with_prices(&mut self, set: Set) -> Option<Set> {
        let bits = self.pick(&[1, 3, 12, 30, 45]);
        let (max, d) = (set.get(field("maxUnits")), set.get(field("discount")));
        let cost = self.number(bits);
        let unit = cost + self.slack(bits);
        let mut fixed = self.number(bits);
        if unit == cost {
            fixed = fixed.max(U256::ONE);
        }
        let honest = unit + fixed - cost;
        let gain = honest - self.slack(bits).min(honest);
        let gas = self.number(bits);
        let needed = cost * max + gas;

        // Small, or close to one.
        let one = U256::ONE << 64;
        let rate = self.number(63) + U256::ONE;
        let rate = if self.0.random() { rate } else { one - rate };
        let slope = if self.0.random() { self.number(64).min(rate / max) } else { U256::ZERO };

        let audited: bool = self.0.random();
        let (mut audit_fixed, mut audit_unit, mut seats) = (U256::ZERO, U256::ZERO, self.number(8));
        let mut audit_pay = self.number(bits);
        if audited {
            seats = int(self.0.random_range(1..=16));
            let most = self.pick(&[1, 30, 64]);
            audit_unit = self.slack(most).min(one / max);
            audit_fixed = self.slack(most).min(one - audit_unit * max);
            audit_pay = needed + self.slack(bits);
        }
        let audits = seats * audit_pay;

        let thousand = int(1000);
        let kept: U256 = (thousand << 64_usize).checked_sub(rate * d).filter(|kept| !kept.is_zero())?;
        let fee_unit = thousand * (rate * unit + audit_unit * audits) / kept + U256::ONE + self.slack(bits);
        let check_fixed = self.number(bits);
        let fee_fixed = (rate * check_fixed + audit_fixed * audits).div_ceil(one) + self.slack(bits);
        let check = unit * max + check_fixed + fee_unit * max * d / thousand;
        let penalty = cost * max + U256::ONE + self.slack(bits);
        let set = fill(
            set,
            [
                ("seatFloat", penalty + self.slack(bits)),
                ("rewardFixed", fixed),
                ("rewardUnit", unit),
                ("feeFixed", fee_fixed),
                ("feeUnit", fee_unit),
                ("costUnit", cost),
                ("checkFixed", check_fixed),
                ("outsideGain", gain),
                ("gasAllowance", gas),
                ("freezePrice", self.number(bits)),
                ("jurorPay", (needed + self.slack(bits)).max(U256::ONE)),
                ("jurorPenalty", penalty),
                ("checkCap", check * int(10) + self.slack(bits)),
                ("auditPay", audit_pay),
                ("challengeFixed", rate - slope * max),
                ("challengeUnit", slope),
                ("auditFixed", audit_fixed),
                ("auditUnit", audit_unit),
                ("auditSize", seats),
            ],
        );
        Some(set)
    }

    fn with_windows(&mut self, set: Set) -> Set {
        let bits = self.pick(&[1, 4, 12, 18]);
        let audited = !(set.get(field("auditFixed")) | set.get(field("auditUnit"))).is_zero();
        let period = self.number(bits).max(U256::ONE);
        let lag = self.number(bits);
        let margin = (set.get(field("stride")) + int(10)) * period + int(4) * lag;
        let [answer, publish, propose, request, voucher] = [(); 5].map(|()| period + self.slack(bits));
        let commit = period * int(2) + self.slack(bits);
        let audit = if audited { period + self.slack(bits) } else { self.number(bits) };
        let checking = (set.get(field("redraws")) + U256::ONE) * answer;
        let claim = checking + self.slack(bits);
        let dispute = claim + answer + self.slack(bits);
        let ballots = (commit + propose) * int(if audited { 3 } else { 2 });
        let vesting = dispute + publish + ballots + audit + margin + self.slack(bits);
        let ticket = request + lag + (set.get(field("stride")) + int(2)) * period;
        let bonded = (voucher + vesting).max(ticket + dispute);
        let owing = lag + (request + voucher).max(ticket + claim);
        fill(
            set,
            [
                ("epoch", period.max(lag) + self.slack(bits)),
                ("request", request),
                ("answer", answer),
                ("claim", claim),
                ("dispute", dispute),
                ("publish", publish),
                ("commit", commit),
                ("propose", propose),
                ("audit", audit),
                ("vesting", vesting),
                ("unbonding", bonded + self.slack(bits)),
                ("voucher", voucher),
                ("exit", owing + self.slack(bits)),
                ("lag", lag),
                ("period", period),
            ],
        )
    }

    /// Raises the stake until it covers and deters, and the jurors' pay until framing does not pay. Nothing where no value does.
    fn with_enough_stake(&mut self, mut set: Set) -> Option<Set> {
        let spare = self.slack(60);
        let (stake, pay) = (field("seatStake"), field("jurorPay"));
        let at_maximum = |set: &Set| {
            let (p, m) = (set.params(), set.get(field("maxUnits")).to::<u64>());
            let bond = p.fee(m) + p.check(m) * int(20);
            let conviction = p.fee(m) + p.base_fee(m) + p.check_pay(m) + p.jury_budget() * int(3);
            (bond, (conviction + set.get(field("gasAllowance"))) * int(3) / int(2))
        };
        for _ in 0..80 {
            if (0..FIELDS.len()).any(|i| set.get(i) > largest(i)) {
                return None;
            }
            let (bond, covering) = at_maximum(&set);
            set = set.with(field("minBond"), bond + spare);
            if bond + spare > largest(field("minBond")) || covering > largest(stake) {
                return None;
            }
            let (raised, value) = match set.broken() {
                None => return Some(set),
                Some(Condition::Coverage) => (stake, covering.max(set.get(stake) + U256::ONE)),
                Some(Condition::Deterrence) => (stake, set.get(stake) << 1),
                Some(Condition::Jury) => (pay, set.get(pay) << 1),
                Some(Condition::Audits) => affordable(&set),
                Some(_) => return None,
            };
            set = set.with(raised, value);
        }
        None
    }
}

/// The first audit rate that the rewards don't carry, and the largest that they do.
fn affordable(set: &Set) -> (usize, U256) {
    let budget = set.get(field("auditSize")) * set.get(field("auditPay")) + set.params().jury_budget();
    let of = |reward| (set.get(field(reward)) << 64) / budget;
    let (rate, most) = (field("auditFixed"), of("rewardFixed"));
    if set.get(rate) > most { (rate, most) } else { (field("auditUnit"), of("rewardUnit")) }
}

fn fill<const N: usize>(set: Set, values: [(&str, U256); N]) -> Set {
    values.into_iter().fold(set, |set, (name, value)| set.with(field(name), value))
}
