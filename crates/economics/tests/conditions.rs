//! The conditions against numbers by hand, against every size, and against the contract.

#![allow(clippy::unwrap_used, reason = "clippy sees tests, but not their helpers")]

mod differential;

use alloy_primitives::{Address, aliases::U96};
use assay_economics::conditions::{Condition, ConditionResult, Inequality, check, first_broken};
use assay_protocol::{B256, Basis, Limits, PoolParams, Prices, Rates, Windows};
use num_bigint::BigInt;
use num_rational::BigRational;

const HALF: u128 = 1 << 63;
const ONE: u128 = 1 << 64;
const MAX_WINDOW: u32 = 366 * 24 * 60 * 60;

fn basis() -> Basis {
    let [token, beacon, arbiter] = [1, 2, 3].map(Address::repeat_byte);
    Basis { token, beacon, arbiter, modelRoot: B256::repeat_byte(4) }
}

fn amount(n: u64) -> U96 {
    U96::from(n)
}

/// The pool of docs/ECONOMICS.md in millionths of a token, with a period of one second.
fn pool() -> PoolParams {
    PoolParams {
        basis: basis(),
        prices: Prices {
            seatStake: amount(500_000),
            seatFloat: amount(10_000),
            rewardFixed: amount(20),
            rewardUnit: amount(3),
            feeFixed: amount(20),
            feeUnit: amount(4),
            costUnit: amount(1),
            checkFixed: amount(20),
            outsideGain: amount(20),
            gasAllowance: amount(100),
            freezePrice: amount(200),
            jurorPay: amount(1_500),
            jurorPenalty: amount(1_500),
            checkCap: amount(500_000),
            minBond: amount(200_000),
            auditPay: amount(0),
        },
        rates: Rates {
            challengeFixed: HALF,
            challengeUnit: 0,
            auditFixed: 0,
            auditUnit: 0,
            collusion: 200,
            discount: 100,
        },
        limits: Limits {
            maxUnits: 1_000,
            maxInputBytes: 16_384,
            promptWeight: 1,
            outputWeight: 2,
            stride: 1,
            redraws: 3,
            setSize: 3,
            auditSize: 0,
            firstJury: 5,
            secondJury: 15,
        },
        windows: Windows {
            epoch: 5,
            request: 30,
            answer: 3,
            claim: 12,
            dispute: 15,
            publish: 8,
            commit: 8,
            propose: 8,
            audit: 0,
            vesting: 75,
            unbonding: 140,
            voucher: 60,
            exit: 90,
            lag: 0,
        },
    }
}

/// The same with an audit of two validators for one response in a thousand.
fn audited_pool() -> PoolParams {
    let mut p = pool();
    p.prices.auditPay = amount(1_100);
    p.prices.rewardFixed = amount(35);
    p.rates.auditFixed = ONE / 1_000;
    p.limits.auditSize = 2;
    p.windows.audit = 4;
    p.windows.vesting = 86; // 15 + 8 + 3 · 16 + 4 + 11
    p.windows.unbonding = 146;
    p
}

/// What `p` makes of a condition.
fn result(p: &PoolParams, condition: Condition) -> ConditionResult {
    check(p, 1).into_iter().find(|result| result.condition == condition).unwrap()
}

fn ratio(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(numerator.into(), denominator.into())
}

#[test]
fn shipped_pools_are_accepted_and_exactly_so() {
    #[derive(serde::Deserialize)]
    struct File {
        prices: Prices,
        rates: Rates,
        limits: Limits,
        windows: Windows,
    }
    let mut seen = 0;
    for entry in std::fs::read_dir("../../pools").unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let File { prices, rates, limits, windows } = toml::from_str(&text).unwrap();
        let params = PoolParams { basis: basis(), prices, rates, limits, windows };
        assert_eq!(first_broken(&params, 1), None);
        assert!(check(&params, 1).iter().all(ConditionResult::holds));
        seen += 1;
    }
    assert!(seen > 0);
}

