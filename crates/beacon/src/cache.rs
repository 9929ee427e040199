//! A bounded store of verified rounds.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::chain::Round;

/// Keeps the newest rounds, at most a given number.
#[derive(Debug)]
pub(crate) struct RoundCache {
    limit: usize,
    rounds: Mutex<BTreeMap<u64, Round>>,
}

impl RoundCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, rounds: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn get(&self, round: u64) -> Option<Round> {
        self.lock().get(&round).cloned()
    }

    pub(crate) fn insert(&self, round: Round) {
        let mut rounds = self.lock();
        rounds.insert(round.number(), round);
        while rounds.len() > self.limit {
            rounds.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Round>> {
        // Every change is a single call on the map, so a panic elsewhere leaves it whole.
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devnet::DevnetChain;

    #[test]
    fn the_cache_keeps_the_newest_rounds_up_to_its_bound() {
        let chain = DevnetChain::new(&[7; 32], 1_000, 3).unwrap();
        let cache = RoundCache::new(2);
        for number in [5, 9, 7, 1] {
            cache.insert(chain.round(number).unwrap());
        }
        assert_eq!(cache.get(9), Some(chain.round(9).unwrap()));
        assert_eq!(cache.get(7), Some(chain.round(7).unwrap()));
        assert_eq!(cache.get(5), None);
        assert_eq!(cache.get(1), None);
    }
}
