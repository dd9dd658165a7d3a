//! The three statements that write a batch.
//!
//! Each statement takes arrays. So its text never changes, and PostgreSQL prepares it once per connection. The inserts
//! of diesel have another text for each number of rows.

use crate::domain::{Attempt, Contact, FailedOperation, OperationRecord, Status, Timestamp};
use crate::store::changes;
use crate::store::columns::{self, LifecycleColumns, member_writes_text, status_text};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

/// The columns of several contacts.
#[derive(Default)]
struct ContactColumns<'a> {
    id: Vec<Uuid>,
    version: Vec<Uuid>,
    stamp: Vec<i64>,
    created_by: Vec<Uuid>,
    created_at: Vec<Timestamp>,
    updated_at: Vec<Timestamp>,
    deleted_at: Vec<Option<Timestamp>>,
    name: Vec<Option<&'a str>>,
    name_key: Vec<Option<String>>,
    phone: Vec<Option<String>>,
    ddd: Vec<Option<i16>>,
    email: Vec<Option<&'a str>>,
    member_writes: Vec<Option<String>>,
}

impl<'a> ContactColumns<'a> {
    fn new(contacts: &'a [Contact]) -> Self {
        let mut columns = Self::default();
        for contact in contacts {
            columns.id.push(contact.id.uuid());
            columns.version.push(contact.version.uuid());
            columns.stamp.push(contact.stamp.raw());
            columns.created_by.push(contact.created_by.uuid());
            columns.created_at.push(contact.created_at);
            columns.updated_at.push(contact.updated_at);
            let life = LifecycleColumns::new(&contact.life);
            columns.deleted_at.push(life.deleted_at);
            columns.name.push(life.name);
            columns.name_key.push(life.name_key);
            columns.phone.push(life.phone);
            columns.ddd.push(life.ddd.map(i16::from));
            columns.email.push(life.email);
            columns.member_writes.push(member_writes_text(contact));
        }
        columns
    }

    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.id)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.version)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<BigInt>, _>(&self.stamp)?;
        out.push_sql("::bigint[], ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.created_by)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.created_at)?;
        out.push_sql("::timestamptz[], ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.updated_at)?;
        out.push_sql("::timestamptz[], ");
        out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(&self.deleted_at)?;
        out.push_sql("::timestamptz[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.name)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.phone)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<SmallInt>>, _>(&self.ddd)?;
        out.push_sql("::smallint[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.email)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.name_key)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.member_writes)?;
        out.push_sql(
            "::text[]) AS new (id, version, stamp, created_by, created_at, updated_at, deleted_at, name, phone, ddd, \
             email, name_key, member_writes)",
        );
        Ok(())
    }
}

/// Inserts contacts. A row that exists is not changed and not counted.
pub(super) struct InsertContacts<'a>(ContactColumns<'a>);

impl<'a> InsertContacts<'a> {
    pub(super) fn new(contacts: &'a [Contact]) -> Self {
        Self(ContactColumns::new(contacts))
    }
}

impl QueryFragment<Pg> for InsertContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO contacts (id, version, stamp, created_by, created_at, updated_at, deleted_at, name, phone, \
             ddd, email, name_key, member_writes) SELECT * FROM ",
        );
        self.0.bind(&mut out)?;
        out.push_sql(" ON CONFLICT (id) DO NOTHING");
        Ok(())
    }
}

/// Updates existing contacts.
pub(super) struct UpdateContacts<'a>(ContactColumns<'a>);

impl<'a> UpdateContacts<'a> {
    pub(super) fn new(contacts: &'a [Contact]) -> Self {
        Self(ContactColumns::new(contacts))
    }
}

impl QueryFragment<Pg> for UpdateContacts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE contacts SET version = new.version, stamp = new.stamp, updated_at = new.updated_at, deleted_at = \
             new.deleted_at, name = new.name, phone = new.phone, ddd = new.ddd, email = new.email, name_key = \
             new.name_key, member_writes = new.member_writes FROM ",
        );
        self.0.bind(&mut out)?;
        out.push_sql(" WHERE contacts.id = new.id");
        Ok(())
    }
}

/// Writes the rows of finished operations, with their positions in the change feed. It must be the last statement that can
/// wait for a row, because it reserves the positions: so the changes of a contact have them in their order. A row of a failed operation that was replayed is overwritten. Any other row
/// that exists is not changed and not counted.
#[derive(Default)]
pub(super) struct RecordOperations<'a> {
    id: Vec<Uuid>,
    contact_id: Vec<Uuid>,
    operation: Vec<&'static str>,
    status: Vec<&'static str>,
    reason: Vec<Option<&'static str>>,
    replays: Vec<i32>,
    fingerprint: Vec<Option<Uuid>>,
    accepted_at: Vec<Timestamp>,
    /// The positions, as if the block of the batch began at 1. See [`changes::position`].
    position: Vec<Option<i64>>,
    caller: Vec<Option<&'a str>>,
    trace_id: Vec<Option<Uuid>>,
    attempts: Vec<i32>,
    changed: Vec<Option<i16>>,
    old_values: Vec<Option<String>>,
}

