//! Steps 1 and 2: an order is checked, computed, streamed, signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use assay_chain::AccountKind;
use assay_engine::{Generation, InputRefused};
use assay_protocol::wire::{CancelBody, ErrorCode, InferBody, InferEvent, ResponseBody, WireError};
use assay_protocol::{
    Finish, InferenceInput, InferenceRequest, InferenceResponse, Role, commitment, hash_of, output_hash,
    verify_signature,
};
use assay_store::{Store, StoreError};
use tokio::sync::mpsc;

use crate::records::{Answer, Equivocation, Lane, Pending, Progress, lane_key, request_key};
use crate::{Inner, ROUND_SLACK, internal, lock};

/// How long an order waits for a beacon that does not answer: less than a user waits for a server.
const BEACON: Duration = Duration::from_secs(5);
/// Events of an answer that wait for a slow reader; the computation waits with them.
const BUFFER: usize = 64;

/// An answer that is being computed.
#[derive(Debug)]
pub(crate) struct Running {
    user: Address,
    cancelled: Arc<AtomicBool>,
    /// Hash of the user's signed cancellation.
    cancel: Option<B256>,
}

/// What an order leads to.
pub(crate) enum Accepted {
    /// The order was answered before.
    Stored(Box<ResponseBody>),
    /// Events as they are computed.
    Stream(mpsc::Receiver<InferEvent>),
}

fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, WireError> {
    Err(WireError::new(code, message))
}

/// Marks what a crash interrupted: nothing was signed, and the numbers stay spent.
pub(crate) fn abandon_interrupted(store: &Store) -> Result<(), StoreError> {
    for mut answer in store.list::<Answer>("running")? {
        answer.progress = Progress::Abandoned;
        store.put(&answer)?;
    }
    Ok(())
}

/// Takes an order, or says why not. Nothing is computed before every check has passed and the order is on disk.
pub(crate) async fn accept(node: &Arc<Inner>, body: InferBody) -> Result<Accepted, WireError> {
    let request = &body.request;
    let hash = hash_of(request);
    check_addressee(node, request)?;
    check_signature(node, &body).await?;
    if let Some(stored) = stored(node, &body)? {
        return Ok(stored);
    }
    check_time(node, request)?;
    let input = check_input(node, &body)?;
    check_seat(node, request).await?;
    let limit = credit_limit(node, request.user).await?;
    let Ok(permit) = node.permits.clone().try_acquire_owned() else {
        return refuse(ErrorCode::Busy, "all places are taken");
    };
    // Checked before the order is on disk: a refused input spends no number.
    let refused = |e: InputRefused| {
        let code = if e.is_machines_fault() { ErrorCode::Unavailable } else { ErrorCode::BadInput };
        WireError::new(code, e.to_string())
    };
    node.config.engine.check(&input).map_err(refused)?;
    let reservation =
        node.credit.reserve(&node.params, request.user, u64::from(request.maxUnits), limit, Inner::now())?;
    spend(node, &body)?;
    let generation = node.config.engine.start(&input).map_err(refused)?;

    let cancelled = Arc::new(AtomicBool::new(false));
    lock(&node.running)
        .insert(hash, Running { user: request.user, cancelled: cancelled.clone(), cancel: None });
    let (events, receiver) = mpsc::channel(BUFFER);
    let node = node.clone();
    tokio::task::spawn_blocking(move || {
        // Both end with the computation.
        let (_permit, _reservation) = (permit, reservation);
        let result = compute(&node, &body, generation, &cancelled, &events);
        lock(&node.running).remove(&hash);
        let last = match result {
            Ok(Some(response)) => InferEvent::Response(Box::new(response)),
            Ok(None) => return,
            Err(error) => InferEvent::Error(error),
        };
        // A reader that is gone can ask for the stored response again.
        let _ = events.blocking_send(last);
    });
    Ok(Accepted::Stream(receiver))
}

