//! The gateway's API as a caller sees it.

use std::time::Duration;

use alloy_primitives::{Address, B256};
use eyre::{Context, Result, bail, eyre};
use futures::StreamExt;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::Answer;

/// Longest that the gateway may take for anything a test asks.
const LIMIT: Duration = Duration::from_secs(60);

/// A caller with a key.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    /// The gateway, without `/v1`.
    pub url: String,
    /// The key it accepts.
    pub key: String,
    /// The model it serves.
    pub model: String,
}

/// A status and a JSON body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body; null if it is no JSON.
    pub body: Value,
}

/// All that came of a streamed answer.
#[derive(Debug, Clone)]
pub struct Streamed {
    /// HTTP status.
    pub status: u16,
    /// The text, in order.
    pub text: String,
    /// The error event, or the error body where the status is not 200.
    pub error: Option<Value>,
    /// Whether `[DONE]` came.
    pub done: bool,
    /// Every chunk.
    pub chunks: Vec<Value>,
}

impl Api {
    pub(crate) fn new(url: &str, key: &str, model: &str) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(LIMIT).build()?;
        Ok(Self { client, url: url.to_owned(), key: key.to_owned(), model: model.to_owned() })
    }

    /// A POST with the key and no body yet.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// A GET with the key.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// A POST or GET without the key.
    pub fn anonymous(&self, path: &str, body: Option<&Value>) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        match body {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        }
    }

    /// A chat order of one message.
    pub fn order(&self, text: &str, max_tokens: u32) -> Value {
        json!({
            "model": self.model, "max_tokens": max_tokens, "temperature": 0.8, "seed": 7,
            "messages": [{ "role": "user", "content": text }],
        })
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub async fn send(&self, path: &str, body: &Value) -> Result<Reply> {
        Reply::of(self.post(path).json(body).send().await?).await
    }

    /// Orders a chat answer in one piece.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub async fn chat(&self, body: &Value) -> Result<Reply> {
        self.send("/v1/chat/completions", body).await
    }

    /// An answer that must come.
    ///
    /// # Errors
    /// It does not.
    pub async fn answer(&self, text: &str, max_tokens: u32) -> Result<Answer> {
        self.chat(&self.order(text, max_tokens)).await?.answer()
    }

    /// Opens a streamed chat answer.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub async fn open(&self, body: &Value) -> Result<Response> {
        let mut body = body.clone();
        body["stream"] = true.into();
        Ok(self.post("/v1/chat/completions").json(&body).send().await?)
    }

    /// Orders a streamed chat answer and reads it to its end.
    ///
    /// # Errors
    /// The gateway does not answer, or sends something that is no stream of chat chunks.
    pub async fn stream(&self, body: &Value) -> Result<Streamed> {
        let response = self.open(body).await?;
        let mut out = Streamed {
            status: response.status().as_u16(),
            text: String::new(),
            error: None,
            done: false,
            chunks: Vec::new(),
        };
        if out.status != 200 {
            let body: Value = response.json().await?;
            out.error = Some(body["error"].clone());
            return Ok(out);
        }
        let (mut bytes, mut buffer) = (response.bytes_stream(), Vec::new());
        while let Some(chunk) = bytes.next().await {
            buffer.extend_from_slice(&chunk?);
            while let Some(end) = buffer.windows(2).position(|w| w == b"\n\n") {
                let event: Vec<u8> = buffer.drain(..end + 2).collect();
                let Some(data) = event.strip_prefix(b"data: ") else { bail!("no data in an event") };
                if out.done {
                    bail!("an event after [DONE]");
                }
                if data.trim_ascii() == b"[DONE]" {
                    out.done = true;
                    continue;
                }
                let value: Value = serde_json::from_slice(data).wrap_err("an event is no JSON")?;
                if let Some(error) = value.get("error") {
                    out.error = Some(error.clone());
                    continue;
                }
                out.text.push_str(value["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
                out.chunks.push(value);
            }
        }
        Ok(out)
    }
}

impl Reply {
    /// Reads a response.
    ///
    /// # Errors
    /// It breaks off.
    pub async fn of(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        Ok(Self { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// A part of the error, as text: `message`, `type`, `param` or `code`.
    pub fn error(&self, part: &str) -> &str {
        self.body["error"][part].as_str().unwrap_or_default()
    }

    /// The verified answer.
    ///
    /// # Errors
    /// It is none.
    pub fn answer(&self) -> Result<Answer> {
        if self.status != 200 {
            bail!("status {}: {}", self.status, self.body);
        }
        let (body, assay) = (&self.body, &self.body["assay"]);
        let number = |name: &str| body["usage"][name].as_u64().ok_or_else(|| eyre!("no {name} in {body}"));
        let hash = |name: &str| -> Result<B256> { Ok(serde_json::from_value(assay[name].clone())?) };
        let server: Address = serde_json::from_value(assay["server"].clone())?;
        Ok(Answer {
            id: body["id"].as_str().unwrap_or_default().to_owned(),
            server,
            response: hash("response")?,
            prompt_tokens: u32::try_from(number("prompt_tokens")?)?,
            output_tokens: u32::try_from(number("completion_tokens")?)?,
        })
    }
}
