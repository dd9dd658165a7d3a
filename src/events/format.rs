//! The form of an event: CloudEvents 1.0 in JSON. Source: the CloudEvents specification and its JSON event format; the
//! attribute `sequence` is the extension of that name.

use crate::domain::{OperationKind, Timestamp};
use crate::formats::ContactView;
use crate::queue::Event;
use crate::store::Change;
use serde::Serialize;
use uuid::Uuid;

/// The digits of `sequence`: texts of one length have the order of their numbers.
const SEQUENCE_DIGITS: usize = 19;

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: Uuid,
    source: &'a str,
    r#type: &'static str,
    subject: Uuid,
    time: Timestamp,
    datacontenttype: &'static str,
    sequence: String,
    data: Data,
}

#[derive(Serialize)]
struct Data {
    contact_id: Uuid,
    version: Uuid,
    operation: &'static str,
    /// The contact as it is when the event is published. Left out unless `events.include_contact` is set. `null`: the
    /// contact is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Option<ContactView>>,
}

/// The type of an event. It is also its routing key.
const fn kind(operation: OperationKind) -> &'static str {
    match operation {
        OperationKind::Insert => "contact.created",
        OperationKind::Update | OperationKind::Patch => "contact.updated",
        OperationKind::Delete => "contact.deleted",
    }
}

/// The event of a change.
pub(super) fn event(change: &Change, source: &str, include_contact: bool) -> Event {
    let (kind, operation) = (kind(change.kind), change.at.operation.uuid());
    let contact = || change.contact.as_ref().and_then(ContactView::new);
    let body = CloudEvent {
        specversion: "1.0",
        id: operation,
        source,
        r#type: kind,
        subject: change.contact_id.uuid(),
        time: change.completed_at,
        datacontenttype: "application/json",
        sequence: format!("{:0SEQUENCE_DIGITS$}", change.at.position),
        data: Data {
            contact_id: change.contact_id.uuid(),
            version: operation,
            operation: change.kind.as_str(),
            contact: include_contact.then(contact),
        },
    };
    Event {
        id: operation.to_string(),
        kind,
        timestamp: u64::try_from(change.completed_at.timestamp()).unwrap_or_default(),
        // No value fails: every key is a text.
        body: serde_json::to_vec(&body).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Contact, ContactId, OperationId};
    use crate::store::ChangePosition;
    use serde_json::json;

    fn change(kind: OperationKind, contact: Option<Contact>) -> Change {
        Change {
            at: ChangePosition { position: 131_072, operation: OperationId::new(Uuid::from_u128(1)) },
            contact_id: ContactId::new(Uuid::from_u128(2)),
            kind,
            completed_at: Timestamp::from_timestamp_micros(1_764_374_400_123_456).unwrap(),
            contact,
        }
    }

    #[test]
    fn an_event_has_the_attributes_of_cloudevents_and_no_personal_data() {
        let event = event(&change(OperationKind::Patch, None), "/contacts", false);
        assert_eq!((event.kind, event.timestamp), ("contact.updated", 1_764_374_400));
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        let expected = json!({
            "specversion": "1.0", "id": "00000000-0000-0000-0000-000000000001", "source": "/contacts",
            "type": "contact.updated", "subject": "00000000-0000-0000-0000-000000000002",
            "time": "2025-11-29T00:00:00.123456Z", "datacontenttype": "application/json",
            "sequence": "0000000000000131072",
            "data": {
                "contact_id": "00000000-0000-0000-0000-000000000002",
                "version": "00000000-0000-0000-0000-000000000001", "operation": "patch",
            },
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_deleted_contact_is_null_if_contacts_are_included() {
        let event = event(&change(OperationKind::Delete, None), "/contacts", true);
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!((event.kind, &body["data"]["contact"]), ("contact.deleted", &json!(null)));
        assert!(body["data"].as_object().unwrap().contains_key("contact"));
    }
}
