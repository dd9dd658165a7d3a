//! Tests of the store interface. The same tests run against PostgreSQL and SQLite.

use crate::support::{Database, command, create, delete, details, new_contact, patch, update};
use contacts::domain::{
    Action, AreaCode, Attempt, Command, Contact, ContactId, Details, Email, EmailPatch, ErasedValues, Erasure,
    ErasureId, FailedOperation, Fingerprint, Lifecycle, Name, NameKey, OperationId, OperationKind, Origin, Outcome,
    Patch, Phone, Reason, Region, Search, State, Status, Timestamp,
};
use contacts::store::postgres::Postgres;
use contacts::store::sqlite::Sqlite;
use contacts::store::{
    ChangePosition, Direction, DuplicatePage, DuplicatesBy, Filter, ListPosition, Pruned, Sort, SortKey, Store,
    StoreError,
};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use tempfile::TempDir;
use uuid::Uuid;

/// The number of migrations.
const MIGRATIONS: usize = 11;
/// The number of migrations after the one that makes the e-mail address optional.
const AFTER_OPTIONAL_EMAIL: usize = 7;

/// A database for one test.
pub trait TestDatabase {
    type Store: Store + Clone + 'static;
    /// Whether the words of a name have a column of their own.
    const HAS_WORDS: bool;
    /// An empty database without the schema.
    fn empty() -> Self;
    fn store(&self) -> &Self::Store;
    /// Runs SQL that both databases understand.
    fn execute(&self, sql: &str);
    /// Removes all changes after this place, as the restore of a backup would.
    fn set_back(&self, last: ChangePosition);
    fn keep_old_values(store: Self::Store) -> Self::Store;
}

pub struct PostgresDatabase {
    pub store: Postgres,
    pub inner: Database,
}

impl TestDatabase for PostgresDatabase {
    type Store = Postgres;
    const HAS_WORDS: bool = false;
    fn empty() -> Self {
        let inner = Database::new();
        Self { store: Postgres::new(&inner.settings()).unwrap(), inner }
    }
    fn store(&self) -> &Postgres {
        &self.store
    }
    fn keep_old_values(store: Postgres) -> Postgres {
        store.keep_old_values(true)
    }
    fn execute(&self, sql: &str) {
        self.inner.execute(sql);
    }
    fn set_back(&self, last: ChangePosition) {
        self.inner.execute(&format!(
            "ALTER TABLE operations DISABLE TRIGGER USER; DELETE FROM operations WHERE position > {last}; \
             ALTER TABLE operations ENABLE TRIGGER USER; SELECT setval('changes_position', {last} / 65536 * 65536)",
            last = last.position
        ));
    }
}

pub struct SqliteDatabase {
    store: Sqlite,
    folder: TempDir,
}

impl TestDatabase for SqliteDatabase {
    type Store = Sqlite;
    const HAS_WORDS: bool = true;
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Sqlite::new(&folder.path().join("contacts.db")).unwrap(), folder }
    }
    fn store(&self) -> &Sqlite {
        &self.store
    }
    fn keep_old_values(store: Sqlite) -> Sqlite {
        store.keep_old_values(true)
    }
    fn execute(&self, sql: &str) {
        let file = self.folder.path().join("contacts.db");
        SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(sql).unwrap();
    }
    fn set_back(&self, last: ChangePosition) {
        // Without its position, a row is removed as if it had never been there.
        self.execute(&format!(
            "UPDATE operations SET position = NULL WHERE position > {last}; UPDATE changes SET last = {last}; \
             DELETE FROM operations WHERE status = 'applied' AND position IS NULL",
            last = last.position
        ));
    }
}

pub fn migrated<D: TestDatabase>() -> D {
    let database = D::empty();
    database.store().migrate(Direction::Up).unwrap();
    database
}

pub fn attempt(command: Command) -> Attempt {
    Attempt::new(command)
}

pub fn apply(store: &impl Store, commands: &[&Command]) -> Vec<Outcome> {
    let batch: Vec<Attempt> = commands.iter().map(|command| attempt((*command).clone())).collect();
    // Two workers on one row may have to retry. No other error may occur.
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

/// Another program wrote the row. A worker that stopped here would also leave the changes of all other contacts.
fn a_row_that_cannot_be_read_rejects_only_its_own_commands<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let (first, second) = (create(new_contact(), "Ana Souza"), create(new_contact(), "Bia Lima"));
    apply(store, &[&first, &second]);
    database.execute("UPDATE contacts SET phone = 'none' WHERE name = 'Ana Souza'");
    let update = |created: &Command| update(created.contact_id, 10, "Carla Dias");
    let Err(StoreError::Rejected(why)) = store.apply(&[attempt(update(&first))]) else { panic!("not rejected") };
    assert!(why.contains("contacts.phone") && !why.contains("none"), "{why}");
    assert_eq!(apply(store, &[&update(&second)]), [Outcome::Applied]);
    let Err(StoreError::Rejected(_)) = store.contact(first.contact_id) else { panic!("it can be read") };
}

