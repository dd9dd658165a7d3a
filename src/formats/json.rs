//! Parses one contact as JSON: a line of NDJSON, or the body of a request.
//!
//! A valid contact is parsed in one pass. An invalid contact is parsed again, to find every invalid field.
//!
//! `message/codec.rs` parses the same three fields inside a message. It keeps its own structs, because the contracts
//! differ: a message ignores unknown fields and stops at its first error; this parser rejects unknown fields and
//! reports all errors.

use super::record::{REQUIRED, RecordError, WHOLE_RECORD, assemble};
use crate::domain::{Details, Email, EmailPatch, Invalid, Name, Patch, Phone};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

const NOT_TEXT: Invalid = Invalid::new("wrong_type", "must be a string");
const NOT_OBJECT: Invalid = Invalid::new("wrong_type", "must be an object with name, phone and email");
const NOT_REMOVABLE: Invalid =
    Invalid::new("required", "must not be null: every contact has a name and a phone number");
const EMPTY_PATCH: Invalid = Invalid::new("required", "must have at least one of name, phone and email");
const UNKNOWN: Invalid = Invalid::new("unknown_field", "is not a field of a contact: name, phone, email");
/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// How many unknown fields are reported. This limits the size of the answer.
const MAX_UNKNOWN_FIELDS: usize = 10;

/// Where the JSON comes from. It decides which fields are allowed in addition to name, phone and email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The body of a request: no other field is allowed. An error of the whole contact has the field `(body)`.
    Body,
    /// A line of a file: the fields that an export adds are ignored, no other field is allowed. An error of the whole
    /// contact has the field `(line)`.
    Line,
}

impl Source {
    const fn whole_contact(self) -> &'static str {
        match self {
            Self::Body => "(body)",
            Self::Line => WHOLE_RECORD,
        }
    }

    fn allows(self, field: &str) -> bool {
        match field {
            "name" | "phone" | "email" => true,
            "id" | "ddd" | "state" | "region" | "version" | "created_at" | "updated_at" => self == Self::Line,
            _ => false,
        }
    }
}

/// Why JSON is not a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// The text is not JSON.
    Malformed {
        /// The line of the error, from 1.
        line: usize,
        /// The column of the error, in bytes from 1.
        column: usize,
    },
    /// A member occurs more than once: programs disagree on which of them counts (RFC 8259 section 4).
    Repeated(String),
    /// The text is JSON. These fields are invalid.
    Invalid(Vec<RecordError>),
}

/// A string that is not copied if it has no escapes, also within an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A contact with exactly its fields, all strings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    phone: Cow<'a, str>,
    #[serde(borrow, default)]
    email: Option<Text<'a>>,
}

/// [`Fields`] and the fields that an export adds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedFields<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    phone: Cow<'a, str>,
    #[serde(borrow, default)]
    email: Option<Text<'a>>,
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

fn parse_fields(bytes: &[u8], source: Source) -> Result<Fields<'_>, serde_json::Error> {
    match source {
        Source::Body => serde_json::from_slice(bytes),
        Source::Line => serde_json::from_slice(bytes)
            .map(|ExportedFields { name, phone, email, .. }: ExportedFields<'_>| Fields { name, phone, email }),
    }
}

/// The contact, if it has no error.
fn parse_valid(bytes: &[u8], source: Source) -> Option<Details> {
    // serde also accepts an array of three strings.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Fields { name, phone, email } = parse_fields(bytes, source).ok()?;
    Details::parse(&name, &phone, email.as_ref().map(|Text(email)| &**email)).ok()
}

/// Parses one contact. A byte order mark before a body is skipped (RFC 8259 section 8.1 allows that).
pub fn parse(bytes: &[u8], source: Source) -> Result<Details, JsonError> {
    let bytes = match source {
        Source::Body => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
        // The reader of the file has skipped it.
        Source::Line => bytes,
    };
    parse_valid(bytes, source).map_or_else(|| diagnose(bytes, source), Ok)
}

/// Parses the contact again and reports every error.
fn diagnose(bytes: &[u8], source: Source) -> Result<Details, JsonError> {
    let fields = members(bytes, source.whole_contact(), NOT_OBJECT)?;
    let unknown = fields
        .iter()
        .map(|(key, _)| key)
        .filter(|key| !source.allows(key))
        .take(MAX_UNKNOWN_FIELDS)
        .map(|key| RecordError::new(key.clone(), UNKNOWN));
    let name = text(&fields, "name").and_then(Name::parse);
    let phone = text(&fields, "phone").and_then(Phone::parse);
    let email = match text(&fields, "email") {
        // It is optional.
        Err(REQUIRED) => Ok(None),
        text => text.and_then(Email::parse).map(Some),
    };
    assemble(name, phone, email, unknown.collect()).map_err(JsonError::Invalid)
}

