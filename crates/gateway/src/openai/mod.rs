//! The API: chat completions, completions, the list of models; and what has become of an answer.

mod error;
mod request;
mod text;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use assay_protocol::Finish;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::error::ApiError;
use self::request::{Kind, Order};
use self::text::TextStream;
use crate::Inner;
use crate::ask::{Asked, Event, ask};
use crate::attempt::Delivered;
use crate::status::{CheckStatus, RequestStatus};

const MAX_BODY: usize = 1024 * 1024;
/// Longest that a question about a status may wait for news.
const MAX_WAIT: u64 = 60;

type Node = State<Arc<Inner>>;

pub(crate) fn router(node: Arc<Inner>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/assay/v1/requests/{id}", get(status))
        .fallback(|| async {
            ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", "no such path")
        })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid_request_error",
                "method_not_allowed",
                "this path takes another method",
            )
        })
        .layer(middleware::from_fn_with_state(node.clone(), authorize))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(node)
}

async fn authorize(State(node): Node, request: Request, next: Next) -> Response {
    let keys = &node.config.api_keys;
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "));
    if keys.is_empty() || given.is_some_and(|given| keys.iter().any(|key| key == given)) {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "invalid_request_error",
        "invalid_api_key",
        "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'",
    )
    .into_response()
}

fn model_object(node: &Inner) -> Value {
    json!({ "id": node.config.model_name, "object": "model", "created": 0, "owned_by": "assay" })
}

async fn models(State(node): Node) -> Json<Value> {
    Json(json!({ "object": "list", "data": [model_object(&node)] }))
}

async fn model(State(node): Node, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    if name == node.config.model_name {
        return Ok(Json(model_object(&node)));
    }
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        "model_not_found",
        format!("the model '{name}' does not exist"),
    ))
}

#[derive(Debug, serde::Deserialize)]
struct StatusQuery {
    /// Seconds to wait until the check is over.
    #[serde(default)]
    wait: u64,
}

async fn status(
    State(node): Node,
    Path(id): Path<String>,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Result<Json<RequestStatus>, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::invalid("wait", "invalid_type", e.body_text()))?;
    let Some(mut watch) = node.statuses.watch(&id) else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            "not_found",
            format!("no answer '{id}' is remembered"),
        ));
    };
    let limit = Duration::from_secs(query.wait.min(MAX_WAIT));
    // Out of time: the status as it is.
    let _ = tokio::time::timeout(limit, watch.wait_for(|s| s.check.is_final())).await;
    let status = watch.borrow().clone();
    Ok(Json(status))
}

/// A body, unless it is over the cap or broke off.
type Received = Result<Bytes, BytesRejection>;

async fn chat(State(node): Node, body: Received) -> Response {
    answer(node, Kind::Chat, body).await.unwrap_or_else(ApiError::into_response)
}

async fn completion(State(node): Node, body: Received) -> Response {
    answer(node, Kind::Completion, body).await.unwrap_or_else(ApiError::into_response)
}

async fn answer(node: Arc<Inner>, kind: Kind, body: Received) -> Result<Response, ApiError> {
    let body = body.map_err(|e| ApiError {
        status: e.status(),
        ..ApiError::invalid("body", "unreadable_body", e.body_text())
    })?;
    let order = request::parse(kind, &body, &node.config.model, &node.config.model_name, &node.params)?;
    let shape = Shape::new(&node, kind, &order);
    let text = TextStream::new(node.config.model.tokenizer(), order.stop_strings.clone());
    let asked = ask(&node, order.input);
    if order.stream {
        stream(node, shape, text, asked).await
    } else {
        whole(&node, &shape, text, asked).await
    }
}

/// The JSON that one answer takes, in either form.
#[derive(Debug, Clone)]
struct Shape {
    id: String,
    kind: Kind,
    model: String,
    created: u64,
    prompt_tokens: usize,
    include_usage: bool,
}

impl Shape {
    fn new(node: &Inner, kind: Kind, order: &Order) -> Self {
        let prefix = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            id: format!("{prefix}-{:032x}", rand::random::<u128>()),
            kind,
            model: node.config.model_name.clone(),
            created: Inner::now().as_secs(),
            prompt_tokens: order.input.tokens.len(),
            include_usage: order.include_usage,
        }
    }

    fn usage(&self, delivered: &Delivered) -> Value {
        let n = delivered.tokens.len();
        json!({ "prompt_tokens": self.prompt_tokens, "completion_tokens": n, "total_tokens": self.prompt_tokens + n })
    }

    fn object(&self, streamed: bool) -> &'static str {
        match (self.kind, streamed) {
            (Kind::Chat, true) => "chat.completion.chunk",
            (Kind::Chat, false) => "chat.completion",
            (Kind::Completion, _) => "text_completion",
        }
    }

    fn base(&self, streamed: bool, choices: Value) -> Value {
        json!({
            "id": self.id, "object": self.object(streamed), "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    fn chunk(&self, text: &str, first: bool, finish: Option<&str>) -> Value {
        let choice = match self.kind {
            Kind::Completion => {
                json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish })
            }
            Kind::Chat => {
                let mut delta = json!({});
                if first {
                    delta["role"] = "assistant".into();
                }
                if first || !text.is_empty() {
                    delta["content"] = text.into();
                }
                json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish })
            }
        };
        self.base(true, json!([choice]))
    }

    fn whole(&self, text: &str, finish: &str, delivered: &Delivered) -> Value {
        let choice = match self.kind {
            Kind::Completion => {
                json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish })
            }
            Kind::Chat => json!({
                "index": 0, "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": null, "finish_reason": finish,
            }),
        };
        let mut value = self.base(false, json!([choice]));
        value["usage"] = self.usage(delivered);
        value["assay"] = provenance(delivered);
        value
    }
}

