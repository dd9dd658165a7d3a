//! Erases a person.
//!
//! The order is: record the erasure, wait for the batches that have not seen it, then remove and search again until
//! nothing is found. From the record on, a consumer rejects what would return. A batch that runs at that time may still
//! write a contact; the search after it finds that contact.
//!
//! The contacts are deleted in the database directly, as a consumer applies a delete, and not through the queue: an erasure
//! must not wait behind a backlog or for a consumer that is stopped. A delete takes effect whatever comes before or after
//! it, so its place among the messages does not matter.

use super::find::{self, Found, FoundDeadLetter, Waiting, interrupted};
use super::matcher::Matcher;
use super::{Sources, Subject, SubjectError};
use crate::dlq::DeadLetterSummary;
use crate::domain::{
    Action, Attempt, Command, Contact, ContactId, Email, ErasedValues, Erasure, ErasureId, HybridClock, OperationId,
    Outcome, Phone, Timestamp,
};
use crate::message::{Message, decode};
use crate::queue::PACK_KIND;
use crate::store::StoreError;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many contacts to delete in one transaction.
const DELETES: usize = 500;
/// How many dead letters to remove in one step.
const REMOVALS: usize = 500;
/// How often to search and remove. Each pass finds only what arrived during the one before.
const MAX_PASSES: usize = 20;
/// How often to try a transaction that another one prevents.
const MAX_TRIES: u32 = 10;
/// How long to wait for the batches that run. A statement has a limit, so they end earlier.
const BATCH_WAIT: Duration = Duration::from_secs(120);

/// A consumer publishes dead letters after the transaction of their batch.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// The result of an erasure.
pub struct Erased {
    /// The erasure, with the values that it suppresses.
    pub(super) erasure: Erasure,
    pub(super) contacts: Vec<ContactId>,
    pub(super) dead_letters: usize,
    /// How many values of the contacts are not suppressed, because other contacts have them too.
    pub(super) shared: usize,
    pub(super) waiting: Waiting,
    /// What went wrong at the end.
    pub(super) notes: Vec<String>,
    /// Whether a last search found nothing.
    pub(super) is_complete: bool,
}

impl Erased {
    /// Whether nothing is left that can be reached.
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// Erases a person: everything that was accepted until now.
pub fn erase(sources: &mut Sources, subject: &Subject) -> Result<Erased, SubjectError> {
    let erased_at = now();
    let values = ErasedValues {
        contacts: subject.contacts.clone(),
        phones: subject.phones.clone(),
        emails: subject.emails.clone(),
    };
    let id = ErasureId::new(Uuid::now_v7());
    let mut erased = Erased {
        erasure: Erasure { id, erased_at, values },
        contacts: Vec::new(),
        dead_letters: 0,
        shared: 0,
        waiting: Waiting::default(),
        notes: Vec::new(),
        is_complete: false,
    };
    let result = erased.run(sources, subject);
    // The proof, also of an erasure that was stopped. It has no personal data.
    tracing::info!(
        erasure_id = %erased.erasure.id,
        contacts = erased.contacts.len(),
        dead_letters = erased.dead_letters,
        complete = erased.is_complete,
        "person erased"
    );
    result.map(|()| erased)
}

impl Erased {
    fn run(&mut self, sources: &mut Sources, subject: &Subject) -> Result<(), SubjectError> {
        let mut recorded = None;
        for _ in 0..MAX_PASSES {
            if sources.stop.is_set() {
                return Err(interrupted().into());
            }
            let wanted = Subject { contacts: self.erasure.values.contacts.clone(), ..subject.clone() };
            let found = self.without_later(find::find(sources, &wanted)?);
            self.add_values(sources, &found)?;
            if recorded.as_ref() != Some(&self.erasure.values) {
                retry(sources, |sources| sources.store.record_erasure(&self.erasure))?;
                recorded = Some(self.erasure.values.clone());
                wait_for_batches(sources)?;
                continue;
            }
            let (packs, messages): (Vec<_>, Vec<_>) =
                found.dead_letters.iter().partition(|found| found.message.kind == PACK_KIND);
            if found.contacts.is_empty() && messages.is_empty() {
                self.is_complete = packs.is_empty();
                self.notes.extend(packs.iter().map(|found| pack_note(&found.message)));
                break;
            }
            // The messages first: after the contacts are deleted, nothing else shows that a message belongs to them.
            let matcher = Matcher::new(&find::with_contacts(&wanted, &found.contacts));
            self.dead_letters += discard(sources, &matcher, self.erasure.erased_at)?;
            self.delete(sources, &found.contacts)?;
        }
        self.purge_files(sources);
        self.waiting = find::waiting(sources)?;
        Ok(())
    }

