//! What a batch of commands does to the contacts it touches: [`apply()`], folded.
//!
//! A store loads the contacts and the operations that a batch names, lets [`Batch::fold`] decide, and writes what comes
//! out, all in one transaction. Both stores share this; neither decides anything itself.

use super::{
    Command, Contact, ContactId, ContactState, Decision, OperationId, OperationKind, Reason, Timestamp, apply,
};
use chrono::TimeDelta;
use std::collections::{BTreeMap, HashMap, HashSet};

/// One try at a command.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The command.
    pub command: Command,
    /// How often an operator replayed it from the dead letters.
    pub replays: u32,
    /// Whether it fails, instead of waiting, if what it builds on is still missing.
    pub last_attempt: bool,
    /// Set when it has been tried and must be recorded as failed for this reason, without another try.
    pub must_fail: Option<Reason>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It changed the contact.
    Applied,
    /// Something newer had already decided the contact's state.
    Superseded,
    /// It had no effect, for this reason.
    Failed(Reason),
}

/// What is recorded of an operation that ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedOperation {
    /// How it ended.
    pub status: Status,
    /// How often it had been replayed by then.
    pub replays: u32,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done now: acknowledge.
    Applied,
    /// Done now, without a change: acknowledge.
    Superseded,
    /// Done before: acknowledge.
    Duplicate,
    /// Failed, now or before: dead-letter with this reason.
    Failed(Reason),
    /// Try again later, because of this.
    Wait(Reason),
}

/// An operation to record: which attempt of the batch, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// Index into the attempts.
    pub attempt: usize,
    /// How it ended.
    pub status: Status,
}

/// The result of a batch: what to write, and what to answer to each message.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// One outcome for each attempt, in the order they were given.
    pub outcomes: Vec<Outcome>,
    /// Contacts to insert, in the order of their ids.
    pub created: Vec<Contact>,
    /// Contacts to overwrite, in the order of their ids.
    pub changed: Vec<Contact>,
    /// Operations to record, each once, in the order of their ids: one order for everyone, so that two workers with the
    /// same operations cannot deadlock. One that had failed before and was replayed overwrites its row.
    pub records: Vec<OperationRecord>,
}

/// The least age at which an ended operation may be pruned; half of it is left for clocks that differ.
pub const SHORTEST_RETENTION: TimeDelta = TimeDelta::minutes(30);

/// What SQL knows when a batch begins.
#[derive(Debug, Default)]
pub struct Batch {
    states: HashMap<ContactId, ContactState>,
    finished: HashMap<OperationId, EndedOperation>,
    horizon: Option<Timestamp>,
}

impl Batch {
    /// Forgets, as a store did, what ended before this moment: see [`Self::needs_horizon`].
    #[must_use]
    pub const fn pruned_before(mut self, horizon: Option<Timestamp>) -> Self {
        self.horizon = horizon;
        self
    }

    /// Whether [`Self::pruned_before`] matters: a create of some age finds neither its contact nor its operation. It may
    /// never have been applied, or have been, and its contact deleted, and both been pruned. Operations younger than
    /// [`SHORTEST_RETENTION`] are never pruned, so for others the question need not be asked.
    pub fn needs_horizon(&self, attempts: &[Attempt], now: Timestamp) -> bool {
        attempts
            .iter()
            .any(|attempt| self.is_unknown(attempt) && attempt.command.accepted_at < now - SHORTEST_RETENTION)
    }

    fn is_unknown(&self, attempt: &Attempt) -> bool {
        let command = &attempt.command;
        // Refused as expired once, it is as much in doubt as before.
        let in_doubt = match self.finished.get(&command.operation_id) {
            None | Some(EndedOperation { status: Status::Failed(Reason::Expired), .. }) => true,
            Some(_) => false,
        };
        command.kind() == OperationKind::Insert && in_doubt && !self.states.contains_key(&command.contact_id)
    }

