//! The samples of the last hour: what changed in each interval, and what the processes say now.
//!
//! Rule of this module: its memory is bounded. It keeps a number for each interval and series, and the last answers of at
//! most 64 processes.

mod exposition;
mod source;

use crate::domain::Timestamp;
use crate::telemetry::ComponentStatus;
pub(super) use exposition::{Count, Counts, Exposition, Gauges};
pub(super) use source::{Answer, Reading, Sources};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// How many samples are kept: an hour.
pub(super) const KEPT: usize = 720;
/// How many samples are a minute, and five minutes.
pub(super) const MINUTE: usize = 12;
pub(super) const FIVE_MINUTES: usize = 60;
/// Over how many samples a rate or an age is shown as a figure: 15 s. One sample alone jumps at low load; after more of
/// them, data would still be called late when a backlog is long applied.
pub(super) const FIGURE: usize = 3;

/// A process, as the console shows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) version: String,
    pub(super) error: Option<String>,
    /// Each with the time since when it is in this state.
    pub(super) components: Vec<(ComponentStatus, Timestamp)>,
}

/// The values of a series, oldest first. NaN: not known.
type Series = VecDeque<f32>;

/// The plotted series.
#[derive(Clone, Debug, Default)]
pub(super) struct AllSeries {
    pub(super) accepted: Series,
    pub(super) applied: Series,
    pub(super) failed: Series,
    pub(super) age_p50: Series,
    pub(super) age_p99: Series,
    pub(super) work: Series,
    pub(super) retry: Series,
    pub(super) dead_letters: Series,
}

/// The values now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) accepted: Option<f64>,
    pub(super) applied: Option<f64>,
    pub(super) failed: Option<f64>,
    pub(super) age_p50: Option<f64>,
    pub(super) age_p99: Option<f64>,
    pub(super) gauges: Gauges,
}

/// What changed in one interval.
struct Interval {
    seconds: f64,
    changes: Counts,
    gauges: Gauges,
}

/// All samples.
#[derive(Default)]
pub(super) struct Samples {
    /// The newest last.
    intervals: VecDeque<Interval>,
    pub(super) series: AllSeries,
    pub(super) processes: Vec<Process>,
    /// When the last sample was taken. `None`: there is none yet.
    pub(super) end: Option<Timestamp>,
    /// What each process said last: when it started, and its counts.
    last: BTreeMap<String, Exposition>,
}

impl Samples {
    /// Adds a sample that was taken at this time. `elapsed` is the time since the last one, by a clock that nobody sets:
    /// rates are of it. The time of day has another difference if it was set, or if the machine slept.
    pub(super) fn add(&mut self, at: Timestamp, elapsed: Duration, readings: &[Reading]) {
        let seconds = if self.end.is_some() { elapsed.as_secs_f64() } else { 0.0 };
        let by_day = self.end.map_or(0.0, |end| at.signed_duration_since(end).as_seconds_f64());
        // A clock that was set back leaves no gap.
        let missed = (by_day / INTERVAL.as_secs_f64()).round() as usize;
        for _ in 1..missed.min(KEPT) {
            self.push(Interval { seconds: INTERVAL.as_secs_f64(), changes: Counts::new(), gauges: Gauges::default() });
        }
        let gauges = merge(readings);
        let changes = self.changes_since_last(readings);
        self.push(Interval { seconds, changes, gauges });
        self.end = Some(at);
        self.processes = self.describe(at, readings);
        self.last.retain(|name, _| readings.iter().any(|reading| reading.name == *name));
    }

    /// What changed since the last sample, summed over all processes. A process that is new to the console adds nothing:
    /// it is not known when its counts grew.
    fn changes_since_last(&mut self, readings: &[Reading]) -> Counts {
        let mut changes = Counts::new();
        for (name, answer) in readings.iter().filter_map(|reading| Some((&reading.name, reading.answer.as_ref().ok()?)))
        {
            let now = &answer.exposition;
            if let Some(before) = self.last.insert(name.clone(), now.clone()) {
                for (count, value) in &now.counts {
                    let before = before.counts.get(count).filter(|_| before.started == now.started);
                    *changes.entry(count.clone()).or_default() +=
                        (value - before.copied().unwrap_or_default()).max(0.0);
                }
            }
        }
        changes
    }