    /// Without what was accepted after the erasure began.
    fn without_later(&self, mut found: Found) -> Found {
        let erased_at = self.erasure.erased_at;
        found.contacts.retain(|contact| contact.created_at <= erased_at);
        found.dead_letters.retain(|found| !is_later(&found.message, erased_at));
        found
    }

    /// Adds the ids and values that were found. A value that another contact has too is not suppressed: that other person
    /// may have changes on the way.
    fn add_values(&mut self, sources: &Sources, found: &Found) -> Result<(), SubjectError> {
        let values = &mut self.erasure.values;
        for contact in &found.contacts {
            if !values.contacts.contains(&contact.id) {
                values.contacts.push(contact.id);
            }
        }
        let (mut phones, mut emails): (Vec<Phone>, Vec<Email>) = (Vec::new(), Vec::new());
        for details in found.contacts.iter().filter_map(Contact::details) {
            phones.push(details.phone);
            emails.extend(details.email.clone());
        }
        for FoundDeadLetter { message, .. } in &found.dead_letters {
            match decode(&message.body).map(|command| command.action) {
                Ok(Action::Create(details) | Action::Update(details)) => {
                    phones.push(details.phone);
                    emails.extend(details.email);
                }
                Ok(Action::Patch(patch)) => {
                    phones.extend(patch.phone);
                    emails.extend(patch.email.and_then(|email| email.value().cloned()));
                }
                Ok(Action::Delete) | Err(_) => {}
            }
        }
        let is_shared = |subject: Subject| {
            let others = find::contacts(&*sources.store, &subject)?;
            Ok::<_, SubjectError>(others.iter().any(|other| !found.contacts.iter().any(|known| known.id == other.id)))
        };
        let mut shared = 0;
        for (index, phone) in phones.iter().enumerate() {
            if values.phones.contains(phone) || phones.iter().take(index).any(|earlier| earlier == phone) {
                continue;
            }
            match is_shared(Subject { phones: vec![*phone], ..Subject::default() })? {
                true => shared += 1,
                false => values.phones.push(*phone),
            }
        }
        for (index, email) in emails.iter().enumerate() {
            if values.emails.contains(email) || emails.iter().take(index).any(|earlier| earlier == email) {
                continue;
            }
            match is_shared(Subject { emails: vec![email.clone()], ..Subject::default() })? {
                true => shared += 1,
                false => values.emails.push(email.clone()),
            }
        }
        self.shared = self.shared.max(shared);
        Ok(())
    }

    /// Deletes the contacts, with an operation for each. A contact that was deleted meanwhile is superseded.
    fn delete(&mut self, sources: &Sources, contacts: &[Contact]) -> Result<(), SubjectError> {
        let clock = HybridClock::default();
        for contacts in contacts.chunks(DELETES) {
            let now = now();
            let attempt = |contact: &Contact| Attempt {
                command: Command {
                    operation_id: OperationId::new(Uuid::now_v7()),
                    contact_id: contact.id,
                    stamp: clock.stamp(now.timestamp_millis()),
                    expects: None,
                    accepted_at: now,
                    fingerprint: None,
                    action: Action::Delete,
                },
                replays: 0,
                last_attempt: false,
                must_fail: None,
            };
            let batch: Vec<Attempt> = contacts.iter().map(attempt).collect();
            let outcomes = retry(sources, |sources| sources.store.apply(&batch))?;
            let applied = contacts.iter().zip(outcomes).filter(|(_, outcome)| *outcome == Outcome::Applied);
            self.contacts.extend(applied.map(|(contact, _)| contact.id));
        }
        Ok(())
    }

