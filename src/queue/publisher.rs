//! The publisher: a bounded mailbox in front of the one thread that owns the connection.
//!
//! The rule of this module: each caller has a result by its deadline. The result is confirmed, refused or unknown. A
//! message with an unknown result can still be delivered.

use super::QueueKind;
use crate::message::Message;
use crate::telemetry::metrics::{
    CONFIRM_DURATION, PUBLISH_DURATION, PUBLISH_IN_FLIGHT, PUBLISH_WAITING, PUBLISH_WAITING_LIMIT, PUBLISHED,
    QUEUE_BLOCKED, QUEUE_CONNECTED,
};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Why a message is not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PublishError {
    /// The mailbox is full.
    #[error("too many messages are waiting to be published")]
    Full,
    /// The broker accepts no messages because of a resource alarm.
    #[error("the broker refuses messages while its memory or disk alarm is on")]
    Blocked,
    /// There was no connection until the deadline.
    #[error("there is no connection to the broker")]
    Disconnected,
    /// There was no confirm until the deadline. The message may have been sent.
    #[error("the broker did not confirm in time")]
    TimedOut,
    /// The broker has no queue for the message.
    #[error("the broker has no queue for the message")]
    Unroutable,
    /// The broker refused the message, for example because the queue is full.
    #[error("the broker refused the message")]
    Refused,
    /// The process shuts down.
    #[error("the service is shutting down")]
    Closed,
}

impl PublishError {
    /// All errors, for metrics.
    pub const ALL: [Self; 7] =
        [Self::Full, Self::Blocked, Self::Disconnected, Self::TimedOut, Self::Unroutable, Self::Refused, Self::Closed];

    /// The name in metrics and problems.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Blocked => "blocked",
            Self::Disconnected => "disconnected",
            Self::TimedOut => "timed_out",
            Self::Unroutable => "unroutable",
            Self::Refused => "refused",
            Self::Closed => "closed",
        }
    }
}

/// A message that is being published.
#[derive(Debug)]
pub struct Publication {
    /// The queue.
    pub queue: QueueKind,
    /// The message.
    pub message: Message,
    /// How long the message stays in the queue. Only for [`QueueKind::Retry`].
    pub delay: Duration,
    deadline: Instant,
    reply: Reply,
}

/// How the result reaches the caller.
#[derive(Debug)]
enum Reply {
    Task(oneshot::Sender<Result<(), PublishError>>),
    /// To a thread, with the index of the publication in its batch.
    Thread(Sender<(usize, Result<(), PublishError>)>, usize),
}

impl Publication {
    /// Whether no caller waits for the result any more.
    pub fn is_stale(&self, now: Instant) -> bool {
        let abandoned = match &self.reply {
            Reply::Task(reply) => reply.is_closed(),
            Reply::Thread(..) => false,
        };
        abandoned || now >= self.deadline
    }

    /// Sends the result to the caller.
    pub fn reply(self, result: Result<(), PublishError>) {
        // Sending fails only if the caller does not wait any more.
        let _ = match self.reply {
            Reply::Task(reply) => reply.send(result).map_err(drop),
            Reply::Thread(reply, index) => reply.send((index, result)).map_err(drop),
        };
    }
}

/// The state of the connection, as publishers see it.
pub struct ConnectionState {
    connected: AtomicBool,
    blocked: AtomicBool,
    connected_gauge: Gauge,
    blocked_gauge: Gauge,
    waiting: Gauge,
    in_flight: Gauge,
    confirm_duration: Histogram,
}

impl ConnectionState {
    /// Sets whether there is a connection.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        self.connected_gauge.set(f64::from(u8::from(connected)));
    }

    /// Sets whether the broker accepts no messages.
    pub fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
        self.blocked_gauge.set(f64::from(u8::from(blocked)));
    }

    /// Records how long `count` messages took from sending to the confirm.
    pub fn record_confirms(&self, count: usize, took: Duration) {
        self.confirm_duration.record_many(took.as_secs_f64(), count);
    }
}

/// The receiving end, for the thread that owns the connection.
pub struct Mailbox {
    /// Publications in the order of the calls. Disconnected after every [`Publisher`] was dropped.
    pub inbox: Receiver<Publication>,
    /// The state of the connection, shared with the publishers.
    pub connection_state: Arc<ConnectionState>,
}

impl Mailbox {
    /// Sets the gauges: how many publications wait to be sent, and how many wait for a confirm.
    pub fn report_load(&self, in_flight: usize) {
        self.connection_state.waiting.set(self.inbox.len() as f64);
        self.connection_state.in_flight.set(in_flight as f64);
    }
}

impl Drop for Mailbox {
    /// The thread has ended. No caller may wait for it.
    fn drop(&mut self) {
        for publication in self.inbox.try_iter() {
            publication.reply(Err(PublishError::Closed));
        }
        self.connection_state.set_connected(false);
    }
}

