//! `contacts subject`: a person is found, exported and erased, and nothing of it returns.

use crate::support::{
    Process, Stack, all_dead_letters, delete, eventually, new_contact, patch, start_standalone, update,
};
use contacts::config::ApiKey;
use contacts::domain::{
    Action, Attempt, Command, Details, Email, Name, OperationId, Patch, Phone, Reason, Stamp, Status, Timestamp,
};
use contacts::message::Message;
use contacts::queue::embedded::{EmbeddedDeadLetters, EmbeddedQueue};
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{Publisher, QueueKind};
use contacts::stop::Stop;
use contacts::store::postgres::Postgres;
use contacts::store::sqlite::Sqlite;
use contacts::store::{Direction, Operation, Store};
use contacts::subject::{Sources, Subject, find};
use contacts::telemetry::Health;
use diesel::connection::SimpleConnection;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

const PHONE: &str = "(11) 98700-1234";
const EMAIL: &str = "zyx.mark@example.com";
const NAME: &str = "Zyxwvut Qponmlk";
/// What a text with data of the person contains.
const MARKS: [&str; 4] = ["zyxwvut", "qponmlk", "987001234", "zyx.mark"];

fn person(name: &str, phone: &str, email: Option<&str>) -> Details {
    Details {
        name: Name::parse(name).unwrap(),
        phone: Phone::parse(phone).unwrap(),
        email: email.map(|email| Email::parse(email).unwrap()),
    }
}

/// A create of the person, accepted now.
fn create() -> Command {
    create_of(person(NAME, PHONE, Some(EMAIL)))
}

fn create_of(details: Details) -> Command {
    accepted_now(Action::Create(details))
}

fn accepted_now(action: Action) -> Command {
    let now = chrono::Utc::now();
    Command {
        operation_id: OperationId::new(Uuid::now_v7()),
        contact_id: new_contact(),
        stamp: Stamp::at_millis(now.timestamp_millis()),
        expects: None,
        accepted_at: Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap(),
        fingerprint: None,
        action,
    }
}

/// A create of another person.
fn other() -> Command {
    create_of(person("Bia Lima", "(21) 91234-5678", Some("bia@example.com")))
}

/// A message that is no command, of another program.
fn malformed(body: impl AsRef<[u8]>) -> Message {
    let mut message = Message { body: body.as_ref().to_vec(), ..Message::default() };
    message.headers.record_failure(Reason::Undecodable, Reason::Undecodable.sentence(), chrono::Utc::now());
    message
}

fn dead_letter(command: &Command) -> Message {
    let mut message = Message::new(command);
    message.headers.record_failure(
        Reason::RejectedByDatabase,
        Reason::RejectedByDatabase.sentence(),
        chrono::Utc::now(),
    );
    message
}

