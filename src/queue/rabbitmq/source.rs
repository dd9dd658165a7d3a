//! The consuming half: one session is one connection, one channel and one consumer on the worker's own stack.

use super::super::{Delivery, QueueError, QueueKind, Source, Work};
use super::connection::{Link, describe, lost};
use super::{Broker, properties};
use crate::telemetry::metrics::QUEUE_CONNECTIONS;
use amiquip::{Consumer, ConsumerMessage, ConsumerOptions, Delivery as AmqpDelivery};
use crossbeam_channel::RecvTimeoutError;
use metrics::counter;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a cancelled consumer may take to run dry.
const DRAIN: Duration = Duration::from_millis(500);
/// A session that nothing reaches for so long ends, for a new one: RabbitMQ (3.10 seen) does not tell a consumer that its
/// queue was deleted if another made it again at once, and then counts messages as handed to it that never arrive.
const FORGOTTEN: Duration = Duration::from_secs(20);
/// How long nothing must arrive before a cancel, unless no more may be on the way.
const QUIET: Duration = Duration::from_millis(200);
/// How long to wait for that: under a steady load it is never quiet, and what arrives meanwhile waits.
const QUIET_WITHIN: Duration = Duration::from_secs(1);

pub(super) fn session(broker: &Broker, prefetch: u16, work: &mut Work<'_>) -> Result<(), QueueError> {
    let connections = counter!(QUEUE_CONNECTIONS, "user" => "worker");
    let link = Link::open(broker)?;
    connections.increment(1);
    let result = consume(&link, &broker.topology.queue(QueueKind::Work), prefetch, |source| work(source));
    match result {
        Ok(()) => link.close(),
        Err(error) => Err(link.explain(error)),
    }
}

fn consume<T>(
    link: &Link,
    queue: &str,
    prefetch: u16,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, QueueError>,
) -> Result<T, QueueError> {
    link.call(|channel| channel.qos(0, prefetch, false).map_err(|error| lost(&describe(&error))))?;
    let channel = link.channel()?;
    let consumer = link
        .guard(|| channel.basic_consume(queue, ConsumerOptions::default()))
        .map_err(|error| lost(&describe(&error)))?;
    let mut session = Session {
        heard: Instant::now(),
        link,
        consumer: &consumer,
        window: prefetch.into(),
        taken: 0,
        arrived: VecDeque::new(),
        last: None,
        ended: None,
    };
    let result = work(&mut session);
    // Dropping a consumer that may still be sent something can end the connection: let it run dry first.
    let drained = session.drain();
    let value = result?;
    drained?;
    Ok(value)
}

/// A consumer and what was taken from it.
struct Session<'a> {
    link: &'a Link,
    consumer: &'a Consumer<'a>,
    /// When something last arrived.
    heard: Instant,
    /// The most deliveries that can be unacknowledged.
    window: usize,
    /// Deliveries taken and not acknowledged.
    taken: usize,
    /// Arrived before a cancel and not taken yet.
    arrived: VecDeque<AmqpDelivery>,
    /// The last delivery taken and not acknowledged; the broker acknowledges all before it with it.
    last: Option<AmqpDelivery>,
    /// Set once no more deliveries can come.
    ended: Option<Result<(), QueueError>>,
}

impl Session<'_> {
    fn accept(&mut self, message: ConsumerMessage) -> Option<AmqpDelivery> {
        self.ended = match message {
            ConsumerMessage::Delivery(delivery) => return Some(delivery),
            ConsumerMessage::ClientCancelled => Some(Ok(())),
            ConsumerMessage::ServerCancelled => Some(Err(lost("the queue was deleted"))),
            ConsumerMessage::ClientClosedChannel | ConsumerMessage::ClientClosedConnection => {
                Some(Err(lost("the connection is closed")))
            }
            ConsumerMessage::ServerClosedChannel(error) | ConsumerMessage::ServerClosedConnection(error) => {
                Some(Err(lost(&describe(&error))))
            }
        };
        None
    }

    fn hand_out(&mut self, mut delivery: AmqpDelivery) -> Delivery {
        self.heard = Instant::now();
        let body = std::mem::take(&mut delivery.body);
        let (message, redeliveries) = properties::to_message(&delivery.properties, body);
        self.taken += 1;
        self.last = Some(delivery);
        Delivery { message, redeliveries }
    }

    fn drain(&mut self) -> Result<(), QueueError> {
        let result = self.send_cancel();
        while self.ended.is_none() {
            match self.consumer.receiver().recv_timeout(DRAIN) {
                Ok(message) => drop(self.accept(message)),
                Err(_) => break,
            }
        }
        result
    }

    fn send_cancel(&self) -> Result<(), QueueError> {
        if self.ended.is_some() {
            return Ok(());
        }
        self.link.parting(|| self.consumer.cancel()).map_err(|error| lost(&describe(&error)))
    }
}

impl Source for Session<'_> {
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError> {
        let mut batch = Vec::new();
        while batch.len() < max
            && let Some(delivery) = self.arrived.pop_front()
        {
            batch.push(self.hand_out(delivery));
        }
        let deadline = Instant::now() + wait;
        while batch.len() < max && self.ended.is_none() {
            let received = if batch.is_empty() {
                self.consumer.receiver().recv_deadline(deadline)
            } else {
                self.consumer.receiver().try_recv().map_err(|error| match error {
                    crossbeam_channel::TryRecvError::Empty => RecvTimeoutError::Timeout,
                    crossbeam_channel::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            };
            match received {
                Ok(message) => {
                    let delivery = self.accept(message);
                    batch.extend(delivery.map(|delivery| self.hand_out(delivery)));
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.ended = Some(Err(lost("the connection is gone"))),
            }
        }
        if batch.is_empty() && self.taken == 0 && self.ended.is_none() && self.heard.elapsed() > FORGOTTEN {
            self.heard = Instant::now();
            self.cancel()?;
        }
        match &self.ended {
            Some(Ok(())) if batch.is_empty() => Ok(None),
            Some(Err(error)) if batch.is_empty() => Err(error.clone()),
            _ => Ok(Some(batch)),
        }
    }

    fn acknowledge(&mut self) -> Result<(), QueueError> {
        self.taken = 0;
        match self.last.take() {
            Some(delivery) => self.consumer.ack_multiple(delivery).map_err(|error| lost(&describe(&error))),
            None => Ok(()),
        }
    }

    fn cancel(&mut self) -> Result<(), QueueError> {
        // A quorum queue takes back, and counts as redeliveries, what is on its way when the cancel arrives: so let it arrive
        // first. While nothing is acknowledged, no more than the window can come.
        let until = Instant::now() + QUIET_WITHIN;
        while self.ended.is_none() && self.taken + self.arrived.len() < self.window && Instant::now() < until {
            let Ok(message) = self.consumer.receiver().recv_timeout(QUIET) else { break };
            let delivery = self.accept(message);
            self.arrived.extend(delivery);
        }
        self.send_cancel()
    }
}