fn the_schema_is_checked_created_and_reverted<D: TestDatabase>() {
    let database = D::empty();
    let store = database.store();
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

fn a_contact_can_have_no_address<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let without = Details { email: None, ..details("Ana") };
    let created = Command { action: Action::Create(without.clone()), ..create(id, "Ana") };
    assert_eq!(apply(store, &[&created]), [Outcome::Applied]);
    assert_eq!(read(store, id).life, Lifecycle::Live(without.clone()));
    assert_eq!(store.contacts(&Filter::default(), None, 10).unwrap().len(), 1);
    let filter = Filter { email: Some(Email::parse("someone@example.com").unwrap()), ..Filter::default() };
    assert_eq!(store.contacts(&filter, None, 10).unwrap(), []);
    // An update adds the address and removes it again.
    assert_eq!(apply(store, &[&update(id, 50, "Ana")]), [Outcome::Applied]);
    assert_eq!(store.contacts(&filter, None, 10).unwrap().len(), 1);
    let removed = Command { action: Action::Update(without.clone()), ..update(id, 60, "Ana") };
    assert_eq!(apply(store, &[&removed]), [Outcome::Applied]);
    assert_eq!(read(store, id).life, Lifecycle::Live(without));
    assert_eq!(store.contacts(&filter, None, 10).unwrap(), []);
    // An older version could not read this contact, so the schema cannot go back.
    for _ in 0..AFTER_OPTIONAL_EMAIL {
        store.migrate(Direction::Down).unwrap();
    }
    assert!(store.migrate(Direction::Down).is_err());
    assert_eq!(store.migrate(Direction::Up).unwrap().len(), AFTER_OPTIONAL_EMAIL);
    store.check().unwrap();
}

fn a_contact_is_created_updated_and_deleted<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let created = create(id, "Ana");
    assert_eq!(apply(store, &[&created]), [Outcome::Applied]);
    let contact = read(store, id);
    assert_eq!((contact.version, contact.created_by), (created.operation_id, created.operation_id));
    assert_eq!((contact.created_at, contact.updated_at), (created.accepted_at, created.accepted_at));
    assert_eq!(contact.life, Lifecycle::Live(details("Ana")));

    let updated = update(id, 50, "Ana Lima");
    assert_eq!(apply(store, &[&updated]), [Outcome::Applied]);
    let contact = read(store, id);
    assert_eq!((contact.version, contact.created_by), (updated.operation_id, created.operation_id));
    assert_eq!((contact.created_at, contact.updated_at), (created.accepted_at, updated.accepted_at));
    assert_eq!(contact.life, Lifecycle::Live(details("Ana Lima")));

    let deleted = delete(id, 20);
    assert_eq!(apply(store, &[&deleted]), [Outcome::Applied]);
    assert_eq!(read(store, id).life, Lifecycle::Deleted { at: deleted.accepted_at });
    assert_eq!(store.contacts(&Filter::default(), None, 10).unwrap(), []);
    assert_eq!(apply(store, &[&update(id, 99, "Ghost")]), [Outcome::Failed(Reason::ContactDeleted)]);
}

fn patches_are_merged_by_member<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let name = |text: &str| Patch { name: Name::parse(text).ok(), ..Patch::default() };
    let removal = Patch { email: Some(EmailPatch::Remove), ..Patch::default() };
    let expected = Details { email: None, ..details("Ana Lima") };
    // The newer patch comes first. The details of the contact come from the database, or from the same batch.
    for sizes in [[1, 1, 1], [1, 2, 0], [2, 1, 0], [3, 0, 0]] {
        let id = new_contact();
        let (created, newer, older) =
            (create(id, "Ana"), patch(id, 60, removal.clone()), patch(id, 50, name("Ana Lima")));
        let mut rest = &[&created, &newer, &older][..];
        for size in sizes {
            let (batch, others) = rest.split_at(size);
            rest = others;
            assert_eq!(apply(store, batch), vec![Outcome::Applied; size]);
        }
        let contact = read(store, id);
        assert_eq!(contact.details(), Some(&expected), "{sizes:?}");
        assert_eq!(contact.stamp, newer.stamp);
        assert_eq!(store.operation(older.operation_id).unwrap().unwrap().kind, OperationKind::Patch);
        let writes = contact.member_writes();
        assert_eq!((writes.name.1, writes.email.1), (older.operation_id, newer.operation_id));
        // An update between the two patches changes only what no newer patch has changed.
        assert_eq!(apply(store, &[&update(id, 55, "Bia")]), [Outcome::Applied]);
        assert_eq!(read(store, id).details(), Some(&Details { email: None, ..details("Bia") }));
        assert_eq!(apply(store, &[&patch(id, 54, name("Old"))]), [Outcome::Superseded]);
        assert_eq!(apply(store, &[&update(id, 70, "Caio")]), [Outcome::Applied]);
        assert_eq!((read(store, id).details(), read(store, id).writes), (Some(&details("Caio")), None));
        // A program without the column changes the version and leaves the text as it is: then the text does not count.
        assert_eq!(apply(store, &[&patch(id, 80, removal.clone())]), [Outcome::Applied]);
        assert!(read(store, id).writes.is_some());
        database.execute("UPDATE contacts SET version = created_by");
        assert_eq!(read(store, id).writes, None);
        assert_eq!(apply(store, &[&delete(id, 1)]), [Outcome::Applied]);
        assert_eq!(apply(store, &[&patch(id, 90, removal.clone())]), [Outcome::Failed(Reason::ContactDeleted)]);
    }
    let missing = patch(new_contact(), 50, removal);
    assert_eq!(apply(store, &[&missing]), [Outcome::Wait(Reason::ContactNotFound)]);
}

fn a_finished_operation_has_its_status<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
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

