//! `contacts dlq-drain`, as a process, on both queues.

use crate::support::{Process, Stack, all_dead_letters, create, eventually, new_contact, start_standalone, update};
use contacts::config::BrokerSettings;
use contacts::dlq;
use contacts::domain::{Reason, Timestamp};
use contacts::message::{Header, Message};
use contacts::queue::embedded::EmbeddedDeadLetters;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{DeadLetterQueue, Publisher, Queue, QueueKind, mailbox};
use contacts::stop::Stop;
use contacts::store::postgres::Postgres;
use contacts::telemetry::Health;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

fn at(second: usize) -> Timestamp {
    Timestamp::from_timestamp(1_790_000_000 + second as i64, 0).unwrap()
}

/// A dead letter that failed at this second.
fn dead_letter(mut message: Message, reason: Reason, second: usize) -> Message {
    message.headers.set("traceparent", Header::Text("00-1-2-01".into()));
    message.headers.record_failure(reason, reason.sentence(), at(second));
    message
}

/// A dead letter that can be applied.
fn applicable(second: usize) -> Message {
    dead_letter(Message::new(&create(new_contact(), "Ana")), Reason::RejectedByDatabase, second)
}

fn malformed(second: usize) -> Message {
    let message = Message { body: format!("malformed {second}").into_bytes(), ..Message::default() };
    dead_letter(message, Reason::Undecodable, second)
}

/// A dead letter queue, and how to run `dlq-drain` on it.
struct Fixture<'a> {
    queue: Box<dyn DeadLetterQueue>,
    publisher: Publisher,
    arguments: Vec<&'a str>,
    settings: Vec<(&'a str, &'a str)>,
}

/// The result of one run of `dlq-drain`.
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

impl<'a> Fixture<'a> {
    fn on_broker(stack: &'a Stack) -> Self {
        let rabbit = RabbitMq::new(&stack.broker.settings()).unwrap();
        let health = Health::default();
        let settings = BrokerSettings { max_in_flight: 1_000, ..stack.broker.settings() };
        let (publisher, _thread) = rabbit.publisher(&settings, health.component("publisher"), Stop::default()).unwrap();
        let settings = stack.settings(&[]);
        Self { queue: Box::new(rabbit), publisher, arguments: Vec::new(), settings }
    }

    fn in_data_folder(folder: &'a Path) -> Self {
        let component = Health::default().component("queue");
        let (queue, publisher, _thread) =
            EmbeddedDeadLetters::open(folder, 10_000, component, &Stop::default()).unwrap();
        let arguments = vec!["--data-dir", folder.to_str().unwrap()];
        Self { queue: Box::new(queue), publisher, arguments, settings: Vec::new() }
    }

    fn fill(&self, messages: impl IntoIterator<Item = Message>) {
        let batch = messages.into_iter().map(|message| (QueueKind::DeadLetter, message, Duration::ZERO));
        let results = self.publisher.publish_all(batch, Duration::from_secs(60));
        assert!(results.iter().all(Result::is_ok));
    }

