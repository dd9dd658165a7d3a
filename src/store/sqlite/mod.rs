//! SQLite, for `contacts standalone`: one writer, many readers (WAL), every commit on disk before it returns.

mod listing;
mod rows;
mod schema;

use super::columns::{Probed, contact_ids, operation_ids, probe, status_text};
use super::pool::{Connections, Use};
use super::{After, Direction, EXPORTED, Filter, Operation, Pruned, Store, StoreError, all_pages, migrations};
use crate::domain::{Attempt, Batch, Contact, ContactId, Name, NameKey, OperationId, Outcome, Timestamp};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::CustomizeConnection;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use listing::ListContacts;
use rows::{
    ContactRow, ContactStateRow, EndedOperationRow, NewContact, NewOperation, OperationRow, blob, micros, moment,
};
use schema::{contacts, operations, retention};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// The most connections that read at once.
const READERS: u32 = 4;
/// How many names get their keys in one transaction.
const KEYS_AT_ONCE: i64 = 1000;
/// Rows of one insert: each statement has its price, and so has its text, which grows with them.
const ROWS_AT_ONCE: usize = 128;
/// How long to wait for a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A SQLite database.
#[derive(Clone)]
pub struct Sqlite {
    writes: Connections<SqliteConnection>,
    reads: Connections<SqliteConnection>,
}

/// What tells whether a file is ours.
#[derive(QueryableByName)]
struct Facts {
    #[diesel(sql_type = BigInt)]
    tables: i64,
}

#[derive(Debug)]
struct Session;

impl CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for Session {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        // FULL: a commit returns after its fsync, because the message is forgotten right after it.
        connection
            .batch_execute("PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(diesel::r2d2::Error::QueryError)
    }
}

impl Sqlite {
    /// Prepares the pools; the first use opens the file, or makes it.
    pub fn new(path: &Path) -> Result<Self, StoreError> {
        let path =
            path.to_str().ok_or_else(|| StoreError::Misconfigured("the path of the database is not UTF-8".into()))?;
        let pool = |purpose, size| Connections::new(purpose, path.to_owned(), size, TIMEOUT, Session);
        Ok(Self { writes: pool(Use::Writes, 1), reads: pool(Use::Reads, READERS) })
    }
}

fn horizon(connection: &mut SqliteConnection) -> Result<Option<Timestamp>, StoreError> {
    let micros: Option<i64> = retention::table.select(retention::pruned_before).first(connection).optional()?;
    micros.map(moment).transpose()
}

/// Gives names that have no key theirs, in small steps.
fn add_name_keys(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut after = Some(blob(Uuid::nil()));
    while let Some(id) = after {
        after = connection.immediate_transaction(|connection| add_some_name_keys(connection, id))?;
    }
    Ok(())
}

/// The last row of a step, if there was one.
fn add_some_name_keys(connection: &mut SqliteConnection, after: Vec<u8>) -> QueryResult<Option<Vec<u8>>> {
    let rows: Vec<(Vec<u8>, Option<String>)> = contacts::table
        .filter(contacts::deleted_at.is_null())
        .filter(contacts::name_key.is_null())
        .filter(contacts::id.gt(after))
        .order((contacts::name_key, contacts::id))
        .limit(KEYS_AT_ONCE)
        .select((contacts::id, contacts::name))
        .load(connection)?;
    for (id, name) in &rows {
        if let Ok(name) = Name::parse(name.as_deref().unwrap_or_default()) {
            let row = diesel::update(contacts::table.find(id));
            row.set(contacts::name_key.eq(NameKey::of(&name).as_str())).execute(connection)?;
        }
    }
    Ok(rows.into_iter().last().map(|(id, _)| id))
}