/// The result of one run of `contacts subject`.
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Finished {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }

    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }
}

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Finished {
    let output = Process::command(arguments, settings).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A broker and a database.
struct Service(Stack);

impl Service {
    fn new() -> Self {
        Self(Stack::new())
    }

    fn subject(&self, arguments: &[&str]) -> Finished {
        run(&[&["subject"], arguments].concat(), &self.0.settings(&[]))
    }

    /// Erases the person by its phone number.
    fn erase(&self) -> Value {
        self.subject(&["erase", "--phone", PHONE, "--yes", "--json"]).expect(0).json()
    }

    fn store(&self) -> Postgres {
        Postgres::new(&self.0.database.settings()).unwrap()
    }

    fn publish(&self, queue: QueueKind, messages: impl IntoIterator<Item = Message>, delay: Duration) {
        let settings = self.0.broker.settings();
        let rabbit = RabbitMq::new(&settings).unwrap();
        let component = Health::default().component("queue");
        let (publisher, _thread) = rabbit.publisher(&settings, component, Stop::default()).unwrap();
        publish(&publisher, queue, messages, delay);
    }

    fn finished(&self, command: &Command) -> Operation {
        let store = self.store();
        eventually("the operation is finished", || store.operation(command.operation_id).unwrap())
    }

    /// Applies commands with a consumer that then stops.
    fn apply(&self, commands: &[&Command]) {
        self.0.publish(commands.iter().map(|command| Message::new(command)));
        let consumer = self.0.start("consumer");
        for command in commands {
            assert_eq!(self.finished(command).status, Status::Applied);
        }
        consumer.terminate();
    }
}

fn publish(publisher: &Publisher, queue: QueueKind, messages: impl IntoIterator<Item = Message>, delay: Duration) {
    let mut messages: Vec<Message> = messages.into_iter().collect();
    eventually("all messages are confirmed", || {
        let batch = messages.iter().map(|message| (queue, message.clone(), delay));
        let results = publisher.publish_all(batch, Duration::from_secs(30));
        let rejected = std::mem::take(&mut messages).into_iter().zip(results).filter(|(_, result)| result.is_err());
        messages = rejected.map(|(message, _)| message).collect();
        messages.is_empty().then_some(())
    });
}

const REJECTED: Status = Status::Failed(Reason::SubjectErased);

#[test]
fn nothing_returns_that_was_accepted_before_an_erasure() {
    let service = Service::new();
    let (known, bia) = (create(), other());
    service.apply(&[&known, &bia]);
    // The same person again, on its way in each queue.
    let (working, retried, archived) = (create(), create(), create());
    service.publish(QueueKind::DeadLetter, [dead_letter(&archived)], Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive.ndjson");
    let archive = archive.to_str().unwrap();
    run(&["dlq-drain", "export", archive, "--all", "--yes"], &service.0.settings(&[])).expect(0);
    service.publish(QueueKind::Retry, [Message::new(&retried)], Duration::from_secs(2));
    // Changes of the known contact with and without a value of the person.
    let renamed = Patch { name: Some(Name::parse("Zyxwvut Married").unwrap()), ..Patch::default() };
    let renamed = Command { contact_id: known.contact_id, ..accepted_now(Action::Patch(renamed)) };
    let moved = person("Zyxwvut Moved", "(31) 93333-3333", None);
    let moved = Command { contact_id: known.contact_id, ..accepted_now(Action::Update(moved)) };
    service.0.publish([&working, &renamed, &moved].map(Message::new));

    let report = service.erase();
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(report["contacts"], serde_json::json!([known.contact_id.to_string()]));
    assert_eq!(
        report["waiting"]["work"].as_u64().unwrap() + report["waiting"]["retry"].as_u64().unwrap(),
        4,
        "{report}"
    );
    // A delete like any other, with a tombstone and an operation.
    let deleted = service.store().contact(known.contact_id).unwrap().unwrap();
    assert!(deleted.is_deleted());
    assert_eq!(service.finished(&Command { operation_id: deleted.version, ..known.clone() }).status, Status::Applied);

    let later = create();
    service.0.publish([Message::new(&later)]);
    let consumer = service.0.start("consumer");
    for command in [&working, &retried, &renamed, &moved] {
        assert_eq!(service.finished(command).status, REJECTED);
    }
    assert_eq!(service.finished(&later).status, Status::Applied, "a person may return");
    let replay =
        run(&["dlq-drain", "--output", "json", "import", archive, "--yes", "--wait", "30s"], &service.0.settings(&[]));
    assert_eq!(replay.expect(3).json()["outcomes"]["failed_again"]["subject_erased"], 1);
    assert_eq!(service.finished(&archived).status, REJECTED);

    assert_eq!(
        service.0.database.count("contacts WHERE deleted_at IS NULL"),
        2,
        "the later request and another person"
    );
    assert!(service.0.dead_letters().is_empty(), "{:?}", service.0.dead_letters());
    let log = consumer.log().to_lowercase();
    assert!(MARKS.iter().all(|mark| !log.contains(mark)), "{log}");
    assert_eq!(consumer.log_lines("message dropped").len(), 5);
}

/// A batch that has read no erasures commits after the erasure was recorded.
#[test]
fn an_erasure_waits_for_the_batches_that_have_not_seen_it() {
    let service = Service::new();
    // The first statements of a batch with one create. It has no transaction id yet.
    let mut batch = service
        .0
        .database
        .open_transaction("SELECT id FROM contacts WHERE false FOR UPDATE; SELECT erased_at FROM erasures");
    let arguments = ["subject", "erase", "--phone", PHONE, "--yes", "--json"];
    let erase = std::thread::scope(|scope| {
        let erase = scope.spawn(|| run(&arguments, &service.0.settings(&[])));
        eventually("the erasure is recorded", || (service.0.database.count("erasures") > 0).then_some(()));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!erase.is_finished());
        batch
            .batch_execute(
                "INSERT INTO contacts (id, version, stamp, created_by, created_at, updated_at, name, phone, ddd, name_key) \
                 VALUES (gen_random_uuid(), gen_random_uuid(), 0, gen_random_uuid(), now(), now(), 'Zyxwvut', \
                 '+5511987001234', 11, 'zyxwvut'); COMMIT",
            )
            .unwrap();
        erase.join().unwrap()
    });
    let report = erase.expect(0).json();
    assert_eq!(
        (&report["complete"], report["contacts"].as_array().unwrap().len()),
        (&Value::Bool(true), 1),
        "{report}"
    );
    assert_eq!(service.0.database.count("contacts WHERE deleted_at IS NULL"), 0);
}

#[test]
fn an_erasure_that_was_killed_is_finished_by_the_next_run() {
    let service = Service::new();
    let known = create();
    service.apply(&[&known]);
    service.publish(QueueKind::DeadLetter, [malformed(EMAIL), dead_letter(&create())], Duration::ZERO);
    let batch = service.0.database.open_transaction("SELECT id FROM contacts WHERE false FOR UPDATE");
    let mut erase = Process::start(&["subject", "erase", "--name", NAME, "--yes"], &service.0.settings(&[]));
    eventually("the erasure is recorded", || (service.0.database.count("erasures") > 0).then_some(()));
    erase.kill();
    assert_eq!(service.0.database.count("contacts WHERE deleted_at IS NULL"), 1);
    drop(batch);
    let report = service.subject(&["erase", "--name", NAME, "--email", EMAIL, "--yes", "--json"]).expect(0).json();
    assert_eq!((&report["complete"], &report["dead_letters"]), (&Value::Bool(true), &Value::from(2)), "{report}");
    assert!(service.0.dead_letters().is_empty());
    // The name alone suppresses the values of the contacts that have it.
    let late = Command { accepted_at: known.accepted_at, ..create() };
    service.0.publish([Message::new(&late)]);
    let consumer = service.0.start("consumer");
    assert_eq!(service.finished(&late).status, REJECTED);
    consumer.terminate();
}

/// Dead letters of the person, and others, in every form.
fn mixed_dead_letters() -> (Vec<Message>, Vec<Message>) {
    let known = create();
    let renamed = Patch { name: Some(Name::parse("Z. Q.").unwrap()), ..Patch::default() };
    let mut change = patch(known.contact_id, 5, renamed);
    change.accepted_at = known.accepted_at;
    let in_header = {
        let mut message = malformed("{}");
        message.headers.set("x-sender", contacts::message::Header::Text(format!("<{EMAIL}>")));
        message
    };
    let of_person = vec![
        dead_letter(&known),
        malformed("{\"tel\": \"+55 11 98700-1234\", "),
        malformed("Mail: ZYX.MARK@Example.com."),
        malformed(b"nome=Zyxwvut Qponmlk;\xff"),
        in_header,
    ];
    let mut longer = malformed("zyx.mark@example.com.br and (11) 98700-1235");
    longer.id = "foreign".into();
    // The last one has no value of the person. Only an erasure sees by the first message whose contact it changes.
    (of_person, vec![dead_letter(&other()), malformed("nothing"), longer, dead_letter(&change)])
}

fn dead_letters_are_found_exported_and_discarded(
    subject: &dyn Fn(&[&str]) -> Finished,
    dead_letters: &dyn Fn() -> Vec<Message>,
    others: &[Message],
) {
    let selector = ["--phone", PHONE, "--email", EMAIL, "--name", NAME];
    let found = subject(&[&["find", "--json"][..], &selector].concat()).expect(0).json();
    let mut matched: Vec<String> =
        found["dead_letters"].as_array().unwrap().iter().map(|found| found["matched_by"].to_string()).collect();
    matched.sort();
    assert_eq!(matched, ["[\"email\"]", "[\"email\"]", "[\"name\"]", "[\"phone\",\"email\",\"name\"]", "[\"phone\"]"]);
    let table = subject(&[&["find"][..], &selector].concat());
    assert!(table.expect(0).stdout.contains("0 contacts and 5 dead-lettered messages found"), "{}", table.stdout);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("person.json");
    let arguments = [&["export", file.to_str().unwrap()][..], &selector].concat();
    subject(&arguments).expect(0);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let export: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&export["schema"], export["dead_letters"].as_array().unwrap().len()), (&Value::from(1), 5));
    let messages = export["dead_letters"].as_array().unwrap();
    assert!(messages.iter().any(|message| message["body"]["contact"]["email"] == EMAIL), "{export}");
    assert_eq!(messages.iter().filter(|message| message["body_base64"].is_string()).count(), 3, "{export}");
    let again = subject(&arguments);
    assert!(again.expect(1).stderr.contains("already exists"), "{}", again.stderr);

    let refused = subject(&[&["erase"][..], &selector].concat());
    assert!(refused.expect(64).stderr.contains("--yes"), "{}", refused.stderr);
    let dry = subject(&[&["erase", "--dry-run"][..], &selector].concat());
    assert!(dry.expect(0).stderr.contains("nothing changed"));
    assert_eq!(dead_letters().len(), 5 + others.len());
    let erased = subject(&[&["erase", "--yes"][..], &selector].concat());
    let text = format!("{}{}", erased.expect(0).stdout, erased.stderr).to_lowercase();
    assert!(MARKS.iter().all(|mark| !text.contains(mark)), "{text}");
    assert!(text.contains("person erased") && text.contains("messages discarded  6"), "{text}");
    assert!(text.contains("4 of the messages could not be decoded"), "{text}");
    let (left, others) = (dead_letters(), others.split_last().unwrap().1);
    assert_eq!(left.len(), others.len());
    assert!(others.iter().all(|other| left.iter().any(|left| left.body == other.body)), "{left:?}");
    let empty = subject(&[&["find", "--json"][..], &selector].concat()).json();
    assert_eq!(empty["dead_letters"], serde_json::json!([]));
}

