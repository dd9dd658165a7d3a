//! One contact as JSON: a line of NDJSON, or the body of a request. The only place that knows this shape for reading.
//!
//! A contact with nothing wrong is read in one pass; only others are read again, to name everything that is wrong.

use super::record::{REQUIRED, RecordError, WHOLE, assemble};
use crate::domain::{Details, Email, Invalid, Name, Phone};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::borrow::Cow;

const NOT_TEXT: Invalid = Invalid { code: "wrong_type", detail: "must be a string" };
const NOT_OBJECT: Invalid = Invalid { code: "wrong_type", detail: "must be an object with name, phone and email" };
const UNKNOWN: Invalid = Invalid { code: "unknown_field", detail: "is not a field of a contact: name, phone, email" };
/// How many unknown fields are named; a body full of them needs no longer answer.
const UNKNOWN_NAMED: usize = 10;

/// Where the JSON comes from, which decides on members besides name, phone and email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The body of a request: any other member is an error. The field of a fault of the whole is `(body)`.
    Body,
    /// A line of a file: what an export adds is ignored, any other member is an error. The whole is `(line)`.
    Line,
}

impl Source {
    const fn whole(self) -> &'static str {
        match self {
            Self::Body => "(body)",
            Self::Line => WHOLE,
        }
    }

    fn knows(self, field: &str) -> bool {
        match field {
            "name" | "phone" | "email" => true,
            "id" | "ddd" | "state" | "region" | "version" | "created_at" | "updated_at" => self == Self::Line,
            _ => false,
        }
    }
}

/// Why JSON is not a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// It is not JSON from this place on, both counted from 1.
    Malformed {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
    },
    /// It is JSON; these fields are wrong.
    Invalid(Vec<RecordError>),
}

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

/// The same with what an export adds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    phone: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
    #[serde(default, rename = "id")]
    _id: IgnoredAny,
    #[serde(default, rename = "ddd")]
    _ddd: IgnoredAny,
    #[serde(default, rename = "state")]
    _state: IgnoredAny,
    #[serde(default, rename = "region")]
    _region: IgnoredAny,
    #[serde(default, rename = "version")]
    _version: IgnoredAny,
    #[serde(default, rename = "created_at")]
    _created_at: IgnoredAny,
    #[serde(default, rename = "updated_at")]
    _updated_at: IgnoredAny,
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

fn plain(bytes: &[u8], source: Source) -> Result<Plain<'_>, serde_json::Error> {
    match source {
        Source::Body => serde_json::from_slice(bytes),
        Source::Line => {
            serde_json::from_slice(bytes).map(|Full { name, phone, email, .. }: Full<'_>| Plain { name, phone, email })
        }
    }
}

/// Reads one contact.
pub fn parse(bytes: &[u8], source: Source) -> Result<Details, JsonFault> {
    // An array of texts would do for the library.
    let object = bytes.trim_ascii_start().starts_with(b"{");
    match plain(bytes, source).map(|plain| plain.details()) {
        Ok(Ok(details)) if object => Ok(details),
        _ => diagnose(bytes, source),
    }
}