fn a_failure_of_an_unreadable_message_is_recorded_once<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let created = Command { fingerprint: Some(Fingerprint(7)), ..create(id, "Ana") };
    let failed = |replays, reason| FailedOperation {
        id: created.operation_id,
        contact_id: ContactId::new(uuid::Uuid::nil()),
        kind: OperationKind::Insert,
        reason,
        replays,
        accepted_at: created.accepted_at,
        origin: Origin::default(),
    };
    let status = || store.operation(created.operation_id).unwrap().unwrap().status;
    store.record_failure(&failed(0, Reason::UnknownSchema)).unwrap();
    store.record_failure(&failed(0, Reason::Undecodable)).unwrap();
    assert_eq!(status(), Status::Failed(Reason::UnknownSchema));
    store.record_failure(&failed(1, Reason::Undecodable)).unwrap();
    assert_eq!(status(), Status::Failed(Reason::Undecodable));
    // A newer version can read the message, and an operator replays it.
    let replayed = Attempt { replays: 2, ..attempt(created.clone()) };
    assert_eq!(store.apply(std::slice::from_ref(&replayed)).unwrap(), [Outcome::Applied]);
    // The operation has everything that the unreadable message did not show.
    let operation = store.operation(created.operation_id).unwrap().unwrap();
    assert_eq!((operation.contact_id, operation.fingerprint), (id, created.fingerprint));
    store.record_failure(&failed(3, Reason::Undecodable)).unwrap();
    assert_eq!(status(), Status::Applied);
}

fn a_duplicate_changes_nothing<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let (created, changed) = (create(id, "Ana"), update(id, 9, "Bia"));
    assert_eq!(apply(store, &[&created, &created]), [Outcome::Applied, Outcome::Duplicate]);
    assert_eq!(apply(store, &[&changed, &created]), [Outcome::Applied, Outcome::Duplicate]);
    let before = (read(store, id), store.operation(changed.operation_id).unwrap());
    assert_eq!(apply(store, &[&changed]), [Outcome::Duplicate]);
    assert_eq!((read(store, id), store.operation(changed.operation_id).unwrap()), before);
}

fn a_command_that_must_wait_writes_nothing<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let early = update(id, 9, "Early");
    assert_eq!(apply(store, &[&early]), [Outcome::Wait(Reason::ContactNotFound)]);
    assert_eq!((store.contact(id).unwrap(), store.operation(early.operation_id).unwrap()), (None, None));
    // Together with its create in one batch, in any order, it does not wait.
    assert_eq!(apply(store, &[&early, &create(id, "Ana")]), [Outcome::Applied, Outcome::Applied]);
    assert_eq!(read(store, id).life, Lifecycle::Live(details("Early")));
}

fn a_replay_of_a_failed_operation_is_applied_again<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let early = update(id, 9, "Early");
    let failed = Outcome::Failed(Reason::ContactNotFound);
    let last = Attempt { last_attempt: true, ..attempt(early.clone()) };
    assert_eq!(store.apply(std::slice::from_ref(&last)).unwrap(), [failed]);
    apply(store, &[&create(id, "Ana")]);
    assert_eq!(apply(store, &[&early]), [failed], "a redelivery is not a replay");
    let replayed = Attempt { replays: 1, ..last };
    assert_eq!(store.apply(std::slice::from_ref(&replayed)).unwrap(), [Outcome::Applied]);
    assert_eq!(store.operation(early.operation_id).unwrap().unwrap().status, Status::Applied);
    assert_eq!(store.apply(&[replayed]).unwrap(), [Outcome::Duplicate]);
}

fn pages_have_no_gaps<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let in_area = |area: u8| Details { phone: Phone::parse(&format!("{area}987654321")).unwrap(), ..details("Ana") };
    let mut expected: Vec<ContactId> = Vec::new();
    let mut commands = Vec::new();
    for number in 0..30u8 {
        let id = new_contact();
        commands.push(command(id, 1, Action::Create(in_area(if number % 3 == 0 { 85 } else { 11 }))));
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
    let all = ids(&Filter::default());
    assert!(all.is_sorted());
    assert_eq!(all.len(), 29);
    // Pages of several areas are merged.
    assert_eq!(ids(&areas(|_| true)), all);
    assert_eq!(ids(&areas(|area| matches!(area.number(), 11 | 85))), all);
    assert!(ids(&areas(|_| false)).is_empty());
}

/// All contacts of a list, read in pages of at most four.
fn listed(store: &impl Store, filter: &Filter) -> Vec<Contact> {
    let (mut contacts, mut after) = (Vec::new(), None);
    loop {
        let page = store.contacts(filter, after.as_ref(), 4).unwrap();
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { return contacts };
        after = Some(filter.position_of(last));
        contacts.extend(page);
    }
}

/// A filter for these areas.
fn areas(is_in: impl Fn(AreaCode) -> bool) -> Filter {
    let mut filter = Filter::default();
    filter.restrict_to(AreaCode::all().filter(|area| is_in(*area)));
    filter
}

