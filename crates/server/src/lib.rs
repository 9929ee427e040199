//! The server's side: serves a model, checks others' answers, sits on juries, redeems.
//!
//! Everything that it has signed, is owed or must do is in its [`Store`] before anybody else learns of it, so a crash loses
//! nothing: [`Server::run`] picks up where the last process stopped.

mod check;
mod credit;
mod http;
mod infer;
mod judge;
mod jury;
mod records;
mod settle;
mod vouchers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes};
use assay_beacon::Client as BeaconClient;
use assay_chain::{Chain, Follower, PrivateKeySigner};
use assay_engine::{Engine, InputRefused};
use assay_protocol::wire::{ErrorCode, WireError};
use assay_protocol::{Digest, Eip712Domain, InferenceResponse, PoolParams};
use assay_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How far a round may lie behind the latest one and still count as current.
const ROUND_SLACK: u64 = 3;

/// What a server is made of.
#[derive(Debug)]
pub struct Config {
    /// The pool it serves.
    pub pool: B256,
    /// Signs its messages; the account's own key, or the one it registered.
    pub signer: PrivateKeySigner,
    /// Computes with a model: the pool's, if it is honest.
    pub engine: Engine,
    /// Answers and checks taken at the same time.
    pub parallel: usize,
    /// How long vouchers are gathered before they are redeemed.
    pub redeem_every: Duration,
}

/// A running server.
#[derive(Debug, Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    account: Address,
    params: PoolParams,
    domain: Eip712Domain,
    chain: Chain,
    follower: Follower,
    beacon: BeaconClient,
    store: Store,
    permits: Arc<Semaphore>,
    running: Mutex<HashMap<B256, infer::Running>>,
    credit: Arc<credit::Book>,
    /// Digests of disputed inputs by case, so that a second ballot does not compute again.
    verdicts: Mutex<HashMap<B256, assay_protocol::Digest>>,
}

/// Why a server can't start or must stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The chain has no such pool.
    #[error("pool {0} is not on this chain")]
    PoolUnknown(B256),
    /// The pool audits redemptions, which this server does not take part in: it would be convicted for its silence.
    #[error("pool {0} has audits, which this server can't answer yet")]
    Audited(B256),
    /// The engine could not compute every answer that it may have to check: silence and wrong answers cost money.
    #[error("for the largest request of pool {pool}: {error}")]
    TooSmall {
        /// The pool.
        pool: B256,
        /// What is missing.
        error: InputRefused,
    },
    /// The connection to the chain has no account.
    #[error("a server needs an account to send transactions from")]
    NoAccount,
    /// Durable state can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener failed.
    #[error("listening: {0}")]
    Listen(#[from] std::io::Error),
}

impl Server {
    /// Takes up its state. The follower must have reached the chain's head once.
    pub async fn new(
        config: Config,
        chain: Chain,
        follower: Follower,
        beacon: BeaconClient,
        store: Store,
    ) -> Result<Self, ServerError> {
        let account = chain.account().ok_or(ServerError::NoAccount)?;
        let params = {
            let index = follower.read().await;
            index.pool(config.pool).ok_or(ServerError::PoolUnknown(config.pool))?.params.clone()
        };
        if params.rates.auditFixed > 0 || params.rates.auditUnit > 0 {
            return Err(ServerError::Audited(config.pool));
        }
        // A token takes four bytes of input and at least a unit.
        let most = u64::from(params.limits.maxInputBytes) / 4 + u64::from(params.limits.maxUnits);
        let holds = config.engine.holds(most);
        holds.map_err(|error| ServerError::TooSmall { pool: config.pool, error })?;
        infer::abandon_interrupted(&store)?;
        let credit = Arc::new(credit::Book::load(&store)?);
        Ok(Self {
            inner: Arc::new(Inner {
                domain: chain.deployment().domain(),
                permits: Arc::new(Semaphore::new(config.parallel.max(1))),
                running: Mutex::default(),
                verdicts: Mutex::default(),
                config,
                account,
                params,
                chain,
                follower,
                beacon,
                store,
                credit,
            }),
        })
    }

    /// Serves on `listener` and does its duties until `stop` is cancelled.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServerError> {
        let duties = tokio::spawn(settle::duties(self.inner.clone(), stop.clone()));
        let result = axum::serve(listener, http::router(self.inner.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .await;
        stop.cancel();
        // A duty that panicked has logged why; what it left undone is in the store.
        let _ = duties.await;
        Ok(result?)
    }
}

impl Inner {
    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// The latest round by the clock.
    fn current_round(&self) -> u64 {
        self.beacon.chain().round_at(Self::now())
    }

    fn time_of(&self, round: u64) -> Result<u64, WireError> {
        self.beacon.chain().time_of(round).map_err(|e| WireError::new(ErrorCode::StaleRound, e.to_string()))
    }

    fn epoch_of_round(&self, round: u64) -> Result<u32, WireError> {
        Ok(self.params.epoch_of(self.time_of(round)?))
    }

    async fn randomness(&self, round: u64) -> Result<B256, WireError> {
        match self.beacon.wait(round).await {
            Ok(round) => Ok(B256::from(round.randomness())),
            Err(error) => Err(WireError::new(ErrorCode::Unavailable, format!("beacon: {error}"))),
        }
    }

    /// See [`judge::right_digest`]. `None`: the server is stopping, or the machine's state keeps it from computing.
    async fn digest_of(&self, input: Bytes, response: InferenceResponse) -> Option<Digest> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let engine = self.config.engine.clone();
        let computing = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            judge::right_digest(&engine, &input, &response)
                .inspect_err(|error| tracing::error!(%error, "can't recompute an answer"))
                .ok()
        });
        computing.await.ok().flatten()
    }

    fn sign<T: assay_protocol::SolStruct>(&self, message: &T) -> Result<alloy_primitives::Bytes, WireError> {
        assay_chain::sign(&self.config.signer, &self.domain, message)
            .map_err(|e| WireError::new(ErrorCode::Internal, e.to_string()))
    }
}

/// A mutex whose holders can't leave it half-written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn internal(error: impl std::fmt::Display) -> WireError {
    tracing::error!(%error, "internal error");
    WireError::new(ErrorCode::Internal, "the server could not write its state")
}
