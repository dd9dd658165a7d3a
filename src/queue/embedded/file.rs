//! The queue file: one table. Each message has a number, in the order of arrival.
//!
//! The column `lane` holds the queue of a message. Existing files have this name, so it stays.

use super::super::{QueueError, QueueKind};
use crate::domain::{Reason, Timestamp};
use crate::message::Message;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, SmallInt, Text};
use diesel::sqlite::SqliteConnection;
use std::path::Path;
use std::time::Duration;

diesel::table! {
    message (seq) {
        seq -> BigInt,
        #[sql_name = "lane"]
        queue -> SmallInt,
        due_millis -> BigInt,
        #[sql_name = "returned"]
        redeliveries -> Integer,
        id -> Text,
        kind -> Text,
        timestamp -> BigInt,
        headers -> Text,
        body -> Binary,
    }
}

/// The schema of every version: nothing migrates this file, so its names must not change.
///
/// `AUTOINCREMENT` never uses a number again. So "every message up to N" stays correct after a delete.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        lane INTEGER NOT NULL,
        due_millis INTEGER NOT NULL,
        returned INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        headers TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS message_retry ON message (due_millis) WHERE lane = 1;
    CREATE INDEX IF NOT EXISTS message_dead_letter ON message (seq) WHERE lane = 2;";

/// After this many redeliveries the queue itself dead-letters a message, as RabbitMQ does. Normally the consumer
/// dead-letters it much earlier.
const DELIVERY_LIMIT: i32 = 100;

#[derive(Insertable)]
#[diesel(table_name = message)]
struct NewRow {
    queue: i16,
    due_millis: i64,
    redeliveries: i32,
    id: String,
    kind: String,
    timestamp: i64,
    headers: String,
    body: Vec<u8>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = message)]
struct Row {
    seq: i64,
    redeliveries: i32,
    id: String,
    kind: String,
    timestamp: i64,
    headers: String,
    body: Vec<u8>,
}

/// A message in the file, with its number and its redeliveries.
pub(super) struct StoredMessage {
    pub(super) seq: i64,
    pub(super) redeliveries: u32,
    pub(super) message: Message,
}

impl From<Row> for StoredMessage {
    fn from(row: Row) -> Self {
        let message = Message {
            id: row.id,
            kind: row.kind,
            timestamp: u64::try_from(row.timestamp).unwrap_or_default(),
            // A message with damaged headers must still be readable.
            headers: serde_json::from_str(&row.headers).unwrap_or_default(),
            body: row.body,
        };
        Self { seq: row.seq, redeliveries: u32::try_from(row.redeliveries).unwrap_or_default(), message }
    }
}

/// A line of the result of a check by SQLite.
#[derive(QueryableByName)]
struct CheckResult {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

/// The result of a checkpoint: not 0 if a reader still needs old pages.
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    busy: i32,
}

/// How often to try a checkpoint that readers prevent.
const CHECKPOINT_TRIES: u32 = 50;
/// The time between two tries.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(100);

/// A connection to the queue file.
pub(super) struct QueueFile {
    connection: SqliteConnection,
}

const fn queue_number(queue: QueueKind) -> i16 {
    match queue {
        QueueKind::Work => 0,
        QueueKind::Retry => 1,
        QueueKind::DeadLetter => 2,
    }
}

/// The condition that a message is in a queue. The number is part of the SQL text: with a parameter, SQLite does not
/// use an index for one queue.
fn is_in(queue: QueueKind) -> SqlLiteral<Bool> {
    sql(match queue {
        QueueKind::Work => "lane = 0",
        QueueKind::Retry => "lane = 1",
        QueueKind::DeadLetter => "lane = 2",
    })
}

fn failed(error: impl std::fmt::Display) -> QueueError {
    QueueError::Lost(format!("the queue file failed: {error}"))
}

impl QueueFile {
    pub(super) fn open(path: &Path) -> Result<Self, QueueError> {
        let cannot = |error: &dyn std::fmt::Display| {
            let reason = error.to_string();
            let text = format!("cannot open the queue file {}: {reason}", path.display());
            // Another program, such as a backup, uses it.
            if reason.contains("locked") { QueueError::Lost(text) } else { QueueError::Misconfigured(text) }
        };
        let path = path.to_str().ok_or_else(|| cannot(&"the path is not UTF-8"))?;
        let mut connection = SqliteConnection::establish(path).map_err(|error| cannot(&error))?;
        // With FULL, a commit returns after its fsync.
        let pragmas = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
        connection.batch_execute(pragmas).map_err(|error| cannot(&error))?;
        connection
            .immediate_transaction(|connection| connection.batch_execute(SCHEMA))
            .map_err(|error| cannot(&error))?;
        Ok(Self { connection })
    }

