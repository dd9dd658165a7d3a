//! Requests to the API of a service, and what its refusals mean for who asked.
//!
//! The rule: the key goes to the named service only (no redirect is followed) and is shown to nobody.

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

/// Where the key is if no file is named.
const VARIABLE: &str = "CONTACTS_API_KEY";
const CONNECT: Duration = Duration::from_secs(10);
/// A service that says and takes nothing for so long is gone: a write waits no longer than seconds for its confirm.
const SILENCE: Duration = Duration::from_secs(60);
/// The most that is read of a refusal.
const REFUSAL: u64 = 64 * 1024;

/// Why a request had no answer of use.
#[derive(Debug)]
pub(super) enum Failure {
    /// Sent again it would be refused again.
    Refused(String),
    /// It may go well later.
    Passing {
        /// For people.
        why: String,
        /// How long the service wants to be left alone.
        after: Option<Duration>,
    },
}

impl Failure {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), after: None }
    }

    pub(super) fn why(self) -> String {
        match self {
            Self::Refused(why) | Self::Passing { why, .. } => why,
        }
    }
}

/// A service, and how to be let in.
pub(super) struct Client {
    agent: Agent,
    base: Url,
    /// Marked as sensitive, so that no debug output has it.
    key: Option<HeaderValue>,
}

/// RFC 9457, as far as it is shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    errors: Vec<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fault {
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
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE));
        #[cfg(feature = "tls")]
        let agent = agent.tls_config(
            // The system's OpenSSL and its authorities, as to RabbitMQ.
            ureq::tls::TlsConfig::builder()
                .provider(ureq::tls::TlsProvider::NativeTls)
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        );
        Ok(Self { agent: agent.build().into(), base: base(&service.url)?, key: key(service.key_file.as_deref())? })
    }

    /// Sends records, and reads what is said about each.
    pub(super) fn import(
        &self,
        query: &[(&str, &str)],
        media_type: &str,
        key: Option<&str>,
        body: &[u8],
    ) -> Result<BodyReader<'static>, Failure> {
        let mut request = Request::post(self.at("/contacts/import", query)).header(header::CONTENT_TYPE, media_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = self.ask(request, body)?;
        expect_type(response.headers(), "application/x-ndjson")?;
        Ok(reader(response))
    }

    /// Asks for contacts in this format.
    pub(super) fn export(&self, query: &[(&str, &str)], media_type: &str) -> Result<BodyReader<'static>, Failure> {
        let response = self.ask(Request::get(self.at("/contacts/export", query)), ())?;
        expect_type(response.headers(), media_type)?;
        let headers = response.headers();
        if !headers.contains_key(header::TRANSFER_ENCODING) && !headers.contains_key(header::CONTENT_LENGTH) {
            // It would end in the same way when it is complete and when the connection breaks.
            return Err(Failure::Refused(
                "the answer does not say where it ends: is a proxy of HTTP/1.0 between?".into(),
            ));
        }
        Ok(reader(response))
    }

    fn at(&self, path: &str, query: &[(&str, &str)]) -> String {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url.into()
    }

    fn ask(
        &self,
        request: ureq::http::request::Builder,
        body: impl ureq::AsSendBody,
    ) -> Result<Response<Body>, Failure> {
        let request = match &self.key {
            Some(key) => request.header(header::AUTHORIZATION, key),
            None => request,
        };
        let request = request.body(body).map_err(|error| Failure::Refused(error.to_string()))?;
        let response = self.agent.run(request).map_err(|error| self.no_answer(&error))?;
        if response.status() == 200 { Ok(response) } else { Err(self.refusal(response)) }
    }

    fn no_answer(&self, error: &ureq::Error) -> Failure {
        let reason = match error {
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        let why = format!("{} cannot be reached: {reason}", self.base);
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) => Failure::Refused(why),
            // A certificate that is not trusted.
            #[cfg(feature = "tls")]
            ureq::Error::NativeTls(_) => Failure::Refused(why),
            // Connections, time limits, names that are not found for a moment.
            _ => Failure::passing(why),
        }
    }

    fn refusal(&self, response: Response<Body>) -> Failure {
        let (status, after) = (response.status().as_u16(), retry_after(response.headers()));
        let why = match status {
            401 if self.key.is_none() => {
                format!("the service wants a key: name a file that holds it with --key-file, or set {VARIABLE}")
            }
            401 => "the service does not know this key".to_owned(),
            300..=399 | 404 | 405 => {
                let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                let to = to.map(|to| format!(", to {to}")).unwrap_or_default();
                format!("{} answers {status}{to}: is there a `contacts` of this version at --url?", self.base)
            }
            _ => format!("the service answers {status}{}", sentence(response)),
        };
        match status {
            // A fault of the service may be of one of its instances only.
            408 | 429 | 500 | 502..=504 => Failure::Passing { why, after },
            _ => Failure::Refused(why),
        }
    }
}

