//! Measures the limits of the AMQP library and the broker: publish and consume without other work.

use amiquip::{
    AmqpProperties, Auth, Channel, Confirm, ConfirmSmoother, Connection, ConnectionOptions, ConnectionTuning,
    ConsumerMessage, ConsumerOptions, Publish,
};
use contacts::config::BrokerSettings;
use contacts::message::Message;
use contacts::queue::QueueKind;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::stop::Stop;
use contacts::telemetry::Health;
use crossbeam_channel::Receiver;
use mio::net::TcpStream as MioStream;
use percent_encoding::percent_decode_str;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use url::Url;

/// The maximum time to wait for anything.
pub const MAX_WAIT: Duration = Duration::from_secs(120);

/// Opens a connection with the fastest options of the library, and calls `work` with a channel.
pub fn with_channel<T>(url: &Url, work: impl FnOnce(&Channel) -> T) -> T {
    let stream = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap_or(5672))).unwrap();
    stream.set_nodelay(true).unwrap();
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let auth = Auth::Plain { username: decoded(url.username()), password: decoded(url.password().unwrap_or_default()) };
    let host = url.path().strip_prefix('/').filter(|path| !path.is_empty()).map_or_else(|| "/".to_owned(), decoded);
    let options = ConnectionOptions::default().auth(auth).virtual_host(host).heartbeat(30);
    let tuning = ConnectionTuning::default().mem_channel_bound(4096);
    let stream = MioStream::from_stream(stream).unwrap();
    let mut connection = Connection::insecure_open_stream(stream, options, tuning).unwrap();
    let channel = connection.open_channel(None).unwrap();
    let result = work(&channel);
    drop(channel);
    // All work is confirmed, so an error of the close does not matter.
    let _ = connection.close();
    result
}

/// The broker's name and version.
pub fn version(url: &Url) -> String {
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap_or(5672));
    let connection = Connection::insecure_open(url.as_str());
    let properties = connection.as_ref().map(|connection| connection.server_properties().clone());
    match properties.ok().and_then(|mut properties| properties.remove("version")) {
        Some(amiquip::AmqpValue::LongString(version)) => version,
        _ => format!("unknown, at {host}:{port}"),
    }
}

/// Publishes persistent messages with confirms, at most `window` in flight. Returns the total time.
pub fn publish(url: &Url, queue: &str, messages: &[Message], window: usize) -> Duration {
    with_channel(url, |channel| {
        let mut in_flight = InFlight::new(channel);
        let started = Instant::now();
        for message in messages {
            in_flight.send(channel, queue, message);
            in_flight.receive_ready();
            while in_flight.sent.len() >= window {
                in_flight.wait();
            }
        }
        while !in_flight.sent.is_empty() {
            in_flight.wait();
        }
        started.elapsed()
    })
}

/// Publishes as a producer under load does: with the program's own publisher, in packs.
pub fn publish_in_packs(url: &Url, prefix: &str, messages: &[Message]) {
    let defaults = BrokerSettings::default();
    let settings =
        BrokerSettings { url: contacts::config::Url::from(url.as_str()), prefix: prefix.to_owned(), ..defaults };
    let (stop, health) = (Stop::default(), Health::default());
    let queue = RabbitMq::new(&settings).unwrap();
    let (publisher, thread) = queue.publisher(&settings, health.component("queue"), stop.clone()).unwrap();
    for part in messages.chunks(settings.max_in_flight) {
        let batch = part.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
        assert!(publisher.publish_all(batch, MAX_WAIT).iter().all(Result::is_ok));
    }
    drop(publisher);
    thread.join().unwrap();
}

/// Publishes at a steady rate. Returns the time from the send to the confirm for each message.
pub fn publish_at(url: &Url, queue: &str, messages: &[Message], rate: f64) -> Vec<Duration> {
    with_channel(url, |channel| {
        let mut in_flight = InFlight::new(channel);
        let started = Instant::now();
        for (number, message) in messages.iter().enumerate() {
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            while Instant::now() < due {
                in_flight.receive_until(due);
            }
            in_flight.send(channel, queue, message);
            in_flight.receive_ready();
        }
        while !in_flight.sent.is_empty() {
            in_flight.wait();
        }
        in_flight.latencies
    })
}

