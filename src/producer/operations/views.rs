//! The JSON of operations.

use crate::domain::{ContactId, OperationId, Status, Timestamp};
use crate::producer::language::Language;
use crate::store::Operation;
use serde::Serialize;
use uuid::Uuid;

/// The body of a 202.
#[derive(Serialize)]
pub(crate) struct AcceptedView {
    operation_id: Uuid,
    contact_id: Uuid,
    version: Uuid,
    status: &'static str,
}

impl AcceptedView {
    pub(crate) fn new(operation: OperationId, contact: ContactId) -> Self {
        let operation = operation.uuid();
        Self { version: operation, operation_id: operation, contact_id: contact.uuid(), status: "accepted" }
    }
}

/// The JSON of an operation. A pending or expired operation has only an id and a status.
#[derive(Serialize)]
pub(crate) struct OperationView {
    id: String,
    contact_id: Option<String>,
    operation: Option<&'static str>,
    status: &'static str,
    reason: Option<&'static str>,
    detail: Option<String>,
    accepted_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
}

impl OperationView {
    pub(crate) fn pending(id: OperationId) -> Self {
        Self::only_status(id, "pending")
    }

    /// An operation that finished long ago. Its record was removed.
    pub(crate) fn expired(id: OperationId) -> Self {
        Self::only_status(id, "expired")
    }

    fn only_status(id: OperationId, status: &'static str) -> Self {
        Self {
            id: id.to_string(),
            contact_id: None,
            operation: None,
            status,
            reason: None,
            detail: None,
            accepted_at: None,
            completed_at: None,
        }
    }

    pub(crate) fn finished(operation: &Operation, language: Language) -> Self {
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
            detail: reason.map(|reason| language.translate(reason.sentence()).into_owned()),
            accepted_at: Some(operation.accepted_at),
            completed_at: Some(operation.completed_at),
        }
    }
}
