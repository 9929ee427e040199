//! One pool's seats, keys, accounts and lanes.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_primitives::{Address, B256, Bytes, U256};
use assay_protocol::{CheckAnswer, Draw, PoolParams, Ticket, set_subject};

/// Kinds of ledger accounts, in the contract's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[allow(missing_docs, reason = "documented beside the Solidity enum")]
#[repr(u8)]
pub enum AccountKind {
    Free = 1,
    Balance,
    Check,
    Bond,
    Seat,
    Vesting,
    Claim,
    Case,
    Burn,
    Audit,
}

impl AccountKind {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Free,
        Self::Balance,
        Self::Check,
        Self::Bond,
        Self::Seat,
        Self::Vesting,
        Self::Claim,
        Self::Case,
        Self::Burn,
        Self::Audit,
    ];

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// A seat, in the table or on its way out.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Who owns it.
    pub owner: Address,
    /// When its stake is free, unix seconds; `None` while it is in the table.
    pub exit_at: Option<u64>,
    /// Below `S`, or convicted.
    pub suspended: bool,
}

/// What is known of an account that serves.
#[derive(Debug, Clone, Default)]
pub struct ServerView {
    /// Where it answers, as announced on-chain.
    pub endpoint: Option<String>,
    /// Convicted of a wrong answer.
    pub convicted: bool,
    /// Open disputes and audits that may still take its stake.
    pub freezes: u32,
}

/// What has been redeemed of a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lane {
    /// Sequence of the last response paid.
    pub sequence: u64,
    /// Responses paid.
    pub count: u64,
    /// Units paid.
    pub units: u64,
}

/// A validator's claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who checked.
    pub validator: Address,
    /// Who pays.
    pub user: Address,
    /// When it can be settled, unix seconds.
    pub free_at: u64,
    /// Which draw it answers.
    pub counter: u8,
    /// What the validator answered, and its signature: shown to the user at the latest here.
    pub answer: CheckAnswer,
    /// The validator's signature of the answer.
    pub signature: Bytes,
    /// Paid, void, or replaced by a dispute.
    pub over: bool,
}

/// One pool.
#[derive(Debug)]
pub struct PoolView {
    /// Hash of the parameters.
    pub id: B256,
    /// Its parameters.
    pub params: PoolParams,
    /// Where its model can be had.
    pub uri: String,
    /// Seats by id.
    pub seats: HashMap<u64, Seat>,
    /// Servers by account.
    pub servers: HashMap<Address, ServerView>,
    /// Ledger accounts by kind and key.
    pub accounts: BTreeMap<(AccountKind, B256), U256>,
    /// Users' exits, unix seconds.
    pub exits: HashMap<Address, u64>,
    /// Redeemed lanes by (user, server, lane).
    pub lanes: HashMap<(Address, Address, u64), Lane>,
    /// Unreleased rewards by (server, epoch): amount and when it is free.
    pub vesting: BTreeMap<(Address, u32), (U256, u64)>,
    /// Seats that were convicted: disputes on them close unjudged.
    pub convicted_seats: HashSet<u64>,
    /// Claims by response.
    pub claims: HashMap<B256, Claim>,
    /// Tokens that came in.
    pub deposited: U256,
    /// Tokens that went out.
    pub withdrawn: U256,
    /// Tokens that were taken out of the supply.
    pub flushed: U256,
    pub(crate) counts: Vec<(u32, u32)>,
    pub(crate) places: Vec<Vec<(u32, u64)>>,
    pub(crate) keys: HashMap<Address, Vec<(u32, Address)>>,
}

/// The entry that holds in `epoch`, of entries in order of their epochs.
fn value_at<T: Copy>(entries: &[(u32, T)], epoch: u32) -> Option<T> {
    let after = entries.partition_point(|(from, _)| *from <= epoch);
    after.checked_sub(1).map(|i| entries[i].1)
}

