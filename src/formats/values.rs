//! Chooses a contact's phone number and e-mail address among all values of a record.
//!
//! The rule: a valid value before an invalid one, then the preferred one, then a mobile number before a landline, then the
//! order in the file. Every value that is not kept is reported, so that nothing disappears silently.

use super::record::{Ignored, REQUIRED};
use crate::domain::{Email, Invalid, Phone};

/// The separators between two values in one cell.
const SEPARATORS: [&str; 8] = [":::", "/", ";", "|", "\n", " ou ", " e ", ","];
/// The maximum number of values in a cell. A cell with more is one value.
const MAX_VALUES: usize = 16;
/// The maximum number of values of a record. Further values are not read. It limits the memory.
const MAX_CANDIDATES: usize = 64;

/// How much a value is preferred. The least is the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Preference {
    /// The record marks the value as preferred. 1 is the most preferred.
    Preferred(u8),
    /// The record says that it is a mobile number.
    Mobile,
    /// The record says nothing that matters here.
    #[default]
    Plain,
    /// A fax or pager number, or the number of another person. It is never taken.
    NotOwnVoice,
}

struct Candidate<T> {
    preference: Preference,
    landline: bool,
    text: String,
    result: Result<T, Invalid>,
    extension: Option<String>,
}

/// All values of a record for one field.
pub(super) struct Values<T> {
    field: &'static str,
    candidates: Vec<Candidate<T>>,
}

impl Values<Phone> {
    pub(super) const fn phones() -> Self {
        Self { field: "phone", candidates: Vec::new() }
    }

    /// Adds the numbers of a cell: one number, or several with separators.
    pub(super) fn add(&mut self, cell: &str, preference: Preference) {
        let is_number = |text: &str| Phone::parse_with_extension(text).is_ok();
        let parts = if is_number(cell) { Vec::new() } else { split(cell) };
        // A part with words is text, such as an address. A short part after a plus sign is the start of a foreign number,
        // and a URI is one number.
        let is_text = |part: &str| {
            let letters = part.chars().filter(|c| c.is_alphabetic()).count();
            let digits = part.chars().filter(char::is_ascii_digit).count();
            !is_number(part) && (letters > 2 || (part.starts_with('+') && digits < 8))
        };
        let is_list = !parts.iter().any(|part| is_text(part));
        // A cell has several numbers only if one of its parts is a number.
        if is_list && parts.iter().any(|part| is_number(part)) {
            parts.into_iter().for_each(|part| self.add_one(part, preference));
        } else {
            self.add_one(cell, preference);
        }
    }

    fn add_one(&mut self, text: &str, preference: Preference) {
        if self.candidates.len() >= MAX_CANDIDATES {
            return;
        }
        let (result, extension) = match Phone::parse_with_extension(text) {
            Ok((phone, extension)) => (Ok(phone), extension),
            Err(invalid) => (Err(invalid), None),
        };
        let landline = result.as_ref().is_ok_and(|phone| !phone.is_mobile());
        self.candidates.push(Candidate { preference, landline, text: text.trim().to_owned(), result, extension });
    }

    /// The best number. Every contact has one.
    pub(super) fn choose(self, ignored: &mut Vec<Ignored>) -> Result<Phone, Invalid> {
        self.best(ignored).unwrap_or(Err(REQUIRED))
    }

    /// An error that belongs to a value which cannot be decoded.
    pub(super) fn add_error(&mut self, invalid: Invalid) {
        self.candidates.push(undecodable(invalid));
    }
}

impl Values<Email> {
    pub(super) const fn emails() -> Self {
        Self { field: "email", candidates: Vec::new() }
    }

    /// Adds the addresses of a cell: one address, or several with separators.
    pub(super) fn add(&mut self, cell: &str, preference: Preference) {
        let parts = if parse_address(cell).is_ok() { Vec::new() } else { split(cell) };
        if parts.iter().any(|part| parse_address(part).is_ok()) {
            parts.into_iter().for_each(|part| self.add_one(part, preference));
        } else {
            self.add_one(cell, preference);
        }
    }

    fn add_one(&mut self, text: &str, preference: Preference) {
        if self.candidates.len() >= MAX_CANDIDATES {
            return;
        }
        let (text, result) = (text.trim().to_owned(), parse_address(text));
        self.candidates.push(Candidate { preference, landline: false, text, result, extension: None });
    }

    /// The best address, if there is one: it is optional.
    pub(super) fn choose(self, ignored: &mut Vec<Ignored>) -> Result<Option<Email>, Invalid> {
        self.best(ignored).transpose()
    }

    /// An error that belongs to a value which cannot be decoded.
    pub(super) fn add_error(&mut self, invalid: Invalid) {
        self.candidates.push(undecodable(invalid));
    }
}

fn undecodable<T>(invalid: Invalid) -> Candidate<T> {
    Candidate {
        preference: Preference::default(),
        landline: false,
        text: "?".to_owned(),
        result: Err(invalid),
        extension: None,
    }
}

