//! The lag of the workers: the age of the oldest command that a worker took and has not finished.

use crate::domain::Timestamp;
use crate::telemetry::metrics::UNAPPLIED_AGE;
use metrics::gauge;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lag of all workers. Clones share it.
#[derive(Clone, Default)]
pub struct LagTracker(Arc<Mutex<Vec<Arc<AtomicI64>>>>);

/// The lag of one worker: when its oldest unfinished command was accepted, in microseconds since 1970. 0 if it has
/// none.
pub(super) struct WorkerLag(Arc<AtomicI64>);

impl LagTracker {
    /// Adds a worker.
    pub(super) fn add_worker(&self) -> WorkerLag {
        let oldest = Arc::new(AtomicI64::new(0));
        self.workers().push(oldest.clone());
        WorkerLag(oldest)
    }

    /// Sets the gauge.
    pub fn export(&self) {
        let now = chrono::Utc::now().timestamp_micros();
        let oldest = self.workers().iter().map(|worker| worker.load(Ordering::Relaxed)).filter(|at| *at > 0).min();
        let age = oldest.map_or(0, |accepted_at| (now - accepted_at).max(0));
        gauge!(UNAPPLIED_AGE).set(age as f64 / 1e6);
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<AtomicI64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WorkerLag {
    /// Records a command that the worker took.
    pub(super) fn record(&self, accepted_at: Timestamp) {
        let at = accepted_at.timestamp_micros();
        let oldest = self.0.load(Ordering::Relaxed);
        if oldest == 0 || at < oldest {
            self.0.store(at, Ordering::Relaxed);
        }
    }

    /// Records that the worker has no unfinished command.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
