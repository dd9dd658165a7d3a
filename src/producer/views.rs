//! What the API shows: the JSON shapes of the design.

use crate::domain::{Contact, ContactId, Life, Moment, OperationId, Status};
use crate::store::Operation;
use serde::Serialize;
use uuid::Uuid;

/// A live contact.
#[derive(Serialize)]
pub(super) struct ContactView {
    id: String,
    name: String,
    phone: String,
    ddd: u8,
    state: &'static str,
    region: &'static str,
    email: String,
    version: String,
    created_at: Moment,
    updated_at: Moment,
}

impl ContactView {
    /// Nothing of a deleted one.
    pub(super) fn new(contact: &Contact) -> Option<Self> {
        let Life::Live(details) = &contact.life else { return None };
        let area = details.phone.area();
        Some(Self {
            id: contact.id.to_string(),
            name: details.name.as_str().to_owned(),
            phone: details.phone.to_string(),
            ddd: area.number(),
            state: area.state().as_str(),
            region: area.state().region().as_str(),
            email: details.email.as_str().to_owned(),
            version: contact.version.to_string(),
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        })
    }
}

/// A page of contacts.
#[derive(Serialize)]
pub(super) struct Page {
    pub(super) items: Vec<ContactView>,
    pub(super) next: Option<String>,
}

/// The body of a 202.
#[derive(Serialize)]
pub(super) struct Accepted {
    operation_id: Uuid,
    contact_id: Uuid,
    version: Uuid,
    status: &'static str,
}

impl Accepted {
    pub(super) fn new(operation: OperationId, contact: ContactId) -> Self {
        let operation = operation.uuid();
        Self { version: operation, operation_id: operation, contact_id: contact.uuid(), status: "accepted" }
    }
}

/// An operation. One that SQL does not know yet has only its id and its status.
#[derive(Serialize)]
pub(super) struct OperationView {
    id: String,
    contact_id: Option<String>,
    operation: Option<&'static str>,
    status: &'static str,
    reason: Option<&'static str>,
    detail: Option<&'static str>,
    accepted_at: Option<Moment>,
    completed_at: Option<Moment>,
}

impl OperationView {
    pub(super) fn pending(id: OperationId) -> Self {
        Self {
            id: id.to_string(),
            contact_id: None,
            operation: None,
            status: "pending",
            reason: None,
            detail: None,
            accepted_at: None,
            completed_at: None,
        }
    }

    pub(super) fn ended(operation: &Operation) -> Self {
        let (status, reason) = match operation.status {
            Status::Applied => ("applied", None),
            Status::Superseded => ("superseded", None),
            Status::Failed(reason) => ("failed", Some(reason)),
        };
        Self {
            id: operation.id.to_string(),
            contact_id: Some(operation.contact_id.to_string()),
            operation: Some(operation.kind.as_str()),
            status,
            reason: reason.map(|reason| reason.as_str()),
            detail: reason.map(|reason| reason.sentence()),
            accepted_at: Some(operation.accepted_at),
            completed_at: Some(operation.completed_at),
        }
    }
}
