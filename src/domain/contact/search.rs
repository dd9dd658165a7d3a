//! The text of a search, and which contacts it finds.

use super::{Details, NameKey};
use crate::domain::Invalid;

/// The fewest digits that are looked for at the end of a phone number.
const MIN_DIGITS: usize = 4;
/// The fewest letters or digits in a row that are looked for in an e-mail address. The indexes have groups of three.
const MIN_EMAIL_RUN: usize = 3;

/// A search. It finds a contact if its words are beginnings of words of the name, in any order, or if it is a part of the
/// e-mail address, or if its digits are the last digits of the phone number. Case and accents do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    text: NameKey,
    words: Vec<String>,
    email_part: Option<String>,
    last_digits: Option<String>,
}

impl Search {
    /// Parses the text of a search. It must be a valid name, and it must not consist of accents only.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let key = NameKey::prefix(text)?;
        let text = text.trim();
        let run_of_letters = text.split(|c: char| !c.is_alphanumeric()).any(|run| run.chars().count() >= MIN_EMAIL_RUN);
        let email_part = (run_of_letters && !text.contains(char::is_whitespace)).then(|| text.to_lowercase());
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let number = text.chars().all(|c| c.is_ascii_digit() || " ()+-.".contains(c));
        let last_digits = (number && digits.len() >= MIN_DIGITS).then_some(digits);
        Ok(Self { words: key.words().map(str::to_owned).collect(), text: key, email_part, last_digits })
    }

    /// The text as the start of a name. Contacts whose name begins with it come first.
    pub const fn text(&self) -> &NameKey {
        &self.text
    }

    /// The words, each the beginning of a word of the name. There are none if the text has only punctuation.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The part of an e-mail address, in lower case. `None` if the text is too short or has spaces.
    pub fn email_part(&self) -> Option<&str> {
        self.email_part.as_deref()
    }

    /// At least four digits at the end of a phone number. `None` if the text is not a part of a number.
    pub fn last_digits(&self) -> Option<&str> {
        self.last_digits.as_deref()
    }

    /// Whether the search finds a contact. This is the rule that the SQL of both databases follows.
    pub fn finds(&self, details: &Details) -> bool {
        let key = NameKey::of(&details.name);
        let has_word = |word: &String| key.words().any(|of_name| of_name.starts_with(word.as_str()));
        let in_email =
            |part: &str| details.email.as_ref().is_some_and(|email| email.as_str().to_lowercase().contains(part));
        key.begins_with(&self.text)
            || !self.words.is_empty() && self.words.iter().all(has_word)
            || self.email_part().is_some_and(in_email)
            || self.last_digits().is_some_and(|digits| details.phone.to_string().ends_with(digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_words_of_the_name_a_part_of_the_address_and_the_end_of_the_number() {
        let details = Details::parse("José d'Ávila Lima-Neto", "11987654321", Some("Jose.Lima@Example.com")).unwrap();
        for (text, found) in [
            ("jose", true),
            ("lima jose", true),
            ("AVI neto j", true),
            ("d'avila", true),
            ("lima-n", true),
            ("vila", false),
            ("lima maria", false),
            ("example.com", true),
            ("ose.lim", true),
            ("JOSE.LIMA@", true),
            ("xa", false),
            ("4321", true),
            ("321", false),
            ("98765-4321", true),
            ("+55 (11) 98765-4321", true),
            ("8765", false),
            ("...", false),
        ] {
            assert_eq!(Search::parse(text).unwrap().finds(&details), found, "{text}");
        }
        assert_eq!(Search::parse(" ").map_err(|invalid| invalid.code), Err("required"));
        assert!(Search::parse("!?").unwrap().words().is_empty());
        assert!(Search::parse("!?").unwrap().finds(&Details::parse("!? Bar", "11987654321", None).unwrap()));
    }
}
