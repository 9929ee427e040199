//! `assay demo`

mod accounts;
mod steps;
mod traffic;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use assay_chain::abi;
use eyre::{Result, bail};

use self::accounts::Tally;
use self::traffic::Traffic;
use crate::network::LocalNetwork;
use crate::node::stop_signal;

const SERVERS: usize = 5;
const API_KEY: &str = "assay-demo";

/// Sets a network up in which one of five servers is paid for the large model and secretly runs the small one; sends prompts
/// until it is caught, convicted and slashed; settles; and checks that every account adds up.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Answers of 64 tokens or more to ask for, at least.
    #[arg(long, default_value_t = 40)]
    requests: usize,
    /// Requests at the same time.
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// Seconds after which the demo gives up.
    #[arg(long, default_value_t = 120)]
    limit: u64,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let stop = stop_signal(false);
    tokio::select! {
        result = show(args) => result,
        () = stop.cancelled() => bail!("interrupted"),
    }
}

async fn show(args: Args) -> Result<()> {
    let started = Instant::now();
    let limit = Duration::from_secs(args.limit);
    let plan = super::devnet::plan(None, "127.0.0.1:0", API_KEY, SERVERS, true)?;
    println!(
        "Assay: five servers, twelve seats each; four run tales-3m, 'cheat' is paid for it and runs tales-300k.\n"
    );
    let network = Arc::new(
        LocalNetwork::start(&plan, |step| println!("  {:>5.1} s  {step}", started.elapsed().as_secs_f64()))
            .await?,
    );
    println!(
        "\n  gateway {}/v1   pool {}   logs {}\n",
        network.gateway_url,
        network.pool,
        plan.dir.display()
    );
    let result =
        tokio::time::timeout(limit.saturating_sub(started.elapsed()), play(&args, &network, started)).await;
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(_) => Err(eyre::eyre!("not over after {} s; logs in {}", args.limit, plan.dir.display())),
    };
    if let Ok(network) = Arc::try_unwrap(network) {
        network.stop().await;
    }
    outcome
}

/// Whoever is convicted by now.
async fn convicted(network: &LocalNetwork) -> Vec<Address> {
    let index = network.follower.read().await;
    let servers = index.pool(network.pool).map(|p| &p.servers);
    servers.into_iter().flatten().filter(|(_, s)| s.convicted).map(|(a, _)| *a).collect()
}

async fn play(args: &Args, network: &Arc<LocalNetwork>, started: Instant) -> Result<()> {
    let tally = Tally::start(network).await;
    let steps = tokio::spawn(steps::print(network.clone(), started));
    let caught = Arc::new(AtomicBool::new(false));
    let traffic = Traffic::start(network, API_KEY, args, caught.clone(), started);
    let mut blocks = network.follower.blocks();
    loop {
        let open = network.follower.read().await.open_disputes().count();
        if !convicted(network).await.is_empty() && open == 0 {
            caught.store(true, Ordering::Release);
            break;
        }
        blocks.changed().await?;
    }
    let served = traffic.finish().await?;
    println!("\n  {} answers, {} tokens; settling", served.answers, served.tokens);
    settle(network, &served.accepted).await?;
    steps.abort();

    let liars = convicted(network).await;
    let names: Vec<String> = liars.iter().map(|a| network.name_of(*a)).collect();
    let exact = tally.report(network).await?;
    println!("\n  convicted: {}   after {:.1} s in all", names.join(", "), started.elapsed().as_secs_f64());
    if names != ["cheat"] {
        bail!("the cheat alone should have been convicted");
    }
    if !exact {
        bail!("the sums are not exact");
    }
    Ok(())
}

/// Waits until every voucher is redeemed and every juror and validator of an ended dispute paid; then takes what was burnt out
/// of the supply.
async fn settle(network: &LocalNetwork, accepted: &HashMap<Address, u64>) -> Result<()> {
    let mut blocks = network.follower.blocks();
    loop {
        let done = {
            let index = network.follower.read().await;
            let Some(pool) = index.pool(network.pool) else { bail!("the pool is gone") };
            let redeemed = accepted.iter().all(|(server, count)| {
                let convicted = pool.servers.get(server).is_some_and(|s| s.convicted);
                let paid: u64 =
                    pool.lanes.iter().filter(|((_, s, _), _)| s == server).map(|(_, l)| l.count).sum();
                convicted || paid >= *count
            });
            let jurors_paid = index.juries.values().all(|jury| {
                jury.commitments.keys().all(|position| {
                    let seat = usize::try_from(*position).ok().and_then(|p| jury.seats.get(p));
                    let honest = seat.is_some_and(|s| pool.is_active(*s));
                    !honest || jury.settled.contains(position)
                })
            });
            redeemed && jurors_paid
        };
        if done {
            break;
        }
        blocks.changed().await?;
    }
    let ledger = network.chain.deployment().ledger;
    let receipt = network.chain.send(ledger, abi::Ledger::flushCall { pool: network.pool }).await?;
    let block = receipt.block_number.unwrap_or_default();
    blocks.wait_for(|b| *b >= block).await?;
    Ok(())
}
