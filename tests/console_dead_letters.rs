//! The dead-lettered messages in the operator's console, on both queues.

use crate::support::{
    Answer, Client, Process, Stack, all_dead_letters, create, delete, eventually, json, new_contact, patch,
    start_standalone, update,
};
use contacts::config::{ApiKey, BrokerSettings, Scopes};
use contacts::domain::{Patch, Phone, Reason, Timestamp};
use contacts::message::{Header, Message};
use contacts::queue::embedded::EmbeddedDeadLetters;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{DeadLetterQueue, Publisher, QueueKind};
use contacts::stop::Stop;
use contacts::telemetry::Health;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const CONSOLE: (&str, &str) = ("X-Contacts-Console", "1");
const READ: (&str, &str) = ("Authorization", "Bearer read-key");
const WRITE: (&str, &str) = ("Authorization", "Bearer write-key");
const BASE: &str = "/console/api/dead-letters";
/// A value that no read key and no log line may show.
const MARK: &str = "Marked Person";

fn keys() -> String {
    let read = Scopes { read: true, ..Scopes::NONE };
    let entry = |name, scopes, key| ApiKey::entry(name, scopes, key);
    [entry("day", read, "read-key"), entry("night", Scopes::CONTACTS, "write-key")].join(",")
}

fn at(second: usize) -> Timestamp {
    Timestamp::from_timestamp(1_790_000_000 + second as i64, 0).unwrap()
}

fn dead_letter(mut message: Message, reason: Reason, second: usize) -> Message {
    message.headers.set("traceparent", Header::Text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()));
    message.headers.record_failure(reason, reason.sentence(), at(second));
    message
}

/// A dead letter that can be applied.
fn applicable(second: usize) -> Message {
    dead_letter(Message::new(&create(new_contact(), MARK)), Reason::RejectedByDatabase, second)
}

fn malformed(second: usize) -> Message {
    let message = Message { body: format!("{MARK} {second}").into_bytes(), ..Message::default() };
    dead_letter(message, Reason::Undecodable, second)
}

/// A create with an area code that does not exist.
fn wrong_phone(second: usize) -> Message {
    let mut message = Message::new(&create(new_contact(), MARK));
    message.body = String::from_utf8(message.body).unwrap().replace("+5511987654321", "+5520987654321").into_bytes();
    dead_letter(message, Reason::Invalid, second)
}

/// A console, and its client.
struct Console {
    process: Process,
    client: Client,
}

impl Console {
    fn of(mut process: Process) -> Self {
        process.wait_until_ready();
        let client = process.admin();
        Self { process, client }
    }

    fn send(&self, key: (&str, &str), method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [CONSOLE, key, ("Content-Type", "application/json")];
        let body = body.map(Value::to_string);
        self.client.send(method, &format!("{BASE}{path}"), &headers, body.as_ref().map(String::as_bytes)).unwrap()
    }

    /// Reads with the key that only reads.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = self.send(READ, "GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.contains("Marked") && !answer.body.contains("98765"), "{path}: {answer:?}");
        answer.json()
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(WRITE, "POST", path, Some(body))
    }

    /// Starts a job and returns its id.
    #[track_caller]
    fn start(&self, request: &Value) -> String {
        let answer = self.post("/jobs", request);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.text("id")
    }

    #[track_caller]
    fn job(&self) -> Value {
        self.get("/jobs/current")
    }

    /// Waits until the job has ended.
    #[track_caller]
    fn ended_job(&self) -> Value {
        eventually("the job has ended", || Some(self.job()).filter(|job| !job["ended_at"].is_null()))
    }

    /// Runs a job to its end.
    #[track_caller]
    fn run(&self, request: &Value) -> Value {
        let id = self.start(request);
        let job = self.ended_job();
        assert_eq!(job["id"], *id);
        job
    }

    #[track_caller]
    fn selected(&self, query: &str) -> u64 {
        // Another reader may have the queue.
        eventually("the queue can be read", || {
            let answer = self.send(READ, "GET", &format!("/groups?{query}"), None);
            (answer.status == 200).then(|| answer.json()["selected"].as_u64().unwrap())
        })
    }

    /// Downloads an archive of any size in pieces, and counts its lines.
    #[track_caller]
    fn count_downloaded_lines(&self, id: &str) -> usize {
        let url = format!("http://{}{BASE}/jobs/{id}/archive", self.client.address());
        let request = ureq::get(url).header(CONSOLE.0, CONSOLE.1).header(WRITE.0, WRITE.1);
        let mut reader = request.call().unwrap().into_body().into_reader();
        let (mut piece, mut lines) = (vec![0; 64 * 1024], 0);
        loop {
            match reader.read(&mut piece).unwrap() {
                0 => return lines,
                length => lines += piece[..length].iter().filter(|byte| **byte == b'\n').count(),
            }
        }
    }

    #[track_caller]
    fn download(&self, id: &str) -> String {
        let answer = self.send(WRITE, "GET", &format!("/jobs/{id}/archive"), None);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{answer:?}");
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"dead-letters-20"));
        answer.body
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!((answer.header("content-type"), answer.text("code")), ("application/problem+json", code.to_owned()));
}