#[test]
fn dead_letters_are_found_exported_and_discarded_on_rabbitmq() {
    let service = Service::new();
    let (of_person, others) = mixed_dead_letters();
    service.publish(QueueKind::DeadLetter, [of_person, others.clone()].concat(), Duration::ZERO);
    let subject = |arguments: &[&str]| service.subject(arguments);
    dead_letters_are_found_exported_and_discarded(&subject, &|| service.0.dead_letters(), &others);
}

#[test]
fn dead_letters_are_found_exported_and_discarded_in_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut standalone = start_standalone(folder.path(), &[]);
    standalone.wait_until_ready();
    let component = Health::default().component("queue");
    let (queue, publisher, _thread) =
        EmbeddedDeadLetters::open(folder.path(), 10_000, component, &Stop::default()).unwrap();
    let (of_person, others) = mixed_dead_letters();
    publish(&publisher, QueueKind::DeadLetter, [of_person, others.clone()].concat(), Duration::ZERO);
    let subject = |arguments: &[&str]| {
        run(&[&["subject", "--data-dir", folder.path().to_str().unwrap()], arguments].concat(), &[])
    };
    dead_letters_are_found_exported_and_discarded(&subject, &|| all_dead_letters(&queue), &others);
}

/// Whether a file of a folder contains one of the marks.
fn files_with_marks(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap().to_ascii_lowercase();
        for mark in MARKS {
            if bytes.windows(mark.len()).any(|window| window == mark.as_bytes()) {
                found.push(format!("{} has {mark}", path.display()));
            }
        }
    }
    found
}

