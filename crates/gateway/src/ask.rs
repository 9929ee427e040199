//! From an input to an accepted answer: whom to ask, and whom next.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use assay_protocol::InferenceInput;
use assay_protocol::wire::ErrorCode;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::attempt::{self, AttemptError, Candidate, Delivered};
use crate::peer::PeerError;
use crate::{Inner, NodeError};

/// How long a caller waits for a beacon that does not answer. The round that draws the set is public by then.
const BEACON: Duration = Duration::from_secs(8);
/// Tokens that wait for a slow caller.
const BUFFER: usize = 256;

/// What a caller sees of an answer.
#[derive(Debug)]
pub(crate) enum Event {
    /// The next output tokens. Not verified before `Done`.
    Tokens(Vec<u32>),
    /// The answer is signed, verified and acknowledged.
    Done(Delivered),
    /// There is no verified answer; tokens that came are worth nothing.
    Failed(AskError),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Every server of the set was tried, or none could be.
    #[error("no server of this epoch's set answered: {0}")]
    Exhausted(String),
    /// A server streamed text and then failed to stand by it.
    #[error("server {server} did not deliver a valid response: {reason}")]
    Broken { server: Address, reason: String },
    /// The account can't pay.
    #[error("not enough funds or credit: {0}")]
    NoFunds(String),
    /// The beacon or the chain can't be reached.
    #[error("{0}")]
    Unavailable(String),
    /// The order is outside what the pool or the model allows.
    #[error("{0}")]
    Refused(String),
}

/// A running order. Dropping the receiver cancels it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) events: mpsc::Receiver<Event>,
    /// Ends the output where it is; what was delivered is paid for and comes as `Done`.
    pub(crate) cancel: CancellationToken,
}

/// Orders `input` from the user's set, one server after the other until one delivers.
pub(crate) fn ask(node: &Arc<Inner>, input: InferenceInput) -> Asked {
    let (sender, events) = mpsc::channel(BUFFER);
    let cancel = CancellationToken::new();
    let asked = Asked { events, cancel: cancel.clone() };
    let node = node.clone();
    node.clone().tasks.spawn(async move {
        let closed = sender.clone();
        let abandoned = cancel.clone();
        let watch = tokio::spawn(async move {
            closed.closed().await;
            abandoned.cancel();
        });
        let last = match serve(&node, &input, &cancel, &sender).await {
            Ok(delivered) => Event::Done(delivered),
            Err(error) => Event::Failed(error),
        };
        // A caller that is gone needs no last word.
        let _ = sender.send(last).await;
        watch.abort();
    });
    asked
}

async fn serve(
    node: &Arc<Inner>,
    input: &InferenceInput,
    cancel: &CancellationToken,
    sender: &mpsc::Sender<Event>,
) -> Result<Delivered, AskError> {
    let encoded = Bytes::from(input.encode().map_err(|e| AskError::Refused(e.to_string()))?);
    let mut reasons = Vec::new();
    let mut tried = Vec::new();
    // The set is looked up for each attempt: a slow one may have outlived its epoch.
    while let Some(candidate) = &next_candidate(node, &tried).await? {
        tried.push(candidate.server);
        let (mut streamed, mut lagging) = (false, false);
        let mut on_tokens = |tokens: &[u32]| {
            streamed = true;
            // Full: the caller is slow, and waiting for it could make the response stale. It gets the rest at the end.
            lagging = lagging || sender.try_send(Event::Tokens(tokens.to_vec())).is_err();
        };
        match attempt::run(node, candidate, input, &encoded, cancel, &mut on_tokens).await {
            Ok(delivered) => return Ok(delivered),
            Err(error) => {
                tracing::warn!(server = %candidate.server, %error, "attempt failed");
                if streamed {
                    return Err(AskError::Broken { server: candidate.server, reason: error.to_string() });
                }
                match &error {
                    // The next server would say the same.
                    AttemptError::Peer(PeerError::Refused(e)) if e.code == ErrorCode::BadInput => {
                        return Err(AskError::Refused(e.message.clone()));
                    }
                    AttemptError::Peer(PeerError::Refused(e)) if e.code == ErrorCode::NoCredit => {
                        reasons.push((true, format!("{}: {}", candidate.server, e.message)));
                    }
                    error => reasons.push((false, format!("{}: {error}", candidate.server))),
                }
                if cancel.is_cancelled() {
                    break;
                }
            }
        }
    }
    let text = reasons.iter().map(|(_, r)| r.as_str()).collect::<Vec<_>>().join("; ");
    if !reasons.is_empty() && reasons.iter().all(|(credit, _)| *credit) {
        return Err(AskError::NoFunds(text));
    }
    Err(AskError::Exhausted(if text.is_empty() { "the set is empty".into() } else { text }))
}

/// The least busy server of this epoch's set that was not tried yet.
async fn next_candidate(node: &Inner, tried: &[Address]) -> Result<Option<Candidate>, AskError> {
    let unavailable = |e: NodeError| AskError::Unavailable(e.to_string());
    if node.follower.is_behind() {
        return Err(AskError::Unavailable("the chain can't be reached".into()));
    }
    let round = node.current_round().max(1);
    let epoch = node.epoch_of_round(round).map_err(unavailable)?;
    let first = node.first_round_of(epoch).map_err(unavailable)?;
    let drawn = tokio::time::timeout(BEACON, node.randomness(first)).await;
    let randomness = drawn
        .map_err(|_| AskError::Unavailable("the beacon does not answer".into()))?
        .map_err(|e| AskError::Unavailable(format!("the beacon can't be reached: {e}")))?;
    let index = node.follower.read().await;
    // A chain that hangs gives no error. Its seats are known up to the epoch after its last block.
    if node.params.epoch_of(index.time) + 1 < epoch {
        return Err(AskError::Unavailable(format!("the chain's last block is of unix time {}", index.time)));
    }
    let pool =
        index.pool(node.config.pool).ok_or_else(|| unavailable(NodeError::NoPool(node.config.pool)))?;
    if !pool.is_open(epoch) {
        return Err(AskError::Unavailable(format!(
            "the pool has {} seats and needs {}",
            pool.seat_count(epoch),
            node.params.seats_needed()
        )));
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for (slot, seat) in (0u32..).zip(pool.set_of(node.account, epoch, randomness)) {
        let Some(server) = pool.owner_of(seat) else { continue };
        let Some(url) = pool.servers.get(&server).and_then(|s| s.endpoint.clone()) else { continue };
        if pool.is_active(seat) && !tried.contains(&server) {
            candidates.push(Candidate { round, slot, seat, server, url });
        }
    }
    // Ties in random order, so that a server that is first in the set is not asked first every time.
    Ok(candidates.into_iter().min_by_key(|c| (node.lanes.load(c.server), rand::random::<u32>())))
}