fn check_addressee(node: &Inner, request: &InferenceRequest) -> Result<(), WireError> {
    if request.pool != node.config.pool {
        return refuse(ErrorCode::WrongRecipient, format!("this server serves pool {}", node.config.pool));
    }
    if request.server != node.account {
        return refuse(ErrorCode::WrongRecipient, format!("this is server {}", node.account));
    }
    Ok(())
}

async fn check_signature(node: &Inner, body: &InferBody) -> Result<(), WireError> {
    let request = &body.request;
    let epoch = node.epoch_of_round(request.round)?;
    let key = {
        let index = node.follower.read().await;
        let Some(pool) = index.pool(node.config.pool) else {
            return refuse(ErrorCode::Unavailable, "no pool");
        };
        pool.key_at(request.user, epoch)
    };
    verify_signature(request, &node.domain, key, &body.signature).map_err(|e| {
        WireError::new(ErrorCode::BadSignature, format!("{e} (chain id, Ledger and key must agree)"))
    })
}

/// The same bytes again get the same answer; other bytes under the same number are evidence.
fn stored(node: &Inner, body: &InferBody) -> Result<Option<Accepted>, WireError> {
    let Some(answer) = node.store.get::<Answer>(&request_key(&body.request)).map_err(internal)? else {
        return Ok(None);
    };
    if answer.request != body.request {
        let evidence = Equivocation {
            first: (answer.request, answer.signature),
            second: (body.request.clone(), body.signature.clone()),
        };
        node.store.put(&evidence).map_err(internal)?;
        return refuse(ErrorCode::Equivocation, "another request was signed under this number");
    }
    match answer.progress {
        Progress::Answered(response) => Ok(Some(Accepted::Stored(response))),
        Progress::Running => refuse(ErrorCode::Busy, "this request is being computed"),
        Progress::Abandoned => {
            refuse(ErrorCode::SequenceSpent, "this request was interrupted; use a fresh lane")
        }
    }
}

fn check_time(node: &Inner, request: &InferenceRequest) -> Result<(), WireError> {
    let current = node.current_round();
    if request.round > current + 1 || request.round + ROUND_SLACK < current {
        return refuse(ErrorCode::StaleRound, format!("round {} is not current ({current})", request.round));
    }
    let now = Inner::now();
    let latest = node.time_of(request.round)? + u64::from(node.params.windows.request);
    if request.deadline <= now || request.deadline > latest {
        return refuse(
            ErrorCode::StaleRound,
            format!("deadline {} is not within {now} and {latest}", request.deadline),
        );
    }
    Ok(())
}

fn check_input(node: &Inner, body: &InferBody) -> Result<InferenceInput, WireError> {
    let limits = &node.params.limits;
    let bad = |message: String| WireError::new(ErrorCode::BadInput, message);
    if body.input.len() > limits.maxInputBytes as usize {
        return Err(bad(format!(
            "input of {} bytes, the pool allows {}",
            body.input.len(),
            limits.maxInputBytes
        )));
    }
    if alloy_primitives::keccak256(&body.input) != body.request.inputHash {
        return Err(bad("input does not hash to the request's inputHash".into()));
    }
    let input = InferenceInput::decode(&body.input).map_err(|e| bad(e.to_string()))?;
    let prompt = u32::try_from(input.tokens.len()).unwrap_or(u32::MAX);
    let most = node.params.units(prompt, input.max_tokens);
    if most > u64::from(body.request.maxUnits) || body.request.maxUnits > limits.maxUnits {
        return Err(bad(format!(
            "up to {most} units, the request allows {} and the pool {}",
            body.request.maxUnits, limits.maxUnits
        )));
    }
    Ok(input)
}

