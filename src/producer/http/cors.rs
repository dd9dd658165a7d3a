//! CORS: which origins may call the API from a browser. Without `http.cors_origins` no other origin may.
//!
//! Rule of this file: the API uses no cookies. A page must send the key itself, so a page without the key cannot use
//! the key of a user. CORS gives permissions; it does not replace authentication.

use crate::config::Origin;
use actix_cors::Cors;

/// The requests that pages of these origins may send, and the headers that they may read.
pub(crate) fn policy(origins: &[Origin]) -> Cors {
    origins
        .iter()
        .fold(Cors::default(), |cors, origin| cors.allowed_origin(origin.as_str()))
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allowed_headers([
            "accept",
            "accept-language",
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "last-event-id",
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
