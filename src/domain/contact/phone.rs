//! Brazilian phone numbers. They are parsed from many notations and stored as E.164.
//!
//! The rules are in Anatel Resolution 749/2022 (numbering): an area code, then a landline number (`[2-5]` and 7 digits)
//! or a mobile number (`9` and 8 digits). Numbers without an area code (0800, 0300, 4004) belong to companies and are
//! refused.

use super::AreaCode;
use crate::domain::Invalid;
use std::fmt;

/// The maximum length of a text that is parsed, in bytes. A longer text cannot be a phone number.
const MAX_INPUT: usize = 32;

/// A valid landline or mobile number with its area code. Shown as E.164 (`+5511987654321`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Phone {
    area: AreaCode,
    /// 8 digits (landline) or 9 digits (mobile). The first digit is never 0.
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
    /// Parses `(11) 98765-4321`, `11987654321`, `011 98765-4321` or `+55 11 98765-4321`. Spaces, dots, hyphens and
    /// parentheses may be anywhere.
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
            digits if international => digits
                .strip_prefix("55")
                .ok_or(Invalid::new("not_brazilian", "must be a Brazilian number: the country code is +55"))?,
            digits if digits.starts_with("0800") || digits.starts_with("0300") => return Err(SERVICE),
            digits if digits.len() == 8 && digits.starts_with("4004") => return Err(SERVICE),
            // A number of this length starts with a country code or a 0. In a shorter number, 55 is an area code.
            digits if digits.len() >= 12 => digits.strip_prefix("55").or(digits.strip_prefix('0')).unwrap_or(digits),
            digits => digits.strip_prefix('0').unwrap_or(digits),
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
        let valid = match (subscriber.len(), subscriber.bytes().next()) {
            (8, Some(first)) => (b'2'..=b'5').contains(&first),
            (9, Some(first)) => first == b'9',
            _ => false,
        };
        match subscriber.parse() {
            Ok(subscriber) if valid => Ok(Self { area, subscriber }),
            _ => Err(SUBSCRIBER),
        }
    }

    /// The area code of the number.
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
    fn common_notations_are_accepted() {
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
        // 55 is a country code and an area code (RS). The length decides.
        assert_eq!(Phone::parse("55 99876-5432").map(|p| p.to_string()), Ok("+5555998765432".into()));
        assert_eq!(Phone::parse("55 55 99876-5432").map(|p| p.to_string()), Ok("+5555998765432".into()));
        assert_eq!(Phone::parse("55 55 3220-1234").map(|p| p.to_string()), Ok("+555532201234".into()));
    }

    #[test]
    fn invalid_numbers_are_refused_with_a_code() {
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
        fn all_notations_of_a_number_parse_to_it(
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
            // The displayed number parses to the same number.
            prop_assert_eq!(phone.and_then(|p| Phone::parse(&p.to_string())), phone);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            if let Ok(phone) = Phone::parse(&text) {
                prop_assert!(matches!(phone.to_string().len(), 13 | 14));
            }
        }
    }
}
