//! The meaning of the columns in both databases: converts them to and from domain types.

use super::StoreError;
use crate::domain::{
    Action, Attempt, ChangedMembers, Command, Contact, ContactId, Details, Email, EmailPatch, ErasedValues, ErasureKey,
    Erasures, Fingerprint, FinishedOperation, Lifecycle, MemberWrites, Name, NameKey, OperationId, OperationKind,
    Origin, Patch, Phone, Reason, SHORTEST_RETENTION, Stamp, Status, Timestamp, Write,
};
use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize};
use std::convert::Infallible;
use std::num::NonZeroU128;
use uuid::Uuid;

/// The columns `status` and `reason`.
pub(super) const fn status_text(status: Status) -> (&'static str, Option<&'static str>) {
    match status {
        Status::Applied => ("applied", None),
        Status::Superseded => ("superseded", None),
        Status::Failed(reason) => ("failed", Some(reason.as_str())),
    }
}

fn parse_status(status: &str, reason: Option<&str>) -> Result<Status, StoreError> {
    match (status, reason.and_then(Reason::parse)) {
        ("applied", _) => Ok(Status::Applied),
        ("superseded", _) => Ok(Status::Superseded),
        ("failed", Some(reason)) => Ok(Status::Failed(reason)),
        // A newer version wrote a reason that this version does not know. The operation failed in any case.
        ("failed", None) => Ok(Status::Failed(Reason::Invalid)),
        _ => Err(unreadable("operations.status")),
    }
}

pub(super) fn finished(status: &str, reason: Option<&str>, replays: i32) -> Result<FinishedOperation, StoreError> {
    let status = parse_status(status, reason)?;
    Ok(FinishedOperation { status, replays: u32::try_from(replays).unwrap_or_default() })
}

pub(super) fn kind(text: &str) -> Result<OperationKind, StoreError> {
    OperationKind::parse(text).ok_or_else(|| unreadable("operations.operation"))
}

/// The column `member_writes`: the last write of each member, as JSON. It also names the version that it belongs to: a
/// program without this column changes the version and leaves the text as it is.
#[derive(Serialize, Deserialize)]
struct MemberWritesText {
    version: Uuid,
    name: (i64, Uuid),
    phone: (i64, Uuid),
    email: (i64, Uuid),
}

pub(super) fn member_writes_text(contact: &Contact) -> Option<String> {
    let writes = contact.writes?;
    let pair = |(stamp, operation): Write| (stamp.raw(), operation.uuid());
    let text = MemberWritesText {
        version: contact.version.uuid(),
        name: pair(writes.name),
        phone: pair(writes.phone),
        email: pair(writes.email),
    };
    // Numbers and ids can always be written to memory.
    serde_json::to_string(&text).ok()
}

pub(super) fn member_writes(text: Option<&str>, version: OperationId) -> Result<Option<MemberWrites>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let read: MemberWritesText = serde_json::from_str(text).map_err(|_error| unreadable("contacts.member_writes"))?;
    if read.version != version.uuid() {
        return Ok(None);
    }
    let write = |(raw, operation)| Ok::<_, StoreError>((stamp(raw)?, OperationId::new(operation)));
    Ok(Some(MemberWrites { name: write(read.name)?, phone: write(read.phone)?, email: write(read.email)? }))
}

/// The columns `caller`, `trace_id` and `attempts`.
pub(super) fn origin(caller: Option<String>, trace_id: Option<Uuid>, attempts: Option<i32>) -> Origin {
    Origin {
        caller: caller.map(Into::into),
        trace_id: trace_id.and_then(|id| NonZeroU128::new(id.as_u128())),
        attempts: u32::try_from(attempts.unwrap_or_default()).unwrap_or_default(),
    }
}

pub(super) fn trace_id(origin: &Origin) -> Option<Uuid> {
    origin.trace_id.map(|id| Uuid::from_u128(id.get()))
}

pub(super) fn attempts(origin: &Origin) -> i32 {
    i32::try_from(origin.attempts).unwrap_or(i32::MAX)
}

