//! HTTP to servers. Whatever they send is hostile: sizes are bounded, events parsed strictly, waits limited.

use std::time::Duration;

use assay_protocol::wire::{
    CANCEL_PATH, CHECK_PATH, CancelBody, CheckBody, CheckReply, ErrorCode, INFER_PATH, InferBody, InferEvent,
    MAX_EVENT_BYTES, VOUCHER_PATH, VoucherBody, WireError,
};
use futures::StreamExt;
use reqwest::{Client, Response};
use serde::Serialize;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a short call may take.
const CALL: Duration = Duration::from_secs(10);
/// Largest body of a short answer.
const MAX_REPLY: usize = 64 * 1024;

/// What a server did wrong, or says is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("too slow")]
    Timeout,
    #[error("breaks the protocol: {0}")]
    Malformed(String),
    #[error("refused: {0}")]
    Refused(WireError),
}

/// Connections to servers.
#[derive(Debug)]
pub(crate) struct Peers {
    client: Client,
    token_timeout: Duration,
}

/// Events of one answer.
pub(crate) struct Events {
    response: Response,
    buffer: Vec<u8>,
    timeout: Duration,
}

impl Peers {
    pub(crate) fn new(token_timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { client, token_timeout })
    }

    async fn post<T: Serialize>(&self, url: &str, path: &str, body: &T) -> Result<Response, PeerError> {
        let url = format!("{}{path}", url.trim_end_matches('/'));
        let sending = self.client.post(url).json(body).send();
        let response = tokio::time::timeout(CALL, sending)
            .await
            .map_err(|_| PeerError::Timeout)?
            .map_err(|e| PeerError::Unreachable(e.to_string()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let error = bounded(response).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Err(PeerError::Refused(
            error.unwrap_or_else(|| WireError::new(ErrorCode::Internal, format!("status {status}"))),
        ))
    }

    /// Orders an answer.
    pub(crate) async fn infer(&self, url: &str, body: &InferBody) -> Result<Events, PeerError> {
        let response = self.post(url, INFER_PATH, body).await?;
        Ok(Events { response, buffer: Vec::new(), timeout: self.token_timeout })
    }

    /// Cancels a running order.
    pub(crate) async fn cancel(&self, url: &str, body: &CancelBody) -> Result<(), PeerError> {
        self.post(url, CANCEL_PATH, body).await.map(drop)
    }

    /// Delivers a voucher.
    pub(crate) async fn voucher(&self, url: &str, body: &VoucherBody) -> Result<(), PeerError> {
        self.post(url, VOUCHER_PATH, body).await.map(drop)
    }

    /// Has a response checked.
    pub(crate) async fn check(
        &self,
        url: &str,
        body: &CheckBody,
        limit: Duration,
    ) -> Result<CheckReply, PeerError> {
        let asking = async {
            let response = self.post(url, CHECK_PATH, body).await?;
            let bytes = bounded(response).await?;
            serde_json::from_slice(&bytes).map_err(|e| PeerError::Malformed(e.to_string()))
        };
        tokio::time::timeout(limit, asking).await.map_err(|_| PeerError::Timeout)?
    }
}

async fn bounded(response: Response) -> Result<Vec<u8>, PeerError> {
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|e| PeerError::Unreachable(e.to_string()))?);
        if bytes.len() > MAX_REPLY {
            return Err(PeerError::Malformed("reply is too large".into()));
        }
    }
    Ok(bytes)
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<InferEvent>, PeerError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                match parse(&event[..end])? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(self.timeout, self.response.chunk())
                .await
                .map_err(|_| PeerError::Timeout)?
                .map_err(|e| PeerError::Unreachable(e.to_string()))?;
            let Some(chunk) = chunk else { return Ok(None) };
            self.buffer.extend_from_slice(&chunk);
            if self.buffer.len() > MAX_EVENT_BYTES {
                return Err(PeerError::Malformed("event is too large".into()));
            }
        }
    }
}

/// The data of one server-sent event; `None` for a comment.
fn parse(event: &[u8]) -> Result<Option<InferEvent>, PeerError> {
    let mut data = Vec::new();
    for line in event.split(|b| *b == b'\n') {
        if let Some(rest) = line.strip_prefix(b"data:") {
            data.extend_from_slice(rest.strip_prefix(b" ").unwrap_or(rest));
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&data).map(Some).map_err(|e| PeerError::Malformed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_strictly() {
        assert!(matches!(
            parse(b"data: {\"type\":\"tokens\",\"tokens\":[1,2]}"),
            Ok(Some(InferEvent::Tokens { tokens })) if tokens == [1, 2]
        ));
        assert!(matches!(parse(b": keep-alive"), Ok(None)));
        for bad in ["data: ", "data: {}", "data: {\"type\":\"tokens\",\"tokens\":[-1]}", "data: nonsense"] {
            assert!(!matches!(parse(bad.as_bytes()), Ok(Some(_))), "{bad}");
        }
        assert!(matches!(parse(b"data: {\"type\":\"response\"}"), Err(PeerError::Malformed(_))));
    }
}
