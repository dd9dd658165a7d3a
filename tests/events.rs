//! Tests of the events for other services: each applied change has one, in the order of its contact, also after a crash.

use crate::stores::{PostgresDatabase, SqliteDatabase, TestDatabase, apply, migrated, on_both_databases};
use crate::support::{Broker, Process, Stack, create, delete, eventually, new_contact, start_standalone, update};
use amiquip::{
    AmqpValue, Connection, Consumer, ConsumerMessage, ConsumerOptions, FieldTable, QueueDeclareOptions,
    QueueDeleteOptions,
};
use contacts::domain::{Command, ContactId, OperationId};
use contacts::message::Message;
use contacts::store::Store;
use contacts::store::postgres::Postgres;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const EVENTS: (&str, &str) = ("CONTACTS__EVENTS__ENABLED", "true");

/// Calls `work` with everything that arrives at a queue which is bound as another service would bind it.
fn with_subscriber(broker: &Broker, keys: &[&str], work: impl FnOnce(&Subscriber<'_>)) {
    let mut connection = broker.connect();
    let channel = connection.open_channel(None).unwrap();
    let exchange = broker.declare_event_exchange(&channel);
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("", options).unwrap();
    for key in keys {
        channel.queue_bind(queue.name(), &exchange, *key, Default::default()).unwrap();
    }
    let consumer =
        channel.basic_consume(queue.name(), ConsumerOptions { no_ack: true, ..ConsumerOptions::default() }).unwrap();
    work(&Subscriber { consumer });
    drop(channel);
    let _: Result<(), _> = Connection::close(connection);
}

struct Subscriber<'a> {
    consumer: Consumer<'a>,
}

/// An event as it arrived: its routing key and its body.
type Received = (String, Value);

impl Subscriber<'_> {
    fn next(&self, wait: Duration) -> Option<Received> {
        match self.consumer.receiver().recv_timeout(wait).ok()? {
            ConsumerMessage::Delivery(delivery) => {
                assert_eq!(delivery.properties.content_type().as_deref(), Some("application/cloudevents+json"));
                let body: Value = serde_json::from_slice(&delivery.body).unwrap();
                assert_eq!(delivery.properties.message_id().as_deref(), body["id"].as_str());
                Some((delivery.routing_key, body))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the event of each of these operations has arrived. Returns all that arrived, in order.
    fn wait_for(&self, operations: impl IntoIterator<Item = OperationId>) -> Vec<Received> {
        let mut missing: BTreeSet<String> = operations.into_iter().map(|id| id.to_string()).collect();
        let mut received = Vec::new();
        eventually("all events arrive", || {
            while let Some(event) = self.next(Duration::from_millis(50)) {
                missing.remove(event.1["id"].as_str().unwrap());
                received.push(event);
            }
            missing.is_empty().then_some(())
        });
        received
    }
}

/// The first event of each operation, by contact.
fn first_events(received: &[Received]) -> BTreeMap<String, Vec<String>> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let (mut seen, mut by_contact) = (BTreeSet::new(), BTreeMap::<_, Vec<String>>::new());
    for (_, event) in received {
        if seen.insert(text(event, "id")) {
            by_contact.entry(text(event, "subject")).or_default().push(text(event, "id"));
        }
    }
    by_contact
}

/// Contacts, each with updates in a row.
fn chains(contacts: usize, updates: i64) -> Vec<Command> {
    let ids: Vec<ContactId> = (0..contacts).map(|_| new_contact()).collect();
    let creates = ids.iter().map(|id| create(*id, "Ana"));
    let updates = (2..updates + 2).flat_map(|stamp| ids.iter().map(move |id| update(*id, stamp, "Ana Souza")));
    creates.chain(updates).collect()
}

fn store(stack: &Stack) -> Postgres {
    Postgres::new(&stack.database.settings()).unwrap()
}

/// Waits until a process publishes the events: the first start decides where they begin.
fn wait_for_publisher(process: &Process) {
    eventually("the process publishes", || {
        (!process.log_lines("this process publishes the events").is_empty()).then_some(())
    });
}

#[test]
fn each_applied_change_has_an_event_without_personal_data() {
    let stack = Stack::new();
    let mut consumer = stack.start_with("consumer", &[EVENTS]);
    consumer.wait_until_ready();
    wait_for_publisher(&consumer);
    // A subscriber binds its queue before the first event.
    eventually("the exchange exists", || stack.broker.has_event_exchange().then_some(()));
    with_subscriber(&stack.broker, &["contact.*"], |subscriber| {
        let (ana, other) = (new_contact(), create(new_contact(), "Bia"));
        let [created, changed, deleted] = [create(ana, "Ana"), update(ana, 2, "Ana Marked"), delete(ana, 3)];
        let late = update(ana, 1, "Ana Late");
        let database = store(&stack);
        for command in [&created, &changed, &deleted, &late, &other] {
            // One after the other, so that none supersedes another in one batch.
            stack.publish([Message::new(command)]);
            eventually("it is applied", || database.operation(command.operation_id).unwrap());
        }
        let received = subscriber.wait_for([&created, &changed, &deleted, &other].map(|command| command.operation_id));
        let keys: Vec<&str> = received.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["contact.created", "contact.updated", "contact.deleted", "contact.created"]);
        for (key, event) in &received {
            assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!(key)));
            assert!(!event.to_string().contains("Ana") && !event.to_string().contains('@'), "{event}");
        }
        let sequences: Vec<&str> = received.iter().map(|(_, event)| event["sequence"].as_str().unwrap()).collect();
        assert!(sequences.is_sorted(), "{sequences:?}");
        assert_eq!(
            received[1].1["data"],
            json!({
                "contact_id": ana.to_string(), "version": changed.operation_id.to_string(), "operation": "update",
            })
        );
        let metrics = consumer.admin().get("/metrics").body;
        assert!(metrics.contains("contacts_events_published_total 4"), "{metrics}");
        consumer.terminate();
    });
}

