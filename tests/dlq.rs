//! The operator's tool for dead letters, as a process, on both queues.

use crate::support::{Process, Stack, all_letters, create, eventually, new_contact, standalone, update};
use contacts::config::BrokerSettings;
use contacts::dlq;
use contacts::domain::{Reason, Timestamp};
use contacts::message::{Header, Message};
use contacts::queue::embedded::Beside;
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

/// A letter that failed in this second.
fn letter(mut message: Message, reason: Reason, second: usize) -> Message {
    message.headers.set("traceparent", Header::Text("00-1-2-01".into()));
    message.headers.record_failure(reason, reason.sentence(), at(second));
    message
}

fn good(second: usize) -> Message {
    letter(Message::new(&create(new_contact(), "Ana")), Reason::RejectedByDatabase, second)
}

fn rubbish(second: usize) -> Message {
    let message = Message { body: format!("rubbish {second}").into_bytes(), ..Message::default() };
    letter(message, Reason::Undecodable, second)
}

/// A queue with dead letters, and the tool that treats them.
struct Context<'a> {
    letters: Box<dyn DeadLetterQueue>,
    publisher: Publisher,
    arguments: Vec<&'a str>,
    settings: Vec<(&'a str, &'a str)>,
}

struct Ended {
    code: Option<i32>,
    said: String,
    noted: String,
}

impl Ended {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("{}{}", self.said, self.noted))
    }

    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.said, self.noted);
        self
    }
}

impl<'a> Context<'a> {
    fn on(stack: &'a Stack) -> Self {
        let rabbit = RabbitMq::new(&stack.broker.settings()).unwrap();
        let health = Health::default();
        let settings = BrokerSettings { max_in_flight: 1_000, ..stack.broker.settings() };
        let (publisher, _thread) = rabbit.publisher(&settings, health.component("publisher"), Stop::default()).unwrap();
        let settings = stack.settings(&[]);
        Self { letters: Box::new(rabbit), publisher, arguments: Vec::new(), settings }
    }

    fn beside(folder: &'a Path) -> Self {
        let component = Health::default().component("queue");
        let (letters, publisher, _thread) = Beside::open(folder, 10_000, component, &Stop::default()).unwrap();
        let arguments = vec!["--data-dir", folder.to_str().unwrap()];
        Self { letters: Box::new(letters), publisher, arguments, settings: Vec::new() }
    }

    fn fill(&self, letters: impl IntoIterator<Item = Message>) {
        let batch = letters.into_iter().map(|message| (QueueKind::DeadLetter, message, Duration::ZERO));
        let results = self.publisher.publish_all(batch, Duration::from_secs(60));
        assert!(results.iter().all(Result::is_ok));
    }

    fn start(&self, arguments: &[&'a str]) -> Process {
        let all = [&["dlq-drain"], &self.arguments[..], arguments].concat();
        Process::start(&all, &self.settings)
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let all = [&["dlq-drain"], &self.arguments[..], arguments].concat();
        let output = Process::command(&all, &self.settings).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), said: text(output.stdout), noted: text(output.stderr) }
    }

    fn left(&self) -> Vec<Message> {
        all_letters(&*self.letters)
    }
}

