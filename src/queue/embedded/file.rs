//! The file: one table, numbered in the order of arrival.

use super::super::{QueueError, QueueKind};
use crate::domain::{Reason, Timestamp};
use crate::message::Message;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, SmallInt};
use diesel::sqlite::SqliteConnection;
use std::path::Path;

diesel::table! {
    message (seq) {
        seq -> BigInt,
        lane -> SmallInt,
        due_millis -> BigInt,
        redeliveries -> Integer,
        id -> Text,
        kind -> Text,
        timestamp -> BigInt,
        headers -> Text,
        body -> Binary,
    }
}

/// `AUTOINCREMENT`: a number is never used again, so "everything up to N" stays true after a delete.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        lane INTEGER NOT NULL,
        due_millis INTEGER NOT NULL,
        redeliveries INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        headers TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS message_retry ON message (due_millis) WHERE lane = 1;
    CREATE INDEX IF NOT EXISTS message_dead_letter ON message (seq) WHERE lane = 2;";

/// A restart may hand a message out this often before it goes to the dead letters. Only a backstop, as in RabbitMQ: the
/// consumer counts, too, and gives up much earlier.
const DELIVERY_LIMIT: i32 = 100;

#[derive(Insertable)]
#[diesel(table_name = message)]
struct NewRow {
    lane: i16,
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

/// A message with its number, and how often it was handed out before.
pub(super) struct Numbered {
    pub(super) seq: i64,
    pub(super) redeliveries: u32,
    pub(super) message: Message,
}

impl From<Row> for Numbered {
    fn from(row: Row) -> Self {
        let message = Message {
            id: row.id,
            kind: row.kind,
            timestamp: u64::try_from(row.timestamp).unwrap_or_default(),
            // Written by us; a damaged header must not hide the message.
            headers: serde_json::from_str(&row.headers).unwrap_or_default(),
            body: row.body,
        };
        Self { seq: row.seq, redeliveries: u32::try_from(row.redeliveries).unwrap_or_default(), message }
    }
}

/// One connection to the file.
pub(super) struct File {
    connection: SqliteConnection,
}

const fn number(lane: QueueKind) -> i16 {
    match lane {
        QueueKind::Work => 0,
        QueueKind::Retry => 1,
        QueueKind::DeadLetter => 2,
    }
}

/// A lane as a condition. Its number stands in the text: SQLite uses an index of one lane only if it can see which.
fn within(lane: QueueKind) -> SqlLiteral<Bool> {
    sql(match lane {
        QueueKind::Work => "lane = 0",
        QueueKind::Retry => "lane = 1",
        QueueKind::DeadLetter => "lane = 2",
    })
}

fn failed(error: impl std::fmt::Display) -> QueueError {
    QueueError::Lost(format!("the queue file failed: {error}"))
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, QueueError> {
        let cannot = |error: &dyn std::fmt::Display| {
            QueueError::Misconfigured(format!("cannot open the queue file {}: {error}", path.display()))
        };
        let path = path.to_str().ok_or_else(|| cannot(&"the path is not UTF-8"))?;
        let mut connection = SqliteConnection::establish(path).map_err(|error| cannot(&error))?;
        // FULL: a commit returns after its fsync.
        let pragmas = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
        connection.batch_execute(pragmas).map_err(|error| cannot(&error))?;
        connection
            .immediate_transaction(|connection| connection.batch_execute(SCHEMA))
            .map_err(|error| cannot(&error))?;
        Ok(Self { connection })
    }

    /// Runs several changes as one commit.
    pub(super) fn commit<T>(
        &mut self,
        changes: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, QueueError> {
        self.connection.immediate_transaction(changes).map_err(failed)
    }

    /// Messages to apply after `cursor`, in order.
    pub(super) fn after(&mut self, cursor: i64, limit: usize) -> Result<Vec<Numbered>, QueueError> {
        let rows: QueryResult<Vec<Row>> = message::table
            .filter(within(QueueKind::Work).and(message::seq.gt(cursor)))
            .order(message::seq)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .select(Row::as_select())
            .load(&mut self.connection);
        Ok(rows.map_err(failed)?.into_iter().map(Numbered::from).collect())
    }

    /// One message to apply, by number.
    pub(super) fn one(&mut self, seq: i64) -> Result<Option<Numbered>, QueueError> {
        let row: QueryResult<Option<Row>> = message::table
            .filter(within(QueueKind::Work).and(message::seq.eq(seq)))
            .select(Row::as_select())
            .first(&mut self.connection)
            .optional();
        Ok(row.map_err(failed)?.map(Numbered::from))
    }

    /// How many dead letters there are, and the number of the last.
    pub(super) fn count_dead_letters(&mut self) -> Result<(usize, i64), QueueError> {
        let (count, last): (i64, Option<i64>) = message::table
            .filter(within(QueueKind::DeadLetter))
            .select((diesel::dsl::count_star(), diesel::dsl::max(message::seq)))
            .first(&mut self.connection)
            .map_err(failed)?;
        Ok((usize::try_from(count).unwrap_or_default(), last.unwrap_or_default()))
    }

    /// Dead letters after `cursor` and up to `last`, in order.
    pub(super) fn dead_letters(&mut self, cursor: i64, last: i64, limit: usize) -> Result<Vec<Numbered>, QueueError> {
        let rows: QueryResult<Vec<Row>> = message::table
            .filter(within(QueueKind::DeadLetter).and(message::seq.gt(cursor)).and(message::seq.le(last)))
            .order(message::seq)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .select(Row::as_select())
            .load(&mut self.connection);
        Ok(rows.map_err(failed)?.into_iter().map(Numbered::from).collect())
    }

    /// Removes dead letters by their numbers.
    pub(super) fn remove_dead_letters(&mut self, places: &[u64]) -> Result<(), QueueError> {
        self.commit(|connection| {
            for place in places {
                let seq = i64::try_from(*place).unwrap_or_default();
                let which = within(QueueKind::DeadLetter).and(message::seq.eq(seq));
                diesel::delete(message::table.filter(which)).execute(connection)?;
            }
            Ok(())
        })
    }

    /// How many messages are in a lane, and the first of them.
    pub(super) fn waiting(&mut self, lane: QueueKind) -> Result<(u64, Option<Numbered>), QueueError> {
        let count: i64 =
            message::table.filter(within(lane)).count().get_result(&mut self.connection).map_err(failed)?;
        let row: QueryResult<Option<Row>> = message::table
            .filter(within(lane))
            .order(message::seq)
            .select(Row::as_select())
            .first(&mut self.connection)
            .optional();
        Ok((u64::try_from(count).unwrap_or_default(), row.map_err(failed)?.map(Numbered::from)))
    }

    /// When the first retry is due, in milliseconds since 1970.
    pub(super) fn next_due(&mut self) -> Result<Option<i64>, QueueError> {
        message::table
            .filter(within(QueueKind::Retry))
            .select(diesel::dsl::min(message::due_millis))
            .first(&mut self.connection)
            .map_err(failed)
    }

    /// Counts a return for every message up to `taken`: the process ended while it may have held them. Those over the
    /// limit go to the dead letters.
    pub(super) fn count_returns(&mut self, taken: i64, now: Timestamp) -> Result<(), QueueError> {
        self.commit(|connection| {
            let held = within(QueueKind::Work).and(message::seq.le(taken));
            diesel::update(message::table.filter(held))
                .set(message::redeliveries.eq(message::redeliveries + 1))
                .execute(connection)?;
            let spent: Vec<Row> = message::table
                .filter(within(QueueKind::Work).and(message::redeliveries.gt(DELIVERY_LIMIT)))
                .select(Row::as_select())
                .load(connection)?;
            for row in spent {
                let mut spent = Numbered::from(row);
                spent.message.headers.record_failure(Reason::DeliveryLimit, Reason::DeliveryLimit.sentence(), now);
                remove(connection, spent.seq, spent.seq)?;
                insert(connection, QueueKind::DeadLetter, &spent.message, 0)?;
            }
            Ok(())
        })
    }
}

/// Appends a message to a lane.
pub(super) fn insert(
    connection: &mut SqliteConnection,
    lane: QueueKind,
    new: &Message,
    due_millis: i64,
) -> QueryResult<usize> {
    let row = NewRow {
        lane: number(lane),
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

/// Removes every message from `first` to `last`.
pub(super) fn remove(connection: &mut SqliteConnection, first: i64, last: i64) -> QueryResult<usize> {
    diesel::delete(message::table.filter(message::seq.between(first, last))).execute(connection)
}

/// Puts retries that are due at the end of the work. True if there were any.
pub(super) fn move_due(connection: &mut SqliteConnection, now_millis: i64) -> QueryResult<bool> {
    let due = || within(QueueKind::Retry).and(message::due_millis.le(now_millis));
    let columns = (
        number(QueueKind::Work).into_sql::<SmallInt>(),
        0.into_sql::<BigInt>(),
        0.into_sql::<Integer>(),
        message::id,
        message::kind,
        message::timestamp,
        message::headers,
        message::body,
    );
    // New numbers, so that they are handed out after what waits already.
    let moved = diesel::insert_into(message::table)
        .values(message::table.filter(due()).order(message::seq).select(columns))
        .into_columns((
            message::lane,
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
    Ok(moved > 0)
}
