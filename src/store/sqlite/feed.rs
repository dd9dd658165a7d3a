//! Numbers and reads the changes of the change feed. There is one writer, so the order of the positions is the order of the
//! commits.

use super::rows::{ChangeRow, ContactRow, blob, place, uuid};
use super::schema::{changes, contacts, operations};
use crate::domain::{Contact, ContactId, OperationId, OperationRecord};
use crate::store::changes::{FeedStart, change_page};
use crate::store::{ChangePage, ChangePosition, StoreError};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use std::collections::HashMap;

/// Takes positions for the changes of a batch. Returns the first one.
pub(super) fn reserve(connection: &mut SqliteConnection, records: &[OperationRecord]) -> QueryResult<i64> {
    let number = records.iter().filter(|record| record.change.is_some()).count();
    if number == 0 {
        return Ok(0);
    }
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let last: i64 = diesel::update(changes::table)
        .set(changes::last.eq(changes::last + number))
        .returning(changes::last)
        .get_result(connection)?;
    Ok(last - number + 1)
}

/// The last position that was given, and the greatest one that was removed.
fn state(connection: &mut SqliteConnection) -> Result<(i64, ChangePosition), StoreError> {
    let (last, pruned, operation): (i64, i64, Option<Vec<u8>>) =
        changes::table.select((changes::last, changes::pruned, changes::pruned_operation)).first(connection)?;
    Ok((last, place(pruned, operation.as_deref())?))
}

/// Reads a page. The connection must be in a transaction.
pub(super) fn changes(
    connection: &mut SqliteConnection,
    after: Option<ChangePosition>,
    limit: u32,
    with_contacts: bool,
) -> Result<Option<ChangePage>, StoreError> {
    let (last, pruned) = state(connection)?;
    let found: Option<Vec<u8>> = match after {
        None => None,
        Some(after) => operations::table
            .filter(operations::position.eq(after.position))
            .select(operations::id)
            .first(connection)
            .optional()?,
    };
    let found = found.map(|id| uuid(&id).map(OperationId::new)).transpose()?;
    let Some(start) = (FeedStart { next_position: last + 1, pruned, found }).after(after) else { return Ok(None) };
    let rows: Vec<ChangeRow> = operations::table
        .filter(operations::position.gt(start.position))
        .order(operations::position)
        .limit(i64::from(limit) + 1)
        .select(ChangeRow::as_select())
        .load(connection)?;
    let changes = rows.into_iter().map(ChangeRow::read).collect::<Result<_, _>>()?;
    let mut page = change_page(start, changes, limit);
    if with_contacts {
        let rows: Vec<ContactRow> = contacts::table
            .filter(contacts::id.eq_any(page.changes.iter().map(|change| blob(change.contact_id.uuid()))))
            .select(ContactRow::as_select())
            .load(connection)?;
        let contacts = rows.into_iter().map(|row| row.read().map(|contact| (contact.id, contact)));
        let contacts: HashMap<ContactId, Contact> = contacts.collect::<Result<_, _>>()?;
        for change in &mut page.changes {
            change.contact = contacts.get(&change.contact_id).cloned();
        }
    }
    Ok(Some(page))
}

/// The place after the newest change. The connection must be in a transaction.
pub(super) fn last_change(connection: &mut SqliteConnection) -> Result<ChangePosition, StoreError> {
    let (_, pruned) = state(connection)?;
    let newest: Option<ChangeRow> = operations::table
        .filter(operations::position.gt(pruned.position))
        .order(operations::position.desc())
        .select(ChangeRow::as_select())
        .first(connection)
        .optional()?;
    newest.map_or(Ok(pruned), |row| row.read().map(|change| change.at))
}
