//! The schemas of bodies and values.

use super::bulk_schemas::{lines, transfer};
use super::json::{Schemas, count, object, one_of, record, schema, text, uuid};
use crate::domain::{AreaCode, OperationKind, Reason, Region, State};
use crate::producer::problems::Kind;
use serde_json::{Value, json};

/// The maximum number of characters in a name.
pub(super) const NAME_CHARS: usize = 100;
/// The maximum number of bytes in an e-mail address.
pub(super) const EMAIL_BYTES: usize = 254;
/// The maximum number of bytes in the text of a phone number.
pub(super) const PHONE_BYTES: usize = 96;

/// The number of characters of a cursor of the change feed.
pub(super) const CURSOR_CHARS: usize = 34;

/// The members of a contact, in their order.
const CONTACT: [&str; 10] =
    ["id", "name", "phone", "ddd", "state", "region", "email", "version", "created_at", "updated_at"];

/// All schemas, by their names.
pub(super) fn all() -> Value {
    object(
        [areas(), inputs(), contacts(), outcomes(), history(), changes(), problems(), subjects(), transfer()]
            .into_iter()
            .flatten(),
    )
}

/// Adds names for the values of an enum. Code generators would otherwise number values that are not words.
fn named(mut schema: Value, names: Vec<String>) -> Value {
    if let Some(parts) = schema.as_object_mut() {
        parts.insert("x-enum-varnames".into(), names.into());
    }
    schema
}

fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

/// The same schema, or null.
fn nullable(schema: Value) -> Value {
    match schema {
        Value::Object(mut parts) if parts.contains_key("type") => {
            let kind = parts.remove("type").unwrap_or_default();
            parts.insert("type".into(), json!([kind, "null"]));
            Value::Object(parts)
        }
        other => json!({ "oneOf": [other, { "type": "null" }] }),
    }
}

fn areas() -> Schemas {
    let members = [("ddd", schema("AreaCode")), ("state", schema("State")), ("region", schema("Region"))];
    let page = json!({ "type": "array", "items": schema("Area") });
    let codes = one_of("integer", "An area code (DDD).", AreaCode::all().map(AreaCode::number));
    vec![
        ("AreaCode", named(codes, AreaCode::all().map(|code| format!("DDD_{code}")).collect())),
        ("State", one_of("string", "A state (UF).", State::ALL.map(State::as_str))),
        ("Region", one_of("string", "A region of Brazil.", Region::ALL.map(Region::as_str))),
        ("Area", record("An area code with its main state and region.", &["ddd", "state", "region"], members)),
        ("AreaPage", record("All area codes.", &["items"], [("items", page)])),
    ]
}

/// Control characters, line breaks, and characters that change the text direction. A name must not contain them.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069";
/// Characters that show nothing. A name must not begin or end with them here; the service only requires that one
/// character is visible. A pattern without the flag `u` cannot name those above U+FFFF.
const INVISIBLE: &str = r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0";
/// Unicode white space, which is removed at both ends. The meaning of `\s` differs between regex engines.
const WHITE: &str = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// The pattern of a name: a visible character at both ends, and no control characters. The pattern also limits the length, because
/// `maxLength` would count the white space at both ends.
fn name_pattern() -> String {
    let between = NAME_CHARS - 2;
    let visible = format!("[^{CONTROL}{WHITE}{INVISIBLE}]");
    format!("^[{WHITE}]*{visible}(?:[^{CONTROL}]{{0,{between}}}{visible})?[{WHITE}]*$")
}

/// The pattern of a phone number: an area code, then a mobile or landline number. 4004 numbers have no area code and do
/// not match. The service accepts more: separators at any position, carrier codes, `tel:` URIs.
fn phone_pattern() -> String {
    let tens = |tens: u8| {
        let units: String = AreaCode::all()
            .filter(|code| code.number() / 10 == tens)
            .map(|code| (code.number() % 10).to_string())
            .collect();
        format!("{tens}[{units}]")
    };
    let areas = (1..=9).map(tens).collect::<Vec<_>>().join("|");
    let landline = "(?:[235][0-9]{3}|4[1-9][0-9]{2}|40[1-9][0-9]|400[0-35-9])";
    format!(r"^(?:\+55 ?|0)?(?:\((?:{areas})\)|(?:{areas})) ?(?:9[0-9]{{4}}|{landline})-?[0-9]{{4}}$")
}

