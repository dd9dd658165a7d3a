//! The headers of a message. The names of our own headers start with `x-contacts-`. Other headers are kept if their
//! value is a text or an integer.

use crate::domain::{Reason, Timestamp};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const ATTEMPTS: &str = "x-contacts-attempts";
const REPLAYS: &str = "x-contacts-replays";
const FIRST_FAILED_AT: &str = "x-contacts-first-failed-at";
const LAST_FAILED_AT: &str = "x-contacts-last-failed-at";
const REASON: &str = "x-contacts-reason";
const DETAIL: &str = "x-contacts-detail";
const REQUEUES: &str = "x-contacts-suspicions";
const REPLACES: &str = "x-contacts-replaces";
const CALLER: &str = "x-contacts-caller";
/// The longest name of a caller, in bytes: `jwt:` and the longest client id.
const MAX_CALLER: usize = 68;

/// The value of a header. Headers with values of other types are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Header {
    /// An integer.
    Number(i64),
    /// A text.
    Text(String),
}

impl Header {
    /// The size of the value, in bytes.
    pub const fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 8,
        }
    }
}

/// Headers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, Header>);

/// Why and when a message failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of a [`Reason`]. A newer version may have other reasons.
    pub reason: String,
    /// A sentence for the operator, without personal data.
    pub detail: String,
    /// When the message failed for the first time.
    pub first_at: Option<Timestamp>,
    /// When the message failed last.
    pub last_at: Option<Timestamp>,
}

impl Headers {
    /// Sets a header.
    pub fn set(&mut self, name: impl Into<String>, value: Header) {
        self.0.insert(name.into(), value);
    }

    /// All headers, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Header)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of attempts since the message was accepted or replayed.
    pub fn attempts(&self) -> u32 {
        self.count(ATTEMPTS)
    }

    /// How many times a worker requeued the message because it reached the redelivery limit.
    pub fn requeues(&self) -> u32 {
        self.count(REQUEUES)
    }

    /// Records a requeue.
    pub fn record_requeue(&mut self) {
        self.set(REQUEUES, Header::Number((self.requeues() + 1).into()));
    }

    /// How many times an operator replayed the message.
    pub fn replays(&self) -> u32 {
        self.count(REPLAYS)
    }

    /// Records an attempt that failed at `now` for this reason.
    pub fn record_failure(&mut self, reason: Reason, detail: &str, now: Timestamp) {
        let attempts = self.attempts() + 1;
        let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        self.set(ATTEMPTS, Header::Number(attempts.into()));
        self.0.entry(FIRST_FAILED_AT.into()).or_insert_with(|| Header::Text(now.clone()));
        self.set(LAST_FAILED_AT, Header::Text(now));
        self.set(REASON, Header::Text(reason.as_str().into()));
        self.set(DETAIL, Header::Text(detail.into()));
    }

    /// Prepares a dead letter for a replay: resets the attempts and counts the replay. Of the failure it keeps only the
    /// time of the first one, because replays are in that order.
    pub fn record_replay(&mut self) {
        let replays = self.replays() + 1;
        for name in [ATTEMPTS, LAST_FAILED_AT, REASON, DETAIL, REQUEUES] {
            self.0.remove(name);
        }
        self.set(REPLAYS, Header::Number(replays.into()));
    }

    /// The name of the API key or of the client whose request made the message. Another program may have set a text that is no
    /// name; a database would refuse some of these.
    pub fn caller(&self) -> Option<&str> {
        let is_name = |text: &&str| {
            text.len() <= MAX_CALLER
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.: ".contains(&byte))
        };
        self.text(CALLER).filter(is_name)
    }

    /// Records whose request made the message.
    pub fn set_caller(&mut self, name: &str) {
        self.set(CALLER, Header::Text(name.to_owned()));
    }

    /// Records the operation that this message replaces. An operator made this message from that operation.
    pub fn set_replaces(&mut self, operation: &str) {
        self.set(REPLACES, Header::Text(operation.to_owned()));
    }

    /// Raises the number of replays to at least `replays`.
    pub fn raise_replays(&mut self, replays: u32) {
        if self.replays() < replays {
            self.set(REPLAYS, Header::Number(replays.into()));
        }
    }

    /// The recorded failure, if there is one.
    pub fn failure(&self) -> Option<Failure> {
        Some(Failure {
            reason: self.text(REASON)?.to_owned(),
            detail: self.text(DETAIL).unwrap_or_default().to_owned(),
            first_at: self.timestamp(FIRST_FAILED_AT),
            last_at: self.timestamp(LAST_FAILED_AT),
        })
    }

    /// The value of a header, if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Header::Text(text)) => Some(text),
            Some(Header::Number(_)) | None => None,
        }
    }

    /// A counter. At most `i32::MAX`, because the databases store replays as a 32-bit integer.
    fn count(&self, name: &str) -> u32 {
        match self.0.get(name) {
            Some(Header::Number(number)) => u32::try_from((*number).clamp(0, i32::MAX.into())).unwrap_or_default(),
            Some(Header::Text(_)) | None => 0,
        }
    }

    fn timestamp(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_a_replay_resets_them() {
        let at = |millis| Timestamp::from_timestamp_millis(millis).unwrap();
        let mut headers = Headers::default();
        headers.set("x-foreign", Header::Text("kept".into()));
        headers.record_failure(Reason::ContactNotFound, "first", at(1_000));
        headers.record_failure(Reason::VersionConflict, "second", at(2_000));
        assert_eq!(headers.attempts(), 2);
        assert_eq!(
            headers.failure(),
            Some(Failure {
                reason: "version_conflict".into(),
                detail: "second".into(),
                first_at: Some(at(1_000)),
                last_at: Some(at(2_000)),
            })
        );
        headers.record_replay();
        headers.record_replay();
        assert_eq!((headers.attempts(), headers.replays(), headers.failure()), (0, 2, None));
        assert_eq!(headers.text("x-foreign"), Some("kept"));
    }

    #[test]
    fn only_a_name_is_a_caller() {
        let caller = |text: &str| {
            let mut headers = Headers::default();
            headers.set_caller(text);
            headers.caller().map(str::to_owned)
        };
        for name in ["web-shop", "jwt:web_shop.2", "contacts subject", &"a".repeat(MAX_CALLER)] {
            assert_eq!(caller(name).as_deref(), Some(name));
        }
        for wrong in ["web\0shop", "Ana Souza <ana@example.com>", "caf\u{e9}", &"a".repeat(MAX_CALLER + 1)] {
            assert_eq!(caller(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn counters_with_extreme_values_do_not_overflow() {
        let mut headers = Headers::default();
        headers.set(ATTEMPTS, Header::Number(i64::MAX));
        headers.record_failure(Reason::Invalid, "", Timestamp::from_timestamp_millis(0).unwrap());
        assert_eq!(headers.attempts(), i32::MAX as u32);
        headers.set(ATTEMPTS, Header::Number(-3));
        assert_eq!(headers.attempts(), 0);
    }
}
