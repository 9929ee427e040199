//! Steps 7 and 8 from the user's side: open, publish, and see the case through.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use assay_chain::{Case, ChainError, OpenDispute, abi, convert, submit_rounds};
use assay_protocol::wire::ResponseBody;
use assay_protocol::{Digest, Evidence, hash_of};

use crate::attempt::digest_of;
use crate::records::{Checked, Exchange};
use crate::status::CheckStatus;
use crate::{Inner, NodeError};

/// `IDisputes.State` of a dispute whose input was not published: the response may be disputed again.
pub(crate) const DISMISSED: u8 = 6;
/// Pause before a step that failed is tried again, where no block comes to trigger it.
const RETRY: Duration = Duration::from_secs(1);

/// Opens a dispute over two unequal answers, unless it is open already, and drives it to its end.
pub(crate) async fn pursue(
    node: &Arc<Inner>,
    exchange: &Exchange,
    answer: &ResponseBody,
    check: &Checked,
) -> Result<(), NodeError> {
    let response = hash_of(&answer.response);
    let until = node.beacon.chain().time_of(check.ticket_round)? + u64::from(node.params.windows.dispute);
    let mut opened = false;
    let id = loop {
        // Also one that the server or the validator opened.
        let known = {
            let index = node.follower.read().await;
            let about = |d: &&OpenDispute| {
                d.record.response == response
                    && d.record.validatorSeat == check.challenge.seat
                    && d.record.validatorCommitment == check.answer.commitment
                    && d.ended != Some(DISMISSED)
            };
            index.disputes.values().find(about).map(|d| d.id)
        };
        match known {
            Some(id) => break id,
            // The index is a block behind.
            None if opened => tokio::time::sleep(RETRY).await,
            None => match open(node, exchange, answer, check).await {
                Ok(()) => opened = true,
                Err(error) if error.is_retryable() => retry(&error).await,
                // The liar's stake is gone already; there is nothing left to win.
                Err(error) if error.is_revert("SeatConvicted") => {
                    tracing::info!(%response, "an accused seat was convicted in another dispute");
                    return Ok(());
                }
                // An earlier dispute over the response took too long, or came to nothing.
                Err(error) if error.is_revert("TooLate") || error.is_revert("CaseOver") => {
                    tracing::warn!(%response, %error, "it can't be disputed any more");
                    return Ok(());
                }
                // Too little money or a pool in the way now may be different in a moment; the window decides.
                Err(error) if Inner::now().as_secs() < until => retry(&error).await,
                Err(error) => return Err(error.into()),
            },
        }
    };
    let validator = {
        let index = node.follower.read().await;
        index.pool(node.config.pool).and_then(|p| p.owner_of(check.challenge.seat)).unwrap_or_default()
    };
    node.statuses.set(hash_of(&exchange.request), CheckStatus::Unequal { validator, dispute: Some(id) });
    let digests: Vec<Digest> =
        digest_of(node, &exchange.request, answer).into_iter().chain(check.digest).collect();
    drive(node, exchange, id, &digests).await
}

async fn retry(error: &ChainError) {
    tracing::warn!(%error, "trying again");
    tokio::time::sleep(RETRY).await;
}

async fn open(
    node: &Inner,
    exchange: &Exchange,
    answer: &ResponseBody,
    check: &Checked,
) -> Result<(), ChainError> {
    let evidence = Evidence {
        request: exchange.request.clone(),
        response: answer.response.clone(),
        challenge: check.challenge.clone(),
        answer: check.answer.clone(),
        responseSignature: answer.signature.clone(),
        challengeSignature: check.signature.clone(),
        answerSignature: check.answer_signature.clone(),
        delivered: false,
    };
    if !node.follower.read().await.rounds.contains(&check.ticket_round) {
        submit_rounds(&node.chain, node.params.basis.beacon, &node.beacon, &[check.ticket_round]).await?;
    }
    let disputes = node.chain.deployment().disputes;
    node.chain.send(disputes, abi::Disputes::openCall { e: convert(&evidence) }).await?;
    Ok(())
}

/// Takes every step that is due, at each new block, until the dispute has ended.
async fn drive(
    node: &Arc<Inner>,
    exchange: &Exchange,
    id: U256,
    digests: &[Digest],
) -> Result<(), NodeError> {
    let mut blocks = node.follower.blocks();
    loop {
        let (dispute, case, moot, time) = {
            let index = node.follower.read().await;
            let pool = index.pool(node.config.pool).ok_or(NodeError::NoPool(node.config.pool))?;
            let dispute = index.disputes.get(&id).cloned();
            let case = dispute.as_ref().filter(|d| d.input.is_some()).and_then(|d| Case::of(&index, pool, d));
            let moot = dispute.as_ref().is_some_and(|d| index.is_moot(pool, d));
            (dispute, case, moot, index.time.max(Inner::now().as_secs()))
        };
        if let Some(dispute) = dispute {
            if dispute.ended.is_some() {
                return Ok(());
            }
            let result = match case {
                None if moot => assay_chain::close(&node.chain, &dispute).await,
                Some(case) => case.step(&node.chain, &node.follower, &node.beacon, digests, 0, time).await,
                None if dispute.input.is_none() => {
                    let call = abi::Disputes::publishCall {
                        id,
                        r: dispute.record.clone(),
                        input: exchange.input.clone(),
                    };
                    node.chain.send(node.chain.deployment().disputes, call).await.map(drop)
                }
                None => Ok(()),
            };
            if let Err(error) = result {
                // Another party was first, or a window has not closed yet.
                tracing::debug!(dispute = %id, %error, "no step taken");
            }
        }
        // Windows close by the clock, also while no block comes.
        let _ = tokio::time::timeout(RETRY, blocks.changed()).await;
    }
}
