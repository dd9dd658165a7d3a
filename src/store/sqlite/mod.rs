//! The store in SQLite, for `contacts standalone`: one writer and several readers (WAL). A commit returns after its
//! data is on disk.

mod copy;
mod event_log;
mod feed;
mod history;
mod listing;
mod rows;
mod schema;

use super::columns::{self, ProbeRollback, contact_ids, operation_ids, probe_batch, status_text, words_with_spaces};
use super::listing::{self as lists, DUPLICATE_ROWS, EXPORT_PAGE_SIZE, PagePlan, duplicate_page, read_pages};
use super::pool::{Connections, Purpose};
use super::{
    ChangePage, ChangePosition, Direction, DuplicatePage, DuplicatesBy, EventLog, Filter, HistoryPage, ListPosition,
    Operation, Pruned, Store, StoreError, changes, migrations,
};
use crate::domain::{
    Attempt, Batch, Contact, ContactId, Erasure, Erasures, FailedOperation, Name, NameKey, OperationId,
    OperationRecord, Outcome, Phone, Status, Timestamp,
};
pub use copy::{DatabaseContents, check_copy, copy, require_known_schema};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection};
use diesel::sql_types::{BigInt, Integer, Text};
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use listing::{CountContacts, ListContacts};
use rows::{ContactRow, FinishedOperationRow, NewContact, NewOperation, OperationRow, blob, micros, timestamp, uuid};
use schema::{contacts, erasure_key, erasures, operations, retention};
use std::collections::HashSet;
use std::num::NonZeroU128;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The maximum number of connections that read.
const READERS: u32 = 4;
/// How many rows get a name key in one transaction.
const NAME_KEYS_PER_STEP: i64 = 1000;
/// The maximum number of rows of one insert. More rows need fewer statements, but a longer text.
const ROWS_PER_INSERT: usize = 128;
/// How long to wait for a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A SQLite database.
#[derive(Clone)]
pub struct Sqlite {
    writes: Connections<ConnectionManager<SqliteConnection>>,
    reads: Connections<ConnectionManager<SqliteConnection>>,
    keep_old_values: bool,
}

/// Whether the table of migrations exists: 1 or 0.
#[derive(QueryableByName)]
struct MigrationTables {
    #[diesel(sql_type = BigInt)]
    tables: i64,
}

impl MigrationTables {
    fn count(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
        let found: Self = diesel::sql_query(format!(
            "SELECT count(*) AS tables FROM sqlite_master WHERE type = 'table' AND name = '{}'",
            migrations::TABLE
        ))
        .get_result(connection)?;
        Ok(found.tables)
    }
}

/// The result of a checkpoint: not 0 if a reader still needs old pages.
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// A value of a list of duplicates.
#[derive(QueryableByName)]
struct ValueCountRow {
    #[diesel(sql_type = Text)]
    value: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    scanned: i64,
}

/// The settings of every new connection.
#[derive(Debug)]
struct SessionSettings;

impl CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for SessionSettings {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        // FULL: a commit returns after its fsync, because the worker acknowledges the message right after it.
        connection
            .batch_execute("PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(diesel::r2d2::Error::QueryError)
    }
}

impl Sqlite {
    /// Creates the pools. Their first use opens or creates the file.
    pub fn new(path: &Path) -> Result<Self, StoreError> {
        let path =
            path.to_str().ok_or_else(|| StoreError::Misconfigured("the path of the database is not UTF-8".into()))?;
        let pool =
            |purpose, size| Connections::new(purpose, ConnectionManager::new(path), size, TIMEOUT, SessionSettings);
        Ok(Self { writes: pool(Purpose::Writes, 1), reads: pool(Purpose::Reads, READERS), keep_old_values: false })
    }
}

impl Sqlite {
    /// Whether operations keep the values that they replace (`history.values`).
    #[must_use]
    pub const fn keep_old_values(mut self, keep: bool) -> Self {
        self.keep_old_values = keep;
        self
    }
}

