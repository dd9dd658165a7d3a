//! The searchable form of a name: without upper case and accents.

use super::Name;
use crate::domain::Invalid;
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The maximum length of a key, in bytes.
const MAX_BYTES: usize = 1600;

/// The searchable form of a name: decomposed (NFD), without combining marks, in lower case, with single spaces. Keys
/// are ordered by their bytes, here and in both databases.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameKey(String);

impl NameKey {
    /// The key of a name.
    pub fn of(name: &Name) -> Self {
        Self(fold(name.as_str()))
    }

    /// The key of the start of a name, for a search. The text must be a valid name and must not consist of accents
    /// only.
    pub fn prefix(text: &str) -> Result<Self, Invalid> {
        let key = Self::of(&Name::parse(text)?);
        if key.0.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        Ok(key)
    }

    /// The same form of any text, to search it for a name.
    pub fn fold_text(text: &str) -> String {
        fold(text)
    }

    /// Restores a key from the text of [`Self::as_str`]. `None` if the text cannot be a key.
    pub fn read(text: &str) -> Option<Self> {
        let valid = text.len() <= MAX_BYTES && !text.chars().any(char::is_control);
        valid.then(|| Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The words: they end at spaces and at ASCII punctuation.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        Self::words_of(&self.0)
    }

    /// The words of the text of a key.
    pub fn words_of(key: &str) -> impl Iterator<Item = &str> {
        key.split(|c: char| c == ' ' || c.is_ascii_punctuation()).filter(|word| !word.is_empty())
    }

    /// Whether the key starts with this prefix.
    pub fn begins_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The smallest text that is greater than every text with this prefix, if there is one.
    pub fn upper_bound(&self) -> Option<String> {
        let mut bound = self.0.clone();
        while let Some(last) = bound.pop() {
            // The range skips the surrogates.
            if let Some(next) = (last..=char::MAX).nth(1) {
                bound.push(next);
                return Some(bound);
            }
        }
        None
    }
}

impl From<NameKey> for String {
    fn from(key: NameKey) -> Self {
        key.0
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey(***)")
    }
}

/// Folds each character separately, so a prefix of a name is folded as in the whole name.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        let lower = text.chars().map(|c| c.to_ascii_lowercase());
        collapse_spaces(lower, text.len())
    } else {
        let base_characters = text.nfd().filter(|c| !is_combining_mark(*c));
        collapse_spaces(base_characters.flat_map(char::to_lowercase), text.len())
    }
}

/// Removes white space at both ends, and replaces each other run of white space with one space.
fn collapse_spaces(chars: impl Iterator<Item = char>, capacity: usize) -> String {
    let mut collapsed = String::with_capacity(capacity);
    let mut space_pending = false;
    for c in chars {
        if c.is_whitespace() {
            space_pending = !collapsed.is_empty();
        } else {
            if space_pending {
                collapsed.push(' ');
                space_pending = false;
            }
            collapsed.push(c);
        }
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> String {
        NameKey::of(&Name::parse(name).unwrap()).0
    }

    #[test]
    fn keys_ignore_case_accents_and_extra_spaces() {
        for (name, expected) in [
            ("Ana Souza", "ana souza"),
            ("JOSÉ  da\u{a0}Conceição", "jose da conceicao"),
            ("Jose\u{301} da ConceiC\u{327}a\u{303}o", "jose da conceicao"),
            ("Łukasz ÅSTRÖM Ødegård", "łukasz astrom ødegard"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("İpek Ñandú", "ipek nandu"),
            ("Zoë 👩\u{200d}🚀", "zoe 👩\u{200d}🚀"),
            ("\u{301}", ""),
        ] {
            assert_eq!(key(name), expected, "{name}");
        }
    }

    #[test]
    fn an_invalid_or_empty_prefix_is_refused() {
        for (text, expected) in [
            ("", "required"),
            ("  ", "required"),
            ("\u{301}", "required"),
            ("a\0", "control_character"),
            (&*"é".repeat(101), "too_long"),
        ] {
            assert_eq!(NameKey::prefix(text).map_err(|invalid| invalid.code), Err(expected), "{text:.20?}");
        }
        assert_eq!(NameKey::prefix(" JOSÉ ").map(|key| key.0), Ok("jose".into()));
        assert_eq!(format!("{:?}", NameKey::prefix("ana")), "Ok(NameKey(***))");
    }

    #[test]
    fn the_upper_bound_is_the_next_text_after_all_texts_with_the_prefix() {
        for (prefix, expected) in [
            ("ana", Some("anb")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(NameKey(prefix.into()).upper_bound().as_deref(), expected, "{prefix:?}");
        }
    }

    proptest! {
        #[test]
        fn a_folded_text_folds_to_itself(text in "\\PC{0,60}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn a_key_starts_with_the_key_of_every_prefix_of_the_name(
            text in "[a-zA-Z0-9éÉãÃçÇüÜñßøØŁΣİ가힣' \u{a0}\u{301}\u{327}-]{1,60}",
        ) {
            if let Ok(name) = Name::parse(&text) {
                let key = NameKey::of(&name);
                prop_assert_eq!(NameKey::read(key.as_str()), Some(key.clone()));
                for (end, _) in name.as_str().char_indices() {
                    if let Ok(prefix) = NameKey::prefix(&name.as_str()[..end]) {
                        prop_assert!(key.begins_with(&prefix), "{} {}", key.0, prefix.0);
                    }
                }
            }
        }

        #[test]
        fn a_text_is_in_the_range_exactly_if_it_starts_with_the_prefix(
            prefix in "[a-c\u{d7ff}\u{e000}\u{10ffff}]{1,3}",
            other in "[a-c\u{d7ff}\u{e000}\u{10ffff}]{0,6}",
        ) {
            let prefix = NameKey(prefix);
            let below_bound = prefix.upper_bound().is_none_or(|bound| other < bound);
            let in_range = other >= prefix.0 && below_bound;
            prop_assert_eq!(in_range, other.starts_with(&prefix.0));
        }
    }
}
