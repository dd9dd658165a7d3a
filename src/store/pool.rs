//! A pool of connections with metrics.

use super::StoreError;
use crate::telemetry::metrics::{
    CONNECTION_TIMEOUTS, CONNECTION_WAIT, CONNECTIONS, CONNECTIONS_LIMIT, CONNECTIONS_WAITING,
};
use diesel::r2d2::event::{CheckinEvent, CheckoutEvent, TimeoutEvent};
use diesel::r2d2::{CustomizeConnection, HandleEvent, ManageConnection, NopErrorHandler, Pool, PooledConnection};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::time::Duration;

/// The purpose of a pool, as in its metrics.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Writes, and reads if there is no pool for reads.
    Writes,
    /// Reads.
    Reads,
    /// Checks whether the database answers. They must not wait for other work. This pool has no metrics.
    Checks,
}

/// A pool; clones share it.
pub(super) struct Connections<M: ManageConnection> {
    pool: Pool<M>,
    waiting: Gauge,
}

impl<M: ManageConnection> Clone for Connections<M> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), waiting: self.waiting.clone() }
    }
}

impl<M: ManageConnection> Connections<M> {
    /// Creates a pool. It connects at the first use.
    pub(super) fn new(
        purpose: Purpose,
        manager: M,
        size: u32,
        timeout: Duration,
        session: impl CustomizeConnection<M::Connection, M::Error>,
    ) -> Self {
        let (waiting, events) = match purpose {
            Purpose::Writes => metrics_of("writes", size),
            Purpose::Reads => metrics_of("reads", size),
            Purpose::Checks => (Gauge::noop(), Events::noop()),
        };
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(timeout)
            .connection_customizer(Box::new(session))
            .error_handler(Box::new(NopErrorHandler))
            .event_handler(Box::new(events))
            .build_unchecked(manager);
        Self { pool, waiting }
    }

    /// Waits for a free or a new connection.
    pub(super) fn get(&self) -> Result<PooledConnection<M>, StoreError> {
        self.waiting.increment(1.0);
        let connection = self.pool.get();
        self.waiting.decrement(1.0);
        connection.map_err(StoreError::pool)
    }
}

/// The metrics of a pool.
fn metrics_of(pool: &'static str, size: u32) -> (Gauge, Events) {
    gauge!(CONNECTIONS_LIMIT, "pool" => pool).set(f64::from(size));
    let events = Events {
        in_use: gauge!(CONNECTIONS, "pool" => pool),
        wait: histogram!(CONNECTION_WAIT, "pool" => pool),
        timeouts: counter!(CONNECTION_TIMEOUTS, "pool" => pool),
    };
    (gauge!(CONNECTIONS_WAITING, "pool" => pool), events)
}

/// Counts the events of a pool.
#[derive(Debug)]
struct Events {
    in_use: Gauge,
    wait: Histogram,
    timeouts: Counter,
}

impl Events {
    fn noop() -> Self {
        Self { in_use: Gauge::noop(), wait: Histogram::noop(), timeouts: Counter::noop() }
    }
}

impl HandleEvent for Events {
    fn handle_checkout(&self, event: CheckoutEvent) {
        self.in_use.increment(1.0);
        self.wait.record(event.duration().as_secs_f64());
    }

    fn handle_checkin(&self, _event: CheckinEvent) {
        self.in_use.decrement(1.0);
    }

    fn handle_timeout(&self, _event: TimeoutEvent) {
        self.timeouts.increment(1);
    }
}
