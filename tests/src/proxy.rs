//! A proxy between the gateway and the servers: what a hostile server, or a hostile network, would do to an answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use assay_chain::{PrivateKeySigner, sign};
use assay_protocol::wire::{
    CHECK_PATH, CheckBody, ErrorCode, INFER_PATH, InferBody, InferEvent, ResponseBody, VOUCHER_PATH,
    WireError,
};
use assay_protocol::{DigestInputs, Eip712Domain, Finish, Role, commitment};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use eyre::{Result, eyre};
use futures::StreamExt;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Network;

const MAX_BODY: usize = 1 << 20;

/// What happens to answers that pass through.
#[derive(Debug, Clone, Copy)]
pub enum Tamper {
    /// The response is changed, then commits to what it says and is signed with the server's own key: as a server would lie.
    Consistent(fn(&mut ResponseBody)),
    /// The response is changed and signed with the server's own key.
    Signed(fn(&mut ResponseBody)),
    /// The response is changed.
    Changed(fn(&mut ResponseBody)),
    /// The response is kept back until its ticket's value is public.
    Late,
    /// After so many events of tokens something else comes instead of the rest.
    After(usize, Instead),
    /// Vouchers do not reach the server.
    LoseVouchers,
    /// Challenges do not reach the validator; [`Proxy::take_checks`] has them.
    KeepChecks,
}

/// What comes instead of the rest of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Instead {
    /// The end of the stream.
    End,
    /// Nothing, for ever.
    Silence,
    /// Bytes that are no event of the protocol.
    Garbage,
    /// An event without end.
    Flood,
    /// More tokens than were ordered.
    Tokens,
    /// An error event.
    Error,
}

/// A call that passed through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The server.
    pub server: String,
    /// Path after the server's name.
    pub path: String,
    /// Whether it came out of the proxy as it went in.
    pub intact: bool,
}

#[derive(Debug, Clone)]
struct Target {
    url: String,
    account: Address,
    key: PrivateKeySigner,
    model_root: B256,
}

#[derive(Debug, Default)]
struct Settings {
    targets: HashMap<String, Target>,
    domain: Option<Eip712Domain>,
    tampers: HashMap<String, Tamper>,
    calls: Vec<Call>,
    checks: Vec<(String, CheckBody)>,
}

#[derive(Debug)]
struct Shared {
    settings: Mutex<Settings>,
    client: Client,
    beacon: Mutex<Option<assay_beacon::Client>>,
}

