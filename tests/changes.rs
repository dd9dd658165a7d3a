//! Tests of the change feed in the stores: every change once, in the order of its contact, none skipped.

use crate::stores::{PostgresDatabase, SqliteDatabase, TestDatabase, apply, attempt, migrated, on_both_databases};
use crate::support::{create, delete, new_contact, patch, update};
use contacts::domain::{
    Attempt, Command, ContactId, EmailPatch, OperationId, OperationKind, Outcome, Patch, Reason, Status, Timestamp,
};
use contacts::store::{Change, ChangePosition, Store};
use diesel::connection::SimpleConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Follows the feed from a place to its end, in pages of at most three.
fn follow(store: &impl Store, after: Option<ChangePosition>) -> (Vec<Change>, ChangePosition) {
    let (mut changes, mut after) = (Vec::new(), after);
    loop {
        let page = store.changes(after, 3, false).unwrap().expect("the place has not expired");
        assert!(page.changes.len() <= 3 && (page.changes.len() == 3 || !page.more));
        assert!(page.changes.last().is_none_or(|change| change.at == page.last));
        changes.extend(page.changes);
        if !page.more {
            return (changes, page.last);
        }
        after = Some(page.last);
    }
}

fn operations(changes: &[Change]) -> Vec<OperationId> {
    changes.iter().map(|change| change.at.operation).collect()
}

fn all_operations(store: &impl Store) -> Vec<OperationId> {
    operations(&follow(store, None).0)
}

fn ids(commands: &[&Command]) -> Vec<OperationId> {
    commands.iter().map(|command| command.operation_id).collect()
}

fn every_change_is_in_the_feed_once_in_the_order_of_its_contact<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, ana, bia) = (database.store(), new_contact(), new_contact());
    assert_eq!(store.last_change().unwrap(), ChangePosition::START);
    assert_eq!(follow(store, None), (Vec::new(), ChangePosition::START));
    // Each command expects the version of the next one, so they take effect in the opposite order of their ids and stamps.
    let mut chain = vec![create(ana, "Ana")];
    for stamp in (2..6).rev() {
        let expects = chain.last().map(|command: &Command| command.operation_id);
        chain.push(Command { expects, ..update(ana, stamp, "Ana") });
    }
    let mut ids_in_order: Vec<OperationId> = ids(&chain.iter().collect::<Vec<_>>());
    ids_in_order.sort_by_key(|id| std::cmp::Reverse(*id));
    for (command, id) in chain.iter_mut().zip(&ids_in_order) {
        command.operation_id = *id;
    }
    for index in 1..chain.len() {
        chain[index].expects = Some(ids_in_order[index - 1]);
    }
    assert_eq!(apply(store, &chain.iter().rev().collect::<Vec<_>>()), [Outcome::Applied; 5]);
    assert_eq!(all_operations(store), ids_in_order);
    let place = store.last_change().unwrap();
    assert_eq!(place.operation, ids_in_order[4]);

    // Superseded, failed and repeated commands change nothing. A replay of a failed one does.
    let (older, second) = (update(ana, 1, "Old"), create(ana, "Other"));
    let early = update(bia, 9, "Bia");
    let last = Attempt { last_attempt: true, ..attempt(early.clone()) };
    apply(store, &[&older, &second, &chain[2]]);
    assert_eq!(store.apply(std::slice::from_ref(&last)).unwrap(), [Outcome::Failed(Reason::ContactNotFound)]);
    assert_eq!(follow(store, Some(place)), (Vec::new(), place));
    let created = create(bia, "Bia");
    apply(store, &[&created]);
    assert_eq!(store.apply(&[Attempt { replays: 1, ..last }]).unwrap(), [Outcome::Applied]);
    let patched = patch(ana, 60, Patch { email: Some(EmailPatch::Remove), ..Patch::default() });
    let deleted = delete(bia, 1);
    apply(store, &[&patched, &early]);
    apply(store, &[&deleted]);
    let expected = ids(&[&created, &early, &patched, &deleted]);
    let (changes, end) = follow(store, Some(place));
    assert_eq!(operations(&changes), expected);
    assert_eq!(all_operations(store), [ids_in_order, expected].concat());
    assert_eq!(store.last_change().unwrap(), end);

    let kinds = [OperationKind::Insert, OperationKind::Update, OperationKind::Patch, OperationKind::Delete];
    assert_eq!(changes.iter().map(|change| change.kind).collect::<Vec<_>>(), kinds);
    for change in &changes {
        let operation = store.operation(change.at.operation).unwrap().unwrap();
        assert_eq!((change.contact_id, change.completed_at), (operation.contact_id, operation.completed_at));
    }
    // The contacts as they are now.
    let page = store.changes(Some(place), 3, true).unwrap().unwrap();
    let contacts: Vec<_> = page.changes.into_iter().map(|change| change.contact).collect();
    assert_eq!(contacts, [bia, bia, ana].map(|id| store.contact(id).unwrap()));
}