impl<'a> RecordOperations<'a> {
    pub(super) fn new(batch: &'a [Attempt], records: &[OperationRecord]) -> Self {
        let finished = records.iter().filter_map(|record| batch.get(record.attempt).map(|attempt| (attempt, record)));
        let mut columns = Self::default();
        for (attempt, record) in finished {
            let Attempt { command, origin, .. } = attempt;
            let (status, reason) = status_text(record.status);
            columns.id.push(command.operation_id.uuid());
            columns.contact_id.push(command.contact_id.uuid());
            columns.operation.push(command.kind().as_str());
            columns.status.push(status);
            columns.reason.push(reason);
            columns.replays.push(i32::try_from(attempt.replays).unwrap_or(i32::MAX));
            let fingerprint = columns::fingerprint(command, record.status);
            columns.fingerprint.push(fingerprint.map(|fingerprint| Uuid::from_u128(fingerprint.0)));
            columns.accepted_at.push(command.accepted_at);
            columns.position.push(changes::position(record, 1));
            columns.caller.push(origin.caller.as_deref());
            columns.trace_id.push(columns::trace_id(origin));
            columns.attempts.push(columns::attempts(origin));
            columns.changed.push(record.changed.map(columns::changed_bits));
            columns.old_values.push(record.old_values.as_ref().and_then(columns::old_values_text));
        }
        columns
    }

    pub(super) fn failed(failed: &'a FailedOperation) -> Self {
        let (status, reason) = status_text(Status::Failed(failed.reason));
        Self {
            id: vec![failed.id.uuid()],
            contact_id: vec![failed.contact_id.uuid()],
            operation: vec![failed.kind.as_str()],
            status: vec![status],
            reason: vec![reason],
            replays: vec![i32::try_from(failed.replays).unwrap_or(i32::MAX)],
            fingerprint: vec![None],
            accepted_at: vec![failed.accepted_at],
            position: vec![None],
            caller: vec![failed.origin.caller.as_deref()],
            trace_id: vec![columns::trace_id(&failed.origin)],
            attempts: vec![columns::attempts(&failed.origin)],
            changed: vec![None],
            old_values: vec![None],
        }
    }
}

impl QueryFragment<Pg> for RecordOperations<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            // The block is reserved once, and only for a batch with changes.
            "INSERT INTO operations (id, contact_id, operation, status, reason, replays, fingerprint, accepted_at, \
             position, caller, trace_id, attempts, changed, old_values, completed_at) SELECT id, contact_id, operation, \
             status, reason, replays, fingerprint, accepted_at, \
             CASE WHEN position > 0 THEN (SELECT changes_reserve()) + position - 1 ELSE position END, \
             caller, trace_id, attempts, changed, old_values, statement_timestamp() FROM unnest(",
        );
        out.push_bind_param::<Array<SqlUuid>, _>(&self.id)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.contact_id)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<Text>, _>(&self.operation)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.status)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.reason)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Integer>, _>(&self.replays)?;
        out.push_sql("::integer[], ");
        out.push_bind_param::<Array<Nullable<SqlUuid>>, _>(&self.fingerprint)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<Timestamptz>, _>(&self.accepted_at)?;
        out.push_sql("::timestamptz[], ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.position)?;
        out.push_sql("::bigint[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.caller)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<SqlUuid>>, _>(&self.trace_id)?;
        out.push_sql("::uuid[], ");
        out.push_bind_param::<Array<Integer>, _>(&self.attempts)?;
        out.push_sql("::integer[], ");
        out.push_bind_param::<Array<Nullable<SmallInt>>, _>(&self.changed)?;
        out.push_sql("::smallint[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.old_values)?;
        out.push_sql(
            "::text[]) AS new (id, contact_id, operation, status, reason, replays, fingerprint, accepted_at, position, \
             caller, trace_id, attempts, changed, old_values) \
             ON CONFLICT (id) DO UPDATE SET contact_id = excluded.contact_id, operation = \
             excluded.operation, status = excluded.status, reason = excluded.reason, replays = excluded.replays, \
             fingerprint = coalesce(excluded.fingerprint, operations.fingerprint), accepted_at = excluded.accepted_at, \
             position = excluded.position, completed_at = excluded.completed_at, caller = excluded.caller, \
             trace_id = excluded.trace_id, attempts = excluded.attempts, changed = excluded.changed, \
             old_values = excluded.old_values \
             WHERE operations.status = 'failed' AND operations.replays < excluded.replays",
        );
        Ok(())
    }
}

/// The text of a statement depends only on its type, so diesel can keep it prepared.
macro_rules! static_text {
    ($($statement:ty, $any:ty;)*) => {
        $(
            impl QueryId for $any {
                type QueryId = $statement;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl RunQueryDsl<PgConnection> for $any {}
        )*
    };
}

static_text! {
    InsertContacts<'static>, InsertContacts<'_>;
    UpdateContacts<'static>, UpdateContacts<'_>;
    RecordOperations<'static>, RecordOperations<'_>;
}
