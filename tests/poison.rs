//! Poison messages: only the poison message is dead-lettered. A fault of the database dead-letters no message.
//!
//! A store that panics or aborts wraps the real store. The aborting store runs in a child process, which is this test
//! binary started again.

use crate::support::{Stack, create, delete, details, eventually, new_contact, update};
use contacts::config::{ConsumerSettings, RetrySettings};
use contacts::consumer::{self, Parts};
use contacts::domain::{
    Action, Attempt, Command, Contact, ContactId, Erasure, FailedOperation, NameKey, OperationId, Outcome, Phone,
    Timestamp,
};
use contacts::message::Message;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{Delivery, Queue, QueueError, QueueKind, SessionHandler, Source};
use contacts::stop::Stop;
use contacts::store::postgres::Postgres;
use contacts::store::{
    ChangePage, ChangePosition, Direction, DuplicatePage, DuplicatesBy, EventLog, Filter, HistoryPage, ListPosition,
    Operation, Pruned, Store, StoreError,
};
use contacts::telemetry::Health;
use std::collections::HashSet;
use std::num::NonZeroU128;
use std::process::{Command as ProcessCommand, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The contact name that makes the store fail.
const POISON_NAME: &str = "Poison";
/// The environment variable that gives the child process its services.
const CHILD_VARIABLE: &str = "CONTACTS_TEST_CHILD_OF";

#[derive(Clone, Copy)]
enum Crash {
    Panic,
    Abort,
}

/// A real store that crashes when it applies a poison command.
struct CrashingStore {
    store: Postgres,
    crash: Crash,
}

impl Store for CrashingStore {
    fn apply(&self, batch: &[Attempt]) -> Result<Vec<Outcome>, StoreError> {
        let is_poison = |attempt: &&Attempt| {
            attempt.must_fail.is_none() && attempt.command.action == Action::Create(details(POISON_NAME))
        };
        if batch.iter().any(|attempt| is_poison(&attempt)) {
            match self.crash {
                Crash::Panic => panic!("on purpose"),
                Crash::Abort => std::process::abort(),
            }
        }
        self.store.apply(batch)
    }
    fn contact(&self, id: ContactId) -> Result<Option<Contact>, StoreError> {
        self.store.contact(id)
    }
    fn duplicates(&self, by: DuplicatesBy, from: Option<&str>, limit: u32) -> Result<DuplicatePage, StoreError> {
        self.store.duplicates(by, from, limit)
    }
    fn locked(&self, contacts: &[ContactId]) -> Result<HashSet<ContactId>, StoreError> {
        self.store.locked(contacts)
    }
    fn record_failure(&self, failed: &FailedOperation) -> Result<(), StoreError> {
        self.store.record_failure(failed)
    }
    fn existing(&self, people: &[(Phone, NameKey)]) -> Result<Vec<Option<ContactId>>, StoreError> {
        self.store.existing(people)
    }
    fn estimated_total(&self, filter: &Filter) -> Result<u64, StoreError> {
        self.store.estimated_total(filter)
    }

    fn contacts(&self, filter: &Filter, after: Option<&ListPosition>, limit: u32) -> Result<Vec<Contact>, StoreError> {
        self.store.contacts(filter, after, limit)
    }
    fn export(&self, filter: &Filter, page: &mut dyn FnMut(&[Contact]) -> bool) -> Result<(), StoreError> {
        self.store.export(filter, page)
    }
    fn operations(&self, ids: &[OperationId]) -> Result<Vec<Operation>, StoreError> {
        self.store.operations(ids)
    }
    fn changes(
        &self,
        after: Option<ChangePosition>,
        limit: u32,
        with_contacts: bool,
    ) -> Result<Option<ChangePage>, StoreError> {
        self.store.changes(after, limit, with_contacts)
    }
    fn last_change(&self) -> Result<ChangePosition, StoreError> {
        self.store.last_change()
    }
    fn oldest_without_event(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.oldest_without_event()
    }
    fn event_log(&self) -> Result<Option<Box<dyn EventLog + '_>>, StoreError> {
        self.store.event_log()
    }
    fn check(&self) -> Result<(), StoreError> {
        self.store.check()
    }
    fn probe(&self) -> Result<(), StoreError> {
        self.store.probe()
    }
    fn set_pruned_before(&self, timestamp: Timestamp) -> Result<(), StoreError> {
        self.store.set_pruned_before(timestamp)
    }
    fn pruned_before(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.pruned_before()
    }
    fn prune(&self, limit: u32) -> Result<Pruned, StoreError> {
        self.store.prune(limit)
    }
    fn record_erasure(&self, erasure: &Erasure) -> Result<(), StoreError> {
        self.store.record_erasure(erasure)
    }
    fn running_batches(&self) -> Result<Vec<String>, StoreError> {
        self.store.running_batches()
    }
    fn operations_of(&self, contacts: &[ContactId]) -> Result<Vec<Operation>, StoreError> {
        self.store.operations_of(contacts)
    }
    fn history(&self, page: &HistoryPage) -> Result<Vec<Operation>, StoreError> {
        self.store.history(page)
    }
    fn operations_of_trace(
        &self,
        trace_id: NonZeroU128,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError> {
        self.store.operations_of_trace(trace_id, since, limit)
    }
    fn old_values(&self, visit: &mut dyn FnMut(Operation) -> bool) -> Result<(), StoreError> {
        self.store.old_values(visit)
    }
    fn erase_history(&self, contacts: &[ContactId], operations: &[OperationId]) -> Result<usize, StoreError> {
        self.store.erase_history(contacts, operations)
    }
    fn purge_files(&self) -> Result<(), StoreError> {
        self.store.purge_files()
    }
    fn migrate(&self, direction: Direction) -> Result<Vec<String>, StoreError> {
        self.store.migrate(direction)
    }
}

/// Starts a consumer with a crashing store. It runs until `stop`.
fn start_with_crashing_store(
    broker: &contacts::config::BrokerSettings,
    database: &contacts::config::DatabaseSettings,
    crash: Crash,
    stop: &Stop,
) -> Vec<JoinHandle<()>> {
    let store = CrashingStore { store: Postgres::new(database).unwrap(), crash };
    start(broker, store, |queue| Arc::new(queue), stop)
}

/// Starts a consumer on a store. `queue` may wrap the RabbitMQ queue.
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
    // Many attempts: a panic that prints its backtrace can block a worker for seconds, and updates wait for its
    // creates.
    let retry = RetrySettings { delay: Duration::from_millis(100), max_attempts: 10_000 };
    let mut threads = consumer::start(parts, &ConsumerSettings::default(), &retry, &health, stop).unwrap();
    threads.push(thread);
    threads
}

