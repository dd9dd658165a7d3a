//! Delivers messages to workers. A session is one connection, one channel and one consumer. The worker thread owns
//! them.

use super::super::{Delivery, QueueError, QueueKind, SessionHandler, Source};
use super::connection::{BrokerConnection, describe, lost};
use super::{Broker, pack, properties};
use crate::telemetry::metrics::QUEUE_CONNECTIONS;
use amiquip::{Consumer, ConsumerMessage, ConsumerOptions, Delivery as AmqpDelivery};
use crossbeam_channel::RecvTimeoutError;
use metrics::counter;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long to wait for the next delivery to a cancelled consumer.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// A session without a delivery for this time ends, and the worker opens a new one. RabbitMQ 3.10 does not notify a
/// consumer if its queue is deleted and created again at once. Then it counts deliveries to the consumer that never
/// arrive.
const MAX_IDLE: Duration = Duration::from_secs(20);
/// Before a cancel, the source waits until no message arrives for this time.
const QUIET_TIME: Duration = Duration::from_millis(200);
/// The maximum time of that wait. Under a steady load, messages arrive all the time.
const MAX_CANCEL_DELAY: Duration = Duration::from_secs(1);

pub(super) fn session(broker: &Broker, prefetch: u16, handler: &mut SessionHandler<'_>) -> Result<(), QueueError> {
    let connections = counter!(QUEUE_CONNECTIONS, "user" => "worker");
    let connection = BrokerConnection::open(broker)?;
    connections.increment(1);
    match consume(&connection, broker, prefetch, handler) {
        Ok(()) => connection.close(),
        Err(error) => Err(connection.into_cause(error)),
    }
}

fn consume(
    connection: &BrokerConnection,
    broker: &Broker,
    prefetch: u16,
    handler: &mut SessionHandler<'_>,
) -> Result<(), QueueError> {
    connection.call(|channel| channel.qos(0, prefetch, false).map_err(|error| lost(&describe(&error))))?;
    let channel = connection.channel()?;
    let queue = broker.topology.queue_name(QueueKind::Work);
    let consumer = connection
        .within_call_timeout(|| channel.basic_consume(queue, ConsumerOptions::default()))
        .map_err(|error| lost(&describe(&error)))?;
    let mut source = RabbitMqSource {
        connection,
        consumer: &consumer,
        pack_size: &broker.pack_size,
        last_arrival: Instant::now(),
        prefetch: prefetch.into(),
        unacknowledged: 0,
        arrived: VecDeque::new(),
        unpacked: VecDeque::new(),
        last_taken: None,
        ended: None,
    };
    let result = handler(&mut source);
    // A delivery to a dropped consumer can end the connection, so wait for the last delivery first.
    let drained = source.drain();
    result.and(drained)
}

/// The session of one worker.
struct RabbitMqSource<'a> {
    connection: &'a BrokerConnection,
    consumer: &'a Consumer<'a>,
    pack_size: &'a pack::AverageSize,
    /// When the last message arrived.
    last_arrival: Instant,
    /// The maximum number of unacknowledged deliveries.
    prefetch: usize,
    /// The number of deliveries that are taken and not acknowledged.
    unacknowledged: usize,
    /// Deliveries that arrived before a cancel and are not taken yet.
    arrived: VecDeque<AmqpDelivery>,
    /// The messages of a delivery that are not taken yet. The last one has the delivery, because an acknowledgement
    /// includes all messages of a pack.
    unpacked: VecDeque<(Delivery, Option<AmqpDelivery>)>,
    /// The last delivery that is taken and not acknowledged. Its acknowledgement includes all earlier deliveries.
    last_taken: Option<AmqpDelivery>,
    /// Set when no more deliveries can arrive.
    ended: Option<Result<(), QueueError>>,
}

impl RabbitMqSource<'_> {
    /// Returns a delivery, or records the end of the deliveries.
    fn receive(&mut self, message: ConsumerMessage) -> Option<AmqpDelivery> {
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

    fn unpack(&mut self, mut delivery: AmqpDelivery) {
        self.last_arrival = Instant::now();
        let body = std::mem::take(&mut delivery.body);
        let (message, redeliveries) = properties::to_message(&delivery.properties, body);
        self.unacknowledged += 1;
        let Some(messages) = pack::decode(&message) else {
            self.pack_size.record(1);
            self.unpacked.push_back((Delivery { message, redeliveries, packed: false }, Some(delivery)));
            return;
        };
        let count = messages.len();
        let packed = count > 1;
        self.pack_size.record(count);
        self.unpacked.extend(messages.into_iter().map(|message| (Delivery { message, redeliveries, packed }, None)));
        if let Some((_, last)) = self.unpacked.back_mut() {
            *last = Some(delivery);
        }
    }

    /// Moves unpacked messages to the batch.
    fn deliver(&mut self, batch: &mut Vec<Delivery>, max: usize) {
        while batch.len() < max
            && let Some((delivery, last)) = self.unpacked.pop_front()
        {
            batch.push(delivery);
            if last.is_some() {
                self.last_taken = last;
            }
        }
    }

    fn drain(&mut self) -> Result<(), QueueError> {
        let result = self.send_cancel();
        while self.ended.is_none() {
            match self.consumer.receiver().recv_timeout(DRAIN_TIMEOUT) {
                Ok(message) => drop(self.receive(message)),
                Err(_) => break,
            }
        }
        result
    }

    fn send_cancel(&self) -> Result<(), QueueError> {
        if self.ended.is_some() {
            return Ok(());
        }
        self.connection.within_close_timeout(|| self.consumer.cancel()).map_err(|error| lost(&describe(&error)))
    }
}

impl Source for RabbitMqSource<'_> {
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError> {
        let mut batch = Vec::new();
        self.deliver(&mut batch, max);
        while batch.len() < max
            && let Some(delivery) = self.arrived.pop_front()
        {
            self.unpack(delivery);
            self.deliver(&mut batch, max);
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
                    if let Some(delivery) = self.receive(message) {
                        self.unpack(delivery);
                        self.deliver(&mut batch, max);
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.ended = Some(Err(lost("the connection is gone"))),
            }
        }
        if batch.is_empty()
            && self.unacknowledged == 0
            && self.ended.is_none()
            && self.last_arrival.elapsed() > MAX_IDLE
        {
            self.last_arrival = Instant::now();
            self.cancel()?;
        }
        match &self.ended {
            Some(Ok(())) if batch.is_empty() => Ok(None),
            Some(Err(error)) if batch.is_empty() => Err(error.clone()),
            _ => Ok(Some(batch)),
        }
    }

    fn acknowledge(&mut self) -> Result<(), QueueError> {
        // A pack that is only taken in part is not acknowledged.
        self.unacknowledged = self.unpacked.iter().filter(|(_, last)| last.is_some()).count();
        match self.last_taken.take() {
            Some(delivery) => self.consumer.ack_multiple(delivery).map_err(|error| lost(&describe(&error))),
            None => Ok(()),
        }
    }

    fn cancel(&mut self) -> Result<(), QueueError> {
        // A quorum queue counts a redelivery for each message that is on its way when the cancel arrives. So wait for
        // these messages first. Without an acknowledgement, no more than the prefetch can arrive.
        let deadline = Instant::now() + MAX_CANCEL_DELAY;
        while self.ended.is_none()
            && self.unacknowledged + self.arrived.len() < self.prefetch
            && Instant::now() < deadline
        {
            let Ok(message) = self.consumer.receiver().recv_timeout(QUIET_TIME) else { break };
            let delivery = self.receive(message);
            self.arrived.extend(delivery);
        }
        self.send_cancel()
    }
}
