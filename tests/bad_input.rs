//! Whatever is wrong with a request, the answer is a clear typed error, and nothing is lost: neither money nor the next
//! request.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use assay_chain::{PrivateKeySigner, sign};
use assay_protocol::wire::{
    CANCEL_PATH, CHECK_PATH, CancelBody, CheckBody, CheckReply, ErrorCode, INFER_PATH, InferBody,
    MAX_BODY_BYTES, ResponseBody, VOUCHER_PATH,
};
use assay_protocol::{Cancel, Challenge, InferenceRequest, Ticket, domain, hash_of};
use assay_tests::{
    Answer, Api, Books, Holdings, Network, Options, Orders, Outcome, Place, Reply, refusal, until,
};
use eyre::{Result, bail, ensure, eyre};
use serde_json::{Value, json};
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_typed_error_and_loses_nothing() -> Result<()> {
    let network = Network::start("bad_input", &Options::default()).await?;
    let mut books = Books::open(&network).await?;
    let start = Holdings::now(&network).await?;

    api_bodies(&network.api).await?;
    api_fields(&network.api).await?;
    api_keys(&network.api).await?;
    let orders = Orders::new(&network).await?;
    wire_bodies(&orders).await?;
    wire_requests(&network, &orders).await?;
    wire_strangers(&network, &orders).await?;
    // All of the above was refused: nobody has paid anything.
    ensure!(Holdings::now(&network).await? == start, "a refused request moved money");
    books.enter(network.api.answer("Tell me about a dog.", 20).await?);

    for answer in wire_lanes(&network, &orders).await? {
        books.enter(answer);
    }
    for answer in wire_checks(&network, &orders).await? {
        books.enter(answer);
    }
    books.enter(network.api.answer("Tell me about a cat.", 20).await?);
    books.close(&network, false).await?;
    Ok(())
}

fn expect(what: &str, reply: &Reply, status: u16, param: Option<&str>, code: &str) -> Result<()> {
    let error = &reply.body["error"];
    ensure!(
        reply.status == status && error["param"].as_str() == param && error["code"] == code,
        "{what}: expected {status} {code} {param:?}, got {} {}",
        reply.status,
        reply.body
    );
    let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
    ensure!(error["type"] == kind && reply.error("message").len() > 5, "{what}: {error}");
    Ok(())
}

async fn api_bodies(api: &Api) -> Result<()> {
    for path in [CHAT, COMPLETIONS] {
        let raw = async |bytes: Vec<u8>| Reply::of(api.post(path).body(bytes).send().await?).await;
        expect(
            "no UTF-8",
            &raw(b"{\"model\": \"\xff\xfe\"}".into()).await?,
            400,
            Some("body"),
            "invalid_utf8",
        )?;
        for text in ["", "{", "[]", "null", "\"x\"", "{\"model\": }", "{} {}"] {
            expect(text, &raw(text.into()).await?, 400, Some("body"), "invalid_json")?;
        }
        // Deeper than any parser should follow.
        let deep = format!("{{\"model\": {}", "[".repeat(100_000));
        expect("deep", &raw(deep.into()).await?, 400, Some("body"), "invalid_json")?;
        expect("huge", &raw(vec![b' '; 1024 * 1024 + 1]).await?, 413, Some("body"), "unreadable_body")?;
    }
    let reply = Reply::of(api.get(CHAT).send().await?).await?;
    expect("GET", &reply, 405, None, "method_not_allowed")?;
    let reply = Reply::of(api.get("/v1/embeddings").send().await?).await?;
    expect("no such path", &reply, 404, None, "not_found")?;
    let reply = Reply::of(api.get("/v1/models/gpt-4").send().await?).await?;
    expect("no such model", &reply, 404, None, "model_not_found")?;
    let reply = Reply::of(api.get("/assay/v1/requests/chatcmpl-0").send().await?).await?;
    expect("no such answer", &reply, 404, None, "not_found")?;
    let reply = Reply::of(api.get("/assay/v1/requests/chatcmpl-0?wait=long").send().await?).await?;
    expect("no such wait", &reply, 400, Some("wait"), "invalid_type")
}

/// `order` with a field set.
fn with(order: &Value, field: &str, value: Value) -> Value {
    let mut order = order.clone();
    order[field] = value;
    order
}

