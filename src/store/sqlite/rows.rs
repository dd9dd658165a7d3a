//! The rows that SQLite returns and takes: ids as 16 bytes, times as microseconds since 1970.
//!
//! `postgres/rows.rs` says why each database has rows of its own.

use super::schema::{contacts, operations};
use crate::domain::{
    Attempt, Contact, ContactId, FailedOperation, Fingerprint, FinishedOperation, OperationId, OperationRecord,
    Timestamp,
};
use crate::store::columns::{LifecycleColumns, member_writes_text};
use crate::store::{Change, ChangePosition, Operation, StoreError, columns};
use diesel::prelude::*;
use uuid::Uuid;

pub(super) fn blob(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

pub(super) const fn micros(timestamp: Timestamp) -> i64 {
    timestamp.timestamp_micros()
}

pub(super) fn uuid(blob: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(blob).map_err(|error| StoreError::Misconfigured(format!("an id cannot be read: {error}")))
}

pub(super) fn timestamp(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| StoreError::Misconfigured("a time cannot be read".into()))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = contacts, check_for_backend(diesel::sqlite::Sqlite))]
pub(super) struct ContactRow {
    id: Vec<u8>,
    version: Vec<u8>,
    stamp: i64,
    created_by: Vec<u8>,
    created_at: i64,
    deleted_at: Option<i64>,
    member_writes: Option<String>,
    updated_at: i64,
    name: Option<String>,
    phone: Option<String>,
    email: Option<String>,
}

