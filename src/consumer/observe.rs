//! What is told of the consumer's work: metrics with every label set from the start, a line for each batch, spans.

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

/// How a message was settled, as the metrics name it.
const OUTCOMES: [&str; 6] = ["applied", "superseded", "duplicate", "retried", "postponed", "failed"];

/// Why a transaction was not committed, as the metrics name it.
#[derive(Clone, Copy)]
pub(super) enum ApplyErrorClass {
    Unavailable,
    Rejected,
    Misconfigured,
    Panicked,
}

const CLASSES: [&str; 4] = ["unavailable", "rejected", "misconfigured", "panicked"];

/// A worker that waits for SQL, as long as this lives.
pub(super) struct Paused(Gauge);

impl Drop for Paused {
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
                .map(|reason| (*reason, counter!(DEAD_LETTERS, "reason" => reason.as_str())))
                .collect(),
        }
    }

    pub(super) fn paused(&self) -> Paused {
        self.paused.increment(1.0);
        Paused(self.paused.clone())
    }

    pub(super) fn not_committed(&self, class: ApplyErrorClass) {
        if let Some(counter) = self.apply_failures.get(class as usize) {
            counter.increment(1);
        }
    }

    pub(super) fn settled(&self, tally: &Tally) {
        for (counter, count) in self.messages.iter().zip(tally.outcomes) {
            counter.increment(count);
        }
        for (reason, counter) in &self.dead_letters {
            counter.increment(tally.failed.iter().filter(|failed| *failed == reason).count() as u64);
        }
    }
}

/// How many messages were settled in which way.
#[derive(Default)]
pub(super) struct Tally {
    outcomes: [u64; OUTCOMES.len()],
    failed: Vec<Reason>,
}

impl Tally {
    pub(super) fn of(dispositions: &[Disposition]) -> Self {
        let mut tally = Self::default();
        for disposition in dispositions {
            if let Disposition::Decided(Outcome::Failed(reason), _) = disposition {
                tally.failed.push(*reason);
            }
            if let Some(count) = tally.outcomes.get_mut(index(disposition)) {
                *count += 1;
            }
        }
        tally
    }

    pub(super) fn deferred(count: usize) -> Self {
        let mut tally = Self::default();
        if let Some(postponed) = tally.outcomes.get_mut(DEFERRED) {
            *postponed = count as u64;
        }
        tally
    }
}

const DEFERRED: usize = 4;

/// The place among [`OUTCOMES`].
const fn index(disposition: &Disposition) -> usize {
    match disposition {
        Disposition::Decided(Outcome::Applied, _) => 0,
        Disposition::Decided(Outcome::Superseded, _) => 1,
        Disposition::Decided(Outcome::Duplicate, _) => 2,
        Disposition::Decided(Outcome::Wait(_), _) => 3,
        Disposition::Deferred | Disposition::RedeliveredTooOften => DEFERRED,
        Disposition::Decided(Outcome::Failed(_), _) => 5,
    }
}

/// A message's operation id for a log line. A foreign message may have anything there, perhaps a person's name.
pub(super) fn operation_id(message: &Message) -> String {
    message.id.parse().map_or_else(|_foreign| "not an operation id".to_owned(), |id: Uuid| id.to_string())
}

/// Where the work on a message stands in the message's trace.
pub(super) struct TraceContext {
    came_from: u64,
    pub(super) trace: Trace,
}

impl TraceContext {
    /// Nothing if the trace is not recorded.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let sender = trace_of(message).filter(|trace| cfg!(feature = "otlp") && trace.sampled)?;
        Some(Self { came_from: sender.span_id, trace: sender.child() })
    }
}

fn trace_of(message: &Message) -> Option<Trace> {
    Trace::parse(message.headers.text(TRACEPARENT)?)
}

impl Shared {
    /// Tells what became of a batch.
    pub(super) fn tell(
        &self,
        batch: &[Delivery],
        dispositions: &[Disposition],
        trace_contexts: &[Option<TraceContext>],
        began: SystemTime,
    ) {
        let tally = Tally::of(dispositions);
        self.metrics.settled(&tally);
        let ended = SystemTime::now();
        if tracing::enabled!(target: TRAFFIC, Level::INFO) {
            let [applied, superseded, duplicate, retried, postponed, failed] = tally.outcomes;
            let micros = ended.duration_since(began).unwrap_or_default().as_micros() as u64;
            let (messages, operations) = (batch.len(), operations(batch));
            tracing::info!(
                target: TRAFFIC,
                messages, applied, superseded, duplicate, retried, postponed, failed, micros, operations, "batch"
            );
        }
        for ((delivery, disposition), place) in batch.iter().zip(dispositions).zip(trace_contexts) {
            let Some(TraceContext { came_from, trace }) = place else { continue };
            spans::record(trace, || Span {
                trace: *trace,
                parent: Some(*came_from),
                name: "process contato".into(),
                kind: Kind::Consumer,
                began,
                ended,
                attributes: vec![
                    ("messaging.operation.type", Value::Text("process".into())),
                    ("messaging.destination.name", Value::Text("contato".into())),
                    ("messaging.batch.message_count", Value::Number(batch.len() as i64)),
                    ("messaging.message.id", Value::Text(operation_id(&delivery.message))),
                    ("contacts.outcome", Value::Text(OUTCOMES.get(index(disposition)).copied().unwrap_or("").into())),
                ],
                failed: matches!(disposition, Disposition::Decided(Outcome::Failed(_), _)),
            });
        }
    }
}

/// Each operation's id, with that of its trace behind a colon.
fn operations(batch: &[Delivery]) -> String {
    let mut text = String::with_capacity(batch.len() * 70);
    for delivery in batch {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match (delivery.message.id.parse::<Uuid>(), trace_of(&delivery.message)) {
            (Ok(id), Some(trace)) => write!(text, "{gap}{id}:{}", trace.id()),
            (Ok(id), None) => write!(text, "{gap}{id}"),
            (Err(_foreign), _) => write!(text, "{gap}?"),
        };
    }
    text
}
