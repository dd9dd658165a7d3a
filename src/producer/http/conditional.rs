//! The headers of conditional and repeatable requests: `If-Match`, `If-None-Match` and `Idempotency-Key`.

use crate::domain::OperationId;
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldLocation, Kind};
use actix_web::HttpRequest;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
};
use actix_web::mime::Mime;
use std::fmt::Display;

/// The maximum length of an `Idempotency-Key`, in bytes.
const MAX_KEY: usize = 255;

/// The value of a header that may be sent once.
fn single_value<'a>(request: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = request.headers().get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => {
            Err(Problem::field(FieldLocation::Header, name.as_str(), "malformed", "must be sent once, in plain ASCII"))
        }
    }
}

/// The `Content-Type` of the request.
pub(crate) fn media_type(request: &HttpRequest) -> Option<Mime> {
    request.headers().get(CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}

/// The client's `Idempotency-Key`.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let name = HeaderName::from_static("idempotency-key");
    match single_value(request, &name)? {
        Some(key) if key.is_empty() || key.len() > MAX_KEY => {
            Err(Problem::field(FieldLocation::Header, name.as_str(), "wrong_length", "must have 1 to 255 characters"))
        }
        key => Ok(key),
    }
}

/// The most versions in `If-Match`.
const MAX_VERSIONS: usize = 20;

/// The versions in `If-Match`, one of which must be current. None for `*`: that only requires that the contact exists,
/// which every change requires in any case.
pub(crate) fn expected_versions(request: &HttpRequest) -> Result<Vec<OperationId>, Problem> {
    let malformed = || {
        Problem::field(
            FieldLocation::Header,
            "if-match",
            "malformed",
            "must be ETags of this contact in double quotes, separated by commas (at most 20), or *",
        )
    };
    let mut tags = Vec::new();
    for value in request.headers().get_all(&IF_MATCH) {
        tags.extend(value.to_str().map_err(|_not_ascii| malformed())?.split(',').map(str::trim));
    }
    if tags.is_empty() || tags == ["*"] {
        return Ok(Vec::new());
    }
    // RFC 9110 section 13.1.1: `If-Match` uses the strong comparison, so a weak tag matches nothing.
    let (weak, strong): (Vec<&str>, Vec<&str>) = tags.into_iter().partition(|tag| tag.starts_with("W/"));
    if strong.is_empty() {
        return Err(Problem::new(
            Kind::VersionConflict,
            "If-Match needs a strong ETag. The ETags of this API never begin with W/.",
        ));
    }
    if weak.len() + strong.len() > MAX_VERSIONS {
        return Err(malformed());
    }
    let version = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    strong.into_iter().map(|tag| version(tag).ok_or_else(malformed)).collect()
}

/// Rejects `If-None-Match` on a write that it cannot apply to. A create makes a new id, so `*` always holds for it. Other
/// changes need an existing contact, so `*` never holds for them.
pub(crate) fn check_if_none_match(request: &HttpRequest, creates: bool) -> Result<(), Problem> {
    match single_value(request, &IF_NONE_MATCH)? {
        None => Ok(()),
        Some("*") if creates => Ok(()),
        Some("*") => Err(Problem::new(Kind::VersionConflict, "If-None-Match: * needs a contact that does not exist.")),
        Some(_) => Err(Problem::field(
            FieldLocation::Header,
            "if-none-match",
            "unsupported",
            "must be * in a write; use If-Match",
        )),
    }
}

/// Rejects a body with a `Content-Encoding` (RFC 9110 section 8.4).
pub(crate) fn check_content_encoding(request: &HttpRequest) -> Result<(), Problem> {
    match single_value(request, &CONTENT_ENCODING)? {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => Err(Problem::new(Kind::UnsupportedMediaType, "Send the body without a Content-Encoding.")
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
    }
}

/// Whether `If-None-Match` contains this tag (weak comparison, RFC 9110 section 13.1.2).
pub(crate) fn none_match(request: &HttpRequest, tag: impl Display) -> bool {
    let version = format!("\"{tag}\"");
    let mut tags = request
        .headers()
        .get_all(&IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim).map(|tag| tag.strip_prefix("W/").unwrap_or(tag)));
    tags.any(|tag| tag == "*" || tag == version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn if_match_accepts_strong_tags() {
        let id = "01890000-0000-7000-8000-000000000001";
        let read = |value: &str| {
            expected_versions(&TestRequest::default().insert_header((IF_MATCH, value)).to_http_request())
                .map_err(|problem| problem.kind())
        };
        assert_eq!(read(&format!("\"{id}\"")), Ok(vec![id.parse().unwrap()]));
        assert_eq!(read("*"), Ok(vec![]));
        assert_eq!(read(&format!("W/\"x\", \"{id}\",\"{id}\"")), Ok(vec![id.parse().unwrap(); 2]));
        assert_eq!(read(&format!("W/\"{id}\"")), Err(Kind::VersionConflict));
        for wrong in [id, "", "\"x\"", "\"", "*, *", &vec![format!("\"{id}\""); 21].join(",")] {
            assert_eq!(read(wrong), Err(Kind::Validation), "{wrong}");
        }
    }

    #[test]
    fn if_none_match_of_a_write_is_honoured_or_rejected() {
        let check = |value: &str, creates| {
            let request = TestRequest::default().insert_header((IF_NONE_MATCH, value)).to_http_request();
            check_if_none_match(&request, creates).map_err(|problem| problem.kind())
        };
        assert_eq!(check("*", true), Ok(()));
        assert_eq!(check("*", false), Err(Kind::VersionConflict));
        assert_eq!(check("\"a\"", true), Err(Kind::Validation));
    }

    #[test]
    fn an_encoded_body_is_rejected() {
        let check = |value: &str| {
            let request = TestRequest::default().insert_header((CONTENT_ENCODING, value)).to_http_request();
            check_content_encoding(&request).map_err(|problem| problem.kind())
        };
        assert_eq!((check("identity"), check("gzip")), (Ok(()), Err(Kind::UnsupportedMediaType)));
    }

    #[test]
    fn if_none_match_accepts_lists() {
        let id: OperationId = "01890000-0000-7000-8000-000000000001".parse().unwrap();
        let matches = |value: String| {
            none_match(&TestRequest::default().insert_header((IF_NONE_MATCH, value)).to_http_request(), id)
        };
        assert!(matches(format!("\"{id}\"")) && matches(format!("\"a\", W/\"{id}\"")) && matches("*".into()));
        assert!(!matches(id.to_string()) && !matches("\"a\"".into()));
    }
}
