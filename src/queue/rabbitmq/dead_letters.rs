//! Browses the dead letter queue. The browser takes all dead letters and acknowledges only those that are removed. When
//! its channels close, the others return to the queue in the old order.
//!
//! The prefetch of a consumer limits the memory. Without a prefetch, a quorum queue delivers 2,000 messages and no
//! more. When a consumer has as many dead letters as its prefetch allows, the next consumer continues.
//!
//! Each consumer has its own channel, for two reasons. First, a quorum queue takes messages back in the order in which
//! the channels close, but in any order of the consumers of one channel. Second, RabbitMQ searches all messages of a
//! channel for each acknowledgement.

use super::super::{BrowseHandler, DeadLetter, DeadLetterBrowser, QueueError, QueueKind};
use super::connection::{BrokerConnection, describe, lost};
use super::{Broker, properties};
use amiquip::{Channel, Consumer, ConsumerMessage, ConsumerOptions, Delivery};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long to wait for the next dead letter.
const NEXT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait until another program closes its browser. The dead letters that it holds are not visible.
const OTHER_BROWSER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait until the messages of a closed channel are back in the queue. Only their order depends on it.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);
/// RabbitMQ reports a quorum queue as empty if it does not answer in time. So the browser asks a second time after this
/// pause.
const EMPTY_QUEUE_PAUSE: Duration = Duration::from_millis(200);
/// The number of dead letters of one consumer. It is greater if the browser would need more than [`MAX_CHANNELS`].
const PREFETCH: usize = 1_000;
/// The maximum number of channels. Brokers limit them, to 2,047 by default.
const MAX_CHANNELS: usize = 500;

pub(super) fn browse(broker: &Broker, handler: &mut BrowseHandler<'_>) -> Result<(), QueueError> {
    let mut connection = BrokerConnection::open(broker)?;
    let queue = broker.topology.queue_name(QueueKind::DeadLetter);
    match run(&mut connection, &queue, handler) {
        // The broker must have processed the acknowledgements. Otherwise removed dead letters can still be in the
        // queue.
        Ok(()) => connection.flush_and_close(),
        Err(error) => Err(connection.into_cause(error)),
    }
}

