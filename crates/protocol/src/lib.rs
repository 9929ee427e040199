//! What every participant signs, hashes and draws: the messages of the Assay protocol, their canonical
//! encodings, digests and commitments, tickets and draws, units and prices, and the roots of vouchers.
//!
//! Everything here is a pure function of its arguments. The contracts compute the same values; both sides are
//! held to `tests/vectors/protocol.json`.

mod accepted;
mod digest;
mod draw;
mod input;
mod messages;
mod pool;
pub mod wire;

pub use digest::{ARITHMETIC_VERSION, Digest, DigestInputs, WorkDigest, misdescribed_digest, output_hash};
pub use input::{InferenceInput, InputError, MAX_INPUT_BYTES, MAX_STOP_TOKENS, Sampling};

pub use accepted::{Accepted, AcceptedRange};
pub use draw::{Draw, Ticket, jury_places, set_subject, ticket_round};
pub use messages::{
    Cancel, Challenge, CheckAnswer, Evidence, InferenceRequest, InferenceResponse, Role, SignatureError,
    Voucher, ballot_subject, case_subject, commitment, domain, hash_of, ticket_nonce_hash, verify_signature,
};
pub use pool::{Basis, Limits, PoolParams, Prices, Rates, Windows, quorum, units_of};

pub use alloy_primitives::{Address, B256, Bytes, U256};
pub use alloy_sol_types::{Eip712Domain, SolStruct};

/// How a generation ended. The discriminants are part of the signed bytes; zero is never valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Finish {
    /// The model produced one of the input's stop tokens or its own end-of-text token, which is the last output token.
    Stop = 1,
    /// `maxTokens` output tokens were produced.
    Length = 2,
    /// The user cancelled with a signed message.
    Cancelled = 3,
}

impl TryFrom<u8> for Finish {
    type Error = InputError;

    fn try_from(value: u8) -> Result<Self, InputError> {
        match value {
            1 => Ok(Self::Stop),
            2 => Ok(Self::Length),
            3 => Ok(Self::Cancelled),
            other => Err(InputError::Finish(other)),
        }
    }
}
