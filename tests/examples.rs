//! Tests of the programs in `examples/`: each is killed again and again while contacts change, and ends with an equal copy.

use crate::support::{Client, Process, Stack, eventually};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::SqliteConnection;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SEED: u64 = 20_261_129;
/// The version of the AMQP library of the Python example.
const PIKA: &str = "pika==1.3.2";

/// The contacts by id.
type Contacts = BTreeMap<String, Value>;

#[derive(QueryableByName)]
struct CopyRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    contact: Option<String>,
}

fn copied(path: &Path) -> Contacts {
    let mut sql = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let rows: Vec<CopyRow> = diesel::sql_query("SELECT id, contact FROM contacts").load(&mut sql).unwrap_or_default();
    rows.into_iter().filter_map(|row| Some((row.id, serde_json::from_str(&row.contact?).unwrap()))).collect()
}

fn exported(client: &Client) -> Contacts {
    let lines = client.get("/contacts/export?format=ndjson").body;
    let contacts = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    contacts.map(|contact| (contact["id"].as_str().unwrap().to_owned(), contact)).collect()
}

/// Changes contacts at random, and waits until all changes are finished.
fn change_contacts(client: &Client, random: &mut fastrand::Rng, count: usize) {
    let (mut ids, mut operations): (Vec<String>, Vec<String>) = Default::default();
    for number in 0..count {
        let person = json!({ "name": format!("Ana {number}"), "phone": "+5511987654321" });
        let path = |id: &String| format!("/contacts/{id}");
        let answer = match (random.u8(0..10), random.choice(&ids)) {
            (0..5, _) | (_, None) => client.write("POST", "/contacts", &[], &person),
            (5..7, Some(id)) => client.write("PUT", &path(id), &[], &person),
            (7..9, Some(id)) => {
                client.write("PATCH", &path(id), &[], &json!({ "email": format!("ana{number}@example.com") }))
            }
            (_, Some(id)) => client.send("DELETE", &path(id), &[], None).unwrap(),
        };
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(answer.text("contact_id"));
        operations.push(answer.text("operation_id"));
    }
    for operation in operations {
        client.finished_operation(&operation);
    }
}

/// Runs `command` and kills it after a random time, until `finished`.
fn kill_at_random(command: impl Fn() -> Command, random: &mut fastrand::Rng, finished: &AtomicBool) -> usize {
    let mut kills = 0;
    while !finished.load(Ordering::SeqCst) {
        let mut process = Process::from_command(command());
        std::thread::sleep(Duration::from_millis(random.u64(100..900)));
        process.kill();
        kills += 1;
    }
    kills
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

#[test]
fn a_mirror_that_is_killed_at_random_ends_equal() {
    let stack = Stack::new();
    let (mut producer, _consumer) = (stack.start("producer"), stack.start("consumer"));
    let (client, folder) = (producer.client(), tempfile::tempdir().unwrap());
    let copy = folder.path().join("copy.db");
    let service = format!("http://{}", client.address());
    let command = |more: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(example("mirror.py")).arg(&service).arg(&copy).args(more);
        command
    };
    let mut random = fastrand::Rng::with_seed(SEED);
    // The snapshot has something, too.
    change_contacts(&client, &mut random, 50);
    let finished = AtomicBool::new(false);
    let mut kills = 0;
    std::thread::scope(|scope| {
        let mut random_times = random.fork();
        let killer = scope.spawn({
            let (command, finished) = (&command, &finished);
            move || kill_at_random(|| command(&[]), &mut random_times, finished)
        });
        while !killer.is_finished() && copied(&copy).is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        change_contacts(&client, &mut random, 600);
        finished.store(true, Ordering::SeqCst);
        kills = killer.join().unwrap();
    });
    assert!(kills > 1, "it was killed {kills} times");
    let mut last = Process::from_command(command(&["--once"]));
    assert!(last.wait().success(), "{}", last.log());
    assert!(!last.log().contains("snapshot"), "it follows: {}", last.log());
    assert_eq!(copied(&copy), exported(&client));

    // The changes that it has not seen are removed: it begins again.
    change_contacts(&client, &mut random, 20);
    stack.database.execute("DELETE FROM operations");
    let mut last = Process::from_command(command(&["--once"]));
    assert!(last.wait().success() && last.log().contains("taking a new snapshot"), "{}", last.log());
    assert_eq!(copied(&copy), exported(&client));
}

/// A Python that has pika. The first call installs it.
fn python_with_pika() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/examples");
    let (python, pin) = (folder.join("venv/bin/python"), folder.join("pin"));
    if std::fs::read_to_string(&pin).unwrap_or_default() != PIKA {
        std::fs::create_dir_all(&folder).unwrap();
        let run = |program: &Path, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).current_dir(&folder).status().unwrap();
            assert!(status.success(), "{} {arguments:?}", program.display());
        };
        run(Path::new("python3"), &["-m", "venv", "--clear", "venv"]);
        run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PIKA]);
        std::fs::write(pin, PIKA).unwrap();
    }
    python
}

#[test]
fn a_copy_by_events_that_is_killed_at_random_ends_equal() {
    let python = python_with_pika();
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    let consumer = stack.start_with("consumer", &[("CONTACTS__EVENTS__ENABLED", "true")]);
    eventually("the process publishes", || {
        (!consumer.log_lines("this process publishes the events").is_empty()).then_some(())
    });
    let (client, folder) = (producer.client(), tempfile::tempdir().unwrap());
    let copy = folder.path().join("copy.db");
    let (exchange, queue) = (format!("{}contato.events", stack.broker.prefix), format!("{}copy", stack.broker.prefix));
    let command = || {
        let mut command = Command::new(&python);
        command.arg(example("events.py")).arg(&stack.broker.url).arg(format!("http://{}", client.address())).arg(&copy);
        command.env("EXCHANGE", &exchange).env("QUEUE", &queue);
        command
    };
    let mut random = fastrand::Rng::with_seed(SEED);
    // An event without a queue is dropped, so the program must have bound its queue before the first change.
    let mut first = Process::from_command(command());
    let mut connection = stack.broker.connect();
    eventually("its queue is there", || {
        let channel = connection.open_channel(None).unwrap();
        channel
            .queue_declare_passive(queue.as_str())
            .is_ok_and(|queue| queue.declared_consumer_count() == Some(1))
            .then_some(())
    });
    first.kill();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut random_times = random.fork();
        let killer = scope.spawn({
            let (command, finished) = (&command, &finished);
            move || kill_at_random(command, &mut random_times, finished)
        });
        change_contacts(&client, &mut random, 300);
        finished.store(true, Ordering::SeqCst);
        assert!(killer.join().unwrap() > 1);
    });
    let last = Process::from_command(command());
    let expected = exported(&client);
    eventually("the copy is equal", || (copied(&copy) == expected).then_some(()));
    drop(last);
    let channel = connection.open_channel(None).unwrap();
    channel.queue_declare_passive(queue.as_str()).unwrap().delete(Default::default()).unwrap();
}