#[test]
fn the_files_of_a_standalone_have_no_data_of_an_erased_person() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut standalone = start_standalone(&data, &[]);
    standalone.wait_until_ready();
    let client = standalone.client();
    let mut created = Vec::new();
    for body in [
        serde_json::json!({ "name": NAME, "phone": PHONE, "email": EMAIL }),
        serde_json::json!({ "name": "Bia Lima", "phone": "(21) 91234-5678" }),
    ] {
        let answer = client.write("POST", "/contacts", &[("prefer", "wait=20")], &body);
        assert_eq!(answer.status, 201, "{answer:?}");
        created.push(answer.text("id"));
    }
    // A former address of the person stays in free pages.
    let changed = serde_json::json!({ "email": "former.zyx.mark@example.com" });
    let path = format!("/contacts/{}", created[0]);
    assert_eq!(client.write("PATCH", &path, &[("prefer", "wait=20")], &changed).status, 200);
    assert!(!files_with_marks(&data).is_empty());

    let directory = data.to_str().unwrap();
    let found = run(&["subject", "--data-dir", directory, "find", "--id", &created[0], "--json"], &[]);
    assert_eq!(found.expect(0).json()["contacts"][0]["name"], NAME);
    let erased = run(&["subject", "--data-dir", directory, "erase", "--phone", PHONE, "--yes", "--json"], &[]);
    assert_eq!(erased.expect(0).json()["contacts"], serde_json::json!([created[0]]));
    assert_eq!(client.get(&path).status, 404);
    assert_eq!(client.get(&format!("/contacts/{}", created[1])).status, 200);
    assert_eq!(files_with_marks(&data), Vec::<String>::new());
    let log = standalone.log().to_lowercase();
    assert!(MARKS.iter().all(|mark| !log.contains(mark)), "{log}");
    // Erasing works without the standalone, too.
    standalone.terminate();
    let erased = run(&["subject", "--data-dir", directory, "erase", "--name", "bia  LIMA", "--yes", "--json"], &[]);
    assert_eq!(erased.expect(0).json()["contacts"], serde_json::json!([created[1]]));
}