fn apply_in(connection: &mut SqliteConnection, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError> {
    let contact_ids: Vec<_> = contact_ids(batch).into_iter().map(|id| blob(id.uuid())).collect();
    let operation_ids: Vec<_> = operation_ids(batch).into_iter().map(|id| blob(id.uuid())).collect();
    let states: Vec<ContactStateRow> = contacts::table
        .filter(contacts::id.eq_any(contact_ids))
        .select(ContactStateRow::as_select())
        .load(connection)?;
    let finished: Vec<EndedOperationRow> = operations::table
        .filter(operations::id.eq_any(operation_ids))
        .select(EndedOperationRow::as_select())
        .load(connection)?;
    let states = states.into_iter().map(ContactStateRow::read).collect::<Result<Vec<_>, _>>()?;
    let finished = finished.into_iter().map(EndedOperationRow::read).collect::<Result<Vec<_>, _>>()?;

    let mut known = Batch::new(states, finished);
    if known.needs_horizon(batch, chrono::Utc::now()) {
        known = known.pruned_before(horizon(connection)?);
    }
    let folded = known.fold(batch);

    for contacts in folded.created.chunks(ROWS_AT_ONCE) {
        let rows: Vec<_> = contacts.iter().map(NewContact::new).collect();
        diesel::insert_into(contacts::table).values(rows).execute(connection)?;
    }
    for contact in &folded.changed {
        let row = NewContact::new(contact);
        diesel::update(contacts::table.find(blob(contact.id.uuid()))).set(row).execute(connection)?;
    }
    let now = micros(chrono::Utc::now());
    for records in folded.records.chunks(ROWS_AT_ONCE) {
        let attempts = records.iter().filter_map(|record| Some((batch.get(record.attempt)?, record.status)));
        let rows: Vec<_> =
            attempts.map(|(attempt, status)| NewOperation::new(attempt, status_text(status), now)).collect();
        // Replaces only what failed before and was replayed: nobody else writes at the same time.
        diesel::replace_into(operations::table).values(rows).execute(connection)?;
    }
    Ok(folded.outcomes)
}

fn page_of(
    connection: &mut SqliteConnection,
    filter: &Filter,
    after: Option<&After>,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    let rows: Vec<ContactRow> = ListContacts::new(filter, after, limit).load(connection)?;
    rows.into_iter().map(ContactRow::read).collect()
}

impl Store for Sqlite {
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError> {
        self.writes.get()?.immediate_transaction(|connection| apply_in(connection, batch))
    }

    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        let row: Option<ContactRow> = contacts::table
            .find(blob(id.uuid()))
            .select(ContactRow::as_select())
            .first(&mut self.reads.get()?)
            .optional()?;
        row.map(ContactRow::read).transpose()
    }

    fn contacts(&self, filter: &Filter, after: Option<&After>, limit: u32) -> Result<Vec<Contact>, StoreError> {
        if filter.is_impossible() {
            return Ok(Vec::new());
        }
        page_of(&mut *self.reads.get()?, filter, after, limit)
    }

    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError> {
        if filter.is_impossible() {
            return Ok(());
        }
        // What the first read sees, all later ones of the transaction see.
        self.reads
            .get()?
            .transaction(|connection| all_pages(filter, |after| page_of(connection, filter, after, EXPORTED), page))
    }

    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError> {
        let rows: Vec<OperationRow> = operations::table
            .filter(operations::id.eq_any(ids.iter().map(|id| blob(id.uuid()))))
            .select(OperationRow::as_select())
            .load(&mut self.reads.get()?)?;
        rows.into_iter().map(OperationRow::read).collect()
    }

    fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.reads.get()?;
        let facts: Facts = diesel::sql_query(format!(
            "SELECT count(*) AS tables FROM sqlite_master WHERE type = 'table' AND name = '{}'",
            migrations::TABLE
        ))
        .get_result(&mut connection)?;
        migrations::check(&mut *connection, facts.tables > 0, &MIGRATIONS)
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.check()?;
        let batch = probe()?;
        Probed::result(self.writes.get()?.immediate_transaction(|connection| {
            apply_in(connection, &batch).map_err(Probed::Failed)?;
            Err(Probed::Undone)
        }))
    }

    fn set_pruned_before(&self, moment: Timestamp) -> Result<(), StoreError> {
        // It never goes back: what was pruned under a later horizon stays pruned.
        let remember = diesel::sql_query(
            "INSERT INTO retention (one, pruned_before) VALUES (1, ?1) \
             ON CONFLICT (one) DO UPDATE SET pruned_before = max(retention.pruned_before, excluded.pruned_before)",
        );
        remember.bind::<BigInt, _>(micros(moment)).execute(&mut self.writes.get()?)?;
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
            let tombstones = diesel::sql_query(
                "DELETE FROM contacts WHERE id IN (SELECT id FROM contacts WHERE deleted_at < ?1 AND created_at < ?1 \
                 LIMIT ?2)",
            );
            let tombstones =
                tombstones.bind::<BigInt, _>(horizon).bind::<BigInt, _>(i64::from(limit)).execute(connection)?;
            Ok(Pruned { operations, tombstones })
        })
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
