//! Helpers for the tests of this module: read a text in chunks, summarise the entries, generate contacts.

use super::{Columns, Entry, Format, ReadAborted, Reader};
use crate::domain::{AREAS, Contact, ContactId, Details, Email, Lifecycle, Name, OperationId, Phone, Stamp};
use proptest::prelude::*;
use uuid::Uuid;

pub(super) fn read_chunks<'a>(
    format: Format,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Entry>, Result<(), ReadAborted>) {
    let mut reader = Reader::new(format, Columns::default());
    let mut entries = Vec::new();
    for chunk in chunks {
        if let Err(aborted) = reader.push(chunk, &mut entries) {
            return (entries, Err(aborted));
        }
    }
    let finished = reader.finish(&mut entries);
    (entries, finished)
}

/// Reads a text that has no error that stops the reader.
pub(super) fn read(format: Format, bytes: &[u8]) -> Vec<Entry> {
    let (entries, finished) = read_chunks(format, [bytes]);
    assert_eq!(finished, Ok(()));
    entries
}

/// Each entry as `LINE NAME` or `LINE FIELD:CODE ...`.
pub(super) fn summaries(entries: &[Entry]) -> Vec<String> {
    let summary = |entry: &Entry| match &entry.result {
        Ok(details) => format!("{} {}", entry.line, details.name.as_str()),
        Err(errors) => {
            let errors: Vec<_> = errors.iter().map(|error| format!("{}:{}", error.field, error.invalid.code)).collect();
            format!("{} {}", entry.line, errors.join(" "))
        }
    };
    entries.iter().map(summary).collect()
}

/// A contact with these details.
pub(super) fn contact(details: Details) -> Contact {
    Contact {
        id: ContactId::new(Uuid::from_u128(1)),
        version: OperationId::new(Uuid::from_u128(2)),
        stamp: Stamp::at_millis(0),
        writes: None,
        created_by: OperationId::new(Uuid::from_u128(3)),
        created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        updated_at: "2026-01-02T03:04:06.123456Z".parse().unwrap(),
        life: Lifecycle::Live(details),
    }
}

/// Any valid contact.
pub(super) fn details() -> impl Strategy<Value = Details> {
    let name = prop_oneof!["\\PC{1,100}", "[=+@-]?[a-zA-Zéß\"',;:\\\\n=@ 👩🚀\u{200d}\u{feff}]{1,100}"];
    let email = prop_oneof![
        "[a-zA-Z0-9_+=-]{1,20}@[a-z0-9]{1,20}\\.[a-z]{2,5}",
        "\"[a-z ,;:@.]{1,20}\"@[a-z]{1,20}\\.com",
        "[a-zé]{1,20}@[a-zçü]{1,20}\\.com",
    ];
    let subscriber = prop_oneof![20_000_000u32..40_000_000, 900_000_000u32..1_000_000_000];
    let phone = (proptest::sample::select(AREAS.map(|(code, _)| code).to_vec()), subscriber)
        .prop_filter_map("a service number", |(area, subscriber)| Phone::parse(&format!("{area}{subscriber}")).ok());
    (
        name.prop_filter_map("not a name", |text| Name::parse(&text).ok()),
        phone,
        proptest::option::of(email.prop_filter_map("not an address", |text| Email::parse(&text).ok())),
    )
        .prop_map(|(name, phone, email)| Details { name, phone, email })
}
