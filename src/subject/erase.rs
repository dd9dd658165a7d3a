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
use super::matcher::{Matcher, values_of};
use super::{Sources, Subject, SubjectError};
use crate::dlq::DeadLetterSummary;
use crate::domain::{
    Action, Attempt, Command, Contact, ContactId, Email, ErasedValues, Erasure, ErasureId, HybridClock, NameKey,
    OperationId, Outcome, Phone, Timestamp,
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
/// The caller of the deletes. No API key has such a name.
const CALLER: &str = "contacts subject";
/// How long to wait for the batches that run. A statement has a limit, so they end earlier.
const BATCH_WAIT: Duration = Duration::from_secs(120);

/// A message that is dropped later leaves its data in the pages that the file of the queue no longer uses.
const WAITING_NOTE: &str = "messages of the person that wait will change nothing, but the file of the queue may keep their \
                            data: run this command again when the queues are empty";

/// A consumer publishes dead letters after the transaction of their batch.
const SETTLE_WAIT: Duration = Duration::from_secs(1);

/// The result of an erasure.
pub struct Erased {
    /// The erasure, with the values that it suppresses.
    pub(super) erasure: Erasure,
    pub(super) contacts: Vec<ContactId>,
    pub(super) dead_letters: usize,
    /// How many operations kept something about the person.
    pub(super) old_values: usize,
    /// How many of the dead letters could not be decoded: their text named the person.
    pub(super) undecodable: usize,
    /// How many contacts and dead letters of the first search were left out, because they are later than the erasure.
    pub(super) later: usize,
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
    // A producer whose clock is ahead of this one stamps what exists already with a later time.
    let erased_at = now().max(whole_micros(retry(sources, |sources| sources.store.now())?));
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
        old_values: 0,
        undecodable: 0,
        later: 0,
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
        old_values = erased.old_values,
        complete = erased.is_complete,
        "person erased"
    );
    result.map(|()| erased)
}

impl Erased {
    fn run(&mut self, sources: &mut Sources, subject: &Subject) -> Result<(), SubjectError> {
        let mut recorded = None;
        for _ in 0..MAX_PASSES {
            let found = self.search(sources, subject, recorded.is_none())?;
            if recorded.as_ref() != Some(&self.erasure.values) {
                retry(sources, |sources| sources.store.record_erasure(&self.erasure))?;
                recorded = Some(self.erasure.values.clone());
                wait_for_batches(sources)?;
                continue;
            }
            let (packs, messages): (Vec<_>, Vec<_>) =
                found.dead_letters.iter().partition(|found| found.message.kind == PACK_KIND);
            if found.contacts.is_empty() && messages.is_empty() {
                self.is_complete = packs.is_empty() && self.later == 0;
                self.notes.extend(packs.iter().map(|found| pack_note(&found.message)));
                break;
            }
            // The messages first: after the contacts are deleted, nothing else shows that a message belongs to them.
            self.discard(sources, &Matcher::new(&self.wanted(subject)))?;
            self.erase_history(sources, subject)?;
            self.delete(sources, &found.contacts)?;
        }
        self.erase_history(sources, subject)?;
        if self.later > 0 {
            self.notes.push(later_note(self.later));
        }
        let has_files = self.purge_files(sources);
        self.waiting = find::waiting(sources)?;
        if has_files && self.waiting.work + self.waiting.retry > 0 {
            self.notes.push(WAITING_NOTE.into());
        }
        Ok(())
    }

    /// Erases what operations keep. Once before the contacts are deleted: after it, an erasure that was interrupted finds no
    /// trace of them. Once after it, when no batch adds more.
    fn erase_history(&mut self, sources: &Sources, subject: &Subject) -> Result<(), SubjectError> {
        let matcher = Matcher::new(&self.wanted(subject));
        let found = retry(sources, |sources| find::old_values(sources, &matcher))?;
        let operations: Vec<OperationId> = found.iter().map(|found| found.operation.id).collect();
        let contacts = &self.erasure.values.contacts;
        self.old_values += retry(sources, |sources| sources.store.erase_history(contacts, &operations))?;
        Ok(())
    }

    /// The person, with all ids and values that were found.
    fn wanted(&self, subject: &Subject) -> Subject {
        let ErasedValues { contacts, phones, emails } = self.erasure.values.clone();
        Subject { names: subject.names.clone(), phones, emails, contacts }
    }

