//! Collects the contact of one vCard from its properties.
//!
//! If a card has several phone numbers or addresses, only the best is kept. This file does not know how lines are
//! folded.

use super::property::{Kind, Property, split_escaped, unescape};
use crate::domain::{Email, Invalid, Name, Phone};
use crate::formats::record::{Entry, REQUIRED, RecordError, TOO_LONG, assemble};
use std::borrow::Cow;

const UNSUPPORTED_VERSION: Invalid =
    Invalid { code: "unsupported_version", detail: "must be a vCard of version 3.0 or 4.0" };
const UNCLOSED: Invalid = Invalid { code: "unclosed", detail: "must end with END:VCARD" };
const MALFORMED: Invalid = Invalid {
    code: "malformed",
    detail: "must consist of lines such as NAME:value; a folded line goes on after a blank",
};
const LOCAL_NUMBER: Invalid =
    Invalid { code: "malformed", detail: "must be a global number, such as tel:+55-11-98765-4321" };

/// A card after its `BEGIN:VCARD`.
pub(super) struct Card {
    line: u64,
    /// Whether all its versions are supported; `None` before the first version.
    supported: Option<bool>,
    full_name: BestValue<Name>,
    name_parts: BestValue<Name>,
    phone: BestValue<Phone>,
    email: BestValue<Email>,
    malformed: bool,
}

impl Card {
    pub(super) fn new(line: u64) -> Self {
        Self {
            line,
            supported: None,
            full_name: BestValue(None),
            name_parts: BestValue(None),
            phone: BestValue(None),
            email: BestValue(None),
            malformed: false,
        }
    }

    /// Adds a property. `whole` is false if its line is too long and was cut.
    pub(super) fn add(&mut self, kind: Kind, property: &Property<'_>, whole: bool) {
        let rank = property.rank();
        let text = if whole { property.text() } else { Err(TOO_LONG) };
        match kind {
            Kind::Version => {
                let supported = matches!(property.raw(), b"3.0" | b"4.0");
                self.supported = Some(supported && self.supported.unwrap_or(true));
            }
            Kind::FullName => self.full_name.offer(rank, text.and_then(|text| Name::parse(&unescape(text)))),
            Kind::NameParts => self.name_parts.offer(rank, text.and_then(|text| Name::parse(&name_of_parts(text)))),
            Kind::Phone => self.phone.offer(rank, text.and_then(parse_phone)),
            Kind::Email => self.email.offer(rank, text.and_then(|text| Email::parse(&unescape(text)))),
            Kind::Begin | Kind::End | Kind::Other => {}
        }
    }

    /// Records that the card has a line that is not a property.
    pub(super) const fn mark_malformed(&mut self) {
        self.malformed = true;
    }

    /// The entry of a card with `END:VCARD`.
    pub(super) fn finish(self) -> Entry {
        let result = match self.supported {
            Some(true) => {
                let name = self.full_name.or(self.name_parts).result();
                let others = if self.malformed { RecordError::whole_record(MALFORMED) } else { Vec::new() };
                assemble(name, self.phone.result(), self.email.result(), others)
            }
            // Another version can use the same lines with another meaning.
            Some(false) | None => Err(RecordError::whole_record(UNSUPPORTED_VERSION)),
        };
        Entry { line: self.line, result }
    }

    /// The entry of a card without `END:VCARD`.
    pub(super) fn unclosed(self) -> Entry {
        Entry { line: self.line, result: Err(RecordError::whole_record(UNCLOSED)) }
    }
}

/// The best value of a property. A valid value is better than an invalid one. Then the lower rank is better, then the
/// first value.
struct BestValue<T>(Option<((u8, u8), Result<T, Invalid>)>);

impl<T> BestValue<T> {
    fn offer(&mut self, rank: (u8, u8), value: Result<T, Invalid>) {
        let better =
            self.0.as_ref().is_none_or(|(best_rank, best)| (value.is_err(), rank) < (best.is_err(), *best_rank));
        if better {
            self.0 = Some((rank, value));
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

/// Parses a phone number: plain text or a `tel:` URI (RFC 3966).
fn parse_phone(text: &str) -> Result<Phone, Invalid> {
    let text = unescape(text.trim());
    let Some((_, rest)) = text.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("tel")) else {
        return Phone::parse(&text);
    };
    let (number, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    if parameters.to_ascii_lowercase().contains("phone-context") {
        return Err(LOCAL_NUMBER);
    }
    Phone::parse(&percent_decode(number))
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
            Ok(details) => Ok([details.name.as_str().into(), details.phone.to_string(), details.email.as_str().into()]),
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
    fn a_phone_number_may_be_a_uri() {
        for uri in
            ["tel:+55-11-98765-4321", "TEL:+55(11)98765.4321;ext=12", "tel:%2B5511987654321", "+55 11 98765 4321"]
        {
            assert_eq!(card_with(&[&format!("TEL;VALUE=uri:{uri}")])[1], "+5511987654321", "{uri}");
        }
        for (uri, code) in [
            ("tel:98765-4321;phone-context=+55", "malformed"),
            ("tel:+55%C3%A9", "malformed"),
            ("tel:%", "malformed"),
            ("sip:ana@example.com", "malformed"),
            ("tel:", "required"),
        ] {
            assert_eq!(parse_phone(uri).map_err(|invalid| invalid.code), Err(code), "{uri}");
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
        let missing = ["name", "phone", "email"].map(|field| (field.to_owned(), "required"));
        assert_eq!(card(&["VERSION:3.0"]), Err(missing.to_vec()));
        let unsupported = Err(vec![("(line)".into(), "unsupported_version")]);
        assert_eq!(card(&["FN:Ana"]), unsupported);
        assert_eq!(card(&["VERSION:2.1", "VERSION:3.0"]), unsupported);
        assert_eq!(card(&["VERSION:5.0"]), unsupported);
    }
}
