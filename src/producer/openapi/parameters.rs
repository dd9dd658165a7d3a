//! The parameters of requests.
//!
//! Rule of this file: the service accepts every value that matches the pattern. It may accept more, if a stricter
//! pattern is easier to read.

use super::headers::{AN_ID, ANOTHER_ID, tag_pattern};
use super::json::{object, reference, schema};
use serde_json::{Value, json};

fn parameter(place: &str, name: &str, description: &str, schema: Value, example: Value) -> Value {
    json!({
        "name": name, "in": place, "required": place == "path",
        "description": description, "schema": schema, "example": example,
    })
}

/// A query parameter. The example is in the description: Swagger UI would send an `example` member with every request.
fn query(name: &str, description: &str, schema: Value, example: impl Into<Value>) -> Value {
    optional("query", name, description, schema, &example.into())
}

fn header(name: &str, description: &str, schema: Value, example: &str) -> Value {
    optional("header", name, description, schema, &example.into())
}

fn optional(place: &str, name: &str, description: &str, schema: Value, example: &Value) -> Value {
    let example = match example {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    json!({
        "name": name, "in": place, "required": false,
        "description": format!("{description} For example `{example}`."), "schema": schema,
    })
}

/// References to parameters, by their component names.
pub(super) fn of(names: &[&str]) -> Value {
    names.iter().map(|name| reference("parameters", name)).collect()
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// All parameters, by their component names.
pub(super) fn all() -> Value {
    object(
        [
            ("ContactId", parameter("path", "id", "The contact's id.", uuid(), ANOTHER_ID.into())),
            ("OperationId", parameter("path", "id", "The operation's id.", uuid(), AN_ID.into())),
        ]
        .into_iter()
        .chain(filters())
        .chain(pages())
        .chain(changes())
        .chain(transfer())
        .chain(conditions()),
    )
}

fn filters() -> impl Iterator<Item = (&'static str, Value)> {
    [
        ("Ddd", query("ddd", "Only contacts whose phone number has this area code.", schema("AreaCode"), 11)),
        ("State", query("state", "Only contacts whose phone number belongs to this state.", schema("State"), "SP")),
        (
            "Region",
            query("region", "Only contacts whose phone number belongs to this region.", schema("Region"), "Sudeste"),
        ),
        (
            "Search",
            query(
                "q",
                "Only contacts that the text finds: its words are beginnings of words of the name, in any order; or it \
                 is a part of the e-mail address, with at least three letters or digits in a row; or it is at least the \
                 last four digits of the phone number. Case and accents are ignored. Contacts whose name begins with the \
                 text come first, in the order of their names; all others follow.",
                schema("Name"),
                "lima ana",
            ),
        ),
        ("Email", query("email", "Only contacts with this e-mail address.", schema("EmailInput"), "ana@example.com")),
        ("Phone", query("phone", "Only contacts with this phone number.", schema("PhoneInput"), "+5511987654321")),
    ]
    .into_iter()
}

fn pages() -> impl Iterator<Item = (&'static str, Value)> {
    // A limit above 200 is reduced to 200. The service rejects more than 9 digits, which is the maximum here.
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50 });
    // The service rejects the cursor of another list with `other_list`.
    let cursor = json!({ "type": "string", "pattern": "^[0-9A-Za-z_-]{40,2300}$" });
    let mut fields = query(
        "fields",
        "Only these members of each contact, separated by commas.",
        json!({ "type": "array", "minItems": 1, "items": schema("ContactField") }),
        json!(["id", "name"]),
    );
    if let Some(parts) = fields.as_object_mut() {
        parts.extend([("style".to_owned(), json!("form")), ("explode".to_owned(), json!(false))]);
    }
    [
        (
            "Sort",
            query(
                "sort",
                "The order: by id, by name, or the last change first. The default is by id; see `q`.",
                json!({ "type": "string", "enum": ["id", "name", "-updated_at"] }),
                "name",
            ),
        ),
        (
            "Count",
            query(
                "count",
                "Adds `estimated_total`: about how many contacts match. The estimate of PostgreSQL can be far from the \
                 exact number.",
                json!({ "type": "string", "enum": ["estimated"] }),
                "estimated",
            ),
        ),
        (
            "DuplicatesBy",
            query(
                "by",
                "The value that the contacts of a group have in common. The default is the phone number.",
                json!({ "type": "string", "enum": ["phone", "email"], "default": "phone" }),
                "email",
            ),
        ),
        ("Fields", fields),
        (
            "Limit",
            query("limit", "The maximum number of contacts in a page. More than 200 is reduced to 200.", limit, 50),
        ),
        (
            "Cursor",
            // There is no example: a valid cursor only comes from an answer.
            json!({
                "name": "cursor", "in": "query", "required": false, "schema": cursor,
                "description": "The start of the page: the `next` of the previous page, with the same filters. The \
                     service signs cursors and rejects others.",
            }),
        ),
    ]
    .into_iter()
}

