//! The `Prefer` header (RFC 7240). With `wait=N` the answer to a write waits until the change is applied.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

/// The maximum time that a request may wait, in seconds. A longer time is reduced to it.
const MAX_WAIT: u64 = 60;

pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The supported preferences. RFC 7240 requires that others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    wait: Option<u64>,
    respond_async: bool,
}

impl Preferences {
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut preferences = Self::default();
        let values = headers.get_all(PREFER).filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            // Parameters follow a semicolon. The two supported preferences have none.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preferences.respond_async = true,
                // If a preference is repeated, the first one counts (section 2).
                "wait" if preferences.wait.is_none() => {
                    preferences.wait = parse_seconds(value.trim().trim_matches('"'))
                }
                _ => {}
            }
        }
        preferences
    }

    /// How long to wait until the operation has finished.
    pub(crate) fn wait(self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }

    /// The `Preference-Applied` header of the answer.
    pub(crate) fn applied(self) -> Option<HeaderValue> {
        let wait = self.wait.map(|seconds| format!("wait={seconds}"));
        let respond_async = self.respond_async.then(|| "respond-async".to_owned());
        let applied: Vec<String> = respond_async.into_iter().chain(wait).collect();
        if applied.is_empty() { None } else { HeaderValue::from_str(&applied.join(", ")).ok() }
    }
}

fn parse_seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that does not fit is reduced to the maximum, too.
    digits.then(|| text.parse().map_or(MAX_WAIT, |seconds: u64| seconds.min(MAX_WAIT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn read(values: &[&str]) -> (Option<u64>, String) {
        let mut request = TestRequest::default();
        for value in values {
            request = request.append_header((PREFER, *value));
        }
        let preferences = Preferences::parse(request.to_http_request().headers());
        let applied = preferences.applied();
        (preferences.wait, applied.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    #[test]
    fn wait_is_parsed_in_seconds() {
        assert_eq!(read(&[]), (None, String::new()));
        assert_eq!(read(&["wait=5"]), (Some(5), "wait=5".into()));
        assert_eq!(read(&["respond-async, WAIT = \"10\"; x=y"]), (Some(10), "respond-async, wait=10".into()));
        assert_eq!(read(&["respond-async"]), (None, "respond-async".into()));
        assert_eq!(read(&["wait=1", "wait=2"]), (Some(1), "wait=1".into()));
        assert_eq!(read(&["wait=3600"]), (Some(60), "wait=60".into()));
        assert_eq!(read(&["wait=99999999999999999999"]), (Some(60), "wait=60".into()));
        for ignored in ["wait", "wait=", "wait=-1", "wait=1.5", "waiting=5", "return=minimal"] {
            assert_eq!(read(&[ignored]), (None, String::new()), "{ignored}");
        }
    }
}
