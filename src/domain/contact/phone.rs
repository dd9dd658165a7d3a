//! Brazilian phone numbers. They are parsed from the notations that people use, and stored as E.164.
//!
//! Source of the rule: Anatel Resolution 749/2022 (numbering plan). A number has an area code, then a landline number
//! (8 digits, the first is 2 to 5) or a mobile number (9 digits, the first is 9). Numbers without an area code (0800,
//! 0300, 4004) belong to companies, not to people, and are refused.

use super::AreaCode;
use crate::domain::Invalid;
use std::fmt;

/// The longest text that is parsed, in bytes.
const MAX_INPUT: usize = 96;
/// The most digits of an extension.
const MAX_EXTENSION: usize = 7;
/// The words before an extension, in lower case.
const EXTENSION_WORDS: [&str; 9] = ["extension", "extensão", "extensao", "ramal", "extn", "ext", "rml", "x", "#"];

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
const LOCAL_NUMBER: Invalid = Invalid::new("malformed", "must be a global number, such as tel:+55-11-98765-4321");
const NOT_BRAZILIAN: Invalid = Invalid::new("not_brazilian", "must be a Brazilian number: the country code is +55");
const SERVICE: Invalid =
    Invalid::new("service_number", "must belong to an area code: 0800, 0300 and 4004 numbers are refused");
const SUBSCRIBER: Invalid = Invalid::new(
    "not_a_subscriber_number",
    "must have, after the area code, 9 digits that begin with 9 (mobile) or 8 that begin with 2 to 5 (landline)",
);
const NINTH_DIGIT: Invalid = Invalid::new(
    "ninth_digit_missing",
    "must have 9 digits after the area code: since 2016 every mobile number begins with an additional 9",
);

impl Phone {
    /// Parses a number without an extension: see [`Self::parse_with_extension`].
    ///
    /// # Errors
    /// Says what is wrong. The code is `extension` if an extension follows the number.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match Self::parse_with_extension(text)? {
            (phone, None) => Ok(phone),
            (_, Some(_)) => {
                Err(Invalid::new("extension", "must not have an extension: a contact stores only the number"))
            }
        }
    }

    /// Parses a number and the extension after it. The notations:
    ///
    /// - national: `(11) 98765-4321`, `11987654321`, `011 98765-4321`, `0xx11 98765-4321`
    /// - national with a carrier code: `0 15 11 98765-4321`
    /// - international: `+55 11 98765-4321`, `+55 011 98765-4321`, `0055 11 98765-4321`, `5511987654321`
    /// - a URI (RFC 3966): `tel:+55-11-98765-4321;ext=12`
    ///
    /// Spaces, dashes and dots of any script, parentheses, full-width digits and invisible marks are accepted anywhere.
    ///
    /// # Errors
    /// Says what is wrong. For a mobile number without its ninth digit, the error suggests the complete number.
    pub fn parse_with_extension(text: &str) -> Result<(Self, Option<String>), Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if text.len() > MAX_INPUT {
            return Err(MALFORMED);
        }
        // Nearly all numbers need no more than this.
        if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b' ' | b'-' | b'.' | b'(' | b')')) {
            return Ok((Self::from_plain(text)?, None));
        }
        let plain: String = text.chars().filter_map(plain).collect::<String>().to_lowercase();
        let number = match plain.strip_prefix("tel:") {
            Some(uri) if uri.contains(";phone-context=") => return Err(LOCAL_NUMBER),
            Some(uri) => uri,
            None => &plain,
        };
        let (number, extension) = split_extension(number)?;
        Ok((Self::from_plain(number)?, extension))
    }

    /// Parses a number of ASCII digits, `+`, and separators.
    fn from_plain(number: &str) -> Result<Self, Invalid> {
        let number = number.trim_start_matches([' ', '(']);
        let (plus, rest) = match number.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let mut digits = String::with_capacity(rest.len());
        // `0xx11` and `0**11`: the letters stand for a carrier code of the caller's choice.
        let mut placeholders = 0;
        for c in rest.chars() {
            match c {
                '0'..='9' => digits.push(c),
                ' ' | '-' | '.' | '(' | ')' | ',' => {}
                'x' | '*' if digits == "0" && placeholders < 2 => placeholders += 1,
                _ => return Err(MALFORMED),
            }
        }
        let phone = Self::from_digits(&digits, plus)?;
        if has_second_number(rest, &digits, plus) {
            return Err(MALFORMED);
        }
        Ok(phone)
    }

    /// Parses the digits of a number. `plus` says that the country code comes first.
    fn from_digits(digits: &str, plus: bool) -> Result<Self, Invalid> {
        if plus {
            return Self::from_national(without_trunk(digits.strip_prefix("55").ok_or(NOT_BRAZILIAN)?));
        }
        if digits.starts_with("0800") || digits.starts_with("0300") || (digits.len() == 8 && digits.starts_with("4004"))
        {
            return Err(SERVICE);
        }
        let national = match digits.len() {
            // The international prefix, without the carrier code that a call would need.
            14.. if digits.starts_with("0055") => without_trunk(digits.get(4..).unwrap_or_default()),
            // The trunk prefix 0, a carrier code of two digits, the number.
            13 | 14 if digits.starts_with('0') && !digits.starts_with("00") => digits.get(3..).unwrap_or_default(),
            // Only a country code makes a number this long; 55 alone is also the area code of Santa Maria.
            12.. if digits.starts_with("55") => without_trunk(digits.get(2..).unwrap_or_default()),
            _ => digits.strip_prefix('0').unwrap_or(digits),
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
        let number: u32 = subscriber.parse().map_err(|_too_large| MALFORMED)?;
        match (subscriber.len(), subscriber.bytes().next()) {
            (8, Some(b'2'..=b'5')) | (9, Some(b'9')) => Ok(Self { area, subscriber: number }),
            (8, Some(b'6'..=b'9')) => Err(NINTH_DIGIT
                .suggest_phone(5_500_900_000_000 + u64::from(area.number()) * 1_000_000_000 + u64::from(number))),
            _ => Err(SUBSCRIBER),
        }
    }

    /// The area code.
    pub const fn area(self) -> AreaCode {
        self.area
    }

    /// Whether it is a mobile number; the others are landlines.
    pub const fn is_mobile(self) -> bool {
        self.subscriber >= 900_000_000
    }
}