fn changes() -> impl Iterator<Item = (&'static str, Value)> {
    // A cursor that the database does not know is answered with 410.
    let cursor = schema("ChangeCursor");
    [
        (
            "After",
            json!({
                "name": "after", "in": "query", "required": false,
                "schema": { "anyOf": [{ "type": "string", "enum": ["latest"] }, cursor] },
                "description": "The changes after this cursor. `latest`: only the cursor after all changes until now. \
                     Everything that the service reads later, such as an export, has these changes. Without it, the page \
                     begins with the oldest change that is kept.",
            }),
        ),
        (
            "ChangeLimit",
            query(
                "limit",
                "The maximum number of changes in a page, and of changes of a stream that are read at once. More than 200 \
                 is reduced to 200.",
                json!({ "type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50 }),
                50,
            ),
        ),
        (
            "Include",
            query(
                "include",
                "`contact`: each change has the contact as it is now, or null if it was deleted.",
                json!({ "type": "string", "enum": ["contact"] }),
                "contact",
            ),
        ),
        (
            "LastEventId",
            json!({
                "name": "Last-Event-ID", "in": "header", "required": false,
                "schema": { "anyOf": [schema("ChangeCursor"), { "type": "string", "enum": [""] }] },
                "description": "The cursor of the last event that the client has. Browsers send it when they connect again. \
                     It counts more than `after`. For a page it is checked and does not count. Empty: the client has no event.",
            }),
        ),
    ]
    .into_iter()
}

fn transfer() -> impl Iterator<Item = (&'static str, Value)> {
    let column = |name, field: &str| {
        let description = format!("The CSV column that contains the {field}. The default is `{field}`.");
        query(name, &description, json!({ "type": "string", "minLength": 1, "maxLength": 100 }), field)
    };
    [
        (
            "Format",
            query(
                "format",
                "The format. The default is the preferred format in `Accept`, or `ndjson`.",
                schema("ExportFormat"),
                "csv",
            ),
        ),
        (
            "SkipExisting",
            query(
                "skip_existing",
                "Skip a record if a contact with the same name and phone number exists. Case and accents of the name are \
                 ignored. A contact whose create is not applied yet does not count.",
                json!({ "type": "boolean", "default": false }),
                true,
            ),
        ),
        (
            "DryRun",
            query(
                "dry_run",
                "Check the records and change nothing.",
                json!({ "type": "boolean", "default": false }),
                true,
            ),
        ),
        ("NameColumn", column("name_column", "name")),
        ("PhoneColumn", column("phone_column", "phone")),
        ("EmailColumn", column("email_column", "email")),
    ]
    .into_iter()
}

fn conditions() -> impl Iterator<Item = (&'static str, Value)> {
    let any = || json!({ "type": "string" });
    // Printable ASCII. White space at both ends does not belong to the value of a header (RFC 9110 section 5.5).
    let key =
        json!({ "type": "string", "minLength": 1, "pattern": "^[!-~](?:[\\t -~]{0,253}[!-~])?$", "maxLength": 255 });
    let tag = format!("\"{AN_ID}\"");
    [
        (
            "IdempotencyKey",
            header(
                "Idempotency-Key",
                "Makes the request repeatable: the same request with the same key takes effect once. A key belongs to \
                 one caller and one request.",
                key,
                "order-4711",
            ),
        ),
        (
            "IfMatch",
            header(
                "If-Match",
                "Apply the change only to this version: the `ETag` of the contact. `*` means any version. A list of ETags means \
                 one of them.",
                json!({ "type": "string", "minLength": 1, "pattern": tag_pattern() }),
                tag.as_str(),
            ),
        ),
        ("IfNoneMatch", header("If-None-Match", "Answer 304 if one of these tags is current.", any(), tag.as_str())),
        // Any text: a server ignores preferences that it does not know (RFC 7240 section 2).
        (
            "Prefer",
            header(
                "Prefer",
                "`wait=N`: wait up to N seconds, at most 60, until the change is applied. `respond-async`: do not \
                 wait.",
                any(),
                "wait=10",
            ),
        ),
        (
            "AcceptLanguage",
            header(
                "Accept-Language",
                "The language of problem texts. `pt` means Portuguese. The default is English.",
                any(),
                "pt-BR",
            ),
        ),
    ]
    .into_iter()
}
