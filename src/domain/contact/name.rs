//! The name of a contact.

use crate::domain::Invalid;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// The maximum number of characters (Unicode scalar values).
const MAX_CHARS: usize = 100;
/// A longer text, in bytes, is refused before it is normalised: it cannot be a name.
const MAX_BYTES: usize = MAX_CHARS * 16;

/// A name: 1 to 100 characters, trimmed and in NFC, without control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

const TOO_LONG: Invalid = Invalid::new("too_long", "must have at most 100 characters");

impl Name {
    /// Trims the text, normalises it to NFC (Unicode Annex 15) and checks it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(TOO_LONG);
        }
        let name: String = text.nfc().collect();
        if name.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(Invalid::new("control_character", "must not contain control characters or line breaks"));
        }
        if name.chars().count() > MAX_CHARS {
            return Err(TOO_LONG);
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_trimmed_and_normalised() {
        assert_eq!(Name::parse("  Jose\u{301} da Silva\u{a0}").map(|n| n.0), Ok("José da Silva".into()));
        assert_eq!(Name::parse(&"é".repeat(100)).map(|n| n.0.chars().count()), Ok(100));
        assert_eq!(Name::parse(&"e\u{301}".repeat(100)).map(|n| n.0.chars().count()), Ok(100));
    }

    #[test]
    fn invalid_names_are_refused_with_a_code() {
        for (text, expected) in [
            ("", "required"),
            (" \t\n ", "required"),
            ("a\0b", "control_character"),
            ("a\nb", "control_character"),
            ("a\u{2028}b", "control_character"),
            (&*"é".repeat(101), "too_long"),
            (&*"x".repeat(100_000), "too_long"),
        ] {
            assert_eq!(Name::parse(text).map_err(|invalid| invalid.code), Err(expected), "{text:.20?}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in "\\PC{0,120}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(name.as_str()), Ok(name));
            }
        }
    }
}