/// The devnet's column of docs/ECONOMICS.md.
#[test]
fn margins_are_those_of_the_document() {
    let p = pool();
    let order: Vec<_> = check(&p, 1).iter().map(|result| result.condition).collect();
    assert_eq!(order, Condition::ORDER);
    let first = |condition| result(&p, condition).inequalities[0].clone();
    // 500,000 − (166,666 + 7,040 + 4,020 + 3,020 + 30,000 + 100)
    assert_eq!(first(Condition::Coverage).left, ratio(289_154, 1));
    assert_eq!(first(Condition::Forfeiture).margin(), ratio(2, 1));
    // 4 − (3 + 0.1 · 4)/2, 20 − 20/2
    let burn = result(&p, Condition::PositiveBurn);
    assert_eq!(burn.inequalities[0].margin(), ratio(23, 10));
    assert_eq!(burn.inequalities[1].margin(), ratio(10, 1));
    // 200,000 − (7,040 + 20 · 3,420)
    assert_eq!(first(Condition::Bond).margin(), ratio(124_560, 1));
    let windows: Vec<_> =
        result(&p, Condition::Windows).inequalities.iter().map(Inequality::margin).collect();
    assert_eq!(windows[..7], [9, 5, 92, 0, 45, 0, 0].map(|margin| ratio(margin, 1)));
    // P_frame of five is 21/3125: 0.8 · 30,000 · (1 − P) against P · (2 · (166,666 + 11,060) + 30,000).
    let jury = first(Condition::Jury);
    assert_eq!(jury.left, ratio(24_000 * 3_104, 3_125));
    assert_eq!(jury.right, ratio(385_452 * 21, 3_125));
    // The largest response is the worst: 0.8 · (1 − 0.26272 · v2)/2 · (3,020 + 289,154), v2 = 0.06105…
    let deterrence = first(Condition::Deterrence);
    assert_eq!(deterrence.right, ratio(3_040, 1));
    assert!(
        deterrence.left > ratio(114_994, 1) && deterrence.left < ratio(114_996, 1),
        "{}",
        deterrence.left
    );
}

/// Each line breaks one condition by one unit, and says what the last accepted value is where there is one.
#[test]
fn every_condition_is_decided_to_the_last_unit() {
    type Change = fn(&mut PoolParams);
    let broken = |start: PoolParams, change: Change| {
        let mut p = start;
        change(&mut p);
        first_broken(&p, 1)
    };
    let refused: [(Condition, Change); 44] = [
        (Condition::Domain, |p| p.basis.token = Address::ZERO),
        (Condition::Domain, |p| p.limits.maxUnits = 0),
        (Condition::Domain, |p| p.limits.maxUnits = (1 << 24) + 1),
        (Condition::Domain, |p| p.limits.promptWeight = 0),
        (Condition::Domain, |p| p.limits.secondJury = 5),
        (Condition::Domain, |p| p.rates.collusion = 334),
        (Condition::Domain, |p| p.rates.collusion = u16::MAX),
        (Condition::Domain, |p| p.rates.challengeFixed = 0),
        (Condition::Domain, |p| p.rates.challengeFixed = ONE + 1),
        (Condition::Domain, |p| p.rates.challengeUnit = u128::MAX),
        (Condition::Domain, |p| p.rates.auditFixed = ONE + 1),
        (Condition::Domain, |p| p.rates.auditUnit = ONE / 1_000), // with 1/1000 fixed, just above one
        (Condition::Domain, |p| p.rates.auditUnit = u128::MAX),
        (Condition::Domain, |p| p.limits.auditSize = 0),
        (Condition::Domain, |p| p.limits.auditSize = 17),
        (Condition::Domain, |p| p.windows.epoch = 0),
        (Condition::Coverage, |p| p.prices.seatStake = amount(156_291)),
        (Condition::Deterrence, |p| p.rates.challengeFixed = ONE / 200),
        (Condition::Forfeiture, |p| p.prices.outsideGain = amount(38)),
        (Condition::PositiveBurn, |p| p.prices.checkFixed = amount(36)), // 18 + 2.2 > 20
        (Condition::PositiveBurn, |p| p.prices.auditPay = amount(5_001)), // 10 + 10.002 > 20
        (Condition::PositiveBurn, |p| {
            (p.prices.auditPay, p.rates.auditUnit) = (amount(4_600), ONE / 4_000 + 1); // 1.7 + 2.3 ≥ 4
        }),
        (Condition::Participation, |p| p.prices.jurorPay = amount(1_099)),
        (Condition::Participation, |p| p.prices.jurorPenalty = amount(1_000)),
        (Condition::Participation, |p| p.prices.auditPay = amount(1_099)),
        (Condition::Participation, |p| p.rates.discount = 0),
        (Condition::Windows, |p| p.windows.vesting = 85),
        (Condition::Windows, |p| p.windows.lag = 1),
        (Condition::Windows, |p| (p.windows.audit, p.windows.publish) = (0, 12)),
        (Condition::Windows, |p| p.windows.unbonding = 145),
        (Condition::Windows, |p| p.windows.exit = 89), // 30 + 60
        (Condition::Windows, |p| (p.windows.request, p.windows.exit) = (129, 200)), // 129 + 3 + 15 = 147
        (Condition::Windows, |p| (p.windows.voucher, p.windows.exit) = (1, 44)), // 30 + 3 + 12
        (Condition::Windows, |p| p.windows.voucher = 0),
        (Condition::Windows, |p| p.windows.request = 0),
        (Condition::Windows, |p| p.windows.commit = 1),
        (Condition::Windows, |p| p.windows.unbonding = MAX_WINDOW + 1),
        (Condition::Windows, |p| p.windows.exit = MAX_WINDOW + 1),
        (Condition::Windows, |p| p.windows.epoch = MAX_WINDOW + 1),
        (Condition::Bond, |p| p.prices.checkCap = amount(34_199)), // 10 · 3,420 - 1
        (Condition::Bond, |p| p.prices.minBond = amount(75_454)),
        (Condition::Jury, |p| (p.rates.collusion, p.prices.jurorPay) = (333, amount(1_300))),
        (Condition::Audits, |p| p.prices.rewardFixed = amount(32)), // (30,000 + 2 · 1,100)/1000 = 32.2
        (Condition::Audits, |p| p.rates.auditUnit = ONE * 3 / 32_200 + 1),
    ];
    for (i, (condition, change)) in refused.into_iter().enumerate() {
        assert_eq!(broken(audited_pool(), change), Some(condition), "{i}");
    }
    let accepted: [Change; 20] = [
        |_| (),
        |p| p.limits.auditSize = 1,
        |p| p.prices.seatStake = amount(156_292), // its third is rounded down
        |p| p.prices.outsideGain = amount(37),
        |p| p.prices.checkFixed = amount(35),
        |p| p.prices.auditPay = amount(2_500), // (30,000 + 2 · 2,500)/1000 = 35
        |p| p.rates.auditUnit = ONE * 3 / 32_200,
        |p| p.rates.collusion = 333,
        |p| p.prices.jurorPay = amount(1_100),
        |p| p.prices.jurorPenalty = amount(1_001),
        |p| p.windows.epoch = 1,
        |p| (p.windows.request, p.windows.exit) = (128, 200), // 128 + 3 + 15 = 146
        |p| (p.windows.voucher, p.windows.exit) = (1, 45),
        |p| p.windows.commit = 2,
        |p| p.windows.unbonding = MAX_WINDOW,
        |p| (p.windows.exit, p.windows.epoch) = (MAX_WINDOW, MAX_WINDOW),
        |p| p.prices.checkCap = amount(34_200),
        |p| p.prices.minBond = amount(75_455),
        |p| (p.rates.challengeFixed, p.rates.challengeUnit) = (HALF - 1_000, 1),
        // Without audits nothing asks for their size, pay and window.
        |p| {
            (p.rates.auditFixed, p.limits.auditSize, p.prices.auditPay) = (0, 255, amount(0));
            p.windows.audit = 0;
        },
    ];
    for (i, change) in accepted.into_iter().enumerate() {
        assert_eq!(broken(audited_pool(), change), None, "{i}");
    }
    let mut p = audited_pool();
    (p.windows.epoch, p.windows.vesting, p.windows.unbonding) = (2, 97, 157);
    assert_eq!(first_broken(&p, 2), None);
    assert_eq!(first_broken(&p, 3), Some(Condition::Domain), "the epoch is shorter than a period");
    p.windows.vesting = 96;
    assert_eq!(first_broken(&p, 2), Some(Condition::Windows), "eleven rounds of margin");
}

