//! Error answers of the console: `application/problem+json` (RFC 9457) with a `code` for the page.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::{JsonConfig, PathConfig, QueryConfig, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};
use std::fmt;

/// The largest JSON body of a request, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// An error answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// More members.
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// Adds a member to the document.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, seconds.into())
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    pub(super) fn not_started() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_started", "The process is starting or stopping.").retry_after(2)
    }

    pub(super) fn unauthorized(key_was_sent: bool) -> Self {
        let detail = match key_was_sent {
            true => "The key is unknown or no longer valid.",
            false => "Send a key as `Authorization: Bearer KEY`.",
        };
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut document = self.members.clone();
        let title = self.status.canonical_reason().unwrap_or_default();
        let standard = [
            ("type", json!("about:blank")),
            ("title", json!(title)),
            ("status", json!(self.status.as_u16())),
            ("detail", json!(self.detail)),
            ("code", json!(self.code)),
        ];
        document.extend(standard.map(|(name, value)| (name.to_owned(), value)));
        let mut response = HttpResponse::build(self.status);
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json")).body(Value::from(document).to_string())
    }
}

/// Answers a path that does not exist.
pub(super) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "This path does not exist. The console is at /console/."))
}

/// Makes a problem of an input that cannot be read.
pub(super) fn input_errors(config: &mut ServiceConfig) {
    config
        .app_data(QueryConfig::default().error_handler(|error, _| Problem::invalid(error.to_string()).into()))
        .app_data(PathConfig::default().error_handler(|error, _| Problem::invalid(error.to_string()).into()))
        // The text of the library may quote the body.
        .app_data(JsonConfig::default().limit(BODY_LIMIT).error_handler(|_error, _| {
            Problem::invalid("The body must be the JSON that this request needs, at most 64 KiB.").into()
        }));
}
