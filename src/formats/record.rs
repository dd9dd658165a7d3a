//! The results of reading, for every format: contacts, and the errors of invalid records.
//!
//! All invalid fields of a record are reported at once. This file does not know the syntax of any format.

use crate::domain::{Details, Email, Invalid, Name, Phone};
use serde::Serialize;
use std::borrow::Cow;

/// The maximum length of one record, line or property, in bytes. A contact is much shorter. It limits the memory.
pub(super) const LIMIT: usize = 64 * 1024;

/// The field of an error of the whole record.
pub(super) const WHOLE_RECORD: &str = "(line)";

pub(super) const REQUIRED: Invalid = Invalid::new("required", "is required");
pub(super) const TOO_LONG: Invalid = Invalid::new("too_long", "must have at most 64 KiB");
pub(super) const NOT_UTF8: Invalid = Invalid::new("not_utf8", "must be encoded as UTF-8");

/// An error of one field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// `name`, `phone`, `email`, an unknown field, or `(line)` for an error of the whole record.
    pub field: Cow<'static, str>,
    /// Why the value is not valid.
    pub invalid: Invalid,
}

impl RecordError {
    pub(super) fn new(field: impl Into<Cow<'static, str>>, invalid: Invalid) -> Self {
        Self { field: field.into(), invalid }
    }

    pub(super) fn whole_record(invalid: Invalid) -> Vec<Self> {
        vec![Self::new(WHOLE_RECORD, invalid)]
    }
}

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its first line, from 1.
    pub line: u64,
    /// The contact, or all errors of the record.
    pub result: Result<Details, Vec<RecordError>>,
    /// What the record has and the contact does not keep.
    pub ignored: Vec<Ignored>,
}

/// A value of a record that the contact does not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// `phone` or `email`, or the name of a column or a property.
    pub field: String,
    /// A stable, lower-case code: `other_value` (another value was taken), `invalid` (another value was taken, this one
    /// is not valid), `extension` (of the phone number), `no_field` (a contact has no such field).
    pub reason: &'static str,
    /// The value, if it is a phone number, an extension or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Ignored {
    pub(super) fn value(field: &str, reason: &'static str, value: String) -> Self {
        Self { field: field.to_owned(), reason, value: Some(value) }
    }

    /// A column or property that a contact does not have.
    pub(super) fn no_field(field: impl Into<String>) -> Self {
        Self { field: field.into(), reason: "no_field", value: None }
    }
}

/// Why the reader stopped before the end of the input: it cannot tell where the next record starts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct ReadAborted {
    /// The first line of the malformed record, from 1.
    pub line: u64,
    /// A stable, lower-case code, such as `unclosed_quote`.
    pub code: &'static str,
    /// What is wrong, for the sender. It can contain a header line, so it must not be logged.
    pub detail: String,
}

/// Makes a contact of its three fields, or collects their errors and the other errors of the record.
pub(super) fn assemble(
    name: Result<Name, Invalid>,
    phone: Result<Phone, Invalid>,
    email: Result<Option<Email>, Invalid>,
    others: Vec<RecordError>,
) -> Result<Details, Vec<RecordError>> {
    match (name, phone, email) {
        (Ok(name), Ok(phone), Ok(email)) if others.is_empty() => Ok(Details { name, phone, email }),
        (name, phone, email) => {
            let fields = [("name", name.err()), ("phone", phone.err()), ("email", email.err())];
            let errors = fields.into_iter().filter_map(|(field, invalid)| Some(RecordError::new(field, invalid?)));
            Err(errors.chain(others).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_invalid_fields_are_reported_in_order() {
        let others = vec![RecordError::new("x", TOO_LONG)];
        let errors = assemble(Err(REQUIRED), Phone::parse("11987654321"), Err(NOT_UTF8), others).unwrap_err();
        let reported: Vec<_> = errors.iter().map(|error| (&*error.field, error.invalid.code)).collect();
        assert_eq!(reported, [("name", "required"), ("email", "not_utf8"), ("x", "too_long")]);
    }

    #[test]
    fn a_record_with_another_error_is_not_a_contact() {
        let all = || (Name::parse("Ana"), Phone::parse("11987654321"), Email::parse("ana@example.com").map(Some));
        let (name, phone, email) = all();
        assert!(assemble(name, phone, email, Vec::new()).is_ok());
        let (name, phone, email) = all();
        let too_long = RecordError::whole_record(TOO_LONG);
        assert_eq!(assemble(name, phone, email, too_long.clone()), Err(too_long));
    }
}