/// Parses a merge patch of a contact (RFC 7396): a member with a value is set, a member with `null` is removed, all others
/// keep their values.
pub fn parse_patch(bytes: &[u8]) -> Result<Patch, JsonError> {
    let fields = parse_members(bytes, NOT_OBJECT)?;
    let (mut patch, mut errors, mut unknown) = (Patch::default(), Vec::new(), 0);
    for (member, value) in &fields {
        let result = match (member.as_str(), value) {
            ("name", Value::String(text)) => Name::parse(text).map(|name| patch.name = Some(name)),
            ("phone", Value::String(text)) => Phone::parse(text).map(|phone| patch.phone = Some(phone)),
            ("email", Value::String(text)) => {
                Email::parse(text).map(|email| patch.email = Some(EmailPatch::Set(email)))
            }
            ("email", Value::Null) => {
                patch.email = Some(EmailPatch::Remove);
                Ok(())
            }
            ("name" | "phone", Value::Null) => Err(NOT_REMOVABLE),
            ("name" | "phone" | "email", _) => Err(NOT_TEXT),
            _ => {
                unknown += 1;
                if unknown > MAX_UNKNOWN_FIELDS { Ok(()) } else { Err(UNKNOWN) }
            }
        };
        errors.extend(result.err().map(|invalid| RecordError::new(member.clone(), invalid)));
    }
    match errors.is_empty() {
        true if patch.is_empty() => {
            Err(JsonError::Invalid(vec![RecordError::new(Source::Body.whole_contact(), EMPTY_PATCH)]))
        }
        true => Ok(patch),
        false => Err(JsonError::Invalid(errors)),
    }
}

/// The members of another body, in their order. A byte order mark is skipped. `not_object` says what it must be.
pub fn parse_members(bytes: &[u8], not_object: Invalid) -> Result<Vec<(String, Value)>, JsonError> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    members(bytes, Source::Body.whole_contact(), not_object)
}

/// The members of an object in their order. Each occurs once. `whole` is the field of the error `not_object`.
fn members(bytes: &[u8], whole: &'static str, not_object: Invalid) -> Result<Vec<(String, Value)>, JsonError> {
    let malformed = |error: serde_json::Error| JsonError::Malformed { line: error.line(), column: error.column() };
    if !bytes.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice::<Value>(bytes).map_err(malformed)?;
        return Err(JsonError::Invalid(vec![RecordError::new(whole, not_object)]));
    }
    let Members(fields) = serde_json::from_slice(bytes).map_err(malformed)?;
    match repeated(&fields) {
        Some(name) => Err(JsonError::Repeated(name.to_owned())),
        None => Ok(fields),
    }
}

/// The members of an object in their order, also those that occur more than once.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The first member that occurs more than once.
fn repeated(fields: &[(String, Value)]) -> Option<&str> {
    let mut seen = HashSet::with_capacity(fields.len());
    fields.iter().map(|(name, _)| name.as_str()).find(|name| !seen.insert(*name))
}

