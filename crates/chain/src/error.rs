//! What can go wrong with the chain, sorted by what the caller does about it.

use alloy::transports::{RpcError, TransportErrorKind};
use alloy_primitives::{Bytes, TxHash};
use alloy_sol_types::SolInterface;

use crate::abi;

/// Errors of the chain client.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The node can't be reached or answers nonsense. Retry.
    #[error("chain node unreachable: {0}")]
    Unreachable(String),
    /// A contract refused the call. Give up: the same call will fail again until state changes.
    #[error("refused by the contract: {reason}")]
    Reverted {
        /// The custom error with its arguments.
        reason: String,
        /// Raw revert data.
        data: Bytes,
    },
    /// A transaction was included and failed.
    #[error("transaction {0} failed after it was accepted")]
    Failed(TxHash),
    /// The transaction was not included in time. It may still be: look before sending again.
    #[error("transaction {0} is not included yet")]
    NotIncluded(TxHash),
    /// The node is on another chain. Stop.
    #[error("chain id is {found}, expected {expected}")]
    WrongChain {
        /// What the deployment says.
        expected: u64,
        /// What the node says.
        found: u64,
    },
    /// This client has no key to send with. Stop.
    #[error("no account to send transactions from")]
    ReadOnly,
    /// A file or answer can't be understood. Stop.
    #[error("{0}")]
    Malformed(String),
}

impl ChainError {
    /// Whether the same call may succeed later without any change of state on-chain.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NotIncluded(_))
    }

    /// Whether a contract refused with the custom error of this name.
    pub fn is_revert(&self, name: &str) -> bool {
        matches!(self, Self::Reverted { reason, .. } if reason.split(['(', ' ', '{']).next() == Some(name))
    }
}

impl From<RpcError<TransportErrorKind>> for ChainError {
    fn from(error: RpcError<TransportErrorKind>) -> Self {
        if let Some(payload) = error.as_error_resp() {
            if let Some(data) = payload.as_revert_data() {
                return Self::Reverted { reason: decode_revert(&data), data };
            }
            return Self::Reverted { reason: payload.message.to_string(), data: Bytes::new() };
        }
        Self::Unreachable(error.to_string())
    }
}

/// The custom error in revert data, as `Name { arguments }`.
fn decode_revert(data: &[u8]) -> String {
    macro_rules! attempt {
        ($($errors:ty),+) => { $(
            if let Ok(error) = <$errors>::abi_decode(data) {
                return strip(format!("{error:?}"));
            }
        )+ };
    }
    attempt!(
        abi::Ledger::LedgerErrors,
        abi::Staking::StakingErrors,
        abi::Lanes::LanesErrors,
        abi::Checks::ChecksErrors,
        abi::Disputes::DisputesErrors,
        abi::JuryArbiter::JuryArbiterErrors,
        abi::Pools::PoolsErrors,
        abi::DrandBeacon::DrandBeaconErrors,
        abi::AssayToken::AssayTokenErrors
    );
    match alloy_sol_types::decode_revert_reason(data) {
        Some(reason) => reason,
        None => format!("unknown error 0x{}", alloy_primitives::hex::encode(data)),
    }
}

/// `Variant(Name { .. })` without the enum's layer.
fn strip(text: String) -> String {
    match (text.find('('), text.strip_suffix(')')) {
        (Some(at), Some(body)) => body[at + 1..].to_owned(),
        _ => text,
    }
}
