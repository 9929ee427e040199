//! Servers that lie, break off, or send rubbish: whoever has seen text gets an error event and no `[DONE]`, whoever has not gets
//! the next server's answer or an error, and nothing that is not right is acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy_primitives::B256;
use assay_chain::{Chain, abi, convert, sign, submit_rounds};
use assay_protocol::wire::{CheckBody, INFER_PATH, VOUCHER_PATH};
use assay_protocol::{CheckAnswer, Evidence, Finish, hash_of, output_hash};
use assay_tests::{Books, Instead, Network, Options, Orders, Proxy, Tamper, until};
use eyre::{Result, ensure, eyre};

const LIMIT: Duration = Duration::from_secs(40);
/// `IDisputes.State`.
const CONVICTED: u8 = 3;
const PROMPT: &str = "Tell me a story about a shy dragon.";
const TOKENS: u32 = 24;

/// Lies in an answer whose tokens have been streamed by then. But for the named one, every field fits every other.
const LIES: [(&str, Tamper); 15] = [
    ("a flipped bit in the signature", Tamper::Changed(|b| b.signature = flip(&b.signature))),
    ("no signature", Tamper::Changed(|b| b.signature = Default::default())),
    ("work that the commitment is not to", Tamper::Changed(|b| b.work = B256::ZERO)),
    ("tokens that were not streamed", Tamper::Changed(|b| b.tokens[0] ^= 1)),
    (
        "another output, with its hash",
        Tamper::Consistent(|b| {
            b.tokens[0] ^= 1;
            b.response.outputHash = output_hash(&b.tokens);
        }),
    ),
    (
        "an output hash of something else",
        Tamper::Consistent(|b| {
            b.response.outputHash = B256::ZERO;
        }),
    ),
    (
        "one output token too many",
        Tamper::Consistent(|b| {
            b.response.outputTokens += 1;
        }),
    ),
    (
        "one prompt token too many",
        Tamper::Consistent(|b| {
            b.response.promptTokens += 1;
        }),
    ),
    (
        "a round of the future",
        Tamper::Consistent(|b| {
            b.response.round += 5;
        }),
    ),
    (
        "a round before the order",
        Tamper::Consistent(|b| {
            b.response.round -= 5;
        }),
    ),
    (
        "an answer to another request",
        Tamper::Consistent(|b| {
            b.response.request = B256::ZERO;
        }),
    ),
    (
        "an end that did not come",
        Tamper::Consistent(|b| {
            b.response.finish = Finish::Stop as u8;
        }),
    ),
    (
        "a cancellation that nobody signed",
        Tamper::Consistent(|b| {
            b.response.finish = Finish::Cancelled as u8;
            b.response.cancel = B256::ZERO;
        }),
    ),
    ("a commitment to another subject", Tamper::Signed(|b| b.response.commitment = B256::ZERO)),
    ("an answer kept back until its ticket is known", Tamper::Late),
];

/// What may come instead of the rest of an answer.
const INSTEAD: [(&str, Instead); 6] = [
    ("the end of the stream", Instead::End),
    ("silence", Instead::Silence),
    ("garbage", Instead::Garbage),
    ("an endless event", Instead::Flood),
    ("endless tokens", Instead::Tokens),
    ("an error", Instead::Error),
];

fn flip(signature: &[u8]) -> alloy_primitives::Bytes {
    let mut bytes = signature.to_vec();
    bytes[20] ^= 1;
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_not_right_is_acknowledged() -> Result<()> {
    let proxy = Proxy::start().await?;
    let options =
        Options { announce_through: Some(proxy.url.clone()), token_timeout: Some(2), ..Options::default() };
    let network = Network::start("hostile_server", &options).await?;
    proxy.serve(&network).await?;
    let mut books = Books::open(&network).await?;
    books.enter(network.api.answer(PROMPT, TOKENS).await?);
    ensure!(vouchers(&proxy) == 1, "an honest answer was not acknowledged");

    let all = network.servers();
    for (what, tamper) in LIES {
        proxy.tamper(&all, tamper);
        failed(&network, &proxy, what, true).await?;
    }
    for (what, instead) in INSTEAD {
        proxy.tamper(&all, Tamper::After(3, instead));
        failed(&network, &proxy, what, true).await?;
    }
    // Silence of a whole set takes its time; garbage shows the same at once.
    for (what, instead) in INSTEAD {
        if matches!(instead, Instead::End | Instead::Garbage | Instead::Error) {
            proxy.tamper(&all, Tamper::After(0, instead));
            failed(&network, &proxy, what, false).await?;
        }
    }
    proxy.be_honest();
    books.enter(network.api.answer(PROMPT, TOKENS).await?);
    for (what, instead) in INSTEAD {
        if !matches!(instead, Instead::Tokens) {
            next_server(&network, &proxy, &mut books, what, Tamper::After(0, instead)).await?;
        }
    }
    books.enter(network.api.answer(PROMPT, TOKENS).await?);
    // Paid is what was accepted, and not one of the answers above.
    books.close(&network, false).await?;
    Ok(())
}

/// A validator that tells the user nothing and claims pay for an answer to nothing: the user holds the digest that it should have
/// committed to, sees the claim on-chain, and disputes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_for_an_answer_that_was_kept_back_is_disputed() -> Result<()> {
    let proxy = Proxy::start().await?;
    let options = Options { announce_through: Some(proxy.url.clone()), ..Options::default() };
    let network = Network::start("hidden_claim", &options).await?;
    proxy.serve(&network).await?;
    let orders = Orders::new(&network).await?;
    proxy.tamper(&network.servers(), Tamper::KeepChecks);
    let answer = until("a claim in time", LIMIT, async || {
        network.api.answer(PROMPT, TOKENS).await?;
        let Some((name, check)) = proxy.take_checks().into_iter().next() else { return Ok(None) };
        claim_for_nothing(&network, &orders, &name, check).await
    })
    .await?;
    proxy.be_honest();
    until("the validator's conviction", 2 * LIMIT, async || {
        let index = network.follower.read().await;
        let found = index.disputes.values().find(|d| d.record.validatorCommitment == answer.commitment);
        Ok(found.filter(|d| d.ended == Some(CONVICTED)).map(drop))
    })
    .await?;
    let index = network.follower.read().await;
    let pool = index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?;
    ensure!(pool.convicted_seats.iter().eq([&answer.seat]), "{:?}", pool.convicted_seats);
    Ok(())
}

