//! Brazilian telephone numbers, read from what people write and kept as E.164.
//!
//! Rules: Anatel Resolution 749/2022 (numbering): area code, then a landline `[2-5]` and 7 digits or a mobile `9` and
//! 8 digits. Numbers that belong to no area (0800, 0300, 4004) reach a company, not a person, and are refused.

use super::AreaCode;
use crate::domain::Invalid;
use std::fmt;

/// The longest text read as a phone number, in bytes; anything longer cannot be one.
const MAX_INPUT: usize = 32;

/// A valid landline or mobile number with its area code. Shown as E.164 (`+5511987654321`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Phone {
    area: AreaCode,
    /// 8 digits (landline) or 9 digits (mobile); the first digit is never 0.
    subscriber: u32,
}

const MALFORMED: Invalid = Invalid::new(
    "malformed",
    "must be a Brazilian phone number with its area code, such as (11) 98765-4321 or +55 11 98765-4321",
);
const SERVICE: Invalid =
    Invalid::new("service_number", "must belong to an area code: 0800, 0300 and 4004 numbers are refused");
const SUBSCRIBER: Invalid = Invalid::new(
    "not_a_subscriber_number",
    "must have, after the area code, 9 digits that begin with 9 (mobile) or 8 that begin with 2 to 5 (landline)",
);

impl Phone {
    /// Reads `(11) 98765-4321`, `11987654321`, `011 98765-4321` or `+55 11 98765-4321`, with spaces, dots, hyphens and
    /// parentheses wherever a person puts them.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if text.len() > MAX_INPUT {
            return Err(MALFORMED);
        }
        let (international, rest) = match text.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut digits = String::with_capacity(MAX_INPUT);
        for c in rest.chars() {
            match c {
                '0'..='9' => digits.push(c),
                ' ' | '-' | '.' | '(' | ')' => {}
                _ => return Err(MALFORMED),
            }
        }
        let national = match digits.as_str() {
            all if international => all
                .strip_prefix("55")
                .ok_or(Invalid::new("not_brazilian", "must be a Brazilian number: the country code is +55"))?,
            all if all.starts_with("0800") || all.starts_with("0300") => return Err(SERVICE),
            all if all.len() == 8 && all.starts_with("4004") => return Err(SERVICE),
            // Only a country code makes a number this long; 55 alone is also the area code of Santa Maria.
            all if all.len() >= 12 => all.strip_prefix("55").or(all.strip_prefix('0')).unwrap_or(all),
            all => all.strip_prefix('0').unwrap_or(all),
        };
        Self::from_national(national)
    }

    fn from_national(digits: &str) -> Result<Self, Invalid> {
        if digits.starts_with("800") || digits.starts_with("300") {
            return Err(SERVICE);
        }
        let (area, subscriber) = match (digits.get(..2), digits.get(2..)) {
            (Some(area), Some(subscriber)) if matches!(digits.len(), 10 | 11) => (area, subscriber),
            _ => return Err(MALFORMED),
        };
        let area = AreaCode::parse(area)?;
        if subscriber.starts_with("4004") {
            return Err(SERVICE);
        }
        let ok = match (subscriber.len(), subscriber.bytes().next()) {
            (8, Some(first)) => (b'2'..=b'5').contains(&first),
            (9, Some(first)) => first == b'9',
            _ => false,
        };
        match subscriber.parse() {
            Ok(subscriber) if ok => Ok(Self { area, subscriber }),
            _ => Err(SUBSCRIBER),
        }
    }

    /// The area code.
    pub const fn area(self) -> AreaCode {
        self.area
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+55{}{}", self.area, self.subscriber)
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_people_write() {
        for text in [
            "(11) 98765-4321",
            "11987654321",
            "011987654321",
            "0 11 98765 4321",
            "+55 11 98765-4321",
            "+5511987654321",
            "5511987654321",
            " 11.98765.4321 ",
        ] {
            assert_eq!(Phone::parse(text).map(|p| p.to_string()), Ok("+5511987654321".into()), "{text}");
        }
        assert_eq!(Phone::parse("(85) 3456-7890").map(|p| p.to_string()), Ok("+558534567890".into()));
        // 55 is a country code and an area code (RS): only the length tells.
        assert_eq!(Phone::parse("55 99876-5432").map(|p| p.to_string()), Ok("+5555998765432".into()));
        assert_eq!(Phone::parse("55 55 99876-5432").map(|p| p.to_string()), Ok("+5555998765432".into()));
        assert_eq!(Phone::parse("55 55 3220-1234").map(|p| p.to_string()), Ok("+555532201234".into()));
    }

    #[test]
    fn says_why_it_refuses() {
        let code = |text| Phone::parse(text).map_err(|invalid| invalid.code);
        for (text, expected) in [
            ("", "required"),
            ("   ", "required"),
            ("0800 123 4567", "service_number"),
            ("0300 123 4567", "service_number"),
            ("4004-1234", "service_number"),
            ("11 4004-1234", "service_number"),
            ("+55 800 123 4567", "service_number"),
            ("98765-4321", "malformed"),
            ("3456-7890", "malformed"),
            ("11 98765-432", "not_a_subscriber_number"),
            ("11 9876-54321x", "malformed"),
            ("20 98765-4321", "unknown_area_code"),
            ("11 88765-4321", "not_a_subscriber_number"),
            ("11 6456-7890", "not_a_subscriber_number"),
            ("11 1456-7890", "not_a_subscriber_number"),
            ("+1 212 555 0123", "not_brazilian"),
            ("+", "not_brazilian"),
            ("١١٩٨٧٦٥٤٣٢١", "malformed"),
            ("11 98765-4321 11 98765-4321 11 98765-4321", "malformed"),
            ("00 11 98765-4321", "malformed"),
        ] {
            assert_eq!(code(text), Err(expected), "{text:?}");
        }
    }

    fn separators() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(prop_oneof![Just(""), Just(" "), Just("-"), Just("."), Just(")"), Just("(")], 12)
    }

    proptest! {
        #[test]
        fn any_writing_of_a_number_is_one_number(
            area in proptest::sample::select(super::super::AREAS.map(|(code, _)| code).to_vec()),
            subscriber in prop_oneof![20_000_000u32..40_000_000, 50_000_000u32..60_000_000, 900_000_000u32..1_000_000_000],
            prefix in prop_oneof![Just(""), Just("0"), Just("+55"), Just("55")],
            separators in separators(),
        ) {
            let digits = format!("{area}{subscriber}");
            let mut text = prefix.to_owned();
            for (digit, separator) in digits.chars().zip(separators) {
                text.push_str(separator);
                text.push(digit);
            }
            let phone = Phone::parse(&text);
            prop_assert_eq!(phone.map(|p| p.to_string()), Ok(format!("+55{digits}")));
            prop_assert_eq!(phone.map(|p| p.area().number()), Ok(area));
            // What is shown can be read again and is the same number.
            prop_assert_eq!(phone.and_then(|p| Phone::parse(&p.to_string())), phone);
        }

        #[test]
        fn any_text_is_a_number_or_a_refusal(text in "\\PC{0,40}") {
            if let Ok(phone) = Phone::parse(&text) {
                prop_assert!(matches!(phone.to_string().len(), 13 | 14));
            }
        }
    }
}
