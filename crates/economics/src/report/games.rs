//! The part about the paper: its numbers, and its claims computed.

use num_rational::BigRational;
use num_traits::{One, ToPrimitive};

use super::{
    Chart, Part, Table,
    chart::{Axis, Line, lines, map},
    percent, row,
};
use crate::{
    chances::binomial_tail,
    paper::{Optimistic, Sampling},
};

const COMMAND: &str = "assay economics report --text";

fn ratio(a: i64, b: i64) -> BigRational {
    BigRational::new(a.into(), b.into())
}

fn number(x: &BigRational) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// A fraction near `x`, for points of a chart.
fn near(x: f64) -> BigRational {
    BigRational::from_float(x).unwrap_or_default()
}

/// `C = 1, R = 1.2, S = 150`.
fn example(validators: u64, collusion: BigRational) -> Sampling {
    Sampling { validators, ..Sampling::single(ratio(1, 1), ratio(12, 10), ratio(150, 1), collusion) }
}

pub(super) fn parts() -> Vec<Part> {
    vec![
        thresholds(),
        optimistic(),
        payoffs(),
        over_collusion(),
        over_stake(),
        practicality(),
        beside_others(),
    ]
}

fn thresholds() -> Part {
    let rows = (1..=3)
        .map(|n| {
            let at = |tenths| {
                let p = example(n, ratio(tenths, 10)).threshold();
                p.map_or("none".to_owned(), |p| percent(number(&p), 6))
            };
            vec![n.to_string(), at(0), at(1), at(3), at(5)]
        })
        .collect();
    Part::Table(Table {
        title: "Theorem 1: the challenge rate above which honesty is dominant".to_owned(),
        note: "At R = 1.2 C and S = 150 C, by validators n and colluding share r. Proposition 1 is n = 1, r = 0.1: 0.735 %."
            .to_owned(),
        command: COMMAND.to_owned(),
        header: row(["n", "r = 0", "r = 0.1", "r = 0.3", "r = 0.5"]),
        rows,
    })
}

fn opml() -> Optimistic {
    Optimistic { cost: ratio(1, 1), reward: ratio(12, 10), stake: ratio(150, 1), catch_reward: ratio(100, 1) }
}

fn optimistic() -> Part {
    let game = opml();
    let solved = game.game().mixed_equilibria();
    let found = solved.first().filter(|_| solved.len() == 1).map(|e| (&e.chances[0][0], &e.chances[1][0]));
    let one = |formula: &str, closed: BigRational, solver: Option<BigRational>| {
        let solver = solver.map_or("none".to_owned(), |x| percent(number(&x), 5));
        vec![formula.to_owned(), percent(number(&closed), 5), solver]
    };
    let undetected = found.map(|(check, fraud)| fraud * (BigRational::one() - check));
    Part::Table(Table {
        title: "opML's only equilibrium is mixed: some fraud goes undetected".to_owned(),
        note: "At R_C = 100 C. The solver enumerates supports and finds no other equilibrium.".to_owned(),
        command: COMMAND.to_owned(),
        header: row(["", "closed form", "solver"]),
        rows: vec![
            one("P(check) = C/(S+R)", game.check_chance(), found.map(|f| f.0.clone())),
            one("P(fraud) = C/(R_C+C)", game.fraud_chance(), found.map(|f| f.1.clone())),
            one("undetected fraud", game.undetected(), undetected),
        ],
    })
}

fn payoffs() -> Part {
    let (x, y) = (Axis::linear("challenge rate p", 0.0, 0.015), Axis::linear("payoff, in C", -1.5, 1.5));
    let game = example(1, ratio(1, 10));
    let line = |name: &str, of: &dyn Fn(&BigRational) -> BigRational| Line {
        name: name.to_owned(),
        points: x.values(30).map(|p| (p, number(&of(&near(p))))).collect(),
    };
    Part::Chart(Chart {
        title: "Payoffs over the challenge rate".to_owned(),
        note:
            "An asserter with a tenth of the stake on its side. The lines cross at Proposition 1's 0.735 %."
                .to_owned(),
        command: "assay economics report POOL.toml".to_owned(),
        name: "payoffs",
        svg: lines(&x, &y, &[line("honest", &|p| game.honest(p)), line("cheating", &|p| game.cheat(p))]),
    })
}

const REGIONS: [&str; 2] = ["honesty is dominant", "cheating pays"];

