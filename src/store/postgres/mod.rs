//! The store in PostgreSQL. Each step of a batch is one statement, and rows are locked in the order of their ids.

mod connect;
mod event_log;
mod feed;
mod history;
mod listing;
mod rows;
mod schema;
mod sockets;
mod statements;
mod watchdog;

use super::columns::{self, ProbeRollback, contact_ids, operation_ids, probe_batch};
use super::listing::{self as lists, DUPLICATE_ROWS, EXPORT_PAGE_SIZE, PagePlan, duplicate_page, read_pages};
use super::pool::{Connections, Purpose};
use super::{
    ChangePage, ChangePosition, Direction, DuplicatePage, DuplicatesBy, EventLog, Filter, HistoryPage, ListPosition,
    Operation, Pruned, Store, StoreError, migrations,
};
use crate::config::{DatabaseSettings, Url};
use crate::domain::{
    Attempt, Batch, Contact, ContactId, Erasure, Erasures, FailedOperation, Name, NameKey, OperationId, Outcome, Phone,
    Timestamp,
};
use connect::{LOCK_TIMEOUT, Manager, statements};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::NopConnectionCustomizer;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use listing::{Estimate, Explain, ListContacts};
use rows::{ContactRow, FinishedOperationRow, OperationRow};
use schema::{contacts, erasure_key, erasures, operations, retention};
use statements::{InsertContacts, RecordOperations, UpdateContacts};
use std::collections::HashSet;
use std::num::NonZeroU128;
use std::time::Instant;
use uuid::Uuid;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// How many rows get a name key in one transaction.
const NAME_KEYS_PER_STEP: i64 = 1000;
/// The advisory lock of migrations. With it, two migrations at the same time wait for each other.
const MIGRATION_LOCK: i64 = 0x00C0_47AC_7500;

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Postgres {
    writes: Connections<Manager>,
    reads: Connections<Manager>,
    checks: Connections<Manager>,
    /// Whether reads have a database of their own.
    reads_replica: bool,
    keep_old_values: bool,
}

/// The properties of a database that are checked.
#[derive(QueryableByName)]
struct DatabaseProperties {
    #[diesel(sql_type = Bool)]
    migrated: bool,
    #[diesel(sql_type = Bool)]
    utf8: bool,
}

/// Commits that wait for a standby.
#[derive(QueryableByName)]
struct WaitingCommits {
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}

/// A contact that exists, or none.
#[derive(QueryableByName)]
struct ExistingRow {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
}

/// A running transaction.
#[derive(QueryableByName)]
struct TransactionRow {
    #[diesel(sql_type = Text)]
    name: String,
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

impl Postgres {
    /// Creates the pools. They connect at their first use.
    pub fn new(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let writes = pool(Purpose::Writes, &settings.url, settings)?;
        let checks =
            pool(Purpose::Checks, &settings.url, &DatabaseSettings { max_connections: 1, ..settings.clone() })?;
        let (reads, reads_replica) = match &settings.read_url {
            Some(url) if *url != settings.url => (pool(Purpose::Reads, url, settings)?, true),
            _ => (writes.clone(), false),
        };
        Ok(Self { writes, reads, checks, reads_replica, keep_old_values: false })
    }

    /// Whether operations keep the values that they replace (`history.values`).
    #[must_use]
    pub const fn keep_old_values(mut self, keep: bool) -> Self {
        self.keep_old_values = keep;
        self
    }

    /// The plans of PostgreSQL for the statements of [`Store::contacts`], in their order.
    pub fn explain(
        &self,
        filter: &Filter,
        after: Option<&ListPosition>,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let mut connection = self.reads.get()?;
        let mut plans = Vec::new();
        lists::read_page(filter, after, limit, |plan| {
            let lines: Vec<String> = Explain(ListContacts::new(plan)).load(&mut *connection)?;
            plans.push(lines.join("\n"));
            read_plan(&mut connection, plan)
        })?;
        Ok(plans)
    }

