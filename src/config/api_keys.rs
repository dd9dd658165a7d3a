//! API keys in the settings: a plain key, or its name, scopes and hash.
//!
//! The rule of this file: an error names an entry by its position in the list and never quotes it, because it may be a
//! secret. A comparison of a key takes constant time, so its duration reveals nothing about the keys.

use super::Secret;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 64;
/// The text between the scopes and the hash.
const HASH_PREFIX: &str = "sha256:";
const UNKNOWN_SCOPES: &str = "scopes are read, write and subjects, joined by +, for example read+write";

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// `contacts:read`: GET and HEAD.
    pub read: bool,
    /// `contacts:write`: every other method.
    pub write: bool,
    /// `contacts:subjects`: find, export and erase a person, below `/subjects`. No other scope includes it.
    pub subjects: bool,
}

impl Scopes {
    /// The name of the scope for reading, in tokens and in answers.
    pub const READ: &str = "contacts:read";
    /// The name of the scope for writing.
    pub const WRITE: &str = "contacts:write";
    /// The name of the scope for the data of a person.
    pub const SUBJECTS: &str = "contacts:subjects";
    /// No scope.
    pub const NONE: Self = Self { read: false, write: false, subjects: false };
    /// The scopes for contacts. A plain key has them, and a caller without a key if no key is required.
    pub const CONTACTS: Self = Self { read: true, write: true, subjects: false };
}

impl FromStr for Scopes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scopes = Self::NONE;
        for word in text.split('+') {
            let scope = match word {
                "read" => &mut scopes.read,
                "write" => &mut scopes.write,
                "subjects" => &mut scopes.subjects,
                _ => return Err(UNKNOWN_SCOPES),
            };
            if std::mem::replace(scope, true) {
                return Err(UNKNOWN_SCOPES);
            }
        }
        Ok(scopes)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.read, "read"), (self.write, "write"), (self.subjects, "subjects")];
        let words: Vec<&str> = words.into_iter().filter(|(allowed, _)| *allowed).map(|(_, word)| word).collect();
        f.write_str(if words.is_empty() { "nothing" } else { "" })?;
        f.write_str(&words.join("+"))
    }
}

/// An API key. Only its digest is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The name of the key in the log.
    pub name: Arc<str>,
    /// What a caller with this key may do.
    pub scopes: Scopes,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
}

impl ApiKey {
    /// The entry for a key in `http.api_keys`. It does not contain the key itself.
    pub fn entry(name: &str, scopes: Scopes, key: &str) -> String {
        let hex: String = digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}:{scopes}:{HASH_PREFIX}{hex}")
    }

    /// Checks the name of a key. Valid names are safe in a log line and differ from the names in tokens.
    pub fn check_name(name: &str) -> Result<(), &'static str> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed) {
            Ok(())
        } else {
            Err("a name has 1 to 64 letters, digits, hyphens, underscores or dots")
        }
    }

    fn parse(position: usize, text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the key is empty");
        }
        if text.trim() != text {
            return Err("the key begins or ends with a blank, and no caller can send that");
        }
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        match *parts.as_slice() {
            // An incomplete hashed entry must not become a plain key.
            [name, scopes, hash] if text.contains(HASH_PREFIX) || scopes.parse::<Scopes>().is_ok() => {
                Self::check_name(name)?;
                let hex = hash.strip_prefix(HASH_PREFIX).ok_or("write it as NAME:SCOPES:sha256:HEX")?;
                let digest = parse_hex(hex).ok_or("write 64 hexadecimal digits after sha256:")?;
                Ok(Self { name: name.into(), scopes: scopes.parse()?, digest })
            }
            _ if text.contains(HASH_PREFIX) => Err("write it as NAME:SCOPES:sha256:HEX"),
            // Anyone could guess it.
            [name, scopes] if Self::check_name(name).is_ok() && begins_scopes(scopes) => {
                Err("this is only the beginning of NAME:SCOPES:sha256:HEX")
            }
            _ => Ok(Self { name: format!("key-{position}").into(), scopes: Scopes::CONTACTS, digest: digest(text) }),
        }
    }
}

/// The valid keys, as digests. All digests have the same length.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// The valid keys.
    pub const fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// The valid key with this text.
    pub fn find(&self, sent: &[u8]) -> Option<&ApiKey> {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        // Every key is compared, also after a match.
        self.0.iter().fold(None, |found, key| if bool::from(key.digest.ct_eq(&sent)) { Some(key) } else { found })
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the keys, for the log.
    pub fn names(&self) -> String {
        self.0.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ")
    }
}