    fn start(&self, arguments: &[&'a str]) -> Process {
        let all = [&["dlq-drain"], &self.arguments[..], arguments].concat();
        Process::start(&all, &self.settings)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let all = [&["dlq-drain"], &self.arguments[..], arguments].concat();
        let output = Process::command(&all, &self.settings).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn dead_letters(&self) -> Vec<Message> {
        all_dead_letters(&*self.queue)
    }
}

/// Takes messages from the work queue, in order, and leaves them unacknowledged.
fn take_work(stack: &Stack, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    let rabbit = RabbitMq::new(&stack.broker.settings()).unwrap();
    let session = rabbit.session(60_000, &mut |source| {
        eventually("all have arrived", || {
            let batch = source.take(60_000, Duration::from_millis(100)).unwrap().unwrap();
            messages.extend(batch.into_iter().map(|delivery| delivery.message));
            (messages.len() >= count).then_some(())
        });
        Ok(())
    });
    session.unwrap();
    messages
}

#[test]
fn a_replay_sends_only_selected_messages_in_the_order_of_their_first_failure() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    // The order in the queue differs from the order of failure.
    let mut messages: Vec<Message> =
        (0..1_000).map(|n| if n % 5 < 2 { applicable(10_000 - n * 7 % 1_000) } else { malformed(n) }).collect();
    messages[123].headers.set("x-foreign", Header::Number(7));
    fixture.fill(messages.clone());
    let finished = fixture.run(&[
        "replay",
        "--reason",
        "rejected_by_database",
        "--yes",
        "--no-canary",
        "--wait",
        "0s",
        "--rate",
        "100000",
        "--output",
        "json",
    ]);
    let report = finished.expect(3).json();
    assert_eq!(
        (&report["selected"], &report["done"], &report["outcomes"]["not_known"]),
        (&400.into(), &400.into(), &400.into())
    );

    let is_applicable = |message: &Message| message.headers.failure().unwrap().reason == "rejected_by_database";
    let (mut replayed, others): (Vec<Message>, Vec<Message>) = messages.into_iter().partition(is_applicable);
    assert_eq!(fixture.dead_letters(), others);
    replayed.sort_by_key(|message| message.headers.failure().unwrap().first_at);
    replayed.iter_mut().for_each(|message| message.headers.record_replay());
    assert_eq!(take_work(&stack, 400), replayed);
}

#[test]
fn a_replay_sends_a_canary_first_and_reports_all_results() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    let consumer = stack.start("consumer");
    // The messages that failed first can be applied. The later ones can never be applied.
    let deleted = new_contact();
    stack.publish([Message::new(&create(deleted, "Ana")), Message::new(&crate::support::delete(deleted, 2))]);
    eventually("it is deleted", || (stack.database.count("contacts WHERE deleted_at IS NOT NULL") == 1).then_some(()));
    let inapplicable = |second| dead_letter(Message::new(&update(deleted, 9, "Bia")), Reason::Poison, second);
    fixture.fill((0..20).map(applicable).chain((100..110).map(inapplicable)));

    let report = fixture.run(&["replay", "--all", "--yes", "--output", "json"]).expect(3).json();
    assert_eq!((&report["selected"], &report["done"]), (&30.into(), &30.into()));
    assert_eq!(
        report["outcomes"],
        serde_json::json!({"applied": 20, "superseded": 0, "failed_again": {"contact_deleted": 10}, "not_known": 0})
    );
    eventually("they are dead-lettered again", || (stack.broker.depth(QueueKind::DeadLetter) == 10).then_some(()));
    assert!(
        fixture.dead_letters().iter().all(|message| message.headers.replays() == 1 && message.headers.attempts() == 1)
    );

    // Now a message that cannot be applied failed first, so the others stay.
    fixture.fill((0..20).map(|second| applicable(100_000_000 + second)));
    let finished = fixture.run(&["replay", "--all", "--yes"]);
    assert!(
        finished.expect(3).stdout.contains("replayed 1 of 30 dead-lettered messages: 1 failed again (contact_deleted)"),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("the canary, operation "), "{}", finished.stdout);
    eventually("the canary is dead-lettered again", || (stack.broker.depth(QueueKind::DeadLetter) == 30).then_some(()));

    // --rate limits the rate on any machine.
    let started = Instant::now();
    let finished = fixture.run(&["replay", "--reason", "rejected_by_database", "--yes", "--rate", "20"]);
    assert!(
        finished.expect(0).stdout.contains("replayed 20 of 20 dead-lettered messages: 20 applied"),
        "{}",
        finished.stdout
    );
    assert!(started.elapsed() > Duration::from_millis(700), "{:?}", started.elapsed());
    consumer.terminate();
}

