//! `contacts backup` and `contacts restore`: no change that was accepted before the backup is lost or takes effect twice.

use crate::support::{
    Client, MAX_WAIT, Process, all_dead_letters, create, eventually, json, new_contact, person, start_standalone,
    update,
};
use contacts::backup::{self, BackupError, Step};
use contacts::domain::{Command, ContactId};
use contacts::message::Message;
use contacts::queue::embedded::EmbeddedDeadLetters;
use contacts::queue::{Publisher, QueueKind};
use contacts::stop::Stop;
use contacts::telemetry::Health;
use diesel::connection::SimpleConnection;
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A command that waits for another one is retried during the whole test.
const PATIENT: &[(&str, &str)] = &[("CONTACTS__RETRY__DELAY", "100ms"), ("CONTACTS__RETRY__MAX_ATTEMPTS", "3000")];
/// A command that would wait for another one fails at once.
const IMPATIENT: &[(&str, &str)] = &[("CONTACTS__RETRY__MAX_ATTEMPTS", "1")];

/// How many changes are accepted right before a backup.
const BURST: usize = 1_500;

/// Runs `contacts COMMAND FOLDER --data-dir DATA`. Returns the exit code and the output.
fn run(command: &str, folder: &Path, data: &Path) -> (Option<i32>, String) {
    let arguments = [command, folder.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let (status, output) = Process::run(&arguments, &[]);
    (status.code(), output)
}

#[track_caller]
fn succeeds(command: &str, folder: &Path, data: &Path) -> String {
    let (code, output) = run(command, folder, data);
    assert_eq!(code, Some(0), "{output}");
    output
}

/// The command fails with this exit code, and its last line contains each of these parts.
#[track_caller]
fn fails(command: &str, folder: &Path, data: &Path, code: i32, parts: &[&str]) {
    let (actual, output) = run(command, folder, data);
    assert_eq!(actual, Some(code), "{output}");
    let line = output.lines().last().unwrap_or_default();
    assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {output}");
}

/// Runs `dlq-drain` on a data folder and expects success.
#[track_caller]
fn drain(data: &Path, arguments: &[&str]) {
    let (status, output) =
        Process::run(&[&["dlq-drain", "--data-dir", data.to_str().unwrap()], arguments].concat(), &[]);
    assert!(status.success(), "{arguments:?}: {output}");
}

fn queue(data: &Path) -> (EmbeddedDeadLetters, Publisher) {
    let component = Health::default().component("queue");
    let (queue, publisher, _thread) = EmbeddedDeadLetters::open(data, 10_000, component, &Stop::default()).unwrap();
    (queue, publisher)
}

fn publish(publisher: &Publisher, queue: QueueKind, commands: &[&Command]) {
    let batch = commands.iter().map(|command| (queue, Message::new(command), Duration::ZERO));
    assert!(publisher.publish_all(batch, MAX_WAIT).iter().all(Result::is_ok));
}

/// The operation ids of the dead letters.
fn dead_letters(data: &Path) -> Vec<String> {
    all_dead_letters(&queue(data).0).into_iter().map(|message| message.id).collect()
}

/// The names of the entries of a folder.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A data folder of a standalone that has run, with these contacts.
fn data_folder(parent: &Path, contacts: usize) -> PathBuf {
    let data = parent.join("data");
    let mut standalone = start_standalone(&data, &[]);
    standalone.wait_until_ready();
    let commands: Vec<Command> = (0..contacts).map(|n| create(new_contact(), &format!("Ana {n}"))).collect();
    publish(&queue(&data).1, QueueKind::Work, &commands.iter().collect::<Vec<_>>());
    let client = standalone.client();
    for command in &commands {
        assert_eq!(client.finished_operation(&command.operation_id.to_string())["status"], "applied");
    }
    standalone.terminate();
    data
}

fn exported(client: &Client) -> usize {
    client.get("/contacts/export").body.lines().count()
}

/// The number of contacts of a data folder, as a standalone on it shows them.
#[track_caller]
fn count_contacts(data: &Path) -> usize {
    let mut standalone = start_standalone(data, &[]);
    standalone.wait_until_ready();
    let count = exported(&standalone.client());
    standalone.terminate();
    count
}

fn path(contact: ContactId) -> String {
    format!("/contacts/{contact}")
}

/// A change that was accepted during the load, and what must become of it.
enum Accepted {
    /// A change of one client. It is applied, or a later change of the same contact supersedes it.
    Change { contact: String, operation: String, change: Change },
    /// It fails and becomes a dead letter.
    Fails { operation: String },
    /// It waits for the create of its contact.
    Waits { contact: ContactId, operation: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Names(usize),
    Deletes,
}

/// A client that creates, updates and deletes its own contacts until `finished`.
fn write_without_pause(client: &Client, finished: &AtomicBool, accepted: &Mutex<Vec<Accepted>>) {
    let mut number = 0;
    while !finished.load(Ordering::Relaxed) {
        number += 1;
        let record = |answer: crate::support::Answer, change| {
            assert_eq!(answer.status, 202, "{answer:?}");
            let (contact, operation) = (answer.text("contact_id"), answer.text("operation_id"));
            accepted.lock().unwrap().push(Accepted::Change { contact: contact.clone(), operation, change });
            contact
        };
        let contact = record(client.create("Ana 0"), Change::Names(0));
        let path = format!("/contacts/{contact}");
        for revision in 1..4 {
            record(client.write("PUT", &path, &[], &person(&format!("Ana {revision}"))), Change::Names(revision));
        }
        if number % 3 == 0 {
            record(client.send("DELETE", &path, &[], None).unwrap(), Change::Deletes);
        }
    }
}

/// Publishes changes that fail and changes that wait, until `finished`.
fn publish_without_pause(data: &Path, finished: &AtomicBool, accepted: &Mutex<Vec<Accepted>>) {
    let (_queue, publisher) = queue(data);
    let mut number = 0;
    while !finished.load(Ordering::Relaxed) {
        number += 1;
        let contact = new_contact();
        let (first, second) = (create(contact, "Ana"), create(contact, "Bia"));
        publish(&publisher, QueueKind::Work, &[&first]);
        publish(&publisher, QueueKind::Work, &[&second]);
        accepted.lock().unwrap().push(Accepted::Fails { operation: second.operation_id.to_string() });
        // Each of them is retried ten times in a second.
        if number <= 20 {
            let waits = update(new_contact(), 2, "Caio");
            publish(&publisher, QueueKind::Work, &[&waits]);
            let operation = waits.operation_id.to_string();
            accepted.lock().unwrap().push(Accepted::Waits { contact: waits.contact_id, operation });
        }
    }
}

/// A row of a database, as text.
#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    id: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
}

/// The rows of a query with the columns `id` and `value`. A UUID has no hyphens.
fn rows(file: &Path, query: &str) -> BTreeMap<String, String> {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    let rows: Vec<Row> = diesel::sql_query(query).load(&mut connection).unwrap();
    rows.into_iter().map(|row| (row.id, row.value)).collect()
}

/// Checks a restored data folder: what became of the first changes of `accepted`, which were accepted before the backup
/// began.
#[track_caller]
fn assert_complete(data: &Path, accepted: &[Accepted], before: usize) {
    let mut standalone = start_standalone(data, PATIENT);
    standalone.wait_until_ready();
    // The creates of the changes that wait. The backup may also have changes that were accepted after it began.
    let waiting = accepted.iter().filter_map(|change| match change {
        Accepted::Waits { contact, .. } => Some(create(*contact, "Ana")),
        Accepted::Change { .. } | Accepted::Fails { .. } => None,
    });
    publish(&queue(data).1, QueueKind::Work, &waiting.collect::<Vec<_>>().iter().collect::<Vec<_>>());
    eventually("no message waits", || {
        let query = "SELECT 'all' AS id, CAST(count(*) AS TEXT) AS value FROM message WHERE lane < 2";
        (rows(&data.join("queue.db"), query)["all"] == "0").then_some(())
    });
    standalone.terminate();

    let plain = |id: &str| id.replace('-', "");
    let database = data.join("contacts.db");
    let statuses = rows(&database, "SELECT lower(hex(id)) AS id, status AS value FROM operations");
    // The version and the name of each contact. A deleted contact has no name.
    let contacts = rows(
        &database,
        "SELECT lower(hex(id)) AS id, lower(hex(version)) || ' ' || coalesce(name, '') AS value FROM contacts",
    );
    let dead = dead_letters(data);
    // For each contact of a client its last change before the backup.
    let mut last = BTreeMap::new();
    for (place, change) in accepted[..before].iter().enumerate() {
        let status = |operation: &str| statuses.get(&plain(operation)).map_or("lost", String::as_str);
        match change {
            Accepted::Change { contact, operation, .. } => {
                assert!(["applied", "superseded"].contains(&status(operation)), "{operation}: {}", status(operation));
                last.insert(contact, place);
            }
            Accepted::Fails { operation } => {
                assert_eq!(status(operation), "failed", "{operation}");
                assert!(dead.contains(operation), "{operation} is no dead letter");
            }
            Accepted::Waits { contact, operation } => {
                assert_eq!(status(operation), "applied", "{operation}");
                assert_eq!(contacts[&plain(&contact.to_string())], format!("{} Caio", plain(operation)));
            }
        }
    }
    // No change took effect again after a later one: each contact is as its last change before the backup left it, or as
    // a change after it.
    for (contact, place) in last {
        let actual = &contacts[&plain(contact)];
        let is_possible = accepted[place..].iter().any(|change| match change {
            Accepted::Change { contact: other, operation, change } if other == contact => {
                let name = match change {
                    Change::Names(revision) => format!("Ana {revision}"),
                    Change::Deletes => String::new(),
                };
                *actual == format!("{} {name}", plain(operation))
            }
            _ => false,
        });
        assert!(is_possible, "{contact}: {actual}");
    }
}

#[test]
fn a_backup_under_load_has_every_change_that_was_accepted_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Small transactions, so that the two copies see different ones.
    let small = [PATIENT, &[("CONTACTS__CONSUMER__BATCH_MAX", "4")]].concat();
    let mut standalone = start_standalone(&data, &small);
    standalone.wait_until_ready();
    let client = standalone.client();
    let (finished, accepted) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut backups = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| write_without_pause(&client, &finished, &accepted));
        }
        scope.spawn(|| publish_without_pause(&data, &finished, &accepted));
        // A failure below must not leave the clients running.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut made = Vec::new();
            for number in 0..6 {
                let target = accepted.lock().unwrap().len() + 150;
                eventually("more changes are accepted", || (accepted.lock().unwrap().len() >= target).then_some(()));
                // Many changes at once: some are applied before the backup, some during it, some after it.
                let burst: Vec<Command> = (0..BURST).map(|_| create(new_contact(), "Ana 0")).collect();
                publish(&queue(&data).1, QueueKind::Work, &burst.iter().collect::<Vec<_>>());
                let before = {
                    let mut accepted = accepted.lock().unwrap();
                    accepted.extend(burst.iter().map(|command| Accepted::Change {
                        contact: command.contact_id.to_string(),
                        operation: command.operation_id.to_string(),
                        change: Change::Names(0),
                    }));
                    accepted.len()
                };
                let backup = folder.path().join(format!("backup-{number}"));
                succeeds("backup", &backup, &data);
                made.push((backup, before));
            }
            made
        }));
        finished.store(true, Ordering::Relaxed);
        backups = result.unwrap();
    });
    standalone.kill();
    let accepted = accepted.into_inner().unwrap();
    for (backup, before) in backups {
        let restored = folder.path().join("restored");
        succeeds("restore", &backup, &restored);
        assert_eq!(fs::read(restored.join("cursor.key")).unwrap(), fs::read(data.join("cursor.key")).unwrap());
        assert_complete(&restored, &accepted, before);
        fs::remove_dir_all(&restored).unwrap();
    }
}

