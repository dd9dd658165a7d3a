//! The headers of answers.

use super::json::{object, reference};
use serde_json::{Value, json};

/// An id for examples: of version 7, as ours are.
pub(super) const AN_ID: &str = "0199f0a4-7d1c-7a60-8f6e-3b0c5e1d2f4a";
/// Another.
pub(super) const ANOTHER_ID: &str = "0199f0a4-7d1c-7a61-9b42-6a7d8c9e0f1b";

fn header(description: &str, schema: Value, example: &str) -> Value {
    json!({ "description": description, "schema": schema, "example": example })
}

fn text(description: &str, example: &str) -> Value {
    header(description, json!({ "type": "string" }), example)
}

/// One that is always there.
fn always(header: Value) -> Value {
    let mut header = header;
    if let Some(parts) = header.as_object_mut() {
        parts.insert("required".into(), true.into());
    }
    header
}

/// Every header, by a name for what it says.
pub(super) fn all() -> Value {
    let seconds = || json!({ "type": "integer", "minimum": 0 });
    let tag = json!({ "type": "string", "pattern": "^\"[!#-~]+\"$" });
    let etag = format!("\"{AN_ID}\"");
    object([
        ("ETag", always(header("The version, for `If-Match` and `If-None-Match`.", tag, &etag))),
        ("Operation", always(text("The operation to follow.", &format!("/operations/{AN_ID}")))),
        ("NewContact", always(text("The new contact.", &format!("/contacts/{ANOTHER_ID}")))),
        (
            "Retry",
            json!({ "description": "Seconds to wait before asking again.", "schema": seconds(), "example": 1,
                    "required": true }),
        ),
        (
            "RetryPending",
            json!({ "description": "Seconds to wait before asking again; only while it is pending.",
                    "schema": seconds(), "example": 1 }),
        ),
        (
            "Link",
            text(
                "The next page (RFC 8288); the last page has none.",
                "</contacts?ddd=11&limit=50&cursor=a0199f0a47d1c7a608f6e3b0c5e1d2f4a>; rel=\"next\"",
            ),
        ),
        ("PreferenceApplied", text("That the answer waited (RFC 7240).", "wait=10")),
        (
            "ContentLanguage",
            header("The language of `title` and `detail`.", json!({ "type": "string", "enum": ["en", "pt-BR"] }), "en"),
        ),
        ("Vary", text("Which request headers the answer depends on.", "Accept-Language")),
        ("RateLimit", text("What is left to this caller; only where callers are limited.", "\"default\";r=99;t=1")),
        (
            "RateLimitPolicy",
            text("How many requests a caller has; only where callers are limited.", "\"default\";q=100;w=1"),
        ),
        ("Allow", always(text("The methods that the path has.", "GET, HEAD, POST"))),
        ("WWWAuthenticate", always(text("How to say who calls.", "Bearer"))),
        (
            "ContentDisposition",
            always(text("The name under which to save it.", "attachment; filename=\"contacts.csv\"")),
        ),
        ("CacheControl", text("How long the answer may be kept.", "public, max-age=86400")),
    ])
}

/// Headers of an answer: their names there, with the names they have here; and those that every answer may have.
pub(super) fn of(headers: &[(&str, &str)]) -> Value {
    let limits = [("RateLimit", "RateLimit"), ("RateLimit-Policy", "RateLimitPolicy")];
    object(headers.iter().copied().chain(limits).map(|(name, component)| (name, reference("headers", component))))
}

/// The pattern of a version in quotes.
pub(super) fn tag_pattern() -> String {
    let hex = |digits: usize| format!("[0-9A-Fa-f]{{{digits}}}");
    let parts = [8, 4, 4, 4, 12].map(hex);
    format!("^(?:\\*|\"{}\")$", parts.join("-"))
}
