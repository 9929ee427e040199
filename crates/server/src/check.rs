//! Steps 4 and 5: a challenge is checked, the answer recomputed, the result signed.

use std::sync::Arc;

use alloy_primitives::{B256, U256, keccak256};
use assay_chain::{AccountKind, abi};
use assay_protocol::wire::{CheckBody, CheckReply, ErrorCode, WireError};
use assay_protocol::{
    CheckAnswer, Evidence, Role, Ticket, commitment, hash_of, ticket_nonce_hash, verify_signature,
};

use crate::records::{Check, CheckProgress};
use crate::{Inner, internal};

fn not_due<T>(message: impl Into<String>) -> Result<T, WireError> {
    Err(WireError::new(ErrorCode::NotDue, message))
}

/// Answers a challenge. The same one again gets the stored answer.
pub(crate) async fn answer(node: &Arc<Inner>, body: CheckBody) -> Result<CheckReply, WireError> {
    let response_hash = hash_of(&body.response);
    check_signatures(node, &body).await?;
    if let Some(known) = node.store.get::<Check>(response_hash.as_slice()).map_err(internal)? {
        return Ok(reply(&known));
    }
    let ticket_round = check_due(node, &body, response_hash).await?;
    if keccak256(&body.input) != body.request.inputHash {
        return Err(WireError::new(ErrorCode::BadInput, "input does not hash to the request's inputHash"));
    }
    let Some(digest) = node.digest_of(body.input.clone(), body.response.clone()).await else {
        return Err(WireError::new(ErrorCode::Unavailable, "the server can't compute now"));
    };
    let expected = commitment(Role::Server, body.request.server, body.response.subject(), digest);
    let equal = expected == body.response.commitment;
    let answer = CheckAnswer {
        response: response_hash,
        commitment: commitment(Role::Validator, node.account, response_hash, digest),
        seat: body.challenge.seat,
        round: node.current_round(),
    };
    let signature = node.sign(&answer)?;
    let check = Check {
        response: response_hash,
        evidence: Evidence {
            request: body.request,
            response: body.response,
            challenge: body.challenge,
            answer,
            responseSignature: body.response_signature,
            challengeSignature: body.challenge_signature,
            answerSignature: signature,
            delivered: false,
        },
        digest,
        ticket_round,
        progress: if equal { CheckProgress::Equal } else { CheckProgress::Unequal },
    };
    tracing::info!(response = %response_hash, equal, "checked");
    node.store.put(&check).map_err(internal)?;
    Ok(reply(&check))
}

fn reply(check: &Check) -> CheckReply {
    CheckReply {
        answer: check.evidence.answer.clone(),
        signature: check.evidence.answerSignature.clone(),
        digest: check.digest,
    }
}

async fn check_signatures(node: &Inner, body: &CheckBody) -> Result<(), WireError> {
    let request = &body.request;
    if request.pool != node.config.pool {
        return Err(WireError::new(ErrorCode::WrongRecipient, format!("this is pool {}", node.config.pool)));
    }
    let (answered, challenged) =
        (node.epoch_of_round(body.response.round)?, node.epoch_of_round(body.challenge.round)?);
    let (server_key, user_key) = {
        let index = node.follower.read().await;
        let Some(pool) = index.pool(node.config.pool) else {
            return Err(WireError::new(ErrorCode::Unavailable, "no pool"));
        };
        (pool.key_at(request.server, answered), pool.key_at(request.user, challenged))
    };
    let bad = |who: &str, e| WireError::new(ErrorCode::BadSignature, format!("{who}: {e}"));
    verify_signature(&body.response, &node.domain, server_key, &body.response_signature)
        .map_err(|e| bad("response", e))?;
    verify_signature(&body.challenge, &node.domain, user_key, &body.challenge_signature)
        .map_err(|e| bad("challenge", e))
}

/// The messages belong together, the ticket was drawn, it drew a seat of this server, and the pay is there: what the contract
/// will check before it pays. Returns the ticket's round.
async fn check_due(node: &Inner, body: &CheckBody, response_hash: B256) -> Result<u64, WireError> {
    let CheckBody { request, response, challenge, .. } = body;
    let request_hash = hash_of(request);
    if response.request != request_hash
        || challenge.request != request_hash
        || challenge.response != response_hash
        || ticket_nonce_hash(challenge.ticketNonce) != request.ticketNonceHash
        || response.finish().is_none()
        || request.round > response.round
        || response.round > challenge.round
    {
        return not_due("request, response and challenge do not belong together");
    }
    let units = response.units(node.params.limits.promptWeight, node.params.limits.outputWeight);
    let limit = u64::from(request.maxUnits.min(node.params.limits.maxUnits));
    if units == 0 || units > limit {
        return not_due(format!("{units} units are not between 1 and {limit}"));
    }
    if node.time_of(response.round)? > request.deadline {
        return not_due("answered after the deadline");
    }
    let Some(ticket_round) = node.params.ticket_round(response.round) else {
        return not_due("no such round");
    };
    let ticket_time = node.time_of(ticket_round)?;
    let now = Inner::now();
    if now < ticket_time || now > ticket_time + u64::from(node.params.windows.claim) {
        return not_due("outside the window for checks");
    }
    let randomness = node.randomness(ticket_round).await?;
    let ticket = Ticket::new(randomness, response_hash, challenge.ticketNonce);
    if !ticket.is_drawn(node.params.challenge_rate(units)) {
        return not_due("the ticket was not drawn");
    }
    if challenge.counter > node.params.limits.redraws {
        return not_due("too many redraws");
    }
    let epoch = node.params.epoch_of(ticket_time);
    let index = node.follower.read().await;
    let Some(pool) = index.pool(node.config.pool) else {
        return Err(WireError::new(ErrorCode::Unavailable, "no pool"));
    };
    if request.server == node.account || pool.owner_of(request.seat) != Some(request.server) {
        return not_due("the seat that answered is not another server's");
    }
    match pool.validator_of(ticket, randomness, epoch, challenge.counter) {
        Some((seat, owner)) if seat == challenge.seat && owner == node.account => {}
        Some((seat, owner)) => return not_due(format!("the ticket drew seat {seat} of {owner}")),
        None => return not_due("the pool is empty"),
    }
    // What its exit takes pays no claim.
    let claimed = now + u64::from(node.params.windows.answer);
    if pool.exits.get(&request.user).is_some_and(|due| *due <= claimed) {
        return not_due("the user's exit is due before this check could be claimed");
    }
    let e_money = pool.balance_of(AccountKind::Check, request.user);
    drop(index);
    let promised: U256 = node
        .store
        .list::<Check>("equal")
        .map_err(internal)?
        .iter()
        .filter(|c| c.evidence.request.user == request.user)
        .map(|c| node.params.check(units_of(node, c)))
        .sum();
    let due = promised + node.params.check(units);
    if e_money < due {
        let call = abi::Checks::bondLeftCall { pool: node.config.pool, user: request.user };
        let left = node.chain.call(node.chain.deployment().checks, call).await;
        let left = left.map_err(|e| WireError::new(ErrorCode::Unavailable, e.to_string()))?;
        if e_money + left < due {
            return not_due("the user can't pay for this check");
        }
    }
    Ok(ticket_round)
}

fn units_of(node: &Inner, check: &Check) -> u64 {
    let limits = &node.params.limits;
    check.evidence.response.units(limits.promptWeight, limits.outputWeight)
}