/// Takes and acknowledges `count` messages, `batch` at a time. Returns the time from the first message to the last.
pub fn consume(url: &Url, queue: &str, count: usize, prefetch: u16, batch: usize) -> Duration {
    with_channel(url, |channel| {
        channel.qos(0, prefetch, false).unwrap();
        let consumer = channel.basic_consume(queue, ConsumerOptions::default()).unwrap();
        let mut started = None;
        for taken in 1..=count {
            match consumer.receiver().recv_timeout(MAX_WAIT).unwrap() {
                ConsumerMessage::Delivery(delivery) => {
                    started.get_or_insert_with(Instant::now);
                    if taken % batch == 0 || taken == count {
                        consumer.ack_multiple(delivery).unwrap();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        // The answer to the cancel comes after the acknowledgements are handled.
        consumer.cancel().unwrap();
        let duration = started.unwrap().elapsed();
        while let Ok(message) = consumer.receiver().recv_timeout(Duration::from_secs(1)) {
            if matches!(message, ConsumerMessage::ClientCancelled) {
                break;
            }
        }
        duration
    })
}

/// Takes all messages of a queue. Returns the number of changes in them.
pub fn take_changes(url: &Url, queue: &str, messages: usize) -> usize {
    #[derive(serde::Deserialize)]
    struct Pack {
        messages: Vec<serde::de::IgnoredAny>,
    }
    with_channel(url, |channel| {
        let options = ConsumerOptions { no_ack: true, ..ConsumerOptions::default() };
        let consumer = channel.basic_consume(queue, options).unwrap();
        let mut changes = 0;
        for _ in 0..messages {
            match consumer.receiver().recv_timeout(MAX_WAIT).unwrap() {
                ConsumerMessage::Delivery(delivery)
                    if delivery.properties.type_().as_deref() == Some("contact.pack") =>
                {
                    changes += serde_json::from_slice::<Pack>(&delivery.body).unwrap().messages.len();
                }
                ConsumerMessage::Delivery(_) => changes += 1,
                other => panic!("{other:?}"),
            }
        }
        changes
    })
}

/// The messages that are sent and not confirmed, and the latencies of the confirmed messages.
struct InFlight {
    confirms: Receiver<Confirm>,
    smoother: ConfirmSmoother,
    sent: VecDeque<Instant>,
    latencies: Vec<Duration>,
}

impl InFlight {
    fn new(channel: &Channel) -> Self {
        let confirms = channel.listen_for_publisher_confirms().unwrap();
        channel.enable_publisher_confirms().unwrap();
        Self { confirms, smoother: ConfirmSmoother::new(), sent: VecDeque::new(), latencies: Vec::new() }
    }

    /// Publishes a message with the producer's properties, without headers.
    fn send(&mut self, channel: &Channel, queue: &str, message: &Message) {
        let properties = AmqpProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_app_id("contacts".into())
            .with_message_id(message.id.clone())
            .with_type_(message.kind.clone())
            .with_timestamp(message.timestamp);
        self.sent.push_back(Instant::now());
        channel.basic_publish("", Publish::with_properties(&message.body, queue, properties)).unwrap();
    }

    fn receive_ready(&mut self) {
        while let Ok(confirm) = self.confirms.try_recv() {
            self.record(confirm);
        }
    }

    fn receive_until(&mut self, due: Instant) {
        if let Ok(confirm) = self.confirms.recv_deadline(due) {
            self.record(confirm);
        }
    }

    fn wait(&mut self) {
        let confirm = self.confirms.recv_timeout(MAX_WAIT).unwrap();
        self.record(confirm);
    }

    fn record(&mut self, confirm: Confirm) {
        for confirm in self.smoother.process(confirm) {
            assert!(matches!(confirm, Confirm::Ack(_)), "the broker rejected a message");
            self.latencies.push(self.sent.pop_front().unwrap().elapsed());
        }
    }
}
