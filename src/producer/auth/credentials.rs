//! The API keys and token keys in effect. An operator can change them while the API runs.
//!
//! Rule of this file: invalid new credentials change nothing, and a reload never turns authentication off.

use super::tokens::TokenVerifier;
use crate::config::{ApiKeys, HttpSettings, JwtSettings};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Why API keys or token keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(String);

/// The credentials in effect. Clones share them.
#[derive(Clone)]
pub struct Credentials {
    current: Arc<RwLock<Arc<Snapshot>>>,
    /// The token settings. A reload does not change them; it reads the key file again.
    jwt: JwtSettings,
}

/// The credentials at one time.
pub(crate) struct Snapshot {
    pub(crate) keys: ApiKeys,
    pub(crate) tokens: Option<TokenVerifier>,
}

impl Snapshot {
    fn read(settings: &HttpSettings, jwt: &JwtSettings) -> Result<Self, CredentialsError> {
        let keys = settings.keys().map_err(CredentialsError)?;
        let tokens = TokenVerifier::read(jwt).map_err(CredentialsError)?;
        Ok(Self { keys: ApiKeys::new(keys), tokens })
    }

    /// Whether callers need no credential.
    pub(crate) const fn allows_anonymous(&self) -> bool {
        self.keys.is_empty() && self.tokens.is_none()
    }

    fn is_same(&self, other: &Self) -> bool {
        let same_tokens = match (&self.tokens, &other.tokens) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.is_same_file(theirs),
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.keys == other.keys && same_tokens
    }
}

impl Credentials {
    /// Reads the credentials that the settings name.
    pub fn new(settings: &HttpSettings) -> Result<Self, CredentialsError> {
        let current = Snapshot::read(settings, &settings.jwt)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(current))), jwt: settings.jwt.clone() })
    }

    /// Reads the API keys and the token keys again, and returns whether they changed. Other settings are ignored.
    pub fn reload(&self, settings: &HttpSettings) -> Result<bool, CredentialsError> {
        let (next, current) = (Snapshot::read(settings, &self.jwt)?, self.current());
        if next.is_same(&current) {
            return Ok(false);
        }
        // An operator who empties the list by mistake must not turn authentication off.
        if next.allows_anonymous() {
            return Err(CredentialsError("http.api_keys is empty now: anyone could call the API".into()));
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(true)
    }

    /// Whether callers need a credential.
    pub fn asks_callers(&self) -> bool {
        !self.current().allows_anonymous()
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Shows the number of keys and their names.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        if current.allows_anonymous() {
            return f.write_str("callers need no key");
        }
        let tokens = current.tokens.as_ref().map_or(0, TokenVerifier::key_count);
        write!(f, "{} API keys ({}), {tokens} token keys", current.keys.len(), current.keys.names())
    }
}
