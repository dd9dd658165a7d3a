//! An independent judge of a history: is there an order of the operations of a contact that the documents allow, and
//! that agrees with the times at which clients knew things? The search is the one of the crate `todc-utils`; see
//! `docs/adr/0019-history-checker.md`. This file has only the specification, written from `docs/reference/api.md` and
//! `docs/adr/0004-versions-and-stamps.md`.

use super::history::{Action, Operation, Outcome};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use todc_utils::linearizability::history::Action as Event;
use todc_utils::{History, Specification, WGLChecker};

/// How many steps the search for the order of one contact may take. A search that needs more is not decided.
const MAX_STEPS: u64 = 1_000_000;

/// The index of the operation that made a version, among the operations of its contact.
type Version = usize;

/// A version that no operation of the contact made.
const UNKNOWN: Version = usize::MAX;

/// What the checker says about a history.
#[derive(Debug, Default)]
pub struct Findings {
    /// The operations in histories that were judged.
    pub checked: usize,
    pub violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Possible,
    Impossible,
    NotDecided,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Contact {
    Absent,
    Live { version: Version, stamp: Stamp },
    Deleted,
}

/// What a client knows of a stamp, in milliseconds. A stamp is at least the time of acceptance. It can be later: it is
/// greater than each stamp that the same process made before, also for a request that read the clock later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    earliest: i64,
    latest: i64,
}

impl Stamp {
    const CREATED: Self = Self { earliest: 0, latest: 0 };

    /// The stamp of a change that was accepted at this time. It was made while the request ran.
    fn of(operation: &Operation, accepted_millis: i64) -> Self {
        let ran_nanos = operation.accepted.map_or(0, |accepted| accepted.saturating_sub(operation.invoked));
        let ran_millis = i64::try_from(ran_nanos.div_ceil(1_000_000)).unwrap_or(i64::MAX);
        Self { earliest: accepted_millis, latest: accepted_millis.saturating_add(ran_millis) }
    }

    fn max(self, other: Self) -> Self {
        Self { earliest: self.earliest.max(other.earliest), latest: self.latest.max(other.latest) }
    }
}

/// An operation with its result.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A read and the version that it returned.
    Read(Option<Version>),
    Change {
        action: Action,
        expects: Option<Version>,
        result: ChangeResult,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeResult {
    Applied {
        stamp: Stamp,
    },
    Superseded {
        stamp: Stamp,
    },
    ContactDeleted,
    /// Failed with `version_conflict`, or answered 412.
    VersionConflict,
}

impl Step {
    const fn has_effect(self) -> bool {
        matches!(self, Self::Change { result: ChangeResult::Applied { .. }, .. })
    }
}

/// The contact after a step, or `None` if the documents do not allow the step now. `is_finished` says whether the
/// operation of a version is finished.
fn next(contact: Contact, own: Version, step: Step, is_finished: impl Fn(Version) -> bool) -> Option<Contact> {
    use ChangeResult::{Applied, ContactDeleted, Superseded, VersionConflict};
    let (action, expects, result) = match step {
        Step::Read(found) => {
            let current = if let Contact::Live { version, .. } = contact { Some(version) } else { None };
            return (found == current).then_some(contact);
        }
        Step::Change { action, expects, result } => (action, expects, result),
    };
    match (contact, action, result) {
        // Any update wins over the create.
        (Contact::Absent, Action::Create, Applied { .. }) => {
            Some(Contact::Live { version: own, stamp: Stamp::CREATED })
        }
        // Every other change waits for the create.
        (Contact::Absent, ..) => None,
        (Contact::Live { version, stamp: current }, Action::Update | Action::Delete, _) => {
            let allowed = match (expects, result) {
                (None, Applied { .. }) if action == Action::Delete => true,
                // No client can see the counter of a stamp, and its time only roughly.
                (None, Applied { stamp }) => stamp.latest >= current.earliest,
                (None, Superseded { stamp }) => action == Action::Update && stamp.earliest <= current.latest,
                (Some(expected), Applied { .. }) => expected == version,
                (Some(expected), VersionConflict) => expected != version && is_finished(expected),
                _ => false,
            };
            allowed.then_some(match result {
                Applied { .. } if action == Action::Delete => Contact::Deleted,
                Applied { stamp } => Contact::Live { version: own, stamp: stamp.max(current) },
                _ => contact,
            })
        }
        // A delete wins over everything, and the id is never used again.
        (Contact::Deleted, Action::Update, ContactDeleted) | (Contact::Deleted, Action::Delete, Superseded { .. }) => {
            Some(contact)
        }
        (Contact::Deleted, Action::Update | Action::Delete, VersionConflict) if expects.is_some() => Some(contact),
        (Contact::Live { .. } | Contact::Deleted, ..) => None,
    }
}

/// The operations of a contact, in the order in which they began.
#[derive(Debug)]
struct Steps {
    steps: Vec<Step>,
    max_taken: u64,
    taken: Cell<u64>,
    /// Whether [`Self::can_wait`] and [`Self::is_dead_end`] shorten the search.
    shortcuts: bool,
}

/// One of the operations of a contact.
#[derive(Clone, Debug)]
struct Entry {
    own: usize,
    all: Rc<Steps>,
}

/// The contact, and the operations that the order contains so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    contact: Contact,
    done: Vec<bool>,
}