    fn push(&mut self, interval: Interval) {
        let rate = |count: &Count| rate(&interval.changes, count, interval.seconds);
        let values = [
            (&mut self.series.accepted, rate(&Count::Accepted)),
            (&mut self.series.applied, rate(&Count::Applied)),
            (&mut self.series.failed, rate(&Count::Failed)),
            (&mut self.series.age_p50, quantile(&interval.changes, 0.5)),
            (&mut self.series.age_p99, quantile(&interval.changes, 0.99)),
            (&mut self.series.work, interval.gauges.work),
            (&mut self.series.retry, interval.gauges.retry),
            (&mut self.series.dead_letters, interval.gauges.dead_letters),
        ];
        for (series, value) in values {
            series.push_back(value.map_or(f32::NAN, |value| value as f32));
            if series.len() > KEPT {
                series.pop_front();
            }
        }
        self.intervals.push_back(interval);
        if self.intervals.len() > FIVE_MINUTES {
            self.intervals.pop_front();
        }
    }

    /// The values now.
    pub(super) fn figures(&self) -> Figures {
        let (changes, seconds) = self.sum(FIGURE);
        let rate = |count| rate(&changes, &count, seconds);
        Figures {
            accepted: rate(Count::Accepted),
            applied: rate(Count::Applied),
            failed: rate(Count::Failed),
            age_p50: quantile(&changes, 0.5),
            age_p99: quantile(&changes, 0.99),
            gauges: self.intervals.back().map(|interval| interval.gauges).unwrap_or_default(),
        }
    }

    /// What changed in the last intervals, and how long they were.
    pub(super) fn sum(&self, intervals: usize) -> (Counts, f64) {
        let (mut changes, mut seconds) = (Counts::new(), 0.0);
        for interval in self.intervals.iter().rev().take(intervals).filter(|interval| !interval.changes.is_empty()) {
            seconds += interval.seconds;
            for (count, change) in &interval.changes {
                *changes.entry(count.clone()).or_default() += change;
            }
        }
        (changes, seconds)
    }

    fn describe(&self, at: Timestamp, readings: &[Reading]) -> Vec<Process> {
        let describe = |reading: &Reading| {
            let before = self.processes.iter().find(|process| process.name == reading.name);
            let answer = match &reading.answer {
                Ok(answer) => answer,
                // Its role and its version are those that it had.
                Err(error) => {
                    let known = before.cloned().unwrap_or_default();
                    let error = Some(error.clone());
                    return Process { name: reading.name.clone(), error, components: Vec::new(), ..known };
                }
            };
            let since = |component: &ComponentStatus| {
                let known = before.into_iter().flat_map(|process| &process.components);
                let same = known.filter(|(known, _)| (&known.name, known.ready) == (&component.name, component.ready));
                same.map(|(_, since)| *since).next().unwrap_or(at)
            };
            Process {
                name: reading.name.clone(),
                role: answer.exposition.role.clone(),
                version: answer.exposition.version.clone(),
                error: None,
                components: answer.components.iter().map(|one| (one.clone(), since(one))).collect(),
            }
        };
        readings.iter().map(describe).collect()
    }

    /// A gauge in the last five minutes, the newest value last.
    pub(super) fn recent(&self, gauge: fn(&Gauges) -> Option<f64>) -> Vec<Option<f64>> {
        self.intervals.iter().map(|interval| gauge(&interval.gauges)).collect()
    }
}

fn rate(changes: &Counts, count: &Count, seconds: f64) -> Option<f64> {
    changes.get(count).filter(|_| seconds > 0.0).map(|change| change / seconds)
}

