//! Finds a person in a message. The fields of a command are compared. A message of another program, of a newer version or
//! a damaged one has no known fields: its text is searched.

use super::Subject;
use crate::domain::{Action, Command, ContactId, Email, EmailPatch, Name, NameKey, Patch, Phone};
use crate::message::{Header, Message, decode};
use serde::Serialize;
use serde_json::Value;

/// The headers of this system begin so. They have no personal data, but words such as "phone".
const OWN_HEADERS: &str = "x-contacts-";

/// Which value of a person a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MatchedBy {
    Contact,
    Phone,
    Email,
    Name,
}

/// The values of a person, in the form in which they are compared.
pub(super) struct Matcher {
    contacts: Vec<ContactId>,
    phones: Vec<Phone>,
    /// In lower case.
    emails: Vec<String>,
    names: Vec<NameKey>,
}

impl Matcher {
    pub(super) fn new(subject: &Subject) -> Self {
        Self {
            contacts: subject.contacts.clone(),
            phones: subject.phones.clone(),
            emails: subject.emails.iter().map(lower_case).collect(),
            names: subject.names.iter().map(NameKey::of).filter(|name| !name.as_str().is_empty()).collect(),
        }
    }

    /// Which values of the person the message has.
    pub(super) fn matches(&self, message: &Message) -> Vec<MatchedBy> {
        match decode(&message.body) {
            Ok(command) => self.matches_command(&command),
            Err(_undecodable) => self.matches_text(message),
        }
    }

    /// Which values of the person an operation keeps.
    pub(super) fn matches_old_values(&self, contact: ContactId, old: &Patch) -> Vec<MatchedBy> {
        self.matches_values(contact, (old.name.as_ref(), old.phone, old.email.as_ref().and_then(EmailPatch::value)))
    }

    /// The values of the person.
    pub(super) fn only_matching(&self, old: Patch) -> Patch {
        let has_email =
            |email: &EmailPatch| email.value().is_some_and(|email| self.emails.contains(&lower_case(email)));
        Patch {
            name: old.name.filter(|name| self.names.contains(&NameKey::of(name))),
            phone: old.phone.filter(|phone| self.phones.contains(phone)),
            email: old.email.filter(has_email),
        }
    }

    /// Compares the fields. A value inside of a longer one belongs to somebody else.
    fn matches_command(&self, command: &Command) -> Vec<MatchedBy> {
        self.matches_values(command.contact_id, values_of(&command.action))
    }

    fn matches_values(&self, contact: ContactId, (name, phone, email): Values<'_>) -> Vec<MatchedBy> {
        let has_name = |name: &Name| self.names.contains(&NameKey::of(name));
        found([
            (MatchedBy::Contact, self.contacts.contains(&contact)),
            (MatchedBy::Phone, phone.is_some_and(|phone| self.phones.contains(&phone))),
            (MatchedBy::Email, email.is_some_and(|email| self.emails.contains(&lower_case(email)))),
            (MatchedBy::Name, name.is_some_and(has_name)),
        ])
    }

    /// Searches the id, the headers and the body.
    fn matches_text(&self, message: &Message) -> Vec<MatchedBy> {
        let mut texts = vec![message.id.clone()];
        texts.extend(message.headers.iter().filter_map(|(name, value)| match value {
            Header::Text(text) if !name.starts_with(OWN_HEADERS) => Some(text.clone()),
            Header::Text(_) | Header::Number(_) => None,
        }));
        texts.extend(texts_of(&message.body));
        let body = serde_json::from_slice::<Value>(&message.body);
        texts.extend(body.iter().flat_map(strings));
        let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let any =
            |value: &str, is_longer: fn(&str, &str) -> bool| lower.iter().any(|text| contains(text, value, is_longer));
        let has_name = |name: &NameKey| {
            let is_longer = |before: &str, after: &str| {
                before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric)
            };
            let folded = |text: &String| NameKey::fold_text(&without_member_names(text));
            texts.iter().any(|text| contains(&folded(text), name.as_str(), is_longer))
        };
        found([
            (MatchedBy::Contact, self.contacts.iter().any(|id| any(&id.to_string(), is_longer_id))),
            (MatchedBy::Phone, self.phones.iter().any(|phone| texts.iter().any(|text| has_phone(text, *phone)))),
            (MatchedBy::Email, self.emails.iter().any(|email| any(email, is_longer_address))),
            (MatchedBy::Name, self.names.iter().any(has_name)),
        ])
    }
}

/// A name, a phone number and an address.
type Values<'a> = (Option<&'a Name>, Option<Phone>, Option<&'a Email>);