/// What waits to be applied, in order; it stays unacknowledged.
fn work(stack: &Stack, count: usize) -> Vec<Message> {
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
fn a_replay_moves_what_is_selected_in_the_order_of_failure_and_nothing_else() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    // In the queue in another order than they failed.
    let mut letters: Vec<Message> =
        (0..1_000).map(|n| if n % 5 < 2 { good(10_000 - n * 7 % 1_000) } else { rubbish(n) }).collect();
    letters[123].headers.set("x-foreign", Header::Number(7));
    context.fill(letters.clone());
    let ended = context.run(&[
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
    let report = ended.expect(3).json();
    assert_eq!(
        (&report["selected"], &report["done"], &report["outcomes"]["not_known"]),
        (&400.into(), &400.into(), &400.into())
    );

    let is_good = |message: &Message| message.headers.failure().unwrap().reason == "rejected_by_database";
    let (mut moved, rest): (Vec<Message>, Vec<Message>) = letters.into_iter().partition(is_good);
    assert_eq!(context.left(), rest);
    moved.sort_by_key(|message| message.headers.failure().unwrap().first_at);
    moved.iter_mut().for_each(|message| message.headers.record_replay());
    assert_eq!(work(&stack, 400), moved);
}

#[test]
fn a_replay_tries_one_first_and_says_how_all_ended() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    let consumer = stack.start("consumer");
    // The ones that failed first can be applied; those that failed later cannot, ever.
    let deleted = new_contact();
    stack.publish([Message::new(&create(deleted, "Ana")), Message::new(&crate::support::delete(deleted, 2))]);
    eventually("it is deleted", || (stack.database.count("contacts WHERE deleted_at IS NOT NULL") == 1).then_some(()));
    let bad = |second| letter(Message::new(&update(deleted, 9, "Bia")), Reason::Poison, second);
    context.fill((0..20).map(good).chain((100..110).map(bad)));

    let report = context.run(&["replay", "--all", "--yes", "--output", "json"]).expect(3).json();
    assert_eq!((&report["selected"], &report["done"]), (&30.into(), &30.into()));
    assert_eq!(
        report["outcomes"],
        serde_json::json!({"applied": 20, "superseded": 0, "failed_again": {"contact_deleted": 10}, "not_known": 0})
    );
    eventually("they are back", || (stack.broker.depth(QueueKind::DeadLetter) == 10).then_some(()));
    assert!(context.left().iter().all(|letter| letter.headers.replays() == 1 && letter.headers.attempts() == 1));

    // Now those that cannot be applied failed first, so the others stay.
    context.fill((0..20).map(|second| good(100_000_000 + second)));
    let ended = context.run(&["replay", "--all", "--yes"]);
    assert!(
        ended.expect(3).said.contains("replayed 1 of 30 dead letters: 1 failed again (contact_deleted)"),
        "{}",
        ended.said
    );
    assert!(ended.said.contains("the canary was operation"), "{}", ended.said);
    eventually("it is back", || (stack.broker.depth(QueueKind::DeadLetter) == 30).then_some(()));

    // A gentle rate is kept, by whatever machine.
    let started = Instant::now();
    let ended = context.run(&["replay", "--reason", "rejected_by_database", "--yes", "--rate", "20"]);
    assert!(ended.expect(0).said.contains("replayed 20 of 20 dead letters: 20 applied"), "{}", ended.said);
    assert!(started.elapsed() > Duration::from_millis(700), "{:?}", started.elapsed());
    consumer.terminate();
}

#[test]
fn nothing_is_changed_without_consent() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    let letters: Vec<Message> = (0..3).map(good).chain((3..5).map(rubbish)).collect();
    context.fill(letters.clone());
    for (arguments, code, said) in [
        (&["replay", "--all"][..], 64, "--yes"),
        (&["discard", "--all"], 64, "--yes"),
        (&["replay", "--yes"], 64, "say which dead letters to replay"),
        (&["discard", "--yes", "--limit", "1"], 64, "say which dead letters to discard"),
        (&["discard", "--all", "--reason", "poison", "--yes"], 64, "cannot be used with"),
        (&["replay", "--since", "yesterday", "--yes"], 64, "2026-11-22"),
        (&["replay", "--all", "--dry-run"], 0, "5 dead letters selected; nothing was done"),
        (&["discard", "--reason", "undecodable", "--dry-run"], 0, "2 dead letters selected"),
        (&["discard", "--reason", "undecodabel", "--yes"], 0, "rejected_by_database"),
        (&["discard", "--contact", "", "--yes"], 64, "it is empty"),
        (&["export", "-", "--all", "--yes"], 64, "--keep"),
        (&["export", "/dev/null", "--all", "--yes"], 1, "exists already"),
        (&["import", "/no/such/file", "--yes"], 1, "/no/such/file"),
        (&["show", "no-such-id"], 1, "no dead letter has the id"),
    ] {
        let ended = context.run(arguments);
        let all = format!("{}{}", ended.said, ended.noted);
        assert!(all.contains(said), "{arguments:?}: {all}");
        ended.expect(code);
    }
    assert_eq!(context.left(), letters);
}

