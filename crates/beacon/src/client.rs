//! A drand client that trusts no server: every round is verified against the pinned chain.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::Stream;
use futures::stream;
use reqwest::Url;

use crate::cache::RoundCache;
use crate::chain::{ChainInfo, Round};
use crate::clock::Clock;
use crate::error::BeaconError;
use crate::fetch::Fetcher;
use crate::quicknet;
use crate::wire::{InfoJson, RoundJson};

/// How a [`Client`] behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Base addresses of drand servers, such as `https://api.drand.sh`. One that fails is passed over for the
    /// next; the one that last gave a usable answer is asked first.
    pub urls: Vec<String>,
    /// Time for one exchange with one server, from connecting to the last byte.
    pub timeout: Duration,
    /// Longest answer that is read, in bytes. A round has about 250, a chain's description about 500.
    pub max_body: usize,
    /// Verified rounds to keep in memory.
    pub cache_rounds: usize,
    /// How many rounds [`Client::latest`] may lie behind the clock before it counts as stale.
    pub max_lag: u64,
    /// First pause of [`Client::wait`] between two attempts; it doubles up to `max_pause`.
    pub min_pause: Duration,
    /// Longest pause between two attempts.
    pub max_pause: Duration,
    /// How long [`Client::wait`] goes on trying once the round is due (or, if it was due already, once it is
    /// called).
    pub patience: Duration,
}

impl Default for ClientConfig {
    /// The public servers of quicknet.
    fn default() -> Self {
        Self {
            urls: quicknet::URLS.map(str::to_owned).to_vec(),
            timeout: Duration::from_secs(5),
            max_body: 8 * 1024,
            cache_rounds: 1024,
            max_lag: 10,
            min_pause: Duration::from_millis(200),
            max_pause: Duration::from_secs(3),
            patience: Duration::from_secs(60),
        }
    }
}

/// Fetches and verifies the rounds of one chain. Clones share connections and cache.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    chain: ChainInfo,
    config: ClientConfig,
    servers: Servers,
    cache: RoundCache,
    clock: Arc<dyn Clock>,
}

/// Addresses to ask, in turn.
struct Servers {
    urls: Vec<Url>,
    preferred: AtomicUsize,
    fetcher: Fetcher,
}

impl Client {
    /// A client of `chain`. Sends nothing yet.
    ///
    /// # Errors
    /// [`BeaconError::Config`] if there is no address or one is not http(s), or TLS can't be set up.
    pub fn new(chain: ChainInfo, config: ClientConfig, clock: Arc<dyn Clock>) -> Result<Self, BeaconError> {
        let servers = Servers::new(&config)?;
        let cache = RoundCache::new(config.cache_rounds);
        Ok(Self { inner: Arc::new(Inner { chain, config, servers, cache, clock }) })
    }

