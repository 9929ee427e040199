//! The part about one pool: its conditions, what they leave open, and what agents earn in it.

use assay_protocol::PoolParams;
use num_rational::BigRational;
use num_traits::ToPrimitive;

use super::{
    Chart, Part, Subject, Table,
    chart::{Axis, Line, lines, short},
    percent, row,
};
use crate::{
    conditions::{self, Condition, Inequality, Unit},
    design::{self, Design},
    risks::{self, Burst, Figure, verdicts},
    simulate::{Estimate, Policy, Setup, SetupError, best_response, replicator, run},
};

/// Share of the servers that deviate in the tables of agents.
const DEVIATING: f64 = 0.1;
/// Standard errors on each side of a mean.
const WIDE: f64 = 3.0;

pub(super) fn parts(s: &Subject) -> Result<Vec<Part>, SetupError> {
    Ok(vec![
        Part::Table(conditions_table(&s.params, s.period, &s.file)),
        Part::Table(risks_table(&s.params, &s.file)),
        frontier(s),
        detection(s),
        juries(),
        bursts(),
        agents(s)?,
        broken(s)?,
        learners(s)?,
        population(s)?,
    ])
}

fn number(x: &BigRational) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// Amounts in millionths of a token with 18 decimals, so that tables stay readable.
fn micro(amount: f64) -> String {
    short(amount / 1e12)
}

fn side(value: &BigRational, unit: Unit) -> String {
    match unit {
        Unit::Token => micro(number(value)),
        Unit::Seconds | Unit::Number => short(number(value)),
        Unit::Share => percent(number(value), 4),
    }
}

/// Why a condition's margin is worth what it says.
fn assumption(condition: Condition) -> &'static str {
    match condition {
        Condition::Domain => "",
        Condition::Deterrence => "r and g are true; users or audits challenge",
        Condition::Forfeiture => "C and g are true",
        Condition::PositiveBurn => "",
        Condition::Coverage => "",
        Condition::Participation => "C is true, gas costs no more than the allowance",
        Condition::Windows => "the chain takes transactions within the windows",
        Condition::Bond => "",
        Condition::Jury => "r is true for jurors too",
        Condition::Audits => "",
    }
}

/// Every enforced inequality with its margin; amounts in millionths of a token.
pub fn conditions_table(params: &PoolParams, period: u64, file: &str) -> Table {
    let mut rows = Vec::new();
    for result in conditions::check(params, period) {
        let broken: Vec<&Inequality> = result.inequalities.iter().filter(|i| !i.holds()).collect();
        // Of Domain, only what is broken: the rest says that numbers are numbers.
        let shown: Vec<_> =
            if result.condition == Condition::Domain { broken } else { result.inequalities.iter().collect() };
        for i in shown {
            rows.push(vec![
                format!("{:?}", result.condition),
                i.formula.to_owned(),
                side(&i.left, i.unit),
                side(&i.right, i.unit),
                side(&i.margin(), i.unit),
                if i.holds() { "yes" } else { "NO" }.to_owned(),
                assumption(result.condition).to_owned(),
            ]);
        }
        if !result.accepted && result.holds() {
            rows.push(row([
                &format!("{:?}", result.condition),
                "as the contract rounds probabilities",
                "",
                "",
                "",
                "NO",
                "",
            ]));
        }
    }
    Table {
        title: "Enforced conditions".to_owned(),
        note:
            "Amounts in millionths of a token (18 decimals). The last column names what the margin rests on."
                .to_owned(),
        command: format!("assay economics check {file}"),
        header: row(["condition", "inequality", "left", "right", "margin", "holds", "if"]),
        rows,
    }
}