fn a_reader_that_follows_concurrent_workers_misses_nothing<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let contacts: Vec<ContactId> = (0..6).map(|_| new_contact()).collect();
    let mut commands: Vec<Command> = contacts.iter().map(|id| create(*id, "Ana")).collect();
    for stamp in 2..60 {
        commands.extend(contacts.iter().map(|id| update(*id, stamp, &format!("Ana {stamp}"))));
    }
    let finished = AtomicBool::new(false);
    let followed = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut changes, mut place) = follow(store, None);
            loop {
                let was_finished = finished.load(Ordering::SeqCst);
                let (more, last) = follow(store, Some(place));
                changes.extend(more);
                place = last;
                if was_finished {
                    return changes;
                }
            }
        });
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (store, commands) = (store.clone(), &commands);
                scope.spawn(move || {
                    let mut order: Vec<&Command> = commands.iter().collect();
                    order.rotate_left(worker * 7);
                    // Workers take batches of several sizes, so that their transactions overlap.
                    for batch in order.chunks(3 + worker * 5) {
                        apply(&store, batch);
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        finished.store(true, Ordering::SeqCst);
        reader.join().unwrap()
    });
    let status = |command: &&Command| store.operation(command.operation_id).unwrap().unwrap().status;
    let applied: BTreeSet<OperationId> = commands
        .iter()
        .filter(|command| status(command) == Status::Applied)
        .map(|command| command.operation_id)
        .collect();
    assert_eq!(followed.len(), applied.len(), "each change once");
    assert_eq!(operations(&followed).into_iter().collect::<BTreeSet<_>>(), applied);
    // The updates have no conditions, so the stamps of those that were applied grow.
    let stamps: BTreeMap<OperationId, _> =
        commands.iter().map(|command| (command.operation_id, command.stamp)).collect();
    for id in contacts {
        let of_contact = || followed.iter().filter(|change| change.contact_id == id);
        let stamps: Vec<_> = of_contact().map(|change| stamps[&change.at.operation]).collect();
        assert!(stamps.is_sorted(), "{stamps:?}");
        assert_eq!(of_contact().next_back().unwrap().at.operation, store.contact(id).unwrap().unwrap().version);
    }
    assert_eq!(followed, follow(store, None).0, "a later reader sees the same order");
}