#[test]
fn an_operator_finds_mends_replays_and_discards() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = standalone(folder.path(), &[]);
    let client = service.client();
    let context = Context::beside(folder.path());
    let wrong_phone = create(new_contact(), "Marked Person");
    let mut mendable = Message::new(&wrong_phone);
    mendable.body = String::from_utf8(mendable.body).unwrap().replace("+5511987654321", "+5520987654321").into_bytes();
    let mendable = letter(mendable, Reason::Invalid, 5);
    context.fill([good(1), rubbish(3), mendable.clone()]);

    let list = context.run(&["--output", "json"]).expect(0).json();
    let groups: Vec<(&str, u64)> = list["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| (g["reason"].as_str().unwrap(), g["count"].as_u64().unwrap()))
        .collect();
    assert_eq!((list["total"].as_u64(), groups.len()), (Some(3), 3), "{list}");
    let table = context.run(&[]);
    assert!(table.expect(0).said.starts_with("REASON") && table.said.contains("3 dead letters"), "{}", table.said);
    assert!(!table.said.contains("Marked") && !table.said.contains('\u{1b}'));
    let each = context.run(&["list", "--each"]);
    assert!(
        each.expect(0).said.lines().count() == 3 && each.said.contains("invalid: a value breaks a rule"),
        "{}",
        each.said
    );
    assert!(!each.said.contains("Marked"));
    assert!(
        context.run(&["list", "--reason", "invlid"]).expect(0).said.contains("none of the dead letters is selected")
    );
    let shown = context.run(&["show", &mendable.id]);
    assert!(
        ["invalid", "+5520987654321", "first failed", "x-contacts-attempts: 1"]
            .iter()
            .all(|text| shown.said.contains(text)),
        "{}",
        shown.said
    );

    // One is mended by export, edit and import.
    let file = folder.path().join("letters.ndjson");
    let path = file.to_str().unwrap();
    context.run(&["export", path, "--reason", "invalid", "--yes"]).expect(0);
    assert_eq!(context.left().len(), 2);
    assert!(context.run(&["import", path, "--yes", "--dry-run"]).expect(0).said.contains("1 line selected"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("+5520987654321", "20 98765-4321")).unwrap();
    let refused = context.run(&["import", path, "--yes"]);
    assert!(refused.expect(1).noted.contains("line 1: invalid: phone"), "{}", refused.noted);
    std::fs::write(&file, text.replace("+5520987654321", "+5511912345678")).unwrap();
    for _ in 0..2 {
        let imported = context.run(&["import", path, "--yes", "--output", "json"]).expect(0).json();
        assert_eq!(imported["outcomes"]["applied"], 1, "{imported}");
    }
    let contact = client.get(&format!("/contacts/{}", wrong_phone.contact_id)).json();
    assert_eq!(contact["phone"], "+5511912345678");
    assert_ne!(contact["version"], mendable.id, "a mended command is a new operation");

    // One is replayed, one discarded.
    let replayed = context.run(&["replay", "--reason", "rejected_by_database", "--yes"]);
    assert!(replayed.expect(0).said.contains("1 applied"), "{}", replayed.said);
    context.run(&["discard", "--all", "--yes"]).expect(0);
    assert_eq!(context.run(&[]).expect(0).said, "no dead letters\n");
    service.terminate();
}

#[test]
fn of_twins_only_as_many_are_touched_as_were_selected() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    context.fill((0..20).map(|_| rubbish(1)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson");
    let path = file.to_str().unwrap();
    let mut left = 20;
    for arguments in [
        &["discard", "--reason", "undecodable", "--limit", "3", "--yes"][..],
        &["export", path, "--reason", "undecodable", "--limit", "3", "--yes"],
        &["replay", "--reason", "undecodable", "--limit", "3", "--yes", "--no-canary", "--wait", "0s"],
    ] {
        let ended = context.run(arguments);
        left -= 3;
        assert!(ended.said.contains("3 of 3 dead letters"), "{}{}", ended.said, ended.noted);
        assert_eq!(context.left().len(), left, "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 3);
    assert_eq!(work(&stack, 3).len(), 3);
}

/// A step whose messages are not confirmed must not have cost a letter.
#[test]
fn what_cannot_be_published_stays() {
    let stack = Stack::new();
    let letters: Vec<Message> = (0..10).map(good).collect();
    Context::on(&stack).fill(letters.clone());
    let (closed, mailbox) = mailbox(1);
    drop(mailbox);
    let (stop, url) = (Stop::default(), stack.database.settings());
    let context = dlq::Context {
        letters: Box::new(RabbitMq::new(&stack.broker.settings()).unwrap()),
        publisher: closed,
        open_store: Box::new(move || Ok(Box::new(Postgres::new(&url)?))),
        stop: stop.clone(),
        watch_signals: Box::new(|| {}),
        console: dlq::Console::new(dlq::Format::Json),
    };
    let operation = dlq::Operation::Replay {
        selection: dlq::Selection { all: true, ..dlq::Selection::default() },
        sending: dlq::SendOptions { rate: 100, wait: Duration::ZERO },
        no_canary: true,
        confirmation: dlq::Confirmation { yes: true, dry_run: false },
    };
    // Long enough for a first try; it would go on trying for a while.
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        stop.ask();
    });
    assert_eq!(dlq::run(&context, &operation).unwrap(), dlq::Completion::Partial);
    stopper.join().unwrap();
    assert_eq!(Context::on(&stack).left(), letters);
}

/// A copy of a letter may stay behind when the tool is killed between a confirm and its acknowledgement.
#[test]
fn a_stale_copy_is_a_new_try_too() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    stack.database.execute("ALTER TABLE contacts ADD CONSTRAINT nobody CHECK (name <> 'Ana')");
    let consumer = stack.start("consumer");
    let copy = good(1);
    context.fill([copy.clone()]);
    let failed = context.run(&["replay", "--all", "--yes"]);
    assert!(failed.expect(3).said.contains("1 failed again (rejected_by_database)"), "{}", failed.said);
    context.run(&["discard", "--all", "--yes"]).expect(0);
    stack.database.execute("ALTER TABLE contacts DROP CONSTRAINT nobody");
    context.fill([copy]);
    let applied = context.run(&["replay", "--all", "--yes"]);
    assert!(applied.expect(0).said.contains("1 applied"), "{}", applied.said);
    consumer.terminate();
}

#[test]
fn an_unchanged_export_is_replayed_as_it_was() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.ndjson");
    let path = file.to_str().unwrap();
    let letters: Vec<Message> = (0..5).map(good).chain((5..7).map(rubbish)).collect();
    context.fill(letters.clone());
    context.run(&["export", path, "--all", "--keep"]).expect(0);
    assert_eq!(context.left(), letters);
    let ended = context.run(&["import", path, "--yes", "--wait", "0s"]);
    assert!(ended.expect(3).said.contains("0 changed, to be new commands, and 7 unchanged"), "{}", ended.said);
    let sent = work(&stack, 7);
    let mut expected = letters;
    for message in &mut expected {
        message.headers.record_replay();
    }
    sent.iter().zip(&mut expected).filter(|(_, old)| old.id.is_empty()).for_each(|(new, old)| old.id = new.id.clone());
    assert_eq!(sent, expected);
}

