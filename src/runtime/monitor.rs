//! Exposes the backlog of the queues and the state of the database as metrics.
//!
//! The threads only read. The role does not wait for them when it stops, and nothing depends on their results.

use crate::domain::Timestamp;
use crate::queue::{Backlog, Monitor, QueueKind};
use crate::stop::Stop;
use crate::store::{Store, StoreError};
use crate::telemetry::LastError;
use crate::telemetry::metrics::{
    DATABASE_UP, MetricsExporter, QUEUE_CHANGES, QUEUE_CONSUMERS, QUEUE_MESSAGES, QUEUE_OLDEST_AGE, SCHEMA_CURRENT,
};
use metrics::{Gauge, gauge};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The pause after a check is at least this many times as long as the check took, up to [`MAX_PAUSE`].
const PAUSE_FACTOR: u32 = 20;
/// The maximum pause that a slow check causes.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// A result older than this is no longer shown: the broker or the database may not answer at all.
const STALE_AFTER: Duration = Duration::from_secs(12);

/// Starts the threads. They run until the role stops. `database_error` gets the result of each check.
pub(super) fn start(
    mut monitor: impl Monitor + 'static,
    store: Arc<dyn Store>,
    stop: &Stop,
    exporter: &MetricsExporter,
    database_error: &LastError,
) -> std::io::Result<()> {
    let (queue_check, database_check) = (LastCheck::default(), LastCheck::default());
    let queues = QueueKind::ALL.map(QueueGauges::new);
    let (up, current) = (gauge!(DATABASE_UP), gauge!(SCHEMA_CURRENT));
    let (last_queue_check, last_database_check) = (queue_check.clone(), database_check.clone());
    exporter.before_scrape(move || {
        if last_queue_check.is_stale() {
            queues.iter().for_each(|queue| queue.set(None));
        }
        if last_database_check.is_stale() {
            up.set(0.0);
            current.set(f64::NAN);
        }
    });
    let stop_signal = stop.clone();
    let queues = QueueKind::ALL.map(|kind| (kind, QueueGauges::new(kind)));
    stop.spawn("watch-queue".into(), move || {
        loop {
            let started = Instant::now();
            let backlogs =
                monitor.backlogs().inspect_err(|error| tracing::debug!(%error, "queues cannot be monitored"));
            for (kind, gauges) in &queues {
                let backlog = backlogs.as_ref().ok().and_then(|all| all.iter().find(|(queue, _)| queue == kind));
                gauges.set(backlog.map(|(_, backlog)| backlog));
            }
            queue_check.record();
            if pause(&stop_signal, started) {
                return;
            }
        }
    })?;
    let (stop_signal, database_error) = (stop.clone(), database_error.clone());
    let (up, current) = (gauge!(DATABASE_UP), gauge!(SCHEMA_CURRENT));
    up.set(f64::NAN);
    current.set(f64::NAN);
    stop.spawn("watch-database".into(), move || {
        loop {
            let started = Instant::now();
            let checked = store.check();
            let (is_up, is_current) = match checked {
                Ok(()) => (1.0, 1.0),
                Err(StoreError::Misconfigured(_)) => (1.0, 0.0),
                Err(StoreError::Unavailable(_) | StoreError::Locked(_) | StoreError::Rejected(_)) => (0.0, f64::NAN),
            };
            database_error.set(checked.err().map(|error| error.to_string()));
            up.set(is_up);
            current.set(is_current);
            database_check.record();
            if pause(&stop_signal, started) {
                return;
            }
        }
    })?;
    Ok(())
}

/// The time of the last check; clones share it.
#[derive(Clone, Default)]
struct LastCheck(Arc<Mutex<Option<Instant>>>);

impl LastCheck {
    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the last check is too old. Before the first check there is no result to hide, so this is false.
    fn is_stale(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|checked| checked.elapsed() > STALE_AFTER)
    }
}

/// Waits until the next check. Returns true if the role stops.
fn pause(stop: &Stop, started: Instant) -> bool {
    stop.sleep(CHECK_INTERVAL.max((started.elapsed() * PAUSE_FACTOR).min(MAX_PAUSE)))
}

/// The gauges of one queue.
struct QueueGauges {
    messages: Gauge,
    changes: Gauge,
    consumers: Gauge,
    oldest_age: Gauge,
}

impl QueueGauges {
    fn new(kind: QueueKind) -> Self {
        let gauges = Self {
            messages: gauge!(QUEUE_MESSAGES, "queue" => kind.name()),
            changes: gauge!(QUEUE_CHANGES, "queue" => kind.name()),
            consumers: gauge!(QUEUE_CONSUMERS, "queue" => kind.name()),
            oldest_age: gauge!(QUEUE_OLDEST_AGE, "queue" => kind.name()),
        };
        gauges.set(None);
        gauges
    }

    /// Sets an unknown value to NaN, because 0 or the last value would be wrong.
    fn set(&self, backlog: Option<&Backlog>) {
        self.messages.set(backlog.map_or(f64::NAN, |backlog| backlog.messages as f64));
        self.changes.set(backlog.map_or(f64::NAN, |backlog| backlog.changes));
        self.consumers.set(backlog.and_then(|backlog| backlog.consumers).map_or(f64::NAN, f64::from));
        self.oldest_age.set(match backlog {
            Some(Backlog { oldest: Some(since), .. }) => age(*since),
            Some(Backlog { messages: 0, .. }) => 0.0,
            Some(Backlog { oldest: None, .. }) | None => f64::NAN,
        });
    }
}

/// The age of a timestamp, in seconds.
fn age(since: Timestamp) -> f64 {
    let age = chrono::Utc::now().signed_duration_since(since);
    age.num_milliseconds().max(0) as f64 / 1_000.0
}
