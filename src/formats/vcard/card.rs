//! Collects the contact of one vCard from its properties.
//!
//! If a card has several phone numbers or addresses, only the best is kept. This file does not know how lines are
//! folded.

use super::property::{Kind, Property, split_escaped, unescape};
use crate::domain::{Email, Invalid, Name, Phone};
use crate::formats::record::{Entry, Ignored, REQUIRED, RecordError, TOO_LONG, assemble};
use crate::formats::values::{Preference, Values};
use std::borrow::Cow;

const UNSUPPORTED_VERSION: Invalid = Invalid::new("unsupported_version", "must be a vCard of version 2.1, 3.0 or 4.0");
const UNCLOSED: Invalid = Invalid::new("unclosed", "must end with END:VCARD");
const MALFORMED: Invalid =
    Invalid::new("malformed", "must consist of lines such as NAME:value; a folded line goes on after a blank");

/// Properties about the card itself. A reader of the result does not miss them.
const ABOUT_THE_CARD: [&[u8]; 9] =
    [b"VERSION", b"PRODID", b"REV", b"UID", b"KIND", b"CLASS", b"MAILER", b"SOURCE", b"CLIENTPIDMAP"];
/// The maximum number of ignored properties that are reported.
const MAX_IGNORED: usize = 30;

/// A card after its `BEGIN:VCARD`.
pub(super) struct Card {
    line: u64,
    /// Whether all its versions are supported; `None` before the first version.
    supported: Option<bool>,
    full_name: BestValue<Name>,
    name_parts: BestValue<Name>,
    organization: BestValue<Name>,
    phones: Values<Phone>,
    emails: Values<Email>,
    ignored: Vec<Ignored>,
    malformed: bool,
}

impl Card {
    pub(super) fn new(line: u64) -> Self {
        Self {
            line,
            supported: None,
            full_name: BestValue(None),
            name_parts: BestValue(None),
            organization: BestValue(None),
            phones: Values::phones(),
            emails: Values::emails(),
            ignored: Vec::new(),
            malformed: false,
        }
    }

    /// Adds a property. `whole` is false if its line is too long and was cut.
    pub(super) fn add(&mut self, kind: Kind, property: &Property<'_>, whole: bool) {
        let preference = property.preference();
        let text = if whole { property.text() } else { Err(TOO_LONG) };
        match kind {
            Kind::Version => {
                let supported = matches!(property.raw(), b"2.1" | b"3.0" | b"4.0");
                self.supported = Some(supported && self.supported.unwrap_or(true));
            }
            Kind::FullName => self.full_name.offer(preference, text.and_then(|text| Name::parse(&unescape(&text)))),
            Kind::NameParts => {
                self.name_parts.offer(preference, text.and_then(|text| Name::parse(&name_of_parts(&text))));
            }
            Kind::Organization => {
                let first = |text: &str| split_escaped(text, ';').next().map(|part| unescape(part).into_owned());
                let organization = text.and_then(|text| Name::parse(&first(&text).unwrap_or_default()));
                self.organization.offer(preference, organization);
            }
            Kind::Phone => match text {
                Ok(text) => self.phones.add(&percent_decode(&unescape(&text)), preference),
                Err(invalid) => self.phones.add_error(invalid),
            },
            Kind::Email => match text {
                Ok(text) => self.emails.add(&unescape(&text), preference),
                Err(invalid) => self.emails.add_error(invalid),
            },
            Kind::Begin | Kind::End | Kind::Agent | Kind::Other => {}
        }
    }

    /// Notes a property that a contact does not have.
    pub(super) fn ignore(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        let known = ABOUT_THE_CARD.contains(&name.as_bytes()) || name.starts_with("X-AB");
        let repeated = self.ignored.iter().any(|ignored| ignored.field == name);
        if !known && !repeated && self.ignored.len() < MAX_IGNORED {
            self.ignored.push(Ignored::no_field(name));
        }
    }

