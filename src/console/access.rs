//! Who may use the console, and the headers that keep other pages out.
//!
//! Rule of this file: a request to the API is admitted only if it can come from no other web page, and from an operator.
//! The page keeps the key itself, so there are no cookies. A key never appears in an answer or in the log.

use super::Console;
use super::problem::Problem;
use crate::config::{AdminSettings, ApiKeys};
use crate::security_headers::{SECURITY_HEADERS, is_loopback};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Serialize;
use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

/// The header that each request to the API has. A browser lets another page send it only after a preflight request,
/// which the console never allows.
const CONSOLE_HEADER: HeaderName = HeaderName::from_static("x-contacts-console");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Wrong keys a second, and at once; above it they are answered 429. They are counted for all addresses together, so a
/// valid key is never refused for it. This says that somebody tries keys. It does not slow a search: what makes that
/// hopeless are the 256 random bits of a key.
const WRONG_KEY_RATE: NonZeroU32 = NonZeroU32::new(1).unwrap();
const WRONG_KEY_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// The operator if the console needs no key.
const LOOPBACK: &str = "loopback";

/// Why the console cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConsoleError(String);

/// Decides who is admitted.
pub(super) struct Access {
    keys: RwLock<Arc<ApiKeys>>,
    wrong_keys: DefaultDirectRateLimiter,
}

/// The operator of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Operator {
    /// The name of the key, for the audit lines.
    pub(super) name: String,
    /// Whether the operator has the scope `operate:write`.
    pub(super) write: bool,
}

/// An operator with the scope `operate:write`: for what changes something or shows personal data.
#[derive(Clone, Debug)]
pub(super) struct Writer(pub(super) Operator);

impl Access {
    pub(super) fn new(settings: &AdminSettings) -> Result<Self, ConsoleError> {
        let keys = ApiKeys::new(settings.keys().map_err(ConsoleError)?);
        if keys.is_empty() && !settings.listen.ip().is_loopback() {
            return Err(ConsoleError(format!(
                "admin.listen ({}) can be reached from other machines, but admin.console_keys is empty: set keys for the \
                 console, or let it listen on a loopback address",
                settings.listen
            )));
        }
        let wrong_keys = RateLimiter::direct(Quota::per_second(WRONG_KEY_RATE).allow_burst(WRONG_KEY_BURST));
        Ok(Self { keys: RwLock::new(Arc::new(keys)), wrong_keys })
    }

    /// Reads the keys again. A reload never opens the console to everyone.
    pub(super) fn reload(&self, settings: &AdminSettings) -> Result<Option<String>, ConsoleError> {
        let (keys, current) = (ApiKeys::new(settings.keys().map_err(ConsoleError)?), self.keys());
        if keys == *current {
            return Ok(None);
        }
        if keys.is_empty() {
            return Err(ConsoleError("admin.console_keys is empty now: anyone could use the console".into()));
        }
        let names = format!("{} keys of the console ({})", keys.len(), keys.names());
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(Some(names))
    }

    fn keys(&self) -> Arc<ApiKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn operator(&self, headers: &HeaderMap) -> Result<Operator, Problem> {
        if headers.get(CONSOLE_HEADER).is_none_or(|value| value != "1") {
            return Err(Problem::forbidden("foreign_page", "A request needs the header X-Contacts-Console: 1."));
        }
        if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site") {
            return Err(Problem::forbidden("foreign_page", "Another web page sent this request."));
        }
        let keys = self.keys();
        if keys.is_empty() {
            // Otherwise the name of another site could lead a browser here (DNS rebinding).
            if !headers.get(HOST).is_some_and(is_loopback) {
                return Err(Problem::forbidden(
                    "foreign_host",
                    "Without keys, the console answers only requests for localhost or a loopback address.",
                ));
            }
            return Ok(Operator { name: LOOPBACK.into(), write: true });
        }
        let mut sent = headers.get_all(AUTHORIZATION);
        let (Some(value), None) = (sent.next(), sent.next()) else { return Err(Problem::unauthorized(false)) };
        let key = match value.as_bytes().split_at_checked("Bearer ".len()) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") => key,
            _ => return Err(Problem::unauthorized(false)),
        };
        if let Some(key) = keys.find(key) {
            return Ok(Operator { name: key.name.to_string(), write: key.scopes.write });
        }
        match self.wrong_keys.check() {
            Ok(()) => Err(Problem::unauthorized(true)),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
                let detail = format!("Too many wrong keys were sent. Try again in {wait} s.");
                Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys", detail).retry_after(wait))
            }
        }
    }
}

/// Admits a request to the API, or answers 401, 403 or 429.
pub(super) async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let admitted = match request.app_data::<Data<Console>>() {
        Some(console) => console.0.access.operator(request.headers()),
        None => Err(Problem::not_started()),
    };
    // A handler cannot forget this: each request that changes something has another method.
    let admitted = admitted.and_then(|operator| match *request.method() {
        Method::GET | Method::HEAD => Ok(operator),
        _ => require_write(operator),
    });
    match admitted {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.into_response(problem.error_response())),
    }
}

fn require_write(operator: Operator) -> Result<Operator, Problem> {
    if operator.write {
        return Ok(operator);
    }
    Err(Problem::forbidden("needs_write", "This needs operate:write. The key does not have it.")
        .with("scope", "operate:write"))
}

/// Adds the security headers to every answer of the console.
pub(super) async fn add_headers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if !response.headers().contains_key(CACHE_CONTROL) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| Problem::unauthorized(false)))
    }
}

impl FromRequest for Writer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Operator::from_request(request, payload).into_inner().and_then(require_write).map(Self))
    }
}