/// Reads it again, to say everything that is wrong with it.
fn diagnose(bytes: &[u8], source: Source) -> Result<Details, JsonFault> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| JsonFault::Malformed { line: error.line(), column: error.column() })?;
    let Value::Object(fields) = value else {
        return Err(JsonFault::Invalid(vec![RecordError::new(source.whole(), NOT_OBJECT)]));
    };
    let unknown = fields
        .keys()
        .filter(|key| !source.knows(key))
        .take(UNKNOWN_NAMED)
        .map(|key| RecordError::new(key.clone(), UNKNOWN));
    let name = text(&fields, "name").and_then(Name::parse);
    let phone = text(&fields, "phone").and_then(Phone::parse);
    let email = text(&fields, "email").and_then(Email::parse);
    assemble(name, phone, email, unknown.collect()).map_err(JsonFault::Invalid)
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Invalid> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(REQUIRED),
        Some(_) => Err(NOT_TEXT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str, source: Source) -> Vec<String> {
        match parse(text.as_bytes(), source) {
            Ok(_) => Vec::new(),
            Err(JsonFault::Malformed { line, column }) => vec![format!("{line}:{column}")],
            Err(JsonFault::Invalid(faults)) => {
                faults.iter().map(|fault| format!("{}:{}", fault.field, fault.invalid.code)).collect()
            }
        }
    }

    fn body(text: &str) -> Vec<String> {
        codes(text, Source::Body)
    }

    const EXPORTED: &str = r#"{"id":"x","name":"Ana","phone":"+5511987654321","ddd":11,"state":"SP","region":"Sudeste",
        "email":"ana@example.com","version":"y","created_at":"z","updated_at":null}"#;

    #[test]
    fn the_short_way_and_the_long_way_agree() {
        for text in [
            r#"{"name":" Jos\u00e9 ","phone":"(11) 98765-4321","email":"ANA@Example.com"}"#,
            r#"{"email":"ana@example.com","phone":"11987654321","name":"Ana \"A\" Souza"}"#,
        ] {
            for source in [Source::Body, Source::Line] {
                let short = plain(text.as_bytes(), source).unwrap().details().unwrap();
                assert_eq!(short, diagnose(text.as_bytes(), source).unwrap());
            }
        }
        // Of a field that is sent twice, the last counts.
        let twice = r#"{"name":"Ana","name":"Bia","phone":"11987654321","email":"ana@example.com"}"#;
        assert_eq!(parse(twice.as_bytes(), Source::Body).unwrap().name.as_str(), "Bia");
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        assert_eq!(body(r#"{"name":"Ana","phone":"11 98765-4321","email":"ana@example.com"}"#), [""; 0]);
        assert_eq!(body("{}"), ["name:required", "phone:required", "email:required"]);
        assert_eq!(
            body(r#"{"name":1,"phone":null,"email":["x"],"phome":""}"#),
            ["name:wrong_type", "phone:required", "email:wrong_type", "phome:unknown_field"]
        );
        assert_eq!(body("[]"), ["(body):wrong_type"]);
        assert_eq!(body(r#" ["Ana","11 98765-4321","ana@example.com"]"#), ["(body):wrong_type"]);
        assert_eq!(body("\"x\""), ["(body):wrong_type"]);
        assert_eq!(codes("\"x\"", Source::Line), ["(line):wrong_type"]);
    }

    #[test]
    fn what_an_export_adds_is_ignored_in_a_line_only() {
        assert!(plain(EXPORTED.as_bytes(), Source::Line).is_ok());
        assert_eq!(codes(EXPORTED, Source::Line), [""; 0]);
        assert_eq!(body(EXPORTED).len(), 7);
        assert_eq!(codes(&EXPORTED.replace("region", "Region"), Source::Line), ["Region:unknown_field"]);
    }

    #[test]
    fn of_many_unknown_fields_some_are_named() {
        let fields: Vec<_> = (10..40).map(|n| format!(r#""{n}{}":0"#, "é".repeat(100))).collect();
        let text = format!("{{{}}}", fields.join(","));
        let named = body(&text);
        assert_eq!(named.len(), 3 + UNKNOWN_NAMED);
        assert_eq!(named[3], format!("10{}:unknown_field", "é".repeat(100)));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for (text, place) in [("", "1:0"), ("{", "1:1"), ("{\"name\":}", "1:9"), ("name=Ana", "1:2"), ("{\n\0", "2:1")]
        {
            assert_eq!(body(text), [place], "{text}");
        }
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        assert_eq!(body(&deep).len(), 1);
        assert!(matches!(parse(deep.as_bytes(), Source::Body), Err(JsonFault::Malformed { .. })));
    }
}
