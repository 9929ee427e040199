//! Keeps an index at the head of the chain.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use tokio::sync::{RwLock, RwLockReadGuard, broadcast, watch};
use tokio::task::JoinHandle;

use super::{Change, Index};
use crate::client::PAGE;
use crate::{Chain, ChainError};

/// Changes kept for a slow listener; one that falls behind reads the index instead.
const BACKLOG: usize = 4_096;

/// An index that follows the chain until it is dropped.
///
/// A reorganised chain (the last block taken in is no longer there) rebuilds the index from its first block. While the node
/// is unreachable the index stays as it was, and [`Follower::is_behind`] says so.
#[derive(Debug, Clone)]
pub struct Follower {
    index: Arc<RwLock<Index>>,
    changes: broadcast::Sender<Change>,
    block: watch::Receiver<u64>,
    reachable: watch::Receiver<bool>,
    _task: Arc<Abort>,
}

#[derive(Debug)]
struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Takes in everything up to the head, then polls every `interval`.
    pub async fn start(chain: Chain, interval: Duration) -> Result<Self, ChainError> {
        let (changes, _) = broadcast::channel(BACKLOG);
        let (block_out, block) = watch::channel(0);
        let (reachable_out, reachable) = watch::channel(true);
        let index = Arc::new(RwLock::new(Index::default()));
        let mut last = None;
        advance(&chain, &index, &changes, &mut last).await?;
        block_out.send_replace(index.read().await.block);
        let task = {
            let (index, changes) = (index.clone(), changes.clone());
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(interval);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    match advance(&chain, &index, &changes, &mut last).await {
                        Ok(number) => {
                            reachable_out.send_replace(true);
                            block_out.send_if_modified(|b| std::mem::replace(b, number) != number);
                        }
                        Err(error) => {
                            if reachable_out.send_replace(false) {
                                tracing::warn!(%error, "can't follow the chain");
                            }
                        }
                    }
                }
            })
        };
        Ok(Self { index, changes, block, reachable, _task: Arc::new(Abort(task)) })
    }

    /// The index as of the latest block taken in.
    pub async fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().await
    }

    /// Everything that changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The latest block taken in, as it changes from now on.
    pub fn blocks(&self) -> watch::Receiver<u64> {
        let mut blocks = self.block.clone();
        // A clone has seen as little as its original, which nobody reads: waiting for a change would end at once.
        blocks.mark_unchanged();
        blocks
    }

    /// Whether the node could not be reached at the last try.
    pub fn is_behind(&self) -> bool {
        !*self.reachable.borrow()
    }
}

async fn advance(
    chain: &Chain,
    index: &RwLock<Index>,
    changes: &broadcast::Sender<Change>,
    last: &mut Option<(u64, B256)>,
) -> Result<u64, ChainError> {
    let (head, time) = chain.head().await?;
    if let Some((number, hash)) = *last
        && (head < number || chain.block_hash(number).await? != Some(hash))
    {
        tracing::warn!(number, "the chain was reorganised; reading it anew");
        *last = None;
        *index.write().await = Index::default();
    }
    let mut from = last.map_or(chain.deployment().start_block, |(number, _)| number + 1);
    while from <= head {
        let to = head.min(from + PAGE - 1);
        let logs = chain.logs(from, to).await?;
        let hash = chain.block_hash(to).await?;
        let mut out = Vec::new();
        {
            let mut index = index.write().await;
            for log in &logs {
                index.apply(chain.deployment(), log, &mut out)?;
            }
            index.block = to;
            // Before the last page it is of an earlier block: events up to this time may not have been read yet.
            if to == head {
                index.time = time;
            }
        }
        let Some(hash) = hash else { break };
        *last = Some((to, hash));
        for change in out {
            // Nobody listening is no error.
            let _ = changes.send(change);
        }
        let _ = changes.send(Change::Block { number: to, time });
        from = to + 1;
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_block_waits_for_the_next_one() {
        let (block_out, block) = watch::channel(0);
        let follower = Follower {
            index: Arc::default(),
            changes: broadcast::channel(1).0,
            block,
            reachable: watch::channel(true).1,
            _task: Arc::new(Abort(tokio::spawn(std::future::pending()))),
        };
        block_out.send_replace(7);
        let mut blocks = follower.blocks();
        assert!(!blocks.has_changed().unwrap(), "the latest block is no new one");
        block_out.send_replace(8);
        blocks.changed().await.unwrap();
        assert_eq!(*blocks.borrow(), 8);
    }
}
