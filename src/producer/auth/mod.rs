//! Who may call, and what: each request is let in here, or nowhere.
//!
//! The rule this file keeps: what is not known to be open is closed, and nothing that was sent as a key is repeated in an
//! answer or a log line. It must not know what lies behind the paths.

mod api_keys;
mod client_address;
mod credentials;
mod rate_limit;
mod token_signature;
mod tokens;

use crate::config::{HttpSettings, Network, Scopes};
use crate::producer::http::head::check_head;
use crate::producer::http::request_context::RequestContext;
use crate::producer::problems::{Kind, Problem};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use client_address::Client;
use credentials::Snapshot;
pub use credentials::{Credentials, CredentialsError};
use rate_limit::RateLimits;
use std::rc::Rc;
use std::sync::Arc;

/// What requests are admitted by; shared by all HTTP threads.
pub(crate) struct Auth {
    credentials: Credentials,
    limits: RateLimits,
    max_uri: usize,
    trusted_proxies: Vec<Network>,
}

impl Auth {
    pub(crate) fn new(settings: &HttpSettings, credentials: Credentials) -> Self {
        Self {
            credentials,
            limits: RateLimits::new(settings),
            max_uri: settings.max_uri,
            trusted_proxies: settings.trusted_proxies.clone(),
        }
    }
}

/// Who called, as far as idempotency needs to know: a digest of the key or of a token's subject, or zeros for anyone.
#[derive(Clone, Copy)]
pub(crate) struct Caller(pub(crate) [u8; 32]);

/// Who called, as far as letting in needs to know.
struct Identity {
    caller: Caller,
    client: Client,
    scopes: Scopes,
    /// For the log.
    name: Option<Arc<str>>,
}

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
enum Shown<'a> {
    Nothing,
    /// An API key.
    Key(&'a [u8]),
    /// An API key or a token.
    Bearer(&'a [u8]),
    /// Several, of which somebody on the way may have looked at another.
    Several,
}

/// Paths that hold nothing of anybody: documents, and the page that asks for a key. Taken as they were sent, one plain name
/// behind the prefix, so that no spelling of another path begins like one of these.
pub(crate) fn is_open(path: &str) -> bool {
    let plain = |name: &str| {
        !name.contains("..") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    matches!(path, "/" | "/docs" | "/openapi.json" | "/problems")
        || ["/assets/", "/docs/", "/problems/"].iter().any(|prefix| path.strip_prefix(prefix).is_some_and(plain))
}

/// Lets a request in, or answers 401, 403, 414, 429 or 431.
pub(crate) async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(auth) = request.app_data::<web::Data<Auth>>().cloned() else {
        return Err(Problem::unauthorized(false).into());
    };
    check_head(&request, auth.max_uri)?;
    let address = client_address::of(request.peer_addr(), request.headers(), &auth.trusted_proxies);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let known = auth.credentials.current();
    let identity = if known.is_open() || reads && is_open(request.path()) {
        Ok(Identity { caller: Caller([0; 32]), client: address.clone(), scopes: Scopes::ALL, name: None })
    } else {
        identify(&known, &auth.limits, request.headers(), &address)
    };
    let client = identity.as_ref().map_or(&address, |identity| &identity.client);
    let standing = auth.limits.count(client)?;
    let told = |problem: Problem| standing.map_or(problem.clone(), |standing| standing.with_headers(problem));
    let identity = identity.map_err(told)?;
    {
        let mut extensions = request.extensions_mut();
        extensions.insert(identity.caller);
        if let (Some(context), Some(name)) = (extensions.get::<Rc<RequestContext>>(), identity.name) {
            context.set_caller(name);
        }
    }
    let (allowed, scope) = match reads {
        true => (identity.scopes.read, Scopes::READ),
        false => (identity.scopes.write, Scopes::WRITE),
    };
    if !allowed {
        return Err(told(forbidden(scope)).into());
    }
    let mut response = next.call(request).await?;
    if let Some(standing) = standing {
        standing.add_headers(response.headers_mut());
    }
    Ok(response)
}

fn identify(known: &Snapshot, limits: &RateLimits, headers: &HeaderMap, address: &Client) -> Result<Identity, Problem> {
    let shown = shown(headers);
    if shown == Shown::Nothing {
        return Err(Problem::unauthorized(false));
    }
    // The right key first: behind a gateway all callers have one address, and who guesses there must not lock them out.
    if let Some(identity) = recognise(known, &shown) {
        return Ok(identity);
    }
    limits.may_try(address)?;
    limits.tried_in_vain(address);
    Err(Problem::unauthorized(true))
}

fn recognise(known: &Snapshot, shown: &Shown<'_>) -> Option<Identity> {
    let (Shown::Key(sent) | Shown::Bearer(sent)) = shown else { return None };
    if let Some(key) = known.keys.find(sent) {
        return Some(Identity {
            caller: Caller(key.digest),
            client: Client::Key(key.name.clone()),
            scopes: key.scopes,
            name: Some(key.name.clone()),
        });
    }
    let (Shown::Bearer(token), Some(tokens)) = (shown, &known.tokens) else { return None };
    let bearer = tokens.check(token)?;
    Some(Identity {
        caller: Caller(bearer.digest),
        client: Client::Subject(bearer.digest),
        scopes: bearer.scopes,
        name: Some(bearer.name.into()),
    })
}

/// `X-API-Key` is looked at first: a gateway sends its own key so, beside the token of its client.
fn shown(headers: &HeaderMap) -> Shown<'_> {
    let (mut keys, mut tokens) = (headers.get_all("x-api-key"), headers.get_all(AUTHORIZATION));
    let (key, token) = (keys.next(), tokens.next());
    if keys.next().is_some() || tokens.next().is_some() {
        return Shown::Several;
    }
    match (key, token.map(HeaderValue::as_bytes).and_then(|value| value.split_at_checked("Bearer ".len()))) {
        (Some(key), _) => Shown::Key(key.as_bytes()),
        (None, Some((scheme, token))) if scheme.eq_ignore_ascii_case(b"Bearer ") => Shown::Bearer(token),
        (None, Some(_) | None) => Shown::Nothing,
    }
}

fn forbidden(scope: &'static str) -> Problem {
    let problem = Problem::new(Kind::Forbidden, format!("This needs the scope {scope}, which the key or token lacks."));
    match HeaderValue::try_from(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")) {
        Ok(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
        Err(_never) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_spellings_of_open_paths_are_open() {
        for path in
            ["/", "/docs", "/docs/", "/docs/swagger-ui.css", "/assets/app.js", "/openapi.json", "/problems/not-found"]
        {
            assert!(is_open(path), "{path}");
        }
        for path in [
            "",
            "//",
            "//docs",
            "/contacts",
            "/Docs",
            "/docs/../contacts",
            "/docs/..",
            "/docs/%2e%2e/contacts",
            "/docs/%2e%2e",
            "/docs/a/b",
            "/docs//contacts",
            "/docs;/contacts",
            "/docs/..;",
            "/docsx",
            "/assets",
            "/problems/a\\b",
            "/openapi.json/contacts",
        ] {
            assert!(!is_open(path), "{path}");
        }
    }
}