#[test]
fn events_have_the_contact_if_the_setting_says_so() {
    let stack = Stack::new();
    with_subscriber(&stack.broker, &["contact.created"], |subscriber| {
        let settings = [EVENTS, ("CONTACTS__EVENTS__INCLUDE_CONTACT", "true"), ("CONTACTS__EVENTS__SOURCE", "/crm")];
        let mut consumer = stack.start_with("consumer", &settings);
        wait_for_publisher(&consumer);
        let created = create(new_contact(), "Ana Marked");
        stack.publish([Message::new(&created)]);
        let (_, event) = subscriber.wait_for([created.operation_id]).remove(0);
        assert_eq!((&event["source"], &event["data"]["contact"]["name"]), (&json!("/crm"), &json!("Ana Marked")));
        consumer.wait_until_ready();
    });
}

#[test]
fn no_event_is_missing_or_out_of_order_after_crashes() {
    let stack = Stack::new();
    with_subscriber(&stack.broker, &["#"], |subscriber| {
        // The first start decides where the events begin.
        assert!(store(&stack).event_log().unwrap().is_some());
        let commands = chains(20, 40);
        let mut consumers: Vec<Process> = (0..2).map(|_| stack.start_with("consumer", &[EVENTS])).collect();
        for (round, part) in commands.chunks(commands.len() / 6).enumerate() {
            stack.publish(part.iter().map(Message::new));
            let victim = round % 2;
            consumers[victim].kill();
            consumers[victim] = stack.start_with("consumer", &[EVENTS]);
        }
        let database = store(&stack);
        let ids: Vec<OperationId> = commands.iter().map(|command| command.operation_id).collect();
        eventually("all are finished", || (database.operations(&ids).unwrap().len() == ids.len()).then_some(()));
        // An update that arrived late is superseded, and has no event.
        let (mut applied, mut place) = (Vec::new(), None);
        loop {
            let page = database.changes(place, 1_000, false).unwrap().unwrap();
            applied.extend(page.changes.iter().map(|change| (change.contact_id, change.at.operation)));
            place = Some(page.last);
            if !page.more {
                break;
            }
        }
        let received = subscriber.wait_for(applied.iter().map(|(_, operation)| *operation));
        let mut expected = BTreeMap::<_, Vec<String>>::new();
        for (contact, operation) in applied {
            expected.entry(contact.to_string()).or_default().push(operation.to_string());
        }
        assert_eq!(first_events(&received), expected);
    });
}