/// Publishes valid commands with one poison command among them. Returns the valid commands and the poison command.
fn publish_with_poison(stack: &Stack, pack_max: usize) -> (Vec<Command>, Command) {
    let poison = create(new_contact(), POISON_NAME);
    let mut commands = Vec::new();
    for number in 0..60 {
        let id = new_contact();
        commands.push(create(id, "Ana"));
        // Never both: with two workers a delete can overtake an update, and then the update fails.
        commands.push(if number % 5 == 0 { delete(id, 9) } else { update(id, 5, "Bia") });
    }
    let mut messages: Vec<Message> = commands.iter().map(Message::new).collect();
    messages.insert(70, Message::new(&poison));
    stack.publish_in_packs(messages, pack_max);
    (commands, poison)
}

fn assert_only_poison_failed(stack: &Stack, commands: &[Command], poison: &Command, reason: &str) {
    let dead_letters = stack.dead_letters();
    assert_eq!(dead_letters.len(), 1, "{dead_letters:?}");
    let failure = dead_letters[0].headers.failure().unwrap();
    assert_eq!((dead_letters[0].id.clone(), failure.reason.as_str()), (poison.operation_id.to_string(), reason));
    assert!(failure.first_at.is_some() && failure.last_at.is_some() && dead_letters[0].headers.attempts() == 1);
    assert_eq!(stack.database.count("operations WHERE status = 'applied'"), commands.len() as i64);
    let failed =
        format!("operations WHERE status = 'failed' AND reason = '{reason}' AND id = '{}'", poison.operation_id);
    assert_eq!(stack.database.count(&failed), 1);
}