    /// Opens an existing file to copy or check it, and changes nothing.
    pub(super) fn open_to_copy(path: &Path) -> Result<Self, QueueError> {
        let path = path.to_str().ok_or_else(|| failed("the path is not UTF-8"))?;
        let mut connection = SqliteConnection::establish(path).map_err(failed)?;
        connection.batch_execute("PRAGMA busy_timeout = 10000;").map_err(failed)?;
        Ok(Self { connection })
    }

    /// Writes what one transaction sees to an empty file.
    pub(super) fn copy_to(&mut self, target: &str) -> Result<(), QueueError> {
        let statement = diesel::sql_query("VACUUM INTO ?1").bind::<Text, _>(target);
        statement.execute(&mut self.connection).map_err(failed)?;
        Ok(())
    }

    /// Fails if SQLite finds the file damaged.
    pub(super) fn check(&mut self) -> Result<(), QueueError> {
        let results: Vec<CheckResult> =
            diesel::sql_query("PRAGMA quick_check(1)").load(&mut self.connection).map_err(failed)?;
        match results.into_iter().map(|result| result.quick_check).find(|result| result != "ok") {
            Some(damage) => Err(failed(format!("it is damaged: {damage}"))),
            None => Ok(()),
        }
    }

    /// Removes free pages from the file and old pages from its log. Both keep what was deleted.
    pub(super) fn purge(&mut self) -> Result<(), QueueError> {
        self.connection.batch_execute("VACUUM").map_err(failed)?;
        for _ in 0..CHECKPOINT_TRIES {
            let result: Checkpoint = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)")
                .get_result(&mut self.connection)
                .map_err(failed)?;
            if result.busy == 0 {
                return Ok(());
            }
            std::thread::sleep(CHECKPOINT_PAUSE);
        }
        Err(failed("another process reads it for long"))
    }

    /// Runs changes in one transaction.
    pub(super) fn commit<T>(
        &mut self,
        changes: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, QueueError> {
        self.connection.immediate_transaction(changes).map_err(failed)
    }

    /// The messages of the work queue after `cursor`, in order.
    pub(super) fn messages_after(&mut self, cursor: i64, limit: usize) -> Result<Vec<StoredMessage>, QueueError> {
        let rows: QueryResult<Vec<Row>> = message::table
            .filter(is_in(QueueKind::Work).and(message::seq.gt(cursor)))
            .order(message::seq)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .select(Row::as_select())
            .load(&mut self.connection);
        Ok(rows.map_err(failed)?.into_iter().map(StoredMessage::from).collect())
    }

    /// The message of the work queue with this number.
    pub(super) fn message(&mut self, seq: i64) -> Result<Option<StoredMessage>, QueueError> {
        let row: QueryResult<Option<Row>> = message::table
            .filter(is_in(QueueKind::Work).and(message::seq.eq(seq)))
            .select(Row::as_select())
            .first(&mut self.connection)
            .optional();
        Ok(row.map_err(failed)?.map(StoredMessage::from))
    }

    /// How many dead letters there are, and the number of the last one.
    pub(super) fn count_dead_letters(&mut self) -> Result<(usize, i64), QueueError> {
        let (count, last): (i64, Option<i64>) = message::table
            .filter(is_in(QueueKind::DeadLetter))
            .select((diesel::dsl::count_star(), diesel::dsl::max(message::seq)))
            .first(&mut self.connection)
            .map_err(failed)?;
        Ok((usize::try_from(count).unwrap_or_default(), last.unwrap_or_default()))
    }

    /// The dead letters after `cursor` and up to `last`, in order.
    pub(super) fn dead_letters(
        &mut self,
        cursor: i64,
        last: i64,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, QueueError> {
        let rows: QueryResult<Vec<Row>> = message::table
            .filter(is_in(QueueKind::DeadLetter).and(message::seq.gt(cursor)).and(message::seq.le(last)))
            .order(message::seq)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .select(Row::as_select())
            .load(&mut self.connection);
        Ok(rows.map_err(failed)?.into_iter().map(StoredMessage::from).collect())
    }

    /// Removes the dead letters with these numbers.
    pub(super) fn remove_dead_letters(&mut self, tags: &[u64]) -> Result<(), QueueError> {
        self.commit(|connection| {
            for tag in tags {
                let seq = i64::try_from(*tag).unwrap_or_default();
                let condition = is_in(QueueKind::DeadLetter).and(message::seq.eq(seq));
                diesel::delete(message::table.filter(condition)).execute(connection)?;
            }
            Ok(())
        })
    }

    /// The number of messages in a queue, and the first message.
    pub(super) fn backlog(&mut self, queue: QueueKind) -> Result<(u64, Option<StoredMessage>), QueueError> {
        let count: i64 =
            message::table.filter(is_in(queue)).count().get_result(&mut self.connection).map_err(failed)?;
        let row: QueryResult<Option<Row>> = message::table
            .filter(is_in(queue))
            .order(message::seq)
            .select(Row::as_select())
            .first(&mut self.connection)
            .optional();
        Ok((u64::try_from(count).unwrap_or_default(), row.map_err(failed)?.map(StoredMessage::from)))
    }

    /// When the first message of the retry queue is due, in milliseconds since 1970.
    pub(super) fn next_due(&mut self) -> Result<Option<i64>, QueueError> {
        message::table
            .filter(is_in(QueueKind::Retry))
            .select(diesel::dsl::min(message::due_millis))
            .first(&mut self.connection)
            .map_err(failed)
    }

    /// Counts a redelivery for every message up to `last_delivered`: a worker may have held it when the process
    /// crashed. Then it dead-letters the messages over the limit.
    pub(super) fn count_redeliveries(&mut self, last_delivered: i64, now: Timestamp) -> Result<(), QueueError> {
        self.commit(|connection| {
            let delivered = is_in(QueueKind::Work).and(message::seq.le(last_delivered));
            diesel::update(message::table.filter(delivered))
                .set(message::redeliveries.eq(message::redeliveries + 1))
                .execute(connection)?;
            let over_limit: Vec<Row> = message::table
                .filter(is_in(QueueKind::Work).and(message::redeliveries.gt(DELIVERY_LIMIT)))
                .select(Row::as_select())
                .load(connection)?;
            for row in over_limit {
                let mut stored = StoredMessage::from(row);
                stored.message.headers.record_failure(Reason::DeliveryLimit, Reason::DeliveryLimit.sentence(), now);
                remove(connection, stored.seq, stored.seq)?;
                insert(connection, QueueKind::DeadLetter, &stored.message, 0)?;
            }
            Ok(())
        })
    }
}

/// Appends a message to a queue.
pub(super) fn insert(
    connection: &mut SqliteConnection,
    queue: QueueKind,
    new: &Message,
    due_millis: i64,
) -> QueryResult<usize> {
    let row = NewRow {
        queue: queue_number(queue),
        due_millis,
        redeliveries: 0,
        id: new.id.clone(),
        kind: new.kind.clone(),
        timestamp: i64::try_from(new.timestamp).unwrap_or(i64::MAX),
        headers: serde_json::to_string(&new.headers).unwrap_or_default(),
        body: new.body.clone(),
    };
    diesel::insert_into(message::table).values(row).execute(connection)
}

/// Removes every message with a number from `first` to `last`.
pub(super) fn remove(connection: &mut SqliteConnection, first: i64, last: i64) -> QueryResult<usize> {
    diesel::delete(message::table.filter(message::seq.between(first, last))).execute(connection)
}

/// Moves the due messages of the retry queue to the end of the work queue.
pub(super) fn move_due(connection: &mut SqliteConnection, now_millis: i64) -> QueryResult<()> {
    let due = || is_in(QueueKind::Retry).and(message::due_millis.le(now_millis));
    let columns = (
        queue_number(QueueKind::Work).into_sql::<SmallInt>(),
        0.into_sql::<BigInt>(),
        0.into_sql::<Integer>(),
        message::id,
        message::kind,
        message::timestamp,
        message::headers,
        message::body,
    );
    // New numbers, so that they are delivered after the messages that wait already.
    diesel::insert_into(message::table)
        .values(message::table.filter(due()).order(message::seq).select(columns))
        .into_columns((
            message::queue,
            message::due_millis,
            message::redeliveries,
            message::id,
            message::kind,
            message::timestamp,
            message::headers,
            message::body,
        ))
        .execute(connection)?;
    diesel::delete(message::table.filter(due())).execute(connection)?;
    Ok(())
}