#[test]
fn a_replay_that_is_interrupted_says_what_it_did() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    context.fill((0..100).map(good));
    let mut process =
        context.start(&["replay", "--all", "--yes", "--no-canary", "--rate", "5", "--wait", "0s", "--output", "json"]);
    eventually("it has begun", || (stack.broker.depth(QueueKind::Work) >= 2).then_some(()));
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(3), "{}", process.log());
    let report: Value = serde_json::from_str(&process.log()).unwrap_or_else(|_| panic!("{}", process.log()));
    let done = usize::try_from(report["done"].as_u64().unwrap()).unwrap();
    assert!((2..100).contains(&done) && report["interrupted"] == true, "{report}");
    assert_eq!((context.left().len(), stack.broker.depth(QueueKind::Work) as usize), (100 - done, done));
}

/// Kills the tool again and again at moments that differ, and holds what is left against what there was.
fn kill_at_random(context: &Context, folder: &Path, times: u64, delivered: impl Fn() -> BTreeSet<String>) {
    let mut random = fastrand::Rng::with_seed(20_261_122);
    let (mut all, mut number, mut killed) = (BTreeSet::new(), 0, 0);
    // What a run takes here that is not killed.
    let started = Instant::now();
    context.run(&["discard", "--all", "--yes"]).expect(0);
    let usual = u64::try_from(started.elapsed().as_millis()).unwrap();
    for time in 0..times {
        let left = context.left();
        if left.len() < 100 {
            let more: Vec<Message> = (0..200).map(|_| (number += 1, good(number)).1).collect();
            all.extend(more.iter().map(|message| message.id.clone()));
            context.fill(more);
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
            Process::start(&[&["dlq-drain"], &context.arguments[..], &arguments].concat(), &context.settings);
        std::thread::sleep(Duration::from_millis(random.u64(0..usual * 2 + 100)));
        if process.ended().is_none() {
            process.kill();
            killed += 1;
        }
        let mut found = delivered();
        found.extend(context.left().into_iter().map(|letter| letter.id));
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found.extend(whole.map(|line| line["id"].as_str().unwrap().to_owned()));
        }
        let lost: Vec<_> = all.difference(&found).collect();
        assert!(lost.is_empty(), "time {time}: {lost:?} of {}", all.len());
    }
    assert!(killed > times / 10, "{killed}: it is seldom still there to be killed");
    assert!(all.len() > 200, "{}: nothing was ever taken", all.len());
}

