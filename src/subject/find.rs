//! Finds a person: contacts in SQL, messages in the dead letter queue. The messages of the other queues are only counted,
//! because a queue cannot be read without taking its messages.

use super::matcher::{MatchedBy, Matcher};
use super::{Sources, Subject, SubjectError};
use crate::domain::{Contact, ContactId, Name, NameKey};
use crate::message::Message;
use crate::queue::{QueueError, QueueKind};
use crate::store::{Filter, ListPosition, Operation, Sort, SortKey, Store};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How many contacts to read in one query.
const PAGE: u32 = 500;

/// The messages that wait in the queues that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Waiting {
    pub(super) work: u64,
    pub(super) retry: u64,
}

/// A message of the dead letter queue that has a value of the person.
pub(super) struct FoundDeadLetter {
    pub(super) message: Message,
    pub(super) matched_by: Vec<MatchedBy>,
}

/// An operation that keeps values of the person.
pub(super) struct FoundOldValues {
    pub(super) operation: Operation,
    pub(super) matched_by: Vec<MatchedBy>,
}

/// What is stored about a person.
pub struct Found {
    pub(super) subject: Subject,
    /// Live contacts, ordered by id.
    pub(super) contacts: Vec<Contact>,
    /// In the order of the queue.
    pub(super) dead_letters: Vec<FoundDeadLetter>,
    /// Operations that keep old values (`history.values`).
    pub(super) old_values: Vec<FoundOldValues>,
    /// Contacts that only old values name, and that are not live any more.
    pub(super) deleted: Vec<ContactId>,
    pub(super) waiting: Waiting,
}

/// Finds everything that can be reached about a person.
pub fn find(sources: &mut Sources, subject: &Subject) -> Result<Found, SubjectError> {
    let contacts = contacts(&*sources.store, subject)?;
    // A message with a change of a contact belongs to the person, also if it has no value that is searched.
    let with_contacts = with_contacts(subject, &contacts);
    let matcher = Matcher::new(&with_contacts);
    let dead_letters = dead_letters(sources, &matcher)?;
    let (old_values, deleted) = old_values_of(sources, &with_contacts)?;
    let waiting = waiting(sources)?;
    Ok(Found { subject: subject.clone(), contacts, dead_letters, old_values, deleted, waiting })
}

/// The person, with the ids of these contacts.
pub(super) fn with_contacts(subject: &Subject, contacts: &[Contact]) -> Subject {
    let mut subject = subject.clone();
    subject.contacts.extend(contacts.iter().map(|contact| contact.id));
    subject.contacts.sort_unstable();
    subject.contacts.dedup();
    subject
}

/// The live contacts that have one of the values.
pub(super) fn contacts(store: &dyn Store, subject: &Subject) -> Result<Vec<Contact>, SubjectError> {
    let mut found: BTreeMap<ContactId, Contact> = BTreeMap::new();
    let mut add = |contacts: Vec<Contact>| found.extend(contacts.into_iter().map(|contact| (contact.id, contact)));
    for phone in &subject.phones {
        add(all(store, &Filter { phone: Some(*phone), ..Filter::default() }, None, |_| true)?);
    }
    for email in &subject.emails {
        add(all(store, &Filter { email: Some(email.clone()), ..Filter::default() }, None, |_| true)?);
    }
    for name in &subject.names {
        add(with_name(store, name)?);
    }
    for id in &subject.contacts {
        add(store.contact(*id)?.into_iter().filter(|contact| contact.details().is_some()).collect());
    }
    Ok(found.into_values().collect())
}

/// All contacts of a list from a position on, while `wanted` is true.
fn all(
    store: &dyn Store,
    filter: &Filter,
    mut after: Option<ListPosition>,
    wanted: impl Fn(&Contact) -> bool,
) -> Result<Vec<Contact>, SubjectError> {
    let mut found = Vec::new();
    loop {
        let page = store.contacts(filter, after.as_ref(), PAGE)?;
        let is_last = page.len() < PAGE as usize || !page.last().is_some_and(&wanted);
        after = page.last().map(|last| filter.position_of(last));
        found.extend(page.into_iter().take_while(|contact| wanted(contact)));
        if is_last {
            return Ok(found);
        }
    }
}

