//! The worker: takes batches from the queue, applies each in one transaction, settles what became of its messages.
//!
//! The rule this room keeps: a message is acknowledged only after its effect is committed, or after the broker confirmed
//! it in the retry or the dead letter lane. While SQL is away everything waits and nothing goes to the dead letters.

mod apply;
mod disposition;
mod lag;
mod observe;
mod settle;
mod worker;

use crate::config::{ConsumerSettings, RetrySettings};
use crate::queue::{Publisher, Queue};
use crate::stop::Stop;
use crate::store::Store;
use crate::telemetry::{Component, Health};
pub use lag::LagTracker;
use observe::Metrics;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use worker::Worker;

/// How often a message may come back unacknowledged before it is held to be what ends its consumers. Lost connections
/// count, too, but a message that is alone in hand is seldom hit by several in a row.
const REDELIVERY_LIMIT: u32 = 3;
/// How often such a message is put behind the others as a new one before it counts as poison. Returns can come in a row
/// that no try had a part in: RabbitMQ counts one for each consumer that it forgets.
const REQUEUE_LIMIT: u32 = 2;

/// Why a batch was not finished.
#[derive(Debug, PartialEq, Eq)]
enum Unfinished {
    /// The role ends: unacknowledged, the messages go back to the queue.
    Stopped,
    /// SQL has been away for too long: others may have the messages.
    Deferred,
}

/// What all workers of a process share.
struct Shared {
    queue: Arc<dyn Queue>,
    store: Arc<dyn Store>,
    publisher: Publisher,
    consumer: ConsumerSettings,
    retry: RetrySettings,
    database: Component,
    lag: LagTracker,
    /// Held by the one worker that takes messages which came back.
    one_at_a_time: Mutex<()>,
    metrics: Metrics,
    stop: Stop,
}

/// The parts a consumer works with.
pub struct Parts {
    /// Where messages come from.
    pub queue: Arc<dyn Queue>,
    /// Where their effects go.
    pub store: Arc<dyn Store>,
    /// For retries and dead letters.
    pub publisher: Publisher,
    /// How late the workers are.
    pub lag: LagTracker,
}

/// Starts the workers; each ends when `stop` is set and what it holds is settled.
pub fn start(
    parts: Parts,
    consumer: &ConsumerSettings,
    retry: &RetrySettings,
    health: &Health,
    stop: &Stop,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let Parts { queue, store, publisher, lag } = parts;
    let shared = Arc::new(Shared {
        queue,
        store,
        publisher,
        consumer: consumer.clone(),
        retry: retry.clone(),
        database: health.component("database"),
        lag,
        one_at_a_time: Mutex::new(()),
        metrics: Metrics::new(),
        stop: stop.clone(),
    });
    (1..=consumer.workers)
        .map(|number| {
            let worker = Worker::new(shared.clone(), health.component("worker"));
            stop.spawn(format!("worker-{number}"), move || worker.run())
        })
        .collect()
}
