//! Messages and rows that harm: only the guilty one goes to the dead letters, and nothing does while SQL is at fault.
//!
//! A store that panics or kills its process stands before the real one; the killing one runs in a process of its own,
//! which is this test binary again.

use crate::support::{Stack, create, delete, details, eventually, new_contact, update};
use contacts::config::{ConsumerSettings, RetrySettings};
use contacts::consumer::{self, Parts};
use contacts::domain::{Action, Attempt, Command, Contact, ContactId, OperationId, Outcome, Timestamp};
use contacts::message::Message;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{Delivery, Queue, QueueError, QueueKind, Source, Work};
use contacts::stop::Stop;
use contacts::store::postgres::Postgres;
use contacts::store::{After, Direction, Filter, Operation, Pruned, Store, StoreError};
use contacts::telemetry::Health;
use std::process::{Command as Run, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name of the contact that harms.
const HARMFUL: &str = "Harmful";
const CHILD: &str = "CONTACTS_TEST_CHILD_OF";

#[derive(Clone, Copy)]
enum Harm {
    Panic,
    Kill,
}

/// A real store that breaks down when it is asked to apply a harmful command.
struct Harmed {
    store: Postgres,
    harm: Harm,
}

impl Store for Harmed {
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError> {
        let harmful = |attempt: &&Attempt| {
            attempt.must_fail.is_none() && attempt.command.action == Action::Create(details(HARMFUL))
        };
        if batch.iter().any(|attempt| harmful(&attempt)) {
            match self.harm {
                Harm::Panic => panic!("on purpose"),
                Harm::Kill => std::process::abort(),
            }
        }
        self.store.apply(batch)
    }
    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        self.store.contact(id)
    }
    fn contacts(&self, filter: &Filter, after: Option<&After>, limit: u32) -> Result<Vec<Contact>, StoreError> {
        self.store.contacts(filter, after, limit)
    }
    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError> {
        self.store.export(filter, page)
    }
    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError> {
        self.store.operations(ids)
    }
    fn check(&self) -> Result<(), StoreError> {
        self.store.check()
    }
    fn probe(&self) -> Result<(), StoreError> {
        self.store.probe()
    }
    fn set_pruned_before(&self, moment: Timestamp) -> Result<(), StoreError> {
        self.store.set_pruned_before(moment)
    }
    fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.pruned_before()
    }
    fn prune(&self, limit: u32) -> Result<Pruned, StoreError> {
        self.store.prune(limit)
    }
    fn migrate(&self, direction: Direction) -> Result<Vec<String>, StoreError> {
        self.store.migrate(direction)
    }
}

/// Runs a consumer with a harmed store until it is asked to stop.
fn start_harmed(
    broker: &contacts::config::BrokerSettings,
    database: &contacts::config::DatabaseSettings,
    harm: Harm,
    stop: &Stop,
) -> Vec<JoinHandle<()>> {
    let store = Harmed { store: Postgres::new(database).unwrap(), harm };
    start(broker, store, |queue| Arc::new(queue), stop)
}

/// Runs a consumer on a store and a queue with something before it.
fn start(
    broker: &contacts::config::BrokerSettings,
    store: impl Store + 'static,
    queue: impl FnOnce(RabbitMq) -> Arc<dyn Queue>,
    stop: &Stop,
) -> Vec<JoinHandle<()>> {
    let rabbit = RabbitMq::new(broker).unwrap();
    let health = Health::default();
    let (publisher, thread) = rabbit.publisher(broker, health.component("publisher"), stop.clone()).unwrap();
    let parts = Parts { queue: queue(rabbit), store: Arc::new(store), publisher, lag: consumer::LagTracker::default() };
    // Never given up: a panic whose backtrace is asked for can hold its worker, and the creates with it, for seconds.
    let retry = RetrySettings { delay: Duration::from_millis(100), max_attempts: 10_000 };
    let mut threads = consumer::start(parts, &ConsumerSettings::default(), &retry, &health, stop).unwrap();
    threads.push(thread);
    threads
}

/// The queue gets good commands, a harmful one among them, and what builds on the good ones.
fn publish_around_a_harmful_one(stack: &Stack) -> (Vec<Command>, Command) {
    let harmful = create(new_contact(), HARMFUL);
    let mut commands = Vec::new();
    for number in 0..60 {
        let id = new_contact();
        commands.push(create(id, "Ana"));
        // One or the other: a delete that overtakes an update, as it may between two workers, makes it fail.
        commands.push(if number % 5 == 0 { delete(id, 9) } else { update(id, 5, "Bia") });
    }
    let mut messages: Vec<Message> = commands.iter().map(Message::new).collect();
    messages.insert(70, Message::new(&harmful));
    stack.publish(messages);
    (commands, harmful)
}