/// Whether the last group of digits is not a part of the number. `(11) 3456-7890 - 12` has an extension after a complete
/// number, and `3456-7890 (11)` has its area code behind it. Together, such digits would make a wrong number.
fn has_second_number(text: &str, digits: &str, plus: bool) -> bool {
    let text = text.trim_end();
    let last = text.bytes().rev().skip_while(|byte| !byte.is_ascii_digit()).take_while(u8::is_ascii_digit).count();
    let before = digits.get(..digits.len().saturating_sub(last)).unwrap_or_default();
    if before.is_empty() {
        return false;
    }
    // The parentheses may hold the area code, the ninth digit or the whole number, but not only its end.
    let closed_at_end = text.ends_with(')') && text.matches('(').count() > 0 && !text.starts_with('(');
    let complete = |digits: &str| match Phone::from_digits(digits, plus) {
        Ok(_) => true,
        Err(invalid) => invalid.code == NINTH_DIGIT.code,
    };
    closed_at_end || (before.len() >= 10 && complete(before))
}

/// Removes the trunk prefix, which some write after a country code too: `+55 (0)11`, `+55 011`.
fn without_trunk(national: &str) -> &str {
    national.strip_prefix('0').unwrap_or(national)
}

/// The ASCII form of a character that may stand in a number; `None` for one that is invisible.
fn plain(c: char) -> Option<char> {
    match c {
        // Zero-width characters, and the direction marks that phones add to a copied number.
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => None,
        // Full-width forms of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        // Unicode's dashes (general category Pd), and the minus sign.
        '\u{58a}'
        | '\u{5be}'
        | '\u{1400}'
        | '\u{1806}'
        | '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '\u{2e17}'
        | '\u{2e1a}'
        | '\u{2e3a}'
        | '\u{2e3b}'
        | '\u{2e40}'
        | '\u{301c}'
        | '\u{3030}'
        | '\u{30a0}'
        | '\u{fe31}'
        | '\u{fe32}'
        | '\u{fe58}'
        | '\u{fe63}' => Some('-'),
        '\u{b7}' | '\u{2022}' | '\u{2219}' | '\u{22c5}' | '\u{30fb}' => Some('.'),
        c if c.is_whitespace() => Some(' '),
        c => Some(c),
    }
}

