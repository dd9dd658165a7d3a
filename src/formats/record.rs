//! What comes out of reading, whatever the format: records that are contacts, and what is wrong with the others.
//!
//! Every wrong field of a record is named at once. It must not know how any format is written.

use crate::domain::{Details, Email, Invalid, Name, Phone};
use serde::Serialize;
use std::borrow::Cow;

/// The most bytes of one record, line or property: no contact is near it, and no more is kept in memory.
pub(super) const LIMIT: usize = 64 * 1024;

/// The field of a fault that is the whole record's.
pub(super) const WHOLE: &str = "(line)";

pub(super) const REQUIRED: Invalid = Invalid { code: "required", detail: "is required" };
pub(super) const TOO_LONG: Invalid = Invalid { code: "too_long", detail: "must have at most 64 KiB" };
pub(super) const NOT_UTF8: Invalid = Invalid { code: "not_utf8", detail: "must be encoded as UTF-8" };

/// What is wrong with one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The field: `name`, `phone`, `email`, an unknown one, or `(line)` for a record that cannot be read as one.
    pub field: Cow<'static, str>,
    /// Why it was refused.
    pub invalid: Invalid,
}

impl RecordError {
    pub(super) fn new(field: impl Into<Cow<'static, str>>, invalid: Invalid) -> Self {
        Self { field: field.into(), invalid }
    }

    pub(super) fn whole(invalid: Invalid) -> Vec<Self> {
        vec![Self::new(WHOLE, invalid)]
    }
}

/// One record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of its first line, from 1.
    pub line: u64,
    /// The contact, or everything that is wrong with it.
    pub result: Result<Details, Vec<RecordError>>,
}

/// Why reading ended before the bytes did: nothing that follows could be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct ReadAborted {
    /// The first line of the record that could not be read, from 1.
    pub line: u64,
    /// A stable, lower-case code, such as `unclosed_quote`.
    pub code: &'static str,
    /// What is wrong, for the sender. It may repeat a header line, so it does not belong in a log.
    pub detail: String,
}

/// A contact of its three fields, or what is wrong with each, and with the rest.
pub(super) fn assemble(
    name: Result<Name, Invalid>,
    phone: Result<Phone, Invalid>,
    email: Result<Email, Invalid>,
    others: Vec<RecordError>,
) -> Result<Details, Vec<RecordError>> {
    match (name, phone, email) {
        (Ok(name), Ok(phone), Ok(email)) if others.is_empty() => Ok(Details { name, phone, email }),
        (name, phone, email) => {
            let fields = [("name", name.err()), ("phone", phone.err()), ("email", email.err())];
            let named = fields.into_iter().filter_map(|(field, invalid)| Some(RecordError::new(field, invalid?)));
            Err(named.chain(others).collect())
        }
    }
}

/// What is written of a contact: its members in the API's order, as texts that need no more work.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ExportRecord<'a> {
    /// The contact's id, a UUID.
    pub id: &'a str,
    /// The name.
    pub name: &'a str,
    /// The number as E.164.
    pub phone: &'a str,
    /// The area code.
    pub ddd: u8,
    /// The abbreviation of the state.
    pub state: &'a str,
    /// The name of the region.
    pub region: &'a str,
    /// The e-mail address.
    pub email: &'a str,
    /// The version, a UUID.
    pub version: &'a str,
    /// When it was created, as RFC 3339 in UTC.
    pub created_at: &'a str,
    /// When it was last changed, as RFC 3339 in UTC.
    pub updated_at: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named_in_order() {
        let others = vec![RecordError::new("x", TOO_LONG)];
        let faults = assemble(Err(REQUIRED), Phone::parse("11987654321"), Err(NOT_UTF8), others).unwrap_err();
        let named: Vec<_> = faults.iter().map(|fault| (&*fault.field, fault.invalid.code)).collect();
        assert_eq!(named, [("name", "required"), ("email", "not_utf8"), ("x", "too_long")]);
    }

    #[test]
    fn a_contact_with_another_fault_is_none() {
        let all = || (Name::parse("Ana"), Phone::parse("11987654321"), Email::parse("ana@example.com"));
        let (name, phone, email) = all();
        assert!(assemble(name, phone, email, Vec::new()).is_ok());
        let (name, phone, email) = all();
        assert_eq!(assemble(name, phone, email, RecordError::whole(TOO_LONG)), Err(RecordError::whole(TOO_LONG)));
    }
}
