//! Erasures: what must not return after a person was erased.
//!
//! An erasure keeps no personal data. It has keyed digests of the contacts, phone numbers and e-mail addresses. A command
//! is compared with them by its own digests.

use super::{Action, Command, ContactId, Email, EmailPatch, ErasureId, Phone, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;

/// The values of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasedValues {
    /// The ids of the contacts.
    pub contacts: Vec<ContactId>,
    /// The phone numbers.
    pub phones: Vec<Phone>,
    /// The e-mail addresses.
    pub emails: Vec<Email>,
}

/// A keyed digest of one value.
type ValueDigest = [u8; 32];

/// The key of the digests. All processes with one database have the same key.
#[derive(Clone)]
pub struct ErasureKey([u8; 32]);

impl ErasureKey {
    /// Derives the key from a secret that only the database has.
    pub fn new(secret: &[u8]) -> Self {
        Self(Sha256::new().chain_update("contacts erasures ").chain_update(secret).finalize().into())
    }

    /// The digests of all values, in the order of their bytes.
    pub fn digests(&self, values: &ErasedValues) -> Vec<ValueDigest> {
        let contacts = values.contacts.iter().map(|id| self.contact(*id));
        let phones = values.phones.iter().map(|phone| self.phone(*phone));
        let emails = values.emails.iter().map(|email| self.email(email));
        let mut digests: Vec<ValueDigest> = contacts.chain(phones).chain(emails).collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    fn contact(&self, id: ContactId) -> ValueDigest {
        self.digest("contact", &id.to_string())
    }

    fn phone(&self, phone: Phone) -> ValueDigest {
        self.digest("phone", &phone.to_string())
    }

    /// Addresses are compared without upper and lower case, as in a search.
    fn email(&self, email: &Email) -> ValueDigest {
        self.digest("email", &email.as_str().to_lowercase())
    }

    /// HMAC-SHA-256 of the kind and the value.
    fn digest(&self, kind: &str, value: &str) -> ValueDigest {
        // RFC 2104: the key is padded with zeros to the block size.
        let mut block = [0; 64];
        block.iter_mut().zip(self.0).for_each(|(target, byte)| *target = byte);
        let mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        mac.chain_update(kind).chain_update([0]).chain_update(value).finalize().into_bytes().into()
    }
}

impl fmt::Debug for ErasureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErasureKey(***)")
    }
}

/// One erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The id.
    pub id: ErasureId,
    /// Commands that were accepted later are not concerned: a person may return. Only the erased contact does not.
    pub erased_at: Timestamp,
    /// What was erased.
    pub values: ErasedValues,
}

/// The erasures that commands are compared with.
#[derive(Debug)]
pub struct Erasures {
    key: ErasureKey,
    /// The last erasure of each digest.
    erased_at: HashMap<ValueDigest, Timestamp>,
}

impl Erasures {
    /// Erasures with digests of this key.
    pub fn new(key: ErasureKey) -> Self {
        Self { key, erased_at: HashMap::new() }
    }

    /// Adds an erasure.
    pub fn add(&mut self, erased_at: Timestamp, digests: impl IntoIterator<Item = ValueDigest>) {
        for digest in digests {
            let last = self.erased_at.entry(digest).or_insert(erased_at);
            *last = erased_at.max(*last);
        }
    }

    /// Whether a command would bring back what was erased after it was accepted. A delete brings nothing.
    pub fn name(&self, command: &Command) -> bool {
        let (phone, email) = match &command.action {
            Action::Create(details) | Action::Update(details) => (Some(details.phone), details.email.as_ref()),
            Action::Patch(patch) => (patch.phone, patch.email.as_ref().and_then(EmailPatch::value)),
            Action::Delete => return false,
        };
        let is_erased = |digest: ValueDigest| {
            self.erased_at.get(&digest).is_some_and(|erased_at| command.accepted_at <= *erased_at)
        };
        is_erased(self.key.contact(command.contact_id))
            || phone.is_some_and(|phone| is_erased(self.key.phone(phone)))
            || email.is_some_and(|email| is_erased(self.key.email(email)))
    }

