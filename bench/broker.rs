//! What the client library can do with the broker, and nothing else.

use amiquip::{
    AmqpProperties, Auth, Channel, Confirm, ConfirmSmoother, Connection, ConnectionOptions, ConnectionTuning,
    ConsumerMessage, ConsumerOptions, Publish,
};
use contacts::message::Message;
use crossbeam_channel::Receiver;
use mio::net::TcpStream as MioStream;
use percent_encoding::percent_decode_str;
use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use url::Url;

/// Nothing takes longer than this, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a connection as fast as the library allows, and lets `work` have a channel.
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
    // What was said has been answered; how the goodbye goes changes nothing.
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

/// Publishes persistent messages with confirms, at most `window` of them in flight.
pub fn publish(url: &Url, queue: &str, messages: &[Message], window: usize) -> Duration {
    with_channel(url, |channel| {
        let mut flight = Flight::new(channel);
        let began = Instant::now();
        for message in messages {
            flight.send(channel, queue, message);
            flight.hear();
            while flight.sent.len() >= window {
                flight.wait();
            }
        }
        while !flight.sent.is_empty() {
            flight.wait();
        }
        began.elapsed()
    })
}

/// Publishes at a steady rate; how long each message took to be confirmed.
pub fn publish_at(url: &Url, queue: &str, messages: &[Message], rate: f64) -> Vec<Duration> {
    with_channel(url, |channel| {
        let mut flight = Flight::new(channel);
        let began = Instant::now();
        for (number, message) in messages.iter().enumerate() {
            let due = began + Duration::from_secs_f64(number as f64 / rate);
            while Instant::now() < due {
                flight.hear_until(due);
            }
            flight.send(channel, queue, message);
            flight.hear();
        }
        while !flight.sent.is_empty() {
            flight.wait();
        }
        flight.took
    })
}

/// Takes and acknowledges `count` messages, `batch` at a time, and does nothing with them; from the first on.
pub fn consume(url: &Url, queue: &str, count: usize, prefetch: u16, batch: usize) -> Duration {
    with_channel(url, |channel| {
        channel.qos(0, prefetch, false).unwrap();
        let consumer = channel.basic_consume(queue, ConsumerOptions::default()).unwrap();
        let mut began = None;
        for taken in 1..=count {
            match consumer.receiver().recv_timeout(PATIENCE).unwrap() {
                ConsumerMessage::Delivery(delivery) => {
                    began.get_or_insert_with(Instant::now);
                    if taken % batch == 0 || taken == count {
                        consumer.ack_multiple(delivery).unwrap();
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        // An answer comes after all that was said before it.
        consumer.cancel().unwrap();
        let took = began.unwrap().elapsed();
        while let Ok(message) = consumer.receiver().recv_timeout(Duration::from_secs(1)) {
            if matches!(message, ConsumerMessage::ClientCancelled) {
                break;
            }
        }
        took
    })
}

/// What is sent and not confirmed, and how long the others took.
struct Flight {
    confirms: Receiver<Confirm>,
    smoother: ConfirmSmoother,
    sent: VecDeque<Instant>,
    took: Vec<Duration>,
}

impl Flight {
    fn new(channel: &Channel) -> Self {
        let confirms = channel.listen_for_publisher_confirms().unwrap();
        channel.enable_publisher_confirms().unwrap();
        Self { confirms, smoother: ConfirmSmoother::new(), sent: VecDeque::new(), took: Vec::new() }
    }

    /// With the same properties as ours, without headers.
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

    fn hear(&mut self) {
        while let Ok(confirm) = self.confirms.try_recv() {
            self.note(confirm);
        }
    }

    fn hear_until(&mut self, due: Instant) {
        if let Ok(confirm) = self.confirms.recv_deadline(due) {
            self.note(confirm);
        }
    }

    fn wait(&mut self) {
        let confirm = self.confirms.recv_timeout(PATIENCE).unwrap();
        self.note(confirm);
    }

    fn note(&mut self, confirm: Confirm) {
        for confirm in self.smoother.process(confirm) {
            assert!(matches!(confirm, Confirm::Ack(_)), "the broker refused a message");
            self.took.push(self.sent.pop_front().unwrap().elapsed());
        }
    }
}