/// A filter for this search.
fn named(prefix: &str) -> Filter {
    Filter { search: Some(Search::parse(prefix).unwrap()), ..Filter::default() }
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

fn names_are_found_by_their_prefix<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
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
    assert_eq!(names(store, &named("silva jos")), ["José da Silva"]);
    assert_eq!(names(store, &named("\u{10ffff}")), ["\u{10ffff}\u{10ffff}"]);
    for prefix in ["josé da silva x", "%", "_", "ilva"] {
        assert!(names(store, &named(prefix)).is_empty(), "{prefix}");
    }
    // Together with other filters.
    let both = |prefix: &str, areas: Filter| names(store, &Filter { areas: areas.areas, ..named(prefix) });
    assert_eq!(both("jos", areas(|area| area.state() == State::Sp)), ["José da Silva", "Josefa"]);
    assert_eq!(both("jo", areas(|area| area.state().region() == Region::Sudeste)).len(), 4);
    assert!(both("elida", areas(|area| area.number() == 11)).is_empty());
    assert!(both("jose", areas(|_| false)).is_empty());
    // A renamed contact is found only by its new name. A deleted contact is not found.
    let (renamed, deleted) = (all[0].contact_id, all[1].contact_id);
    apply(store, &[&update(renamed, 9, "Álvaro Lima"), &delete(deleted, 9)]);
    assert_eq!(names(store, &named("jose")), ["josé antônio", "Josefa"]);
    assert_eq!(names(store, &named("alvaro l")), ["Álvaro Lima"]);
}

fn contacts_are_found_by_address_and_number<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let with = |area: u8, name: &str, email: &str| {
        let phone = Phone::parse(&format!("{area}987654321")).unwrap();
        let details = Details { phone, email: Some(Email::parse(email).unwrap()), ..details(name) };
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
    // The pages are in the order of the ids. The case of an address does not matter.
    assert_eq!(ids(&email("SHARED@example.com")), expected(0..11));
    assert_eq!(ids(&phone("11 98765-4321")), expected(0..10));
    assert_eq!(ids(&phone("85 98765-4321")), expected(10..12));
    assert!(ids(&email("share@example.com")).is_empty() && ids(&phone("11 98765-4322")).is_empty());
    // Together with each other and with every other filter.
    let shared = || email("shared@example.com");
    assert_eq!(ids(&Filter { phone: phone("85987654321").phone, ..shared() }), expected(10..11));
    assert_eq!(ids(&Filter { areas: areas(|area| area.number() == 85).areas, ..shared() }), expected(10..11));
    assert_eq!(ids(&Filter { search: named("ana").search, ..shared() }), expected(0..10));
    assert_eq!(ids(&Filter { search: named("bia").search, ..phone("85987654321") }), expected(10..12));
    assert!(ids(&Filter { search: named("c").search, ..shared() }).is_empty());
    // A changed contact is found only by its new address. A deleted contact is not found.
    let (changed, deleted) = (all[0].contact_id, all[1].contact_id);
    apply(store, &[&update(changed, 9, "Ana"), &delete(deleted, 9)]);
    assert_eq!(ids(&shared()), expected(2..11));
}

fn an_export_reads_one_snapshot<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let all: Vec<Command> = (0..2_500).map(|number| create_at(11, &format!("Ana {number}"))).collect();
    for part in all.chunks(500) {
        apply(store, &part.iter().collect::<Vec<_>>());
    }
    let mut ids: Vec<ContactId> = all.iter().map(|command| command.contact_id).collect();
    ids.sort();
    let (mut exported, mut pages) = (Vec::new(), 0);
    store
        .export(&Filter::default(), &mut |contacts| {
            pages += 1;
            exported.extend(contacts.iter().map(|contact| contact.id));
            if pages == 1 {
                // Changes during the export are not part of it: a delete, an update, a new contact at the end.
                let (deleted, changed) = (*ids.last().unwrap(), ids[ids.len() - 2]);
                let new = create_at(11, "New");
                apply(store, &[&delete(deleted, 9), &update(changed, 9, "Changed"), &new]);
            }
            assert!(contacts.iter().all(
                |contact| matches!(&contact.life, Lifecycle::Live(details) if details.name.as_str().starts_with("Ana"))
            ));
            true
        })
        .unwrap();
    assert_eq!(exported, ids);
    // An export can have a filter, and it ends when a page returns false.
    let mut first_page = 0;
    store
        .export(&named("ana 1"), &mut |contacts| {
            first_page += contacts.len();
            false
        })
        .unwrap();
    assert_eq!(first_page, 1_000);
    store.export(&areas(|_| false), &mut |_| panic!("no contact matches")).unwrap();
    store.export(&named("bia"), &mut |_| panic!("no contact matches")).unwrap();
}

fn pages_of_names_continue_despite_changes<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    // Many contacts have the same name, so the order also depends on the ids.
    let all: Vec<Command> = (0..30).map(|number| create_at(11, &format!("Ana {}", number / 10))).collect();
    apply(store, &all.iter().collect::<Vec<_>>());
    let filter = named("ana");
    let first = store.contacts(&filter, None, 12).unwrap();
    let position = filter.position_of(first.last().unwrap());
    let before = create_at(11, "Ana");
    let within = create_at(11, "Ana 2");
    apply(store, &[&before, &within, &delete(first[11].id, 9), &delete(all[29].contact_id, 9)]);
    let rest = store.contacts(&filter, Some(&position), 100).unwrap();
    let mut expected: Vec<ContactId> = all[12..29].iter().map(|command| command.contact_id).collect();
    expected.push(within.contact_id);
    expected.sort();
    let mut listed: Vec<ContactId> = rest.iter().map(|contact| contact.id).collect();
    listed.sort();
    assert_eq!(listed, expected);
    // A position outside the range of the prefix is harmless.
    let before_range = ListPosition { key: NameKey::read("a").map(SortKey::Name), ..position.clone() };
    assert_eq!(store.contacts(&filter, Some(&before_range), 100).unwrap().len(), 30);
    let after_range = ListPosition { key: NameKey::read("b").map(SortKey::Name), ..position };
    assert_eq!(store.contacts(&filter, Some(&after_range), 100).unwrap(), []);
}

