//! The chain as Assay sees it: typed calls and transactions, and an index rebuilt from events alone.

pub mod abi;
mod cases;
mod client;
mod error;
mod index;
mod rounds;

pub use cases::{Case, close};
pub use client::{Chain, Deployment, sign};
pub use error::ChainError;
pub use index::{
    AccountKind, Change, Claim, Follower, Index, Jury, Lane, OpenDispute, PoolView, Seat, ServerView,
};

pub use rounds::{convert, submit_rounds};

pub use alloy::signers::local::PrivateKeySigner;
pub use alloy::signers::{Signer, SignerSync};
