//! What one vCard says of a contact, gathered property by property.
//!
//! Of several phones or addresses only the best so far is kept. It must not know how lines are cut and folded.

use super::property::{Kind, Property, split_escaped, unescape};
use crate::domain::{Email, Invalid, Name, Phone};
use crate::formats::record::{Entry, REQUIRED, RecordError, TOO_LONG, assemble};
use std::borrow::Cow;

const VERSION: Invalid = Invalid { code: "unsupported_version", detail: "must be a vCard of version 3.0 or 4.0" };
const UNCLOSED: Invalid = Invalid { code: "unclosed", detail: "must end with END:VCARD" };
const BROKEN: Invalid = Invalid {
    code: "malformed",
    detail: "must consist of lines such as NAME:value; a folded line goes on after a blank",
};
const LOCAL_NUMBER: Invalid =
    Invalid { code: "malformed", detail: "must be a global number, such as tel:+55-11-98765-4321" };

/// A card that has begun.
pub(super) struct Card {
    line: u64,
    supported: Option<bool>,
    full_name: Best<Name>,
    name_parts: Best<Name>,
    phone: Best<Phone>,
    email: Best<Email>,
    broken: bool,
}

impl Card {
    pub(super) fn new(line: u64) -> Self {
        Self {
            line,
            supported: None,
            full_name: Best(None),
            name_parts: Best(None),
            phone: Best(None),
            email: Best(None),
            broken: false,
        }
    }

    /// Takes a line that has the form of a property.
    pub(super) fn take(&mut self, kind: Kind, property: &Property<'_>, whole: bool) {
        let rank = property.rank();
        let text = if whole { property.text() } else { Err(TOO_LONG) };
        match kind {
            Kind::Version => {
                let supported = matches!(property.raw(), b"3.0" | b"4.0");
                self.supported = Some(supported && self.supported.unwrap_or(true));
            }
            Kind::FullName => self.full_name.offer(rank, text.and_then(|text| Name::parse(&unescape(text)))),
            Kind::NameParts => self.name_parts.offer(rank, text.and_then(|text| Name::parse(&joined(text)))),
            Kind::Phone => self.phone.offer(rank, text.and_then(phone)),
            Kind::Email => self.email.offer(rank, text.and_then(|text| Email::parse(&unescape(text)))),
            Kind::Begin | Kind::End | Kind::Other => {}
        }
    }

    /// Takes note of a line that is no property.
    pub(super) const fn broken(&mut self) {
        self.broken = true;
    }

    pub(super) fn ended(self) -> Entry {
        let result = match self.supported {
            Some(true) => {
                let name = self.full_name.or(self.name_parts).result();
                let others = if self.broken { RecordError::whole(BROKEN) } else { Vec::new() };
                assemble(name, self.phone.result(), self.email.result(), others)
            }
            // What another version means by its lines is not known.
            Some(false) | None => Err(RecordError::whole(VERSION)),
        };
        Entry { line: self.line, result }
    }

    pub(super) fn unclosed(self) -> Entry {
        Entry { line: self.line, result: Err(RecordError::whole(UNCLOSED)) }
    }
}

/// The best of the values that a card has: a valid one before one that is not, then by rank, then the first.
struct Best<T>(Option<((u8, u8), Result<T, Invalid>)>);

impl<T> Best<T> {
    fn offer(&mut self, rank: (u8, u8), value: Result<T, Invalid>) {
        let better = self.0.as_ref().is_none_or(|(best, held)| (value.is_err(), rank) < (held.is_err(), *best));
        if better {
            self.0 = Some((rank, value));
        }
    }

    /// Another one, if this is missing or empty.
    fn or(self, other: Self) -> Self {
        match self.0 {
            None => other,
            Some((_, Err(invalid))) if invalid.code == REQUIRED.code && other.0.is_some() => other,
            some => Self(some),
        }
    }

    fn result(self) -> Result<T, Invalid> {
        self.0.map_or(Err(REQUIRED), |(_, result)| result)
    }
}