/// The seat is this server's, fit to serve, and in the user's set of this epoch.
async fn check_seat(node: &Inner, request: &InferenceRequest) -> Result<(), WireError> {
    let epoch = node.epoch_of_round(request.round)?;
    // The first round at or after the epoch's start.
    let start = node.params.epoch_start(epoch);
    let chain = node.beacon.chain();
    let mut first = chain.round_at(start).max(1);
    if node.time_of(first)? < start {
        first += 1;
    }
    let Ok(drawn) = tokio::time::timeout(BEACON, node.randomness(first)).await else {
        return refuse(ErrorCode::Unavailable, "the beacon does not answer");
    };
    let randomness = drawn?;
    let index = node.follower.read().await;
    let Some(pool) = index.pool(node.config.pool) else { return refuse(ErrorCode::Unavailable, "no pool") };
    // A chain that hangs gives no error. Its seats are known up to the epoch after its last block.
    if node.params.epoch_of(index.time) + 1 < epoch {
        return refuse(
            ErrorCode::Unavailable,
            format!("the chain's last block is of unix time {}", index.time),
        );
    }
    if !pool.is_open(epoch) {
        return refuse(
            ErrorCode::Unavailable,
            format!("the pool has {} seats and needs {}", pool.seat_count(epoch), node.params.seats_needed()),
        );
    }
    if pool.owner_of(request.seat) != Some(node.account) || !pool.is_active(request.seat) {
        return refuse(
            ErrorCode::WrongRecipient,
            format!("seat {} is no active seat of this server", request.seat),
        );
    }
    if pool.set_of(request.user, epoch, randomness).get(request.slot as usize) != Some(&request.seat) {
        return refuse(
            ErrorCode::WrongRecipient,
            format!("seat {} is not in slot {} of the user's set", request.seat, request.slot),
        );
    }
    Ok(())
}

async fn credit_limit(node: &Inner, user: Address) -> Result<alloy_primitives::U256, WireError> {
    if node.follower.is_behind() {
        return refuse(ErrorCode::Unavailable, "the chain can't be reached");
    }
    let index = node.follower.read().await;
    let Some(pool) = index.pool(node.config.pool) else { return refuse(ErrorCode::Unavailable, "no pool") };
    if pool.exits.contains_key(&user) {
        return refuse(ErrorCode::NoCredit, "the user is leaving");
    }
    let bond = pool.balance_of(AccountKind::Bond, user);
    if bond < alloy_primitives::U256::from(node.params.prices.minBond) {
        return refuse(
            ErrorCode::NoCredit,
            format!("bond {bond} is below the minimum of {}", node.params.prices.minBond),
        );
    }
    Ok(node.params.credit(bond))
}

/// Puts the order on disk; from here on its number is spent.
fn spend(node: &Inner, body: &InferBody) -> Result<(), WireError> {
    let request = &body.request;
    node.store
        .write(|w| {
            let key = lane_key(request.user, request.lane);
            let mut lane = w.get::<Lane>(&key)?.unwrap_or_else(|| Lane {
                user: request.user,
                lane: request.lane,
                last_sequence: 0,
                accepted: Default::default(),
                pending: None,
                voucher: None,
                redeemed_count: 0,
                redeemed_units: 0,
            });
            if request.sequence <= lane.last_sequence {
                return Ok(refuse(
                    ErrorCode::SequenceSpent,
                    format!("number {} is spent, the last is {}", request.sequence, lane.last_sequence),
                ));
            }
            if lane.pending.is_some() {
                return Ok(refuse(ErrorCode::WrongVoucher, "the lane's last response is not acknowledged"));
            }
            lane.last_sequence = request.sequence;
            w.put(&lane)?;
            w.insert(&Answer {
                request: request.clone(),
                signature: body.signature.clone(),
                progress: Progress::Running,
            })?;
            Ok::<_, StoreError>(Ok(()))
        })
        .map_err(internal)?
}

