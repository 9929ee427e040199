//! What a server keeps.

use alloy_primitives::{Address, B256, Bytes};
use assay_protocol::wire::ResponseBody;
use assay_protocol::{AcceptedRange, Evidence, InferenceRequest, Voucher};
use assay_store::Record;
use serde::{Deserialize, Serialize};

/// Key of a lane: user, lane.
pub(crate) fn lane_key(user: Address, lane: u64) -> Vec<u8> {
    [user.as_slice(), &lane.to_be_bytes()].concat()
}

/// Key of a request: user, lane, sequence.
pub(crate) fn request_key(request: &InferenceRequest) -> Vec<u8> {
    [lane_key(request.user, request.lane).as_slice(), &request.sequence.to_be_bytes()].concat()
}

/// One order and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) request: InferenceRequest,
    pub(crate) signature: Bytes,
    pub(crate) progress: Progress,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Progress {
    Running,
    /// Signed, and owed to the user again whenever it asks.
    Answered(Box<ResponseBody>),
    /// Interrupted before anything was signed; the number stays spent.
    Abandoned,
}

impl Record for Answer {
    const KIND: &'static str = "answer";
    fn key(&self) -> Vec<u8> {
        request_key(&self.request)
    }
    fn state(&self) -> &'static str {
        match self.progress {
            Progress::Running => "running",
            Progress::Answered(_) => "answered",
            Progress::Abandoned => "abandoned",
        }
    }
}

/// Two orders under one number: evidence against their user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Equivocation {
    pub(crate) first: (InferenceRequest, Bytes),
    pub(crate) second: (InferenceRequest, Bytes),
}

impl Record for Equivocation {
    const KIND: &'static str = "equivocation";
    fn key(&self) -> Vec<u8> {
        request_key(&self.first.0)
    }
    fn state(&self) -> &'static str {
        "kept"
    }
}

/// A response that the user has not acknowledged yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) response: B256,
    pub(crate) sequence: u64,
    pub(crate) units: u64,
    /// Until when it counts against the user's credit, unix seconds.
    pub(crate) until: u64,
}

/// A lane and what it has earned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) user: Address,
    pub(crate) lane: u64,
    pub(crate) last_sequence: u64,
    pub(crate) accepted: AcceptedRange,
    pub(crate) pending: Option<Pending>,
    pub(crate) voucher: Option<(Voucher, Bytes)>,
    pub(crate) redeemed_count: u64,
    pub(crate) redeemed_units: u64,
}

impl Record for Lane {
    const KIND: &'static str = "lane";
    fn key(&self) -> Vec<u8> {
        lane_key(self.user, self.lane)
    }
    fn state(&self) -> &'static str {
        match &self.voucher {
            Some((voucher, _)) if voucher.count > self.redeemed_count => "redeemable",
            _ => "idle",
        }
    }
}

/// A check that this server has answered as a validator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) response: B256,
    pub(crate) evidence: Evidence,
    pub(crate) digest: assay_protocol::Digest,
    pub(crate) ticket_round: u64,
    pub(crate) progress: CheckProgress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CheckProgress {
    /// The digests are equal: pay is due.
    Equal,
    /// They differ: the user will dispute.
    Unequal,
    Claimed,
    /// Paid, void, or refused for good.
    Over,
}

impl Record for Check {
    const KIND: &'static str = "check";
    fn key(&self) -> Vec<u8> {
        self.response.to_vec()
    }
    fn state(&self) -> &'static str {
        match self.progress {
            CheckProgress::Equal => "equal",
            CheckProgress::Unequal => "unequal",
            CheckProgress::Claimed => "claimed",
            CheckProgress::Over => "over",
        }
    }
}