    /// Whether a contact was erased, at any time.
    pub fn name_contact(&self, id: ContactId) -> bool {
        self.erased_at.contains_key(&self.key.contact(id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{contact, create, delete, op, patch, update};
    use super::super::{Attempt, Batch, BatchResult, Contact, Details, Name, Outcome, Patch, Reason, Status};
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(millis).unwrap()
    }

    fn phone(number: u32) -> Phone {
        Phone::parse(&format!("119{number:08}")).unwrap()
    }

    fn email(number: u32) -> Email {
        Email::parse(&format!("Person{number}@example.com")).unwrap()
    }

    fn contact_id(number: u32) -> ContactId {
        ContactId::new(Uuid::from_u128(number.into()))
    }

    fn erasures(erased: &[(i64, ErasedValues)]) -> Erasures {
        let key = ErasureKey::new(b"secret");
        let mut erasures = Erasures::new(key.clone());
        for (time, values) in erased {
            erasures.add(at(*time), key.digests(values));
        }
        erasures
    }

    fn attempt(command: Command) -> Attempt {
        Attempt { last_attempt: true, ..Attempt::new(command) }
    }

    #[test]
    fn a_digest_depends_on_the_key_the_kind_and_the_value() {
        let values = |contacts, phones, emails| ErasedValues { contacts, phones, emails };
        let key = ErasureKey::new(b"secret");
        let all = values(vec![contact_id(1)], vec![phone(1)], vec![email(1)]);
        assert_eq!(key.digests(&all).len(), 3);
        assert_ne!(key.digests(&all), ErasureKey::new(b"other").digests(&all));
        let spelled = values(vec![], vec![], vec![Email::parse("person1@EXAMPLE.com").unwrap(), email(1)]);
        assert_eq!(key.digests(&spelled), key.digests(&values(vec![], vec![], vec![email(1)])));
        let text = format!("{:?}{:?}", key, erasures(&[(1, all)]));
        assert!(!text.contains("9000") && !text.to_lowercase().contains("person1"), "{text}");
    }

    #[test]
    fn a_patch_is_rejected_if_it_names_the_contact_or_a_new_value() {
        let of = |values: ErasedValues| erasures(&[(50, values)]);
        let name_only = Patch { name: Some(Name::parse("Ana").unwrap()), ..Patch::default() };
        let by_id = of(ErasedValues { contacts: vec![contact()], ..ErasedValues::default() });
        assert!(by_id.name(&patch(2, 50, name_only.clone())) && !by_id.name(&patch(2, 51, name_only.clone())));
        let by_phone = of(ErasedValues { phones: vec![phone(1)], ..ErasedValues::default() });
        assert!(!by_phone.name(&patch(2, 50, name_only)));
        assert!(by_phone.name(&patch(2, 50, Patch { phone: Some(phone(1)), ..Patch::default() })));
        let removed = Patch { email: Some(EmailPatch::Remove), ..Patch::default() };
        assert!(!by_phone.name(&patch(2, 50, removed)));
        assert!(!by_id.name(&delete(2, 50)), "a delete brings no data");
    }

    #[test]
    fn a_message_of_an_erased_person_is_not_dead_lettered_whatever_happened_to_it_before() {
        let erased = || Some(erasures(&[(50, ErasedValues { contacts: vec![contact()], ..ErasedValues::default() })]));
        let outcome = |attempt: &Attempt, failed: Option<Reason>| {
            let finished = failed.map(|reason| {
                (
                    attempt.command.operation_id,
                    super::super::FinishedOperation { status: Status::Failed(reason), replays: 0 },
                )
            });
            Batch::new([], finished).with_erasures(erased()).fold(std::slice::from_ref(attempt))
        };
        let rejected = [Outcome::Failed(Reason::SubjectErased)];
        // The record of an earlier failure stays as the client has read it.
        let result = outcome(&attempt(update(2, 50)), Some(Reason::ContactNotFound));
        assert_eq!((&result.outcomes[..], result.records.len()), (&rejected[..], 0));
        // A replay finishes it again.
        let replay = Attempt { replays: 1, ..attempt(update(2, 50)) };
        let result = outcome(&replay, Some(Reason::ContactNotFound));
        assert_eq!((&result.outcomes[..], result.records.len()), (&rejected[..], 1));
        let poison = Attempt { must_fail: Some(Reason::Poison), ..attempt(create(1, 50)) };
        assert_eq!(outcome(&poison, None).outcomes, rejected);
    }

    /// A command of one of a few people, on one of a few contacts.
    fn any_command() -> impl Strategy<Value = Command> {
        (1u128..40, 0u32..4, 1i64..100, 0u32..4, 0u32..4, 0u8..4).prop_map(|(id, contact, time, person, mail, kind)| {
            let details = Details {
                name: Name::parse("Ana").unwrap(),
                phone: phone(person),
                email: (mail > 0).then(|| email(mail)),
            };
            let command = match kind {
                0 => Command { action: Action::Create(details), ..create(id, time) },
                1 => Command { action: Action::Update(details), ..update(id, time) },
                2 => patch(id, time, Patch { phone: Some(phone(person)), ..Patch::default() }),
                _ => delete(id, time),
            };
            Command { contact_id: contact_id(contact), ..command }
        })
    }

    fn any_values() -> impl Strategy<Value = ErasedValues> {
        let some = || proptest::collection::vec(0u32..4, 0..2);
        (some(), some(), some()).prop_map(|(contacts, phones, emails)| ErasedValues {
            contacts: contacts.into_iter().map(contact_id).collect(),
            phones: phones.into_iter().map(phone).collect(),
            emails: emails.into_iter().map(email).collect(),
        })
    }

    /// The same rule in other words, without digests.
    fn must_be_rejected(command: &Command, erased: &[(i64, ErasedValues)]) -> bool {
        erased.iter().any(|(time, values)| {
            let (phone, email) = match &command.action {
                Action::Create(details) | Action::Update(details) => (Some(details.phone), details.email.clone()),
                Action::Patch(patch) => (patch.phone, None),
                Action::Delete => return false,
            };
            command.accepted_at <= at(*time)
                && (values.contacts.contains(&command.contact_id)
                    || phone.is_some_and(|phone| values.phones.contains(&phone))
                    || email.is_some_and(|email| values.emails.contains(&email)))
        })
    }

    /// A change that finds no contact, of a contact that was erased at any time.
    fn finds_an_erased_contact(command: &Command, outcome: Outcome, erased: &[(i64, ErasedValues)]) -> bool {
        let no_contact = [Reason::ContactDeleted, Reason::ContactNotFound].map(Outcome::Failed).contains(&outcome);
        let is_change = matches!(command.action, Action::Update(_) | Action::Patch(_));
        no_contact && is_change && erased.iter().any(|(_, values)| values.contacts.contains(&command.contact_id))
    }

    /// How a contact is before a batch.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Life {
        Missing,
        Live,
        Deleted,
    }

    /// Up to four contacts.
    fn any_contacts() -> impl Strategy<Value = Vec<Contact>> {
        let life = prop_oneof![Just(Life::Missing), Just(Life::Live), Just(Life::Deleted)];
        proptest::collection::vec(life, 4).prop_map(|lives| {
            let contacts = (0..4).zip(lives).filter(|(_, life)| *life != Life::Missing);
            contacts
                .map(|(number, life)| {
                    let of = |command| attempt(Command { contact_id: contact_id(number), ..command });
                    let mut attempts = vec![of(create(1_000 + u128::from(number), 1))];
                    if life == Life::Deleted {
                        attempts.push(of(delete(2_000 + u128::from(number), 1)));
                    }
                    Batch::new([], []).fold(&attempts).created.remove(0)
                })
                .collect()
        })
    }

    fn is_distinct(commands: &[Command]) -> bool {
        let mut ids: Vec<_> = commands.iter().map(|command| command.operation_id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len() == commands.len()
    }

    fn fold(existing: &[Contact], erased: &[(i64, ErasedValues)], attempts: &[Attempt]) -> BatchResult {
        Batch::new(existing.iter().cloned(), []).with_erasures(Some(erasures(erased))).fold(attempts)
    }

    proptest! {
        /// Exactly the commands that an erasure names are rejected, and changes of a contact that was erased and is gone. All
        /// others do what they do without them.
        #[test]
        fn an_erasure_rejects_the_commands_that_it_names_and_changes_nothing_else(
            commands in proptest::collection::vec(any_command(), 1..12),
            erased in proptest::collection::vec((1i64..100, any_values()), 0..4),
            existing in any_contacts(),
        ) {
            prop_assume!(is_distinct(&commands));
            let attempts: Vec<Attempt> = commands.iter().cloned().map(attempt).collect();
            let result = fold(&existing, &erased, &attempts);

            let others: Vec<Attempt> =
                attempts.iter().filter(|attempt| !must_be_rejected(&attempt.command, &erased)).cloned().collect();
            let without = fold(&existing, &[], &others);
            let mut outcomes = others.iter().zip(&without.outcomes).map(|(other, outcome)| {
                match finds_an_erased_contact(&other.command, *outcome, &erased) {
                    true => Outcome::Failed(Reason::SubjectErased),
                    false => *outcome,
                }
            });
            let expected: Vec<Outcome> = commands.iter().map(|command| {
                match must_be_rejected(command, &erased) {
                    true => Outcome::Failed(Reason::SubjectErased),
                    false => outcomes.next().unwrap(),
                }
            }).collect();
            let rejected = |outcome: &&Outcome| **outcome == Outcome::Failed(Reason::SubjectErased);
            let recorded = result.records.iter()
                .filter(|record| record.status == Status::Failed(Reason::SubjectErased))
                .count();
            prop_assert_eq!(recorded, expected.iter().filter(rejected).count());
            prop_assert_eq!(result.outcomes, expected);
            prop_assert_eq!((result.created, result.changed), (without.created, without.changed));
        }

        /// A store that loads only the erasures that a batch needs decides the same.
        #[test]
        fn an_erasure_that_a_batch_does_not_need_changes_nothing(
            commands in proptest::collection::vec((any_command(), any::<bool>()), 1..8),
            erased in proptest::collection::vec((1i64..100, any_values()), 0..4),
            existing in any_contacts(),
        ) {
            let attempts: Vec<Attempt> = commands
                .into_iter()
                .map(|(command, last_attempt)| Attempt { last_attempt, ..attempt(command) })
                .collect();
            prop_assume!(is_distinct(&attempts.iter().map(|attempt| attempt.command.clone()).collect::<Vec<_>>()));
            let since = Batch::new(existing.iter().cloned(), []).needs_erasures(&attempts);
            let needed: Vec<_> =
                erased.iter().filter(|(time, _)| since.is_some_and(|since| at(*time) >= since)).cloned().collect();
            let (all, loaded) = (fold(&existing, &erased, &attempts), fold(&existing, &needed, &attempts));
            prop_assert_eq!(all.outcomes, loaded.outcomes);
            prop_assert_eq!((all.created, all.changed), (loaded.created, loaded.changed));
        }
    }

    /// The id of a contact is never used again. The change fails, and its dead letter would have data of the person.
    #[test]
    fn a_change_of_an_erased_contact_is_rejected_whenever_it_was_accepted() {
        let erased = [(50, ErasedValues { contacts: vec![contact()], ..ErasedValues::default() })];
        let tombstone = Batch::new([], []).fold(&[attempt(create(1, 1)), attempt(delete(2, 2))]).created.remove(0);
        let rejected = [Outcome::Failed(Reason::SubjectErased)];
        let later = attempt(update(3, 60));
        assert_eq!(fold(std::slice::from_ref(&tombstone), &erased, std::slice::from_ref(&later)).outcomes, rejected);
        let pruned = fold(&[], &erased, std::slice::from_ref(&later));
        assert_eq!(pruned.outcomes, rejected, "a tombstone that was pruned");
        let none = fold(std::slice::from_ref(&tombstone), &[], std::slice::from_ref(&later));
        assert_eq!(none.outcomes, [Outcome::Failed(Reason::ContactDeleted)]);
        // The store must load an erasure that is older than the command.
        assert_eq!(Batch::new([tombstone], []).needs_erasures(&[later]), Some(Timestamp::default()));
        assert_eq!(Batch::new([], []).needs_erasures(&[attempt(create(3, 60))]), Some(at(60)));
    }

    #[test]
    fn a_command_after_the_erasure_is_applied() {
        let erased = vec![(50, ErasedValues { phones: vec![phone(1)], ..ErasedValues::default() })];
        let details = Details { name: Name::parse("Ana").unwrap(), phone: phone(1), email: None };
        let create_at = |time| attempt(Command { action: Action::Create(details.clone()), ..create(1, time) });
        assert_eq!(fold(&[], &erased, &[create_at(50)]).outcomes, [Outcome::Failed(Reason::SubjectErased)]);
        assert_eq!(fold(&[], &erased, &[create_at(51)]).outcomes, [Outcome::Applied]);
        let earlier = [erased[0].clone(), (40, erased[0].1.clone())];
        assert_eq!(fold(&[], &earlier, &[create_at(45)]).outcomes, [Outcome::Failed(Reason::SubjectErased)]);
        assert_eq!(op(1), create_at(1).command.operation_id);
    }
}
