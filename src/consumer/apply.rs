//! Applies a batch of messages in one transaction and decides the disposition of each message.
//!
//! While SQL is unavailable, the worker holds the batch and retries it. If the database rejects a batch, the worker
//! bisects it until one command remains. Only that command fails.

use super::disposition::Disposition;
use super::observe::{ApplyErrorClass, MessageSpan, PausedWorker};
use super::{REDELIVERY_LIMIT, REQUEUE_LIMIT, Shared, Unfinished};
use crate::backoff::Backoff;
use crate::domain::{Attempt, Command, ContactId, FailedOperation, OperationId, Origin, Outcome, Reason};
use crate::message::{Message, Undecodable};
use crate::queue::Delivery;
use crate::store::StoreError;
use crate::telemetry::spans::{self, Kind, Span, Value};
use crate::telemetry::trace::{TRACEPARENT, Trace};
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU128;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

pub(super) struct BatchApplier<'a> {
    shared: &'a Shared,
    backoff: Backoff,
    /// When SQL became unavailable; `None` after a success.
    unavailable_since: Option<(Instant, PausedWorker)>,
    /// How long the worker holds a batch while SQL is unavailable.
    hold: Duration,
    /// The traces of the commands whose spans are recorded.
    traces: HashMap<OperationId, Trace>,
}

/// The minimum time that the worker holds a part of a batch.
const MIN_HOLD: Duration = Duration::from_millis(250);
/// How long SQL must be unavailable before the worker reports it. A deadlock or a race often disappears with the first
/// retry.
const REPORT_AFTER: Duration = Duration::from_millis(500);

/// Why the store did not apply a part of a batch, although SQL is available.
enum Failure {
    Rejected(String),
    Panicked,
}