#[test]
fn nothing_that_happens_between_the_two_copies_loses_or_repeats_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (data_folder(folder.path(), 0), folder.path().join("backup"));
    // Dead letters with their records.
    let failing: Vec<Command> = (0..4).map(|_| update(new_contact(), 2, "Caio")).collect();
    let ids: Vec<String> = failing.iter().map(|command| command.operation_id.to_string()).collect();
    let [replayed, discarded, exported_id, untouched] = &ids[..] else { unreachable!() };
    publish(&queue(&data).1, QueueKind::Work, &failing.iter().collect::<Vec<_>>());
    let mut standalone = start_standalone(&data, IMPATIENT);
    eventually("they are dead letters", || (dead_letters(&data).len() == 4).then_some(()));
    standalone.wait_until_ready();
    standalone.terminate();
    // Changes that wait to be applied, one in the retry queue.
    let waiting: Vec<Command> = failing
        .iter()
        .map(|command| create(command.contact_id, "Ana"))
        .chain((0..20).map(|_| create(new_contact(), "Ana")))
        .collect();
    let retried = create(new_contact(), "Ana");
    publish(&queue(&data).1, QueueKind::Work, &waiting.iter().collect::<Vec<_>>());
    publish(&queue(&data).1, QueueKind::Retry, &[&retried]);

    let applied: Vec<&Command> = waiting.iter().chain([&retried]).collect();
    let all_applied = |client: &Client| {
        for command in &applied {
            assert_eq!(client.finished_operation(&command.operation_id.to_string())["status"], "applied");
        }
    };
    let between = || {
        let mut standalone = start_standalone(&data, IMPATIENT);
        standalone.wait_until_ready();
        let client = standalone.client();
        all_applied(&client);
        let select = |id| ["--id", id, "--yes"];
        drain(&data, &[&["replay", "--no-canary"][..], &select(replayed)].concat());
        drain(&data, &[&["discard"][..], &select(discarded)].concat());
        let file = folder.path().join("exported.ndjson");
        drain(&data, &[&["export", file.to_str().unwrap()][..], &select(exported_id)].concat());
        drain(&data, &["import", file.to_str().unwrap(), "--yes"]);
        for id in [replayed, exported_id] {
            eventually("it is applied", || (client.finished_operation(id)["status"] == "applied").then_some(()));
        }
        assert_eq!(dead_letters(&data), std::slice::from_ref(untouched));
        // A contact that was accepted before is deleted. All these changes are older than the horizon.
        let deleted = client.send("DELETE", &path(retried.contact_id), &[("prefer", "wait=10")], None).unwrap();
        assert!(deleted.status < 300, "{deleted:?}");
        let prune = ["prune", "--older-than", "1h", "--data-dir", data.to_str().unwrap()];
        assert!(Process::run(&prune, &[]).0.success());
        standalone.terminate();
    };
    let mut steps = Vec::new();
    let summary = backup::create(&data, &target, &Stop::default(), &mut |step| {
        steps.push(step);
        // Before the second of the two copies, whichever it is.
        if steps.len() == 2 {
            between();
        }
    })
    .unwrap();
    assert_eq!(steps.len(), 3);

    let restored = folder.path().join("restored");
    succeeds("restore", &target, &restored);
    assert_eq!((summary.waiting, summary.dead_letters), (25, 4), "the queue was copied first");
    let mut standalone = start_standalone(&restored, IMPATIENT);
    standalone.wait_until_ready();
    let client = standalone.client();
    all_applied(&client);
    // The retried create does not restore its deleted contact.
    assert_eq!(exported(&client), waiting.len());
    assert_eq!(dead_letters(&restored).len(), 4);
    for id in [replayed, exported_id] {
        assert_eq!(client.finished_operation(id)["status"], "applied");
    }
    for id in [discarded, untouched] {
        assert_eq!(client.finished_operation(id)["status"], "failed");
    }
    // Every dead letter can be replayed. Those that were replayed before take no effect again.
    drain(&restored, &["replay", "--all", "--yes", "--no-canary"]);
    for command in &failing {
        let contact = client.get(&path(command.contact_id));
        assert_eq!((contact.text("name"), contact.text("version")), ("Caio".into(), command.operation_id.to_string()));
    }
    assert_eq!(dead_letters(&restored).len(), 0);
    assert_eq!(exported(&client), waiting.len());
    standalone.terminate();
}

