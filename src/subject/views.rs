//! The JSON of results. `docs/PRIVACY.md` describes it.

use super::erase::Erased;
use super::find::{Found, FoundDeadLetter, FoundOldValues, Waiting};
use super::matcher::MatchedBy;
use super::{Subject, SubjectError};
use crate::dlq::{DeadLetterLine, DeadLetterSummary};
use crate::domain::{ContactId, Name, OperationId, Phone, Reason, Status, Timestamp};
use crate::formats::{ContactView, OldValuesView};
use crate::message::{Message, decode};
use crate::store::{Operation, Store};
use serde::Serialize;
use std::collections::BTreeSet;

/// The version of the JSON of an export. A reader may rely on the members of a version; others may be added.
const SCHEMA: u32 = 1;

/// What a search does not read.
pub(super) const NOT_SEARCHED: [&str; 6] = [
    "messages that wait in the work queue and in the retry queue: they are only counted",
    "backups of the database, of the broker and of a data folder",
    "files of earlier exports, and archives of dlq-drain export",
    "old versions of rows and messages that PostgreSQL and RabbitMQ have not yet removed from their files",
    "copies in other systems: clients of the API, and browsers that show a contact",
    "queues of other services that take the events, and copies of programs that follow the changes",
];

/// What was searched for.
#[derive(Debug, Serialize)]
struct SubjectView {
    phones: Vec<String>,
    emails: Vec<String>,
    names: Vec<String>,
    contacts: Vec<String>,
}

impl SubjectView {
    fn new(subject: &Subject) -> Self {
        Self {
            phones: subject.phones.iter().map(Phone::to_string).collect(),
            emails: subject.emails.iter().map(|email| email.as_str().to_owned()).collect(),
            names: subject.names.iter().map(Name::as_str).map(str::to_owned).collect(),
            contacts: subject.contacts.iter().map(ContactId::to_string).collect(),
        }
    }
}

/// A dead-lettered message, without its body.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetterView {
    pub(super) id: String,
    pub(super) reason: String,
    pub(super) operation: String,
    contact_id: Option<String>,
    pub(super) last_failed_at: Option<Timestamp>,
    pub(super) matched_by: Vec<MatchedBy>,
}

impl DeadLetterView {
    fn new(found: &FoundDeadLetter) -> Self {
        let summary = DeadLetterSummary::of(&found.message);
        Self {
            id: summary.id,
            reason: summary.reason,
            operation: summary.operation,
            contact_id: summary.contact,
            last_failed_at: summary.last_failed,
            matched_by: found.matched_by.clone(),
        }
    }
}

/// An operation that keeps values of the person.
#[derive(Debug, Serialize)]
pub(super) struct FoundOldValuesView {
    pub(super) operation_id: String,
    pub(super) contact_id: String,
    pub(super) completed_at: Timestamp,
    pub(super) matched_by: Vec<MatchedBy>,
}

impl FoundOldValuesView {
    fn new(found: &FoundOldValues) -> Self {
        Self {
            operation_id: found.operation.id.to_string(),
            contact_id: found.operation.contact_id.to_string(),
            completed_at: found.operation.completed_at,
            matched_by: found.matched_by.clone(),
        }
    }
}

