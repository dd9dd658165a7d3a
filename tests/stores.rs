//! What every store must do, whatever keeps the rows: one suite, run against each implementation.

use crate::support::{Database, command, create, delete, details, new_contact, update};
use contacts::domain::{
    Action, AreaCode, Attempt, Command, Contact, ContactId, Details, Email, Fingerprint, Lifecycle, NameKey,
    OperationId, OperationKind, Outcome, Phone, Reason, Region, State, Status, Timestamp,
};
use contacts::store::postgres::Postgres;
use contacts::store::sqlite::Sqlite;
use contacts::store::{After, Direction, Filter, Pruned, Store, StoreError};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use tempfile::TempDir;

/// How many migrations there are.
const MIGRATIONS: usize = 3;

trait Subject {
    type Store: Store + Clone + 'static;
    fn empty() -> Self;
    fn store(&self) -> &Self::Store;
    /// Runs SQL that both databases understand.
    fn execute(&self, sql: &str);
}

struct OnPostgres {
    store: Postgres,
    database: Database,
}

impl Subject for OnPostgres {
    type Store = Postgres;
    fn empty() -> Self {
        let database = Database::new();
        Self { store: Postgres::new(&database.settings()).unwrap(), database }
    }
    fn store(&self) -> &Postgres {
        &self.store
    }
    fn execute(&self, sql: &str) {
        self.database.execute(sql);
    }
}

struct OnSqlite {
    store: Sqlite,
    folder: TempDir,
}

impl Subject for OnSqlite {
    type Store = Sqlite;
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Sqlite::new(&folder.path().join("contacts.db")).unwrap(), folder }
    }
    fn store(&self) -> &Sqlite {
        &self.store
    }
    fn execute(&self, sql: &str) {
        let file = self.folder.path().join("contacts.db");
        SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(sql).unwrap();
    }
}

fn migrated<S: Subject>() -> S {
    let subject = S::empty();
    subject.store().migrate(Direction::Up).unwrap();
    subject
}

fn attempt(command: Command) -> Attempt {
    Attempt { command, replays: 0, last_attempt: false, must_fail: None }
}