fn horizon(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, StoreError> {
    let micros: Option<i64> = retention::table.select(retention::pruned_before).first(connection).optional()?;
    micros.map(timestamp).transpose()
}

/// The erasures since this time. `None` if there are none.
fn erasures_since(connection: &mut SqliteConnection, since: Timestamp) -> Result<Option<Erasures>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = erasures::table
        .filter(erasures::erased_at.ge(micros(since)))
        .select((erasures::erased_at, erasures::digests))
        .load(connection)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let secret: Vec<u8> = erasure_key::table.select(erasure_key::secret).first(connection)?;
    let rows = rows.into_iter().map(|(erased_at, digests)| Ok((timestamp(erased_at)?, digests)));
    Ok(Some(columns::erasures(&secret, rows.collect::<Result<Vec<_>, StoreError>>()?)))
}

/// Adds the missing name keys in small steps.
fn add_name_keys(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut after = Some(blob(Uuid::nil()));
    while let Some(id) = after {
        after = connection.immediate_transaction(|connection| add_name_keys_after(connection, id))?;
    }
    Ok(())
}

/// One step. Returns the last id, if the step had rows.
fn add_name_keys_after(connection: &mut SqliteConnection, after: Vec<u8>) -> QueryResult<Option<Vec<u8>>> {
    let rows: Vec<(Vec<u8>, Option<String>)> = contacts::table
        .filter(contacts::deleted_at.is_null())
        .filter(contacts::name_key.is_null().or(contacts::words.is_null()))
        .filter(contacts::id.gt(after))
        .order(contacts::id)
        .limit(NAME_KEYS_PER_STEP)
        .select((contacts::id, contacts::name))
        .load(connection)?;
    for (id, name) in &rows {
        if let Ok(name) = Name::from_accepted(name.as_deref().unwrap_or_default()) {
            let row = diesel::update(contacts::table.find(id));
            let key = NameKey::of(&name);
            let words = words_with_spaces(key.as_str());
            row.set((contacts::name_key.eq(key.as_str()), contacts::words.eq(words))).execute(connection)?;
        }
    }
    Ok(rows.into_iter().last().map(|(id, _)| id))
}

fn apply_in(
    connection: &mut SqliteConnection,
    batch: &[Attempt],
    keep_old_values: bool,
) -> Result<Vec<Outcome>, StoreError> {
    let contact_ids: Vec<_> = contact_ids(batch).into_iter().map(|id| blob(id.uuid())).collect();
    let operation_ids: Vec<_> = operation_ids(batch).into_iter().map(|id| blob(id.uuid())).collect();
    let contacts: Vec<ContactRow> =
        contacts::table.filter(contacts::id.eq_any(contact_ids)).select(ContactRow::as_select()).load(connection)?;
    let finished: Vec<FinishedOperationRow> = operations::table
        .filter(operations::id.eq_any(operation_ids))
        .select(FinishedOperationRow::as_select())
        .load(connection)?;
    let contacts = contacts.into_iter().map(ContactRow::read).collect::<Result<Vec<_>, _>>()?;
    let finished = finished.into_iter().map(FinishedOperationRow::read).collect::<Result<Vec<_>, _>>()?;

    let mut known = Batch::new(contacts, finished).keep_old_values(keep_old_values);
    if known.needs_horizon(batch, chrono::Utc::now()) {
        known = known.pruned_before(horizon(connection)?);
    }
    if let Some(since) = known.needs_erasures(batch) {
        known = known.with_erasures(erasures_since(connection, since)?);
    }
    let folded = known.fold(batch);

    for contacts in folded.created.chunks(ROWS_PER_INSERT) {
        let rows: Vec<_> = contacts.iter().map(NewContact::new).collect();
        diesel::insert_into(contacts::table).values(rows).execute(connection)?;
    }
    for contact in &folded.changed {
        let row = NewContact::new(contact);
        diesel::update(contacts::table.find(blob(contact.id.uuid()))).set(row).execute(connection)?;
    }
    let now = micros(chrono::Utc::now());
    let first_position = feed::reserve(connection, &folded.records)?;
    for records in folded.records.chunks(ROWS_PER_INSERT) {
        let attempts = records.iter().filter_map(|record| Some((batch.get(record.attempt)?, record)));
        let row = |(attempt, record): (_, &OperationRecord)| {
            let position = changes::position(record, first_position);
            NewOperation::new(attempt, record, now, position)
        };
        let rows: Vec<_> = attempts.map(row).collect();
        // This replaces only failed operations that were replayed. There is no other writer.
        diesel::replace_into(operations::table).values(rows).execute(connection)?;
    }
    Ok(folded.outcomes)
}