    /// Searches with the values that were given and found, until no more contacts are found. Adds what was found to the
    /// record.
    fn search(&mut self, sources: &mut Sources, subject: &Subject, is_first: bool) -> Result<Found, SubjectError> {
        loop {
            if sources.stop.is_set() {
                return Err(interrupted().into());
            }
            let wanted = self.wanted(subject);
            let all = find::find(sources, &wanted)?;
            let known: Vec<ContactId> = all.contacts.iter().map(|contact| contact.id).collect();
            let count = |found: &Found| found.contacts.len() + found.dead_letters.len();
            let all_count = count(&all);
            let found = self.without_later(all, subject);
            if is_first {
                self.later = all_count - count(&found);
            }
            if !self.add_contacts(sources, &found)? {
                self.add_values(sources, &known, &found, &Matcher::new(&wanted))?;
                return Ok(found);
            }
        }
    }

    /// Without what was accepted after the erasure began. Somebody else may take a value that was only found.
    fn without_later(&self, mut found: Found, subject: &Subject) -> Found {
        let Erasure { erased_at, values, .. } = &self.erasure;
        let is_named = |contact: &Contact| {
            values.contacts.contains(&contact.id)
                || contact.details().is_some_and(|details| {
                    subject.phones.contains(&details.phone)
                        || details.email.as_ref().is_some_and(|email| has_email(&subject.emails, email))
                        || subject.names.iter().any(|name| NameKey::of(name) == NameKey::of(&details.name))
                })
        };
        found.contacts.retain(|contact| {
            contact.created_at <= *erased_at && (contact.updated_at <= *erased_at || is_named(contact))
        });
        found.dead_letters.retain(|found| !is_later(&found.message, &self.erasure));
        found
    }

    /// Adds the ids of the contacts, also of those that only a message or an operation names: their create was perhaps never
    /// applied, or they are deleted. A live contact that was not found belongs to somebody else. Returns whether there was a new one.
    fn add_contacts(&mut self, sources: &Sources, found: &Found) -> Result<bool, SubjectError> {
        let mut is_new = false;
        let mut add = |values: &mut ErasedValues, id| {
            values.contacts.push(id);
            is_new = true;
        };
        let values = &mut self.erasure.values;
        for contact in &found.contacts {
            if !values.contacts.contains(&contact.id) {
                add(values, contact.id);
            }
        }
        let of_messages = found.dead_letters.iter().filter_map(|found| decode(&found.message.body).ok());
        let of_operations = found.old_values.iter().map(|found| found.operation.contact_id);
        for contact_id in of_messages.map(|command| command.contact_id).chain(of_operations) {
            if values.contacts.contains(&contact_id) {
                continue;
            }
            let is_live = sources.store.contact(contact_id)?.is_some_and(|contact| contact.details().is_some());
            if !is_live {
                add(values, contact_id);
            }
        }
        Ok(is_new)
    }

    /// Adds the numbers and addresses that were found. A value that another contact or a message of other people has too is
    /// not suppressed: they may have changes on the way.
    fn add_values(
        &mut self,
        sources: &Sources,
        known: &[ContactId],
        found: &Found,
        matcher: &Matcher,
    ) -> Result<(), SubjectError> {
        let values = &mut self.erasure.values;
        let (mut phones, mut emails): (Vec<Phone>, Vec<Email>) = (Vec::new(), Vec::new());
        let mut add = |phone: Option<Phone>, email: Option<&Email>| {
            phones.extend(phone.filter(|phone| !values.phones.contains(phone) && !phones.contains(phone)));
            let is_new = |email: &&Email| !has_email(&values.emails, email) && !has_email(&emails, email);
            let email = email.filter(is_new).cloned();
            emails.extend(email);
        };
        for details in found.contacts.iter().filter_map(Contact::details) {
            add(Some(details.phone), details.email.as_ref());
        }
        for FoundDeadLetter { message, .. } in &found.dead_letters {
            if let Ok(command) = decode(&message.body) {
                // The other values of a change of somebody else's contact are theirs.
                if values.contacts.contains(&command.contact_id) {
                    let (_, phone, email) = values_of(&command.action);
                    add(phone, email);
                }
            }
        }
        if phones.is_empty() && emails.is_empty() {
            return Ok(());
        }
        let (other_phones, other_emails) = values_of_others(sources, matcher, &phones, &emails)?;
        let is_shared = |subject: Subject| {
            let others = find::contacts(&*sources.store, &subject)?;
            Ok::<_, SubjectError>(others.iter().any(|other| !known.contains(&other.id)))
        };
        let mut shared = 0;
        for phone in phones {
            let subject = Subject { phones: vec![phone], ..Subject::default() };
            match other_phones.contains(&phone) || is_shared(subject)? {
                true => shared += 1,
                false => values.phones.push(phone),
            }
        }
        for email in emails {
            let subject = Subject { emails: vec![email.clone()], ..Subject::default() };
            match has_email(&other_emails, &email) || is_shared(subject)? {
                true => shared += 1,
                false => values.emails.push(email),
            }
        }
        self.shared = self.shared.max(shared);
        Ok(())
    }

