//! What columns of both databases mean: text for people who read the tables, domain types for us.

use super::StoreError;
use crate::domain::{
    Action, Attempt, Command, ContactId, Details, Email, EndedOperation, Name, OperationId, OperationKind, Phone,
    Reason, Stamp, Status, Timestamp,
};
use uuid::Uuid;

/// The columns `status` and `reason`.
pub(super) const fn status_text(status: Status) -> (&'static str, Option<&'static str>) {
    match status {
        Status::Applied => ("applied", None),
        Status::Superseded => ("superseded", None),
        Status::Failed(reason) => ("failed", Some(reason.as_str())),
    }
}

pub(super) fn status(status: &str, reason: Option<&str>) -> Result<Status, StoreError> {
    match (status, reason.and_then(Reason::parse)) {
        ("applied", _) => Ok(Status::Applied),
        ("superseded", _) => Ok(Status::Superseded),
        ("failed", Some(reason)) => Ok(Status::Failed(reason)),
        // Written by a newer version: what it means to us is that the operation failed.
        ("failed", None) => Ok(Status::Failed(Reason::Invalid)),
        _ => Err(unreadable("operations.status")),
    }
}

pub(super) fn finished(state: &str, reason: Option<&str>, replays: i32) -> Result<EndedOperation, StoreError> {
    Ok(EndedOperation { status: status(state, reason)?, replays: u32::try_from(replays).unwrap_or_default() })
}

pub(super) fn kind(text: &str) -> Result<OperationKind, StoreError> {
    OperationKind::parse(text).ok_or_else(|| unreadable("operations.operation"))
}

pub(super) fn stamp(raw: i64) -> Result<Stamp, StoreError> {
    Stamp::new(raw).ok_or_else(|| unreadable("contacts.stamp"))
}

/// The details of a live row.
pub(super) fn details(name: Option<&str>, phone: Option<&str>, email: Option<&str>) -> Result<Details, StoreError> {
    let read = |column: &'static str| move |_invalid| unreadable(column);
    Ok(Details {
        name: Name::parse(name.unwrap_or_default()).map_err(read("contacts.name"))?,
        phone: Phone::parse(phone.unwrap_or_default()).map_err(read("contacts.phone"))?,
        email: Email::parse(email.unwrap_or_default()).map_err(read("contacts.email"))?,
    })
}

fn unreadable(column: &str) -> StoreError {
    StoreError::Misconfigured(format!("{column} holds a value this version does not know"))
}

/// A batch that shows whether one can be applied. It is always undone.
pub(super) fn probe() -> Result<Vec<Attempt>, StoreError> {
    let details = details(Some("probe"), Some("+5511900000000"), Some("probe@example.com"))?;
    let command = Command {
        operation_id: OperationId::new(Uuid::now_v7()),
        contact_id: ContactId::new(Uuid::now_v7()),
        stamp: Stamp::ZERO.next(),
        expects: None,
        accepted_at: Timestamp::default(),
        fingerprint: None,
        action: Action::Create(details),
    };
    Ok(vec![Attempt { command, replays: 0, last_attempt: false, must_fail: None }])
}

/// How a probe ends: with a failure, or undone.
pub(super) enum Probed {
    /// A batch could be applied.
    Undone,
    /// It could not.
    Failed(StoreError),
}

impl From<diesel::result::Error> for Probed {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Probed {
    /// What a transaction that never commits has shown.
    pub(super) fn result(ended: Result<std::convert::Infallible, Self>) -> Result<(), StoreError> {
        match ended {
            Ok(never) => match never {},
            Err(Self::Undone) => Ok(()),
            Err(Self::Failed(error)) => Err(error),
        }
    }
}

/// The contacts that a batch names, each once, in order: the order in which rows are locked.
pub(super) fn contact_ids(batch: &[Attempt]) -> Vec<ContactId> {
    sorted(batch.iter().map(|attempt| attempt.command.contact_id))
}

/// The operations that a batch names or expects, each once, in order.
pub(super) fn operation_ids(batch: &[Attempt]) -> Vec<OperationId> {
    sorted(batch.iter().flat_map(|attempt| [Some(attempt.command.operation_id), attempt.command.expects]).flatten())
}

fn sorted<T: Ord>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
