//! The loop of one worker: it opens sessions and handles batches.
//!
//! A redelivered message may have crashed its consumer. So redelivered messages are in quarantine: one worker of the
//! process takes them one at a time and holds no other message. Then a crash counts against that message only. At
//! [`super::REDELIVERY_LIMIT`] redeliveries the worker requeues the message. It dead-letters a message that reaches
//! this limit again after [`super::REQUEUE_LIMIT`] requeues. The first message that is not redelivered ends the
//! quarantine.

use super::apply::BatchApplier;
use super::lag::WorkerLag;
use super::observe::MessageSpan;
use super::{Shared, Unfinished};
use crate::backoff::Backoff;
use crate::domain::{Command, Reason};
use crate::message::{Undecodable, decode};
use crate::queue::{Delivery, QueueError, Source};
use crate::store::StoreError;
use crate::telemetry::Component;
use std::panic::catch_unwind;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

/// How long the worker waits for a message before it checks the stop signal.
const IDLE: Duration = Duration::from_millis(200);

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    Stopped,
    Deferred,
    /// The source ended the session. The worker opens a new one.
    Renewed,
    /// No redelivered message is left.
    QuarantineOver,
}

/// How the worker takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// One at a time.
    Quarantine,
    Batches,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    queue: Component,
    lag: WorkerLag,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, queue: Component) -> Self {
        let lag = shared.lag.add_worker();
        Self { shared, queue, lag }
    }

    pub(super) fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut mode = Mode::Quarantine;
        let mut paused = None;
        while !self.shared.stop.is_set() {
            if self.database_is_available() {
                paused = None;
                let mut progress = false;
                match self.session(mode, &mut progress) {
                    Ok(SessionEnd::Stopped) => return,
                    Ok(SessionEnd::QuarantineOver) => {
                        mode = Mode::Batches;
                        backoff.reset();
                        continue;
                    }
                    Ok(SessionEnd::Renewed) => continue,
                    Ok(SessionEnd::Deferred) => {}
                    Err(QueueError::Misconfigured(why)) => {
                        self.queue.set_not_ready(&why);
                        self.shared.stop.misconfigured(why);
                        return;
                    }
                    Err(error @ (QueueError::Lost(_) | QueueError::Busy(_))) => {
                        if self.queue.set_not_ready(error.to_string()) {
                            tracing::warn!(%error, "worker has no connection, trying again");
                        }
                    }
                }
                mode = Mode::Quarantine;
                if progress {
                    backoff.reset();
                }
            } else if paused.is_none() {
                paused = Some(self.shared.metrics.pause_worker());
            }
            self.shared.stop.sleep(backoff.next_wait());
        }
    }

    fn database_is_available(&self) -> bool {
        match self.shared.store.probe() {
            Ok(()) => {
                self.shared.report_available();
                true
            }
            Err(StoreError::Misconfigured(why)) => {
                self.shared.stop.misconfigured(why);
                false
            }
            Err(StoreError::Unavailable(why) | StoreError::Locked(why) | StoreError::Rejected(why)) => {
                self.shared.report_unavailable(&why);
                false
            }
        }
    }

    fn session(&self, mode: Mode, progress: &mut bool) -> Result<SessionEnd, QueueError> {
        let mut end = SessionEnd::Stopped;
        let mut run = |prefetch| {
            self.shared.queue.session(prefetch, &mut |source| {
                end = self.work(source, mode, progress)?;
                Ok(())
            })
        };
        match mode {
            Mode::Batches => run(self.shared.consumer.prefetch)?,
            Mode::Quarantine => {
                let _lock = self.shared.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
                run(1)?;
            }
        }
        Ok(end)
    }

    fn work(&self, source: &mut dyn Source, mode: Mode, progress: &mut bool) -> Result<SessionEnd, QueueError> {
        if self.queue.set_ready() {
            tracing::info!("worker connected");
        }
        let max = if mode == Mode::Quarantine { 1 } else { self.shared.consumer.batch_max };
        let mut end = None;
        loop {
            if end.is_none() && self.shared.stop.is_set() {
                end = Some(SessionEnd::Stopped);
                source.cancel()?;
            }
            // After a cancel, the worker still handles the messages that arrived. Otherwise they would count as
            // redelivered.
            let Some(mut batch) = source.take(max, IDLE)? else { return Ok(end.unwrap_or(SessionEnd::Renewed)) };
            if mode == Mode::Quarantine && batch.iter().any(|delivery| delivery.packed) {
                // The prefetch is one, so these are the other messages of the same pack.
                batch.extend(source.take(self.shared.consumer.batch_max, Duration::ZERO)?.into_iter().flatten());
            }
            // True for an empty batch, too: an empty queue has no redelivered message.
            let none_redelivered = batch.iter().all(|delivery| delivery.redeliveries == 0);
            if mode == Mode::Quarantine && none_redelivered && end.is_none() {
                end = Some(SessionEnd::QuarantineOver);
                // Before the acknowledgement, because the queue then delivers the next message.
                source.cancel()?;
            }
            if batch.is_empty() {
                self.lag.clear();
            } else {
                match self.process(&mut batch) {
                    Ok(()) => {
                        source.acknowledge()?;
                        self.lag.clear();
                        *progress = true;
                    }
                    Err(Unfinished::Stopped) => return Ok(SessionEnd::Stopped),
                    Err(Unfinished::Deferred) => return self.defer(source, batch),
                }
            }
        }
    }

    /// Defers all messages that this worker holds. Without this they would count as redelivered.
    fn defer(&self, source: &mut dyn Source, mut deliveries: Vec<Delivery>) -> Result<SessionEnd, QueueError> {
        source.cancel()?;
        while let Some(more) = source.take(self.shared.consumer.batch_max, IDLE)? {
            deliveries.extend(more);
        }
        if self.shared.defer(deliveries) == Err(Unfinished::Stopped) {
            return Ok(SessionEnd::Stopped);
        }
        source.acknowledge()?;
        Ok(SessionEnd::Deferred)
    }

    /// Applies and settles a batch. Redelivered messages come last, each in a transaction of its own. Redelivered packs
    /// are split.
    fn process(&self, batch: &mut [Delivery]) -> Result<(), Unfinished> {
        self.shared.metrics.batch_size.record(batch.len() as f64);
        // The sort is stable: fresh messages keep their order.
        batch.sort_by_key(|delivery| match delivery {
            Delivery { redeliveries: 0, .. } => (0, 0),
            Delivery { packed: true, .. } => (1, 0),
            Delivery { redeliveries, .. } => (2, *redeliveries),
        });
        let (fresh, redelivered) = batch.split_at(batch.partition_point(|delivery| delivery.redeliveries == 0));
        let (packed, single) = redelivered.split_at(redelivered.partition_point(|delivery| delivery.packed));
        let together = [fresh, packed].into_iter().filter(|group| !group.is_empty());
        together.chain(single.chunks(1)).try_for_each(|group| self.process_together(group))
    }

    fn process_together(&self, batch: &[Delivery]) -> Result<(), Unfinished> {
        let began = SystemTime::now();
        let decoded: Vec<_> = batch.iter().map(decode_delivery).collect();
        for command in decoded.iter().flatten() {
            self.lag.record(command.accepted_at);
        }
        let message_spans: Vec<_> = batch.iter().map(|delivery| MessageSpan::of(&delivery.message)).collect();
        let dispositions = BatchApplier::new(&self.shared).apply(batch, decoded, &message_spans)?;
        self.shared.settle(batch, &dispositions)?;
        self.shared.report(batch, &dispositions, &message_spans, began);
        Ok(())
    }
}

/// The command of a delivery. A body that makes the decoder panic must not stop the worker.
fn decode_delivery(delivery: &Delivery) -> Result<Command, Undecodable> {
    let body = &delivery.message.body;
    catch_unwind(|| decode(body)).unwrap_or_else(|_panic| {
        Err(Undecodable { reason: Reason::Poison, detail: "decoding the message failed inside the program".into() })
    })
}

impl Shared {
    /// Reports that SQL is unavailable. All workers together log it once.
    pub(super) fn report_unavailable(&self, why: &str) {
        if self.database.set_not_ready(format!("paused: {why}")) {
            tracing::warn!(reason = why, "the database cannot be used: consuming is paused");
        }
    }

    pub(super) fn report_available(&self) {
        if self.database.set_ready() {
            tracing::info!("the database can be used");
        }
    }
}