async fn api_fields(api: &Api) -> Result<()> {
    let chat = api.order("Tell me a story.", 10);
    let completion = json!({ "model": api.model, "prompt": "Once", "max_tokens": 10 });
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);

    // Anything that would change the answer and is not supported is refused by its name.
    let unsupported = "unsupported_parameter";
    let mut cases: Vec<(&str, &Value, &str, Value, u16, &str, &str)> = Vec::new();
    for (field, value) in [
        ("tools", tool.clone()),
        ("functions", tool),
        ("tool_choice", json!("auto")),
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("logit_bias", json!({ "50": 10 })),
        ("response_format", json!({ "type": "json_object" })),
        ("response_format", json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": {} } })),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(-1)),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({ "voice": "alloy" })),
        ("prediction", json!({ "type": "content", "content": "x" })),
        ("reasoning_effort", json!("high")),
        ("web_search_options", json!({})),
        ("prompt", json!("Once")),
        ("no_such_field", json!(1)),
    ] {
        cases.push((CHAT, &chat, field, value, 400, field, unsupported));
    }
    for (field, value) in [
        ("best_of", json!(2)),
        ("echo", json!(true)),
        ("suffix", json!("the end")),
        ("logprobs", json!(1)),
        ("messages", user(json!("hello"))),
        ("max_completion_tokens", json!(5)),
    ] {
        cases.push((COMPLETIONS, &completion, field, value, 400, field, unsupported));
    }
    // 4,300 words are more input bytes than the pool allows, 900 more units.
    let (too_many, too_large) = ("word ".repeat(4300), "word ".repeat(900));
    for (field, value, param, code) in [
        ("model", json!(null), "model", "missing_parameter"),
        ("messages", json!(null), "messages", "invalid_messages"),
        ("messages", json!("hello"), "messages", "invalid_messages"),
        ("messages", json!([]), "messages", "empty_prompt"),
        ("messages", user(json!("  \n")), "messages", "empty_prompt"),
        ("messages", user(json!(null)), "messages", "invalid_messages"),
        ("messages", user(json!([{ "type": "image_url", "image_url": {} }])), "messages", "invalid_messages"),
        ("messages", json!([{ "role": "tool", "content": "x" }]), "messages", "invalid_messages"),
        ("messages", json!([{ "content": "x" }]), "messages", "invalid_messages"),
        ("messages", user(json!(too_many)), "messages", "prompt_too_large"),
        ("messages", user(json!(too_large)), "messages", "prompt_too_large"),
        ("max_tokens", json!(0), "max_tokens", "invalid_value"),
        ("max_tokens", json!(1_000_000), "max_tokens", "max_tokens_too_large"),
        ("max_tokens", json!(499), "max_tokens", "max_tokens_too_large"),
        ("max_tokens", json!(-1), "max_tokens", "invalid_type"),
        ("max_tokens", json!("ten"), "max_tokens", "invalid_type"),
        ("max_tokens", json!(1.5), "max_tokens", "invalid_type"),
        ("max_completion_tokens", json!(0), "max_completion_tokens", "invalid_value"),
        ("temperature", json!(3), "temperature", "invalid_value"),
        ("temperature", json!("hot"), "temperature", "invalid_value"),
        ("top_p", json!(0), "top_p", "invalid_value"),
        ("top_k", json!(-1), "top_k", "invalid_value"),
        ("seed", json!("x"), "seed", "invalid_type"),
        ("stream", json!("yes"), "stream", "invalid_type"),
        ("stop", json!(["a", "b", "c", "d", "e"]), "stop", "invalid_type"),
        ("stop", json!([""]), "stop", "invalid_type"),
        ("stop", json!(5), "stop", "invalid_type"),
    ] {
        cases.push((CHAT, &chat, field, value, 400, param, code));
    }
    for (value, code) in [
        (json!(null), "invalid_type"),
        (json!(""), "empty_prompt"),
        (json!(["one", "two"]), "invalid_type"),
        (json!([1, 2, 3]), "invalid_type"),
        (json!(too_many), "prompt_too_large"),
        (json!(too_large), "prompt_too_large"),
    ] {
        cases.push((COMPLETIONS, &completion, "prompt", value, 400, "prompt", code));
    }
    cases.push((CHAT, &chat, "model", json!("gpt-4"), 404, "model", "model_not_found"));
    cases.push((COMPLETIONS, &completion, "model", json!("gpt-4"), 404, "model", "model_not_found"));
    for (path, order, field, value, status, param, code) in cases {
        let body = with(order, field, value);
        let what =
            format!("{path} with {field}: {}", body[field].to_string().chars().take(60).collect::<String>());
        expect(&what, &api.send(path, &body).await?, status, Some(param), code)?;
        // An error of the order comes with its status also where a stream was wanted.
        if field != "stream" {
            expect(
                &what,
                &api.send(path, &with(&body, "stream", json!(true))).await?,
                status,
                Some(param),
                code,
            )?;
        }
    }
    Ok(())
}