/// The old values of a contact outlive it. They are found by their values, also if nothing else is left.
#[test]
fn old_values_are_found_exported_and_erased() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut standalone = start_standalone(&data, &[("CONTACTS__HISTORY__VALUES", "true")]);
    standalone.wait_until_ready();
    let client = standalone.client();
    let wait = [("prefer", "wait=20")];
    let create = |name: &str, phone: &str| {
        let contact = serde_json::json!({ "name": name, "phone": phone });
        client.write("POST", "/contacts", &[wait[0], ("idempotency-key", name)], &contact).text("id")
    };
    let change = |id: &str, name: &str, phone: &str| {
        let contact = serde_json::json!({ "name": name, "phone": phone });
        assert_eq!(client.write("PUT", &format!("/contacts/{id}"), &wait, &contact).status, 200);
    };
    // The person was deleted. Somebody else had their number for a time.
    let deleted = create(NAME, PHONE);
    assert_eq!(client.write("DELETE", &format!("/contacts/{deleted}"), &wait, &Value::Null).status, 204);
    let bia = create("Bia Lima", PHONE);
    change(&bia, "Bia Lima", "(21) 91234-5678");
    change(&bia, "Bia Dias", "(21) 91234-5678");

    let directory = data.to_str().unwrap();
    let subject = |arguments: &[&str]| run(&[&["subject", "--data-dir", directory], arguments].concat(), &[]);
    let found = subject(&["find", "--phone", PHONE, "--json"]).expect(0).json();
    assert_eq!((&found["contacts"], &found["dead_letters"]), (&serde_json::json!([]), &serde_json::json!([])));
    let old: Vec<&Value> = found["old_values"].as_array().unwrap().iter().map(|found| &found["contact_id"]).collect();
    assert_eq!(old.len(), 2, "{found}");
    assert!(old.contains(&&Value::from(&*deleted)) && old.contains(&&Value::from(&*bia)), "{found}");
    let text = subject(&["find", "--phone", PHONE]).expect(0).stdout.clone();
    assert!(text.contains("the old values of 2 operations found"), "{text}");
    let file = folder.path().join("export.json");
    subject(&["export", file.to_str().unwrap(), "--phone", PHONE]).expect(0);
    let export: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    // The same by its id.
    let by_id = folder.path().join("by-id.json");
    subject(&["export", by_id.to_str().unwrap(), "--id", &deleted]).expect(0);
    let by_id: Value = serde_json::from_str(&std::fs::read_to_string(&by_id).unwrap()).unwrap();
    assert_eq!(by_id["operations"].as_array().unwrap().len(), 2, "{by_id}");
    // All operations of the deleted contact. Of the other person's change, only the number that was asked for.
    let operations = export["operations"].as_array().unwrap();
    let kept: Vec<&Value> = operations.iter().map(|operation| &operation["old_values"]).collect();
    let number = "+5511987001234";
    let of_person = serde_json::json!({ "name": NAME, "phone": number });
    assert_eq!(kept, [&Value::Null, &of_person, &serde_json::json!({ "phone": number })], "{export}");

    let erased = subject(&["erase", "--phone", PHONE, "--yes", "--json"]).expect(0).json();
    assert_eq!((&erased["contacts"], &erased["complete"]), (&serde_json::json!([]), &Value::Bool(true)));
    // Two operations with old values, and the create with its digest. That of the other person's create stays.
    assert_eq!(erased["old_values"], 3, "{erased}");
    assert_eq!(files_with_marks(&data), Vec::<String>::new());
    let history = client.get(&format!("/contacts/{bia}/history")).json();
    let kept: Vec<&Value> =
        history["items"].as_array().unwrap().iter().map(|item| &item["old_values"]["name"]).collect();
    assert_eq!(
        kept,
        [&Value::from("Bia Lima"), &Value::Null, &Value::Null],
        "another person's history stays: {history}"
    );
    standalone.terminate();
}

/// A process that is stopped in the middle of a search must not say that it found all.
#[test]
fn a_search_that_is_stopped_has_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::new(&folder.path().join("contacts.db")).unwrap().keep_old_values(true);
    store.migrate(Direction::Up).unwrap();
    let id = new_contact();
    let commands = [crate::support::create(id, "Ana"), update(id, 2, "Bia"), update(id, 3, "Carla")];
    store.apply(&commands.map(Attempt::new)).unwrap();
    let component = Health::default().component("queue");
    let opened = EmbeddedQueue::open(folder.path(), 100, component, &Stop::default()).unwrap();
    let queue = EmbeddedDeadLetters::in_folder(folder.path()).unwrap();
    let monitor = Box::new(queue.monitor().unwrap());
    let stop = Stop::default();
    let mut sources =
        Sources { store: Box::new(store), dead_letters: Box::new(queue), monitor, stop: stop.clone(), console: None };
    let subject = Subject { contacts: vec![id], ..Subject::default() };
    assert!(find(&mut sources, &subject).is_ok());
    stop.request();
    assert!(find(&mut sources, &subject).is_err());
    drop(opened);
}

/// What waits is dropped when it arrives, but only another run removes it from the file of the queue.
#[test]
fn an_erasure_in_a_data_folder_says_if_it_must_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut standalone = start_standalone(folder.path(), &[("CONTACTS__RETRY__DELAY", "1h")]);
    standalone.wait_until_ready();
    // No create comes before this change, so it waits for another try.
    let body = serde_json::json!({ "name": NAME, "phone": PHONE });
    let path = format!("/contacts/{}", Uuid::now_v7());
    assert_eq!(standalone.client().write("PUT", &path, &[], &body).status, 202);
    let directory = folder.path().to_str().unwrap();
    let subject = |operation: &[&str]| {
        run(&[&["subject", "--data-dir", directory], operation, &["--phone", PHONE, "--json"]].concat(), &[]).json()
    };
    eventually("it waits", || (subject(&["find"])["waiting"]["retry"] == 1).then_some(()));
    let erased = subject(&["erase", "--yes"]);
    assert!(erased["notes"][0].as_str().unwrap().contains("run this command again"), "{erased}");
    // Without anything that waits there is nothing to say.
    let stack = Service::new();
    assert_eq!(stack.erase()["notes"], serde_json::json!([]));
}

/// A colleague with the same phone number may have a change on the way.
#[test]
fn a_value_that_another_contact_has_is_not_suppressed() {
    let service = Service::new();
    let switchboard = "(11) 3333-4444";
    let ana = create_of(person(NAME, switchboard, Some(EMAIL)));
    let bia = create_of(person("Bia Lima", switchboard, None));
    let cida = create_of(person("Cida Costa", switchboard, None));
    service.apply(&[&ana, &bia]);
    service.0.publish([Message::new(&cida)]);
    let report = service.subject(&["erase", "--email", EMAIL, "--yes", "--json"]).expect(0).json();
    assert_eq!(
        (&report["suppressed"]["phones"], &report["not_suppressed"]),
        (&Value::from(0), &Value::from(1)),
        "{report}"
    );
    let consumer = service.0.start("consumer");
    assert_eq!(service.finished(&cida).status, Status::Applied);
    consumer.terminate();
}

