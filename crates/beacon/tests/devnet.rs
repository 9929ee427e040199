//! The devnet chain over loopback: its own client, and drand's routes and fields.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy sees tests, but not their helpers")]

use std::sync::Arc;
use std::time::Duration;

use assay_beacon::devnet::DevnetChain;
use assay_beacon::{BeaconError, Client, ClientConfig, ManualClock};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const GENESIS: u64 = 1_700_000_000;

struct Devnet {
    chain: DevnetChain,
    clock: ManualClock,
    url: String,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

/// A devnet chain at the time of `round`, or a second before genesis if that is 0.
async fn start(round: u64) -> Devnet {
    let chain = DevnetChain::new(&[9; 32], GENESIS, 3).unwrap();
    let now = chain.info().time_of(round).unwrap_or(GENESIS - 1);
    let clock = ManualClock::new(Duration::from_secs(now));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let (served, time, stopped) = (chain.clone(), Arc::new(clock.clone()), stop.clone().cancelled_owned());
    let server = tokio::spawn(async move { served.serve(listener, time, stopped).await });
    Devnet { chain, clock, url, stop, server }
}

impl Devnet {
    async fn client(&self) -> Client {
        let config = ClientConfig { urls: vec![self.url.clone()], ..ClientConfig::default() };
        Client::connect(self.chain.info().hash(), config, Arc::new(self.clock.clone())).await.unwrap()
    }

    async fn raw(&self, path: &str) -> (u16, Value) {
        let http = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let response = http.get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }
}

#[tokio::test]
async fn client_and_devnet_work_end_to_end() {
    let devnet = start(4).await;
    let client = devnet.client().await;
    assert_eq!(client.chain(), devnet.chain.info());
    client.check().await.unwrap();
    assert_eq!(client.latest().await.unwrap(), devnet.chain.round(4).unwrap());
    assert_eq!(client.get(2).await.unwrap(), devnet.chain.round(2).unwrap());
    let early = client.get(5).await.unwrap_err();
    assert!(matches!(&early, BeaconError::AllFailed(errors)
        if matches!(errors[..], [BeaconError::NotPublished { round: 5, .. }])));

    devnet.clock.advance(Duration::from_secs(3));
    assert_eq!(client.get(5).await.unwrap(), devnet.chain.round(5).unwrap());
    devnet.stop.cancel();
    devnet.server.await.unwrap().unwrap();
    assert!(client.get(6).await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn a_stream_gives_every_round_at_its_time() {
    let devnet = start(3).await;
    let client = devnet.client().await;
    let mut rounds = Box::pin(client.stream(2));
    for number in 2..=3 {
        assert_eq!(rounds.next().await.unwrap().unwrap(), devnet.chain.round(number).unwrap());
    }
    for number in 4..=6 {
        let due = Duration::from_secs(devnet.chain.info().time_of(number).unwrap());
        let (round, ()) = tokio::join!(rounds.next(), async {
            assert_eq!(devnet.clock.next_wake().await, due);
            devnet.clock.set(due);
        });
        assert_eq!(round.unwrap().unwrap(), devnet.chain.round(number).unwrap());
    }
}

#[tokio::test]
async fn routes_and_fields_are_drands() {
    let devnet = start(4).await;
    let info = devnet.chain.info();
    let expected_info = json!({
        "public_key": hex::encode(info.public_key()),
        "period": 3,
        "genesis_time": GENESIS,
        "hash": hex::encode(info.hash()),
        "groupHash": hex::encode(info.group_hash()),
        "schemeID": "bls-unchained-g1-rfc9380",
        "metadata": { "beaconID": "assay-devnet" },
    });
    let expected_round = |number| {
        let round = devnet.chain.round(number).unwrap();
        json!({
            "round": number,
            "randomness": hex::encode(round.randomness()),
            "signature": hex::encode(round.signature()),
        })
    };
    for base in [String::new(), format!("/{}", hex::encode(info.hash()))] {
        assert_eq!(devnet.raw(&format!("{base}/info")).await, (200, expected_info.clone()));
        assert_eq!(devnet.raw(&format!("{base}/public/latest")).await, (200, expected_round(4)));
        assert_eq!(devnet.raw(&format!("{base}/public/1")).await, (200, expected_round(1)));
        assert_eq!(devnet.raw(&format!("{base}/public/5")).await.0, 425);
        for path in ["0", "-1", "x", "18446744073709551616"] {
            assert_eq!(devnet.raw(&format!("{base}/public/{path}")).await.0, 404, "{path}");
        }
    }
    assert_eq!(devnet.raw(&format!("/{}/info", "00".repeat(32))).await.0, 404);
}

#[tokio::test]
async fn before_genesis_there_is_no_round() {
    let devnet = start(0).await;
    assert_eq!(devnet.raw("/public/latest").await.0, 425);
    assert_eq!(devnet.raw("/public/1").await.0, 425);
    assert_eq!(devnet.chain.round(0), Err(BeaconError::RoundZero));
}