    /// Removes from the files of a standalone what deleted rows leave there.
    fn purge_files(&mut self, sources: &Sources) {
        let results = [
            retry(sources, |sources| sources.store.purge_files()),
            sources.dead_letters.purge_files().map_err(SubjectError::from),
        ];
        for error in results.into_iter().filter_map(Result::err) {
            self.is_complete = false;
            self.notes.push(format!("a file may still contain deleted data: {error}"));
        }
    }
}

/// The current time in whole microseconds, the precision of every store.
fn now() -> Timestamp {
    let now = chrono::Utc::now();
    Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// Whether a message was accepted after this time: it is a new request.
fn is_later(message: &Message, erased_at: Timestamp) -> bool {
    decode(&message.body).is_ok_and(|command| command.accepted_at > erased_at)
}

/// What the operator does about a pack: only a consumer can separate its changes.
fn pack_note(message: &Message) -> String {
    let id = DeadLetterSummary::of(message).id;
    format!(
        "the dead-lettered pack {id} also has changes of other people: run `contacts dlq-drain replay --id {id}`, which drops \
         what is erased, then run this command again"
    )
}

/// Waits until all batches have ended that run now. Later batches see the erasure.
fn wait_for_batches(sources: &Sources) -> Result<(), SubjectError> {
    let started = Instant::now();
    let mut running = retry(sources, |sources| sources.store.running_batches())?;
    while !running.is_empty() {
        if sources.stop.sleep(Duration::from_millis(100)) {
            return Err(interrupted().into());
        }
        if started.elapsed() > BATCH_WAIT {
            return Err(SubjectError::Failed(
                "a transaction of a consumer does not end; the erasure is recorded, nothing is removed: run it again"
                    .into(),
            ));
        }
        let now = retry(sources, |sources| sources.store.running_batches())?;
        running.retain(|batch| now.contains(batch));
    }
    match sources.stop.sleep(SETTLE_WAIT) {
        true => Err(interrupted().into()),
        false => Ok(()),
    }
}

/// Removes the matching messages from the dead letter queue. Returns how many.
fn discard(sources: &Sources, matcher: &Matcher, erased_at: Timestamp) -> Result<usize, SubjectError> {
    let mut removed = 0;
    sources.dead_letters.browse(&mut |browser| {
        let mut tags = Vec::new();
        while let Some(dead_letter) = browser.next()? {
            if sources.stop.is_set() {
                return Err(interrupted());
            }
            let message = &dead_letter.message;
            let is_pack = message.kind == PACK_KIND;
            if !is_pack && !matcher.matches(message).is_empty() && !is_later(message, erased_at) {
                browser.mark_for_removal();
                tags.push(dead_letter.tag);
            }
        }
        for batch in tags.chunks(REMOVALS) {
            browser.remove(batch)?;
            removed += batch.len();
        }
        Ok(())
    })?;
    Ok(removed)
}

/// Tries again while another transaction prevents a change.
fn retry<T>(sources: &Sources, mut work: impl FnMut(&Sources) -> Result<T, StoreError>) -> Result<T, SubjectError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match work(sources) {
            Err(StoreError::Unavailable(_)) if tries < MAX_TRIES => {
                if sources.stop.sleep(Duration::from_millis(50) * tries) {
                    return Err(interrupted().into());
                }
            }
            result => return Ok(result?),
        }
    }
}
