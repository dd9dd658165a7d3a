//! Tests that compare the schemas with the real types, and the patterns with the parsers.

use super::document;
use super::examples::{a_change, a_change_page, a_contact, a_history, an_accepted, an_input, an_operation};
use super::schemas;
use crate::domain::{
    ChangedMembers, Contact, ContactId, Details, Email, EmailPatch, Invalid, Lifecycle, Name, OperationId,
    OperationKind, Origin, Patch, Phone, Reason, Stamp, Status, Timestamp,
};
use crate::formats::ContactView;
use crate::producer::changes::cursor;
use crate::producer::changes::views::ChangePageView;
use crate::producer::contacts::cursor::CursorKey;
use crate::producer::contacts::history::{HistoryItem, HistoryView};
use crate::producer::contacts::query_parameters::Listing;
use crate::producer::contacts::views::{ContactBody, Page};
use crate::producer::language::Language;
use crate::producer::operations::views::{AcceptedView, OperationView};
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldError, FieldLocation, Kind};
use crate::queue::PublishError;
use crate::store;
use actix_web::ResponseError;
use actix_web::body::MessageBody;
use proptest::prelude::*;
use proptest::string::string_regex;
use serde::Serialize;
use serde_json::{Value, json};
use std::num::NonZeroU128;
use uuid::Uuid;