/// The values that a command brings.
pub(super) fn values_of(action: &Action) -> Values<'_> {
    match action {
        Action::Create(details) | Action::Update(details) => {
            (Some(&details.name), Some(details.phone), details.email.as_ref())
        }
        Action::Patch(patch) => (patch.name.as_ref(), patch.phone, patch.email.as_ref().and_then(EmailPatch::value)),
        Action::Delete => (None, None, None),
    }
}

fn found(matches: [(MatchedBy, bool); 4]) -> Vec<MatchedBy> {
    matches.into_iter().filter(|(_, is_found)| *is_found).map(|(by, _)| by).collect()
}

fn lower_case(email: &Email) -> String {
    email.as_str().to_lowercase()
}

/// Whether a text contains a value that is not a part of a longer one, by the texts before and after it.
fn contains(text: &str, value: &str, is_longer: fn(&str, &str) -> bool) -> bool {
    text.match_indices(value).any(|(start, _)| {
        let (before, after) = (text.get(..start), text.get(start + value.len()..));
        !is_longer(before.unwrap_or_default(), after.unwrap_or_default())
    })
}

fn is_longer_id(before: &str, after: &str) -> bool {
    before.ends_with(|c: char| c.is_ascii_hexdigit()) || after.starts_with(|c: char| c.is_ascii_hexdigit())
}

/// Before an address, each character of a local part (RFC 5322) belongs to a longer one; after it, each one of a host. A
/// full stop after an address usually ends a sentence. Two quotation marks are no part of the address between them.
fn is_longer_address(before: &str, after: &str) -> bool {
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '_' | '%' | '+' | '-');
    let outside = match (before.strip_suffix('\''), after.starts_with('\'')) {
        (Some(outside), true) => outside,
        _ => before,
    };
    outside.strip_suffix('.').unwrap_or(outside).ends_with(is_local)
        || after.strip_prefix('.').unwrap_or(after).starts_with(is_host)
}

/// Whether a text contains a phone number: as digits with signs between them.
fn has_phone(text: &str, phone: Phone) -> bool {
    let is_sign = |c: char| c.is_ascii_digit() || c.is_whitespace() || matches!(c, '(' | ')' | '-' | '.' | '/');
    let mut is_international = false;
    text.split_inclusive(|c| !is_sign(c)).any(|run| {
        let found = is_phone_in(run, is_international, phone);
        is_international = run.ends_with('+');
        found
    })
}

/// Whether one of the numbers in a run of digits and signs is the phone number. A number has whole groups of digits: more
/// digits make another number.
fn is_phone_in(run: &str, is_international: bool, phone: Phone) -> bool {
    let groups: Vec<&str> = run.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let whole = groups.concat();
    let phone = phone.to_string();
    let (Some(international), Some(national)) = (phone.strip_prefix('+'), phone.strip_prefix("+55")) else {
        return false;
    };
    let is_phone = |digits: &str, is_international: bool| {
        digits == international || !is_international && digits.strip_suffix(national).is_some_and(is_national_prefix)
    };
    if is_phone(&whole, is_international) {
        return true;
    }
    // All the digits are one number, and it is another one.
    if is_national_number(&whole) || is_number_with_country(&whole) {
        return false;
    }
    (0..groups.len()).any(|start| {
        let (before, after) = groups.split_at(start);
        // The digits after `+` begin a number. Another one can follow.
        let is_inside = is_international && start > 0 && !is_number_with_country(&before.concat());
        let mut digits = String::new();
        !is_inside
            && after.iter().any(|group| {
                digits.push_str(group);
                is_phone(&digits, is_international && start == 0)
            })
    })
}

fn is_number_with_country(digits: &str) -> bool {
    digits.strip_prefix("55").is_some_and(is_national_number)
}

fn is_national_number(digits: &str) -> bool {
    matches!(digits.len(), 10 | 11) && Phone::parse(digits).is_ok()
}

/// What is dialled before a number: the trunk prefix, a carrier, the code of the country.
fn is_national_prefix(prefix: &str) -> bool {
    let has_carrier = || {
        let digits = prefix.as_bytes();
        matches!(digits, [b'0', b'1'..=b'9', b'0'..=b'9'])
    };
    matches!(prefix, "" | "0" | "55" | "550" | "0055") || has_carrier()
}

/// A text without the names of the members of JSON objects, also of damaged ones.
fn without_member_names(text: &str) -> String {
    let mut kept = String::new();
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        let is_before_colon = parts.peek().is_some();
        let quoted = part.trim_end().strip_suffix('"').filter(|_| is_before_colon);
        match quoted.and_then(|quoted| quoted.rsplit_once('"')) {
            Some((before, _name)) => kept.push_str(before),
            None => kept.push_str(part),
        }
        kept.push(':');
    }
    kept
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

