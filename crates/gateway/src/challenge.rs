//! Steps 3 to 6 from the user's side: the ticket, the validator, the comparison.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use assay_protocol::wire::{CheckBody, CheckReply, ResponseBody, VoucherBody};
use assay_protocol::{Challenge, Role, Ticket, commitment, hash_of, verify_signature};

use crate::attempt::digest_of;
use crate::records::{Checked, Exchange, Progress};
use crate::status::CheckStatus;
use crate::{Inner, NodeError, dispute};

/// Pause between tries to deliver a voucher, and looks for a claim where no block comes.
const RETRY: Duration = Duration::from_secs(2);

/// Takes up what an earlier process left unfinished.
pub(crate) fn resume(node: &Arc<Inner>) -> Result<(), assay_store::StoreError> {
    for mut lost in node.store.list::<Exchange>("sent")? {
        lost.progress = Progress::Over;
        node.store.put(&lost)?;
    }
    for state in ["accepted", "unequal", "watching"] {
        for exchange in node.store.list::<Exchange>(state)? {
            follow(node, exchange);
        }
    }
    Ok(())
}

/// Follows up on an accepted answer in the background.
pub(crate) fn follow(node: &Arc<Inner>, exchange: Exchange) {
    let node = node.clone();
    let stop = node.stop.clone();
    node.clone().tasks.spawn(async move {
        let request = hash_of(&exchange.request);
        tokio::select! {
            () = stop.cancelled() => {}
            result = follow_up(&node, exchange) => if let Err(error) = result {
                tracing::error!(%request, %error, "following up failed; it is tried again at the next start");
            }
        }
    });
}

async fn follow_up(node: &Arc<Inner>, mut exchange: Exchange) -> Result<(), NodeError> {
    if let Progress::Accepted { answer, voucher, delivered } = exchange.progress.clone() {
        if !delivered {
            deliver(node, &exchange, &voucher).await;
        }
        let request = hash_of(&exchange.request);
        let ticket_round = ticket_round(node, &answer)?;
        let (status, next) = match check(node, &exchange, &answer, ticket_round).await? {
            Checking::NotDrawn => (CheckStatus::NotDrawn, Progress::Over),
            Checking::Unanswered => (CheckStatus::Unanswered, Progress::Watching { answer, ticket_round }),
            Checking::Equal(validator) => {
                (CheckStatus::Equal { validator }, Progress::Watching { answer, ticket_round })
            }
            Checking::Unequal(validator, check) => {
                tracing::warn!(server = %exchange.request.server, %validator, "digests differ: disputing");
                (CheckStatus::Unequal { validator, dispute: None }, Progress::Unequal { answer, check })
            }
        };
        exchange.progress = next;
        node.store.put(&exchange)?;
        node.statuses.set(request, status);
    }
    let mut pursued = None;
    loop {
        exchange.progress = match exchange.progress.clone() {
            Progress::Unequal { answer, check } => {
                dispute::pursue(node, &exchange, &answer, &check).await?;
                pursued = Some(check.answer.commitment);
                Progress::Watching { ticket_round: check.ticket_round, answer }
            }
            Progress::Watching { answer, ticket_round } => {
                match contradicting_claim(node, &exchange, &answer, ticket_round).await? {
                    Some(check)
                        if pursued != Some(check.answer.commitment) && !is_disputed(node, &check).await =>
                    {
                        Progress::Unequal { answer, check }
                    }
                    _ => Progress::Over,
                }
            }
            Progress::Sent | Progress::Accepted { .. } | Progress::Over => return Ok(()),
        };
        node.store.put(&exchange)?;
    }
}

fn ticket_round(node: &Inner, answer: &ResponseBody) -> Result<u64, NodeError> {
    let round = answer.response.round;
    let no_round = || NodeError::Rejected(format!("round {round} has no ticket round"));
    node.params.ticket_round(round).ok_or_else(no_round)
}

/// Waits for the claim on a response, and gives it if it is for another digest than the server's. A validator that tells us nothing
/// is silent to us; one that claims pay all the same has to show on-chain what it answers.
async fn contradicting_claim(
    node: &Inner,
    exchange: &Exchange,
    answer: &ResponseBody,
    ticket_round: u64,
) -> Result<Option<Box<Checked>>, NodeError> {
    let response = hash_of(&answer.response);
    let ticket_time = node.beacon.chain().time_of(ticket_round)?;
    let until = ticket_time + u64::from(node.params.windows.claim);
    // Where no block comes, a claim may still be in one that we haven't seen; later than this it can't be disputed.
    let disputable = ticket_time + u64::from(node.params.windows.dispute);
    let mut blocks = node.follower.blocks();
    let claim = loop {
        let (claim, time) = {
            let index = node.follower.read().await;
            (index.pool(node.config.pool).and_then(|pool| pool.claims.get(&response)).cloned(), index.time)
        };
        if claim.is_some() {
            break claim;
        }
        if time > until || Inner::now().as_secs() > disputable {
            break None;
        }
        let _ = tokio::time::timeout(RETRY, blocks.changed()).await;
    };
    let Some(claim) = claim else { return Ok(None) };
    let digest = digest_of(node, &exchange.request, answer);
    let expected = digest.map(|digest| commitment(Role::Validator, claim.validator, response, digest));
    if Some(claim.answer.commitment) == expected {
        return Ok(None);
    }
    tracing::warn!(validator = %claim.validator, "it claims pay for another digest than the server's: disputing");
    let challenge = Challenge {
        request: hash_of(&exchange.request),
        response,
        ticketNonce: exchange.ticket_nonce,
        counter: claim.counter,
        seat: claim.answer.seat,
        round: claim.answer.round,
    };
    let signature = node.sign(&challenge)?;
    let (answer, answer_signature) = (claim.answer, claim.signature);
    Ok(Some(Box::new(Checked { challenge, signature, answer, answer_signature, digest: None, ticket_round })))
}

