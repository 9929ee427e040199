//! A whole network on this machine: chain, beacon, servers and gateway, each a process of its own.

mod local;
mod process;
pub(crate) mod tools;

pub(crate) use local::{LocalNetwork, Member, Plan};
