//! `POST /console/api/dead-letters/messages/{id}/fix`: sends a message again with fixed values.
//!
//! Rule of this file: it is `dlq-drain export`, a change of the line and `dlq-drain import`, in one step. A corrected
//! message is a new operation, made from the values, so the same correction takes effect once.

use super::audit::audit;
use super::body::{editable_fields, field, with_fields};
use super::messages::no_message;
use super::{Console, blocking, code, problem, queue};
use crate::console::access::Writer;
use crate::console::problem::Problem;
use crate::dlq::{FixError, FixedBody, Replacement, Run, fix};
use crate::domain::{Email, Invalid, Name, Phone};
use crate::message::Message;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// An invalid value.
#[derive(Debug, PartialEq, Serialize)]
struct FieldError {
    field: String,
    code: &'static str,
    message: &'static str,
    /// The phone number that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
}

/// Why a message cannot be corrected.
#[derive(Debug, PartialEq)]
enum Refusal {
    NotEditable,
    Invalid(Vec<FieldError>),
}

pub(super) async fn send_fixed(
    console: Data<Console>,
    Writer(operator): Writer,
    id: Path<String>,
    values: Json<Map<String, Value>>,
) -> Result<HttpResponse, Problem> {
    let (id, values, parts) = (id.into_inner(), values.into_inner(), console.parts()?);
    let sent = blocking(move || {
        let dead_letters = &console.0.dead_letters;
        let queue = match dead_letters.turns.open(&parts, queue::Holder::Reader) {
            Ok(queue) => queue,
            Err(error) => return Err(problem(&error.into())),
        };
        let run = Run {
            queue: &queue,
            publisher: &parts.publisher,
            open_store: &*parts.open_store,
            stop: &parts.stop,
            operator: &super::Reader,
        };
        let result = fix(&run, &id, |message| corrected(message, &values));
        dead_letters.groups.clear();
        let outcome = match &result {
            Ok(Replacement { operation_id, .. }) => format!("sent as operation {operation_id}"),
            Err(FixError::NotFound) => "no_such_message".to_owned(),
            Err(FixError::Refused(_) | FixError::Invalid(_)) => "invalid".to_owned(),
            Err(FixError::NotConfirmed(error)) => error.as_str().to_owned(),
            Err(FixError::Queue(error)) => code(error).to_owned(),
        };
        audit(&operator.name, "fix", &format!("id={id}"), usize::from(result.is_ok()), &outcome);
        result.map_err(|error| refused(&id, error))
    });
    let Replacement { operation_id, removed } = sent.await?;
    Ok(HttpResponse::Accepted().json(json!({ "operation_id": operation_id, "removed": removed })))
}

fn refused(id: &str, error: FixError<Refusal>) -> Problem {
    let unprocessable = |code, detail: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    match error {
        FixError::NotFound => no_message(id),
        FixError::Refused(Refusal::NotEditable) => unprocessable(
            "not_editable",
            "Only the values of a create, an update or a patch can be edited. Replay, archive or discard this message.",
        ),
        FixError::Refused(Refusal::Invalid(errors)) => {
            let errors = serde_json::to_value(errors).unwrap_or_default();
            unprocessable("invalid_values", "A value is not valid. Nothing was sent.").with("errors", errors)
        }
        FixError::Invalid(reason) => unprocessable("invalid_message", &reason),
        FixError::NotConfirmed(error) => {
            let detail = format!("The message was not confirmed: {error}. It is still in the dead letter queue.");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_confirmed", detail).retry_after(5)
        }
        FixError::Queue(error) => problem(&error),
    }
}

/// The body of a message with these values.
fn corrected(message: &Message, values: &Map<String, Value>) -> Result<FixedBody, Refusal> {
    let body: Value = serde_json::from_slice(&message.body).map_err(|_malformed| Refusal::NotEditable)?;
    let fields = editable_fields(&body);
    if fields.is_empty() {
        return Err(Refusal::NotEditable);
    }
    let (mut errors, mut corrections) = (Vec::new(), Vec::new());
    for name in fields.iter().copied() {
        // Without an address, the member may be missing.
        let (old, new) = (field(&body, name), values.get(name).unwrap_or(&Value::Null));
        match check(name, old, new) {
            Ok(value) if value == *old => {}
            Ok(value) => corrections.push((name, value)),
            Err(invalid) => errors.push(FieldError::new(name, invalid)),
        }
    }
    let unknown = values.keys().filter(|name| !fields.contains(&name.as_str()));
    errors.extend(unknown.map(|name| FieldError::new(name, UNKNOWN)));
    if !errors.is_empty() {
        return Err(Refusal::Invalid(errors));
    }
    if corrections.is_empty() {
        return Ok(FixedBody::Unchanged);
    }
    Ok(FixedBody::Changed(with_fields(&body, corrections).to_string()))
}