/// All texts of a JSON value, without the names of members.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Name, Reason};
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
            ("2026-11-29 11 98765-4321", &[Phone]),
            ("(11) 98765-4321 / (11) 3333-4444", &[Phone]),
            ("+55 11 3333-4444 / 11 98765-4321", &[Phone]),
            ("0055 11 98765 4321, +55 (11) 98765-4321", &[Phone]),
            ("<ana.souza@example.com>; 'ana.souza@example.com'", &[Email]),
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
            "+1 11 98765-4321",
            "José da Silvana",
            "aJosé da Silva",
            "{\"José da Silva\": 1, \"x",
            "00000000-0000-0000-0000-000000000abcd",
            "",
        ] {
            assert_eq!(matches(body), [], "{body}");
        }
    }

    /// A command and the same text with a schema of a newer version, which cannot be decoded.
    fn bodies(name: &str, phone: &str, email: &str) -> [String; 2] {
        [1, 9].map(|schema| {
            format!(
                "{{\"schema\":{schema},\"operation\":\"insert\",\"operation_id\":\"{id}\",\"contact_id\":\"{id}\",\
                 \"stamp\":117321987654321999,\"accepted_at\":\"2026-01-02T03:04:05Z\",\
                 \"contact\":{{\"name\":\"{name}\",\"phone\":\"{phone}\",\"email\":\"{email}\"}}}}",
                id = Uuid::from_u128(7)
            )
        })
    }

    fn matches_one(subject: Subject, body: &str) -> Vec<MatchedBy> {
        Matcher::new(&subject).matches(&Message { body: body.into(), ..Message::default() })
    }

    /// The values of a person occur inside of those of others: an erasure would discard the messages of strangers.
    #[test]
    fn another_person_with_similar_values_is_not_found() {
        let phone = |text: &str| Subject { phones: vec![Phone::parse(text).unwrap()], ..Subject::default() };
        let name = |text: &str| Subject { names: vec![Name::parse(text).unwrap()], ..Subject::default() };
        let email = |text: &str| Subject { emails: vec![Email::parse(text).unwrap()], ..Subject::default() };
        for (subject, others) in [
            (phone("(55) 99981-1234"), bodies("Bia", "+5599981123456", "bia@example.com")),
            (phone("(55) 3332-7100"), bodies("Bia", "+553332710055", "bia@example.com")),
            (phone("(21) 98765-4321"), bodies("Bia", "+5511912340000", "bia@example.com")),
            (name("Name"), bodies("Bia", "+5511912340000", "bia@example.com")),
            (name("Contact"), bodies("Bia", "+5511912340000", "bia@example.com")),
            (name("Phone"), bodies("Bia", "+5511912340000", "bia@example.com")),
            (email("avila@example.com"), bodies("Bia", "+5511912340000", "d'avila@example.com")),
            (email("bia@example.com"), bodies("Bia", "+5511912340000", "ana=bia@example.com")),
        ] {
            for body in others {
                assert_eq!(matches_one(subject.clone(), &body), [], "{body}");
            }
        }
        let grouped = ["+55 99 98112-3456", "55 33 32 71 00 55", "+55 (33) 3271-0055"];
        for (subject, body) in
            [phone("(55) 99981-1234"), phone("(55) 3332-7100"), phone("(55) 3332-7100")].into_iter().zip(grouped)
        {
            assert_eq!(matches_one(subject, body), [], "{body}");
        }
        // The description of a failure names fields.
        let mut message = Message { body: "{}".into(), ..Message::default() };
        message.headers.record_failure(Reason::Invalid, "phone is missing", chrono::Utc::now());
        assert_eq!(Matcher::new(&name("Phone")).matches(&message), []);
        for body in bodies("Bia", "+5511987654321", "bia@example.com") {
            assert_eq!(matches_one(phone("11987654321"), &body), [MatchedBy::Phone]);
            assert_eq!(matches_one(name("bia"), &body), [MatchedBy::Name]);
            assert_eq!(matches_one(email("BIA@example.com"), &body), [MatchedBy::Email]);
        }
    }

    #[test]
    fn a_member_of_a_patch_is_compared() {
        use MatchedBy::{Contact, Email, Name, Phone};
        let body = |patch: &str| {
            format!(
                "{{\"schema\":1,\"operation\":\"patch\",\"operation_id\":\"{id}\",\"contact_id\":\"{id}\",\"stamp\":5,\
                 \"accepted_at\":\"2026-01-02T03:04:05Z\",\"patch\":{patch}}}",
                id = Uuid::from_u128(0xABC)
            )
        };
        assert_eq!(matches(body("{\"phone\":\"+5511987654321\"}")), [Contact, Phone]);
        assert_eq!(matches(body("{\"email\":\"ana.SOUZA@example.com\"}")), [Contact, Email]);
        assert_eq!(matches(body("{\"name\":\"jose  da silva\"}")), [Contact, Name]);
        assert_eq!(matches(body("{\"email\":null}")), [Contact]);
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