#[test]
fn nothing_changes_without_a_selection_and_a_confirmation() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    let messages: Vec<Message> = (0..3).map(applicable).chain((3..5).map(malformed)).collect();
    fixture.fill(messages.clone());
    for (arguments, code, text) in [
        (&["replay", "--all"][..], 64, "--yes"),
        (&["discard", "--all"], 64, "--yes"),
        (&["replay", "--yes"], 64, "select the messages to replay"),
        (&["discard", "--yes", "--limit", "1"], 64, "select the messages to discard"),
        (&["discard", "--all", "--reason", "poison", "--yes"], 64, "cannot be used with"),
        (&["replay", "--since", "yesterday", "--yes"], 64, "2026-11-22"),
        (&["replay", "--all", "--dry-run"], 0, "5 dead-lettered messages selected, nothing changed"),
        (&["discard", "--reason", "undecodable", "--dry-run"], 0, "2 dead-lettered messages selected"),
        (&["discard", "--reason", "undecodabel", "--yes"], 0, "rejected_by_database"),
        (&["discard", "--contact", "", "--yes"], 64, "it is empty"),
        (&["export", "-", "--all", "--yes"], 64, "--keep"),
        (&["export", "/dev/null", "--all", "--yes"], 1, "already exists"),
        (&["import", "/no/such/file", "--yes"], 1, "/no/such/file"),
        (&["show", "no-such-id"], 1, "no dead-lettered message has the id"),
    ] {
        let finished = fixture.run(arguments);
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(all.contains(text), "{arguments:?}: {all}");
        finished.expect(code);
    }
    assert_eq!(fixture.dead_letters(), messages);
}

#[test]
fn an_operator_lists_fixes_replays_and_discards_messages() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start_standalone(folder.path(), &[]);
    let client = service.client();
    let fixture = Fixture::in_data_folder(folder.path());
    let wrong_phone = create(new_contact(), "Marked Person");
    let mut fixable = Message::new(&wrong_phone);
    fixable.body = String::from_utf8(fixable.body).unwrap().replace("+5511987654321", "+5520987654321").into_bytes();
    let fixable = dead_letter(fixable, Reason::Invalid, 5);
    fixture.fill([applicable(1), malformed(3), fixable.clone()]);

    let list = fixture.run(&["--output", "json"]).expect(0).json();
    let groups: Vec<(&str, u64)> = list["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| (g["reason"].as_str().unwrap(), g["count"].as_u64().unwrap()))
        .collect();
    assert_eq!((list["total"].as_u64(), groups.len()), (Some(3), 3), "{list}");
    let table = fixture.run(&[]);
    assert!(
        table.expect(0).stdout.starts_with("REASON") && table.stdout.contains("3 dead-lettered messages"),
        "{}",
        table.stdout
    );
    assert!(!table.stdout.contains("Marked") && !table.stdout.contains('\u{1b}'));
    let lines = fixture.run(&["list", "--messages"]);
    assert!(
        lines.expect(0).stdout.lines().count() == 3 && lines.stdout.contains("invalid: a value breaks a rule"),
        "{}",
        lines.stdout
    );
    assert!(!lines.stdout.contains("Marked"));
    assert!(
        fixture
            .run(&["list", "--reason", "invlid"])
            .expect(0)
            .stdout
            .contains("no dead-lettered message matches the selection")
    );
    let shown = fixture.run(&["show", &fixable.id]);
    assert!(
        ["invalid", "+5520987654321", "first failed", "x-contacts-attempts: 1"]
            .iter()
            .all(|text| shown.stdout.contains(text)),
        "{}",
        shown.stdout
    );

    // One message is exported, fixed and imported.
    let file = folder.path().join("dead-letters.ndjson");
    let path = file.to_str().unwrap();
    fixture.run(&["export", path, "--reason", "invalid", "--yes"]).expect(0);
    assert_eq!(fixture.dead_letters().len(), 2);
    assert!(fixture.run(&["import", path, "--yes", "--dry-run"]).expect(0).stdout.contains("1 line selected"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("+5520987654321", "20 98765-4321")).unwrap();
    let rejected = fixture.run(&["import", path, "--yes"]);
    assert!(rejected.expect(1).stderr.contains("line 1: invalid: phone"), "{}", rejected.stderr);
    std::fs::write(&file, text.replace("+5520987654321", "+5511912345678")).unwrap();
    for _ in 0..2 {
        let imported = fixture.run(&["import", path, "--yes", "--output", "json"]).expect(0).json();
        assert_eq!(imported["outcomes"]["applied"], 1, "{imported}");
    }
    let contact = client.get(&format!("/contacts/{}", wrong_phone.contact_id)).json();
    assert_eq!(contact["phone"], "+5511912345678");
    assert_ne!(contact["version"], fixable.id, "a fixed command is a new operation");

    // One message is replayed, one is discarded.
    let replayed = fixture.run(&["replay", "--reason", "rejected_by_database", "--yes"]);
    assert!(replayed.expect(0).stdout.contains("1 applied"), "{}", replayed.stdout);
    fixture.run(&["discard", "--all", "--yes"]).expect(0);
    assert_eq!(fixture.run(&[]).expect(0).stdout, "the dead letter queue is empty\n");
    service.terminate();
}

#[test]
fn the_old_flag_each_is_a_hidden_alias_of_messages() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    fixture.fill([applicable(1), malformed(2)]);
    let run = |flag| fixture.run(&["list", flag, "--output", "json"]).expect(0).stdout.clone();
    let lines = run("--messages");
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert_eq!(run("--each"), lines);
    let help = fixture.run(&["list", "--help"]);
    assert!(help.expect(0).stdout.contains("--messages") && !help.stdout.contains("--each"), "{}", help.stdout);
}

