//! What a batch of commands does to its contacts: [`apply()`], folded over the batch.
//!
//! A store loads the contacts and the finished operations of a batch, calls [`Batch::fold`] and writes the result. It
//! does this in one transaction. Both stores use this code; neither of them decides anything.

use super::{
    ChangedMembers, Command, Contact, ContactId, Decision, Erasures, OperationId, OperationKind, Origin, Patch, Reason,
    Timestamp, apply,
};
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One attempt to apply a command.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The command.
    pub command: Command,
    /// How many times an operator replayed the message.
    pub replays: u32,
    /// Whether the command fails instead of waiting for another command.
    pub last_attempt: bool,
    /// If set, the command is not applied. It is recorded as failed for this reason.
    pub must_fail: Option<Reason>,
    /// Where the command comes from.
    pub origin: Origin,
}

impl Attempt {
    /// The first attempt of a command that is not known to come from anywhere.
    pub const fn new(command: Command) -> Self {
        let origin = Origin { caller: None, trace_id: None, attempts: 1 };
        Self { command, replays: 0, last_attempt: false, must_fail: None, origin }
    }
}

/// The status of a finished operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The operation changed the contact.
    Applied,
    /// A newer change had already been applied.
    Superseded,
    /// The operation had no effect, for this reason.
    Failed(Reason),
}

/// The record of an operation that finished before this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedOperation {
    /// The status.
    pub status: Status,
    /// How many times the message had been replayed at that time.
    pub replays: u32,
}

/// An operation whose message is not a command of this version. It failed before it could be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedOperation {
    /// The id of the operation.
    pub id: OperationId,
    /// The contact, or the nil id if the message does not name it.
    pub contact_id: ContactId,
    /// The kind of the command.
    pub kind: OperationKind,
    /// Why it failed.
    pub reason: Reason,
    /// How many times an operator replayed the message.
    pub replays: u32,
    /// When the API accepted the command. In whole seconds, if only the message says it.
    pub accepted_at: Timestamp,
    /// Where the command comes from.
    pub origin: Origin,
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The change was applied now. The worker acknowledges the message.
    Applied,
    /// A newer change had already been applied. The worker acknowledges the message.
    Superseded,
    /// The operation was finished before. The worker acknowledges the message.
    Duplicate,
    /// The operation failed, now or before. The worker dead-letters the message with this reason.
    Failed(Reason),
    /// The command waits for another command. The worker retries it later.
    Wait(Reason),
}

/// A finished operation that the store must record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// The index of the attempt in the batch.
    pub attempt: usize,
    /// The status.
    pub status: Status,
    /// The number of the change in the batch, from 0, in the order in which the changes took effect. `None` if the
    /// operation changes nothing now: it was superseded, it failed, or only its record was missing.
    pub change: Option<usize>,
    /// The members that have another value now. `None` if the operation changes nothing now.
    pub changed: Option<ChangedMembers>,
    /// The values that these members had. `None` unless [`Batch::keep_old_values`], and for a new contact.
    pub old_values: Option<Patch>,
}

/// The result of a batch: what the store must write, and the outcome of each attempt.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// One outcome for each attempt, in the same order.
    pub outcomes: Vec<Outcome>,
    /// Contacts to insert, ordered by id.
    pub created: Vec<Contact>,
    /// Contacts to update, ordered by id.
    pub changed: Vec<Contact>,
    /// Operations to record, each once, ordered by id. Every worker uses this order, so two workers with the same
    /// operations cannot deadlock. The record of a replayed operation replaces its earlier record.
    /// [`OperationRecord::change`] has the order in which they took effect.
    pub records: Vec<OperationRecord>,
}

/// Operations younger than this are never pruned. `contacts prune` requires twice this age, because clocks differ.
pub const SHORTEST_RETENTION: TimeDelta = TimeDelta::minutes(30);

