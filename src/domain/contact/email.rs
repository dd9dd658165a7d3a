//! The e-mail address of a contact.

use crate::domain::Invalid;
use email_address::{EmailAddress, Options};
use std::fmt;

/// The maximum length of an address, in bytes: RFC 5321 section 4.5.3.1.3 without the angle brackets.
const MAX_BYTES: usize = 254;

/// An address of RFC 5321. Its domain has at least two parts separated by dots, and is in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

const MALFORMED: Invalid = Invalid::new("malformed", "must be an e-mail address, such as ana@example.com");

impl Email {
    /// Parses the address in a request or a file: trims and checks it.
    ///
    /// # Errors
    /// Says what is wrong. An underscore in the domain is refused: no host name has one (RFC 952).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let email = Self::from_accepted(text)?;
        match email.0.rsplit_once('@') {
            Some((_, domain)) if !domain.contains('_') => Ok(email),
            _ => Err(MALFORMED),
        }
    }

    /// Parses an address that some version of this program has accepted, in a message or a database. These rules must
    /// never get stricter: an accepted change must stay readable.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn from_accepted(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Invalid::new("required", "must not be empty"));
        }
        if text.len() > MAX_BYTES {
            return Err(Invalid::new("too_long", "must have at most 254 bytes"));
        }
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        match EmailAddress::parse_with_options(text, options) {
            Ok(address) if !text.chars().any(char::is_control) => {
                Ok(Self(format!("{}@{}", address.local_part(), address.domain().to_lowercase())))
            }
            _ => Err(MALFORMED),
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_addresses_are_accepted() {
        for (text, expected) in [
            ("ana@example.com", "ana@example.com"),
            (" Ana.Silva+crm@Example.COM ", "Ana.Silva+crm@example.com"),
            ("a@b.co", "a@b.co"),
        ] {
            assert_eq!(Email::parse(text).map(|e| e.0), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn invalid_addresses_are_refused_with_a_code() {
        let long = format!("{}@{}.com", "a".repeat(60), "b".repeat(200));
        for (text, expected) in [
            ("", "required"),
            ("ana", "malformed"),
            ("ana@", "malformed"),
            ("@example.com", "malformed"),
            ("ana@localhost", "malformed"),
            ("ana@@example.com", "malformed"),
            ("ana example@example.com", "malformed"),
            ("Ana <ana@example.com>", "malformed"),
            ("ana@[127.0.0.1]", "malformed"),
            ("ana\0@example.com", "malformed"),
            ("ana@exa_mple.com", "malformed"),
            (&*long, "too_long"),
        ] {
            assert_eq!(Email::parse(text).map_err(|invalid| invalid.code), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_address_parses_to_itself(text in "[a-zA-Z0-9._+\"@ -]{0,30}@[a-zA-Z0-9.-]{0,30}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert!(email.as_str().len() <= MAX_BYTES);
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
        }
    }
}