fn inputs() -> Schemas {
    let name = json!({
        "type": "string", "minLength": 1, "pattern": name_pattern(),
        "description": "A name of 1 to 100 characters with a visible one, without control characters, line breaks and \
                        characters that change the text direction. The service removes white space at both ends, \
                        replaces non-breaking spaces and counts characters in Unicode's form NFC.",
        "example": "Ana Souza",
    });
    let phone = json!({
        "type": "string", "maxLength": PHONE_BYTES, "pattern": phone_pattern(),
        "description": "A Brazilian phone number with its area code, for example `(11) 98765-4321`, `11987654321`, \
                        `011 98765-4321`, `0 15 11 98765-4321` (with a carrier code), `+55 11 98765-4321`, \
                        `0055 11 98765-4321` or `tel:+55-11-98765-4321`. The service ignores spaces, dashes, dots and \
                        parentheses. It rejects numbers without an area code (0800, 0300, 4004) and extensions.",
        "example": "(11) 98765-4321",
    });
    let email = json!({
        "type": "string", "format": "email", "maxLength": EMAIL_BYTES,
        // The format `email` does not require that the domain has at least two labels.
        "pattern": r"^[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+$",
        "description": "An e-mail address (RFC 5321). The domain has at least two labels; the service stores it in \
                        lower case.",
        "example": "ana@example.com",
    });
    let optional_email = json!({ "oneOf": [schema("EmailInput"), { "type": "null" }], "description": "Optional." });
    let members = [("name", schema("Name")), ("phone", schema("PhoneInput")), ("email", optional_email)];
    vec![
        ("Name", name),
        ("PhoneInput", phone),
        ("EmailInput", email),
        ("ContactInput", record("The values of a contact in a request.", &["name", "phone"], members.clone())),
        ("ContactPatch", with_minimum(record("The fields to change: at least one.", &[], members))),
    ]
}

/// An object with at least one member.
fn with_minimum(mut schema: Value) -> Value {
    if let Some(keywords) = schema.as_object_mut() {
        keywords.insert("minProperties".into(), 1.into());
    }
    schema
}