fn apply(store: &impl Store, commands: &[&Command]) -> Vec<Outcome> {
    let batch: Vec<Attempt> = commands.iter().map(|command| attempt((*command).clone())).collect();
    // Workers that meet on one row may have to try again; nothing else may go wrong.
    loop {
        match store.apply(&batch) {
            Ok(outcomes) => return outcomes,
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn read(store: &impl Store, id: ContactId) -> Contact {
    store.contact(id).unwrap().expect("the contact exists")
}

fn the_schema_is_asked_for_made_and_unmade<S: Subject>() {
    let subject = S::empty();
    let store = subject.store();
    let Err(StoreError::Misconfigured(text)) = store.check() else { panic!("an empty database has no schema") };
    assert!(text.contains("contacts migrate"), "{text}");
    assert_eq!(store.migrate(Direction::Up).unwrap().len(), MIGRATIONS);
    assert_eq!(store.migrate(Direction::Up).unwrap().len(), 0);
    store.check().unwrap();
    for _ in 0..MIGRATIONS {
        assert_eq!(store.migrate(Direction::Down).unwrap().len(), 1);
    }
    assert_eq!(store.migrate(Direction::Down).unwrap().len(), 0);
    assert!(matches!(store.check(), Err(StoreError::Misconfigured(_))));
}

fn a_contact_lives_changes_and_dies<S: Subject>() {
    let subject = migrated::<S>();
    let (store, id) = (subject.store(), new_contact());
    let born = create(id, "Ana");
    assert_eq!(apply(store, &[&born]), [Outcome::Applied]);
    let contact = read(store, id);
    assert_eq!((contact.version, contact.created_by), (born.operation_id, born.operation_id));
    assert_eq!((contact.created_at, contact.updated_at), (born.accepted_at, born.accepted_at));
    assert_eq!(contact.life, Lifecycle::Live(details("Ana")));

    let married = update(id, 50, "Ana Lima");
    assert_eq!(apply(store, &[&married]), [Outcome::Applied]);
    let contact = read(store, id);
    assert_eq!((contact.version, contact.created_by), (married.operation_id, born.operation_id));
    assert_eq!((contact.created_at, contact.updated_at), (born.accepted_at, married.accepted_at));
    assert_eq!(contact.life, Lifecycle::Live(details("Ana Lima")));

    let gone = delete(id, 20);
    assert_eq!(apply(store, &[&gone]), [Outcome::Applied]);
    assert_eq!(read(store, id).life, Lifecycle::Deleted { at: gone.accepted_at });
    assert_eq!(store.contacts(&Filter::default(), None, 10).unwrap(), []);
    assert_eq!(apply(store, &[&update(id, 99, "Ghost")]), [Outcome::Failed(Reason::ContactDeleted)]);
}

fn an_operation_says_how_it_ended<S: Subject>() {
    let subject = migrated::<S>();
    let (store, id) = (subject.store(), new_contact());
    let keyed = Command { fingerprint: Some(Fingerprint(u128::MAX - 5)), ..create(id, "Ana") };
    let older = update(id, 5, "Old");
    let newer = update(id, 9, "New");
    let second = create(id, "Other");
    assert_eq!(store.operation(keyed.operation_id).unwrap(), None);
    apply(store, &[&keyed]);
    apply(store, &[&newer]);
    apply(store, &[&older]);
    apply(store, &[&second]);
    for (command, status, kind) in [
        (&keyed, Status::Applied, OperationKind::Insert),
        (&newer, Status::Applied, OperationKind::Update),
        (&older, Status::Superseded, OperationKind::Update),
        (&second, Status::Failed(Reason::AlreadyExists), OperationKind::Insert),
    ] {
        let operation = store.operation(command.operation_id).unwrap().unwrap();
        assert_eq!((operation.status, operation.kind, operation.contact_id), (status, kind, id));
        assert_eq!((operation.fingerprint, operation.accepted_at), (command.fingerprint, command.accepted_at));
    }
}

fn a_duplicate_changes_nothing<S: Subject>() {
    let subject = migrated::<S>();
    let (store, id) = (subject.store(), new_contact());
    let (born, changed) = (create(id, "Ana"), update(id, 9, "Bia"));
    assert_eq!(apply(store, &[&born, &born]), [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!(apply(store, &[&changed, &born]), [Outcome::Applied, Outcome::Duplicate]);
    let before = (read(store, id), store.operation(changed.operation_id).unwrap());
    assert_eq!(apply(store, &[&changed]), [Outcome::Duplicate]);
    assert_eq!((read(store, id), store.operation(changed.operation_id).unwrap()), before);
}

fn what_must_wait_leaves_no_trace<S: Subject>() {
    let subject = migrated::<S>();
    let (store, id) = (subject.store(), new_contact());
    let early = update(id, 9, "Early");
    assert_eq!(apply(store, &[&early]), [Outcome::Wait(Reason::ContactNotFound)]);
    assert_eq!((store.contact(id).unwrap(), store.operation(early.operation_id).unwrap()), (None, None));
    // With its create in one batch, in any order, it need not wait.
    assert_eq!(apply(store, &[&early, &create(id, "Ana")]), [Outcome::Applied, Outcome::Applied]);
    assert_eq!(read(store, id).life, Lifecycle::Live(details("Early")));
}

fn a_replay_of_a_failed_operation_is_a_new_try<S: Subject>() {
    let subject = migrated::<S>();
    let (store, id) = (subject.store(), new_contact());
    let early = update(id, 9, "Early");
    let failed = Outcome::Failed(Reason::ContactNotFound);
    let last = Attempt { last_attempt: true, ..attempt(early.clone()) };
    assert_eq!(store.apply(std::slice::from_ref(&last)).unwrap(), [failed]);
    apply(store, &[&create(id, "Ana")]);
    assert_eq!(apply(store, &[&early]), [failed], "a redelivery is none");
    let replayed = Attempt { replays: 1, ..last };
    assert_eq!(store.apply(std::slice::from_ref(&replayed)).unwrap(), [Outcome::Applied]);
    assert_eq!(store.operation(early.operation_id).unwrap().unwrap().status, Status::Applied);
    assert_eq!(store.apply(&[replayed]).unwrap(), [Outcome::Duplicate]);
}

fn pages_follow_each_other_without_gaps<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let at = |area: u8| Details { phone: Phone::parse(&format!("{area}987654321")).unwrap(), ..details("Ana") };
    let mut expected: Vec<ContactId> = Vec::new();
    let mut commands = Vec::new();
    for number in 0..30u8 {
        let id = new_contact();
        commands.push(command(id, 1, Action::Create(at(if number % 3 == 0 { 85 } else { 11 }))));
        if number == 1 {
            commands.push(delete(id, 2));
        } else if number % 3 != 0 {
            expected.push(id);
        }
    }
    apply(store, &commands.iter().collect::<Vec<_>>());
    expected.sort();
    let ids = |filter: &Filter| listed(store, filter).iter().map(|contact| contact.id).collect::<Vec<_>>();
    assert_eq!(ids(&areas(|area| area.number() == 11)), expected);
    let everyone = ids(&Filter::default());
    assert!(everyone.is_sorted());
    assert_eq!(everyone.len(), 29);
    // Pages of several areas are merged.
    assert_eq!(ids(&areas(|_| true)), everyone);
    assert_eq!(ids(&areas(|area| matches!(area.number(), 11 | 85))), everyone);
    assert!(ids(&areas(|_| false)).is_empty());
}

/// All pages of a list, each of at most four.
fn listed(store: &impl Store, filter: &Filter) -> Vec<Contact> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.contacts(filter, after.as_ref(), 4).unwrap();
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { return seen };
        after = Some(filter.after(last));
        seen.extend(page);
    }
}

fn areas(choose: impl Fn(AreaCode) -> bool) -> Filter {
    let mut filter = Filter::default();
    filter.within(AreaCode::all().filter(|area| choose(*area)));
    filter
}

fn named(prefix: &str) -> Filter {
    Filter { name: Some(NameKey::prefix(prefix).unwrap()), ..Filter::default() }
}

fn names(store: &impl Store, filter: &Filter) -> Vec<String> {
    let name = |contact: &Contact| match &contact.life {
        Lifecycle::Live(details) => details.name.as_str().to_owned(),
        Lifecycle::Deleted { .. } => panic!("a deleted contact is listed"),
    };
    listed(store, filter).iter().map(name).collect()
}

fn create_at(area: u8, name: &str) -> Command {
    let phone = Phone::parse(&format!("{area}987654321")).unwrap();
    command(new_contact(), 1, Action::Create(Details { phone, ..details(name) }))
}

fn names_are_found_by_their_beginning<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let all = [
        create_at(11, "José da Silva"),
        create_at(21, "JOSE  DA COSTA"),
        create_at(85, "jose\u{301} antônio"),
        create_at(11, "Josefa"),
        create_at(27, "Joana"),
        create_at(95, "Élida"),
        create_at(19, "\u{10ffff}\u{10ffff}"),
    ];
    apply(store, &all.iter().collect::<Vec<_>>());
    let jose = ["josé antônio", "JOSE  DA COSTA", "José da Silva"];
    for prefix in ["JOSÉ", "jose", " Jos\u{e9}"] {
        assert_eq!(names(store, &named(prefix)), [&jose[..], &["Josefa"]].concat(), "{prefix}");
    }
    assert_eq!(names(store, &named("josé da")), jose[1..]);
    assert_eq!(names(store, &named("jose da silva")), jose[2..]);
    assert_eq!(names(store, &named("elida")), ["Élida"]);
    assert_eq!(names(store, &named("\u{10ffff}")), ["\u{10ffff}\u{10ffff}"]);
    for nobody in ["josé da silva x", "%", "_", "jos%", "silva"] {
        assert!(names(store, &named(nobody)).is_empty(), "{nobody}");
    }
    // With other filters.
    let both = |prefix: &str, areas: Filter| names(store, &Filter { areas: areas.areas, ..named(prefix) });
    assert_eq!(both("jos", areas(|area| area.state() == State::Sp)), ["José da Silva", "Josefa"]);
    assert_eq!(both("jo", areas(|area| area.state().region() == Region::Sudeste)).len(), 4);
    assert!(both("elida", areas(|area| area.number() == 11)).is_empty());
    assert!(both("jose", areas(|_| false)).is_empty());
    // A renamed contact is found by its new name only, a deleted one by none.
    let (renamed, gone) = (all[0].contact_id, all[1].contact_id);
    apply(store, &[&update(renamed, 9, "Álvaro Lima"), &delete(gone, 9)]);
    assert_eq!(names(store, &named("jose")), ["josé antônio", "Josefa"]);
    assert_eq!(names(store, &named("alvaro l")), ["Álvaro Lima"]);
}

fn contacts_are_found_by_address_and_number<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let with = |area: u8, name: &str, email: &str| {
        let phone = Phone::parse(&format!("{area}987654321")).unwrap();
        let details = Details { phone, email: Email::parse(email).unwrap(), ..details(name) };
        command(new_contact(), 1, Action::Create(details))
    };
    let mut all: Vec<Command> =
        (0..10).map(|number| with(11, &format!("Ana {number}"), "Shared@example.com")).collect();
    all.push(with(85, "Bia", "shared@EXAMPLE.com"));
    all.push(with(85, "Bia", "bia@example.com"));
    apply(store, &all.iter().collect::<Vec<_>>());
    let email = |text: &str| Filter { email: Some(Email::parse(text).unwrap()), ..Filter::default() };
    let phone = |text: &str| Filter { phone: Some(Phone::parse(text).unwrap()), ..Filter::default() };
    let ids = |filter: &Filter| listed(store, filter).iter().map(|contact| contact.id).collect::<Vec<_>>();
    let expected = |range: std::ops::Range<usize>| {
        let mut ids: Vec<ContactId> = all[range].iter().map(|command| command.contact_id).collect();
        ids.sort();
        ids
    };
    // Pages of four: in the order of the ids, whatever the case of an address.
    assert_eq!(ids(&email("SHARED@example.com")), expected(0..11));
    assert_eq!(ids(&phone("11 98765-4321")), expected(0..10));
    assert_eq!(ids(&phone("85 98765-4321")), expected(10..12));
    assert!(ids(&email("share@example.com")).is_empty() && ids(&phone("11 98765-4322")).is_empty());
    // With each other and with every other filter.
    let shared = || email("shared@example.com");
    assert_eq!(ids(&Filter { phone: phone("85987654321").phone, ..shared() }), expected(10..11));
    assert_eq!(ids(&Filter { areas: areas(|area| area.number() == 85).areas, ..shared() }), expected(10..11));
    assert_eq!(ids(&Filter { name: named("ana").name, ..shared() }), expected(0..10));
    assert_eq!(ids(&Filter { name: named("bia").name, ..phone("85987654321") }), expected(10..12));
    assert!(ids(&Filter { name: named("c").name, ..shared() }).is_empty());
    // A changed one is found by what it has now, a deleted one by nothing.
    let (changed, gone) = (all[0].contact_id, all[1].contact_id);
    apply(store, &[&update(changed, 9, "Ana"), &delete(gone, 9)]);
    assert_eq!(ids(&shared()), expected(2..11));
}

