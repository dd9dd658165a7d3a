//! The body of a message: JSON, schema 1. The decoder ignores unknown fields, so a newer producer can add fields.
//!
//! `formats/json.rs` parses the same three fields of a contact. It keeps its own structs, because it rejects unknown
//! fields and reports all errors.

use crate::domain::{
    Action, Command, ContactId, Details, Email, EmailPatch, Fingerprint, Invalid, Name, OperationId, OperationKind,
    Patch, Phone, Reason, Rfc3339Micros, Stamp, Timestamp,
};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// The first second of the year 3000. Later stamps are invalid: with one, all normal changes of the contact would look
/// old.
const YEAR_3000: i64 = 32_503_680_000;
/// The initial capacity for a body, in bytes. Most bodies fit.
const BODY_CAPACITY: usize = 512;
/// The only schema number that this version reads and writes.
const SCHEMA: u64 = 1;

/// A body as it is read.
#[derive(Deserialize)]
struct Body<'a> {
    schema: u64,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    operation_id: Uuid,
    contact_id: Uuid,
    stamp: i64,
    #[serde(default)]
    expects: Option<Uuid>,
    accepted_at: Timestamp,
    #[serde(default, borrow)]
    fingerprint: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    contact: Option<BodyContact<'a>>,
    #[serde(default, borrow)]
    patch: Option<BodyPatch<'a>>,
}

/// A body as it is written.
#[derive(Serialize)]
struct EncodedBody<'a> {
    schema: u64,
    operation: &'a str,
    operation_id: Uuid,
    contact_id: Uuid,
    stamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expects: Option<Uuid>,
    #[serde(serialize_with = "as_text")]
    accepted_at: Rfc3339Micros,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<BodyContact<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<BodyPatch<'a>>,
}

/// The members that a patch changes, and their new values. `null` removes the value.
#[derive(Default, Serialize, Deserialize)]
struct BodyPatch<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, Option<Cow<'a, str>>>);

impl<'a> From<&'a Patch> for BodyPatch<'a> {
    fn from(patch: &'a Patch) -> Self {
        let name = patch.name.as_ref().map(|name| ("name", Some(name.as_str().into())));
        let phone = patch.phone.map(|phone| ("phone", Some(phone.to_string().into())));
        let email = patch.email.as_ref().map(|email| ("email", email.value().map(|email| email.as_str().into())));
        let members = [name, phone, email].into_iter().flatten();
        Self(members.map(|(member, value)| (member.into(), value)).collect())
    }
}

impl BodyPatch<'_> {
    /// A member that this version does not know is an error: without it, a part of the change would be lost.
    fn parse(&self) -> Result<Patch, Undecodable> {
        let mut patch = Patch::default();
        for (member, value) in &self.0 {
            let invalid = |invalid| Undecodable::field(member, invalid);
            match (&**member, value.as_deref()) {
                ("name", Some(name)) => patch.name = Some(Name::from_accepted(name).map_err(invalid)?),
                ("phone", Some(phone)) => patch.phone = Some(Phone::parse(phone).map_err(invalid)?),
                ("email", Some(email)) => {
                    patch.email = Some(EmailPatch::Set(Email::from_accepted(email).map_err(invalid)?));
                }
                ("email", None) => patch.email = Some(EmailPatch::Remove),
                _ => return Err(Undecodable::new(Reason::Invalid, "patch has a member that cannot be changed so")),
            }
        }
        if patch.is_empty() {
            return Err(Undecodable::new(Reason::Invalid, "patch is missing or empty"));
        }
        Ok(patch)
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[derive(Serialize, Deserialize)]
struct BodyContact<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    phone: Cow<'a, str>,
    /// Absent or `null` if the contact has no address. Older versions dead-letter such a message.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    email: Option<Cow<'a, str>>,
}

/// The fields that show why a body cannot be decoded.
#[derive(Deserialize)]
struct SchemaAndOperation<'a> {
    schema: Option<u64>,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
}