/// A pack can have changes of other people. It is not discarded: a replay separates them.
#[test]
fn a_pack_in_the_dead_letter_queue_is_replayed_and_not_discarded() {
    let service = Service::new();
    let (of_person, bia) = (create(), other());
    service.0.publish_in_packs([&of_person, &bia].map(Message::new), 10);
    let mut packs = Vec::new();
    {
        // Takes the pack as RabbitMQ has it, and dead-letters it.
        let mut connection = service.0.broker.connect();
        let channel = connection.open_channel(None).unwrap();
        let queue = service.0.broker.queue_name(QueueKind::Work);
        let taken = eventually("the pack arrives", || channel.basic_get(&queue, false).unwrap());
        packs.push(taken.delivery.body.clone());
        taken.ack(&channel).unwrap();
        channel.close().unwrap();
    }
    let pack = Message { kind: "contact.pack".into(), ..malformed(&packs[0]) };
    // A message of the person alone is discarded in the same run.
    service.publish(QueueKind::DeadLetter, [pack, malformed(PHONE)], Duration::ZERO);
    let report = service.subject(&["erase", "--phone", PHONE, "--yes", "--json"]).expect(3).json();
    assert_eq!((&report["complete"], &report["dead_letters"]), (&Value::Bool(false), &Value::from(1)), "{report}");
    let note = report["notes"][0].as_str().unwrap().to_owned();
    let id = note.split("--id ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    let consumer = service.0.start("consumer");
    let replay = ["dlq-drain", "replay", "--id", &id, "--yes", "--no-canary", "--wait", "1s"];
    run(&replay, &service.0.settings(&[]));
    assert_eq!(service.finished(&of_person).status, REJECTED);
    assert_eq!(service.finished(&bia).status, Status::Applied);
    assert_eq!(service.erase()["complete"], true);
    consumer.terminate();
}

#[test]
fn an_invalid_value_is_not_repeated_in_the_error() {
    for (option, value, part) in [
        ("--phone", "987001234", "--phone must"),
        ("--email", "zyx.mark@@example.com", "--email must"),
        ("--id", "Zyxwvut", "--id must"),
    ] {
        let refused = run(&["subject", "find", option, value], &[]);
        let text = refused.expect(64).stderr.to_lowercase();
        assert!(text.contains(part) && MARKS.iter().all(|mark| !text.contains(mark)), "{text}");
    }
    run(&["subject", "find"], &[]).expect(64);
}

#[test]
fn a_delete_that_waits_is_not_rejected() {
    let service = Service::new();
    let known = create();
    service.apply(&[&known]);
    let mut waiting = delete(known.contact_id, 5);
    waiting.accepted_at = known.accepted_at;
    service.0.publish([Message::new(&waiting)]);
    service.erase();
    let consumer = service.0.start("consumer");
    assert_eq!(service.finished(&waiting).status, Status::Superseded);
    consumer.terminate();
}

/// A client may still have the id of an erased contact. Its change fails, and a dead letter would keep the new values.
#[test]
fn a_change_of_an_erased_contact_that_is_accepted_later_leaves_no_dead_letter() {
    let service = Service::new();
    let known = create();
    service.apply(&[&known]);
    service.erase();
    let moved = person("Zyxwvut Moved", "(31) 93333-3333", None);
    let moved = Command { contact_id: known.contact_id, ..accepted_now(Action::Update(moved)) };
    service.0.publish([Message::new(&moved)]);
    let consumer = service.0.start("consumer");
    assert_eq!(service.finished(&moved).status, REJECTED);
    consumer.terminate();
    assert!(service.0.dead_letters().is_empty(), "{:?}", service.0.dead_letters());
}

/// A contact whose create was never applied, and a text that has only a value of that create.
#[test]
fn what_only_a_dead_letter_names_is_erased_with_it() {
    let service = Service::new();
    let bia = other();
    service.apply(&[&bia]);
    let failed = create();
    let renamed = Patch { name: Some(Name::parse("Z. Q.").unwrap()), ..Patch::default() };
    let renamed = Command { contact_id: failed.contact_id, ..accepted_now(Action::Patch(renamed)) };
    // The address of the person in a change of another one, with a new number of that one.
    let mistaken = person("Bia Lima", "(21) 90000-1111", Some(EMAIL));
    let mistaken = Command { contact_id: bia.contact_id, ..accepted_now(Action::Update(mistaken)) };
    let messages =
        [dead_letter(&renamed), malformed(format!("call {PHONE}")), dead_letter(&failed), dead_letter(&mistaken)];
    service.publish(QueueKind::DeadLetter, messages, Duration::ZERO);
    let report = service.subject(&["erase", "--email", EMAIL, "--yes", "--json"]).expect(0).json();
    assert_eq!((&report["dead_letters"], &report["undecodable"]), (&4.into(), &1.into()), "{report}");
    assert_eq!((&report["complete"], &report["contacts"]), (&true.into(), &serde_json::json!([])), "{report}");
    assert_eq!((&report["suppressed"]["contacts"], &report["suppressed"]["phones"]), (&1.into(), &1.into()));
    assert!(service.0.dead_letters().is_empty());
    assert!(!service.store().contact(bia.contact_id).unwrap().unwrap().is_deleted());
    // A change of the contact that arrives late.
    service.0.publish([Message::new(&renamed)]);
    let consumer = service.0.start("consumer");
    assert_eq!(service.finished(&renamed).status, REJECTED);
    consumer.terminate();
}

/// A colleague with the same phone number whose contact is not stored yet.
#[test]
fn a_value_that_a_dead_letter_of_another_person_has_is_not_suppressed() {
    let service = Service::new();
    let switchboard = "(11) 3333-4444";
    let ana = create_of(person(NAME, switchboard, Some(EMAIL)));
    let cida = create_of(person("Cida Costa", switchboard, None));
    service.apply(&[&ana]);
    service.publish(QueueKind::DeadLetter, [dead_letter(&cida)], Duration::ZERO);
    let report = service.subject(&["erase", "--email", EMAIL, "--yes", "--json"]).expect(0).json();
    assert_eq!((&report["suppressed"]["phones"], &report["not_suppressed"]), (&0.into(), &1.into()), "{report}");
    assert_eq!(service.0.dead_letters().len(), 1);
}

/// It may be a new request, or a clock may be wrong: the operator decides.
#[test]
fn what_looks_later_than_an_erasure_stays_and_is_reported() {
    let service = Service::new();
    let later = chrono::Utc::now() + Duration::from_secs(3600);
    let command = Command { accepted_at: later, ..create() };
    let newer_version =
        malformed(format!("{{\"schema\":9,\"accepted_at\":\"{}\",\"to\":\"{EMAIL}\"}}", later.to_rfc3339()));
    let foreign = Message { timestamp: u64::try_from(later.timestamp()).unwrap(), ..malformed(EMAIL) };
    let earlier = Message { timestamp: 1_700_000_000, ..malformed(EMAIL) };
    let messages = [dead_letter(&command), newer_version, foreign, earlier];
    service.publish(QueueKind::DeadLetter, messages, Duration::ZERO);
    let report = service.subject(&["erase", "--email", EMAIL, "--yes", "--json"]).expect(3).json();
    assert_eq!((&report["complete"], &report["later"]), (&false.into(), &3.into()), "{report}");
    assert_eq!((&report["dead_letters"], &report["undecodable"]), (&1.into(), &1.into()), "{report}");
    assert!(report["notes"][0].as_str().unwrap().contains("Check the clocks"), "{report}");
    assert_eq!(service.0.dead_letters().len(), 3);
}

/// The id of a contact is never used again: the change has no use, whenever it was accepted.
#[test]
fn a_later_dead_letter_of_an_erased_contact_is_discarded() {
    let service = Service::new();
    let known = create();
    service.apply(&[&known]);
    let moved = person("Zyxwvut Moved", "(31) 93333-3333", None);
    let later = chrono::Utc::now() + Duration::from_secs(3600);
    let moved = Command { contact_id: known.contact_id, accepted_at: later, ..accepted_now(Action::Update(moved)) };
    service.publish(QueueKind::DeadLetter, [dead_letter(&moved)], Duration::ZERO);
    let report = service.erase();
    assert_eq!((&report["dead_letters"], &report["later"]), (&1.into(), &0.into()), "{report}");
    assert!(service.0.dead_letters().is_empty());
}

/// A key with these scopes, and its entry in the settings.
fn key(name: &str, scopes: &str) -> (String, String) {
    let key = format!("key-of-{name}");
    let entry = ApiKey::entry(name, scopes.parse().unwrap(), &key);
    (format!("Bearer {key}"), entry)
}

#[test]
fn only_a_key_with_its_scope_has_access_to_the_data_of_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let (contacts, contacts_entry) = key("contacts", "read+write");
    let (subjects, subjects_entry) = key("subjects", "subjects");
    let keys = format!("plain,{contacts_entry},{subjects_entry}");
    let mut standalone = start_standalone(folder.path(), &[("CONTACTS__HTTP__API_KEYS", &keys)]);
    let client = standalone.client();
    let person = serde_json::json!({ "email": EMAIL });
    let status = |path: &str, key: &str| client.write("POST", path, &[("authorization", key)], &person).status;
    for path in ["/subjects/find", "/subjects/export", "/subjects/erase", "/%73ubjects/find", "/subjects/%66ind"] {
        assert_eq!(client.write("POST", path, &[], &person).status, 401, "{path}");
        assert_eq!((status(path, "Bearer plain"), status(path, &contacts)), (403, 403), "{path}");
    }
    for path in ["/subjects/find", "/subjects/export", "/subjects/erase"] {
        assert_eq!(status(path, &subjects), 200, "{path}");
    }
    let refused = client.write("POST", "/subjects/find", &[("authorization", &contacts)], &person);
    assert!(refused.header("www-authenticate").contains("scope=\"contacts:subjects\""), "{refused:?}");
    assert_eq!(status("/contacts", &subjects), 403, "the scope is for nothing else");
    let read = client.send("GET", "/contacts", &[("authorization", &subjects)], None).unwrap();
    assert_eq!(read.status, 403);
}