    /// Records that the card has a line that is not a property.
    pub(super) const fn mark_malformed(&mut self) {
        self.malformed = true;
    }

    /// The entry of a card with `END:VCARD`.
    pub(super) fn finish(mut self) -> Entry {
        let name = match self.full_name.or(self.name_parts) {
            BestValue(None) => self.organization.result(),
            BestValue(Some((_, Err(invalid)))) if invalid.code == REQUIRED.code => {
                self.organization.or(BestValue(Some((Preference::Plain, Err(invalid))))).result()
            }
            name => {
                if matches!(self.organization.0, Some((_, Ok(_)))) {
                    self.ignored.push(Ignored::no_field("ORG"));
                }
                name.result()
            }
        };
        let result = match self.supported {
            Some(true) => {
                let others = if self.malformed { RecordError::whole_record(MALFORMED) } else { Vec::new() };
                let phone = self.phones.choose(&mut self.ignored);
                let email = self.emails.choose(&mut self.ignored);
                assemble(name, phone, email, others)
            }
            // Another version can use the same lines with another meaning.
            Some(false) | None => Err(RecordError::whole_record(UNSUPPORTED_VERSION)),
        };
        Entry { line: self.line, result, ignored: self.ignored }
    }

    /// The entry of a card without `END:VCARD`.
    pub(super) fn unclosed(self) -> Entry {
        Entry { line: self.line, result: Err(RecordError::whole_record(UNCLOSED)), ignored: Vec::new() }
    }
}

/// The best value of a property. A valid value is better than an invalid one. Then the preferred value is better, then
/// the first.
struct BestValue<T>(Option<(Preference, Result<T, Invalid>)>);

impl<T> BestValue<T> {
    fn offer(&mut self, preference: Preference, value: Result<T, Invalid>) {
        let better = self
            .0
            .as_ref()
            .is_none_or(|(best_preference, best)| (value.is_err(), preference) < (best.is_err(), *best_preference));
        if better {
            self.0 = Some((preference, value));
        }
    }

    /// The other value, if this value is missing or empty.
    fn or(self, other: Self) -> Self {
        match self.0 {
            None => other,
            Some((_, Err(invalid))) if invalid.code == REQUIRED.code && other.0.is_some() => other,
            present => Self(present),
        }
    }

    fn result(self) -> Result<T, Invalid> {
        self.0.map_or(Err(REQUIRED), |(_, result)| result)
    }
}

