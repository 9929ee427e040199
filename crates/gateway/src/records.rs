//! What a gateway keeps of each order.

use alloy_primitives::{B256, Bytes};
use assay_protocol::wire::ResponseBody;
use assay_protocol::{Challenge, CheckAnswer, Digest, InferenceRequest, Voucher, hash_of};
use assay_store::Record;
use serde::{Deserialize, Serialize};

/// An order from its signature to the end of everything that may follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) request: InferenceRequest,
    pub(crate) signature: Bytes,
    /// Canonical input.
    pub(crate) input: Bytes,
    pub(crate) ticket_nonce: B256,
    pub(crate) progress: Progress,
}

/// How far it has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// Signed; nothing was accepted. After a restart: lost, and its number is spent.
    Sent,
    /// The answer was good. The voucher is owed to the server, and the ticket has yet to be looked at.
    Accepted { answer: Box<ResponseBody>, voucher: Box<(Voucher, Bytes)>, delivered: bool },
    /// Drawn, and the validator committed to another digest.
    Unequal { answer: Box<ResponseBody>, check: Box<Checked> },
    /// Drawn, and nothing is left to ask. Until the window of claims is over, a validator may claim pay for an answer that it
    /// has kept from us.
    Watching { answer: Box<ResponseBody>, ticket_round: u64 },
    /// Nothing is left to do.
    Over,
}

/// A challenge and its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) challenge: Challenge,
    pub(crate) signature: Bytes,
    pub(crate) answer: CheckAnswer,
    pub(crate) answer_signature: Bytes,
    /// What the answer commits to, if the validator told.
    pub(crate) digest: Option<Digest>,
    pub(crate) ticket_round: u64,
}

impl Record for Exchange {
    const KIND: &'static str = "exchange";
    fn key(&self) -> Vec<u8> {
        hash_of(&self.request).to_vec()
    }
    fn state(&self) -> &'static str {
        match self.progress {
            Progress::Sent => "sent",
            Progress::Accepted { .. } => "accepted",
            Progress::Unequal { .. } => "unequal",
            Progress::Watching { .. } => "watching",
            Progress::Over => "over",
        }
    }
}
