//! API keys: found by their digest, in constant time.
//!
//! The rule this file keeps: how long a comparison takes says nothing about the keys. It must not know where they come from.

use crate::config::ApiKey;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The keys that are let in; digests, so that all comparisons are of one length.
#[derive(PartialEq, Eq)]
pub(crate) struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    pub(crate) const fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// The key that was sent, if it is one of ours.
    pub(crate) fn find(&self, sent: &[u8]) -> Option<&ApiKey> {
        let sent: [u8; 32] = Sha256::digest(sent).into();
        // Every key is compared, whether an earlier one matched or not.
        self.0.iter().fold(None, |found, key| if bool::from(key.digest.ct_eq(&sent)) { Some(key) } else { found })
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the log.
    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ")
    }
}