/// Both databases find what the rule of the domain finds, in the order of the list, in pages without gaps.
fn a_search_finds_what_its_rule_says<D: TestDatabase>() {
    const WORDS: [&str; 12] = [
        "Ana",
        "ANA",
        "Lima",
        "d'Ávila",
        "Lima-Neto",
        "José",
        "(Bar)",
        "24h",
        "4321",
        "Zoë",
        "👩\u{200d}🚀",
        "\u{10ffff}x",
    ];
    const SEARCHES: [&str; 25] = [
        "ana",
        "lima ana",
        "AN",
        "l",
        "avila",
        "d'av",
        "neto li",
        "jose",
        "bar",
        "24",
        "4321",
        "321",
        "98765-4321",
        "zoe",
        "👩\u{200d}🚀",
        "\u{10ffff}",
        "example",
        "ana.lima@",
        "xample.c",
        "an_a",
        "%",
        "_",
        "\"ana\" OR",
        "ana OR lima",
        "-",
    ];
    let database = migrated::<D>();
    let store = database.store();
    let mut random = 7usize;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut live = BTreeMap::new();
    for number in 0..400usize {
        let id = new_contact();
        let words: Vec<&str> = (0..=next(3)).map(|_| WORDS[next(WORDS.len())]).collect();
        let email = match next(4) {
            0 => None,
            1 => Some(format!("an_a{number}@lima.com")),
            _ => Some(format!("Ana.Lima{}@Example.com", next(50))),
        };
        let phone = format!("{}9{:04}{}", [11, 21, 85][next(3)], next(9_999), [4321, 1234, 5678][next(3)]);
        let details_named = crate::support::details;
        let details = Details::parse(&words.join(" "), &phone, email.as_deref()).unwrap();
        apply(store, &[&command(id, 1, Action::Create(details.clone()))]);
        match next(10) {
            0 => {
                apply(store, &[&delete(id, 5)]);
            }
            1 => {
                apply(store, &[&update(id, 5, "Bia Lima")]);
                live.insert(id, details_named("Bia Lima"));
            }
            _ => {
                live.insert(id, details);
            }
        }
    }
    for text in SEARCHES {
        let search = Search::parse(text).unwrap();
        let expected: Vec<ContactId> =
            live.iter().filter(|(_, details)| search.finds(details)).map(|(id, _)| *id).collect();
        for sort in [None, Some(Sort::Id), Some(Sort::Name), Some(Sort::LastChanged)] {
            for in_areas in [None, areas(|area| area.number() == 11).areas] {
                let filter = Filter { search: Some(search.clone()), sort, areas: in_areas, ..Filter::default() };
                let contacts = listed(store, &filter);
                let key = |contact: &Contact| NameKey::of(&contact.details().unwrap().name);
                let ordered = contacts.windows(2).all(|pair| {
                    let ([one, two], [a, b]) = ([key(&pair[0]), key(&pair[1])], [&pair[0], &pair[1]]);
                    match sort {
                        Some(Sort::Id) => a.id < b.id,
                        Some(Sort::Name) => (one, a.id) < (two, b.id),
                        Some(Sort::LastChanged) => (a.updated_at, a.id) > (b.updated_at, b.id),
                        None => match (one.begins_with(search.text()), two.begins_with(search.text())) {
                            (true, true) => (one, a.id) < (two, b.id),
                            // The order of all others is not part of the interface.
                            (false, false) => true,
                            (first, _) => first,
                        },
                    }
                });
                assert!(ordered, "{text} {sort:?}");
                let mut found: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
                found.sort();
                let mut expected = expected.clone();
                if let Some(areas) = &filter.areas {
                    expected.retain(|id| areas.contains(&live[id].phone.area()));
                }
                assert_eq!(found, expected, "{text} {sort:?} {:?}", filter.areas);
            }
        }
    }
    // An estimate needs statistics in PostgreSQL. It is at least a number for every filter.
    let everyone = store.estimated_total(&Filter::default()).unwrap();
    for text in SEARCHES {
        assert!(store.estimated_total(&named(text)).unwrap() <= everyone.max(400), "{text}");
    }
    let one = live.values().next().unwrap();
    let filter = Filter { phone: Some(one.phone), email: one.email.clone(), ..named("an") };
    for sort in [None, Some(Sort::Name), Some(Sort::LastChanged)] {
        let filter = Filter { sort, ..filter.clone() };
        let contacts = listed(store, &filter);
        assert!(contacts.iter().all(|contact| contact.details().unwrap().phone == one.phone), "{sort:?}");
        assert!(store.estimated_total(&filter).is_ok());
    }
}