#[test]
fn killed_at_any_moment_it_loses_nothing_on_rabbitmq() {
    let stack = Stack::new();
    let folder = tempfile::tempdir().unwrap();
    let _consumer = stack.start("consumer");
    let applied = || {
        #[derive(diesel::QueryableByName)]
        struct Id {
            #[diesel(sql_type = diesel::sql_types::Text)]
            id: String,
        }
        eventually("the work is done", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
        let ids =
            || stack.database.rows::<Id>("SELECT id::text FROM operations").into_iter().map(|row| row.id).collect();
        // What is still in hand ends soon.
        let mut before: BTreeSet<String> = ids();
        eventually("nothing more ends", || {
            std::thread::sleep(Duration::from_millis(30));
            let now = ids();
            let same = now == before;
            before = now;
            same.then_some(())
        });
        before
    };
    kill_at_random(&Context::on(&stack), folder.path(), 60, applied);
}

#[test]
fn killed_at_any_moment_it_loses_nothing_on_the_embedded_queue() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = standalone(folder.path(), &[]);
    let client = service.client();
    let files = tempfile::tempdir().unwrap();
    let applied = || {
        let mut before = BTreeSet::new();
        eventually("nothing more is applied", || {
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
    kill_at_random(&Context::beside(folder.path()), files.path(), 40, applied);
    service.terminate();
}

#[test]
fn it_helps_itself_to_settings_as_every_command_does() {
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
fn the_jobs_call_it_as_it_can_be_called() {
    let stack = Stack::new();
    let context = Context::on(&stack);
    context.fill([good(1), letter(Message::new(&update(new_contact(), 9, "Bia")), Reason::ContactNotFound, 2)]);
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
            let report = context.run(&arguments).expect(0).json();
            assert!(report["dry_run"] == true && report["selected"].as_u64() > Some(0), "{arguments:?}: {report}");
            jobs += 1;
        }
    }
    assert_eq!((jobs, context.left().len()), (3, 2));
}
