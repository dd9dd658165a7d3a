//! A name as it is searched: without case and accents.

use super::Name;
use crate::domain::Invalid;
use std::fmt;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// No key of a name is longer in bytes.
const MAX_BYTES: usize = 1600;

/// The searchable form of a name: decomposed (NFD), without combining marks, in lower case, with single spaces. Its order
/// is that of its bytes, which both databases keep too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameKey(String);

impl NameKey {
    /// The key of a name.
    pub fn of(name: &Name) -> Self {
        Self(fold(name.as_str()))
    }

    /// What keys begin with whose names begin so: any text that could be a name and is more than accents.
    pub fn prefix(text: &str) -> Result<Self, Invalid> {
        let key = Self::of(&Name::parse(text)?);
        if key.0.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        Ok(key)
    }

    /// Takes what [`Self::as_str`] gave; nothing if it cannot have.
    pub fn read(text: &str) -> Option<Self> {
        let sound = text.len() <= MAX_BYTES && !text.chars().any(char::is_control);
        sound.then(|| Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it begins with this prefix.
    pub fn begins_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The least text that is greater than every text with this prefix, if there is one.
    pub fn bound(&self) -> Option<String> {
        let mut bound = self.0.clone();
        while let Some(last) = bound.pop() {
            // The range leaves out the surrogates.
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

/// Character by character, so that a part of a name is folded as in the whole.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        let lower = text.chars().map(|c| c.to_ascii_lowercase());
        squeeze(lower, text.len())
    } else {
        let bare = text.nfd().filter(|c| !is_combining_mark(*c));
        squeeze(bare.flat_map(char::to_lowercase), text.len())
    }
}

/// Without white space at the ends, and with one space instead of any other run of it.
fn squeeze(chars: impl Iterator<Item = char>, capacity: usize) -> String {
    let mut squeezed = String::with_capacity(capacity);
    let mut gap = false;
    for c in chars {
        if c.is_whitespace() {
            gap = !squeezed.is_empty();
        } else {
            if gap {
                squeezed.push(' ');
                gap = false;
            }
            squeezed.push(c);
        }
    }
    squeezed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> String {
        NameKey::of(&Name::parse(name).unwrap()).0
    }

    #[test]
    fn case_accents_and_spaces_make_no_difference() {
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
    fn a_prefix_must_say_something() {
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
    fn a_bound_is_the_next_text_after_all_with_the_prefix() {
        for (prefix, bound) in [
            ("ana", Some("anb")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(NameKey(prefix.into()).bound().as_deref(), bound, "{prefix:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_again_changes_nothing(text in "\\PC{0,60}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn a_key_begins_with_the_key_of_every_beginning(text in "[a-zA-Z0-9éÉãÃçÇüÜñßøØŁΣİ가힣' \u{a0}\u{301}\u{327}-]{1,60}") {
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
        fn between_a_prefix_and_its_bound_is_what_begins_with_it(prefix in "[a-c\u{d7ff}\u{e000}\u{10ffff}]{1,3}", other in "[a-c\u{d7ff}\u{e000}\u{10ffff}]{0,6}") {
            let prefix = NameKey(prefix);
            let below = prefix.bound().is_none_or(|bound| other < bound);
            let inside = other >= prefix.0 && below;
            prop_assert_eq!(inside, other.starts_with(&prefix.0));
        }
    }
}
