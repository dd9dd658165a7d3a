//! Reads the metrics of a process from their text format: the few that the console shows.

use crate::telemetry::metrics::{
    AGE_AT_COMMIT, BUILD_INFO, DATABASE_UP, DEAD_LETTERS, EVENTS_LAG, HTTP_REQUESTS, MESSAGES, PAUSED, PROCESS_START,
    PUBLISH_WAITING, PUBLISH_WAITING_LIMIT, PUBLISHED, QUEUE_BLOCKED, QUEUE_CONNECTED, QUEUE_CONSUMERS, QUEUE_MESSAGES,
    QUEUE_OLDEST_AGE, SCHEMA_CURRENT, UNAPPLIED_AGE,
};
use std::collections::BTreeMap;

/// What the console counts. Each value only grows while a process runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::console) enum Count {
    /// Changes that the API accepted: confirmed by the queue. A standalone also publishes what it retries, in the same
    /// metric; so here this may shrink for a moment.
    Accepted,
    /// Changes that took effect.
    Applied,
    /// Changes that failed.
    Failed,
    /// Requests that were answered.
    Requests,
    /// Requests that were answered 5xx.
    Errors,
    /// Messages that the broker refused, also those that consumers published.
    Refused,
    /// Changes that the API did not accept, by the result of publishing them.
    NotAccepted(String),
    /// Dead-lettered messages, by reason.
    DeadLettered(String),
    /// Commits by age at the commit: at most this number of milliseconds.
    Age(u64),
}

pub(in crate::console) type Counts = BTreeMap<Count, f64>;

/// The most counts of a process that are kept. A process of ours has less than half of it; another program behind a
/// target could have any number.
const MAX_COUNTS: usize = 100;

/// The gauges of a process. `None`: not known, or the process has no such gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::console) struct Gauges {
    pub(in crate::console) work: Option<f64>,
    pub(in crate::console) retry: Option<f64>,
    pub(in crate::console) dead_letters: Option<f64>,
    pub(in crate::console) consumers: Option<f64>,
    pub(in crate::console) oldest_dead_letter: Option<f64>,
    pub(in crate::console) oldest_unapplied: Option<f64>,
    pub(in crate::console) paused: Option<f64>,
    pub(in crate::console) database_up: Option<f64>,
    pub(in crate::console) schema_current: Option<f64>,
    pub(in crate::console) connected: Option<f64>,
    pub(in crate::console) blocked: Option<f64>,
    pub(in crate::console) publish_waiting: Option<f64>,
    pub(in crate::console) publish_limit: Option<f64>,
    pub(in crate::console) events_lag: Option<f64>,
}

/// The metrics of a process at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::console) struct Exposition {
    pub(in crate::console) role: String,
    pub(in crate::console) version: String,
    /// When the process started, in seconds since 1970. Its counts began at 0 then.
    pub(in crate::console) started: f64,
    pub(in crate::console) counts: Counts,
    pub(in crate::console) gauges: Gauges,
}

impl Exposition {
    /// Reads the text format of Prometheus. Lines that it does not know are ignored.
    pub(super) fn parse(text: &str) -> Self {
        let mut all = Self::default();
        // What publishers published again, for the role that counts both in one metric.
        let mut published_again = 0.0;
        for (name, labels, value) in text.lines().filter_map(parse_line) {
            let count = match name {
                BUILD_INFO => {
                    all.role = labels.get("role").to_owned();
                    all.version = labels.get("version").to_owned();
                    continue;
                }
                PROCESS_START => {
                    all.started = value;
                    continue;
                }
                PUBLISHED => match labels.get("result") {
                    "confirmed" => Count::Accepted,
                    error => {
                        if error == "refused" {
                            *all.counts.entry(Count::Refused).or_default() += value;
                        }
                        Count::NotAccepted(error.to_owned())
                    }
                },
                MESSAGES => match labels.get("outcome") {
                    "applied" => Count::Applied,
                    outcome => {
                        if matches!(outcome, "retried" | "postponed" | "failed") {
                            published_again += value;
                        }
                        if outcome != "failed" {
                            continue;
                        }
                        Count::Failed
                    }
                },
                HTTP_REQUESTS => {
                    if labels.get("status").starts_with('5') {
                        *all.counts.entry(Count::Errors).or_default() += value;
                    }
                    Count::Requests
                }
                DEAD_LETTERS => Count::DeadLettered(labels.get("reason").to_owned()),
                _ if name.strip_suffix("_bucket") == Some(AGE_AT_COMMIT) => Count::Age(milliseconds(labels.get("le"))),
                _ => {
                    if let Some(gauge) = all.gauges.find(name, labels.get("queue")) {
                        *gauge = Some(value).filter(|value| value.is_finite());
                    }
                    continue;
                }
            };
            if all.counts.len() < MAX_COUNTS || all.counts.contains_key(&count) {
                *all.counts.entry(count).or_default() += value;
            }
        }
        if let Some(accepted) = all.counts.get_mut(&Count::Accepted) {
            *accepted = (*accepted - published_again).max(0.0);
        }
        // A consumer publishes only what it retries and dead-letters.
        if !all.accepts_changes() {
            all.counts.retain(|count, _| !matches!(count, Count::Accepted | Count::NotAccepted(_) | Count::Requests));
        }
        all
    }