fn a_place_expires_when_changes_after_it_are_pruned<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let commands: Vec<Command> = (0..6).map(|_| create(new_contact(), "Ana")).collect();
    for command in &commands {
        apply(store, &[command]);
    }
    let places: Vec<ChangePosition> = follow(store, None).0.into_iter().map(|change| change.at).collect();
    // The operations finished at different times, and are not pruned in their order.
    let later = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let later = Timestamp::from_timestamp_micros(later.timestamp_micros()).unwrap();
    for (index, accepted) in [(1, 0), (3, 0), (0, 2), (2, 2), (4, 2), (5, 2)] {
        let accepted_at = match accepted {
            0 => None,
            days => Some(later + chrono::TimeDelta::days(days)),
        };
        if let Some(time) = accepted_at {
            // Both databases compare this column as they store it.
            let id = commands[index].operation_id.to_string();
            let sql = match D::HAS_WORDS {
                true => format!(
                    "UPDATE operations SET accepted_at = {} WHERE hex(id) = upper(replace('{id}', '-', ''))",
                    time.timestamp_micros()
                ),
                false => format!("UPDATE operations SET accepted_at = '{}' WHERE id = '{id}'", time.to_rfc3339()),
            };
            database.execute(&sql);
        }
    }
    store.set_pruned_before(later).unwrap();
    assert_eq!(store.prune(100).unwrap().operations, 2);
    // The first and the third change are still there. But nobody can know from them that the second one is missing.
    let expired = |after| store.changes(Some(after), 10, false).unwrap().is_none();
    assert!(expired(ChangePosition::START) && places[..3].iter().all(|place| expired(*place)));
    let (rest, end) = follow(store, Some(places[3]));
    assert_eq!(operations(&rest), ids(&[&commands[4], &commands[5]]));
    assert_eq!(follow(store, None), (rest, end), "without a place, the feed begins after the gaps");

    // A record that is written again is not a new change.
    apply(store, &[&commands[1]]);
    assert_eq!(store.operation(commands[1].operation_id).unwrap().unwrap().status, Status::Applied);
    assert_eq!(follow(store, Some(end)), (Vec::new(), end));

    // Also after all changes were pruned, the newest place is valid.
    store.set_pruned_before(later + chrono::TimeDelta::days(9)).unwrap();
    assert!(store.prune(100).unwrap().operations >= 4);
    assert_eq!(store.last_change().unwrap(), end);
    assert!(expired(places[4]));
    let other = ChangePosition { operation: commands[0].operation_id, ..end };
    assert!(expired(other), "a place of another database");
    let new = Command { accepted_at: later + chrono::TimeDelta::days(10), ..create(new_contact(), "Bia") };
    apply(store, &[&new]);
    assert_eq!(operations(&follow(store, Some(end)).0), ids(&[&new]));
}

fn a_place_expires_when_the_database_is_set_back<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let new = || {
        let command = create(new_contact(), "Ana");
        apply(store, &[&command]);
        store.last_change().unwrap()
    };
    let (kept, lost) = (new(), [new(), new()]);
    database.set_back(kept);
    let expired = |after| store.changes(Some(after), 10, false).unwrap().is_none();
    assert!(expired(lost[0]) && expired(lost[1]), "the database has no change there");
    assert_eq!(follow(store, Some(kept)), (Vec::new(), kept));
    // New changes get the positions of those that were lost.
    let again = [new(), new()];
    assert_eq!(again.map(|place| place.position), lost.map(|place| place.position));
    assert!(expired(lost[0]) && expired(lost[1]), "another change is there");
    assert_eq!(operations(&follow(store, Some(kept)).0), again.map(|place| place.operation));
}

/// The proof in ADR 0023 needs this: the end that a transaction reads is not after the block that it gets then. A query of the
/// sequence does not always hold to it while others take blocks.
#[test]
fn no_transaction_reads_an_end_after_its_block() {
    let database = migrated::<PostgresDatabase>();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                database.execute(
                    "DO $$ DECLARE read bigint; given bigint; BEGIN FOR i IN 1..150000 LOOP read := changes_next(); \
                     given := nextval('changes_position'); IF read > given THEN RAISE EXCEPTION '% > %', read, given; \
                     END IF; END LOOP; END $$",
                );
            });
        }
    });
}

on_both_databases! {
    every_change_is_in_the_feed_once_in_the_order_of_its_contact,
    a_reader_that_follows_concurrent_workers_misses_nothing,
    a_place_expires_when_changes_after_it_are_pruned,
    a_place_expires_when_the_database_is_set_back,
}

/// The row that an older version writes for an operation: without a position.
fn old_row(command: &Command) -> String {
    format!(
        "('{}', '{}', '{}', 'applied', NULL, 0, NULL, now(), now())",
        command.operation_id,
        command.contact_id,
        command.kind().as_str()
    )
}

const OLD_INSERT: &str = "INSERT INTO operations (id, contact_id, operation, status, reason, replays, fingerprint, accepted_at, completed_at) \
     VALUES ";

