//! Authentication, authorisation and rate limits. Every request passes through [`admit`].
//!
//! Rule of this module: a path is protected unless it is listed as public. A key or token that a caller sent never
//! appears in an answer or in the log.

mod client_address;
mod credentials;
mod rate_limit;
mod token_signature;
mod tokens;

use crate::config::{HttpSettings, Network, Scopes};
use crate::producer::http::head::check_head;
use crate::producer::http::request_context::RequestContext;
use crate::producer::problems::{Kind, Problem};
use crate::security_headers::is_loopback;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use client_address::Client;
use credentials::Snapshot;
pub use credentials::{Credentials, CredentialsError};
use rate_limit::RateLimits;
use std::rc::Rc;
use std::sync::Arc;

/// Decides which requests are admitted. All HTTP threads share one.
pub(crate) struct Auth {
    credentials: Credentials,
    limits: RateLimits,
    max_uri: usize,
    trusted_proxies: Vec<Network>,
    /// Whether only programs of this machine may call without a key.
    is_local: bool,
}

impl Auth {
    pub(crate) fn new(settings: &HttpSettings, credentials: Credentials) -> Self {
        Self {
            credentials,
            limits: RateLimits::new(settings),
            max_uri: settings.max_uri,
            trusted_proxies: settings.trusted_proxies.clone(),
            is_local: settings.listen.ip().is_loopback() && !settings.allow_anonymous,
        }
    }
}

/// Identifies the caller for idempotency: a digest of the API key or of the token's subject. Zeros for an
/// anonymous caller.
#[derive(Clone, Copy)]
pub(crate) struct Caller(pub(crate) [u8; 32]);

/// The authenticated caller.
struct Identity {
    caller: Caller,
    client: Client,
    scopes: Scopes,
    /// The name in the log.
    name: Option<Arc<str>>,
}

