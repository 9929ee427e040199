//! Pages of keys and values that outlive their sequence, found again by the tokens that led to them.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use alloy_primitives::{B256, Keccak256};

use crate::cache::{PAGE, Page};

/// Name of a page: a hash over all tokens from the beginning of the sequence to the page's end. Users choose tokens,
/// and a page under a wrong name would make wrong answers, so the hash must be one that nobody finds collisions of.
pub(crate) type Name = B256;

/// The name of the page that follows the one named `before` and holds `tokens`.
pub(crate) fn name_after(before: Option<Name>, tokens: &[u32]) -> Name {
    let mut hasher = Keccak256::new();
    hasher.update(before.unwrap_or_default());
    for token in tokens {
        hasher.update(token.to_be_bytes());
    }
    hasher.finalize()
}

#[derive(Debug)]
struct Entry {
    page: Arc<Page>,
    /// When it was last used, and how far from the beginning it is.
    rank: (u64, Reverse<usize>),
}

/// Full pages by name. What was used longest ago goes first, and of one sequence the end before the beginning.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    entries: HashMap<Name, Entry>,
    order: BTreeSet<((u64, Reverse<usize>), Name)>,
    clock: u64,
}

impl Pages {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The longest run of known pages that `tokens` begin with, with their names.
    pub(crate) fn find(&mut self, tokens: &[u32]) -> Vec<(Name, Arc<Page>)> {
        self.clock += 1;
        let mut found: Vec<(Name, Arc<Page>)> = Vec::new();
        for page in tokens.chunks_exact(PAGE) {
            let name = name_after(found.last().map(|(name, _)| *name), page);
            let Some(entry) = self.entries.get_mut(&name) else { break };
            self.order.remove(&(entry.rank, name));
            entry.rank = (self.clock, Reverse(found.len()));
            self.order.insert((entry.rank, name));
            found.push((name, entry.page.clone()));
        }
        found
    }

    /// Keeps a page, unless one of that name is known; whether it was kept. `depth` pages come before it.
    pub(crate) fn keep(&mut self, name: Name, page: Arc<Page>, depth: usize) -> bool {
        if self.entries.contains_key(&name) {
            return false;
        }
        let rank = (self.clock, Reverse(depth));
        self.entries.insert(name, Entry { page, rank });
        self.order.insert((rank, name));
        true
    }

    /// Forgets the page that was used longest ago among those that no sequence holds; whether there was one.
    pub(crate) fn forget_one(&mut self) -> bool {
        let unused = |(_, name): &&(_, Name)| {
            self.entries.get(name).is_some_and(|entry| Arc::strong_count(&entry.page) == 1)
        };
        let Some(oldest) = self.order.iter().find(unused).copied() else { return false };
        self.order.remove(&oldest);
        self.entries.remove(&oldest.1);
        true
    }
}