/// A batch before it is folded: what the store loaded for it.
#[derive(Debug, Default)]
pub struct Batch {
    contacts: HashMap<ContactId, Contact>,
    finished: HashMap<OperationId, FinishedOperation>,
    horizon: Option<Timestamp>,
    erasures: Option<Erasures>,
    keep_old_values: bool,
}

impl Batch {
    /// Whether the records have the values that a change replaces.
    #[must_use]
    pub const fn keep_old_values(mut self, keep: bool) -> Self {
        self.keep_old_values = keep;
        self
    }

    /// Sets the erasures that the commands of the batch may name. See [`Self::needs_erasures`].
    #[must_use]
    pub fn with_erasures(mut self, erasures: Option<Erasures>) -> Self {
        self.erasures = erasures;
        self
    }

    /// The store must load the erasures since this time with [`Self::with_erasures`]: an earlier erasure concerns no
    /// command of the batch. `None` if no command brings personal data.
    ///
    /// A change of a contact that is gone needs all erasures: it fails, and its message must not be kept if the contact
    /// was erased, whenever that was.
    pub fn needs_erasures(&self, attempts: &[Attempt]) -> Option<Timestamp> {
        let brings_data = |attempt: &&Attempt| attempt.command.kind() != OperationKind::Delete;
        let oldest = attempts.iter().filter(brings_data).map(|attempt| attempt.command.accepted_at).min()?;
        let is_delete = |attempt: &&Attempt| attempt.command.kind() == OperationKind::Delete;
        let deleted: HashSet<ContactId> =
            attempts.iter().filter(is_delete).map(|attempt| attempt.command.contact_id).collect();
        let may_be_gone = |attempt: &Attempt| {
            let Attempt { command, last_attempt, must_fail, .. } = attempt;
            let ends_now = *last_attempt || must_fail.is_some() || self.finished.contains_key(&command.operation_id);
            deleted.contains(&command.contact_id)
                || self.contacts.get(&command.contact_id).map_or(ends_now, Contact::is_deleted)
        };
        let needs_all = attempts.iter().any(|attempt| attempt.command.is_change() && may_be_gone(attempt));
        Some(if needs_all { Timestamp::default() } else { oldest })
    }

    /// Whether a command changes a contact that does not exist any more and was erased. The id of a contact is never used
    /// again, so the time does not matter.
    fn changes_erased(&self, command: &Command) -> bool {
        command.is_change()
            && self.contacts.get(&command.contact_id).is_none_or(Contact::is_deleted)
            && self.erasures.as_ref().is_some_and(|erasures| erasures.name_contact(command.contact_id))
    }

    /// Sets the time before which finished operations may have been pruned. See [`Self::needs_horizon`].
    #[must_use]
    pub const fn pruned_before(mut self, horizon: Option<Timestamp>) -> Self {
        self.horizon = horizon;
        self
    }

    /// Whether the store must call [`Self::pruned_before`]. It must if there is an old create without a contact and
    /// without a finished operation. Then it is unknown whether the create was applied: its contact may have been
    /// deleted, and both may have been pruned. Younger operations than [`SHORTEST_RETENTION`] are never pruned.
    pub fn needs_horizon(&self, attempts: &[Attempt], now: Timestamp) -> bool {
        attempts
            .iter()
            .any(|attempt| self.is_unknown(attempt) && attempt.command.accepted_at < now - SHORTEST_RETENTION)
    }

    fn is_unknown(&self, attempt: &Attempt) -> bool {
        let command = &attempt.command;
        // An operation that failed as expired is still unknown.
        let operation_is_unknown = match self.finished.get(&command.operation_id) {
            None | Some(FinishedOperation { status: Status::Failed(Reason::Expired), .. }) => true,
            Some(_) => false,
        };
        command.kind() == OperationKind::Insert
            && operation_is_unknown
            && !self.contacts.contains_key(&command.contact_id)
    }