fn assert_only_the_harmful_one_failed(stack: &Stack, commands: &[Command], harmful: &Command, reason: &str) {
    let letters = stack.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let failure = letters[0].headers.failure().unwrap();
    assert_eq!((letters[0].id.clone(), failure.reason.as_str()), (harmful.operation_id.to_string(), reason));
    assert!(failure.first_at.is_some() && failure.last_at.is_some() && letters[0].headers.attempts() == 1);
    assert_eq!(stack.database.count("operations WHERE status = 'applied'"), commands.len() as i64);
    let failed =
        format!("operations WHERE status = 'failed' AND reason = '{reason}' AND id = '{}'", harmful.operation_id);
    assert_eq!(stack.database.count(&failed), 1);
}

#[test]
fn a_message_that_panics_the_worker_fails_alone() {
    let stack = Stack::new();
    let stop = Stop::default();
    let threads = start_harmed(&stack.broker.settings(), &stack.database.settings(), Harm::Panic, &stop);
    let (commands, harmful) = publish_around_a_harmful_one(&stack);
    eventually("all have ended", || {
        (stack.database.count("operations") > commands.len() as i64 && stack.broker.depth(QueueKind::DeadLetter) > 0)
            .then_some(())
    });
    assert_only_the_harmful_one_failed(&stack, &commands, &harmful, "poison");
    stop.ask();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(stack.broker.depth(QueueKind::Work), 0);
}

/// Not a test of its own: what the next one runs as a process that may die.
#[test]
#[ignore = "a process of the next test, not a test"]
fn a_consumer_that_may_be_killed() {
    let urls = std::env::var(CHILD).unwrap();
    let [broker, prefix, database] = urls.split(' ').collect::<Vec<_>>()[..] else { panic!("{urls}") };
    let broker = contacts::config::BrokerSettings {
        url: contacts::config::Url::from(broker),
        prefix: prefix.into(),
        ..Default::default()
    };
    let database = contacts::config::DatabaseSettings {
        url: contacts::config::Url::from(database),
        max_connections: 4,
        ..Default::default()
    };
    let threads = start_harmed(&broker, &database, Harm::Kill, &Stop::default());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_message_that_kills_its_process_fails_alone() {
    let stack = Stack::new();
    let (commands, harmful) = publish_around_a_harmful_one(&stack);
    let start = || {
        Run::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "poison::a_consumer_that_may_be_killed", "--nocapture"])
            .env(CHILD, format!("{} {} {}", stack.broker.url, stack.broker.prefix, stack.database.url))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut child, mut deaths) = (start(), 0);
    eventually("all have ended", || {
        if child.try_wait().unwrap().is_some() {
            deaths += 1;
            child = start();
        }
        (stack.database.count("operations") > commands.len() as i64 && stack.broker.depth(QueueKind::DeadLetter) > 0)
            .then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((4..=12).contains(&deaths), "{deaths}");
    assert_only_the_harmful_one_failed(&stack, &commands, &harmful, "delivery_limit");
}

/// A queue that notes the highest count of returns it hands out.
struct Watched {
    queue: RabbitMq,
    redeliveries: Arc<AtomicU32>,
}

struct WatchedSource<'a> {
    source: &'a mut dyn Source,
    redeliveries: &'a AtomicU32,
}

impl Queue for Watched {
    fn session(&self, prefetch: u16, work: &mut Work<'_>) -> Result<(), QueueError> {
        let redeliveries = &self.redeliveries;
        self.queue.session(prefetch, &mut |source| work(&mut WatchedSource { source, redeliveries }))
    }
}

impl Source for WatchedSource<'_> {
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError> {
        let batch = self.source.take(max, wait)?;
        for delivery in batch.iter().flatten() {
            self.redeliveries.fetch_max(delivery.redeliveries, Ordering::Relaxed);
        }
        Ok(batch)
    }
    fn acknowledge(&mut self) -> Result<(), QueueError> {
        self.source.acknowledge()
    }
    fn cancel(&mut self) -> Result<(), QueueError> {
        self.source.cancel()
    }
}

/// Each return brings a message nearer to the dead letters, so a consumer in good health must cause none. What is on its way
/// may be late on a busy machine, so the best of some tries counts.
#[test]
fn a_start_and_an_end_give_no_message_back() {
    let tries = (0..4).map(|_| most_returns());
    let redeliveries: Vec<u32> = tries.take_while(|redeliveries| *redeliveries > 0).collect();
    assert!(redeliveries.len() < 4, "{redeliveries:?}");
}