fn an_export_is_what_was_there_at_one_moment<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let all: Vec<Command> = (0..2_500).map(|number| create_at(11, &format!("Ana {number}"))).collect();
    for part in all.chunks(500) {
        apply(store, &part.iter().collect::<Vec<_>>());
    }
    let mut ids: Vec<ContactId> = all.iter().map(|command| command.contact_id).collect();
    ids.sort();
    let (mut seen, mut pages) = (Vec::new(), 0);
    store
        .export(&Filter::default(), &mut |contacts| {
            pages += 1;
            seen.extend(contacts.iter().map(|contact| contact.id));
            if pages == 1 {
                // What happens meanwhile is not part of it: a delete, a change, a new one at the end.
                let (gone, changed) = (*ids.last().unwrap(), ids[ids.len() - 2]);
                let new = create_at(11, "New");
                apply(store, &[&delete(gone, 9), &update(changed, 9, "Changed"), &new]);
            }
            assert!(
                contacts
                    .iter()
                    .all(|contact| matches!(&contact.life, Lifecycle::Live(it) if it.name.as_str().starts_with("Ana")))
            );
            true
        })
        .unwrap();
    assert_eq!(seen, ids);
    // By any filter, and no longer than it is wanted.
    let mut first = 0;
    store
        .export(&named("ana 1"), &mut |contacts| {
            first += contacts.len();
            false
        })
        .unwrap();
    assert_eq!(first, 1_000);
    store.export(&areas(|_| false), &mut |_| panic!("there is none")).unwrap();
    store.export(&named("bia"), &mut |_| panic!("there is none")).unwrap();
}