/// Sets the value from `epoch` on.
pub(crate) fn push<T>(entries: &mut Vec<(u32, T)>, epoch: u32, value: T) {
    match entries.last_mut() {
        Some(last) if last.0 == epoch => last.1 = value,
        _ => entries.push((epoch, value)),
    }
}

impl PoolView {
    pub(crate) fn new(id: B256, params: PoolParams, uri: String) -> Self {
        Self {
            id,
            params,
            uri,
            seats: HashMap::new(),
            servers: HashMap::new(),
            accounts: BTreeMap::new(),
            exits: HashMap::new(),
            lanes: HashMap::new(),
            vesting: BTreeMap::new(),
            convicted_seats: HashSet::new(),
            claims: HashMap::new(),
            deposited: U256::ZERO,
            withdrawn: U256::ZERO,
            flushed: U256::ZERO,
            counts: Vec::new(),
            places: Vec::new(),
            keys: HashMap::new(),
        }
    }

    /// Seats in the table of `epoch`.
    pub fn seat_count(&self, epoch: u32) -> u32 {
        value_at(&self.counts, epoch).unwrap_or(0)
    }

    /// Seat at a place of the table of `epoch`.
    pub fn seat_at(&self, epoch: u32, place: u32) -> Option<u64> {
        if place >= self.seat_count(epoch) {
            return None;
        }
        value_at(self.places.get(place as usize)?, epoch)
    }

    /// The key that signs for `owner` in `epoch`.
    pub fn key_at(&self, owner: Address, epoch: u32) -> Address {
        self.keys.get(&owner).and_then(|keys| value_at(keys, epoch)).unwrap_or(owner)
    }

    /// Who owns a seat.
    pub fn owner_of(&self, seat: u64) -> Option<Address> {
        self.seats.get(&seat).map(|s| s.owner)
    }

    /// Whether a seat can be drawn, serve and vote.
    pub fn is_active(&self, seat: u64) -> bool {
        self.seats
            .get(&seat)
            .is_some_and(|s| !s.suspended && !self.servers.get(&s.owner).is_some_and(|v| v.convicted))
    }

    /// Whether the pool is large enough in `epoch` for its requests to count.
    pub fn is_open(&self, epoch: u32) -> bool {
        self.seat_count(epoch) >= self.params.seats_needed()
    }

    /// What an account holds.
    pub fn balance(&self, kind: AccountKind, key: B256) -> U256 {
        self.accounts.get(&(kind, key)).copied().unwrap_or(U256::ZERO)
    }

    /// What an account of an address holds.
    pub fn balance_of(&self, kind: AccountKind, owner: Address) -> U256 {
        self.balance(kind, owner.into_word())
    }

    /// A user's set for an epoch: the seat of each slot. `randomness` is that of the epoch's first round.
    pub fn set_of(&self, user: Address, epoch: u32, randomness: B256) -> Vec<u64> {
        let count = self.seat_count(epoch);
        (0..u64::from(self.params.limits.setSize))
            .filter_map(|slot| Draw::Set.place(randomness, self.id, set_subject(user), slot, count))
            .filter_map(|place| self.seat_at(epoch, place))
            .collect()
    }

    /// The seat that a ticket draws at `counter`, and its owner.
    pub fn validator_of(
        &self,
        ticket: Ticket,
        randomness: B256,
        epoch: u32,
        counter: u8,
    ) -> Option<(u64, Address)> {
        let count = self.seat_count(epoch);
        let place = Draw::Validator.place(randomness, self.id, ticket.0, u64::from(counter), count)?;
        let seat = self.seat_at(epoch, place)?;
        Some((seat, self.owner_of(seat)?))
    }

    /// Whether all accounts add up to what came in less what went out.
    pub fn is_conserved(&self) -> bool {
        let held: U256 = self.accounts.values().copied().sum();
        self.deposited == held + self.withdrawn + self.flushed
    }
}