/// Each inequality that counts the lag, at its edge while the others hold.
#[test]
fn the_lag_counts_in_each_window_to_the_last_second() {
    let mut p = audited_pool();
    (p.windows.lag, p.windows.epoch) = (5, 5);
    (p.windows.vesting, p.windows.unbonding) = (86 + 4 * 5, 146 + 4 * 5);
    p.windows.exit = 5 + 30 + 60;
    assert_eq!(first_broken(&p, 1), None);
    let broken = |change: fn(&mut PoolParams)| {
        let mut p = p.clone();
        change(&mut p);
        first_broken(&p, 1)
    };
    assert_eq!(broken(|p| p.windows.vesting -= 1), Some(Condition::Windows));
    assert_eq!(broken(|p| p.windows.exit -= 1), Some(Condition::Windows));
    assert_eq!(broken(|p| p.windows.epoch -= 1), Some(Condition::Domain));
    // A late order, and a late delivery of its answer.
    p.windows.voucher = 1;
    p.windows.exit = 5 + 30 + 5 + 3 + 12;
    assert_eq!(first_broken(&p, 1), None);
    p.windows.exit -= 1;
    assert_eq!(first_broken(&p, 1), Some(Condition::Windows));
    p.windows.exit += 1;
    p.windows.request = 200;
    p.windows.exit += 170;
    p.windows.unbonding = 200 + 5 + 3 + 15;
    assert_eq!(first_broken(&p, 1), None);
    p.windows.unbonding -= 1;
    assert_eq!(first_broken(&p, 1), Some(Condition::Windows));
}

