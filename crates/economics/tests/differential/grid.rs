//! Exhaustive small grids: every combination of a few values of many parameters.

use alloy_primitives::U256;

use super::set::{Set, field};

/// The values of one parameter.
type Axis = (&'static str, Vec<u128>);

const HALF: u128 = 1 << 63;
const ONE: u128 = 1 << 64;

/// Every `step`-th point of each large grid, and all of the small ones.
pub(crate) fn points(step: usize) -> impl Iterator<Item = Set> {
    let large = [money(), audits(), windows(), juries()].map(|axes| (axes, step));
    large.into_iter().chain([(ranges(), 1), (deterrence_ties(), 1), (jury_ties(), 1)]).flat_map(
        |(axes, step)| {
            let size: usize = axes.iter().map(|(_, values)| values.len()).product();
            (0..size).step_by(step).map(move |index| point(&axes, index))
        },
    )
}

fn point(axes: &[Axis], mut index: usize) -> Set {
    axes.iter().fold(smallest(), |set, (name, values)| {
        let value = values[index % values.len()];
        index /= values.len();
        set.with(field(name), U256::from(value))
    })
}

/// A pool of the smallest numbers there are, which is accepted.
pub(crate) fn smallest() -> Set {
    let values: [(&str, u128); 40] = [
        ("token", 1 << 20),
        ("beacon", 1 << 20),
        ("arbiter", 1 << 20),
        ("seatStake", 50),
        ("seatFloat", 2),
        ("rewardFixed", 1),
        ("rewardUnit", 1),
        ("feeFixed", 1),
        ("feeUnit", 2),
        ("costUnit", 1),
        ("checkFixed", 1),
        ("outsideGain", 1),
        ("gasAllowance", 0),
        ("jurorPay", 1),
        ("jurorPenalty", 2),
        ("minBond", 200),
        ("checkCap", 64),
        ("auditPay", 1),
        ("challengeFixed", HALF),
        ("collusion", 1),
        ("discount", 1),
        ("maxUnits", 1),
        ("maxInputBytes", 1),
        ("promptWeight", 1),
        ("outputWeight", 1),
        ("stride", 1),
        ("setSize", 1),
        ("auditSize", 1),
        ("firstJury", 3),
        ("secondJury", 4),
        ("epoch", 1),
        ("request", 1),
        ("answer", 1),
        ("claim", 1),
        ("dispute", 2),
        ("publish", 1),
        ("commit", 2),
        ("propose", 1),
        ("voucher", 1),
        ("exit", 5),
    ];
    let spare = [("vesting", 24), ("unbonding", 25), ("period", 1)];
    values
        .into_iter()
        .chain(spare)
        .fold(Set::empty(), |set, (name, value)| set.with(field(name), U256::from(value)))
}

fn money() -> Vec<Axis> {
    vec![
        ("seatStake", vec![35, 40, 45, 52]),
        ("rewardFixed", vec![0, 1, 2]),
        ("rewardUnit", vec![0, 1, 2]),
        ("feeFixed", vec![0, 1]),
        ("feeUnit", vec![0, 1, 2, 3]),
        ("costUnit", vec![0, 1]),
        ("checkFixed", vec![0, 1]),
        ("outsideGain", vec![0, 1, 2]),
        ("jurorPay", vec![0, 1]),
        ("challengeFixed", vec![0, 1, HALF / 8, HALF, ONE]),
        ("challengeUnit", vec![0, HALF / 2]),
        ("maxUnits", vec![1, 2]),
        ("minBond", vec![50, 200]),
        ("checkCap", vec![19, 20, 64]),
    ]
}

fn audits() -> Vec<Axis> {
    vec![
        ("auditFixed", vec![0, 1, HALF, ONE - 1, ONE, ONE + 1]),
        ("auditUnit", vec![0, 1, HALF, ONE - 1, ONE, ONE + 1]),
        ("auditSize", vec![0, 1, 2, 16, 17]),
        ("auditPay", vec![0, 1, 2]),
        ("rewardFixed", vec![0, 1, 9]),
        ("gasAllowance", vec![0, 1]),
        ("jurorPay", vec![1, 2]),
        ("maxUnits", vec![1, 2]),
        ("feeFixed", vec![1, 2, 18]),
        ("feeUnit", vec![2, 3, 18]),
        ("audit", vec![0, 1]),
        ("seatStake", vec![50, 400]),
        ("vesting", vec![20, 23, 24]),
    ]
}

fn windows() -> Vec<Axis> {
    vec![
        ("auditFixed", vec![0, 1]),
        ("stride", vec![0, 1]),
        ("period", vec![0, 1]),
        ("epoch", vec![0, 1, 2]),
        ("redraws", vec![0, 1]),
        ("answer", vec![0, 1]),
        ("claim", vec![0, 1, 2]),
        ("dispute", vec![1, 2, 3]),
        ("publish", vec![0, 1]),
        ("commit", vec![1, 2]),
        ("propose", vec![0, 1]),
        ("audit", vec![0, 1]),
        ("request", vec![0, 1, 20]),
        ("vesting", vec![19, 20, 24, 30]),
        ("unbonding", vec![21, 25, 31]),
        ("exit", vec![4, 5, 6, 7, 27]),
        ("lag", vec![0, 1]),
    ]
}

fn juries() -> Vec<Axis> {
    vec![
        ("collusion", (0..=340).collect()),
        ("firstJury", (2..=12).collect()),
        ("secondJury", (3..=16).collect()),
        ("seatStake", vec![160, 400]),
        ("minBond", vec![400]),
    ]
}

/// The ends of the ranges of Domain, in a pool that is accepted at all of them.
fn ranges() -> Vec<Axis> {
    vec![
        ("maxUnits", vec![1 << 24, (1 << 24) + 1]),
        ("maxInputBytes", vec![1 << 16, (1 << 16) + 1]),
        ("promptWeight", vec![1 << 16, (1 << 16) + 1]),
        ("outputWeight", vec![1 << 16, (1 << 16) + 1]),
        ("setSize", vec![32, 33]),
        ("discount", vec![1_000, 1_001]),
        ("costUnit", vec![0]),
        ("rewardUnit", vec![0]),
        ("jurorPay", vec![1_000]),
        ("seatStake", vec![1 << 27]),
        ("minBond", vec![1 << 30]),
        ("checkCap", vec![1 << 30]),
    ]
}

/// Deterrence with nothing to spare: nobody colludes and all is checked, so the contract takes the chance of a conviction for
/// `1 − 2^-32`. Where a response pays `20·2^32 − 20` and `S_net` is 20, that is what it loses and what it gains.
fn deterrence_ties() -> Vec<Axis> {
    let pay = 20 * ((1 << 32) - 1);
    let stake = 128_849_018_902;
    vec![
        ("collusion", vec![0]),
        ("challengeFixed", vec![ONE - 1, ONE]),
        ("rewardFixed", (pay - 3..=pay + 1).collect()),
        ("seatStake", (stake - 6..=stake + 6).collect()),
        ("outsideGain", vec![0, 1, 2]),
        ("minBond", vec![1 << 40]),
    ]
}

/// Framing with nothing to spare: nobody colludes, so the contract takes its chance for 2^-64. It loses as much as it gains where
/// `S/3 + fee + base = (2^63 − 1)·J`; here J is 7, and fee and base are 8.
fn jury_ties() -> Vec<Axis> {
    let stake = 3 * (7 * ((1 << 63) - 1) - 8);
    vec![("collusion", vec![0]), ("seatStake", (stake - 6..=stake + 6).collect())]
}

#[test]
fn the_small_grids_lie_on_edges() {
    assert_eq!(smallest().broken(), None);
    for axes in [ranges(), deterrence_ties(), jury_ties()] {
        let size: usize = axes.iter().map(|(_, values)| values.len()).product();
        let accepted = (0..size).filter(|index| point(&axes, *index).broken().is_none()).count();
        assert!(accepted > 0 && accepted < size, "{axes:?}");
    }
}
