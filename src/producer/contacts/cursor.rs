//! Cursors: the position where the next page of a list begins. The service signs them with HMAC-SHA-256.
//!
//! Rule of this file: a cursor is accepted only if this service made it for the same list.

use crate::domain::{ContactId, NameKey, Timestamp};
use crate::producer::state::IdKey;
use crate::store::{ListPosition, SortKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bytes of a truncated MAC. A guess succeeds with a probability of 2^-96.
const MAC_BYTES: usize = 12;
/// The first byte of a cursor is its layout: the last id, or the last id with the name or the time of the last change.
const BY_ID: u8 = 1;
const BY_NAME: u8 = 2;
const BY_LAST_CHANGE: u8 = 3;
/// A value that several contacts have.
const BY_VALUE: u8 = 4;

/// The key that signs cursors. All replicas of a service have the same key.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

/// Why a cursor is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorError {
    /// This service did not make it, or it was changed.
    Malformed,
    /// It belongs to a list with other filters.
    OtherList,
}

impl CursorKey {
    /// Derives the key from a secret that only the replicas of the service know.
    pub fn new(secret: &str) -> Self {
        Self(Sha256::new().chain_update("contacts cursor ").chain_update(secret).finalize().into())
    }

    /// The key of operation ids, made from this key.
    pub(crate) fn id_key(&self) -> IdKey {
        IdKey::new(&self.0)
    }

    /// The signed cursor for the page after this position of the list.
    pub(crate) fn encode(&self, list: &str, after: &ListPosition) -> String {
        let (layout, key) = match &after.key {
            None => (BY_ID, Vec::new()),
            Some(SortKey::Name(name)) => (BY_NAME, name.as_str().into()),
            Some(SortKey::Value(value)) => (BY_VALUE, value.as_str().into()),
            Some(SortKey::LastChanged(time)) => (BY_LAST_CHANGE, time.timestamp_micros().to_be_bytes().into()),
        };
        let mut cursor = vec![layout];
        cursor.extend_from_slice(after.id.uuid().as_bytes());
        cursor.extend_from_slice(&key);
        let macs = [self.mac("", &cursor), self.mac(list, &cursor)];
        cursor.extend(macs.iter().flatten());
        BASE64_URL_SAFE_NO_PAD.encode(cursor)
    }

    /// Verifies a cursor of the list and returns its position.
    pub(crate) fn decode(&self, list: &str, cursor: &str) -> Result<ListPosition, CursorError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_undecodable| CursorError::Malformed)?;
        let (rest, list_mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(CursorError::Malformed)?;
        let (position, position_mac) = rest.split_last_chunk::<MAC_BYTES>().ok_or(CursorError::Malformed)?;
        // There are two MACs, so that a valid cursor of another list is not reported as malformed.
        if !self.verify("", position, position_mac) {
            return Err(CursorError::Malformed);
        }
        if !self.verify(list, position, list_mac) {
            return Err(CursorError::OtherList);
        }
        parse_position(position).ok_or(CursorError::Malformed)
    }

    fn mac_state(&self, list: &str, position: &[u8]) -> Hmac<Sha256> {
        // RFC 2104: the key is padded with zeros to the block size.
        let mut block = [0; 64];
        block.iter_mut().zip(self.0).for_each(|(target, byte)| *target = byte);
        <Hmac<Sha256> as KeyInit>::new(&block.into())
            // The length separates the list from the position.
            .chain_update((list.len() as u64).to_be_bytes())
            .chain_update(list)
            .chain_update(position)
    }

    fn mac(&self, list: &str, position: &[u8]) -> [u8; MAC_BYTES] {
        let whole: [u8; 32] = self.mac_state(list, position).finalize().into_bytes().into();
        whole.first_chunk().copied().unwrap_or_default()
    }

    /// Compares in constant time.
    fn verify(&self, list: &str, position: &[u8], mac: &[u8; MAC_BYTES]) -> bool {
        self.mac_state(list, position).verify_truncated_left(mac).is_ok()
    }
}

fn parse_position(position: &[u8]) -> Option<ListPosition> {
    let (layout, position) = position.split_first()?;
    let (id, key) = position.split_first_chunk::<16>()?;
    let key = match *layout {
        BY_ID if key.is_empty() => None,
        BY_NAME => Some(SortKey::Name(NameKey::read(str::from_utf8(key).ok()?)?)),
        BY_VALUE => Some(SortKey::Value(str::from_utf8(key).ok()?.to_owned())),
        BY_LAST_CHANGE => {
            let micros = i64::from_be_bytes(key.try_into().ok()?);
            Some(SortKey::LastChanged(Timestamp::from_timestamp_micros(micros)?))
        }
        _ => return None,
    };
    Some(ListPosition { key, id: ContactId::new(Uuid::from_bytes(*id)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(id: u128, name: Option<&str>) -> ListPosition {
        ListPosition { key: name.and_then(NameKey::read).map(SortKey::Name), id: ContactId::new(Uuid::from_u128(id)) }
    }

    #[test]
    fn a_cursor_is_accepted_only_in_its_list() {
        let key = CursorKey::new("secret");
        let after = position(7, Some("ana"));
        let cursor = key.encode("q=an", &after);
        assert_eq!(key.decode("q=an", &cursor), Ok(after.clone()));
        assert_eq!(key.decode("q=a", &cursor), Err(CursorError::OtherList));
        assert_eq!(CursorKey::new("other").decode("q=an", &cursor), Err(CursorError::Malformed));
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        for wrong in ["", "a", "é", "AAAA", &"A".repeat(60)] {
            assert_eq!(key.decode("", wrong), Err(CursorError::Malformed), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_position_is_decoded_and_every_changed_cursor_is_rejected(
            id: u128, name in proptest::option::of("[a-z ]{1,30}"), list in ".{0,20}", at: usize, flip in 1u8..=255
        ) {
            let key = CursorKey::new("secret");
            let after = position(id, name.as_deref());
            let cursor = key.encode(&list, &after);
            prop_assert_eq!(key.decode(&list, &cursor), Ok(after));
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(key.decode(&list, &BASE64_URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
    }
}