/// Parses `http.api_keys`. Plain keys are named by their position and may read and write contacts.
pub(super) fn parse(entries: &[Secret]) -> Result<Vec<ApiKey>, String> {
    let mut keys: Vec<ApiKey> = Vec::with_capacity(entries.len());
    for (position, entry) in (1..).zip(entries) {
        let key = ApiKey::parse(position, entry.reveal()).map_err(|error| format!("entry {position}: {error}"))?;
        if let Some(first) = keys.iter().position(|other| other.digest == key.digest) {
            return Err(format!("entries {} and {position} are the same key", first + 1));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Parses `admin.console_keys`. Each has a name, because the audit lines name the operator.
pub(super) fn parse_operators(entries: &[Secret]) -> Result<Vec<ApiKey>, String> {
    for (position, entry) in (1..).zip(entries) {
        if !entry.reveal().contains(HASH_PREFIX) {
            return Err(format!("entry {position}: write it as NAME:SCOPES:sha256:HEX"));
        }
    }
    let keys = parse(entries)?;
    match (1..).zip(&keys).find(|(_, key)| !key.scopes.read || key.scopes.subjects) {
        Some((position, _)) => Err(format!("entry {position}: scopes are read, or read+write")),
        None => Ok(keys),
    }
}

/// Whether a text is the beginning of a list of scopes: `read+wr`.
fn begins_scopes(text: &str) -> bool {
    let words = ["read", "write", "subjects"];
    let (complete, last) = text.rsplit_once('+').unwrap_or(("", text));
    (complete.is_empty() || complete.split('+').all(|word| words.contains(&word)))
        && words.iter().any(|word| word.starts_with(last))
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(entries: &[&str]) -> Result<Vec<ApiKey>, String> {
        let entries: Vec<Secret> = entries.iter().map(|entry| Secret::from(*entry)).collect();
        parse(&entries)
    }

    #[test]
    fn an_entry_is_a_plain_key_or_a_hashed_key() {
        let entry = ApiKey::entry("shop", Scopes { read: true, ..Scopes::NONE }, "secret");
        assert_eq!(entry, "shop:read:sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
        let keys = parsed(&["plain", &entry, "a:b"]).unwrap();
        assert_eq!(keys.iter().map(|key| &*key.name).collect::<Vec<_>>(), ["key-1", "shop", "key-3"]);
        assert_eq!(keys[1].scopes, Scopes { read: true, ..Scopes::NONE });
        assert_eq!(keys[1].digest, digest("secret"));
        assert_eq!((keys[0].scopes, keys[2].digest), (Scopes::CONTACTS, digest("a:b")));
    }

    #[test]
    fn an_operator_has_a_name_and_may_read() {
        let operators = |scopes: &str| {
            parse_operators(&[Secret::from(format!("night:{scopes}:sha256:{}", "ab".repeat(32)).as_str())])
        };
        assert_eq!(&*operators("read+write").unwrap()[0].name, "night");
        assert!(operators("read").is_ok());
        for wrong in ["write", "subjects", "read+subjects", "read+write+subjects"] {
            assert_eq!(operators(wrong).unwrap_err(), "entry 1: scopes are read, or read+write", "{wrong}");
        }
        assert!(parse_operators(&[Secret::from("hunter2")]).unwrap_err().starts_with("entry 1: write it as NAME"));
    }

    #[test]
    fn scopes_are_words_joined_by_plus() {
        let all = Scopes { subjects: true, ..Scopes::CONTACTS };
        for (text, scopes) in [
            ("read+write", Scopes::CONTACTS),
            ("subjects", Scopes { subjects: true, ..Scopes::NONE }),
            ("read+write+subjects", all),
        ] {
            assert_eq!((text.parse(), scopes.to_string()), (Ok(scopes), text.to_owned()));
        }
        assert_eq!("subjects+read+write".parse(), Ok(all));
        for wrong in ["", "all", "read+read", "read+", "Read"] {
            assert!(wrong.parse::<Scopes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_error_names_the_entry_and_does_not_quote_it() {
        let hex = "ab".repeat(32);
        for (entry, part) in [
            ("", "empty"),
            (" hunter2", "a blank"),
            ("hunter2:all:sha256:00", "64 hexadecimal"),
            (&*format!("hunter2:all:sha256:{hex}"), "scopes are"),
            (&format!("hunter2:read+read:sha256:{hex}"), "scopes are"),
            (&format!("hunter2:read:{hex}"), "NAME:SCOPES:sha256:HEX"),
            (&format!("hunter2:sha256:{hex}"), "NAME:SCOPES"),
            (&format!("sha256:{hex}"), "NAME:SCOPES:sha256:HEX"),
            (&format!("hunter2 x:read:sha256:{hex}"), "a name has"),
            (&format!(":read:sha256:{hex}"), "a name has"),
            (&format!("hunter2:read:sha256:+{}", &hex[1..]), "64 hexadecimal"),
            (&format!("hunter2:read:sha256:{hex}0"), "64 hexadecimal"),
            ("hunter2:", "the beginning"),
            ("hunter2:re", "the beginning"),
            ("hunter2:read", "the beginning"),
            ("hunter2:read+", "the beginning"),
            ("hunter2:write+subj", "the beginning"),
        ] {
            let error = parsed(&["other", entry]).unwrap_err();
            assert!(error.contains("entry 2") && error.contains(part), "{entry}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(&hex), "{error}");
        }
        let twice = parsed(&["one", "secret", &ApiKey::entry("shop", Scopes::CONTACTS, "secret")]).unwrap_err();
        assert_eq!(twice, "entries 2 and 3 are the same key");
    }
}
