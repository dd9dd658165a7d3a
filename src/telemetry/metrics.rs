//! The metric catalogue: every metric this program has, with its kind, unit and meaning.
//!
//! Names follow the Prometheus conventions: base units, `_total` for counters, bounded labels. The rooms that measure
//! hold their own handles; this file is the one place that names them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

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
    HTTP_REQUESTS = "contacts_http_requests_total", Kind::Counter, ["method", "route", "status"],
        "HTTP requests answered, by route template and status code.";
    HTTP_DURATION = "contacts_http_request_duration_seconds", Kind::Histogram(LATENCY), ["method", "route"],
        "Time from the request's head to the answer, in seconds.";
    PUBLISHED = "contacts_publish_total", Kind::Counter, ["result"],
        "Messages given to the queue, by result: confirmed, or why not.";
    PUBLISH_DURATION = "contacts_publish_duration_seconds", Kind::Histogram(LATENCY), [],
        "Time from asking to publish to the confirm, in seconds.";
    QUEUE_CONNECTED = "contacts_queue_connected", Kind::Gauge, [],
        "1 while the publisher has a connection to the queue, else 0.";
    QUEUE_BLOCKED = "contacts_queue_blocked", Kind::Gauge, [],
        "1 while the broker refuses messages because of a memory or disk alarm, else 0.";
    QUEUE_CONNECTIONS = "contacts_queue_connections_total", Kind::Counter, [],
        "Connections made to the queue. A worker that nothing reaches makes a new one every 20 seconds.";
    BATCH_SIZE = "contacts_consumer_batch_size", Kind::Histogram(SIZE), [],
        "Messages in a batch taken from the queue.";
    APPLY_DURATION = "contacts_consumer_apply_duration_seconds", Kind::Histogram(LATENCY), [],
        "Time of a batch's SQL transaction, in seconds.";
    MESSAGES = "contacts_consumer_messages_total", Kind::Counter, ["outcome"],
        "Messages settled, by outcome: applied, superseded, duplicate, retried, postponed (SQL away or a row locked) or failed.";
    DEAD_LETTERS = "contacts_consumer_dead_letters_total", Kind::Counter, ["reason"],
        "Messages moved to the dead letter queue, by reason.";
    AGE_AT_COMMIT = "contacts_consumer_age_at_commit_seconds", Kind::Histogram(AGE), [],
        "Time from a command's acceptance to the commit of its effect, in seconds.";
    PAUSED = "contacts_consumer_paused", Kind::Gauge, [],
        "Workers that wait because SQL cannot be used.";
}

/// Installs the recorder for this process.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in CATALOGUE {
        if let Kind::Histogram(bounds) = metric.kind {
            let bounds: Vec<f64> = bounds.iter().map(|bound| f64::from(*bound) / 1_000.0).collect();
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), &bounds)?;
        }
    }
    let handle = builder.install_recorder()?;
    for metric in CATALOGUE {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, Unit::Count, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.help),
        }
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in CATALOGUE {
            assert!(metric.name.starts_with("contacts_"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{}", metric.name);
            }
        }
    }
}
