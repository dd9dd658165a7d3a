//! A command: an accepted request to change one contact.

use super::{ContactId, Details, OperationId, Patch, Stamp, Timestamp};
use std::num::NonZeroU128;
use std::sync::Arc;

/// The change that a command requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the contact.
    Create(Details),
    /// Replace all details.
    Update(Details),
    /// Change some details.
    Patch(Patch),
    /// Delete the contact. Its id is never used again.
    Delete,
}

/// The kind of an [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// `insert`
    Insert,
    /// `update`
    Update,
    /// `delete`
    Delete,
    /// `patch`
    Patch,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Insert, Self::Update, Self::Delete, Self::Patch];

    /// The name in messages, rows and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Patch => "patch",
        }
    }

    /// The kind with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A 128-bit digest of a request with an `Idempotency-Key`. Two different requests with one key have different digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u128);

/// Where a command comes from. It is recorded with the operation and decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The name of the API key or of the client. `None` if the API needs no key.
    pub caller: Option<Arc<str>>,
    /// The trace of the request.
    pub trace_id: Option<NonZeroU128>,
    /// How many attempts it took to finish the operation.
    pub attempts: u32,
}

/// One accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The id of the command. It becomes the contact's version if the command takes effect.
    pub operation_id: OperationId,
    /// The contact to change.
    pub contact_id: ContactId,
    /// Orders unconditional commands on one contact.
    pub stamp: Stamp,
    /// The version that must be current (`If-Match`). Otherwise the command has no effect.
    pub expects: Option<OperationId>,
    /// When the API accepted the command.
    pub accepted_at: Timestamp,
    /// Set if the client sent an `Idempotency-Key`.
    pub fingerprint: Option<Fingerprint>,
    /// The requested change.
    pub action: Action,
}

impl Command {
    /// The kind of the action.
    pub const fn kind(&self) -> OperationKind {
        match self.action {
            Action::Create(_) => OperationKind::Insert,
            Action::Update(_) => OperationKind::Update,
            Action::Delete => OperationKind::Delete,
            Action::Patch(_) => OperationKind::Patch,
        }
    }

    /// Whether the command changes values of a contact that exists.
    pub const fn is_change(&self) -> bool {
        matches!(self.action, Action::Update(_) | Action::Patch(_))
    }
}
