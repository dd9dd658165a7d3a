//! A batch to outcomes: one transaction, unless something in the data forbids it.
//!
//! While SQL is away the batch is held and tried again. When the data is at fault the batch is halved until the faulty
//! command stands alone; only that one fails.

use super::disposition::Disposition;
use super::observe::{ApplyErrorClass, Paused, TraceContext};
use super::{REDELIVERY_LIMIT, REQUEUE_LIMIT, Shared, Unfinished};
use crate::backoff::Backoff;
use crate::domain::{Attempt, Command, OperationId, Outcome, Reason};
use crate::message::Undecodable;
use crate::queue::Delivery;
use crate::store::StoreError;
use crate::telemetry::spans::{self, Kind, Span, Value};
use crate::telemetry::trace::Trace;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

pub(super) struct BatchApplier<'a> {
    shared: &'a Shared,
    backoff: Backoff,
    /// Since when SQL has been away without a success in between.
    waiting_since: Option<(Instant, Paused)>,
    /// How long that may last.
    hold: Duration,
    /// Where those commands stand whose traces are recorded.
    trace_contexts: HashMap<OperationId, Trace>,
}

/// The shortest time that a part of a batch is held.
const SHORTEST_HOLD: Duration = Duration::from_millis(250);

/// Why a part of a batch was not written.
enum Fault {
    Rejected(String),
    Panicked,
}

impl Fault {
    const fn reason(&self) -> Reason {
        match self {
            Self::Rejected(_) => Reason::RejectedByDatabase,
            Self::Panicked => Reason::Poison,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Rejected(why) => format!("{}: {why}", self.reason().sentence()),
            Self::Panicked => self.reason().sentence().to_owned(),
        }
    }
}