impl State {
    fn is_done(&self, index: usize) -> bool {
        self.done.get(index) == Some(&true)
    }

    /// The state after an operation, if the documents allow it.
    fn after(&self, own: usize, step: Step) -> Option<Self> {
        let contact = next(self.contact, own, step, |version| self.is_done(version))?;
        let mut done = self.done.clone();
        done.resize(done.len().max(own + 1), false);
        done[own] = true;
        Some(Self { contact, done })
    }
}

impl Steps {
    fn rest<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (usize, Step)> + 'a {
        self.steps.iter().copied().enumerate().filter(|(index, _)| !state.is_done(*index))
    }

    /// Whether an operation without effect began before this one and is possible now. Then the order can as well go on
    /// with that one: it changes nothing, and it makes no other operation impossible. Without this rule, the search
    /// tries every subset of such operations.
    fn can_wait(&self, state: &State, own: usize) -> bool {
        let mut earlier = self.rest(state).take_while(|(index, _)| *index < own);
        earlier.any(|(index, step)| {
            !step.has_effect() && next(state.contact, index, step, |version| state.is_done(version)).is_some()
        })
    }

    /// Whether an operation can not be part of the order any more. Without this rule, the search notices it much later.
    fn is_dead_end(&self, state: &State) -> bool {
        use ChangeResult::{Applied, Superseded};
        self.rest(state).any(|(_, step)| match (state.contact, step) {
            (Contact::Absent, _) => false,
            // A version becomes current only once.
            (Contact::Live { version, .. }, Step::Read(Some(found))) => found != version && state.is_done(found),
            (Contact::Live { version, .. }, Step::Change { expects: Some(expected), result: Applied { .. }, .. }) => {
                expected != version && state.is_done(expected)
            }
            // Stamps do not decrease.
            (Contact::Live { stamp: current, .. }, Step::Change { action, result: Applied { stamp }, .. }) => {
                action == Action::Create || (action == Action::Update && stamp.latest < current.earliest)
            }
            (Contact::Live { .. }, _) => false,
            (Contact::Deleted, Step::Read(found)) => found.is_some(),
            (Contact::Deleted, Step::Change { action, result, .. }) => {
                matches!((action, result), (_, Applied { .. }) | (Action::Update, Superseded { .. }))
            }
        })
    }
}

/// The sequential specification. It only refuses steps; what it accepts is an order that the documents allow.
struct ContactSpecification;

impl Specification for ContactSpecification {
    type State = State;
    type Operation = Entry;

    fn init() -> State {
        State { contact: Contact::Absent, done: Vec::new() }
    }

    fn apply(Entry { own, all }: &Entry, state: &State) -> (bool, State) {
        all.taken.set(all.taken.get() + 1);
        // After too many steps everything is refused, and the search ends.
        let allowed = (all.taken.get() <= all.max_taken).then(|| state.after(*own, all.steps[*own])).flatten();
        let useful = |after: &State| !all.shortcuts || (!all.can_wait(state, *own) && !all.is_dead_end(after));
        match allowed.filter(useful) {
            Some(after) => (true, after),
            None => (false, state.clone()),
        }
    }
}

