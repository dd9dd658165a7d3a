//! The queue on RabbitMQ, with the library amiquip. Only this folder uses that library.
//!
//! One thread owns each connection with its channel and consumer. `docs/adr/0005-amiquip.md` lists the defects of the
//! library and how this folder handles them.

mod connection;
mod dead_letters;
mod endpoint;
mod events;
mod in_flight;
mod monitor;
mod pack;
mod properties;
mod publisher;
mod source;
mod topology;

use super::{
    BrowseHandler, DeadLetterQueue, EventExchange, Monitor, Publisher, Queue, QueueError, SessionHandler, mailbox,
};
use crate::config::BrokerSettings;
use crate::stop::Stop;
use crate::telemetry::Component;
use endpoint::Endpoints;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
pub use topology::Topology;

/// A RabbitMQ broker with the three queues.
#[derive(Clone)]
pub struct RabbitMq {
    broker: Arc<Broker>,
}

/// The settings of every connection.
struct Broker {
    endpoints: Endpoints,
    topology: Topology,
    connect_timeout: Duration,
    pack_size: pack::AverageSize,
}

impl RabbitMq {
    /// Checks the settings. It opens no connection.
    pub fn new(settings: &BrokerSettings) -> Result<Self, QueueError> {
        Ok(Self {
            broker: Arc::new(Broker {
                endpoints: Endpoints::parse(&settings.url)?,
                topology: Topology::new(&settings.prefix),
                connect_timeout: settings.connect_timeout,
                pack_size: pack::AverageSize::default(),
            }),
        })
    }

    /// Starts the publisher thread, which owns one connection. It ends after every clone of the publisher is dropped.
    pub fn publisher(
        &self,
        settings: &BrokerSettings,
        component: Component,
        stop: Stop,
    ) -> std::io::Result<(Publisher, JoinHandle<()>)> {
        let (publisher, mailbox) = mailbox(settings.max_waiting);
        let publisher_thread =
            publisher::PublisherThread::new(self.broker.clone(), mailbox, settings, component, stop.clone());
        let thread = stop.spawn("publisher".into(), move || publisher_thread.run())?;
        Ok((publisher, thread))
    }

    /// The exchange for events, with its own connection.
    pub fn events(&self) -> impl EventExchange + use<> {
        events::RabbitMqEvents::new(self.broker.clone())
    }

    /// A monitor with its own connection.
    pub fn monitor(&self) -> impl Monitor + use<> {
        monitor::RabbitMqMonitor::new(self.broker.clone())
    }
}

impl Queue for RabbitMq {
    fn session(&self, prefetch: u16, handler: &mut SessionHandler<'_>) -> Result<(), QueueError> {
        source::session(&self.broker, prefetch, handler)
    }
}

impl DeadLetterQueue for RabbitMq {
    fn browse(&self, handler: &mut BrowseHandler<'_>) -> Result<(), QueueError> {
        dead_letters::browse(&self.broker, handler)
    }
}