impl<'a> BatchApplier<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        Self { shared, backoff, waiting_since: None, hold: shared.consumer.hold, trace_contexts: HashMap::new() }
    }

    /// One disposition for each delivery, in order.
    pub(super) fn apply(
        mut self,
        batch: &[Delivery],
        decoded: Vec<Result<Command, Undecodable>>,
        trace_contexts: &[Option<TraceContext>],
    ) -> Result<Vec<Disposition>, Unfinished> {
        let mut attempts = Vec::with_capacity(batch.len());
        let mut dispositions: Vec<Option<Disposition>> = Vec::with_capacity(batch.len());
        for ((delivery, decoded), place) in batch.iter().zip(decoded).zip(trace_contexts) {
            let headers = &delivery.message.headers;
            match decoded {
                Ok(_) if delivery.redeliveries >= REDELIVERY_LIMIT && headers.suspicions() < REQUEUE_LIMIT => {
                    dispositions.push(Some(Disposition::RedeliveredTooOften));
                }
                Ok(command) => {
                    if let Some(place) = place {
                        self.trace_contexts.insert(command.operation_id, place.trace);
                    }
                    attempts.push(Attempt {
                        command,
                        replays: headers.replays(),
                        last_attempt: headers.attempts().saturating_add(1) >= self.shared.retry.max_attempts,
                        // Not tried any more, only recorded: the try would be the end of this process, too.
                        must_fail: (delivery.redeliveries >= REDELIVERY_LIMIT).then_some(Reason::DeliveryLimit),
                    });
                    dispositions.push(None);
                }
                Err(Undecodable { reason, detail }) => {
                    dispositions.push(Some(Disposition::Decided(Outcome::Failed(reason), detail)));
                }
            }
        }
        let mut applied = if attempts.is_empty() { Vec::new() } else { self.halving(&attempts)? }.into_iter();
        Ok(dispositions.into_iter().filter_map(|disposition| disposition.or_else(|| applied.next())).collect())
    }

    fn halving(&mut self, attempts: &[Attempt]) -> Result<Vec<Disposition>, Unfinished> {
        let fault = match self.persevering(attempts) {
            Ok(Ok(outcomes)) => return Ok(outcomes.into_iter().map(Disposition::from).collect()),
            Ok(Err(fault)) => Some(fault),
            // If another batch could be applied, something in this one is in the way.
            Err(Unfinished::Deferred) if self.shared.store.probe().is_ok() => None,
            Err(unfinished) => return Err(unfinished),
        };
        if let ([only], Some(fault)) = (attempts, &fault) {
            tracing::error!(
                operation_id = %only.command.operation_id,
                contact_id = %only.command.contact_id,
                detail = fault.detail(),
                "a command cannot be applied"
            );
            let must_fail = Attempt { must_fail: Some(fault.reason()), ..only.clone() };
            let recorded = self.persevering(std::slice::from_ref(&must_fail))?;
            // Recorded or not, the dead letter says it.
            let outcome = match recorded.ok().and_then(|outcomes| outcomes.first().copied()) {
                Some(outcome) => outcome,
                None => Outcome::Failed(fault.reason()),
            };
            return Ok(vec![Disposition::Decided(outcome, fault.detail())]);
        }
        if attempts.len() == 1 {
            return Ok(vec![Disposition::Deferred]);
        }
        if fault.is_none() {
            // What is in the way has had its time; its parts get less, so that the others need not wait so long.
            self.hold = (self.hold / 4).max(SHORTEST_HOLD);
        }
        let (first, second) = attempts.split_at(attempts.len() / 2);
        let mut dispositions = self.halving(first)?;
        dispositions.extend(self.halving(second)?);
        Ok(dispositions)
    }

    /// Tries until SQL takes the attempts or shows that they are at fault.
    fn persevering(&mut self, attempts: &[Attempt]) -> Result<Result<Vec<Outcome>, Fault>, Unfinished> {
        loop {
            let (began, started) = (SystemTime::now(), Instant::now());
            match catch_unwind(AssertUnwindSafe(|| self.shared.store.apply(attempts))) {
                Ok(Ok(outcomes)) if outcomes.len() == attempts.len() => {
                    self.shared.metrics.apply_duration.record(started.elapsed().as_secs_f64());
                    self.note_ages(attempts, &outcomes);
                    self.trace(attempts, began);
                    self.go_on();
                    self.shared.resumed();
                    return Ok(Ok(outcomes));
                }
                Ok(Err(StoreError::Unavailable(why))) => {
                    self.shared.metrics.not_committed(ApplyErrorClass::Unavailable);
                    self.wait(&why)?;
                }
                Ok(Err(StoreError::Misconfigured(why))) => {
                    self.shared.metrics.not_committed(ApplyErrorClass::Misconfigured);
                    self.shared.stop.misconfigured(why);
                    return Err(Unfinished::Stopped);
                }
                Ok(Err(StoreError::Rejected(why))) => {
                    self.shared.metrics.not_committed(ApplyErrorClass::Rejected);
                    return Ok(Err(Fault::Rejected(why)));
                }
                // A store that answers for other messages than it was asked about is as broken as one that panics.
                Ok(Ok(_)) | Err(_) => {
                    self.shared.metrics.not_committed(ApplyErrorClass::Panicked);
                    return Ok(Err(Fault::Panicked));
                }
            }
        }
    }

    /// Holds the batch for a while; after too long, or when the role ends, lets it go.
    fn wait(&mut self, why: &str) -> Result<(), Unfinished> {
        let (since, _) = self.waiting_since.get_or_insert_with(|| (Instant::now(), self.shared.metrics.paused()));
        let since = *since;
        // A deadlock or a race heals at the first new try: not worth a word.
        if since.elapsed() > Duration::from_millis(500) {
            self.shared.paused(why);
        } else {
            tracing::debug!(reason = why, "a batch is tried again");
        }
        if self.shared.stop.sleep(self.backoff.next_wait()) {
            Err(Unfinished::Stopped)
        } else if since.elapsed() > self.hold {
            self.go_on();
            Err(Unfinished::Deferred)
        } else {
            Ok(())
        }
    }

    fn go_on(&mut self) {
        if self.waiting_since.take().is_some() {
            self.backoff.reset();
        }
    }

    fn note_ages(&self, attempts: &[Attempt], outcomes: &[Outcome]) {
        let now = chrono::Utc::now();
        // One that an operator replayed is late by the time that it waited for the operator.
        let counted = |(attempt, outcome): &(&Attempt, &Outcome)| **outcome == Outcome::Applied && attempt.replays == 0;
        for (attempt, _) in attempts.iter().zip(outcomes).filter(counted) {
            let age = now.signed_duration_since(attempt.command.accepted_at).num_microseconds().unwrap_or(i64::MAX);
            self.shared.metrics.age_at_commit.record(age.max(0) as f64 / 1e6);
        }
    }
}

impl BatchApplier<'_> {
    /// The transaction, in the trace of each of its commands.
    fn trace(&self, attempts: &[Attempt], began: SystemTime) {
        if self.trace_contexts.is_empty() {
            return;
        }
        let ended = SystemTime::now();
        for place in attempts.iter().filter_map(|attempt| self.trace_contexts.get(&attempt.command.operation_id)) {
            spans::record(place, || Span {
                trace: place.child(),
                parent: Some(place.span_id),
                name: "apply".into(),
                kind: Kind::Client,
                began,
                ended,
                attributes: vec![("db.operation.batch.size", Value::Number(attempts.len() as i64))],
                failed: false,
            });
        }
    }
}
