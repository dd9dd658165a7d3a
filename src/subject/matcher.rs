//! Finds a person in a message. The message may be of another program, of a newer version or damaged: then its text is
//! searched.

use super::Subject;
use crate::domain::{Email, NameKey};
use crate::message::{Header, Message, decode};
use serde::Serialize;
use serde_json::Value;

/// Which value of a person a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MatchedBy {
    Contact,
    Phone,
    Email,
    Name,
}

/// The values of a person, in the form in which texts are compared.
pub(super) struct Matcher {
    contacts: Vec<String>,
    /// The digits after the country code.
    phones: Vec<String>,
    /// In lower case.
    emails: Vec<String>,
    names: Vec<NameKey>,
}

impl Matcher {
    pub(super) fn new(subject: &Subject) -> Self {
        let national = |phone: String| phone.trim_start_matches("+55").to_owned();
        Self {
            contacts: subject.contacts.iter().map(ToString::to_string).collect(),
            phones: subject.phones.iter().map(|phone| national(phone.to_string())).collect(),
            emails: subject.emails.iter().map(Email::as_str).map(str::to_lowercase).collect(),
            names: subject.names.iter().map(NameKey::of).filter(|name| !name.as_str().is_empty()).collect(),
        }
    }

    /// Which values of the person the message has: in its id, its headers or its body.
    pub(super) fn matches(&self, message: &Message) -> Vec<MatchedBy> {
        let mut texts = vec![message.id.clone()];
        texts.extend(message.headers.iter().filter_map(|(_, value)| match value {
            Header::Text(text) => Some(text.clone()),
            Header::Number(_) => None,
        }));
        texts.extend(texts_of(&message.body));
        let values = serde_json::from_slice::<Value>(&message.body).map(|body| strings(&body)).unwrap_or_default();
        let folded: Vec<String> = values.iter().map(|text| NameKey::fold_text(text)).collect();
        let is_name = |name: &NameKey| folded.iter().any(|text| text == name.as_str());
        // The name of a command is a value of its own. In a text that is not a command it can be a part.
        let is_command = decode(&message.body).is_ok();
        texts.extend(values);
        let has_name = |name: &NameKey| {
            is_name(name)
                || !is_command
                    && texts
                        .iter()
                        .any(|text| contains(&NameKey::fold_text(text), name.as_str(), char::is_alphanumeric))
        };
        let mut found = Vec::new();
        let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let any = |values: &[String], is_inside: fn(char) -> bool| {
            values.iter().any(|value| lower.iter().any(|text| contains(text, value, is_inside)))
        };
        if any(&self.contacts, |c| c.is_ascii_hexdigit()) {
            found.push(MatchedBy::Contact);
        }
        if self.phones.iter().any(|phone| texts.iter().any(|text| has_phone(text, phone))) {
            found.push(MatchedBy::Phone);
        }
        if any(&self.emails, is_inside_address) {
            found.push(MatchedBy::Email);
        }
        if self.names.iter().any(has_name) {
            found.push(MatchedBy::Name);
        }
        found
    }
}

/// Whether a character can belong to a longer address. A full stop after an address usually ends a sentence.
fn is_inside_address(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '%' | '+' | '-')
}

/// Whether a text contains a value that is not a part of a longer one.
fn contains(text: &str, value: &str, is_inside: fn(char) -> bool) -> bool {
    text.match_indices(value).any(|(start, _)| {
        let (before, after) = (text.get(..start), text.get(start + value.len()..));
        let mut before = before.unwrap_or_default().chars().rev();
        let mut after = after.unwrap_or_default().chars();
        let begins = match before.next() {
            Some('.') if value.contains('@') => !before.next().is_some_and(is_inside),
            c => !c.is_some_and(is_inside),
        };
        let ends = match after.next() {
            Some('.') if value.contains('@') => !after.next().is_some_and(is_inside),
            c => !c.is_some_and(is_inside),
        };
        begins && ends
    })
}

/// Whether a text contains a phone number in any notation: as digits with signs between them.
fn has_phone(text: &str, national: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_digit() || c.is_whitespace() || matches!(c, '(' | ')' | '-' | '.' | '+' | '/');
    text.split(|c| !is_sign(c)).any(|run| {
        let digits: String = run.chars().filter(char::is_ascii_digit).collect();
        digits.contains(national)
    })
}

