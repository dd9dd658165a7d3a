//! The metric catalogue: all metrics with type, labels and meaning.
//!
//! Names follow the Prometheus conventions: base units, `_total` for counters, bounded labels. Other modules create
//! handles for all their label sets at the start. Only this file contains the names.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, Mutex, PoisonError};

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution of observations, with the upper bounds of its buckets.
    Histogram(&'static [BucketBound]),
}

/// The upper bound of a bucket, in thousandths of the unit of the metric. An integer, so that types can be compared.
type BucketBound = u32;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The meaning.
    pub help: &'static str,
}

/// Buckets for latencies, from 1 ms to 10 s.
const LATENCY_BUCKETS: &[BucketBound] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
/// Buckets for ages, from 5 ms to 1 hour.
const AGE_BUCKETS: &[BucketBound] =
    &[5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];
/// Buckets for the number of messages in a batch.
const SIZE_BUCKETS: &[BucketBound] =
    &[1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

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
        "Always 1. The labels are the version and the role of the process.";
    COMPONENT_READY = "contacts_component_ready", Kind::Gauge, ["component"],
        "1 if this component of the process can work, else 0. If several components have the same name, the lowest value. /readyz shows the reason.";
    HTTP_REQUESTS = "contacts_http_requests_total", Kind::Counter, ["method", "route", "status"],
        "HTTP requests that were answered, by route template and status code.";
    HTTP_DURATION = "contacts_http_request_duration_seconds", Kind::Histogram(LATENCY_BUCKETS), ["method", "route"],
        "Time from the head of a request to its answer, in seconds.";
    HTTP_IN_FLIGHT = "contacts_http_requests_in_flight", Kind::Gauge, [],
        "HTTP requests that are being handled now.";
    CHANGE_STREAMS = "contacts_change_streams", Kind::Gauge, [],
        "Streams of changes that are open now.";
    CHANGES_SENT = "contacts_changes_sent_total", Kind::Counter, ["in"],
        "Changes that were sent to readers of the change feed, in a page or in a stream.";
    PUBLISHED = "contacts_publish_total", Kind::Counter, ["result"],
        "Messages that were given to the publisher, by result: confirmed, or the error.";
    PUBLISH_DURATION = "contacts_publish_duration_seconds", Kind::Histogram(LATENCY_BUCKETS), [],
        "Time from the request to publish to the publisher confirm, in seconds.";
    CONFIRM_DURATION = "contacts_publish_confirm_duration_seconds", Kind::Histogram(LATENCY_BUCKETS), [],
        "Time from sending a message to its publisher confirm, in seconds. Standalone: the commit to the queue file.";
    PUBLISH_IN_FLIGHT = "contacts_publish_in_flight", Kind::Gauge, [],
        "Messages that were sent and are not yet confirmed, updated every 100 ms.";
    PUBLISH_WAITING = "contacts_publish_waiting", Kind::Gauge, [],
        "Messages that wait to be sent, updated every 100 ms.";
    PUBLISH_WAITING_LIMIT = "contacts_publish_waiting_limit", Kind::Gauge, [],
        "The maximum number of messages that may wait to be sent (broker.max_waiting). Further writes are answered with 503.";
    QUEUE_CONNECTED = "contacts_queue_connected", Kind::Gauge, [],
        "1 if the publisher has a connection to the queue, else 0.";
    QUEUE_BLOCKED = "contacts_queue_blocked", Kind::Gauge, [],
        "1 while the broker accepts no messages because of a memory or disk alarm, else 0.";
    QUEUE_CONNECTIONS = "contacts_queue_connections_total", Kind::Counter, ["user"],
        "Connections opened to RabbitMQ, by user: publisher or worker. An idle worker opens a new one every 20 seconds.";
    QUEUE_MESSAGES = "contacts_queue_messages", Kind::Gauge, ["queue"],
        "Messages that are ready in a queue, without those that workers hold. Every process reports the same number. NaN if unknown.";
    QUEUE_CHANGES = "contacts_queue_changes", Kind::Gauge, ["queue"],
        "Changes in these messages. A message of the work queue can hold several, so the number is an estimate: it uses the average of the messages that the process sent or took last. NaN if unknown.";
    QUEUE_CONSUMERS = "contacts_queue_consumers", Kind::Gauge, ["queue"],
        "Workers of all processes that consume a queue. NaN if unknown, and for standalone.";
    QUEUE_OLDEST_AGE = "contacts_queue_oldest_age_seconds", Kind::Gauge, ["queue"],
        "Age of the oldest message in a queue, in seconds since its acceptance, or since the first failure of a dead letter. 0 if the queue is empty. RabbitMQ has a value only for the dead letter queue, else NaN.";
    BATCH_SIZE = "contacts_consumer_batch_size", Kind::Histogram(SIZE_BUCKETS), [],
        "Messages in a batch that a worker took from the queue.";
    APPLY_DURATION = "contacts_consumer_apply_duration_seconds", Kind::Histogram(LATENCY_BUCKETS), [],
        "Duration of the SQL transaction of a batch, in seconds.";
    APPLY_FAILURES = "contacts_consumer_apply_failures_total", Kind::Counter, ["class"],
        "Transactions that were not committed, by class: unavailable (the worker tries again), rejected (because of the data), misconfigured, panicked, locked (another session held a lock).";
    MESSAGES = "contacts_consumer_messages_total", Kind::Counter, ["outcome"],
        "Messages that were settled, by outcome: applied, superseded, duplicate, retried, `postponed` (deferred: SQL is unavailable or a row is locked) or failed.";
    DEAD_LETTERS = "contacts_consumer_dead_letters_total", Kind::Counter, ["reason"],
        "Messages that were moved to the dead letter queue, by reason.";
    AGE_AT_COMMIT = "contacts_consumer_age_at_commit_seconds", Kind::Histogram(AGE_BUCKETS), [],
        "Time from the acceptance of a command to the commit of its effect, in seconds. Replayed messages are not included.";
    UNAPPLIED_AGE = "contacts_consumer_oldest_unapplied_age_seconds", Kind::Gauge, [],
        "Age of the oldest message that a worker took and has not finished, in seconds since its acceptance. 0 if there is none.";
    PAUSED = "contacts_consumer_paused", Kind::Gauge, [],
        "Workers that are paused because SQL cannot be used.";
    EVENTS_PUBLISHED = "contacts_events_published_total", Kind::Counter, [],
        "Events that this process published and the broker confirmed. Only if events.enabled is set.";
    EVENTS_LAG = "contacts_events_lag_seconds", Kind::Gauge, [],
        "Time since the oldest change without an event was applied, in seconds. 0 if there is none. Only if events.enabled is set.";
    DATABASE_UP = "contacts_database_up", Kind::Gauge, [],
        "1 if the database answered the last check, else 0. There is a check every 2 to 5 seconds.";
    SCHEMA_CURRENT = "contacts_database_schema_current", Kind::Gauge, [],
        "1 if the database has the schema that this version needs, 0 if the schema is older, NaN if the database does not answer.";
    CONNECTIONS = "contacts_database_connections_in_use", Kind::Gauge, ["pool"],
        "Database connections in use, by pool: writes, or reads if database.read_url is set.";
    CONNECTIONS_LIMIT = "contacts_database_connections_limit", Kind::Gauge, ["pool"],
        "The maximum number of connections in a pool (database.max_connections).";
    CONNECTIONS_WAITING = "contacts_database_connections_waiting", Kind::Gauge, ["pool"],
        "Threads that wait for a database connection.";
    CONNECTION_WAIT = "contacts_database_connection_wait_seconds", Kind::Histogram(LATENCY_BUCKETS), ["pool"],
        "Time to get a database connection from the pool, in seconds.";
    CONNECTION_TIMEOUTS = "contacts_database_connection_timeouts_total", Kind::Counter, ["pool"],
        "How often a thread got no database connection within database.connect_timeout.";
    LOG_LINES_DROPPED = "contacts_log_lines_dropped_total", Kind::Counter, [],
        "Log lines that were dropped because too many waited to be written, or that could not be written, for example to a full disk.";
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Counter, [],
        "CPU time used, in whole seconds.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Kind::Gauge, [],
        "Resident memory, in bytes.";
    PROCESS_VIRTUAL_MEMORY = "process_virtual_memory_bytes", Kind::Gauge, [],
        "Virtual memory, in bytes.";
    PROCESS_MAX_VIRTUAL_MEMORY = "process_virtual_memory_max_bytes", Kind::Gauge, [],
        "The maximum virtual memory, in bytes. 0 means no limit.";
    PROCESS_FDS = "process_open_fds", Kind::Gauge, [],
        "Open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Kind::Gauge, [],
        "The maximum number of open file descriptors.";
    PROCESS_THREADS = "process_threads", Kind::Gauge, [],
        "Threads of the process.";
    PROCESS_START = "process_start_time_seconds", Kind::Gauge, [],
        "Start time of the process, in seconds since 1970.";
}

/// Renders all metrics of the process for `/metrics`. Some values are measured at each scrape.
#[derive(Clone)]
pub struct MetricsExporter {
    recorder: PrometheusHandle,
    process: metrics_process::Collector,
    scrape_hooks: Arc<Mutex<Vec<ScrapeHook>>>,
}

type ScrapeHook = Box<dyn Fn() + Send>;

impl MetricsExporter {
    /// Installs the metrics recorder of this process.
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
        Ok(Self { recorder, process: metrics_process::Collector::default(), scrape_hooks: Arc::default() })
    }

    /// Adds a function that sets gauges before each scrape.
    pub fn before_scrape(&self, hook: impl Fn() + Send + 'static) {
        self.scrape_hooks.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// Moves observations into their buckets. Call it every few seconds, or observations pile up between scrapes.
    pub fn run_upkeep(&self) {
        self.recorder.run_upkeep();
    }

    /// Renders all metrics in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.process.collect();
        for hook in self.scrape_hooks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hook();
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
