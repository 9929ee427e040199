//! One command a file.

pub(crate) mod account;
pub(crate) mod ask;
pub(crate) mod beacon;
pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod devnet;
pub(crate) mod doctor;
pub(crate) mod economics;
pub(crate) mod gateway;
pub(crate) mod generate;
pub(crate) mod model;
pub(crate) mod pool;
pub(crate) mod server;
