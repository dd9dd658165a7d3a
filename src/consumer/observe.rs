//! Metrics, log lines and spans of the consumer. Every label value exists from the start. Each batch has one log line.

use super::Shared;
use super::disposition::Disposition;
use crate::domain::{Outcome, Reason};
use crate::message::Message;
use crate::queue::Delivery;
use crate::telemetry::TRAFFIC;
use crate::telemetry::metrics::{
    AGE_AT_COMMIT, APPLY_DURATION, APPLY_FAILURES, BATCH_SIZE, DEAD_LETTERS, MESSAGES, PAUSED,
};
use crate::telemetry::spans::{self, Kind, Span, Value};
use crate::telemetry::trace::{TRACEPARENT, Trace};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::fmt::Write;
use std::time::SystemTime;
use tracing::Level;
use uuid::Uuid;

/// The values of the metrics' label `outcome`.
const OUTCOMES: [&str; 6] = ["applied", "superseded", "duplicate", "retried", "postponed", "failed"];

/// Why the store did not commit a transaction.
#[derive(Clone, Copy)]
pub(super) enum ApplyErrorClass {
    Unavailable,
    Rejected,
    Misconfigured,
    Panicked,
    Locked,
}

/// The values of the metrics' label `class`, in the order of [`ApplyErrorClass`].
const CLASSES: [&str; 5] = ["unavailable", "rejected", "misconfigured", "panicked", "locked"];

/// Counts one worker as paused until it is dropped.
pub(super) struct PausedWorker(Gauge);

impl Drop for PausedWorker {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

pub(super) struct Metrics {
    pub(super) batch_size: Histogram,
    pub(super) apply_duration: Histogram,
    pub(super) age_at_commit: Histogram,
    paused: Gauge,
    messages: [Counter; OUTCOMES.len()],
    apply_failures: [Counter; CLASSES.len()],
    dead_letters: Vec<(Reason, Counter)>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let paused = gauge!(PAUSED);
        paused.set(0.0);
        Self {
            batch_size: histogram!(BATCH_SIZE),
            apply_duration: histogram!(APPLY_DURATION),
            age_at_commit: histogram!(AGE_AT_COMMIT),
            paused,
            messages: OUTCOMES.map(|outcome| counter!(MESSAGES, "outcome" => outcome)),
            apply_failures: CLASSES.map(|class| counter!(APPLY_FAILURES, "class" => class)),
            dead_letters: Reason::ALL
                .iter()
                .filter(|reason| reason.is_dead_lettered())
                .map(|reason| (*reason, counter!(DEAD_LETTERS, "reason" => reason.as_str())))
                .collect(),
        }
    }

    pub(super) fn pause_worker(&self) -> PausedWorker {
        self.paused.increment(1.0);
        PausedWorker(self.paused.clone())
    }

    pub(super) fn record_apply_error(&self, class: ApplyErrorClass) {
        if let Some(counter) = self.apply_failures.get(class as usize) {
            counter.increment(1);
        }
    }

    pub(super) fn record_settled(&self, counts: &OutcomeCounts) {
        for (counter, count) in self.messages.iter().zip(counts.outcomes) {
            counter.increment(count);
        }
        for (reason, counter) in &self.dead_letters {
            counter.increment(counts.failed.iter().filter(|failed| *failed == reason).count() as u64);
        }
    }
}

/// How many messages had each outcome.
#[derive(Default)]
pub(super) struct OutcomeCounts {
    outcomes: [u64; OUTCOMES.len()],
    failed: Vec<Reason>,
}

impl OutcomeCounts {
    pub(super) fn of(dispositions: &[Disposition]) -> Self {
        let mut counts = Self::default();
        for disposition in dispositions {
            if let Disposition::Decided(Outcome::Failed(reason), _) = disposition {
                counts.failed.push(*reason);
            }
            if let Some(count) = counts.outcomes.get_mut(outcome_index(disposition)) {
                *count += 1;
            }
        }
        counts
    }

