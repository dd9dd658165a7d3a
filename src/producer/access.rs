//! What is let in: the keys and tokens that hold at this moment, which may be changed while the API runs.
//!
//! The rule this file keeps: a change that cannot be used changes nothing, and none opens a closed door.

use super::ServeError;
use super::keys::Keys;
use super::tokens::Tokens;
use crate::config::{HttpSettings, JwtSettings};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The keys and tokens in effect; all clones are one.
#[derive(Clone)]
pub struct Access {
    current: Arc<RwLock<Arc<Known>>>,
    /// What tokens must say is read once.
    jwt: JwtSettings,
}

pub(super) struct Known {
    pub(super) keys: Keys,
    pub(super) tokens: Option<Tokens>,
}

impl Known {
    fn read(settings: &HttpSettings, jwt: &JwtSettings) -> Result<Self, ServeError> {
        let keys = settings.keys().map_err(ServeError::Access)?;
        let tokens = Tokens::read(jwt).map_err(ServeError::Access)?;
        Ok(Self { keys: Keys::new(keys), tokens })
    }

    /// Whether nobody is asked for anything.
    pub(super) const fn is_open(&self) -> bool {
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

impl Access {
    /// Reads what the settings name.
    pub fn new(settings: &HttpSettings) -> Result<Self, ServeError> {
        let known = Known::read(settings, &settings.jwt)?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(known))), jwt: settings.jwt.clone() })
    }

    /// Takes other keys, of callers and of the identity provider; whether there were any. Nothing else of the settings is
    /// looked at.
    pub fn renew(&self, settings: &HttpSettings) -> Result<bool, ServeError> {
        let (next, current) = (Known::read(settings, &self.jwt)?, self.known());
        if next.same_as(&current) {
            return Ok(false);
        }
        // Whoever empties the list by mistake must not let everyone in.
        if next.is_open() {
            return Err(ServeError::Access("http.api_keys has become empty, which would let everyone in".into()));
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(true)
    }

    /// Whether callers must show something.
    pub fn asks_callers(&self) -> bool {
        !self.known().is_open()
    }

    pub(super) fn known(&self) -> Arc<Known> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How many there are and what they are called.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        if known.is_open() {
            return f.write_str("nobody is asked for a key");
        }
        let tokens = known.tokens.as_ref().map_or(0, Tokens::len);
        write!(f, "{} API keys ({}), {tokens} keys that tokens are signed with", known.keys.len(), known.keys.names())
    }
}
