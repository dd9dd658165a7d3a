//! Cursors: where the next page of a list begins, sealed so that only we can make one.
//!
//! The rule this room keeps: a cursor is taken only if this service made it, for this very list. It must not know how
//! rows are found.

use crate::domain::{ContactId, NameKey};
use crate::store::After;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bytes of a seal: what is guessed is one in 2^96.
const SEAL: usize = 12;
/// The first byte of a cursor says its layout: the last id, or the last id and name.
const BY_ID: u8 = 1;
const BY_NAME: u8 = 2;

/// What seals the cursors of all replicas of a service.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

/// Why a cursor is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not one of ours, or was changed.
    Malformed,
    /// It is one of another list.
    OtherList,
}

impl CursorKey {
    /// Makes a key of a text that only the service's replicas know.
    pub fn new(secret: &str) -> Self {
        Self(Sha256::new().chain_update("contacts cursor ").chain_update(secret).finalize().into())
    }

    /// The cursor of the page of this list that comes after this place.
    pub(crate) fn seal(&self, list: &str, after: &After) -> String {
        let mut cursor = vec![if after.name.is_some() { BY_NAME } else { BY_ID }];
        cursor.extend_from_slice(after.id.uuid().as_bytes());
        cursor.extend_from_slice(after.name.as_ref().map(NameKey::as_str).unwrap_or_default().as_bytes());
        let seals = [self.mac("", &cursor), self.mac(list, &cursor)];
        cursor.extend(seals.iter().flatten());
        BASE64_URL_SAFE_NO_PAD.encode(cursor)
    }

    /// The place that a cursor of this list means.
    pub(crate) fn open(&self, list: &str, cursor: &str) -> Result<After, Refused> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_undecodable| Refused::Malformed)?;
        let (rest, of_list) = bytes.split_last_chunk::<SEAL>().ok_or(Refused::Malformed)?;
        let (place, of_place) = rest.split_last_chunk::<SEAL>().ok_or(Refused::Malformed)?;
        // Two seals, so that a sound cursor in the wrong place can be told from a wrong one.
        if !self.sealed("", place, of_place) {
            return Err(Refused::Malformed);
        }
        if !self.sealed(list, place, of_list) {
            return Err(Refused::OtherList);
        }
        read(place).ok_or(Refused::Malformed)
    }

    fn begun(&self, list: &str, place: &[u8]) -> Hmac<Sha256> {
        // The length keeps list and place apart.
        // A key is filled up with zeros to a block (RFC 2104).
        let mut block = [0; 64];
        block.iter_mut().zip(self.0).for_each(|(to, byte)| *to = byte);
        <Hmac<Sha256> as KeyInit>::new(&block.into())
            .chain_update((list.len() as u64).to_be_bytes())
            .chain_update(list)
            .chain_update(place)
    }

    fn mac(&self, list: &str, place: &[u8]) -> [u8; SEAL] {
        let whole: [u8; 32] = self.begun(list, place).finalize().into_bytes().into();
        whole.first_chunk().copied().unwrap_or_default()
    }

    /// In constant time.
    fn sealed(&self, list: &str, place: &[u8], seal: &[u8; SEAL]) -> bool {
        self.begun(list, place).verify_truncated_left(seal).is_ok()
    }
}

fn read(place: &[u8]) -> Option<After> {
    let (layout, place) = place.split_first()?;
    let (id, name) = place.split_first_chunk::<16>()?;
    let name = match *layout {
        BY_ID if name.is_empty() => None,
        BY_NAME => Some(NameKey::read(str::from_utf8(name).ok()?)?),
        _ => return None,
    };
    Some(After { name, id: ContactId::new(Uuid::from_bytes(*id)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(id: u128, name: Option<&str>) -> After {
        After { name: name.and_then(NameKey::read), id: ContactId::new(Uuid::from_u128(id)) }
    }

    #[test]
    fn a_cursor_is_taken_only_in_its_list() {
        let key = CursorKey::new("secret");
        let after = place(7, Some("ana"));
        let cursor = key.seal("q=an", &after);
        assert_eq!(key.open("q=an", &cursor), Ok(after.clone()));
        assert_eq!(key.open("q=a", &cursor), Err(Refused::OtherList));
        assert_eq!(CursorKey::new("other").open("q=an", &cursor), Err(Refused::Malformed));
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        for wrong in ["", "a", "é", "AAAA", &"A".repeat(60)] {
            assert_eq!(key.open("", wrong), Err(Refused::Malformed), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_place_comes_back_and_no_changed_cursor_does(
            id: u128, name in proptest::option::of("[a-z ]{1,30}"), list in ".{0,20}", at: usize, flip in 1u8..=255
        ) {
            let key = CursorKey::new("secret");
            let after = place(id, name.as_deref());
            let cursor = key.seal(&list, &after);
            prop_assert_eq!(key.open(&list, &cursor), Ok(after));
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(key.open(&list, &BASE64_URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
    }
}
