//! The keys of callers as settings hold them: as text, or by name, scopes and hash.
//!
//! The rule this file keeps: an entry is named by its place in the list and never quoted, for it may be a secret.

use super::Secret;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a key.
const LONGEST_NAME: usize = 64;
/// What stands between the scopes and the hash.
const HASHED: &str = "sha256:";

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// `contacts:read`: GET and HEAD.
    pub read: bool,
    /// `contacts:write`: every other method.
    pub write: bool,
}

impl Scopes {
    /// The name of the scope to read, in tokens and in answers.
    pub const READ: &str = "contacts:read";
    /// The name of the scope to write.
    pub const WRITE: &str = "contacts:write";
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true };
}

impl FromStr for Scopes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "read" => Ok(Self { read: true, write: false }),
            "write" => Ok(Self { read: false, write: true }),
            "read+write" => Ok(Self::ALL),
            _ => Err("scopes are read, write or read+write"),
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read, self.write) {
            (true, false) => "read",
            (false, true) => "write",
            (true, true) => "read+write",
            (false, false) => "nothing",
        })
    }
}

/// A key that callers may send, as the digest that it is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// What it is called in the log.
    pub name: Arc<str>,
    /// What its holder may do.
    pub scopes: Scopes,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
}

impl ApiKey {
    /// The entry of `http.api_keys` that stands for a key, without the key itself.
    pub fn entry(name: &str, scopes: Scopes, key: &str) -> String {
        let hex: String = digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}:{scopes}:{HASHED}{hex}")
    }

    /// Whether a key may be called so: what is safe in a log line, and tells apart from names that tokens give.
    pub fn check_name(name: &str) -> Result<(), &'static str> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(allowed) {
            Ok(())
        } else {
            Err("a name has 1 to 64 letters, digits, hyphens, underscores or dots")
        }
    }

    fn parse(place: usize, text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("an empty key");
        }
        if text.trim() != text {
            return Err("blanks at its ends, which no caller can send");
        }
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        match *parts.as_slice() {
            // What only looks like a hashed entry must not become a key itself.
            [name, scopes, hash] if text.contains(HASHED) || scopes.parse::<Scopes>().is_ok() => {
                Self::check_name(name)?;
                let hex = hash.strip_prefix(HASHED).ok_or("write it as NAME:SCOPES:sha256:HEX")?;
                let digest = unhex(hex).ok_or("sha256: is followed by 64 hexadecimal digits")?;
                Ok(Self { name: name.into(), scopes: scopes.parse()?, digest })
            }
            _ if text.contains(HASHED) => Err("write it as NAME:SCOPES:sha256:HEX"),
            _ => Ok(Self { name: format!("key-{place}").into(), scopes: Scopes::ALL, digest: digest(text) }),
        }
    }
}

/// Reads `http.api_keys`; plain keys are named by their place and may do everything.
pub(super) fn parse(entries: &[Secret]) -> Result<Vec<ApiKey>, String> {
    let mut keys: Vec<ApiKey> = Vec::with_capacity(entries.len());
    for (place, entry) in (1..).zip(entries) {
        let key = ApiKey::parse(place, entry.reveal()).map_err(|why| format!("entry {place}: {why}"))?;
        if let Some(first) = keys.iter().position(|other| other.digest == key.digest) {
            return Err(format!("entries {} and {place} are the same key", first + 1));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
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
    fn an_entry_is_a_key_or_stands_for_one() {
        let entry = ApiKey::entry("shop", Scopes { read: true, write: false }, "secret");
        assert_eq!(entry, "shop:read:sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
        let keys = parsed(&["plain", &entry, "a:b"]).unwrap();
        assert_eq!(keys.iter().map(|key| &*key.name).collect::<Vec<_>>(), ["key-1", "shop", "key-3"]);
        assert_eq!(keys[1].scopes, Scopes { read: true, write: false });
        assert_eq!(keys[1].digest, digest("secret"));
        assert_eq!((keys[0].scopes, keys[2].digest), (Scopes::ALL, digest("a:b")));
    }

    #[test]
    fn what_is_wrong_is_named_and_not_quoted() {
        let hex = "ab".repeat(32);
        for (entry, part) in [
            ("", "empty"),
            (" hunter2", "blanks"),
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
        ] {
            let error = parsed(&["other", entry]).unwrap_err();
            assert!(error.contains("entry 2") && error.contains(part), "{entry}: {error}");
            assert!(!error.contains("hunter2") && !error.contains(&hex), "{error}");
        }
        let twice = parsed(&["one", "secret", &ApiKey::entry("shop", Scopes::ALL, "secret")]).unwrap_err();
        assert_eq!(twice, "entries 2 and 3 are the same key");
    }
}