/// A proxy; every server is at its name below [`Proxy::url`].
#[derive(Debug)]
pub struct Proxy {
    /// What servers announce, their names as its path.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes a changed response commit to its parts again.
fn recommit(body: &mut ResponseBody, server: Address, model_root: B256, input_hash: B256) {
    let inputs = DigestInputs {
        model_root,
        input_hash,
        prompt_tokens: body.response.promptTokens,
        finish: body.response.finish().unwrap_or(Finish::Length),
        tokens: &body.tokens,
        work: body.work,
    };
    body.response.commitment = commitment(Role::Server, server, body.response.subject(), inputs.digest());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Listens; knows no server yet.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            settings: Mutex::default(),
            client: Client::builder().no_proxy().build()?,
            beacon: Mutex::default(),
        });
        let router =
            Router::new().fallback(handle).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(shared.clone());
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, shared, task })
    }

    /// Learns where the servers of a network are, and their keys.
    ///
    /// # Errors
    /// A server has no key file.
    pub async fn serve(&self, network: &Network) -> Result<()> {
        let model_root = {
            let index = network.follower.read().await;
            index.pool(network.pool).ok_or_else(|| eyre!("no pool"))?.params.basis.modelRoot
        };
        let mut settings = lock(&self.shared.settings);
        for name in network.servers() {
            let (url, account) = (network.url(&name)?, network.account(&name)?);
            let target = Target { url, account, key: network.key(&name)?, model_root };
            settings.targets.insert(name, target);
        }
        settings.domain = Some(network.chain.deployment().domain());
        *lock(&self.shared.beacon) = Some(network.beacon.clone());
        Ok(())
    }

    /// Tampers with the answers of `servers` and of nobody else from now on.
    pub fn tamper(&self, servers: &[String], tamper: Tamper) {
        let mut settings = lock(&self.shared.settings);
        settings.tampers = servers.iter().map(|name| (name.clone(), tamper)).collect();
    }

    /// Passes everything on as it is from now on.
    pub fn be_honest(&self) {
        lock(&self.shared.settings).tampers.clear();
    }

    /// Challenges that were kept back since the last look, with the validators' names.
    pub fn take_checks(&self) -> Vec<(String, CheckBody)> {
        std::mem::take(&mut lock(&self.shared.settings).checks)
    }

    /// Calls since the last look.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.shared.settings).calls)
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Some((server, path)) =
        path.trim_start_matches('/').split_once('/').map(|(s, p)| (s.to_owned(), format!("/{p}")))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (target, tamper, domain) = {
        let mut settings = lock(&shared.settings);
        let tamper = settings.tampers.get(&server).copied().filter(|t| match t {
            Tamper::LoseVouchers => path == VOUCHER_PATH,
            Tamper::KeepChecks => path == CHECK_PATH,
            _ => path == INFER_PATH,
        });
        settings.calls.push(Call { server: server.clone(), path: path.clone(), intact: tamper.is_none() });
        let (Some(target), Some(domain)) = (settings.targets.get(&server).cloned(), settings.domain.clone())
        else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        (target, tamper, domain)
    };
    if matches!(tamper, Some(Tamper::LoseVouchers)) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if matches!(tamper, Some(Tamper::KeepChecks)) {
        if let Ok(check) = serde_json::from_slice(&body) {
            lock(&shared.settings).checks.push((server, check));
        }
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let input_hash = serde_json::from_slice::<InferBody>(&body).map_or(B256::ZERO, |b| b.request.inputHash);
    let mut call = shared.client.request(method, format!("{}{path}", target.url)).body(body);
    if let Some(kind) = headers.get("content-type") {
        call = call.header("content-type", kind);
    }
    let Ok(answer) = call.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let (Some(tamper), true) = (tamper, status.is_success()) else {
        return (status, Body::from_stream(answer.bytes_stream())).into_response();
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let beacon = lock(&shared.beacon).clone();
    tokio::spawn(async move {
        // A gateway that hangs up ends it.
        let _ = relay(answer, tamper, &target, input_hash, &domain, beacon, &sender).await;
    });
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(bytes), receiver))
    });
    (status, [("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
}

fn event(event: &InferEvent) -> Result<Bytes> {
    Ok(format!("data: {}\n\n", serde_json::to_string(event)?).into())
}

async fn relay(
    answer: reqwest::Response,
    tamper: Tamper,
    target: &Target,
    input_hash: B256,
    domain: &Eip712Domain,
    beacon: Option<assay_beacon::Client>,
    sender: &mpsc::Sender<Bytes>,
) -> Result<()> {
    let (mut bytes, mut buffer, mut passed) = (answer.bytes_stream(), Vec::new(), 0);
    if let Tamper::After(0, instead) = tamper {
        return replace(instead, sender).await;
    }
    while let Some(chunk) = bytes.next().await {
        buffer.extend_from_slice(&chunk?);
        while let Some(end) = buffer.windows(2).position(|w| w == b"\n\n") {
            let raw: Vec<u8> = buffer.drain(..end + 2).collect();
            let Some(data) = raw.strip_prefix(b"data:") else { continue };
            let InferEvent::Response(mut body) = serde_json::from_slice(data)? else {
                sender.send(raw.into()).await?;
                passed += 1;
                match tamper {
                    Tamper::After(count, instead) if count == passed => {
                        return replace(instead, sender).await;
                    }
                    _ => continue,
                }
            };
            match tamper {
                Tamper::Consistent(change) => {
                    change(&mut body);
                    recommit(&mut body, target.account, target.model_root, input_hash);
                    body.signature = sign(&target.key, domain, &body.response)?;
                }
                Tamper::Signed(change) => {
                    change(&mut body);
                    body.signature = sign(&target.key, domain, &body.response)?;
                }
                Tamper::Changed(change) => change(&mut body),
                Tamper::Late => {
                    if let Some(beacon) = &beacon {
                        beacon.wait(body.response.round + 2).await?;
                    }
                }
                Tamper::After(..) | Tamper::LoseVouchers | Tamper::KeepChecks => {}
            }
            sender.send(event(&InferEvent::Response(body))?).await?;
        }
    }
    Ok(())
}

async fn replace(instead: Instead, sender: &mpsc::Sender<Bytes>) -> Result<()> {
    match instead {
        Instead::End => {}
        Instead::Silence => sender.closed().await,
        Instead::Garbage => sender.send("data: {\"type\":\"riddle\"}\n\n".into()).await?,
        Instead::Flood => loop {
            sender.send(vec![b'x'; 64 * 1024].into()).await?;
        },
        Instead::Tokens => loop {
            sender.send(event(&InferEvent::Tokens { tokens: vec![1; 64] })?).await?;
        },
        Instead::Error => {
            let error = WireError::new(ErrorCode::Internal, "the dog ate it");
            sender.send(event(&InferEvent::Error(error))?).await?;
        }
    }
    Ok(())
}
