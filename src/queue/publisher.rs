//! The publishing half of the seam: a bounded mailbox in front of the one thread that owns the connection.
//!
//! Whoever publishes has an answer by the deadline: confirmed, refused, or unknown. "Unknown" may still be delivered.

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

/// Why a message is not known to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PublishError {
    /// Too many publications wait already.
    #[error("too many messages are waiting to be published")]
    Full,
    /// The broker takes no messages because a resource alarm is on.
    #[error("the broker refuses messages while its memory or disk alarm is on")]
    Blocked,
    /// There is no connection, and none came up before the deadline.
    #[error("there is no connection to the broker")]
    Disconnected,
    /// No confirm came before the deadline; it may have been sent or not.
    #[error("the broker did not confirm in time")]
    TimedOut,
    /// No queue took it.
    #[error("the broker has no queue for the message")]
    Unroutable,
    /// The broker refused it, for example because the queue is full.
    #[error("the broker refused the message")]
    Refused,
    /// The process is shutting down.
    #[error("the service is shutting down")]
    Closed,
}

impl PublishError {
    /// Every error, for metrics.
    pub const ALL: [Self; 7] =
        [Self::Full, Self::Blocked, Self::Disconnected, Self::TimedOut, Self::Unroutable, Self::Refused, Self::Closed];

    /// The word used in metrics and problems.
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

/// A message on its way to a lane.
#[derive(Debug)]
pub struct Publication {
    /// Where to.
    pub lane: QueueKind,
    /// What.
    pub message: Message,
    /// For [`QueueKind::Retry`]: how long it stays there.
    pub delay: Duration,
    deadline: Instant,
    reply: Reply,
}

/// Who waits for the answer.
#[derive(Debug)]
enum Reply {
    Task(oneshot::Sender<Result<(), PublishError>>),
    /// A thread, with the place of this publication in its batch.
    Thread(Sender<(usize, Result<(), PublishError>)>, usize),
}

impl Publication {
    /// Whether nobody waits for the answer any more.
    pub fn is_stale(&self, now: Instant) -> bool {
        let abandoned = match &self.reply {
            Reply::Task(reply) => reply.is_closed(),
            Reply::Thread(..) => false,
        };
        abandoned || now >= self.deadline
    }

    /// Answers whoever waits.
    pub fn answer(self, result: Result<(), PublishError>) {
        // The one who asked may have gone; then nobody needs the answer.
        let _ = match self.reply {
            Reply::Task(reply) => reply.send(result).map_err(drop),
            Reply::Thread(reply, place) => reply.send((place, result)).map_err(drop),
        };
    }
}

/// The state of the connection, as those who publish see it.
pub struct Condition {
    connected: AtomicBool,
    blocked: AtomicBool,
    connected_gauge: Gauge,
    blocked_gauge: Gauge,
    waiting: Gauge,
    in_flight: Gauge,
    confirm_duration: Histogram,
}

impl Condition {
    /// Sets whether there is a connection.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        self.connected_gauge.set(f64::from(u8::from(connected)));
    }

    /// Sets whether the broker takes no messages.
    pub fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
        self.blocked_gauge.set(f64::from(u8::from(blocked)));
    }

    /// Notes how long `count` messages took from being sent to being safe.
    pub fn confirmed(&self, count: usize, took: Duration) {
        self.confirm_duration.record_many(took.as_secs_f64(), count);
    }
}

/// The thread's end of the mailbox.
pub struct Mailbox {
    /// Publications in the order they were asked for; disconnected once every [`Publisher`] is gone.
    pub inbox: Receiver<Publication>,
    /// The state shown to those who publish.
    pub condition: Arc<Condition>,
}

impl Mailbox {
    /// Shows how many publications wait to be sent and how many to be confirmed.
    pub fn show_load(&self, in_flight: usize) {
        self.condition.waiting.set(self.inbox.len() as f64);
        self.condition.in_flight.set(in_flight as f64);
    }
}