fn pages_of_names_go_on_beside_changes<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    // Many of one name: ids break the tie.
    let all: Vec<Command> = (0..30).map(|number| create_at(11, &format!("Ana {}", number / 10))).collect();
    apply(store, &all.iter().collect::<Vec<_>>());
    let filter = named("ana");
    let first = store.contacts(&filter, None, 12).unwrap();
    let place = filter.after(first.last().unwrap());
    let before = create_at(11, "Ana");
    let within = create_at(11, "Ana 2");
    apply(store, &[&before, &within, &delete(first[11].id, 9), &delete(all[29].contact_id, 9)]);
    let rest = store.contacts(&filter, Some(&place), 100).unwrap();
    let mut expected: Vec<ContactId> = all[12..29].iter().map(|command| command.contact_id).collect();
    expected.push(within.contact_id);
    expected.sort();
    let mut seen: Vec<ContactId> = rest.iter().map(|contact| contact.id).collect();
    seen.sort();
    assert_eq!(seen, expected);
    // A place from elsewhere does no harm.
    let elsewhere = After { name: NameKey::read("a"), ..place.clone() };
    assert_eq!(store.contacts(&filter, Some(&elsewhere), 100).unwrap().len(), 30);
    let beyond = After { name: NameKey::read("b"), ..place };
    assert_eq!(store.contacts(&filter, Some(&beyond), 100).unwrap(), []);
}

