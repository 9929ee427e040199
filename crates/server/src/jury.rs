//! Step 8 as a juror: recompute, commit; then help the case on.

use std::sync::Arc;

use alloy_primitives::U256;
use assay_chain::{Case, ChainError, abi};
use assay_protocol::Digest;

use crate::{Inner, lock};

/// Seconds that each position of a jury leaves to those before it, and to the party that opened the dispute: a case never
/// waits for one party, and seldom gets the same transaction twice.
const STAGGER: u64 = 2;

/// Does what is due in every open dispute of the pool.
pub(crate) async fn tend(node: &Arc<Inner>) {
    let (cases, time) = {
        let index = node.follower.read().await;
        let Some(pool) = index.pool(node.config.pool) else { return };
        (Case::pending(&index, pool), index.time.max(Inner::now()))
    };
    // All at once: each has windows of its own.
    futures::future::join_all(cases.iter().map(async |case| {
        if let Err(error) = tend_one(node, case, time).await {
            // Somebody else was first, or the next round of duties tries again.
            tracing::debug!(dispute = %case.id(), %error, "nothing done in dispute");
        }
    }))
    .await;
}

async fn tend_one(node: &Arc<Inner>, case: &Case, time: u64) -> Result<(), ChainError> {
    let mine = {
        let index = node.follower.read().await;
        index.pool(node.config.pool).map(|pool| case.positions_of(pool, node.account)).unwrap_or_default()
    };
    let open: Vec<u64> = mine.iter().copied().filter(|p| !case.jury.commitments.contains_key(p)).collect();
    if !case.moot && !open.is_empty() && time <= case.jury.commit_end {
        let Some(digest) = recompute(node, case).await else { return Ok(()) };
        let call = abi::JuryArbiter::commitCall {
            client: node.chain.deployment().disputes,
            subject: case.subject,
            positions: open.iter().map(|p| U256::from(*p)).collect(),
            commitment: case.commitment(node.account, digest),
        };
        node.chain.send(case.arbiter, call).await?;
        tracing::info!(dispute = %case.id(), ballot = case.ballot, seats = open.len(), "committed as a juror");
        return Ok(());
    }
    // Who holds no place in the jury comes after everybody who does.
    let turn = mine.first().map_or(case.jury.seats.len() as u64, |p| *p) + 1;
    let digests: Vec<Digest> = lock(&node.verdicts).get(&case.subject).copied().into_iter().collect();
    case.step(&node.chain, &node.follower, &node.beacon, &digests, turn * STAGGER, time).await
}

/// The right digest for the disputed response.
async fn recompute(node: &Arc<Inner>, case: &Case) -> Option<Digest> {
    if let Some(known) = lock(&node.verdicts).get(&case.subject).copied() {
        return Some(known);
    }
    let digest = node.digest_of(case.dispute.input.clone()?, case.dispute.answer.clone()).await?;
    lock(&node.verdicts).insert(case.subject, digest);
    Some(digest)
}