fn duplicates_are_grouped_by_number_and_address<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let with = |number: u32, email: Option<&str>| {
        let details = Details::parse("Ana", &format!("119{number:08}"), email).unwrap();
        command(new_contact(), 1, Action::Create(details))
    };
    let mut commands = vec![with(7, Some("Shared@example.com")), with(7, Some("one@example.com"))];
    commands.extend((0..5).map(|_| with(3, Some("shared@Example.com"))));
    commands.extend((10..40).map(|number| with(number, None)));
    commands.extend([with(5, None), with(5, None)]);
    apply(store, &commands.iter().collect::<Vec<_>>());
    apply(store, &[&delete(commands.last().unwrap().contact_id, 9)]);
    let number = |number: u32| format!("+55119{number:08}");
    let all = store.duplicates(DuplicatesBy::Phone, None, 10).unwrap();
    assert_eq!(all, DuplicatePage { groups: vec![(number(3), 5), (number(7), 2)], next: None });
    let first = store.duplicates(DuplicatesBy::Phone, None, 1).unwrap();
    assert_eq!(first, DuplicatePage { groups: vec![(number(3), 5)], next: Some(number(7)) });
    let second = store.duplicates(DuplicatesBy::Phone, first.next.as_deref(), 1).unwrap();
    assert_eq!(second, DuplicatePage { groups: vec![(number(7), 2)], next: None });
    let emails = store.duplicates(DuplicatesBy::Email, None, 10).unwrap();
    assert_eq!(emails.groups, [("shared@example.com".to_owned(), 6)]);
    // Contacts with a number and a name.
    let people = [(3, "ANÁ"), (99, "Ana"), (3, "Bia"), (10, "ana")];
    let people = people.map(|(n, name)| (Phone::parse(&number(n)).unwrap(), NameKey::prefix(name).unwrap()));
    let found: Vec<bool> = store.existing(&people).unwrap().iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false, false, true]);
}

/// An older version of the program writes rows without a key.
fn a_migration_adds_missing_name_keys<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let all: Vec<Command> = (0..2100).map(|number| create_at(11, &format!("João {number}"))).collect();
    apply(store, &all.iter().collect::<Vec<_>>());
    apply(store, &[&delete(all[7].contact_id, 9)]);
    database.execute("UPDATE contacts SET name_key = NULL");
    // A name that an older version accepted.
    database.execute("UPDATE contacts SET name = 'João \u{202e} Velho' WHERE name = 'João 5'");
    assert!(names(store, &named("joao")).is_empty());
    assert_eq!(store.migrate(Direction::Up).unwrap().len(), 0);
    assert_eq!(store.contacts(&named("JOAO"), None, 5000).unwrap().len(), 2099);
    assert_eq!(names(store, &named("joão 1234")), ["João 1234"]);
    assert_eq!(names(store, &named("velho")), ["João \u{202e} Velho"]);
    // Names in another order than the ids.
    let others: Vec<Command> = (0..2100).rev().map(|number| create_at(11, &format!("{number:04} Zé"))).collect();
    apply(store, &others.iter().collect::<Vec<_>>());
    if D::HAS_WORDS {
        database.execute("UPDATE contacts SET words = NULL");
        assert!(names(store, &named("ze 0")).is_empty());
        store.migrate(Direction::Up).unwrap();
    }
    assert_eq!(store.contacts(&named("ze"), None, 5000).unwrap().len(), 2100);
}

/// A patch of one or two members.
fn some_members(kind: u8) -> Patch {
    let values = details("Caio");
    Patch {
        name: kind.is_multiple_of(2).then_some(values.name),
        phone: (kind == 5).then_some(values.phone),
        email: (kind >= 6).then_some(EmailPatch::Remove),
    }
}

/// Which members a command writes.
fn writes(action: &Action) -> [bool; 3] {
    match action {
        Action::Patch(patch) => [patch.name.is_some(), patch.phone.is_some(), patch.email.is_some()],
        Action::Create(_) | Action::Update(_) => [true; 3],
        Action::Delete => [false; 3],
    }
}

/// The properties P2 and P3 on a real database: any commands, in any batches, any order and with any repetition.
fn any_order_and_repetition_has_the_same_result<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let plan = (
        proptest::collection::vec(proptest::collection::vec((2i64..30, 0u8..8), 0..5), 1..4),
        proptest::collection::vec((any::<Index>(), 1usize..7), 1..25),
    );
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let result = runner.run(&plan, |(changes, picks)| {
        let mut commands = Vec::new();
        let mut expected: BTreeMap<ContactId, Option<[OperationId; 3]>> = BTreeMap::new();
        for changes in changes {
            let id = new_contact();
            let mut of_contact = vec![create(id, "Ana")];
            for (stamp, kind) in changes {
                of_contact.push(match kind {
                    0 => delete(id, stamp),
                    1..4 => update(id, stamp, "Bia"),
                    _ => patch(id, stamp, some_members(kind)),
                });
            }
            let deleted = of_contact.iter().any(|command| command.action == Action::Delete);
            // For each member, the newest command that writes it.
            let newest = [0, 1, 2].map(|member| {
                let writers = of_contact[1..].iter().filter(|command| writes(&command.action)[member]);
                let newest = writers.max_by_key(|command| (command.stamp, command.operation_id));
                newest.unwrap_or(&of_contact[0]).operation_id
            });
            expected.insert(id, (!deleted).then_some(newest));
            commands.extend(of_contact);
        }
        for (index, size) in picks {
            let batch: Vec<&Command> = commands.iter().cycle().skip(index.index(commands.len())).take(size).collect();
            apply(store, &batch);
        }
        for _ in 0..2 {
            apply(store, &commands.iter().rev().collect::<Vec<_>>());
        }
        for (id, newest) in expected {
            let contact = read(store, id);
            match newest {
                Some(newest) => {
                    let writes = contact.member_writes();
                    prop_assert_eq!([writes.name, writes.phone, writes.email].map(|(_, operation)| operation), newest);
                }
                None => prop_assert!(contact.is_deleted()),
            }
        }
        for command in &commands {
            prop_assert!(store.operation(command.operation_id).unwrap().is_some());
        }
        Ok(())
    });
    result.unwrap();
}

