//! The headers of a message: ours begin with `x-contacts-`; others are carried along if they are text or whole numbers.

use crate::domain::{Reason, Timestamp};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const ATTEMPTS: &str = "x-contacts-attempts";
const REPLAYS: &str = "x-contacts-replays";
const FIRST_FAILED: &str = "x-contacts-first-failed-at";
const LAST_FAILED: &str = "x-contacts-last-failed-at";
const REASON: &str = "x-contacts-reason";
const DETAIL: &str = "x-contacts-detail";
const SUSPICIONS: &str = "x-contacts-suspicions";
const REPLACES: &str = "x-contacts-replaces";

/// A header's value; values of other types are not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Header {
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

/// Headers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, Header>);

/// Why and when a message failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A [`Reason`], perhaps one of a newer version.
    pub reason: String,
    /// A sentence for the operator, without personal data.
    pub detail: String,
    /// The first failure since it was accepted.
    pub first_at: Option<Timestamp>,
    /// The latest failure.
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often it was tried and had to wait, since it was accepted or replayed.
    pub fn attempts(&self) -> u32 {
        self.count(ATTEMPTS)
    }

    /// How often it was put behind the others because it had come back unacknowledged too often.
    pub fn suspicions(&self) -> u32 {
        self.count(SUSPICIONS)
    }

    /// Notes another of those.
    pub fn record_suspicion(&mut self) {
        self.set(SUSPICIONS, Header::Number((self.suspicions() + 1).into()));
    }

    /// How often an operator replayed it from the dead letters.
    pub fn replays(&self) -> u32 {
        self.count(REPLAYS)
    }

    /// Notes another attempt that ended at `now` for this reason.
    pub fn record_failure(&mut self, reason: Reason, detail: &str, now: Timestamp) {
        let attempts = self.attempts() + 1;
        let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        self.set(ATTEMPTS, Header::Number(attempts.into()));
        self.0.entry(FIRST_FAILED.into()).or_insert_with(|| Header::Text(now.clone()));
        self.set(LAST_FAILED, Header::Text(now));
        self.set(REASON, Header::Text(reason.as_str().into()));
        self.set(DETAIL, Header::Text(detail.into()));
    }

    /// Makes a dead letter ready to be tried anew: attempts begin again, the replay is counted, and of the failure only
    /// remains when it came first, which is the order of every replay.
    pub fn record_replay(&mut self) {
        let replays = self.replays() + 1;
        for name in [ATTEMPTS, LAST_FAILED, REASON, DETAIL, SUSPICIONS] {
            self.0.remove(name);
        }
        self.set(REPLAYS, Header::Number(replays.into()));
    }

    /// Names the operation that this one was made from by an operator.
    pub fn set_replaces(&mut self, operation: &str) {
        self.set(REPLACES, Header::Text(operation.to_owned()));
    }

    /// Makes it count as replayed at least so often.
    pub fn raise_replays(&mut self, replays: u32) {
        if self.replays() < replays {
            self.set(REPLAYS, Header::Number(replays.into()));
        }
    }

    /// The failure, if one was recorded.
    pub fn failure(&self) -> Option<Failure> {
        Some(Failure {
            reason: self.text(REASON)?.to_owned(),
            detail: self.text(DETAIL).unwrap_or_default().to_owned(),
            first_at: self.moment(FIRST_FAILED),
            last_at: self.moment(LAST_FAILED),
        })
    }

    /// The value of a header that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Header::Text(text)) => Some(text),
            Some(Header::Number(_)) | None => None,
        }
    }

    /// No greater than a database's `integer` holds, so that a count can always be compared with a recorded one.
    fn count(&self, name: &str) -> u32 {
        match self.0.get(name) {
            Some(Header::Number(number)) => u32::try_from((*number).clamp(0, i32::MAX.into())).unwrap_or_default(),
            Some(Header::Text(_)) | None => 0,
        }
    }

    fn moment(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_add_up_and_a_replay_begins_anew() {
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
    fn hostile_numbers_do_not_wrap() {
        let mut headers = Headers::default();
        headers.set(ATTEMPTS, Header::Number(i64::MAX));
        headers.record_failure(Reason::Invalid, "", Timestamp::from_timestamp_millis(0).unwrap());
        assert_eq!(headers.attempts(), i32::MAX as u32);
        headers.set(ATTEMPTS, Header::Number(-3));
        assert_eq!(headers.attempts(), 0);
    }
}
