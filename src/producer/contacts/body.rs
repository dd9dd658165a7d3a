//! The body of a write. It is read with a size limit and a deadline, then parsed into domain types. Every invalid field
//! is reported.

use crate::domain::{Details, Invalid, Patch};
use crate::formats::json::{self, JsonError, Source};
use crate::producer::http::conditional::{check_content_encoding, media_type};
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldError, FieldLocation, Kind};
use crate::producer::state::AppState;
use actix_web::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use actix_web::mime::Mime;
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpRequest, mime};
use futures_util::StreamExt;
use serde_json::Value;

/// The media type of a merge patch.
const MERGE_PATCH: &str = "application/merge-patch+json";

pub(crate) async fn read_details(api: &AppState, request: &HttpRequest, payload: Payload) -> Result<Details, Problem> {
    require_json(request)?;
    json::parse(&read(api, request, payload).await?, Source::Body).map_err(problem)
}

pub(crate) async fn read_patch(api: &AppState, request: &HttpRequest, payload: Payload) -> Result<Patch, Problem> {
    require_merge_patch(request)?;
    json::parse_patch(&read(api, request, payload).await?).map_err(problem)
}

/// Reads the members of another JSON object. `not_object` says what the object must have.
pub(crate) async fn read_members(
    api: &AppState,
    request: &HttpRequest,
    payload: Payload,
    not_object: Invalid,
) -> Result<Vec<(String, Value)>, Problem> {
    require_json(request)?;
    json::parse_members(&read(api, request, payload).await?, not_object).map_err(problem)
}

async fn read(api: &AppState, request: &HttpRequest, payload: Payload) -> Result<BytesMut, Problem> {
    check_content_encoding(request)?;
    let read = read_body(api.settings.body_limit, request, payload);
    match tokio::time::timeout(api.settings.read_timeout, read).await {
        Ok(bytes) => bytes,
        Err(_elapsed) => Err(Problem::new(Kind::RequestTimeout, "Send the whole body at once.")),
    }
}

/// A merge patch has its own media type (RFC 7396). Clients that send `application/json` mean the same. Another JSON type,
/// for example `application/json-patch+json` (RFC 6902), means something else.
fn require_merge_patch(request: &HttpRequest) -> Result<(), Problem> {
    let known = |mime: Mime| [MERGE_PATCH, mime::APPLICATION_JSON.essence_str()].contains(&mime.essence_str());
    if require_json(request).is_ok() && media_type(request).is_some_and(known) {
        return Ok(());
    }
    Err(Problem::new(Kind::UnsupportedMediaType, "Send `Content-Type: application/merge-patch+json`, in UTF-8.")
        .with_header(HeaderName::from_static("accept-patch"), HeaderValue::from_static(MERGE_PATCH)))
}

fn require_json(request: &HttpRequest) -> Result<(), Problem> {
    let json = |mime: &mime::Mime| mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON);
    match media_type(request) {
        Some(mime) if json(&mime) && mime.get_param(mime::CHARSET).is_some_and(|charset| charset != mime::UTF_8) => {
            Err(Problem::new(Kind::UnsupportedMediaType, "Send JSON in UTF-8 (RFC 8259 section 8.1)."))
        }
        Some(mime) if json(&mime) => Ok(()),
        _ => Err(Problem::new(Kind::UnsupportedMediaType, "Send `Content-Type: application/json`.")),
    }
}

async fn read_body(limit: usize, request: &HttpRequest, mut payload: Payload) -> Result<BytesMut, Problem> {
    let too_large = || Problem::new(Kind::BodyTooLarge, format!("The body may have at most {limit} bytes."));
    let content_length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if content_length.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let broken = |_error| Problem::new(Kind::MalformedJson, "The body ended before it was complete.");
        let chunk = chunk.map_err(broken)?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn problem(fault: JsonError) -> Problem {
    match fault {
        JsonError::Malformed { line, column } => {
            Problem::new(Kind::MalformedJson, format!("At line {line} column {column}: not valid JSON."))
        }
        // The name is the caller's own; an unknown one is not repeated.
        JsonError::Repeated(name) if matches!(name.as_str(), "name" | "phone" | "email") => {
            Problem::new(Kind::MalformedJson, format!("The member {name} occurs more than once."))
        }
        JsonError::Repeated(_) => Problem::new(Kind::MalformedJson, "A member occurs more than once."),
        JsonError::Invalid(faults) => Problem::validation(
            faults.into_iter().map(|fault| FieldError::new(FieldLocation::Body, fault.field, fault.invalid)).collect(),
        ),
    }
}