/// How often a message came back at most while consumers started and ended under load.
fn most_returns() -> u32 {
    let stack = Stack::new();
    stack.publish((0..6_000).map(|_| Message::new(&create(new_contact(), "Ana"))));
    let redeliveries = Arc::new(AtomicU32::new(0));
    for share in [500, 3_000, 6_000] {
        let (stop, redeliveries) = (Stop::default(), redeliveries.clone());
        let store = Postgres::new(&stack.database.settings()).unwrap();
        let watched = |queue| -> Arc<dyn Queue> { Arc::new(Watched { queue, redeliveries }) };
        let threads = start(&stack.broker.settings(), store, watched, &stop);
        eventually("its share is applied", || (stack.database.count("operations") >= share).then_some(()));
        stop.ask();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    assert_eq!(stack.database.count("operations"), 6_000);
    redeliveries.load(Ordering::Relaxed)
}

#[test]
fn a_database_that_reads_but_does_not_write_fills_no_dead_letters() {
    let stack = Stack::new();
    let settings = [("CONTACTS__CONSUMER__HOLD", "100ms"), ("CONTACTS__RETRY__MAX_ATTEMPTS", "3")];
    let mut consumer = stack.start_with("consumer", &settings);
    consumer.ready();
    stack.database.execute(
        "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER disk_full BEFORE INSERT ON contacts EXECUTE FUNCTION disk_full()",
    );
    let commands: Vec<Command> = (0..30).map(|_| create(new_contact(), "Ana")).collect();
    stack.publish(commands.iter().map(Message::new));
    eventually("given back", || {
        let said = consumer.said("given back to the queue until the database can be used");
        (said.len() >= 2).then_some(())
    });
    // Both workers have seen it; from now on the probe keeps them from taking anything.
    let admin = consumer.admin();
    eventually("it says why", || admin.get("/readyz").body.contains("No space left").then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    assert_eq!(stack.database.count("operations"), 0);
    stack.database.execute("DROP TRIGGER disk_full ON contacts");
    eventually("all are applied", || (stack.database.count("operations") == 30).then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    consumer.terminate();
}

#[test]
fn a_locked_row_holds_only_its_own_commands() {
    let stack = Stack::new();
    let settings = [("CONTACTS__CONSUMER__HOLD", "100ms"), ("CONTACTS__CONSUMER__WORKERS", "1")];
    let consumer = stack.start_with("consumer", &settings);
    let locked = create(new_contact(), "Ana");
    stack.publish([Message::new(&locked)]);
    eventually("the row is there", || (stack.database.count("contacts") == 1).then_some(()));
    let lock = stack.database.hold("SELECT * FROM contacts FOR UPDATE");
    let waiting = update(locked.contact_id, 5, "Bia");
    let others: Vec<Command> = (0..20).map(|_| create(new_contact(), "Caio")).collect();
    let mut messages: Vec<Message> = others.iter().map(Message::new).collect();
    messages.insert(10, Message::new(&waiting));
    stack.publish(messages);
    eventually("the others are applied", || (stack.database.count("contacts") == 21).then_some(()));
    assert_eq!(stack.database.count("contacts WHERE name = 'Bia'"), 0);
    drop(lock);
    eventually("it is applied, too", || (stack.database.count("contacts WHERE name = 'Bia'") == 1).then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    consumer.terminate();
}

#[test]
fn a_second_signal_ends_a_role_that_still_works_at_once() {
    let stack = Stack::new();
    let mut process = stack.start("consumer");
    process.ready();
    stack.database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(25); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    stack.publish([Message::new(&create(new_contact(), "Ana"))]);
    eventually("it hangs", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
    process.signal("TERM");
    eventually("it finishes", || (!process.said("asked to end: finishing what has begun").is_empty()).then_some(()));
    // Signals close together are one wish.
    std::thread::sleep(Duration::from_millis(600));
    let asked = Instant::now();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(143), "{}", process.log());
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    eventually("the message is given back", || (stack.broker.depth(QueueKind::Work) == 1).then_some(()));
    stack.database.end_sessions();
}

#[test]
fn the_grace_is_a_bound_even_while_sql_hangs() {
    let stack = Stack::new();
    let settings = [
        ("CONTACTS__SHUTDOWN__GRACE", "1s"),
        ("CONTACTS__HTTP__READ_TIMEOUT", "500ms"),
        ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "500ms"),
    ];
    let mut process = stack.start_with("consumer", &settings);
    process.ready();
    stack.database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    stack.publish([Message::new(&create(new_contact(), "Ana"))]);
    eventually("it hangs", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
    let asked = Instant::now();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(1), "{}", process.log());
    assert!(process.log().contains("shutdown.grace is over"), "{}", process.log());
    // Far below what the statement takes.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    stack.database.end_sessions();
}