async fn api_keys(api: &Api) -> Result<()> {
    let order = api.order("Tell me a story.", 5);
    for (path, body) in [
        (CHAT, Some(&order)),
        (COMPLETIONS, Some(&order)),
        ("/v1/models", None),
        ("/assay/v1/requests/x", None),
    ] {
        let keys = [
            "Bearer wrong".to_owned(),
            format!("Bearer {}x", api.key),
            format!("Basic {}", api.key),
            "Bearer ".into(),
        ];
        expect(
            "no key",
            &Reply::of(api.anonymous(path, body).send().await?).await?,
            401,
            None,
            "invalid_api_key",
        )?;
        for key in keys {
            let reply = api.anonymous(path, body).header("authorization", &key).send().await?;
            expect(&key, &Reply::of(reply).await?, 401, None, "invalid_api_key")?;
        }
    }
    Ok(())
}

fn refused(what: &str, (status, body): (u16, Vec<u8>), code: ErrorCode) -> Result<()> {
    let error = refusal(status, &body).map_err(|e| eyre!("{what}: {e}"))?;
    ensure!(
        error.code == code && status == code.status() && !error.message.is_empty(),
        "{what}: expected {code:?}, got {status} {error}"
    );
    Ok(())
}

async fn wire_bodies(orders: &Orders<'_>) -> Result<()> {
    let place = orders.place().await?;
    let input = orders.input();
    let (request, encoded, _) = orders.request(&place, &input)?;
    let good = serde_json::to_value(orders.signed(request, encoded)?)?;
    for path in [INFER_PATH, VOUCHER_PATH, CHECK_PATH, CANCEL_PATH] {
        let huge = vec![b' '; MAX_BODY_BYTES + 1];
        refused("huge", orders.post(&place.url, path, huge).await?, ErrorCode::Malformed)?;
        for text in [&b""[..], b"{", b"[]", b"null", b"{}", b"\xff\xfe"] {
            refused(path, orders.post(&place.url, path, text.to_vec()).await?, ErrorCode::Malformed)?;
        }
    }
    let mut cases = vec![with(&good, "extra", json!(1))];
    for field in ["request", "signature", "input"] {
        let mut less = good.clone();
        less.as_object_mut().ok_or_else(|| eyre!("no object"))?.remove(field);
        cases.push(less);
        cases.push(with(&good, field, json!("0xzz")));
        cases.push(with(&good, field, json!(7)));
    }
    for (field, value) in [("lane", json!(-1)), ("maxUnits", json!(1u64 << 33)), ("user", json!("0x12"))] {
        let request = with(&good["request"], field, value);
        cases.push(with(&good, "request", request));
    }
    for body in cases {
        refused(&body.to_string(), orders.send(&place.url, INFER_PATH, &body).await?, ErrorCode::Malformed)?;
    }
    Ok(())
}

/// A change to an otherwise good order, made before it is signed.
type Change = fn(&mut InferenceRequest, &mut Bytes, &Place);

/// A change to a signature.
type Spoil = fn(&mut Vec<u8>);

