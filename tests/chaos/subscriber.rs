//! Another service that reads the events during a round. It has a queue of its own, takes one event after the other, and
//! connects again after each fault. At the end it must have an event of every applied operation, as `docs/EVENTS.md` promises.

use super::cluster::Cluster;
use crate::support::{Proxy, host_and_port};
use amiquip::{Connection, ConsumerMessage, ConsumerOptions, Delivery};
use contacts::config::Url;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// After this time without an answer or an event, the subscriber connects again.
const MAX_SILENCE: Duration = Duration::from_secs(4);
/// How long the events may take after the last operation is finished. The right to publish of a process that is gone without a
/// word is free after about a minute.
const MAX_DELAY: Duration = Duration::from_secs(75);
/// How many events are on their way to the subscriber and not acknowledged. They come again after a fault.
const PREFETCH: u16 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// An event as it arrived.
#[derive(Debug)]
struct Received {
    routing_key: String,
    message_id: Option<String>,
    body: Value,
}

impl Received {
    fn new(delivery: &Delivery) -> Self {
        Self {
            routing_key: delivery.routing_key.clone(),
            message_id: delivery.properties.message_id().clone(),
            body: serde_json::from_slice(&delivery.body).unwrap_or_default(),
        }
    }

    fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or("without id")
    }
}

#[derive(Debug, QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    contact_id: String,
    #[diesel(sql_type = Text)]
    operation: String,
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = BigInt)]
    completed_micros: i64,
}

impl Applied {
    fn routing_key(&self) -> &'static str {
        match self.operation.as_str() {
            "insert" => "contact.created",
            "update" | "patch" => "contact.updated",
            "delete" => "contact.deleted",
            other => panic!("{other} has no event"),
        }
    }

    /// The whole event, so nothing else is in it: no personal data.
    fn event(&self) -> Value {
        let completed_at = chrono::DateTime::from_timestamp_micros(self.completed_micros).unwrap();
        json!({
            "specversion": "1.0",
            "id": self.id,
            "source": "/contacts",
            "type": self.routing_key(),
            "subject": self.contact_id,
            "time": completed_at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            "datacontenttype": "application/json",
            "sequence": format!("{:019}", self.position),
            "data": { "contact_id": self.contact_id, "version": self.id, "operation": self.operation },
        })
    }
}

/// What the subscriber has received.
pub struct EventCount {
    pub received: usize,
    /// Events that had come before.
    pub repeated: usize,
}

pub struct Subscriber {
    queue: String,
    /// A way to each node of the broker, which the subscriber can close. The faults of the round are behind it.
    nodes: Vec<(Proxy, String)>,
    received: Mutex<Vec<Received>>,
    stop: AtomicBool,
}

impl Subscriber {
    /// A subscriber with the queue of `Broker::subscribe`.
    pub fn new(cluster: &Cluster) -> Self {
        let node = |url: &Url| {
            let proxy = Proxy::to(host_and_port(url.reveal(), 5672));
            let url = format!("{}?connection_timeout={}", proxy.rewrite_url(url.reveal()), MAX_SILENCE.as_millis());
            (proxy, url)
        };
        let nodes = Url::from(cluster.broker_url()).for_each_host().iter().map(node).collect();
        let queue = cluster.stack.broker.subscription();
        Self { queue, nodes, received: Mutex::default(), stop: AtomicBool::new(false) }
    }

    /// Receives until [`Self::stop`].
    pub fn run(&self) {
        for (proxy, url) in self.nodes.iter().cycle() {
            if self.stopped() {
                return;
            }
            std::thread::scope(|scope| {
                // The calls of the library wait without a limit, also for a node that is cut off.
                let (signs, life) = channel();
                scope.spawn(move || {
                    while life.recv_timeout(MAX_SILENCE).is_ok() {}
                    proxy.close_connections();
                });
                // Whatever ends it, the next node is next.
                let _ = self.receive(url, signs);
            });
            std::thread::sleep(PAUSE);
        }
    }