/// Why a body is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Undecodable {
    /// The reason that the dead letter gets.
    pub reason: Reason,
    /// What is wrong. It contains no value of the body.
    pub detail: String,
}

impl Undecodable {
    fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }

    fn field(name: &str, invalid: Invalid) -> Self {
        Self::new(Reason::Invalid, format_args!("{name} {invalid}"))
    }
}

/// Encodes a command as a message body.
pub fn encode(command: &Command) -> Vec<u8> {
    let phone;
    let contact = match &command.action {
        Action::Create(details) | Action::Update(details) => {
            phone = details.phone.to_string();
            Some(BodyContact {
                name: details.name.as_str().into(),
                phone: phone.as_str().into(),
                email: details.email.as_ref().map(|email| email.as_str().into()),
            })
        }
        Action::Delete | Action::Patch(_) => None,
    };
    let patch = match &command.action {
        Action::Patch(patch) => Some(patch.into()),
        Action::Create(_) | Action::Update(_) | Action::Delete => None,
    };
    let body = EncodedBody {
        schema: SCHEMA,
        operation: command.kind().as_str(),
        operation_id: command.operation_id.uuid(),
        contact_id: command.contact_id.uuid(),
        stamp: command.stamp.raw(),
        expects: command.expects.map(OperationId::uuid),
        accepted_at: Rfc3339Micros(command.accepted_at),
        fingerprint: command.fingerprint.map(|fingerprint| format!("{:032x}", fingerprint.0)),
        contact,
        patch,
    };
    let mut encoded = Vec::with_capacity(BODY_CAPACITY);
    // Strings and numbers can always be written to memory.
    let _ = serde_json::to_writer(&mut encoded, &body);
    encoded
}

/// Decodes a message body.
pub fn decode(body: &[u8]) -> Result<Command, Undecodable> {
    let parsed: Body<'_> = serde_json::from_slice(body).map_err(|error| diagnose(body, &error))?;
    if parsed.schema != SCHEMA {
        return Err(unknown_schema(parsed.schema));
    }
    let kind = OperationKind::parse(&parsed.operation).ok_or_else(unknown_operation)?;
    let details = |parsed: &Body<'_>| match &parsed.contact {
        Some(contact) => Details::from_accepted(&contact.name, &contact.phone, contact.email.as_deref())
            .map_err(|(field, invalid)| Undecodable::field(field, invalid)),
        None => Err(Undecodable::new(Reason::Invalid, "contact is missing")),
    };
    let action = match kind {
        OperationKind::Insert => Action::Create(details(&parsed)?),
        OperationKind::Update => Action::Update(details(&parsed)?),
        OperationKind::Delete => Action::Delete,
        OperationKind::Patch => Action::Patch(parsed.patch.as_ref().unwrap_or(&BodyPatch::default()).parse()?),
    };
    let fingerprint = match parsed.fingerprint.as_deref().map(|hex| u128::from_str_radix(hex, 16)) {
        None => None,
        Some(Ok(fingerprint)) => Some(Fingerprint(fingerprint)),
        Some(Err(_)) => return Err(Undecodable::new(Reason::Invalid, "fingerprint is not hexadecimal")),
    };
    let stamp = Stamp::new(parsed.stamp)
        .filter(|stamp| (Stamp::ZERO.next()..Stamp::at_millis(YEAR_3000 * 1_000)).contains(stamp))
        .ok_or_else(|| Undecodable::new(Reason::Invalid, "stamp is not between the years 1970 and 3000"))?;
    Ok(Command {
        operation_id: OperationId::new(parsed.operation_id),
        contact_id: ContactId::new(parsed.contact_id),
        stamp,
        expects: parsed.expects.map(OperationId::new),
        accepted_at: in_range(parsed.accepted_at)?,
        fingerprint,
        action,
    })
}

/// The contact that a body names, although the body is not a command.
pub(super) fn contact_of(body: &[u8]) -> Option<Uuid> {
    #[derive(Deserialize)]
    struct NamedContact {
        contact_id: Uuid,
    }
    serde_json::from_slice::<NamedContact>(body).ok().map(|named| named.contact_id)
}

