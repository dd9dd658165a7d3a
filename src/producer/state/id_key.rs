//! The check in operation ids: the service knows an id that it has made itself, also if SQL does not know it yet.

use crate::domain::{OperationId, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first bytes of an id. The last two are a check: a wrong id passes it once in 65,536 times. The others stay random, so
/// that replicas never make the same id.
const CHECKED_BYTES: usize = 14;

/// The key of the checks in operation ids. All replicas of a service have the same key.
#[derive(Clone)]
pub(crate) struct IdKey([u8; 32]);

impl IdKey {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Sha256::new().chain_update("contacts operation ids ").chain_update(secret).finalize().into())
    }

    /// A new id with a time and a check.
    pub(crate) fn new_id(&self) -> Uuid {
        self.checked(Uuid::now_v7())
    }

    /// Replaces the last bytes with a digest of the first ones.
    fn checked(&self, id: Uuid) -> Uuid {
        let mut bytes = id.into_bytes();
        let (first, rest) = bytes.split_at_mut(CHECKED_BYTES);
        let digest = Sha256::new().chain_update(self.0).chain_update(first).finalize();
        rest.iter_mut().zip(digest).for_each(|(byte, check)| *byte = check);
        Uuid::from_bytes(bytes)
    }

    /// What an operation is that SQL does not know.
    pub(crate) fn unknown(&self, id: OperationId, pruned_before: Option<Timestamp>) -> Unknown {
        let id = id.uuid();
        let issued = match id.get_version_num() {
            7 => self.checked(id) == id,
            // Derived from a key, without a check: a check would change the ids of keys that are in use.
            8 => true,
            _ => false,
        };
        let created = id.get_timestamp().map(|time| i128::from(time.to_unix().0));
        let pruned =
            matches!((created, pruned_before), (Some(created), Some(limit)) if created < i128::from(limit.timestamp()));
        match (issued, pruned) {
            (false, _) => Unknown::NeverIssued,
            (true, true) => Unknown::Expired,
            (true, false) => Unknown::Pending,
        }
    }
}

/// What an operation is that SQL does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is not finished.
    Pending,
    /// It finished before the time up to which operations may have been pruned.
    Expired,
    /// This service has never made its id.
    NeverIssued,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_operation_is_pending_expired_or_was_never_issued() {
        let ids = IdKey::new(b"secret");
        let id = OperationId::new(ids.new_id());
        let tomorrow = Some(chrono::Utc::now() + chrono::TimeDelta::days(1));
        assert_eq!((ids.unknown(id, None), ids.unknown(id, tomorrow)), (Unknown::Pending, Unknown::Expired));
        let with_key = OperationId::new(Uuid::new_v8([7; 16]));
        assert_eq!(ids.unknown(with_key, tomorrow), Unknown::Pending, "it contains no time");
        for other in [Uuid::nil(), Uuid::new_v4()] {
            assert_eq!(ids.unknown(OperationId::new(other), None), Unknown::NeverIssued, "{other}");
        }
        // The check is short, so another id may pass it.
        let foreign = IdKey::new(b"x");
        let passed = (0..1_000)
            .flat_map(|_| [Uuid::now_v7(), foreign.new_id()])
            .filter(|other| ids.unknown(OperationId::new(*other), None) != Unknown::NeverIssued);
        assert!(passed.count() < 5);
        // Many ids in one moment are different and sorted.
        let many: Vec<_> = (0..10_000).map(|_| ids.new_id()).collect();
        assert!(many.is_sorted() && many.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
