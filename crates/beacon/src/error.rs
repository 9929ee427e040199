//! What can go wrong, sorted by what the caller does about it.

use std::time::Duration;

/// What a caller does about a [`BeaconError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The same call may succeed later.
    Retry,
    /// This call will not succeed here; another round or another server may.
    GiveUp,
    /// The configuration is wrong: nothing will work until a person changes it.
    Stop,
}

/// Why a round or a chain could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeaconError {
    // Retry.
    /// The connection failed or broke off.
    #[error("{url}: {reason}")]
    Transport {
        /// The address asked.
        url: String,
        /// The HTTP client's words.
        reason: String,
    },
    /// No complete answer within the time allowed.
    #[error("{url}: no complete answer within {limit:?}")]
    Timeout {
        /// The address asked.
        url: String,
        /// The time allowed.
        limit: Duration,
    },
    /// The server does not have the round (404 or 425): it is not published yet, or the server lags.
    #[error("{url}: round {round} is not published there")]
    NotPublished {
        /// The address asked.
        url: String,
        /// The round asked for.
        round: u64,
    },
    /// The server's latest round is verified, but too old to be the latest.
    #[error("{url}: calls round {round} the latest, the clock says {expected}")]
    Stale {
        /// The address asked.
        url: String,
        /// The round it gave.
        round: u64,
        /// The latest round by the clock.
        expected: u64,
    },

    // Retry or give up.
    /// The server answered with a status that says neither "here it is" nor "not yet". Worth a retry if it is
    /// 429 or 5xx.
    #[error("{url}: HTTP status {status}")]
    Status {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Every server failed. Worth a retry if one of their errors is.
    #[error("no server gave a usable answer: {}", join(.0))]
    AllFailed(Vec<BeaconError>),

    // Give up.
    /// Rounds are counted from 1.
    #[error("there is no round 0")]
    RoundZero,
    /// The server answered with another round than the one asked for.
    #[error("round {got} came instead of round {wanted}")]
    WrongRound {
        /// The round asked for.
        wanted: u64,
        /// The round that came.
        got: u64,
    },
    /// A compressed signature has 48 bytes.
    #[error("the signature of round {round} has {length} bytes instead of 48")]
    SignatureLength {
        /// The round it came for.
        round: u64,
        /// Its length in bytes.
        length: usize,
    },
    /// The signature is not the canonical encoding of a point of the subgroup other than infinity.
    #[error("the signature of round {round} is not a point of the subgroup: {reason}")]
    SignaturePoint {
        /// The round it came for.
        round: u64,
        /// Which check failed.
        reason: &'static str,
    },
    /// The signature is a point, but not the chain's signature of this round.
    #[error("the signature of round {round} is not the chain's")]
    SignatureInvalid {
        /// The round it came for.
        round: u64,
    },
    /// The signature is right, but the randomness beside it is not its sha256.
    #[error("the randomness of round {round} is not the hash of its signature")]
    RandomnessMismatch {
        /// The round it came for.
        round: u64,
    },
    /// The answer is longer than allowed; the rest was not read.
    #[error("{url}: the answer is longer than {limit} bytes")]
    BodyTooLarge {
        /// The address asked.
        url: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// The answer is not the JSON that drand's API defines.
    #[error("{url}: {reason}")]
    Malformed {
        /// The address asked.
        url: String,
        /// The decoder's words.
        reason: String,
    },

    // Stop.
    /// The chain is another than the pinned one: its hash, recomputed from what it says of itself, differs.
    #[error("the chain's hash is {got}, pinned is {wanted}")]
    ChainMismatch {
        /// The pinned hash, in hex.
        wanted: String,
        /// The recomputed hash, in hex.
        got: String,
    },
    /// The chain's description does not describe a usable chain.
    #[error("unusable chain: {0}")]
    ChainInfo(&'static str),
    /// The chain uses a scheme that this crate does not speak.
    #[error("scheme {0:?} is not supported")]
    Scheme(String),
    /// The client's configuration is unusable.
    #[error("unusable configuration: {0}")]
    Config(String),
}

impl BeaconError {
    /// What the caller does about it.
    pub fn action(&self) -> Action {
        match self {
            Self::Transport { .. }
            | Self::Timeout { .. }
            | Self::NotPublished { .. }
            | Self::Stale { .. } => Action::Retry,
            Self::Status { status, .. } if *status == 429 || *status >= 500 => Action::Retry,
            Self::AllFailed(errors) if errors.iter().any(Self::is_retryable) => Action::Retry,
            Self::AllFailed(errors) if errors.iter().all(|error| error.action() == Action::Stop) => {
                Action::Stop
            }
            Self::Status { .. }
            | Self::AllFailed(_)
            | Self::RoundZero
            | Self::WrongRound { .. }
            | Self::SignatureLength { .. }
            | Self::SignaturePoint { .. }
            | Self::SignatureInvalid { .. }
            | Self::RandomnessMismatch { .. }
            | Self::BodyTooLarge { .. }
            | Self::Malformed { .. } => Action::GiveUp,
            Self::ChainMismatch { .. } | Self::ChainInfo(_) | Self::Scheme(_) | Self::Config(_) => {
                Action::Stop
            }
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.action() == Action::Retry
    }
}

fn join(errors: &[BeaconError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