    /// Takes the states of the contacts that the batch names, and those operations that have ended among the ones it names or expects.
    pub fn new(
        states: impl IntoIterator<Item = ContactState>,
        finished: impl IntoIterator<Item = (OperationId, EndedOperation)>,
    ) -> Self {
        Self {
            states: states.into_iter().map(|state| (state.id, state)).collect(),
            finished: finished.into_iter().collect(),
            horizon: None,
        }
    }

    /// Decides every attempt: in the order of their stamps, and again over those that had to wait until nothing moves.
    pub fn fold(mut self, attempts: &[Attempt]) -> BatchResult {
        let existing: HashSet<ContactId> = self.states.keys().copied().collect();
        let mut written = BTreeMap::new();
        let mut outcomes = vec![Outcome::Wait(Reason::ContactNotFound); attempts.len()];
        let mut records = BTreeMap::new();

        let mut open: Vec<(usize, &Attempt)> = attempts.iter().enumerate().collect();
        open.sort_by_key(|(_, attempt)| (attempt.command.stamp, attempt.command.operation_id));
        // The second phase gives up on those that may not wait any longer, the latest stamp last.
        for giving_up in [false, true] {
            loop {
                let before = open.len();
                open.retain(|&(index, attempt)| {
                    let outcome = self.decide(attempt, giving_up, &mut written, |status| {
                        // A replay may come in one batch with the try that it follows: the later record counts.
                        records.insert(attempt.command.operation_id, OperationRecord { attempt: index, status });
                    });
                    if let Some(slot) = outcomes.get_mut(index) {
                        *slot = outcome;
                    }
                    matches!(outcome, Outcome::Wait(_))
                });
                if open.len() == before {
                    break;
                }
            }
        }

        let mut folded = BatchResult { outcomes, records: records.into_values().collect(), ..BatchResult::default() };
        for (id, contact) in written {
            let group = if existing.contains(&id) { &mut folded.changed } else { &mut folded.created };
            group.push(contact);
        }
        folded
    }

