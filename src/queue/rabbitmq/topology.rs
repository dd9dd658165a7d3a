//! The three queues and their arguments. Every role declares them, so the first role that starts creates them.
//!
//! The arguments of an existing queue cannot be changed. So no argument depends on a setting, and each message carries
//! its retry delay. Source: RabbitMQ's guides on quorum queues and dead letter exchanges.

use super::super::{QueueError, QueueKind};
use super::connection::{describe, lost};
use amiquip::{AmqpValue, Channel, Error, FieldTable, QueueDeclareOptions};

/// After this many redeliveries RabbitMQ itself dead-letters a message. Normally the consumer dead-letters it much
/// earlier; this limit is for messages that never reach the consumer. Lost connections count, so the limit is not
/// small.
const DELIVERY_LIMIT: i32 = 100;
/// The limit for the other queues. Browsing counts as a redelivery of each dead letter, and must never remove one.
/// Without this argument, RabbitMQ 4 has a limit of 20.
const NO_DELIVERY_LIMIT: i32 = i32::MAX;

/// The names and arguments of the queues.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: String,
}

impl Topology {
    /// The queues whose names start with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The name of a queue.
    pub fn queue_name(&self, queue: QueueKind) -> String {
        self.name(queue.name())
    }

    /// A name with the prefix.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Declares all queues.
    pub(super) fn declare(&self, channel: &Channel) -> Result<(), QueueError> {
        for queue in [QueueKind::DeadLetter, QueueKind::Retry, QueueKind::Work] {
            let name = self.queue_name(queue);
            let options = QueueDeclareOptions {
                durable: true,
                arguments: self.arguments(queue),
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

    fn arguments(&self, queue: QueueKind) -> FieldTable {
        let text = |text: &str| AmqpValue::LongString(text.into());
        let mut arguments = FieldTable::new();
        let mut set = |name: &str, value| drop(arguments.insert(name.into(), value));
        set("x-queue-type", text("quorum"));
        let dead_letter_to = match queue {
            QueueKind::Work => Some((QueueKind::DeadLetter, DELIVERY_LIMIT)),
            QueueKind::Retry => Some((QueueKind::Work, NO_DELIVERY_LIMIT)),
            QueueKind::DeadLetter => None,
        };
        match dead_letter_to {
            Some((target, limit)) => {
                // The strategy at-least-once requires reject-publish. A full target queue then refuses messages and
                // drops none.
                set("x-dead-letter-strategy", text("at-least-once"));
                set("x-overflow", text("reject-publish"));
                set("x-dead-letter-exchange", text(""));
                set("x-dead-letter-routing-key", text(&self.queue_name(target)));
                set("x-delivery-limit", AmqpValue::LongInt(limit));
            }
            None => set("x-delivery-limit", AmqpValue::LongInt(NO_DELIVERY_LIMIT)),
        }
        arguments
    }
}
