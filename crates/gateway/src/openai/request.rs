//! What callers may ask for. A field that is not supported is refused by name, unless its value asks for nothing.

use assay_engine::{ChatMessage, Model};
use assay_protocol::{InferenceInput, PoolParams, Sampling};
use serde_json::{Map, Value};

use super::error::ApiError;

/// Output tokens where the caller names no limit.
const DEFAULT_MAX_TOKENS: u32 = 256;
const MAX_STOP_STRINGS: usize = 4;

/// An order as the API understood it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) input: InferenceInput,
    pub(crate) stop_strings: Vec<String>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

/// Which of the two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Chat,
    Completion,
}

/// Fields whose listed value changes nothing, so that clients which always send it work.
fn is_harmless(field: &str, value: &Value) -> bool {
    match field {
        "user" | "metadata" | "store" | "service_tier" | "safety_identifier" | "prompt_cache_key" => true,
        "n" | "best_of" => value == 1,
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logprobs" | "echo" | "parallel_tool_calls" => value == &Value::Bool(false),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "tools" | "functions" => value.as_array().is_some_and(Vec::is_empty),
        "response_format" => value.get("type").and_then(Value::as_str) == Some("text"),
        _ => false,
    }
}

/// Reads an order. `model_name` is the only model there is.
pub(crate) fn parse(
    kind: Kind,
    body: &[u8],
    model: &Model,
    model_name: &str,
    params: &PoolParams,
) -> Result<Order, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|_| ApiError::invalid("body", "invalid_utf8", "the body is not valid UTF-8"))?;
    let body: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
        ApiError::invalid("body", "invalid_json", format!("the body is not a JSON object: {e}"))
    })?;
    for (field, value) in &body {
        let known = match field.as_str() {
            "model" | "stream" | "stream_options" | "max_tokens" | "temperature" | "top_p" | "top_k"
            | "seed" | "stop" => true,
            "messages" | "max_completion_tokens" => kind == Kind::Chat,
            "prompt" => kind == Kind::Completion,
            _ => false,
        };
        if !known && !value.is_null() && !is_harmless(field, value) {
            return Err(ApiError::invalid(
                field,
                "unsupported_parameter",
                format!("'{field}' is not supported here"),
            ));
        }
    }
    let get = |field: &str| body.get(field).filter(|v| !v.is_null());
    match get("model").and_then(Value::as_str) {
        Some(name) if name == model_name => {}
        Some(name) => {
            return Err(ApiError {
                status: axum::http::StatusCode::NOT_FOUND,
                ..ApiError::invalid(
                    "model",
                    "model_not_found",
                    format!("the model '{name}' does not exist; this gateway serves '{model_name}'"),
                )
            });
        }
        None => return Err(ApiError::invalid("model", "missing_parameter", "'model' is required")),
    }
    let prompt = match kind {
        Kind::Chat => chat_prompt(get("messages"), model)?,
        Kind::Completion => match get("prompt") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) if matches!(items.as_slice(), [Value::String(_)]) => {
                items[0].as_str().unwrap_or_default().to_owned()
            }
            _ => return Err(ApiError::invalid("prompt", "invalid_type", "'prompt' must be one string")),
        },
    };
    if prompt.trim().is_empty() {
        let field = if kind == Kind::Chat { "messages" } else { "prompt" };
        return Err(ApiError::invalid(field, "empty_prompt", "the prompt is empty"));
    }
    let prompt_field = if kind == Kind::Chat { "messages" } else { "prompt" };
    let tokens = model
        .tokenizer()
        .encode_prompt(&prompt)
        .map_err(|e| ApiError::invalid(prompt_field, "invalid_prompt", e.to_string()))?;
    let limit = match get("max_completion_tokens") {
        Some(value) => ("max_completion_tokens", Some(value)),
        None => ("max_tokens", get("max_tokens")),
    };
    let max_tokens = max_tokens(limit, (prompt_field, tokens.len()), model, params)?;
    let input = InferenceInput {
        nonce: rand::random(),
        max_tokens,
        sampling: sampling(&get)?,
        stop: Vec::new(),
        tokens,
    };
    let size = input.encoded_len();
    if size > params.limits.maxInputBytes as usize {
        return Err(ApiError::invalid(
            prompt_field,
            "prompt_too_large",
            format!("the prompt takes {size} bytes, the pool allows {}", params.limits.maxInputBytes),
        ));
    }
    let include_usage =
        get("stream_options").and_then(|o| o.get("include_usage")).and_then(Value::as_bool).unwrap_or(false);
    Ok(Order {
        input,
        stop_strings: stop_strings(get("stop"))?,
        stream: boolean(get("stream"))?,
        include_usage,
    })
}

fn boolean(value: Option<&Value>) -> Result<bool, ApiError> {
    match value {
        None => Ok(false),
        Some(Value::Bool(b)) => Ok(*b),
        Some(_) => Err(ApiError::invalid("stream", "invalid_type", "'stream' must be true or false")),
    }
}

