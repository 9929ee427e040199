//! `assay ask`

use std::io::Write as _;

use assay_gateway::{CheckStatus, RequestStatus};
use eyre::{Context, Result, bail};
use futures::StreamExt;
use serde_json::{Value, json};

/// Streams an answer from a gateway, then says who answered and whether it was checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to ask.
    prompt: String,
    /// The gateway.
    #[arg(long, env = "ASSAY_GATEWAY", default_value = "http://127.0.0.1:8799")]
    url: String,
    /// The gateway's key.
    #[arg(long, env = "ASSAY_API_KEY", default_value = "assay-devnet")]
    api_key: String,
    /// Most tokens to answer with.
    #[arg(long, default_value_t = 200)]
    max_tokens: u32,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
    /// Seconds to wait for the outcome of the check.
    #[arg(long, default_value_t = 15)]
    wait: u64,
}

/// The end of a streamed answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Under which the gateway knows it.
    pub(crate) id: String,
}

/// Asks `gateway`; `on_text` sees the text as it comes.
pub(crate) async fn stream(
    client: &reqwest::Client,
    gateway: &str,
    key: &str,
    body: &Value,
    mut on_text: impl FnMut(&str),
) -> Result<Answer> {
    let response = client
        .post(format!("{gateway}/v1/chat/completions"))
        .bearer_auth(key)
        .json(body)
        .send()
        .await
        .wrap_err_with(|| format!("no gateway at {gateway}; 'assay devnet' starts one"))?;
    if !response.status().is_success() {
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        bail!("{status}: {}", body["error"]["message"].as_str().unwrap_or("no reason given"));
    }
    let mut bytes = response.bytes_stream();
    let (mut buffer, mut id) = (String::new(), None);
    while let Some(chunk) = bytes.next().await {
        // Events are JSON in ASCII-safe lines; a character cut in two by a chunk stays in the buffer with its line.
        buffer.push_str(&String::from_utf8_lossy(&chunk?));
        while let Some(end) = buffer.find("\n\n") {
            let event: String = buffer.drain(..end + 2).collect();
            let Some(data) = event.trim().strip_prefix("data:").map(str::trim) else { continue };
            if data == "[DONE]" {
                let Some(id) = id else { bail!("the stream had no answer") };
                return Ok(Answer { id });
            }
            let value: Value = serde_json::from_str(data).wrap_err("the gateway sent no JSON")?;
            if let Some(error) = value.get("error") {
                bail!("{}", error["message"].as_str().unwrap_or("the answer is not verified"));
            }
            if let Some(text) = value["choices"][0]["delta"]["content"].as_str() {
                on_text(text);
            }
            id = value["id"].as_str().map(str::to_owned).or(id);
        }
    }
    bail!("the stream broke off: the answer is not verified")
}

/// What has become of an answer; waits up to `wait` seconds for the check.
pub(crate) async fn status(
    client: &reqwest::Client,
    gateway: &str,
    key: &str,
    id: &str,
    wait: u64,
) -> Result<RequestStatus> {
    let url = format!("{gateway}/assay/v1/requests/{id}?wait={wait}");
    Ok(client.get(url).bearer_auth(key).send().await?.error_for_status()?.json().await?)
}

pub(crate) async fn run(mut args: Args) -> Result<()> {
    // The base URL that OpenAI's clients want is as good.
    let url = args.url.trim_end_matches('/');
    args.url = url.strip_suffix("/v1").unwrap_or(url).to_owned();
    let client = reqwest::Client::new();
    let models: Value = client
        .get(format!("{}/v1/models", args.url))
        .bearer_auth(&args.api_key)
        .send()
        .await
        .wrap_err_with(|| format!("no gateway at {}; 'assay devnet' starts one", args.url))?
        .json()
        .await?;
    let body = json!({
        "model": models["data"][0]["id"], "stream": true, "max_tokens": args.max_tokens,
        "temperature": args.temperature, "messages": [{ "role": "user", "content": args.prompt }],
    });
    let answer = stream(&client, &args.url, &args.api_key, &body, |text| {
        print!("{text}");
        // A terminal that is gone ends the program at the next line anyway.
        let _ = std::io::stdout().flush();
    })
    .await?;
    println!();
    let status = status(&client, &args.url, &args.api_key, &answer.id, args.wait).await?;
    let check = match &status.check {
        CheckStatus::Waiting => "its ticket is still open".to_owned(),
        CheckStatus::NotDrawn => "not drawn for a check".to_owned(),
        CheckStatus::Equal { validator } => format!("recomputed by {validator}: equal"),
        CheckStatus::Unequal { validator, .. } => format!("recomputed by {validator}: DIFFERENT, disputed"),
        CheckStatus::Unanswered => "drawn, but no validator answered".to_owned(),
    };
    eprintln!("\n{} tokens from {} in {} ms; {check}", status.tokens, status.server, status.milliseconds);
    Ok(())
}
