//! A contact as SQL keeps it, and the part of it that decides about commands.

mod area;
mod email;
mod name;
mod name_key;
mod phone;

pub use area::{AREAS, AreaCode, Region, State};
pub use email::Email;
pub use name::Name;
pub use name_key::NameKey;
pub use phone::Phone;

use super::{ContactId, OperationId, Stamp, Timestamp};

/// What a person enters about a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The name.
    pub name: Name,
    /// The phone number with its area code.
    pub phone: Phone,
    /// The e-mail address.
    pub email: Email,
}

/// Whether a contact can be read, or only its id is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It can be read and changed.
    Live(Details),
    /// A tombstone: the details are erased, the id stays taken.
    Deleted {
        /// When the delete was accepted.
        at: Timestamp,
    },
}

/// A contact, live or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// The operation that last changed it; its `ETag`.
    pub version: OperationId,
    /// The stamp that an unconditional update must exceed.
    pub stamp: Stamp,
    /// The operation that created it.
    pub created_by: OperationId,
    /// When the create was accepted.
    pub created_at: Timestamp,
    /// When the last change was accepted.
    pub updated_at: Timestamp,
    /// Its details, unless it is deleted.
    pub life: Lifecycle,
}

/// What decides whether a command takes effect on a contact: all of it but the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactState {
    /// The contact's id.
    pub id: ContactId,
    /// The operation that last changed it.
    pub version: OperationId,
    /// The stamp that an unconditional update must exceed.
    pub stamp: Stamp,
    /// The operation that created it.
    pub created_by: OperationId,
    /// When the create was accepted.
    pub created_at: Timestamp,
    /// Whether a delete took effect.
    pub deleted: bool,
}

impl Contact {
    /// Puts a contact together from its state and the rest.
    pub const fn new(state: ContactState, updated_at: Timestamp, life: Lifecycle) -> Self {
        let ContactState { id, version, stamp, created_by, created_at, deleted: _ } = state;
        Self { id, version, stamp, created_by, created_at, updated_at, life }
    }

    /// The part that decides about commands.
    pub const fn state(&self) -> ContactState {
        ContactState {
            id: self.id,
            version: self.version,
            stamp: self.stamp,
            created_by: self.created_by,
            created_at: self.created_at,
            deleted: matches!(self.life, Lifecycle::Deleted { .. }),
        }
    }
}