impl<T> Values<T> {
    /// Takes the best value and reports the others. `None` if there is no value.
    fn best(mut self, ignored: &mut Vec<Ignored>) -> Option<Result<T, Invalid>> {
        self.candidates.retain(|candidate| !candidate.text.is_empty());
        let not_taken = |candidate: &Candidate<T>| candidate.preference == Preference::NotOwnVoice;
        self.candidates.sort_by_key(|candidate| {
            (not_taken(candidate), candidate.result.is_err(), candidate.preference, candidate.landline)
        });
        let mut candidates = self.candidates.into_iter().peekable();
        if candidates.peek().is_none_or(not_taken) {
            ignored.extend(candidates.map(|other| Ignored::value(self.field, "other_value", other.text)));
            return None;
        }
        let best = candidates.next()?;
        if let Some(extension) = best.extension {
            ignored.push(Ignored::value(self.field, "extension", extension));
        }
        // If no value is valid, the record is refused, and the file keeps them all.
        if best.result.is_ok() {
            for other in candidates {
                let reason = if other.result.is_ok() { "other_value" } else { "invalid" };
                ignored.push(Ignored::value(self.field, reason, other.text));
            }
        }
        Some(best.result)
    }
}

/// Parses an address as people and programs write it: `Ana <ana@example.com>`, `mailto:ana@example.com`.
fn parse_address(text: &str) -> Result<Email, Invalid> {
    let text = text.trim();
    let inner = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(open), Some(inside)) => inside.get(open + 1..).unwrap_or(text).trim(),
        _ => text,
    };
    let has_scheme = inner.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    let plain =
        if has_scheme { inner.get(7..).and_then(|rest| rest.split('?').next()).unwrap_or_default() } else { inner };
    Email::parse(plain)
}

/// The parts of a cell between separators.
fn split(cell: &str) -> Vec<&str> {
    let mut parts = vec![cell];
    for separator in SEPARATORS {
        if parts.len() > MAX_VALUES {
            return Vec::new();
        }
        parts = parts.into_iter().flat_map(|part| part.split(separator)).collect();
    }
    let parts: Vec<&str> = parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > MAX_VALUES { Vec::new() } else { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(cells: &[(&str, Preference)]) -> (String, Vec<String>) {
        let mut values = Values::phones();
        cells.iter().for_each(|(cell, preference)| values.add(cell, *preference));
        let mut ignored = Vec::new();
        let chosen = values.choose(&mut ignored).map_or_else(|invalid| invalid.code.into(), |phone| phone.to_string());
        (chosen, ignored.into_iter().map(|i| format!("{} {}", i.reason, i.value.unwrap_or_default())).collect())
    }

    fn plain(cell: &str) -> (String, Vec<String>) {
        phone(&[(cell, Preference::Plain)])
    }

    #[test]
    fn the_best_number_of_a_cell_is_taken_and_the_others_are_reported() {
        let both = ("+5511987654321".to_owned(), vec!["other_value 11 3456-7890".to_owned()]);
        for separator in [" / ", "/", " ::: ", "; ", ", ", " | ", "\n", " ou ", " e "] {
            assert_eq!(plain(&format!("11 3456-7890{separator}11 98765-4321")), both, "{separator:?}");
        }
        assert_eq!(plain("11 98765-4321 / 98765-4322").1, ["invalid 98765-4322"]);
        assert_eq!(plain("11 98765-4321 ramal 7").1, ["extension 7"]);
        assert_eq!(plain("3456-7890 / 98765-4321"), ("malformed".into(), vec![]));
        assert_eq!(plain(""), ("required".into(), vec![]));
        for text in ["Av Brasil, 11 34567890", "+49 30 / 3456-7890-12", "tel:3456789012;phone-context=+1"] {
            assert_eq!(plain(text), ("malformed".into(), vec![]), "{text}");
        }
        assert_eq!(plain("+1 212 555 0123 / 11 98765-4321").0, "+5511987654321");
        assert_eq!(plain(&"1/".repeat(100)), ("malformed".into(), vec![]));
    }

    #[test]
    fn a_valid_then_a_preferred_then_a_mobile_number_is_taken() {
        let landline = ("11 3456-7890", Preference::Plain);
        let mobile = ("11 98765-4321", Preference::Plain);
        let preferred = ("11 2345-6789", Preference::Preferred(1));
        let fax = ("11 98765-0000", Preference::NotOwnVoice);
        assert_eq!(phone(&[landline, mobile, preferred]).0, "+551123456789");
        assert_eq!(phone(&[landline, fax, mobile]).0, "+5511987654321");
        assert_eq!(phone(&[fax, landline]).0, "+551134567890");
        assert_eq!(phone(&[fax]), ("required".into(), vec!["other_value 11 98765-0000".into()]));
        assert_eq!(phone(&[fax, ("11 8765-4321", Preference::Plain)]).0, "ninth_digit_missing");
        assert_eq!(phone(&[("?", Preference::Preferred(1)), landline]).0, "+551134567890");
    }

    #[test]
    fn an_address_can_have_a_name_or_a_scheme() {
        for text in
            ["ana@example.com", "Ana <ana@example.com>", "mailto:ana@example.com", "MAILTO:ana@example.com?subject=x"]
        {
            assert_eq!(
                parse_address(text).map(|email| email.as_str().to_owned()),
                Ok("ana@example.com".into()),
                "{text}"
            );
        }
        assert!(parse_address("Ana <ana>").is_err());
        let mut values = Values::emails();
        values.add("x ::: ana@example.com; bia@example.com", Preference::Plain);
        let mut ignored = Vec::new();
        assert_eq!(values.choose(&mut ignored).unwrap().unwrap().as_str(), "ana@example.com");
        assert_eq!(ignored.len(), 2);
    }
}
