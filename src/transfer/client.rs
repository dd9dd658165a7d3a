//! Sends requests to the API of a service and explains its error answers.
//!
//! The rule: only the service at `--url` gets the API key, because no redirect is followed. The key is never shown.

use super::TransferError;
use super::arguments::Service;
use serde::Deserialize;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use ureq::http::{HeaderMap, HeaderValue, Request, Response, header};
use ureq::{Agent, Body, BodyReader};
use url::Url;

/// The API key, if `--key-file` is not used.
const KEY_VARIABLE: &str = "CONTACTS_API_KEY";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The limit for a read or a write without progress. A write of the API waits only seconds for its confirm.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum length of an error answer that is read, in bytes.
const MAX_PROBLEM_BYTES: u64 = 64 * 1024;

/// What to check if another program answers.
pub(super) const WRONG_SERVICE: &str = "check that --url is the address of this version of `contacts`";

/// Why a request failed.
#[derive(Debug)]
pub(super) enum RequestError {
    /// A retry would fail again.
    Permanent(String),
    /// A retry can succeed.
    Temporary {
        /// The reason, for people.
        reason: String,
        /// How long to wait before the retry, if the service says it.
        retry_after: Option<Duration>,
    },
}

impl RequestError {
    pub(super) fn temporary(reason: impl Into<String>) -> Self {
        Self::Temporary { reason: reason.into(), retry_after: None }
    }

    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Permanent(reason) | Self::Temporary { reason, .. } => reason,
        }
    }
}

/// A client of one service.
pub(super) struct Client {
    agent: Agent,
    base: Url,
    /// Marked as sensitive, so debug output does not contain it.
    key: Option<HeaderValue>,
}

/// The parts of a problem (RFC 9457) that are shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<FieldError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldError {
    field: String,
    detail: String,
}

impl Client {
    pub(super) fn new(service: &Service) -> Result<Self, TransferError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("contacts/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(IDLE_TIMEOUT))
            .timeout_per_write(Some(IDLE_TIMEOUT));
        #[cfg(feature = "tls")]
        let agent = agent.tls_config(
            // The OpenSSL and the certificate authorities of the system, as for RabbitMQ.
            ureq::tls::TlsConfig::builder()
                .provider(ureq::tls::TlsProvider::NativeTls)
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        );
        Ok(Self {
            agent: agent.build().into(),
            base: parse_url(&service.url)?,
            key: read_key(service.key_file.as_deref())?,
        })
    }

    /// Sends records. The returned body has one line for each record.
    pub(super) fn import(
        &self,
        query: &[(&str, &str)],
        media_type: &str,
        key: Option<&str>,
        body: &[u8],
    ) -> Result<BodyReader<'static>, RequestError> {
        // The records are UTF-8, whatever the file is, so the service must not guess from a part of it.
        let content_type = format!("{media_type}; charset=utf-8");
        let mut request = Request::post(self.url("/contacts/import", query)).header(header::CONTENT_TYPE, content_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = self.send(request, body)?;
        expect_media_type(response.headers(), "application/x-ndjson")?;
        Ok(reader(response))
    }

    /// Requests contacts in this format.
    pub(super) fn export(&self, query: &[(&str, &str)], media_type: &str) -> Result<BodyReader<'static>, RequestError> {
        let response = self.send(Request::get(self.url("/contacts/export", query)), ())?;
        expect_media_type(response.headers(), media_type)?;
        let headers = response.headers();
        if !headers.contains_key(header::TRANSFER_ENCODING) && !headers.contains_key(header::CONTENT_LENGTH) {
            // A complete answer and a broken connection would look the same.
            return Err(RequestError::Permanent(
                "the answer has no length, so an incomplete answer looks complete: is there an HTTP/1.0 proxy?".into(),
            ));
        }
        Ok(reader(response))
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url.into()
    }

    fn send(
        &self,
        request: ureq::http::request::Builder,
        body: impl ureq::AsSendBody,
    ) -> Result<Response<Body>, RequestError> {
        let request = match &self.key {
            Some(key) => request.header(header::AUTHORIZATION, key),
            None => request,
        };
        let request = request.body(body).map_err(|error| RequestError::Permanent(error.to_string()))?;
        let response = self.agent.run(request).map_err(|error| self.connection_error(&error))?;
        if response.status() == 200 { Ok(response) } else { Err(self.status_error(response)) }
    }

    fn connection_error(&self, error: &ureq::Error) -> RequestError {
        let cause = match error {
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        let reason = format!("{} cannot be reached: {cause}", self.base);
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) => RequestError::Permanent(reason),
            // A certificate that is not trusted.
            #[cfg(feature = "tls")]
            ureq::Error::NativeTls(_) => RequestError::Permanent(reason),
            // Connections, timeouts, and host names that cannot be resolved now.
            _ => RequestError::temporary(reason),
        }
    }

    fn status_error(&self, response: Response<Body>) -> RequestError {
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let reason = match status {
            401 if self.key.is_none() => {
                format!("the service requires an API key: use --key-file FILE, or set {KEY_VARIABLE}")
            }
            401 => "the service does not know this API key".to_owned(),
            300..=399 | 404 | 405 => {
                let target = response.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
                let target = target.map(|target| format!(" with a redirect to {target}")).unwrap_or_default();
                format!("{} answers {status}{target}: {WRONG_SERVICE}", self.base)
            }
            _ => format!("the service answers {status}{}", problem_text(response)),
        };
        match status {
            // A 500 can come from one instance of the service only.
            408 | 429 | 500 | 502..=504 => RequestError::Temporary { reason, retry_after },
            _ => RequestError::Permanent(reason),
        }
    }
}

