//! Values that need care: secrets, and URLs that hold one.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

const HIDDEN: &str = "***";

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// A URL whose password is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Url {
    /// The URL with its password, for the one place that connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match url::Url::parse(&self.0) {
            Ok(mut parsed) if parsed.has_host() || parsed.scheme() == "sqlite" => {
                if parsed.password().is_some() && parsed.set_password(Some(HIDDEN)).is_err() {
                    return f.write_str(HIDDEN);
                }
                // libpq also takes the password as a parameter.
                if parsed.query_pairs().any(|(name, _)| name.to_lowercase().contains("password")) {
                    parsed.set_query(Some(HIDDEN));
                }
                f.write_str(parsed.as_str())
            }
            // Whatever stands in it, it may be a secret in the wrong place.
            Ok(_) | Err(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a list, or one text with commas, as an environment variable or a mounted file has it.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<Secret>),
    }
    match OneOrMany::deserialize(deserializer)? {
        OneOrMany::Many(many) => Ok(many),
        OneOrMany::One(text) => {
            let keys = text.split([',', '\n']).map(str::trim).filter(|key| !key.is_empty());
            let keys: Vec<Secret> = keys.map(|key| Secret(key.into())).collect();
            // A secret that was mounted empty must not open the API.
            if keys.is_empty() {
                Err(D::Error::custom("holds no key: leave it out if there is none"))
            } else {
                Ok(keys)
            }
        }
    }
}