/// A dead letter queue, and how to fill it and run the program on it.
struct Fixture<'a> {
    queue: Box<dyn DeadLetterQueue>,
    publisher: Publisher,
    folder: Option<&'a str>,
    settings: Vec<(&'a str, &'a str)>,
}

impl<'a> Fixture<'a> {
    fn on_broker(stack: &'a Stack, keys: &'a str) -> Self {
        let rabbit = RabbitMq::new(&stack.broker.settings()).unwrap();
        let settings = BrokerSettings { max_in_flight: 1_000, max_waiting: 200_000, ..stack.broker.settings() };
        let component = Health::default().component("publisher");
        let (publisher, _thread) = rabbit.publisher(&settings, component, Stop::default()).unwrap();
        let settings = stack.settings(&[("CONTACTS__ADMIN__CONSOLE_KEYS", keys)]);
        Self { queue: Box::new(rabbit), publisher, folder: None, settings }
    }

    fn in_data_folder(folder: &'a Path, keys: &'a str) -> Self {
        let component = Health::default().component("queue");
        let (queue, publisher, _thread) =
            EmbeddedDeadLetters::open(folder, 200_000, component, &Stop::default()).unwrap();
        let settings = vec![("CONTACTS__ADMIN__CONSOLE_KEYS", keys)];
        Self { queue: Box::new(queue), publisher, folder: folder.to_str(), settings }
    }

    fn fill(&self, messages: impl IntoIterator<Item = Message>) {
        let batch = messages.into_iter().map(|message| (QueueKind::DeadLetter, message, Duration::ZERO));
        let results = self.publisher.publish_all(batch, Duration::from_secs(300));
        assert!(results.iter().all(Result::is_ok));
    }

    fn dead_letters(&self) -> Vec<Message> {
        all_dead_letters(&*self.queue)
    }

    /// Starts the role `console`.
    fn console(&self) -> Console {
        let folder: Vec<&str> = self.folder.iter().flat_map(|folder| ["--data-dir", folder]).collect();
        Console::of(Process::start(&[&["console"], &folder[..]].concat(), &self.settings))
    }

