//! The shapes of bodies, and the rules of their values.

use super::bulk_schemas::{lines, transfer};
use super::json::{Schemas, object, one_of, record, schema, text, uuid};
use crate::domain::{AreaCode, OperationKind, Reason, Region, State};
use crate::producer::problems::Kind;
use serde_json::{Value, json};

/// The most characters of a name.
pub(super) const NAME_CHARS: usize = 100;
/// The most bytes of an e-mail address.
pub(super) const EMAIL_BYTES: usize = 254;
/// The most bytes that are read as a phone number.
pub(super) const PHONE_BYTES: usize = 32;

/// The members of a contact, in the order in which they are shown.
const CONTACT: [&str; 10] =
    ["id", "name", "phone", "ddd", "state", "region", "email", "version", "created_at", "updated_at"];

/// Every schema, by its name.
pub(super) fn all() -> Value {
    object([areas(), inputs(), contacts(), outcomes(), problems(), transfer()].into_iter().flatten())
}

/// The same, with names for values that are no words, which code generators would only number.
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
        ("Area", record("An area code with its main state.", &["ddd", "state", "region"], members)),
        ("AreaPage", record("All area codes.", &["items"], [("items", page)])),
    ]
}

/// Control characters and line breaks, which a name must not have within.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f\u2028\u2029";
/// White space, which is cut off both ends: Unicode's, whatever an engine takes `\s` for.
const WHITE: &str = r"\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// What is a name: something that is no white space, and no control characters between. The length is counted here, as
/// `maxLength` would also count the white space at the ends, which does not matter.
fn name_pattern() -> String {
    let between = NAME_CHARS - 2;
    format!("^[{WHITE}]*[^{CONTROL}{WHITE}](?:[^{CONTROL}]{{0,{between}}}[^{CONTROL}{WHITE}])?[{WHITE}]*$")
}

/// Numbers as people write them. More is accepted (spaces, dots, hyphens and parentheses anywhere); what fits here
/// always is: one of the area codes, then a mobile or a landline number, but no 4004 number, which belongs to no area.
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
        "description": "A name: 1 to 100 characters, counted in Unicode's form NFC and without white space at its \
                        ends; no control characters or line breaks.",
        "example": "Ana Souza",
    });
    let phone = json!({
        "type": "string", "maxLength": PHONE_BYTES, "pattern": phone_pattern(),
        "description": "A Brazilian phone number with its area code, as people write it: `(11) 98765-4321`, \
                        `11987654321`, `011 98765-4321`, `+55 11 98765-4321`. Spaces, dots, hyphens and parentheses \
                        may stand anywhere. Numbers without an area (0800, 0300, 4004) are refused.",
        "example": "(11) 98765-4321",
    });
    let email = json!({
        "type": "string", "format": "email", "maxLength": EMAIL_BYTES,
        // A domain has two labels at least, which `email` alone does not ask for.
        "pattern": r"^[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+$",
        "description": "An e-mail address (RFC 5321) with a domain of two labels or more, which is kept in lower case.",
        "example": "ana@example.com",
    });
    let members = [("name", schema("Name")), ("phone", schema("PhoneInput")), ("email", schema("EmailInput"))];
    vec![
        ("Name", name),
        ("PhoneInput", phone),
        ("EmailInput", email),
        ("ContactInput", record("What a person enters about a contact.", &["name", "phone", "email"], members)),
    ]
}

