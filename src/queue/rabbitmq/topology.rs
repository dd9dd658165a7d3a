//! The three queues and their arguments. Every role declares them, so that whichever starts first makes them.
//!
//! Their arguments can't be changed once a queue exists, so none depends on a setting: the retry delay travels with each
//! message. Source: RabbitMQ's guides on quorum queues and dead letter exchanges.

use super::super::{QueueError, QueueKind};
use super::connection::{describe, lost};
use amiquip::{AmqpValue, Channel, Error, FieldTable, QueueDeclareOptions};

/// How often a message may come back before RabbitMQ itself dead-letters it. Only a backstop, for what never reaches our
/// code: the consumer counts, too, and gives up much earlier. Lost connections count, so it must not be small.
const DELIVERY_LIMIT: i32 = 100;
/// For the queues that nobody works on: looking at dead letters brings them back, and must never drop them (RabbitMQ 4
/// has a limit of 20 where none is given).
const NO_DELIVERY_LIMIT: i32 = i32::MAX;

/// The names of the queues.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// Queues whose names begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The name of a lane's queue.
    pub fn queue(&self, lane: QueueKind) -> String {
        format!("{}{}", self.prefix, lane.name())
    }

    /// Declares all queues.
    pub(super) fn declare(&self, channel: &Channel) -> Result<(), QueueError> {
        for lane in [QueueKind::DeadLetter, QueueKind::Retry, QueueKind::Work] {
            let name = self.queue(lane);
            let options = QueueDeclareOptions {
                durable: true,
                arguments: self.arguments(lane),
                ..QueueDeclareOptions::default()
            };
            channel.queue_declare(name.as_str(), options).map_err(|error| match error {
                Error::ServerClosedChannel { code: 406, message, .. } => QueueError::Misconfigured(format!(
                    "queue {name} exists with other arguments ({message}); delete it when it is empty, or set \
                     broker.prefix to use queues of another name"
                )),
                Error::ServerClosedChannel { code: 403, message, .. } => {
                    QueueError::Misconfigured(format!("the broker's user may not declare queue {name} ({message})"))
                }
                other => lost(&describe(&other)),
            })?;
        }
        Ok(())
    }

    fn arguments(&self, lane: QueueKind) -> FieldTable {
        let text = |text: &str| AmqpValue::LongString(text.into());
        let mut arguments = FieldTable::new();
        let mut set = |name: &str, value| drop(arguments.insert(name.into(), value));
        set("x-queue-type", text("quorum"));
        let dead_letter_to = match lane {
            QueueKind::Work => Some((QueueKind::DeadLetter, DELIVERY_LIMIT)),
            QueueKind::Retry => Some((QueueKind::Work, NO_DELIVERY_LIMIT)),
            QueueKind::DeadLetter => None,
        };
        match dead_letter_to {
            Some((target, limit)) => {
                // At-least-once needs reject-publish: a full target must push back, not drop.
                set("x-dead-letter-strategy", text("at-least-once"));
                set("x-overflow", text("reject-publish"));
                set("x-dead-letter-exchange", text(""));
                set("x-dead-letter-routing-key", text(&self.queue(target)));
                set("x-delivery-limit", AmqpValue::LongInt(limit));
            }
            None => set("x-delivery-limit", AmqpValue::LongInt(NO_DELIVERY_LIMIT)),
        }
        arguments
    }
}