async fn wire_requests(network: &Network, orders: &Orders<'_>) -> Result<()> {
    let changes: &[(&str, ErrorCode, Change)] = &[
        ("wrong pool", ErrorCode::WrongRecipient, |r, _, _| r.pool = B256::repeat_byte(7)),
        ("wrong server", ErrorCode::WrongRecipient, |r, _, _| r.server = Address::repeat_byte(7)),
        ("wrong seat", ErrorCode::WrongRecipient, |r, _, p| r.seat = p.seat + 1),
        ("no such seat", ErrorCode::WrongRecipient, |r, _, _| r.seat = u64::MAX),
        ("wrong slot", ErrorCode::WrongRecipient, |r, _, _| r.slot = 99),
        ("stale round", ErrorCode::StaleRound, |r, _, _| r.round -= 6),
        ("future round", ErrorCode::StaleRound, |r, _, _| {
            r.round += 10;
            r.deadline += 10;
        }),
        ("round zero", ErrorCode::StaleRound, |r, _, _| r.round = 0),
        ("last round", ErrorCode::StaleRound, |r, _, _| r.round = u64::MAX),
        ("deadline past", ErrorCode::StaleRound, |r, _, _| r.deadline -= 40),
        ("deadline beyond the window", ErrorCode::StaleRound, |r, _, _| r.deadline += 10),
        ("no deadline", ErrorCode::StaleRound, |r, _, _| r.deadline = u64::MAX),
        ("input of another hash", ErrorCode::BadInput, |r, _, _| r.inputHash = B256::repeat_byte(7)),
        ("input with a byte more", ErrorCode::BadInput, |r, i, _| {
            *i = [i.as_ref(), &[0]].concat().into();
            r.inputHash = keccak256(&i);
        }),
        ("input cut short", ErrorCode::BadInput, |r, i, _| {
            *i = i.slice(..i.len() - 1);
            r.inputHash = keccak256(&i);
        }),
        ("no input", ErrorCode::BadInput, |r, i, _| {
            *i = Bytes::new();
            r.inputHash = keccak256(&i);
        }),
        ("token outside the vocabulary", ErrorCode::BadInput, |r, i, _| {
            let mut bytes = i.to_vec();
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&u32::MAX.to_be_bytes());
            *i = bytes.into();
            r.inputHash = keccak256(&i);
        }),
        ("input over the pool's limit", ErrorCode::BadInput, |r, i, _| {
            *i = vec![0; 16_385].into();
            r.inputHash = keccak256(&i);
        }),
        ("too few units", ErrorCode::BadInput, |r, _, _| r.maxUnits -= 1),
        ("units over the pool's limit", ErrorCode::BadInput, |r, _, _| r.maxUnits = 1001),
    ];
    for (what, code, change) in changes {
        let place = orders.place().await?;
        let (mut request, mut encoded, _) = orders.request(&place, &orders.input())?;
        change(&mut request, &mut encoded, &place);
        let body = orders.signed(request, encoded)?;
        refused(what, orders.send(&place.url, INFER_PATH, &body).await?, *code)?;
    }

    // A signature of something else, or no signature.
    let d = network.chain.deployment();
    for (what, domain) in [
        ("another chain id", domain(d.chain_id + 1, d.ledger)),
        ("another Ledger", domain(d.chain_id, Address::repeat_byte(7))),
    ] {
        let place = orders.place().await?;
        let (request, encoded, _) = orders.request(&place, &orders.input())?;
        let signature = sign(&orders.signer, &domain, &request)?;
        let body = InferBody { request, signature, input: encoded };
        refused(what, orders.send(&place.url, INFER_PATH, &body).await?, ErrorCode::BadSignature)?;
    }
    let tampered: [(&str, Spoil); 6] = [
        ("no signature", Vec::clear),
        ("short signature", |s| s.truncate(64)),
        ("long signature", |s| s.push(0)),
        ("zero signature", |s| s.fill(0)),
        ("v of 0 or 1", |s| s[64] -= 27),
        ("flipped bit", |s| s[10] ^= 1),
    ];
    for (what, tamper) in tampered {
        let place = orders.place().await?;
        let (request, encoded, _) = orders.request(&place, &orders.input())?;
        let mut body = orders.signed(request, encoded)?;
        let mut signature = body.signature.to_vec();
        tamper(&mut signature);
        body.signature = signature.into();
        refused(what, orders.send(&place.url, INFER_PATH, &body).await?, ErrorCode::BadSignature)?;
    }
    Ok(())
}

/// Accounts without money, and messages about nothing.
async fn wire_strangers(network: &Network, orders: &Orders<'_>) -> Result<()> {
    let mut stranger = Orders::new(network).await?;
    stranger.signer = PrivateKeySigner::random();
    let account = stranger.signer.address();
    let place = stranger.places(account).await?.into_iter().next().ok_or_else(|| eyre!("no set"))?;
    let (request, encoded, _) = stranger.request(&place, &stranger.input())?;
    let body = stranger.signed(request, encoded)?;
    refused("no bond", stranger.send(&place.url, INFER_PATH, &body).await?, ErrorCode::NoCredit)?;

    let cancel = Cancel { request: B256::repeat_byte(9), round: orders.current_round() };
    let signature = sign(&orders.signer, &orders.domain, &cancel)?;
    let body = CancelBody { cancel, signature };
    refused("unknown request", orders.send(&place.url, CANCEL_PATH, &body).await?, ErrorCode::NotFound)
}