/// A body as text: in UTF-8, else also in Latin-1. Escapes of JSON are resolved, also in damaged JSON.
fn texts_of(body: &[u8]) -> Vec<String> {
    let mut texts = vec![String::from_utf8_lossy(body).into_owned()];
    if std::str::from_utf8(body).is_err() {
        texts.push(body.iter().map(|byte| char::from(*byte)).collect());
    }
    let escaped: Vec<String> = texts.iter().filter(|text| text.contains('\\')).map(|text| unescape(text)).collect();
    texts.extend(escaped);
    texts
}

/// Replaces `\u00e9` by its character and removes the other backslashes.
fn unescape(text: &str) -> String {
    let (mut units, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('\\') {
        units.extend(before.encode_utf16());
        let hex = after.strip_prefix('u').and_then(|after| u16::from_str_radix(after.get(..4)?, 16).ok());
        match hex {
            Some(unit) => {
                units.push(unit);
                rest = after.get(5..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units)
}

/// All texts of a JSON value, also the names of members.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| [vec![name.clone()], strings(value)].concat()).collect()
        }
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ContactId, Name, Phone};
    use uuid::Uuid;

    fn matches(body: impl AsRef<[u8]>) -> Vec<MatchedBy> {
        let subject = Subject {
            phones: vec![Phone::parse("11987654321").unwrap()],
            emails: vec![Email::parse("Ana.Souza@example.com").unwrap()],
            names: vec![Name::parse("José da Silva").unwrap()],
            contacts: vec![ContactId::new(Uuid::from_u128(0xABC))],
        };
        Matcher::new(&subject).matches(&Message { body: body.as_ref().to_vec(), ..Message::default() })
    }

    #[test]
    fn a_person_is_found_in_a_body_that_cannot_be_decoded() {
        use MatchedBy::{Contact, Email, Name, Phone};
        for (body, expected) in [
            ("call (11) 98765-4321 tomorrow", &[Phone][..]),
            ("+55 11 98765 4321", &[Phone]),
            ("{\"tel\": 11987654321}", &[Phone]),
            ("0 15 11 98765-4321", &[Phone]),
            ("{\"to\":\"ANA.SOUZA@Example.com", &[Email]),
            ("write to ana.souza@example.com.", &[Email]),
            ("{\"n\":\"JOSE  DA SILVA", &[Name]),
            ("{\"n\":\"Jos\\u00e9 da Silva\",", &[Name]),
            ("{\"note\": \"Jos\\u00e9 da Silva called\"}", &[Name]),
            ("for 00000000-0000-0000-0000-000000000abc", &[Contact]),
            ("{\"schema\": 9, \"email\": \"ana.souza@example.com\", \"phone\": \"+5511987654321\"}", &[Phone, Email]),
        ] {
            assert_eq!(matches(body), expected, "{body}");
        }
        assert_eq!(matches(b"nome=Jos\xe9 da Silva;"), [Name], "Latin-1");
    }

    #[test]
    fn another_person_is_not_found() {
        for body in [
            "mariana.souza@example.com",
            "ana.souza@example.com.br",
            "diana-ana.souza@example.com",
            "x.ana.souza@example.com",
            "11987654322 and 1198765432",
            "11 98765, 4321",
            "José da Silvana",
            "aJosé da Silva",
            "00000000-0000-0000-0000-000000000abcd",
            "",
        ] {
            assert_eq!(matches(body), [], "{body}");
        }
    }

    /// With the name alone, an erasure must not discard the messages of people whose names only begin the same.
    #[test]
    fn the_name_of_a_command_must_be_equal() {
        let body = |name: &str| {
            format!(
                "{{\"schema\":1,\"operation\":\"insert\",\"operation_id\":\"{id}\",\"contact_id\":\"{id}\",\"stamp\":5,\
                 \"accepted_at\":\"2026-01-02T03:04:05Z\",\"contact\":{{\"name\":\"{name}\",\"phone\":\"+5521912340000\"}}}}",
                id = Uuid::from_u128(7)
            )
        };
        assert_eq!(matches(body("jose da silva")), [MatchedBy::Name]);
        assert_eq!(matches(body("José da Silva Neto")), []);
    }
}
