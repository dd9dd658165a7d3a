//! The cursors of the change feed.
//!
//! A client keeps its cursor for a long time. So it is not signed: it stays valid if the password of the database changes.
//! A cursor that somebody makes up gives nothing that the same client could not read without it, and the store accepts it
//! only if it names a change and its operation.

use crate::domain::OperationId;
use crate::store::ChangePosition;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The first byte of a cursor is its layout: the position and the id of the operation.
const LAYOUT: u8 = 1;

/// The cursor after this change.
pub(crate) fn encode(at: ChangePosition) -> String {
    let mut bytes = vec![LAYOUT];
    bytes.extend(at.position.to_be_bytes());
    bytes.extend(at.operation.uuid().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor names. `None` if it is not a cursor of the feed.
pub(crate) fn decode(cursor: &str) -> Option<ChangePosition> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (layout, bytes) = bytes.split_first()?;
    let (position, operation) = bytes.split_first_chunk::<8>()?;
    let position = i64::from_be_bytes(*position);
    let operation = OperationId::new(Uuid::from_bytes(operation.try_into().ok()?));
    (*layout == LAYOUT && position >= 0).then_some(ChangePosition { position, operation })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_cursors_are_decoded() {
        for wrong in ["", "latest", "AQ", "é", &"A".repeat(34), &"_".repeat(34), &"A".repeat(35)] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        assert_eq!(decode(&encode(ChangePosition::START)), Some(ChangePosition::START));
    }

    proptest! {
        #[test]
        fn every_place_has_a_cursor(position in 0..=i64::MAX, id: u128) {
            let at = ChangePosition { position, operation: OperationId::new(Uuid::from_u128(id)) };
            let cursor = encode(at);
            prop_assert_eq!(decode(&cursor), Some(at));
            prop_assert_eq!(cursor.len(), 34);
        }
    }
}
