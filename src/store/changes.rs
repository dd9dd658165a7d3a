//! The change feed: the applied operations in the order of their positions.
//!
//! Rule of this file: a reader gets every change after its cursor, or it is told that its cursor has expired. It never
//! misses one silently, also after a prune, a restore or a failover.

use crate::domain::{Contact, ContactId, OperationId, OperationKind, OperationRecord, Status, Timestamp};
use uuid::Uuid;

/// The position of an operation whose change has an earlier place in the feed.
const NOT_IN_THE_FEED: i64 = 0;

/// A place in the feed: a change, and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangePosition {
    /// The position of the change.
    pub position: i64,
    /// The operation of the change. After a restore, another operation can have the same position.
    pub operation: OperationId,
}

impl ChangePosition {
    /// The place before the first change.
    pub const START: Self = Self { position: 0, operation: OperationId::new(Uuid::nil()) };
}

/// A change of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed, with the operation. The operation is the version of the contact after the change.
    pub at: ChangePosition,
    /// The contact.
    pub contact_id: ContactId,
    /// The kind of the command.
    pub kind: OperationKind,
    /// When the change was applied.
    pub completed_at: Timestamp,
    /// The contact as it is now, if it was asked for. It can be newer than the change, never older.
    pub contact: Option<Contact>,
}

/// A page of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<Change>,
    /// Whether the feed has more changes after this page now.
    pub more: bool,
    /// The place after this page.
    pub last: ChangePosition,
}

/// What the database knows about the place of a reader.
pub(super) struct FeedStart {
    /// The first position that no change has.
    pub(super) next_position: i64,
    /// The greatest position that was removed, and its operation.
    pub(super) pruned: ChangePosition,
    /// The operation at the position of the reader.
    pub(super) found: Option<OperationId>,
}

impl FeedStart {
    /// Where the page starts. `None`: the feed does not have everything after the place of the reader, or the database is not
    /// the one that the reader has read.
    pub(super) fn after(&self, reader: Option<ChangePosition>) -> Option<ChangePosition> {
        let Some(reader) = reader else { return Some(self.pruned) };
        let known = match reader.position {
            position if position < self.pruned.position || position >= self.next_position => None,
            position if position == self.pruned.position => Some(self.pruned.operation),
            _ => self.found,
        };
        (known == Some(reader.operation)).then_some(reader)
    }
}

/// Makes a page of changes, of which one more than `limit` was read.
pub(super) fn change_page(start: ChangePosition, mut changes: Vec<Change>, limit: u32) -> ChangePage {
    let more = changes.len() > limit as usize;
    changes.truncate(limit as usize);
    let last = changes.last().map_or(start, |change| change.at);
    ChangePage { changes, more, last }
}

/// The column `position` of a record, if the changes of its batch have the positions from `first` on.
pub(super) fn position(record: &OperationRecord, first: i64) -> Option<i64> {
    match (record.change, record.status) {
        (Some(number), _) => Some(first.saturating_add(i64::try_from(number).unwrap_or(i64::MAX))),
        (None, Status::Applied) => Some(NOT_IN_THE_FEED),
        (None, Status::Superseded | Status::Failed(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_expires_if_changes_after_it_can_be_missing() {
        let at = |position, id| ChangePosition { position, operation: OperationId::new(Uuid::from_u128(id)) };
        let start = |pruned, found: Option<u128>| FeedStart {
            next_position: 10,
            pruned,
            found: found.map(|id| OperationId::new(Uuid::from_u128(id))),
        };
        let new = || start(ChangePosition::START, None);
        assert_eq!(new().after(None), Some(ChangePosition::START));
        assert_eq!(new().after(Some(ChangePosition::START)), Some(ChangePosition::START));
        // The change is there; the database does not have it; another change has its position.
        assert_eq!(start(ChangePosition::START, Some(5)).after(Some(at(5, 5))), Some(at(5, 5)));
        assert_eq!(new().after(Some(at(5, 5))), None);
        assert_eq!(start(ChangePosition::START, Some(6)).after(Some(at(5, 5))), None);
        // The sequence was set back, although the row is there.
        assert_eq!(start(ChangePosition::START, Some(12)).after(Some(at(12, 12))), None);
        // Pruned: before the reader, exactly up to the reader, after the reader.
        assert_eq!(start(at(4, 4), Some(5)).after(Some(at(5, 5))), Some(at(5, 5)));
        assert_eq!(start(at(5, 5), None).after(Some(at(5, 5))), Some(at(5, 5)));
        assert_eq!(start(at(5, 6), None).after(Some(at(5, 5))), None);
        assert_eq!(start(at(6, 6), None).after(Some(at(5, 5))), None);
        assert_eq!(start(at(6, 6), None).after(Some(ChangePosition::START)), None);
        assert_eq!(start(at(6, 6), None).after(None), Some(at(6, 6)));
    }
}