#[test]
fn a_backup_is_private_and_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (data, target) = (data_folder(folder.path(), 3), folder.path().join("backup"));
    let output = succeeds("backup", &target, &data);
    for part in ["copying the queue", "copying the database", "contacts: 3, operations: 3, waiting messages: 0", "took"]
    {
        assert!(output.contains(part), "{output}");
    }
    assert!(!output.contains("Ana"), "{output}");
    assert_eq!(entries(&target), ["backup.json", "contacts.db", "cursor.key", "queue.db"]);
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o700);
    let restored = folder.path().join("restored");
    let output = succeeds("restore", &target, &restored);
    assert!(output.contains("contacts: 3") && output.contains("are not in it"), "{output}");
    assert_eq!(fs::metadata(&restored).unwrap().mode() & 0o777, 0o700);
    for file in
        [&target, &restored].map(|folder| ["contacts.db", "queue.db", "cursor.key"].map(|file| folder.join(file)))
    {
        assert!(file.iter().all(|file| fs::metadata(file).unwrap().mode() & 0o777 == 0o600), "{file:?}");
    }
    assert_eq!(count_contacts(&restored), 3);
    // An empty folder is as good as none, for both commands.
    for (command, from, empty) in [("backup", &data, "empty-backup"), ("restore", &target, "empty-data")] {
        let empty = folder.path().join(empty);
        fs::create_dir(&empty).unwrap();
        let (place, data) = if command == "backup" { (&empty, from) } else { (from, &empty) };
        succeeds(command, place, data);
    }
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, target) = (data_folder(folder.path(), 1), at("backup"));
    succeeds("backup", &target, &data);
    fails("backup", &target, &data, 1, &["not empty", "name a new folder"]);
    fails("backup", &at("missing/backup"), &data, 1, &["missing"]);
    fails("backup", Path::new("/"), &data, 64, &["name of a new folder"]);
    fails("backup", &at("new"), &at("nowhere"), 1, &["no data folder", "--data-dir"]);
    fails("restore", &target, &data, 1, &["not empty", "--data-dir", "rename"]);
    fails("restore", &data, &at("restored"), 1, &["no complete backup", "contacts backup"]);
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other/queue.taken"), "x").unwrap();
    fails("restore", &target, &at("other"), 1, &["not empty"]);
    assert_eq!(entries(&at("other")), ["queue.taken"], "a refusal changes nothing");
    assert!(!at("restored").exists() && !at("nowhere").exists());
    let mut standalone = start_standalone(&data, &[]);
    standalone.wait_until_ready();
    fails("restore", &target, &data, 1, &["used by another process", "stop that process"]);
    standalone.terminate();
    assert_eq!(count_contacts(&data), 1);
}

