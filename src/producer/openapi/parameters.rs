//! What a request may carry besides its body.
//!
//! Patterns admit exactly what the service takes, or less where that says more to a reader: a value that fits is never
//! refused for its form.

use super::headers::{AN_ID, ANOTHER_ID, tag_pattern};
use super::json::{object, reference, schema};
use serde_json::{Value, json};

fn parameter(place: &str, name: &str, description: &str, schema: Value, example: Value) -> Value {
    json!({
        "name": name, "in": place, "required": place == "path",
        "description": description, "schema": schema, "example": example,
    })
}

/// Its example stands in its description: as a member it would be what a page that tries requests sends each time.
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

/// References to parameters.
pub(super) fn of(names: &[&str]) -> Value {
    names.iter().map(|name| reference("parameters", name)).collect()
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

/// Every parameter, by the name it has in references.
pub(super) fn all() -> Value {
    object(
        [
            ("ContactId", parameter("path", "id", "The contact's id.", uuid(), ANOTHER_ID.into())),
            ("OperationId", parameter("path", "id", "The operation's id.", uuid(), AN_ID.into())),
        ]
        .into_iter()
        .chain(filters())
        .chain(pages())
        .chain(transfer())
        .chain(conditions()),
    )
}

fn filters() -> impl Iterator<Item = (&'static str, Value)> {
    [
        ("Ddd", query("ddd", "Only numbers of this area code.", schema("AreaCode"), 11)),
        ("State", query("state", "Only numbers of this state's area codes.", schema("State"), "SP")),
        ("Region", query("region", "Only numbers of this region's area codes.", schema("Region"), "Sudeste")),
        (
            "NamePrefix",
            query(
                "q",
                "What the name begins with, whatever its case and accents; more than accents and blanks. With it, \
                 contacts come in the order of their names, else of their ids.",
                schema("Name"),
                "jose",
            ),
        ),
        ("Email", query("email", "Only this address.", schema("EmailInput"), "ana@example.com")),
        ("Phone", query("phone", "Only this number.", schema("PhoneInput"), "+5511987654321")),
    ]
    .into_iter()
}

fn pages() -> impl Iterator<Item = (&'static str, Value)> {
    // Longer digits are refused, while a limit above 200 is served as 200: the bound is that of what is accepted.
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 999_999_999, "default": 50 });
    // One of another list is refused with `other_list`.
    let cursor = json!({ "type": "string", "pattern": "^[0-9A-Za-z_-]{40,2300}$" });
    let mut fields = query(
        "fields",
        "Only these members of each contact, with commas between.",
        json!({ "type": "array", "minItems": 1, "items": schema("ContactField") }),
        json!(["id", "name"]),
    );
    if let Some(parts) = fields.as_object_mut() {
        parts.extend([("style".to_owned(), json!("form")), ("explode".to_owned(), json!(false))]);
    }
    [
        ("Fields", fields),
        ("Limit", query("limit", "How many contacts a page has at most; more than 200 is cut to 200.", limit, 50)),
        (
            "Cursor",
            // Without an example: only an answer can make one.
            json!({
                "name": "cursor", "in": "query", "required": false, "schema": cursor,
                "description": "Where the page begins: `next` of the page before, with the same filters. It is sealed: one \
                     that was made up or changed is refused.",
            }),
        ),
    ]
    .into_iter()
}

fn transfer() -> impl Iterator<Item = (&'static str, Value)> {
    let column = |name, field: &str| {
        let description = format!("The CSV column that holds the {field}; `{field}` unless said.");
        query(name, &description, json!({ "type": "string", "minLength": 1, "maxLength": 100 }), field)
    };
    [
        (
            "Format",
            query(
                "format",
                "The format; else the first that `Accept` names; else `ndjson`.",
                schema("ExportFormat"),
                "csv",
            ),
        ),
        (
            "DryRun",
            query(
                "dry_run",
                "Only check the records, change nothing.",
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
    // Printable ASCII; white space at the ends is no part of a header's value (RFC 9110 section 5.5).
    let key =
        json!({ "type": "string", "minLength": 1, "pattern": "^[!-~](?:[\\t -~]{0,253}[!-~])?$", "maxLength": 255 });
    let tag = format!("\"{AN_ID}\"");
    [
        (
            "IdempotencyKey",
            header(
                "Idempotency-Key",
                "Makes the request repeatable: the same key and request take effect once. A key belongs to one caller \
                 and one request.",
                key,
                "order-4711",
            ),
        ),
        (
            "IfMatch",
            header(
                "If-Match",
                "Only if this is the current version: the `ETag` of the contact. `*` is any.",
                json!({ "type": "string", "minLength": 1, "pattern": tag_pattern() }),
                tag.as_str(),
            ),
        ),
        ("IfNoneMatch", header("If-None-Match", "Answer 304 if one of these tags is current.", any(), tag.as_str())),
        // Any text: what a server does not understand here it passes over (RFC 7240 section 2).
        (
            "Prefer",
            header(
                "Prefer",
                "`wait=N` waits up to N seconds, at most 60, for the change to be applied; `respond-async` does not.",
                any(),
                "wait=10",
            ),
        ),
        (
            "AcceptLanguage",
            header("Accept-Language", "`pt` gives the texts of problems in Portuguese.", any(), "pt-BR"),
        ),
    ]
    .into_iter()
}
