//! Tests of the queue interface. Each test runs against both implementations: RabbitMQ and the embedded queue.

use crate::support::{Broker, all_dead_letters, eventually};
use contacts::config::BrokerSettings;
use contacts::message::{Header, Message};
use contacts::queue::embedded::EmbeddedDeadLetters;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{DeadLetterQueue, Delivery, PublishError, Publisher, Queue, QueueError, QueueKind};
use contacts::stop::Stop;
use contacts::telemetry::Health;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// An implementation under test. It can be closed and opened again.
trait TestQueue: Sized {
    fn open() -> Self;
    fn queue(&self) -> &Arc<dyn Queue>;
    fn publisher(&self) -> &Publisher;
    fn dead_letters(&self) -> Box<dyn DeadLetterQueue>;
    fn reopen(self) -> Self;
}

struct TestRabbitMq {
    broker: Broker,
    queue: Arc<dyn Queue>,
    publisher: Publisher,
}

impl TestRabbitMq {
    fn with_broker(broker: Broker, pack_max: usize) -> Self {
        let settings = BrokerSettings { pack_max, ..broker.settings() };
        let rabbit = RabbitMq::new(&settings).unwrap();
        let component = Health::default().component("queue");
        let (publisher, _thread) = rabbit.publisher(&settings, component.clone(), Stop::default()).unwrap();
        eventually("the publisher is connected", || component.reason().is_none().then_some(()));
        Self { broker, queue: Arc::new(rabbit), publisher }
    }
}

impl TestQueue for TestRabbitMq {
    fn open() -> Self {
        Self::with_broker(Broker::new(), 1)
    }
    fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }
    fn publisher(&self) -> &Publisher {
        &self.publisher
    }
    fn dead_letters(&self) -> Box<dyn DeadLetterQueue> {
        Box::new(RabbitMq::new(&self.broker.settings()).unwrap())
    }
    fn reopen(self) -> Self {
        Self::with_broker(self.broker, 1)
    }
}

/// RabbitMQ with packs of up to [`PACK_MAX`] messages.
struct PackedRabbitMq(TestRabbitMq);

const PACK_MAX: usize = 7;

impl TestQueue for PackedRabbitMq {
    fn open() -> Self {
        Self(TestRabbitMq::with_broker(Broker::new(), PACK_MAX))
    }
    fn queue(&self) -> &Arc<dyn Queue> {
        self.0.queue()
    }
    fn publisher(&self) -> &Publisher {
        self.0.publisher()
    }
    fn dead_letters(&self) -> Box<dyn DeadLetterQueue> {
        self.0.dead_letters()
    }
    fn reopen(self) -> Self {
        Self(TestRabbitMq::with_broker(self.0.broker, PACK_MAX))
    }
}

struct TestEmbedded {
    folder: TempDir,
    queue: Arc<dyn Queue>,
    publisher: Publisher,
    thread: JoinHandle<()>,
}

impl TestEmbedded {
    fn with_folder(folder: TempDir) -> Self {
        let component = Health::default().component("queue");
        let (queue, publisher, thread) =
            contacts::queue::embedded::EmbeddedQueue::open(folder.path(), 10_000, component, &Stop::default()).unwrap();
        Self { folder, queue: Arc::new(queue), publisher, thread }
    }
}

impl TestQueue for TestEmbedded {
    fn open() -> Self {
        Self::with_folder(tempfile::tempdir().unwrap())
    }
    fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }
    fn publisher(&self) -> &Publisher {
        &self.publisher
    }
    fn dead_letters(&self) -> Box<dyn DeadLetterQueue> {
        let component = Health::default().component("queue");
        Box::new(EmbeddedDeadLetters::open(self.folder.path(), 10, component, &Stop::default()).unwrap().0)
    }
    fn reopen(self) -> Self {
        let Self { folder, queue, publisher, thread } = self;
        drop((queue, publisher));
        thread.join().unwrap();
        Self::with_folder(folder)
    }
}

fn message(number: usize) -> Message {
    let mut message = Message {
        id: format!("id-{number}"),
        kind: "contact.insert".into(),
        timestamp: 1_700_000_000,
        body: format!("{{\"number\":{number},\"é\":\"\\u0000\"}}").into_bytes(),
        ..Message::default()
    };
    message.headers.set("x-contacts-attempts", Header::Number(number as i64));
    message.headers.set("x-foreign", Header::Text("çã".into()));
    message
}

