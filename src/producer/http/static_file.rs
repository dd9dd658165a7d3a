//! Serves content that changes only with a release: the OpenAPI document, the web page, the area codes.
//!
//! Rule of this file: every answer has the security headers and an `ETag`.

use crate::producer::http::conditional::none_match;
use crate::producer::problems::Kind;
use crate::producer::problems::Problem;
use crate::security_headers::{CONTENT_POLICY, SECURITY_HEADERS};
use actix_web::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// A static file.
pub(crate) struct Asset {
    /// The last part of the path.
    pub(crate) name: &'static str,
    /// The `Content-Type`.
    media_type: &'static str,
    /// The body, compressed if `gzip` is true.
    pub(crate) bytes: Bytes,
    /// Whether the body is compressed with gzip.
    gzip: bool,
    /// The `Cache-Control`.
    cache: &'static str,
    tag: OnceLock<String>,
}

impl Asset {
    pub(crate) const fn new(name: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        Self {
            name,
            media_type,
            bytes: Bytes::from_static(bytes),
            gzip: false,
            cache: "no-cache",
            tag: OnceLock::new(),
        }
    }

    pub(crate) const fn gzipped(name: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, media_type, bytes: Bytes::from_static(bytes), gzip: true, cache: "no-cache", tag: OnceLock::new() }
    }

    /// A JSON document that is created at run time.
    pub(crate) fn json(text: String) -> Self {
        Self { bytes: text.into(), ..Self::new("", "application/json", b"") }
    }

    /// Sets the `Cache-Control`. The default is `no-cache`.
    pub(crate) fn with_cache_control(self, cache: &'static str) -> Self {
        Self { cache, ..self }
    }

    /// The `ETag` without its quotes. It depends on the policy, so that a new policy reaches browsers that have the
    /// file.
    pub(crate) fn tag(&self) -> &str {
        self.tag.get_or_init(|| {
            URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(CONTENT_POLICY).chain_update(&self.bytes).finalize())
        })
    }

    /// Answers the file, or 304 if the client has it.
    pub(crate) fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, Problem> {
        if self.gzip && refuses_gzip(request) {
            return Err(Problem::new(Kind::NotAcceptable, "This file is available only as gzip."));
        }
        let known = none_match(request, self.tag());
        let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        add_security_headers(&mut response)
            .insert_header((ETAG, format!("\"{}\"", self.tag())))
            .insert_header((CACHE_CONTROL, self.cache));
        if self.gzip {
            response.insert_header((VARY, "accept-encoding"));
        }
        if known {
            return Ok(response.finish());
        }
        response.insert_header((CONTENT_TYPE, self.media_type));
        if self.gzip {
            response.insert_header((CONTENT_ENCODING, "gzip"));
        }
        Ok(response.body(self.bytes.clone()))
    }
}

/// Adds the security headers for browsers.
pub(crate) fn add_security_headers(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    SECURITY_HEADERS.into_iter().fold(response, |response, header| response.insert_header(header))
}

/// Whether the client excludes gzip explicitly with the weight 0 (RFC 9110 section 12.5.3). A client that does not
/// mention gzip gets gzip: every browser mentions it, and a tool can store the file.
fn refuses_gzip(request: &HttpRequest) -> bool {
    let weight = |coding: &str| {
        let values = request.headers().get_all(&ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).find_map(|item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = weight.trim().strip_prefix(['q', 'Q']).and_then(|weight| weight.strip_prefix('='));
            name.trim().eq_ignore_ascii_case(coding).then(|| weight?.parse::<f32>().ok()).flatten()
        })
    };
    weight("gzip").or_else(|| weight("*")) == Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::StatusCode;
    use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderName, IF_NONE_MATCH};
    use actix_web::test::TestRequest;

    static PLAIN: Asset = Asset::new("a.txt", "text/plain; charset=utf-8", b"a");
    static GZIPPED: Asset = Asset::gzipped("b.txt", "text/plain; charset=utf-8", b"b");

    fn ask(asset: &Asset, name: HeaderName, value: &str) -> Result<HttpResponse, Kind> {
        let request = TestRequest::default().insert_header((name, value)).to_http_request();
        asset.answer(&request).map_err(|problem| problem.kind())
    }

    #[test]
    fn only_an_explicit_refusal_of_gzip_is_answered_406() {
        for refusal in ["gzip;q=0", "br, gzip; q=0.0", "GZIP;Q=0", "*;q=0", "br;q=1, *;q=0.000"] {
            assert_eq!(ask(&GZIPPED, ACCEPT_ENCODING, refusal).map(|_| ()), Err(Kind::NotAcceptable), "{refusal}");
            assert!(ask(&PLAIN, ACCEPT_ENCODING, refusal).is_ok(), "{refusal}");
        }
        for other in ["", "gzip", "gzip, *;q=0", "gzip;q=0.5", "br", "identity", "*", "gzip;q=x", ";;,=q", "br;q=0"] {
            assert!(ask(&GZIPPED, ACCEPT_ENCODING, other).is_ok(), "{other}");
        }
        assert!(GZIPPED.answer(&TestRequest::default().to_http_request()).is_ok());
    }

    #[test]
    fn a_client_that_has_the_file_gets_304() {
        for asset in [&PLAIN, &GZIPPED] {
            let tag = format!("\"{}\"", asset.tag());
            for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
                let response = ask(asset, IF_NONE_MATCH, &known).unwrap();
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
                assert_eq!(response.headers().get(ETAG).unwrap(), tag.as_str());
                assert!(response.headers().contains_key(CONTENT_SECURITY_POLICY));
            }
            assert_eq!(ask(asset, IF_NONE_MATCH, "\"x\"").unwrap().status(), StatusCode::OK);
        }
        assert_ne!(PLAIN.tag(), GZIPPED.tag());
    }
}
