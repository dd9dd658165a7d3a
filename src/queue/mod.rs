//! The queue interface: publish with a confirm, take and acknowledge, browse and remove dead letters.
//!
//! The rule of this module: a confirmed message is delivered again until it is acknowledged, even if any process
//! crashes. The queue has no operation to retry or dead-letter. A worker publishes the message to the retry queue or
//! the dead letter queue, waits for the confirm and then acknowledges. This module does not know what is in a body.

pub mod embedded;
mod publisher;
pub mod rabbitmq;

pub use publisher::{ConnectionState, Mailbox, Publication, PublishError, Publisher, mailbox};

use crate::domain::Timestamp;
use crate::message::Message;
use std::time::Duration;

/// The three queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// `contato`: messages that wait to be applied.
    Work,
    /// `contato.retry`: messages that return to [`QueueKind::Work`] after a delay.
    Retry,
    /// `contato.dlq`: messages that wait for an operator.
    DeadLetter,
}

impl QueueKind {
    /// All queues.
    pub const ALL: [Self; 3] = [Self::Work, Self::Retry, Self::DeadLetter];

    /// The name of the queue without the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Work => "contato",
            Self::Retry => "contato.retry",
            Self::DeadLetter => "contato.dlq",
        }
    }
}

/// The kind of a message that holds several changes. They can be of several people.
pub const PACK_KIND: &str = "contact.pack";

/// A message that the queue gave to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How many times the message was delivered before and not acknowledged.
    pub redeliveries: u32,
    /// Whether the broker counts it together with other messages.
    pub packed: bool,
}

impl Delivery {
    /// Whether the message was redelivered together with other messages. It is not known which of them the consumer had
    /// in hand.
    pub const fn is_redelivered_pack(&self) -> bool {
        self.packed && self.redeliveries > 0
    }
}

/// The queue failed. It will deliver all messages again that were taken and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The connection is lost, or the queue was deleted. The caller connects again.
    #[error("{0}")]
    Lost(String),
    /// Another browser has the dead letters. Waiting helps.
    #[error("{0}")]
    Busy(String),
    /// A setting is wrong, or a queue was declared with other arguments. A new connection does not help.
    #[error("{0}")]
    Misconfigured(String),
}

/// The queue as one worker sees it during a session.
pub trait Source {
    /// Waits up to `wait` for the first message, then takes all messages that are ready, up to `max`. An empty batch
    /// means that no message arrived. `None` means that the deliveries were cancelled, by the worker or by the source,
    /// and that all delivered messages are taken.
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError>;

    /// Acknowledges all messages taken so far. They are not delivered again.
    fn acknowledge(&mut self) -> Result<(), QueueError>;

    /// Stops the deliveries. The worker can still take messages that are on the way.
    fn cancel(&mut self) -> Result<(), QueueError>;
}

/// What a worker does in a session.
pub type SessionHandler<'a> = dyn FnMut(&mut dyn Source) -> Result<(), QueueError> + 'a;

/// The work queue.
pub trait Queue: Send + Sync {
    /// Opens a session with at most `prefetch` unacknowledged messages, calls `handler` and closes the session. The
    /// queue delivers the messages again that were taken and not acknowledged.
    fn session(&self, prefetch: u16, handler: &mut SessionHandler<'_>) -> Result<(), QueueError>;
}

/// A dead letter, as a browser returns it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Identifies the dead letter while it is browsed.
    pub tag: u64,
    /// The message.
    pub message: Message,
}

/// Browses the dead letter queue. It returns the dead letters that were there when it started, oldest first and each
/// once. Dead letters that are not removed stay in the queue unchanged.
pub trait DeadLetterBrowser {
    /// The number of dead letters.
    fn total(&self) -> usize;

    /// The next dead letter. `None` after the last one.
    fn next(&mut self) -> Result<Option<DeadLetter>, QueueError>;

    /// Marks the last returned dead letter, so that it can be removed later.
    fn mark_for_removal(&mut self) {}

    /// Removes dead letters that this browser returned and that were marked.
    fn remove(&mut self, tags: &[u64]) -> Result<(), QueueError>;
}

/// What a caller does with a browser.
pub type BrowseHandler<'a> = dyn FnMut(&mut dyn DeadLetterBrowser) -> Result<(), QueueError> + 'a;

/// The dead letter queue.
pub trait DeadLetterQueue: Send + Sync {
    /// Calls `handler` with a browser. Only one browser at a time is possible. This call waits up to 10 s for another
    /// one to finish.
    fn browse(&self, handler: &mut BrowseHandler<'_>) -> Result<(), QueueError>;

    /// Removes what acknowledged messages leave in the files of the queue, if no other process does that. Returns whether
    /// there are such files.
    fn purge_files(&self) -> Result<bool, QueueError> {
        Ok(false)
    }
}

/// The messages that wait in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// The number of messages that are ready for delivery.
    pub messages: u64,
    /// The number of changes in them. It is an estimate if a message can hold several.
    pub changes: f64,
    /// The number of consumers, if known.
    pub consumers: Option<u32>,
    /// Since when the first message waits, if known. A dead letter waits since it failed for the first time. Other
    /// messages wait since they were accepted.
    pub oldest: Option<Timestamp>,
}

/// An event for other services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The operation id as text.
    pub id: String,
    /// The routing key, for example `contact.created`.
    pub kind: &'static str,
    /// In seconds since 1970.
    pub timestamp: u64,
    /// A CloudEvent in JSON.
    pub body: Vec<u8>,
}

/// The exchange to which other services bind their queues.
pub trait EventExchange: Send {
    /// Publishes events in this order, and waits until all are confirmed. After an error, the caller publishes all of them
    /// again.
    fn publish(&mut self, events: &[Event]) -> Result<(), QueueError>;

    /// Creates the exchange, so that others can bind their queues before the first event.
    fn prepare(&mut self) -> Result<(), QueueError>;
}

/// Reads the state of the queues, and changes nothing.
pub trait Monitor: Send {
    /// The backlog of each queue.
    fn backlogs(&mut self) -> Result<[(QueueKind, Backlog); 3], QueueError>;
}

/// Since when a message waits, if its properties and headers say it.
fn waiting_since(queue: QueueKind, message: &Message) -> Option<Timestamp> {
    let failed =
        message.headers.failure().filter(|_| queue == QueueKind::DeadLetter).and_then(|failure| failure.first_at);
    let accepted = || i64::try_from(message.timestamp).ok().filter(|seconds| *seconds > 0);
    failed.or_else(|| Timestamp::from_timestamp(accepted()?, 0))
}
