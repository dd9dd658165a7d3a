//! A contact.

mod area;
mod email;
mod name;
mod name_key;
mod patch;
mod phone;
mod search;

pub use area::{AREAS, AreaCode, Region, State};
pub use email::Email;
pub use name::Name;
pub use name_key::NameKey;
pub(super) use patch::NewValues;
pub use patch::{ChangedMembers, EmailPatch, MemberWrites, Patch, Write};
pub use phone::Phone;
pub use search::Search;

use super::{ContactId, Invalid, OperationId, Stamp, Timestamp};

/// The data that a client enters for a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The name.
    pub name: Name,
    /// The phone number with its area code.
    pub phone: Phone,
    /// The e-mail address, if the contact has one.
    pub email: Option<Email>,
}

impl Details {
    /// Parses the three values of a request or a file.
    ///
    /// # Errors
    /// The first invalid field (`name`, `phone` or `email`) and why it is invalid.
    pub fn parse(name: &str, phone: &str, email: Option<&str>) -> Result<Self, (&'static str, Invalid)> {
        Ok(Self {
            name: Name::parse(name).map_err(|invalid| ("name", invalid))?,
            phone: Phone::parse(phone).map_err(|invalid| ("phone", invalid))?,
            email: email.map(Email::parse).transpose().map_err(|invalid| ("email", invalid))?,
        })
    }

    /// Parses three values that some version of this program has accepted, in a message or a database.
    ///
    /// # Errors
    /// The first invalid field (`name`, `phone` or `email`) and why it is invalid.
    pub fn from_accepted(name: &str, phone: &str, email: Option<&str>) -> Result<Self, (&'static str, Invalid)> {
        Ok(Self {
            name: Name::from_accepted(name).map_err(|invalid| ("name", invalid))?,
            phone: Phone::parse(phone).map_err(|invalid| ("phone", invalid))?,
            email: email.map(Email::from_accepted).transpose().map_err(|invalid| ("email", invalid))?,
        })
    }
}

/// Whether a contact is live or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// The contact can be read and changed.
    Live(Details),
    /// A tombstone: the details are erased, the id is not used again.
    Deleted {
        /// When the delete was accepted.
        at: Timestamp,
    },
}

/// A contact, live or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The id.
    pub id: ContactId,
    /// The operation that last changed the contact. It is the `ETag`.
    pub version: OperationId,
    /// The greatest stamp of the changes that took effect.
    pub stamp: Stamp,
    /// The last write of each member. `None`: `version` wrote them all, with `stamp`.
    pub writes: Option<MemberWrites>,
    /// The operation that created the contact.
    pub created_by: OperationId,
    /// When the create was accepted.
    pub created_at: Timestamp,
    /// When the last change was accepted.
    pub updated_at: Timestamp,
    /// The details, or when the contact was deleted.
    pub life: Lifecycle,
}

impl Contact {
    /// The details, if the contact is live.
    pub const fn details(&self) -> Option<&Details> {
        match &self.life {
            Lifecycle::Live(details) => Some(details),
            Lifecycle::Deleted { .. } => None,
        }
    }

    /// Whether the contact is deleted.
    pub const fn is_deleted(&self) -> bool {
        self.details().is_none()
    }

    /// The last write of each member.
    pub fn member_writes(&self) -> MemberWrites {
        self.writes.unwrap_or_else(|| MemberWrites::all((self.stamp, self.version)))
    }
}
