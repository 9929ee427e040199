//! A drand-compatible chain with a single key, for tests, demos and local networks.
//!
//! Whoever knows the seed knows every round in advance: it is a beacon for networks whose tokens are worth
//! nothing. Scheme, JSON and routes are drand's, so [`crate::Client`] and the contract can't tell it apart.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use blst::min_sig::SecretKey;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::chain::{ChainInfo, DST, Round, message};
use crate::clock::Clock;
use crate::error::BeaconError;
use crate::wire::InfoJson;

/// The chain's name.
pub const BEACON_ID: &str = "assay-devnet";

/// A chain that signs its own rounds.
#[derive(Clone)]
pub struct DevnetChain {
    secret: SecretKey,
    info: ChainInfo,
}

impl std::fmt::Debug for DevnetChain {
    // Keeps the secret key out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevnetChain").field("info", &self.info).finish_non_exhaustive()
    }
}

impl DevnetChain {
    /// A chain whose key is derived from `seed` (blst's `KeyGen`, the IETF's draft for BLS signatures).
    /// `genesis`: Unix time of round 1, in seconds; `period`: seconds. There is no group that generated the
    /// key, so the group hash is the sha256 of the compressed public key.
    ///
    /// # Errors
    /// [`BeaconError::ChainInfo`] if the period is zero.
    pub fn new(seed: &[u8; 32], genesis: u64, period: u32) -> Result<Self, BeaconError> {
        let secret = SecretKey::key_gen(seed, &[])
            .map_err(|_| BeaconError::ChainInfo("the seed gives no secret key"))?;
        let key = secret.sk_to_pk().compress();
        let info = ChainInfo::new(&key, genesis, period, Sha256::digest(key).into(), BEACON_ID)?;
        Ok(Self { secret, info })
    }

    /// What a client pins.
    pub fn info(&self) -> &ChainInfo {
        &self.info
    }

    /// Signs `round`, whatever the time is.
    ///
    /// # Errors
    /// [`BeaconError::RoundZero`] for round 0.
    pub fn round(&self, round: u64) -> Result<Round, BeaconError> {
        if round == 0 {
            return Err(BeaconError::RoundZero);
        }
        Ok(Round::from_point(round, &self.secret.sign(&message(round), DST, &[])))
    }

    /// drand's API over this chain: `/info`, `/public/latest` and `/public/{round}`, each also under
    /// `/{chain hash}`. A round of the future is refused with 425, as is `latest` before genesis; an unknown
    /// chain and what is not a round are 404.
    pub fn router(&self, clock: Arc<dyn Clock>) -> Router {
        let routes = || {
            Router::new()
                .route("/info", get(info))
                .route("/public/latest", get(latest))
                .route("/public/{round}", get(numbered))
        };
        let hash = format!("/{}", hex::encode(self.info.hash()));
        routes().nest(&hash, routes()).with_state(Served { chain: Arc::new(self.clone()), clock })
    }

    /// Serves [`DevnetChain::router`] on `listener` until `shutdown` completes, then lets open requests
    /// finish.
    ///
    /// # Errors
    /// What the listener reports.
    pub async fn serve(
        &self,
        listener: TcpListener,
        clock: Arc<dyn Clock>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        axum::serve(listener, self.router(clock)).with_graceful_shutdown(shutdown).await
    }
}

#[derive(Clone)]
struct Served {
    chain: Arc<DevnetChain>,
    clock: Arc<dyn Clock>,
}

impl Served {
    fn current(&self) -> u64 {
        self.chain.info.round_at(self.clock.now().as_secs())
    }

    fn answer(&self, round: u64) -> Response {
        if round > self.current() {
            return StatusCode::TOO_EARLY.into_response();
        }
        match self.chain.round(round) {
            Ok(round) => Json(round.to_json()).into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

async fn info(State(served): State<Served>) -> Json<InfoJson> {
    Json(served.chain.info.clone().into())
}

async fn latest(State(served): State<Served>) -> Response {
    match served.current() {
        0 => StatusCode::TOO_EARLY.into_response(),
        round => served.answer(round),
    }
}

async fn numbered(State(served): State<Served>, Path(round): Path<String>) -> Response {
    match round.parse() {
        Ok(round) => served.answer(round),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