fn contact_members() -> [(&'static str, Value); 10] {
    let e164 = json!({
        "type": "string", "pattern": r"^\+55[1-9]{2}[2-59][0-9]{7,8}$",
        "description": "The phone number in the format E.164.",
    });
    // This is not the pattern of the input: the service also accepts addresses with quotes or other scripts.
    let description = "The e-mail address, with its domain in lower case; `null` if the contact has none.";
    let email = json!({ "type": ["string", "null"], "maxLength": EMAIL_BYTES, "description": description });
    let description = "The name, in Unicode's form NFC.";
    let name = json!({ "type": "string", "minLength": 1, "maxLength": NAME_CHARS, "description": description });
    [
        ("id", uuid("The id of the contact. It is never used again, also after a delete.")),
        ("name", name),
        ("phone", e164),
        ("ddd", schema("AreaCode")),
        ("state", schema("State")),
        ("region", schema("Region")),
        ("email", email),
        ("version", uuid("The id of the operation that last changed the contact. It is also the `ETag`.")),
        ("created_at", time("When the service accepted the create.")),
        ("updated_at", time("When the service accepted the last change.")),
    ]
}

fn contacts() -> Schemas {
    let next = nullable(text("The cursor of the next page. Null on the last page."));
    let next_page = next.clone();
    let page = |name: &str, description: &str| {
        let items = json!({ "type": "array", "items": schema(name) });
        let total = json!({
            "type": "integer", "minimum": 0,
            "description": "About how many contacts match. Only with `count=estimated`.",
        });
        let members = [("items", items), ("next", next.clone()), ("estimated_total", total)];
        record(description, &["items", "next"], members)
    };
    vec![
        ("Contact", record("A contact.", &CONTACT, contact_members())),
        ("PartialContact", record("A contact with the members that `fields` names.", &[], contact_members())),
        ("ContactField", one_of("string", "A member of a contact.", CONTACT)),
        ("ContactPage", page("Contact", "A page of contacts.")),
        ("PartialContactPage", page("PartialContact", "A page of contacts with the members that `fields` names.")),
        (
            "DuplicatePage",
            record(
                "A page of duplicates.",
                &["items", "next"],
                [("items", json!({ "type": "array", "items": schema("Duplicates") })), ("next", next_page)],
            ),
        ),
        (
            "Duplicates",
            record(
                "Contacts that have the same value.",
                &["value", "count", "contacts"],
                [
                    ("value", text("The phone number, or the e-mail address in lower case.")),
                    ("count", json!({ "type": "integer", "minimum": 2, "description": "How many contacts have it." })),
                    (
                        "contacts",
                        json!({ "type": "array", "items": schema("Contact"), "description": "The first ten of them." }),
                    ),
                ],
            ),
        ),
        ("ContactLines", lines("One contact on each line.", "Contact")),
    ]
}

fn outcomes() -> Schemas {
    let accepted = [
        ("operation_id", uuid("The id of the operation.")),
        ("contact_id", uuid("The id of the contact.")),
        ("version", uuid("The version of the contact after this change is applied.")),
        ("status", one_of("string", "Always `accepted`.", ["accepted"])),
    ];
    let reasons: Vec<String> =
        Reason::ALL.iter().map(|reason| format!("- `{}`: {}", reason.as_str(), reason.sentence())).collect();
    let reasons = format!("Why a change failed.\n{}", reasons.join("\n"));
    let operation = [
        ("id", uuid("The id of the operation.")),
        ("contact_id", nullable(uuid("The id of the contact. Null while pending."))),
        ("operation", nullable(schema("OperationKind"))),
        ("status", schema("OperationStatus")),
        ("reason", nullable(schema("Reason"))),
        ("detail", nullable(text("The reason as a sentence."))),
        ("accepted_at", nullable(time("When the service accepted the change. Null while pending."))),
        ("completed_at", nullable(time("When the operation finished. Null while pending."))),
    ];
    let members = operation.each_ref().map(|(name, _)| *name);
    let statuses = ["pending", "applied", "superseded", "failed", "expired"];
    vec![
        (
            "Accepted",
            record("An accepted change, which will be applied.", &accepted.each_ref().map(|(name, _)| *name), accepted),
        ),
        ("Operation", record("An accepted change and its result.", &members, operation)),
        ("OperationKind", one_of("string", "The kind of change.", OperationKind::ALL.map(OperationKind::as_str))),
        (
            "OperationStatus",
            one_of(
                "string",
                "`superseded`: not applied, because a newer change was applied first. `expired`: finished so long ago that its \
                 record was removed.",
                statuses,
            ),
        ),
        ("Reason", one_of("string", &reasons, Reason::ALL.iter().map(|reason| reason.as_str()))),
    ]
}

fn changes() -> Schemas {
    let cursor = json!({
        "type": "string", "pattern": format!("^AQ[0-9A-Za-z_-]{{{}}}$", CURSOR_CHARS - 2),
        "description": "A place in the change feed. It stays valid until changes after it are removed.",
    });
    let change = [
        ("cursor", schema("ChangeCursor")),
        ("contact_id", uuid("The id of the contact.")),
        ("version", uuid("The version of the contact after the change: the id of the operation.")),
        ("operation", schema("OperationKind")),
        ("completed_at", time("When the change was applied.")),
    ];
    let required = change.each_ref().map(|(name, _)| *name);
    let contact = nullable(schema("Contact"));
    let items = json!({ "type": "array", "items": schema("Change") });
    let more = json!({ "type": "boolean", "description": "Whether there are more changes after this page now." });
    vec![
        ("ChangeCursor", cursor),
        ("Change", record("A change of a contact.", &required, change.into_iter().chain([("contact", contact)]))),
        (
            "ChangePage",
            record(
                "A page of changes. `next` is the cursor to go on with, also after an empty page.",
                &["items", "next", "more"],
                [("items", items), ("next", schema("ChangeCursor")), ("more", more)],
            ),
        ),
        (
            "ChangeEvents",
            json!({ "type": "string", "description": "Server-Sent Events. The data of an event `change` is a `Change`." }),
        ),
    ]
}

fn history() -> Schemas {
    let members = one_of("string", "A field of a contact.", ["name", "phone", "email"]);
    let old_values = [
        ("name", text("The name before.")),
        ("phone", text("The phone number before.")),
        ("email", nullable(text("The e-mail address before. Null: the contact had none."))),
    ];
    let item = [
        ("operation_id", uuid("The id of the operation.")),
        ("operation", schema("OperationKind")),
        ("status", one_of("string", "The result.", ["applied", "superseded", "failed"])),
        ("reason", nullable(schema("Reason"))),
        ("detail", nullable(text("The reason as a sentence."))),
        ("version", nullable(uuid("The version of the contact after the change. Null if nothing was changed."))),
        (
            "changed",
            nullable(json!({
                "type": "array", "items": members,
                "description": "The fields that have another value since then. Null if an older version applied the change.",
            })),
        ),
        ("caller", nullable(text("The name of the API key or client. Null if the service needs no key."))),
        (
            "trace_id",
            nullable(json!({
                "type": "string", "pattern": "^[0-9a-f]{32}$",
                "description": "The trace of the request. The log has it, too.",
            })),
        ),
        ("accepted_at", time("When the service accepted the change.")),
        ("completed_at", time("When the operation finished.")),
    ];
    let required = item.each_ref().map(|(name, _)| *name);
    let kept =
        record("The values that the changed fields had. Only with the setting `history.values`.", &[], old_values);
    let items = json!({ "type": "array", "items": schema("HistoryItem") });
    let pruned = nullable(time("Operations from before this time may have been removed."));
    vec![
        ("OldValues", kept),
        (
            "HistoryItem",
            record(
                "A finished operation of a contact.",
                &required,
                item.into_iter().chain([("old_values", schema("OldValues"))]),
            ),
        ),
        (
            "HistoryPage",
            record(
                "A page of a history.",
                &["items", "next", "pruned_before"],
                [
                    ("items", items),
                    ("next", nullable(text("The cursor of the next page. Null on the last page."))),
                    ("pruned_before", pruned),
                ],
            ),
        ),
    ]
}

/// The bodies of the paths below `/subjects`.
fn subjects() -> Schemas {
    let texts =
        |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let list = |name: &str| json!({ "type": "array", "items": schema(name) });
    let selectors = [
        ("phone", schema("PhoneInput")),
        ("email", schema("EmailInput")),
        ("name", schema("Name")),
        ("id", uuid("The id of a contact.")),
    ];
    let mut contact: Vec<(&str, Value)> = contact_members().into();
    contact.push(("created_by", uuid("The operation that created the contact.")));
    let contact_names: Vec<&str> = contact.iter().map(|(name, _)| *name).collect();
    let waiting = [("work", count("In the work queue.")), ("retry", count("In the retry queue."))];
    let dead_letter = [
        ("id", text("The id of the message.")),
        ("reason", text("Why it failed.")),
        ("operation", text("The kind of change, or `unknown`.")),
        ("contact_id", nullable(text("The contact that the message names."))),
        ("last_failed_at", nullable(time("When it failed last."))),
        ("matched_by", texts("Which values of the person it has: `contact`, `phone`, `email`, `name`.")),
    ];
    let found = [
        ("contacts", list("SubjectContact")),
        ("dead_letters", list("SubjectDeadLetter")),
        ("old_values", list("SubjectOldValues")),
        ("waiting", schema("SubjectWaiting")),
        ("not_searched", texts("What may also have data of the person.")),
    ];
    let searched =
        ["phones", "emails", "names", "contacts"].map(|name| (name, texts("The values that were searched for.")));
    let operation = [
        ("id", uuid("The id of the operation.")),
        ("contact_id", uuid("The id of the contact.")),
        ("operation", schema("OperationKind")),
        ("status", schema("OperationStatus")),
        ("reason", nullable(schema("Reason"))),
        ("replays", count("How often an operator had replayed the message.")),
        ("accepted_at", time("When the service accepted the change.")),
        ("completed_at", time("When the operation finished.")),
    ];
    let message = [
        ("id", text("The id of the message.")),
        ("type", text("The type of the message.")),
        ("timestamp", count("When the change was accepted, in seconds since 1970.")),
        ("headers", json!({ "type": "object", "description": "The headers of the message." })),
        ("body", json!({ "description": "The body, if it is JSON." })),
        ("body_base64", text("The body, if it is not JSON.")),
        ("digest", text("For `dlq-drain import`: shows whether the message was changed.")),
    ];
    let exported = [
        ("schema", json!({ "type": "integer", "const": 1, "description": "The version of this form." })),
        ("exported_at", time("When the export was made.")),
        ("searched", schema("SubjectSearch")),
        ("contacts", list("SubjectContact")),
        ("operations", list("SubjectOperation")),
        ("dead_letters", list("SubjectMessage")),
        ("waiting", schema("SubjectWaiting")),
        ("not_searched", texts("What may also have data of the person.")),
    ];
    let suppressed =
        ["contacts", "phones", "emails"].map(|name| (name, count("Values that no earlier change brings back.")));
    let erased = [
        ("erasure_id", uuid("The id of the erasure. The log has it, too.")),
        ("erased_at", time("A change that was accepted later is applied.")),
        ("complete", json!({ "type": "boolean", "description": "Whether a last search found nothing." })),
        ("contacts", texts("The ids of the deleted contacts.")),
        ("dead_letters", count("How many dead-lettered messages were discarded.")),
        ("old_values", count("How many operations kept old values or a digest of their request.")),
        ("undecodable", count("How many of them could not be decoded: their text named the person.")),
        ("later", count("Contacts and messages of the first search that are later than the erasure. They stay.")),
        ("suppressed", schema("SubjectSuppressed")),
        ("not_suppressed", count("Values that other contacts or other messages have too.")),
        ("waiting", schema("SubjectWaiting")),
        ("notes", texts("What is left to do.")),
        ("not_reached", texts("What may still have data of the person.")),
    ];
    let message_names = ["id", "type", "timestamp", "headers", "digest"];
    vec![
        ("Subject", with_minimum(record("A person: each value that matches is enough.", &[], selectors))),
        ("SubjectContact", record("A contact with all its members.", &contact_names, contact)),
        ("SubjectWaiting", record("Messages that wait in the other queues.", &["work", "retry"], waiting)),
        ("SubjectDeadLetter", complete("A dead-lettered message of the person.", dead_letter)),
        ("FoundSubject", complete("What is stored about a person.", found)),
        (
            "SubjectOldValues",
            complete(
                "An operation that keeps values that it replaced (`history.values`).",
                [
                    ("operation_id", uuid("The id of the operation.")),
                    ("contact_id", uuid("The contact.")),
                    ("completed_at", time("When the operation finished.")),
                    ("matched_by", texts("Which values of the person it has: `contact`, `phone`, `email`, `name`.")),
                ],
            ),
        ),
        ("SubjectSearch", complete("What was searched for.", searched)),
        (
            "SubjectOperation",
            record(
                "An operation of a contact or of a message.",
                &operation.each_ref().map(|(name, _)| *name),
                operation.into_iter().chain([("old_values", schema("OldValues"))]),
            ),
        ),
        ("SubjectMessage", record("A dead-lettered message.", &message_names, message)),
        ("ExportedSubject", complete("Everything that was found about a person.", exported)),
        ("SubjectSuppressed", complete("How many values no earlier change brings back.", suppressed)),
        ("ErasedSubject", complete("The report of an erasure.", erased)),
    ]
}

/// An object that has all its members.
fn complete<const N: usize>(description: &str, members: [(&'static str, Value); N]) -> Value {
    record(description, &members.each_ref().map(|(name, _)| *name), members)
}

fn problems() -> Schemas {
    let types = Kind::ALL.iter().map(|kind| format!("/problems/{}", kind.slug()));
    let types = one_of("string", "The problem type: the path of a page that explains it.", types);
    let names = Kind::ALL.iter().map(|kind| kind.slug().replace('-', "_").to_uppercase()).collect();
    let problem = [
        ("type", schema("ProblemType")),
        ("title", text("A summary. It is the same for all problems of a type.")),
        ("status", json!({ "type": "integer", "minimum": 400, "maximum": 599, "description": "The status code." })),
        ("detail", text("What happened in this case.")),
        ("reason", text("A stable code for programs: why the queue did not accept a change, or why a change failed.")),
        ("errors", json!({ "type": "array", "items": schema("FieldError"), "description": "All field errors." })),
    ];
    let field = [
        ("in", schema("FieldLocation")),
        ("field", text("The name of the member, parameter or header.")),
        ("pointer", text("The position in the body as a JSON pointer (RFC 6901).")),
        ("code", text("A stable code for programs.")),
        ("detail", text("What is valid.")),
        ("suggestion", text("The value that was probably meant, such as a phone number with its ninth digit.")),
    ];
    vec![
        ("Problem", record("An error (RFC 9457).", &["type", "title", "status", "detail"], problem)),
        ("ProblemType", named(types, names)),
        ("FieldError", record("An invalid value of a request.", &["in", "field", "code", "detail"], field)),
        ("FieldLocation", one_of("string", "Where the invalid value is.", ["body", "query", "path", "header"])),
    ]
}
