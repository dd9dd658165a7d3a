//! The interface to the database: apply a batch in one transaction, and read.
//!
//! The rule of this module: the effect of a command and the row of its operation are committed together or not at all.
//! So a command takes effect once, even if it is delivered more than once. [`crate::domain::Batch`] decides what a
//! command does; a store only loads, locks and writes. Only this module and the embedded queue use diesel.

mod changes;
mod columns;
mod error;
mod history;
mod listing;
mod migrations;
mod pool;
pub mod postgres;
pub mod sqlite;

pub use changes::{Change, ChangePage, ChangePosition};
pub use error::StoreError;
pub use history::{HistoryPage, HistoryPosition};
pub use listing::{DuplicatePage, DuplicatesBy, Filter, ListPosition, Sort, SortKey};

use crate::domain::{
    Attempt, ChangedMembers, Contact, ContactId, Erasure, FailedOperation, Fingerprint, NameKey, OperationId,
    OperationKind, Origin, Outcome, Patch, Phone, Status, Timestamp,
};
use std::collections::HashSet;
use std::num::NonZeroU128;

/// A finished operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The id.
    pub id: OperationId,
    /// The contact of the command.
    pub contact_id: ContactId,
    /// The kind of the command.
    pub kind: OperationKind,
    /// The final status.
    pub status: Status,
    /// How often the command had been replayed when the operation finished.
    pub replays: u32,
    /// Set if the client sent an `Idempotency-Key`.
    pub fingerprint: Option<Fingerprint>,
    /// When the API accepted the command.
    pub accepted_at: Timestamp,
    /// When this row was written.
    pub completed_at: Timestamp,
    /// Its place in the change feed, if it is an applied change.
    pub position: Option<i64>,
    /// Where the command came from. Older versions did not record it.
    pub origin: Origin,
    /// The members that the operation changed. `None` if it changed nothing, or if an older version applied it.
    pub changed: Option<ChangedMembers>,
    /// The values that these members had, if they were kept.
    pub old_values: Option<Patch>,
}

/// How many rows a prune step removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Applied and superseded operations.
    pub operations: usize,
    /// Tombstones.
    pub tombstones: usize,
    /// Digests of the requests of failed operations, which stay.
    pub digests: usize,
}

/// The direction of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Run all migrations that are pending.
    Up,
    /// Revert the newest migration.
    Down,
}

/// The changes whose events are not published yet.
pub trait EventLog {
    /// The next changes: up to `limit`. `None`: the feed does not have all of them any more.
    fn next(&mut self, limit: u32, with_contacts: bool) -> Result<Option<ChangePage>, StoreError>;

    /// Goes on with the oldest change that the feed has.
    fn begin_again(&mut self) -> Result<(), StoreError>;

    /// Records that the events up to this place are published.
    fn advance(&mut self, to: ChangePosition) -> Result<(), StoreError>;
}

/// A database with the schema of this program.
pub trait Store: Send + Sync {
    /// Applies a batch in one transaction and commits it. Returns one outcome for each attempt, in order. On an error,
    /// nothing of the batch is written.
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError>;

    /// Which of these contacts another session has locked. It does not wait for the locks.
    fn locked(&self, contacts: &[ContactId]) -> Result<HashSet<ContactId>, StoreError>;

    /// Records an operation that failed before it could be applied. If it is finished already, nothing changes, except
    /// that the record of an earlier failure is replaced if the message was replayed since then.
    fn record_failure(&self, failed: &FailedOperation) -> Result<(), StoreError>;

    /// Reads a contact, live or deleted.
    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError>;

    /// Reads a page: up to `limit` live contacts that match the filter, in its order, after this position.
    fn contacts(&self, filter: &Filter, after: Option<&ListPosition>, limit: u32) -> Result<Vec<Contact>, StoreError>;

    /// For each phone number and name, a live contact that has both.
    fn existing(&self, people: &[(Phone, NameKey)]) -> Result<Vec<Option<ContactId>>, StoreError>;

    /// Values that several live contacts have, in their order, from this value on: up to `limit`. A page can have fewer
    /// although there is a next one, because it reads a limited number of rows.
    fn duplicates(&self, by: DuplicatesBy, from: Option<&str>, limit: u32) -> Result<DuplicatePage, StoreError>;