#[test]
fn nothing_is_shown_before_a_transaction_that_commits_late() {
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    let first = create(new_contact(), "Ana");
    apply(store, &[&first]);
    for commits in [true, false] {
        let (late, place) = (create(new_contact(), "Late"), store.last_change().unwrap());
        let mut transaction = database.inner.open_transaction(&format!("{OLD_INSERT}{}", old_row(&late)));
        // Two workers commit later positions.
        let others = [create(new_contact(), "Bia"), create(new_contact(), "Caio")];
        let worker = store.clone();
        let (one, two) = (others[0].clone(), &others[1]);
        let thread = std::thread::spawn(move || apply(&worker, &[&one]));
        thread.join().unwrap();
        apply(store, &[two]);
        assert_eq!(follow(store, Some(place)), (Vec::new(), place), "the change before them is not committed");
        assert_eq!(store.last_change().unwrap(), place);
        let mut expected = ids(&[&others[0], &others[1]]);
        if commits {
            transaction.batch_execute("COMMIT").unwrap();
            expected.insert(0, late.operation_id);
        } else {
            transaction.batch_execute("ROLLBACK").unwrap();
        }
        assert_eq!(operations(&follow(store, Some(place)).0), expected);
    }
}

/// A transaction can take its lock late. Then the end of the feed moves back for a short time.
#[test]
fn a_reader_is_not_sent_away_while_the_end_is_before_its_place() {
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    apply(store, &[&create(new_contact(), "Ana")]);
    let place = store.last_change().unwrap();
    let _late = database.inner.open_transaction("SELECT pg_advisory_xact_lock_shared((changes_tag() << 47) | 1)");
    assert_eq!(store.last_change().unwrap(), ChangePosition::START);
    assert_eq!(follow(store, Some(place)), (Vec::new(), place));
    apply(store, &[&create(new_contact(), "Bia")]);
    assert_eq!(follow(store, Some(place)), (Vec::new(), place));
}

#[test]
fn a_change_that_an_older_version_applied_is_in_the_feed() {
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    let commands: Vec<Command> = (0..300).map(|_| create(new_contact(), "Ana")).collect();
    let rows: Vec<String> = commands.iter().map(old_row).collect();
    let mut transaction = database.inner.open_transaction(&format!("{OLD_INSERT}{}", rows.join(", ")));
    assert_eq!(
        database.inner.count("pg_locks WHERE locktype = 'advisory' AND classid::bigint >> 15 = changes_tag()"),
        1
    );
    transaction.batch_execute("COMMIT").unwrap();
    assert_eq!(all_operations(store), ids(&commands.iter().collect::<Vec<_>>()));

    // It replays a failed operation.
    let place = store.last_change().unwrap();
    let failed = update(new_contact(), 9, "Bia");
    let last = Attempt { last_attempt: true, ..attempt(failed.clone()) };
    store.apply(&[last]).unwrap();
    database.inner.execute(&format!(
        "{OLD_INSERT}{} ON CONFLICT (id) DO UPDATE SET status = excluded.status, reason = excluded.reason",
        old_row(&failed)
    ));
    assert_eq!(operations(&follow(store, Some(place)).0), ids(&[&failed]));
    // It also prunes.
    database.inner.execute("DELETE FROM operations");
    assert_eq!(store.changes(Some(place), 10, false).unwrap(), None);
}

/// The statement of the runbook, for a database that was restored.
#[test]
fn an_operator_can_expire_all_cursors() {
    let runbook = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md")).unwrap();
    let statement = runbook.lines().map(str::trim).find(|line| line.starts_with("UPDATE changes SET pruned")).unwrap();
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    let new = || {
        apply(store, &[&create(new_contact(), "Ana")]);
        store.last_change().unwrap()
    };
    let places = [ChangePosition::START, new(), new()];
    database.inner.execute(statement);
    assert!(places.iter().all(|place| store.changes(Some(*place), 10, false).unwrap().is_none()));
    let latest = store.last_change().unwrap();
    assert_eq!(follow(store, None), (Vec::new(), latest));
    let next = new();
    assert_eq!(operations(&follow(store, Some(latest)).0), [next.operation]);
}

#[test]
fn a_page_of_the_feed_reads_an_index() {
    let database = migrated::<PostgresDatabase>();
    let store = &database.store;
    let commands: Vec<Command> = (0..2_000).map(|_| create(new_contact(), "Ana")).collect();
    for batch in commands.chunks(500) {
        apply(store, &batch.iter().collect::<Vec<_>>());
    }
    database.execute("ANALYZE operations");
    let middle = follow(store, None).0[1_000].at;
    for after in [None, Some(middle)] {
        let plan = store.explain_changes(after, 50).unwrap();
        assert!(plan.contains("operations_position") && !plan.contains("Sort"), "{plan}");
        assert!(!plan.contains("Seq Scan on operations"), "{plan}");
    }
}
