//! Reads the backlogs from RabbitMQ. It keeps its connection.

use super::super::{Backlog, Monitor, QueueError, QueueKind, waiting_since};
use super::connection::{BrokerConnection, describe, lost};
use super::{Broker, properties};
use crate::domain::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct RabbitMqMonitor {
    broker: Arc<Broker>,
    connection: Option<BrokerConnection>,
    /// The first dead letter, as it was read last.
    first_dead_letter: Option<FirstDeadLetter>,
}

/// The first message of the dead letter queue.
#[derive(Clone, Copy)]
struct FirstDeadLetter {
    waiting_since: Option<Timestamp>,
    /// The number of dead letters at that time.
    total: u64,
    read_at: Instant,
    /// The redeliveries at that time.
    redeliveries: u32,
}

/// The first dead letter is read again after this time, or when the number of dead letters shrinks.
const REREAD_AFTER: Duration = Duration::from_secs(60 * 60);
/// A dead letter with this many redeliveries is not read again, because a policy of the broker may limit them.
const MAX_REDELIVERIES: u32 = 10;

impl RabbitMqMonitor {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, connection: None, first_dead_letter: None }
    }

    fn poll(&mut self, connection: &BrokerConnection) -> Result<[(QueueKind, Backlog); 3], QueueError> {
        let mut backlogs = QueueKind::ALL.map(|queue| (queue, Backlog::default()));
        for (queue, backlog) in &mut backlogs {
            let name = self.broker.topology.queue_name(*queue);
            let (messages, consumers) = connection.call(|channel| {
                let declared = channel.queue_declare_passive(name).map_err(failed)?;
                Ok((declared.declared_message_count(), declared.declared_consumer_count()))
            })?;
            backlog.messages = messages.unwrap_or_default().into();
            let size = if *queue == QueueKind::Work { self.broker.pack_size.get().into() } else { 1.0 };
            backlog.changes = (backlog.messages as f64 * size).round();
            backlog.consumers = consumers;
            if *queue == QueueKind::DeadLetter {
                self.first_dead_letter = self.read_first_dead_letter(connection, *backlog)?;
                backlog.oldest = self.first_dead_letter.and_then(|first| first.waiting_since);
            }
        }
        Ok(backlogs)
    }

    /// Takes the first dead letter and returns it to the queue at once. While another program browses the dead letters,
    /// or none was removed, it returns the known one. This is not possible in the other queues, where a redelivery
    /// counts.
    fn read_first_dead_letter(
        &self,
        connection: &BrokerConnection,
        backlog: Backlog,
    ) -> Result<Option<FirstDeadLetter>, QueueError> {
        let total = backlog.messages;
        match self.first_dead_letter {
            known if backlog.consumers != Some(0) => return Ok(known),
            _ if total == 0 => return Ok(None),
            Some(known)
                if total >= known.total
                    && (known.read_at.elapsed() < REREAD_AFTER || known.redeliveries >= MAX_REDELIVERIES) =>
            {
                return Ok(Some(FirstDeadLetter { total, ..known }));
            }
            _ => {}
        }
        let queue = self.broker.topology.queue_name(QueueKind::DeadLetter);
        let first = connection.call(|channel| {
            let Some(first) = channel.basic_get(queue, false).map_err(failed)? else { return Ok(None) };
            let properties = first.delivery.properties.clone();
            first.nack(channel, true).map_err(failed)?;
            Ok(Some(properties))
        })?;
        Ok(first.map(|properties| {
            let (message, redeliveries) = properties::to_message(&properties, Vec::new());
            let waiting_since = waiting_since(QueueKind::DeadLetter, &message);
            FirstDeadLetter { waiting_since, total, read_at: Instant::now(), redeliveries }
        }))
    }
}

impl Monitor for RabbitMqMonitor {
    fn backlogs(&mut self) -> Result<[(QueueKind, Backlog); 3], QueueError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => BrokerConnection::open(&self.broker)?,
        };
        match self.poll(&connection) {
            Ok(backlogs) => {
                self.connection = Some(connection);
                Ok(backlogs)
            }
            Err(error) => Err(connection.into_cause(error)),
        }
    }
}

fn failed(error: amiquip::Error) -> QueueError {
    lost(&describe(&error))
}