/// What nothing enforces.
pub fn risks_table(params: &PoolParams, file: &str) -> Table {
    let mut rows = Vec::new();
    for risk in risks::of(params) {
        for (i, (name, figure)) in risk.figures.iter().enumerate() {
            let value = match figure {
                Figure::Token(x) => micro(number(x)),
                Figure::Share(x) => percent(number(x), 3),
                Figure::Holds(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            };
            let (what, assumption) = if i == 0 { (risk.name, risk.assumption) } else { ("", "") };
            rows.push(vec![what.to_owned(), (*name).to_owned(), value, assumption.to_owned()]);
        }
    }
    Table {
        title: "What nothing enforces".to_owned(),
        note: "Amounts in millionths of a token.".to_owned(),
        command: format!("assay economics check {file}"),
        header: row(["risk", "figure", "value", "rests on"]),
        rows,
    }
}

fn frontier(s: &Subject) -> Part {
    let all: Vec<Design> = design::frontier(&s.params, s.period, 60);
    let share = |d: &Design| d.rate as f64 / 2f64.powi(64);
    let tokens = |d: &Design| d.stake as f64 / 1e18;
    let points: Vec<_> = all.iter().map(|d| (share(d), tokens(d))).collect();
    let low = points.iter().map(|p| p.1).fold(f64::MAX, f64::min).max(1e-9);
    let high = points.iter().map(|p| p.1).fold(low * 2.0, f64::max);
    let least = points.iter().map(|p| p.0).fold(1.0, f64::min).min(0.5);
    let most = points.iter().map(|p| p.0).fold(least * 2.0, f64::max);
    Part::Chart(Chart {
        title: "The smallest stake that the contract accepts".to_owned(),
        note: "All else as in the pool. Where the line ends on the right, base fees no longer pay for the checks; where it is flat, payouts and not deterrence set the stake.".to_owned(),
        command: format!("assay economics report {} --seed {}", s.file, s.seed),
        name: "frontier",
        svg: lines(
            &Axis::logarithmic("challenge rate p", least, most),
            &Axis::logarithmic("stake, tokens", low, high),
            &[Line { name: "least stake".to_owned(), points }],
        ),
    })
}

fn detection(s: &Subject) -> Part {
    let share = f64::from(s.params.rates.collusion) / 1_000.0;
    let rows = [1.0, 0.1, 0.0625, 0.01, 0.007_35, 0.001]
        .into_iter()
        .map(|p| {
            let caught: f64 = p * (1.0 - share);
            let after = |chance: f64| ((1.0 - chance).ln() / (1.0 - caught).ln()).ceil().max(1.0);
            let show = |n: f64| format!("{n:.0}");
            vec![
                percent(p, 3),
                show((1.0 / caught).ceil()),
                show(after(0.5)),
                show(after(0.95)),
                show(after(0.99)),
                percent(p, 3),
            ]
        })
        .collect();
    Part::Table(Table {
        title: "How long a cheat goes on, and what finding it costs".to_owned(),
        note: format!(
            "Wrong answers until one meets an honest validator, with r = {share}; work is what all honest servers compute in addition."
        ),
        command: "assay economics report --text".to_owned(),
        header: row(["p", "mean", "half", "95 %", "99 %", "extra work"]),
        rows,
    })
}

fn juries() -> Part {
    let mut rows = Vec::new();
    for size in [5, 9, 15, 31] {
        for (name, colluding) in [("1/5", 200), ("3/10", 300), ("1/3", 333), ("1/2", 500)] {
            if let Some(v) = verdicts(1_000, colluding, 0, size) {
                rows.push(vec![
                    size.to_string(),
                    name.to_owned(),
                    percent(number(&v.right), 4),
                    percent(number(&v.framed), 4),
                    percent(number(&v.none), 4),
                ]);
            }
        }
    }
    Part::Table(Table {
        title: "Juries at r = 1/5 to 1/2".to_owned(),
        note: "Drawn without replacement from a thousand seats. Above a third, colluders block; at a half, they frame as often as the honest convict.".to_owned(),
        command: "assay economics report --text".to_owned(),
        header: row(["jurors", "r", "right", "framed", "no verdict"]),
        rows,
    })
}

fn bursts() -> Part {
    let ratio = |a: i64, b: i64| BigRational::new(a.into(), b.into());
    let threshold = ratio(1, 1) / (ratio(9, 10) * ratio(1_512, 10));
    let line = |name: &str, forfeiture| {
        let burst = Burst {
            reward: ratio(12, 10),
            cost: ratio(1, 1),
            stake: ratio(150, 1),
            caught: &threshold * ratio(105, 100) * ratio(9, 10),
            forfeiture,
        };
        let points = (1..=40).map(|k| (f64::from(k), number(&burst.gain(k)))).collect();
        Line { name: name.to_owned(), points }
    };
    Part::Chart(Chart {
        title: "Many wrong answers at once".to_owned(),
        note: "The paper's numbers, at a rate 5 % above Proposition 1's. With rewards kept, thirteen lies pay; with forfeiture none do.".to_owned(),
        command: "assay economics report POOL.toml".to_owned(),
        name: "bursts",
        svg: lines(
            &Axis::linear("wrong answers at once", 1.0, 40.0),
            &Axis::linear("gain beyond honesty, in C", -20.0, 6.0),
            &[line("rewards kept", false), line("rewards forfeited", true)],
        ),
    })
}

fn setup(s: &Subject, requests: u64) -> Setup {
    Setup { requests, seed: s.seed, ..Setup::honest(s.params.clone(), s.period) }
}

fn interval(e: Estimate) -> String {
    format!("{} ± {}", micro(e.mean), micro(WIDE * e.error))
}

fn verdict(e: Estimate) -> String {
    let text = if e.is_above_zero(WIDE) {
        "PAYS"
    } else if e.mean < -WIDE * e.error {
        "loses"
    } else {
        "no difference"
    };
    text.to_owned()
}

fn agents(s: &Subject) -> Result<Part, SetupError> {
    let mut rows = Vec::new();
    for (name, policy) in Policy::named().into_iter().skip(1) {
        let out = run(&setup(s, s.requests).among(name, DEVIATING, &policy))?;
        let g = &out.groups[1];
        let advantage = out.advantage(1);
        rows.push(vec![
            name.to_owned(),
            g.answers.to_string(),
            g.lies.to_string(),
            g.disputes.to_string(),
            g.convictions.to_string(),
            interval(advantage),
            verdict(advantage),
            if out.is_conserved { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    Ok(Part::Table(Table {
        title: "Agents among honest servers".to_owned(),
        note: format!(
            "A tenth of the servers deviate, {} requests each. Advantage: what a request brings beyond an honest server's, in millionths of a token, three standard errors on each side. Bribing users is what no condition stops where audits are off.",
            s.requests
        ),
        command: format!(
            "assay economics simulate {} --agents all --requests {} --seed {}",
            s.file, s.requests, s.seed
        ),
        header: row(["agent", "answers", "lies", "disputes", "convictions", "advantage", "", "adds up"]),
        rows,
    }))
}

fn broken(s: &Subject) -> Result<Part, SetupError> {
    let always = Policy { lie: 1.0, inflate: true, ..Policy::HONEST };
    let mut rows = Vec::new();
    let mut show = |condition: &str, how: &str, attack: &str, result: String| {
        rows.push(vec![condition.to_owned(), how.to_owned(), attack.to_owned(), result]);
    };
    let least = design::least_rate(&s.params, s.period).ok();
    if let Some(least) = least {
        let mut all = setup(s, s.requests).with("lying", DEVIATING, always.clone());
        all.params = design::with_rate(&s.params, (least / 100).max(1));
        show(
            "Deterrence",
            "a hundredth of the least safe rate",
            "always lies",
            interval(run(&all)?.advantage(1)),
        );
    }
    let mut all = setup(s, s.requests).with("lying", DEVIATING, always.clone());
    let safe = run(&all)?;
    all.params = design::with_stake(&s.params, s.params.prices.gasAllowance.to::<u128>());
    let unsafe_ = run(&all)?;
    let each = |out: &crate::simulate::Outcome| {
        micro(out.to_openers as f64 / (out.groups[1].convictions.max(1)) as f64)
    };
    show(
        "Coverage",
        "a stake of one gas allowance",
        "lies; whoever shows it pays the jury",
        format!("the opener gets {} instead of {} a conviction", each(&unsafe_), each(&safe)),
    );
    let burst = Policy { burst: 5_000, ..always };
    let mut all = setup(s, s.requests).with("burst", 0.02, burst);
    all.requests_a_second = 200.0;
    // Near the edge of what a single lie may gain.
    all.params = design::with_rate(&s.params, least.map_or(s.params.rates.challengeFixed, |p| p / 100 * 105));
    let with = run(&all)?.advantage(1);
    all.forfeiture = false;
    let without = run(&all)?.advantage(1);
    show(
        "Forfeiture",
        "convictions leave rewards alone",
        "many lies at once",
        format!("{} instead of {}", interval(without), interval(with)),
    );
    (all.forfeiture, all.hesitation) = (true, u64::from(s.params.windows.dispute));
    let late = run(&all)?.advantage(1);
    let period = u32::try_from(s.period).unwrap_or(u32::MAX);
    (all.params.windows.vesting, all.params.windows.epoch, all.params.windows.lag) = (1, period, 0);
    show(
        "Windows",
        "pay vests for one round, disputes come at the end of their window",
        "many lies at once, paid before",
        format!("{} instead of {}", interval(run(&all)?.advantage(1)), interval(late)),
    );
    let grinding = Policy { grind: 100, lie: 1.0, inflate: true, ..Policy::HONEST };
    let mut all = setup(s, s.requests).with("grinding", DEVIATING, grinding);
    let hidden = run(&all)?.advantage(1);
    all.foreseen = true;
    let known = run(&all)?.advantage(1);
    show(
        "hidden tickets",
        "a ticket known when the answer is signed",
        "signs the one of 100 versions that is not drawn",
        format!("{} instead of {}", interval(known), interval(hidden)),
    );
    let mut free = s.params.clone();
    (free.prices.feeFixed, free.prices.feeUnit) = Default::default();
    let m = u64::from(s.params.limits.maxUnits);
    show(
        "PositiveBurn",
        "no base fee",
        "serves itself",
        format!(
            "earns {} instead of losing {} a response",
            micro(-number(&risks::self_dealing_loss(&free, m))),
            micro(number(&risks::self_dealing_loss(&s.params, m)))
        ),
    );
    let amount = |x: u128| micro(x as f64);
    let work = s.params.prices.costUnit.to::<u128>() * u128::from(s.params.limits.maxUnits);
    show(
        "Participation",
        "jurors paid nothing and fined nothing",
        "jurors stay away",
        format!(
            "working at the largest response loses {}, instead of earning {}",
            amount(work),
            amount(s.params.prices.jurorPay.to::<u128>().saturating_sub(work))
        ),
    );
    show(
        "Bond",
        "no bond",
        "a new user answers no claim",
        format!(
            "its first check, {}, is not paid, and the validator's work, {}, is lost",
            micro(s.params.check(m).to::<u128>() as f64),
            amount(work)
        ),
    );
    if let Some(v) = verdicts(1_000, 450, 0, u64::from(s.params.limits.firstJury)) {
        show(
            "Jury",
            "r = 0.45 instead of below 1/3",
            "frames the honest",
            format!("{} of first juries", percent(number(&v.framed), 1)),
        );
    }
    Ok(Part::Table(Table {
        title: "Each condition broken on its own".to_owned(),
        note: "What the attack that it guards against then brings; amounts in millionths of a token."
            .to_owned(),
        command: "assay economics report --text".to_owned(),
        header: row(["condition", "broken by", "attack", "result"]),
        rows,
    }))
}

fn learners(s: &Subject) -> Result<Part, SetupError> {
    let mut rows = Vec::new();
    for (name, colludes) in [("alone", false), ("colluding", true)] {
        let share = if colludes { f64::from(s.params.rates.collusion) / 1_000.0 } else { DEVIATING };
        let found = best_response(&setup(s, (s.requests / 20).max(2_000)), share, colludes, 200)?;
        let p = &found.policy;
        rows.push(vec![
            name.to_owned(),
            found.tried.to_string(),
            format!(
                "lies {} from {} units{}, checks: {:?}, votes: {:?}",
                percent(p.lie, 3),
                p.lie_from,
                if p.burst > 0 { format!(" in bursts of {}", p.burst) } else { String::new() },
                p.check,
                p.vote
            ),
            interval(found.advantage),
            verdict(found.advantage),
        ]);
    }
    Ok(Part::Table(Table {
        title: "What learning agents find".to_owned(),
        note: "The best of the policies tried, judged on requests that the search did not see.".to_owned(),
        command: format!("assay economics simulate {} --learn --requests {}", s.file, s.requests),
        header: row(["", "tried", "best policy found", "advantage", ""]),
        rows,
    }))
}

fn population(s: &Subject) -> Result<Part, SetupError> {
    let policies: Vec<_> = Policy::named()
        .into_iter()
        .filter(|(_, p)| !p.colludes && p.bribe == 0.0)
        .filter(|(name, _)| {
            ["honest", "lying", "downgrading", "lazy validator", "vote-copying"].contains(name)
        })
        .collect();
    let history = replicator(&setup(s, (s.requests / 20).max(2_000)), &policies, 30, 0.5)?;
    let line = |(i, (name, _)): (usize, &(&'static str, Policy))| Line {
        name: (*name).to_owned(),
        points: history.iter().enumerate().map(|(t, g)| (t as f64, g.shares[i])).collect(),
    };
    let all: Vec<_> = policies.iter().enumerate().map(line).collect();
    Ok(Part::Chart(Chart {
        title: "A population that copies what pays".to_owned(),
        note: "Replicator dynamics from equal shares, profits from simulations.".to_owned(),
        command: format!("assay economics report {} --seed {}", s.file, s.seed),
        name: "population",
        svg: lines(&Axis::linear("generation", 0.0, 30.0), &Axis::linear("share of servers", 0.0, 1.0), &all),
    }))
}
