//! `assay beacon`

use std::sync::Arc;

use assay_beacon::SystemClock;
use assay_beacon::devnet::DevnetChain;
use eyre::{Context, Result};

use crate::node::stop_signal;

/// Serves a drand chain with one key: for devnets alone, since who holds the key knows every round in advance.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// 32 bytes in hex from which the key is derived.
    #[arg(long, env = "ASSAY_BEACON_SEED")]
    seed: String,
    /// Unix time of round 1, in seconds.
    #[arg(long)]
    genesis: u64,
    /// Seconds between rounds.
    #[arg(long, default_value_t = 1)]
    period: u32,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let seed: [u8; 32] = hex::decode(args.seed.trim_start_matches("0x"))
        .wrap_err("--seed")?
        .try_into()
        .map_err(|_| eyre::eyre!("--seed must be 32 bytes in hex"))?;
    let chain = DevnetChain::new(&seed, args.genesis, args.period)?;
    let listener = tokio::net::TcpListener::bind(&args.listen).await.wrap_err("can't listen")?;
    println!("listening on http://{} chain {}", listener.local_addr()?, hex::encode(chain.info().hash()));
    let stop = stop_signal(args.exit_with_parent);
    chain.serve(listener, Arc::new(SystemClock), stop.cancelled_owned()).await?;
    Ok(())
}