#[test]
fn of_equal_messages_only_the_selected_number_is_changed() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    fixture.fill((0..20).map(|_| malformed(1)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dead-letters.ndjson");
    let path = file.to_str().unwrap();
    let mut left = 20;
    for arguments in [
        &["discard", "--reason", "undecodable", "--limit", "3", "--yes"][..],
        &["export", path, "--reason", "undecodable", "--limit", "3", "--yes"],
        &["replay", "--reason", "undecodable", "--limit", "3", "--yes", "--no-canary", "--wait", "0s"],
    ] {
        let finished = fixture.run(arguments);
        left -= 3;
        assert!(finished.stdout.contains("3 of 3 dead-lettered messages"), "{}{}", finished.stdout, finished.stderr);
        assert_eq!(fixture.dead_letters().len(), left, "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 3);
    assert_eq!(take_work(&stack, 3).len(), 3);
}

#[test]
fn a_message_without_a_publisher_confirm_stays_in_the_dead_letter_queue() {
    let stack = Stack::new();
    let messages: Vec<Message> = (0..10).map(applicable).collect();
    Fixture::on_broker(&stack).fill(messages.clone());
    let (closed, mailbox) = mailbox(1);
    drop(mailbox);
    let (stop, url) = (Stop::default(), stack.database.settings());
    let context = dlq::Context {
        queue: Box::new(RabbitMq::new(&stack.broker.settings()).unwrap()),
        publisher: closed,
        open_store: Box::new(move || Ok(Box::new(Postgres::new(&url)?))),
        stop: stop.clone(),
        watch_signals: Box::new(|| {}),
        console: dlq::Console::new(dlq::Format::Json),
    };
    let operation = dlq::Operation::Replay {
        selection: dlq::Selection { all: true, ..dlq::Selection::default() },
        options: dlq::SendOptions { rate: 100, wait: Duration::ZERO },
        no_canary: true,
        confirmation: dlq::Confirmation { yes: true, dry_run: false },
    };
    // Long enough for the first try. Without the stop signal there would be more tries.
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        stop.request();
    });
    assert_eq!(dlq::run(&context, &operation).unwrap(), dlq::Completion::Partial);
    stopper.join().unwrap();
    assert_eq!(Fixture::on_broker(&stack).dead_letters(), messages);
}

/// If `dlq-drain` is killed between a confirm and the removal, a copy of the message stays in the queue.
#[test]
fn a_stale_copy_is_replayed_as_a_new_attempt() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    stack.database.execute("ALTER TABLE contacts ADD CONSTRAINT not_ana CHECK (name <> 'Ana')");
    let consumer = stack.start("consumer");
    let copy = applicable(1);
    fixture.fill([copy.clone()]);
    let failed = fixture.run(&["replay", "--all", "--yes"]);
    assert!(failed.expect(3).stdout.contains("1 failed again (rejected_by_database)"), "{}", failed.stdout);
    fixture.run(&["discard", "--all", "--yes"]).expect(0);
    stack.database.execute("ALTER TABLE contacts DROP CONSTRAINT not_ana");
    fixture.fill([copy]);
    let applied = fixture.run(&["replay", "--all", "--yes"]);
    assert!(applied.expect(0).stdout.contains("1 applied"), "{}", applied.stdout);
    consumer.terminate();
}