/// Whether there was a dispute over this validator's answer already.
async fn is_disputed(node: &Inner, check: &Checked) -> bool {
    let index = node.follower.read().await;
    index.disputes.values().any(|d| {
        d.record.response == check.answer.response
            && d.record.validatorSeat == check.answer.seat
            && d.record.validatorCommitment == check.answer.commitment
            && d.ended.is_some_and(|state| state != dispute::DISMISSED)
    })
}

/// Delivers a voucher, trying until the voucher expires.
async fn deliver(
    node: &Inner,
    exchange: &Exchange,
    voucher: &(assay_protocol::Voucher, alloy_primitives::Bytes),
) {
    let (voucher, signature) = voucher.clone();
    let signed = node.beacon.chain().time_of(voucher.round).unwrap_or(0);
    let until = signed + u64::from(node.params.windows.voucher);
    let body = VoucherBody { voucher, signature };
    while Inner::now().as_secs() < until {
        if let Some(url) = endpoint(node, exchange.request.server).await
            && node.peers.voucher(&url, &body).await.is_ok()
        {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn endpoint(node: &Inner, server: Address) -> Option<String> {
    let index = node.follower.read().await;
    index.pool(node.config.pool)?.servers.get(&server)?.endpoint.clone()
}

enum Checking {
    NotDrawn,
    /// Drawn, and nobody answered: the response goes unchecked.
    Unanswered,
    Equal(Address),
    Unequal(Address, Box<Checked>),
}

async fn check(
    node: &Inner,
    exchange: &Exchange,
    answer: &ResponseBody,
    ticket_round: u64,
) -> Result<Checking, NodeError> {
    let response = &answer.response;
    let response_hash = hash_of(response);
    let randomness = node.randomness(ticket_round).await?;
    let ticket = Ticket::new(randomness, response_hash, exchange.ticket_nonce);
    let units = node.params.units(response.promptTokens, response.outputTokens);
    if !ticket.is_drawn(node.params.challenge_rate(units)) {
        return Ok(Checking::NotDrawn);
    }
    let epoch = node.epoch_of_round(ticket_round)?;
    for counter in 0..=node.params.limits.redraws {
        let (seat, validator, url) = {
            let index = node.follower.read().await;
            let pool = index.pool(node.config.pool).ok_or(NodeError::NoPool(node.config.pool))?;
            let Some((seat, validator)) = pool.validator_of(ticket, randomness, epoch, counter) else {
                continue;
            };
            let url = pool.servers.get(&validator).and_then(|s| s.endpoint.clone());
            // A seat of the server itself, or one that is suspended, counts as silent.
            let (true, Some(url)) = (validator != exchange.request.server && pool.is_active(seat), url)
            else {
                continue;
            };
            (seat, validator, url)
        };
        let challenge = Challenge {
            request: hash_of(&exchange.request),
            response: response_hash,
            ticketNonce: exchange.ticket_nonce,
            counter,
            seat,
            round: node.current_round(),
        };
        let signature = node.sign(&challenge)?;
        let body = CheckBody {
            request: exchange.request.clone(),
            response: response.clone(),
            response_signature: answer.signature.clone(),
            challenge: challenge.clone(),
            challenge_signature: signature.clone(),
            input: exchange.input.clone(),
        };
        let limit = Duration::from_secs(node.params.windows.answer.into());
        let reply = match node.peers.check(&url, &body, limit).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(%validator, %error, "no answer from the validator; drawing the next");
                continue;
            }
        };
        if let Err(why) = acceptable(node, &challenge, validator, &reply).await {
            tracing::warn!(%validator, why, "the validator's answer is not acceptable; drawing the next");
            continue;
        }
        if Some(reply.digest) == digest_of(node, &exchange.request, answer) {
            return Ok(Checking::Equal(validator));
        }
        return Ok(Checking::Unequal(
            validator,
            Box::new(Checked {
                challenge,
                signature,
                answer: reply.answer,
                answer_signature: reply.signature,
                digest: Some(reply.digest),
                ticket_round,
            }),
        ));
    }
    Ok(Checking::Unanswered)
}

async fn acceptable(
    node: &Inner,
    challenge: &Challenge,
    validator: Address,
    reply: &CheckReply,
) -> Result<(), &'static str> {
    let answer = &reply.answer;
    if answer.response != challenge.response || answer.seat != challenge.seat {
        return Err("it answers another challenge");
    }
    if answer.round < challenge.round || answer.round > node.current_round() {
        return Err("its round is not current");
    }
    let epoch = node.epoch_of_round(answer.round).map_err(|_| "its round does not exist")?;
    let key = {
        let index = node.follower.read().await;
        index.pool(node.config.pool).map_or(validator, |pool| pool.key_at(validator, epoch))
    };
    if verify_signature(answer, &node.domain, key, &reply.signature).is_err() {
        return Err("its signature is wrong");
    }
    if answer.commitment != commitment(Role::Validator, validator, challenge.response, reply.digest) {
        return Err("its commitment is not to the digest that came with it");
    }
    Ok(())
}
