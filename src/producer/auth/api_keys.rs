//! API keys. The producer stores and compares digests.
//!
//! Rule of this file: a comparison takes constant time, so its duration reveals nothing about the keys.

use crate::config::ApiKey;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The valid keys, as digests. All digests have the same length.
#[derive(PartialEq, Eq)]
pub(crate) struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    pub(crate) const fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// The valid key with this text.
    pub(crate) fn find(&self, sent: &[u8]) -> Option<&ApiKey> {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        // Every key is compared, also after a match.
        self.0.iter().fold(None, |found, key| if bool::from(key.digest.ct_eq(&sent)) { Some(key) } else { found })
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the keys, for the log.
    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ")
    }
}
