//! A look at the dead letters: all are taken and none acknowledged, so that what is not removed goes back when the channel
//! closes, in the old order.
//!
//! A consumer's prefetch bounds what waits in our memory (without one, a quorum queue hands out 2,000 and no more): when
//! one consumer holds as many letters as it may, the next one goes on. Each has a channel of its own: a quorum queue puts
//! back channel by channel, as they close, but of one channel consumer by consumer in any order; and RabbitMQ searches all
//! that a channel holds for each single acknowledgement.

use super::super::{Browse, DeadLetter, DeadLetterBrowser, QueueError, QueueKind};
use super::connection::{Link, describe, lost};
use super::{Broker, properties};
use amiquip::{Channel, Consumer, ConsumerMessage, ConsumerOptions, Delivery};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the next letter may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait until another program has done with the letters: what it holds cannot be seen.
const OTHERS: Duration = Duration::from_secs(10);
/// How long to wait until what a channel held is back; only its order depends on it.
const BACK: Duration = Duration::from_secs(1);
/// RabbitMQ says that a quorum queue is empty when it does not answer in time, so it is asked once more after this.
const EMPTY: Duration = Duration::from_millis(200);
/// The letters that one consumer holds, unless that took more channels than these: brokers bound them, at 2,047 by default.
const WINDOW: usize = 1_000;
const CHANNELS: usize = 500;

pub(super) fn browse(broker: &Broker, browse: &mut Browse<'_>) -> Result<(), QueueError> {
    let mut link = Link::open(broker)?;
    let queue = broker.topology.queue(QueueKind::DeadLetter);
    match visit(&mut link, &queue, browse) {
        // Unless the goodbye is heard, removed letters might still be there.
        Ok(()) => link.close_patiently(),
        Err(error) => Err(link.explain(error)),
    }
}