fn concurrent_workers_apply_each_command_once<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
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
                    // Every worker applies all commands in its own order.
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
        .filter(|command| store.operation(command.operation_id).unwrap().expect("finished").status == Status::Applied);
    assert_eq!(recorded.count(), applied, "each command takes effect once");
}

fn pruned_commands_take_no_effect_again<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    // All commands are from 2023, which is older than any retention.
    let (deleted, kept, missing) = (new_contact(), new_contact(), new_contact());
    let of_deleted = [create(deleted, "Gone"), update(deleted, 5, "Gone"), delete(deleted, 9)];
    let of_kept = [create(kept, "Kept"), update(kept, 5, "Older"), update(kept, 9, "Newer")];
    let failed = Command { fingerprint: Some(Fingerprint(7)), ..update(missing, 5, "Odd") };
    let all: Vec<&Command> = of_deleted.iter().chain(&of_kept).collect();
    assert_eq!(apply(store, &all), [Outcome::Applied; 6]);
    let last = Attempt { last_attempt: true, ..attempt(failed.clone()) };
    assert_eq!(store.apply(&[last]).unwrap(), [Outcome::Failed(Reason::ContactNotFound)]);

    assert_eq!((store.pruned_before().unwrap(), store.prune(100).unwrap()), (None, Pruned::default()));
    let horizon = of_deleted[0].accepted_at + chrono::TimeDelta::days(1);
    // The operations were accepted long ago, but finished just now. So they are not old enough.
    store.set_pruned_before(horizon).unwrap();
    assert_eq!(store.prune(100).unwrap(), Pruned { operations: 0, tombstones: 1, digests: 0 });
    let now = Timestamp::from_timestamp_micros(chrono::Utc::now().timestamp_micros()).unwrap();
    let later = now + chrono::TimeDelta::days(1);
    store.set_pruned_before(later).unwrap();
    store.set_pruned_before(horizon).unwrap();
    assert_eq!(store.pruned_before().unwrap(), Some(later), "the horizon does not move back");
    assert_eq!(store.prune(4).unwrap(), Pruned { operations: 4, tombstones: 0, digests: 0 });
    assert_eq!(store.prune(4).unwrap(), Pruned { operations: 2, tombstones: 0, digests: 0 });
    assert_eq!(store.prune(4).unwrap(), Pruned { operations: 0, tombstones: 0, digests: 1 });
    assert_eq!(store.prune(4).unwrap(), Pruned::default());
    assert_eq!(store.contact(deleted).unwrap(), None);
    assert_eq!(store.operation(of_deleted[0].operation_id).unwrap(), None);
    // Its message can be in the dead letter queue. The digest of its request says something about the person.
    assert_eq!(store.operation(failed.operation_id).unwrap().unwrap().fingerprint, None);

    // Redeliveries and replays of all commands change nothing.
    let before = read(store, kept);
    for replays in [0, 1] {
        for command in of_deleted.iter().chain(&of_kept).rev() {
            let again = Attempt { replays, last_attempt: true, ..Attempt::new(command.clone()) };
            let outcome = store.apply(&[again]).unwrap()[0];
            assert_ne!(outcome, Outcome::Applied, "{command:?}");
        }
    }
    assert_eq!((read(store, kept), store.contact(deleted).unwrap()), (before, None));
    assert_eq!(
        store.operation(of_deleted[0].operation_id).unwrap().map(|operation| operation.status),
        Some(Status::Failed(Reason::Expired))
    );
    // The failed operation can still be replayed after its contact exists.
    let recent = Command { accepted_at: later, ..create(missing, "Odd") };
    assert_eq!(apply(store, &[&recent]), [Outcome::Applied]);
    let replayed = Attempt { replays: 1, ..attempt(failed) };
    assert_eq!(store.apply(&[replayed]).unwrap(), [Outcome::Applied]);
}

/// Runs each test on both databases.
fn erasure(erased_at: Timestamp, values: ErasedValues) -> Erasure {
    Erasure { id: ErasureId::new(Uuid::now_v7()), erased_at, values }
}

fn an_erasure_rejects_the_commands_from_before_it<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let (earlier, later) = (create(new_contact(), "Ana"), create(new_contact(), "Ana"));
    let phone = Phone::parse("11987654321").unwrap();
    let mut erased = erasure(earlier.accepted_at, ErasedValues { phones: vec![phone], ..ErasedValues::default() });
    store.record_erasure(&erased).unwrap();
    let rejected = Outcome::Failed(Reason::SubjectErased);
    assert_eq!(apply(store, &[&earlier]), [rejected]);
    assert_eq!(store.contact(earlier.contact_id).unwrap(), None);
    let operation = store.operation(earlier.operation_id).unwrap().unwrap();
    assert_eq!(operation.status, Status::Failed(Reason::SubjectErased));
    // A replay from an archive is rejected again, also together with commands that no erasure names.
    let replay = Attempt { replays: 1, ..attempt(earlier.clone()) };
    let other = create_at(21, "Bia");
    assert_eq!(store.apply(&[replay, attempt(other.clone())]).unwrap(), [rejected, Outcome::Applied]);
    // The person returns.
    let accepted_at = erased.erased_at + chrono::TimeDelta::microseconds(1);
    assert_eq!(apply(store, &[&Command { accepted_at, ..later.clone() }]), [Outcome::Applied]);
    // The same erasure is recorded again, with the contact that it has found.
    erased.values.contacts.push(other.contact_id);
    store.record_erasure(&erased).unwrap();
    assert_eq!(apply(store, &[&create(new_contact(), "Ana")]), [rejected]);
    let name = Patch { name: Some(Name::parse("Cida").unwrap()), ..Patch::default() };
    let patch = Command { accepted_at: erased.erased_at, ..patch(other.contact_id, 50, name) };
    assert_eq!(apply(store, &[&patch]), [rejected]);
    let removed = delete(other.contact_id, 60);
    assert_eq!(apply(store, &[&removed]), [Outcome::Applied]);
    let found = store.operations_of(&[other.contact_id]).unwrap();
    let kinds: BTreeMap<OperationId, Status> = found.iter().map(|operation| (operation.id, operation.status)).collect();
    assert_eq!(kinds.len(), 3, "{found:?}");
    assert_eq!(kinds[&removed.operation_id], Status::Applied);
}

macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[test] fn $name() { super::$name::<super::PostgresDatabase>(); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name::<super::SqliteDatabase>(); })*
        }
    };
}
pub(crate) use on_both_databases;

on_both_databases! {
    the_schema_is_checked_created_and_reverted,
    a_contact_is_created_updated_and_deleted,
    a_contact_can_have_no_address,
    patches_are_merged_by_member,
    a_row_that_cannot_be_read_rejects_only_its_own_commands,
    a_finished_operation_has_its_status,
    a_failure_of_an_unreadable_message_is_recorded_once,
    a_duplicate_changes_nothing,
    a_command_that_must_wait_writes_nothing,
    a_replay_of_a_failed_operation_is_applied_again,
    pages_have_no_gaps,
    names_are_found_by_their_prefix,
    contacts_are_found_by_address_and_number,
    an_erasure_rejects_the_commands_from_before_it,
    an_export_reads_one_snapshot,
    pages_of_names_continue_despite_changes,
    a_search_finds_what_its_rule_says,
    duplicates_are_grouped_by_number_and_address,
    a_migration_adds_missing_name_keys,
    any_order_and_repetition_has_the_same_result,
    concurrent_workers_apply_each_command_once,
    pruned_commands_take_no_effect_again,
}

#[test]
fn a_rejected_row_rolls_back_its_whole_batch() {
    let database = migrated::<PostgresDatabase>();
    database.inner.execute("ALTER TABLE contacts ADD CONSTRAINT test CHECK (name <> 'Forbidden')");
    let (valid, rejected) = (create(new_contact(), "Ana"), create(new_contact(), "Forbidden"));
    let error = database.store.apply(&[attempt(valid.clone()), attempt(rejected)]).unwrap_err();
    let StoreError::Rejected(text) = error else { panic!("{error:?}") };
    assert!(text.contains("test") && !text.contains("Forbidden"), "{text}");
    assert_eq!(database.store.contact(valid.contact_id).unwrap(), None);
    assert_eq!(database.store.operation(valid.operation_id).unwrap(), None);
}

#[test]
fn an_unreachable_database_is_unavailable_and_its_password_is_hidden() {
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
fn concurrent_migrations_wait_for_each_other() {
    let database = PostgresDatabase::empty();
    let applied: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let settings = database.inner.settings();
                scope.spawn(move || Postgres::new(&settings).unwrap().migrate(Direction::Up).unwrap().len())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(applied, MIGRATIONS);
}

/// During a rolling update, the version before the name search changes names without their keys.
#[test]
fn a_name_that_an_older_version_changed_is_not_found_by_its_old_name() {
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    let all = [create_at(11, "Ana Souza"), create_at(11, "Ana Lima"), create_at(11, "Ana Costa")];
    apply(store, &all.iter().collect::<Vec<_>>());
    let [changed, erased, same] = all.each_ref().map(|command| command.contact_id);
    database.inner.execute(&format!(
        "UPDATE contacts SET name = 'Bia' WHERE id = '{changed}'; \
         UPDATE contacts SET name = 'ANÁ  COSTA' WHERE id = '{same}'; \
         UPDATE contacts SET deleted_at = now(), name = NULL, phone = NULL, ddd = NULL, email = NULL \
         WHERE id = '{erased}'"
    ));
    assert_eq!(names(store, &named("a")), ["ANÁ  COSTA"]);
    assert!(names(store, &named("bia")).is_empty());
    assert_eq!(database.inner.count("contacts WHERE deleted_at IS NOT NULL AND name_key IS NOT NULL"), 0);
    store.migrate(Direction::Up).unwrap();
    assert_eq!(names(store, &named("bia")), ["Bia"]);
}

/// An erasure waits for these batches. A transaction id would not show them: they get one with their first write.
#[test]
fn a_batch_that_has_written_nothing_is_running_until_it_ends() {
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    let mut batch = database.inner.open_transaction("SELECT id FROM contacts WHERE false FOR UPDATE");
    let running = store.running_batches().unwrap();
    assert_eq!(running.len(), 1, "{running:?}");
    let _export = database.inner.open_transaction("SELECT count(*) FROM contacts");
    assert_eq!(store.running_batches().unwrap(), running, "an export does not delay an erasure");
    batch.batch_execute("COMMIT").unwrap();
    assert!(store.running_batches().unwrap().is_empty());
}
