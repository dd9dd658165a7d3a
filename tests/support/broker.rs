//! A connection to RabbitMQ for one test. The test's queues have their own prefix and are deleted at its end.

use super::{MAX_WAIT, environment_variable, host_and_port};
use amiquip::{
    AmqpProperties, AmqpValue, Channel, ConfirmSmoother, Connection, Error, ExchangeDeclareOptions, ExchangeType,
    FieldTable, Publish, QueueDeclareOptions, QueueDeleteOptions,
};
use contacts::config::{BrokerSettings, Url};
use contacts::queue::QueueKind;
use uuid::Uuid;

pub struct Broker {
    pub url: String,
    pub prefix: String,
}

impl Broker {
    pub fn new() -> Self {
        Self::with_url(&environment_variable("CONTACTS_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/%2f"))
    }

    pub fn with_url(url: &str) -> Self {
        let broker = Self { url: url.to_owned(), prefix: format!("test.{}.", Uuid::now_v7().simple()) };
        broker.connect();
        broker
    }

    /// Without packs, so that the depth of a queue is the number of changes.
    pub fn settings(&self) -> BrokerSettings {
        BrokerSettings {
            url: Url::from(self.url.as_str()),
            prefix: self.prefix.clone(),
            pack_max: 1,
            ..BrokerSettings::default()
        }
    }

    /// Host and port.
    pub fn address(&self) -> String {
        host_and_port(&self.url, 5672)
    }

    pub fn connect(&self) -> Connection {
        self.try_connect()
            .unwrap_or_else(|error| panic!("RabbitMQ does not answer ({error}): run the tests with `make test`"))
    }

    /// Connects to the first node that answers.
    fn try_connect(&self) -> Result<Connection, Error> {
        let open = |node: &Url| Connection::insecure_open(&format!("{}?connection_timeout=5000", node.reveal()));
        let mut nodes = Url::from(self.url.as_str()).for_each_host();
        let last = nodes.pop().unwrap();
        nodes.iter().find_map(|node| open(node).ok()).map_or_else(|| open(&last), Ok)
    }

    pub fn queue_name(&self, kind: QueueKind) -> String {
        format!("{}{}", self.prefix, kind.name())
    }

    /// The number of messages that are ready in a queue. 0 if the queue does not exist.
    pub fn depth(&self, kind: QueueKind) -> u32 {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        match channel.queue_declare_passive(self.queue_name(kind)) {
            Ok(queue) => queue.declared_message_count().unwrap(),
            Err(Error::ServerClosedChannel { code: 404, .. }) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// Declares the exchange of the events, as another service would. Returns its name.
    pub fn declare_event_exchange(&self, channel: &Channel) -> String {
        let exchange = format!("{}contato.events", self.prefix);
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(ExchangeType::Topic, exchange.as_str(), options).unwrap();
        exchange
    }

    /// Whether the service has declared the exchange for events.
    pub fn has_event_exchange(&self) -> bool {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        let exchange = format!("{}contato.events", self.prefix);
        channel.exchange_declare_passive(exchange).is_ok()
    }

    /// The name of the queue of [`Self::subscribe`].
    pub fn subscription(&self) -> String {
        format!("{}subscription", self.prefix)
    }

    /// Binds a queue for all events, as another service would that must not miss one. The queue survives the loss of a node.
    /// It gives its messages to one consumer at a time: after a fault, the next consumer gets what the last one did not
    /// acknowledge, and later messages after that.
    pub fn subscribe(&self) {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        let exchange = self.declare_event_exchange(&channel);
        let mut arguments = FieldTable::new();
        arguments.insert("x-queue-type".into(), AmqpValue::LongString("quorum".into()));
        arguments.insert("x-single-active-consumer".into(), AmqpValue::Boolean(true));
        let options = QueueDeclareOptions { durable: true, arguments, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(self.subscription(), options).unwrap();
        channel.queue_bind(queue.name(), exchange, "contact.*", FieldTable::new()).unwrap();
    }

    /// Publishes arbitrary bytes to the work queue, as a foreign program could.
    pub fn publish_raw(&self, bodies: &[&[u8]]) {
        let messages: Vec<_> = bodies.iter().map(|body| (*body, AmqpProperties::default())).collect();
        self.publish_messages(&messages);
    }

    /// Publishes bodies with properties to the work queue.
    pub fn publish_messages(&self, messages: &[(&[u8], AmqpProperties)]) {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        // Without its confirm, a quorum queue can lose a message when the channel closes.
        let confirms = channel.listen_for_publisher_confirms().unwrap();
        channel.enable_publisher_confirms().unwrap();
        for (body, properties) in messages {
            let publish = Publish::with_properties(body, self.queue_name(QueueKind::Work), properties.clone());
            channel.basic_publish("", publish).unwrap();
        }
        let (mut smoother, mut confirmed) = (ConfirmSmoother::new(), 0);
        while confirmed < messages.len() {
            confirmed += smoother.process(confirms.recv_timeout(MAX_WAIT).unwrap()).count();
        }
        channel.close().unwrap();
        connection.close().unwrap();
    }

    pub fn delete_queue(&self, kind: QueueKind) {
        let mut connection = self.connect();
        let channel = connection.open_channel(None).unwrap();
        if let Ok(queue) = channel.queue_declare_passive(self.queue_name(kind)) {
            queue.delete(QueueDeleteOptions::default()).unwrap();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let Ok(mut connection) = self.try_connect() else { return };
        let queues = [QueueKind::Work, QueueKind::Retry, QueueKind::DeadLetter].map(|kind| self.queue_name(kind));
        for queue in queues.into_iter().chain([self.subscription()]) {
            // RabbitMQ closes the channel if the queue does not exist, so each queue gets its own channel.
            let Ok(channel) = connection.open_channel(None) else { return };
            if let Ok(queue) = channel.queue_declare_passive(queue) {
                let _ = queue.delete(QueueDeleteOptions::default());
            }
        }
        let Ok(channel) = connection.open_channel(None) else { return };
        if let Ok(exchange) = channel.exchange_declare_passive(format!("{}contato.events", self.prefix)) {
            let _ = exchange.delete(false);
        }
    }
}