/// The violations of a schema by a value, for the keywords that the schemas use.
fn violations(document: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(target) = schema.get("$ref") {
        let pointer = target.as_str().unwrap().trim_start_matches('#');
        return violations(document, document.pointer(pointer).unwrap(), value, path);
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(keyword) {
            let fits = choices.as_array().unwrap().iter();
            let fits = fits.filter(|choice| violations(document, choice, value, path).is_empty()).count();
            let ok = fits == 1 || keyword == "anyOf" && fits > 0;
            return if ok { Vec::new() } else { vec![format!("{path}: fits {fits} of {keyword}")] };
        }
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = schema.get("type").unwrap_or_else(|| panic!("{path}: a schema without a type: {schema}"));
    if types != is && !types.as_array().is_some_and(|types| types.contains(&json!(is))) {
        return vec![format!("{path}: {is} is not {types}")];
    }
    let mut errors = Vec::new();
    if schema.get("enum").is_some_and(|known| !known.as_array().unwrap().contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        errors.push(format!("{path}: {value} is none of the values"));
    }
    if let (Some("uuid"), Some(text)) = (schema.get("format").and_then(Value::as_str), value.as_str())
        && Uuid::parse_str(text).is_err()
    {
        errors.push(format!("{path}: not a UUID"));
    }
    if let Value::Object(members) = value {
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(schema["additionalProperties"], false, "{path}");
        for name in schema["required"].as_array().unwrap() {
            if !members.contains_key(name.as_str().unwrap()) {
                errors.push(format!("{path}: no {name}"));
            }
        }
        for (name, value) in members {
            match properties.get(name) {
                Some(schema) => errors.extend(violations(document, schema, value, &format!("{path}/{name}"))),
                None => errors.push(format!("{path}: {name} is not described")),
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        errors.extend(violations(document, &schema["items"], item, &format!("{path}[]")));
    }
    errors
}

#[track_caller]
fn assert_fits(name: &str, value: impl Serialize) {
    let document = document();
    let (schema, value) = (&document["components"]["schemas"][name], serde_json::to_value(value).unwrap());
    assert_eq!(violations(&document, schema, &value, name), [""; 0], "{value:#}");
    // Without a required member the value must violate the schema, or the check proves nothing.
    for name_of_member in schema["required"].as_array().into_iter().flatten() {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(name_of_member.as_str().unwrap());
        assert!(!violations(&document, schema, &less, name).is_empty(), "{name} without {name_of_member}");
    }
}

fn operation_id() -> OperationId {
    OperationId::new(Uuid::now_v7())
}

fn contact() -> Contact {
    let details = Details {
        name: Name::parse("Ana Souza").unwrap(),
        phone: Phone::parse("(11) 98765-4321").unwrap(),
        email: Some(Email::parse("ana@example.com").unwrap()),
    };
    let now = Timestamp::from_timestamp_micros(1_700_000_000_123_456).unwrap();
    Contact {
        id: ContactId::new(Uuid::now_v7()),
        version: operation_id(),
        stamp: Stamp::new(1).unwrap(),
        writes: None,
        created_by: operation_id(),
        created_at: now,
        updated_at: now,
        life: Lifecycle::Live(details),
    }
}

#[test]
fn answers_match_their_schemas() {
    let view = || ContactView::new(&contact()).unwrap();
    assert_fits("Contact", view());
    assert_fits(
        "ContactPage",
        Page {
            items: vec![ContactBody::Full(view()), ContactBody::Full(view())],
            next: None,
            estimated_total: Some(2),
        },
    );
    assert_fits("ContactPage", Page { items: vec![], next: Some("a0".into()), estimated_total: None });
    assert_fits("Accepted", AcceptedView::new(operation_id(), contact().id));
    assert_fits("Operation", OperationView::pending(operation_id()));
    let failed = Reason::ALL.iter().map(|reason| Status::Failed(*reason));
    for status in [Status::Applied, Status::Superseded].into_iter().chain(failed) {
        for kind in OperationKind::ALL {
            assert_fits("Operation", OperationView::finished(&finished(kind, status), Language::English));
        }
    }
}

fn finished(kind: OperationKind, status: Status) -> store::Operation {
    store::Operation {
        id: operation_id(),
        contact_id: contact().id,
        kind,
        status,
        replays: 0,
        fingerprint: None,
        accepted_at: contact().created_at,
        completed_at: contact().updated_at,
        position: None,
        origin: Origin::default(),
        changed: None,
        old_values: None,
    }
}

#[test]
fn a_history_matches_its_schema() {
    let details = contact().details().cloned().unwrap();
    let members = ChangedMembers::between(None, Some(&details));
    let removed = Patch { email: Some(EmailPatch::Remove), ..Patch::default() };
    let name = Patch { name: Some(details.name), phone: Some(details.phone), email: None };
    let applied = finished(OperationKind::Update, Status::Applied);
    let origin = Origin { caller: Some("web-shop".into()), trace_id: NonZeroU128::new(1), attempts: 1 };
    let operations = [
        applied.clone(),
        store::Operation { changed: Some(members), origin, old_values: Some(name), ..applied.clone() },
        store::Operation { changed: Some(members), old_values: Some(removed), ..applied },
        finished(OperationKind::Patch, Status::Failed(Reason::ContactDeleted)),
        finished(OperationKind::Delete, Status::Superseded),
    ];
    let items = operations.iter().map(|operation| HistoryItem::new(operation, Language::English)).collect();
    let page = HistoryView { items, next: None, pruned_before: Some(contact().created_at) };
    let page = serde_json::to_value(page).unwrap();
    assert_eq!(page["items"][0]["changed"], Value::Null);
    assert_eq!(page["items"][1]["changed"], serde_json::json!(["name", "phone", "email"]));
    assert_eq!(page["items"][2]["old_values"], serde_json::json!({ "email": null }));
    assert_eq!(page["items"][3]["changed"], serde_json::json!([]));
    assert_fits("HistoryPage", page);
    assert_fits("HistoryPage", a_history());
}

#[test]
fn changes_match_their_schemas() {
    let at = |position| store::ChangePosition { position, operation: operation_id() };
    for with_contacts in [false, true] {
        let change = |(kind, contact)| store::Change {
            at: at(i64::MAX),
            contact_id: ContactId::new(Uuid::now_v7()),
            kind,
            completed_at: Timestamp::UNIX_EPOCH,
            contact,
        };
        let changes = OperationKind::ALL.into_iter().zip([Some(contact()), None, None, None]).map(change).collect();
        let page = store::ChangePage { changes, more: true, last: at(1) };
        let page = serde_json::to_value(ChangePageView::new(&page, with_contacts)).unwrap();
        assert_fits("Change", &page["items"][0]);
        assert_eq!(page["items"][1].get("contact"), with_contacts.then_some(&Value::Null));
        assert_fits("ChangePage", page);
    }
    assert_fits("Change", a_change());
    assert_fits("ChangePage", a_change_page());
    let example = cursor::decode(a_change()["cursor"].as_str().unwrap()).unwrap();
    assert_eq!(example.operation.to_string(), a_change()["version"]);
    assert_eq!(schemas::CURSOR_CHARS, cursor::encode(example).len());
}

#[test]
fn problems_match_their_schema() {
    let document_of = |problem: &Problem| -> Value {
        let response = problem.error_response();
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        serde_json::from_slice(&response.into_body().try_into_bytes().unwrap()).unwrap()
    };
    for kind in Kind::ALL {
        assert_fits("Problem", document_of(&Problem::new(kind, "What happened.")));
    }
    for error in PublishError::ALL {
        assert_fits("Problem", document_of(&error.into()));
    }
    let invalid = Invalid::new("malformed", "must be right").suggest_phone(5_511_987_654_321);
    for location in [FieldLocation::Body, FieldLocation::Query, FieldLocation::Path, FieldLocation::Header] {
        let problem = document_of(&Problem::validation(vec![FieldError::new(location, "name", invalid)]));
        assert_fits("FieldError", &problem["errors"][0]);
        assert_fits("Problem", problem);
    }
}

#[test]
fn examples_match_their_schemas() {
    assert_fits("Contact", a_contact());
    assert_fits("ContactInput", an_input());
    assert_fits("Accepted", an_accepted());
    assert_fits("Operation", an_operation());
    let error = json!({ "in": "body", "field": "phone", "pointer": "/phone", "code": "malformed", "detail": "x" });
    let summary = json!({ "records": 4, "accepted": 1, "valid": 1, "invalid": 1, "not_accepted": 1, "complete": true });
    for line in [
        json!({ "line": 2, "status": "accepted", "operation_id": Uuid::now_v7(), "contact_id": Uuid::now_v7() }),
        json!({ "line": 2, "status": "valid" }),
        json!({ "line": 2, "status": "skipped", "contact_id": Uuid::now_v7() }),
        json!({ "line": 3, "status": "invalid", "errors": [error] }),
        json!({ "line": 4, "status": "not_accepted", "reason": "disconnected", "detail": "x" }),
        json!({ "summary": summary }),
    ] {
        assert_fits("ImportResult", line);
    }
}

#[test]
fn limits_are_the_limits_of_the_parsers() {
    let fits = |chars: usize| Name::parse(&"é".repeat(chars)).is_ok();
    assert!(fits(schemas::NAME_CHARS) && !fits(schemas::NAME_CHARS + 1));
    let fits = |bytes: usize| {
        let labels = [60, 60, 60, bytes - 4 - 64 - 1 - 183].map(|length| "b".repeat(length)).join(".");
        Email::parse(&format!("{}@{labels}.com", "a".repeat(64))).map_err(|invalid| invalid.code)
    };
    assert!(fits(schemas::EMAIL_BYTES).is_ok());
    assert_eq!(fits(schemas::EMAIL_BYTES + 1), Err("too_long"));
    let fits = |bytes: usize| Phone::parse(&format!("11{}987654321", "-".repeat(bytes - 11))).is_ok();
    assert!(fits(schemas::PHONE_BYTES) && !fits(schemas::PHONE_BYTES + 1));
    let limit = |text: &str| Listing::parse(&format!("limit={text}"), &CursorKey::new("")).is_ok();
    assert!(limit("1") && limit("999999999") && !limit("0") && !limit("1000000000"));
}

/// Texts that match the pattern of the schema at `pointer`.
fn matching(pointer: &str) -> impl Strategy<Value = String> + use<> {
    let document = document();
    let pattern = document.pointer(pointer).unwrap()["pattern"].as_str().unwrap();
    string_regex(pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap()).unwrap()
}

proptest! {
    #[test]
    fn a_name_that_matches_the_pattern_is_accepted(text in matching("/components/schemas/Name")) {
        // Some characters become several in NFC.
        let too_long = text.chars().count() > 30;
        let invisible = text.chars().any(|c| ('\u{e0000}'..='\u{e0fff}').contains(&c));
        prop_assert!(Name::parse(&text).is_ok() || too_long || invisible, "{text:?}");
    }

    #[test]
    fn a_phone_number_that_matches_the_pattern_is_accepted(text in matching("/components/schemas/PhoneInput")) {
        prop_assert!(Phone::parse(&text).is_ok(), "{text}");
        prop_assert!(text.len() <= schemas::PHONE_BYTES);
    }

    #[test]
    fn a_version_that_matches_the_pattern_is_accepted(text in matching("/components/parameters/IfMatch/schema")) {
        prop_assert!(text == "*" || text.trim_matches('"').parse::<OperationId>().is_ok(), "{text}");
    }
}