/// What an older version of the program wrote has no key.
fn names_without_a_key_get_one_by_migrating<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let all: Vec<Command> = (0..2100).map(|number| create_at(11, &format!("João {number}"))).collect();
    apply(store, &all.iter().collect::<Vec<_>>());
    apply(store, &[&delete(all[7].contact_id, 9)]);
    subject.execute("UPDATE contacts SET name_key = NULL");
    assert!(names(store, &named("joao")).is_empty());
    assert_eq!(store.migrate(Direction::Up).unwrap().len(), 0);
    assert_eq!(store.contacts(&named("JOAO"), None, 5000).unwrap().len(), 2099);
    assert_eq!(names(store, &named("joão 1234")), ["João 1234"]);
}

/// P2 and P3 on a real database: any commands, in any batches and any order, with any repetition.
fn any_order_and_repetition_ends_the_same<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let plan = (
        proptest::collection::vec(proptest::collection::vec((2i64..30, any::<bool>()), 0..5), 1..4),
        proptest::collection::vec((any::<Index>(), 1usize..7), 1..25),
    );
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let result = runner.run(&plan, |(changes, picks)| {
        let mut commands = Vec::new();
        let mut expected: BTreeMap<ContactId, Option<OperationId>> = BTreeMap::new();
        for changes in changes {
            let id = new_contact();
            let mut own = vec![create(id, "Ana")];
            for (stamp, deletes) in changes {
                own.push(if deletes { delete(id, stamp) } else { update(id, stamp, "Bia") });
            }
            let newest = own[1..].iter().max_by_key(|command| (command.stamp, command.operation_id)).unwrap_or(&own[0]);
            let deleted = own.iter().any(|command| command.action == Action::Delete);
            expected.insert(id, (!deleted).then_some(newest.operation_id));
            commands.extend(own);
        }
        for (index, size) in picks {
            let batch: Vec<&Command> = commands.iter().cycle().skip(index.index(commands.len())).take(size).collect();
            apply(store, &batch);
        }
        for _ in 0..2 {
            apply(store, &commands.iter().rev().collect::<Vec<_>>());
        }
        for (id, version) in expected {
            let contact = read(store, id);
            match version {
                Some(version) => prop_assert_eq!(contact.version, version),
                None => prop_assert!(contact.state().deleted),
            }
        }
        for command in &commands {
            prop_assert!(store.operation(command.operation_id).unwrap().is_some());
        }
        Ok(())
    });
    result.unwrap();
}

