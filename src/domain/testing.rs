//! Commands for the tests of this module: all on one contact, with operations named by numbers.

use super::*;
use uuid::Uuid;

pub(super) fn op(id: u128) -> OperationId {
    OperationId::new(Uuid::from_u128(id))
}

pub(super) fn contact() -> ContactId {
    ContactId::new(Uuid::from_u128(0xC0))
}

pub(super) fn details(id: u128) -> Details {
    Details {
        name: Name::parse(&format!("Contact {id}")).unwrap(),
        phone: Phone::parse("11987654321").unwrap(),
        email: Some(Email::parse("someone@example.com").unwrap()),
    }
}

fn command(id: u128, stamp: i64, action: Action) -> Command {
    Command {
        operation_id: op(id),
        contact_id: contact(),
        stamp: Stamp::new(stamp).unwrap(),
        expects: None,
        accepted_at: Timestamp::from_timestamp_millis(stamp).unwrap(),
        fingerprint: None,
        action,
    }
}

pub(super) fn create(id: u128, stamp: i64) -> Command {
    command(id, stamp, Action::Create(details(id)))
}

pub(super) fn update(id: u128, stamp: i64) -> Command {
    command(id, stamp, Action::Update(details(id)))
}

pub(super) fn patch(id: u128, stamp: i64, patch: Patch) -> Command {
    command(id, stamp, Action::Patch(patch))
}

pub(super) fn delete(id: u128, stamp: i64) -> Command {
    command(id, stamp, Action::Delete)
}

pub(super) fn contact_with(version: u128, stamp: i64) -> Contact {
    Contact {
        id: contact(),
        version: op(version),
        stamp: Stamp::new(stamp).unwrap(),
        writes: None,
        created_by: op(1),
        created_at: Timestamp::from_timestamp_millis(0).unwrap(),
        updated_at: Timestamp::from_timestamp_millis(0).unwrap(),
        life: Lifecycle::Live(details(version)),
    }
}
