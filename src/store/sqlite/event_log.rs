//! How far the events are published. The data folder belongs to one process, so there is no claim to wait for.

use super::rows::{blob, place};
use super::schema::events;
use super::{Sqlite, feed};
use crate::store::{ChangePage, ChangePosition, EventLog, Store, StoreError};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

pub(super) struct Claimed<'a> {
    store: &'a Sqlite,
    /// `None`: the oldest change that is kept.
    at: Option<ChangePosition>,
}

impl<'a> Claimed<'a> {
    pub(super) fn new(store: &'a Sqlite) -> Result<Self, StoreError> {
        let at = store.writes.get()?.immediate_transaction(begin)?;
        Ok(Self { store, at: Some(at) })
    }
}

/// The place of the last event. The first events are those of the changes after the first start.
fn begin(connection: &mut SqliteConnection) -> Result<ChangePosition, StoreError> {
    let known: Option<(i64, Vec<u8>)> =
        events::table.select((events::position, events::operation)).first(connection).optional()?;
    match known {
        Some((position, operation)) => place(position, Some(&operation)),
        None => {
            let last = feed::last_change(connection)?;
            record(connection, last)?;
            Ok(last)
        }
    }
}

fn record(connection: &mut SqliteConnection, at: ChangePosition) -> Result<(), StoreError> {
    let row = (events::one.eq(1), events::position.eq(at.position), events::operation.eq(blob(at.operation.uuid())));
    diesel::replace_into(events::table).values(row).execute(connection)?;
    Ok(())
}

impl EventLog for Claimed<'_> {
    fn next(&mut self, limit: u32, with_contacts: bool) -> Result<Option<ChangePage>, StoreError> {
        self.store.changes(self.at, limit, with_contacts)
    }

    fn begin_again(&mut self) -> Result<(), StoreError> {
        self.at = None;
        Ok(())
    }

    fn advance(&mut self, to: ChangePosition) -> Result<(), StoreError> {
        self.store.writes.get()?.immediate_transaction(|connection| record(connection, to))?;
        self.at = Some(to);
        Ok(())
    }
}
