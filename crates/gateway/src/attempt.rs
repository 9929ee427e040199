//! One order to one server: steps 1 and 2 from the user's side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes};
use assay_protocol::wire::{CancelBody, InferBody, InferEvent, ResponseBody, VoucherBody};
use assay_protocol::{
    Cancel, Digest, DigestInputs, Finish, InferenceInput, InferenceRequest, Role, Voucher, commitment,
    hash_of, output_hash, ticket_nonce_hash, verify_signature,
};
use tokio_util::sync::CancellationToken;

use crate::lanes::Lane;
use crate::peer::PeerError;
use crate::records::{Exchange, Progress};
use crate::{Inner, NodeError};

/// A seat of the user's set, and where its owner answers.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// In whose epoch the seat is in the set.
    pub(crate) round: u64,
    pub(crate) slot: u32,
    pub(crate) seat: u64,
    pub(crate) server: Address,
    pub(crate) url: String,
}

/// Why an order came to nothing. Nothing was acknowledged, so nothing is owed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the answer is not acceptable: {0}")]
    Invalid(String),
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// An accepted answer.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    pub(crate) request: B256,
    pub(crate) response: B256,
    pub(crate) server: Address,
    pub(crate) finish: Finish,
    pub(crate) tokens: Vec<u32>,
    pub(crate) elapsed: Duration,
}

/// Orders `input` from one server. `on_tokens` sees tokens as they come; once `cancel` is cancelled the server is told to stop,
/// and what it has delivered is accepted all the same.
pub(crate) async fn run(
    node: &Arc<Inner>,
    candidate: &Candidate,
    input: &InferenceInput,
    encoded: &Bytes,
    cancel: &CancellationToken,
    on_tokens: &mut (dyn FnMut(&[u32]) + Send),
) -> Result<Delivered, AttemptError> {
    let lane = node.lanes.take(candidate.server);
    let guard = LaneGuard { node, server: candidate.server, done: false };
    let started = Instant::now();
    let exchange = order(node, candidate, &lane, input, encoded)?;
    let hash = hash_of(&exchange.request);
    let body = InferBody {
        request: exchange.request.clone(),
        signature: exchange.signature.clone(),
        input: encoded.clone(),
    };
    let mut events = node.peers.infer(&candidate.url, &body).await?;
    let mut tokens: Vec<u32> = Vec::new();
    let mut cancelled = None;
    let answer = loop {
        let event = tokio::select! {
            event = events.next() => event?,
            // Only once something was delivered: an answer without tokens can't be accepted.
            () = cancel.cancelled(), if cancelled.is_none() && !tokens.is_empty() => {
                cancelled = Some(send_cancel(node, candidate, hash).await?);
                continue;
            }
        };
        match event {
            Some(InferEvent::Tokens { tokens: new }) => {
                if tokens.len() + new.len() > input.max_tokens as usize {
                    return Err(AttemptError::Invalid("more tokens than ordered".into()));
                }
                tokens.extend_from_slice(&new);
                on_tokens(&new);
            }
            Some(InferEvent::Response(answer)) => break answer,
            Some(InferEvent::Error(error)) => return Err(PeerError::Refused(error).into()),
            None => return Err(AttemptError::Invalid("the stream ended without a signed response".into())),
        }
    };
    let units = verify(node, &exchange, input, &tokens, &answer, cancelled).await?;
    let delivered = accept(node, candidate, lane, exchange, *answer, units, guard).await?;
    Ok(Delivered { elapsed: started.elapsed(), ..delivered })
}

/// Frees the lane's place however the attempt ends.
struct LaneGuard<'a> {
    node: &'a Arc<Inner>,
    server: Address,
    done: bool,
}

impl Drop for LaneGuard<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.node.lanes.abandon(self.server);
        }
    }
}

/// Signs an order and puts it on disk.
fn order(
    node: &Inner,
    candidate: &Candidate,
    lane: &Lane,
    input: &InferenceInput,
    encoded: &Bytes,
) -> Result<Exchange, NodeError> {
    let ticket_nonce = B256::from(rand::random::<[u8; 32]>());
    let prompt = u32::try_from(input.tokens.len()).unwrap_or(u32::MAX);
    let most = node.params.units(prompt, input.max_tokens);
    let round = candidate.round;
    let window = u64::from(node.params.windows.request);
    let request = InferenceRequest {
        pool: node.config.pool,
        user: node.account,
        server: candidate.server,
        seat: candidate.seat,
        slot: candidate.slot,
        lane: lane.lane,
        sequence: lane.sequence,
        round,
        inputHash: alloy_primitives::keccak256(encoded),
        ticketNonceHash: ticket_nonce_hash(ticket_nonce),
        maxUnits: u32::try_from(most).unwrap_or(u32::MAX),
        deadline: node.beacon.chain().time_of(round)? + window,
    };
    let signature = node.sign(&request)?;
    let exchange =
        Exchange { request, signature, input: encoded.clone(), ticket_nonce, progress: Progress::Sent };
    node.store.insert(&exchange)?;
    Ok(exchange)
}

async fn send_cancel(node: &Inner, candidate: &Candidate, request: B256) -> Result<B256, AttemptError> {
    let cancel = Cancel { request, round: node.current_round() };
    let signature = node.sign(&cancel)?;
    let hash = hash_of(&cancel);
    // A server that has just finished knows of no such request; its answer is on the way.
    match node.peers.cancel(&candidate.url, &CancelBody { cancel, signature }).await {
        Ok(()) | Err(PeerError::Refused(_)) => Ok(hash),
        Err(error) => Err(error.into()),
    }
}

