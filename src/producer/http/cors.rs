//! What browsers are told about pages of other origins (CORS, Fetch standard): nothing, unless the settings name origins.
//!
//! The rule this file keeps: a key travels in a header that the page sets, never in a cookie, so no page can use what it
//! does not have. CORS lets pages in; it keeps nobody out.

use crate::config::Origin;
use actix_cors::Cors;

/// What pages of these origins may send and see.
pub(crate) fn policy(origins: &[Origin]) -> Cors {
    origins
        .iter()
        .fold(Cors::default(), |cors, origin| cors.allowed_origin(origin.as_str()))
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "DELETE"])
        .allowed_headers([
            "accept",
            "accept-language",
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "prefer",
            "traceparent",
            "tracestate",
            "x-api-key",
        ])
        .expose_headers([
            "content-disposition",
            "content-language",
            "etag",
            "link",
            "location",
            "preference-applied",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "www-authenticate",
        ])
        .max_age(600)
}
