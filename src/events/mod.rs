//! Publishes an event for each change, for other services.
//!
//! The rule of this module: each change that is committed has an event, at least once, and the events of a contact are in
//! the order of its changes. The change feed is the outbox: the events follow it, and the database keeps how far they are.
//! One process publishes at a time. Nothing that applies changes waits for an event.

mod format;

use crate::backoff::Backoff;
use crate::config::EventSettings;
use crate::domain::Timestamp;
use crate::queue::EventExchange;
use crate::stop::Stop;
use crate::store::{EventLog, Store, StoreError};
use crate::telemetry::metrics::{EVENTS_LAG, EVENTS_PUBLISHED};
use metrics::{Counter, counter, gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many events are published together. The next ones follow after all are confirmed and recorded.
const STEP: u32 = 1_000;
/// How often the change feed is read while there is no new change.
const POLL: Duration = Duration::from_millis(250);
/// How often a process that does not publish asks whether it may.
const CLAIM: Duration = Duration::from_secs(2);
/// After this time without success, a process lets another one try.
const MAX_FAILURE: Duration = Duration::from_secs(30);
/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How late the events of this process are. Clones share it.
#[derive(Clone, Default)]
pub struct EventLag(Arc<AtomicI64>);

impl EventLag {
    /// Sets the gauge.
    pub fn export(&self) {
        let oldest = self.0.load(Ordering::Relaxed);
        let age = if oldest == 0 { 0 } else { (chrono::Utc::now().timestamp_micros() - oldest).max(0) };
        gauge!(EVENTS_LAG).set(age as f64 / 1e6);
    }

    /// Records when the oldest change without an event was applied.
    fn set(&self, oldest: Option<Timestamp>) {
        self.0.store(oldest.map_or(0, |at| at.timestamp_micros()), Ordering::Relaxed);
    }
}

/// Publishes the events of a database.
struct Relay<E> {
    store: Arc<dyn Store>,
    exchange: E,
    settings: EventSettings,
    lag: EventLag,
    published: Counter,
    stop: Stop,
}

/// Starts the thread. It runs until the role stops.
pub fn start(
    store: Arc<dyn Store>,
    exchange: impl EventExchange + 'static,
    settings: &EventSettings,
    lag: EventLag,
    stop: &Stop,
) -> std::io::Result<JoinHandle<()>> {
    let published = counter!(EVENTS_PUBLISHED);
    published.increment(0);
    let mut relay = Relay { store, exchange, settings: settings.clone(), lag, published, stop: stop.clone() };
    stop.spawn("events".into(), move || relay.run())
}

impl<E: EventExchange> Relay<E> {
    fn run(&mut self) {
        let store = self.store.clone();
        let mut failing = false;
        while !self.stop.is_set() {
            let result = match store.event_log() {
                Ok(Some(mut log)) => {
                    tracing::info!("this process publishes the events");
                    self.publish_all(&mut *log)
                }
                // Another process has them. If that one is frozen, this one shows how late they are.
                Ok(None) => store.oldest_without_event().map(|oldest| self.lag.set(oldest)),
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => failing = false,
                Err(error) if std::mem::replace(&mut failing, true) => {
                    tracing::debug!(%error, "the events still wait for the database")
                }
                Err(error) => tracing::warn!(%error, "the events wait for the database"),
            }
            self.stop.sleep(CLAIM);
        }
    }

    /// Publishes until the role stops, until the database fails, or until the broker has taken no event for a while. Then
    /// another process may try.
    fn publish_all(&mut self, log: &mut dyn EventLog) -> Result<(), StoreError> {
        if let Err(error) = self.exchange.prepare() {
            tracing::warn!(%error, "the exchange for events cannot be created, trying again with the first event");
        }
        let mut backoff = Backoff::new(POLL, MAX_PAUSE);
        let mut failing_since: Option<Instant> = None;
        // If one queue refuses its events, the others get those of each try again. So it is only one, until it succeeds: also
        // for a process that takes over from one that failed.
        let mut step = 1;
        while !self.stop.is_set() {
            let started = Instant::now();
            let Some(page) = log.next(step, self.settings.include_contact)? else {
                tracing::error!(
                    "changes were pruned before their events were published, or the database was restored: the events go \
                     on with the oldest change that is kept"
                );
                log.begin_again()?;
                continue;
            };
            let Some(first) = page.changes.first() else {
                self.lag.set(None);
                self.stop.sleep(POLL);
                continue;
            };
            self.lag.set(Some(first.completed_at));
            let EventSettings { source, include_contact, .. } = &self.settings;
            let events: Vec<_> =
                page.changes.iter().map(|change| format::event(change, source, *include_contact)).collect();
            if let Err(error) = self.exchange.publish(&events) {
                if failing_since.is_none() {
                    tracing::warn!(%error, "events cannot be published, trying again");
                }
                step = 1;
                if failing_since.get_or_insert(started).elapsed() > MAX_FAILURE {
                    return Ok(());
                }
                // The page is read again: a contact may be erased meanwhile.
                self.stop.sleep(backoff.next_wait());
                continue;
            }
            log.advance(page.last)?;
            step = STEP;
            self.published.increment(page.changes.len() as u64);
            if failing_since.take().is_some() {
                tracing::info!("events are published again");
                backoff.reset();
            }
            // In a burst, the workers and the broker have at least half of the time for the changes themselves. The events
            // catch up after it.
            self.stop.sleep(started.elapsed());
        }
        Ok(())
    }
}