    /// A client of the chain whose hash is `hash`: the servers describe it, and a description whose
    /// recomputed hash differs is refused.
    ///
    /// # Errors
    /// Those of [`Client::new`]; [`BeaconError::AllFailed`], with [`BeaconError::ChainMismatch`],
    /// [`BeaconError::ChainInfo`] or [`BeaconError::Scheme`] for a server that describes something else.
    pub async fn connect(
        hash: [u8; 32],
        config: ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BeaconError> {
        let servers = Servers::new(&config)?;
        let chain = servers.info(hash).await?;
        let cache = RoundCache::new(config.cache_rounds);
        Ok(Self { inner: Arc::new(Inner { chain, config, servers, cache, clock }) })
    }

    /// The chain whose rounds this client accepts.
    pub fn chain(&self) -> &ChainInfo {
        &self.inner.chain
    }

    /// Asks the servers for the pinned chain's description: says whether one of them serves this chain at
    /// all.
    ///
    /// # Errors
    /// [`BeaconError::AllFailed`].
    pub async fn check(&self) -> Result<(), BeaconError> {
        self.inner.servers.info(self.inner.chain.hash()).await.map(drop)
    }

    /// `round` if it is in memory.
    pub fn cached(&self, round: u64) -> Option<Round> {
        self.inner.cache.get(round)
    }

    /// `round`, from memory or from the first server that has it and tells the truth. Does not wait.
    ///
    /// # Errors
    /// [`BeaconError::RoundZero`]; [`BeaconError::AllFailed`] with one error a server.
    pub async fn get(&self, round: u64) -> Result<Round, BeaconError> {
        if round == 0 {
            return Err(BeaconError::RoundZero);
        }
        if let Some(cached) = self.cached(round) {
            return Ok(cached);
        }
        let found = self
            .inner
            .servers
            .first(|url| async move {
                let json = self.fetch(&url, &round.to_string(), round).await?;
                if json.round != round {
                    return Err(BeaconError::WrongRound { wanted: round, got: json.round });
                }
                self.chain().verify_json(&json)
            })
            .await?;
        self.inner.cache.insert(found.clone());
        Ok(found)
    }

    /// The latest round of the first server whose latest is verified and not too old by the clock
    /// ([`ClientConfig::max_lag`]). A server can't forge a round, but it could serve an old one for ever.
    ///
    /// # Errors
    /// [`BeaconError::AllFailed`] with one error a server.
    pub async fn latest(&self) -> Result<Round, BeaconError> {
        let expected = self.chain().round_at(self.inner.clock.now().as_secs());
        let found = self
            .inner
            .servers
            .first(|url| async move {
                let json = self.fetch(&url, "latest", expected).await?;
                let round = self.chain().verify_json(&json)?;
                // A round beyond the clock is accepted: its signature proves its time, the clock is behind.
                if round.number() < expected.saturating_sub(self.inner.config.max_lag) {
                    return Err(BeaconError::Stale { url: url.into(), round: round.number(), expected });
                }
                Ok(round)
            })
            .await?;
        self.inner.cache.insert(found.clone());
        Ok(found)
    }

    /// Waits for `round`. The event is the clock: drand publishes a round at [`ChainInfo::time_of`], so this
    /// sleeps until then and sends nothing before. From then on it asks all servers, and while none has the
    /// round and one of their errors is worth a retry, asks again after a pause that doubles.
    ///
    /// # Errors
    /// [`BeaconError::RoundZero`]; the last attempt's error when no retry could help or
    /// [`ClientConfig::patience`] is over.
    pub async fn wait(&self, round: u64) -> Result<Round, BeaconError> {
        let due = Duration::from_secs(self.chain().time_of(round)?);
        if let Some(cached) = self.cached(round) {
            return Ok(cached);
        }
        let (clock, config) = (&self.inner.clock, &self.inner.config);
        clock.sleep_until(due).await;
        let deadline = clock.now().saturating_add(config.patience);
        let mut pause = config.min_pause;
        loop {
            match self.get(round).await {
                Err(error) if error.is_retryable() && clock.now() < deadline => {
                    clock.sleep_until(clock.now().saturating_add(pause)).await;
                    pause = pause.saturating_mul(2).min(config.max_pause);
                }
                outcome => return outcome,
            }
        }
    }

    /// All rounds from `first` on, in order and without gaps, each as [`Client::wait`] gives it. After a
    /// retryable error the stream goes on with the same round; any other error ends it.
    pub fn stream(&self, first: u64) -> impl Stream<Item = Result<Round, BeaconError>> + Send + 'static {
        stream::unfold((self.clone(), Some(first)), |(client, next)| async move {
            let round = next?;
            let outcome = client.wait(round).await;
            let next = match &outcome {
                Ok(_) => round.checked_add(1),
                Err(error) if error.is_retryable() => Some(round),
                Err(_) => None,
            };
            Some((outcome, (client, next)))
        })
    }

    async fn fetch(&self, base: &Url, name: &str, round: u64) -> Result<RoundJson, BeaconError> {
        let servers = &self.inner.servers;
        servers.fetcher.get(address(base, &self.chain().hash(), &["public", name])?, Some(round)).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("chain", &hex::encode(self.inner.chain.hash()))
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Servers {
    fn new(config: &ClientConfig) -> Result<Self, BeaconError> {
        let urls = config.urls.iter().map(|url| base_url(url)).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(BeaconError::Config("no server's address is given".to_owned()));
        }
        let tls = urls.iter().any(|url| url.scheme() == "https");
        let fetcher = Fetcher::new(config.timeout, config.max_body, tls)?;
        Ok(Self { urls, preferred: AtomicUsize::new(0), fetcher })
    }

    /// The first success of `ask` over the servers, beginning with the one that succeeded last.
    async fn first<T, F>(&self, ask: impl Fn(Url) -> F) -> Result<T, BeaconError>
    where
        F: Future<Output = Result<T, BeaconError>>,
    {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut errors = Vec::with_capacity(self.urls.len());
        for step in 0..self.urls.len() {
            let index = (preferred + step) % self.urls.len();
            match ask(self.urls[index].clone()).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => errors.push(error),
            }
        }
        Err(BeaconError::AllFailed(errors))
    }

    async fn info(&self, hash: [u8; 32]) -> Result<ChainInfo, BeaconError> {
        self.first(|url| async move {
            let json: InfoJson = self.fetcher.get(address(&url, &hash, &["info"])?, None).await?;
            let chain = ChainInfo::try_from(json)?;
            if chain.hash() == hash {
                return Ok(chain);
            }
            Err(BeaconError::ChainMismatch { wanted: hex::encode(hash), got: hex::encode(chain.hash()) })
        })
        .await
    }
}

fn base_url(text: &str) -> Result<Url, BeaconError> {
    let url = Url::parse(text).map_err(|error| BeaconError::Config(format!("{text:?}: {error}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(BeaconError::Config(format!("{text:?}: {scheme} is neither http nor https"))),
    }
}

/// `{base}/{chain hash}/{path}`.
fn address(base: &Url, hash: &[u8; 32], path: &[&str]) -> Result<Url, BeaconError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| BeaconError::Config(format!("{base} can't be a base address")))?
        .pop_if_empty()
        .push(&hex::encode(hash))
        .extend(path);
    Ok(url)
}