/// Turns `Family;Given;Additional;Prefix;Suffix` into "Given Additional Family". Each part can be a list.
fn name_of_parts(text: &str) -> String {
    let mut components = split_escaped(text, ';');
    let family = components.next();
    let ordered = components.take(2).chain(family);
    let words: Vec<_> = ordered.flat_map(|component| split_escaped(component, ',')).map(unescape).collect();
    let words: Vec<&str> = words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Decodes percent-encoding. A text with encoded bytes outside ASCII stays as it is: it cannot be a phone number.
fn percent_decode(text: &str) -> Cow<'_, str> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        match (code, piece.get(2..)) {
            (Some(code), Some(rest)) => {
                decoded.push(char::from(code));
                decoded.push_str(rest);
            }
            _ => return Cow::Borrowed(text),
        }
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(lines: &[&str]) -> Result<[String; 3], Vec<(String, &'static str)>> {
        let mut card = Card::new(1);
        for line in lines {
            let line = line.as_bytes();
            card.add(Kind::of(line).unwrap(), &Property::parse(line).unwrap(), true);
        }
        match card.finish().result {
            Ok(details) => Ok([
                details.name.as_str().into(),
                details.phone.to_string(),
                details.email.map_or_else(String::new, |email| email.as_str().into()),
            ]),
            Err(errors) => {
                Err(errors.into_iter().map(|error| (error.field.into_owned(), error.invalid.code)).collect())
            }
        }
    }

    /// A valid card in which these lines replace the lines of the same kind.
    fn card_with(lines: &[&str]) -> [String; 3] {
        let rest = ["VERSION:4.0", "FN:Ana", "TEL:1133334444", "EMAIL:ana@example.com"];
        let kind = |line: &&str| Kind::of(line.as_bytes());
        let kept = rest.iter().filter(|line| lines.iter().all(|other| kind(other) != kind(line)));
        card(&kept.chain(lines).copied().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_preferred_then_the_mobile_then_the_first_valid_number_is_taken() {
        let phone = |lines: &[&str]| card_with(lines)[1].clone();
        assert_eq!(phone(&["TEL:1133334444", "TEL:1122223333"]), "+551133334444");
        assert_eq!(phone(&["TEL:1133334444", "TEL;TYPE=cell:11987654321"]), "+5511987654321");
        assert_eq!(phone(&["TEL;PREF=2:1133334444", "TEL;PREF=1:1122223333", "TEL;CELL:11987654321"]), "+551122223333");
        assert_eq!(phone(&["TEL;TYPE=fax,work:1133334444", "TEL:1122223333"]), "+551122223333");
        assert_eq!(phone(&["TEL;TYPE=pref:+1 212 555 0123", "TEL:1122223333"]), "+551122223333");
        assert_eq!(card_with(&["EMAIL:x", "EMAIL:a@example.com", "EMAIL;TYPE=PREF:b@example.com"])[2], "b@example.com");
    }

    #[test]
    fn a_phone_number_can_be_a_uri() {
        for uri in ["tel:+55-11-98765-4321", "TEL:+55(11)98765.4321", "tel:%2B5511987654321", "+55 11 98765 4321"] {
            assert_eq!(card_with(&[&format!("TEL;VALUE=uri:{uri}")])[1], "+5511987654321", "{uri}");
        }
        for (uri, code) in [
            ("tel:98765-4321;phone-context=+55", "malformed"),
            ("tel:+55%C3%A9", "malformed"),
            ("tel:%", "malformed"),
            ("sip:ana@example.com", "malformed"),
            ("tel:", "malformed"),
        ] {
            let line = format!("TEL:{uri}");
            let lines = ["VERSION:4.0", "FN:Ana", "EMAIL:ana@example.com", &line];
            assert_eq!(card(&lines), Err(vec![("phone".into(), code)]), "{uri}");
        }
    }

    #[test]
    fn a_name_is_the_full_name_or_its_parts() {
        let name = |lines: &[&str]| card_with(lines)[0].clone();
        assert_eq!(name(&["N:Souza;Ana;;;", r#"FN:Ana "A"\, \\ Lima"#]), r#"Ana "A", \ Lima"#);
        assert_eq!(name(&["FN: ", "N:Souza;Ana,Maria;de\\;;Dr.;"]), "Ana Maria de; Souza");
        let nameless = ["VERSION:3.0", "TEL:1133334444", "EMAIL:a@b.co"];
        let name = |line| card(&[&nameless[..], &[line]].concat()).map(|[name, ..]| name);
        assert_eq!(name("N:;Ana"), Ok("Ana".into()));
        assert_eq!(name("N:Souza"), Ok("Souza".into()));
        assert_eq!(name("N:;;;;"), Err(vec![("name".into(), "required")]));
        assert_eq!(name("FN:a\\nb"), Err(vec![("name".into(), "control_character")]));
    }

    #[test]
    fn all_missing_fields_are_reported_and_other_versions_are_rejected() {
        let missing = ["name", "phone"].map(|field| (field.to_owned(), "required"));
        assert_eq!(card(&["VERSION:3.0"]), Err(missing.to_vec()));
        let unsupported = Err(vec![("(line)".into(), "unsupported_version")]);
        assert_eq!(card(&["FN:Ana"]), unsupported);
        assert_eq!(card(&["VERSION:2.1", "VERSION:5.0"]), unsupported);
        assert_eq!(card(&["VERSION:5.0"]), unsupported);
    }
}
