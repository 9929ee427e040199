//! Lanes: one sequential stream of requests each, as many as run at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use alloy_primitives::Address;
use assay_protocol::AcceptedRange;

/// A lane, taken out of its server's idle ones for one request.
///
/// Lanes live in memory only: after a restart every stream begins a fresh one, so a number can't be signed twice by a gateway
/// that was restored from an older state.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) lane: u64,
    pub(crate) sequence: u64,
    pub(crate) accepted: AcceptedRange,
}

/// Idle lanes and the number of requests under way, by server.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<HashMap<Address, Server>>);

#[derive(Debug, Default)]
struct Server {
    idle: Vec<Lane>,
    running: usize,
}

impl Lanes {
    fn with<T>(&self, server: Address, f: impl FnOnce(&mut Server) -> T) -> T {
        f(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(server).or_default())
    }

    /// Requests under way at a server.
    pub(crate) fn load(&self, server: Address) -> usize {
        self.with(server, |s| s.running)
    }

    /// An idle lane, or a fresh one, with its next number.
    pub(crate) fn take(&self, server: Address) -> Lane {
        self.with(server, |s| {
            s.running += 1;
            let mut lane = s.idle.pop().unwrap_or_else(|| Lane {
                lane: rand::random(),
                sequence: 0,
                accepted: AcceptedRange::default(),
            });
            lane.sequence += 1;
            lane
        })
    }

    /// Gives a lane back whose last response was acknowledged.
    pub(crate) fn give_back(&self, server: Address, lane: Lane) {
        self.with(server, |s| {
            s.running = s.running.saturating_sub(1);
            s.idle.push(lane);
        });
    }

    /// Drops a lane for good.
    pub(crate) fn abandon(&self, server: Address) {
        self.with(server, |s| s.running = s.running.saturating_sub(1));
    }
}
