//! RabbitMQ behind the seam, by amiquip. Nothing outside this folder names that library.
//!
//! One thread owns each connection with its channel and consumer; what is known about the library and contained here
//! is listed in `docs/adr/0005-amiquip.md`.

mod connection;
mod dead_letters;
mod endpoint;
mod monitor;
mod properties;
mod publisher;
mod source;
mod topology;

use super::{Browse, DeadLetterQueue, Mailbox, Monitor, Publisher, Queue, QueueError, Work, mailbox};
use crate::config::BrokerSettings;
use crate::stop::Stop;
use crate::telemetry::Component;
use endpoint::Endpoint;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
pub use topology::Topology;

/// A RabbitMQ broker with our queues.
#[derive(Clone)]
pub struct RabbitMq {
    broker: Arc<Broker>,
}

/// What every connection needs to know.
struct Broker {
    endpoint: Endpoint,
    topology: Topology,
    connect_timeout: Duration,
}

impl RabbitMq {
    /// Reads the settings; nothing is connected yet.
    pub fn new(settings: &BrokerSettings) -> Result<Self, QueueError> {
        Ok(Self {
            broker: Arc::new(Broker {
                endpoint: Endpoint::parse(&settings.url)?,
                topology: Topology::new(&settings.prefix),
                connect_timeout: settings.connect_timeout,
            }),
        })
    }

    /// Starts the thread that owns the publishing connection. It ends when every clone of the publisher is dropped.
    pub fn publisher(
        &self,
        settings: &BrokerSettings,
        component: Component,
        stop: Stop,
    ) -> std::io::Result<(Publisher, JoinHandle<()>)> {
        let (publisher, mailbox): (Publisher, Mailbox) = mailbox(settings.max_waiting);
        let publishing =
            publisher::Publishing::new(self.broker.clone(), mailbox, settings.max_in_flight, component, stop.clone());
        let thread = stop.spawn("publisher".into(), move || publishing.run())?;
        Ok((publisher, thread))
    }

    /// What looks at the queues, by a connection of its own.
    pub fn monitor(&self) -> impl Monitor + use<> {
        monitor::Watcher::new(self.broker.clone())
    }
}

impl Queue for RabbitMq {
    fn session(&self, prefetch: u16, work: &mut Work<'_>) -> Result<(), QueueError> {
        source::session(&self.broker, prefetch, work)
    }
}

impl DeadLetterQueue for RabbitMq {
    fn browse(&self, browse: &mut Browse<'_>) -> Result<(), QueueError> {
        dead_letters::browse(&self.broker, browse)
    }
}