fn contact_members() -> [(&'static str, Value); 10] {
    let e164 = json!({ "type": "string", "pattern": r"^\+55[1-9]{2}[2-59][0-9]{7,8}$", "description": "E.164." });
    // Not the pattern of what is entered: an address in quotes or of another script is shown as it was accepted.
    let email = json!({ "type": "string", "maxLength": EMAIL_BYTES, "description": "Its domain is in lower case." });
    let name =
        json!({ "type": "string", "minLength": 1, "maxLength": NAME_CHARS, "description": "In Unicode's form NFC." });
    [
        ("id", uuid("Never given to another contact, not even after a delete.")),
        ("name", name),
        ("phone", e164),
        ("ddd", schema("AreaCode")),
        ("state", schema("State")),
        ("region", schema("Region")),
        ("email", email),
        ("version", uuid("The operation that last changed it; the same as its `ETag`.")),
        ("created_at", time("When its create was accepted.")),
        ("updated_at", time("When its last change was accepted.")),
    ]
}

fn contacts() -> Schemas {
    let next = nullable(text("The cursor of the next page; null on the last."));
    let page = |name: &str, description: &str| {
        let items = json!({ "type": "array", "items": schema(name) });
        record(description, &["items", "next"], [("items", items), ("next", next.clone())])
    };
    vec![
        ("Contact", record("A contact.", &CONTACT, contact_members())),
        ("PartialContact", record("The members of a contact that `fields` names.", &[], contact_members())),
        ("ContactField", one_of("string", "A member of a contact.", CONTACT)),
        ("ContactPage", page("Contact", "A page of contacts.")),
        (
            "PartialContactPage",
            page("PartialContact", "A page of contacts, only with the members that `fields` names."),
        ),
        ("ContactLines", lines("Contacts, one on each line.", "Contact")),
    ]
}

fn outcomes() -> Schemas {
    let accepted = [
        ("operation_id", uuid("The operation to follow.")),
        ("contact_id", uuid("The contact that it changes.")),
        ("version", uuid("The contact's version once this is applied; the `ETag` to expect.")),
        ("status", one_of("string", "Always `accepted`.", ["accepted"])),
    ];
    let reasons: Vec<String> =
        Reason::ALL.iter().map(|reason| format!("- `{}`: {}", reason.as_str(), reason.sentence())).collect();
    let reasons = format!("Why a change failed.\n{}", reasons.join("\n"));
    let operation = [
        ("id", uuid("Its id.")),
        ("contact_id", nullable(uuid("The contact; null while pending."))),
        ("operation", nullable(schema("OperationKind"))),
        ("status", schema("OperationStatus")),
        ("reason", nullable(schema("Reason"))),
        ("detail", nullable(text("The reason as a sentence."))),
        ("accepted_at", nullable(time("When it was accepted; null while pending."))),
        ("completed_at", nullable(time("When it ended; null while pending."))),
    ];
    let members = operation.each_ref().map(|(name, _)| *name);
    let statuses = ["pending", "applied", "superseded", "failed"];
    vec![
        ("Accepted", record("A change that will be applied.", &accepted.each_ref().map(|(name, _)| *name), accepted)),
        ("Operation", record("An accepted change.", &members, operation)),
        ("OperationKind", one_of("string", "What was asked for.", OperationKind::ALL.map(OperationKind::as_str))),
        ("OperationStatus", one_of("string", "`superseded`: something newer overtook it.", statuses)),
        ("Reason", one_of("string", &reasons, Reason::ALL.iter().map(|reason| reason.as_str()))),
    ]
}

fn problems() -> Schemas {
    let types = Kind::ALL.iter().map(|kind| format!("/problems/{}", kind.slug()));
    let types = one_of("string", "The address of a page that explains it.", types);
    let names = Kind::ALL.iter().map(|kind| kind.slug().replace('-', "_").to_uppercase()).collect();
    let problem = [
        ("type", schema("ProblemType")),
        ("title", text("The same for every problem of the type.")),
        ("status", json!({ "type": "integer", "minimum": 400, "maximum": 599, "description": "The status code." })),
        ("detail", text("What happened this time.")),
        ("reason", text("A stable word for programs, with `not-accepted` and with changes that failed.")),
        ("errors", json!({ "type": "array", "items": schema("FieldError"), "description": "Every wrong value." })),
    ];
    let field = [
        ("in", schema("FieldLocation")),
        ("field", text("The name of the member, parameter or header.")),
        ("pointer", text("Where it is in the body, as a JSON pointer (RFC 6901).")),
        ("code", text("A stable code for programs.")),
        ("detail", text("What would be right.")),
    ];
    vec![
        ("Problem", record("What went wrong (RFC 9457).", &["type", "title", "status", "detail"], problem)),
        ("ProblemType", named(types, names)),
        ("FieldError", record("A wrong value.", &["in", "field", "code", "detail"], field)),
        ("FieldLocation", one_of("string", "Where a wrong value is.", ["body", "query", "path", "header"])),
    ]
}
