//! The schemas held against the types that they describe, and their patterns against the parsers.

use super::document;
use super::examples::{a_contact, an_accepted, an_input, an_operation};
use super::schemas;
use crate::domain::{
    Contact, ContactId, Details, Email, Invalid, Lifecycle, Name, OperationId, OperationKind, Phone, Reason, Stamp,
    Status, Timestamp,
};
use crate::producer::contacts::cursor::CursorKey;
use crate::producer::contacts::paging::Listing;
use crate::producer::contacts::views::{ContactView, Page, Shown};
use crate::producer::language::Language;
use crate::producer::operations::views::{Accepted, OperationView};
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
use uuid::Uuid;

/// What is wrong with a value, for the keywords that the schemas use.
fn wrong(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(target) = schema.get("$ref") {
        let pointer = target.as_str().unwrap().trim_start_matches('#');
        return wrong(document, document.pointer(pointer).unwrap(), value, place);
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(keyword) {
            let fits = choices.as_array().unwrap().iter();
            let fits = fits.filter(|choice| wrong(document, choice, value, place).is_empty()).count();
            let ok = fits == 1 || keyword == "anyOf" && fits > 0;
            return if ok { Vec::new() } else { vec![format!("{place}: fits {fits} of {keyword}")] };
        }
    }
    let mut errors = Vec::new();
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types = schema.get("type").unwrap_or_else(|| panic!("{place}: a schema without a type: {schema}"));
    if types != is && !types.as_array().is_some_and(|types| types.contains(&json!(is))) {
        errors.push(format!("{place}: {is} is not {types}"));
    }
    if schema.get("enum").is_some_and(|known| !known.as_array().unwrap().contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        errors.push(format!("{place}: {value} is none of the values"));
    }
    if let (Some("uuid"), Some(text)) = (schema.get("format").and_then(Value::as_str), value.as_str())
        && Uuid::parse_str(text).is_err()
    {
        errors.push(format!("{place}: no UUID"));
    }
    if let Value::Object(members) = value {
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(schema["additionalProperties"], false, "{place}");
        for name in schema["required"].as_array().unwrap() {
            if !members.contains_key(name.as_str().unwrap()) {
                errors.push(format!("{place}: no {name}"));
            }
        }
        for (name, value) in members {
            match properties.get(name) {
                Some(schema) => errors.extend(wrong(document, schema, value, &format!("{place}/{name}"))),
                None => errors.push(format!("{place}: {name} is not described")),
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        errors.extend(wrong(document, &schema["items"], item, &format!("{place}[]")));
    }
    errors
}

#[track_caller]
fn fits(name: &str, value: impl Serialize) {
    let document = document();
    let (schema, value) = (&document["components"]["schemas"][name], serde_json::to_value(value).unwrap());
    assert_eq!(wrong(&document, schema, &value, name), [""; 0], "{value:#}");
    // Without one of its members it must not fit, or the check says nothing.
    for name_of_member in schema["required"].as_array().into_iter().flatten() {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(name_of_member.as_str().unwrap());
        assert!(!wrong(&document, schema, &less, name).is_empty(), "{name} without {name_of_member}");
    }
}

fn operation_id() -> OperationId {
    OperationId::new(Uuid::now_v7())
}

fn contact() -> Contact {
    let details = Details {
        name: Name::parse("Ana Souza").unwrap(),
        phone: Phone::parse("(11) 98765-4321").unwrap(),
        email: Email::parse("ana@example.com").unwrap(),
    };
    let now = Timestamp::from_timestamp_micros(1_700_000_000_123_456).unwrap();
    Contact {
        id: ContactId::new(Uuid::now_v7()),
        version: operation_id(),
        stamp: Stamp::new(1).unwrap(),
        created_by: operation_id(),
        created_at: now,
        updated_at: now,
        life: Lifecycle::Live(details),
    }
}

#[test]
fn what_is_shown_is_what_is_described() {
    let view = || ContactView::new(&contact()).unwrap();
    fits("Contact", view());
    fits("ContactPage", Page { items: vec![Shown::Whole(view()), Shown::Whole(view())], next: None });
    fits("ContactPage", Page { items: vec![], next: Some("a0".into()) });
    fits("Accepted", Accepted::new(operation_id(), contact().id));
    fits("Operation", OperationView::pending(operation_id()));
    let failed = Reason::ALL.iter().map(|reason| Status::Failed(*reason));
    for status in [Status::Applied, Status::Superseded].into_iter().chain(failed) {
        for kind in OperationKind::ALL {
            fits(
                "Operation",
                OperationView::ended(
                    &store::Operation {
                        id: operation_id(),
                        contact_id: contact().id,
                        kind,
                        status,
                        replays: 0,
                        fingerprint: None,
                        accepted_at: contact().created_at,
                        completed_at: contact().updated_at,
                    },
                    Language::English,
                ),
            );
        }
    }
}

#[test]
fn problems_are_what_is_described() {
    let shown = |problem: &Problem| -> Value {
        let response = problem.error_response();
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        serde_json::from_slice(&response.into_body().try_into_bytes().unwrap()).unwrap()
    };
    for kind in Kind::ALL {
        fits("Problem", shown(&Problem::new(kind, "What happened.")));
    }
    for error in PublishError::ALL {
        fits("Problem", shown(&error.into()));
    }
    let invalid = Invalid { code: "malformed", detail: "must be right" };
    for place in [FieldLocation::Body, FieldLocation::Query, FieldLocation::Path, FieldLocation::Header] {
        let problem = shown(&Problem::validation(vec![FieldError::new(place, "name", invalid)]));
        fits("FieldError", &problem["errors"][0]);
        fits("Problem", problem);
    }
}

#[test]
fn examples_are_what_is_described() {
    fits("Contact", a_contact());
    fits("ContactInput", an_input());
    fits("Accepted", an_accepted());
    fits("Operation", an_operation());
    let error = json!({ "in": "body", "field": "phone", "pointer": "/phone", "code": "malformed", "detail": "x" });
    let summary = json!({ "records": 4, "accepted": 1, "valid": 1, "invalid": 1, "not_accepted": 1, "complete": true });
    for line in [
        json!({ "line": 2, "status": "accepted", "operation_id": Uuid::now_v7(), "contact_id": Uuid::now_v7() }),
        json!({ "line": 2, "status": "valid" }),
        json!({ "line": 3, "status": "invalid", "errors": [error] }),
        json!({ "line": 4, "status": "not_accepted", "reason": "disconnected", "detail": "x" }),
        json!({ "summary": summary }),
    ] {
        fits("ImportResult", line);
    }
}

#[test]
fn limits_are_those_of_the_parsers() {
    let long = |chars: usize| Name::parse(&"é".repeat(chars)).is_ok();
    assert!(long(schemas::NAME_CHARS) && !long(schemas::NAME_CHARS + 1));
    let long = |bytes: usize| {
        let labels = [60, 60, 60, bytes - 4 - 64 - 1 - 183].map(|length| "b".repeat(length)).join(".");
        Email::parse(&format!("{}@{labels}.com", "a".repeat(64))).map_err(|invalid| invalid.code)
    };
    assert!(long(schemas::EMAIL_BYTES).is_ok());
    assert_eq!(long(schemas::EMAIL_BYTES + 1), Err("too_long"));
    let long = |bytes: usize| Phone::parse(&format!("11{}987654321", "-".repeat(bytes - 11))).is_ok();
    assert!(long(schemas::PHONE_BYTES) && !long(schemas::PHONE_BYTES + 1));
    let limit = |text: &str| Listing::parse(&format!("limit={text}"), &CursorKey::new("")).is_ok();
    assert!(limit("1") && limit("999999999") && !limit("0") && !limit("1000000000"));
}

/// What a pattern admits, wherever it is in the document. (Anchors are implied.)
fn admitted(pointer: &str) -> impl Strategy<Value = String> + use<> {
    let document = document();
    let pattern = document.pointer(pointer).unwrap()["pattern"].as_str().unwrap();
    string_regex(pattern.strip_prefix('^').unwrap().strip_suffix('$').unwrap()).unwrap()
}

proptest! {
    #[test]
    fn a_name_that_fits_is_accepted(text in admitted("/components/schemas/Name")) {
        // Some characters are more than one in NFC.
        let too_long = text.chars().count() > 30;
        prop_assert!(Name::parse(&text).is_ok() || too_long, "{text:?}");
    }

    #[test]
    fn a_phone_number_that_fits_is_accepted(text in admitted("/components/schemas/PhoneInput")) {
        prop_assert!(Phone::parse(&text).is_ok(), "{text}");
        prop_assert!(text.len() <= schemas::PHONE_BYTES);
    }

    #[test]
    fn a_version_that_fits_is_accepted(text in admitted("/components/parameters/IfMatch/schema")) {
        prop_assert!(text == "*" || text.trim_matches('"').parse::<OperationId>().is_ok(), "{text}");
    }
}
