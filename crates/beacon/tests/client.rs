//! The client against servers that lie, lag, hang and break.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees tests, but not their helpers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assay_beacon::devnet::DevnetChain;
use assay_beacon::{
    Action, BeaconError, ChainInfo, Client, ClientConfig, Clock, InfoJson, ManualClock, RoundJson,
    SystemClock,
};
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::{StreamExt, stream};
use tokio::net::TcpListener;

const GENESIS: u64 = 1_700_000_000;

fn chain() -> DevnetChain {
    DevnetChain::new(&[3; 32], GENESIS, 3).unwrap()
}

fn round_json(number: u64) -> RoundJson {
    chain().round(number).unwrap().to_json()
}

/// The clock at the time of `round`.
fn clock_at(round: u64) -> ManualClock {
    ManualClock::new(Duration::from_secs(chain().info().time_of(round).unwrap()))
}

/// A server that answers every request by a function of its count (from 0) and its path.
struct Fake {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Fake {
    async fn start(answer: impl Fn(usize, String) -> Response + Clone + Send + Sync + 'static) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let app = Router::new().fallback(move |uri: Uri| async move {
            answer(counter.fetch_add(1, Ordering::SeqCst), uri.path().to_owned())
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, requests }
    }

    /// Accepts connections and never answers on them.
    async fn hanging() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                open.push(connection);
            }
        });
        Self { url, requests }
    }

    /// Serves the chain's rounds honestly, whatever the time.
    async fn honest() -> Self {
        Self::start(|_, path| match path.rsplit('/').next().unwrap().parse() {
            Ok(round) => Json(round_json(round)).into_response(),
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        })
        .await
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn config(servers: &[&Fake]) -> ClientConfig {
    ClientConfig {
        urls: servers.iter().map(|server| server.url.clone()).collect(),
        timeout: Duration::from_secs(20),
        max_body: 2048,
        ..ClientConfig::default()
    }
}

fn client(servers: &[&Fake], clock: &ManualClock) -> Client {
    Client::new(chain().info().clone(), config(servers), Arc::new(clock.clone())).unwrap()
}

/// Asks one server that answers so for round 5, and returns the one error; then checks that with an honest
/// server behind it the round is had all the same, and the honest one is asked first from then on.
async fn lone_error(bad: Fake) -> BeaconError {
    lone_error_within(bad, config(&[]).timeout).await
}

async fn lone_error_within(bad: Fake, timeout: Duration) -> BeaconError {
    let clock = clock_at(5);
    let client = |servers: &[&Fake]| {
        let config = ClientConfig { timeout, ..config(servers) };
        Client::new(chain().info().clone(), config, Arc::new(clock.clone())).unwrap()
    };
    let error = client(&[&bad]).get(5).await.unwrap_err();
    let BeaconError::AllFailed(mut errors) = error.clone() else { panic!("{error}") };
    assert_eq!(errors.len(), 1);
    let error_of_server = errors.remove(0);
    assert_eq!(error.action(), error_of_server.action());

    let good = Fake::honest().await;
    let both = client(&[&bad, &good]);
    assert_eq!(both.get(5).await.unwrap(), chain().round(5).unwrap());
    let asked = bad.requests();
    assert_eq!(both.get(4).await.unwrap(), chain().round(4).unwrap());
    assert_eq!(bad.requests(), asked);
    error_of_server
}

#[tokio::test]
async fn another_round_than_asked_is_refused() {
    let error = lone_error(Fake::start(|_, _| Json(round_json(4)).into_response()).await).await;
    assert_eq!(error, BeaconError::WrongRound { wanted: 5, got: 4 });
    assert_eq!(error.action(), Action::GiveUp);
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let mut lie = round_json(4);
    lie.round = 5;
    let error = lone_error(Fake::start(move |_, _| Json(lie.clone()).into_response()).await).await;
    assert_eq!(error, BeaconError::SignatureInvalid { round: 5 });
    assert_eq!(error.action(), Action::GiveUp);
}

#[tokio::test]
async fn a_signature_that_is_no_point_is_refused() {
    for (signature, expected) in [
        ("zz".repeat(48), BeaconError::SignaturePoint { round: 5, reason: "not hex" }),
        ("00".repeat(47), BeaconError::SignatureLength { round: 5, length: 47 }),
        ("00".repeat(48), BeaconError::SignaturePoint { round: 5, reason: "bad encoding" }),
    ] {
        let lie = RoundJson { signature, ..round_json(5) };
        let error = lone_error(Fake::start(move |_, _| Json(lie.clone()).into_response()).await).await;
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn randomness_that_is_not_the_hash_of_the_signature_is_refused() {
    let lie = RoundJson { randomness: round_json(4).randomness, ..round_json(5) };
    let error = lone_error(Fake::start(move |_, _| Json(lie.clone()).into_response()).await).await;
    assert_eq!(error, BeaconError::RandomnessMismatch { round: 5 });
}

#[tokio::test]
async fn randomness_may_be_left_out() {
    let short = RoundJson { randomness: None, ..round_json(5) };
    let server = Fake::start(move |_, _| Json(short.clone()).into_response()).await;
    assert_eq!(client(&[&server], &clock_at(5)).get(5).await.unwrap(), chain().round(5).unwrap());
}

#[tokio::test]
async fn an_oversized_body_is_cut_off() {
    let endless = |_, _| {
        Body::from_stream(stream::repeat(Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 256]))))
            .into_response()
    };
    let declared = |_, _| " ".repeat(2049).into_response();
    for server in [Fake::start(endless).await, Fake::start(declared).await] {
        let error = lone_error(server).await;
        assert!(matches!(error, BeaconError::BodyTooLarge { limit: 2048, .. }), "{error}");
        assert_eq!(error.action(), Action::GiveUp);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left() {
    let endless_pause = |_, _| {
        let first = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b"{"))]);
        Body::from_stream(first.chain(stream::pending())).into_response()
    };
    for server in [Fake::hanging().await, Fake::start(endless_pause).await] {
        let error = lone_error_within(server, Duration::from_secs(1)).await;
        assert!(matches!(error, BeaconError::Timeout { .. }), "{error}");
        assert_eq!(error.action(), Action::Retry);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_passed_over() {
    // Port 1 of the loopback: nobody listens there, and nobody unprivileged can start to.
    let absent = Fake { url: "http://127.0.0.1:1".to_owned(), requests: Arc::default() };
    let error = lone_error(absent).await;
    assert!(matches!(error, BeaconError::Transport { .. }), "{error}");
    assert_eq!(error.action(), Action::Retry);
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for (status, action) in [
        (StatusCode::INTERNAL_SERVER_ERROR, Action::Retry),
        (StatusCode::BAD_GATEWAY, Action::Retry),
        (StatusCode::TOO_MANY_REQUESTS, Action::Retry),
        (StatusCode::FORBIDDEN, Action::GiveUp),
        (StatusCode::NO_CONTENT, Action::GiveUp),
    ] {
        let error = lone_error(Fake::start(move |_, _| status.into_response()).await).await;
        assert!(
            matches!(error, BeaconError::Status { status: got, .. } if got == status.as_u16()),
            "{error}"
        );
        assert_eq!(error.action(), action);
    }
    for status in [StatusCode::NOT_FOUND, StatusCode::TOO_EARLY] {
        let error = lone_error(Fake::start(move |_, _| status.into_response()).await).await;
        assert!(matches!(error, BeaconError::NotPublished { round: 5, .. }), "{error}");
        assert_eq!(error.action(), Action::Retry);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let good = Fake::honest().await;
    let target = good.url.clone();
    let bad = Fake::start(move |_, path| {
        (StatusCode::FOUND, [("location", format!("{target}{path}"))]).into_response()
    })
    .await;
    let error = client(&[&bad], &clock_at(5)).get(5).await.unwrap_err();
    assert!(matches!(&error, BeaconError::AllFailed(errors)
        if matches!(errors[..], [BeaconError::Status { status: 302, .. }])));
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn what_is_not_drands_json_is_refused() {
    for body in ["", "null", "[]", "{\"round\":-1}", "{\"round\":5}", "<html>"] {
        let error = lone_error(Fake::start(move |_, _| body.into_response()).await).await;
        assert!(matches!(error, BeaconError::Malformed { .. }), "{body}: {error}");
        assert_eq!(error.action(), Action::GiveUp);
    }
}

#[tokio::test]
async fn a_verified_round_is_asked_for_once() {
    let server = Fake::honest().await;
    let client = client(&[&server], &clock_at(9));
    assert_eq!(client.cached(5), None);
    let first = client.get(5).await.unwrap();
    assert_eq!(client.get(5).await.unwrap(), first);
    assert_eq!(client.wait(5).await.unwrap(), first);
    assert_eq!(client.cached(5), Some(first));
    assert_eq!(server.requests(), 1);
    assert_eq!(client.get(0).await, Err(BeaconError::RoundZero));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_replayed_latest_is_stale() {
    let old = Fake::start(|_, _| Json(round_json(89)).into_response()).await;
    let clock = clock_at(100);
    let error = client(&[&old], &clock).latest().await.unwrap_err();
    assert!(matches!(&error, BeaconError::AllFailed(errors)
        if matches!(errors[..], [BeaconError::Stale { round: 89, expected: 100, .. }])));
    assert!(error.is_retryable());
    let lagging = Fake::start(|_, _| Json(round_json(90)).into_response()).await;
    let ahead = Fake::start(|_, _| Json(round_json(101)).into_response()).await;
    assert_eq!(client(&[&old, &lagging], &clock).latest().await.unwrap().number(), 90);
    assert_eq!(client(&[&old, &ahead], &clock).latest().await.unwrap().number(), 101);
}

#[tokio::test]
async fn waiting_asks_nobody_before_the_rounds_time() {
    let server = Fake::honest().await;
    let clock = clock_at(5);
    let client = client(&[&server], &clock);
    let waiting = tokio::spawn(async move { client.wait(7).await });
    let due = Duration::from_secs(GENESIS + 6 * 3);
    assert_eq!(clock.next_wake().await, due);
    assert_eq!(server.requests(), 0);
    clock.set(due);
    assert_eq!(waiting.await.unwrap().unwrap(), chain().round(7).unwrap());
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn waiting_asks_again_until_a_server_has_the_round() {
    let server = Fake::start(|count, _| match count {
        0 => StatusCode::TOO_EARLY.into_response(),
        1 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        2 => StatusCode::NOT_FOUND.into_response(),
        _ => Json(round_json(7)).into_response(),
    })
    .await;
    let clock = clock_at(7);
    let start = clock.now();
    let client = client(&[&server], &clock);
    let waiting = tokio::spawn(async move { client.wait(7).await });
    for elapsed in [200, 600, 1400] {
        let wake = clock.next_wake().await;
        assert_eq!(wake - start, Duration::from_millis(elapsed));
        clock.set(wake);
    }
    assert_eq!(waiting.await.unwrap().unwrap(), chain().round(7).unwrap());
    assert_eq!(server.requests(), 4);
}

#[tokio::test]
async fn waiting_ends_when_patience_does() {
    let server = Fake::start(|_, _| StatusCode::NOT_FOUND.into_response()).await;
    let clock = clock_at(7);
    let start = clock.now();
    let client = client(&[&server], &clock);
    let mut waiting = tokio::spawn(async move { client.wait(7).await });
    let outcome = loop {
        tokio::select! {
            outcome = &mut waiting => break outcome.unwrap(),
            wake = clock.next_wake() => clock.set(wake),
        }
    };
    assert!(outcome.unwrap_err().is_retryable());
    let spent = clock.now() - start;
    assert!(spent >= Duration::from_secs(60) && spent <= Duration::from_secs(63), "{spent:?}");
}

#[tokio::test]
async fn waiting_does_not_retry_what_cannot_help() {
    let server = Fake::start(|_, _| Json(round_json(4)).into_response()).await;
    let error = client(&[&server], &clock_at(7)).wait(7).await.unwrap_err();
    assert_eq!(error, BeaconError::AllFailed(vec![BeaconError::WrongRound { wanted: 7, got: 4 }]));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_stream_ends_at_an_error_that_no_retry_can_help() {
    let server = Fake::start(|count, _| match count {
        0 => Json(round_json(7)).into_response(),
        _ => Json(round_json(4)).into_response(),
    })
    .await;
    let items: Vec<_> = client(&[&server], &clock_at(9)).stream(7).collect().await;
    assert_eq!(items[0], Ok(chain().round(7).unwrap()));
    assert_eq!(items.len(), 2);
    assert_eq!(items[1].as_ref().unwrap_err().action(), Action::GiveUp);
}

#[tokio::test]
async fn only_the_pinned_chain_is_connected_to() {
    let other = DevnetChain::new(&[4; 32], GENESIS, 3).unwrap();
    let honest_about_another = InfoJson::from(other.info().clone());
    let claims_the_pinned_hash =
        InfoJson { hash: hex::encode(chain().info().hash()), ..honest_about_another.clone() };
    for info in [honest_about_another, claims_the_pinned_hash] {
        let server = Fake::start(move |_, _| Json(info.clone()).into_response()).await;
        let connecting = Client::connect(chain().info().hash(), config(&[&server]), Arc::new(SystemClock));
        let error = connecting.await.unwrap_err();
        assert!(matches!(&error, BeaconError::AllFailed(errors)
            if matches!(errors[..], [BeaconError::ChainMismatch { .. }])));
        assert_eq!(error.action(), Action::Stop);
    }
}

#[test]
fn unusable_configurations_are_refused() {
    let of_urls = |urls: &[&str]| {
        let urls = urls.iter().map(ToString::to_string).collect();
        let config = ClientConfig { urls, ..ClientConfig::default() };
        Client::new(chain().info().clone(), config, Arc::new(SystemClock)).unwrap_err()
    };
    for urls in [&[][..], &["ftp://127.0.0.1"], &["not an address"], &["http://127.0.0.1", "data:x"]] {
        let error = of_urls(urls);
        assert!(matches!(error, BeaconError::Config(_)), "{error}");
        assert_eq!(error.action(), Action::Stop);
    }
}

#[test]
fn a_chain_survives_its_json() {
    let info = chain().info().clone();
    let text = serde_json::to_string(&info).unwrap();
    assert_eq!(serde_json::from_str::<ChainInfo>(&text).unwrap(), info);
    assert!(serde_json::from_str::<ChainInfo>(&text.replace("\"period\":3", "\"period\":4")).is_err());
}
