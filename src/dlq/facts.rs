//! What an operator needs to know of a dead letter to pick it, without its personal data.

use crate::domain::{OperationKind, Timestamp};
use crate::message::Message;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What stands where a letter does not say something.
pub(super) const UNKNOWN: &str = "unknown";

/// Names one letter over several looks: of two with one digest it does not matter which is which.
pub(super) type Fingerprint = [u8; 16];

/// What a letter is selected and grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeadLetterSummary {
    /// The operation id; for foreign messages whatever id they have, or one made from their bytes.
    pub(super) id: String,
    pub(super) reason: String,
    pub(super) operation: String,
    pub(super) contact: Option<String>,
    pub(super) first_failed: Option<Timestamp>,
    pub(super) last_failed: Option<Timestamp>,
}

/// The little that is read of bodies, which may be anything.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    operation: serde_json::Value,
    contact_id: serde_json::Value,
}

impl DeadLetterSummary {
    pub(super) fn of(message: &Message) -> Self {
        let head: Head = serde_json::from_slice(&message.body).unwrap_or_default();
        let named = message.kind.strip_prefix("contact.").or(head.operation.as_str());
        let operation = named.and_then(OperationKind::parse).map_or(UNKNOWN, OperationKind::as_str);
        let failure = message.headers.failure();
        Self {
            id: id(message),
            reason: failure.as_ref().map_or_else(|| UNKNOWN.to_owned(), |failure| failure.reason.clone()),
            operation: operation.to_owned(),
            contact: head.contact_id.as_str().and_then(|id| Uuid::try_parse(id).ok()).map(|id| id.to_string()),
            first_failed: failure.as_ref().and_then(|failure| failure.first_at),
            last_failed: failure.as_ref().and_then(|failure| failure.last_at),
        }
    }
}

/// The message's id, or a name made from its bytes if it has none of ours: another's may say anything.
pub(super) fn id(message: &Message) -> String {
    Uuid::try_parse(&message.id).map_or_else(
        |_| {
            let bytes = Sha256::new().chain_update(&message.id).chain_update(&message.body).finalize();
            let name: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("unnamed-{name}")
        },
        |id| id.to_string(),
    )
}

/// The fingerprint of everything in a message.
pub(super) fn fingerprint(message: &Message) -> Fingerprint {
    let mut hash = Sha256::new();
    let headers = serde_json::to_vec(&message.headers).unwrap_or_default();
    for part in [message.id.as_bytes(), message.kind.as_bytes(), &headers, &message.body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(message.timestamp.to_le_bytes());
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(hash.finalize().split_at(16).0);
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;
    use crate::message::Header;

    #[test]
    fn rubbish_has_facts_too() {
        let mut message = Message { body: b"\xffrubbish".to_vec(), ..Message::default() };
        let facts = DeadLetterSummary::of(&message);
        assert!(facts.id.starts_with("unnamed-"), "{facts:?}");
        assert_eq!((facts.reason.as_str(), facts.operation.as_str(), facts.contact), (UNKNOWN, UNKNOWN, None));
        message.body = br#"{"operation":"update","contact_id":"01933A66-0000-7000-8000-000000000002"}"#.to_vec();
        message.headers.record_failure(Reason::Undecodable, "", Timestamp::from_timestamp_millis(5).unwrap());
        let facts = DeadLetterSummary::of(&message);
        assert_eq!((facts.reason.as_str(), facts.operation.as_str()), ("undecodable", "update"));
        assert_eq!(facts.contact.as_deref(), Some("01933a66-0000-7000-8000-000000000002"));
    }

    #[test]
    fn every_part_counts_for_the_fingerprint() {
        let message = Message { id: "a".into(), kind: "b".into(), body: b"c".to_vec(), ..Message::default() };
        let mut others = vec![
            Message { id: "ab".into(), kind: String::new(), ..message.clone() },
            Message { timestamp: 1, ..message.clone() },
            Message { body: b"d".to_vec(), ..message.clone() },
        ];
        let mut with_header = message.clone();
        with_header.headers.set("x", Header::Number(1));
        others.push(with_header);
        assert!(others.iter().all(|other| fingerprint(other) != fingerprint(&message)));
        assert_eq!(fingerprint(&message), fingerprint(&message.clone()));
    }
}