    /// Whether the process serves the API.
    pub(in crate::console) fn accepts_changes(&self) -> bool {
        matches!(self.role.as_str(), "producer" | "standalone")
    }
}

impl Gauges {
    fn find(&mut self, name: &str, queue: &str) -> Option<&mut Option<f64>> {
        Some(match (name, queue) {
            (QUEUE_MESSAGES, "contato") => &mut self.work,
            (QUEUE_MESSAGES, "contato.retry") => &mut self.retry,
            (QUEUE_MESSAGES, "contato.dlq") => &mut self.dead_letters,
            (QUEUE_CONSUMERS, "contato") => &mut self.consumers,
            (QUEUE_OLDEST_AGE, "contato.dlq") => &mut self.oldest_dead_letter,
            (UNAPPLIED_AGE, _) => &mut self.oldest_unapplied,
            (PAUSED, _) => &mut self.paused,
            (DATABASE_UP, _) => &mut self.database_up,
            (SCHEMA_CURRENT, _) => &mut self.schema_current,
            (QUEUE_CONNECTED, _) => &mut self.connected,
            (QUEUE_BLOCKED, _) => &mut self.blocked,
            (PUBLISH_WAITING, _) => &mut self.publish_waiting,
            (PUBLISH_WAITING_LIMIT, _) => &mut self.publish_limit,
            (EVENTS_LAG, _) => &mut self.events_lag,
            _ => return None,
        })
    }
}

/// The bound of a bucket. `+Inf` is the largest number.
fn milliseconds(bound: &str) -> u64 {
    bound.parse::<f64>().map_or(u64::MAX, |seconds| (seconds * 1_000.0).round() as u64)
}

/// The labels of a line, as they are written.
#[derive(Clone, Copy)]
struct Labels<'a>(&'a str);

impl<'a> Labels<'a> {
    /// The value of a label; empty if there is none. Our values contain no quotes.
    fn get(self, name: &str) -> &'a str {
        let mut rest = self.0;
        while let Some((label, after)) = rest.split_once("=\"") {
            let Some((value, after)) = after.split_once('"') else { break };
            if label.trim_start_matches(',') == name {
                return value;
            }
            rest = after;
        }
        ""
    }
}

/// Name, labels and value of a line.
fn parse_line(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some((name, Labels(labels.trim_end_matches('}')), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_and_gauges_of_a_process_are_read() {
        let read = Exposition::parse(
            "# HELP contacts_build_info x\n\
             contacts_build_info{version=\"0.1.0\",role=\"standalone\"} 1\n\
             process_start_time_seconds 7\n\
             contacts_publish_total{result=\"confirmed\"} 10\n\
             contacts_publish_total{result=\"full\"} 2\n\
             contacts_consumer_messages_total{outcome=\"applied\"} 5\n\
             contacts_consumer_messages_total{outcome=\"retried\"} 3\n\
             contacts_consumer_messages_total{outcome=\"failed\"} 1\n\
             contacts_consumer_messages_total{outcome=\"duplicate\"} 4\n\
             contacts_http_requests_total{method=\"POST\",route=\"/contacts\",status=\"202\"} 7\n\
             contacts_http_requests_total{method=\"GET\",route=\"/contacts\",status=\"503\"} 2\n\
             contacts_consumer_dead_letters_total{reason=\"invalid\"} 1\n\
             contacts_consumer_age_at_commit_seconds_bucket{le=\"0.25\"} 4\n\
             contacts_consumer_age_at_commit_seconds_bucket{le=\"+Inf\"} 5\n\
             contacts_queue_messages{queue=\"contato\"} 8\n\
             contacts_queue_messages{queue=\"contato.dlq\"} NaN\n\
             contacts_database_up 1\n\
             other_metric{x=\"y\"} 1\n",
        );
        let expected = [
            (Count::Accepted, 6.0),
            (Count::Applied, 5.0),
            (Count::Failed, 1.0),
            (Count::Requests, 9.0),
            (Count::Errors, 2.0),
            (Count::NotAccepted("full".into()), 2.0),
            (Count::DeadLettered("invalid".into()), 1.0),
            (Count::Age(250), 4.0),
            (Count::Age(u64::MAX), 5.0),
        ];
        assert_eq!(read.counts, expected.into_iter().collect());
        assert_eq!((read.role.as_str(), read.version.as_str(), read.started), ("standalone", "0.1.0", 7.0));
        assert_eq!((read.gauges.work, read.gauges.dead_letters, read.gauges.database_up), (Some(8.0), None, Some(1.0)));
    }

    #[test]
    fn only_some_counts_of_another_program_are_kept() {
        let line = |number| format!("contacts_consumer_dead_letters_total{{reason=\"{number}\"}} 1\n");
        let read = Exposition::parse(&(0..10_000).map(line).collect::<String>());
        assert_eq!(read.counts.len(), MAX_COUNTS);
    }

    #[test]
    fn what_a_consumer_publishes_is_not_accepted() {
        let read = Exposition::parse(
            "contacts_build_info{role=\"consumer\"} 1\ncontacts_publish_total{result=\"confirmed\"} 10\n",
        );
        assert!(read.counts.is_empty(), "{read:?}");
    }
}
