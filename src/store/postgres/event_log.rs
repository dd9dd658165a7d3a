//! How far the events are published. The process that holds an advisory lock publishes them.

use super::Postgres;
use super::connect::Manager;
use super::feed;
use super::schema::events;
use crate::domain::OperationId;
use crate::store::{ChangePage, ChangePosition, EventLog, StoreError};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::PooledConnection;
use diesel::sql_types::Bool;
use uuid::Uuid;

/// The key of the lock. The table of each installation has another number, so installations in other schemas of the database
/// have locks of their own. Locks with two keys are not confused with those of the change feed, which have one.
const KEY: &str = "('events'::regclass::oid::bigint - 2147483648)::int, 0";

/// Without these limits, the server would keep the lock of a machine that is gone for two hours, and that of a process that
/// is frozen for ever. While it lives, the process uses the session every few seconds.
const LIMITS: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
     SET tcp_user_timeout = 10000; SET idle_session_timeout = 60000";
const NO_LIMITS: &str = "RESET tcp_keepalives_idle; RESET tcp_keepalives_interval; RESET tcp_keepalives_count; \
     RESET tcp_user_timeout; RESET idle_session_timeout";

#[derive(QueryableByName)]
struct Claim {
    #[diesel(sql_type = Bool)]
    claimed: bool,
}

/// A claim. It lasts as long as its session.
pub(super) struct Claimed {
    connection: PooledConnection<Manager>,
    /// `None`: the oldest change that is kept.
    at: Option<ChangePosition>,
}

impl Claimed {
    pub(super) fn new(store: &Postgres) -> Result<Option<Self>, StoreError> {
        let mut connection = store.writes.get()?;
        let claim: Claim =
            diesel::sql_query(format!("SELECT pg_try_advisory_lock({KEY}) AS claimed")).get_result(&mut connection)?;
        if !claim.claimed {
            return Ok(None);
        }
        // From here on, dropping it releases the lock.
        let mut claimed = Self { connection, at: None };
        claimed.connection.batch_execute(LIMITS)?;
        claimed.at = Some(begin(&mut claimed.connection)?);
        Ok(Some(claimed))
    }
}

/// The place of the last event, if one is recorded.
pub(super) fn recorded(connection: &mut PgConnection) -> QueryResult<Option<ChangePosition>> {
    let known: Option<(i64, Uuid)> =
        events::table.select((events::position, events::operation)).first(connection).optional()?;
    Ok(known.map(|(position, operation)| ChangePosition { position, operation: OperationId::new(operation) }))
}

/// The place of the last event. The first events are those of the changes after the first start.
fn begin(connection: &mut PgConnection) -> Result<ChangePosition, StoreError> {
    if let Some(known) = recorded(connection)? {
        // If the place cannot be recorded, the same events would be published again and again.
        connection.batch_execute("UPDATE events SET position = position")?;
        return Ok(known);
    }
    let last = feed::last_change(connection)?;
    diesel::insert_into(events::table)
        .values((events::position.eq(last.position), events::operation.eq(last.operation.uuid())))
        .execute(connection)?;
    Ok(last)
}

impl EventLog for Claimed {
    fn next(&mut self, limit: u32, with_contacts: bool) -> Result<Option<ChangePage>, StoreError> {
        feed::changes(&mut self.connection, self.at, limit, with_contacts)
    }

    fn begin_again(&mut self) -> Result<(), StoreError> {
        self.at = None;
        Ok(())
    }

    fn advance(&mut self, to: ChangePosition) -> Result<(), StoreError> {
        // If the record is lost in a crash, the events are published again. So the commit waits for no disk and no standby.
        let ChangePosition { position, operation } = to;
        self.connection.batch_execute(&format!(
            "BEGIN; SET LOCAL synchronous_commit = off; \
             UPDATE events SET position = {position}, operation = '{operation}'; COMMIT"
        ))?;
        self.at = Some(to);
        Ok(())
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // The connection returns to its pool. If this fails, the session is lost, and the lock with it.
        let _ = self.connection.batch_execute(&format!("ROLLBACK; SELECT pg_advisory_unlock({KEY}); {NO_LIMITS}"));
    }
}