fn workers_side_by_side_do_not_harm_each_other<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    let ids: Vec<ContactId> = (0..8).map(|_| new_contact()).collect();
    let mut commands: Vec<Command> = ids.iter().map(|id| create(*id, "Ana")).collect();
    for stamp in 2..40 {
        commands.extend(ids.iter().map(|id| update(*id, stamp, &format!("Ana {stamp}"))));
    }
    let applied: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4usize)
            .map(|worker| {
                let (store, commands) = (store.clone(), &commands);
                scope.spawn(move || {
                    let mut applied = 0;
                    // Everyone applies everything, each in an order of its own.
                    let mut order: Vec<&Command> = commands.iter().collect();
                    order.rotate_left(worker * commands.len() / 4);
                    if worker % 2 == 1 {
                        order.reverse();
                    }
                    for batch in order.chunks(16).chain(order.chunks(16)) {
                        applied += apply(&store, batch).iter().filter(|outcome| **outcome == Outcome::Applied).count();
                    }
                    applied
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    for id in ids {
        assert_eq!(read(store, id).life, Lifecycle::Live(details("Ana 39")));
    }
    let recorded = commands
        .iter()
        .filter(|command| store.operation(command.operation_id).unwrap().expect("ended").status == Status::Applied);
    assert_eq!(recorded.count(), applied, "each effect is recorded once");
}

fn what_is_pruned_neither_comes_back_nor_happens_twice<S: Subject>() {
    let subject = migrated::<S>();
    let store = subject.store();
    // All of it from 2023, far beyond any retention.
    let (gone, kept, odd) = (new_contact(), new_contact(), new_contact());
    let dead = [create(gone, "Gone"), update(gone, 5, "Gone"), delete(gone, 9)];
    let alive = [create(kept, "Kept"), update(kept, 5, "Older"), update(kept, 9, "Newer")];
    let failed = update(odd, 5, "Odd");
    let all: Vec<&Command> = dead.iter().chain(&alive).collect();
    assert_eq!(apply(store, &all), [Outcome::Applied; 6]);
    let last = Attempt { last_attempt: true, ..attempt(failed.clone()) };
    assert_eq!(store.apply(&[last]).unwrap(), [Outcome::Failed(Reason::ContactNotFound)]);

    assert_eq!((store.pruned_before().unwrap(), store.prune(100).unwrap()), (None, Pruned::default()));
    let horizon = dead[0].accepted_at + chrono::TimeDelta::days(1);
    // Ended just now, though accepted long ago: too young.
    store.set_pruned_before(horizon).unwrap();
    assert_eq!(store.prune(100).unwrap(), Pruned { operations: 0, tombstones: 1 });
    let now = Timestamp::from_timestamp_micros(chrono::Utc::now().timestamp_micros()).unwrap();
    let later = now + chrono::TimeDelta::days(1);
    store.set_pruned_before(later).unwrap();
    store.set_pruned_before(horizon).unwrap();
    assert_eq!(store.pruned_before().unwrap(), Some(later), "it does not go back");
    assert_eq!(store.prune(4).unwrap(), Pruned { operations: 4, tombstones: 0 });
    assert_eq!(store.prune(4).unwrap(), Pruned { operations: 2, tombstones: 0 });
    assert_eq!(store.prune(4).unwrap(), Pruned::default());
    assert_eq!(store.contact(gone).unwrap(), None);
    assert_eq!(store.operation(dead[0].operation_id).unwrap(), None);
    assert!(store.operation(failed.operation_id).unwrap().is_some(), "its dead letter may wait");

    // Every one of them is delivered again, and replayed: nothing changes.
    let before = read(store, kept);
    for replays in [0, 1] {
        for command in dead.iter().chain(&alive).rev() {
            let again = Attempt { command: command.clone(), replays, last_attempt: true, must_fail: None };
            let outcome = store.apply(&[again]).unwrap()[0];
            assert_ne!(outcome, Outcome::Applied, "{command:?}");
        }
    }
    assert_eq!((read(store, kept), store.contact(gone).unwrap()), (before, None));
    assert_eq!(
        store.operation(dead[0].operation_id).unwrap().map(|operation| operation.status),
        Some(Status::Failed(Reason::Expired))
    );
    // What never took effect can still be replayed once its contact is there.
    let young = Command { accepted_at: later, ..create(odd, "Odd") };
    assert_eq!(apply(store, &[&young]), [Outcome::Applied]);
    let replayed = Attempt { replays: 1, ..attempt(failed) };
    assert_eq!(store.apply(&[replayed]).unwrap(), [Outcome::Applied]);
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[test] fn $name() { super::$name::<super::OnPostgres>(); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name::<super::OnSqlite>(); })*
        }
    };
}

