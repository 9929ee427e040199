//! Designs lie on the edge: what is found is accepted, one unit less is not.

#![allow(clippy::panic, reason = "clippy sees tests, but not their helpers")]

use alloy_primitives::{Address, aliases::U96};
use assay_economics::{
    conditions::{Condition, first_broken},
    design::{
        Design, Infeasible, Prices, cheapest, frontier, least_rate, least_stake, with_rate, with_stake,
    },
    report::{self, Part},
};
use assay_protocol::{B256, Basis, Limits, PoolParams, Rates, Windows};

#[derive(serde::Deserialize)]
struct File {
    prices: assay_protocol::Prices,
    rates: Rates,
    limits: Limits,
    windows: Windows,
}

fn pool(text: &str) -> PoolParams {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
    let [token, beacon, arbiter] = [1, 2, 3].map(Address::repeat_byte);
    let basis = Basis { token, beacon, arbiter, modelRoot: B256::repeat_byte(4) };
    PoolParams { basis, prices: file.prices, rates: file.rates, limits: file.limits, windows: file.windows }
}

fn pools() -> [(PoolParams, u64); 3] {
    [
        (pool(include_str!("../../../pools/devnet.toml")), 1),
        (pool(include_str!("../../../pools/sepolia.toml")), 3),
        (pool(include_str!("../../../pools/op-sepolia.toml")), 3),
    ]
}

#[test]
fn the_least_stake_and_rate_are_the_edge() {
    for (p, period) in pools() {
        let stake = least_stake(&p, period).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(first_broken(&with_stake(&p, stake), period), None);
        assert!(first_broken(&with_stake(&p, stake - 1), period).is_some());
        let rate = least_rate(&p, period).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(first_broken(&with_rate(&p, rate), period), None);
        assert_eq!(first_broken(&with_rate(&p, rate - 1), period), Some(Condition::Deterrence));
    }
}

#[test]
fn the_cheapest_design_is_accepted_and_no_dearer_than_its_neighbours() {
    for (p, period) in pools() {
        let prices = Prices { capital_a_response: 1e-6, units: 100 };
        let (best, price) = cheapest(&p, period, prices).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(first_broken(&with_stake(&with_rate(&p, best.rate), best.stake), period), None);
        for other in frontier(&p, period, 300) {
            assert!(prices.of(&p, other) >= price * 0.999, "{other:?} is cheaper than {best:?}");
        }
        // Free capital: as few checks as can be; dear capital: as small a stake.
        let least = |capital| {
            cheapest(&p, period, Prices { capital_a_response: capital, units: 100 }).map(|(d, _)| d)
        };
        let (free, dear) = (least(0.0), least(1.0));
        let rate = |d: &Result<Design, Infeasible>| d.as_ref().map_or(0, |d| d.rate);
        assert!(rate(&free) < rate(&dear), "{free:?} {dear:?}");
    }
}

#[test]
fn what_is_infeasible_says_why_and_what_is_near() {
    let (p, period) = (pool(include_str!("../../../pools/sepolia.toml")), 3);
    let stake = least_stake(&with_rate(&p, 1 << 64), period);
    // The fees pay for no check of everything.
    assert_eq!(stake, Err(Infeasible::Broken(Condition::PositiveBurn)));

    let least = |p: &PoolParams| least_stake(p, period);
    let poor = with_stake(&p, 1_000);
    let Err(Infeasible::NoRate { least_stake: enough }) = least_rate(&poor, period) else {
        panic!("a rate was found")
    };
    assert!(
        first_broken(&with_stake(&with_rate(&p, 1 << 64), enough), period) != Some(Condition::Deterrence)
    );

    let mut greedy = p.clone();
    greedy.prices.outsideGain = U96::MAX;
    assert_eq!(least_stake(&greedy, period), Err(Infeasible::NoStake));

    let mut cheap = p.clone();
    cheap.prices.feeUnit = U96::from(20_000_000_000u64);
    let Err(Infeasible::TooManyChecks { rate, most }) = least_rate(&cheap, period) else {
        panic!("fees sufficed")
    };
    assert!(most < rate);
    assert_ne!(first_broken(&with_rate(&cheap, most), period), Some(Condition::PositiveBurn));
    assert!(least_rate(&with_rate(&cheap, most + 1), period).is_err());

    let mut odd = p.clone();
    odd.limits.maxUnits = 0;
    assert_eq!(least(&odd), Err(Infeasible::Broken(Condition::Domain)));

    // Colluders with a third of the seats frame small juries too often for so large a stake.
    let mut small = with_rate(&p, 1 << 57);
    (small.limits.firstJury, small.limits.secondJury, small.rates.collusion) = (3, 4, 330);
    let Err(Infeasible::TooMuchStake { broken, least_stake }) = least(&small) else {
        panic!("{:?}", least(&small))
    };
    assert_eq!(broken, Condition::Jury);
    assert_eq!(first_broken(&with_stake(&small, least_stake), period), Some(Condition::Jury));
}

#[test]
fn the_report_is_whole_and_the_same_for_the_same_seed() {
    let subject = report::Subject {
        params: pool(include_str!("../../../pools/sepolia.toml")),
        period: 3,
        file: "pools/sepolia.toml".to_owned(),
        requests: 5_000,
        seed: 9,
    };
    let parts = report::parts(&subject).unwrap_or_else(|error| panic!("{error}"));
    let text = report::text(&parts);
    for known in ["0.734862 %", "0.98355 %", "Deterrence", "burst-cheating", "What learning agents find"] {
        assert!(text.contains(known), "{known}");
    }
    for part in &parts {
        match part {
            Part::Table(t) => {
                assert!(!t.rows.is_empty() && !t.command.is_empty(), "{}", t.title);
                assert!(t.rows.iter().all(|row| row.len() == t.header.len()), "{}", t.title);
            }
            Part::Chart(c) => assert!(c.svg.contains("<path d=\"M") || c.svg.contains("<rect"), "{}", c.name),
            Part::Heading(_) => {}
        }
    }
    let html = report::html(&parts);
    assert_eq!(html.matches("<table>").count(), html.matches("</table>").count());
    assert!(
        !html.contains("http://")
            || html.matches("http").count() == html.matches("http://www.w3.org/2000/svg").count()
    );
    assert_eq!(report::parts(&subject), Ok(parts));
}
