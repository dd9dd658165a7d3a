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

/// Spaces at which no line breaks: no-break space, figure space, narrow no-break space.
const NON_BREAKING: [char; 3] = ['\u{a0}', '\u{2007}', '\u{202f}'];

const TOO_LONG: Invalid = Invalid::new("too_long", "must have at most 100 characters");

impl Name {
    /// Parses the name in a request or a file: trims it, normalises it to NFC (Unicode Annex 15), replaces non-breaking
    /// spaces by spaces, and checks it.
    ///
    /// # Errors
    /// Says what is wrong. A name that shows nothing, or that changes the direction of the text around it, is refused.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_ascii() {
            return Self::from_accepted(text);
        }
        let name = match text.contains(NON_BREAKING) {
            true => Self::from_accepted(&text.replace(NON_BREAKING, " "))?,
            false => Self::from_accepted(text)?,
        };
        if name.0.chars().any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
            return Err(Invalid::new(
                "bidirectional_control",
                "must not contain characters that change the text direction",
            ));
        }
        if name.0.chars().all(is_invisible) {
            return Err(Invalid::new("invisible", "must contain a visible character"));
        }
        Ok(name)
    }

    /// Parses a name that some version of this program has accepted, in a message or a database. These rules must never
    /// get stricter: an accepted change must stay readable.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn from_accepted(text: &str) -> Result<Self, Invalid> {
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

/// Whether a character shows nothing: white space, a zero-width character, a filler or a variation selector (Unicode's
/// Default_Ignorable_Code_Point, and the empty Braille pattern).
const fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{ffa0}'
                | '\u{e0000}'..='\u{e0fff}'
        )
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
            ("\u{200b}\u{feff} \u{2060}", "invisible"),
            ("\u{3164}", "invisible"),
            ("Ana\u{202e}azuoS", "bidirectional_control"),
            ("\u{2066}Ana\u{2069}", "bidirectional_control"),
            (&*"é".repeat(101), "too_long"),
            (&*"x".repeat(100_000), "too_long"),
        ] {
            assert_eq!(Name::parse(text).map_err(|invalid| invalid.code), Err(expected), "{text:.20?}");
        }
    }

    #[test]
    fn a_non_breaking_space_becomes_a_space() {
        assert_eq!(Name::parse("Ana\u{a0}Maria\u{202f}Souza").map(|n| n.0), Ok("Ana Maria Souza".into()));
        // A joiner within an emoji stays.
        assert_eq!(Name::parse("Zoë 👩\u{200d}🚀").map(|n| n.0), Ok("Zoë 👩\u{200d}🚀".into()));
    }

    #[test]
    fn a_name_that_was_accepted_stays_readable() {
        for text in ["\u{200b}", "Ana\u{202e}azuoS", "Ana\u{a0}Souza"] {
            assert_eq!(Name::from_accepted(text).map(|n| n.0), Ok(text.into()), "{text:?}");
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
