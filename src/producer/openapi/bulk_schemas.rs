//! Schemas of answers that consist of lines: results of an import, contacts of an export.

use super::json::{Schemas, count, one_of, record, schema, text, uuid};
use crate::formats::Encoding;
use crate::queue::PublishError;
use serde_json::{Value, json};

/// A text in which each line is JSON. OpenAPI 3.1 can only describe a complete body. So the schema is a text, and its
/// content schema (JSON Schema 2020-12) describes each line.
pub(super) fn lines(description: &str, line: &str) -> Value {
    json!({
        "type": "string", "description": description,
        "contentMediaType": "application/x-ndjson", "contentSchema": schema(line),
    })
}

pub(super) fn transfer() -> Schemas {
    let line =
        || ("line", json!({ "type": "integer", "minimum": 1, "description": "The first line of the record, from 1." }));
    let status = |word: &'static str| ("status", json!({ "type": "string", "const": word }));
    let ignored = || {
        (
            "ignored",
            json!({ "type": "array", "items": schema("Ignored"), "description": "What the contact does not keep." }),
        )
    };
    let accepted = [
        line(),
        ignored(),
        status("accepted"),
        ("operation_id", uuid("The id of the operation.")),
        ("contact_id", uuid("The id of the new contact.")),
    ];
    let errors = json!({ "type": "array", "minItems": 1, "items": schema("FieldError") });
    let not_accepted = [
        line(),
        ignored(),
        status("not_accepted"),
        ("reason", schema("NotAcceptedReason")),
        ("detail", text("What the client can do.")),
    ];
    let counts = [
        ("records", count("Records that were read.")),
        ("accepted", count("Records that were accepted and will be applied.")),
        ("valid", count("Valid records of a dry run.")),
        ("invalid", count("Records with invalid values.")),
        ("not_accepted", count("Records that the queue did not confirm.")),
        ("complete", json!({ "type": "boolean", "description": "Whether the service read the whole body." })),
    ];
    let required = counts.each_ref().map(|(name, _)| *name);
    let encodings = [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Windows1252].map(Encoding::name);
    let members = counts.into_iter().chain([
        ("skipped", count("Records that were skipped because their contact exists. Absent if there is none.")),
        ("encoding", one_of("string", "The encoding of the body.", encodings)),
        ("delimiter", one_of("string", "The delimiter of a CSV.", ["comma", "semicolon", "tab", "pipe"])),
        (
            "line",
            json!({ "type": "integer", "minimum": 1, "description": "The line that the service could not read." }),
        ),
        ("detail", text("Why the service did not read the whole body.")),
    ]);
    let ids = ["line", "status", "operation_id", "contact_id"];
    let variants =
        ["ImportAccepted", "ImportValid", "ImportSkipped", "ImportInvalid", "ImportNotAccepted", "ImportEnd"];
    let one = json!({
        "oneOf": variants.map(schema),
        "description": "One line of the answer to an import: the result of a record, or the summary.",
    });
    let reasons = PublishError::ALL.map(PublishError::as_str);
    vec![
        ("ImportResults", lines("One result on each line. The last line is the summary.", "ImportResult")),
        ("ImportResult", one),
        ("ImportAccepted", record("The record was accepted and will be applied.", &ids, accepted)),
        (
            "ImportValid",
            record(
                "Dry run: the record is valid.",
                &["line", "status"],
                [line(), ignored(), status("valid"), ("contact", schema("ImportPreview"))],
            ),
        ),
        (
            "ImportSkipped",
            record(
                "With `skip_existing`: a contact with the same name and phone number exists.",
                &["line", "status", "contact_id"],
                [line(), ignored(), status("skipped"), ("contact_id", uuid("The id of the existing contact."))],
            ),
        ),
        (
            "ImportInvalid",
            record(
                "The record has invalid values.",
                &["line", "status", "errors"],
                [line(), ignored(), status("invalid"), ("errors", errors)],
            ),
        ),
        (
            "ImportNotAccepted",
            record("The queue did not confirm the record.", &["line", "status", "reason", "detail"], not_accepted),
        ),
        ("ImportEnd", record("The last line.", &["summary"], [("summary", schema("ImportSummary"))])),
        ("ImportSummary", record("The number of records by result.", &required, members)),
        (
            "ImportPreview",
            record(
                "The contact as it would be created. Only the first valid records of a dry run have it.",
                &["name", "phone", "email"],
                [
                    ("name", text("The name.")),
                    ("phone", text("The phone number as E.164.")),
                    ("email", json!({ "type": ["string", "null"], "description": "The e-mail address." })),
                ],
            ),
        ),
        (
            "Ignored",
            record(
                "Something in a record that a contact does not keep.",
                &["field", "reason"],
                [
                    ("field", text("`phone`, `email`, or the name of a column or property.")),
                    (
                        "reason",
                        one_of("string", "Why it is not kept.", ["other_value", "invalid", "extension", "no_field"]),
                    ),
                    ("value", text("The value, if it is a phone number, an extension or an address.")),
                ],
            ),
        ),
        ("NotAcceptedReason", one_of("string", "Why the queue did not confirm a change.", reasons)),
        (
            "ExportFormat",
            one_of("string", "`vcard` is vCard 4.0, `vcard3` is 3.0.", ["ndjson", "csv", "vcard", "vcard3"]),
        ),
    ]
}