#[test]
fn a_damaged_backup_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, good) = (data_folder(folder.path(), 5), at("good"));
    succeeds("backup", &good, &data);
    let (damaged, restored) = (at("damaged"), at("restored"));
    let refused = |damage: &dyn Fn(), code: i32, part: &str| {
        fs::create_dir(&damaged).unwrap();
        for name in entries(&good) {
            fs::copy(good.join(&name), damaged.join(&name)).unwrap();
        }
        damage();
        fails("restore", &damaged, &restored, code, &[part]);
        assert!(!restored.exists() || entries(&restored) == ["lock"], "{part}");
        fs::remove_dir_all(&damaged).unwrap();
    };
    for name in ["contacts.db", "queue.db", "cursor.key"] {
        let path = damaged.join(name);
        let length = fs::metadata(good.join(name)).unwrap().len() as usize;
        for place in [0, length / 2, length - 1] {
            let flip = || {
                let mut bytes = fs::read(&path).unwrap();
                bytes[place] ^= 1;
                fs::write(&path, bytes).unwrap();
            };
            refused(&flip, 1, "is damaged");
        }
        let shorten = || fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length as u64 / 2).unwrap();
        refused(&shorten, 1, "is damaged");
        refused(&|| fs::remove_file(&path).unwrap(), 1, name);
    }
    let manifest = damaged.join("backup.json");
    refused(&|| fs::remove_file(&manifest).unwrap(), 1, "no complete backup");
    refused(&|| fs::write(&manifest, "{").unwrap(), 1, "is damaged");
    let text = fs::read_to_string(good.join("backup.json")).unwrap();
    let replaced = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&manifest, text.replace(from, to)).unwrap();
    };
    refused(&|| replaced("\"cursor.key\"", "\"../cursor.key\""), 1, "unknown file");
    refused(&|| replaced("\"queue.db\"", "\"queue.old\""), 1, "a file is missing");
    refused(&|| replaced("\"format\": 1", "\"format\": 2"), 78, "newer version");
    // The refusals left the data folder usable.
    succeeds("restore", &good, &restored);
    assert_eq!(count_contacts(&restored), 5);
}