#[track_caller]
fn publish(test_queue: &impl TestQueue, kind: QueueKind, messages: impl IntoIterator<Item = Message>) {
    publish_delayed(test_queue, kind, messages, Duration::ZERO);
}

#[track_caller]
fn publish_delayed(
    test_queue: &impl TestQueue,
    kind: QueueKind,
    messages: impl IntoIterator<Item = Message>,
    delay: Duration,
) {
    let batch = messages.into_iter().map(|message| (kind, message, delay));
    for result in test_queue.publisher().publish_all(batch, TIMEOUT) {
        result.unwrap();
    }
}

/// Takes `count` messages in one session, acknowledges them, and returns them.
#[track_caller]
fn take(test_queue: &impl TestQueue, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let mut work = |source: &mut dyn contacts::queue::Source| {
        let started = Instant::now();
        while taken.len() < count {
            assert!(started.elapsed() < TIMEOUT, "only {} of {count} messages arrived", taken.len());
            taken.extend(source.take(count - taken.len(), SHORT)?.unwrap());
        }
        source.acknowledge()
    };
    test_queue.queue().session(u16::try_from(count).unwrap(), &mut work).unwrap();
    taken
}

#[track_caller]
fn assert_empty(test_queue: &impl TestQueue) {
    let mut work = |source: &mut dyn contacts::queue::Source| {
        let taken = source.take(10, SHORT)?.unwrap();
        assert!(taken.is_empty(), "{taken:?}");
        Ok(())
    };
    test_queue.queue().session(100, &mut work).unwrap();
}

fn confirmed_messages_arrive_unchanged_and_in_order<Q: TestQueue>() {
    let test_queue = Q::open();
    let sent: Vec<Message> = (0..50).map(message).collect();
    publish(&test_queue, QueueKind::Work, sent.clone());
    let taken = take(&test_queue, 50);
    assert!(taken.iter().all(|delivery| delivery.redeliveries == 0));
    assert_eq!(taken.into_iter().map(|delivery| delivery.message).collect::<Vec<_>>(), sent);
    assert_empty(&test_queue);
}

fn acknowledged_messages_are_not_redelivered<Q: TestQueue>() {
    let test_queue = Q::open();
    publish(&test_queue, QueueKind::Work, (0..6).map(message));
    let mut work = |source: &mut dyn contacts::queue::Source| {
        let mut taken = 0;
        while taken < 3 {
            taken += source.take(3 - taken, SHORT)?.unwrap().len();
        }
        source.acknowledge()?;
        while taken < 5 {
            taken += source.take(5 - taken, SHORT)?.unwrap().len();
        }
        Ok(())
    };
    test_queue.queue().session(100, &mut work).unwrap();
    let again = take(&test_queue, 3);
    let mut ids: Vec<(String, u32)> =
        again.iter().map(|delivery| (delivery.message.id.clone(), delivery.redeliveries.min(1))).collect();
    ids.sort();
    assert_eq!(ids[..2], [("id-3".into(), 1), ("id-4".into(), 1)]);
    assert_eq!(ids[2].0, "id-5");
    assert_empty(&test_queue);
}

fn a_failed_session_returns_its_messages_to_the_queue<Q: TestQueue>() {
    let test_queue = Q::open();
    publish(&test_queue, QueueKind::Work, [message(1)]);
    let mut work = |source: &mut dyn contacts::queue::Source| {
        while source.take(10, SHORT)?.unwrap().is_empty() {}
        Err(QueueError::Lost("on purpose".into()))
    };
    assert!(matches!(test_queue.queue().session(100, &mut work), Err(QueueError::Lost(_))));
    assert_eq!(take(&test_queue, 1)[0].message, message(1));
}

fn messages_survive_a_restart<Q: TestQueue>() {
    let test_queue = Q::open();
    publish(&test_queue, QueueKind::Work, (0..4).map(message));
    publish(&test_queue, QueueKind::DeadLetter, [message(9)]);
    assert_eq!(take(&test_queue, 2).len(), 2);
    let test_queue = test_queue.reopen();
    let ids: Vec<String> = take(&test_queue, 2).into_iter().map(|delivery| delivery.message.id).collect();
    assert_eq!(ids, ["id-2", "id-3"]);
    assert_empty(&test_queue);
    assert_eq!(all_dead_letters(&*test_queue.dead_letters()), [message(9)]);
}