/// The contacts with this name. They are adjacent in the list by name.
fn with_name(store: &dyn Store, name: &Name) -> Result<Vec<Contact>, SubjectError> {
    let key = NameKey::of(name);
    let by_name = Filter { sort: Some(Sort::Name), ..Filter::default() };
    let before = ListPosition { key: Some(SortKey::Name(key.clone())), id: ContactId::new(Uuid::nil()) };
    let has_name = |contact: &Contact| contact.details().is_some_and(|details| NameKey::of(&details.name) == key);
    all(store, &by_name, Some(before), has_name)
}

fn dead_letters(sources: &Sources, matcher: &Matcher) -> Result<Vec<FoundDeadLetter>, SubjectError> {
    let mut found = Vec::new();
    sources.dead_letters.browse(&mut |browser| {
        let console = sources.console.as_ref();
        let progress = console.map(|console| console.progress("reading the dead letter queue", browser.total()));
        while let Some(dead_letter) = browser.next()? {
            if sources.stop.is_set() {
                return Err(interrupted());
            }
            progress.iter().for_each(|progress| progress.advance(1));
            let matched_by = matcher.matches(&dead_letter.message);
            if !matched_by.is_empty() {
                found.push(FoundDeadLetter { message: dead_letter.message, matched_by });
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// The operations that keep values of the person, and the contacts that are known only by them. Of a live contact of somebody
/// else, only the values of the person are among them.
fn old_values_of(sources: &Sources, subject: &Subject) -> Result<(Vec<FoundOldValues>, Vec<ContactId>), SubjectError> {
    let mut subject = subject.clone();
    let mut deleted = Vec::new();
    let mut found = old_values(sources, &Matcher::new(&subject))?;
    for FoundOldValues { operation: Operation { contact_id, .. }, .. } in &found {
        let is_known = subject.contacts.contains(contact_id) || deleted.contains(contact_id);
        let is_live = |contact: Contact| contact.details().is_some();
        if !is_known && !sources.store.contact(*contact_id)?.is_some_and(is_live) {
            deleted.push(*contact_id);
        }
    }
    if !deleted.is_empty() {
        subject.contacts.extend(&deleted);
        found = old_values(sources, &Matcher::new(&subject))?;
    }
    let matcher = Matcher::new(&subject);
    for FoundOldValues { operation, matched_by } in &mut found {
        if !matched_by.contains(&MatchedBy::Contact) {
            operation.old_values = operation.old_values.take().map(|old| matcher.only_matching(old));
        }
    }
    Ok((found, deleted))
}

pub(super) fn old_values(sources: &Sources, matcher: &Matcher) -> Result<Vec<FoundOldValues>, SubjectError> {
    let mut found = Vec::new();
    sources.store.old_values(&mut |operation| {
        if let Some(old) = &operation.old_values {
            let matched_by = matcher.matches_old_values(operation.contact_id, old);
            if !matched_by.is_empty() {
                found.push(FoundOldValues { operation, matched_by });
            }
        }
        !sources.stop.is_set()
    })?;
    // A part of what was found would look like all of it.
    if sources.stop.is_set() { Err(interrupted().into()) } else { Ok(found) }
}

/// The error that ends a browse.
pub(super) fn interrupted() -> QueueError {
    QueueError::Lost("interrupted".into())
}

pub(super) fn waiting(sources: &mut Sources) -> Result<Waiting, SubjectError> {
    let backlogs = sources.monitor.backlogs()?;
    let count =
        |wanted| backlogs.iter().filter(|(queue, _)| *queue == wanted).map(|(_, backlog)| backlog.messages).sum();
    Ok(Waiting { work: count(QueueKind::Work), retry: count(QueueKind::Retry) })
}