/// When a body was accepted, although it is not a command.
pub(super) fn accepted_at_of(body: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Accepted {
        accepted_at: Timestamp,
    }
    serde_json::from_slice::<Accepted>(body).ok().map(|accepted| accepted.accepted_at)
}

/// Checks that every store can hold a timestamp, and rounds it down to microseconds.
fn in_range(timestamp: Timestamp) -> Result<Timestamp, Undecodable> {
    Some(timestamp)
        .filter(|timestamp| (0..YEAR_3000).contains(&timestamp.timestamp()))
        .and_then(|timestamp| Timestamp::from_timestamp_micros(timestamp.timestamp_micros()))
        .ok_or_else(|| Undecodable::new(Reason::Invalid, "accepted_at is not between the years 1970 and 3000"))
}

fn unknown_schema(schema: u64) -> Undecodable {
    Undecodable::new(Reason::UnknownSchema, format_args!("schema is {schema}, this version reads {SCHEMA}"))
}

fn unknown_operation() -> Undecodable {
    Undecodable::new(Reason::UnknownOperation, "operation is not insert, update, delete or patch")
}

/// Finds the reason why a body cannot be decoded. The parser's message can contain a part of the body, so the detail
/// has only the kind and the position of the error.
fn diagnose(body: &[u8], error: &serde_json::Error) -> Undecodable {
    if let Ok(parsed) = serde_json::from_slice::<SchemaAndOperation<'_>>(body) {
        match (parsed.schema, parsed.operation) {
            (Some(schema), _) if schema != SCHEMA => return unknown_schema(schema),
            (_, Some(operation)) if OperationKind::parse(&operation).is_none() => return unknown_operation(),
            _ => {}
        }
    }
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a field is missing or has the wrong type",
        serde_json::error::Category::Eof => "the JSON ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "not JSON",
    };
    Undecodable::new(Reason::Undecodable, format_args!("{kind}, at line {} column {}", error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Email, Name, Phone};
    use proptest::prelude::*;
    use serde_json::json;

    fn contact_details() -> impl Strategy<Value = Details> {
        ("[\\p{L} ]{1,60}x", 20_000_000u32..40_000_000, "[a-z]{1,10}").prop_map(|(name, number, user)| Details {
            name: Name::parse(&name).unwrap(),
            phone: Phone::parse(&format!("11{number}")).unwrap(),
            email: Some(Email::parse(&format!("{user}@example.com")).unwrap()),
        })
    }

    /// A patch of some members, one bit for each. The fourth bit removes the address.
    fn patch(details: Details, members: u8) -> Patch {
        let has = |bit: u8| members & bit != 0;
        let email = details.email.filter(|_| has(4)).map(EmailPatch::Set);
        Patch {
            name: Some(details.name).filter(|_| has(1)),
            phone: Some(details.phone).filter(|_| has(2)),
            email: if has(8) { Some(EmailPatch::Remove) } else { email },
        }
    }

    fn command() -> impl Strategy<Value = Command> {
        let action = prop_oneof![
            contact_details().prop_map(Action::Create),
            contact_details().prop_map(Action::Update),
            (contact_details(), 1u8..16).prop_map(|(details, members)| Action::Patch(patch(details, members))),
            Just(Action::Delete)
        ];
        let ids = (any::<u128>(), any::<u128>(), any::<Option<u128>>());
        (ids, 1i64..32_503_680_000_000 << 16, 0i64..32_503_680_000_000_000, any::<Option<u128>>(), action).prop_map(
            |((operation, contact, expects), stamp, micros, fingerprint, action)| Command {
                operation_id: OperationId::new(Uuid::from_u128(operation)),
                contact_id: ContactId::new(Uuid::from_u128(contact)),
                stamp: Stamp::new(stamp).unwrap(),
                expects: expects.map(|id| OperationId::new(Uuid::from_u128(id))),
                accepted_at: Timestamp::from_timestamp_micros(micros).unwrap(),
                fingerprint: fingerprint.map(Fingerprint),
                action,
            },
        )
    }

    fn sample() -> serde_json::Value {
        json!({
            "schema": 1, "operation": "insert", "stamp": 5, "accepted_at": "2026-01-02T03:04:05.123456Z",
            "operation_id": "01890000-0000-7000-8000-000000000001",
            "contact_id": "01890000-0000-7000-8000-000000000002",
            "contact": { "name": "Marked Name", "phone": "+5521912340000", "email": "marked@example.com" },
        })
    }

    proptest! {
        #[test]
        fn a_command_is_the_same_after_encoding_and_decoding(command in command()) {
            prop_assert_eq!(decode(&encode(&command)), Ok(command));
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn an_error_never_contains_a_value_of_the_body(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut body = sample().to_string().into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            if let Err(error) = decode(&body) {
                let text = error.to_string();
                prop_assert!(!text.contains("arked") && !text.contains("91234"), "{}", text);
            }
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let mut body = sample();
        body["later"] = json!({ "addition": [1, 2, 3] });
        assert!(decode(body.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn a_patch_with_an_unknown_or_invalid_member_is_invalid() {
        let decoded = |patch: serde_json::Value| {
            let mut body = sample();
            (body["operation"], body["patch"]) = ("patch".into(), patch);
            decode(body.to_string().as_bytes()).map_err(|error| error.reason)
        };
        let removed = Patch { email: Some(EmailPatch::Remove), ..Patch::default() };
        assert_eq!(decoded(json!({ "email": null })).map(|command| command.action), Ok(Action::Patch(removed)));
        for invalid in [json!({}), json!(null), json!({ "name": null }), json!({ "name": "Ana", "fax": "1" })] {
            assert_eq!(decoded(invalid.clone()), Err(Reason::Invalid), "{invalid}");
        }
        assert_eq!(decoded(json!({ "name": 1 })), Err(Reason::Undecodable));
    }

    #[test]
    fn each_error_has_its_reason() {
        let changed = |field: &str, value: serde_json::Value| {
            let mut body = sample();
            match field.split_once('/') {
                Some((outer, inner)) => body[outer][inner] = value,
                None => body[field] = value,
            }
            decode(body.to_string().as_bytes()).map_err(|error| error.reason)
        };
        for (field, value, reason) in [
            ("schema", json!(2), Reason::UnknownSchema),
            ("schema", json!("1"), Reason::Undecodable),
            ("schema", json!(null), Reason::Undecodable),
            ("operation", json!("upsert"), Reason::UnknownOperation),
            ("operation", json!(7), Reason::Undecodable),
            ("operation_id", json!("x"), Reason::Undecodable),
            ("stamp", json!(0), Reason::Invalid),
            ("stamp", json!(-1), Reason::Invalid),
            ("stamp", json!(i64::MAX), Reason::Invalid),
            ("stamp", json!(1e30), Reason::Undecodable),
            ("accepted_at", json!("yesterday"), Reason::Undecodable),
            ("accepted_at", json!("9999-01-01T00:00:00Z"), Reason::Invalid),
            ("fingerprint", json!("xyz"), Reason::Invalid),
            ("contact", json!(null), Reason::Invalid),
            ("contact/name", json!(" "), Reason::Invalid),
            ("contact/phone", json!("123"), Reason::Invalid),
            ("contact/email", json!("nobody"), Reason::Invalid),
        ] {
            assert_eq!(changed(field, value.clone()), Err(reason), "{field} = {value}");
        }
        // A future schema may have other fields.
        let future = br#"{"schema": 3, "op": "insert", "ids": []}"#;
        assert_eq!(decode(future).map_err(|error| error.reason), Err(Reason::UnknownSchema));
        for malformed in [&b""[..], b"{", b"null", b"[]", b"\xff\xfe", b"<xml/>"] {
            assert_eq!(decode(malformed).map_err(|error| error.reason), Err(Reason::Undecodable));
        }
    }
}