/// Computes and streams; signs and stores before the last event. `None`: the reader left before the end.
fn compute(
    node: &Inner,
    body: &InferBody,
    mut generation: Generation,
    cancelled: &AtomicBool,
    events: &mpsc::Sender<InferEvent>,
) -> Result<Option<ResponseBody>, WireError> {
    let request = &body.request;
    // A cancelled answer has at least one token: none has no price and no digest worth the name.
    while generation.tokens().is_empty() || !cancelled.load(Ordering::Acquire) {
        let Some(token) = generation.next_token() else { break };
        if events.blocking_send(InferEvent::Tokens { tokens: vec![token] }).is_err() {
            abandon(node, body)?;
            return Ok(None);
        }
    }
    let finish = generation.finish().unwrap_or(Finish::Cancelled);
    let cancel = match finish {
        Finish::Cancelled => lock(&node.running).get(&hash_of(request)).and_then(|r| r.cancel),
        _ => Some(B256::ZERO),
    };
    let Some(cancel) = cancel else {
        return refuse(ErrorCode::Internal, "stopped without a cancellation");
    };
    if Inner::now() > request.deadline {
        abandon(node, body)?;
        return refuse(ErrorCode::StaleRound, "the deadline passed before the answer was complete");
    }
    let input_tokens = InferenceInput::decode(&body.input).map_or(0, |i| i.tokens.len());
    // Of the pool's model, which is what was asked for; one that runs another lies.
    let digest = generation.digest(node.params.basis.modelRoot, finish);
    let tokens = generation.tokens().to_vec();
    let mut response = InferenceResponse {
        request: hash_of(request),
        commitment: B256::ZERO,
        outputHash: output_hash(&tokens),
        // Both counts are below the model's context length.
        promptTokens: input_tokens as u32,
        outputTokens: tokens.len() as u32,
        finish: finish as u8,
        cancel,
        round: node.current_round(),
    };
    response.commitment = commitment(Role::Server, node.account, response.subject(), digest);
    let signature: Bytes = node.sign(&response)?;
    let pending = Pending {
        response: hash_of(&response),
        sequence: request.sequence,
        units: node.params.units(response.promptTokens, response.outputTokens),
        until: request.deadline + u64::from(node.params.windows.request),
    };
    let answer = ResponseBody { response, signature, work: generation.work(), tokens };
    let lane = node
        .store
        .write(|w| {
            w.put(&Answer {
                request: request.clone(),
                signature: body.signature.clone(),
                progress: Progress::Answered(Box::new(answer.clone())),
            })?;
            let key = lane_key(request.user, request.lane);
            let lane = w.get::<Lane>(&key)?.map(|lane| Lane { pending: Some(pending), ..lane });
            if let Some(lane) = &lane {
                w.put(lane)?;
            }
            Ok::<_, StoreError>(lane)
        })
        .map_err(internal)?;
    if let Some(lane) = lane {
        node.credit.update(&lane);
    }
    Ok(Some(answer))
}

fn abandon(node: &Inner, body: &InferBody) -> Result<(), WireError> {
    node.store
        .put(&Answer {
            request: body.request.clone(),
            signature: body.signature.clone(),
            progress: Progress::Abandoned,
        })
        .map_err(internal)
}

/// Ends a running answer at the user's signed order.
pub(crate) async fn cancel(node: &Inner, body: CancelBody) -> Result<(), WireError> {
    let user = lock(&node.running).get(&body.cancel.request).map(|r| r.user);
    let Some(user) = user else { return refuse(ErrorCode::NotFound, "no such request is running") };
    let epoch = node.epoch_of_round(body.cancel.round)?;
    let key = {
        let index = node.follower.read().await;
        index.pool(node.config.pool).map_or(user, |pool| pool.key_at(user, epoch))
    };
    verify_signature(&body.cancel, &node.domain, key, &body.signature)
        .map_err(|e| WireError::new(ErrorCode::BadSignature, e.to_string()))?;
    if let Some(running) = lock(&node.running).get_mut(&body.cancel.request) {
        running.cancel = Some(hash_of(&body.cancel));
        running.cancelled.store(true, Ordering::Release);
    }
    Ok(())
}
