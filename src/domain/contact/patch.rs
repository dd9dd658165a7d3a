//! Changes of single members of a contact, and which write each member has its value from.
//!
//! Members are merged one by one: of all unconditional writes of a member, the one with the greatest stamp counts. So two
//! patches of different members both take effect, in any order.

use super::{Details, Email, Name, Phone};
use crate::domain::{OperationId, Stamp};

/// A write of a member: its stamp, and the operation that orders it among writes with the same stamp.
pub type Write = (Stamp, OperationId);

/// The last write of each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberWrites {
    /// The write of the name.
    pub name: Write,
    /// The write of the phone number.
    pub phone: Write,
    /// The write of the e-mail address.
    pub email: Write,
}

impl MemberWrites {
    /// One write of all members.
    pub const fn all(write: Write) -> Self {
        Self { name: write, phone: write, email: write }
    }

    /// Whether one write wrote all members.
    pub fn is_one_write(&self) -> bool {
        self.name == self.phone && self.name == self.email
    }
}

/// Which members of a contact an operation changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangedMembers {
    /// The name.
    pub name: bool,
    /// The phone number.
    pub phone: bool,
    /// The e-mail address.
    pub email: bool,
}

impl ChangedMembers {
    /// The members with another value. `None` is a contact that does not exist or is deleted.
    pub fn between(before: Option<&Details>, after: Option<&Details>) -> Self {
        fn email(details: Option<&Details>) -> Option<&Email> {
            details.and_then(|details| details.email.as_ref())
        }
        Self {
            name: before.map(|details| &details.name) != after.map(|details| &details.name),
            phone: before.map(|details| details.phone) != after.map(|details| details.phone),
            email: email(before) != email(after),
        }
    }

    /// The values that these members had.
    pub(crate) fn values_of(self, before: &Details) -> Patch {
        let email = || before.email.clone().map_or(EmailPatch::Remove, EmailPatch::Set);
        Patch {
            name: self.name.then(|| before.name.clone()),
            phone: self.phone.then_some(before.phone),
            email: self.email.then(email),
        }
    }
}

/// What a patch does to the e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmailPatch {
    /// Sets the address.
    Set(Email),
    /// Removes the address.
    Remove,
}

impl EmailPatch {
    /// The address after the patch.
    pub fn value(&self) -> Option<&Email> {
        match self {
            Self::Set(email) => Some(email),
            Self::Remove => None,
        }
    }
}

/// The members that a command changes. A member that is `None` keeps its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// The new name.
    pub name: Option<Name>,
    /// The new phone number.
    pub phone: Option<Phone>,
    /// The new e-mail address, or its removal.
    pub email: Option<EmailPatch>,
}

impl Patch {
    /// Whether the patch changes nothing.
    pub const fn is_empty(&self) -> bool {
        self.name.is_none() && self.phone.is_none() && self.email.is_none()
    }
}

/// The new values of a command, by member.
pub(crate) struct NewValues<'a> {
    name: Option<&'a Name>,
    phone: Option<&'a Phone>,
    email: Option<Option<&'a Email>>,
}

impl<'a> From<&'a Patch> for NewValues<'a> {
    fn from(patch: &'a Patch) -> Self {
        Self {
            name: patch.name.as_ref(),
            phone: patch.phone.as_ref(),
            email: patch.email.as_ref().map(EmailPatch::value),
        }
    }
}

impl<'a> From<&'a Details> for NewValues<'a> {
    fn from(details: &'a Details) -> Self {
        Self { name: Some(&details.name), phone: Some(&details.phone), email: Some(details.email.as_ref()) }
    }
}

impl NewValues<'_> {
    /// Keeps the values whose members have an older write than this one.
    pub(crate) fn newer_than(mut self, writes: &MemberWrites, write: Write) -> Self {
        self.name = self.name.filter(|_| write > writes.name);
        self.phone = self.phone.filter(|_| write > writes.phone);
        self.email = self.email.filter(|_| write > writes.email);
        self
    }

    /// Whether no value is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.name.is_none() && self.phone.is_none() && self.email.is_none()
    }

    /// The details, if these values replace all of them.
    pub(crate) fn whole(&self) -> Option<Details> {
        Some(Details { name: self.name?.clone(), phone: *self.phone?, email: self.email?.cloned() })
    }

    /// The details with these values, and the writes of their members.
    pub(crate) fn merged_into(
        &self,
        details: &Details,
        mut writes: MemberWrites,
        write: Write,
    ) -> (Details, MemberWrites) {
        let mut merged = details.clone();
        if let Some(name) = self.name {
            (merged.name, writes.name) = (name.clone(), write);
        }
        if let Some(phone) = self.phone {
            (merged.phone, writes.phone) = (*phone, write);
        }
        if let Some(email) = self.email {
            (merged.email, writes.email) = (email.cloned(), write);
        }
        (merged, writes)
    }
}
