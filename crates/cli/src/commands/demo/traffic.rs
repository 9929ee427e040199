//! Prompts through the gateway's API, several at a time, each printed once its check is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use alloy_primitives::Address;
use assay_gateway::CheckStatus;
use eyre::Result;
use serde_json::json;
use tokio::task::JoinSet;

use super::Args;
use crate::commands::ask;
use crate::network::LocalNetwork;

/// Answers shorter than this do not count.
const LONG: u32 = 64;
const MAX_TOKENS: u32 = 120;
/// Seconds to wait for a check before the status is printed as it is.
const WAIT: u64 = 20;
/// Failures in a row after which a worker gives up.
const MAX_FAILURES: usize = 20;

const HEROES: [&str; 8] = [
    "brave fox",
    "shy dragon",
    "clever girl",
    "old sailor",
    "little owl",
    "kind baker",
    "lost kitten",
    "tall giant",
];
const THINGS: [&str; 6] = [
    "found a map",
    "wanted to fly",
    "lost a golden key",
    "met a friend",
    "crossed the river",
    "heard a song",
];

/// What was served.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Accepted answers.
    pub(crate) answers: usize,
    /// Their tokens.
    pub(crate) tokens: u64,
    /// Accepted answers by server.
    pub(crate) accepted: HashMap<Address, u64>,
}

/// Workers that ask until there are enough answers and the cheat is caught.
pub(crate) struct Traffic {
    workers: JoinSet<Result<Served>>,
}

impl Traffic {
    pub(crate) fn start(
        network: &Arc<LocalNetwork>,
        key: &'static str,
        args: &Args,
        caught: Arc<AtomicBool>,
        started: Instant,
    ) -> Self {
        let (next, long) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let client = reqwest::Client::new();
        let mut workers = JoinSet::new();
        for _ in 0..args.concurrency.max(1) {
            let (network, client, caught) = (network.clone(), client.clone(), caught.clone());
            let (next, long, wanted) = (next.clone(), long.clone(), args.requests);
            workers.spawn(async move {
                let mut served = Served::default();
                let mut failures = 0;
                while !(caught.load(Ordering::Acquire) && long.load(Ordering::Acquire) >= wanted) {
                    let number = next.fetch_add(1, Ordering::AcqRel);
                    match one(&network, &client, key, number, started).await {
                        Ok((server, tokens)) => {
                            failures = 0;
                            served.answers += 1;
                            served.tokens += u64::from(tokens);
                            *served.accepted.entry(server).or_default() += 1;
                            long.fetch_add(usize::from(tokens >= LONG), Ordering::AcqRel);
                        }
                        Err(error) => {
                            println!("  {:>5.1} s  #{number:<3} {error:#}", started.elapsed().as_secs_f64());
                            failures += 1;
                            if failures == MAX_FAILURES {
                                return Err(error);
                            }
                            // The next block may bring what was missing.
                            let _ = network.follower.blocks().changed().await;
                        }
                    }
                }
                Ok(served)
            });
        }
        Self { workers }
    }

    /// What all workers served, once they are done.
    pub(crate) async fn finish(mut self) -> Result<Served> {
        let mut all = Served::default();
        while let Some(served) = self.workers.join_next().await {
            let served = served??;
            all.answers += served.answers;
            all.tokens += served.tokens;
            for (server, count) in served.accepted {
                *all.accepted.entry(server).or_default() += count;
            }
        }
        Ok(all)
    }
}

/// One prompt, one line. Returns who answered, and with how many tokens.
async fn one(
    network: &LocalNetwork,
    client: &reqwest::Client,
    key: &str,
    number: usize,
    started: Instant,
) -> Result<(Address, u32)> {
    let prompt = format!(
        "Tell me a story about a {} who {}.",
        HEROES[number % HEROES.len()],
        THINGS[number / HEROES.len() % THINGS.len()]
    );
    let body = json!({
        "model": "tales-3m", "stream": true, "max_tokens": MAX_TOKENS, "temperature": 0.8, "seed": number,
        "messages": [{ "role": "user", "content": prompt }],
    });
    let answer = ask::stream(client, &network.gateway_url, key, &body, |_| {}).await?;
    let status = ask::status(client, &network.gateway_url, key, &answer.id, WAIT).await?;
    let speed = f64::from(status.tokens) * 1e3 / status.milliseconds.max(1) as f64;
    let check = match &status.check {
        CheckStatus::Waiting => "not settled yet".to_owned(),
        CheckStatus::NotDrawn => "not drawn".to_owned(),
        CheckStatus::Equal { validator } => {
            format!("drawn, checked by {}: equal", network.name_of(*validator))
        }
        CheckStatus::Unequal { validator, .. } => {
            format!("drawn, checked by {}: DIFFERENT", network.name_of(*validator))
        }
        CheckStatus::Unanswered => "drawn, no validator answered".to_owned(),
    };
    println!(
        "  {:>5.1} s  #{number:<3} {:<8} {:>4} tokens {speed:>6.0}/s   {check}",
        started.elapsed().as_secs_f64(),
        network.name_of(status.server),
        status.tokens,
    );
    Ok((status.server, status.tokens))
}