/// `Family;Given;Additional;Prefix;Suffix` as people say it: given, additional, family. Each may be a list.
fn joined(text: &str) -> String {
    let mut components = split_escaped(text, ';');
    let family = components.next();
    let spoken = components.take(2).chain(family);
    let words: Vec<_> = spoken.flat_map(|component| split_escaped(component, ',')).map(unescape).collect();
    let words: Vec<&str> = words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// A number, as text or as a `tel:` URI (RFC 3966).
fn phone(text: &str) -> Result<Phone, Invalid> {
    let text = unescape(text.trim());
    let Some((_, rest)) = text.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("tel")) else {
        return Phone::parse(&text);
    };
    let (number, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    if parameters.to_ascii_lowercase().contains("phone-context") {
        return Err(LOCAL_NUMBER);
    }
    Phone::parse(&decoded(number))
}

/// Without percent-encoding. Where it stands for more than ASCII it stays: no number has that.
fn decoded(text: &str) -> Cow<'_, str> {
    let mut pieces = text.split('%');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(u8::is_ascii);
        match (code, piece.get(2..)) {
            (Some(code), Some(rest)) => {
                plain.push(char::from(code));
                plain.push_str(rest);
            }
            _ => return Cow::Borrowed(text),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(lines: &[&str]) -> Result<[String; 3], Vec<(String, &'static str)>> {
        let mut card = Card::new(1);
        for line in lines {
            let line = line.as_bytes();
            card.take(Kind::of(line).unwrap(), &Property::read(line).unwrap(), true);
        }
        match card.ended().result {
            Ok(details) => Ok([details.name.as_str().into(), details.phone.to_string(), details.email.as_str().into()]),
            Err(faults) => {
                Err(faults.into_iter().map(|fault| (fault.field.into_owned(), fault.invalid.code)).collect())
            }
        }
    }

    fn with(lines: &[&str]) -> [String; 3] {
        let rest = ["VERSION:4.0", "FN:Ana", "TEL:1133334444", "EMAIL:ana@example.com"];
        let kind = |line: &&str| Kind::of(line.as_bytes());
        let kept = rest.iter().filter(|line| lines.iter().all(|other| kind(other) != kind(line)));
        card(&kept.chain(lines).copied().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn of_several_numbers_the_preferred_the_mobile_the_first_valid_is_taken() {
        let phone = |lines: &[&str]| with(lines)[1].clone();
        assert_eq!(phone(&["TEL:1133334444", "TEL:1122223333"]), "+551133334444");
        assert_eq!(phone(&["TEL:1133334444", "TEL;TYPE=cell:11987654321"]), "+5511987654321");
        assert_eq!(phone(&["TEL;PREF=2:1133334444", "TEL;PREF=1:1122223333", "TEL;CELL:11987654321"]), "+551122223333");
        assert_eq!(phone(&["TEL;TYPE=fax,work:1133334444", "TEL:1122223333"]), "+551122223333");
        assert_eq!(phone(&["TEL;TYPE=pref:+1 212 555 0123", "TEL:1122223333"]), "+551122223333");
        assert_eq!(with(&["EMAIL:x", "EMAIL:a@example.com", "EMAIL;TYPE=PREF:b@example.com"])[2], "b@example.com");
    }

    #[test]
    fn numbers_may_be_uris() {
        for uri in
            ["tel:+55-11-98765-4321", "TEL:+55(11)98765.4321;ext=12", "tel:%2B5511987654321", "+55 11 98765 4321"]
        {
            assert_eq!(with(&[&format!("TEL;VALUE=uri:{uri}")])[1], "+5511987654321", "{uri}");
        }
        for (uri, code) in [
            ("tel:98765-4321;phone-context=+55", "malformed"),
            ("tel:+55%C3%A9", "malformed"),
            ("tel:%", "malformed"),
            ("sip:ana@example.com", "malformed"),
            ("tel:", "required"),
        ] {
            assert_eq!(phone(uri).map_err(|invalid| invalid.code), Err(code), "{uri}");
        }
    }

    #[test]
    fn a_name_is_the_full_one_or_its_parts() {
        let name = |lines: &[&str]| with(lines)[0].clone();
        assert_eq!(name(&["N:Souza;Ana;;;", r#"FN:Ana "A"\, \\ Lima"#]), r#"Ana "A", \ Lima"#);
        assert_eq!(name(&["FN: ", "N:Souza;Ana,Maria;de\\;;Dr.;"]), "Ana Maria de; Souza");
        let nameless = ["VERSION:3.0", "TEL:1133334444", "EMAIL:a@b.co"];
        let of = |line| card(&[&nameless[..], &[line]].concat()).map(|[name, ..]| name);
        assert_eq!(of("N:;Ana"), Ok("Ana".into()));
        assert_eq!(of("N:Souza"), Ok("Souza".into()));
        assert_eq!(of("N:;;;;"), Err(vec![("name".into(), "required")]));
        assert_eq!(of("FN:a\\nb"), Err(vec![("name".into(), "control_character")]));
    }

    #[test]
    fn what_is_missing_is_named_at_once_and_only_known_versions_are_read() {
        let missing = ["name", "phone", "email"].map(|field| (field.to_owned(), "required"));
        assert_eq!(card(&["VERSION:3.0"]), Err(missing.to_vec()));
        let unsupported = Err(vec![("(line)".into(), "unsupported_version")]);
        assert_eq!(card(&["FN:Ana"]), unsupported);
        assert_eq!(card(&["VERSION:2.1", "VERSION:3.0"]), unsupported);
        assert_eq!(card(&["VERSION:5.0"]), unsupported);
    }
}