    /// Starts a batch with what the store loaded: the contacts in the batch, and the finished operations
    /// among the ids of the commands and the versions that they expect.
    pub fn new(
        contacts: impl IntoIterator<Item = Contact>,
        finished: impl IntoIterator<Item = (OperationId, FinishedOperation)>,
    ) -> Self {
        Self {
            contacts: contacts.into_iter().map(|contact| (contact.id, contact)).collect(),
            finished: finished.into_iter().collect(),
            horizon: None,
            erasures: None,
            keep_old_values: false,
        }
    }

    /// Decides the outcome of every attempt, in the order of their stamps. Repeats this for the attempts that wait,
    /// until none of them can be decided.
    pub fn fold(mut self, attempts: &[Attempt]) -> BatchResult {
        let existing: HashSet<ContactId> = self.contacts.keys().copied().collect();
        let mut written = BTreeSet::new();
        let mut outcomes = vec![Outcome::Wait(Reason::ContactNotFound); attempts.len()];
        let mut records = BTreeMap::new();
        let mut changes = 0..;

        let mut waiting: Vec<(usize, &Attempt)> = attempts.iter().enumerate().collect();
        waiting.sort_by_key(|(_, attempt)| (attempt.command.stamp, attempt.command.operation_id));
        // In the second phase, last attempts fail instead of waiting.
        for last_attempts_fail in [false, true] {
            loop {
                let before = waiting.len();
                waiting.retain(|&(index, attempt)| {
                    let outcome =
                        self.decide(attempt, last_attempts_fail, &mut written, |status, changed, old_values| {
                            let change = if changed.is_some() { changes.next() } else { None };
                            let record = OperationRecord { attempt: index, status, change, changed, old_values };
                            // A batch may hold an attempt and its replay. The later record counts.
                            records.insert(attempt.command.operation_id, record);
                        });
                    if let Some(entry) = outcomes.get_mut(index) {
                        *entry = outcome;
                    }
                    matches!(outcome, Outcome::Wait(_))
                });
                if waiting.len() == before {
                    break;
                }
            }
        }

        let mut result = BatchResult { outcomes, records: records.into_values().collect(), ..BatchResult::default() };
        for contact in written.iter().filter_map(|id| self.contacts.remove(id)) {
            let contacts = if existing.contains(&contact.id) { &mut result.changed } else { &mut result.created };
            contacts.push(contact);
        }
        result
    }

