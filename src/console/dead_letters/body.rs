//! The body of a message, with or without its personal data, and its fields that can be edited.
//!
//! Rule of this file: without the values, only members are shown that this system defines, and only if they have the
//! form that they must have. Everything else could be personal data.

use crate::domain::{OperationKind, Timestamp};
use crate::message::{Message, decode};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The longest body that is shown as it is, in bytes. A command of this system is shorter; the broker lets other programs
/// publish many megabytes, with which a browser would no longer answer.
pub(super) const MAX_BODY: usize = 128 * 1024;

/// The fields of a contact.
pub(super) const FIELDS: [&str; 3] = ["name", "phone", "email"];

/// Whether the personal data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    Hidden,
    Shown,
}

/// The body of a message.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct BodyView {
    pub(super) body: Value,
    /// Where values are hidden.
    pub(super) hidden: Vec<String>,
    /// The fields that can be edited.
    pub(super) fields: Vec<&'static str>,
    /// Whether the body is a valid command.
    pub(super) decodable: bool,
    /// How many bytes of a long body are shown.
    pub(super) shown_bytes: Option<usize>,
}

impl BodyView {
    pub(super) fn of(message: &Message, values: Values) -> Self {
        if let Some((begin, _)) = message.body.split_at_checked(MAX_BODY).filter(|(_, rest)| !rest.is_empty()) {
            let (body, hidden) = match values {
                Values::Shown => (begin.escape_ascii().to_string().into(), Vec::new()),
                Values::Hidden => (Value::Null, vec!["body".to_owned()]),
            };
            return Self { body, hidden, fields: Vec::new(), decodable: false, shown_bytes: Some(MAX_BODY) };
        }
        let parsed = serde_json::from_slice::<Value>(&message.body).ok();
        let fields = parsed.as_ref().map(editable_fields).unwrap_or_default();
        let decodable = decode(&message.body).is_ok();
        let (body, hidden) = match (values, parsed) {
            (Values::Shown, Some(body)) => (body, Vec::new()),
            (Values::Shown, None) => (Value::String(message.body.escape_ascii().to_string()), Vec::new()),
            (Values::Hidden, Some(Value::Object(members))) => without_values(&members),
            (Values::Hidden, _) => (Value::Null, vec!["body".to_owned()]),
        };
        Self { body, hidden, fields, decodable, shown_bytes: None }
    }
}

/// The body with `null` in the place of each value that may be personal data, and the names of those values.
fn without_values(members: &Map<String, Value>) -> (Value, Vec<String>) {
    let (mut view, mut hidden, mut others) = (Map::new(), Vec::new(), false);
    for (name, value) in members {
        let shown = match (name.as_str(), value) {
            ("schema" | "stamp", Value::Number(_)) | ("expects", Value::Null) => Some(value.clone()),
            ("operation", Value::String(text)) if OperationKind::parse(text).is_some() => Some(value.clone()),
            ("operation_id" | "contact_id" | "expects", Value::String(text)) if Uuid::try_parse(text).is_ok() => {
                Some(value.clone())
            }
            ("accepted_at", Value::String(text)) if text.parse::<Timestamp>().is_ok() => Some(value.clone()),
            ("contact" | "patch", Value::Object(fields)) => {
                Some(without_fields(name, fields, &mut hidden, &mut others).into())
            }
            _ => None,
        };
        let is_known = matches!(
            name.as_str(),
            "schema"
                | "stamp"
                | "operation"
                | "operation_id"
                | "contact_id"
                | "expects"
                | "accepted_at"
                | "contact"
                | "patch"
                | "fingerprint"
        );
        match shown {
            Some(shown) => drop(view.insert(name.clone(), shown)),
            None if is_known => {
                view.insert(name.clone(), Value::Null);
                hidden.push(name.clone());
            }
            // Even the name can be anything.
            None => others = true,
        }
    }
    if others {
        hidden.push("other members".to_owned());
    }
    (view.into(), hidden)
}

fn without_fields(
    parent: &str,
    fields: &Map<String, Value>,
    hidden: &mut Vec<String>,
    others: &mut bool,
) -> Map<String, Value> {
    let mut view = Map::new();
    for (name, value) in fields {
        if FIELDS.contains(&name.as_str()) {
            view.insert(name.clone(), Value::Null);
            if !value.is_null() {
                hidden.push(format!("{parent}.{name}"));
            }
        } else {
            *others = true;
        }
    }
    view
}

/// The fields that can be edited: those of the operation, if everything else in the body is valid. No field if the body
/// cannot become a command.
pub(super) fn editable_fields(body: &Value) -> Vec<&'static str> {
    let fields: Vec<&str> = match (body.get("operation").and_then(Value::as_str), body.get("patch")) {
        (Some("insert" | "update"), _) => FIELDS.to_vec(),
        (Some("patch"), Some(Value::Object(patch))) if patch.keys().all(|name| FIELDS.contains(&name.as_str())) => {
            FIELDS.into_iter().filter(|field| patch.contains_key(*field)).collect()
        }
        _ => return Vec::new(),
    };
    let example = |field: &str| match field {
        "name" => "Name",
        "phone" => "+5511987654321",
        _ => "name@example.com",
    };
    let with_examples = with_fields(body, fields.iter().map(|field| (*field, example(field).into())));
    if decode(with_examples.to_string().as_bytes()).is_ok() { fields } else { Vec::new() }
}