    fn decide(
        &mut self,
        attempt: &Attempt,
        giving_up: bool,
        written: &mut BTreeMap<ContactId, Contact>,
        mut record: impl FnMut(Status),
    ) -> Outcome {
        let command = &attempt.command;
        match self.finished.get(&command.operation_id) {
            // Failed for good, unless an operator has replayed it since.
            Some(EndedOperation { status: Status::Failed(reason), replays }) if attempt.replays <= *replays => {
                return Outcome::Failed(*reason);
            }
            Some(EndedOperation { status: Status::Applied | Status::Superseded, .. }) => return Outcome::Duplicate,
            Some(EndedOperation { status: Status::Failed(_), .. }) | None => {}
        }
        let version_known = command.expects.is_some_and(|version| self.finished.contains_key(&version));
        let expired = self.horizon.is_some_and(|horizon| command.accepted_at < horizon) && self.is_unknown(attempt);
        let decision = match attempt.must_fail {
            Some(reason) => Decision::Fail(reason),
            None if expired => Decision::Fail(Reason::Expired),
            None => apply(self.states.get(&command.contact_id), command, version_known),
        };
        let (outcome, status) = match decision {
            Decision::Write(contact) => {
                self.states.insert(contact.id, contact.state());
                written.insert(contact.id, contact);
                (Outcome::Applied, Status::Applied)
            }
            Decision::Superseded => (Outcome::Superseded, Status::Superseded),
            // Its effect is there but its record is not (it was pruned): record it again.
            Decision::Duplicate => (Outcome::Duplicate, Status::Applied),
            Decision::Fail(reason) => (Outcome::Failed(reason), Status::Failed(reason)),
            Decision::Wait(reason) if giving_up && attempt.last_attempt => {
                (Outcome::Failed(reason), Status::Failed(reason))
            }
            Decision::Wait(reason) => return Outcome::Wait(reason),
        };
        record(status);
        self.finished.insert(command.operation_id, EndedOperation { status, replays: attempt.replays });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{contact, create, delete, op, update};
    use super::super::{Action, Lifecycle, Stamp};
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn attempt(command: Command) -> Attempt {
        Attempt { command, replays: 0, last_attempt: false, must_fail: None }
    }

    /// A store in a few lines: it keeps what batches write.
    #[derive(Default)]
    struct Memory {
        contacts: HashMap<ContactId, Contact>,
        finished: HashMap<OperationId, EndedOperation>,
        effects: HashMap<OperationId, usize>,
    }

    impl Memory {
        fn apply(&mut self, attempts: &[Attempt]) -> Vec<Outcome> {
            let folded = Batch::new(self.contacts.values().map(Contact::state), self.finished.clone()).fold(attempts);
            assert_eq!(folded.outcomes.len(), attempts.len());
            for contact in folded.created.into_iter().chain(folded.changed) {
                self.contacts.insert(contact.id, contact);
            }
            for record in folded.records {
                let Attempt { command, replays, .. } = &attempts[record.attempt];
                let finished = EndedOperation { status: record.status, replays: *replays };
                self.finished.insert(command.operation_id, finished);
                if record.status == Status::Applied {
                    *self.effects.entry(command.operation_id).or_default() += 1;
                }
            }
            folded.outcomes
        }
    }

    #[test]
    fn a_batch_in_any_order_finds_its_own_order() {
        let mut memory = Memory::default();
        let follows = |id, stamp, version| Command { expects: Some(op(version)), ..update(id, stamp) };
        // Each builds on the one behind it, and their stamps run backwards.
        let batch =
            [attempt(follows(4, 1, 3)), attempt(follows(3, 2, 2)), attempt(follows(2, 3, 1)), attempt(create(1, 9))];
        assert_eq!(memory.apply(&batch), vec![Outcome::Applied; 4]);
        assert_eq!(memory.contacts[&contact()].version, op(4));
    }

    #[test]
    fn a_failed_operation_ends_only_by_a_replay() {
        let mut memory = Memory::default();
        let mut lone = Attempt { last_attempt: true, ..attempt(update(2, 10)) };
        let failed = Outcome::Failed(Reason::ContactNotFound);
        assert_eq!(memory.apply(std::slice::from_ref(&lone)), vec![failed]);
        memory.apply(&[attempt(create(1, 5))]);
        // A redelivery must reach the dead letters again, not take effect behind the client's back.
        assert_eq!(memory.apply(std::slice::from_ref(&lone)), vec![failed]);
        lone.replays = 1;
        assert_eq!(memory.apply(std::slice::from_ref(&lone)), vec![Outcome::Applied]);
        assert_eq!(memory.apply(std::slice::from_ref(&lone)), vec![Outcome::Duplicate]);
    }

    #[test]
    fn a_create_from_before_the_horizon_is_not_trusted_unless_it_is_known() {
        let horizon = Timestamp::from_timestamp_millis(100);
        let old = attempt(create(1, 50));
        let outcome = |batch: Batch| batch.pruned_before(horizon).fold(std::slice::from_ref(&old)).outcomes[0];
        assert_eq!(outcome(Batch::new([], [])), Outcome::Failed(Reason::Expired));
        // It is there: nothing is in doubt.
        let there = Batch::new([super::super::testing::contact_with(2, 7).state()], []);
        assert_eq!(outcome(there), Outcome::Duplicate);
        // A replay of what was refused is refused again.
        let refused = EndedOperation { status: Status::Failed(Reason::Expired), replays: 0 };
        let replay = Attempt { replays: 1, ..old.clone() };
        let known = Batch::new([], [(op(1), refused)]).pruned_before(horizon);
        assert_eq!(known.fold(&[replay]).outcomes, [Outcome::Failed(Reason::Expired)]);
        // It failed, so it had no effect: an operator's replay may try it.
        let failed = EndedOperation { status: Status::Failed(Reason::RejectedByDatabase), replays: 0 };
        let replay = Attempt { replays: 1, ..old.clone() };
        let known = Batch::new([], [(op(1), failed)]).pruned_before(horizon);
        assert_eq!(known.fold(&[replay]).outcomes, [Outcome::Applied]);
        // Younger than the horizon.
        let young = attempt(create(1, 100));
        assert_eq!(Batch::new([], []).pruned_before(horizon).fold(&[young]).outcomes, [Outcome::Applied]);
    }

    #[test]
    fn the_condemned_fail_without_a_try_and_their_neighbours_apply() {
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

    fn unconditional() -> impl Strategy<Value = Vec<Command>> {
        (proptest::collection::vec(1i64..40, 0..8), proptest::option::of(1i64..40)).prop_map(|(updates, deleted)| {
            let mut commands = vec![create(1, 20)];
            commands.extend((2..).zip(updates).map(|(id, stamp)| update(id, stamp)));
            commands.extend(deleted.map(|stamp| delete(100, stamp)));
            commands
        })
    }

    proptest! {
        /// P3: for any interleaving, duplication and batching the end state is the same.
        #[test]
        fn order_and_repetition_do_not_matter(
            commands in unconditional(),
            picks in proptest::collection::vec((any::<Index>(), 1usize..5), 0..60),
        ) {
            let expected = if commands.iter().any(|c| c.action == Action::Delete) {
                None
            } else {
                commands.iter().filter(|c| matches!(c.action, Action::Update(_))).max_by_key(|c| (c.stamp, c.operation_id))
                    .or(commands.first()).map(|c| c.operation_id)
            };

            let mut memory = Memory::default();
            // Any deliveries in any batches, with what must wait coming back at the end...
            let mut backlog: Vec<Command> = Vec::new();
            for (index, size) in &picks {
                let start = index.index(commands.len());
                let batch: Vec<Attempt> = commands.iter().cycle().skip(start).take(*size).cloned().map(attempt).collect();
                let outcomes = memory.apply(&batch);
                backlog.extend(batch.into_iter().zip(outcomes).filter(|(_, o)| matches!(o, Outcome::Wait(_))).map(|(a, _)| a.command));
            }
            // ...and everything delivered once at least, one by one, from the end.
            backlog.extend(commands.iter().rev().cloned());
            while let Some(command) = backlog.pop() {
                if matches!(memory.apply(&[attempt(command.clone())])[0], Outcome::Wait(_)) {
                    backlog.insert(0, command);
                }
            }

            let contact = &memory.contacts[&contact()];
            match expected {
                None => prop_assert!(contact.state().deleted),
                Some(version) => prop_assert_eq!(contact.version, version),
            }
            // P2 and P4: nothing took effect twice, and everything ended.
            prop_assert!(memory.effects.values().all(|times| *times == 1));
            for command in &commands {
                prop_assert!(memory.finished.contains_key(&command.operation_id));
            }
        }

        /// Of the conditional commands that name one state, exactly one takes effect, whatever the order.
        #[test]
        fn one_condition_wins(order in Just((2u128..7).collect::<Vec<_>>()).prop_shuffle(), together in any::<bool>()) {
            let mut memory = Memory::default();
            memory.apply(&[attempt(create(1, 20))]);
            let commands: Vec<Attempt> = order.iter()
                .map(|id| attempt(Command { expects: Some(op(1)), ..update(*id, 40 - *id as i64) }))
                .collect();
            let outcomes = if together {
                memory.apply(&commands)
            } else {
                commands.iter().flat_map(|one| memory.apply(std::slice::from_ref(one))).collect()
            };
            let applied = outcomes.iter().filter(|o| **o == Outcome::Applied).count();
            let conflicts = outcomes.iter().filter(|o| **o == Outcome::Failed(Reason::VersionConflict)).count();
            prop_assert_eq!((applied, conflicts), (1, 4));
        }

        /// A client that passes each ETag on sees its own order kept, however skewed the stamps are.
        #[test]
        fn a_chain_of_etags_keeps_its_order(
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