    fn decide(
        &mut self,
        attempt: &Attempt,
        last_attempts_fail: bool,
        written: &mut BTreeSet<ContactId>,
        record: impl FnOnce(Status, Option<ChangedMembers>, Option<Patch>),
    ) -> Outcome {
        let command = &attempt.command;
        let erased = self.erasures.as_ref().is_some_and(|erasures| erasures.name(command));
        match self.finished.get(&command.operation_id) {
            // The failure is final, unless an operator replayed the message since then.
            Some(FinishedOperation { status: Status::Failed(reason), replays }) if attempt.replays <= *replays => {
                // The record stays, but the message must not be dead-lettered any more.
                let erased = erased || self.changes_erased(command);
                return Outcome::Failed(if erased { Reason::SubjectErased } else { *reason });
            }
            Some(FinishedOperation { status: Status::Applied | Status::Superseded, .. }) => return Outcome::Duplicate,
            Some(FinishedOperation { status: Status::Failed(_), .. }) | None => {}
        }
        let version_known = command.expects.is_some_and(|version| self.finished.contains_key(&version));
        let expired = self.horizon.is_some_and(|horizon| command.accepted_at < horizon) && self.is_unknown(attempt);
        let decision = match attempt.must_fail {
            _ if erased => Decision::Fail(Reason::SubjectErased),
            Some(reason) => Decision::Fail(reason),
            None if expired => Decision::Fail(Reason::Expired),
            None => apply(self.contacts.get(&command.contact_id), command, version_known),
        };
        // A dead letter would keep what the change brings.
        let fail = |reason| {
            let reason = if self.changes_erased(command) { Reason::SubjectErased } else { reason };
            (Outcome::Failed(reason), Status::Failed(reason))
        };
        let (mut changed, mut old_values) = (None, None);
        let (outcome, status) = match decision {
            Decision::Write(contact) => {
                let before = self.contacts.get(&contact.id).and_then(Contact::details);
                let members = ChangedMembers::between(before, contact.details());
                old_values = before.filter(|_| self.keep_old_values).map(|before| members.values_of(before));
                changed = Some(members);
                written.insert(contact.id);
                self.contacts.insert(contact.id, contact);
                (Outcome::Applied, Status::Applied)
            }
            Decision::Superseded => (Outcome::Superseded, Status::Superseded),
            // The contact has the effect, but the record of the operation was pruned. Record it again.
            Decision::Duplicate => (Outcome::Duplicate, Status::Applied),
            Decision::Fail(reason) => fail(reason),
            Decision::Wait(reason) if last_attempts_fail && attempt.last_attempt => fail(reason),
            Decision::Wait(reason) => return Outcome::Wait(reason),
        };
        record(status, changed, old_values);
        self.finished.insert(command.operation_id, FinishedOperation { status, replays: attempt.replays });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{contact, create, delete, details, op, patch, update};
    use super::super::{Action, Email, EmailPatch, Lifecycle, Name, Patch, Phone, Stamp, Write};
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn attempt(command: Command) -> Attempt {
        Attempt::new(command)
    }

    /// A minimal store in memory.
    #[derive(Default)]
    struct Memory {
        contacts: HashMap<ContactId, Contact>,
        finished: HashMap<OperationId, FinishedOperation>,
        effects: HashMap<OperationId, usize>,
    }

    impl Memory {
        fn apply(&mut self, attempts: &[Attempt]) -> Vec<Outcome> {
            let result = Batch::new(self.contacts.values().cloned(), self.finished.clone()).fold(attempts);
            assert_eq!(result.outcomes.len(), attempts.len());
            for contact in result.created.into_iter().chain(result.changed) {
                self.contacts.insert(contact.id, contact);
            }
            for record in result.records {
                let Attempt { command, replays, .. } = &attempts[record.attempt];
                let finished = FinishedOperation { status: record.status, replays: *replays };
                self.finished.insert(command.operation_id, finished);
                if record.status == Status::Applied {
                    *self.effects.entry(command.operation_id).or_default() += 1;
                }
            }
            result.outcomes
        }
    }

    #[test]
    fn commands_of_a_batch_are_applied_in_the_order_of_their_versions() {
        let mut memory = Memory::default();
        let conditional_update = |id, stamp, version| Command { expects: Some(op(version)), ..update(id, stamp) };
        // Each command expects the version of the next one, and the stamps are in the opposite order.
        let batch = [
            attempt(conditional_update(4, 1, 3)),
            attempt(conditional_update(3, 2, 2)),
            attempt(conditional_update(2, 3, 1)),
            attempt(create(1, 9)),
        ];
        assert_eq!(memory.apply(&batch), vec![Outcome::Applied; 4]);
        assert_eq!(memory.contacts[&contact()].version, op(4));
    }

    #[test]
    fn changes_are_numbered_in_the_order_in_which_they_took_effect() {
        let expects = |id, stamp, version| Command { expects: Some(op(version)), ..update(id, stamp) };
        // The order of the ids and of the stamps is the opposite of the order of the versions.
        let batch =
            [attempt(expects(2, 1, 4)), attempt(expects(4, 2, 8)), attempt(create(8, 9)), attempt(create(9, 10))];
        let folded = Batch::new([], []).fold(&batch);
        let changes = folded.records.iter().map(|record| (batch[record.attempt].command.operation_id, record.change));
        let expected = [(op(2), Some(2)), (op(4), Some(1)), (op(8), Some(0)), (op(9), None)];
        assert_eq!(changes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_failed_operation_is_applied_only_after_a_replay() {
        let mut memory = Memory::default();
        let mut update = Attempt { last_attempt: true, ..attempt(update(2, 10)) };
        let failed = Outcome::Failed(Reason::ContactNotFound);
        assert_eq!(memory.apply(std::slice::from_ref(&update)), vec![failed]);
        memory.apply(&[attempt(create(1, 5))]);
        // A redelivered message fails again. It must not take effect: the client has seen the failure.
        assert_eq!(memory.apply(std::slice::from_ref(&update)), vec![failed]);
        update.replays = 1;
        assert_eq!(memory.apply(std::slice::from_ref(&update)), vec![Outcome::Applied]);
        assert_eq!(memory.apply(std::slice::from_ref(&update)), vec![Outcome::Duplicate]);
    }

    #[test]
    fn an_old_create_expires_unless_its_contact_or_operation_is_known() {
        let horizon = Timestamp::from_timestamp_millis(100);
        let old = attempt(create(1, 50));
        let outcome = |batch: Batch| batch.pruned_before(horizon).fold(std::slice::from_ref(&old)).outcomes[0];
        assert_eq!(outcome(Batch::new([], [])), Outcome::Failed(Reason::Expired));
        // The contact exists, so the create took effect.
        let existing = Batch::new([super::super::testing::contact_with(2, 7)], []);
        assert_eq!(outcome(existing), Outcome::Duplicate);
        // A replay of an expired create expires again.
        let expired = FinishedOperation { status: Status::Failed(Reason::Expired), replays: 0 };
        let replay = Attempt { replays: 1, ..old.clone() };
        let known = Batch::new([], [(op(1), expired)]).pruned_before(horizon);
        assert_eq!(known.fold(&[replay]).outcomes, [Outcome::Failed(Reason::Expired)]);
        // The create failed, so it had no effect. A replay applies it.
        let failed = FinishedOperation { status: Status::Failed(Reason::RejectedByDatabase), replays: 0 };
        let replay = Attempt { replays: 1, ..old.clone() };
        let known = Batch::new([], [(op(1), failed)]).pruned_before(horizon);
        assert_eq!(known.fold(&[replay]).outcomes, [Outcome::Applied]);
        // This create is not older than the horizon.
        let young = attempt(create(1, 100));
        assert_eq!(Batch::new([], []).pruned_before(horizon).fold(&[young]).outcomes, [Outcome::Applied]);
    }

    #[test]
    fn an_attempt_that_must_fail_is_recorded_and_the_others_are_applied() {
        let mut memory = Memory::default();
        let batch = [
            attempt(create(1, 5)),
            Attempt { must_fail: Some(Reason::RejectedByDatabase), ..attempt(update(2, 10)) },
            attempt(update(3, 8)),
        ];
        let failed = Outcome::Failed(Reason::RejectedByDatabase);
        assert_eq!(memory.apply(&batch), vec![Outcome::Applied, failed, Outcome::Applied]);
        assert_eq!(memory.contacts[&contact()].version, op(3));
    }

    /// A patch with other values for each id.
    fn patch_of(id: u128, stamp: i64, [name, phone, email]: [bool; 3]) -> Command {
        let digits = format!("119{id:08}");
        let address = Email::parse(&format!("person{id}@example.com")).unwrap();
        let email_patch = if id.is_multiple_of(2) { EmailPatch::Remove } else { EmailPatch::Set(address) };
        let changes = Patch {
            name: name.then(|| Name::parse(&format!("Patched {id}")).unwrap()),
            phone: phone.then(|| Phone::parse(&digits).unwrap()),
            email: email.then_some(email_patch),
        };
        patch(id, stamp, changes)
    }

    #[test]
    fn patches_of_different_members_both_take_effect_in_any_order() {
        let (name, phone) = (patch_of(3, 10, [true, false, false]), patch_of(5, 20, [false, true, false]));
        let mut results = Vec::new();
        for order in [[&name, &phone], [&phone, &name]] {
            for together in [false, true] {
                let mut memory = Memory::default();
                memory.apply(&[attempt(create(1, 5))]);
                let attempts: Vec<Attempt> = order.iter().map(|command| attempt((*command).clone())).collect();
                let outcomes: Vec<Outcome> = if together {
                    memory.apply(&attempts)
                } else {
                    attempts.chunks(1).flat_map(|attempt| memory.apply(attempt)).collect()
                };
                assert_eq!(outcomes, [Outcome::Applied; 2]);
                results.push(memory.contacts[&contact()].details().cloned().unwrap());
            }
        }
        results.dedup();
        let [details] = &results[..] else { panic!("{results:?}") };
        assert_eq!(details.name.as_str(), "Patched 3");
        assert_eq!(details.phone.to_string(), "+5511900000005");
        assert_eq!(details.email.as_ref().map(Email::as_str), Some("someone@example.com"));
    }

    #[test]
    fn a_change_that_takes_effect_in_part_has_a_new_version_and_a_stamp_that_never_goes_back() {
        let mut memory = Memory::default();
        memory.apply(&[attempt(create(1, 5)), attempt(patch_of(3, 20, [true, false, false]))]);
        assert_eq!(memory.apply(&[attempt(update(4, 10))]), [Outcome::Applied]);
        let partly = memory.contacts[&contact()].clone();
        assert_eq!((partly.version, partly.stamp.raw()), (op(4), 20));
        assert_eq!(partly.details().unwrap().name.as_str(), "Patched 3");
        // Replayed without its record, it changes nothing.
        memory.finished.clear();
        memory.apply(&[attempt(patch_of(3, 20, [true, false, false])), attempt(update(4, 10))]);
        assert_eq!(memory.contacts[&contact()], partly);
        // A newer update replaces everything, so no member needs a write of its own.
        memory.apply(&[attempt(update(6, 30))]);
        assert_eq!(memory.contacts[&contact()].writes, None);
    }

    fn unconditional() -> impl Strategy<Value = Vec<Command>> {
        let change = (1i64..40, proptest::option::weighted(0.6, any::<[bool; 3]>()));
        (proptest::collection::vec(change, 0..8), proptest::option::of(1i64..40)).prop_map(|(changes, deleted)| {
            let mut commands = vec![create(1, 20)];
            commands.extend((2..).zip(changes).map(|(id, (stamp, members))| match members {
                Some(members) if members != [false; 3] => patch_of(id, stamp, members),
                _ => update(id, stamp),
            }));
            commands.extend(deleted.map(|stamp| delete(100, stamp)));
            commands
        })
    }

    proptest! {
        /// The final state is the same for any order, repetition and batching.
        #[test]
        fn order_and_repetition_do_not_change_the_final_state(
            commands in unconditional(),
            picks in proptest::collection::vec((any::<Index>(), 1usize..5), 0..60),
        ) {
            let deleted = commands.iter().any(|c| c.action == Action::Delete);
            // Each member has the value of its newest write.
            let mut expected = details(1);
            let mut newest: [Write; 3] = [(Stamp::ZERO, op(1)); 3];
            let mut sorted: Vec<&Command> = commands.iter().collect();
            sorted.sort_by_key(|command| (command.stamp, command.operation_id));
            for command in sorted {
                let write = (command.stamp, command.operation_id);
                match &command.action {
                    Action::Update(values) => (expected, newest) = (values.clone(), [write; 3]),
                    Action::Patch(patch) => {
                        if let Some(name) = &patch.name {
                            (expected.name, newest[0]) = (name.clone(), write);
                        }
                        if let Some(phone) = patch.phone {
                            (expected.phone, newest[1]) = (phone, write);
                        }
                        if let Some(email) = &patch.email {
                            (expected.email, newest[2]) = (email.value().cloned(), write);
                        }
                    }
                    Action::Create(_) | Action::Delete => {}
                }
            }

            let mut memory = Memory::default();
            // Deliver any commands in any batches. Commands that wait are delivered again at the end.
            let mut backlog: Vec<Command> = Vec::new();
            for (index, size) in &picks {
                let start = index.index(commands.len());
                let batch: Vec<Attempt> = commands.iter().cycle().skip(start).take(*size).cloned().map(attempt).collect();
                let outcomes = memory.apply(&batch);
                backlog.extend(batch.into_iter().zip(outcomes).filter(|(_, o)| matches!(o, Outcome::Wait(_))).map(|(a, _)| a.command));
            }
            // Then deliver every command at least once, one by one, from the end.
            backlog.extend(commands.iter().rev().cloned());
            while let Some(command) = backlog.pop() {
                if matches!(memory.apply(&[attempt(command.clone())])[0], Outcome::Wait(_)) {
                    backlog.insert(0, command);
                }
            }

            let contact = &memory.contacts[&contact()];
            if deleted {
                prop_assert!(contact.is_deleted());
            } else {
                prop_assert_eq!(contact.details(), Some(&expected));
                let writes = contact.member_writes();
                prop_assert_eq!([writes.name, writes.phone, writes.email], newest);
                let last = newest.into_iter().max().unwrap().0.raw().max(20);
                prop_assert_eq!(contact.updated_at, Timestamp::from_timestamp_millis(last).unwrap());
                prop_assert_eq!(contact.stamp, newest.into_iter().max().unwrap().0);
                prop_assert!(newest.iter().any(|(_, operation)| *operation == contact.version));
            }
            // No operation took effect twice, and every operation is finished.
            prop_assert!(memory.effects.values().all(|effects| *effects == 1));
            for command in &commands {
                prop_assert!(memory.finished.contains_key(&command.operation_id));
            }
        }

        /// Of several commands that expect the same version, exactly one takes effect, in any order.
        #[test]
        fn only_one_conditional_command_of_a_version_takes_effect(
            order in Just((2u128..7).collect::<Vec<_>>()).prop_shuffle(),
            together in any::<bool>(),
        ) {
            let mut memory = Memory::default();
            memory.apply(&[attempt(create(1, 20))]);
            let commands: Vec<Attempt> = order.iter()
                .map(|id| attempt(Command { expects: Some(op(1)), ..update(*id, 40 - *id as i64) }))
                .collect();
            let outcomes = if together {
                memory.apply(&commands)
            } else {
                commands.iter().flat_map(|attempt| memory.apply(std::slice::from_ref(attempt))).collect()
            };
            let applied = outcomes.iter().filter(|o| **o == Outcome::Applied).count();
            let conflicts = outcomes.iter().filter(|o| **o == Outcome::Failed(Reason::VersionConflict)).count();
            prop_assert_eq!((applied, conflicts), (1, 4));
        }

        /// Each command expects the version of the one before. They take effect in this order, with any stamps.
        #[test]
        fn a_chain_of_conditional_commands_keeps_its_order(
            stamps in proptest::collection::vec(1i64..1_000, 5),
            order in Just((0usize..6).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut chain = vec![create(1, 500)];
            chain.extend((2u128..).zip(&stamps).map(|(id, stamp)| Command { expects: Some(op(id - 1)), ..update(id, *stamp) }));
            let mut memory = Memory::default();
            let mut backlog: Vec<Command> = order.iter().map(|index| chain[*index].clone()).collect();
            while let Some(command) = backlog.pop() {
                match memory.apply(&[attempt(command.clone())])[0] {
                    Outcome::Wait(_) => backlog.insert(0, command),
                    outcome => prop_assert_eq!(outcome, Outcome::Applied),
                }
            }
            let contact = &memory.contacts[&contact()];
            prop_assert_eq!(contact.version, op(6));
            prop_assert!(contact.stamp > Stamp::ZERO && matches!(contact.life, Lifecycle::Live(_)));
        }
    }
}
