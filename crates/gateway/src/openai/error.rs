//! Errors as OpenAI's clients expect them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::ask::AskError;

/// An error with its HTTP status and OpenAI-style body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: &'static str,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl ApiError {
    /// The caller's fault, in the field `param`.
    pub(crate) fn invalid(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code,
            param: Some(param.to_owned()),
            message: message.into(),
        }
    }

    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { status, kind, code, param: None, message: message.into() }
    }

    pub(crate) fn body(&self) -> Value {
        json!({ "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code } })
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        match error {
            AskError::Exhausted(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "no_server_answered", message)
            }
            AskError::Broken { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "server_error", "unverified_response", message)
            }
            AskError::NoFunds(_) => {
                Self::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", "insufficient_funds", message)
            }
            AskError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "unavailable", message)
            }
            AskError::Refused(_) => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_input", message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}