/// The credential that a request contains.
#[derive(Debug, PartialEq, Eq)]
enum SentCredential<'a> {
    None,
    /// An API key.
    ApiKey(&'a [u8]),
    /// An API key or a token.
    Bearer(&'a [u8]),
    /// Several credentials. They are rejected: a gateway may have checked a different one.
    Multiple,
}

/// Whether the path needs no credential: documents, and the page that asks the user for a key.
///
/// The check uses the path as it was sent. It allows one plain name after the prefix, so no spelling of a protected
/// path passes.
pub(crate) fn is_public_path(path: &str) -> bool {
    let plain = |name: &str| {
        !name.contains("..") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    matches!(path, "/" | "/docs" | "/openapi.json" | "/problems")
        || ["/assets/", "/docs/", "/problems/"].iter().any(|prefix| path.strip_prefix(prefix).is_some_and(plain))
}

/// Whether a browser may have sent the request for another site, whose name leads to this machine (DNS rebinding).
fn has_foreign_host(request: &ServiceRequest) -> bool {
    request.headers().get(HOST).is_some_and(|host| !is_loopback(host))
}

/// Admits a request, or answers 401, 403, 414, 429 or 431.
pub(crate) async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(auth) = request.app_data::<web::Data<Auth>>().cloned() else {
        return Err(Problem::unauthorized(false).into());
    };
    check_head(&request, auth.max_uri)?;
    let address = client_address::client_of(request.peer_addr(), request.headers(), &auth.trusted_proxies);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let credentials = auth.credentials.current();
    let is_public = is_read && is_public_path(request.path());
    let identity = if credentials.allows_anonymous() && !is_public && auth.is_local && has_foreign_host(&request) {
        Err(Problem::foreign_host())
    } else if credentials.allows_anonymous() || is_public {
        Ok(Identity { caller: Caller([0; 32]), client: address.clone(), scopes: Scopes::CONTACTS, name: None })
    } else {
        authenticate(&credentials, &auth.limits, request.headers(), &address)
    };
    let client = identity.as_ref().map_or(&address, |identity| &identity.client);
    let limit_status = auth.limits.count(client)?;
    let with_limit_headers =
        |problem: Problem| limit_status.map_or(problem.clone(), |status| status.with_headers(problem));
    let identity = identity.map_err(with_limit_headers)?;
    {
        let mut extensions = request.extensions_mut();
        extensions.insert(identity.caller);
        extensions.insert(identity.scopes);
        if let (Some(context), Some(name)) = (extensions.get::<Rc<RequestContext>>(), identity.name) {
            context.set_caller(name);
        }
    }
    let (allowed, scope) = match is_read {
        // The handler checks the scope again: the router also knows other spellings of the path.
        false if *request.method() == Method::POST && request.path().starts_with("/subjects/") => {
            (identity.scopes.subjects, Scopes::SUBJECTS)
        }
        true => (identity.scopes.read, Scopes::READ),
        false => (identity.scopes.write, Scopes::WRITE),
    };
    if !allowed {
        return Err(with_limit_headers(forbidden(scope)).into());
    }
    let mut response = next.call(request).await?;
    if let Some(status) = limit_status {
        status.add_headers(response.headers_mut());
    }
    Ok(response)
}

fn authenticate(
    credentials: &Snapshot,
    limits: &RateLimits,
    headers: &HeaderMap,
    address: &Client,
) -> Result<Identity, Problem> {
    let sent = sent_credential(headers);
    if sent == SentCredential::None {
        return Err(Problem::unauthorized(false));
    }
    // The key is checked before the block: behind a gateway all callers have one address, and a caller that guesses
    // keys must not block the others.
    if let Some(identity) = find_identity(credentials, &sent) {
        return Ok(identity);
    }
    limits.check_not_blocked(address)?;
    limits.record_failed_attempt(address);
    Err(Problem::unauthorized(true))
}

fn find_identity(credentials: &Snapshot, sent: &SentCredential<'_>) -> Option<Identity> {
    let (SentCredential::ApiKey(text) | SentCredential::Bearer(text)) = sent else { return None };
    if let Some(key) = credentials.keys.find(text) {
        return Some(Identity {
            caller: Caller(key.digest),
            client: Client::Key(key.name.clone()),
            scopes: key.scopes,
            name: Some(key.name.clone()),
        });
    }
    let (SentCredential::Bearer(token), Some(tokens)) = (sent, &credentials.tokens) else { return None };
    let identity = tokens.verify(token)?;
    Some(Identity {
        caller: Caller(identity.digest),
        client: Client::Subject(identity.digest),
        scopes: identity.scopes,
        name: Some(identity.name.into()),
    })
}

/// Reads the credential of a request. `X-API-Key` takes precedence: a gateway may send its own key beside the token of
/// its client.
fn sent_credential(headers: &HeaderMap) -> SentCredential<'_> {
    let (mut keys, mut tokens) = (headers.get_all("x-api-key"), headers.get_all(AUTHORIZATION));
    let (key, token) = (keys.next(), tokens.next());
    if keys.next().is_some() || tokens.next().is_some() {
        return SentCredential::Multiple;
    }
    match (key, token.map(HeaderValue::as_bytes).and_then(|value| value.split_at_checked("Bearer ".len()))) {
        (Some(key), _) => SentCredential::ApiKey(key.as_bytes()),
        (None, Some((scheme, token))) if scheme.eq_ignore_ascii_case(b"Bearer ") => SentCredential::Bearer(token),
        (None, Some(_) | None) => SentCredential::None,
    }
}

/// Fails if the caller does not have the scope for the data of a person. Without keys, no caller has it.
pub(crate) fn require_subjects(request: &HttpRequest) -> Result<(), Problem> {
    match request.extensions().get::<Scopes>() {
        Some(scopes) if scopes.subjects => Ok(()),
        _ => Err(forbidden(Scopes::SUBJECTS)),
    }
}

fn forbidden(scope: &'static str) -> Problem {
    let problem = Problem::new(
        Kind::Forbidden,
        format!("This request needs the scope {scope}. The key or token does not have it."),
    );
    match HeaderValue::try_from(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"")) {
        Ok(challenge) => problem.with_header(WWW_AUTHENTICATE, challenge),
        Err(_never) => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_spellings_of_public_paths_are_public() {
        for path in
            ["/", "/docs", "/docs/", "/docs/swagger-ui.css", "/assets/app.js", "/openapi.json", "/problems/not-found"]
        {
            assert!(is_public_path(path), "{path}");
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
            assert!(!is_public_path(path), "{path}");
        }
    }
}
