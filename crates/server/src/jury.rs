//! Step 8 as a juror: recompute, commit; then whatever moves the case on.
//!
//! Anybody may draw, propose, advance and resolve. Jurors do it in the order of their positions, a little later each, so that
//! a case never waits for one party and seldom gets the same transaction twice.

use std::sync::Arc;

use alloy_primitives::{Bytes, U256};
use assay_chain::{abi, ChainError, Jury, OpenDispute};
use assay_engine::run;
use assay_protocol::{ballot_subject, commitment, quorum, Digest, InferenceInput, Role, B256};

use crate::{lock, Inner};

/// Seconds that each position leaves to the ones before it.
const STAGGER: u64 = 2;
/// Number of `IArbiter.Outcome`s, in order.
const BALLOTS: u8 = 2;

/// Does what is due in every open dispute.
pub(crate) async fn tend(node: &Arc<Inner>) {
    let (open, time): (Vec<(OpenDispute, B256)>, u64) = {
        let index = node.follower.read().await;
        let open = index
            .open_disputes()
            .filter(|d| d.record.pool == node.config.pool && d.input.is_some())
            .filter_map(|d| Some((d.clone(), *index.subjects.get(&d.id)?)))
            .collect();
        (open, index.time.max(Inner::now()))
    };
    for (dispute, subject) in open {
        if let Err(error) = tend_one(node, &dispute, subject, time).await {
            // Somebody else was first, or the next round of duties tries again.
            tracing::debug!(dispute = %dispute.id, %error, "nothing done in dispute");
        }
    }
}

async fn tend_one(node: &Arc<Inner>, dispute: &OpenDispute, subject: B256, time: u64) -> Result<(), ChainError> {
    let deployment = node.chain.deployment();
    let (client, arbiter) = (deployment.disputes, node.params.basis.arbiter);
    let (ballot, jury) = {
        let index = node.follower.read().await;
        let current = (1..=BALLOTS).rev().find_map(|b| Some((b, index.juries.get(&(subject, b))?.clone())));
        let Some(current) = current else { return Ok(()) };
        current
    };
    let mine = own_positions(node, &jury).await;
    // Someone who holds no place in the jury comes after everybody who does.
    let turn = mine.first().map_or(jury.seats.len() as u64, |p| *p) * STAGGER;

    if jury.digest.is_some() {
        if time >= jury.commit_end.min(time) + turn.min(STAGGER * 3) || turn == 0 {
            node.chain
                .send(client, abi::Disputes::resolveCall { id: dispute.id, r: dispute.record.clone() })
                .await?;
        }
        return Ok(());
    }
    if jury.seats.is_empty() {
        let round_time = node.beacon.chain().time_of(jury.round).unwrap_or(u64::MAX);
        if time > jury.commit_end {
            node.chain.send(arbiter, abi::JuryArbiter::advanceCall { client, subject }).await?;
        } else if time >= round_time + STAGGER {
            submit_rounds(node, &[jury.round]).await?;
            node.chain.send(arbiter, abi::JuryArbiter::drawCall { client, subject }).await?;
        }
        return Ok(());
    }
    let open: Vec<u64> = mine.iter().copied().filter(|p| !jury.commitments.contains_key(p)).collect();
    if !open.is_empty() && time <= jury.commit_end {
        let Some(digest) = recompute(node, dispute).await else { return Ok(()) };
        let commitment = commitment(Role::Juror, node.account, ballot_subject(subject, ballot), digest);
        let positions = open.iter().map(|p| U256::from(*p)).collect();
        node.chain
            .send(arbiter, abi::JuryArbiter::commitCall { client, subject, positions, commitment })
            .await?;
        tracing::info!(dispute = %dispute.id, ballot, seats = open.len(), "committed as a juror");
        return Ok(());
    }
    let all_in = jury.commitments.len() == jury.seats.len();
    if time > jury.propose_end {
        node.chain.send(arbiter, abi::JuryArbiter::advanceCall { client, subject }).await?;
    } else if (all_in || time > jury.commit_end + turn)
        && let Some(digest) = known_digest(node, dispute.id)
        && supporters(node, &jury, subject, ballot, digest).await >= usize::from(quorum(jury.seats.len() as u8))
    {
        node.chain.send(arbiter, abi::JuryArbiter::proposeCall { client, subject, digest: digest.0 }).await?;
    }
    Ok(())
}

/// Positions of this server's active seats in a jury.
async fn own_positions(node: &Inner, jury: &Jury) -> Vec<u64> {
    let index = node.follower.read().await;
    let Some(pool) = index.pool(node.config.pool) else { return Vec::new() };
    (0u64..)
        .zip(&jury.seats)
        .filter(|(_, seat)| pool.owner_of(**seat) == Some(node.account) && pool.is_active(**seat))
        .map(|(position, _)| position)
        .collect()
}

fn known_digest(node: &Inner, id: U256) -> Option<Digest> {
    lock(&node.verdicts).get(&id).copied()
}

/// Commitments that a proposal of `digest` would open.
async fn supporters(node: &Inner, jury: &Jury, subject: B256, ballot: u8, digest: Digest) -> usize {
    let index = node.follower.read().await;
    let Some(pool) = index.pool(node.config.pool) else { return 0 };
    let subject = ballot_subject(subject, ballot);
    jury.commitments
        .iter()
        .filter(|(position, found)| {
            let seat = usize::try_from(**position).ok().and_then(|p| jury.seats.get(p));
            let owner = seat.and_then(|s| pool.owner_of(*s));
            owner.is_some_and(|owner| commitment(Role::Juror, owner, subject, digest) == **found)
        })
        .count()
}

/// The digest of the disputed input at the disputed count.
async fn recompute(node: &Arc<Inner>, dispute: &OpenDispute) -> Option<Digest> {
    if let Some(known) = known_digest(node, dispute.id) {
        return Some(known);
    }
    let input = InferenceInput::decode(dispute.input.as_ref().map(Bytes::as_ref)?).ok()?;
    let permit = node.permits.clone().acquire_owned().await.ok()?;
    let (model, options) = (node.config.model.clone(), node.config.options);
    let count = dispute.record.outputTokens;
    let outcome = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        run(&model, &input, Some(count), options)
    })
    .await
    .ok()?
    .ok()?;
    lock(&node.verdicts).insert(dispute.id, outcome.digest);
    Some(outcome.digest)
}

/// Puts rounds on-chain that are not there yet, in one transaction.
pub(crate) async fn submit_rounds(node: &Inner, rounds: &[u64]) -> Result<(), ChainError> {
    let missing: Vec<u64> = {
        let index = node.follower.read().await;
        rounds.iter().copied().filter(|r| !index.rounds.contains(r)).collect()
    };
    assay_chain::submit_rounds(&node.chain, node.params.basis.beacon, &node.beacon, &missing).await
}