fn read_page(
    connection: &mut SqliteConnection,
    filter: &Filter,
    after: Option<&ListPosition>,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    lists::read_page(filter, after, limit, |plan| {
        let rows: Vec<ContactRow> = ListContacts::new(plan).load(connection)?;
        rows.into_iter().map(ContactRow::read).collect()
    })
}

impl Store for Sqlite {
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError> {
        self.writes.get()?.immediate_transaction(|connection| apply_in(connection, batch, self.keep_old_values))
    }

    fn locked(&self, _: &[ContactId]) -> Result<HashSet<ContactId>, StoreError> {
        // SQLite locks the whole database.
        Ok(HashSet::new())
    }

    fn record_failure(&self, failed: &FailedOperation) -> Result<(), StoreError> {
        let row = NewOperation::failed(failed, status_text(Status::Failed(failed.reason)), micros(chrono::Utc::now()));
        self.writes.get()?.immediate_transaction(|connection| {
            let known: Option<(String, i32)> = operations::table
                .find(blob(failed.id.uuid()))
                .select((operations::status, operations::replays))
                .first(connection)
                .optional()?;
            // As in PostgreSQL: only a failed operation that was replayed since then is overwritten.
            let replayed =
                |(status, replays): (String, i32)| status == "failed" && i64::from(replays) < i64::from(failed.replays);
            if known.is_none_or(replayed) {
                diesel::replace_into(operations::table).values(row).execute(connection)?;
            }
            Ok(())
        })
    }

    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        let row: Option<ContactRow> = contacts::table
            .find(blob(id.uuid()))
            .select(ContactRow::as_select())
            .first(&mut self.reads.get()?)
            .optional()?;
        row.map(ContactRow::read).transpose()
    }

    fn contacts(&self, filter: &Filter, after: Option<&ListPosition>, limit: u32) -> Result<Vec<Contact>, StoreError> {
        if filter.matches_nothing() {
            return Ok(Vec::new());
        }
        read_page(&mut *self.reads.get()?, filter, after, limit)
    }

    fn existing(&self, people: &[(Phone, NameKey)]) -> Result<Vec<Option<ContactId>>, StoreError> {
        let mut connection = self.reads.get()?;
        let find = |(phone, name): &(Phone, NameKey)| {
            let id: Option<Vec<u8>> = contacts::table
                .filter(contacts::deleted_at.is_null())
                .filter(contacts::phone.eq(phone.to_string()))
                .filter(contacts::name_key.eq(name.as_str()))
                .select(contacts::id)
                .first(&mut *connection)
                .optional()?;
            id.map(|id| uuid(&id).map(ContactId::new)).transpose()
        };
        people.iter().map(find).collect()
    }

    fn duplicates(&self, by: DuplicatesBy, from: Option<&str>, limit: u32) -> Result<DuplicatePage, StoreError> {
        let column = match by {
            DuplicatesBy::Phone => "phone",
            DuplicatesBy::Email => "lower(email)",
        };
        let statement = diesel::sql_query(format!(
            "WITH scanned AS MATERIALIZED (SELECT {column} AS value FROM contacts WHERE deleted_at IS NULL AND {column} >= \
             ?1 ORDER BY {column}, id LIMIT {DUPLICATE_ROWS}) SELECT value, count(*) AS count, (SELECT count(*) FROM scanned) \
             AS scanned FROM scanned GROUP BY value HAVING count(*) > 1 OR value = (SELECT max(value) FROM scanned) \
             ORDER BY value"
        ));
        let counts: Vec<ValueCountRow> =
            statement.bind::<Text, _>(from.unwrap_or_default()).load(&mut *self.reads.get()?)?;
        Ok(duplicate_page(counts.into_iter().map(|row| (row.value, row.count, row.scanned)).collect(), limit))
    }

    fn estimated_total(&self, filter: &Filter) -> Result<u64, StoreError> {
        if filter.matches_nothing() {
            return Ok(0);
        }
        // One process with one file: the exact number is found fast enough.
        let plan = PagePlan::every(filter);
        let total: i64 = CountContacts(ListContacts::new(&plan)).get_result(&mut *self.reads.get()?)?;
        Ok(u64::try_from(total).unwrap_or_default())
    }

    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError> {
        if filter.matches_nothing() {
            return Ok(());
        }
        // All reads of a transaction see what the first read sees.
        self.reads.get()?.transaction(|connection| {
            read_pages(filter, |after| read_page(connection, filter, after, EXPORT_PAGE_SIZE), page)
        })
    }

    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError> {
        let mut rows: Vec<OperationRow> = Vec::new();
        for ids in ids.chunks(history::MAX_IDS) {
            let named = operations::id.eq_any(ids.iter().map(|id| blob(id.uuid())));
            let found = operations::table.filter(named).select(OperationRow::as_select());
            rows.extend(found.load::<OperationRow>(&mut self.reads.get()?)?);
        }
        rows.into_iter().map(OperationRow::read).collect()
    }

    fn changes(
        &self,
        after: Option<ChangePosition>,
        limit: u32,
        with_contacts: bool,
    ) -> Result<Option<ChangePage>, StoreError> {
        // All reads of a transaction see what the first read sees.
        self.reads.get()?.transaction(|connection| feed::changes(connection, after, limit, with_contacts))
    }

    fn last_change(&self) -> Result<ChangePosition, StoreError> {
        self.reads.get()?.transaction(|connection| feed::last_change(connection))
    }

    // The one process of a data folder always has its events itself.
    fn oldest_without_event(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    fn event_log(&self) -> Result<Option<Box<dyn EventLog + '_>>, StoreError> {
        Ok(Some(Box::new(event_log::Claimed::new(self)?)))
    }

    fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.reads.get()?;
        let exists = MigrationTables::count(&mut connection)? > 0;
        migrations::check(&mut *connection, exists, &MIGRATIONS)
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.check()?;
        let batch = probe_batch()?;
        ProbeRollback::into_result(self.writes.get()?.immediate_transaction(|connection| {
            apply_in(connection, &batch, false).map_err(ProbeRollback::Failed)?;
            Err(ProbeRollback::Applied)
        }))
    }

    fn set_pruned_before(&self, timestamp: Timestamp) -> Result<(), StoreError> {
        // The horizon never moves back, because rows that were pruned under a later horizon do not return.
        let statement = diesel::sql_query(
            "INSERT INTO retention (one, pruned_before) VALUES (1, ?1) \
             ON CONFLICT (one) DO UPDATE SET pruned_before = max(retention.pruned_before, excluded.pruned_before)",
        );
        statement.bind::<BigInt, _>(micros(timestamp)).execute(&mut self.writes.get()?)?;
        Ok(())
    }

    fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError> {
        horizon(&mut *self.reads.get()?)
    }

    fn prune(&self, limit: u32) -> Result<Pruned, StoreError> {
        self.writes.get()?.immediate_transaction(|connection| {
            let Some(horizon) = horizon(connection)?.map(micros) else { return Ok(Pruned::default()) };
            let operations = diesel::sql_query(
                "DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE completed_at < ?1 \
                 AND accepted_at < ?1 AND status <> 'failed' LIMIT ?2)",
            );
            let operations =
                operations.bind::<BigInt, _>(horizon).bind::<BigInt, _>(i64::from(limit)).execute(connection)?;
            let mut digests = 0;
            if operations == 0 {
                // A failed operation stays, without the digest of its request.
                let statement = diesel::sql_query(
                    "UPDATE operations SET fingerprint = NULL WHERE id IN (SELECT id FROM operations WHERE completed_at < ?1 \
                     AND accepted_at < ?1 AND status = 'failed' AND fingerprint IS NOT NULL LIMIT ?2)",
                );
                digests = statement
.bind::<BigInt, _>(horizon).bind::<BigInt, _>(i64::from(limit)).execute(connection)?;
            }
            let tombstones = diesel::sql_query(
                "DELETE FROM contacts WHERE id IN (SELECT id FROM contacts WHERE deleted_at < ?1 AND created_at < ?1 \
                 LIMIT ?2)",
            );
            let tombstones =
                tombstones.bind::<BigInt, _>(horizon).bind::<BigInt, _>(i64::from(limit)).execute(connection)?;
            Ok(Pruned { operations, tombstones, digests })
        })
    }

    fn record_erasure(&self, erasure: &Erasure) -> Result<(), StoreError> {
        let secret = columns::new_erasure_secret()?;
        self.writes.get()?.immediate_transaction(|connection| {
            diesel::insert_or_ignore_into(erasure_key::table)
                .values((erasure_key::one.eq(1), erasure_key::secret.eq(secret)))
                .execute(connection)?;
            let secret: Vec<u8> = erasure_key::table.select(erasure_key::secret).first(connection)?;
            let values = (
                erasures::id.eq(blob(erasure.id.uuid())),
                erasures::erased_at.eq(micros(erasure.erased_at)),
                erasures::digests.eq(columns::erasure_digests(&secret, &erasure.values)),
            );
            diesel::replace_into(erasures::table).values(values).execute(connection)?;
            Ok(())
        })
    }

    fn running_batches(&self) -> Result<Vec<String>, StoreError> {
        // SQLite has one writer: no batch runs while an erasure is recorded.
        Ok(Vec::new())
    }

    fn operations_of(&self, contacts: &[ContactId]) -> Result<Vec<Operation>, StoreError> {
        let mut rows: Vec<OperationRow> = Vec::new();
        for ids in contacts.chunks(history::MAX_IDS) {
            let named = operations::contact_id.eq_any(ids.iter().map(|id| blob(id.uuid())));
            let found = operations::table.filter(named).select(OperationRow::as_select());
            rows.extend(found.load::<OperationRow>(&mut self.reads.get()?)?);
        }
        rows.into_iter().map(OperationRow::read).collect()
    }

    fn history(&self, page: &HistoryPage) -> Result<Vec<Operation>, StoreError> {
        history::page(&mut *self.reads.get()?, page)
    }

    fn operations_of_trace(
        &self,
        trace_id: NonZeroU128,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        history::of_trace(&mut *self.reads.get()?, trace_id, since, limit)
    }

    fn old_values(&self, visit: &mut dyn FnMut(Operation) -> bool) -> Result<(), StoreError> {
        history::old_values(&mut *self.reads.get()?, visit)
    }

    fn erase_history(&self, contacts: &[ContactId], operations: &[OperationId]) -> Result<usize, StoreError> {
        Ok(history::erase(&mut *self.writes.get()?, contacts, operations)?)
    }

    fn purge_files(&self) -> Result<(), StoreError> {
        let mut connection = self.writes.get()?;
        // The text indexes keep the words of a deleted row until their parts are merged. Then free pages are removed from
        // the file, and old pages from the log.
        connection.batch_execute(
            "INSERT INTO contacts_words (contacts_words) VALUES ('optimize');
             INSERT INTO contacts_emails (contacts_emails) VALUES ('optimize');
             VACUUM;",
        )?;
        let checkpoint: Checkpoint =
            diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(&mut connection)?;
        match checkpoint.busy {
            0 => Ok(()),
            _ => Err(StoreError::Unavailable("another process reads the database".into())),
        }
    }

    fn migrate(&self, direction: Direction) -> Result<Vec<String>, StoreError> {
        let mut connection = self.writes.get()?;
        let run = migrations::migrate(&mut *connection, MIGRATIONS, direction)?;
        if direction == Direction::Up {
            add_name_keys(&mut connection)?;
        }
        Ok(run)
    }
}
