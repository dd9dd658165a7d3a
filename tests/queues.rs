//! What every queue must do, whatever carries the messages: one suite, run against each implementation.

use crate::support::{Broker, all_letters, eventually};
use contacts::message::{Header, Message};
use contacts::queue::embedded::{Beside, Embedded};
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{DeadLetterQueue, Delivery, PublishError, Publisher, Queue, QueueError, QueueKind};
use contacts::stop::Stop;
use contacts::telemetry::Health;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// A queue under test, that can be closed and opened again.
trait Subject: Sized {
    fn open() -> Self;
    fn queue(&self) -> &Arc<dyn Queue>;
    fn publisher(&self) -> &Publisher;
    fn dead_letters(&self) -> Box<dyn DeadLetterQueue>;
    fn reopen(self) -> Self;
}

struct OnRabbitMq {
    broker: Broker,
    queue: Arc<dyn Queue>,
    publisher: Publisher,
}

impl OnRabbitMq {
    fn on(broker: Broker) -> Self {
        let rabbit = RabbitMq::new(&broker.settings()).unwrap();
        let component = Health::default().component("queue");
        let (publisher, _thread) = rabbit.publisher(&broker.settings(), component.clone(), Stop::default()).unwrap();
        eventually("connected", || component.reason().is_none().then_some(()));
        Self { broker, queue: Arc::new(rabbit), publisher }
    }
}

impl Subject for OnRabbitMq {
    fn open() -> Self {
        Self::on(Broker::new())
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
        Self::on(self.broker)
    }
}

struct OnFile {
    folder: TempDir,
    queue: Arc<dyn Queue>,
    publisher: Publisher,
    thread: JoinHandle<()>,
}

impl OnFile {
    fn on(folder: TempDir) -> Self {
        let component = Health::default().component("queue");
        let (queue, publisher, thread) = Embedded::open(folder.path(), 10_000, component, &Stop::default()).unwrap();
        Self { folder, queue: Arc::new(queue), publisher, thread }
    }
}