    /// Removes the matching messages from the dead letter queue.
    fn discard(&mut self, sources: &Sources, matcher: &Matcher) -> Result<(), SubjectError> {
        let erasure = &self.erasure;
        sources.dead_letters.browse(&mut |browser| {
            let mut tags = Vec::new();
            while let Some(dead_letter) = browser.next()? {
                if sources.stop.is_set() {
                    return Err(interrupted());
                }
                let message = &dead_letter.message;
                let is_pack = message.kind == PACK_KIND;
                if !is_pack && !matcher.matches(message).is_empty() && !is_later(message, erasure) {
                    browser.mark_for_removal();
                    tags.push((dead_letter.tag, decode(&message.body).is_err()));
                }
            }
            for batch in tags.chunks(REMOVALS) {
                let removed: Vec<_> = batch.iter().map(|(tag, _)| *tag).collect();
                browser.remove(&removed)?;
                self.dead_letters += batch.len();
                self.undecodable += batch.iter().filter(|(_, is_undecodable)| *is_undecodable).count();
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Deletes the contacts, with an operation for each. A contact that was deleted meanwhile is superseded.
    fn delete(&mut self, sources: &Sources, contacts: &[Contact]) -> Result<(), SubjectError> {
        let clock = HybridClock::default();
        for contacts in contacts.chunks(DELETES) {
            let now = now();
            let command = |contact: &Contact| Command {
                operation_id: OperationId::new(Uuid::now_v7()),
                contact_id: contact.id,
                stamp: clock.stamp(now.timestamp_millis()),
                expects: None,
                accepted_at: now,
                fingerprint: None,
                action: Action::Delete,
            };
            let attempt = |contact: &Contact| {
                let mut attempt = Attempt::new(command(contact));
                attempt.origin.caller = Some(CALLER.into());
                attempt
            };
            let batch: Vec<Attempt> = contacts.iter().map(attempt).collect();
            let outcomes = retry(sources, |sources| sources.store.apply(&batch))?;
            let applied = contacts.iter().zip(outcomes).filter(|(_, outcome)| *outcome == Outcome::Applied);
            self.contacts.extend(applied.map(|(contact, _)| contact.id));
        }
        Ok(())
    }

    /// Removes from the files of a standalone what deleted rows leave there. Returns whether there are such files.
    fn purge_files(&mut self, sources: &Sources) -> bool {
        let queue = sources.dead_letters.purge_files();
        let has_files = !matches!(queue, Ok(false));
        let results =
            [retry(sources, |sources| sources.store.purge_files()), queue.map(|_| ()).map_err(SubjectError::from)];
        for error in results.into_iter().filter_map(Result::err) {
            self.is_complete = false;
            self.notes.push(format!("a file may still contain deleted data: {error}"));
        }
        has_files
    }
}

/// The current time in whole microseconds, the precision of every store.
fn now() -> Timestamp {
    whole_micros(chrono::Utc::now())
}

fn whole_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// Whether a message was accepted after the erasure: it is a new request. A pack has changes of several times. A change of
/// an erased contact is no new request: its id is never used again.
fn is_later(message: &Message, erasure: &Erasure) -> bool {
    let is_of_erased = || {
        decode(&message.body)
            .is_ok_and(|command| command.is_change() && erasure.values.contacts.contains(&command.contact_id))
    };
    message.kind != PACK_KIND
        && message.accepted_at().is_some_and(|accepted_at| accepted_at > erasure.erased_at)
        && !is_of_erased()
}

/// Addresses are compared without upper and lower case, as in a search.
fn has_email(emails: &[Email], wanted: &Email) -> bool {
    let wanted = wanted.as_str().to_lowercase();
    emails.iter().any(|email| email.as_str().to_lowercase() == wanted)
}

/// Which of these values the commands of other people in the dead letter queue have.
fn values_of_others(
    sources: &Sources,
    matcher: &Matcher,
    phones: &[Phone],
    emails: &[Email],
) -> Result<(Vec<Phone>, Vec<Email>), SubjectError> {
    let (mut other_phones, mut other_emails) = (Vec::new(), Vec::new());
    sources.dead_letters.browse(&mut |browser| {
        while let Some(dead_letter) = browser.next()? {
            if sources.stop.is_set() {
                return Err(interrupted());
            }
            let Ok(command) = decode(&dead_letter.message.body) else { continue };
            if !matcher.matches(&dead_letter.message).is_empty() {
                continue;
            }
            let (_, phone, email) = values_of(&command.action);
            other_phones.extend(phone.filter(|phone| phones.contains(phone)));
            other_emails.extend(email.filter(|email| has_email(emails, email)).cloned());
        }
        Ok(())
    })?;
    Ok((other_phones, other_emails))
}

/// What the operator does about data that looks later than the erasure.
fn later_note(later: usize) -> String {
    format!(
        "{later} of the contacts and messages that the first search found have a later time than the erasure: they may be new \
         requests, or a clock is wrong. Check the clocks, then run this command again"
    )
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

/// Tries again while another transaction prevents a change.
fn retry<T, E: Into<SubjectError>>(
    sources: &Sources,
    mut work: impl FnMut(&Sources) -> Result<T, E>,
) -> Result<T, SubjectError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match work(sources).map_err(Into::into) {
            Err(SubjectError::Store(StoreError::Unavailable(_) | StoreError::Locked(_))) if tries < MAX_TRIES => {
                if sources.stop.sleep(Duration::from_millis(50) * tries) {
                    return Err(interrupted().into());
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Details, Lifecycle, Name, Stamp};

    /// Between two passes, somebody else may take a number that the erasure only found.
    #[test]
    fn a_contact_that_took_a_found_value_later_stays() {
        let at = |seconds| Timestamp::from_timestamp(seconds, 0).unwrap();
        let (named, found) = (Phone::parse("11987654321").unwrap(), Phone::parse("11912345678").unwrap());
        let contact = |number, phone, updated_at| Contact {
            id: ContactId::new(Uuid::from_u128(number)),
            version: OperationId::new(Uuid::from_u128(number)),
            stamp: Stamp::ZERO,
            writes: None,
            created_by: OperationId::new(Uuid::from_u128(number)),
            created_at: at(10),
            updated_at: at(updated_at),
            life: Lifecycle::Live(Details { name: Name::parse("Ana").unwrap(), phone, email: None }),
        };
        let contacts = vec![contact(1, named, 60), contact(2, found, 60), contact(3, found, 40), contact(4, found, 60)];
        let recorded = contacts[3].id;
        let values = ErasedValues { contacts: vec![recorded], phones: vec![named, found], ..ErasedValues::default() };
        let erased = Erased {
            erasure: Erasure { id: ErasureId::new(Uuid::nil()), erased_at: at(50), values },
            contacts: Vec::new(),
            dead_letters: 0,
            old_values: 0,
            undecodable: 0,
            later: 0,
            shared: 0,
            waiting: Waiting::default(),
            notes: Vec::new(),
            is_complete: false,
        };
        let subject = Subject { phones: vec![named], ..Subject::default() };
        let all = Found {
            subject: subject.clone(),
            contacts,
            dead_letters: Vec::new(),
            old_values: Vec::new(),
            deleted: Vec::new(),
            waiting: Waiting::default(),
        };
        let kept = erased.without_later(all, &subject).contacts;
        let kept: Vec<u128> = kept.iter().map(|contact| contact.id.uuid().as_u128()).collect();
        assert_eq!(kept, [1, 3, 4]);
    }
}