conformance! {
    the_schema_is_asked_for_made_and_unmade,
    a_contact_lives_changes_and_dies,
    an_operation_says_how_it_ended,
    a_duplicate_changes_nothing,
    what_must_wait_leaves_no_trace,
    a_replay_of_a_failed_operation_is_a_new_try,
    pages_follow_each_other_without_gaps,
    names_are_found_by_their_beginning,
    contacts_are_found_by_address_and_number,
    an_export_is_what_was_there_at_one_moment,
    pages_of_names_go_on_beside_changes,
    names_without_a_key_get_one_by_migrating,
    any_order_and_repetition_ends_the_same,
    workers_side_by_side_do_not_harm_each_other,
    what_is_pruned_neither_comes_back_nor_happens_twice,
}

#[test]
fn a_refused_row_undoes_its_whole_batch() {
    let subject = migrated::<OnPostgres>();
    subject.database.execute("ALTER TABLE contacts ADD CONSTRAINT test CHECK (name <> 'Forbidden')");
    let (good, bad) = (create(new_contact(), "Ana"), create(new_contact(), "Forbidden"));
    let error = subject.store.apply(&[attempt(good.clone()), attempt(bad)]).unwrap_err();
    let StoreError::Rejected(text) = error else { panic!("{error:?}") };
    assert!(text.contains("test") && !text.contains("Forbidden"), "{text}");
    assert_eq!(subject.store.contact(good.contact_id).unwrap(), None);
    assert_eq!(subject.store.operation(good.operation_id).unwrap(), None);
}

#[test]
fn a_database_that_is_away_is_unavailable_and_its_password_stays_hidden() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://user:hunter2@127.0.0.1:{port}/contacts");
    let settings = contacts::config::DatabaseSettings {
        url: contacts::config::Url::from(url.as_str()),
        connect_timeout: std::time::Duration::from_millis(300),
        ..Default::default()
    };
    let error = Postgres::new(&settings).unwrap().check().unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if !text.contains("hunter2")), "{error:?}");
}

#[test]
fn two_migrations_at_once_wait_for_each_other() {
    let subject = OnPostgres::empty();
    let run: usize = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2)
            .map(|_| {
                let settings = subject.database.settings();
                scope.spawn(move || Postgres::new(&settings).unwrap().migrate(Direction::Up).unwrap().len())
            })
            .collect();
        both.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(run, MIGRATIONS);
}

/// While a rolling change runs, the version before the search changes names without their keys.
#[test]
fn a_name_that_an_older_version_changed_is_not_found_by_its_old_one() {
    let subject = migrated::<OnPostgres>();
    let store = &subject.store;
    let all = [create_at(11, "Ana Souza"), create_at(11, "Ana Lima"), create_at(11, "Ana Costa")];
    apply(store, &all.iter().collect::<Vec<_>>());
    let [changed, erased, same] = all.each_ref().map(|command| command.contact_id);
    subject.database.execute(&format!(
        "UPDATE contacts SET name = 'Bia' WHERE id = '{changed}'; \
         UPDATE contacts SET name = 'ANÁ  COSTA' WHERE id = '{same}'; \
         UPDATE contacts SET deleted_at = now(), name = NULL, phone = NULL, ddd = NULL, email = NULL \
         WHERE id = '{erased}'"
    ));
    assert_eq!(names(store, &named("a")), ["ANÁ  COSTA"]);
    assert!(names(store, &named("bia")).is_empty());
    assert_eq!(subject.database.count("contacts WHERE deleted_at IS NOT NULL AND name_key IS NOT NULL"), 0);
    store.migrate(Direction::Up).unwrap();
    assert_eq!(names(store, &named("bia")), ["Bia"]);
}