    /// Receives until the connection breaks, or until the end. Each sign of life puts off the end of the connection.
    fn receive(&self, url: &str, signs: Sender<()>) -> Result<(), Box<dyn Error>> {
        let mut connection = Connection::insecure_open(url)?;
        let channel = connection.open_channel(None)?;
        channel.qos(0, PREFETCH, false)?;
        let consumer = channel.basic_consume(self.queue.as_str(), ConsumerOptions::default())?;
        signs.send(())?;
        loop {
            match consumer.receiver().recv_timeout(PAUSE) {
                Ok(ConsumerMessage::Delivery(delivery)) => {
                    self.received.lock().unwrap().push(Received::new(&delivery));
                    consumer.ack(delivery)?;
                    signs.send(())?;
                }
                Err(error) if error.is_timeout() && !self.stopped() => {}
                Ok(_) | Err(_) => return Ok(()),
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until every applied operation has an event.
    pub fn wait_for_events(&self, cluster: &Cluster) {
        let started = Instant::now();
        let applied: Vec<String> = applied(cluster).into_iter().map(|operation| operation.id).collect();
        let behind = || {
            let received = self.received.lock().unwrap();
            let ids: BTreeSet<&str> = received.iter().map(Received::id).collect();
            applied.iter().any(|id| !ids.contains(id.as_str()))
        };
        while behind() && started.elapsed() < MAX_DELAY {
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends when no more events come.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn count(&self) -> EventCount {
        let received = self.received.lock().unwrap();
        let different: BTreeSet<&str> = received.iter().map(Received::id).collect();
        EventCount { received: received.len(), repeated: received.len() - different.len() }
    }

    /// Every difference between the events and what was applied. If the database lost changes that had been visible, they had
    /// events, and were applied again in another order or with another result.
    pub fn violations(&self, cluster: &Cluster, lost_changes: bool) -> Vec<String> {
        let violations = violations(&applied(cluster), &self.received.lock().unwrap(), lost_changes);
        violations.into_iter().map(|violation| format!("events: {violation}")).collect()
    }
}

/// The applied operations in the order of the change feed.
fn applied(cluster: &Cluster) -> Vec<Applied> {
    cluster.stack.database.rows(
        "SELECT id::text, contact_id::text, operation, position, \
         floor(extract(epoch FROM completed_at) * 1000000)::bigint AS completed_micros \
         FROM operations WHERE status = 'applied' ORDER BY position",
    )
}

fn violations(applied: &[Applied], received: &[Received], lost_changes: bool) -> Vec<String> {
    let mut violations = Vec::new();
    let places: BTreeMap<&str, (usize, &Applied)> =
        applied.iter().enumerate().map(|(place, operation)| (operation.id.as_str(), (place, operation))).collect();
    let (mut seen, mut last) = (BTreeSet::new(), None);
    for event in received {
        let Some((place, operation)) = places.get(event.id()) else {
            if !lost_changes {
                violations.push(format!("{event:?} is of an operation that was not applied"));
            }
            continue;
        };
        if event.routing_key != operation.routing_key() || event.message_id.as_deref() != Some(event.id()) {
            violations.push(format!("{event:?} has the properties of another one, it is of {operation:?}"));
        }
        let mut expected = operation.event();
        if lost_changes {
            ["sequence", "time"].into_iter().for_each(|member| expected[member] = event.body[member].clone());
        }
        if event.body != expected {
            violations.push(format!("{event:?} is not {expected}"));
        }
        if seen.insert(event.id()) {
            if last.is_some_and(|last| last > *place) && !lost_changes {
                violations.push(format!("the first {event:?} comes after those of later changes"));
            }
            last = last.max(Some(*place));
        }
    }
    let missing = applied.iter().filter(|operation| !seen.contains(operation.id.as_str()));
    violations.extend(missing.map(|operation| format!("{operation:?} has no event")));
    violations
}

#[test]
fn events_are_judged_by_what_was_applied() {
    let operation = |number: i64, operation: &str| Applied {
        id: format!("v{number}"),
        contact_id: "c".into(),
        operation: operation.into(),
        position: number,
        completed_micros: 1_000_000 * number,
    };
    let applied = [operation(1, "insert"), operation(2, "patch"), operation(3, "delete")];
    let event = |number: usize| Received {
        routing_key: applied[number - 1].routing_key().into(),
        message_id: Some(applied[number - 1].id.clone()),
        body: applied[number - 1].event(),
    };
    let judge = |received: &[Received]| violations(&applied, received, false);
    assert_eq!(judge(&[event(1), event(2), event(1), event(2), event(3), event(1)]), [""; 0]);

    let finds = |received: &[Received], what: &str| {
        let found = judge(received);
        assert!(found.len() == 1 && found[0].contains(what), "{what}: {found:?}");
    };
    finds(
        &[event(1), event(3)],
        "\"v2\", contact_id: \"c\", operation: \"patch\", position: 2, completed_micros: 2000000 } has no event",
    );
    finds(&[event(1), event(3), event(2)], "comes after those of later changes");
    let mut unknown = event(1);
    unknown.body["id"] = json!("v4");
    finds(&[event(1), event(2), event(3), unknown], "was not applied");
    let mut wrong_key = event(2);
    wrong_key.routing_key = "contact.created".into();
    finds(&[event(1), wrong_key, event(3)], "has the properties of another one");
    let mut with_name = event(2);
    with_name.body["data"]["name"] = json!("Ana");
    finds(&[event(1), with_name, event(3)], "is not {");
}