fn chat_prompt(messages: Option<&Value>, model: &Model) -> Result<String, ApiError> {
    let bad = |message: &str| ApiError::invalid("messages", "invalid_messages", message);
    let list = messages.and_then(Value::as_array).ok_or_else(|| bad("'messages' must be a list"))?;
    if list.is_empty() {
        return Err(ApiError::invalid("messages", "empty_prompt", "'messages' is empty"));
    }
    let mut chat = Vec::with_capacity(list.len());
    for message in list {
        let role = message.get("role").and_then(Value::as_str).ok_or_else(|| bad("a message has no role"))?;
        if !matches!(role, "system" | "developer" | "user" | "assistant") {
            return Err(bad(&format!("the role '{role}' is not supported")));
        }
        let content = match message.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts
                .iter()
                .map(|part| match (part.get("type").and_then(Value::as_str), part.get("text")) {
                    (Some("text"), Some(Value::String(text))) => Ok(text.as_str()),
                    _ => Err(bad("only text content is supported")),
                })
                .collect::<Result<String, _>>()?,
            _ => return Err(bad("a message has no text content")),
        };
        let role = if role == "developer" { "system" } else { role };
        chat.push(ChatMessage { role: role.to_owned(), content });
    }
    if chat.iter().all(|m| m.content.trim().is_empty()) {
        return Err(ApiError::invalid("messages", "empty_prompt", "every message is empty"));
    }
    let template =
        model.chat_template().ok_or_else(|| bad("this model has no chat template; use completions"))?;
    template.render(&chat, true).map_err(|e| bad(&e.to_string()))
}

/// Output tokens to order. `limit` and `prompt` come with the names of their fields.
fn max_tokens(
    (field, value): (&str, Option<&Value>),
    (prompt_field, prompt): (&str, usize),
    model: &Model,
    params: &PoolParams,
) -> Result<u32, ApiError> {
    let limits = &params.limits;
    let prompt = u32::try_from(prompt).unwrap_or(u32::MAX);
    let by_context = model.info().context.saturating_sub(prompt);
    let units_left = u64::from(limits.maxUnits).saturating_sub(params.units(prompt, 0));
    let by_pool = u32::try_from(units_left / u64::from(limits.outputWeight.max(1))).unwrap_or(u32::MAX);
    let most = by_context.min(by_pool);
    if most == 0 {
        return Err(ApiError::invalid(
            prompt_field,
            "prompt_too_large",
            format!("the prompt's {prompt} tokens leave no room for an answer"),
        ));
    }
    let invalid = |code, why: String| Err(ApiError::invalid(field, code, format!("'{field}' {why}")));
    match value {
        None => Ok(most.min(DEFAULT_MAX_TOKENS)),
        Some(value) => match value.as_u64() {
            Some(n) if n >= 1 && n <= u64::from(most) => Ok(n as u32),
            Some(0) => invalid("invalid_value", "must be at least 1".into()),
            Some(n) => invalid(
                "max_tokens_too_large",
                format!("is {n}; after this prompt the pool and the model allow {most}"),
            ),
            None => invalid("invalid_type", "must be a whole number".into()),
        },
    }
}

fn sampling<'a>(get: &impl Fn(&str) -> Option<&'a Value>) -> Result<Sampling, ApiError> {
    let thousandths = |field: &'static str, default: u32, least: f64, most: f64| match get(field) {
        None => Ok(default),
        Some(value) => match value.as_f64() {
            Some(x) if x >= least && x <= most => Ok((x * 1000.0).round() as u32),
            _ => Err(ApiError::invalid(
                field,
                "invalid_value",
                format!("'{field}' must be a number from {least} to {most}"),
            )),
        },
    };
    let whole = |field: &'static str| match get(field) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| {
            ApiError::invalid(field, "invalid_type", format!("'{field}' must be a whole number"))
        }),
    };
    let top_k = match whole("top_k")? {
        None => 0,
        Some(k) => u32::try_from(k)
            .map_err(|_| ApiError::invalid("top_k", "invalid_value", "'top_k' must be 0 or more"))?,
    };
    Ok(Sampling {
        // A negative seed is as good as any other.
        seed: whole("seed")?.map_or_else(rand::random, |s| s as u64),
        temperature: thousandths("temperature", 1000, 0.0, 2.0)?,
        top_p: thousandths("top_p", 1000, 0.001, 1.0)?,
        top_k,
    })
}