/// The fingerprint to keep. That of an erased person is a digest of what was erased.
pub(super) fn fingerprint(command: &Command, status: Status) -> Option<Fingerprint> {
    command.fingerprint.filter(|_| status != Status::Failed(Reason::SubjectErased))
}

/// The column `changed`: a bit for each member.
pub(super) fn changed_bits(changed: ChangedMembers) -> i16 {
    i16::from(changed.name) | i16::from(changed.phone) << 1 | i16::from(changed.email) << 2
}

pub(super) const fn changed(bits: i16) -> ChangedMembers {
    ChangedMembers { name: bits & 1 != 0, phone: bits & 2 != 0, email: bits & 4 != 0 }
}

/// The column `old_values`: the values by member, as JSON. `null` is a contact without an address.
#[derive(Serialize, Deserialize)]
struct OldValuesText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    email: Option<Option<String>>,
}

/// A member that is there, also if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) fn old_values_text(values: &Patch) -> Option<String> {
    let text = OldValuesText {
        name: values.name.as_ref().map(|name| name.as_str().to_owned()),
        phone: values.phone.map(|phone| phone.to_string()),
        email: values.email.as_ref().map(|email| email.value().map(|email| email.as_str().to_owned())),
    };
    // Texts can always be written to memory.
    serde_json::to_string(&text).ok()
}

pub(super) fn old_values(text: &str) -> Result<Patch, StoreError> {
    let wrong = || unreadable("operations.old_values");
    let text: OldValuesText = serde_json::from_str(text).map_err(|_error| wrong())?;
    let email = |email: Option<String>| match email {
        Some(email) => Email::from_accepted(&email).map(EmailPatch::Set),
        None => Ok(EmailPatch::Remove),
    };
    Ok(Patch {
        name: text.name.as_deref().map(Name::from_accepted).transpose().map_err(|_invalid| wrong())?,
        phone: text.phone.as_deref().map(Phone::parse).transpose().map_err(|_invalid| wrong())?,
        email: text.email.map(email).transpose().map_err(|_invalid| wrong())?,
    })
}

/// The details of a live contact, from the columns of its row. Another program may have written values that cannot be read.
/// Then only the commands on this contact must fail.
pub(super) fn details(name: Option<&str>, phone: Option<&str>, email: Option<&str>) -> Result<Details, StoreError> {
    Details::from_accepted(name.unwrap_or_default(), phone.unwrap_or_default(), email)
        .map_err(|(field, _invalid)| StoreError::Rejected(unreadable_text(&format!("contacts.{field}"))))
}

pub(super) fn stamp(raw: i64) -> Result<Stamp, StoreError> {
    Stamp::new(raw).ok_or_else(|| unreadable("contacts.stamp"))
}

/// The lifecycle of a contact, from the columns of its row.
pub(super) fn lifecycle(
    deleted_at: Option<Timestamp>,
    name: Option<&str>,
    phone: Option<&str>,
    email: Option<&str>,
) -> Result<Lifecycle, StoreError> {
    if let Some(at) = deleted_at {
        return Ok(Lifecycle::Deleted { at });
    }
    details(name, phone, email).map(Lifecycle::Live)
}

/// The columns that a live contact fills and a tombstone leaves empty, and `deleted_at`.
pub(super) struct LifecycleColumns<'a> {
    pub(super) deleted_at: Option<Timestamp>,
    pub(super) name: Option<&'a str>,
    pub(super) name_key: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) ddd: Option<u8>,
    pub(super) email: Option<&'a str>,
}

impl<'a> LifecycleColumns<'a> {
    pub(super) fn new(life: &'a Lifecycle) -> Self {
        let (deleted_at, details) = match life {
            Lifecycle::Live(details) => (None, Some(details)),
            Lifecycle::Deleted { at } => (Some(*at), None),
        };
        Self {
            deleted_at,
            name: details.map(|details| details.name.as_str()),
            name_key: details.map(|details| NameKey::of(&details.name).into()),
            phone: details.map(|details| details.phone.to_string()),
            ddd: details.map(|details| details.phone.area().number()),
            email: details.and_then(|details| details.email.as_ref()).map(Email::as_str),
        }
    }
}

