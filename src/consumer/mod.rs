//! The workers. A worker takes a batch of messages, applies it in one transaction and settles each message.
//!
//! The rule of this module: a worker acknowledges a message only after the store committed its effect, or after the
//! broker confirmed it in the retry queue or the dead letter queue. While SQL is unavailable, messages wait and none
//! is dead-lettered.

mod apply;
mod disposition;
mod lag;
mod locked;
mod observe;
mod settle;
mod worker;

use crate::config::{ConsumerSettings, RetrySettings};
use crate::queue::{Publisher, Queue};
use crate::stop::Stop;
use crate::store::Store;
use crate::telemetry::{Component, Health};
pub use lag::LagTracker;
use locked::LockedContacts;
use observe::Metrics;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use worker::Worker;

/// How many redeliveries make a message suspicious: it may crash its consumers. Lost connections count, too. A message
/// in quarantine rarely meets several of them in a row.
const REDELIVERY_LIMIT: u32 = 3;
/// How many times a worker requeues such a message before it is a poison message. The redelivery count alone is not
/// enough: RabbitMQ also adds one for each consumer that it lost, without any delivery.
const REQUEUE_LIMIT: u32 = 2;

/// Why a batch was not finished.
#[derive(Debug, PartialEq, Eq)]
enum Unfinished {
    /// The role stops. The messages are not acknowledged, so the queue delivers them again.
    Stopped,
    /// SQL was unavailable for too long. The worker defers the messages.
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
    /// Locked by the one worker that takes redelivered messages.
    quarantine: Mutex<()>,
    locked: LockedContacts,
    metrics: Metrics,
    stop: Stop,
}

/// What a consumer needs.
pub struct Parts {
    /// The queue that delivers messages.
    pub queue: Arc<dyn Queue>,
    /// The store that applies commands.
    pub store: Arc<dyn Store>,
    /// Publishes to the retry queue and the dead letter queue.
    pub publisher: Publisher,
    /// Tracks the lag of the workers.
    pub lag: LagTracker,
}

/// Starts the workers. After `stop` is set, each worker settles the messages it holds and then ends.
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
        quarantine: Mutex::new(()),
        locked: LockedContacts::new(retry.delay),
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