#[test]
fn an_unchanged_line_is_replayed_unchanged() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dead-letters.ndjson");
    let path = file.to_str().unwrap();
    let messages: Vec<Message> = (0..5).map(applicable).chain((5..7).map(malformed)).collect();
    fixture.fill(messages.clone());
    fixture.run(&["export", path, "--all", "--keep"]).expect(0);
    assert_eq!(fixture.dead_letters(), messages);
    let finished = fixture.run(&["import", path, "--yes", "--wait", "0s"]);
    assert!(
        finished.expect(3).stdout.contains("0 changed (new commands), 7 unchanged (replays)"),
        "{}",
        finished.stdout
    );
    let sent = take_work(&stack, 7);
    let mut expected = messages;
    for message in &mut expected {
        message.headers.record_replay();
    }
    sent.iter().zip(&mut expected).filter(|(_, old)| old.id.is_empty()).for_each(|(new, old)| old.id = new.id.clone());
    assert_eq!(sent, expected);
}

#[test]
fn an_interrupted_replay_reports_what_it_did() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    fixture.fill((0..100).map(applicable));
    let mut process =
        fixture.start(&["replay", "--all", "--yes", "--no-canary", "--rate", "5", "--wait", "0s", "--output", "json"]);
    eventually("the replay has started", || (stack.broker.depth(QueueKind::Work) >= 2).then_some(()));
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(3), "{}", process.log());
    let report: Value = serde_json::from_str(&process.log()).unwrap_or_else(|_| panic!("{}", process.log()));
    let done = usize::try_from(report["done"].as_u64().unwrap()).unwrap();
    assert!((2..100).contains(&done) && report["interrupted"] == true, "{report}");
    assert_eq!((fixture.dead_letters().len(), stack.broker.depth(QueueKind::Work) as usize), (100 - done, done));
}

/// Kills `dlq-drain` many times, at random times, and checks that no message is lost.
fn kill_at_random(fixture: &Fixture, folder: &Path, times: u64, delivered: impl Fn() -> BTreeSet<String>) {
    let mut random = fastrand::Rng::with_seed(20_261_122);
    let (mut all, mut number, mut killed) = (BTreeSet::new(), 0, 0);
    // The time of a run that is not killed.
    let started = Instant::now();
    fixture.run(&["discard", "--all", "--yes"]).expect(0);
    let usual_millis = u64::try_from(started.elapsed().as_millis()).unwrap();
    for time in 0..times {
        if fixture.dead_letters().len() < 100 {
            let more: Vec<Message> = (0..200).map(|_| (number += 1, applicable(number)).1).collect();
            all.extend(more.iter().map(|message| message.id.clone()));
            fixture.fill(more);
        }
        let file = folder.join(format!("export-{time}.ndjson"));
        let path = file.to_str().unwrap().to_owned();
        let limit = random.usize(1..80).to_string();
        let arguments: Vec<&str> = if random.bool() {
            vec![
                "replay",
                "--since",
                "100000d",
                "--limit",
                &limit,
                "--yes",
                "--no-canary",
                "--wait",
                "0s",
                "--rate",
                "100000",
            ]
        } else {
            vec!["export", &path, "--since", "100000d", "--limit", &limit, "--yes"]
        };
        let mut process =
            Process::start(&[&["dlq-drain"], &fixture.arguments[..], &arguments].concat(), &fixture.settings);
        std::thread::sleep(Duration::from_millis(random.u64(0..usual_millis * 2 + 100)));
        if process.exit_status().is_none() {
            process.kill();
            killed += 1;
        }
        let mut found = delivered();
        found.extend(fixture.dead_letters().into_iter().map(|message| message.id));
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let complete_lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found.extend(complete_lines.map(|line| line["id"].as_str().unwrap().to_owned()));
        }
        let lost: Vec<_> = all.difference(&found).collect();
        assert!(lost.is_empty(), "time {time}: {lost:?} of {}", all.len());
    }
    assert!(killed > times / 10, "only {killed} runs were killed");
    assert!(all.len() > 200, "{} messages: no run removed any", all.len());
}

