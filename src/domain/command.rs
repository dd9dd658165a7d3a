//! A command: one accepted wish to change one contact.

use super::{ContactId, Details, OperationId, Stamp, Timestamp};

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Bring the contact into being.
    Create(Details),
    /// Replace all of its details.
    Update(Details),
    /// Delete it; its id is never used again.
    Delete,
}

/// The kind of an [`Action`], for labels and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// `insert`
    Insert,
    /// `update`
    Update,
    /// `delete`
    Delete,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// The word used in messages, rows and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The kind of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A 128-bit digest of what an idempotent request asked for, to tell a retry from a misuse of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u128);

/// One accepted command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Names the command; becomes the contact's version if it takes effect.
    pub operation_id: OperationId,
    /// The contact to change.
    pub contact_id: ContactId,
    /// Orders unconditional commands on one contact.
    pub stamp: Stamp,
    /// The version that must be current for the command to take effect (`If-Match`).
    pub expects: Option<OperationId>,
    /// When the API accepted it.
    pub accepted_at: Timestamp,
    /// Set when the client sent an `Idempotency-Key`.
    pub fingerprint: Option<Fingerprint>,
    /// What to do.
    pub action: Action,
}

impl Command {
    /// The kind of its action.
    pub const fn kind(&self) -> OperationKind {
        match self.action {
            Action::Create(_) => OperationKind::Insert,
            Action::Update(_) => OperationKind::Update,
            Action::Delete => OperationKind::Delete,
        }
    }
}
