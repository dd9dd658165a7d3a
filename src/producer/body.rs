//! The body of a write: read under a limit and a deadline, then parsed into domain types once, naming every wrong field.

use super::problem::{FieldError, Kind, Place};
use super::{Api, Problem};
use crate::domain::{Details, Email, Invalid, Name, Phone};
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{BytesMut, Payload};
use actix_web::{HttpRequest, mime};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

pub(super) async fn details(api: &Api, request: &HttpRequest, payload: Payload) -> Result<Details, Problem> {
    require_json(request)?;
    let read = read(api.settings.body_limit, request, payload);
    let bytes = match tokio::time::timeout(api.settings.read_timeout, read).await {
        Ok(bytes) => bytes?,
        Err(_elapsed) => return Err(Problem::new(Kind::RequestTimeout, "Send the whole body at once.")),
    };
    parse(&bytes)
}

fn require_json(request: &HttpRequest) -> Result<(), Problem> {
    let sent = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let sent: Option<mime::Mime> = sent.and_then(|text| text.parse().ok());
    let json = |mime: &mime::Mime| mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON);
    match sent {
        Some(mime) if json(&mime) => Ok(()),
        _ => Err(Problem::new(Kind::UnsupportedMediaType, "Send `Content-Type: application/json`.")),
    }
}

async fn read(limit: usize, request: &HttpRequest, mut payload: Payload) -> Result<BytesMut, Problem> {
    let too_large = || Problem::new(Kind::BodyTooLarge, format!("The body may have at most {limit} bytes."));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let broken = |_error| Problem::new(Kind::MalformedJson, "The body ended before it was complete.");
        let chunk = chunk.map_err(broken)?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

const REQUIRED: Invalid = Invalid { code: "required", detail: "is required" };
const NOT_TEXT: Invalid = Invalid { code: "wrong_type", detail: "must be a string" };
const UNKNOWN: Invalid = Invalid { code: "unknown_field", detail: "is not a field of a contact: name, phone, email" };
/// How many unknown fields are named; a body full of them needs no longer answer.
const UNKNOWN_NAMED: usize = 10;
/// How much of an unknown field's name is shown.
const NAME_SHOWN: usize = 40;

/// A body with nothing wrong in its form, as nearly all are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    phone: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
}

impl Plain<'_> {
    fn details(&self) -> Result<Details, Invalid> {
        Ok(Details {
            name: Name::parse(&self.name)?,
            phone: Phone::parse(&self.phone)?,
            email: Email::parse(&self.email)?,
        })
    }
}

fn parse(bytes: &[u8]) -> Result<Details, Problem> {
    // An array of three texts would do for the library.
    let object = bytes.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<Plain<'_>>(bytes).map(|plain| plain.details()) {
        Ok(Ok(details)) if object => Ok(details),
        _ => diagnose(bytes),
    }
}

/// Reads the body again, to say everything that is wrong with it.
fn diagnose(bytes: &[u8]) -> Result<Details, Problem> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("At line {} column {}: not valid JSON.", error.line(), error.column());
        Problem::new(Kind::MalformedJson, detail)
    })?;
    let Value::Object(fields) = value else {
        return Err(Problem::field(
            Place::Body,
            "(body)",
            "wrong_type",
            "must be an object with name, phone and email",
        ));
    };
    let mut errors = Vec::new();
    let name = field(&fields, "name", Name::parse, &mut errors);
    let phone = field(&fields, "phone", Phone::parse, &mut errors);
    let email = field(&fields, "email", Email::parse, &mut errors);
    let unknown = fields.keys().filter(|key| !matches!(key.as_str(), "name" | "phone" | "email"));
    errors.extend(unknown.take(UNKNOWN_NAMED).map(|key| {
        let shown: String = key.chars().take(NAME_SHOWN).collect();
        FieldError::new(Place::Body, shown, UNKNOWN)
    }));
    match (name, phone, email) {
        (Some(name), Some(phone), Some(email)) if errors.is_empty() => Ok(Details { name, phone, email }),
        _ => Err(Problem::validation(errors)),
    }
}

fn field<T>(
    fields: &Map<String, Value>,
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let parsed = match fields.get(name) {
        Some(Value::String(text)) => parse(text),
        None | Some(Value::Null) => Err(REQUIRED),
        Some(_) => Err(NOT_TEXT),
    };
    parsed.map_err(|invalid| errors.push(FieldError::new(Place::Body, name, invalid))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(body: &str) -> Vec<(String, &'static str)> {
        match parse(body.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problem) => problem.errors().iter().map(|error| (error.field.clone(), error.code)).collect(),
        }
    }

    #[test]
    fn the_short_way_and_the_long_way_agree() {
        for body in [
            r#"{"name":" Jos\u00e9 ","phone":"(11) 98765-4321","email":"ANA@Example.com"}"#,
            r#"{"email":"ana@example.com","phone":"11987654321","name":"Ana \"A\" Souza"}"#,
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap(), diagnose(body.as_bytes()).unwrap());
        }
        // Of a field that is sent twice, the last counts.
        let twice = r#"{"name":"Ana","name":"Bia","phone":"11987654321","email":"ana@example.com"}"#;
        assert_eq!(parse(twice.as_bytes()).unwrap().name.as_str(), "Bia");
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let named = |fields: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
            fields.iter().map(|(field, code)| ((*field).to_owned(), *code)).collect()
        };
        assert_eq!(codes(r#"{"name":"Ana","phone":"11 98765-4321","email":"ana@example.com"}"#), []);
        assert_eq!(codes("{}"), named(&[("name", "required"), ("phone", "required"), ("email", "required")]));
        assert_eq!(
            codes(r#"{"name":1,"phone":null,"email":["x"],"phome":""}"#),
            named(&[
                ("name", "wrong_type"),
                ("phone", "required"),
                ("email", "wrong_type"),
                ("phome", "unknown_field")
            ])
        );
        assert_eq!(codes("[]"), named(&[("(body)", "wrong_type")]));
        let list = r#" ["Ana","11 98765-4321","ana@example.com"]"#;
        assert_eq!(codes(list), named(&[("(body)", "wrong_type")]));
        assert_eq!(codes("\"x\""), named(&[("(body)", "wrong_type")]));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in ["", "{", "{\"name\":}", "name=Ana", "\u{0}"] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().kind(), Kind::MalformedJson, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        assert_eq!(parse(deep.as_bytes()).unwrap_err().kind(), Kind::MalformedJson);
    }
}