    /// Runs a command line that the console shows, and returns its standard output.
    #[track_caller]
    fn run(&self, command: &Value, more: &[&str]) -> String {
        let words: Vec<&str> = command.as_str().unwrap().split(' ').take_while(|word| *word != ">").collect();
        let ["contacts", arguments @ ..] = &words[..] else { panic!("{command}") };
        let output = Process::command(&[arguments, more].concat(), &self.settings).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn count(messages: &[Message], reason: &str) -> usize {
    messages.iter().filter(|message| message.headers.failure().unwrap().reason == reason).count()
}

/// What the routes do, on either queue. A consumer applies the work queue.
fn every_route_works(fixture: &Fixture<'_>) {
    let mut console = fixture.console();
    let empty = console.get("/groups");
    assert_eq!((&empty["total"], &empty["groups"]), (&json!(0), &json!([])));
    assert_problem(&console.send(READ, "GET", "/jobs/current", None), 404, "no_such_job");

    let mut recent = wrong_phone(3);
    recent.headers.record_failure(Reason::Invalid, "phone is wrong", chrono::Utc::now());
    let of_patch = Patch { phone: Some(Phone::parse("11987654321").unwrap()), ..Patch::default() };
    let mut foreign = dead_letter(Message::new(&patch(new_contact(), 9, of_patch)), Reason::ContactNotFound, 6);
    foreign.headers.set("x-foreign", Header::Text(MARK.into()));
    fixture.fill([applicable(5), applicable(1), malformed(2), recent.clone(), malformed(4), foreign.clone()]);

    // Groups.
    eventually("the last answer is not used any more", || (console.get("/groups")["total"] == 6).then_some(()));
    let groups = console.get("/groups?reason=invalid,undecodable&reason=poison");
    assert_eq!((&groups["total"], &groups["selected"]), (&json!(6), &json!(3)));
    let [undecodable, invalid] = groups["groups"].as_array().unwrap().as_slice() else { panic!("{groups}") };
    assert_eq!(
        [&undecodable["reason"], &undecodable["messages"], &undecodable["last_hour"], &undecodable["oldest"]],
        [&json!("undecodable"), &json!(2), &json!(0), &json!("2026-09-21T14:13:22.000Z")]
    );
    assert_eq!((&invalid["operation"], &invalid["last_hour"]), (&json!("insert"), &json!(1)));
    let listed: Value = serde_json::from_str(&fixture.run(&groups["command"], &["--output", "json"])).unwrap();
    assert_eq!((&listed["total"], &listed["not_selected"]), (&json!(3), &json!(3)), "the command line does the same");
    for wrong in ["/groups?colour=red", "/groups?since=yesterday", "/messages?count=0", "/messages?offset=x"] {
        assert_problem(&console.send(READ, "GET", wrong, None), 400, "invalid_request");
    }

    // Messages, in pages. With a limit those that failed first.
    let ids = |page: &Value| -> Vec<String> {
        page["messages"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = console.get("/messages");
    // What was read returns to the queue, and a busy broker may return it in another order.
    let sorted = |ids: &[Vec<String>]| ids.concat().into_iter().collect::<BTreeSet<String>>();
    let (first, second) = eventually("the pages are all messages", || {
        let (first, second) = (console.get("/messages?count=4"), console.get("/messages?offset=4&count=4"));
        (sorted(&[ids(&first), ids(&second)]) == sorted(&[ids(&all)])).then_some((first, second))
    });
    assert_eq!((ids(&all).len(), &first["more"], &second["more"]), (6, &json!(true), &json!(false)));
    let mut by_age = all["messages"].as_array().unwrap().clone();
    by_age.sort_by_key(|row| row["first_failed_at"].as_str().unwrap().to_owned());
    let malformed_id = by_age[1]["id"].as_str().unwrap();
    let earliest = console.get("/messages?limit=2&count=1");
    let next = console.get("/messages?limit=2&offset=1");
    assert_eq!([ids(&earliest), ids(&next)].concat(), [by_age[0]["id"].as_str().unwrap(), malformed_id]);
    assert_eq!((&earliest["more"], &next["more"]), (&json!(true), &json!(false)));
    let row = by_age.iter().find(|row| row["id"] == recent.id.as_str()).unwrap();
    assert_eq!(row["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&row["attempts"], &row["detail"]), (&json!(2), &json!("phone is wrong")));

    // One message. The body and unknown headers may have personal data.
    let message = console.get(&format!("/messages/{}", recent.id));
    assert_eq!(message["hidden"], json!(["contact.email", "contact.name", "contact.phone"]));
    assert_eq!((&message["editable"], &message["decodable"]), (&json!(true), &json!(false)));
    assert!(message["body"]["contact"]["phone"].is_null() && message["body"]["contact_id"].is_string(), "{message}");
    let undecodable = console.get(&format!("/messages/{malformed_id}"));
    assert_eq!((&undecodable["body"], &undecodable["editable"]), (&Value::Null, &json!(false)));
    let of_foreign = console.get(&format!("/messages/{}", foreign.id));
    assert_eq!((&of_foreign["headers"]["x-foreign"], &of_foreign["fields"]), (&Value::Null, &json!(["phone"])));
    let revealed = console.post(&format!("/messages/{malformed_id}/reveal"), &json!({}));
    assert_eq!((revealed.status, revealed.text("body")), (200, format!("{MARK} 2")));
    let revealed = console.post(&format!("/messages/{}/reveal", foreign.id), &json!({})).json();
    assert_eq!((&revealed["headers"]["x-foreign"], &revealed["hidden"]), (&json!(MARK), &json!([])));
    let shown = fixture.run(&message["command"], &[]);
    assert!(shown.contains(&recent.id) && shown.contains("+5520987654321"), "{shown}");
    assert_problem(&console.send(READ, "GET", "/messages/unnamed-0", None), 404, "no_such_message");
    assert_problem(&console.post("/messages/unnamed-0/reveal", &json!({})), 404, "no_such_message");

    // Fix and send.
    let fix = |id: &str, values: Value| console.post(&format!("/messages/{id}/fix"), &values);
    let wrong = fix(&recent.id, json!({ "name": MARK, "phone": "20 98765-4321", "email": "a" }));
    assert_problem(&wrong, 422, "invalid_values");
    let errors: Vec<_> =
        wrong.json()["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(errors, ["phone", "email"]);
    assert_problem(&fix(malformed_id, json!({ "phone": "11912345678" })), 422, "not_editable");
    assert_problem(&fix("unnamed-0", json!({})), 404, "no_such_message");
    assert_eq!(fixture.dead_letters().len(), 6, "nothing was changed");
    // A copy of the message must not bring the old values back.
    fixture.fill([recent.clone()]);
    let sent = fix(&recent.id, json!({ "name": MARK, "phone": "(11) 91234-5678", "email": "a@example.com" }));
    assert_eq!((sent.status, &sent.json()["removed"]), (202, &json!(true)), "{sent:?}");
    assert_ne!(sent.text("operation_id"), recent.id, "a fixed message is a new operation");
    assert_eq!(count(&fixture.dead_letters(), "invalid"), 0);
    assert_problem(&fix(&recent.id, json!({})), 404, "no_such_message");

    // Replay.
    let selection = json!({ "reason": ["rejected_by_database"] });
    assert_problem(
        &console.post("/jobs", &json!({ "kind": "replay", "selection": selection })),
        400,
        "invalid_request",
    );
    assert_problem(&console.post("/jobs", &json!({ "kind": "replay", "expected": 1 })), 400, "invalid_request");
    let grown = console.post("/jobs", &json!({ "kind": "replay", "selection": selection, "expected": 1 }));
    assert_problem(&grown, 409, "selection_changed");
    assert_eq!(grown.json()["selected"], 2);
    assert_problem(&console.send(READ, "GET", "/jobs/current", None), 404, "no_such_job");
    let job = console.run(&json!({ "kind": "replay", "selection": selection, "rate": 50, "expected": 2 }));
    assert_eq!([&job["state"], &job["selected"], &job["done"]], [&json!("done"), &json!(2), &json!(2)], "{job}");
    assert_eq!(job["outcomes"], json!({ "applied": 2, "superseded": 0, "failed_again": 0, "not_known": 0 }));
    assert!(
        job["command"].as_str().unwrap().ends_with("replay --reason rejected_by_database --rate 50 --yes"),
        "{job}"
    );
    assert_eq!((&job["operator"], &job["selection"]), (&json!("night"), &selection));

    // Archive, and discard exactly that.
    let selection = json!({ "reason": ["undecodable"] });
    let archive = console.run(&json!({ "kind": "archive", "selection": selection }));
    assert_eq!([&archive["state"], &archive["selected"], &archive["done"]], [&json!("done"), &json!(2), &json!(0)]);
    let id = archive["id"].as_str().unwrap();
    let discard = json!({ "kind": "discard", "archive": id });
    assert_problem(&console.post("/jobs", &discard), 409, "archive_incomplete");
    let exported = fixture.run(&archive["command"], &[]);
    fixture.fill([malformed(7)]);
    let downloaded = console.download(id);
    assert_eq!(downloaded, exported, "the same lines as `dlq-drain export - --keep`");
    let job = console.job();
    let size = json!({ "id": id, "complete": true, "lines": 2, "bytes": downloaded.len() });
    assert_eq!([&job["state"], &job["done"], &job["archive"]], [&json!("done"), &json!(2), &size]);
    fixture.fill([malformed(8)]);
    let job = console.run(&discard);
    assert_eq!([&job["kind"], &job["selected"], &job["done"]], [&json!("discard"), &json!(2), &json!(2)], "{job}");
    let left: Vec<Vec<u8>> = fixture.dead_letters().into_iter().map(|message| message.body).collect();
    assert_eq!(left.iter().filter(|body| body.starts_with(MARK.as_bytes())).count(), 2);
    let again = console.run(&discard);
    assert_eq!([&again["state"], &again["selected"]], [&json!("done"), &json!(0)]);

    // Discard.
    let job = console.run(&json!({ "kind": "discard", "selection": { "all": true }, "expected": 3 }));
    assert_eq!([&job["state"], &job["done"]], [&json!("done"), &json!(3)], "{job}");
    assert_eq!(fixture.dead_letters(), []);
    assert_problem(&console.send(READ, "GET", &format!("/messages/{}", foreign.id), None), 404, "no_such_message");

    let lines = eventually("the last act is in the log", || {
        Some(console.process.log_lines("console audit")).filter(|lines| lines.len() >= 21)
    });
    let acts: Vec<String> = lines
        .iter()
        .filter(|line| line["operator"] == "night")
        .map(|line| format!("{} {}", line["action"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .map(|act| act.split(" as operation").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        acts,
        [
            "show personal data shown",
            "show personal data shown",
            "show personal data failed",
            "fix invalid",
            "fix invalid",
            "fix no_such_message",
            "fix sent",
            "fix no_such_message",
            "replay selection_changed",
            "replay started",
            "replay done",
            "archive started",
            "archive done",
            "download archive started",
            "download archive done",
            "discard started",
            "discard done",
            "discard started",
            "discard done",
            "discard started",
            "discard done",
        ]
    );
    assert_eq!((&lines[10]["selection"], &lines[10]["messages"]), (&json!("reason=rejected_by_database"), &json!(2)));
    let log = console.process.log();
    assert!(!log.contains("Marked") && !log.contains("98765") && !log.contains("write-key"), "{log}");
    console.process.signal("TERM");
    assert_eq!(console.process.wait().code(), Some(0));
}

#[test]
fn an_operator_lists_edits_replays_archives_and_discards_messages_of_rabbitmq() {
    let (stack, keys) = (Stack::new(), keys());
    let consumer = stack.start("consumer");
    every_route_works(&Fixture::on_broker(&stack, &keys));
    assert_eq!(stack.database.count("contacts"), 3);
    assert_eq!(stack.database.count("contacts WHERE phone = '+5511912345678'"), 1);
    consumer.terminate();
}

#[test]
fn an_operator_lists_edits_replays_archives_and_discards_messages_of_a_data_folder() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), keys());
    let mut service = start_standalone(folder.path(), &[]);
    let client = service.client();
    every_route_works(&Fixture::in_data_folder(folder.path(), &keys));
    let contacts = client.get("/contacts").json();
    assert_eq!(contacts["items"].as_array().unwrap().len(), 3, "{contacts}");
    service.terminate();
}

#[test]
fn the_standalone_itself_replays() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), keys());
    let settings = [("CONTACTS__ADMIN__CONSOLE", "true"), ("CONTACTS__ADMIN__CONSOLE_KEYS", keys.as_str())];
    let console = Console::of(start_standalone(folder.path(), &settings));
    let fixture = Fixture::in_data_folder(folder.path(), &keys);
    fixture.fill((0..20).map(applicable));
    let job = console.run(&json!({ "kind": "replay", "selection": { "all": true }, "expected": 20 }));
    assert_eq!((&job["state"], &job["outcomes"]["applied"]), (&json!("done"), &json!(20)), "{job}");
    let groups = console.get("/groups");
    assert_eq!(groups["total"], 0);
    assert!(groups["command"].as_str().unwrap().contains(&format!("--data-dir {} list", folder.path().display())));
    console.process.terminate();
}

#[test]
fn a_key_that_only_reads_changes_nothing_and_sees_no_personal_data() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), keys());
    let service = start_standalone(folder.path(), &[]);
    eventually("the queue exists", || folder.path().join("queue.db").exists().then_some(()));
    let fixture = Fixture::in_data_folder(folder.path(), &keys);
    let messages = [applicable(1), malformed(2)];
    fixture.fill(messages.clone());
    let console = fixture.console();
    let archive = console.run(&json!({ "kind": "archive", "selection": { "all": true } }));
    let (message, job) = (&messages[0].id, archive["id"].as_str().unwrap());
    let routes = [
        ("GET", "/jobs/{id}/archive"),
        ("POST", "/messages/{id}/reveal"),
        ("POST", "/messages/{id}/fix"),
        ("POST", "/jobs"),
        ("POST", "/jobs/{id}/pause"),
        ("POST", "/jobs/{id}/resume"),
        ("POST", "/jobs/{id}/cancel"),
    ];
    let body = json!({ "kind": "discard", "selection": { "all": true }, "expected": 2, "name": "A", "phone": "1" });
    for (method, route) in routes {
        let id = if route.starts_with("/messages") { message } else { job };
        let path = route.replace("{id}", id);
        assert_problem(&console.send(READ, method, &path, Some(&body)), 403, "needs_write");
        assert_problem(&console.send(("X-Other", ""), method, &path, Some(&body)), 401, "unauthorized");
        // Another page can send a request, but not with the header.
        let foreign = console.client.send(method, &format!("{BASE}{path}"), &[WRITE], Some(b"{}")).unwrap();
        assert_problem(&foreign, 403, "foreign_page");
    }
    assert_eq!(fixture.dead_letters(), messages);
    assert_eq!(console.job()["id"], job, "no job was started");
    // Every route that changes something is in the list above.
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/dead_letters/mod.rs"));
    let source = source.unwrap();
    let changing = source.lines().filter(|line| line.contains(".route(") && !line.contains("web::get()"));
    let listed: BTreeSet<&str> = routes[1..].iter().map(|(_, route)| *route).collect();
    let registered: BTreeSet<&str> = changing.map(|line| line.split('"').nth(1).unwrap()).collect();
    assert_eq!(registered, listed);
    console.process.terminate();
    service.terminate();
}

#[test]
fn a_failed_canary_keeps_the_others_in_the_queue() {
    let (stack, keys) = (Stack::new(), keys());
    let fixture = Fixture::on_broker(&stack, &keys);
    let consumer = stack.start("consumer");
    let deleted = new_contact();
    stack.publish([Message::new(&create(deleted, MARK)), Message::new(&delete(deleted, 2))]);
    eventually("it is deleted", || (stack.database.count("contacts WHERE deleted_at IS NOT NULL") == 1).then_some(()));
    fixture.fill([dead_letter(Message::new(&update(deleted, 9, "Bia")), Reason::Poison, 1)]);
    fixture.fill((10..20).map(applicable));
    let console = fixture.console();
    let job = console.run(&json!({ "kind": "replay", "selection": { "all": true }, "expected": 11 }));
    assert_eq!([&job["state"], &job["code"], &job["done"]], [&json!("failed"), &json!("canary_failed"), &json!(1)]);
    assert_eq!((&job["outcomes"]["failed_again"], &job["failed_again"]), (&json!(1), &json!({ "contact_deleted": 1 })));
    assert!(job["notes"][0].as_str().unwrap().contains("did not succeed"), "{job}");
    eventually("the canary is dead-lettered again", || (console.selected("all=true") == 11).then_some(()));
    // Without a canary the others are applied.
    let job = console.run(&json!({ "kind": "replay", "selection": { "all": true }, "canary": false, "expected": 11 }));
    assert_eq!((&job["state"], &job["outcomes"]["applied"]), (&json!("done"), &json!(10)), "{job}");
    assert!(job["command"].as_str().unwrap().ends_with("replay --all --rate 100 --no-canary --yes"), "{job}");
    console.process.terminate();
    consumer.terminate();
}

/// How many messages a running job has processed, when it has processed some.
#[track_caller]
fn done_at_least(console: &Console, count: u64) -> u64 {
    eventually("the job is under way", || console.job()["done"].as_u64().filter(|done| *done >= count))
}

#[test]
fn a_job_is_paused_resumed_and_cancelled_and_another_operator_sees_it() {
    let (stack, keys) = (Stack::new(), keys());
    let fixture = Fixture::on_broker(&stack, &keys);
    fixture.fill((0..200).map(applicable));
    let console = fixture.console();
    let replay = json!({ "kind": "replay", "selection": { "all": true }, "rate": 50, "canary": false, "wait": 0, "expected": 200 });
    let id = console.start(&replay);
    done_at_least(&console, 10);
    // The second operator.
    let refused = console.post("/jobs", &replay);
    assert_problem(&refused, 409, "job_running");
    assert_eq!((refused.text("detail").contains("night"), &refused.json()["job"]["id"]), (true, &json!(id)));
    let started = Instant::now();
    assert_problem(&console.send(READ, "GET", "/groups", None), 503, "queue_busy");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Whoever searches for a change does not take the queue from the job, and is told why it was not read.
    let path = "/console/api/find?q=4bf92f3577b34da6a3ce929d0e0e4736";
    let found = console.client.send("GET", path, &[CONSOLE, READ], None).unwrap().json();
    assert!(found["notes"].to_string().contains("a job of this console has the dead letter queue"), "{found}");
    // A paused job leaves the queue to others.
    let paused = console.post(&format!("/jobs/{id}/pause"), &json!({})).json();
    assert_eq!(paused["state"], "paused");
    let left = console.selected("all=true");
    let done = console.job()["done"].as_u64().unwrap();
    assert!(done < 200, "{done}");
    assert_eq!(left, 200 - done);
    std::thread::sleep(Duration::from_millis(500));
    // Another selection, whose answer is not remembered.
    assert_eq!((console.job()["done"].as_u64(), console.selected("since=9999d")), (Some(done), left), "it is paused");
    assert_eq!(console.post(&format!("/jobs/{id}/resume"), &json!({})).json()["state"], "running");
    done_at_least(&console, done + 10);
    assert_eq!(console.post(&format!("/jobs/{id}/cancel"), &json!({})).status, 200);
    let job = console.ended_job();
    let done = job["done"].as_u64().unwrap();
    assert_eq!((&job["state"], done < 200), (&json!("cancelled"), true), "{job}");
    assert_eq!(fixture.dead_letters().len() as u64, 200 - done);
    assert_eq!(u64::from(stack.broker.depth(QueueKind::Work)), done);
    assert_problem(&console.post(&format!("/jobs/{id}/pause"), &json!({})), 409, "job_cannot_pause");
    let other = "00000000-0000-4000-8000-000000000000";
    assert_problem(&console.post(&format!("/jobs/{other}/cancel"), &json!({})), 404, "no_such_job");
    // A process that stops stops its job.
    let left = 200 - done;
    console.start(&json!({
        "kind": "replay", "selection": { "all": true }, "rate": 5, "canary": false, "wait": 0, "expected": left
    }));
    let more = done_at_least(&console, 2);
    console.process.terminate();
    let now = fixture.dead_letters().len() as u64;
    assert!(now <= left - more && now > 0, "{now} of {left}");
    assert_eq!(u64::from(stack.broker.depth(QueueKind::Work)), 200 - now);
}

#[test]
fn two_operators_in_two_processes_replay_each_message_once() {
    let (stack, keys) = (Stack::new(), keys());
    let fixture = Fixture::on_broker(&stack, &keys);
    fixture.fill((0..150).map(applicable));
    let (first, second) = (fixture.console(), fixture.console());
    let replay = json!({ "kind": "replay", "selection": { "all": true }, "rate": 50, "canary": false, "wait": 0, "expected": 150 });
    let id = first.start(&replay);
    done_at_least(&first, 20);
    first.post(&format!("/jobs/{id}/pause"), &json!({}));
    // The second selects what the first has left.
    let mut other = replay.clone();
    other["rate"] = json!(20);
    let other_id = second.start(&other);
    done_at_least(&second, 10);
    second.post(&format!("/jobs/{other_id}/pause"), &json!({}));
    // Both have selected the rest. Each takes the queue when the other leaves it.
    first.post(&format!("/jobs/{id}/resume"), &json!({}));
    second.post(&format!("/jobs/{other_id}/resume"), &json!({}));
    let (first_job, second_job) = (first.ended_job(), second.ended_job());
    let done = [&first_job, &second_job].map(|job| job["done"].as_u64().unwrap());
    assert_eq!(done[0] + done[1], 150, "{first_job} {second_job}");
    assert_eq!((fixture.dead_letters().len(), stack.broker.depth(QueueKind::Work)), (0, 150));
    // The first had also selected what the second replayed.
    assert_eq!([&first_job["state"], &first_job["code"]], [&json!("done"), &json!("messages_missing")], "{first_job}");
    first.process.terminate();
    second.process.terminate();
}

/// Kills the console in the middle of replays. Nothing is lost, and the console then shows exactly what is left.
fn what_is_left_after_a_kill_is_exact(fixture: &Fixture<'_>, applied: impl Fn() -> BTreeSet<String>) {
    const SELECTED: usize = 300;
    let messages: Vec<Message> = (0..SELECTED).map(applicable).collect();
    let all: BTreeSet<String> = messages.iter().map(|message| message.id.clone()).collect();
    fixture.fill(messages);
    let mut random = fastrand::Rng::with_seed(20_261_129);
    let (mut left, mut kills) = (SELECTED, 0);
    while left > 0 {
        let mut console = fixture.console();
        assert_problem(&console.send(READ, "GET", "/jobs/current", None), 404, "no_such_job");
        assert_eq!(console.selected("reason=rejected_by_database"), left as u64);
        console.start(&json!({
            "kind": "replay", "selection": { "reason": ["rejected_by_database"] }, "rate": 200, "canary": false,
            "expected": left,
        }));
        if left > 60 {
            done_at_least(&console, 20);
            std::thread::sleep(Duration::from_millis(random.u64(0..200)));
            console.process.kill();
            kills += 1;
        } else {
            assert_eq!(console.ended_job()["state"], "done");
            console.process.terminate();
        }
        let (applied, waiting) = (applied(), fixture.dead_letters());
        let waiting_ids: BTreeSet<String> = waiting.iter().map(|message| message.id.clone()).collect();
        // A message that was confirmed and not removed yet is in both: its copy is harmless.
        let copies = applied.intersection(&waiting_ids).count();
        let found: BTreeSet<String> = applied.union(&waiting_ids).cloned().collect();
        assert_eq!(found, all, "nothing is lost");
        assert_eq!(applied.len() + waiting.len() - copies, SELECTED);
        assert!(copies <= 40, "{copies} copies: only those of the last steps are not removed");
        left = waiting.len();
    }
    assert_eq!(applied(), all);
    assert!(kills >= 2, "{kills}");
}

#[test]
fn a_killed_console_loses_no_message_of_rabbitmq() {
    #[derive(diesel::QueryableByName)]
    struct Id {
        #[diesel(sql_type = diesel::sql_types::Text)]
        id: String,
    }
    let (stack, keys) = (Stack::new(), keys());
    let consumer = stack.start("consumer");
    what_is_left_after_a_kill_is_exact(&Fixture::on_broker(&stack, &keys), || {
        eventually("the work queue is empty", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
        let applied = || {
            let rows = stack.database.rows::<Id>("SELECT id::text FROM operations WHERE status = 'applied'");
            rows.into_iter().map(|row| row.id).collect()
        };
        settled(applied)
    });
    consumer.terminate();
}

#[test]
fn a_killed_console_loses_no_message_of_a_data_folder() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), keys());
    let mut service = start_standalone(folder.path(), &[]);
    let client = service.client();
    what_is_left_after_a_kill_is_exact(&Fixture::in_data_folder(folder.path(), &keys), || {
        settled(|| {
            let (mut applied, mut path) = (BTreeSet::new(), "/contacts?limit=200".to_owned());
            loop {
                let page = client.get(&path).json();
                let versions = page["items"].as_array().unwrap().iter().map(|contact| contact["version"].as_str());
                applied.extend(versions.map(|version| version.unwrap().to_owned()));
                match page["next"].as_str() {
                    Some(next) => path = format!("/contacts?limit=200&cursor={next}"),
                    None => return applied,
                }
            }
        })
    });
    service.terminate();
}