#[test]
fn a_backup_of_an_older_schema_is_migrated_and_one_of_a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = data_folder(folder.path(), 2);
    let database = data.join("contacts.db").to_str().unwrap().to_owned();
    let url = format!("sqlite:{database}");
    let (status, log) = Process::run(&["migrate", "--down"], &[("CONTACTS__DATABASE__URL", url.as_str())]);
    assert!(status.success(), "{log}");
    succeeds("backup", &at("older"), &data);
    succeeds("restore", &at("older"), &at("restored"));
    assert_eq!(count_contacts(&at("restored")), 2);
    let mut connection = SqliteConnection::establish(&database).unwrap();
    connection.batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')").unwrap();
    drop(connection);
    // An older program may still run on a newer schema, so it must be able to make a backup.
    succeeds("backup", &at("newer"), &data);
    fails("restore", &at("newer"), &at("refused"), 78, &["newer version", "99990101000000"]);
    assert_eq!(entries(&at("refused")), ["lock"]);
}

#[test]
fn an_interrupted_backup_leaves_no_complete_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = data_folder(folder.path(), 2);
    let parent = at("backups");
    fs::create_dir(&parent).unwrap();
    for last in [Step::CopyQueue, Step::CopyDatabase, Step::Check] {
        let stop = Stop::default();
        let result = backup::create(&data, &parent.join("new"), &stop, &mut |step| {
            if step == last {
                // What a crash would leave here.
                let leftover = entries(&parent);
                assert!(leftover.len() == 1 && leftover[0].ends_with(".part"), "{leftover:?}");
                fails("restore", &parent.join(&leftover[0]), &at("restored"), 1, &["no complete backup"]);
                stop.request();
            }
        });
        assert!(matches!(result, Err(BackupError::Failed(_))), "{result:?}");
        assert!(entries(&parent).is_empty());
    }
}

