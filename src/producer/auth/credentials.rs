//! What is let in: the keys and tokens that hold at this moment, which may be changed while the API runs.
//!
//! The rule this file keeps: a change that cannot be used changes nothing, and none opens a closed door.

use super::api_keys::ApiKeys;
use super::tokens::Tokens;
use crate::config::{HttpSettings, JwtSettings};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Why keys or tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(String);

/// The keys and tokens in effect; all clones are one.
#[derive(Clone)]
pub struct Credentials {
    current: Arc<RwLock<Arc<Snapshot>>>,
    /// What tokens must say is read once.
    jwt: JwtSettings,
}

pub(crate) struct Snapshot {
    pub(crate) keys: ApiKeys,
    pub(crate) tokens: Option<Tokens>,
}

impl Snapshot {
    fn read(settings: &HttpSettings, jwt: &JwtSettings) -> Result<Self, CredentialsError> {
        let keys = settings.keys().map_err(CredentialsError)?;
        let tokens = Tokens::read(jwt).map_err(CredentialsError)?;
        Ok(Self { keys: ApiKeys::new(keys), tokens })
    }

    /// Whether nobody is asked for anything.
    pub(crate) const fn is_open(&self) -> bool {
        self.keys.is_empty() && self.tokens.is_none()
    }

    fn same_as(&self, other: &Self) -> bool {
        let same_tokens = match (&self.tokens, &other.tokens) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.is_of(theirs),
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.keys == other.keys && same_tokens
    }
}

impl Credentials {
    /// Reads what the settings name.
    pub fn new(settings: &HttpSettings) -> Result<Self, CredentialsError> {
        let current = Snapshot::read(settings, &settings.jwt)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(current))), jwt: settings.jwt.clone() })
    }

    /// Takes other keys, of callers and of the identity provider; whether there were any. Nothing else of the settings is
    /// looked at.
    pub fn reload(&self, settings: &HttpSettings) -> Result<bool, CredentialsError> {
        let (next, current) = (Snapshot::read(settings, &self.jwt)?, self.current());
        if next.same_as(&current) {
            return Ok(false);
        }
        // Whoever empties the list by mistake must not let everyone in.
        if next.is_open() {
            return Err(CredentialsError("http.api_keys has become empty, which would let everyone in".into()));
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(true)
    }

    /// Whether callers must show something.
    pub fn asks_callers(&self) -> bool {
        !self.current().is_open()
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How many there are and what they are called.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        if current.is_open() {
            return f.write_str("nobody is asked for a key");
        }
        let tokens = current.tokens.as_ref().map_or(0, Tokens::len);
        write!(
            f,
            "{} API keys ({}), {tokens} keys that tokens are signed with",
            current.keys.len(),
            current.keys.names()
        )
    }
}
