//! The queue seam: publish with a confirm, take and acknowledge, look at the dead letters and remove some.
//!
//! The rule this room keeps: a message that was confirmed is handed out again and again until it is acknowledged, over
//! crashes of anyone. Retry and dead-letter are not operations of their own: a worker publishes the message to that
//! lane, waits for the confirm, then acknowledges. This room must not know what a message says.

pub mod embedded;
mod publisher;
pub mod rabbitmq;

pub use publisher::{Condition, Mailbox, Publication, PublishError, Publisher, mailbox};

use crate::domain::Timestamp;
use crate::message::Message;
use std::time::Duration;

/// The three queues of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// `contato`: to be applied.
    Work,
    /// `contato.retry`: goes back to [`QueueKind::Work`] after a delay.
    Retry,
    /// `contato.dlq`: waits for an operator.
    DeadLetter,
}

impl QueueKind {
    /// Every lane.
    pub const ALL: [Self; 3] = [Self::Work, Self::Retry, Self::DeadLetter];

    /// The queue's name without the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Work => "contato",
            Self::Retry => "contato.retry",
            Self::DeadLetter => "contato.dlq",
        }
    }
}

/// A message handed to a worker.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How often it was handed out before and came back without an acknowledgement.
    pub redeliveries: u32,
}

/// The queue failed; everything taken and not acknowledged will be handed out again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The connection, or the queue itself, is gone: connect again.
    #[error("{0}")]
    Lost(String),
    /// It can never work as it is set up: an address that is none, queues declared otherwise.
    #[error("{0}")]
    Misconfigured(String),
}

/// One worker's view of the queue while its session lasts.
pub trait Source {
    /// Waits up to `wait` for the first message and then takes what is ready, up to `max`. An empty batch means that
    /// nothing came; `None` that deliveries were cancelled, by us or by the source, and all that had arrived are taken.
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError>;

    /// Acknowledges everything taken so far: it will not be handed out again.
    fn acknowledge(&mut self) -> Result<(), QueueError>;

    /// Asks for no more deliveries; those already on the way can still be taken.
    fn cancel(&mut self) -> Result<(), QueueError>;
}

/// What a worker does with its session.
pub type Work<'a> = dyn FnMut(&mut dyn Source) -> Result<(), QueueError> + 'a;

/// A place to take messages from.
pub trait Queue: Send + Sync {
    /// Opens a session of at most `prefetch` unacknowledged messages, runs `work` in it, and closes it. What was taken
    /// and not acknowledged by then will be handed out again.
    fn session(&self, prefetch: u16, work: &mut Work<'_>) -> Result<(), QueueError>;
}

/// A dead letter as one look shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Names it while the look lasts.
    pub tag: u64,
    /// The message.
    pub message: Message,
}

/// One look at the dead letters. It shows what was there when it began, oldest first and each once; whatever is not
/// removed is there afterwards as it was.
pub trait DeadLetterBrowser {
    /// How many there are.
    fn total(&self) -> usize;

    /// The next one; `None` after the last.
    fn next(&mut self) -> Result<Option<DeadLetter>, QueueError>;

    /// Notes that the one just shown may be removed later.
    fn mark_for_removal(&mut self) {}

    /// Removes letters that this look has shown and that were held.
    fn remove(&mut self, tags: &[u64]) -> Result<(), QueueError>;
}

/// What is done during a look.
pub type Browse<'a> = dyn FnMut(&mut dyn DeadLetterBrowser) -> Result<(), QueueError> + 'a;

/// A place where dead letters wait.
pub trait DeadLetterQueue: Send + Sync {
    /// Lets `look` look. On RabbitMQ only one look at a time is possible: it waits a little for another to end.
    fn browse(&self, browse: &mut Browse<'_>) -> Result<(), QueueError>;
}

/// What waits in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that can be handed out.
    pub messages: u64,
    /// How many take from it, if the queue can tell.
    pub consumers: Option<u32>,
    /// Since when the first of them has been there, if the queue can tell: a dead letter since it first failed, any other
    /// since it was accepted.
    pub oldest: Option<Timestamp>,
}

/// Looks at the lanes from time to time, and leaves everything there.
pub trait Monitor: Send {
    /// What waits in each lane.
    fn backlogs(&mut self) -> Result<[(QueueKind, Backlog); 3], QueueError>;
}

/// Since when a message waits, as far as it tells itself.
fn waiting_since(lane: QueueKind, message: &Message) -> Option<Timestamp> {
    let failed =
        message.headers.failure().filter(|_| lane == QueueKind::DeadLetter).and_then(|failure| failure.first_at);
    let accepted = || i64::try_from(message.timestamp).ok().filter(|seconds| *seconds > 0);
    failed.or_else(|| Timestamp::from_timestamp(accepted()?, 0))
}