/// Publishes messages. Clones share one thread and one connection. After the last clone is dropped, the thread finishes
/// the messages it has and ends.
#[derive(Clone)]
pub struct Publisher {
    outbox: Sender<Publication>,
    connection_state: Arc<ConnectionState>,
    metrics: Arc<Metrics>,
}

/// Makes a publisher and its mailbox. The mailbox holds up to `capacity` publications.
pub fn mailbox(capacity: usize) -> (Publisher, Mailbox) {
    let (outbox, inbox) = bounded(capacity);
    let connection_state = Arc::new(ConnectionState {
        connected: AtomicBool::new(false),
        blocked: AtomicBool::new(false),
        connected_gauge: gauge!(QUEUE_CONNECTED),
        blocked_gauge: gauge!(QUEUE_BLOCKED),
        waiting: gauge!(PUBLISH_WAITING),
        in_flight: gauge!(PUBLISH_IN_FLIGHT),
        confirm_duration: histogram!(CONFIRM_DURATION),
    });
    gauge!(PUBLISH_WAITING_LIMIT).set(capacity as f64);
    connection_state.set_connected(false);
    connection_state.set_blocked(false);
    (
        Publisher { outbox, connection_state: connection_state.clone(), metrics: Arc::new(Metrics::new()) },
        Mailbox { inbox, connection_state },
    )
}

impl Publisher {
    /// Publishes a message. Returns when the broker confirms or refuses it, or after `timeout`.
    pub async fn publish(&self, queue: QueueKind, message: Message, timeout: Duration) -> Result<(), PublishError> {
        let started = Instant::now();
        let (reply, result) = oneshot::channel();
        let publication = Publication {
            queue,
            message,
            delay: Duration::ZERO,
            deadline: started + timeout,
            reply: Reply::Task(reply),
        };
        let result = match self.send(publication) {
            Ok(()) => match tokio::time::timeout(timeout, result).await {
                Ok(result) => result.unwrap_or(Err(PublishError::Closed)),
                Err(_) => Err(self.timeout_error()),
            },
            Err(error) => Err(error),
        };
        self.metrics.record(&result, started.elapsed());
        result
    }

    /// Publishes a batch and blocks until each message has a result, or until `timeout`. Returns one result for each
    /// message, in order.
    pub fn publish_all(
        &self,
        batch: impl IntoIterator<Item = (QueueKind, Message, Duration)>,
        timeout: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let started = Instant::now();
        let deadline = started + timeout;
        let (reply, received) = unbounded();
        let mut results: Vec<Option<Result<(), PublishError>>> = Vec::new();
        for (index, (queue, message, delay)) in batch.into_iter().enumerate() {
            let publication =
                Publication { queue, message, delay, deadline, reply: Reply::Thread(reply.clone(), index) };
            results.push(self.send(publication).err().map(Err));
        }
        drop(reply);
        while results.iter().any(Option::is_none) {
            match received.recv_deadline(deadline) {
                Ok((index, result)) => {
                    if let Some(entry) = results.get_mut(index) {
                        *entry = Some(result);
                    }
                }
                Err(_late_or_closed) => break,
            }
        }
        let results: Vec<_> =
            results.into_iter().map(|result| result.unwrap_or_else(|| Err(self.timeout_error()))).collect();
        for result in &results {
            self.metrics.record(result, started.elapsed());
        }
        results
    }

    fn send(&self, publication: Publication) -> Result<(), PublishError> {
        if self.connection_state.blocked.load(Ordering::Relaxed) {
            return Err(PublishError::Blocked);
        }
        self.outbox.try_send(publication).map_err(|error| match error {
            TrySendError::Full(_) => PublishError::Full,
            TrySendError::Disconnected(_) => PublishError::Closed,
        })
    }

    fn timeout_error(&self) -> PublishError {
        if self.connection_state.connected.load(Ordering::Relaxed) {
            PublishError::TimedOut
        } else {
            PublishError::Disconnected
        }
    }
}

struct Metrics {
    confirmed: Counter,
    errors: [Counter; PublishError::ALL.len()],
    duration: Histogram,
}

impl Metrics {
    fn new() -> Self {
        Self {
            confirmed: counter!(PUBLISHED, "result" => "confirmed"),
            errors: PublishError::ALL.map(|error| counter!(PUBLISHED, "result" => error.as_str())),
            duration: histogram!(PUBLISH_DURATION),
        }
    }

    fn record(&self, result: &Result<(), PublishError>, took: Duration) {
        match result {
            Ok(()) => {
                self.confirmed.increment(1);
                self.duration.record(took.as_secs_f64());
            }
            Err(error) => {
                if let Some(counter) = self.errors.get(*error as usize) {
                    counter.increment(1);
                }
            }
        }
    }
}