/// The body with these values of fields.
pub(super) fn with_fields<'a>(body: &Value, values: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let mut body = body.clone();
    let parent = if body.get("operation").is_some_and(|operation| operation == "patch") { "patch" } else { "contact" };
    if let Some(body) = body.as_object_mut() {
        let fields = body.entry(parent).or_insert_with(|| Map::new().into());
        if !fields.is_object() {
            *fields = Map::new().into();
        }
        if let Some(fields) = fields.as_object_mut() {
            fields.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
    }
    body
}

/// The value of a field in a body.
pub(super) fn field<'a>(body: &'a Value, name: &str) -> &'a Value {
    const NULL: &Value = &Value::Null;
    let parent = if body.get("operation").is_some_and(|operation| operation == "patch") { "patch" } else { "contact" };
    body.get(parent).and_then(|parent| parent.get(name)).unwrap_or(NULL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body() -> Value {
        json!({
            "schema": 1, "operation": "insert", "stamp": 5, "accepted_at": "2026-01-02T03:04:05.123456Z",
            "operation_id": "01890000-0000-7000-8000-000000000001",
            "contact_id": "01890000-0000-7000-8000-000000000002",
            "contact": { "name": "Marked Name", "phone": "+5520912340000", "email": null },
        })
    }

    fn view(body: &[u8], values: Values) -> BodyView {
        BodyView::of(&Message { body: body.to_vec(), ..Message::default() }, values)
    }

    #[test]
    fn personal_values_are_hidden_until_they_are_shown() {
        let text = body().to_string();
        let hidden = view(text.as_bytes(), Values::Hidden);
        assert_eq!(hidden.hidden, ["contact.name", "contact.phone"]);
        assert_eq!(hidden.body["contact"], json!({ "name": null, "phone": null, "email": null }));
        assert_eq!(hidden.body["contact_id"], body()["contact_id"]);
        // The area code 20 does not exist.
        assert_eq!((hidden.fields.as_slice(), hidden.decodable), (&FIELDS[..], false));
        assert_eq!(view(text.as_bytes(), Values::Shown).body, body());
        let shown = view(b"\xffAna", Values::Shown);
        assert_eq!((shown.body, shown.fields.len()), (json!("\\xffAna"), 0));
    }

    #[test]
    fn no_value_of_a_malformed_body_is_shown() {
        let mark = "Marked Person +5511987654321";
        let mut bodies: Vec<Vec<u8>> = vec![
            mark.into(),
            format!("[\"{mark}\"]").into(),
            format!("\"{mark}\"").into(),
            json!({ mark: mark }).to_string().into(),
            json!({ "contact": { mark: { "name": mark } }, "patch": [mark] }).to_string().into(),
        ];
        for name in ["schema", "operation", "operation_id", "contact_id", "stamp", "expects", "accepted_at", "contact"]
        {
            for value in [json!(mark), json!([mark]), json!({ "deep": mark })] {
                let mut body = body();
                body[name] = value;
                bodies.push(body.to_string().into());
            }
        }
        for body in bodies {
            let view = view(&body, Values::Hidden);
            let text = serde_json::to_string(&view).unwrap();
            assert!(!text.contains("Marked") && !text.contains("98765"), "{text}");
            assert!(!view.hidden.is_empty());
        }
    }

    #[test]
    fn only_the_beginning_of_a_very_long_body_is_shown() {
        let mut body = body();
        body["contact"]["name"] = "x".repeat(20 << 20).into();
        let long = Message { body: body.to_string().into(), ..Message::default() };
        let shown = BodyView::of(&long, Values::Shown);
        assert_eq!((shown.shown_bytes, shown.fields.len()), (Some(MAX_BODY), 0));
        assert!(shown.body.as_str().is_some_and(|text| text.len() < 2 * MAX_BODY));
        let hidden = BodyView::of(&long, Values::Hidden);
        assert_eq!((hidden.body, hidden.hidden), (Value::Null, vec!["body".to_owned()]));
    }

    #[test]
    fn a_body_can_be_edited_if_only_its_fields_are_wrong() {
        let fields = |change: &dyn Fn(&mut Value)| {
            let mut body = body();
            change(&mut body);
            editable_fields(&body).len()
        };
        assert_eq!(fields(&|_| {}), 3);
        assert_eq!(fields(&|body| body["contact"] = json!(null)), 3);
        assert_eq!(fields(&|body| body["contact"] = json!({ "name": 7 })), 3);
        assert_eq!(fields(&|body| body["schema"] = json!(2)), 0);
        assert_eq!(fields(&|body| body["stamp"] = json!(0)), 0);
        assert_eq!(fields(&|body| body["operation"] = json!("delete")), 0);
        let patch = |patch: Value| {
            fields(&|body| {
                body["operation"] = json!("patch");
                body["patch"] = patch.clone();
            })
        };
        assert_eq!(patch(json!({ "phone": "1", "email": null })), 2);
        assert_eq!(patch(json!({ "fax": "1" })), 0);
        assert_eq!(patch(json!({})), 0);
        assert_eq!(patch(json!("x")), 0);
    }
}
