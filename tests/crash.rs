//! Processes that die at the worst moment lose nothing that is owed: every acknowledged answer is paid, to the last unit.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy_primitives::Address;
use assay_protocol::wire::VOUCHER_PATH;
use assay_tests::{Answer, Books, Network, Options, Proxy, Tamper, until};
use eyre::{Result, ensure};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(40);
const PROMPT: &str = "Tell me a story about an old sailor.";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_paid_whoever_crashes() -> Result<()> {
    let proxy = Proxy::start().await?;
    let options =
        Options { announce_through: Some(proxy.url.clone()), redeem_every: Some(8), ..Options::default() };
    let network = Network::start("crash", &options).await?;
    proxy.serve(&network).await?;
    let mut books = Books::open(&network).await?;

    // A check is claimed by a validator that will have died before its claim can be settled.
    until("an answer that was drawn and found equal", LIMIT, async || {
        let answer = network.api.answer(PROMPT, 20).await?;
        let checked = check(&network, &answer).await?;
        books.enter(answer);
        Ok((checked == "equal").then_some(()))
    })
    .await?;

    // A server dies after it has answered and before it has redeemed; so do all others.
    let answer = until("an answer that is not redeemed yet", LIMIT, async || {
        let answer = network.api.answer(PROMPT, 20).await?;
        let server = answer.server;
        books.enter(answer);
        Ok((paid(&network, server).await? < books.of(server)).then_some(server))
    })
    .await?;
    let killed = network.kill(&network.name_of(answer)?)?;
    ensure!(paid(&network, answer).await? < books.of(answer), "redeemed before the crash");
    killed.back().await?;
    let all = network.servers().iter().map(|name| network.kill(name)).collect::<Result<Vec<_>>>()?;
    for killed in all {
        killed.back().await?;
    }
    books.enter(answered(&network).await?);

    // The gateway dies right after an answer, whose ticket is still open.
    books.enter(network.api.answer(PROMPT, 20).await?);
    network.kill("gateway")?.back().await?;
    books.enter(answered(&network).await?);

    // It dies while a voucher that it has signed has not reached its server; the next process delivers it.
    proxy.tamper(&network.servers(), Tamper::LoseVouchers);
    let owed = network.api.answer(PROMPT, 20).await?;
    let server = network.name_of(owed.server)?;
    books.enter(owed);
    network.kill("gateway")?.back().await?;
    proxy.take_calls();
    proxy.be_honest();
    until("the voucher's delivery after the restart", LIMIT, async || {
        let calls = proxy.take_calls();
        Ok(calls.iter().any(|c| c.intact && c.path == VOUCHER_PATH && c.server == server).then_some(()))
    })
    .await?;

    // All of them at once, with nothing under way.
    let names: BTreeSet<String> =
        network.servers().into_iter().chain(["gateway".into(), "beacon".into()]).collect();
    let all = names.iter().map(|name| network.kill(name)).collect::<Result<Vec<_>>>()?;
    for killed in all {
        killed.back().await?;
    }
    books.enter(answered(&network).await?);
    let checks = books.close(&network, true).await?;
    ensure!(checks > 0, "no check was paid");
    Ok(())
}

/// What became of an answer's check.
async fn check(network: &Network, answer: &Answer) -> Result<String> {
    let path = format!("/assay/v1/requests/{}?wait=10", answer.id);
    let status: Value = network.api.get(&path).send().await?.json().await?;
    Ok(status["check"]["state"].as_str().unwrap_or_default().to_owned())
}

/// Responses that a server has been paid for.
async fn paid(network: &Network, server: Address) -> Result<u64> {
    Ok(Books::paid(network).await?.get(&server).map_or(0, |(count, _)| *count))
}

/// The first answer after a crash: a connection that the crash broke may fail once, and is no answer.
async fn answered(network: &Network) -> Result<Answer> {
    until("an answer after the restart", LIMIT, async || {
        let Ok(reply) = network.api.chat(&network.api.order(PROMPT, 20)).await else { return Ok(None) };
        if reply.status >= 500 {
            return Ok(None);
        }
        reply.answer().map(Some)
    })
    .await
}