fn reader(response: Response<Body>) -> BodyReader<'static> {
    response.into_body().into_reader()
}

fn base(text: &str) -> Result<Url, TransferError> {
    let wrong = |why: &str| TransferError::Usage(format!("--url: {why}"));
    let url = Url::parse(text).map_err(|error| wrong(&format!("{error}: write it as http://HOST:PORT")))?;
    match url.scheme() {
        "http" => {}
        "https" if cfg!(feature = "tls") => {}
        "https" => return Err(wrong("https needs TLS, which this build has not: build it with `--features tls`")),
        _ => return Err(wrong("write it as http://HOST:PORT or https://HOST")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Whoever lists the processes would see it.
        return Err(wrong(&format!("it holds a password: put the key into a file (--key-file) or {VARIABLE}")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("write it without ? and #"));
    }
    Ok(url)
}

fn key(file: Option<&Path>) -> Result<Option<HeaderValue>, TransferError> {
    let (text, origin) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let cannot = |error| TransferError::Failed(format!("cannot read --key-file {}: {error}", path.display()));
            (text.map_err(cannot)?, "--key-file")
        }
        None => match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            // What is no text becomes a key that the service does not know.
            Some(value) => (value.to_string_lossy().into_owned(), VARIABLE),
            None => return Ok(None),
        },
    };
    let text = text.trim();
    let value = HeaderValue::from_str(&format!("Bearer {text}")).ok().filter(|_| !text.is_empty());
    let mut value = value.ok_or_else(|| TransferError::Usage(format!("{origin} holds no key of one line")))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), Failure> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("no type");
    if found.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "the answer is {found}, not {expected}: is there a `contacts` of this version at --url?"
    )))
}

/// In seconds; ours never sends a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// What a refusal says, to be put after its status.
fn sentence(response: Response<Body>) -> String {
    let mut body = Vec::new();
    // What arrives is what can be shown.
    let _ = reader(response).take(REFUSAL).read_to_end(&mut body);
    let Ok(Problem { title, detail, errors }) = serde_json::from_slice(&body) else { return String::new() };
    let mut text = [title, detail].into_iter().filter(|part| !part.is_empty()).fold(String::new(), |mut text, part| {
        // Writing to a text cannot fail.
        let _ = write!(text, ": {}", part.trim_end_matches('.'));
        text
    });
    for Fault { field, detail } in errors {
        let _ = write!(text, "; {field}: {detail}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_that_of_a_service_without_secrets() {
        let why = |url: &str| base(url).unwrap_err().to_string();
        assert!(base("http://127.0.0.1:8080").is_ok() && base("http://host/contacts-of-ours/").is_ok());
        assert!(why("ftp://host").contains("http://HOST:PORT") && why("localhost:80").contains("http://HOST:PORT"));
        assert!(why("http://host/?a=b").contains("without ?"));
        let with_password = why("http://me:hunter2@host");
        assert!(with_password.contains("--key-file") && !with_password.contains("hunter2"), "{with_password}");
    }

    #[test]
    fn a_path_before_ours_stays() {
        let service = Service { url: "http://host/our/".into(), key_file: None };
        let client = Client::new(&service).unwrap();
        assert_eq!(client.at("/contacts/export", &[("q", "a&b")]), "http://host/our/contacts/export?q=a%26b");
        assert_eq!(client.at("/contacts/import", &[]), "http://host/our/contacts/import");
    }
}
