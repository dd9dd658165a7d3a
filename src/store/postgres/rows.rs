//! Rows as they are read.

use super::super::{Operation, StoreError, columns};
use super::schema::{contacts, operations};
use crate::domain::{Contact, ContactId, ContactState, EndedOperation, Fingerprint, Lifecycle, OperationId, Timestamp};
use diesel::prelude::*;
use uuid::Uuid;

#[derive(Queryable, Selectable)]
#[diesel(table_name = contacts, check_for_backend(diesel::pg::Pg))]
pub(super) struct ContactStateRow {
    id: Uuid,
    version: Uuid,
    stamp: i64,
    created_by: Uuid,
    created_at: Timestamp,
    deleted_at: Option<Timestamp>,
}

impl ContactStateRow {
    pub(super) fn read(self) -> Result<ContactState, StoreError> {
        Ok(ContactState {
            id: ContactId::new(self.id),
            version: OperationId::new(self.version),
            stamp: columns::stamp(self.stamp)?,
            created_by: OperationId::new(self.created_by),
            created_at: self.created_at,
            deleted: self.deleted_at.is_some(),
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = operations, check_for_backend(diesel::pg::Pg))]
pub(super) struct EndedOperationRow {
    id: Uuid,
    status: String,
    reason: Option<String>,
    replays: i32,
}

impl EndedOperationRow {
    pub(super) fn read(self) -> Result<(OperationId, EndedOperation), StoreError> {
        let finished = columns::finished(&self.status, self.reason.as_deref(), self.replays)?;
        Ok((OperationId::new(self.id), finished))
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = contacts, check_for_backend(diesel::pg::Pg))]
pub(super) struct ContactRow {
    #[diesel(embed)]
    state: ContactStateRow,
    updated_at: Timestamp,
    name: Option<String>,
    phone: Option<String>,
    email: Option<String>,
}

impl ContactRow {
    pub(super) fn read(self) -> Result<Contact, StoreError> {
        let life = match self.state.deleted_at {
            Some(at) => Lifecycle::Deleted { at },
            None => {
                Lifecycle::Live(columns::details(self.name.as_deref(), self.phone.as_deref(), self.email.as_deref())?)
            }
        };
        let state = self.state.read()?;
        Ok(Contact::new(state, self.updated_at, life))
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
}

impl OperationRow {
    pub(super) fn read(self) -> Result<Operation, StoreError> {
        Ok(Operation {
            id: OperationId::new(self.id),
            contact_id: ContactId::new(self.contact_id),
            kind: columns::kind(&self.operation)?,
            status: columns::status(&self.status, self.reason.as_deref())?,
            replays: u32::try_from(self.replays).unwrap_or_default(),
            fingerprint: self.fingerprint.map(|print| Fingerprint(print.as_u128())),
            accepted_at: self.accepted_at,
            completed_at: self.completed_at,
        })
    }
}