/// The result of a search.
#[derive(Debug, Serialize)]
pub struct FoundView {
    pub(super) contacts: Vec<ContactView>,
    pub(super) dead_letters: Vec<DeadLetterView>,
    pub(super) old_values: Vec<FoundOldValuesView>,
    pub(super) waiting: Waiting,
    not_searched: [&'static str; NOT_SEARCHED.len()],
}

impl From<&Found> for FoundView {
    fn from(found: &Found) -> Self {
        Self {
            contacts: found.contacts.iter().filter_map(ContactView::with_creator).collect(),
            dead_letters: found.dead_letters.iter().map(DeadLetterView::new).collect(),
            old_values: found.old_values.iter().map(FoundOldValuesView::new).collect(),
            waiting: found.waiting,
            not_searched: NOT_SEARCHED,
        }
    }
}

/// An operation of a contact or of a message.
#[derive(Debug, Serialize)]
struct OperationView {
    id: String,
    contact_id: String,
    operation: &'static str,
    status: &'static str,
    reason: Option<&'static str>,
    replays: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_values: Option<OldValuesView>,
    accepted_at: Timestamp,
    completed_at: Timestamp,
}

impl OperationView {
    fn new(operation: &Operation) -> Self {
        let (status, reason) = match operation.status {
            Status::Applied => ("applied", None),
            Status::Superseded => ("superseded", None),
            Status::Failed(reason) => ("failed", Some(reason)),
        };
        Self {
            id: operation.id.to_string(),
            contact_id: operation.contact_id.to_string(),
            operation: operation.kind.as_str(),
            status,
            reason: reason.map(Reason::as_str),
            replays: operation.replays,
            old_values: operation.old_values.as_ref().map(OldValuesView::new),
            accepted_at: operation.accepted_at,
            completed_at: operation.completed_at,
        }
    }
}

/// Everything that was found about a person.
#[derive(Serialize)]
pub struct ExportView {
    schema: u32,
    exported_at: Timestamp,
    searched: SubjectView,
    contacts: Vec<ContactView>,
    operations: Vec<OperationView>,
    dead_letters: Vec<DeadLetterLine>,
    waiting: Waiting,
    not_searched: [&'static str; NOT_SEARCHED.len()],
}

impl ExportView {
    /// Reads the operations of what was found.
    pub(super) fn read(store: &dyn Store, found: &Found) -> Result<Self, SubjectError> {
        let live = found.contacts.iter().map(|contact| contact.id);
        let named = found.subject.contacts.iter().copied();
        let contacts: BTreeSet<ContactId> = live.chain(found.deleted.iter().copied()).chain(named).collect();
        let contacts: Vec<ContactId> = contacts.into_iter().collect();
        let mut operations = match contacts.is_empty() {
            true => Vec::new(),
            false => store.operations_of(&contacts)?,
        };
        let operation_of = |message: &Message| -> Option<OperationId> {
            decode(&message.body).map(|command| command.operation_id).ok().or_else(|| message.id.parse().ok())
        };
        let of_messages: Vec<OperationId> =
            found.dead_letters.iter().filter_map(|found| operation_of(&found.message)).collect();
        operations.extend(store.operations(&of_messages)?);
        operations.extend(found.old_values.iter().map(|found| found.operation.clone()));
        operations.sort_by_key(|operation| (operation.accepted_at, operation.id));
        operations.dedup_by_key(|operation| operation.id);
        Ok(Self {
            schema: SCHEMA,
            exported_at: chrono::Utc::now(),
            searched: SubjectView::new(&found.subject),
            contacts: found.contacts.iter().filter_map(ContactView::with_creator).collect(),
            operations: operations.iter().map(OperationView::new).collect(),
            dead_letters: found.dead_letters.iter().map(|found| DeadLetterLine::of(&found.message)).collect(),
            waiting: found.waiting,
            not_searched: NOT_SEARCHED,
        })
    }

    /// How many contacts and dead-lettered messages it has.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.contacts.len(), self.dead_letters.len())
    }
}

/// How many values no earlier change brings back.
#[derive(Debug, Serialize)]
struct SuppressedView {
    contacts: usize,
    phones: usize,
    emails: usize,
}

/// The report of an erasure. It has no personal data, so it can be kept as a proof.
#[derive(Debug, Serialize)]
pub struct ErasedView {
    pub(super) erasure_id: String,
    pub(super) erased_at: Timestamp,
    pub(super) complete: bool,
    pub(super) contacts: Vec<String>,
    pub(super) dead_letters: usize,
    pub(super) old_values: usize,
    pub(super) undecodable: usize,
    later: usize,
    suppressed: SuppressedView,
    pub(super) not_suppressed: usize,
    pub(super) waiting: Waiting,
    pub(super) notes: Vec<String>,
    pub(super) not_reached: [&'static str; NOT_SEARCHED.len()],
}

impl From<&Erased> for ErasedView {
    fn from(erased: &Erased) -> Self {
        let values = &erased.erasure.values;
        Self {
            erasure_id: erased.erasure.id.to_string(),
            erased_at: erased.erasure.erased_at,
            complete: erased.is_complete,
            contacts: erased.contacts.iter().map(ContactId::to_string).collect(),
            dead_letters: erased.dead_letters,
            old_values: erased.old_values,
            undecodable: erased.undecodable,
            later: erased.later,
            suppressed: SuppressedView {
                contacts: values.contacts.len(),
                phones: values.phones.len(),
                emails: values.emails.len(),
            },
            not_suppressed: erased.shared,
            waiting: erased.waiting,
            notes: erased.notes.clone(),
            not_reached: NOT_SEARCHED,
        }
    }
}
