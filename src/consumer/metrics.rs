//! The consumer's metric handles, every label set present from the start.

use crate::domain::{Outcome, Reason};
use crate::telemetry::metrics::{AGE_AT_COMMIT, APPLY_DURATION, BATCH_SIZE, DEAD_LETTERS, MESSAGES, PAUSED};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub(super) struct Metrics {
    pub(super) batch_size: Histogram,
    pub(super) apply_duration: Histogram,
    pub(super) age_at_commit: Histogram,
    pub(super) paused: Gauge,
    applied: Counter,
    superseded: Counter,
    duplicate: Counter,
    retried: Counter,
    postponed: Counter,
    failed: Counter,
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
            applied: counter!(MESSAGES, "outcome" => "applied"),
            superseded: counter!(MESSAGES, "outcome" => "superseded"),
            duplicate: counter!(MESSAGES, "outcome" => "duplicate"),
            retried: counter!(MESSAGES, "outcome" => "retried"),
            postponed: counter!(MESSAGES, "outcome" => "postponed"),
            failed: counter!(MESSAGES, "outcome" => "failed"),
            dead_letters: Reason::ALL
                .iter()
                .map(|reason| (*reason, counter!(DEAD_LETTERS, "reason" => reason.as_str())))
                .collect(),
        }
    }

    pub(super) fn postponed(&self, count: usize) {
        self.postponed.increment(count as u64);
    }

    pub(super) fn settled(&self, outcome: Outcome) {
        match outcome {
            Outcome::Applied => self.applied.increment(1),
            Outcome::Superseded => self.superseded.increment(1),
            Outcome::Duplicate => self.duplicate.increment(1),
            Outcome::Wait(_) => self.retried.increment(1),
            Outcome::Failed(reason) => {
                self.failed.increment(1);
                if let Some((_, counter)) = self.dead_letters.iter().find(|(known, _)| *known == reason) {
                    counter.increment(1);
                }
            }
        }
    }
}
