//! The metric catalogue: every metric this program has, with its kind, unit and meaning.
//!
//! Names follow the Prometheus conventions: base units, `_total` for counters, bounded labels. The rooms that measure
//! hold their own handles, made at the start with every label set; this file is the one place that names them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, Mutex, PoisonError};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations into buckets.
    Histogram(&'static [Bound]),
}

/// The upper bound of a bucket, in thousandths of the metric's unit (so that the catalogue can be compared).
type Bound = u32;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Latencies from 1 ms to 10 s.
const LATENCY: &[Bound] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Ages from 5 ms to an hour.
const AGE: &[Bound] =
    &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];
/// Messages in a batch.
const SIZE: &[Bound] = &[1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

macro_rules! catalogue {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric.
        pub const CATALOGUE: &[Metric] = &[
            $(Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

catalogue! {
    BUILD_INFO = "contacts_build_info", Kind::Gauge, ["version", "role"],
        "Always 1; the version and the role of the process.";
    COMPONENT_READY = "contacts_component_ready", Kind::Gauge, ["component"],
        "1 while this part of the process can work, else 0, as /readyz says; of several of one name, the least.";
    HTTP_REQUESTS = "contacts_http_requests_total", Kind::Counter, ["method", "route", "status"],
        "HTTP requests answered, by route template and status code.";
    HTTP_DURATION = "contacts_http_request_duration_seconds", Kind::Histogram(LATENCY), ["method", "route"],
        "Time from the request's head to the answer, in seconds.";
    HTTP_IN_FLIGHT = "contacts_http_requests_in_flight", Kind::Gauge, [],
        "HTTP requests that are being handled.";
    PUBLISHED = "contacts_publish_total", Kind::Counter, ["result"],
        "Messages given to the queue, by result: confirmed, or why not.";
    PUBLISH_DURATION = "contacts_publish_duration_seconds", Kind::Histogram(LATENCY), [],
        "Time from asking to publish to the confirm, in seconds.";
    CONFIRM_DURATION = "contacts_publish_confirm_duration_seconds", Kind::Histogram(LATENCY), [],
        "The part of it after the message was sent, in seconds; standalone: the commit to the queue file.";
    PUBLISH_IN_FLIGHT = "contacts_publish_in_flight", Kind::Gauge, [],
        "Messages sent to the queue and not yet confirmed, seen every 100 ms.";
    PUBLISH_WAITING = "contacts_publish_waiting", Kind::Gauge, [],
        "Messages waiting to be sent, seen every 100 ms.";
    PUBLISH_WAITING_LIMIT = "contacts_publish_waiting_limit", Kind::Gauge, [],
        "The most messages that may wait to be sent (broker.max_waiting); more are answered 503.";
    QUEUE_CONNECTED = "contacts_queue_connected", Kind::Gauge, [],
        "1 while the publisher has a connection to the queue, else 0.";
    QUEUE_BLOCKED = "contacts_queue_blocked", Kind::Gauge, [],
        "1 while the broker refuses messages because of a memory or disk alarm, else 0.";
    QUEUE_CONNECTIONS = "contacts_queue_connections_total", Kind::Counter, ["user"],
        "Connections made to RabbitMQ, by who uses them: publisher or worker. An idle worker makes a new one every 20 seconds.";
    QUEUE_MESSAGES = "contacts_queue_messages", Kind::Gauge, ["queue"],
        "Messages waiting in a queue, without those that workers hold; the same from every process; NaN while unknown.";
    QUEUE_CONSUMERS = "contacts_queue_consumers", Kind::Gauge, ["queue"],
        "Workers that take from a queue, of all processes; NaN while unknown, and for standalone.";
    QUEUE_OLDEST_AGE = "contacts_queue_oldest_age_seconds", Kind::Gauge, ["queue"],
        "Age of the oldest message waiting in a queue, in seconds: since it was accepted, of a dead letter since it first failed; 0 if none waits. RabbitMQ tells it of dead letters only, the others are NaN.";
    BATCH_SIZE = "contacts_consumer_batch_size", Kind::Histogram(SIZE), [],
        "Messages in a batch taken from the queue.";
    APPLY_DURATION = "contacts_consumer_apply_duration_seconds", Kind::Histogram(LATENCY), [],
        "Time of a batch's SQL transaction, in seconds.";
    APPLY_FAILURES = "contacts_consumer_apply_failures_total", Kind::Counter, ["class"],
        "Transactions that were not committed, by class: unavailable (tried again), rejected (the data), misconfigured, panicked.";
    MESSAGES = "contacts_consumer_messages_total", Kind::Counter, ["outcome"],
        "Messages settled, by outcome: applied, superseded, duplicate, retried, postponed (SQL away or a row locked) or failed.";
    DEAD_LETTERS = "contacts_consumer_dead_letters_total", Kind::Counter, ["reason"],
        "Messages moved to the dead letter queue, by reason.";
    AGE_AT_COMMIT = "contacts_consumer_age_at_commit_seconds", Kind::Histogram(AGE), [],
        "Time from a command's acceptance to the commit of its effect, in seconds; without those that were replayed from the dead letters.";
    UNAPPLIED_AGE = "contacts_consumer_oldest_unapplied_age_seconds", Kind::Gauge, [],
        "Age of the oldest message that a worker took and could not finish yet, in seconds since it was accepted; 0 if there is none.";
    PAUSED = "contacts_consumer_paused", Kind::Gauge, [],
        "Workers that wait because SQL cannot be used.";
    DATABASE_UP = "contacts_database_up", Kind::Gauge, [],
        "1 if the database answered when last asked, which is every 2 to 5 seconds, else 0.";
    SCHEMA_CURRENT = "contacts_database_schema_current", Kind::Gauge, [],
        "1 if the database has the schema that this version needs, 0 if it has an older one; NaN while it does not answer.";
    CONNECTIONS = "contacts_database_connections_in_use", Kind::Gauge, ["pool"],
        "Connections in use, by pool: writes, or reads if they go elsewhere.";
    CONNECTIONS_LIMIT = "contacts_database_connections_limit", Kind::Gauge, ["pool"],
        "The most connections of a pool (database.max_connections).";
    CONNECTIONS_WAITING = "contacts_database_connections_waiting", Kind::Gauge, ["pool"],
        "Threads waiting for a connection.";
    CONNECTION_WAIT = "contacts_database_connection_wait_seconds", Kind::Histogram(LATENCY), ["pool"],
        "Time to get a connection from the pool, in seconds.";
    CONNECTION_TIMEOUTS = "contacts_database_connection_timeouts_total", Kind::Counter, ["pool"],
        "Times that no connection came within database.connect_timeout.";
    LOG_LINES_DROPPED = "contacts_log_lines_dropped_total", Kind::Counter, [],
        "Lines of the log that were dropped because too many waited to be written.";
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Counter, [],
        "CPU time used, in whole seconds.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Kind::Gauge, [],
        "Resident memory, in bytes.";
    PROCESS_VIRTUAL_MEMORY = "process_virtual_memory_bytes", Kind::Gauge, [],
        "Virtual memory, in bytes.";
    PROCESS_MAX_VIRTUAL_MEMORY = "process_virtual_memory_max_bytes", Kind::Gauge, [],
        "The most virtual memory allowed, in bytes; 0 for no limit.";
    PROCESS_FDS = "process_open_fds", Kind::Gauge, [],
        "Open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Kind::Gauge, [],
        "The most file descriptors allowed.";
    PROCESS_THREADS = "process_threads", Kind::Gauge, [],
        "Threads.";
    PROCESS_START = "process_start_time_seconds", Kind::Gauge, [],
        "When the process started, in seconds since 1970.";
}

/// What `/metrics` shows: the recorder of this process, and what must be measured anew at each scrape.
#[derive(Clone)]
pub struct Exposition {
    recorder: PrometheusHandle,
    process: metrics_process::Collector,
    refreshers: Arc<Mutex<Vec<Refresher>>>,
}

type Refresher = Box<dyn Fn() + Send>;

impl Exposition {
    /// Installs the recorder for this process.
    pub fn install() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for metric in CATALOGUE {
            if let Kind::Histogram(bounds) = metric.kind {
                let bounds: Vec<f64> = bounds.iter().map(|bound| f64::from(*bound) / 1_000.0).collect();
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), &bounds)?;
            }
        }
        let recorder = builder.install_recorder()?;
        for metric in CATALOGUE {
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, Unit::Count, metric.help),
                Kind::Gauge => describe_gauge!(metric.name, metric.help),
                Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
            }
        }
        Ok(Self { recorder, process: metrics_process::Collector::default(), refreshers: Arc::default() })
    }

    /// Has `refresh` called before each scrape, to set gauges that would be stale otherwise.
    pub fn before_scrape(&self, refresh: impl Fn() + Send + 'static) {
        self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
    }

    /// Puts observations into their buckets; to be called every few seconds, or they pile up between scrapes.
    pub fn run_upkeep(&self) {
        self.recorder.run_upkeep();
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.process.collect();
        for refresh in self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            refresh();
        }
        self.recorder.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in CATALOGUE {
            assert!(metric.name.starts_with("contacts_") || metric.name.starts_with("process_"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{}", metric.name);
            }
        }
    }
}