fn run(connection: &mut BrokerConnection, queue: &str, handler: &mut BrowseHandler<'_>) -> Result<(), QueueError> {
    // Dead letters that arrive later are behind these, so the browser stops after this number.
    let total = count(connection, queue)?;
    let prefetch = total.div_ceil(MAX_CHANNELS).clamp(PREFETCH, usize::from(u16::MAX));
    let channels =
        (0..total.div_ceil(prefetch)).map(|_| open_channel(connection, prefetch)).collect::<Result<Vec<_>, _>>()?;
    let connection = &*connection;
    let mut browser = RabbitMqBrowser {
        connection,
        queue,
        prefetch,
        channels: &channels,
        consumers: Vec::new(),
        unacknowledged: Vec::new(),
        total,
        returned: 0,
        current: None,
        removable: HashMap::new(),
    };
    // An error of the handler is more useful than an error of the close.
    let result = handler(&mut browser).and_then(|()| browser.cancel());
    let unacknowledged = std::mem::take(&mut browser.unacknowledged);
    drop(browser);
    if result.is_err() {
        connection.within_close_timeout(|| drop(channels));
        return result;
    }
    // Close the channels in order, and wait until the messages of each are back in the queue. The queue gets a separate
    // notification for each channel, so two closed channels could be handled in the wrong order.
    for (channel, count) in channels.into_iter().zip(unacknowledged.into_iter().chain(std::iter::repeat(0))) {
        let before = ready(connection, queue)?;
        connection.within_long_timeout(|| channel.close()).map_err(failed)?;
        let closed = Instant::now();
        while count > 0 && ready(connection, queue)? <= before && closed.elapsed() < RETURN_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// The number of dead letters that no consumer holds.
fn ready(connection: &BrokerConnection, queue: &str) -> Result<u32, QueueError> {
    let count = connection
        .call(|channel| Ok(channel.queue_declare_passive(queue).map_err(failed)?.declared_message_count()))?;
    Ok(count.unwrap_or_default())
}

fn open_channel(connection: &mut BrokerConnection, prefetch: usize) -> Result<Channel, QueueError> {
    let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
    connection.open_channel(|channel| channel.qos(0, prefetch, false)).map_err(failed)
}

/// The number of dead letters. Waits until no other consumer holds any.
fn count(connection: &BrokerConnection, queue: &str) -> Result<usize, QueueError> {
    let (started, mut empty) = (Instant::now(), false);
    loop {
        let (messages, consumers) = connection.call(|channel| {
            let declared = channel.queue_declare_passive(queue).map_err(failed)?;
            Ok((declared.declared_message_count(), declared.declared_consumer_count()))
        })?;
        match (messages, consumers) {
            (Some(0), Some(0)) if !empty => {
                empty = true;
                std::thread::sleep(EMPTY_QUEUE_PAUSE);
            }
            (Some(messages), Some(0)) => return Ok(messages as usize),
            _ if started.elapsed() < OTHER_BROWSER_TIMEOUT => std::thread::sleep(Duration::from_millis(100)),
            _ => {
                return Err(QueueError::Busy(format!("another program reads {queue}; try again when it has finished")));
            }
        }
    }
}

fn failed(error: amiquip::Error) -> QueueError {
    lost(&describe(&error))
}

struct RabbitMqBrowser<'a> {
    connection: &'a BrokerConnection,
    queue: &'a str,
    /// The maximum number of dead letters of one consumer.
    prefetch: usize,
    channels: &'a [Channel],
    /// One consumer on each of the first channels. The last one receives dead letters, the others have reached the
    /// prefetch.
    consumers: Vec<Consumer<'a>>,
    /// How many returned dead letters of each consumer are not acknowledged.
    unacknowledged: Vec<usize>,
    total: usize,
    /// How many dead letters the browser has returned.
    returned: usize,
    /// The last returned dead letter.
    current: Option<Delivery>,
    /// The marked dead letters by tag, without bodies and properties. The tag is the number of the dead letter, from 1.
    removable: HashMap<u64, Delivery>,
}

impl RabbitMqBrowser<'_> {
    /// Cancels the consumers. A delivery to a dropped consumer can end the connection, so this waits for the last
    /// delivery.
    fn cancel(&self) -> Result<(), QueueError> {
        for consumer in &self.consumers {
            self.connection.within_long_timeout(|| consumer.cancel()).map_err(failed)?;
            while let Ok(message) = consumer.receiver().recv_timeout(NEXT_TIMEOUT) {
                if !matches!(message, ConsumerMessage::Delivery(_)) {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl DeadLetterBrowser for RabbitMqBrowser<'_> {
    fn total(&self) -> usize {
        self.total
    }

    fn next(&mut self) -> Result<Option<DeadLetter>, QueueError> {
        if self.returned == self.total {
            return Ok(None);
        }
        if self.returned == self.consumers.len() * self.prefetch {
            let Some(channel) = self.channels.get(self.consumers.len()) else { return Ok(None) };
            let consume = || channel.basic_consume(self.queue, ConsumerOptions::default());
            self.consumers.push(self.connection.within_call_timeout(consume).map_err(failed)?);
            self.unacknowledged.push(0);
        }
        let Some(consumer) = self.consumers.last() else { return Ok(None) };
        let mut delivery = match consumer.receiver().recv_timeout(NEXT_TIMEOUT) {
            Ok(ConsumerMessage::Delivery(delivery)) => delivery,
            Ok(ConsumerMessage::ServerClosedChannel(error) | ConsumerMessage::ServerClosedConnection(error)) => {
                return Err(lost(&describe(&error)));
            }
            Ok(_) => return Err(lost("the queue was deleted or the connection closed")),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                return Err(lost(&format!("only {} of {} dead letters arrived", self.returned, self.total)));
            }
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return Err(lost("the connection is gone")),
        };
        self.returned += 1;
        self.unacknowledged.iter_mut().last().into_iter().for_each(|count| *count += 1);
        let body = std::mem::take(&mut delivery.body);
        let properties = std::mem::take(&mut delivery.properties);
        let (message, _redeliveries) = properties::to_message(&properties, body);
        self.current = Some(delivery);
        Ok(Some(DeadLetter { tag: self.returned as u64, message }))
    }

    fn mark_for_removal(&mut self) {
        self.removable.extend(self.current.take().map(|delivery| (self.returned as u64, delivery)));
    }

    fn remove(&mut self, tags: &[u64]) -> Result<(), QueueError> {
        for tag in tags {
            let index = usize::try_from(*tag).unwrap_or_default().saturating_sub(1) / self.prefetch;
            if let (Some(delivery), Some(consumer)) = (self.removable.remove(tag), self.consumers.get(index)) {
                consumer.ack(delivery).map_err(failed)?;
                self.unacknowledged.get_mut(index).into_iter().for_each(|count| *count -= 1);
            }
        }
        Ok(())
    }
}
