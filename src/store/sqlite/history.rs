//! Reads and erases the history of contacts.

use super::rows::{OperationRow, blob, micros};
use super::schema::operations;
use crate::domain::{ContactId, OperationId, Timestamp};
use crate::store::history::HistoryPage;
use crate::store::{Operation, StoreError};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool};
use diesel::sqlite::SqliteConnection;
use std::num::NonZeroU128;
use uuid::Uuid;

/// How many rows with old values to read in one statement.
const OLD_VALUES_PER_STEP: i64 = 1_000;
/// How many ids one statement may have. Each is a variable, and SQLite allows 32,766.
pub(super) const MAX_IDS: usize = 1_000;

/// Reads a page.
pub(super) fn page(connection: &mut SqliteConnection, page: &HistoryPage) -> Result<Vec<Operation>, StoreError> {
    let mut query = operations::table
        .filter(operations::contact_id.eq(blob(page.contact.uuid())))
        .order((
            operations::completed_at.desc(),
            sql::<BigInt>("coalesce(operations.position, 0) DESC"),
            operations::id.desc(),
        ))
        .limit(i64::from(page.limit))
        .select(OperationRow::as_select())
        .into_boxed();
    if let Some(before) = page.before {
        // The first condition is one that the index knows.
        query = query.filter(operations::completed_at.le(micros(before.completed_at))).filter(
            sql::<Bool>("(completed_at, coalesce(position, 0), id) < (")
                .bind::<BigInt, _>(micros(before.completed_at))
                .sql(", ")
                .bind::<BigInt, _>(before.position)
                .sql(", ")
                .bind::<Binary, _>(blob(before.id.uuid()))
                .sql(")"),
        );
    }
    read(query.load(connection)?)
}

/// The operations of a trace, the newest first. There is no index by trace: the index by time leaves out older rows.
pub(super) fn of_trace(
    connection: &mut SqliteConnection,
    trace_id: NonZeroU128,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Operation>, StoreError> {
    let query = operations::table
        .filter(operations::completed_at.ge(micros(since)))
        .filter(operations::trace_id.eq(blob(Uuid::from_u128(trace_id.get()))))
        .order((operations::completed_at.desc(), operations::id.desc()))
        .limit(i64::from(limit))
        .select(OperationRow::as_select());
    read(query.load(connection)?)
}

/// Calls `visit` for each operation that has old values, until it returns false.
pub(super) fn old_values(
    connection: &mut SqliteConnection,
    visit: &mut dyn FnMut(Operation) -> bool,
) -> Result<(), StoreError> {
    let mut after = Some(Uuid::nil());
    while let Some(id) = after {
        let rows: Vec<OperationRow> = operations::table
            .filter(operations::old_values.is_not_null())
            .filter(operations::id.gt(blob(id)))
            .order(operations::id)
            .limit(OLD_VALUES_PER_STEP)
            .select(OperationRow::as_select())
            .load(connection)?;
        let found = read(rows)?;
        after = found.last().map(|last| last.id.uuid());
        if !found.into_iter().all(&mut *visit) {
            break;
        }
    }
    Ok(())
}

/// Erases what these operations and the operations of these contacts keep of their values.
pub(super) fn erase(
    connection: &mut SqliteConnection,
    contacts: &[ContactId],
    operations: &[OperationId],
) -> QueryResult<usize> {
    let keeps = || operations::old_values.is_not_null().or(operations::fingerprint.is_not_null());
    let nothing = || (operations::old_values.eq(None::<String>), operations::fingerprint.eq(None::<Vec<u8>>));
    connection.immediate_transaction(|connection| {
        let mut erased = 0;
        for ids in contacts.chunks(MAX_IDS) {
            let named = operations::contact_id.eq_any(ids.iter().map(|id| blob(id.uuid())));
            let rows = diesel::update(operations::table.filter(named).filter(keeps()));
            erased += rows.set(nothing()).execute(connection)?;
        }
        for ids in operations.chunks(MAX_IDS) {
            let named = operations::id.eq_any(ids.iter().map(|id| blob(id.uuid())));
            let rows = diesel::update(operations::table.filter(named).filter(keeps()));
            erased += rows.set(nothing()).execute(connection)?;
        }
        Ok(erased)
    })
}

fn read(rows: Vec<OperationRow>) -> Result<Vec<Operation>, StoreError> {
    rows.into_iter().map(OperationRow::read).collect()
}
