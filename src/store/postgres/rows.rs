//! The rows that PostgreSQL returns.
//!
//! `sqlite/rows.rs` has the same rows with other types (blob ids and integer times), and a diesel row belongs to one
//! database. What the columns mean is in `store/columns.rs`.

use super::schema::{contacts, operations};
use crate::domain::{Contact, ContactId, Fingerprint, FinishedOperation, OperationId, Timestamp};
use crate::store::{Operation, StoreError, columns};
use diesel::prelude::*;
use uuid::Uuid;

#[derive(Queryable, Selectable)]
#[diesel(table_name = contacts, check_for_backend(diesel::pg::Pg))]
pub(super) struct ContactRow {
    id: Uuid,
    version: Uuid,
    stamp: i64,
    created_by: Uuid,
    created_at: Timestamp,
    deleted_at: Option<Timestamp>,
    member_writes: Option<String>,
    updated_at: Timestamp,
    name: Option<String>,
    phone: Option<String>,
    email: Option<String>,
}

impl ContactRow {
    pub(super) fn read(self) -> Result<Contact, StoreError> {
        let version = OperationId::new(self.version);
        let (name, phone, email) = (self.name.as_deref(), self.phone.as_deref(), self.email.as_deref());
        Ok(Contact {
            id: ContactId::new(self.id),
            version,
            stamp: columns::stamp(self.stamp)?,
            writes: columns::member_writes(self.member_writes.as_deref(), version)?,
            created_by: OperationId::new(self.created_by),
            created_at: self.created_at,
            updated_at: self.updated_at,
            life: columns::lifecycle(self.deleted_at, name, phone, email)?,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations, check_for_backend(diesel::pg::Pg))]
pub(super) struct FinishedOperationRow {
    id: Uuid,
    status: String,
    reason: Option<String>,
    replays: i32,
}

impl FinishedOperationRow {
    pub(super) fn read(self) -> Result<(OperationId, FinishedOperation), StoreError> {
        let finished = columns::finished(&self.status, self.reason.as_deref(), self.replays)?;
        Ok((OperationId::new(self.id), finished))
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations, check_for_backend(diesel::pg::Pg))]
pub(super) struct OperationRow {
    id: Uuid,
    contact_id: Uuid,
    operation: String,
    status: String,
    reason: Option<String>,
    replays: i32,
    fingerprint: Option<Uuid>,
    accepted_at: Timestamp,
    completed_at: Timestamp,
    position: Option<i64>,
    caller: Option<String>,
    trace_id: Option<Uuid>,
    attempts: Option<i32>,
    changed: Option<i16>,
    old_values: Option<String>,
}

impl OperationRow {
    pub(super) fn read(self) -> Result<Operation, StoreError> {
        let FinishedOperation { status, replays } =
            columns::finished(&self.status, self.reason.as_deref(), self.replays)?;
        Ok(Operation {
            id: OperationId::new(self.id),
            contact_id: ContactId::new(self.contact_id),
            kind: columns::kind(&self.operation)?,
            status,
            replays,
            fingerprint: self.fingerprint.map(|fingerprint| Fingerprint(fingerprint.as_u128())),
            accepted_at: self.accepted_at,
            completed_at: self.completed_at,
            position: self.position,
            origin: columns::origin(self.caller, self.trace_id, self.attempts),
            changed: self.changed.map(columns::changed),
            old_values: self.old_values.as_deref().map(columns::old_values).transpose()?,
        })
    }
}