    pub(super) fn deferred(count: usize) -> Self {
        let mut counts = Self::default();
        if let Some(deferred) = counts.outcomes.get_mut(DEFERRED) {
            *deferred = count as u64;
        }
        counts
    }
}

/// The index of `postponed` in [`OUTCOMES`].
const DEFERRED: usize = 4;

/// The index in [`OUTCOMES`].
const fn outcome_index(disposition: &Disposition) -> usize {
    match disposition {
        Disposition::Decided(Outcome::Applied, _) => 0,
        Disposition::Decided(Outcome::Superseded, _) => 1,
        Disposition::Decided(Outcome::Duplicate, _) => 2,
        Disposition::Decided(Outcome::Wait(_), _) => 3,
        Disposition::Deferred | Disposition::Split | Disposition::RedeliveredTooOften => DEFERRED,
        Disposition::Decided(Outcome::Failed(_), _) => 5,
    }
}

/// The operation id of a message, for a log line. A message of another program may have personal data in that place.
pub(super) fn operation_id(message: &Message) -> String {
    message.id.parse().map_or_else(|_foreign| "not an operation id".to_owned(), |id: Uuid| id.to_string())
}

/// The span that covers the handling of one message.
pub(super) struct MessageSpan {
    /// The span id of the producer.
    parent: u64,
    pub(super) trace: Trace,
}

impl MessageSpan {
    /// `None` if the trace is not sampled.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let parent = trace_of(message).filter(|trace| cfg!(feature = "otlp") && trace.sampled)?;
        Some(Self { parent: parent.span_id, trace: parent.child() })
    }
}

fn trace_of(message: &Message) -> Option<Trace> {
    Trace::parse(message.headers.text(TRACEPARENT)?)
}

impl Shared {
    /// Reports a settled batch.
    pub(super) fn report(
        &self,
        batch: &[Delivery],
        dispositions: &[Disposition],
        message_spans: &[Option<MessageSpan>],
        began: SystemTime,
    ) {
        let counts = OutcomeCounts::of(dispositions);
        self.metrics.record_settled(&counts);
        let ended = SystemTime::now();
        if tracing::enabled!(target: TRAFFIC, Level::INFO) {
            let [applied, superseded, duplicate, retried, postponed, failed] = counts.outcomes;
            let micros = ended.duration_since(began).unwrap_or_default().as_micros() as u64;
            let (messages, operations) = (batch.len(), operations(batch));
            tracing::info!(
                target: TRAFFIC,
                messages, applied, superseded, duplicate, retried, postponed, failed, micros, operations, "batch"
            );
        }
        for ((delivery, disposition), message_span) in batch.iter().zip(dispositions).zip(message_spans) {
            let Some(MessageSpan { parent, trace }) = message_span else { continue };
            spans::record(trace, || Span {
                trace: *trace,
                parent: Some(*parent),
                name: "process contato".into(),
                kind: Kind::Consumer,
                began,
                ended,
                attributes: vec![
                    ("messaging.operation.type", Value::Text("process".into())),
                    ("messaging.destination.name", Value::Text("contato".into())),
                    ("messaging.batch.message_count", Value::Number(batch.len() as i64)),
                    ("messaging.message.id", Value::Text(operation_id(&delivery.message))),
                    (
                        "contacts.outcome",
                        Value::Text(OUTCOMES.get(outcome_index(disposition)).copied().unwrap_or("").into()),
                    ),
                ],
                failed: matches!(disposition, Disposition::Decided(Outcome::Failed(_), _)),
            });
        }
    }
}

/// The ids of the operations, separated by spaces. A colon and the trace id follow each id that has a trace.
fn operations(batch: &[Delivery]) -> String {
    let mut text = String::with_capacity(batch.len() * 70);
    for delivery in batch {
        let separator = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match (delivery.message.id.parse::<Uuid>(), trace_of(&delivery.message)) {
            (Ok(id), Some(trace)) => write!(text, "{separator}{id}:{}", trace.id()),
            (Ok(id), None) => write!(text, "{separator}{id}"),
            (Err(_foreign), _) => write!(text, "{separator}?"),
        };
    }
    text
}