impl Subject for OnFile {
    fn open() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }
    fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }
    fn publisher(&self) -> &Publisher {
        &self.publisher
    }
    fn dead_letters(&self) -> Box<dyn DeadLetterQueue> {
        let component = Health::default().component("queue");
        Box::new(Beside::open(self.folder.path(), 10, component, &Stop::default()).unwrap().0)
    }
    fn reopen(self) -> Self {
        let Self { folder, queue, publisher, thread } = self;
        drop((queue, publisher));
        thread.join().unwrap();
        Self::on(folder)
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
fn publish(subject: &impl Subject, lane: QueueKind, messages: impl IntoIterator<Item = Message>) {
    publish_delayed(subject, lane, messages, Duration::ZERO);
}

#[track_caller]
fn publish_delayed(
    subject: &impl Subject,
    lane: QueueKind,
    messages: impl IntoIterator<Item = Message>,
    delay: Duration,
) {
    let batch = messages.into_iter().map(|message| (lane, message, delay));
    for result in subject.publisher().publish_all(batch, TIMEOUT) {
        result.unwrap();
    }
}

/// Takes `count` messages in one session and acknowledges them.
#[track_caller]
fn take(subject: &impl Subject, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let mut work = |source: &mut dyn contacts::queue::Source| {
        let started = Instant::now();
        while taken.len() < count {
            assert!(started.elapsed() < TIMEOUT, "only {} of {count} came", taken.len());
            taken.extend(source.take(count - taken.len(), SHORT)?.unwrap());
        }
        source.acknowledge()
    };
    subject.queue().session(u16::try_from(count).unwrap(), &mut work).unwrap();
    taken
}

#[track_caller]
fn assert_empty(subject: &impl Subject) {
    let mut work = |source: &mut dyn contacts::queue::Source| {
        let taken = source.take(10, SHORT)?.unwrap();
        assert!(taken.is_empty(), "{taken:?}");
        Ok(())
    };
    subject.queue().session(100, &mut work).unwrap();
}

fn what_was_confirmed_arrives_as_it_was_in_order<S: Subject>() {
    let subject = S::open();
    let sent: Vec<Message> = (0..50).map(message).collect();
    publish(&subject, QueueKind::Work, sent.clone());
    let taken = take(&subject, 50);
    assert!(taken.iter().all(|delivery| delivery.redeliveries == 0));
    assert_eq!(taken.into_iter().map(|delivery| delivery.message).collect::<Vec<_>>(), sent);
    assert_empty(&subject);
}

fn what_was_not_acknowledged_comes_again<S: Subject>() {
    let subject = S::open();
    publish(&subject, QueueKind::Work, (0..6).map(message));
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
    subject.queue().session(100, &mut work).unwrap();
    let again = take(&subject, 3);
    let mut ids: Vec<(String, u32)> =
        again.iter().map(|delivery| (delivery.message.id.clone(), delivery.redeliveries.min(1))).collect();
    ids.sort();
    assert_eq!(ids[..2], [("id-3".into(), 1), ("id-4".into(), 1)]);
    assert_eq!(ids[2].0, "id-5");
    assert_empty(&subject);
}

fn a_session_that_fails_gives_its_messages_back<S: Subject>() {
    let subject = S::open();
    publish(&subject, QueueKind::Work, [message(1)]);
    let mut work = |source: &mut dyn contacts::queue::Source| {
        while source.take(10, SHORT)?.unwrap().is_empty() {}
        Err(QueueError::Lost("on purpose".into()))
    };
    assert!(matches!(subject.queue().session(100, &mut work), Err(QueueError::Lost(_))));
    assert_eq!(take(&subject, 1)[0].message, message(1));
}

fn messages_outlive_a_reopening<S: Subject>() {
    let subject = S::open();
    publish(&subject, QueueKind::Work, (0..4).map(message));
    publish(&subject, QueueKind::DeadLetter, [message(9)]);
    assert_eq!(take(&subject, 2).len(), 2);
    let subject = subject.reopen();
    let ids: Vec<String> = take(&subject, 2).into_iter().map(|delivery| delivery.message.id).collect();
    assert_eq!(ids, ["id-2", "id-3"]);
    assert_empty(&subject);
    assert_eq!(all_letters(&*subject.dead_letters()), [message(9)]);
}

fn a_retry_comes_back_after_its_delay_and_not_before<S: Subject>() {
    let subject = S::open();
    let delay = Duration::from_millis(700);
    let started = Instant::now();
    publish_delayed(&subject, QueueKind::Retry, (0..3).map(message), delay);
    let taken = take(&subject, 3);
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
    let mut taken: Vec<Message> = taken.into_iter().map(|delivery| delivery.message).collect();
    taken.sort_by(|a, b| a.id.cmp(&b.id));
    for (number, mut taken) in taken.into_iter().enumerate() {
        // A broker may add headers of its own.
        let ours = message(number);
        let mut kept = contacts::message::Headers::default();
        for (name, value) in taken.headers.iter().filter(|(name, _)| ours.headers.iter().any(|(our, _)| our == *name)) {
            kept.set(name, value.clone());
        }
        taken.headers = kept;
        assert_eq!(taken, ours);
    }
    assert_empty(&subject);
}

fn dead_letters_can_be_looked_at_and_stay<S: Subject>() {
    let subject = S::open();
    let sent: Vec<Message> = (0..50).map(message).collect();
    publish(&subject, QueueKind::DeadLetter, sent.clone());
    let letters = subject.dead_letters();
    // More often than RabbitMQ 4 lets a message come back by default.
    for shown in (0..25).map(|round| round * 2) {
        let look = letters.browse(&mut |letters| {
            assert_eq!(letters.total(), 50);
            for expected in &sent[..shown] {
                assert_eq!(letters.next()?.map(|letter| letter.message).as_ref(), Some(expected));
            }
            Ok(())
        });
        look.unwrap();
    }
    assert_eq!(all_letters(&*letters), sent);
    assert_empty(&subject);
}

fn a_look_removes_what_it_is_told_to_and_no_more<S: Subject>() {
    let subject = S::open();
    publish(&subject, QueueKind::DeadLetter, (0..10).map(message));
    let letters = subject.dead_letters();
    let look = letters.browse(&mut |letters| {
        // Not there when the look began.
        publish(&subject, QueueKind::DeadLetter, [message(99)]);
        let mut places = Vec::new();
        while let Some(letter) = letters.next()? {
            letters.mark_for_removal();
            places.push(letter.tag);
        }
        assert_eq!(places.len(), 10);
        letters.remove(&[places[7], places[2]])?;
        letters.remove(&[places[3]])
    });
    look.unwrap();
    let left = [0, 1, 4, 5, 6, 8, 9, 99].map(message);
    assert_eq!(all_letters(&*letters), left);
}

fn a_cancelled_session_runs_dry_and_ends<S: Subject>() {
    let subject = S::open();
    publish(&subject, QueueKind::Work, (0..20).map(message));
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
    subject.queue().session(100, &mut work).unwrap();
    // What it did not take is still there, and nothing was taken twice.
    let rest = take(&subject, 20 - taken.len());
    taken.extend(rest.into_iter().map(|delivery| delivery.message.id));
    assert_eq!(taken.len(), 20);
    assert_empty(&subject);
}

fn sessions_side_by_side_share_the_messages<S: Subject>() {
    let subject = S::open();
    let total = 400;
    publish(&subject, QueueKind::Work, (0..total).map(message));
    let taken: Vec<Vec<String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = subject.queue().clone();
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    let mut work = |source: &mut dyn contacts::queue::Source| {
                        let mut quiet = 0;
                        while quiet < 3 {
                            let batch = source.take(7, SHORT)?.unwrap();
                            quiet = if batch.is_empty() { quiet + 1 } else { 0 };
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
    assert_eq!(all.len(), total, "nothing twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), total, "nothing lost");
}

fn many_publish_at_once_and_each_is_answered<S: Subject>() {
    let subject = S::open();
    let (callers, each) = (16, 250);
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let publisher = subject.publisher().clone();
            scope.spawn(move || {
                let batch = (0..each).map(|number| (QueueKind::Work, message(caller * each + number), Duration::ZERO));
                for result in publisher.publish_all(batch, TIMEOUT) {
                    result.unwrap();
                }
            });
        }
    });
    let ids: BTreeSet<String> =
        take(&subject, callers * each).into_iter().map(|delivery| delivery.message.id).collect();
    assert_eq!(ids.len(), callers * each);
    assert_empty(&subject);
}

fn the_largest_message_passes_unharmed<S: Subject>() {
    let subject = S::open();
    // More than one AMQP frame (128 KiB), and nothing at all.
    for body in [vec![b'x'; 1 << 20], Vec::new()] {
        let sent = Message { body, ..message(1) };
        publish(&subject, QueueKind::Work, [sent.clone()]);
        assert_eq!(take(&subject, 1)[0].message, sent);
    }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod rabbitmq {
            $(#[test] fn $name() { super::$name::<super::OnRabbitMq>(); })*
        }
        mod embedded {
            $(#[test] fn $name() { super::$name::<super::OnFile>(); })*
        }
    };
}

conformance! {
    what_was_confirmed_arrives_as_it_was_in_order,
    what_was_not_acknowledged_comes_again,
    a_session_that_fails_gives_its_messages_back,
    messages_outlive_a_reopening,
    a_retry_comes_back_after_its_delay_and_not_before,
    dead_letters_can_be_looked_at_and_stay,
    a_look_removes_what_it_is_told_to_and_no_more,
    a_cancelled_session_runs_dry_and_ends,
    sessions_side_by_side_share_the_messages,
    many_publish_at_once_and_each_is_answered,
    the_largest_message_passes_unharmed,
}

// What only a broker can do to us.

#[test]
fn a_message_that_no_queue_takes_is_refused_and_the_queue_is_made_again() {
    let subject = OnRabbitMq::open();
    subject.broker.delete_queue(QueueKind::Work);
    let one = || subject.publisher.publish_all([(QueueKind::Work, message(1), Duration::ZERO)], TIMEOUT);
    assert_eq!(one(), [Err(PublishError::Unroutable)]);
    eventually("published again", || one()[0].is_ok().then_some(()));
    assert_eq!(take(&subject, 1)[0].message, message(1));
}

#[test]
fn more_letters_than_one_consumer_can_hold_are_all_shown_in_order() {
    let subject = OnRabbitMq::open();
    let small = |number: usize| Message { id: number.to_string(), ..Message::default() };
    let count = usize::from(u16::MAX) + 3_000;
    for some in (0..count).collect::<Vec<_>>().chunks(1_000) {
        publish(&subject, QueueKind::DeadLetter, some.iter().map(|number| small(*number)));
    }
    let letters = subject.dead_letters();
    let look = letters.browse(&mut |letters| {
        let mut last = Vec::new();
        for number in 0..count {
            let letter = letters.next()?.unwrap();
            assert_eq!(letter.message.id, number.to_string());
            if number >= count - 2 {
                letters.mark_for_removal();
                last.push(letter.tag);
            }
        }
        assert_eq!(letters.next()?, None);
        letters.remove(&last)
    });
    look.unwrap();
    // All others went back as they were.
    let look = letters.browse(&mut |letters| {
        for number in 0..count - 2 {
            assert_eq!(letters.next()?.unwrap().message.id, number.to_string());
        }
        assert_eq!(letters.next()?, None);
        Ok(())
    });
    look.unwrap();
}

#[test]
fn retries_come_back_after_their_queue_or_their_target_was_deleted() {
    let subject = OnRabbitMq::open();
    for deleted in [QueueKind::Retry, QueueKind::Work, QueueKind::Retry, QueueKind::Retry] {
        publish_delayed(&subject, QueueKind::Retry, [message(1)], SHORT);
        assert_eq!(take(&subject, 1).len(), 1);
        subject.broker.delete_queue(deleted);
        let retry = || subject.publisher.publish_all([(QueueKind::Retry, message(2), SHORT)], TIMEOUT);
        eventually("published again", || retry()[0].is_ok().then_some(()));
        assert_eq!(take(&subject, 1).len(), 1);
    }
}

/// The broker says nothing to a consumer whose queue another made again at once.
#[test]
fn a_session_does_not_outlive_its_queue() {
    let subject = OnRabbitMq::open();
    let ended = subject.queue().session(100, &mut |source| {
        subject.broker.delete_queue(QueueKind::Work);
        let one = || subject.publisher.publish_all([(QueueKind::Work, message(1), Duration::ZERO)], TIMEOUT);
        eventually("published again", || one()[0].is_ok().then_some(()));
        eventually("the session ends", || {
            source.take(10, SHORT).map_or(Some(()), |taken| taken.is_none().then_some(()))
        });
        Ok(())
    });
    assert!(matches!(ended, Ok(()) | Err(QueueError::Lost(_))), "{ended:?}");
    assert_eq!(take(&subject, 1)[0].message, message(1));
}

#[test]
fn queues_of_other_arguments_are_one_clear_error() {
    let broker = Broker::new();
    let mut connection = broker.connect();
    let channel = connection.open_channel(None).unwrap();
    let options = amiquip::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(broker.queue(QueueKind::Work), options).unwrap();
    let rabbit = RabbitMq::new(&broker.settings()).unwrap();
    let error = rabbit.session(10, &mut |_source| Ok(())).unwrap_err();
    let QueueError::Misconfigured(text) = error else { panic!("{error:?}") };
    assert!(text.contains(&broker.queue(QueueKind::Work)) && text.contains("other arguments"), "{text}");
}

#[test]
fn without_a_broker_every_publication_is_answered_by_its_deadline() {
    let mut settings = contacts::config::BrokerSettings::default();
    // A port that was free a moment ago.
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
fn a_wrong_password_is_said_without_being_shown() {
    let broker = Broker::new();
    let mut settings = broker.settings();
    let mut url = url::Url::parse(&broker.url).unwrap();
    url.set_password(Some("hunter2")).unwrap();
    settings.url = contacts::config::Url::from(url.as_str());
    let rabbit = RabbitMq::new(&settings).unwrap();
    let error = rabbit.session(10, &mut |_source| Ok(())).unwrap_err().to_string();
    assert!(error.contains("refused the user name or password") && !error.contains("hunter2"), "{error}");
}
