//! One worker's loop: session after session, batch after batch.
//!
//! A message that was handed out and came back may be the one that killed its consumer. So whatever came back is taken
//! one at a time, by one worker of the process, with nothing else in hand: then only the guilty one is counted again, and
//! after [`super::REDELIVERY_LIMIT`] it goes behind the others, and when that did not help, to the dead letters. The first fresh
//! message shows that all of those are done.

use super::apply::BatchApplier;
use super::lag::Oldest;
use super::observe::TraceContext;
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

/// How long to wait for a message before looking at the stop signal.
const IDLE: Duration = Duration::from_millis(200);

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Deferred,
    /// The source ended it, for a new one.
    Renewed,
    /// Nothing that came back before is left.
    Clean,
}

/// How messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    OneAtATime,
    InBatches,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    queue: Component,
    oldest: Oldest,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, queue: Component) -> Self {
        let oldest = shared.lag.of_a_worker();
        Self { shared, queue, oldest }
    }

    pub(super) fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let mut mode = Mode::OneAtATime;
        let mut paused = None;
        while !self.shared.stop.is_set() {
            if self.database_is_usable() {
                paused = None;
                let mut progress = false;
                match self.session(mode, &mut progress) {
                    Ok(End::Stopped) => return,
                    Ok(End::Clean) => {
                        mode = Mode::InBatches;
                        backoff.reset();
                        continue;
                    }
                    Ok(End::Renewed) => continue,
                    Ok(End::Deferred) => {}
                    Err(QueueError::Misconfigured(why)) => {
                        self.queue.not_ready(&why);
                        self.shared.stop.misconfigured(why);
                        return;
                    }
                    Err(error @ QueueError::Lost(_)) => {
                        if self.queue.not_ready(error.to_string()) {
                            tracing::warn!(%error, "worker has no connection, trying again");
                        }
                    }
                }
                mode = Mode::OneAtATime;
                if progress {
                    backoff.reset();
                }
            } else if paused.is_none() {
                paused = Some(self.shared.metrics.paused());
            }
            self.shared.stop.sleep(backoff.next_wait());
        }
    }

    fn database_is_usable(&self) -> bool {
        match self.shared.store.probe() {
            Ok(()) => {
                self.shared.resumed();
                true
            }
            Err(StoreError::Misconfigured(why)) => {
                self.shared.stop.misconfigured(why);
                false
            }
            Err(StoreError::Unavailable(why) | StoreError::Rejected(why)) => {
                self.shared.paused(&why);
                false
            }
        }
    }

    fn session(&self, mode: Mode, progress: &mut bool) -> Result<End, QueueError> {
        let mut end = End::Stopped;
        let mut run = |prefetch| {
            self.shared.queue.session(prefetch, &mut |source| {
                end = self.work(source, mode, progress)?;
                Ok(())
            })
        };
        match mode {
            Mode::InBatches => run(self.shared.consumer.prefetch)?,
            Mode::OneAtATime => {
                let _alone = self.shared.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
                run(1)?;
            }
        }
        Ok(end)
    }

    fn work(&self, source: &mut dyn Source, mode: Mode, progress: &mut bool) -> Result<End, QueueError> {
        if self.queue.ready() {
            tracing::info!("worker connected");
        }
        let max = if mode == Mode::OneAtATime { 1 } else { self.shared.consumer.batch_max };
        let mut end = None;
        loop {
            if end.is_none() && self.shared.stop.is_set() {
                end = Some(End::Stopped);
                source.cancel()?;
            }
            // After a cancel, what has arrived is still applied: given back, it would count as redeliveries.
            let Some(mut batch) = source.take(max, IDLE)? else { return Ok(end.unwrap_or(End::Renewed)) };
            // An empty queue has nothing that came back, either.
            let fresh = batch.iter().all(|delivery| delivery.redeliveries == 0);
            if mode == Mode::OneAtATime && fresh && end.is_none() {
                end = Some(End::Clean);
                // Before the acknowledgement, which would bring the next one.
                source.cancel()?;
            }
            if batch.is_empty() {
                self.oldest.finished();
            } else {
                match self.process(&mut batch) {
                    Ok(()) => {
                        source.acknowledge()?;
                        self.oldest.finished();
                        *progress = true;
                    }
                    Err(Unfinished::Stopped) => return Ok(End::Stopped),
                    Err(Unfinished::Deferred) => return self.defer(source, batch),
                }
            }
        }
    }

    /// Puts what this worker holds into the retry lane, as it is: given back instead, it would count as redeliveries.
    fn defer(&self, source: &mut dyn Source, mut held: Vec<Delivery>) -> Result<End, QueueError> {
        source.cancel()?;
        while let Some(more) = source.take(self.shared.consumer.batch_max, IDLE)? {
            held.extend(more);
        }
        if self.shared.defer(held) == Err(Unfinished::Stopped) {
            return Ok(End::Stopped);
        }
        source.acknowledge()?;
        Ok(End::Deferred)
    }

    /// Applies and settles a batch; what came back among it last, and each alone.
    fn process(&self, batch: &mut [Delivery]) -> Result<(), Unfinished> {
        self.shared.metrics.batch_size.record(batch.len() as f64);
        batch.sort_by_key(|delivery| delivery.redeliveries);
        let fresh = batch.partition_point(|delivery| delivery.redeliveries == 0);
        let (fresh, redeliveries) = batch.split_at(fresh);
        let mut groups = [fresh].into_iter().filter(|group| !group.is_empty()).chain(redeliveries.chunks(1));
        groups.try_for_each(|group| self.process_together(group))
    }

    fn process_together(&self, batch: &[Delivery]) -> Result<(), Unfinished> {
        let began = SystemTime::now();
        let decoded: Vec<_> = batch.iter().map(decoded).collect();
        for command in decoded.iter().flatten() {
            self.oldest.began(command.accepted_at);
        }
        let trace_contexts: Vec<_> = batch.iter().map(|delivery| TraceContext::of(&delivery.message)).collect();
        let dispositions = BatchApplier::new(&self.shared).apply(batch, decoded, &trace_contexts)?;
        self.shared.settle(batch, &dispositions)?;
        self.shared.tell(batch, &dispositions, &trace_contexts, began);
        Ok(())
    }
}

/// The command of a delivery. Foreign bytes must not end a worker, whatever they do to a parser.
fn decoded(delivery: &Delivery) -> Result<Command, Undecodable> {
    let body = &delivery.message.body;
    catch_unwind(|| decode(body)).unwrap_or_else(|_panic| {
        Err(Undecodable { reason: Reason::Poison, detail: "decoding the message failed inside the program".into() })
    })
}

impl Shared {
    /// SQL cannot be used: said once, however many workers and messages wait.
    pub(super) fn paused(&self, why: &str) {
        if self.database.not_ready(format!("paused: {why}")) {
            tracing::warn!(reason = why, "the database cannot be used: consuming is paused");
        }
    }

    pub(super) fn resumed(&self) {
        if self.database.ready() {
            tracing::info!("the database can be used");
        }
    }
}