fn text<'a>(fields: &'a [(String, Value)], name: &str) -> Result<&'a str, Invalid> {
    match fields.iter().find(|(key, _)| key == name).map(|(_, value)| value) {
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
            Err(JsonError::Malformed { line, column }) => vec![format!("{line}:{column}")],
            Err(JsonError::Repeated(name)) => vec![format!("{name}:repeated")],
            Err(JsonError::Invalid(errors)) => {
                errors.iter().map(|error| format!("{}:{}", error.field, error.invalid.code)).collect()
            }
        }
    }

    fn body_codes(text: &str) -> Vec<String> {
        codes(text, Source::Body)
    }

    const EXPORTED: &str = r#"{"id":"x","name":"Ana","phone":"+5511987654321","ddd":11,"state":"SP","region":"Sudeste",
        "email":"ana@example.com","version":"y","created_at":"z","updated_at":null}"#;

    #[test]
    fn the_fast_parser_and_the_diagnosing_parser_agree() {
        for text in [
            r#"{"name":" Jos\u00e9 ","phone":"(11) 98765-4321","email":"ANA@Example.com"}"#,
            r#"{"email":"ana@example.com","phone":"11987654321","name":"Ana \"A\" Souza"}"#,
        ] {
            for source in [Source::Body, Source::Line] {
                let details = parse_valid(text.as_bytes(), source).unwrap();
                assert_eq!(details, diagnose(text.as_bytes(), source).unwrap());
            }
        }
    }

    #[test]
    fn a_member_that_occurs_twice_is_refused() {
        let twice = r#"{"name":"Ana","name":"Bia","phone":"11987654321","email":"ana@example.com"}"#;
        assert_eq!(body_codes(twice), ["name:repeated"]);
        assert_eq!(codes(r#"{"id":1,"id":1,"name":"Ana"}"#, Source::Line), ["id:repeated"]);
        assert_eq!(body_codes(r#"{"x":1,"x":2}"#), ["x:repeated"]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let text = "\u{feff}{\"name\":\"Ana\",\"phone\":\"11987654321\",\"email\":\"ana@example.com\"}";
        assert_eq!(body_codes(text), [""; 0]);
        assert_eq!(body_codes("\u{feff}\u{feff}{}"), ["1:1"]);
    }

    #[test]
    fn a_patch_has_the_members_to_change() {
        let patch = |text: &str| match parse_patch(text.as_bytes()) {
            Ok(patch) => {
                let members = [patch.name.is_some(), patch.phone.is_some(), patch.email.is_some()];
                format!("{members:?} {:?}", patch.email == Some(EmailPatch::Remove))
            }
            Err(JsonError::Invalid(errors)) => {
                let codes = errors.iter().map(|error| format!("{}:{}", error.field, error.invalid.code));
                codes.collect::<Vec<_>>().join(" ")
            }
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(patch(r#"{"name":"Ana"}"#), "[true, false, false] false");
        assert_eq!(patch("\u{feff} {\"email\":null,\"phone\":\"11987654321\"}"), "[false, true, true] true");
        for (text, expected) in [
            ("{}", "(body):required"),
            ("[]", "(body):wrong_type"),
            (r#"{"name":null,"phone":null}"#, "name:required phone:required"),
            (r#"{"name":1,"email":"x","version":"y"}"#, "name:wrong_type email:malformed version:unknown_field"),
            (r#"{"name":"a","name":"b"}"#, "Repeated(\"name\")"),
            ("{", "Malformed { line: 1, column: 1 }"),
        ] {
            assert_eq!(patch(text), expected, "{text}");
        }
    }

    #[test]
    fn every_invalid_field_is_reported_at_once() {
        assert_eq!(body_codes(r#"{"name":"Ana","phone":"11 98765-4321","email":"ana@example.com"}"#), [""; 0]);
        assert_eq!(body_codes("{}"), ["name:required", "phone:required"]);
        assert_eq!(
            body_codes(r#"{"name":1,"phone":null,"email":["x"],"phome":""}"#),
            ["name:wrong_type", "phone:required", "email:wrong_type", "phome:unknown_field"]
        );
        assert_eq!(body_codes("[]"), ["(body):wrong_type"]);
        assert_eq!(body_codes(r#" ["Ana","11 98765-4321","ana@example.com"]"#), ["(body):wrong_type"]);
        assert_eq!(body_codes("\"x\""), ["(body):wrong_type"]);
        assert_eq!(codes("\"x\"", Source::Line), ["(line):wrong_type"]);
    }

    #[test]
    fn fields_that_an_export_adds_are_ignored_only_in_a_line() {
        assert!(parse_valid(EXPORTED.as_bytes(), Source::Line).is_some());
        assert_eq!(codes(EXPORTED, Source::Line), [""; 0]);
        assert_eq!(body_codes(EXPORTED).len(), 7);
        assert_eq!(codes(&EXPORTED.replace("region", "Region"), Source::Line), ["Region:unknown_field"]);
    }

    #[test]
    fn only_the_first_unknown_fields_are_reported() {
        let fields: Vec<_> = (10..40).map(|n| format!(r#""{n}{}":0"#, "é".repeat(100))).collect();
        let text = format!("{{{}}}", fields.join(","));
        let reported = body_codes(&text);
        assert_eq!(reported.len(), 2 + MAX_UNKNOWN_FIELDS);
        assert_eq!(reported[2], format!("10{}:unknown_field", "é".repeat(100)));
    }

    #[test]
    fn malformed_json_is_rejected_with_its_position() {
        for (text, position) in
            [("", "1:0"), ("{", "1:1"), ("{\"name\":}", "1:9"), ("name=Ana", "1:2"), ("{\n\0", "2:1")]
        {
            assert_eq!(body_codes(text), [position], "{text}");
        }
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        assert_eq!(body_codes(&deep).len(), 1);
        assert!(matches!(parse(deep.as_bytes(), Source::Body), Err(JsonError::Malformed { .. })));
    }
}
