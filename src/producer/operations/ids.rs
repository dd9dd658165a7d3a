//! Ids of new operations and contacts. The same `Idempotency-Key` of the same caller gives the same ids.

use crate::domain::{Action, ContactId, Email, Fingerprint, OperationId};
use crate::producer::auth::Caller;
use crate::producer::state::IdKey;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The id of a new operation. An id without an `Idempotency-Key` has a time and a check.
pub(crate) fn operation_id(ids: &IdKey, caller: Caller, key: Option<&str>) -> OperationId {
    OperationId::new(key.map_or_else(|| ids.new_id(), |key| derive(b"operation", caller, key)))
}

/// The id of a new contact.
pub(crate) fn contact_id(caller: Caller, key: Option<&str>) -> ContactId {
    ContactId::new(key.map_or_else(Uuid::now_v7, |key| derive(b"contact", caller, key)))
}

/// A UUID of version 8 (RFC 9562), derived from a digest.
fn derive(purpose: &[u8], caller: Caller, key: &str) -> Uuid {
    let digest = Sha256::new().chain_update(purpose).chain_update([0]).chain_update(caller.0).chain_update(key);
    Uuid::new_v8(first_half(digest))
}

/// The digest of the parsed values of a request. Two spellings of the same values have the same fingerprint.
pub(crate) fn fingerprint(contact: Option<ContactId>, expected: &[OperationId], action: &Action) -> Fingerprint {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(contact.map(|id| id.uuid().into_bytes()).as_ref().map_or(&[][..], |id| &id[..]));
    part(&expected.iter().flat_map(|id| id.uuid().into_bytes()).collect::<Vec<u8>>());
    let kind = match action {
        Action::Create(_) => "insert",
        Action::Update(_) => "update",
        Action::Delete => "delete",
        Action::Patch(_) => "patch",
    };
    part(kind.as_bytes());
    match action {
        Action::Create(details) | Action::Update(details) => {
            part(details.name.as_str().as_bytes());
            part(details.phone.to_string().as_bytes());
            if let Some(email) = &details.email {
                part(email.as_str().as_bytes());
            }
        }
        Action::Patch(patch) => {
            let mut member = |name: &str, value: Option<&str>| {
                part(name.as_bytes());
                part(value.unwrap_or_default().as_bytes());
            };
            patch.name.iter().for_each(|name| member("name", Some(name.as_str())));
            patch.phone.iter().for_each(|phone| member("phone", Some(&phone.to_string())));
            patch.email.iter().for_each(|email| member("email", email.value().map(Email::as_str)));
        }
        Action::Delete => {}
    }
    Fingerprint(u128::from_be_bytes(first_half(digest)))
}

fn first_half(digest: Sha256) -> [u8; 16] {
    let whole: [u8; 32] = digest.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(whole.split_at(16).0);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Details, Name, Phone};

    const ANA: Caller = Caller([1; 32]);
    const BIA: Caller = Caller([2; 32]);

    #[test]
    fn the_same_key_of_the_same_caller_gives_the_same_id() {
        let ids = IdKey::new(b"secret");
        let operation_id = |caller, key| super::operation_id(&ids, caller, key);
        assert_eq!(operation_id(ANA, Some("k")), operation_id(ANA, Some("k")));
        assert_ne!(operation_id(ANA, Some("k")), operation_id(ANA, Some("l")));
        assert_ne!(operation_id(ANA, Some("k")), operation_id(BIA, Some("k")));
        assert_ne!(operation_id(ANA, Some("k")).uuid(), contact_id(ANA, Some("k")).uuid());
        assert_ne!(operation_id(ANA, None), operation_id(ANA, None));
    }

    #[test]
    fn a_fingerprint_depends_on_the_values_and_not_on_their_spelling() {
        let action = |name: &str, phone: &str| {
            Action::Create(Details {
                name: Name::parse(name).unwrap(),
                phone: Phone::parse(phone).unwrap(),
                email: Some(Email::parse("a@example.com").unwrap()),
            })
        };
        let of = |action: &Action| fingerprint(None, &[], action);
        let ana = action("Ana", "11987654321");
        assert_eq!(of(&ana), of(&action(" Ana ", "(11) 98765-4321")));
        assert_ne!(of(&ana), of(&action("Bia", "11987654321")));
        assert_ne!(of(&ana), of(&Action::Delete));
        assert_ne!(of(&ana), fingerprint(Some(contact_id(ANA, None)), &[], &ana));
        assert_ne!(of(&ana), fingerprint(None, &[operation_id(&IdKey::new(b""), ANA, None)], &ana));
    }
}