/// Judges operations of one contact, which are in the order in which they began.
fn judge(operations: &[&Operation]) -> Judgement {
    let versions: BTreeMap<&str, Version> = operations
        .iter()
        .enumerate()
        .filter_map(|(index, operation)| Some((operation.id.as_deref()?, index)))
        .collect();
    let version = |id: &String| versions.get(id.as_str()).copied().unwrap_or(UNKNOWN);
    let mut steps = Vec::new();
    let mut times = Vec::new();
    for operation in operations {
        let Some((finished, outcome)) = &operation.finished else { return Judgement::NotDecided };
        let result = match outcome {
            Outcome::Applied { accepted_millis } => {
                ChangeResult::Applied { stamp: Stamp::of(operation, *accepted_millis) }
            }
            Outcome::Superseded { accepted_millis } => {
                ChangeResult::Superseded { stamp: Stamp::of(operation, *accepted_millis) }
            }
            Outcome::Refused => ChangeResult::VersionConflict,
            Outcome::Failed { reason } if reason == "version_conflict" => ChangeResult::VersionConflict,
            Outcome::Failed { reason } if reason == "contact_deleted" => ChangeResult::ContactDeleted,
            // The changes of a round can fail for no other reason.
            Outcome::Failed { .. } => return Judgement::Impossible,
            Outcome::Found { version: found } => {
                steps.push(Step::Read(found.as_ref().map(version)));
                times.push((operation.invoked, *finished));
                continue;
            }
            Outcome::NotRead => return Judgement::NotDecided,
        };
        let expects = operation.expects.as_ref().map(version);
        steps.push(Step::Change { action: operation.action, expects, result });
        times.push((operation.invoked, *finished));
    }
    search(steps, &times, MAX_STEPS, true)
}

/// Searches for an order. `times` has begin and end of each step.
fn search(steps: Vec<Step>, times: &[(u64, u64)], max_taken: u64, shortcuts: bool) -> Judgement {
    if steps.is_empty() {
        return Judgement::Possible;
    }
    let ends = times.iter().enumerate().map(|(own, (_, end))| (*end, true, own));
    let mut events: Vec<_> =
        times.iter().enumerate().map(|(own, (begin, _))| (*begin, false, own)).chain(ends).collect();
    // Two events at the same time are concurrent: beginnings come first.
    events.sort_unstable();
    let all = Rc::new(Steps { steps, max_taken, taken: Cell::new(0), shortcuts });
    let events = events.into_iter().map(|(_, is_end, own)| {
        let entry = Entry { own, all: Rc::clone(&all) };
        // Each operation is a process of its own, because a change may finish after the next request of its client.
        (own, if is_end { Event::Response(entry) } else { Event::Call(entry) })
    });
    if WGLChecker::<ContactSpecification>::is_linearizable(History::from_actions(events.collect())) {
        Judgement::Possible
    } else if all.taken.get() > max_taken {
        Judgement::NotDecided
    } else {
        Judgement::Impossible
    }
}

/// What makes the operations impossible: the changes alone, or the read with which they become impossible.
fn explain(operations: &[&Operation]) -> String {
    let is_read = |operation: &Operation| operation.action == Action::Read;
    let mut reads: Vec<&Operation> = operations.iter().copied().filter(|operation| is_read(operation)).collect();
    reads.sort_by_key(|read| read.finished.as_ref().map(|(time, _)| *time));
    let with_reads = |count: usize| -> Vec<&Operation> {
        let last = count.checked_sub(1).and_then(|last| reads[last].finished.as_ref()).map(|(time, _)| *time);
        let keep =
            |operation: &&Operation| !is_read(operation) || operation.finished.as_ref().map(|(time, _)| *time) <= last;
        operations.iter().copied().filter(keep).collect()
    };
    let counts: Vec<usize> = (0..=reads.len()).collect();
    match counts.partition_point(|count| judge(&with_reads(*count)) == Judgement::Possible) {
        0 => "its changes fit into no order, even without the reads".to_owned(),
        count => format!("its operations fit into no order from this read on: {:?}", reads[count - 1]),
    }
}

