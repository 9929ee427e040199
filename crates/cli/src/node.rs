//! What servers and gateways need alike: chain, beacon, key, store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use assay_beacon::{Client, ClientConfig, SystemClock, quicknet};
use assay_chain::{Chain, Deployment, Follower, PrivateKeySigner};
use assay_protocol::B256;
use assay_store::Store;
use eyre::{Context, Result};
use tokio_util::sync::CancellationToken;

/// Where the network is.
#[derive(Debug, clap::Args)]
pub(crate) struct ChainArgs {
    /// JSON-RPC of the chain.
    #[arg(long, env = "ASSAY_RPC_URL", default_value = "http://127.0.0.1:8545")]
    pub(crate) rpc_url: String,
    /// Addresses of the contracts, as script/Deploy.s.sol writes them.
    #[arg(long, env = "ASSAY_DEPLOYMENT", value_name = "FILE")]
    pub(crate) deployment: PathBuf,
}

/// Where the network is, and who this node is in it.
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// File with the account's private key, in hex.
    #[arg(long, env = "ASSAY_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: PathBuf,
}

/// A node of a pool: network, beacon, durable state.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// The pool's id.
    #[arg(long, env = "ASSAY_POOL")]
    pub(crate) pool: B256,
    /// drand HTTP servers; several for failover. The public quicknet ones if none is given.
    #[arg(long = "beacon-url", env = "ASSAY_BEACON_URLS", value_delimiter = ',')]
    pub(crate) beacon_urls: Vec<String>,
    /// Hash of the drand chain that the pool's beacon contract verifies; quicknet's if none is given.
    #[arg(long, env = "ASSAY_BEACON_HASH")]
    pub(crate) beacon_hash: Option<String>,
    /// Where this node keeps what it has signed, is owed and must do. One node a folder.
    #[arg(long, env = "ASSAY_DATA", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Milliseconds between looks at the chain's head.
    #[arg(long, default_value_t = 500)]
    pub(crate) poll: u64,
    /// Stop when standard input ends: for a parent process that may die.
    #[arg(long, hide = true)]
    pub(crate) exit_with_parent: bool,
}

/// The connections of a node.
pub(crate) struct Node {
    pub(crate) chain: Chain,
    pub(crate) follower: Follower,
    pub(crate) beacon: Client,
    pub(crate) store: Store,
    pub(crate) signer: PrivateKeySigner,
}

pub(crate) fn read_key(path: &std::path::Path) -> Result<PrivateKeySigner> {
    let text =
        std::fs::read_to_string(path).wrap_err_with(|| format!("can't read the key {}", path.display()))?;
    text.trim().parse().wrap_err_with(|| format!("{} holds no private key in hex", path.display()))
}

impl ChainArgs {
    /// Connects to read.
    pub(crate) async fn connect(&self) -> Result<Chain> {
        Ok(Chain::connect(&self.rpc_url, Deployment::load(&self.deployment)?, None).await?)
    }
}

impl NetworkArgs {
    /// Connects with the key.
    pub(crate) async fn connect(&self) -> Result<(Chain, PrivateKeySigner)> {
        let deployment = Deployment::load(&self.chain.deployment)?;
        let signer = read_key(&self.key_file)?;
        let chain = Chain::connect(&self.chain.rpc_url, deployment, Some(signer.clone())).await?;
        Ok((chain, signer))
    }
}

impl NodeArgs {
    /// Connects to everything; `name` is the database's.
    pub(crate) async fn connect(&self, name: &str) -> Result<Node> {
        let (chain, signer) = self.network.connect().await?;
        let follower = Follower::start(chain.clone(), Duration::from_millis(self.poll)).await?;
        let hash = match &self.beacon_hash {
            None => quicknet::chain()?.hash(),
            Some(text) => {
                let bytes = hex::decode(text.trim_start_matches("0x")).wrap_err("--beacon-hash")?;
                bytes.try_into().map_err(|_| eyre::eyre!("--beacon-hash must be 32 bytes in hex"))?
            }
        };
        let mut config = ClientConfig::default();
        if !self.beacon_urls.is_empty() {
            config.urls.clone_from(&self.beacon_urls);
        }
        let beacon = Client::connect(hash, config, Arc::new(SystemClock)).await.wrap_err("beacon")?;
        std::fs::create_dir_all(&self.data)
            .wrap_err_with(|| format!("can't make {}", self.data.display()))?;
        let store = Store::open(&self.data.join(format!("{name}.db")))
            .wrap_err("can't open the node's state (is another node using the folder?)")?;
        Ok(Node { chain, follower, beacon, store, signer })
    }

    /// Cancelled by Ctrl-C, SIGTERM, or the end of the parent.
    pub(crate) fn stop_signal(&self) -> CancellationToken {
        stop_signal(self.exit_with_parent)
    }
}

/// Cancelled by Ctrl-C, SIGTERM, and, if asked for, the end of standard input.
pub(crate) fn stop_signal(with_stdin: bool) -> CancellationToken {
    let stop = CancellationToken::new();
    if with_stdin {
        let token = stop.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while std::io::Read::read(&mut std::io::stdin(), &mut buffer).is_ok_and(|n| n > 0) {}
            token.cancel();
        });
    }
    let token = stop.clone();
    tokio::spawn(async move {
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
        token.cancel();
    });
    stop
}