fn stop_strings(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let bad = || {
        ApiError::invalid(
            "stop",
            "invalid_type",
            "'stop' must be a string, or up to four, none of them empty",
        )
    };
    let strings = match value {
        None => Vec::new(),
        Some(Value::String(s)) => vec![s.clone()],
        Some(Value::Array(items)) => {
            items.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(bad)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(bad()),
    };
    if strings.len() > MAX_STOP_STRINGS || strings.iter().any(String::is_empty) {
        return Err(bad());
    }
    Ok(strings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::{Limits, Windows};
    use serde_json::json;

    fn model() -> Model {
        Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf")).unwrap()
    }

    fn params() -> PoolParams {
        let limits = Limits {
            maxUnits: 400,
            maxInputBytes: 600,
            promptWeight: 1,
            outputWeight: 2,
            ..Limits::default()
        };
        PoolParams { limits, windows: Windows { epoch: 5, ..Windows::default() }, ..PoolParams::default() }
    }

    fn chat(extra: Value) -> Result<Order, ApiError> {
        let mut body = json!({ "model": "tales", "messages": [{ "role": "user", "content": "Hello" }] });
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        parse(Kind::Chat, body.to_string().as_bytes(), &model(), "tales", &params())
    }

    #[test]
    fn a_plain_order_is_understood() {
        let order =
            chat(json!({ "max_tokens": 7, "temperature": 0, "seed": 3, "stop": "x", "stream": true }))
                .unwrap();
        assert_eq!(order.input.max_tokens, 7);
        assert_eq!(order.input.sampling, Sampling { seed: 3, ..Sampling::GREEDY });
        assert_eq!(order.stop_strings, ["x"]);
        assert!(order.stream && !order.include_usage);
    }

    #[test]
    fn fields_that_ask_for_nothing_are_passed_over() {
        chat(json!({ "n": 1, "user": "me", "presence_penalty": 0, "tools": [], "logprobs": false,
                     "response_format": { "type": "text" }, "top_logprobs": null }))
        .unwrap();
    }

    #[test]
    fn every_unsupported_field_is_named() {
        for (field, value) in [
            ("tools", json!([{ "type": "function" }])),
            ("functions", json!([{}])),
            ("n", json!(2)),
            ("logprobs", json!(true)),
            ("top_logprobs", json!(3)),
            ("response_format", json!({ "type": "json_object" })),
            ("presence_penalty", json!(0.5)),
            ("frequency_penalty", json!(-1)),
            ("logit_bias", json!({ "1": 5 })),
            ("audio", json!({})),
            ("prompt", json!("for the other endpoint")),
            ("something_new", json!(1)),
        ] {
            let error = chat(json!({ field: value })).unwrap_err();
            assert_eq!((error.status.as_u16(), error.code), (400, "unsupported_parameter"), "{field}");
            assert_eq!(error.param.as_deref(), Some(field));
        }
    }

    #[test]
    fn every_bad_value_has_a_code() {
        let long = "word ".repeat(300);
        for (body, status, code) in [
            (json!({ "model": "other" }), 404, "model_not_found"),
            (json!({ "model": null }), 400, "missing_parameter"),
            (json!({ "messages": [] }), 400, "empty_prompt"),
            (json!({ "messages": [{ "role": "user", "content": "  " }] }), 400, "empty_prompt"),
            (json!({ "messages": "hello" }), 400, "invalid_messages"),
            (json!({ "messages": [{ "role": "robot", "content": "x" }] }), 400, "invalid_messages"),
            (
                json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
                400,
                "invalid_messages",
            ),
            (json!({ "messages": [{ "role": "user", "content": long }] }), 400, "prompt_too_large"),
            (json!({ "max_tokens": 0 }), 400, "invalid_value"),
            (json!({ "max_tokens": 1_000_000 }), 400, "max_tokens_too_large"),
            (json!({ "max_tokens": 1.5 }), 400, "invalid_type"),
            (json!({ "temperature": 3 }), 400, "invalid_value"),
            (json!({ "temperature": "hot" }), 400, "invalid_value"),
            (json!({ "top_p": 0 }), 400, "invalid_value"),
            (json!({ "top_k": -1 }), 400, "invalid_value"),
            (json!({ "seed": "x" }), 400, "invalid_type"),
            (json!({ "stop": ["a", ""] }), 400, "invalid_type"),
            (json!({ "stop": ["a", "b", "c", "d", "e"] }), 400, "invalid_type"),
            (json!({ "stream": "yes" }), 400, "invalid_type"),
        ] {
            let error = chat(body.clone()).expect_err(&body.to_string());
            assert_eq!((error.status.as_u16(), error.code), (status, code), "{body}: {}", error.message);
        }
        let raw = |bytes: &[u8]| parse(Kind::Chat, bytes, &model(), "tales", &params()).unwrap_err().code;
        assert_eq!(raw(b"{\"model\": \"\xff\"}"), "invalid_utf8");
        assert_eq!(raw(b"[]"), "invalid_json");
        assert_eq!(raw(b""), "invalid_json");
    }

    #[test]
    fn the_default_limit_fits_the_pool() {
        let order = chat(json!({})).unwrap();
        let prompt = u32::try_from(order.input.tokens.len()).unwrap();
        assert!(params().units(prompt, order.input.max_tokens) <= 400);
    }
}