/// Cuts an extension off: `ramal 12`, `ext. 12`, `x12`, `;ext=12`. The text is in lower case.
fn split_extension(text: &str) -> Result<(&str, Option<String>), Invalid> {
    let text = text.trim_end_matches([' ', ')', ';']);
    let without_digits = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let Some(extension) = text.get(without_digits.len()..).filter(|digits| !digits.is_empty()) else {
        return Ok((text, None));
    };
    let before = without_digits.trim_end_matches([' ', '.', ':', '=', '-']);
    let word = EXTENSION_WORDS.iter().find_map(|word| before.strip_suffix(word));
    match word.map(|number| number.trim_end_matches([' ', ';', ',', '(', '-', '/'])) {
        // `0xx11...`: the letter is a placeholder for a carrier code.
        Some(number) if number.chars().filter(char::is_ascii_digit).count() >= 8 => {
            if extension.len() > MAX_EXTENSION {
                return Err(MALFORMED);
            }
            Ok((number, Some(extension.to_owned())))
        }
        _ => Ok((text, None)),
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
            "0xx11 98765-4321",
            "(0XX11) 98765-4321",
            "0**11 98765-4321",
            "0 15 11 98765-4321",
            "021 11 98765-4321",
            "0 15 (11) 98765-4321",
            "+55 011 98765-4321",
            "+55 (0) 11 98765-4321",
            "0055 11 98765-4321",
            "tel:+55-11-98765-4321",
            "TEL:11987654321",
            "１１９８７６５４３２１",
            "＋55 11 98765－4321",
            "(11)\u{a0}98765\u{2011}4321",
            "\u{202a}+55 11 98765\u{2011}4321\u{202c}",
            "11\u{2009}98765\u{2212}4321",
            "11 98765–4321",
            "11 98765—4321",
            "11 (9) 8765-4321",
            "(11 98765-4321)",
            "11.987.654.321",
            "11 9 8765 4321",
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
            ("11 98765-432", "ninth_digit_missing"),
            ("11 8765-4321", "ninth_digit_missing"),
            ("+55 11 6765-4321", "ninth_digit_missing"),
            ("11 98765-4321 ramal 12", "extension"),
            ("11 98765-4321 ramal 12345678", "malformed"),
            ("11 98765-4321 ramal", "malformed"),
            ("11 3456-7890 / 11 98765-4321", "malformed"),
            ("15 11 98765-4321", "malformed"),
            ("3456-7890 (11)", "malformed"),
            ("98976-5432 (11)", "malformed"),
            ("(011) 3456-7890 - 12", "malformed"),
            ("55 3220-1234 - 12", "malformed"),
            ("11 9876-5432, 1", "malformed"),
            ("11 9876-5432 (1)", "malformed"),
            ("1198765432.0", "malformed"),
            ("tel:98765-4321;phone-context=+5511", "malformed"),
            ("x12", "malformed"),
            ("#", "malformed"),
            ("11 9876-54321x", "malformed"),
            ("20 98765-4321", "unknown_area_code"),
            ("11 88765-4321", "not_a_subscriber_number"),
            ("11 6456-7890", "ninth_digit_missing"),
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

    #[test]
    fn an_extension_is_separated_from_the_number() {
        for text in [
            "11 98765-4321 ramal 12",
            "11 98765-4321 Ramal: 12",
            "11 98765-4321 ext. 12",
            "11 98765-4321 ext 12",
            "11 98765-4321x12",
            "11987654321 (ramal 12)",
            "11987654321, ramal 12",
            "11987654321 #12",
            "tel:+55-11-98765-4321;ext=12",
        ] {
            let parsed = Phone::parse_with_extension(text).map(|(phone, extension)| (phone.to_string(), extension));
            assert_eq!(parsed, Ok(("+5511987654321".into(), Some("12".into()))), "{text}");
        }
    }

    #[test]
    fn a_missing_ninth_digit_is_suggested() {
        let suggested = Phone::parse("11 8765-4321").unwrap_err().suggestion;
        assert_eq!(suggested.map(|phone| phone.to_string()), Some("+5511987654321".into()));
    }

    fn separators() -> impl Strategy<Value = Vec<&'static str>> {
        // Not before the last four digits: a short last group can be an extension.
        proptest::collection::vec(prop_oneof![Just(""), Just(" "), Just("-"), Just(".")], 7).prop_map(
            |mut separators| {
                separators.resize(12, "");
                separators
            },
        )
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