async fn answered(
    orders: &Orders<'_>,
    place: &Place,
    body: &InferBody,
) -> Result<(Box<ResponseBody>, Vec<u32>)> {
    match orders.infer(&place.url, body).await? {
        Outcome::Answered(answer, tokens) => Ok((answer, tokens)),
        Outcome::Refused(status, error) => bail!("a good order was refused: {status} {error}"),
    }
}

/// Numbers of a lane, and its vouchers.
async fn wire_lanes(network: &Network, orders: &Orders<'_>) -> Result<Vec<Answer>> {
    let place = orders.place().await?;
    let (request, encoded, _) = orders.request(&place, &orders.input())?;
    let body = orders.signed(request.clone(), encoded.clone())?;
    let (answer, tokens) = answered(orders, &place, &body).await?;
    ensure!(answer.tokens == tokens && !tokens.is_empty(), "the tokens are not those that were streamed");

    // The same bytes again: the same answer, bit for bit. Other bytes under the number: evidence against the user.
    let (again, _) = answered(orders, &place, &body).await?;
    ensure!(again == answer, "the stored answer differs");
    let mut other = request.clone();
    other.maxUnits += 1;
    let other = orders.signed(other, encoded.clone())?;
    refused("same number", orders.send(&place.url, INFER_PATH, &other).await?, ErrorCode::Equivocation)?;
    // A refused number does not spoil the one that was answered.
    let (again, _) = answered(orders, &place, &body).await?;
    ensure!(again == answer, "the stored answer differs");

    // The lane's next number waits for the voucher; one before it is spent.
    let later = |sequence| {
        let mut next = request.clone();
        next.sequence = sequence;
        orders.signed(next, encoded.clone())
    };
    refused("no voucher", orders.send(&place.url, INFER_PATH, &later(2)?).await?, ErrorCode::WrongVoucher)?;
    refused("spent", orders.send(&place.url, INFER_PATH, &later(0)?).await?, ErrorCode::SequenceSpent)?;

    // Only the voucher that the lane has earned, signed by the user for this server, is taken.
    let good = orders.voucher(&request, &answer)?;
    let v = &good.voucher;
    for (what, code, voucher) in [
        ("more units", ErrorCode::WrongVoucher, assay_protocol::Voucher { units: v.units + 1, ..v.clone() }),
        ("fewer units", ErrorCode::WrongVoucher, assay_protocol::Voucher { units: v.units - 1, ..v.clone() }),
        ("count", ErrorCode::WrongVoucher, assay_protocol::Voucher { count: 2, ..v.clone() }),
        (
            "root",
            ErrorCode::WrongVoucher,
            assay_protocol::Voucher { root: B256::repeat_byte(1), ..v.clone() },
        ),
        ("sequence", ErrorCode::WrongVoucher, assay_protocol::Voucher { sequence: 2, ..v.clone() }),
        ("lane", ErrorCode::WrongVoucher, assay_protocol::Voucher { lane: v.lane ^ 1, ..v.clone() }),
        ("pool", ErrorCode::WrongRecipient, assay_protocol::Voucher { pool: B256::ZERO, ..v.clone() }),
        ("server", ErrorCode::WrongRecipient, assay_protocol::Voucher { server: network.user, ..v.clone() }),
        ("round", ErrorCode::StaleRound, assay_protocol::Voucher { round: v.round + 50, ..v.clone() }),
        ("user", ErrorCode::BadSignature, assay_protocol::Voucher { user: place.server, ..v.clone() }),
    ] {
        let body = orders.signed_voucher(voucher)?;
        refused(what, orders.send(&place.url, VOUCHER_PATH, &body).await?, code)?;
    }
    let accepted = orders.accept(&place.url, &good, &answer).await?;
    // A voucher that got lost on its way back can be sent again; the lane goes on.
    orders.accept(&place.url, &good, &answer).await?;
    let late = orders.signed_voucher(assay_protocol::Voucher { units: v.units + 1, ..v.clone() })?;
    refused("not earned", orders.send(&place.url, VOUCHER_PATH, &late).await?, ErrorCode::WrongVoucher)?;
    Ok(vec![accepted])
}