fn over_collusion() -> Part {
    let (x, y) =
        (Axis::linear("colluding share r", 0.0, 0.9), Axis::logarithmic("challenge rate p", 0.001, 1.0));
    let safe = |n: u64, r: f64, p: f64| example(n, near(r)).threshold().is_some_and(|least| near(p) > least);
    Part::Chart(Chart {
        title: "Equilibria over p and r".to_owned(),
        note: "How many validators make honesty dominant, at R = 1.2 C and S = 150 C.".to_owned(),
        command: "assay economics report POOL.toml".to_owned(),
        name: "regions-collusion",
        svg: map(&x, &y, &["one validator does", "three do", "five do", "five don't"], |r, p| {
            [1, 3, 5].into_iter().position(|n| safe(n, r, p)).unwrap_or(3)
        }),
    })
}

fn over_stake() -> Part {
    let (x, y) =
        (Axis::logarithmic("stake S, in C", 1.0, 10_000.0), Axis::logarithmic("challenge rate p", 1e-4, 1.0));
    Part::Chart(Chart {
        title: "Equilibria over p and S".to_owned(),
        note: "One validator, r = 0.1. Along the edge p(1 − r)(R + S) = C.".to_owned(),
        command: "assay economics report POOL.toml".to_owned(),
        name: "regions-stake",
        svg: map(&x, &y, &REGIONS, |stake, p| {
            let game = Sampling::single(ratio(1, 1), ratio(12, 10), near(stake), ratio(1, 10));
            usize::from(game.threshold().is_none_or(|least| near(p) <= least))
        }),
    })
}

/// The smallest S with `p·caught·(pay + S_net) > pay + g`, where `S_net = S − (S/3 + fee + base + pay + J)` and the base fee is
/// the pay: all in units of K, what computing the largest request costs.
fn least_stake(gain: f64, jurors: f64, caught: f64) -> f64 {
    let (p, pay) = (0.01, 1.2);
    let net = (pay + gain) / (p * caught) - pay;
    1.5 * (net + 4.0 * pay + jurors)
}

fn practicality() -> Part {
    let blocked = |size: u64, least: u64| number(&binomial_tail(size, least, &ratio(3, 10)));
    let both = 0.7 * (1.0 - blocked(5, 2) * blocked(15, 6));
    let line = |name: &str, gain: f64| {
        let of = |jurors, caught| format!("{:.0} K", least_stake(gain, jurors, caught));
        vec![name.to_owned(), of(15.0, 0.7), of(20.0, both)]
    };
    Part::Table(Table {
        title: "How large a stake must be".to_owned(),
        note: "In K, the cost of computing the largest request ($0.004 for a small model); p = 1 %, r = 0.3, pay and base fee 1.2 K each, a juror paid K. Gas is left out, and sets the floor of real pools."
            .to_owned(),
        command: COMMAND.to_owned(),
        header: row(["outside gain", "one jury of 15 that is never blocked", "juries of 5 and 15, blocked as drawn"]),
        rows: vec![line("0", 0.0), line("10 K", 10.0)],
    })
}

fn beside_others() -> Part {
    let p = example(1, ratio(1, 10)).threshold().map_or(f64::NAN, |p| number(&p));
    Part::Table(Table {
        title: "opML, zkML and sampling side by side".to_owned(),
        note: "The first two as the paper describes them; zkML's proof time is printed there for a 1M-parameter nanoGPT.".to_owned(),
        command: COMMAND.to_owned(),
        header: row(["", "opML", "zkML", "sampling (spML)"]),
        rows: vec![
            vec![
                "equilibrium".to_owned(),
                format!("mixed: {} undetected fraud", percent(number(&opml().undetected()), 2)),
                "proof is sound".to_owned(),
                "honesty alone, dominant".to_owned(),
            ],
            vec![
                "extra work".to_owned(),
                format!("{} of answers checked", percent(number(&opml().check_chance()), 2)),
                "16 minutes a proof".to_owned(),
                format!("{} of answers recomputed", percent(p, 2)),
            ],
            row(["delay", "a fraud-proof window", "the proof", "none for the answer; pay vests later"]),
            row(["what is assumed", "somebody checks", "cryptography", "collusion below r, a fair beacon"]),
            row(["the model's size", "any", "small", "any"]),
        ],
    })
}
