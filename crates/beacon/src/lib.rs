//! The public random beacon: a client of the drand network that verifies every round, and a devnet chain that
//! speaks the same HTTP API.
//!
//! A drand chain signs the number of every round with a threshold BLS key; the sha256 of the signature is the
//! round's randomness. Round `i` is published at `genesis + (i - 1) * period` and cannot be computed earlier
//! by anyone without a threshold of the key's shares. This crate speaks one scheme, [`SCHEME_ID`], which
//! quicknet uses.
//!
//! - [`ChainInfo`] verifies rounds and turns them into what the `DrandBeacon` contract takes.
//! - [`Client`] fetches rounds from any of several servers, none of which is trusted.
//! - [`devnet::DevnetChain`] is a chain of its own, for tests and demos: same scheme, same API, one key.
//!
//! The network is the only source of rounds and [`Clock`] the only source of time.

mod cache;
mod chain;
mod client;
mod clock;
pub mod devnet;
mod error;
mod fetch;
pub mod quicknet;
mod wire;

pub use chain::{ChainInfo, Round, SCHEME_ID};
pub use client::{Client, ClientConfig};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Action, BeaconError};
pub use wire::{InfoJson, MetadataJson, RoundJson};