/// The gauges of all processes in one.
fn merge(readings: &[Reading]) -> Gauges {
    let all: Vec<&Gauges> =
        readings.iter().filter_map(|one| Some(&one.answer.as_ref().ok()?.exposition.gauges)).collect();
    // Every process reports the same queues.
    let first = |gauge: fn(&Gauges) -> Option<f64>| all.iter().find_map(|gauges| gauge(gauges));
    let max = |gauge: fn(&Gauges) -> Option<f64>| all.iter().filter_map(|gauges| gauge(gauges)).reduce(f64::max);
    Gauges {
        work: first(|gauges| gauges.work),
        retry: first(|gauges| gauges.retry),
        dead_letters: first(|gauges| gauges.dead_letters),
        consumers: first(|gauges| gauges.consumers),
        oldest_dead_letter: first(|gauges| gauges.oldest_dead_letter),
        oldest_unapplied: max(|gauges| gauges.oldest_unapplied),
        events_lag: max(|gauges| gauges.events_lag),
        // What matters of these is which process has them.
        ..Gauges::default()
    }
}

/// The age below which this share of the commits was, interpolated in its bucket. `None`: there was no commit.
fn quantile(changes: &Counts, share: f64) -> Option<f64> {
    let buckets = changes.iter().filter_map(|(count, commits)| match count {
        Count::Age(bound) => Some((*bound, *commits)),
        _ => None,
    });
    let buckets: Vec<(u64, f64)> = buckets.collect();
    let total = buckets.last().map(|(_, commits)| *commits).filter(|total| *total > 0.0)?;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, commits) in buckets {
        if commits >= share * total {
            // Of the last bucket only the lower bound is known.
            let upper = if bound == u64::MAX { lower } else { bound as f64 / 1_000.0 };
            let inside = commits - below;
            return Some(if inside > 0.0 { lower + (upper - lower) * (share * total - below) / inside } else { upper });
        }
        (lower, below) = (bound as f64 / 1_000.0, commits);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    impl Samples {
        /// Adds a sample of this second, on a machine whose clock is right.
        fn add_at(&mut self, second: i64, readings: &[Reading]) {
            let elapsed = self.end.map_or(0, |end| second - end.timestamp());
            self.add(at(second), Duration::from_secs(elapsed.unsigned_abs()), readings);
        }
    }

    /// A process that started at this time and has applied this number of changes.
    fn consumer(name: &str, started: f64, applied: f64) -> Reading {
        let counts = [(Count::Applied, applied)].into_iter().collect();
        let exposition = Exposition { role: "consumer".into(), started, counts, ..Exposition::default() };
        Reading { name: name.into(), answer: Ok(Answer { exposition, ..Answer::default() }) }
    }

    fn unreachable(name: &str) -> Reading {
        Reading { name: name.into(), answer: Err("refused".into()) }
    }

    /// The values of a series. NaN cannot be compared.
    fn values(series: &Series) -> Vec<Option<f32>> {
        series.iter().map(|value| Some(*value).filter(|value| value.is_finite())).collect()
    }

    #[test]
    fn rates_are_summed_over_the_processes_that_were_known_before() {
        let mut samples = Samples::default();
        samples.add_at(0, &[consumer("a", 1.0, 1_000.0)]);
        samples.add_at(5, &[consumer("a", 1.0, 1_050.0), consumer("b", 1.0, 700.0)]);
        samples.add_at(10, &[consumer("a", 1.0, 1_050.0), consumer("b", 1.0, 710.0)]);
        assert_eq!(values(&samples.series.applied), [None, Some(10.0), Some(2.0)]);
        assert_eq!(samples.figures().applied, Some(6.0));
        assert_eq!(samples.figures().accepted, None, "no producer is known");
    }

    #[test]
    fn a_process_that_started_again_counts_from_zero_and_an_unreachable_one_is_caught_up() {
        let mut samples = Samples::default();
        samples.add_at(0, &[consumer("a", 1.0, 1_000.0)]);
        samples.add_at(5, &[consumer("a", 4.0, 20.0)]);
        samples.add_at(10, &[unreachable("a")]);
        samples.add_at(15, &[consumer("a", 4.0, 30.0)]);
        assert_eq!(values(&samples.series.applied), [None, Some(4.0), None, Some(2.0)]);
    }

    #[test]
    fn intervals_without_a_sample_are_not_known_and_the_memory_is_bounded() {
        let mut samples = Samples::default();
        samples.add_at(0, &[consumer("a", 1.0, 0.0)]);
        samples.add_at(20, &[consumer("a", 1.0, 20.0)]);
        assert_eq!(values(&samples.series.applied), [None, None, None, None, Some(1.0)]);
        for number in 0..2_000 {
            samples.add_at(25 + 5 * number, &[consumer(&format!("{number}"), 1.0, 0.0)]);
        }
        samples.add_at(1_000_000, &[]);
        assert_eq!((samples.series.applied.len(), samples.intervals.len()), (KEPT, FIVE_MINUTES));
        assert!(samples.last.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_changes_no_rate() {
        let five_seconds_later = |samples: &mut Samples, second, applied| {
            samples.add(at(second), Duration::from_secs(5), &[consumer("a", 1.0, applied)]);
        };
        let mut samples = Samples::default();
        samples.add_at(10_000, &[consumer("a", 1.0, 0.0)]);
        samples.add_at(10_005, &[consumer("a", 1.0, 50.0)]);
        five_seconds_later(&mut samples, 10_002, 100.0);
        assert_eq!(values(&samples.series.applied), [None, Some(10.0), Some(10.0)], "back");
        five_seconds_later(&mut samples, 6_400, 150.0);
        assert_eq!(
            (values(&samples.series.applied).len(), samples.figures().applied),
            (4, Some(10.0)),
            "back by an hour"
        );
        // A gap in the plot: the machine may have slept.
        five_seconds_later(&mut samples, 6_425, 200.0);
        let newest = values(&samples.series.applied)[4..].to_vec();
        assert_eq!(
            (newest, samples.figures().applied),
            (vec![None, None, None, None, Some(10.0)], Some(10.0)),
            "forward"
        );
    }

    #[test]
    fn quantiles_are_interpolated() {
        let bucket = |(bound, commits)| (Count::Age(bound), commits);
        let changes: Counts =
            [(100, 0.0), (200, 10.0), (500, 20.0), (u64::MAX, 20.0)].map(bucket).into_iter().collect();
        for (share, age) in [(0.25, 0.15), (0.5, 0.2), (0.99, 0.494)] {
            let found = quantile(&changes, share).unwrap();
            assert!((found - age).abs() < 1e-9, "{share}: {found}");
        }
        let late: Counts = [(100, 0.0), (u64::MAX, 1.0)].map(bucket).into_iter().collect();
        assert_eq!(quantile(&late, 0.5), Some(0.1));
        assert_eq!(quantile(&Counts::new(), 0.5), None);
    }

    #[test]
    fn an_age_is_forgotten_soon_after_a_backlog_is_applied() {
        let applied = |late: f64, at_once: f64| {
            let mut reading = consumer("a", 1.0, late + at_once);
            let buckets = [(250, at_once), (60_000, late + at_once), (u64::MAX, late + at_once)];
            let counts = buckets.map(|(bound, commits)| (Count::Age(bound), commits));
            reading.answer.as_mut().unwrap().exposition.counts.extend(counts);
            [reading]
        };
        let mut samples = Samples::default();
        samples.add_at(0, &applied(0.0, 0.0));
        samples.add_at(5, &applied(500.0, 0.0));
        assert!(samples.figures().age_p99.is_some_and(|age| age > 50.0));
        for number in 1..=3 {
            samples.add_at(5 + 5 * number, &applied(500.0, 10.0 * number as f64));
        }
        assert!(samples.figures().age_p99.is_some_and(|age| age < 0.25), "{:?}", samples.figures());
    }

    #[test]
    fn a_component_keeps_the_time_when_it_began() {
        let reading = |ready: bool| {
            let mut reading = consumer("a", 1.0, 0.0);
            let answer = reading.answer.as_mut().unwrap();
            let reason = (!ready).then(|| "down".to_owned());
            answer.components = vec![ComponentStatus { name: "database".into(), ready, reason }];
            [reading]
        };
        let mut samples = Samples::default();
        let since = |samples: &Samples| samples.processes[0].components[0].1;
        samples.add_at(0, &reading(true));
        assert_eq!(since(&samples), at(0));
        samples.add_at(5, &reading(false));
        samples.add_at(10, &reading(false));
        assert_eq!(since(&samples), at(5));
        samples.add_at(15, &[unreachable("a")]);
        assert_eq!(samples.processes[0].role, "consumer", "as it was");
    }
}
