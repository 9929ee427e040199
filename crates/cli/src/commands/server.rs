//! `assay server`

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::U256;
use assay_chain::{AccountKind, abi};
use assay_engine::{Engine, Model, Options};
use assay_server::{Config, Server};
use eyre::{Context, Result, bail};

use crate::node::NodeArgs;

/// Serves a model: answers requests, checks others' answers, sits on juries, redeems.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// The pool's model, a GGUF file.
    #[arg(long, env = "ASSAY_MODEL", value_name = "FILE")]
    model: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// The address to announce on-chain; http:// and the listening one if none is given.
    #[arg(long)]
    announce: Option<String>,
    /// Seats to hold: buys what is missing with the account's free money in the pool.
    #[arg(long, default_value_t = 0)]
    seats: u32,
    /// Answers computed at the same time: they share each pass over the weights.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
    /// Threads that compute.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// MiB that keys and values may take; answers wait for theirs.
    #[arg(long, default_value_t = 1024)]
    cache_mib: usize,
    /// Compute every prompt anew, though another began with the same tokens: nobody can tell from the time what others
    /// have asked.
    #[arg(long)]
    no_reuse: bool,
    /// Seconds between redemptions.
    #[arg(long, default_value_t = 3600)]
    redeem_every: u64,
    /// Serve although the file is not the pool's model. Such answers are wrong, and convict.
    #[arg(long)]
    wrong_model: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let model = Model::open(&args.model).wrap_err_with(|| format!("{}", args.model.display()))?;
    let node = args.node.connect("server").await?;
    let account = node.signer.address();
    let (root, held, endpoint) = {
        let index = node.follower.read().await;
        let Some(pool) = index.pool(args.node.pool) else {
            bail!("pool {} is not on this chain", args.node.pool)
        };
        let held = pool.seats.values().filter(|s| s.owner == account && s.exit_at.is_none()).count();
        let endpoint = pool.servers.get(&account).and_then(|s| s.endpoint.clone());
        (pool.params.basis.modelRoot, u32::try_from(held)?, endpoint)
    };
    if root != model.root() {
        if !args.wrong_model {
            bail!("{} has root {}, the pool's model has {root}", args.model.display(), model.root());
        }
        tracing::warn!("serving another model than the pool's");
    }
    let listener = tokio::net::TcpListener::bind(&args.listen).await.wrap_err("can't listen")?;
    let local = format!("http://{}", listener.local_addr()?);
    let url = args.announce.unwrap_or(local.clone());
    let staking = node.chain.deployment().staking;
    if held < args.seats {
        let (free, price) = {
            let index = node.follower.read().await;
            let Some(pool) = index.pool(args.node.pool) else { bail!("the pool is gone") };
            let prices = &pool.params.prices;
            (
                pool.balance_of(AccountKind::Free, account),
                U256::from(prices.seatStake) + U256::from(prices.seatFloat),
            )
        };
        let count = args.seats - held;
        let cost = price * U256::from(count);
        if free < cost {
            bail!("{count} seats cost {cost}, the account has {free} free in the pool; deposit first");
        }
        node.chain.send(staking, abi::Staking::joinCall { pool: args.node.pool, count }).await?;
    }
    if endpoint.as_ref() != Some(&url) {
        let call = abi::Staking::setEndpointCall { pool: args.node.pool, url: url.clone() };
        node.chain.send(staking, call).await?;
    }
    let options = Options {
        threads: args.threads,
        batch: args.parallel,
        cache_bytes: args.cache_mib << 20,
        reuse_prefixes: !args.no_reuse,
        ..Options::default()
    };
    let config = Config {
        pool: args.node.pool,
        signer: node.signer,
        engine: Engine::new(&model, options)?,
        parallel: args.parallel,
        redeem_every: Duration::from_secs(args.redeem_every),
    };
    let server = Server::new(config, node.chain, node.follower, node.beacon, node.store).await?;
    println!("listening on {local} as {account}, announced as {url}");
    server.run(listener, args.node.stop_signal()).await?;
    Ok(())
}