/// Claims the pay of a check whose answer is a commitment to nothing; `None` where it is too late for that.
async fn claim_for_nothing(
    network: &Network,
    orders: &Orders<'_>,
    name: &str,
    check: CheckBody,
) -> Result<Option<CheckAnswer>> {
    let key = network.key(name)?;
    let answer = CheckAnswer {
        response: hash_of(&check.response),
        commitment: B256::repeat_byte(7),
        seat: check.challenge.seat,
        round: orders.current_round(),
    };
    let evidence = Evidence {
        answerSignature: sign(&key, &orders.domain, &answer)?,
        request: check.request,
        response: check.response,
        challenge: check.challenge,
        answer: answer.clone(),
        responseSignature: check.response_signature,
        challengeSignature: check.challenge_signature,
        delivered: false,
    };
    let deployment = network.chain.deployment().clone();
    let validator = Chain::connect(network.rpc_url(), deployment.clone(), Some(key)).await?;
    let ticket = orders.params.ticket_round(evidence.response.round).ok_or_else(|| eyre!("no ticket"))?;
    network.beacon.wait(ticket).await?;
    submit_rounds(&validator, orders.params.basis.beacon, &network.beacon, &[ticket]).await?;
    match validator.send(deployment.checks, abi::Checks::claimCall { e: convert(&evidence) }).await {
        Ok(_) => Ok(Some(answer)),
        Err(error) if error.is_revert("ClaimTooLate") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn vouchers(proxy: &Proxy) -> usize {
    proxy.take_calls().iter().filter(|c| c.path == VOUCHER_PATH).count()
}

/// Every server does the same wrong thing. `streamed`: after text has come.
async fn failed(network: &Network, proxy: &Proxy, what: &str, streamed: bool) -> Result<()> {
    let order = network.api.order(PROMPT, TOKENS);
    let (stream, whole) = tokio::try_join!(network.api.stream(&order), network.api.chat(&order))?;
    let error = stream.error.as_ref().ok_or_else(|| eyre!("{what}: no error; {stream:?}"))?;
    ensure!(!stream.done, "{what}: [DONE] after an error");
    ensure!(error["message"].as_str().is_some_and(|m| m.len() > 10), "{what}: {error}");
    if streamed {
        ensure!(stream.status == 200 && !stream.text.is_empty(), "{what}: {stream:?}");
        ensure!(error["code"] == "unverified_response", "{what}: {error}");
        ensure!(whole.status == 502 && whole.error("code") == "unverified_response", "{what}: {whole:?}");
    } else {
        ensure!(stream.status == 503 && error["code"] == "no_server_answered", "{what}: {stream:?}");
        ensure!(whole.status == 503 && whole.error("code") == "no_server_answered", "{what}: {whole:?}");
    }
    let finished = stream.chunks.iter().any(|c| !c["choices"][0]["finish_reason"].is_null());
    ensure!(!finished, "{what}: a finish reason without a verified answer");
    let calls = proxy.take_calls();
    ensure!(calls.iter().any(|c| c.path == INFER_PATH && !c.intact), "{what}: nothing was tampered with");
    ensure!(!calls.iter().any(|c| c.path == VOUCHER_PATH), "{what}: a voucher was sent");
    Ok(())
}

/// One server does something wrong before any text: another one of the set answers, and the caller sees no difference.
async fn next_server(
    network: &Network,
    proxy: &Proxy,
    books: &mut Books,
    what: &str,
    tamper: Tamper,
) -> Result<()> {
    let orders = Orders::new(network).await?;
    until("an order that the bad server had first and another one answered", LIMIT, async || {
        // Somebody of this epoch's set, so that it is asked.
        let account = orders.place().await?.server;
        let bad = network.name_of(account)?;
        proxy.tamper(std::slice::from_ref(&bad), tamper);
        proxy.take_calls();
        let reply = network.api.chat(&network.api.order(PROMPT, TOKENS)).await?;
        let calls = proxy.take_calls();
        let asked: BTreeSet<&str> =
            calls.iter().filter(|c| c.path == INFER_PATH).map(|c| c.server.as_str()).collect();
        if reply.status == 503 && asked.len() == 1 && asked.contains(bad.as_str()) {
            // The epoch's draw gave every place of the set to the bad one.
            return Ok(None);
        }
        let answer = reply.answer().map_err(|e| eyre!("{what}: {e}"))?;
        ensure!(answer.server != account, "{what}: the bad server's answer was accepted");
        books.enter(answer);
        Ok(asked.contains(bad.as_str()).then_some(()))
    })
    .await?;
    proxy.be_honest();
    Ok(())
}