    /// About how many live contacts match the filter.
    fn estimated_total(&self, filter: &Filter) -> Result<u64, StoreError>;

    /// Reads all live contacts that match the filter, in its order, from one snapshot. It has every change that
    /// [`Self::changes`] could read when it began. Calls `page` for each page that
    /// has contacts, until `page` returns false.
    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError>;

    /// Reads the operations with these ids that are finished, in any order.
    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError>;

    /// Reads an operation, if it is finished.
    fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.operations(&[id])?.pop())
    }

    /// Reads a page of the change feed: up to `limit` changes after this place, or the oldest that are kept. A change whose
    /// transaction commits late is not skipped. Returns `None` if the place has expired: changes after it were pruned, or the
    /// database is not the one that the reader has read. Reads the database that is written, so that no change is older than
    /// its contact.
    fn changes(
        &self,
        after: Option<ChangePosition>,
        limit: u32,
        with_contacts: bool,
    ) -> Result<Option<ChangePage>, StoreError>;

    /// The place after the newest change that [`Self::changes`] can read now.
    fn last_change(&self) -> Result<ChangePosition, StoreError>;

    /// When the oldest change without an event was applied. `None` if there is none, or if nothing says where events begin.
    fn oldest_without_event(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Claims the events of this database. `None`: another process has them. They are released when the value is dropped.
    fn event_log(&self) -> Result<Option<Box<dyn EventLog + '_>>, StoreError>;

    /// Checks that the database answers and has the schema that this version needs.
    fn check(&self) -> Result<(), StoreError>;

    /// Checks that a batch can be applied: runs [`Self::check`], then applies a batch and rolls it back.
    fn probe(&self) -> Result<(), StoreError>;

    /// Allows [`Self::prune`] to remove operations that finished before this time, and contacts that were deleted
    /// before it. From now on, a create of that age fails if its operation is not known.
    fn set_pruned_before(&self, timestamp: Timestamp) -> Result<(), StoreError>;

    /// Rows from before this time can be removed. `None` if nothing was ever pruned.
    fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Removes up to `limit` operations and up to `limit` tombstones from before that time. Failed operations stay,
    /// because their messages can still be in the dead letter queue.
    fn prune(&self, limit: u32) -> Result<Pruned, StoreError>;

    /// The time of the clock of the database, if it has one of its own.
    fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(chrono::Utc::now())
    }

    /// Records an erasure. From now on, a batch does not bring back what it names. The same id again replaces the record.
    fn record_erasure(&self, erasure: &Erasure) -> Result<(), StoreError>;

    /// The transactions that may apply a batch now, by names that are never used again. A batch that has not seen an
    /// erasure is among them, or it has ended.
    fn running_batches(&self) -> Result<Vec<String>, StoreError>;

    /// Reads the finished operations of these contacts, in any order.
    fn operations_of(&self, contacts: &[ContactId]) -> Result<Vec<Operation>, StoreError>;

    /// Reads a page of the history of a contact, the newest operation first. Of two changes, the one that took effect later
    /// is newer.
    fn history(&self, page: &HistoryPage) -> Result<Vec<Operation>, StoreError>;

    /// Reads the operations of a trace that finished since this time, the newest first. It reads all operations since then.
    fn operations_of_trace(
        &self,
        trace_id: NonZeroU128,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError>;

    /// Calls `visit` for each operation that has old values, until it returns false. It reads all of them.
    fn old_values(&self, visit: &mut dyn FnMut(Operation) -> bool) -> Result<(), StoreError>;

    /// Erases what these operations, and the operations of these contacts, keep of values: old values and fingerprints.
    /// Returns the number of operations that kept something.
    fn erase_history(&self, contacts: &[ContactId], operations: &[OperationId]) -> Result<usize, StoreError>;

    /// Removes what deleted rows leave in the files of the database, if no other process does that.
    fn purge_files(&self) -> Result<(), StoreError>;

    /// Migrates the schema. Returns the names of the migrations that were run.
    fn migrate(&self, direction: Direction) -> Result<Vec<String>, StoreError>;
}