#[test]
fn a_message_that_makes_the_worker_panic_fails_alone() {
    for pack_max in [1, 64] {
        only_the_message_that_panics_fails(pack_max);
    }
}

fn only_the_message_that_panics_fails(pack_max: usize) {
    let stack = Stack::new();
    let stop = Stop::default();
    let threads = start_with_crashing_store(&stack.broker.settings(), &stack.database.settings(), Crash::Panic, &stop);
    let (commands, poison) = publish_with_poison(&stack, pack_max);
    eventually("all operations are finished", || {
        (stack.database.count("operations") > commands.len() as i64 && stack.broker.depth(QueueKind::DeadLetter) > 0)
            .then_some(())
    });
    assert_only_poison_failed(&stack, &commands, &poison, "poison");
    stop.request();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(stack.broker.depth(QueueKind::Work), 0);
}

/// Not a test: the next test runs it as a child process that may die.
#[test]
#[ignore = "the child process of the next test"]
fn child_consumer_with_a_store_that_aborts() {
    let urls = std::env::var(CHILD_VARIABLE).unwrap();
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
    let threads = start_with_crashing_store(&broker, &database, Crash::Abort, &Stop::default());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_message_that_kills_its_process_fails_alone() {
    only_the_message_that_kills_fails(1);
}

#[test]
fn a_message_in_a_pack_that_kills_its_process_fails_alone() {
    only_the_message_that_kills_fails(64);
}

fn only_the_message_that_kills_fails(pack_max: usize) {
    let stack = Stack::new();
    let (commands, poison) = publish_with_poison(&stack, pack_max);
    let start = || {
        ProcessCommand::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "poison::child_consumer_with_a_store_that_aborts", "--nocapture"])
            .env(CHILD_VARIABLE, format!("{} {} {}", stack.broker.url, stack.broker.prefix, stack.database.url))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (mut child, mut deaths) = (start(), 0);
    eventually("all operations are finished", || {
        if child.try_wait().unwrap().is_some() {
            deaths += 1;
            child = start();
        }
        (stack.database.count("operations") > commands.len() as i64 && stack.broker.depth(QueueKind::DeadLetter) > 0)
            .then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((4..=14).contains(&deaths), "{deaths}");
    assert_only_poison_failed(&stack, &commands, &poison, "delivery_limit");
}

#[test]
fn a_redelivered_pack_is_split_before_anything_of_it_is_applied() {
    let stack = Stack::new();
    let commands: Vec<_> = (0..20).map(|_| create(new_contact(), "Ana")).collect();
    stack.publish_in_packs(commands.iter().map(Message::new), 64);
    // A consumer that fails with the pack in hand.
    let rabbit = RabbitMq::new(&stack.broker.settings()).unwrap();
    let mut packed = 0;
    let mut fail = |source: &mut dyn Source| {
        while packed == 0 {
            let batch = source.take(100, Duration::from_secs(1))?.unwrap_or_default();
            packed = batch.iter().filter(|delivery| delivery.packed).count();
        }
        Err(QueueError::Lost("on purpose".into()))
    };
    assert!(rabbit.session(100, &mut fail).is_err());
    let mut consumer = stack.start("consumer");
    consumer.wait_until_ready();
    eventually("all are applied", || (stack.database.count("contacts") == 20).then_some(()));
    assert!(packed > 10, "{packed}");
    let admin = consumer.admin();
    let has = |outcome: &str, count: usize| {
        let line = format!("contacts_consumer_messages_total{{outcome=\"{outcome}\"}} {count}");
        admin.get("/metrics").body.lines().any(|other| other == line).then_some(())
    };
    eventually("each was published alone", || has("postponed", packed));
    eventually("all were counted", || has("applied", 20));
    assert!(has("duplicate", 0).is_some());
    assert!(stack.dead_letters().is_empty());
}

/// A queue that records the highest redelivery count of its deliveries.
struct RecordingQueue {
    queue: RabbitMq,
    redeliveries: Arc<AtomicU32>,
}

struct RecordingSource<'a> {
    source: &'a mut dyn Source,
    redeliveries: &'a AtomicU32,
}

impl Queue for RecordingQueue {
    fn session(&self, prefetch: u16, work: &mut SessionHandler<'_>) -> Result<(), QueueError> {
        let redeliveries = &self.redeliveries;
        self.queue.session(prefetch, &mut |source| work(&mut RecordingSource { source, redeliveries }))
    }
}

impl Source for RecordingSource<'_> {
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

/// Each redelivery brings a message nearer to the redelivery limit, so a healthy consumer must cause none. On a busy
/// machine messages may arrive late, so one good run of four is enough.
#[test]
fn starting_and_stopping_a_consumer_redelivers_no_message() {
    let runs = (0..4).map(|_| highest_redelivery_count());
    let redeliveries: Vec<u32> = runs.take_while(|redeliveries| *redeliveries > 0).collect();
    assert!(redeliveries.len() < 4, "{redeliveries:?}");
}

/// The highest redelivery count of a message while consumers start and stop under load.
fn highest_redelivery_count() -> u32 {
    let stack = Stack::new();
    stack.publish((0..6_000).map(|_| Message::new(&create(new_contact(), "Ana"))));
    let redeliveries = Arc::new(AtomicU32::new(0));
    for target in [500, 3_000, 6_000] {
        let (stop, redeliveries) = (Stop::default(), redeliveries.clone());
        let store = Postgres::new(&stack.database.settings()).unwrap();
        let recording = |queue| -> Arc<dyn Queue> { Arc::new(RecordingQueue { queue, redeliveries }) };
        let threads = start(&stack.broker.settings(), store, recording, &stop);
        eventually("enough changes are applied", || (stack.database.count("operations") >= target).then_some(()));
        stop.request();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    assert_eq!(stack.database.count("operations"), 6_000);
    redeliveries.load(Ordering::Relaxed)
}

#[test]
fn a_database_that_cannot_write_dead_letters_no_message() {
    let stack = Stack::new();
    let settings = [("CONTACTS__CONSUMER__HOLD", "100ms"), ("CONTACTS__RETRY__MAX_ATTEMPTS", "3")];
    let mut consumer = stack.start_with("consumer", &settings);
    consumer.wait_until_ready();
    stack.database.execute(
        "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER disk_full BEFORE INSERT ON contacts EXECUTE FUNCTION disk_full()",
    );
    let commands: Vec<Command> = (0..30).map(|_| create(new_contact(), "Ana")).collect();
    stack.publish(commands.iter().map(Message::new));
    eventually("messages are returned to the queue", || {
        let lines = consumer.log_lines("messages deferred until the database is available");
        (lines.len() >= 2).then_some(())
    });
    // Both workers have met the error. From now on the probe keeps them from taking messages.
    let admin = consumer.admin();
    eventually("/readyz reports the reason", || admin.get("/readyz").body.contains("No space left").then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    assert_eq!(stack.database.count("operations"), 0);
    stack.database.execute("DROP TRIGGER disk_full ON contacts");
    eventually("all commands are applied", || (stack.database.count("operations") == 30).then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    consumer.terminate();
}

#[test]
fn locked_rows_delay_only_their_own_commands_and_are_no_outage() {
    let stack = Stack::new();
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__CONSUMER__WORKERS", "1")]);
    let admin = consumer.admin();
    let metric = |name: &str| -> u32 {
        let metrics = admin.get("/metrics").body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim().parse().unwrap()
    };
    let timeouts = || metric("contacts_consumer_apply_failures_total{class=\"locked\"}");
    let deferrals = || metric("contacts_consumer_messages_total{outcome=\"postponed\"}");
    let locked: Vec<Command> = (0..12).map(|_| create(new_contact(), "Ana")).collect();
    stack.publish(locked.iter().map(Message::new));
    eventually("the contacts exist", || (stack.database.count("contacts") == 12).then_some(()));
    let lock = stack.database.open_transaction("SELECT * FROM contacts FOR UPDATE");
    stack.publish(locked.iter().map(|command| Message::new(&update(command.contact_id, 5, "Bia"))));
    eventually("a batch waits for a lock in vain", || (timeouts() > 0).then_some(()));
    // The commands of the locked rows return every 100 ms. No batch waits for them again.
    for round in 1..=20 {
        stack.publish([Message::new(&create(new_contact(), "Caio"))]);
        let applied = || (stack.database.count("contacts WHERE name = 'Caio'") == round).then_some(());
        eventually("another command is applied", applied);
    }
    // The first wave can be spread over some batches.
    let (first_wave, before) = (timeouts(), deferrals());
    assert!(first_wave <= 12, "batches wait for the same locks again and again: {first_wave}");
    eventually("the commands are deferred again", || (deferrals() > before + 24).then_some(()));
    assert_eq!(timeouts(), first_wave);
    assert_eq!(admin.get("/readyz").status, 200);
    assert!(!consumer.log().contains("the database cannot be used"), "{}", consumer.log());
    let warnings = consumer.log_lines("another session has locked contacts in the database: their changes wait");
    assert!(!warnings.is_empty());
    assert_eq!(stack.database.count("contacts WHERE name = 'Bia'"), 0);
    drop(lock);
    eventually("the updates are applied", || (stack.database.count("contacts WHERE name = 'Bia'") == 12).then_some(()));
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    consumer.terminate();
}

#[test]
fn a_second_signal_stops_a_busy_role_at_once() {
    let stack = Stack::new();
    let mut process = stack.start("consumer");
    process.wait_until_ready();
    stack.database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(25); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    stack.publish([Message::new(&create(new_contact(), "Ana"))]);
    eventually("the consumer waits for the statement", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
    process.signal("TERM");
    eventually("the graceful shutdown starts", || {
        (!process.log_lines("graceful shutdown started").is_empty()).then_some(())
    });
    // Two signals within a short time count as one.
    std::thread::sleep(Duration::from_millis(600));
    let signalled = Instant::now();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(143), "{}", process.log());
    assert!(signalled.elapsed() < Duration::from_secs(15), "{:?}", signalled.elapsed());
    eventually("the message is in the queue again", || (stack.broker.depth(QueueKind::Work) == 1).then_some(()));
    stack.database.terminate_sessions();
}

#[test]
fn the_grace_limits_the_shutdown_even_if_a_statement_hangs() {
    let stack = Stack::new();
    let settings = [
        ("CONTACTS__SHUTDOWN__GRACE", "1s"),
        ("CONTACTS__HTTP__READ_TIMEOUT", "500ms"),
        ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "500ms"),
    ];
    let mut process = stack.start_with("consumer", &settings);
    process.wait_until_ready();
    stack.database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$; \
         CREATE TRIGGER slow BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    stack.publish([Message::new(&create(new_contact(), "Ana"))]);
    eventually("the consumer waits for the statement", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
    let signalled = Instant::now();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(1), "{}", process.log());
    assert!(process.log().contains("shutdown.grace is over"), "{}", process.log());
    // Much less than the duration of the statement.
    assert!(signalled.elapsed() < Duration::from_secs(15), "{:?}", signalled.elapsed());
    stack.database.terminate_sessions();
}
