//! Time, injected: what the client and the devnet chain know of it goes through [`Clock`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use tokio::sync::watch;

/// A source of Unix time that can be waited on.
pub trait Clock: Send + Sync {
    /// Time since the Unix epoch.
    fn now(&self) -> Duration;

    /// Completes as soon as [`Clock::now`] has reached `time`; at once if it has already.
    fn sleep_until(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock. Needs a tokio runtime with a timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A machine's clock may be set while somebody sleeps: it is read again this often.
const REREAD: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        // A clock before 1970 counts as 1970: then every round is in the future, and nothing is trusted
        // early.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep_until(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = time.saturating_sub(SystemClock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(REREAD)).await;
            }
        })
    }
}

/// A clock that stands still until it is told to move: for tests and simulations. Clones share one time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<watch::Sender<Duration>>,
    /// What the sleepers wait for, by sleeper.
    wakes: Arc<watch::Sender<BTreeMap<u64, Duration>>>,
}

impl ManualClock {
    /// A clock that shows `now`, a time since the Unix epoch.
    pub fn new(now: Duration) -> Self {
        Self { time: Arc::new(watch::Sender::new(now)), wakes: Arc::new(watch::Sender::new(BTreeMap::new())) }
    }

    /// Moves the clock to `time` and wakes who waited for it. An earlier time than now changes nothing.
    pub fn set(&self, time: Duration) {
        self.time.send_if_modified(|now| {
            let later = time > *now;
            if later {
                *now = time;
            }
            later
        });
    }

    /// Moves the clock forward by `step`.
    pub fn advance(&self, step: Duration) {
        self.time.send_modify(|now| *now = now.saturating_add(step));
    }

    /// Completes as soon as somebody sleeps on the clock, with the earliest time after now that a sleeper
    /// waits for.
    pub async fn next_wake(&self) -> Duration {
        let mut wakes = self.wakes.subscribe();
        loop {
            let now = self.now();
            let next = wakes.borrow_and_update().values().filter(|wake| **wake > now).min().copied();
            if let Some(next) = next {
                return next;
            }
            if wakes.changed().await.is_err() {
                // Never: `self` keeps the sender.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.time.borrow()
    }

    fn sleep_until(&self, time: Duration) -> BoxFuture<'static, ()> {
        let mut receiver = self.time.subscribe();
        if *receiver.borrow() >= time {
            return Box::pin(std::future::ready(()));
        }
        let sleeper = Sleeper::register(&self.wakes, time);
        Box::pin(async move {
            let _sleeper = sleeper;
            if receiver.wait_for(|now| *now >= time).await.is_err() {
                // The clock is gone, so its time never comes.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// An entry in [`ManualClock::wakes`] for as long as it lives.
struct Sleeper {
    wakes: Arc<watch::Sender<BTreeMap<u64, Duration>>>,
    id: u64,
}

impl Sleeper {
    fn register(wakes: &Arc<watch::Sender<BTreeMap<u64, Duration>>>, time: Duration) -> Self {
        let mut id = 0;
        wakes.send_modify(|wakes| {
            id = wakes.last_key_value().map_or(0, |(last, _)| last + 1);
            wakes.insert(id, time);
        });
        Self { wakes: Arc::clone(wakes), id }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.wakes.send_modify(|wakes| {
            wakes.remove(&self.id);
        });
    }
}
