//! The store seam: apply a batch in one transaction, read.
//!
//! The rule this room keeps: the effect of a command and the record of its operation are committed together or not at
//! all, so a command takes effect once however often it is delivered. What a command does is decided by
//! [`crate::domain::Batch`]; a store only loads, locks and writes. Only this room (and the embedded queue) names diesel.

mod columns;
mod error;
mod migrations;
mod pool;
pub mod postgres;
pub mod sqlite;

pub use error::StoreError;

use crate::domain::{
    AreaCode, Attempt, Contact, ContactId, Email, Fingerprint, Lifecycle, NameKey, OperationId, OperationKind, Outcome,
    Phone, Status, Timestamp,
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// An operation that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The contact it names.
    pub contact_id: ContactId,
    /// What it asked for.
    pub kind: OperationKind,
    /// How it ended.
    pub status: Status,
    /// How often it had been replayed by then.
    pub replays: u32,
    /// Set when the client sent an `Idempotency-Key`.
    pub fingerprint: Option<Fingerprint>,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// When its end was recorded.
    pub completed_at: Timestamp,
}

/// Which contacts to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of these area codes.
    pub areas: Option<BTreeSet<AreaCode>>,
    /// Only those whose names begin so.
    pub name: Option<NameKey>,
    /// Only those with this address, whatever its case.
    pub email: Option<Email>,
    /// Only those with this number.
    pub phone: Option<Phone>,
}

impl Filter {
    /// Keeps of its areas only those that are also among these.
    pub fn within(&mut self, areas: impl Iterator<Item = AreaCode>) {
        let areas: BTreeSet<AreaCode> = areas.collect();
        self.areas = Some(match self.areas.take() {
            Some(known) => known.intersection(&areas).copied().collect(),
            None => areas,
        });
    }

    /// What the names begin with, if the list is in their order: unless there is a closer filter, then it is in that of
    /// the ids.
    fn in_order_of_names(&self) -> Option<&NameKey> {
        self.name.as_ref().filter(|_| self.email.is_none() && self.phone.is_none())
    }

    /// Where the page after this contact begins.
    pub fn after(&self, last: &Contact) -> After {
        let name = match (self.in_order_of_names(), &last.life) {
            (Some(_), Lifecycle::Live(details)) => Some(NameKey::of(&details.name)),
            _ => None,
        };
        After { name, id: last.id }
    }

    /// Whether no contact can meet it.
    fn is_impossible(&self) -> bool {
        self.areas.as_ref().is_some_and(BTreeSet::is_empty)
    }
}

/// The place in a list that a page comes after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// The key of the last name, where names give the order.
    pub name: Option<NameKey>,
    /// The last id.
    pub id: ContactId,
}

/// The key and the id that a page of names comes after. On the first page that is the prefix itself, before any id.
fn by_name<'a>(prefix: &'a NameKey, after: Option<&'a After>) -> (&'a str, Uuid) {
    match after {
        Some(After { name: Some(name), id }) if name >= prefix => (name.as_str(), id.uuid()),
        _ => (prefix.as_str(), Uuid::nil()),
    }
}

/// Contacts in a page of an export.
const EXPORTED: u32 = 1_000;

/// Reads page after page, until there is none or none is wanted.
fn all_pages(
    filter: &Filter,
    mut read: impl FnMut(Option<&After>) -> Result<Vec<Contact>, StoreError>,
    wanted: &mut dyn FnMut(&[Contact]) -> bool,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let contacts = read(after.as_ref())?;
        let Some(last) = contacts.last() else { return Ok(()) };
        after = Some(filter.after(last));
        if !wanted(&contacts) || contacts.len() < EXPORTED as usize {
            return Ok(());
        }
    }
}

/// What a step of pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Operations that had been applied or superseded.
    pub operations: usize,
    /// Rows of deleted contacts.
    pub tombstones: usize,
}

/// Which way a migration goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the schema of this version of the program.
    Up,
    /// One migration back.
    Down,
}

/// A database with our schema.
pub trait Store: Send + Sync {
    /// Applies a batch in one transaction and commits it: one outcome for each attempt, in order. On an error nothing of
    /// the batch is written.
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError>;

    /// A contact, live or deleted.
    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError>;

    /// Up to `limit` live contacts that meet the filter, in its order, that come after this place.
    fn contacts(&self, filter: &Filter, after: Option<&After>, limit: u32) -> Result<Vec<Contact>, StoreError>;

    /// All live contacts that meet the filter, in its order, as they were at one moment. They are given page by page, until
    /// one is not wanted any more; nothing is given where there is none.
    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError>;

    /// Those of these operations that have ended, in no order.
    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError>;

    /// An operation, if it has ended.
    fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.operations(&[id])?.pop())
    }

    /// Whether it answers and has the schema this version needs.
    fn check(&self) -> Result<(), StoreError>;

    /// Whether a batch could be applied now: [`Self::check`], and one is, and undone.
    fn probe(&self) -> Result<(), StoreError>;

    /// Begins to forget operations that ended, and contacts that were deleted, before this moment. From then on a create
    /// of that age that is not known is refused.
    fn set_pruned_before(&self, moment: Timestamp) -> Result<(), StoreError>;

    /// Since when everything is remembered, if anything was ever pruned.
    fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Removes up to `limit` operations and up to `limit` tombstones that are forgotten; failed operations stay, because
    /// their dead letters may wait. Says how many of each.
    fn prune(&self, limit: u32) -> Result<Pruned, StoreError>;

    /// Migrates the schema; the names of the migrations that were run.
    fn migrate(&self, direction: Direction) -> Result<Vec<String>, StoreError>;
}