/// Judges a history, each contact for itself.
pub fn check(operations: &[Operation]) -> Findings {
    let mut contacts: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    let mut findings = Findings::default();
    for operation in operations {
        match (&operation.contact, &operation.finished) {
            (_, Some((_, Outcome::NotRead))) => {}
            (Some(contact), Some(_)) => contacts.entry(contact).or_default().push(operation),
            _ => findings.violations.push(format!("checker: not decided, no client knows the result of {operation:?}")),
        }
    }
    for (contact, mut operations) in contacts {
        operations.sort_by_key(|operation| operation.invoked);
        let count = operations.len();
        match judge(&operations) {
            Judgement::Possible => findings.checked += count,
            Judgement::Impossible => {
                findings.checked += count;
                findings.violations.push(format!("checker: contact {contact}: {}", explain(&operations)));
            }
            Judgement::NotDecided => findings.violations.push(format!(
                "checker: contact {contact}: not decided, {count} operations need more than {MAX_STEPS} steps"
            )),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLIED: Outcome = Outcome::Applied { accepted_millis: 0 };

    fn operation(action: Action, id: Option<&str>, times: [u64; 2], outcome: Outcome) -> Operation {
        let text = |text: &str| text.to_owned();
        let (contact, id) = (Some(text("c")), id.map(text));
        let [invoked, finished] = times;
        Operation {
            process: 0,
            action,
            contact,
            id,
            expects: None,
            invoked,
            accepted: None,
            finished: Some((finished, outcome)),
        }
    }

    fn create(times: [u64; 2]) -> Operation {
        operation(Action::Create, Some("v0"), times, APPLIED)
    }

    fn update(id: &str, accepted_millis: i64, times: [u64; 2]) -> Operation {
        operation(Action::Update, Some(id), times, Outcome::Applied { accepted_millis })
    }

    fn delete(id: &str, times: [u64; 2]) -> Operation {
        operation(Action::Delete, Some(id), times, APPLIED)
    }

    fn read(version: Option<&str>, times: [u64; 2]) -> Operation {
        operation(Action::Read, None, times, Outcome::Found { version: version.map(str::to_owned) })
    }

    fn expecting(version: &str, operation: Operation) -> Operation {
        Operation { expects: Some(version.to_owned()), ..operation }
    }

    fn with(outcome: Outcome, operation: Operation) -> Operation {
        Operation { finished: operation.finished.map(|(time, _)| (time, outcome)), ..operation }
    }

    fn failed(reason: &str, operation: Operation) -> Operation {
        with(Outcome::Failed { reason: reason.to_owned() }, operation)
    }

    fn superseded(accepted_millis: i64, operation: Operation) -> Operation {
        with(Outcome::Superseded { accepted_millis }, operation)
    }

    #[track_caller]
    fn assert_possible(operations: &[Operation]) {
        let findings = check(operations);
        assert_eq!((findings.checked, findings.violations), (operations.len(), vec![]));
    }

    #[track_caller]
    fn assert_impossible(operations: &[Operation]) {
        let violations = check(operations).violations;
        assert!(matches!(&violations[..], [violation] if violation.contains("fit into no order")), "{violations:?}");
        // The last operation is what makes it impossible.
        let before = &operations[..operations.len() - 1];
        assert_possible(before);
    }

    #[test]
    fn histories_that_the_documents_allow_are_possible() {
        assert_possible(&[
            read(None, [0, 1]),
            create([1, 10]),
            // The create may not be applied yet, although the read begins after it.
            read(None, [2, 3]),
            read(Some("v0"), [4, 5]),
            update("v1", 100, [11, 20]),
            read(Some("v1"), [21, 22]),
            // One producer's clock is late: the older stamp loses, although it was sent later.
            superseded(99, update("v2", 0, [23, 30])),
            read(Some("v1"), [31, 32]),
            // A condition counts more than a stamp. The next update must be newer than both.
            expecting("v1", update("v3", 50, [33, 40])),
            superseded(99, update("v4", 0, [41, 50])),
            failed("version_conflict", expecting("v1", update("v5", 0, [51, 60]))),
            with(Outcome::Refused, expecting("v2", update("v6", 0, [61, 70]))),
            // Two updates at once: the stamps decide, and both results of the read are possible.
            update("v8", 300, [71, 90]),
            update("v7", 200, [72, 90]),
            read(Some("v7"), [73, 74]),
            delete("v9", [91, 100]),
            read(None, [101, 102]),
            failed("contact_deleted", update("v10", 0, [103, 110])),
            superseded(0, delete("v11", [103, 110])),
        ]);
    }

    fn exactly(millis: i64) -> Stamp {
        Stamp { earliest: millis, latest: millis }
    }

    /// Seen in a round on a busy machine: a process made the stamp of a request after that of one that had read the clock
    /// later.
    #[test]
    fn a_stamp_may_be_later_than_the_acceptance_while_the_request_ran() {
        let history = |ran_millis: u64| {
            let first = update("v1", 5, [2, 90_000_000]);
            let first = Operation { accepted: Some(2 + ran_millis * 1_000_000), ..first };
            vec![create([0, 1]), first, superseded(8, update("v2", 0, [3, 95_000_000]))]
        };
        assert_possible(&history(3));
        assert_impossible(&history(2));
    }

    #[test]
    fn updates_of_the_same_millisecond_may_be_in_either_order() {
        for last in ["v1", "v2"] {
            let updates = [create([0, 1]), update("v1", 100, [2, 10]), update("v2", 100, [3, 10])];
            assert_possible(&[&updates[..], &[read(Some(last), [11, 12])]].concat());
        }
    }

    #[test]
    fn a_stale_read_is_impossible() {
        assert_impossible(&[
            create([0, 1]),
            update("v1", 100, [2, 3]),
            read(Some("v1"), [4, 5]),
            read(Some("v0"), [6, 7]),
        ]);
    }

    #[test]
    fn a_change_whose_result_was_known_is_read() {
        assert_impossible(&[create([0, 1]), update("v1", 100, [2, 3]), read(Some("v0"), [4, 5])]);
        assert_impossible(&[create([0, 1]), read(None, [2, 3])]);
    }

    #[test]
    fn a_lost_update_is_impossible() {
        // Both were sent before either was finished, but nobody can have read the one with the older stamp last.
        let updates = [create([0, 1]), update("v1", 100, [2, 9]), update("v2", 200, [3, 9])];
        assert_impossible(&[&updates[..], &[read(Some("v1"), [10, 11])]].concat());
    }

    #[test]
    fn two_changes_of_one_version_are_impossible() {
        let first = expecting("v0", update("v1", 100, [2, 9]));
        assert_impossible(&[create([0, 1]), first.clone(), expecting("v0", update("v2", 200, [3, 9]))]);
        assert_impossible(&[create([0, 1]), first, expecting("v0", delete("v2", [3, 9]))]);
    }

    #[test]
    fn an_effect_that_occurs_twice_is_impossible() {
        let changes = [create([0, 1]), update("v1", 100, [2, 50]), expecting("v1", update("v2", 200, [3, 50]))];
        let reads = [read(Some("v1"), [10, 11]), read(Some("v2"), [12, 13]), read(Some("v1"), [14, 15])];
        assert_impossible(&[&changes[..], &reads].concat());
    }

    #[test]
    fn a_deleted_contact_that_exists_again_is_impossible() {
        let deleted = [create([0, 1]), update("v1", 100, [2, 3]), delete("v2", [4, 50])];
        let reads = [read(None, [5, 6]), read(Some("v1"), [7, 8])];
        assert_impossible(&[&deleted[..], &reads].concat());
        // The update began after the delete was finished.
        assert_impossible(&[&deleted[..], &[update("v3", 200, [51, 60])]].concat());
    }

    #[test]
    fn a_change_that_ignores_the_stamps_is_impossible() {
        let updates = [create([0, 1]), update("v1", 200, [2, 3])];
        assert_impossible(&[&updates[..], &[update("v2", 100, [4, 5])]].concat());
        assert_impossible(&[create([0, 1]), superseded(100, update("v1", 0, [2, 3]))]);
    }

    #[test]
    fn a_failure_without_a_cause_is_impossible() {
        assert_impossible(&[create([0, 1]), failed("version_conflict", expecting("v0", update("v1", 0, [2, 3])))]);
        assert_impossible(&[create([0, 1]), with(Outcome::Refused, expecting("v0", update("v1", 0, [2, 3])))]);
        assert_impossible(&[create([0, 1]), failed("contact_deleted", update("v1", 0, [2, 3]))]);
        assert_impossible(&[create([0, 1]), failed("poison", update("v1", 0, [2, 3]))]);
        // The change that it names is not finished: it must wait.
        let waits = failed("version_conflict", expecting("v2", update("v1", 0, [2, 3])));
        let violations = check(&[create([0, 1]), waits, update("v2", 100, [4, 5])]).violations;
        assert_eq!(violations.len(), 1, "{violations:?}");
    }

    #[test]
    fn a_history_with_an_unknown_result_is_not_decided() {
        let unknown = Operation { finished: None, ..update("v1", 100, [2, 3]) };
        let findings = check(&[create([0, 1]), unknown]);
        assert!(findings.violations[0].contains("not decided"), "{findings:?}");
    }

    #[test]
    fn a_search_that_takes_too_long_is_not_decided() {
        let change = |action, millis| Step::Change {
            action,
            expects: None,
            result: ChangeResult::Applied { stamp: exactly(millis) },
        };
        let mut steps = vec![change(Action::Create, 0)];
        // All stamps are equal, so every order is possible until the read.
        steps.extend((1..10).map(|_| change(Action::Update, 100)));
        let mut times = vec![(0, 100); steps.len()];
        steps.push(Step::Read(Some(UNKNOWN)));
        times.push((101, 102));
        assert_eq!(search(steps.clone(), &times, 1_000, true), Judgement::NotDecided);
        assert_eq!(search(steps, &times, u64::MAX, true), Judgement::Impossible);
    }

    /// 200 changes wait at once. Meanwhile the contact is read, and again while they are applied one after the other.
    #[test]
    fn the_history_of_a_long_outage_is_decided() {
        let mut operations = vec![create([0, 1])];
        for number in 1..=200 {
            let late = update(&format!("v{number}"), 1_000 + number, [10 + number as u64, 10_000]);
            operations.push(if number % 2 == 0 { superseded(number, late) } else { late });
            operations.push(read(Some("v0"), [10 + number as u64, 12 + number as u64]));
        }
        for number in (1..=200).step_by(4) {
            operations.push(read(Some(&format!("v{number}")), [1_000 + 10 * number, 1_010 + 10 * number]));
        }
        operations.sort_by_key(|operation| operation.invoked);
        assert_possible(&operations);
        operations.push(read(Some("v197"), [10_001, 10_002]));
        assert_impossible(&operations);
    }

    /// A random history that is possible.
    fn random_history(random: &mut fastrand::Rng) -> (Vec<Step>, Vec<(u64, u64)>) {
        let mut state = ContactSpecification::init();
        let mut history: Vec<(Step, (u64, u64))> = Vec::new();
        while history.len() < 9 {
            let own = history.len();
            let step = random_step(random, own);
            if let Some(after) = state.after(own, step) {
                state = after;
                let middle = 20 + 10 * own as u64;
                history.push((step, (middle - random.u64(..20), middle + random.u64(..60))));
            }
        }
        // Versions are indices in the order of the beginnings.
        let mut order: Vec<usize> = (0..history.len()).collect();
        order.sort_by_key(|index| history[*index].1);
        let renamed = |version: Version| order.iter().position(|index| *index == version).unwrap_or(UNKNOWN);
        let in_order = order.iter().map(|index| match history[*index] {
            (Step::Read(found), times) => (Step::Read(found.map(renamed)), times),
            (Step::Change { action, expects, result }, times) => {
                (Step::Change { action, expects: expects.map(renamed), result }, times)
            }
        });
        in_order.unzip()
    }

    fn random_step(random: &mut fastrand::Rng, max_version: Version) -> Step {
        let version = random.bool().then(|| random.usize(..=max_version));
        let millis = random.i64(..6);
        let results = [
            ChangeResult::Applied { stamp: exactly(millis) },
            ChangeResult::Superseded { stamp: exactly(millis) },
            ChangeResult::VersionConflict,
            ChangeResult::ContactDeleted,
        ];
        match random.u8(..10) {
            0..4 => Step::Read(version),
            kind => {
                let action =
                    [Action::Create, Action::Update, Action::Update, Action::Update, Action::Update, Action::Delete]
                        [usize::from(kind) - 4];
                Step::Change { action, expects: version, result: results[random.usize(..results.len())] }
            }
        }
    }

    #[test]
    fn shortcuts_do_not_change_the_judgement() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut impossible = 0;
        for round in 0..1_000 {
            let (mut steps, times) = random_history(&mut random);
            assert_eq!(search(steps.clone(), &times, MAX_STEPS, true), Judgement::Possible, "{steps:?} {times:?}");
            // Change one step.
            let (index, last) = (random.usize(..steps.len()), steps.len() - 1);
            steps[index] = random_step(&mut random, last);
            let judgement = search(steps.clone(), &times, MAX_STEPS, false);
            assert_eq!(search(steps.clone(), &times, MAX_STEPS, true), judgement, "{round}: {steps:?} {times:?}");
            impossible += usize::from(judgement == Judgement::Impossible);
        }
        assert!((100..950).contains(&impossible), "{impossible} of 1,000 histories are impossible");
    }
}
