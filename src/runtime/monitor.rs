//! What a role shows of its neighbours: what waits in the queues, and whether the database answers.
//!
//! These threads only look. Nothing waits for them at the end of the role, and nothing depends on what they find.

use crate::domain::Timestamp;
use crate::queue::{Backlog, Monitor, QueueKind};
use crate::stop::Stop;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::{
    DATABASE_UP, Exposition, QUEUE_CONSUMERS, QUEUE_MESSAGES, QUEUE_OLDEST_AGE, SCHEMA_CURRENT,
};
use metrics::{Gauge, gauge};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often to look, unless looking takes long.
const PERIOD: Duration = Duration::from_secs(2);
/// The least part of the time that is spent without looking: this many times as long as the look took.
const REST: u32 = 20;
/// No look is older than this, besides the time it took.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What was found longer ago than this is not known any more: whoever is asked may hang instead of refusing.
const STALE: Duration = Duration::from_secs(12);

/// Starts to look until the role ends.
pub(super) fn start(
    mut monitor: impl Monitor + 'static,
    store: Arc<dyn Store>,
    stop: &Stop,
    exposition: &Exposition,
) -> std::io::Result<()> {
    let (queue_seen, database_seen) = (Seen::default(), Seen::default());
    let lanes = QueueKind::ALL.map(Shown::new);
    let (up, current) = (gauge!(DATABASE_UP), gauge!(SCHEMA_CURRENT));
    let (queue, database) = (queue_seen.clone(), database_seen.clone());
    exposition.before_scrape(move || {
        if queue.is_stale() {
            lanes.iter().for_each(|lane| lane.set(None));
        }
        if database.is_stale() {
            up.set(0.0);
            current.set(f64::NAN);
        }
    });
    let watching = stop.clone();
    let lanes = QueueKind::ALL.map(|lane| (lane, Shown::new(lane)));
    stop.spawn("watch-queue".into(), move || {
        loop {
            let began = Instant::now();
            let backlogs = monitor.backlogs().inspect_err(|error| tracing::debug!(%error, "the queues cannot be seen"));
            for (lane, shown) in &lanes {
                let backlog = backlogs.as_ref().ok().and_then(|all| all.iter().find(|(of, _)| of == lane));
                shown.set(backlog.map(|(_, backlog)| backlog));
            }
            queue_seen.now();
            if rest(&watching, began) {
                return;
            }
        }
    })?;
    let watching = stop.clone();
    let (up, current) = (gauge!(DATABASE_UP), gauge!(SCHEMA_CURRENT));
    up.set(f64::NAN);
    current.set(f64::NAN);
    stop.spawn("watch-database".into(), move || {
        loop {
            let began = Instant::now();
            let (answers, fits) = match store.check() {
                Ok(()) => (1.0, 1.0),
                Err(StoreError::Misconfigured(_)) => (1.0, 0.0),
                Err(StoreError::Unavailable(_) | StoreError::Rejected(_)) => (0.0, f64::NAN),
            };
            up.set(answers);
            current.set(fits);
            database_seen.now();
            if rest(&watching, began) {
                return;
            }
        }
    })?;
    Ok(())
}

/// When something was last seen; clones share it.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Option<Instant>>>);

impl Seen {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Not while nothing was seen yet: that is another state.
    fn is_stale(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|seen| seen.elapsed() > STALE)
    }
}

/// Waits for the time of the next look; true if the role ends.
fn rest(stop: &Stop, began: Instant) -> bool {
    stop.sleep(PERIOD.max((began.elapsed() * REST).min(LONGEST_REST)))
}

/// The gauges of a lane.
struct Shown {
    messages: Gauge,
    consumers: Gauge,
    oldest_age: Gauge,
}

impl Shown {
    fn new(lane: QueueKind) -> Self {
        let shown = Self {
            messages: gauge!(QUEUE_MESSAGES, "queue" => lane.name()),
            consumers: gauge!(QUEUE_CONSUMERS, "queue" => lane.name()),
            oldest_age: gauge!(QUEUE_OLDEST_AGE, "queue" => lane.name()),
        };
        shown.set(None);
        shown
    }

    /// What is not known is not a number: neither 0 nor the last value would be true.
    fn set(&self, backlog: Option<&Backlog>) {
        self.messages.set(backlog.map_or(f64::NAN, |backlog| backlog.messages as f64));
        self.consumers.set(backlog.and_then(|backlog| backlog.consumers).map_or(f64::NAN, f64::from));
        self.oldest_age.set(match backlog {
            Some(Backlog { oldest: Some(since), .. }) => age(*since),
            Some(Backlog { messages: 0, .. }) => 0.0,
            Some(Backlog { oldest: None, .. }) | None => f64::NAN,
        });
    }
}

fn age(since: Timestamp) -> f64 {
    let age = chrono::Utc::now().signed_duration_since(since);
    age.num_milliseconds().max(0) as f64 / 1_000.0
}
