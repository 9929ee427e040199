//! One bounded HTTP exchange with one server.

use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::BeaconError;

/// GETs JSON, within a time and a size.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    http: reqwest::Client,
    timeout: Duration,
    max_body: usize,
}

impl Fetcher {
    /// `tls`: whether any address is https.
    pub(crate) fn new(timeout: Duration, max_body: usize, tls: bool) -> Result<Self, BeaconError> {
        let mut builder = reqwest::Client::builder()
            .timeout(timeout)
            // A server has no business to send this client elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if !tls {
            // Without this, building the client fails on a machine without installed certificates.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| BeaconError::Config(describe(&error)))?;
        Ok(Self { http, timeout, max_body })
    }

    /// `round`: the round asked for, if it is one; a 404 or 425 then means [`BeaconError::NotPublished`].
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        url: Url,
        round: Option<u64>,
    ) -> Result<T, BeaconError> {
        let failed = |error: reqwest::Error| self.classify(&url, &error);
        let mut response = self.http.get(url.clone()).send().await.map_err(failed)?;
        match (response.status(), round) {
            (StatusCode::OK, _) => {}
            (StatusCode::NOT_FOUND | StatusCode::TOO_EARLY, Some(round)) => {
                return Err(BeaconError::NotPublished { url: url.into(), round });
            }
            (status, _) => return Err(BeaconError::Status { url: url.into(), status: status.as_u16() }),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.max_body {
                return Err(BeaconError::BodyTooLarge { url: url.into(), limit: self.max_body });
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body)
            .map_err(|error| BeaconError::Malformed { url: url.into(), reason: error.to_string() })
    }

    fn classify(&self, url: &Url, error: &reqwest::Error) -> BeaconError {
        let url = url.to_string();
        if error.is_timeout() {
            BeaconError::Timeout { url, limit: self.timeout }
        } else {
            BeaconError::Transport { url, reason: describe(error) }
        }
    }
}

/// An error and its causes, which reqwest keeps out of its own text.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
