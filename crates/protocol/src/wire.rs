//! What servers and gateways say to each other over HTTP: paths, bodies, events, size caps and error codes.
//! docs/PROTOCOL.md has the page for other implementers.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::{
    Cancel, Challenge, CheckAnswer, Digest, InferenceRequest, InferenceResponse, MAX_INPUT_BYTES, Voucher,
};

/// Version of this page of the protocol; part of every path.
pub const VERSION: &str = "v1";
/// GET: [`ServerInfo`].
pub const INFO_PATH: &str = "/assay/v1/info";
/// POST [`InferBody`]: an event stream of [`InferEvent`].
pub const INFER_PATH: &str = "/assay/v1/infer";
/// POST [`CancelBody`]: 204.
pub const CANCEL_PATH: &str = "/assay/v1/cancel";
/// POST [`VoucherBody`]: 204.
pub const VOUCHER_PATH: &str = "/assay/v1/voucher";
/// POST [`CheckBody`]: [`CheckReply`].
pub const CHECK_PATH: &str = "/assay/v1/check";
/// Largest body of any message: the input in hex, and the signed structs around it.
pub const MAX_BODY_BYTES: usize = 2 * MAX_INPUT_BYTES + 16 * 1024;
/// Largest event of a stream.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Who a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerInfo {
    /// [`VERSION`].
    pub version: String,
    /// The pool it serves.
    pub pool: B256,
    /// Its account.
    pub server: Address,
}

/// A signed request with its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InferBody {
    /// What is ordered.
    pub request: InferenceRequest,
    /// The user's signature of it.
    pub signature: Bytes,
    /// Canonical input; hashes to the request's `inputHash`.
    pub input: Bytes,
}

/// One event of an answer. The stream ends with `Response` or `Error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum InferEvent {
    /// The next output tokens.
    Tokens {
        /// Their ids.
        tokens: Vec<u32>,
    },
    /// The signed answer.
    Response(Box<ResponseBody>),
    /// The stream ends without an answer.
    Error(WireError),
}

/// A signed response and what it commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseBody {
    /// The response.
    pub response: InferenceResponse,
    /// The server's signature of it.
    pub signature: Bytes,
    /// Work digest: with it, input and output the user computes the digest that the response commits to.
    pub work: B256,
    /// All output tokens, so that a stored response can be had again.
    pub tokens: Vec<u32>,
}

/// A signed cancellation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelBody {
    /// What is cancelled.
    pub cancel: Cancel,
    /// The user's signature of it.
    pub signature: Bytes,
}

/// A signed voucher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoucherBody {
    /// The voucher.
    pub voucher: Voucher,
    /// The user's signature of it.
    pub signature: Bytes,
}

/// A signed challenge with all that a validator checks before it computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckBody {
    /// The request that was answered.
    pub request: InferenceRequest,
    /// The answer.
    pub response: InferenceResponse,
    /// The server's signature of the answer.
    pub response_signature: Bytes,
    /// The challenge.
    pub challenge: Challenge,
    /// The user's signature of the challenge.
    pub challenge_signature: Bytes,
    /// Canonical input.
    pub input: Bytes,
}

/// A validator's signed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReply {
    /// The answer.
    pub answer: CheckAnswer,
    /// The validator's signature of it.
    pub signature: Bytes,
    /// The digest that it commits to; for the user alone.
    pub digest: Digest,
}

/// Why a server refuses, with an HTTP status each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The body is no message of this protocol, or over a size cap.
    Malformed,
    /// Another pool, server, seat, chain or deployment.
    WrongRecipient,
    /// A signature is not the one required.
    BadSignature,
    /// A round or a deadline is past, in the future, or out of order.
    StaleRound,
    /// The input does not hash to the request's, or is outside the model's or the pool's limits.
    BadInput,
    /// The user's bond does not cover what is unredeemed, or the user is leaving.
    NoCredit,
    /// Another request was signed under this number of this lane.
    Equivocation,
    /// The number is at or below one that is spent.
    SequenceSpent,
    /// The voucher is not the one that this lane has earned.
    WrongVoucher,
    /// The challenge is not due: not drawn, not this seat's, or its pay is not there.
    NotDue,
    /// No such request is running.
    NotFound,
    /// All places are taken; try another server, or later.
    Busy,
    /// The beacon or the chain can't be reached.
    Unavailable,
    /// The server's own fault.
    Internal,
}

impl ErrorCode {
    /// HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::WrongRecipient | Self::StaleRound | Self::BadInput | Self::NotDue => 400,
            Self::BadSignature => 401,
            Self::NoCredit => 402,
            Self::NotFound => 404,
            Self::Equivocation | Self::SequenceSpent | Self::WrongVoucher => 409,
            Self::Busy => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

/// An error as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct WireError {
    /// What kind.
    pub code: ErrorCode,
    /// For a person.
    pub message: String,
}

impl WireError {
    /// An error of a kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
