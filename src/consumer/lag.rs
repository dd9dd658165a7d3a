//! How late the workers are: since when the oldest command waits that one of them took and could not finish.

use crate::domain::Timestamp;
use crate::telemetry::metrics::UNAPPLIED_AGE;
use metrics::gauge;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lag of all workers; clones share it.
#[derive(Clone, Default)]
pub struct LagTracker(Arc<Mutex<Vec<Arc<AtomicI64>>>>);

/// One worker's part: when the oldest of what it works at was accepted, in microseconds since 1970; 0 for nothing.
pub(super) struct Oldest(Arc<AtomicI64>);

impl LagTracker {
    pub(super) fn of_a_worker(&self) -> Oldest {
        let oldest = Arc::new(AtomicI64::new(0));
        self.workers().push(oldest.clone());
        Oldest(oldest)
    }

    /// Sets the gauge.
    pub fn export(&self) {
        let now = chrono::Utc::now().timestamp_micros();
        let since = self.workers().iter().map(|oldest| oldest.load(Ordering::Relaxed)).filter(|at| *at > 0).min();
        let age = since.map_or(0, |since| (now - since).max(0));
        gauge!(UNAPPLIED_AGE).set(age as f64 / 1e6);
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<AtomicI64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Oldest {
    /// Notes a command that was taken.
    pub(super) fn began(&self, accepted_at: Timestamp) {
        let at = accepted_at.timestamp_micros();
        let known = self.0.load(Ordering::Relaxed);
        if known == 0 || at < known {
            self.0.store(at, Ordering::Relaxed);
        }
    }

    /// Notes that nothing is left undone.
    pub(super) fn finished(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
