//! What the end-to-end tests share: a whole network as `assay devnet` starts it, callers of its API and of its wire protocol,
//! a proxy that tampers, and books that must balance.

mod api;
mod books;
mod network;
mod orders;
mod proxy;

use std::time::{Duration, Instant};

use eyre::{Result, bail};

pub use api::{Api, Reply, Streamed};
pub use books::{Answer, Books, Holdings};
pub use network::{Network, Options, Paused, root};
pub use orders::{Orders, Outcome, Place, refusal};
pub use proxy::{Call, Instead, Proxy, Tamper};

/// Pause between two looks at something that sends no event.
const LOOK: Duration = Duration::from_millis(100);

/// Looks until `found` gives something, at most for `limit`. `what` says in the error what did not come.
///
/// # Errors
/// `limit` is over, or a look failed.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut found: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = found().await? {
            return Ok(value);
        }
        if started.elapsed() > limit {
            bail!("not within {limit:?}: {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