/// The digest that an answer must commit to, from what the user holds.
pub(crate) fn digest_of(node: &Inner, request: &InferenceRequest, answer: &ResponseBody) -> Option<Digest> {
    let inputs = DigestInputs {
        model_root: node.params.basis.modelRoot,
        input_hash: request.inputHash,
        prompt_tokens: answer.response.promptTokens,
        finish: answer.response.finish()?,
        tokens: &answer.tokens,
        work: answer.work,
    };
    Some(inputs.digest())
}

/// Everything that a user must hold and have checked before it acknowledges. Returns the response's units.
async fn verify(
    node: &Inner,
    exchange: &Exchange,
    input: &InferenceInput,
    tokens: &[u32],
    answer: &ResponseBody,
    cancelled: Option<B256>,
) -> Result<u64, AttemptError> {
    let invalid = |why: String| Err(AttemptError::Invalid(why));
    let (request, response) = (&exchange.request, &answer.response);
    if response.request != hash_of(request) {
        return invalid("it answers another request".into());
    }
    let current = node.current_round();
    if response.round < request.round || response.round > current {
        return invalid(format!(
            "its round {} is not between {} and {current}",
            response.round, request.round
        ));
    }
    // Acknowledging later than this could be acknowledging with knowledge of the ticket.
    let limit = node.beacon.chain().time_of(response.round + 2).map_err(NodeError::from)?;
    if Inner::now() + node.config.clock_skew >= Duration::from_secs(limit) {
        return invalid(format!("its round {} is stale", response.round));
    }
    let epoch = node.epoch_of_round(response.round)?;
    let key = {
        let index = node.follower.read().await;
        let pool = index.pool(node.config.pool).ok_or(NodeError::NoPool(node.config.pool))?;
        pool.key_at(request.server, epoch)
    };
    if let Err(error) = verify_signature(response, &node.domain, key, &answer.signature) {
        return invalid(error.to_string());
    }
    if answer.tokens != tokens {
        return invalid("its tokens are not those that were streamed".into());
    }
    if response.outputHash != output_hash(tokens)
        || response.outputTokens as usize != tokens.len()
        || response.promptTokens as usize != input.tokens.len()
    {
        return invalid("its hash or counts are not those of the output".into());
    }
    let Some(digest) = digest_of(node, request, answer) else {
        return invalid("its finish is unknown".into());
    };
    // The digest is made of the very tokens that were streamed, so nobody can commit to one output and deliver another.
    if response.commitment != commitment(Role::Server, request.server, response.subject(), digest) {
        return invalid("its commitment does not fit the output".into());
    }
    let ends = tokens.last().is_some_and(|last| {
        input.stop.contains(last) || node.config.model.tokenizer().end_tokens().contains(last)
    });
    let fits = match response.finish() {
        Some(Finish::Stop) => ends && response.cancel == B256::ZERO,
        Some(Finish::Length) => tokens.len() == input.max_tokens as usize && response.cancel == B256::ZERO,
        Some(Finish::Cancelled) => cancelled == Some(response.cancel) && !tokens.is_empty(),
        None => false,
    };
    if !fits {
        return invalid("it does not end as it says".into());
    }
    let units = node.params.units(response.promptTokens, response.outputTokens);
    if units > u64::from(request.maxUnits) {
        return invalid(format!("{units} units, {} were ordered", request.maxUnits));
    }
    Ok(units)
}

/// Acknowledges: the voucher is on disk before it is sent, and sent again until the server has it.
async fn accept(
    node: &Arc<Inner>,
    candidate: &Candidate,
    mut lane: Lane,
    mut exchange: Exchange,
    answer: ResponseBody,
    units: u64,
    mut guard: LaneGuard<'_>,
) -> Result<Delivered, AttemptError> {
    let response = hash_of(&answer.response);
    lane.accepted.push(response, units);
    let voucher = Voucher {
        pool: node.config.pool,
        user: node.account,
        server: candidate.server,
        lane: lane.lane,
        sequence: lane.sequence,
        count: lane.accepted.count(),
        units: lane.accepted.units(),
        root: lane.accepted.root(),
        round: node.current_round(),
    };
    let signature = node.sign(&voucher)?;
    let delivered = Delivered {
        request: hash_of(&exchange.request),
        response,
        server: candidate.server,
        finish: answer.response.finish().unwrap_or(Finish::Length),
        tokens: answer.tokens.clone(),
        elapsed: Duration::ZERO,
    };
    exchange.progress = Progress::Accepted {
        answer: Box::new(answer),
        voucher: Box::new((voucher.clone(), signature.clone())),
        delivered: false,
    };
    node.store.put(&exchange).map_err(NodeError::from)?;
    match node.peers.voucher(&candidate.url, &VoucherBody { voucher, signature }).await {
        Ok(()) => {
            if let Progress::Accepted { delivered, .. } = &mut exchange.progress {
                *delivered = true;
            }
            node.store.put(&exchange).map_err(NodeError::from)?;
            guard.done = true;
            node.lanes.give_back(candidate.server, lane);
        }
        // It is owed all the same; the follow-up goes on trying. The lane is not used again.
        Err(error) => tracing::warn!(server = %candidate.server, %error, "a voucher could not be delivered"),
    }
    crate::challenge::follow(node, exchange);
    Ok(delivered)
}
