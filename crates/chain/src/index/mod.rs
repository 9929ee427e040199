//! The view of the chain that servers and gateways work from, rebuilt from events alone.

mod apply;
mod follow;
mod pool;

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_primitives::{Address, B256, Bytes, U256};
use assay_protocol::InferenceResponse;

pub use follow::Follower;
pub use pool::{AccountKind, Claim, Lane, PoolView, Seat, ServerView};

use crate::abi::disputes::IDisputes::Record;

/// Everything that the events up to `block` say.
#[derive(Debug, Default)]
pub struct Index {
    /// Latest block taken in.
    pub block: u64,
    /// Its time, unix seconds.
    pub time: u64,
    /// Pools by id.
    pub pools: HashMap<B256, PoolView>,
    /// Disputes by id, ended ones included.
    pub disputes: BTreeMap<U256, OpenDispute>,
    /// Juries by (subject, ballot).
    pub juries: HashMap<(B256, u8), Jury>,
    /// Subject of each dispute's case.
    pub subjects: HashMap<U256, B256>,
    /// Rounds whose values are on-chain.
    pub rounds: HashSet<u64>,
}

/// A dispute and what has happened to it.
#[derive(Debug, Clone)]
pub struct OpenDispute {
    /// Its id.
    pub id: U256,
    /// What each call about it must give back.
    pub record: Record,
    /// The disputed response.
    pub answer: InferenceResponse,
    /// End of the publish window, unix seconds.
    pub publish_until: u64,
    /// The input, once published.
    pub input: Option<Bytes>,
    /// Number of `IDisputes.State` once it has ended.
    pub ended: Option<u8>,
}

/// A ballot over a case.
#[derive(Debug, Clone, Default)]
pub struct Jury {
    /// Round that draws it.
    pub round: u64,
    /// Unix seconds.
    pub commit_end: u64,
    /// Unix seconds.
    pub propose_end: u64,
    /// Seats by position; empty until drawn.
    pub seats: Vec<u64>,
    /// Commitments by position.
    pub commitments: BTreeMap<u64, B256>,
    /// The verdict, if this ballot gave one.
    pub digest: Option<B256>,
    /// Positions that were paid or fined.
    pub settled: HashSet<u64>,
}

/// A step that somebody may be waiting for.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named as the events are")]
pub enum Change {
    Block {
        number: u64,
        time: u64,
    },
    Moved {
        pool: B256,
        from: (AccountKind, B256),
        to: (AccountKind, B256),
        amount: U256,
    },
    DisputeOpened {
        id: U256,
        pool: B256,
        record: Box<Record>,
    },
    InputPublished {
        id: U256,
        bytes: usize,
    },
    BallotOpened {
        subject: B256,
        ballot: u8,
        round: u64,
    },
    JuryDrawn {
        subject: B256,
        ballot: u8,
        seats: Vec<u64>,
    },
    Committed {
        subject: B256,
        ballot: u8,
        position: u64,
    },
    Decided {
        subject: B256,
        ballot: u8,
        digest: B256,
        matching: u64,
    },
    CaseVoid {
        subject: B256,
    },
    SeatSlashed {
        seat: u64,
        case: B256,
        amount: U256,
    },
    ServerConvicted {
        server: Address,
    },
    VestingForfeited {
        server: Address,
        amount: U256,
    },
    DisputeEnded {
        id: U256,
        state: u8,
        server_wrong: bool,
        validator_wrong: bool,
        slashed: U256,
        burnt: U256,
    },
    Redeemed {
        server: Address,
        user: Address,
        lane: u64,
        count: u64,
        units: u64,
        reward: U256,
        burnt: U256,
    },
    Claimed {
        response: B256,
        validator: Address,
        pay: U256,
    },
    ClaimPaid {
        response: B256,
        validator: Address,
    },
    EquivocationProven {
        id: U256,
        server: Address,
    },
    JurorPaid {
        response: B256,
        seat: u64,
        amount: U256,
    },
    JurorFined {
        response: B256,
        seat: u64,
        amount: U256,
    },
}

impl OpenDispute {
    /// Whether an accused seat was convicted.
    fn is_convicted(&self, pool: &PoolView) -> bool {
        [self.record.serverSeat, self.record.validatorSeat].iter().any(|s| pool.convicted_seats.contains(s))
    }
}

impl Index {
    /// A pool's view.
    pub fn pool(&self, id: B256) -> Option<&PoolView> {
        self.pools.get(&id)
    }

    /// Whether a dispute can only be closed: an accused seat was convicted elsewhere, and no other open dispute over the response
    /// waits for the verdict.
    pub fn is_moot(&self, pool: &PoolView, dispute: &OpenDispute) -> bool {
        let others =
            self.open_disputes().any(|d| d.id != dispute.id && d.record.response == dispute.record.response);
        dispute.is_convicted(pool) && (dispute.input.is_none() || !others)
    }

    /// Open disputes.
    pub fn open_disputes(&self) -> impl Iterator<Item = &OpenDispute> {
        self.disputes.values().filter(|d| d.ended.is_none())
    }
}