#[test]
fn a_full_queue_stops_the_events_and_repeats_one_for_the_others() {
    let stack = Stack::new();
    with_subscriber(&stack.broker, &["contact.*"], |subscriber| {
        let (mut other, database) = (stack.broker.connect(), store(&stack));
        let channel = other.open_channel(None).unwrap();
        let mut arguments = FieldTable::new();
        arguments.insert("x-max-length".into(), AmqpValue::LongInt(1));
        arguments.insert("x-overflow".into(), AmqpValue::LongString("reject-publish".into()));
        let options = QueueDeclareOptions { exclusive: true, arguments, ..QueueDeclareOptions::default() };
        let full = channel.queue_declare("", options).unwrap();
        let exchange = stack.broker.declare_event_exchange(&channel);
        channel.queue_bind(full.name(), exchange, "contact.*", FieldTable::new()).unwrap();

        // The events of these begin here, and are due together.
        drop(database.event_log().unwrap().unwrap());
        let commands: Vec<Command> = (0..5).map(|_| create(new_contact(), "Ana")).collect();
        commands.iter().for_each(|command| drop(apply(&database, &[command])));
        let ids: Vec<String> = commands.iter().map(|command| command.operation_id.to_string()).collect();
        let wait_for_repeats = || {
            let mut received: Vec<String> = Vec::new();
            eventually("one event comes again and again", || {
                let (_, event) = subscriber.next(Duration::from_millis(50))?;
                received.push(event["id"].as_str().unwrap().to_owned());
                matches!(&received[..], [.., a, b, c] if a == b && b == c).then_some(received.clone())
            })
        };

        let mut consumer = stack.start_with("consumer", &[EVENTS]);
        let received = wait_for_repeats();
        let (first, repeats) = received.split_at(5);
        let repeated = &repeats[0];
        assert!(first == ids && repeats.iter().all(|id| id == repeated), "{received:?} of {ids:?}");
        // Another process goes on with this event, too.
        consumer.kill();
        let _consumer = stack.start_with("consumer", &[EVENTS]);
        let received = wait_for_repeats();
        assert!(received.iter().all(|id| id == repeated), "{received:?} of {ids:?}");

        full.delete(QueueDeleteOptions::default()).unwrap();
        subscriber.wait_for(commands[2..].iter().map(|command| command.operation_id));
    });
}

#[test]
fn events_wait_while_the_broker_is_away_and_changes_do_not() {
    // Standalone applies changes without a broker. Port 1 has none.
    let folder = tempfile::tempdir().unwrap();
    let settings = [EVENTS, ("CONTACTS__BROKER__URL", "amqp://guest:guest@127.0.0.1:1/%2f")];
    let mut process = start_standalone(folder.path(), &settings);
    let client = process.client();
    let operation = client.create("Ana").text("operation_id");
    assert_eq!(client.finished_operation(&operation)["status"], "applied");
    let admin = process.admin();
    eventually("the metric shows that its event is late", || {
        let metrics = admin.get("/metrics").body;
        let lag = metrics.lines().find_map(|line| line.strip_prefix("contacts_events_lag_seconds "))?;
        (lag.parse::<f64>().unwrap() > 0.0).then_some(())
    });
    process.terminate();

    let broker = Broker::new();
    with_subscriber(&broker, &["contact.*"], |subscriber| {
        let settings = [
            EVENTS,
            ("CONTACTS__BROKER__URL", broker.url.as_str()),
            ("CONTACTS__BROKER__PREFIX", broker.prefix.as_str()),
        ];
        let mut process = start_standalone(folder.path(), &settings);
        process.wait_until_ready();
        let received = subscriber.wait_for([OperationId::new(operation.parse().unwrap())]);
        assert_eq!(received.len(), 1);
        process.terminate();
    });
}

fn one_process_has_the_events_and_goes_on_where_the_last_one_stopped<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let commands = chains(1, 3);
    apply(store, &[&commands[0]]);
    {
        let mut log = store.event_log().unwrap().unwrap();
        // What was applied before the first start has no event.
        assert!(log.next(10, false).unwrap().unwrap().changes.is_empty());
        apply(store, &[&commands[1]]);
        apply(store, &[&commands[2]]);
        let page = log.next(1, false).unwrap().unwrap();
        assert_eq!((page.changes[0].at.operation, page.more), (commands[1].operation_id, true));
        log.advance(page.last).unwrap();
        // Not recorded: it is published again.
        assert_eq!(log.next(1, false).unwrap().unwrap().changes[0].at.operation, commands[2].operation_id);
    }
    let mut log = store.event_log().unwrap().unwrap();
    assert_eq!(log.next(9, false).unwrap().unwrap().changes[0].at.operation, commands[2].operation_id);
    // Removed before it was published: the log says so, and begins with the oldest that is left.
    apply(store, &[&commands[3]]);
    database.execute(
        "DELETE FROM operations WHERE position = (SELECT min(position) FROM operations WHERE position > \
                      (SELECT position FROM events))",
    );
    assert_eq!(log.next(9, false).unwrap(), None);
    log.begin_again().unwrap();
    let page = log.next(9, false).unwrap().unwrap();
    assert_eq!(page.changes.iter().map(|change| change.at.operation).collect::<Vec<_>>(), [commands[3].operation_id]);
}

on_both_databases! {
    one_process_has_the_events_and_goes_on_where_the_last_one_stopped,
}

#[test]
fn a_second_process_waits_until_the_first_one_has_released_the_events() {
    let stack = Stack::new();
    let (first, second) = (store(&stack), store(&stack));
    let log = first.event_log().unwrap();
    assert!(log.is_some());
    assert!(second.event_log().unwrap().is_none());
    drop(log);
    assert!(second.event_log().unwrap().is_some());
}