impl ContactRow {
    pub(super) fn read(self) -> Result<Contact, StoreError> {
        let version = OperationId::new(uuid(&self.version)?);
        let deleted_at = self.deleted_at.map(timestamp).transpose()?;
        let (name, phone, email) = (self.name.as_deref(), self.phone.as_deref(), self.email.as_deref());
        Ok(Contact {
            id: ContactId::new(uuid(&self.id)?),
            version,
            stamp: columns::stamp(self.stamp)?,
            writes: columns::member_writes(self.member_writes.as_deref(), version)?,
            created_by: OperationId::new(uuid(&self.created_by)?),
            created_at: timestamp(self.created_at)?,
            updated_at: timestamp(self.updated_at)?,
            life: columns::lifecycle(deleted_at, name, phone, email)?,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations, check_for_backend(diesel::sqlite::Sqlite))]
pub(super) struct FinishedOperationRow {
    id: Vec<u8>,
    status: String,
    reason: Option<String>,
    replays: i32,
}

impl FinishedOperationRow {
    pub(super) fn read(self) -> Result<(OperationId, FinishedOperation), StoreError> {
        let finished = columns::finished(&self.status, self.reason.as_deref(), self.replays)?;
        Ok((OperationId::new(uuid(&self.id)?), finished))
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations, check_for_backend(diesel::sqlite::Sqlite))]
pub(super) struct OperationRow {
    id: Vec<u8>,
    contact_id: Vec<u8>,
    operation: String,
    status: String,
    reason: Option<String>,
    replays: i32,
    fingerprint: Option<Vec<u8>>,
    accepted_at: i64,
    completed_at: i64,
    position: Option<i64>,
    caller: Option<String>,
    trace_id: Option<Vec<u8>>,
    attempts: Option<i32>,
    changed: Option<i16>,
    old_values: Option<String>,
}

impl OperationRow {
    pub(super) fn read(self) -> Result<Operation, StoreError> {
        let FinishedOperation { status, replays } =
            columns::finished(&self.status, self.reason.as_deref(), self.replays)?;
        let fingerprint = |blob: &[u8]| uuid(blob).map(|id| Fingerprint(id.as_u128()));
        Ok(Operation {
            id: OperationId::new(uuid(&self.id)?),
            contact_id: ContactId::new(uuid(&self.contact_id)?),
            kind: columns::kind(&self.operation)?,
            status,
            replays,
            fingerprint: self.fingerprint.as_deref().map(fingerprint).transpose()?,
            accepted_at: timestamp(self.accepted_at)?,
            completed_at: timestamp(self.completed_at)?,
            position: self.position,
            origin: columns::origin(self.caller, self.trace_id.as_deref().map(uuid).transpose()?, self.attempts),
            changed: self.changed.map(columns::changed),
            old_values: self.old_values.as_deref().map(columns::old_values).transpose()?,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations, check_for_backend(diesel::sqlite::Sqlite))]
pub(super) struct ChangeRow {
    position: Option<i64>,
    id: Vec<u8>,
    contact_id: Vec<u8>,
    operation: String,
    completed_at: i64,
}

impl ChangeRow {
    pub(super) fn read(self) -> Result<Change, StoreError> {
        Ok(Change {
            at: place(self.position.unwrap_or_default(), Some(&self.id))?,
            contact_id: ContactId::new(uuid(&self.contact_id)?),
            kind: columns::kind(&self.operation)?,
            completed_at: timestamp(self.completed_at)?,
            contact: None,
        })
    }
}

/// A place in the change feed.
pub(super) fn place(position: i64, operation: Option<&[u8]>) -> Result<ChangePosition, StoreError> {
    let operation = operation.map(uuid).transpose()?.unwrap_or_default();
    Ok(ChangePosition { position, operation: OperationId::new(operation) })
}

/// A contact to insert, or to write over a row with this id.
#[derive(Insertable, AsChangeset)]
#[diesel(table_name = contacts, treat_none_as_null = true, treat_none_as_default_value = false)]
pub(super) struct NewContact<'a> {
    id: Vec<u8>,
    version: Vec<u8>,
    stamp: i64,
    created_by: Vec<u8>,
    created_at: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
    name: Option<&'a str>,
    phone: Option<String>,
    ddd: Option<i32>,
    email: Option<&'a str>,
    name_key: Option<String>,
    member_writes: Option<String>,
    words: Option<String>,
}

impl<'a> NewContact<'a> {
    pub(super) fn new(contact: &'a Contact) -> Self {
        let columns = LifecycleColumns::new(&contact.life);
        let words = columns.words();
        Self {
            id: blob(contact.id.uuid()),
            version: blob(contact.version.uuid()),
            stamp: contact.stamp.raw(),
            created_by: blob(contact.created_by.uuid()),
            created_at: micros(contact.created_at),
            updated_at: micros(contact.updated_at),
            deleted_at: columns.deleted_at.map(micros),
            name: columns.name,
            phone: columns.phone,
            ddd: columns.ddd.map(i32::from),
            email: columns.email,
            words,
            name_key: columns.name_key,
            member_writes: member_writes_text(contact),
        }
    }
}

#[derive(Insertable)]
#[diesel(table_name = operations, treat_none_as_default_value = false)]
pub(super) struct NewOperation {
    id: Vec<u8>,
    contact_id: Vec<u8>,
    operation: &'static str,
    status: &'static str,
    reason: Option<&'static str>,
    replays: i32,
    fingerprint: Option<Vec<u8>>,
    accepted_at: i64,
    completed_at: i64,
    position: Option<i64>,
    caller: Option<String>,
    trace_id: Option<Vec<u8>>,
    attempts: Option<i32>,
    changed: Option<i16>,
    old_values: Option<String>,
}

impl NewOperation {
    pub(super) fn failed(
        failed: &FailedOperation,
        (status, reason): (&'static str, Option<&'static str>),
        completed_at: i64,
    ) -> Self {
        Self {
            id: blob(failed.id.uuid()),
            contact_id: blob(failed.contact_id.uuid()),
            operation: failed.kind.as_str(),
            status,
            reason,
            replays: i32::try_from(failed.replays).unwrap_or(i32::MAX),
            fingerprint: None,
            accepted_at: micros(failed.accepted_at),
            completed_at,
            position: None,
            caller: failed.origin.caller.as_deref().map(str::to_owned),
            trace_id: columns::trace_id(&failed.origin).map(blob),
            attempts: Some(columns::attempts(&failed.origin)),
            changed: None,
            old_values: None,
        }
    }

    pub(super) fn new(attempt: &Attempt, record: &OperationRecord, completed_at: i64, position: Option<i64>) -> Self {
        let Attempt { command, origin, .. } = attempt;
        let (status, reason) = columns::status_text(record.status);
        let fingerprint = columns::fingerprint(command, record.status);
        Self {
            id: blob(command.operation_id.uuid()),
            contact_id: blob(command.contact_id.uuid()),
            operation: command.kind().as_str(),
            status,
            reason,
            replays: i32::try_from(attempt.replays).unwrap_or(i32::MAX),
            fingerprint: fingerprint.map(|fingerprint| blob(Uuid::from_u128(fingerprint.0))),
            accepted_at: micros(command.accepted_at),
            completed_at,
            position,
            caller: origin.caller.as_deref().map(str::to_owned),
            trace_id: columns::trace_id(origin).map(blob),
            attempts: Some(columns::attempts(origin)),
            changed: record.changed.map(columns::changed_bits),
            old_values: record.old_values.as_ref().and_then(columns::old_values_text),
        }
    }
}
