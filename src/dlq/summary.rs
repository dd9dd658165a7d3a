//! Summarizes a dead letter without its personal data, so that an operator can select it.

use crate::domain::{OperationKind, Timestamp};
use crate::message::Message;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Stands for a value that a dead letter does not contain.
pub(super) const UNKNOWN: &str = "unknown";

/// Identifies a dead letter in every browse. Two equal dead letters have the same fingerprint.
pub(super) type Fingerprint = [u8; 16];

/// The values by which a dead letter is selected and grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetterSummary {
    /// The message id, which is the operation id. A message of another program gets an id made from its bytes.
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) operation: String,
    pub(crate) contact: Option<String>,
    pub(crate) first_failed: Option<Timestamp>,
    pub(crate) last_failed: Option<Timestamp>,
}

/// The members that a summary needs of a body. The body may be malformed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BodyMembers {
    operation: serde_json::Value,
    contact_id: serde_json::Value,
}

impl DeadLetterSummary {
    pub(crate) fn of(message: &Message) -> Self {
        let body: BodyMembers = serde_json::from_slice(&message.body).unwrap_or_default();
        let operation_name = message.kind.strip_prefix("contact.").or(body.operation.as_str());
        let operation = operation_name.and_then(OperationKind::parse).map_or(UNKNOWN, OperationKind::as_str);
        let failure = message.headers.failure();
        Self {
            id: message_id(message),
            reason: failure.as_ref().map_or_else(|| UNKNOWN.to_owned(), |failure| failure.reason.clone()),
            operation: operation.to_owned(),
            contact: body.contact_id.as_str().and_then(|id| Uuid::try_parse(id).ok()).map(|id| id.to_string()),
            first_failed: failure.as_ref().and_then(|failure| failure.first_at),
            last_failed: failure.as_ref().and_then(|failure| failure.last_at),
        }
    }
}

/// The message's id if it is a UUID, otherwise an id made from the message's bytes.
pub(super) fn message_id(message: &Message) -> String {
    Uuid::try_parse(&message.id).map_or_else(
        |_| {
            let bytes = Sha256::new().chain_update(&message.id).chain_update(&message.body).finalize();
            let digest: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("unnamed-{digest}")
        },
        |id| id.to_string(),
    )
}

/// The fingerprint of all parts of a message.
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
    fn a_malformed_message_has_a_summary() {
        let mut message = Message { body: b"\xffmalformed".to_vec(), ..Message::default() };
        let summary = DeadLetterSummary::of(&message);
        assert!(summary.id.starts_with("unnamed-"), "{summary:?}");
        assert_eq!((summary.reason.as_str(), summary.operation.as_str(), summary.contact), (UNKNOWN, UNKNOWN, None));
        message.body = br#"{"operation":"update","contact_id":"01933A66-0000-7000-8000-000000000002"}"#.to_vec();
        message.headers.record_failure(Reason::Undecodable, "", Timestamp::from_timestamp_millis(5).unwrap());
        let summary = DeadLetterSummary::of(&message);
        assert_eq!((summary.reason.as_str(), summary.operation.as_str()), ("undecodable", "update"));
        assert_eq!(summary.contact.as_deref(), Some("01933a66-0000-7000-8000-000000000002"));
    }

    #[test]
    fn every_part_of_a_message_changes_its_fingerprint() {
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