#[test]
fn without_keys_nobody_has_access_to_the_data_of_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let mut standalone = start_standalone(folder.path(), &[]);
    let client = standalone.client();
    let person = serde_json::json!({ "email": EMAIL });
    for path in ["/subjects/find", "/subjects/export", "/subjects/erase", "/%73ubjects/erase"] {
        assert_eq!(client.write("POST", path, &[], &person).status, 403, "{path}");
    }
    assert_eq!(client.get("/subjects/find").status, 405);
}

/// Whether an answer has exactly the members that the OpenAPI document describes.
#[track_caller]
fn assert_described(document: &Value, schema: &Value, answer: &Value, path: &str) {
    let target = schema["$ref"].as_str().map(|target| document.pointer(target.trim_start_matches('#')).unwrap());
    let schema = target.unwrap_or(schema);
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), answer.as_object()) {
        for name in schema["required"].as_array().unwrap() {
            assert!(members.contains_key(name.as_str().unwrap()), "{path} has no {name}: {answer}");
        }
        for (name, member) in members {
            assert!(properties.contains_key(name), "{path}/{name} is not described");
            assert_described(document, &properties[name], member, &format!("{path}/{name}"));
        }
    }
    for item in answer.as_array().into_iter().flatten() {
        assert_described(document, &schema["items"], item, &format!("{path}[]"));
    }
}

