//! RabbitMQ with queues of the test's own, deleted at its end.

use super::{host_and_port, service};
use amiquip::{Connection, Error, Publish, QueueDeleteOptions};
use contacts::config::{BrokerSettings, Url};
use contacts::queue::QueueKind;
use uuid::Uuid;

pub struct Broker {
    pub url: String,
    pub prefix: String,
}

impl Broker {
    pub fn new() -> Self {
        Self::at(&service("CONTACTS_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/%2f"))
    }

    pub fn at(url: &str) -> Self {
        let broker = Self { url: url.to_owned(), prefix: format!("test.{}.", Uuid::now_v7().simple()) };
        broker.connect();
        broker
    }

    pub fn settings(&self) -> BrokerSettings {
        BrokerSettings { url: Url::from(self.url.as_str()), prefix: self.prefix.clone(), ..BrokerSettings::default() }
    }

    /// Host and port.
    pub fn address(&self) -> String {
        host_and_port(&self.url, 5672)
    }

    pub fn connect(&self) -> Connection {
        Connection::insecure_open(&self.url)
            .unwrap_or_else(|error| panic!("RabbitMQ does not answer ({error}): run the tests with `make test`"))
    }

    pub fn queue(&self, lane: QueueKind) -> String {
        format!("{}{}", self.prefix, lane.name())
    }

    /// How many messages are ready in a lane; none in one that was deleted.
    pub fn depth(&self, lane: QueueKind) -> u32 {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        match channel.queue_declare_passive(self.queue(lane)) {
            Ok(queue) => queue.declared_message_count().unwrap(),
            Err(Error::ServerClosedChannel { code: 404, .. }) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// Publishes any bytes to the work lane, as a foreign program would.
    pub fn publish_raw(&self, bodies: &[&[u8]]) {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        for body in bodies {
            channel.basic_publish("", Publish::new(body, self.queue(QueueKind::Work))).unwrap();
        }
        channel.close().unwrap();
        connection.close().unwrap();
    }

    pub fn delete_queue(&self, lane: QueueKind) {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        if let Ok(queue) = channel.queue_declare_passive(self.queue(lane)) {
            queue.delete(QueueDeleteOptions::default()).unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let Ok(mut connection) = Connection::insecure_open(&self.url) else { return };
        for lane in [QueueKind::Work, QueueKind::Retry, QueueKind::DeadLetter] {
            // A queue that was never made closes the channel; the next one gets its own.
            let Ok(channel) = connection.open_channel(None) else { return };
            if let Ok(queue) = channel.queue_declare_passive(self.queue(lane)) {
                let _ = queue.delete(QueueDeleteOptions::default());
            }
        }
    }
}