#[test]
fn a_killed_run_loses_no_message_on_rabbitmq() {
    let stack = Stack::new();
    let folder = tempfile::tempdir().unwrap();
    let _consumer = stack.start("consumer");
    let applied = || {
        #[derive(diesel::QueryableByName)]
        struct Id {
            #[diesel(sql_type = diesel::sql_types::Text)]
            id: String,
        }
        eventually("the work queue is empty", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
        let ids =
            || stack.database.rows::<Id>("SELECT id::text FROM operations").into_iter().map(|row| row.id).collect();
        // The last batch finishes soon.
        let mut before: BTreeSet<String> = ids();
        eventually("no more operations finish", || {
            std::thread::sleep(Duration::from_millis(30));
            let now = ids();
            let same = now == before;
            before = now;
            same.then_some(())
        });
        before
    };
    kill_at_random(&Fixture::on_broker(&stack), folder.path(), 60, applied);
}

#[test]
fn a_killed_run_loses_no_message_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start_standalone(folder.path(), &[]);
    let client = service.client();
    let files = tempfile::tempdir().unwrap();
    let applied = || {
        let mut before = BTreeSet::new();
        eventually("no more commands are applied", || {
            std::thread::sleep(Duration::from_millis(300));
            let (mut now, mut path) = (BTreeSet::new(), "/contacts?limit=200".to_owned());
            loop {
                let page = client.get(&path).json();
                now.extend(page["items"].as_array().unwrap().iter().map(|c| c["version"].as_str().unwrap().to_owned()));
                match page["next"].as_str() {
                    Some(next) => path = format!("/contacts?limit=200&cursor={next}"),
                    None => break,
                }
            }
            let same = now == before;
            before = now;
            same.then_some(())
        });
        before
    };
    kill_at_random(&Fixture::in_data_folder(folder.path()), files.path(), 40, applied);
    service.terminate();
}

#[test]
fn it_uses_the_settings_and_has_completions_and_a_manual_page() {
    let (status, log) = Process::run(&["dlq-drain", "--data-dir", "/no/such/folder"], &[]);
    assert!(status.code() == Some(78) && log.contains("there is no queue in /no/such/folder"), "{log}");
    let (status, log) =
        Process::run(&["dlq-drain", "list"], &[("CONTACTS__BROKER__URL", "amqp://guest:hunter2@127.0.0.1:1/")]);
    assert!(
        status.code() == Some(1) && log.contains("cannot connect to 127.0.0.1:1") && !log.contains("hunter2"),
        "{log}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let (status, script) = Process::run(&["completions", shell], &[]);
        assert!(status.success() && script.contains("dlq-drain"), "{script}");
    }
    let (status, page) = Process::run(&["man"], &[]);
    assert!(status.success() && page.starts_with(".ie") && page.contains("dlq\\-drain"), "{page}");
}

#[test]
fn the_arguments_of_the_kubernetes_jobs_are_valid() {
    let stack = Stack::new();
    let fixture = Fixture::on_broker(&stack);
    fixture
        .fill([applicable(1), dead_letter(Message::new(&update(new_contact(), 9, "Bia")), Reason::ContactNotFound, 2)]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dlq-drain");
    let mut jobs = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("args: [dlq-drain, ")) {
            let plain = line
                .trim_end_matches(']')
                .replace("contact_not_found,delivery_limit", "contact_not_found;delivery_limit");
            let arguments: Vec<String> =
                plain.split(", ").map(|argument| argument.trim_matches('"').replace(';', ",")).collect();
            let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            arguments.push("--dry-run");
            let report = fixture.run(&arguments).expect(0).json();
            assert!(report["dry_run"] == true && report["selected"].as_u64() > Some(0), "{arguments:?}: {report}");
            jobs += 1;
        }
    }
    assert_eq!((jobs, fixture.dead_letters().len()), (3, 2));
}
