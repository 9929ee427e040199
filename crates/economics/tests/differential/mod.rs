//! The contract against the crate: both must accept the same parameter sets, and name the same condition for all others.

#![allow(clippy::unwrap_used, reason = "clippy sees tests, but not their helpers")]

pub(crate) mod evm;
mod generate;
mod grid;
pub(crate) mod set;

use std::collections::BTreeMap;

use assay_economics::conditions::{Condition, ConditionResult, check};

use evm::{Registry, Verdict};
use generate::Generator;
use set::{FIELDS, NUMBERS, Set};

/// Disagreements that are written out; all are counted.
const SHOWN: usize = 4;

/// What was compared, and what came out.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Sets by where they come from.
    pub(crate) sets: BTreeMap<&'static str, u64>,
    /// Sets by what the crate says of them: accepted, or the first condition broken.
    pub(crate) verdicts: BTreeMap<String, u64>,
    /// Edges between the last accepted and the first refused value of one parameter, by the condition that refuses.
    pub(crate) edges: BTreeMap<String, u64>,
    /// The same by the parameter.
    pub(crate) edges_of: BTreeMap<&'static str, u64>,
    /// Sets of which contract and crate say different things, or which the contract refuses without a typed error.
    pub(crate) disagreements: u64,
    /// The first of them.
    pub(crate) shown: Vec<String>,
    /// Sets that the contract accepts and the exact formulas refuse.
    pub(crate) laxer: u64,
    /// Sets that the exact formulas accept and the contract, which rounds probabilities up, refuses.
    pub(crate) stricter: u64,
    /// Most gas that one call of `Pools.create` took.
    pub(crate) most_gas: u64,
}

/// Compares `count` random sets, about `count` adversarial ones, and every `step`-th point of the grids.
pub(crate) fn compare(count: u64, step: usize, seed: u64) -> Report {
    let mut run = Run { registry: Registry::new(), report: Report::default() };
    let mut generator = Generator::new(seed);
    random(&mut run, &mut generator, count);
    adversarial(&mut run, &mut generator, count);
    for set in grid::points(step) {
        run.decide("grid", &set);
    }
    run.report.most_gas = run.registry.most_gas;
    run.report
}

/// Pools that are accepted, their neighbours, and any numbers at all.
fn random(run: &mut Run, generator: &mut Generator, count: u64) {
    for _ in 0..count / 20 {
        let accepted = generator.accepted();
        run.decide("random", &accepted);
        for _ in 0..18 {
            run.decide("random", &generator.changed(&accepted));
        }
        run.decide("random", &generator.wild());
    }
}

/// Accepted pools with every parameter moved to its edges, and from there a second one; and with some at their types' limits.
fn adversarial(run: &mut Run, generator: &mut Generator, count: u64) {
    let mut turn = 0;
    while run.count(&["edge", "corner", "extreme"]) < count {
        let accepted = generator.accepted();
        for field in NUMBERS..FIELDS.len() {
            for up in [false, true] {
                let Some(edge) = run.edge("edge", &accepted, field, up) else { continue };
                // The second parameter wanders, so that in time all pairs meet.
                turn += 1;
                let second = NUMBERS + (field + turn) % (FIELDS.len() - NUMBERS);
                run.edge("corner", &edge, second, turn % 2 == 0);
            }
        }
        for _ in 0..40 {
            run.decide("extreme", &generator.extremes(&accepted));
        }
    }
}

struct Run {
    registry: Registry,
    report: Report,
}

impl Run {
    /// Sets of these kinds so far.
    fn count(&self, kinds: &[&str]) -> u64 {
        kinds.iter().filter_map(|kind| self.report.sets.get(kind)).sum()
    }

    /// Compares both sides of an edge and returns the accepted one.
    fn edge(&mut self, kind: &'static str, accepted: &Set, field: usize, up: bool) -> Option<Set> {
        let [last, first] = Generator::edge(accepted, field, up)?;
        self.decide(kind, &last);
        if let Some(condition) = self.decide(kind, &first) {
            *self.report.edges.entry(format!("{condition:?}")).or_default() += 1;
            *self.report.edges_of.entry(FIELDS[field].0).or_default() += 1;
        }
        Some(last)
    }

    /// Compares one set and returns what the crate says of it.
    fn decide(&mut self, kind: &'static str, set: &Set) -> Option<Condition> {
        let broken = set.broken();
        let expected = broken.map_or(Verdict::Accepted, |condition| Verdict::Refused(condition as u8));
        let verdict = self.registry.create(set);
        let report = &mut self.report;
        *report.sets.entry(kind).or_default() += 1;
        let name = broken.map_or("accepted".to_owned(), |condition| format!("{condition:?}"));
        *report.verdicts.entry(name).or_default() += 1;
        if verdict != expected {
            report.disagreements += 1;
            if report.shown.len() < SHOWN {
                report.shown.push(format!(
                    "{kind}: {verdict:?}, not {expected:?}: {:?} {}",
                    set.params(),
                    set.period()
                ));
            }
        }
        // Elsewhere the exact formulas have nothing to add.
        if matches!(broken, None | Some(Condition::Deterrence | Condition::Jury)) {
            let exact = check(&set.params(), set.period()).iter().all(ConditionResult::holds);
            report.laxer += u64::from(verdict == Verdict::Accepted && !exact);
            report.stricter += u64::from(verdict != Verdict::Accepted && exact);
        }
        broken
    }
}