fn visit(link: &mut Link, queue: &str, browse: &mut Browse<'_>) -> Result<(), QueueError> {
    // What comes later stands behind these, so the number bounds the look.
    let total = count(link, queue)?;
    let window = total.div_ceil(CHANNELS).clamp(WINDOW, usize::from(u16::MAX));
    let channels = (0..total.div_ceil(window)).map(|_| open_channel(link, window)).collect::<Result<Vec<_>, _>>()?;
    let link = &*link;
    let mut visit = Browser {
        link,
        queue,
        window,
        channels: &channels,
        consumers: Vec::new(),
        holding: Vec::new(),
        total,
        shown: 0,
        current: None,
        held: HashMap::new(),
    };
    // What fails in it says more than the goodbye would.
    let result = browse(&mut visit).and_then(|()| visit.cancel());
    let holding = std::mem::take(&mut visit.holding);
    drop(visit);
    if result.is_err() {
        link.parting(|| drop(channels));
        return result;
    }
    // What the first one holds goes back first, and is back before the next one is closed: the queue hears of each channel's end
    // by itself, and might hear of two in either order.
    for (channel, holds) in channels.into_iter().zip(holding.into_iter().chain(std::iter::repeat(0))) {
        let before = ready(link, queue)?;
        link.patiently(|| channel.close()).map_err(failed)?;
        let closed = Instant::now();
        while holds > 0 && ready(link, queue)? <= before && closed.elapsed() < BACK {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// The letters that nobody holds.
fn ready(link: &Link, queue: &str) -> Result<u32, QueueError> {
    let count =
        link.call(|channel| Ok(channel.queue_declare_passive(queue).map_err(failed)?.declared_message_count()))?;
    Ok(count.unwrap_or_default())
}

fn open_channel(link: &mut Link, window: usize) -> Result<Channel, QueueError> {
    let prefetch = u16::try_from(window).unwrap_or(u16::MAX);
    link.another(|channel| channel.qos(0, prefetch, false)).map_err(failed)
}

/// How many letters there are, once nobody else holds any.
fn count(link: &Link, queue: &str) -> Result<usize, QueueError> {
    let (asked, mut empty) = (Instant::now(), false);
    loop {
        let (letters, consumers) = link.call(|channel| {
            let queue = channel.queue_declare_passive(queue).map_err(failed)?;
            Ok((queue.declared_message_count(), queue.declared_consumer_count()))
        })?;
        match (letters, consumers) {
            (Some(0), Some(0)) if !empty => {
                empty = true;
                std::thread::sleep(EMPTY);
            }
            (Some(letters), Some(0)) => return Ok(letters as usize),
            _ if asked.elapsed() < OTHERS => std::thread::sleep(Duration::from_millis(100)),
            _ => {
                return Err(lost(&format!(
                    "another program reads {queue} and holds letters; try again when it has ended"
                )));
            }
        }
    }
}

fn failed(error: amiquip::Error) -> QueueError {
    lost(&describe(&error))
}

struct Browser<'a> {
    link: &'a Link,
    queue: &'a str,
    /// The letters that one consumer holds.
    window: usize,
    channels: &'a [Channel],
    /// One on each of the first channels: the last one is sent letters, the others are full.
    consumers: Vec<Consumer<'a>>,
    /// How many of those shown each of them would give back.
    holding: Vec<usize>,
    total: usize,
    shown: usize,
    /// The one just shown.
    current: Option<Delivery>,
    /// What may be removed, without bodies and properties, by its tag: the number of the letter.
    held: HashMap<u64, Delivery>,
}

impl Browser<'_> {
    /// Asks for no more letters. Dropping a consumer that may still be sent something can end the connection, so each is
    /// let run dry.
    fn cancel(&self) -> Result<(), QueueError> {
        for consumer in &self.consumers {
            self.link.patiently(|| consumer.cancel()).map_err(failed)?;
            while let Ok(message) = consumer.receiver().recv_timeout(PATIENCE) {
                if !matches!(message, ConsumerMessage::Delivery(_)) {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl DeadLetterBrowser for Browser<'_> {
    fn total(&self) -> usize {
        self.total
    }

    fn next(&mut self) -> Result<Option<DeadLetter>, QueueError> {
        if self.shown == self.total {
            return Ok(None);
        }
        if self.shown == self.consumers.len() * self.window {
            let Some(channel) = self.channels.get(self.consumers.len()) else { return Ok(None) };
            let consume = || channel.basic_consume(self.queue, ConsumerOptions::default());
            self.consumers.push(self.link.guard(consume).map_err(failed)?);
            self.holding.push(0);
        }
        let Some(consumer) = self.consumers.last() else { return Ok(None) };
        let mut delivery = match consumer.receiver().recv_timeout(PATIENCE) {
            Ok(ConsumerMessage::Delivery(delivery)) => delivery,
            Ok(ConsumerMessage::ServerClosedChannel(error) | ConsumerMessage::ServerClosedConnection(error)) => {
                return Err(lost(&describe(&error)));
            }
            Ok(_) => return Err(lost("the queue was deleted or the connection closed")),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                return Err(lost(&format!("only {} of {} letters came", self.shown, self.total)));
            }
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return Err(lost("the connection is gone")),
        };
        self.shown += 1;
        self.holding.iter_mut().last().into_iter().for_each(|holds| *holds += 1);
        let body = std::mem::take(&mut delivery.body);
        let properties = std::mem::take(&mut delivery.properties);
        let (message, _returned) = properties::to_message(&properties, body);
        self.current = Some(delivery);
        Ok(Some(DeadLetter { tag: self.shown as u64, message }))
    }

    fn mark_for_removal(&mut self) {
        self.held.extend(self.current.take().map(|delivery| (self.shown as u64, delivery)));
    }

    fn remove(&mut self, tags: &[u64]) -> Result<(), QueueError> {
        for tag in tags {
            // The first letter is number 1.
            let window = usize::try_from(*tag).unwrap_or_default().saturating_sub(1) / self.window;
            if let (Some(delivery), Some(consumer)) = (self.held.remove(tag), self.consumers.get(window)) {
                consumer.ack(delivery).map_err(failed)?;
                self.holding.get_mut(window).into_iter().for_each(|holds| *holds -= 1);
            }
        }
        Ok(())
    }
}
