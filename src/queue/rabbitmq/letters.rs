//! A look at the dead letters: all are taken and none acknowledged, so that what is not removed goes back when the channel
//! closes. A quorum queue puts returned messages back in their old order.

use super::super::{Lane, Letter, Letters, Look, QueueError};
use super::link::{Link, describe, lost};
use super::{Broker, properties};
use amiquip::{Consumer, ConsumerMessage, ConsumerOptions, Delivery};
use std::collections::HashMap;
use std::time::Duration;

/// How long the next letter may take: those that another look holds do not come.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn look(broker: &Broker, look: &mut Look<'_>) -> Result<(), QueueError> {
    let link = Link::open(broker)?;
    let queue = broker.topology.queue(Lane::DeadLetters);
    match visit(&link, &queue, look) {
        // Unless the goodbye is heard, removed letters might still be there.
        Ok(()) => link.close(),
        Err(error) => Err(link.explain(error)),
    }
}

fn visit(link: &Link, queue: &str, look: &mut Look<'_>) -> Result<(), QueueError> {
    let failed = |error: amiquip::Error| lost(&describe(&error));
    // What comes later stands behind these, so the number bounds the look.
    let total = link.call(|channel| {
        // Zero: as many as there are.
        channel.qos(0, 0, false).map_err(failed)?;
        channel.queue_declare_passive(queue).map_err(failed)?.declared_message_count().ok_or_else(|| lost("no count"))
    })?;
    let channel = link.channel()?;
    let consumer = link.guard(|| channel.basic_consume(queue, ConsumerOptions::default())).map_err(failed)?;
    let mut visit = Visit { consumer: &consumer, total: total as usize, shown: 0, held: HashMap::new() };
    let result = look(&mut visit);
    // Dropping a consumer that may still be sent something can end the connection: let it run dry first.
    link.parting(|| consumer.cancel()).map_err(failed)?;
    while let Ok(message) = consumer.receiver().recv_timeout(PATIENCE) {
        if !matches!(message, ConsumerMessage::Delivery(_)) {
            break;
        }
    }
    result
}

struct Visit<'a> {
    consumer: &'a Consumer<'a>,
    total: usize,
    shown: usize,
    /// What could be removed, without bodies and properties.
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
        let mut delivery = match self.consumer.receiver().recv_timeout(PATIENCE) {
            Ok(ConsumerMessage::Delivery(delivery)) => delivery,
            Ok(ConsumerMessage::ServerClosedChannel(error) | ConsumerMessage::ServerClosedConnection(error)) => {
                return Err(lost(&describe(&error)));
            }
            Ok(_) => return Err(lost("the queue was deleted or the connection closed")),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => return Ok(None),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => return Err(lost("the connection is gone")),
        };
        self.shown += 1;
        let body = std::mem::take(&mut delivery.body);
        let properties = std::mem::take(&mut delivery.properties);
        let (message, _returned) = properties::to_message(&properties, body);
        let place = delivery.delivery_tag();
        self.held.insert(place, delivery);
        Ok(Some(Letter { place, message }))
    }

    fn remove(&mut self, places: &[u64]) -> Result<(), QueueError> {
        for place in places {
            if let Some(delivery) = self.held.remove(place) {
                self.consumer.ack(delivery).map_err(|error| lost(&describe(&error)))?;
            }
        }
        Ok(())
    }
}
