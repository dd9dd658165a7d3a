//! The response headers.

use super::json::{object, reference};
use serde_json::{Value, json};

/// An id for examples: a UUID of version 7, like the ids of the service.
pub(super) const AN_ID: &str = "0199f0a4-7d1c-7a60-8f6e-3b0c5e1d2f4a";
/// Another id for examples.
pub(super) const ANOTHER_ID: &str = "0199f0a4-7d1c-7a61-9b42-6a7d8c9e0f1b";

fn header(description: &str, schema: Value, example: &str) -> Value {
    json!({ "description": description, "schema": schema, "example": example })
}

fn text(description: &str, example: &str) -> Value {
    header(description, json!({ "type": "string" }), example)
}

/// A header that every answer of its status has.
fn always(header: Value) -> Value {
    let mut header = header;
    if let Some(parts) = header.as_object_mut() {
        parts.insert("required".into(), true.into());
    }
    header
}

/// All headers, by the names of their components.
pub(super) fn all() -> Value {
    let seconds = || json!({ "type": "integer", "minimum": 0 });
    let tag = json!({ "type": "string", "pattern": "^\"[!#-~]+\"$" });
    let etag = format!("\"{AN_ID}\"");
    object([
        ("ETag", always(header("The version, for `If-Match` and `If-None-Match`.", tag, &etag))),
        ("Operation", always(text("The path of the operation.", &format!("/operations/{AN_ID}")))),
        ("NewContact", always(text("The path of the new contact.", &format!("/contacts/{ANOTHER_ID}")))),
        (
            "Retry",
            json!({ "description": "Seconds to wait before the next request.", "schema": seconds(), "example": 1,
                    "required": true }),
        ),
        (
            "RetryPending",
            json!({ "description": "Seconds to wait before the next request, only while the operation is pending.",
                    "schema": seconds(), "example": 1 }),
        ),
        (
            "Link",
            text(
                "The path of the next page (RFC 8288). The last page has no such header.",
                "</contacts?ddd=11&limit=50&cursor=a0199f0a47d1c7a608f6e3b0c5e1d2f4a>; rel=\"next\"",
            ),
        ),
        ("PreferenceApplied", text("The preferences of the request that the service applied (RFC 7240).", "wait=10")),
        (
            "ContentLanguage",
            header("The language of `title` and `detail`.", json!({ "type": "string", "enum": ["en", "pt-BR"] }), "en"),
        ),
        ("Vary", text("The request headers that the answer depends on.", "Accept-Language")),
        (
            "RateLimit",
            text("The remaining requests of this caller, only if there is a rate limit.", "\"default\";r=99;t=1"),
        ),
        ("RateLimitPolicy", text("The rate limit of a caller, only if there is one.", "\"default\";q=100;w=1")),
        ("Allow", always(text("The methods that the path supports.", "GET, HEAD, POST"))),
        ("WWWAuthenticate", always(text("How to authenticate.", "Bearer"))),
        ("ContentDisposition", always(text("The suggested file name.", "attachment; filename=\"contacts.csv\""))),
        ("CacheControl", text("How long a client may cache the answer.", "public, max-age=86400")),
    ])
}

/// References to the headers of an answer: pairs of header name and component name. Adds the headers of every answer.
pub(super) fn of(headers: &[(&str, &str)]) -> Value {
    let limits = [("RateLimit", "RateLimit"), ("RateLimit-Policy", "RateLimitPolicy")];
    object(headers.iter().copied().chain(limits).map(|(name, component)| (name, reference("headers", component))))
}

/// The pattern of `If-Match`: a version in double quotes, or `*`.
pub(super) fn tag_pattern() -> String {
    let hex = |digits: usize| format!("[0-9A-Fa-f]{{{digits}}}");
    let parts = [8, 4, 4, 4, 12].map(hex);
    format!("^(?:\\*|\"{}\")$", parts.join("-"))
}