    /// The plan of PostgreSQL for a page of [`Store::changes`].
    pub fn explain_changes(&self, after: Option<ChangePosition>, limit: u32) -> Result<String, StoreError> {
        feed::explain(&mut *self.writes.get()?, after, limit)
    }
}

fn pool(purpose: Purpose, url: &Url, settings: &DatabaseSettings) -> Result<Connections<Manager>, StoreError> {
    let must_write = !matches!(purpose, Purpose::Reads);
    let manager = Manager::new(url, settings, must_write)?;
    Ok(Connections::new(purpose, manager, settings.max_connections, settings.connect_timeout, NopConnectionCustomizer))
}

/// Another worker wrote the same row first. The next try sees that row.
fn lost_race(row: &str) -> StoreError {
    StoreError::Unavailable(format!("another worker has just written the same {row}"))
}

/// Fails if a commit has waited long for a synchronous standby. A batch that is rolled back, as in a probe, does not wait. A
/// waiting commit does not notice that its client has left, so each further batch would leave one more session.
fn require_no_waiting_commits(connection: &mut PgConnection) -> Result<(), StoreError> {
    let waiting: WaitingCommits = diesel::sql_query(
        "SELECT count(*) AS waiting FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'SyncRep' \
         AND query_start < clock_timestamp() - interval '1 second'",
    )
    .get_result(connection)?;
    match waiting.waiting {
        0 => Ok(()),
        count => Err(StoreError::Unavailable(format!("{count} commits wait for the synchronous standby"))),
    }
}

fn horizon(connection: &mut PgConnection) -> QueryResult<Option<Timestamp>> {
    retention::table.select(retention::pruned_before).first(connection).optional()
}

/// The erasures since this time. `None` if there are none.
fn erasures_since(connection: &mut PgConnection, since: Timestamp) -> QueryResult<Option<Erasures>> {
    let rows: Vec<(Timestamp, Vec<u8>)> = erasures::table
        .filter(erasures::erased_at.ge(since))
        .select((erasures::erased_at, erasures::digests))
        .load(connection)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let secret: Vec<u8> = erasure_key::table.select(erasure_key::secret).first(connection)?;
    Ok(Some(columns::erasures(&secret, rows)))
}

/// Adds the missing name keys in small steps, so that consumers can run at the same time. Consumers also lock rows in
/// the order of their ids.
fn add_name_keys(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut after = Some(Uuid::nil());
    while let Some(id) = after {
        after = connection.transaction(|connection| add_name_keys_after(connection, id))?;
    }
    Ok(())
}

/// One step. Returns the last id, if the step had rows.
fn add_name_keys_after(connection: &mut PgConnection, after: Uuid) -> QueryResult<Option<Uuid>> {
    let rows: Vec<(Uuid, Option<String>)> = contacts::table
        .filter(contacts::deleted_at.is_null())
        .filter(contacts::name_key.is_null())
        .filter(contacts::id.gt(after))
        // The order of the index, in which all rows without a key are adjacent.
        .order((contacts::name_key, contacts::id))
        .limit(NAME_KEYS_PER_STEP)
        .for_update()
        .select((contacts::id, contacts::name))
        .load(connection)?;
    let last = rows.last().map(|(id, _)| *id);
    let key = |name: Option<String>| Name::from_accepted(&name?).ok().map(|name| NameKey::of(&name));
    let (ids, keys): (Vec<Uuid>, Vec<Option<NameKey>>) = rows.into_iter().map(|(id, name)| (id, key(name))).unzip();
    let keys: Vec<Option<&str>> = keys.iter().map(|key| key.as_ref().map(NameKey::as_str)).collect();
    diesel::sql_query(
        "UPDATE contacts SET name_key = new.name_key FROM unnest($1, $2) AS new (id, name_key) \
         WHERE contacts.id = new.id",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Nullable<Text>>, _>(keys)
    .execute(connection)?;
    Ok(last)
}

fn apply_in(
    connection: &mut PgConnection,
    batch: &[Attempt],
    keep_old_values: bool,
) -> Result<Vec<Outcome>, StoreError> {
    let contact_ids: Vec<_> = contact_ids(batch).into_iter().map(ContactId::uuid).collect();
    let operation_ids: Vec<_> = operation_ids(batch).into_iter().map(OperationId::uuid).collect();

    // The locks are in the WAL. So the commit waits for a synchronous standby, also if the batch only repeats changes: a
    // primary that restarts shows changes that its standby does not have.
    let contacts: Vec<ContactRow> = contacts::table
        .filter(contacts::id.eq_any(contact_ids))
        .order(contacts::id)
        .for_update()
        .select(ContactRow::as_select())
        .load(connection)?;
    // After the locks, so that the changes of other workers to these contacts are visible.
    let finished: Vec<FinishedOperationRow> = operations::table
        .filter(operations::id.eq_any(operation_ids))
        .select(FinishedOperationRow::as_select())
        .load(connection)?;
    let contacts = contacts.into_iter().map(ContactRow::read).collect::<Result<Vec<_>, _>>()?;
    let finished = finished.into_iter().map(FinishedOperationRow::read).collect::<Result<Vec<_>, _>>()?;

    let mut known = Batch::new(contacts, finished).keep_old_values(keep_old_values);
    if known.needs_horizon(batch, chrono::Utc::now()) {
        // After the reads: if a row was pruned before the reads, its horizon is visible now.
        known = known.pruned_before(horizon(connection)?);
    }
    if let Some(since) = known.needs_erasures(batch) {
        // After the locks: an erasure that is not visible here waits until this transaction ends.
        known = known.with_erasures(erasures_since(connection, since)?);
    }
    let folded = known.fold(batch);

    if !folded.created.is_empty() && InsertContacts::new(&folded.created).execute(connection)? != folded.created.len() {
        return Err(lost_race("contact"));
    }
    if !folded.changed.is_empty() && UpdateContacts::new(&folded.changed).execute(connection)? != folded.changed.len() {
        return Err(lost_race("contact"));
    }
    if !folded.records.is_empty() {
        let statement = RecordOperations::new(batch, &folded.records);
        if statement.execute(connection)? != folded.records.len() {
            return Err(lost_race("operation"));
        }
    }
    Ok(folded.outcomes)
}

fn read_page(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<&ListPosition>,
    limit: u32,
) -> Result<Vec<Contact>, StoreError> {
    lists::read_page(filter, after, limit, |plan| read_plan(connection, plan))
}

fn read_plan(connection: &mut PgConnection, plan: &PagePlan<'_>) -> Result<Vec<Contact>, StoreError> {
    let rows: Vec<ContactRow> = ListContacts::new(plan).load(connection)?;
    rows.into_iter().map(ContactRow::read).collect()
}

/// The number of rows in the first line of a plan: `Bitmap Heap Scan on contacts  (cost=0.42..8.44 rows=1 width=0)`.
fn expected_rows(plan: &[String]) -> Option<u64> {
    plan.first()?.split_once(" rows=")?.1.split_once(' ')?.0.parse().ok()
}

impl Store for Postgres {
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError> {
        let mut connection = self.writes.get()?;
        let started = Instant::now();
        connection
            .transaction(|connection| apply_in(connection, batch, self.keep_old_values))
            .map_err(|error: StoreError| if started.elapsed() < LOCK_TIMEOUT { error } else { error.or_locked() })
    }

    fn locked(&self, contacts: &[ContactId]) -> Result<HashSet<ContactId>, StoreError> {
        let statement = diesel::sql_query(
            "SELECT id FROM contacts WHERE id = ANY($1) \
             AND id NOT IN (SELECT id FROM contacts WHERE id = ANY($1) FOR UPDATE SKIP LOCKED)",
        );
        let ids: Vec<Uuid> = contacts.iter().map(|id| id.uuid()).collect();
        let mut connection = self.writes.get()?;
        // Their sessions hold locks, too, but they are no reason to go on.
        require_no_waiting_commits(&mut connection)?;
        let mut rows: Vec<ExistingRow> = Vec::new();
        let rolled_back: QueryResult<()> = connection.transaction(|connection| {
            rows = statement.bind::<Array<SqlUuid>, _>(ids).load(connection)?;
            // The locks are in the log, and a commit would wait for the disk and the standby.
            Err(diesel::result::Error::RollbackTransaction)
        });
        match rolled_back {
            Ok(()) | Err(diesel::result::Error::RollbackTransaction) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(rows.into_iter().filter_map(|row| row.id.map(ContactId::new)).collect())
    }

    fn record_failure(&self, failed: &FailedOperation) -> Result<(), StoreError> {
        RecordOperations::failed(failed).execute(&mut *self.writes.get()?)?;
        Ok(())
    }

    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        let row: Option<ContactRow> =
            contacts::table.find(id.uuid()).select(ContactRow::as_select()).first(&mut self.reads.get()?).optional()?;
        row.map(ContactRow::read).transpose()
    }

    fn contacts(&self, filter: &Filter, after: Option<&ListPosition>, limit: u32) -> Result<Vec<Contact>, StoreError> {
        if filter.matches_nothing() {
            return Ok(Vec::new());
        }
        read_page(&mut *self.reads.get()?, filter, after, limit)
    }

    fn existing(&self, people: &[(Phone, NameKey)]) -> Result<Vec<Option<ContactId>>, StoreError> {
        let phones: Vec<String> = people.iter().map(|(phone, _)| phone.to_string()).collect();
        let names: Vec<&str> = people.iter().map(|(_, name)| name.as_str()).collect();
        let statement = diesel::sql_query(
            "SELECT (SELECT id FROM contacts WHERE deleted_at IS NULL AND phone COLLATE \"C\" = wanted.phone \
             AND name_key = wanted.name_key LIMIT 1) AS id \
             FROM unnest($1, $2) WITH ORDINALITY AS wanted (phone, name_key, number) ORDER BY number",
        );
        let rows: Vec<ExistingRow> =
            statement.bind::<Array<Text>, _>(phones).bind::<Array<Text>, _>(names).load(&mut *self.reads.get()?)?;
        Ok(rows.into_iter().map(|row| row.id.map(ContactId::new)).collect())
    }

    fn duplicates(&self, by: DuplicatesBy, from: Option<&str>, limit: u32) -> Result<DuplicatePage, StoreError> {
        let column = match by {
            DuplicatesBy::Phone => "phone COLLATE \"C\"",
            DuplicatesBy::Email => "lower(email) COLLATE \"C\"",
        };
        let statement = diesel::sql_query(format!(
            "WITH scanned AS MATERIALIZED (SELECT {column} AS value FROM contacts WHERE deleted_at IS NULL AND {column} >= \
             $1 ORDER BY {column}, id LIMIT {DUPLICATE_ROWS}) SELECT value, count(*) AS count, (SELECT count(*) FROM scanned) \
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
        let plan = PagePlan::every(filter);
        let lines: Vec<String> = Estimate(ListContacts::new(&plan)).load(&mut *self.reads.get()?)?;
        expected_rows(&lines).ok_or_else(|| StoreError::Unavailable("the plan of a query cannot be read".into()))
    }

    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError> {
        if filter.matches_nothing() {
            return Ok(());
        }
        let mut connection = self.reads.get()?;
        if self.reads_replica {
            // A reader of the change feed goes on from a cursor that it got before. There can be several replicas, so each
            // connection waits for itself.
            let written = feed::written(&mut *self.writes.get()?)?;
            feed::wait_for_replica(&written, &mut connection)?;
        }
        let mut snapshot = connection.build_transaction().repeatable_read().read_only();
        snapshot
            .run(|connection| read_pages(filter, |after| read_page(connection, filter, after, EXPORT_PAGE_SIZE), page))
    }

    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError> {
        let rows: Vec<OperationRow> = operations::table
            .filter(operations::id.eq_any(ids.iter().map(|id| id.uuid())))
            .select(OperationRow::as_select())
            .load(&mut self.reads.get()?)?;
        rows.into_iter().map(OperationRow::read).collect()
    }

    // A replica does not have the locks of the primary, which say what is not committed yet.
    fn changes(
        &self,
        after: Option<ChangePosition>,
        limit: u32,
        with_contacts: bool,
    ) -> Result<Option<ChangePage>, StoreError> {
        feed::changes(&mut *self.writes.get()?, after, limit, with_contacts)
    }

    fn last_change(&self) -> Result<ChangePosition, StoreError> {
        feed::last_change(&mut *self.writes.get()?)
    }

    fn oldest_without_event(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut connection = self.writes.get()?;
        let Some(recorded) = event_log::recorded(&mut connection)? else { return Ok(None) };
        let page = feed::changes(&mut connection, Some(recorded), 1, false)?;
        Ok(page.and_then(|page| page.changes.first().map(|change| change.completed_at)))
    }

    fn event_log(&self) -> Result<Option<Box<dyn EventLog + '_>>, StoreError> {
        Ok(event_log::Claimed::new(self)?.map(|claimed| Box::new(claimed) as Box<dyn EventLog>))
    }

    fn check(&self) -> Result<(), StoreError> {
        let mut connection = self.checks.get()?;
        let properties: DatabaseProperties = diesel::sql_query(format!(
            "SELECT to_regclass('{}') IS NOT NULL AS migrated, getdatabaseencoding() = 'UTF8' AS utf8",
            migrations::TABLE
        ))
        .get_result(&mut connection)?;
        if !properties.utf8 {
            return Err(StoreError::Misconfigured(
                "the database's encoding must be UTF8: names need all of Unicode".into(),
            ));
        }
        migrations::check(&mut *connection, properties.migrated, &MIGRATIONS)
    }

    fn probe(&self) -> Result<(), StoreError> {
        self.check()?;
        require_no_waiting_commits(&mut *self.writes.get()?)?;
        let batch = probe_batch()?;
        ProbeRollback::into_result(self.writes.get()?.transaction(|connection| {
            apply_in(connection, &batch, false).map_err(ProbeRollback::Failed)?;
            Err(ProbeRollback::Applied)
        }))
    }

    fn set_pruned_before(&self, timestamp: Timestamp) -> Result<(), StoreError> {
        // The horizon never moves back, because rows that were pruned under a later horizon do not return.
        let statement = diesel::sql_query(
            "INSERT INTO retention (one, pruned_before) VALUES (true, $1) \
             ON CONFLICT (one) DO UPDATE SET pruned_before = greatest(retention.pruned_before, excluded.pruned_before)",
        );
        statement.bind::<Timestamptz, _>(timestamp).execute(&mut self.writes.get()?)?;
        Ok(())
    }

    fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(horizon(&mut *self.reads.get()?)?)
    }

    fn prune(&self, limit: u32) -> Result<Pruned, StoreError> {
        let mut connection = self.writes.get()?;
        let Some(horizon) = horizon(&mut connection)? else { return Ok(Pruned::default()) };
        // Rows that a worker has locked are left for the next step, so neither waits for the other. Both times must be
        // old, because the clocks of producers differ.
        let operations = diesel::sql_query(
            "DELETE FROM operations WHERE id IN (SELECT id FROM operations WHERE completed_at < $1 AND accepted_at < $1 \
             AND status <> 'failed' LIMIT $2 FOR UPDATE SKIP LOCKED)",
        );
        let operations =
            operations.bind::<Timestamptz, _>(horizon).bind::<BigInt, _>(i64::from(limit)).execute(&mut connection)?;
        let mut digests = 0;
        if operations == 0 {
            // A failed operation stays, without the digest of its request.
            let statement = diesel::sql_query(
                "UPDATE operations SET fingerprint = NULL WHERE id IN (SELECT id FROM operations WHERE completed_at < $1 \
                 AND accepted_at < $1 AND status = 'failed' AND fingerprint IS NOT NULL LIMIT $2 FOR UPDATE SKIP LOCKED)",
            );
            digests = statement
                .bind::<Timestamptz, _>(horizon)
                .bind::<BigInt, _>(i64::from(limit))
                .execute(&mut connection)?;
        }
        let tombstones = diesel::sql_query(
            "DELETE FROM contacts WHERE id IN (SELECT id FROM contacts WHERE deleted_at < $1 AND created_at < $1 \
             LIMIT $2 FOR UPDATE SKIP LOCKED)",
        );
        let tombstones =
            tombstones.bind::<Timestamptz, _>(horizon).bind::<BigInt, _>(i64::from(limit)).execute(&mut connection)?;
        Ok(Pruned { operations, tombstones, digests })
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        let now = diesel::select(diesel::dsl::sql::<Timestamptz>("clock_timestamp()"));
        Ok(now.get_result(&mut *self.writes.get()?)?)
    }

    fn record_erasure(&self, erasure: &Erasure) -> Result<(), StoreError> {
        let secret = columns::new_erasure_secret()?;
        self.writes.get()?.transaction(|connection| {
            diesel::insert_into(erasure_key::table)
                .values((erasure_key::one.eq(true), erasure_key::secret.eq(secret)))
                .on_conflict_do_nothing()
                .execute(connection)?;
            let secret: Vec<u8> = erasure_key::table.select(erasure_key::secret).first(connection)?;
            let digests = columns::erasure_digests(&secret, &erasure.values);
            let values = (erasures::erased_at.eq(erasure.erased_at), erasures::digests.eq(digests));
            diesel::insert_into(erasures::table)
                .values((erasures::id.eq(erasure.id.uuid()), values.clone()))
                .on_conflict(erasures::id)
                .do_update()
                .set(values)
                .execute(connection)?;
            Ok(())
        })
    }

    fn running_batches(&self) -> Result<Vec<String>, StoreError> {
        // Not by transaction ids: a batch gets one with its first write, after it has read the erasures. Each batch locks
        // `contacts` in its first statement. Exports and backups have a weaker lock, autovacuum another one.
        let statement = diesel::sql_query(
            "SELECT DISTINCT virtualtransaction AS name FROM pg_locks WHERE locktype = 'relation' AND granted              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())              AND relation = 'contacts'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock')",
        );
        let rows: Vec<TransactionRow> = statement.load(&mut *self.writes.get()?)?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }

    fn operations_of(&self, contacts: &[ContactId]) -> Result<Vec<Operation>, StoreError> {
        let rows: Vec<OperationRow> = operations::table
            .filter(operations::contact_id.eq_any(contacts.iter().map(|id| id.uuid())))
            .select(OperationRow::as_select())
            .load(&mut self.reads.get()?)?;
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
        // The autovacuum of PostgreSQL removes old versions of rows.
        Ok(())
    }

    fn migrate(&self, direction: Direction) -> Result<Vec<String>, StoreError> {
        let mut connection = self.writes.get()?;
        // A migration can take long, and so can the wait for another migration.
        let limit = statements(&mut connection).and_then(|statements| statements.set_limit(None));
        connection.batch_execute(&format!(
            "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({MIGRATION_LOCK})"
        ))?;
        let mut result = migrations::migrate(&mut *connection, MIGRATIONS, direction);
        if result.is_ok() && direction == Direction::Up {
            result = add_name_keys(&mut connection).and(result);
        }
        connection.batch_execute(&format!(
            "SELECT pg_advisory_unlock({MIGRATION_LOCK}); RESET statement_timeout; RESET lock_timeout"
        ))?;
        if let Some(statements) = statements(&mut connection) {
            statements.set_limit(limit);
        }
        result
    }
}