#[test]
fn a_person_is_found_exported_and_erased_over_http() {
    let service = Service::new();
    let (authorization, entry) = key("operator", "read+write+subjects");
    let settings = [("CONTACTS__HTTP__API_KEYS", entry.as_str()), ("CONTACTS__LOG__LEVEL", "trace")];
    let mut producer = service.0.start_with("producer", &settings);
    let known = create();
    service.apply(&[&known]);
    service.publish(QueueKind::DeadLetter, [malformed(format!("to {EMAIL}"))], Duration::ZERO);
    let client = producer.client();
    let send = |path: &str, body: &Value| client.write("POST", path, &[("authorization", &authorization)], body);

    let person = serde_json::json!({ "phone": PHONE, "email": EMAIL });
    let found = send("/subjects/find", &person);
    assert_eq!((found.status, found.header("cache-control")), (200, "no-store"), "{found:?}");
    let found = found.json();
    assert_eq!(
        (&found["contacts"][0]["name"], &found["dead_letters"][0]["matched_by"][0]),
        (&NAME.into(), &"email".into())
    );
    let export = send("/subjects/export", &person).json();
    assert_eq!(export["operations"][0]["id"], known.operation_id.to_string());
    assert_eq!(export["searched"]["phones"][0], "+5511987001234");
    let erased = send("/subjects/erase", &person);
    assert_eq!(erased.status, 200, "{erased:?}");
    let document = client.get("/openapi.json").json();
    for (name, answer) in [("FoundSubject", &found), ("ExportedSubject", &export), ("ErasedSubject", &erased.json())] {
        assert_described(&document, &document["components"]["schemas"][name], answer, name);
    }
    let text = erased.body.to_lowercase();
    assert!(MARKS.iter().all(|mark| !text.contains(mark)), "{text}");
    assert_eq!((&erased.json()["complete"], &erased.json()["dead_letters"]), (&true.into(), &1.into()));
    assert_eq!(send("/subjects/find", &person).json()["contacts"], serde_json::json!([]));

    for (body, status, part) in [
        ("{\"email\": \"zyx.mark@@example.com\"}", 422, "/email"),
        ("{\"phone\": 11987001234}", 422, "wrong_type"),
        ("{\"surname\": \"Qponmlk\"}", 422, "unknown_field"),
        ("{\"id\": \"Zyxwvut\"}", 422, "/id"),
        ("{}", 422, "at least one"),
        ("\u{feff}{}", 422, "at least one"),
        ("[\"Zyxwvut\"]", 422, "must be an object"),
        ("{\"name\": \"Zyxwvut\", \"name\": \"Bia\"}", 400, "more than once"),
        ("{\"name\": \"Zyxwvut", 400, "not valid JSON"),
    ] {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let answer = client.send("POST", "/subjects/find", &headers, Some(body.as_bytes())).unwrap();
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.body.contains(part), "{body}: {answer:?}");
        assert!(MARKS.iter().all(|mark| !answer.body.to_lowercase().contains(mark)), "{answer:?}");
    }
    assert_eq!(producer.log_lines("person erased").len(), 1);
    let log = producer.log().to_lowercase();
    assert!(MARKS.iter().all(|mark| !log.contains(mark)), "{log}");
}