/// Waits until no more operations are applied.
fn settled(applied: impl Fn() -> BTreeSet<String>) -> BTreeSet<String> {
    let mut before = applied();
    eventually("no more operations are applied", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = applied();
        let same = now == before;
        before = now;
        same.then_some(())
    });
    before
}

#[test]
fn a_download_that_ends_early_can_discard_nothing() {
    let (stack, keys) = (Stack::new(), keys());
    let fixture = Fixture::on_broker(&stack, &keys);
    // More than the buffers of a connection hold.
    let large = |second| {
        let body = format!("{MARK} {}", "x".repeat(50_000)).into_bytes();
        dead_letter(Message { body, ..Message::default() }, Reason::Undecodable, second)
    };
    fixture.fill((0..120).map(large));
    let console = fixture.console();
    let archive = console.run(&json!({ "kind": "archive", "selection": { "all": true } }));
    let id = archive["id"].as_str().unwrap();
    let begin = || {
        let mut connection = TcpStream::connect(console.client.address()).unwrap();
        write!(
            connection,
            "GET {BASE}/jobs/{id}/archive HTTP/1.1\r\nhost: localhost\r\nx-contacts-console: 1\r\n\
             authorization: Bearer write-key\r\n\r\n"
        )
        .unwrap();
        let mut begin = [0; 1_000];
        connection.read_exact(&mut begin).unwrap();
        assert!(begin.starts_with(b"HTTP/1.1 200"));
        connection
    };
    let assert_incomplete = || {
        let job = console.ended_job();
        assert_eq!([&job["state"], &job["code"]], [&json!("failed"), &json!("archive_incomplete")], "{job}");
    };
    // A client that reads nothing more keeps the queue from the others for some seconds only.
    let connection = begin();
    // It is in the log before it ends: the process may be killed in the middle.
    let acts = |console: &Console| -> Vec<String> {
        let lines = console.process.log_lines("console audit").into_iter();
        let of_download = lines.filter(|line| line["action"] == "download archive");
        of_download.map(|line| line["outcome"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(acts(&console), ["started"]);
    assert_problem(&console.send(WRITE, "GET", &format!("/jobs/{id}/archive"), None), 409, "job_running");
    assert_incomplete();
    drop(connection);
    // A client that goes away.
    drop(begin());
    assert_incomplete();
    assert_problem(&console.post("/jobs", &json!({ "kind": "discard", "archive": id })), 409, "archive_incomplete");
    assert_eq!(console.download(id).lines().count(), 120);
    eventually("both downloads are in the log", || {
        (acts(&console) == ["started", "failed", "started", "failed", "started", "done"]).then_some(())
    });
    assert_eq!(console.run(&json!({ "kind": "discard", "archive": id }))["done"], 120);
    assert_eq!(fixture.dead_letters(), []);
    console.process.terminate();
}

/// The number of dead letters: `make test` uses fewer than the 100,000 of a bad day, which `make console-memory` uses.
fn many() -> usize {
    std::env::var("CONTACTS_TEST_DEAD_LETTERS").map_or(10_000, |count| count.parse().unwrap())
}

#[test]
fn many_messages_need_little_memory() {
    let (stack, keys, many) = (Stack::new(), keys(), many());
    let fixture = Fixture::on_broker(&stack, &keys);
    for step in (0..many).step_by(10_000) {
        fixture.fill((step..many.min(step + 10_000)).map(applicable));
    }
    let console = fixture.console();
    let at_start = console.process.peak_rss_mib();
    let measured = |what: &str, started: Instant| {
        let rss = console.process.peak_rss_mib();
        eprintln!(
            "{what}: {:.1} s, peak {rss:.0} MiB ({at_start:.0} MiB at the start)",
            started.elapsed().as_secs_f64()
        );
        rss
    };
    let started = Instant::now();
    assert_eq!(console.selected(""), many as u64);
    measured("groups", started);
    let started = Instant::now();
    let last = console.get(&format!("/messages?offset={}&count=50", many - 50));
    assert_eq!((last["messages"].as_array().unwrap().len(), &last["more"]), (50, &json!(false)));
    measured("the last page of messages", started);
    let started = Instant::now();
    let archive = console.start(&json!({ "kind": "archive", "selection": { "all": true } }));
    eventually("the archive is selected", || (console.job()["state"] == "done").then_some(()));
    assert_eq!(console.count_downloaded_lines(&archive), many);
    measured("archive", started);
    let started = Instant::now();
    console.start(&json!({
        "kind": "replay", "selection": { "all": true }, "rate": 100_000, "canary": false, "wait": 0, "expected": many
    }));
    let mut job = console.job();
    while job["ended_at"].is_null() {
        std::thread::sleep(Duration::from_millis(100));
        job = console.job();
    }
    assert_eq!((&job["state"], job["done"].as_u64()), (&json!("done"), Some(many as u64)), "{job}");
    let peak = measured("replay", started);
    assert_eq!(fixture.dead_letters(), []);
    // The largest part is a batch of the replay: at most 10,000 messages. The rest is what is kept of each message, and what
    // the allocator does not give back between two batches: measured 1 to 1.5 KiB for each message.
    let limit = 60.0 + many as f64 * 0.0016;
    assert!(peak - at_start < limit, "{peak} MiB, {at_start} MiB at the start");
    console.process.terminate();
}
