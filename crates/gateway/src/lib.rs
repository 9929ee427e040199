//! The user's side: an OpenAI-compatible API whose answers are ordered, verified, acknowledged, checked and, where a server
//! lied, disputed.
//!
//! A caller has its answer after step 2 of the protocol; everything later runs in the background from durable records, so a
//! crash forgets neither an acknowledgement that is owed nor a dispute that is due.

mod ask;
mod attempt;
mod challenge;
mod dispute;
mod lanes;
mod openai;
mod peer;
mod records;
mod status;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, U256};
use assay_beacon::{BeaconError, Client as BeaconClient};
use assay_chain::{AccountKind, Chain, ChainError, Follower, PrivateKeySigner};
use assay_engine::Model;
use assay_protocol::{Eip712Domain, PoolParams, SolStruct};
use assay_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use status::{CheckStatus, RequestStatus};

/// What a gateway is made of.
#[derive(Debug)]
pub struct Config {
    /// The pool it buys from.
    pub pool: B256,
    /// Signs its messages; the account's own key, or the session key it registered.
    pub signer: PrivateKeySigner,
    /// The pool's model, for its tokenizer and chat template.
    pub model: Model,
    /// What the API calls the model.
    pub model_name: String,
    /// Accepted API keys; none means that every caller is let in.
    pub api_keys: Vec<String>,
    /// How far this clock may be off: an answer that arrives later than this before its ticket's round is not accepted.
    pub clock_skew: Duration,
    /// How long a server may take to its next token.
    pub token_timeout: Duration,
}

/// A running gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
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
    peers: peer::Peers,
    lanes: lanes::Lanes,
    statuses: status::Statuses,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why a gateway can't start or must stop.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The chain has no such pool.
    #[error("pool {0} is not on this chain")]
    PoolUnknown(B256),
    /// The model file is not the pool's.
    #[error("the model file's root is {found}, the pool's is {expected}")]
    WrongModel {
        /// The pool's.
        expected: B256,
        /// The file's.
        found: B256,
    },
    /// The connection to the chain has no account.
    #[error("a gateway needs an account")]
    NoAccount,
    /// Durable state can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener failed.
    #[error("listening: {0}")]
    Listen(#[from] std::io::Error),
    /// The HTTP client can't be set up.
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

impl Gateway {
    /// Takes up its state. The follower must have reached the chain's head once.
    pub async fn new(
        config: Config,
        chain: Chain,
        follower: Follower,
        beacon: BeaconClient,
        store: Store,
    ) -> Result<Self, GatewayError> {
        let account = chain.account().ok_or(GatewayError::NoAccount)?;
        let params = {
            let index = follower.read().await;
            index.pool(config.pool).ok_or(GatewayError::PoolUnknown(config.pool))?.params.clone()
        };
        let (expected, found) = (params.basis.modelRoot, config.model.root());
        if expected != found {
            return Err(GatewayError::WrongModel { expected, found });
        }
        Ok(Self {
            inner: Arc::new(Inner {
                domain: chain.deployment().domain(),
                peers: peer::Peers::new(config.token_timeout)?,
                lanes: lanes::Lanes::default(),
                statuses: status::Statuses::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
                config,
                account,
                params,
                chain,
                follower,
                beacon,
                store,
            }),
        })
    }

    /// Serves the API on `listener` and follows up on every answer until `stop` is cancelled.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<(), GatewayError> {
        let node = self.inner;
        let free = node
            .follower
            .read()
            .await
            .pool(node.config.pool)
            .map_or(U256::ZERO, |pool| pool.balance_of(AccountKind::Free, node.account));
        let needed = node.params.dispute_bond();
        if free < needed {
            tracing::warn!(%free, %needed, "too little free money in the pool to dispute a wrong answer: deposit some");
        }
        challenge::resume(&node)?;
        let ended = {
            let (node, stop) = (node.clone(), stop.clone());
            async move {
                stop.cancelled().await;
                node.stop.cancel();
            }
        };
        axum::serve(listener, openai::router(node.clone())).with_graceful_shutdown(ended).await?;
        node.stop.cancel();
        node.tasks.close();
        // What is unfinished is in the store and goes on at the next start.
        let _ = tokio::time::timeout(Duration::from_secs(2), node.tasks.wait()).await;
        Ok(())
    }
}

/// What keeps the gateway from going on with a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Beacon(#[from] BeaconError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("pool {0} is gone from the index")]
    NoPool(B256),
    #[error("{0}")]
    Rejected(String),
}

impl Inner {
    fn now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn current_round(&self) -> u64 {
        self.beacon.chain().round_at(Self::now().as_secs())
    }

    fn epoch_of_round(&self, round: u64) -> Result<u32, NodeError> {
        Ok(self.params.epoch_of(self.beacon.chain().time_of(round)?))
    }

    async fn randomness(&self, round: u64) -> Result<B256, NodeError> {
        Ok(B256::from(self.beacon.wait(round).await?.randomness()))
    }

    /// The first round at or after the start of an epoch: it draws the sets.
    fn first_round_of(&self, epoch: u32) -> Result<u64, NodeError> {
        let chain = self.beacon.chain();
        let start = self.params.epoch_start(epoch);
        let round = chain.round_at(start).max(1);
        Ok(if chain.time_of(round)? < start { round + 1 } else { round })
    }

    fn sign<T: SolStruct>(&self, message: &T) -> Result<Bytes, NodeError> {
        Ok(assay_chain::sign(&self.config.signer, &self.domain, message)?)
    }
}