fn a_retried_message_arrives_after_its_delay<Q: TestQueue>() {
    let test_queue = Q::open();
    let delay = Duration::from_millis(700);
    let started = Instant::now();
    publish_delayed(&test_queue, QueueKind::Retry, (0..3).map(message), delay);
    let taken = take(&test_queue, 3);
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
    let mut taken: Vec<Message> = taken.into_iter().map(|delivery| delivery.message).collect();
    taken.sort_by(|a, b| a.id.cmp(&b.id));
    for (number, mut taken) in taken.into_iter().enumerate() {
        // A broker may add its own headers. The test ignores them.
        let expected = message(number);
        let mut headers = contacts::message::Headers::default();
        for (name, value) in
            taken.headers.iter().filter(|(name, _)| expected.headers.iter().any(|(other, _)| other == *name))
        {
            headers.set(name, value.clone());
        }
        taken.headers = headers;
        assert_eq!(taken, expected);
    }
    assert_empty(&test_queue);
}

fn browsed_dead_letters_stay_in_the_queue<Q: TestQueue>() {
    let test_queue = Q::open();
    let sent: Vec<Message> = (0..50).map(message).collect();
    publish(&test_queue, QueueKind::DeadLetter, sent.clone());
    let dead_letters = test_queue.dead_letters();
    // More rounds than the delivery limit of RabbitMQ 4.
    for count in (0..25).map(|round| round * 2) {
        let result = dead_letters.browse(&mut |browser| {
            assert_eq!(browser.total(), 50);
            for expected in &sent[..count] {
                assert_eq!(browser.next()?.map(|dead_letter| dead_letter.message).as_ref(), Some(expected));
            }
            Ok(())
        });
        result.unwrap();
    }
    assert_eq!(all_dead_letters(&*dead_letters), sent);
    assert_empty(&test_queue);
}

fn browsing_removes_only_the_given_dead_letters<Q: TestQueue>() {
    let test_queue = Q::open();
    publish(&test_queue, QueueKind::DeadLetter, (0..10).map(message));
    let dead_letters = test_queue.dead_letters();
    let result = dead_letters.browse(&mut |browser| {
        // Published after the browser was opened, so the browser does not return it.
        publish(&test_queue, QueueKind::DeadLetter, [message(99)]);
        let mut tags = Vec::new();
        while let Some(dead_letter) = browser.next()? {
            browser.mark_for_removal();
            tags.push(dead_letter.tag);
        }
        assert_eq!(tags.len(), 10);
        browser.remove(&[tags[7], tags[2]])?;
        browser.remove(&[tags[3]])
    });
    result.unwrap();
    let remaining = [0, 1, 4, 5, 6, 8, 9, 99].map(message);
    assert_eq!(all_dead_letters(&*dead_letters), remaining);
}

fn a_cancelled_session_delivers_its_last_messages_and_ends<Q: TestQueue>() {
    let test_queue = Q::open();
    publish(&test_queue, QueueKind::Work, (0..20).map(message));
    let mut taken = BTreeSet::new();
    let mut work = |source: &mut dyn contacts::queue::Source| {
        while taken.is_empty() {
            taken.extend(source.take(5, SHORT)?.unwrap().into_iter().map(|delivery| delivery.message.id));
        }
        source.cancel()?;
        while let Some(batch) = source.take(5, SHORT)? {
            taken.extend(batch.into_iter().map(|delivery| delivery.message.id));
        }
        source.acknowledge()
    };
    test_queue.queue().session(100, &mut work).unwrap();
    // The other messages are still in the queue, and no message was taken twice.
    let rest = take(&test_queue, 20 - taken.len());
    taken.extend(rest.into_iter().map(|delivery| delivery.message.id));
    assert_eq!(taken.len(), 20);
    assert_empty(&test_queue);
}

fn parallel_sessions_share_the_messages<Q: TestQueue>() {
    let test_queue = Q::open();
    let total = 400;
    publish(&test_queue, QueueKind::Work, (0..total).map(message));
    let taken: Vec<Vec<String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = test_queue.queue().clone();
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    let mut work = |source: &mut dyn contacts::queue::Source| {
                        let mut empty_batches = 0;
                        while empty_batches < 3 {
                            let batch = source.take(7, SHORT)?.unwrap();
                            empty_batches = if batch.is_empty() { empty_batches + 1 } else { 0 };
                            ids.extend(batch.into_iter().map(|delivery| delivery.message.id));
                            source.acknowledge()?;
                        }
                        Ok(())
                    };
                    queue.session(20, &mut work).unwrap();
                    ids
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let all: Vec<&String> = taken.iter().flatten().collect();
    assert_eq!(all.len(), total, "a message arrived twice or is lost");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), total, "a message arrived twice");
}