impl Failure {
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

/// What became of a part of a batch.
enum Applied {
    All(Vec<Outcome>),
    Failed(Failure),
    /// Nothing is applied, because another session has locked these contacts.
    Locked(HashSet<ContactId>),
}

/// Where the command of a message comes from, if this attempt finishes it.
fn origin(message: &Message) -> Origin {
    let trace = message.headers.text(TRACEPARENT).and_then(Trace::parse);
    Origin {
        caller: message.headers.caller().map(Into::into),
        trace_id: trace.and_then(|trace| NonZeroU128::new(trace.trace_id)),
        attempts: message.headers.attempts().saturating_add(1),
    }
}

/// The record of a command that the store cannot apply.
fn failed_operation(attempt: &Attempt, reason: Reason) -> FailedOperation {
    FailedOperation {
        id: attempt.command.operation_id,
        contact_id: attempt.command.contact_id,
        kind: attempt.command.kind(),
        reason,
        replays: attempt.replays,
        accepted_at: attempt.command.accepted_at,
        origin: attempt.origin.clone(),
    }
}

impl<'a> BatchApplier<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        Self { shared, backoff, unavailable_since: None, hold: shared.consumer.hold, traces: HashMap::new() }
    }

    /// Returns one disposition for each delivery, in order.
    pub(super) fn apply(
        mut self,
        batch: &[Delivery],
        decoded: Vec<Result<Command, Undecodable>>,
        message_spans: &[Option<MessageSpan>],
    ) -> Result<Vec<Disposition>, Unfinished> {
        let mut attempts = Vec::with_capacity(batch.len());
        let mut dispositions: Vec<Option<Disposition>> = Vec::with_capacity(batch.len());
        for ((delivery, decoded), message_span) in batch.iter().zip(decoded).zip(message_spans) {
            let headers = &delivery.message.headers;
            if delivery.is_redelivered_pack() {
                dispositions.push(Some(Disposition::Split));
                continue;
            }
            match decoded {
                Ok(_) if delivery.redeliveries >= REDELIVERY_LIMIT && headers.requeues() < REQUEUE_LIMIT => {
                    dispositions.push(Some(Disposition::RedeliveredTooOften));
                }
                Ok(command) => {
                    if let Some(message_span) = message_span {
                        self.traces.insert(command.operation_id, message_span.trace);
                    }
                    attempts.push(Attempt {
                        command,
                        replays: headers.replays(),
                        last_attempt: headers.attempts().saturating_add(1) >= self.shared.retry.max_attempts,
                        // The store only records the failure: another attempt would crash this process, too.
                        must_fail: (delivery.redeliveries >= REDELIVERY_LIMIT).then_some(Reason::DeliveryLimit),
                        origin: origin(&delivery.message),
                    });
                    dispositions.push(None);
                }
                Err(Undecodable { reason, detail }) => {
                    if let Some(failed) = delivery.message.failed_operation(reason, origin(&delivery.message)) {
                        self.record_failure(&failed)?;
                    }
                    dispositions.push(Some(Disposition::Decided(Outcome::Failed(reason), detail)));
                }
            }
        }
        let locked = self.still_locked(&attempts);
        let mut applied = self.apply_unlocked(attempts, &locked)?.into_iter();
        Ok(dispositions.into_iter().filter_map(|disposition| disposition.or_else(|| applied.next())).collect())
    }

    /// Records that an operation failed, so that it is not pending for ever. The dead letter has the reason even if the store
    /// rejects the record.
    fn record_failure(&mut self, failed: &FailedOperation) -> Result<(), Unfinished> {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.shared.store.record_failure(failed))) {
                Ok(Err(StoreError::Unavailable(why) | StoreError::Locked(why))) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Unavailable);
                    self.wait(&why)?;
                }
                Ok(Err(StoreError::Misconfigured(why))) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Misconfigured);
                    self.shared.stop.misconfigured(why);
                    return Err(Unfinished::Stopped);
                }
                Ok(Ok(()) | Err(StoreError::Rejected(_))) | Err(_) => {
                    self.end_wait();
                    return Ok(());
                }
            }
        }
    }

    /// The contacts of these attempts that were locked when a worker last tried, and still are. To find that out costs less
    /// than to wait for the lock again.
    fn still_locked(&self, attempts: &[Attempt]) -> HashSet<ContactId> {
        let known = self.shared.locked.known(attempts.iter().map(|attempt| attempt.command.contact_id));
        if known.is_empty() {
            return HashSet::new();
        }
        // If the store does not answer, applying the attempts finds out why.
        let still = self.shared.store.locked(&known).unwrap_or_default();
        self.shared.locked.update(&known, &still);
        still
    }

    /// Applies the attempts whose contacts are not locked, and defers the others.
    fn apply_unlocked(
        &mut self,
        mut attempts: Vec<Attempt>,
        locked: &HashSet<ContactId>,
    ) -> Result<Vec<Disposition>, Unfinished> {
        let is_locked: Vec<bool> =
            attempts.iter().map(|attempt| locked.contains(&attempt.command.contact_id)).collect();
        attempts.retain(|attempt| !locked.contains(&attempt.command.contact_id));
        let mut applied = if attempts.is_empty() { Vec::new() } else { self.bisect(&attempts)? }.into_iter();
        let disposition = |locked| if locked { Some(Disposition::Deferred) } else { applied.next() };
        Ok(is_locked.into_iter().filter_map(disposition).collect())
    }

    /// Applies the attempts. If the store cannot apply all of them together, applies each half separately.
    fn bisect(&mut self, attempts: &[Attempt]) -> Result<Vec<Disposition>, Unfinished> {
        let failure = match self.apply_with_retries(attempts) {
            Ok(Applied::All(outcomes)) => return Ok(outcomes.into_iter().map(Disposition::from).collect()),
            Ok(Applied::Locked(contacts)) => return self.apply_unlocked(attempts.to_vec(), &contacts),
            Ok(Applied::Failed(failure)) => Some(failure),
            // The store can apply another batch, so a command of this batch blocks it.
            Err(Unfinished::Deferred) if self.shared.store.probe().is_ok() => None,
            Err(unfinished) => return Err(unfinished),
        };
        if let ([attempt], Some(failure)) = (attempts, &failure) {
            tracing::error!(
                operation_id = %attempt.command.operation_id,
                contact_id = %attempt.command.contact_id,
                detail = failure.detail(),
                "command cannot be applied"
            );
            let must_fail = Attempt { must_fail: Some(failure.reason()), ..attempt.clone() };
            let recorded = match self.apply_with_retries(std::slice::from_ref(&must_fail))? {
                Applied::All(outcomes) => outcomes.first().copied(),
                Applied::Locked(_) => return Ok(vec![Disposition::Deferred]),
                Applied::Failed(_) => {
                    // The store cannot even read what it needs to record the failure in the usual way.
                    self.record_failure(&failed_operation(attempt, failure.reason()))?;
                    None
                }
            };
            // The dead letter has the reason even if the store could not record it.
            let outcome = recorded.unwrap_or(Outcome::Failed(failure.reason()));
            return Ok(vec![Disposition::Decided(outcome, failure.detail())]);
        }
        if attempts.len() == 1 {
            return Ok(vec![Disposition::Deferred]);
        }
        if failure.is_none() {
            // The whole batch was held already. Its parts are held for less time, so that the other commands wait less.
            self.hold = (self.hold / 4).max(MIN_HOLD);
        }
        let (first, second) = attempts.split_at(attempts.len() / 2);
        let mut dispositions = self.bisect(first)?;
        dispositions.extend(self.bisect(second)?);
        Ok(dispositions)
    }

    /// Retries until the store applies the attempts or rejects them.
    fn apply_with_retries(&mut self, attempts: &[Attempt]) -> Result<Applied, Unfinished> {
        loop {
            let (began, started) = (SystemTime::now(), Instant::now());
            match catch_unwind(AssertUnwindSafe(|| self.shared.store.apply(attempts))) {
                Ok(Ok(outcomes)) if outcomes.len() == attempts.len() => {
                    self.shared.metrics.apply_duration.record(started.elapsed().as_secs_f64());
                    self.record_ages(attempts, &outcomes);
                    self.record_spans(attempts, began);
                    self.end_wait();
                    self.shared.report_available();
                    return Ok(Applied::All(outcomes));
                }
                Ok(Err(StoreError::Unavailable(why))) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Unavailable);
                    self.wait(&why)?;
                }
                Ok(Err(StoreError::Locked(why))) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Locked);
                    if let Some(contacts) = self.find_locked(attempts) {
                        self.end_wait();
                        return Ok(Applied::Locked(contacts));
                    }
                    // No contact, but perhaps the whole table.
                    self.wait(&why)?;
                }
                Ok(Err(StoreError::Misconfigured(why))) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Misconfigured);
                    self.shared.stop.misconfigured(why);
                    return Err(Unfinished::Stopped);
                }
                Ok(Err(StoreError::Rejected(why))) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Rejected);
                    return Ok(Applied::Failed(Failure::Rejected(why)));
                }
                // A wrong number of outcomes is a bug of the store, like a panic.
                Ok(Ok(_)) | Err(_) => {
                    self.shared.metrics.record_apply_error(ApplyErrorClass::Panicked);
                    return Ok(Applied::Failed(Failure::Panicked));
                }
            }
        }
    }

    /// The contacts of these attempts that another session has locked.
    fn find_locked(&self, attempts: &[Attempt]) -> Option<HashSet<ContactId>> {
        let contacts: Vec<ContactId> = attempts.iter().map(|attempt| attempt.command.contact_id).collect();
        let found = self.shared.store.locked(&contacts).ok().filter(|found| !found.is_empty())?;
        self.shared.locked.update(&contacts, &found);
        Some(found)
    }

    /// Waits before the next retry. Fails if the batch was held for too long or if the role stops.
    fn wait(&mut self, why: &str) -> Result<(), Unfinished> {
        let (since, _) =
            self.unavailable_since.get_or_insert_with(|| (Instant::now(), self.shared.metrics.pause_worker()));
        let since = *since;
        if since.elapsed() > REPORT_AFTER {
            self.shared.report_unavailable(why);
        } else {
            tracing::debug!(reason = why, "batch is retried");
        }
        if self.shared.stop.sleep(self.backoff.next_wait()) {
            Err(Unfinished::Stopped)
        } else if since.elapsed() > self.hold {
            self.end_wait();
            Err(Unfinished::Deferred)
        } else {
            Ok(())
        }
    }

    fn end_wait(&mut self) {
        if self.unavailable_since.take().is_some() {
            self.backoff.reset();
        }
    }

    fn record_ages(&self, attempts: &[Attempt], outcomes: &[Outcome]) {
        let now = chrono::Utc::now();
        // A replayed message waited for the operator, so its age says nothing about the workers.
        let counted = |(attempt, outcome): &(&Attempt, &Outcome)| **outcome == Outcome::Applied && attempt.replays == 0;
        for (attempt, _) in attempts.iter().zip(outcomes).filter(counted) {
            let age = now.signed_duration_since(attempt.command.accepted_at).num_microseconds().unwrap_or(i64::MAX);
            self.shared.metrics.age_at_commit.record(age.max(0) as f64 / 1e6);
        }
    }
}

impl BatchApplier<'_> {
    /// Records one span of the transaction in the trace of each command.
    fn record_spans(&self, attempts: &[Attempt], began: SystemTime) {
        if self.traces.is_empty() {
            return;
        }
        let ended = SystemTime::now();
        for trace in attempts.iter().filter_map(|attempt| self.traces.get(&attempt.command.operation_id)) {
            spans::record(trace, || Span {
                trace: trace.child(),
                parent: Some(trace.span_id),
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
