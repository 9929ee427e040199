//! What a network does without a server, without its beacon, without its chain, and without the caller who asked.

use std::time::Duration;

use assay_tests::{Books, Network, Options, Orders, until};
use eyre::{Result, ensure, eyre};
use futures::future::join_all;

/// How long it may take until an outage shows, and until it is over.
const LIMIT: Duration = Duration::from_secs(40);
const PROMPT: &str = "Tell me a story about a little owl.";
const LONG: u32 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_said_clearly_and_is_over_when_it_is_over() -> Result<()> {
    let network = Network::start("outages", &Options::default()).await?;
    let mut books = Books::open(&network).await?;
    server_down(&network, &mut books).await?;
    for name in ["beacon", "anvil"] {
        stopped(&network, &mut books, name).await?;
    }
    network.kill("beacon")?.back().await?;
    recovered(&network, &mut books).await?;
    books.close(&network, false).await?;
    caller_leaves(&network).await
}

/// A server that is down is passed over.
async fn server_down(network: &Network, books: &mut Books) -> Result<()> {
    // Somebody of this epoch's set, so that it is asked.
    let account = Orders::new(network).await?.place().await?.server;
    let name = &network.name_of(account)?;
    let supervisor = network.pause("devnet")?;
    let killed = network.kill(name)?;
    until("an order that went from the dead server to the next", LIMIT, async || {
        let before = network.log("gateway")?.len();
        let reply = network.api.chat(&network.api.order(PROMPT, 20)).await?;
        let log = network.log("gateway")?;
        let failed: Vec<&str> =
            log.get(before..).unwrap_or_default().lines().filter(|l| l.contains("attempt failed")).collect();
        let at = account.to_string();
        ensure!(failed.iter().all(|l| l.contains(&at)), "another server failed: {failed:?}");
        if reply.status == 503 && reply.error("message").matches("0x").count() == 1 {
            // The epoch's draw gave every place of the set to the dead server.
            ensure!(reply.error("message").contains(&at), "{reply:?}");
            return Ok(None);
        }
        let answer = reply.answer()?;
        ensure!(answer.server != account, "the dead server answered");
        books.enter(answer);
        Ok((!failed.is_empty()).then_some(()))
    })
    .await?;
    drop(supervisor);
    killed.back().await?;
    recovered(network, books).await
}

/// A process that everything depends on stands still, and goes on.
async fn stopped(network: &Network, books: &mut Books, name: &str) -> Result<()> {
    let paused = network.pause(name)?;
    until(&format!("an error without {name}"), LIMIT, async || {
        let started = std::time::Instant::now();
        let reply = network.api.chat(&network.api.order(PROMPT, 20)).await?;
        // What is known of this epoch is good until its end.
        if let Ok(answer) = reply.answer() {
            books.enter(answer);
            return Ok(None);
        }
        let code = reply.error("code");
        ensure!(
            reply.status == 503 && ["unavailable", "no_server_answered"].contains(&code),
            "without {name}: {reply:?}"
        );
        ensure!(
            reply.error("message").contains(if name == "anvil" { "chain" } else { "beacon" }),
            "{reply:?}"
        );
        ensure!(
            started.elapsed() < Duration::from_secs(20),
            "{name}: an error after {:?}",
            started.elapsed()
        );
        Ok(Some(()))
    })
    .await?;
    drop(paused);
    recovered(network, books).await
}

/// Answers come again, without anybody's help.
async fn recovered(network: &Network, books: &mut Books) -> Result<()> {
    let answer = until("an answer after the outage", LIMIT, async || {
        let reply = network.api.chat(&network.api.order(PROMPT, 20)).await?;
        ensure!(reply.status == 200 || reply.status == 503, "{reply:?}");
        Ok(reply.answer().ok())
    })
    .await?;
    books.enter(answer);
    Ok(())
}

/// Callers that hang up in the middle pay for what was delivered by then and for no more, and the gateway goes on.
async fn caller_leaves(network: &Network) -> Result<()> {
    let totals = async || -> Result<(u64, u64)> {
        let paid = Books::paid(network).await?;
        Ok(paid.values().fold((0, 0), |sum, (count, units)| (sum.0 + count, sum.1 + units)))
    };
    let before = totals().await?;
    let order = network.api.order(PROMPT, LONG);
    let whole = network.api.chat(&order).await?.answer()?;
    let params = {
        let index = network.follower.read().await;
        index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?.params.clone()
    };
    let full = params.units(whole.prompt_tokens, whole.output_tokens);
    let least = params.units(whole.prompt_tokens, 1);

    let callers = 3u64;
    let left = join_all((0..callers).map(|_| async {
        // The seed is the same, so each would be as long as the whole one.
        let mut response = network.api.open(&order).await?;
        let first = response.chunk().await?;
        ensure!(first.is_some_and(|c| c.starts_with(b"data: ")), "no first chunk");
        drop(response);
        Ok(())
    }))
    .await;
    left.into_iter().collect::<Result<()>>()?;
    let count = callers + 1;
    let (found, units) = until("payment of what was delivered", LIMIT, async || {
        let now = totals().await?;
        Ok((now.0 - before.0 >= count).then_some((now.0 - before.0, now.1 - before.1)))
    })
    .await?;
    ensure!(found == count, "{found} answers were paid for, {count} were begun");
    let cut = units - full;
    ensure!(cut >= callers * least, "{cut} units for {callers} answers of {least} at least");
    ensure!(cut < callers * full, "callers that left paid for {cut} units, whole answers are {full} each");
    network.api.answer(PROMPT, 20).await?;
    Ok(())
}
