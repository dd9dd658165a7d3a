//! The history of a contact: its finished operations, the newest first.

use super::Operation;
use crate::domain::{ContactId, OperationId, Timestamp};

/// A place in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPosition {
    /// When the operation finished.
    pub completed_at: Timestamp,
    /// Its place in the change feed. 0 if it has none. Changes of one batch finish at the same time.
    pub position: i64,
    /// The operation.
    pub id: OperationId,
}

/// What a page of a history has, and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct HistoryPage {
    /// The contact.
    pub contact: ContactId,
    /// The page has older operations than this one. `None`: it begins with the newest.
    pub before: Option<HistoryPosition>,
    /// The maximum number of operations.
    pub limit: u32,
}

impl Operation {
    /// The place in the history of the contact.
    pub fn history_position(&self) -> HistoryPosition {
        HistoryPosition { completed_at: self.completed_at, position: self.position.unwrap_or_default(), id: self.id }
    }
}
