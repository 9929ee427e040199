//! Parameter sets as words, so that each field can be moved by its number.

use alloy_primitives::U256;
use alloy_sol_types::SolValue;
use assay_economics::conditions::{Condition, first_broken};
use assay_protocol::PoolParams;

/// Names and widths in bits of all parameters, in the order of their encoding, and of the beacon's period, last.
pub(crate) const FIELDS: [(&str, usize); 51] = [
    ("token", 160),
    ("beacon", 160),
    ("arbiter", 160),
    ("modelRoot", 256),
    ("seatStake", 96),
    ("seatFloat", 96),
    ("rewardFixed", 96),
    ("rewardUnit", 96),
    ("feeFixed", 96),
    ("feeUnit", 96),
    ("costUnit", 96),
    ("checkFixed", 96),
    ("outsideGain", 96),
    ("gasAllowance", 96),
    ("freezePrice", 96),
    ("jurorPay", 96),
    ("jurorPenalty", 96),
    ("checkCap", 96),
    ("minBond", 96),
    ("auditPay", 96),
    ("challengeFixed", 128),
    ("challengeUnit", 128),
    ("auditFixed", 128),
    ("auditUnit", 128),
    ("collusion", 16),
    ("discount", 16),
    ("maxUnits", 32),
    ("maxInputBytes", 32),
    ("promptWeight", 32),
    ("outputWeight", 32),
    ("stride", 16),
    ("redraws", 8),
    ("setSize", 8),
    ("auditSize", 8),
    ("firstJury", 8),
    ("secondJury", 8),
    ("epoch", 32),
    ("request", 32),
    ("answer", 32),
    ("claim", 32),
    ("dispute", 32),
    ("publish", 32),
    ("commit", 32),
    ("propose", 32),
    ("audit", 32),
    ("vesting", 32),
    ("unbonding", 32),
    ("voucher", 32),
    ("exit", 32),
    ("lag", 32),
    ("period", 64),
];
/// Where the numbers begin: before them are addresses and the model's root.
pub(crate) const NUMBERS: usize = 4;
const PERIOD: usize = FIELDS.len() - 1;

/// One set of parameters and the period of its beacon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set([U256; FIELDS.len()]);

impl Set {
    /// All zero.
    pub(crate) fn empty() -> Self {
        Self([U256::ZERO; FIELDS.len()])
    }

    pub(crate) fn period(&self) -> u64 {
        self.0[PERIOD].to()
    }

    pub(crate) fn params(&self) -> PoolParams {
        PoolParams::abi_decode(&self.encoded()).unwrap()
    }

    /// The parameters' encoding.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        self.0[..PERIOD].iter().flat_map(U256::to_be_bytes::<32>).collect()
    }

    pub(crate) fn get(&self, field: usize) -> U256 {
        self.0[field]
    }

    pub(crate) fn with(mut self, field: usize, value: U256) -> Self {
        self.0[field] = value;
        self
    }

    /// The first condition that it breaks, by the crate.
    pub(crate) fn broken(&self) -> Option<Condition> {
        first_broken(&self.params(), self.period())
    }
}

/// Number of a field.
pub(crate) fn field(name: &str) -> usize {
    FIELDS.iter().position(|(other, _)| *other == name).unwrap()
}

/// Largest value of a field.
pub(crate) fn largest(field: usize) -> U256 {
    U256::MAX >> (256 - FIELDS[field].1)
}
