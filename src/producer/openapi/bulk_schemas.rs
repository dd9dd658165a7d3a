//! The shapes of what is sent line by line: results of an import, contacts of an export.

use super::json::{Schemas, count, one_of, record, schema, text, uuid};
use crate::queue::PublishError;
use serde_json::{Value, json};

/// A text of lines, each of which is JSON. OpenAPI 3.1 can only describe the whole of a body, so that is a text, and
/// the schema of its content (JSON Schema 2020-12) is that of each line.
pub(super) fn lines(description: &str, line: &str) -> Value {
    json!({
        "type": "string", "description": description,
        "contentMediaType": "application/x-ndjson", "contentSchema": schema(line),
    })
}

pub(super) fn transfer() -> Schemas {
    let line =
        || ("line", json!({ "type": "integer", "minimum": 1, "description": "Where the record begins, from 1." }));
    let status = |word: &'static str| ("status", json!({ "type": "string", "const": word }));
    let accepted = [
        line(),
        status("accepted"),
        ("operation_id", uuid("The operation to follow.")),
        ("contact_id", uuid("The new contact.")),
    ];
    let errors = json!({ "type": "array", "minItems": 1, "items": schema("FieldError") });
    let refused = [
        line(),
        status("not_accepted"),
        ("reason", schema("NotAcceptedReason")),
        ("detail", text("What to do about it.")),
    ];
    let numbers = [
        ("records", count("All that were read.")),
        ("accepted", count("Those that will be applied.")),
        ("valid", count("Those that would be, of a dry run.")),
        ("invalid", count("Those with wrong values.")),
        ("not_accepted", count("Those that the queue did not confirm.")),
        ("complete", json!({ "type": "boolean", "description": "Whether the whole body was read." })),
    ];
    let required = numbers.each_ref().map(|(name, _)| *name);
    let numbers = numbers.into_iter().chain([("detail", text("Why reading had to stop early."))]);
    let ids = ["line", "status", "operation_id", "contact_id"];
    let variants = ["ImportAccepted", "ImportValid", "ImportInvalid", "ImportNotAccepted", "ImportEnd"];
    let one = json!({
        "oneOf": variants.map(schema),
        "description": "One line of an import's answer: the result of a record, or, last, the summary.",
    });
    let reasons = PublishError::ALL.map(PublishError::as_str);
    vec![
        ("ImportResults", lines("Results, one on each line; the last is the summary.", "ImportResult")),
        ("ImportResult", one),
        ("ImportAccepted", record("It will be applied.", &ids, accepted)),
        ("ImportValid", record("It would be accepted.", &["line", "status"], [line(), status("valid")])),
        (
            "ImportInvalid",
            record(
                "It has wrong values.",
                &["line", "status", "errors"],
                [line(), status("invalid"), ("errors", errors)],
            ),
        ),
        (
            "ImportNotAccepted",
            record("The queue did not confirm it.", &["line", "status", "reason", "detail"], refused),
        ),
        ("ImportEnd", record("The last line.", &["summary"], [("summary", schema("ImportSummary"))])),
        ("ImportSummary", record("What became of the records.", &required, numbers)),
        ("NotAcceptedReason", one_of("string", "Why the queue did not confirm a change.", reasons)),
        ("ExportFormat", one_of("string", "`vcard` is 4.0, `vcard3` is 3.0.", ["ndjson", "csv", "vcard", "vcard3"])),
    ]
}