impl Drop for Mailbox {
    /// The thread has ended: nobody must wait for it.
    fn drop(&mut self) {
        for publication in self.inbox.try_iter() {
            publication.answer(Err(PublishError::Closed));
        }
        self.condition.set_connected(false);
    }
}

/// A handle to publish with; clones share one thread and one connection. The thread finishes what it has and ends when
/// the last of them is dropped.
#[derive(Clone)]
pub struct Publisher {
    outbox: Sender<Publication>,
    condition: Arc<Condition>,
    metrics: Arc<Metrics>,
}

/// Makes a publisher whose mailbox holds `capacity` publications, and the mailbox for the thread behind it.
pub fn mailbox(capacity: usize) -> (Publisher, Mailbox) {
    let (outbox, inbox) = bounded(capacity);
    let condition = Arc::new(Condition {
        connected: AtomicBool::new(false),
        blocked: AtomicBool::new(false),
        connected_gauge: gauge!(QUEUE_CONNECTED),
        blocked_gauge: gauge!(QUEUE_BLOCKED),
        waiting: gauge!(PUBLISH_WAITING),
        in_flight: gauge!(PUBLISH_IN_FLIGHT),
        confirm_duration: histogram!(CONFIRM_DURATION),
    });
    gauge!(PUBLISH_WAITING_LIMIT).set(capacity as f64);
    condition.set_connected(false);
    condition.set_blocked(false);
    (
        Publisher { outbox, condition: condition.clone(), metrics: Arc::new(Metrics::new()) },
        Mailbox { inbox, condition },
    )
}

impl Publisher {
    /// Publishes, and resolves when the broker has the message safely or `timeout` is over.
    pub async fn publish(&self, lane: QueueKind, message: Message, timeout: Duration) -> Result<(), PublishError> {
        let started = Instant::now();
        let (reply, answer) = oneshot::channel();
        let publication = Publication {
            lane,
            message,
            delay: Duration::ZERO,
            deadline: started + timeout,
            reply: Reply::Task(reply),
        };
        let result = match self.send(publication) {
            Ok(()) => match tokio::time::timeout(timeout, answer).await {
                Ok(answer) => answer.unwrap_or(Err(PublishError::Closed)),
                Err(_) => Err(self.overdue()),
            },
            Err(error) => Err(error),
        };
        self.metrics.published(&result, started.elapsed());
        result
    }

    /// Publishes a batch for a worker thread and waits until all of it is answered or `timeout` is over: one answer each,
    /// in order.
    pub fn publish_all(
        &self,
        batch: impl IntoIterator<Item = (QueueKind, Message, Duration)>,
        timeout: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let started = Instant::now();
        let deadline = started + timeout;
        let (reply, answers) = unbounded();
        let mut results: Vec<Option<Result<(), PublishError>>> = Vec::new();
        for (place, (lane, message, delay)) in batch.into_iter().enumerate() {
            let publication =
                Publication { lane, message, delay, deadline, reply: Reply::Thread(reply.clone(), place) };
            results.push(self.send(publication).err().map(Err));
        }
        drop(reply);
        while results.iter().any(Option::is_none) {
            match answers.recv_deadline(deadline) {
                Ok((place, answer)) => {
                    if let Some(result) = results.get_mut(place) {
                        *result = Some(answer);
                    }
                }
                Err(_late_or_closed) => break,
            }
        }
        let results: Vec<_> = results.into_iter().map(|result| result.unwrap_or_else(|| Err(self.overdue()))).collect();
        for result in &results {
            self.metrics.published(result, started.elapsed());
        }
        results
    }

    fn send(&self, publication: Publication) -> Result<(), PublishError> {
        if self.condition.blocked.load(Ordering::Relaxed) {
            return Err(PublishError::Blocked);
        }
        self.outbox.try_send(publication).map_err(|error| match error {
            TrySendError::Full(_) => PublishError::Full,
            TrySendError::Disconnected(_) => PublishError::Closed,
        })
    }

    fn overdue(&self) -> PublishError {
        if self.condition.connected.load(Ordering::Relaxed) {
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

    fn published(&self, result: &Result<(), PublishError>, took: Duration) {
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
