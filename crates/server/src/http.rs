//! The wire: paths, size caps, event streams, error bodies.

use std::convert::Infallible;
use std::sync::Arc;

use assay_protocol::wire::{
    CANCEL_PATH, CHECK_PATH, CancelBody, CheckBody, ErrorCode, INFER_PATH, INFO_PATH, InferBody, InferEvent,
    MAX_BODY_BYTES, ServerInfo, VERSION, VOUCHER_PATH, VoucherBody, WireError,
};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::stream::{self, StreamExt};

use crate::{Inner, check, infer, vouchers};

type Node = State<Arc<Inner>>;

pub(crate) fn router(node: Arc<Inner>) -> Router {
    Router::new()
        .route(INFO_PATH, get(info))
        .route(INFER_PATH, post(infer_))
        .route(CANCEL_PATH, post(cancel))
        .route(VOUCHER_PATH, post(voucher))
        .route(CHECK_PATH, post(check_))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(node)
}

struct Refusal(WireError);

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

/// A body, unless it is over the cap or broke off.
type Received = Result<Bytes, BytesRejection>;

/// The body as a message of the protocol. Not axum's extractor: its errors are not of this protocol.
fn parse<T: serde::de::DeserializeOwned>(body: Received) -> Result<T, Refusal> {
    let malformed = |e: String| Refusal(WireError::new(ErrorCode::Malformed, e));
    let body = body.map_err(|e| malformed(e.body_text()))?;
    serde_json::from_slice(&body).map_err(|e| malformed(e.to_string()))
}

async fn info(State(node): Node) -> Json<ServerInfo> {
    Json(ServerInfo { version: VERSION.into(), pool: node.config.pool, server: node.account })
}

async fn infer_(State(node): Node, body: Received) -> Result<Response, Refusal> {
    let body: InferBody = parse(body)?;
    let event = |event: &InferEvent| Event::default().json_data(event).unwrap_or_default();
    Ok(match infer::accept(&node, body).await? {
        infer::Accepted::Stored(response) => {
            let events = [
                event(&InferEvent::Tokens { tokens: response.tokens.clone() }),
                event(&InferEvent::Response(response)),
            ];
            Sse::new(stream::iter(events.map(Ok::<_, Infallible>))).into_response()
        }
        infer::Accepted::Stream(receiver) => {
            let events = stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|event| (event, receiver))
            });
            Sse::new(events.map(move |e| Ok::<_, Infallible>(event(&e)))).into_response()
        }
    })
}

async fn cancel(State(node): Node, body: Received) -> Result<StatusCode, Refusal> {
    let body: CancelBody = parse(body)?;
    infer::cancel(&node, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn voucher(State(node): Node, body: Received) -> Result<StatusCode, Refusal> {
    let body: VoucherBody = parse(body)?;
    vouchers::accept(&node, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check_(State(node): Node, body: Received) -> Result<Response, Refusal> {
    let body: CheckBody = parse(body)?;
    Ok(Json(check::answer(&node, body).await?).into_response())
}