/// Kills a command after a part of the time that a whole run takes, again and again.
fn kill_at_many_points(arguments: impl Fn(usize) -> Vec<String>, mut afterwards: impl FnMut(usize)) {
    let start = |number| {
        let arguments = arguments(number);
        Process::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
    };
    let begun = Instant::now();
    let mut process = start(0);
    assert!(process.wait().success(), "{}", process.log());
    let whole = begun.elapsed();
    for number in 1..=16 {
        let mut process = start(number);
        std::thread::sleep(whole * fastrand::u32(0..1_000) / 1_000);
        process.kill();
        afterwards(number);
    }
}

#[test]
fn a_killed_backup_is_not_restored_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = data_folder(folder.path(), 500);
    let mut standalone = start_standalone(&data, &[]);
    standalone.wait_until_ready();
    let client = standalone.client();
    let backups = at("backups");
    fs::create_dir(&backups).unwrap();
    let arguments = |number: usize| {
        let target = backups.join(format!("backup-{number}"));
        ["backup", target.to_str().unwrap(), "--data-dir", data.to_str().unwrap()].map(str::to_owned).to_vec()
    };
    let mut created = 500;
    kill_at_many_points(arguments, |number| {
        let answer = client.write("POST", "/contacts", &[("prefer", "wait=30")], &person("Bia"));
        assert_eq!(answer.status, 201, "{answer:?}");
        created += 1;
        for name in entries(&backups) {
            let restored = at("restored");
            let (code, output) = run("restore", &backups.join(&name), &restored);
            // A folder with its name is complete. Another one is refused, unless it only lacks its name.
            assert!(code == Some(0) || code == Some(1) && name.ends_with(".part"), "{number}: {name}: {output}");
            if code == Some(0) && number % 4 == 0 {
                assert!(count_contacts(&restored) >= 500);
            }
            let _ = fs::remove_dir_all(&restored);
        }
    });
    assert_eq!(exported(&client), created);
    standalone.terminate();
    succeeds("backup", &at("last"), &data);
    assert_eq!(count_contacts(&data), created);
}