#[test]
fn a_beacon_has_a_period() {
    assert_eq!(first_broken(&pool(), 0), Some(Condition::Domain));
}

/// Without its domain a pool has no probabilities.
#[test]
fn outside_the_domain_nothing_else_is_decided() {
    let mut p = pool();
    (p.rates.collusion, p.limits.firstJury, p.limits.secondJury) = (u16::MAX, 0, 0);
    let [only] = check(&p, u64::MAX).try_into().unwrap();
    assert_eq!(only.condition, Condition::Domain);
    assert!(!only.holds() && !only.accepted);
}

/// Nobody colludes, so framing never succeeds; the contract takes a chance of 2^-64, which for a stake so large is too much.
#[test]
fn the_contract_may_refuse_what_the_formulas_accept() {
    let mut p = pool();
    p.rates.collusion = 0;
    p.prices.seatStake = U96::MAX;
    p.prices.jurorPay = amount(1 << 32);
    let jury = result(&p, Condition::Jury);
    assert!(jury.holds() && jury.accepted);
    p.prices.jurorPay = amount(1);
    let jury = result(&p, Condition::Jury);
    assert!(jury.holds() && !jury.accepted);
}

/// The margin of Deterrence at `m`, for juries of 5 and 15, straight from the formula.
fn deterrence_at(p: &PoolParams, net: &BigRational, m: u32) -> BigRational {
    let whole = |n: U96| BigRational::from_integer(BigInt::from(n.to::<u128>()));
    let (r, size) = (ratio(p.rates.collusion.into(), 1_000), ratio(m.into(), 1));
    let one = ratio(1, 1);
    let at_least = |k: i32, choose: &[i64]| -> BigRational {
        let n = choose.len() as i32 - 1;
        (k..=n).map(|i| ratio(choose[i as usize], 1) * r.pow(i) * (&one - &r).pow(n - i)).sum()
    };
    let first = at_least(2, &[1, 5, 10, 10, 5, 1]);
    let second =
        at_least(6, &[1, 15, 105, 455, 1365, 3003, 5005, 6435, 6435, 5005, 3003, 1365, 455, 105, 15, 1]);
    let rate = BigRational::new(
        BigInt::from(p.rates.challengeFixed) + BigInt::from(p.rates.challengeUnit) * m,
        ONE.into(),
    );
    let pay = whole(p.prices.rewardFixed) + whole(p.prices.rewardUnit) * size;
    rate * (&one - &r) * (one - first * second) * (&pay + net) - pay - whole(p.prices.outsideGain)
}

#[test]
fn deterrence_stands_at_the_worst_of_all_sizes() {
    let mut worst_at = [0; 3]; // the smallest, one between, the largest
    for (p0, p1, pay_unit, pay_fixed) in (0..256).map(|i: u64| (i % 4, i / 4 % 4, i / 16 % 4, i / 64)) {
        let mut p = pool();
        p.limits.maxUnits = 40;
        p.prices.seatStake = amount(900_000);
        p.rates.challengeFixed = ONE / [10_000, 500, 90, 7][p0 as usize];
        p.rates.challengeUnit = [0, ONE / 100_000, ONE / 410, ONE / 120][p1 as usize];
        p.prices.rewardUnit = amount([0, 3, 1_000, 3_000][pay_unit as usize]);
        p.prices.rewardFixed = amount([0, 20, 5_000, 90_000][pay_fixed as usize]);
        let net = result(&p, Condition::Coverage).inequalities[0].left.clone();
        let margins: Vec<_> = (1..=40).map(|m| deterrence_at(&p, &net, m)).collect();
        let least = margins.iter().min().unwrap();
        let found = result(&p, Condition::Deterrence);
        assert_eq!(found.inequalities[0].margin(), *least, "{p0} {p1} {pay_unit} {pay_fixed}");
        worst_at[match margins.iter().position(|margin| margin == least) {
            Some(0) => 0,
            Some(39) => 2,
            _ => 1,
        }] += 1;
    }
    assert!(worst_at.iter().all(|count| *count > 5), "{worst_at:?}");
}

/// As the example `conditions-differential`, which compares a hundred times as many.
#[test]
fn the_contract_decides_as_the_crate_does() {
    let report = differential::compare(2_000, 293, 7);
    assert_eq!(report.disagreements, 0, "{:#?}", report.shown);
    assert_eq!(report.laxer, 0);
    for condition in Condition::ORDER {
        assert!(report.edges.contains_key(&format!("{condition:?}")), "no edge of {condition:?}");
    }
}
