//! The exchange for events. Other services bind their queues to it.

use super::super::{Event, EventExchange, QueueError};
use super::Broker;
use super::connection::{BrokerConnection, describe, lost};
use amiquip::{
    AmqpProperties, Channel, Confirm, ConfirmSmoother, Error, ExchangeDeclareOptions, ExchangeType, Publish,
};
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The exchange, without the prefix.
const EXCHANGE: &str = "contato.events";
/// The media type of a CloudEvent in JSON.
const CONTENT_TYPE: &str = "application/cloudevents+json";
/// How long the broker may confirm nothing.
const MAX_SILENCE: Duration = Duration::from_secs(5);

/// Publishes events over one connection, which it opens when it is needed.
pub(super) struct RabbitMqEvents {
    broker: Arc<Broker>,
    open: Option<(BrokerConnection, Receiver<Confirm>, ConfirmSmoother)>,
}

impl RabbitMqEvents {
    pub(super) const fn new(broker: Arc<Broker>) -> Self {
        Self { broker, open: None }
    }

    fn connect(&self) -> Result<(BrokerConnection, Receiver<Confirm>, ConfirmSmoother), QueueError> {
        let connection = BrokerConnection::open(&self.broker)?;
        let name = self.broker.topology.name(EXCHANGE);
        let prepared = connection.call(|channel| {
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(ExchangeType::Topic, name.as_str(), options).map_err(|error| match error {
                Error::ServerClosedChannel { code: 403 | 406, message, .. } => {
                    QueueError::Misconfigured(format!("exchange {name} cannot be declared ({message})"))
                }
                other => lost(&describe(&other)),
            })?;
            let confirms = channel.listen_for_publisher_confirms().map_err(|error| lost(&describe(&error)))?;
            channel.enable_publisher_confirms().map_err(|error| lost(&describe(&error)))?;
            Ok(confirms)
        });
        match prepared {
            Ok(confirms) => Ok((connection, confirms, ConfirmSmoother::new())),
            Err(error) => Err(connection.into_cause(error)),
        }
    }
}

impl EventExchange for RabbitMqEvents {
    fn publish(&mut self, events: &[Event]) -> Result<(), QueueError> {
        let (connection, confirms, mut smoother) = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        let name = self.broker.topology.name(EXCHANGE);
        let sent = connection.within_call_timeout(|| {
            let channel = connection.channel()?;
            events.iter().try_for_each(|event| send(channel, &name, event))
        });
        match sent.and_then(|()| wait_for_confirms(&confirms, &mut smoother, events.len())) {
            Ok(()) => {
                self.open = Some((connection, confirms, smoother));
                Ok(())
            }
            Err(error) => Err(connection.into_cause(error)),
        }
    }

    fn prepare(&mut self) -> Result<(), QueueError> {
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        Ok(())
    }
}

/// An event for which no queue is bound is confirmed and dropped. So it is not mandatory.
fn send(channel: &Channel, exchange: &str, event: &Event) -> Result<(), QueueError> {
    let properties = AmqpProperties::default()
        .with_delivery_mode(2)
        .with_content_type(CONTENT_TYPE.into())
        .with_app_id("contacts".into())
        .with_message_id(event.id.clone())
        .with_type_(event.kind.into())
        .with_timestamp(event.timestamp);
    let publish = Publish::with_properties(&event.body, event.kind, properties);
    channel.basic_publish(exchange, publish).map_err(|error| lost(&describe(&error)))
}

fn wait_for_confirms(
    confirms: &Receiver<Confirm>,
    smoother: &mut ConfirmSmoother,
    count: usize,
) -> Result<(), QueueError> {
    let mut missing = count;
    while missing > 0 {
        let deadline = Instant::now() + MAX_SILENCE;
        let confirm = confirms.recv_deadline(deadline).map_err(|_late| lost("the broker does not confirm events"))?;
        for confirm in smoother.process(confirm) {
            if matches!(confirm, Confirm::Nack(_)) {
                return Err(lost("the broker refuses events: a queue that is bound to the exchange may be full"));
            }
            missing = missing.saturating_sub(1);
        }
    }
    Ok(())
}
