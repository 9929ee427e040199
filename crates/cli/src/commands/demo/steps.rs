//! The steps of disputes, as they happen.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::U256;
use assay_chain::Change;
use tokio::sync::broadcast::error::RecvError;

use super::accounts::amount;
use crate::network::LocalNetwork;

/// Prints every step until aborted.
pub(crate) async fn print(network: Arc<LocalNetwork>, started: Instant) {
    let mut changes = network.follower.subscribe();
    loop {
        let change = match changes.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if let Some(text) = describe(&network, &change).await {
            println!("  {:>5.1} s  ⚖ {text}", started.elapsed().as_secs_f64());
        }
    }
}

async fn describe(network: &LocalNetwork, change: &Change) -> Option<String> {
    let index = network.follower.read().await;
    let owner = |seat: u64| {
        let owner = index.pool(network.pool).and_then(|p| p.owner_of(seat));
        owner.map_or_else(|| format!("seat {seat}"), |a| network.name_of(a))
    };
    let dispute = |subject| {
        let id = index.subjects.iter().find(|(_, s)| **s == subject).map_or(U256::ZERO, |(id, _)| *id);
        format!("dispute {id}")
    };
    let disputed = |response| {
        let found = index.disputes.values().find(|d| d.record.response == response);
        format!("dispute {}", found.map_or(U256::ZERO, |d| d.id))
    };
    Some(match change {
        Change::DisputeOpened { id, record, .. } => format!(
            "dispute {id} opened by {}: {} answered, {} recomputed another digest",
            network.name_of(record.opener),
            network.name_of(record.server),
            network.name_of(record.validator)
        ),
        Change::InputPublished { id, bytes } => format!("dispute {id} input published ({bytes} bytes)"),
        Change::JuryDrawn { subject, ballot, seats } => {
            let owners: Vec<String> = seats.iter().map(|s| owner(*s)).collect();
            format!("{} jury of ballot {ballot} drawn: {}", dispute(*subject), owners.join(", "))
        }
        Change::Committed { subject, ballot, position } => {
            let jury = index.juries.get(&(*subject, *ballot))?;
            let seat = *jury.seats.get(usize::try_from(*position).ok()?)?;
            format!("{} juror {} ({}) committed", dispute(*subject), position + 1, owner(seat))
        }
        Change::Decided { subject, digest, matching, .. } => {
            format!("{} D proposed and decided: {digest} ({matching} commitments open)", dispute(*subject))
        }
        Change::CaseVoid { subject } => format!("{} void", dispute(*subject)),
        Change::SeatSlashed { seat, amount: taken, .. } => {
            format!("slash: {} of {} (seat {seat})", amount(*taken), owner(*seat))
        }
        Change::VestingForfeited { server, amount: burnt } => {
            format!("{} forfeits {} vesting", network.name_of(*server), amount(*burnt))
        }
        Change::DisputeEnded { id, state, server_wrong, validator_wrong, slashed, burnt } => {
            let record = &index.disputes.get(id)?.record;
            let guilty = match (server_wrong, validator_wrong) {
                (true, true) => "both".to_owned(),
                (true, false) => network.name_of(record.server),
                _ => network.name_of(record.validator),
            };
            // Numbers of IDisputes.State.
            match state {
                3 => format!(
                    "dispute {id} verdict: {guilty} convicted; of {} slashed {} are burnt, the rest compensates user, \
                     finder and jury",
                    amount(*slashed),
                    amount(*burnt)
                ),
                4 => format!("dispute {id} verdict: both were right; the opener pays the jury"),
                5 => format!("dispute {id} void: two juries without a verdict"),
                6 => format!("dispute {id} dismissed: the input was not published"),
                _ => format!(
                    "dispute {id} closed: the accused seat was convicted in another; the bond goes back"
                ),
            }
        }
        Change::JurorPaid { response, seat, amount: pay } => {
            format!("{} juror {} paid {}", disputed(*response), owner(*seat), amount(*pay))
        }
        Change::JurorFined { response, seat, amount: fine } => {
            format!("{} juror {} fined {}", disputed(*response), owner(*seat), amount(*fine))
        }
        _ => return None,
    })
}