#[test]
fn an_interrupted_restore_is_not_started_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, backup) = (data_folder(folder.path(), 500), at("backup"));
    succeeds("backup", &backup, &data);
    let restored = at("restored");
    let refuses = |part: &str| {
        let mut standalone = start_standalone(&restored, &[]);
        let status = standalone.wait();
        assert!(status.code() == Some(1) && standalone.log().contains(part), "{}", standalone.log());
    };
    let stop = Stop::default();
    let result = backup::restore(&backup, &restored, &stop, &mut |step| {
        refuses("used by another process");
        if step == Step::Check {
            stop.request();
        }
    });
    assert!(result.is_err() && entries(&restored) == ["lock"], "{result:?}");
    // What a crash leaves between the first file and the last one.
    fs::create_dir(restored.join(".restore.part")).unwrap();
    fs::copy(backup.join("contacts.db"), restored.join("contacts.db")).unwrap();
    fs::copy(backup.join("queue.db"), restored.join(".restore.part/queue.db")).unwrap();
    refuses("run `contacts restore` again");
    fails("backup", &at("other"), &restored, 1, &["run `contacts restore` again"]);
    for command in [&["dlq-drain"][..], &["prune", "--older-than", "1d"]] {
        let (status, log) = Process::run(&[command, &["--data-dir", restored.to_str().unwrap()]].concat(), &[]);
        assert!(status.code() == Some(1) && log.contains("run `contacts restore` again"), "{log}");
    }
    succeeds("restore", &backup, &restored);
    assert_eq!(count_contacts(&restored), 500);

    let target = |number: usize| at(&format!("killed-{number}"));
    let arguments = |number: usize| {
        let target = target(number);
        ["restore", backup.to_str().unwrap(), "--data-dir", target.to_str().unwrap()].map(str::to_owned).to_vec()
    };
    kill_at_many_points(arguments, |number| {
        let target = target(number);
        let is_complete = target.join("contacts.db").exists() && !target.join(".restore.part").exists();
        if !is_complete {
            succeeds("restore", &backup, &target);
        }
        if number % 4 == 0 {
            assert_eq!(count_contacts(&target), 500);
        }
    });
}

#[test]
fn a_reader_of_the_changes_is_told_that_newer_ones_are_lost() {
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| parent.path().join(name);
    let mut standalone = start_standalone(&at("data"), &[]);
    let client = standalone.client();
    let create = |client: &Client, name: &str| {
        let created = client.write("POST", "/contacts", &[("prefer", "wait=30")], &person(name));
        assert_eq!(created.status, 201, "{created:?}");
        (created.text("version"), client.get("/changes?after=latest").text("next"))
    };
    let (_, kept) = create(&client, "Ana");
    succeeds("backup", &at("backup"), &at("data"));
    let (_, lost) = create(&client, "Bia");
    standalone.terminate();
    succeeds("restore", &at("backup"), &at("restored"));
    let mut standalone = start_standalone(&at("restored"), &[]);
    let client = standalone.client();
    let after = |cursor: &str| client.get(&format!("/changes?after={cursor}"));
    assert_eq!((after(&lost).status, after(&kept).json()["items"].as_array().unwrap().len()), (410, 0));
    // Another change has the place of the one that was lost.
    let (caio, _) = create(&client, "Caio");
    assert_eq!((after(&lost).status, &after(&kept).json()["items"][0]["version"]), (410, &json!(caio)));
}