/// Who stands for an answer; a field that OpenAI's clients pass over.
fn provenance(delivered: &Delivered) -> Value {
    json!({ "server": delivered.server, "request": delivered.request, "response": delivered.response })
}

fn finish_reason(delivered: &Delivered, stopped: bool) -> &'static str {
    match delivered.finish {
        Finish::Length if !stopped => "length",
        _ => "stop",
    }
}

fn remember(node: &Inner, shape: &Shape, delivered: &Delivered) {
    node.statuses.add(
        &shape.id,
        RequestStatus {
            request: delivered.request,
            response: delivered.response,
            server: delivered.server,
            tokens: u32::try_from(delivered.tokens.len()).unwrap_or(u32::MAX),
            milliseconds: u64::try_from(delivered.elapsed.as_millis()).unwrap_or(u64::MAX),
            check: CheckStatus::Waiting,
        },
    );
}

fn gone() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "stopping", "the gateway is stopping")
}

async fn whole(
    node: &Inner,
    shape: &Shape,
    mut text: TextStream,
    mut asked: Asked,
) -> Result<Response, ApiError> {
    loop {
        match asked.events.recv().await {
            Some(Event::Tokens(tokens)) => {
                text.push(&tokens);
                if text.is_stopped() {
                    asked.cancel.cancel();
                }
            }
            Some(Event::Done(delivered)) => {
                remember(node, shape, &delivered);
                let stops = text.stops();
                let mut all = TextStream::new(node.config.model.tokenizer(), stops);
                let mut content = all.push(&delivered.tokens);
                content.push_str(&all.finish());
                let finish = finish_reason(&delivered, all.is_stopped());
                return Ok(Json(shape.whole(&content, finish, &delivered)).into_response());
            }
            Some(Event::Failed(error)) => return Err(error.into()),
            None => return Err(gone()),
        }
    }
}

/// Streams from the first token on. An error before it has a status of its own; one after it is an error event, and no
/// `[DONE]` follows.
async fn stream(
    node: Arc<Inner>,
    shape: Shape,
    mut text: TextStream,
    mut asked: Asked,
) -> Result<Response, ApiError> {
    let mut next = match asked.events.recv().await {
        Some(Event::Failed(error)) => return Err(error.into()),
        Some(event) => Some(event),
        None => return Err(gone()),
    };
    let (sender, mut receiver) = mpsc::channel::<SseEvent>(64);
    let tasks = node.tasks.clone();
    tasks.spawn(async move {
        let data = |value: Value| SseEvent::default().data(value.to_string());
        let mut seen = 0;
        let mut first = true;
        while let Some(event) = next.take() {
            let sent = match event {
                Event::Tokens(tokens) => {
                    seen += tokens.len();
                    let piece = text.push(&tokens);
                    if text.is_stopped() {
                        asked.cancel.cancel();
                    }
                    if piece.is_empty() {
                        Ok(())
                    } else {
                        let chunk = shape.chunk(&piece, std::mem::take(&mut first), None);
                        sender.send(data(chunk)).await
                    }
                }
                Event::Done(delivered) => {
                    remember(&node, &shape, &delivered);
                    // Tokens that a full buffer kept from the stream come now.
                    let mut rest = text.push(delivered.tokens.get(seen..).unwrap_or_default());
                    rest.push_str(&text.finish());
                    let mut last = Vec::new();
                    if first || !rest.is_empty() {
                        last.push(shape.chunk(&rest, first, None));
                    }
                    let finish = finish_reason(&delivered, text.is_stopped());
                    let mut end = shape.chunk("", false, Some(finish));
                    end["assay"] = provenance(&delivered);
                    last.push(end);
                    if shape.include_usage {
                        let mut usage = shape.base(true, json!([]));
                        usage["usage"] = shape.usage(&delivered);
                        last.push(usage);
                    }
                    for chunk in last {
                        if sender.send(data(chunk)).await.is_err() {
                            return;
                        }
                    }
                    // The caller may be gone by now; it has all that it paid for.
                    let _ = sender.send(SseEvent::default().data("[DONE]")).await;
                    return;
                }
                Event::Failed(error) => {
                    let _ = sender.send(data(ApiError::from(error).body())).await;
                    return;
                }
            };
            if sent.is_err() {
                // The caller left: what was delivered so far is acknowledged, and the rest never computed.
                asked.cancel.cancel();
                while let Some(event) = asked.events.recv().await {
                    if let Event::Done(delivered) = event {
                        remember(&node, &shape, &delivered);
                    }
                }
                return;
            }
            next = asked.events.recv().await;
        }
    });
    let events =
        futures::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|e| e.map(Ok::<_, Infallible>)));
    Ok(Sse::new(events).into_response())
}