fn reader(response: Response<Body>) -> BodyReader<'static> {
    response.into_body().into_reader()
}

fn parse_url(text: &str) -> Result<Url, TransferError> {
    let invalid = |reason: &str| TransferError::Usage(format!("--url: {reason}"));
    let url = Url::parse(text).map_err(|error| invalid(&format!("{error}: write it as http://HOST:PORT")))?;
    match url.scheme() {
        "http" => {}
        "https" if cfg!(feature = "tls") => {}
        "https" => return Err(invalid("https needs a build with `--features tls`")),
        _ => return Err(invalid("write it as http://HOST:PORT or https://HOST")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Other users of the machine can read the arguments of a process.
        return Err(invalid(&format!(
            "it contains a user name or a password: use an API key in a file (--key-file) or in {KEY_VARIABLE}"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("write it without ? and #"));
    }
    Ok(url)
}

fn read_key(file: Option<&Path>) -> Result<Option<HeaderValue>, TransferError> {
    let (text, origin) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let failed = |error| TransferError::Failed(format!("cannot read --key-file {}: {error}", path.display()));
            (text.map_err(failed)?, "--key-file")
        }
        None => match std::env::var_os(KEY_VARIABLE).filter(|value| !value.is_empty()) {
            // A value that is not UTF-8 becomes a key that the service does not know.
            Some(value) => (value.to_string_lossy().into_owned(), KEY_VARIABLE),
            None => return Ok(None),
        },
    };
    let text = text.trim();
    let value = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| !text.is_empty());
    let mut value =
        value.ok_or_else(|| TransferError::Usage(format!("{origin} does not contain a key of one line")))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn expect_media_type(headers: &HeaderMap, expected: &str) -> Result<(), RequestError> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("missing");
    if found.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    Err(RequestError::Permanent(format!(
        "expected an answer of type {expected}, but its type is {found}: {WRONG_SERVICE}"
    )))
}

/// The value of `Retry-After` in seconds. The service never sends a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The text of a problem, to add after its status.
fn problem_text(response: Response<Body>) -> String {
    let mut body = Vec::new();
    // If the answer is incomplete, it is shown as far as possible.
    let _ = reader(response).take(MAX_PROBLEM_BYTES).read_to_end(&mut body);
    let Ok(Problem { title, detail, errors }) = serde_json::from_slice(&body) else { return String::new() };
    let mut text = [title, detail].into_iter().filter(|part| !part.is_empty()).fold(String::new(), |mut text, part| {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {}", part.trim_end_matches('.'));
        text
    });
    for FieldError { field, detail } in errors {
        let _ = write!(text, "; {field}: {detail}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_must_be_http_and_contain_no_password() {
        let error = |url: &str| parse_url(url).unwrap_err().to_string();
        assert!(parse_url("http://127.0.0.1:8080").is_ok() && parse_url("http://host/prefix/").is_ok());
        assert!(error("ftp://host").contains("http://HOST:PORT") && error("localhost:80").contains("http://HOST:PORT"));
        assert!(error("http://host/?a=b").contains("without ?"));
        let with_password = error("http://me:hunter2@host");
        assert!(with_password.contains("--key-file") && !with_password.contains("hunter2"), "{with_password}");
    }

    #[test]
    fn the_path_of_the_url_is_a_prefix_of_every_request() {
        let service = Service { url: "http://host/prefix/".into(), key_file: None };
        let client = Client::new(&service).unwrap();
        assert_eq!(client.url("/contacts/export", &[("q", "a&b")]), "http://host/prefix/contacts/export?q=a%26b");
        assert_eq!(client.url("/contacts/import", &[]), "http://host/prefix/contacts/import");
    }
}