fn parallel_publishers_each_get_their_confirms<Q: TestQueue>() {
    let test_queue = Q::open();
    let (callers, each) = (16, 250);
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let publisher = test_queue.publisher().clone();
            scope.spawn(move || {
                let batch = (0..each).map(|number| (QueueKind::Work, message(caller * each + number), Duration::ZERO));
                for result in publisher.publish_all(batch, TIMEOUT) {
                    result.unwrap();
                }
            });
        }
    });
    let ids: BTreeSet<String> =
        take(&test_queue, callers * each).into_iter().map(|delivery| delivery.message.id).collect();
    assert_eq!(ids.len(), callers * each);
    assert_empty(&test_queue);
}

fn large_and_empty_messages_arrive_unchanged<Q: TestQueue>() {
    let test_queue = Q::open();
    // More than one AMQP frame (128 KiB), and an empty body.
    for body in [vec![b'x'; 1 << 20], Vec::new()] {
        let sent = Message { body, ..message(1) };
        publish(&test_queue, QueueKind::Work, [sent.clone()]);
        assert_eq!(take(&test_queue, 1)[0].message, sent);
    }
}

macro_rules! conformance {
    ($module:ident: $test_queue:ty; $($name:ident),* $(,)?) => {
        mod $module {
            $(#[test] fn $name() { super::$name::<$test_queue>(); })*
        }
    };
}

macro_rules! conformance_of_all {
    ($($name:ident),* $(,)?) => {
        conformance! {
            rabbitmq: super::TestRabbitMq;
            $($name),*, acknowledged_messages_are_not_redelivered, messages_survive_a_restart
        }
        conformance! {
            embedded: super::TestEmbedded;
            $($name),*, acknowledged_messages_are_not_redelivered, messages_survive_a_restart
        }
        // A part of a pack cannot be acknowledged.
        conformance! { packed: super::PackedRabbitMq; $($name),* }
    };
}

conformance_of_all! {
    confirmed_messages_arrive_unchanged_and_in_order,
    a_failed_session_returns_its_messages_to_the_queue,
    a_retried_message_arrives_after_its_delay,
    browsed_dead_letters_stay_in_the_queue,
    browsing_removes_only_the_given_dead_letters,
    a_cancelled_session_delivers_its_last_messages_and_ends,
    parallel_sessions_share_the_messages,
    parallel_publishers_each_get_their_confirms,
    large_and_empty_messages_arrive_unchanged,
}

// Tests of RabbitMQ only.

#[test]
fn messages_that_wait_together_are_packed() {
    let broker = Broker::new();
    let settings = BrokerSettings { pack_max: PACK_MAX, ..broker.settings() };
    let rabbit = RabbitMq::new(&settings).unwrap();
    // The messages are in the mailbox before the connection is open.
    let (publisher, _thread) =
        rabbit.publisher(&settings, Health::default().component("queue"), Stop::default()).unwrap();
    let large = Message { body: vec![b'x'; 40_000], ..message(70) };
    let no_json = Message { body: b"{".to_vec(), ..message(71) };
    let sent: Vec<Message> = (0..70).map(message).chain([large, no_json]).chain((72..79).map(message)).collect();
    let batch = sent.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
    assert!(publisher.publish_all(batch, TIMEOUT).iter().all(Result::is_ok));
    let depth = || broker.depth(QueueKind::Work);
    eventually("the queue has the packs and the two other messages", || (depth() == 10 + 2 + 1).then_some(()));
    let test_queue = TestRabbitMq::with_broker(broker, 1);
    let taken = take(&test_queue, sent.len());
    assert_eq!(taken.iter().filter(|delivery| !delivery.packed).count(), 2);
    assert_eq!(taken.into_iter().map(|delivery| delivery.message).collect::<Vec<_>>(), sent);
}

#[test]
fn a_pack_is_acknowledged_or_redelivered_as_a_whole() {
    let broker = Broker::new();
    let settings = BrokerSettings { pack_max: PACK_MAX, ..broker.settings() };
    let rabbit = RabbitMq::new(&settings).unwrap();
    // The messages are in the mailbox before the connection is open, so there are two full packs.
    let (publisher, _thread) =
        rabbit.publisher(&settings, Health::default().component("queue"), Stop::default()).unwrap();
    let sent: Vec<Message> = (0..2 * PACK_MAX).map(message).collect();
    let batch = sent.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
    assert!(publisher.publish_all(batch, TIMEOUT).iter().all(Result::is_ok));
    eventually("the queue has two packs", || (broker.depth(QueueKind::Work) == 2).then_some(()));
    let test_queue = TestRabbitMq::with_broker(broker, 1);
    // All but the last message are taken and acknowledged.
    let part = take(&test_queue, 2 * PACK_MAX - 1);
    assert!(part.iter().all(|delivery| delivery.packed && !delivery.is_redelivered_pack()));
    let again = take(&test_queue, PACK_MAX);
    assert!(again.iter().all(Delivery::is_redelivered_pack));
    assert_eq!(again.into_iter().map(|delivery| delivery.message).collect::<Vec<_>>(), sent[PACK_MAX..]);
    assert_empty(&test_queue);
}

#[test]
fn every_message_of_an_unroutable_pack_is_an_error() {
    let broker = Broker::new();
    let test_queue = TestRabbitMq::with_broker(broker, PACK_MAX);
    test_queue.broker.delete_queue(QueueKind::Work);
    let batch = (0..40).map(|number| (QueueKind::Work, message(number), Duration::ZERO));
    let results = test_queue.publisher.publish_all(batch, TIMEOUT);
    assert!(results.contains(&Err(PublishError::Unroutable)), "{results:?}");
    // The queue is declared again at the first return, so the last messages may be confirmed.
    let confirmed = results.iter().filter(|result| result.is_ok()).count();
    if confirmed > 0 {
        take(&test_queue, confirmed);
    }
    assert_empty(&test_queue);
}

#[test]
fn an_unroutable_message_is_an_error_and_the_deleted_queue_is_declared_again() {
    let test_queue = TestRabbitMq::open();
    test_queue.broker.delete_queue(QueueKind::Work);
    let publish_one = || test_queue.publisher.publish_all([(QueueKind::Work, message(1), Duration::ZERO)], TIMEOUT);
    assert_eq!(publish_one(), [Err(PublishError::Unroutable)]);
    eventually("a message is confirmed again", || publish_one()[0].is_ok().then_some(()));
    assert_eq!(take(&test_queue, 1)[0].message, message(1));
}

#[test]
fn more_dead_letters_than_one_consumer_can_hold_are_all_browsed_in_order() {
    let test_queue = TestRabbitMq::open();
    let small = |number: usize| Message { id: number.to_string(), ..Message::default() };
    let count = usize::from(u16::MAX) + 3_000;
    for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
        publish(&test_queue, QueueKind::DeadLetter, chunk.iter().map(|number| small(*number)));
    }
    let dead_letters = test_queue.dead_letters();
    let result = dead_letters.browse(&mut |browser| {
        let mut last = Vec::new();
        for number in 0..count {
            let dead_letter = browser.next()?.unwrap();
            assert_eq!(dead_letter.message.id, number.to_string());
            if number >= count - 2 {
                browser.mark_for_removal();
                last.push(dead_letter.tag);
            }
        }
        assert_eq!(browser.next()?, None);
        browser.remove(&last)
    });
    result.unwrap();
    // All other messages are back in the queue, unchanged and in order.
    let result = dead_letters.browse(&mut |browser| {
        for number in 0..count - 2 {
            assert_eq!(browser.next()?.unwrap().message.id, number.to_string());
        }
        assert_eq!(browser.next()?, None);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn retries_work_again_after_the_retry_queue_or_the_work_queue_was_deleted() {
    let test_queue = TestRabbitMq::open();
    for deleted in [QueueKind::Retry, QueueKind::Work, QueueKind::Retry, QueueKind::Retry] {
        publish_delayed(&test_queue, QueueKind::Retry, [message(1)], SHORT);
        assert_eq!(take(&test_queue, 1).len(), 1);
        test_queue.broker.delete_queue(deleted);
        let retry = || test_queue.publisher.publish_all([(QueueKind::Retry, message(2), SHORT)], TIMEOUT);
        eventually("a message is confirmed again", || retry()[0].is_ok().then_some(()));
        assert_eq!(take(&test_queue, 1).len(), 1);
    }
}

// Test of the embedded queue only.

/// The schema as the first release created it, word for word. Nothing migrates the file of the queue.
const FIRST_SCHEMA: &str = "
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        lane INTEGER NOT NULL,
        due_millis INTEGER NOT NULL,
        returned INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        headers TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    INSERT INTO message VALUES
        (1, 0, 0, 0, 'waits', 'contact.insert', 1700000000, '{}', x'7b7d'),
        (2, 2, 0, 1, 'is dead', 'contact.insert', 1700000000, '{}', x'7b7d');";

#[test]
fn a_queue_file_of_the_first_release_is_still_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let mut file = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    file.batch_execute(FIRST_SCHEMA).unwrap();
    drop(file);
    let test_queue = TestEmbedded::with_folder(folder);
    publish(&test_queue, QueueKind::Work, [message(1)]);
    let ids: Vec<String> = take(&test_queue, 2).into_iter().map(|delivery| delivery.message.id).collect();
    assert_eq!(ids, ["waits", "id-1"]);
    assert_eq!(all_dead_letters(&*test_queue.dead_letters())[0].id, "is dead");
}

/// The broker does not notify a consumer if its queue is deleted and immediately declared again.
#[test]
fn a_session_ends_when_its_queue_is_deleted() {
    let test_queue = TestRabbitMq::open();
    let result = test_queue.queue().session(100, &mut |source| {
        test_queue.broker.delete_queue(QueueKind::Work);
        let publish_one = || test_queue.publisher.publish_all([(QueueKind::Work, message(1), Duration::ZERO)], TIMEOUT);
        eventually("a message is confirmed again", || publish_one()[0].is_ok().then_some(()));
        eventually("the session ends", || {
            source.take(10, SHORT).map_or(Some(()), |taken| taken.is_none().then_some(()))
        });
        Ok(())
    });
    assert!(matches!(result, Ok(()) | Err(QueueError::Lost(_))), "{result:?}");
    assert_eq!(take(&test_queue, 1)[0].message, message(1));
}

#[test]
fn a_queue_with_other_arguments_is_a_misconfiguration() {
    let broker = Broker::new();
    let mut connection = broker.connect();
    let channel = connection.open_channel(None).unwrap();
    let options = amiquip::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(broker.queue_name(QueueKind::Work), options).unwrap();
    let rabbit = RabbitMq::new(&broker.settings()).unwrap();
    let error = rabbit.session(10, &mut |_source| Ok(())).unwrap_err();
    let QueueError::Misconfigured(text) = error else { panic!("{error:?}") };
    assert!(text.contains(&broker.queue_name(QueueKind::Work)) && text.contains("other arguments"), "{text}");
}

#[test]
fn without_a_broker_every_publish_fails_before_its_deadline() {
    let mut settings = contacts::config::BrokerSettings::default();
    // A port on which nothing listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    settings.url = contacts::config::Url::from(format!("amqp://guest:hunter2@127.0.0.1:{port}/%2f").as_str());
    settings.max_waiting = 10;
    settings.max_in_flight = 10;
    let rabbit = RabbitMq::new(&settings).unwrap();
    let component = Health::default().component("queue");
    let (publisher, thread) = rabbit.publisher(&settings, component.clone(), Stop::default()).unwrap();
    let batch = (0..100).map(|number| (QueueKind::Work, message(number), Duration::ZERO));
    let results = publisher.publish_all(batch, SHORT);
    assert!(results.iter().all(|result| matches!(result, Err(PublishError::Disconnected | PublishError::Full))));
    assert!(results.contains(&Err(PublishError::Disconnected)) && results.contains(&Err(PublishError::Full)));
    let reason = component.reason().unwrap();
    assert!(reason.contains("127.0.0.1") && !reason.contains("hunter2"), "{reason}");
    drop(publisher);
    thread.join().unwrap();
}

#[test]
fn the_error_for_a_wrong_password_does_not_contain_the_password() {
    let broker = Broker::new();
    let mut settings = broker.settings();
    let mut url = url::Url::parse(&broker.url).unwrap();
    url.set_password(Some("hunter2")).unwrap();
    settings.url = contacts::config::Url::from(url.as_str());
    let rabbit = RabbitMq::new(&settings).unwrap();
    let error = rabbit.session(10, &mut |_source| Ok(())).unwrap_err().to_string();
    assert!(error.contains("refused the user name or password") && !error.contains("hunter2"), "{error}");
}