const UNKNOWN: Invalid = Invalid::new("unknown_field", "is not a field of this message");
const REQUIRED: Invalid = Invalid::new("required", "must not be empty");
const NOT_TEXT: Invalid = Invalid::new("wrong_type", "must be a text");

/// Checks a new value, as the API does. A value that some version of this program accepted, and that is not changed, is
/// checked as the consumer does.
fn check(name: &str, old: &Value, new: &Value) -> Result<Value, Invalid> {
    let text = match new {
        // Only the address can be missing or be removed.
        Value::Null if name == "email" => return Ok(Value::Null),
        Value::Null => return Err(REQUIRED),
        Value::String(text) => text,
        _ => return Err(NOT_TEXT),
    };
    let valid = match (name, new == old) {
        ("name", true) => Name::from_accepted(text).map(|_| text.clone()),
        ("name", false) => Name::parse(text).map(|name| name.as_str().to_owned()),
        ("phone", true) => Phone::parse(text).map(|_| text.clone()),
        ("phone", false) => Phone::parse(text).map(|phone| phone.to_string()),
        (_, true) => Email::from_accepted(text).map(|_| text.clone()),
        (_, false) => Email::parse(text).map(|email| email.as_str().to_owned()),
    };
    valid.map(Value::String)
}

impl FieldError {
    fn new(field: &str, Invalid { code, detail, suggestion }: Invalid) -> Self {
        let suggestion = suggestion.map(|suggestion| suggestion.to_string());
        Self { field: field.to_owned(), code, message: detail, suggestion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(operation: &str, values: Value) -> Message {
        let parent = if operation == "patch" { "patch" } else { "contact" };
        let mut body = json!({
            "schema": 1, "operation": operation, "stamp": 5, "accepted_at": "2026-01-02T03:04:05.123456Z",
            "operation_id": "01890000-0000-7000-8000-000000000001",
            "contact_id": "01890000-0000-7000-8000-000000000002",
        });
        body[parent] = values;
        Message { body: body.to_string().into_bytes(), ..Message::default() }
    }

    fn fixed(message: &Message, values: Value) -> Result<FixedBody, Refusal> {
        corrected(message, values.as_object().unwrap())
    }

    #[track_caller]
    fn errors(result: Result<FixedBody, Refusal>) -> Vec<(String, &'static str)> {
        let Err(Refusal::Invalid(errors)) = result else { panic!("{result:?}") };
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn corrected_values_are_checked_and_written_as_the_api_does() {
        let wrong = message("insert", json!({ "name": "Ana", "phone": "+5520987654321", "email": "a@example.com" }));
        let result = fixed(&wrong, json!({ "name": "Ana", "phone": "(11) 98765-4321", "email": "a@example.com" }));
        let Ok(FixedBody::Changed(text)) = result else { panic!("{result:?}") };
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["contact"], json!({ "name": "Ana", "phone": "+5511987654321", "email": "a@example.com" }));
        assert_eq!(body["stamp"], 5);
        let all_wrong = fixed(&wrong, json!({ "name": " ", "phone": 7, "email": "a", "fax": "1" }));
        assert_eq!(
            errors(all_wrong).iter().map(|(field, code)| (field.as_str(), *code)).collect::<Vec<_>>(),
            [("name", "required"), ("phone", "wrong_type"), ("email", "malformed"), ("fax", "unknown_field")]
        );
        assert_eq!(errors(fixed(&wrong, json!({}))).len(), 2, "the address may be missing");
    }

    #[test]
    fn unchanged_values_are_a_replay() {
        let values = json!({ "name": "Ana", "phone": "+5511987654321" });
        assert_eq!(fixed(&message("update", values.clone()), values), Ok(FixedBody::Unchanged));
    }

    #[test]
    fn a_patch_keeps_its_members() {
        let patch = message("patch", json!({ "phone": "20987654321" }));
        let Ok(FixedBody::Changed(text)) = fixed(&patch, json!({ "phone": "11987654321" })) else { panic!() };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["patch"], json!({ "phone": "+5511987654321" }));
        assert_eq!(errors(fixed(&patch, json!({ "phone": "11987654321", "name": "Bia" }))).len(), 1);
    }

    #[test]
    fn other_messages_cannot_be_edited() {
        for message in [message("delete", json!(null)), Message { body: b"\xff".to_vec(), ..Message::default() }] {
            assert_eq!(fixed(&message, json!({})), Err(Refusal::NotEditable));
        }
    }
}