impl LifecycleColumns<'_> {
    /// The words of the name, with a space before each. Only SQLite has this column.
    pub(super) fn words(&self) -> Option<String> {
        self.name_key.as_deref().map(words_with_spaces)
    }
}

/// The words of a name, with a space before each.
pub(super) fn words_with_spaces(name_key: &str) -> String {
    NameKey::words_of(name_key).flat_map(|word| [" ", word]).collect()
}

/// The bytes of a new secret for the digests of erasures.
pub(super) fn new_erasure_secret() -> Result<Vec<u8>, StoreError> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| StoreError::Unavailable(format!("the system provides no random bytes: {error}")))?;
    Ok(secret)
}

/// The column `digests` of an erasure.
pub(super) fn erasure_digests(secret: &[u8], values: &ErasedValues) -> Vec<u8> {
    ErasureKey::new(secret).digests(values).concat()
}

/// The erasures of a batch, from their rows: the time and the digests of each.
pub(super) fn erasures(secret: &[u8], rows: impl IntoIterator<Item = (Timestamp, Vec<u8>)>) -> Erasures {
    let mut erasures = Erasures::new(ErasureKey::new(secret));
    for (erased_at, digests) in rows {
        erasures.add(erased_at, digests.as_chunks().0.iter().copied());
    }
    erasures
}

fn unreadable(column: &str) -> StoreError {
    StoreError::Misconfigured(unreadable_text(column))
}

fn unreadable_text(column: &str) -> String {
    format!("{column} has a value that this version does not know")
}

/// A batch that shows whether a batch can be applied. It is always rolled back. Its create is just old enough that a store
/// also reads the horizon. An older one would read more erasures than a usual batch.
pub(super) fn probe_batch() -> Result<Vec<Attempt>, StoreError> {
    let details = Details::parse("probe", "+5511900000000", None);
    let command = Command {
        operation_id: OperationId::new(Uuid::now_v7()),
        contact_id: ContactId::new(Uuid::now_v7()),
        stamp: Stamp::ZERO.next(),
        expects: None,
        accepted_at: chrono::Utc::now() - SHORTEST_RETENTION - TimeDelta::minutes(1),
        fingerprint: None,
        action: Action::Create(details.map_err(|(field, _invalid)| unreadable(&format!("contacts.{field}")))?),
    };
    Ok(vec![Attempt::new(command)])
}

/// The error that rolls back the transaction of a probe.
pub(super) enum ProbeRollback {
    /// The batch could be applied.
    Applied,
    /// The batch could not be applied.
    Failed(StoreError),
}

impl From<diesel::result::Error> for ProbeRollback {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl ProbeRollback {
    /// The result of a probe.
    pub(super) fn into_result(transaction: Result<Infallible, Self>) -> Result<(), StoreError> {
        match transaction {
            Ok(never) => match never {},
            Err(Self::Applied) => Ok(()),
            Err(Self::Failed(error)) => Err(error),
        }
    }
}

/// The contacts of a batch, without duplicates, in the order in which rows are locked.
pub(super) fn contact_ids(batch: &[Attempt]) -> Vec<ContactId> {
    sorted(batch.iter().map(|attempt| attempt.command.contact_id))
}

/// The operations that a batch contains or expects, without duplicates, in order.
pub(super) fn operation_ids(batch: &[Attempt]) -> Vec<OperationId> {
    sorted(batch.iter().flat_map(|attempt| [Some(attempt.command.operation_id), attempt.command.expects]).flatten())
}

fn sorted<T: Ord>(ids: impl Iterator<Item = T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Batch;

    #[test]
    fn a_probe_reads_the_horizon_and_only_the_last_erasures() {
        let (batch, now) = (probe_batch().unwrap(), chrono::Utc::now());
        let known = Batch::new([], []);
        assert!(known.needs_horizon(&batch, now));
        assert!(known.needs_erasures(&batch).unwrap() > now - SHORTEST_RETENTION * 2);
    }
}
