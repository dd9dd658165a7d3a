//! A look at the dead letters: all are taken and none acknowledged, so that what is not removed goes back when the channel
//! closes. A quorum queue puts returned messages back in their old order.
//!
//! A consumer's prefetch bounds what waits in our memory (without one, a quorum queue hands out 2,000 and no more): when
//! one consumer holds as many letters as it may, the next one goes on.

use super::super::{Lane, Letter, Letters, Look, QueueError};
use super::link::{Link, describe, lost};
use super::{Broker, properties};
use amiquip::{Consumer, ConsumerMessage, ConsumerOptions, Delivery};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the next letter may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait until another program has done with the letters: what it holds cannot be seen.
const OTHERS: Duration = Duration::from_secs(10);
/// The most letters that one consumer holds.
const WINDOW: u16 = 1_000;

pub(super) fn look(broker: &Broker, look: &mut Look<'_>) -> Result<(), QueueError> {
    let link = Link::open(broker)?;
    let queue = broker.topology.queue(Lane::DeadLetters);
    match visit(&link, &queue, look) {
        // Unless the goodbye is heard, removed letters might still be there.
        Ok(()) => link.close_patiently(),
        Err(error) => Err(link.explain(error)),
    }
}

fn visit(link: &Link, queue: &str, look: &mut Look<'_>) -> Result<(), QueueError> {
    // What comes later stands behind these, so the number bounds the look.
    let total = count(link, queue)?;
    link.call(|channel| channel.qos(0, WINDOW, false).map_err(failed))?;
    let mut visit = Visit { link, queue, consumers: Vec::new(), total, shown: 0, current: None, held: HashMap::new() };
    // What fails in it says more than the goodbye would.
    look(&mut visit)?;
    // Dropping a consumer that may still be sent something can end the connection: let it run dry first.
    for consumer in &visit.consumers {
        link.patiently(|| consumer.cancel()).map_err(failed)?;
        while let Ok(message) = consumer.receiver().recv_timeout(PATIENCE) {
            if !matches!(message, ConsumerMessage::Delivery(_)) {
                break;
            }
        }
    }
    Ok(())
}

/// How many letters there are, once nobody else holds any.
fn count(link: &Link, queue: &str) -> Result<usize, QueueError> {
    let asked = Instant::now();
    loop {
        let (letters, consumers) = link.call(|channel| {
            let queue = channel.queue_declare_passive(queue).map_err(failed)?;
            Ok((queue.declared_message_count(), queue.declared_consumer_count()))
        })?;
        match (letters, consumers) {
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

struct Visit<'a> {
    link: &'a Link,
    queue: &'a str,
    /// The last one is sent letters, the others are full.
    consumers: Vec<Consumer<'a>>,
    total: usize,
    shown: usize,
    /// The one just shown.
    current: Option<Delivery>,
    /// What may be removed, without bodies and properties.
    held: HashMap<u64, Delivery>,
}

impl Letters for Visit<'_> {
    fn total(&self) -> usize {
        self.total
    }

    fn next(&mut self) -> Result<Option<Letter>, QueueError> {
        if self.shown == self.total {
            return Ok(None);
        }
        if self.shown == self.consumers.len() * usize::from(WINDOW) {
            let channel = self.link.channel()?;
            let consume = || channel.basic_consume(self.queue, ConsumerOptions::default());
            self.consumers.push(self.link.guard(consume).map_err(failed)?);
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
        let body = std::mem::take(&mut delivery.body);
        let properties = std::mem::take(&mut delivery.properties);
        let (message, _returned) = properties::to_message(&properties, body);
        let place = delivery.delivery_tag();
        self.current = Some(delivery);
        Ok(Some(Letter { place, message }))
    }

    fn hold(&mut self) {
        self.held.extend(self.current.take().map(|delivery| (delivery.delivery_tag(), delivery)));
    }

    fn remove(&mut self, places: &[u64]) -> Result<(), QueueError> {
        for place in places {
            // Which consumer got it does not matter: they share the channel.
            if let (Some(delivery), Some(consumer)) = (self.held.remove(place), self.consumers.last()) {
                consumer.ack(delivery).map_err(failed)?;
            }
        }
        Ok(())
    }
}
