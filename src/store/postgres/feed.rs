//! Reads the change feed. See `docs/adr/0023-change-feed.md` for why no change is skipped.
//!
//! Rule of this file: the end of the feed is read first, and the changes by a later statement, which sees everything that was
//! committed before that end was read.

use super::rows::ContactRow;
use super::schema::contacts;
use crate::domain::{Contact, ContactId, OperationId, Timestamp};
use crate::store::changes::{FeedStart, change_page};
use crate::store::{Change, ChangePage, ChangePosition, StoreError, columns};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a replica may be behind when a reader starts with an export.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the replica is asked.
const REPLICA_POLL: Duration = Duration::from_millis(50);

/// A page reads the state of the feed and its changes from one snapshot: a change is either there, or it is counted as
/// pruned. `page` is empty on a row without a change.
const PAGE: &str = "SELECT changes.pruned, changes.pruned_operation, \
     (SELECT id FROM operations WHERE position = $1 LIMIT 1) AS found, \
     page.position, page.id, page.contact_id, page.operation, page.completed_at \
     FROM changes LEFT JOIN LATERAL (SELECT position, id, contact_id, operation, completed_at FROM operations \
     WHERE position > greatest($1, changes.pruned) AND position < $2 ORDER BY position LIMIT $3) AS page ON true \
     WHERE changes.one";

const LAST: &str = "SELECT coalesce(last.position, pruned) AS position, \
     CASE WHEN last.position IS NULL THEN pruned_operation ELSE last.id END AS operation \
     FROM changes LEFT JOIN LATERAL (SELECT position, id FROM operations \
     WHERE position > changes.pruned AND position < $1 ORDER BY position DESC LIMIT 1) AS last ON true";

#[derive(QueryableByName)]
struct FeedEnd {
    #[diesel(sql_type = BigInt)]
    next_position: i64,
    #[diesel(sql_type = BigInt)]
    visible_end: i64,
}

impl FeedEnd {
    fn read(connection: &mut PgConnection) -> QueryResult<Self> {
        diesel::sql_query("SELECT next_position, visible_end FROM changes_end()").get_result(connection)
    }
}

#[derive(QueryableByName)]
struct PageRow {
    #[diesel(sql_type = BigInt)]
    pruned: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pruned_operation: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    found: Option<Uuid>,
    #[diesel(sql_type = Nullable<BigInt>)]
    position: Option<i64>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    contact_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    operation: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    completed_at: Option<Timestamp>,
}

impl PageRow {
    /// The change, if the row has one.
    fn change(self) -> Option<Result<Change, StoreError>> {
        let (kind, at) = (self.operation?, place(self.position?, self.id));
        let (contact_id, completed_at) = (ContactId::new(self.contact_id?), self.completed_at?);
        Some(columns::kind(&kind).map(|kind| Change { at, contact_id, kind, completed_at, contact: None }))
    }
}

#[derive(QueryableByName)]
struct PlaceRow {
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    operation: Option<Uuid>,
}

#[derive(QueryableByName)]
struct WalPosition {
    #[diesel(sql_type = Text)]
    written: String,
}

#[derive(QueryableByName)]
struct ReplicaProgress {
    #[diesel(sql_type = Bool)]
    reached: bool,
}

fn place(position: i64, operation: Option<Uuid>) -> ChangePosition {
    ChangePosition { position, operation: OperationId::new(operation.unwrap_or_default()) }
}

/// Reads a page. The connection must not be in a transaction.
pub(super) fn changes(
    connection: &mut PgConnection,
    after: Option<ChangePosition>,
    limit: u32,
    with_contacts: bool,
) -> Result<Option<ChangePage>, StoreError> {
    let FeedEnd { next_position, visible_end } = FeedEnd::read(connection)?;
    let rows: Vec<PageRow> = diesel::sql_query(PAGE)
        .bind::<BigInt, _>(after.map_or(0, |after| after.position))
        .bind::<BigInt, _>(visible_end)
        .bind::<BigInt, _>(i64::from(limit) + 1)
        .load(connection)?;
    let Some(first) = rows.first() else {
        return Err(StoreError::Misconfigured(
            "the table changes has no row: another program may have removed it".into(),
        ));
    };
    let start = FeedStart {
        next_position,
        pruned: place(first.pruned, first.pruned_operation),
        found: first.found.map(OperationId::new),
    };
    let Some(start) = start.after(after) else { return Ok(None) };
    let mut changes = rows.into_iter().filter_map(PageRow::change).collect::<Result<Vec<_>, _>>()?;
    // They were read in this order, but a join may return them in another.
    changes.sort_unstable_by_key(|change| change.at.position);
    let mut page = change_page(start, changes, limit);
    if with_contacts {
        let rows: Vec<ContactRow> = contacts::table
            .filter(contacts::id.eq_any(page.changes.iter().map(|change| change.contact_id.uuid())))
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

#[derive(QueryableByName)]
struct PlanLine {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// The plan for a page.
pub(super) fn explain(
    connection: &mut PgConnection,
    after: Option<ChangePosition>,
    limit: u32,
) -> Result<String, StoreError> {
    let lines: Vec<PlanLine> = diesel::sql_query(format!("EXPLAIN {PAGE}"))
        .bind::<BigInt, _>(after.map_or(0, |after| after.position))
        .bind::<BigInt, _>(i64::MAX)
        .bind::<BigInt, _>(i64::from(limit) + 1)
        .load(connection)?;
    Ok(lines.into_iter().map(|line| line.line + "\n").collect())
}

/// The place after the newest change that can be read. The connection must not be in a transaction.
pub(super) fn last_change(connection: &mut PgConnection) -> Result<ChangePosition, StoreError> {
    let FeedEnd { visible_end, .. } = FeedEnd::read(connection)?;
    let row: PlaceRow = diesel::sql_query(LAST).bind::<BigInt, _>(visible_end).get_result(connection)?;
    Ok(place(row.position, row.operation))
}

/// How far the primary has written.
pub(super) fn written(primary: &mut PgConnection) -> QueryResult<String> {
    let position: WalPosition =
        diesel::sql_query("SELECT pg_current_wal_insert_lsn()::text AS written").get_result(primary)?;
    Ok(position.written)
}

/// Waits until a replica shows everything up to this place.
pub(super) fn wait_for_replica(written: &str, replica: &mut PgConnection) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        let progress: ReplicaProgress = diesel::sql_query(
            "SELECT coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END \
             >= $1::pg_lsn, false) AS reached",
        )
        .bind::<Text, _>(written)
        .get_result(replica)?;
        if progress.reached {
            return Ok(());
        }
        if started.elapsed() > REPLICA_TIMEOUT {
            return Err(StoreError::Unavailable("the replica of database.read_url is behind".into()));
        }
        std::thread::sleep(REPLICA_POLL);
    }
}