/// Challenges that are not due, are not drawn, or are meant for another seat.
async fn wire_checks(network: &Network, orders: &Orders<'_>) -> Result<Vec<Answer>> {
    let (mut accepted, mut drawn, mut not_drawn) = (Vec::new(), false, false);
    until("one answer that is drawn and one that is not", Duration::from_secs(60), async || {
        let place = orders.place().await?;
        let (request, encoded, nonce) = orders.request(&place, &orders.input())?;
        let body = orders.signed(request.clone(), encoded.clone())?;
        let (answer, _) = answered(orders, &place, &body).await?;
        let voucher = orders.voucher(&request, &answer)?;
        accepted.push(orders.accept(&place.url, &voucher, &answer).await?);

        let response = hash_of(&answer.response);
        let challenge = |seat: u64, counter: u8, ticket_nonce: B256, round: u64| -> Result<CheckBody> {
            let challenge = Challenge {
                request: hash_of(&request),
                response,
                ticketNonce: ticket_nonce,
                counter,
                seat,
                round,
            };
            Ok(CheckBody {
                request: request.clone(),
                response: answer.response.clone(),
                response_signature: answer.signature.clone(),
                challenge_signature: sign(&orders.signer, &orders.domain, &challenge)?,
                challenge,
                input: encoded.clone(),
            })
        };
        let mut others = Vec::new();
        for name in network.servers() {
            if network.account(&name)? != place.server {
                others.push((network.account(&name)?, network.url(&name)?));
            }
        }
        let (_, url) = &others[0];
        let ticket_round =
            orders.params.ticket_round(answer.response.round).ok_or_else(|| eyre!("no ticket round"))?;
        if orders.current_round() < ticket_round {
            let early = challenge(0, 0, nonce, answer.response.round)?;
            refused("early", orders.send(url, CHECK_PATH, &early).await?, ErrorCode::NotDue)?;
        }
        let randomness = B256::from(network.beacon.wait(ticket_round).await?.randomness());
        let units =
            answer.response.units(orders.params.limits.promptWeight, orders.params.limits.outputWeight);
        let ticket = Ticket::new(randomness, response, nonce);
        let epoch = orders.params.epoch_of(network.beacon.chain().time_of(ticket_round)?);
        let (seat, owner) = {
            let index = network.follower.read().await;
            let pool = index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?;
            pool.validator_of(ticket, randomness, epoch, 0).ok_or_else(|| eyre!("nobody is drawn"))?
        };
        let round = orders.current_round();
        if !ticket.is_drawn(orders.params.challenge_rate(units)) {
            not_drawn = true;
            let url = others.iter().find(|(a, _)| *a == owner).map_or(url, |(_, url)| url);
            let body = challenge(seat, 0, nonce, round)?;
            refused("not drawn", orders.send(url, CHECK_PATH, &body).await?, ErrorCode::NotDue)?;
        } else if owner != place.server {
            drawn = true;
            for (account, url) in &others {
                let mut wrong = vec![
                    ("another nonce", challenge(seat, 0, B256::ZERO, round)?, ErrorCode::NotDue),
                    ("too many redraws", challenge(seat, 99, nonce, round)?, ErrorCode::NotDue),
                    ("another seat", challenge(seat + 1, 0, nonce, round)?, ErrorCode::NotDue),
                    ("before the answer", challenge(seat, 0, nonce, request.round - 1)?, ErrorCode::NotDue),
                ];
                let right = challenge(seat, 0, nonce, round)?;
                let mut forged = right.clone();
                forged.challenge_signature = right.response_signature.clone();
                wrong.push(("another's signature", forged, ErrorCode::BadSignature));
                let mut input = right.clone();
                input.input = Bytes::from_static(b"ASI1");
                if *account == owner {
                    wrong.push(("another input", input, ErrorCode::BadInput));
                } else {
                    wrong.push(("another server's seat", right.clone(), ErrorCode::NotDue));
                }
                for (what, body, code) in wrong {
                    refused(what, orders.send(url, CHECK_PATH, &body).await?, code)?;
                }
                if *account == owner {
                    // After all that, the right challenge is answered, and the same again alike.
                    let reply = async || -> Result<CheckReply> {
                        let (status, bytes) = orders.send(url, CHECK_PATH, &right).await?;
                        ensure!(
                            status == 200,
                            "a due challenge: {status} {}",
                            String::from_utf8_lossy(&bytes)
                        );
                        Ok(serde_json::from_slice(&bytes)?)
                    };
                    let first = reply().await?;
                    ensure!(first.digest == orders.digest(&request, &answer)?, "honest servers differ");
                    ensure!(reply().await? == first, "the stored answer of a check differs");
                }
            }
        }
        Ok((drawn && not_drawn).then_some(()))
    })
    .await?;
    Ok(accepted)
}
