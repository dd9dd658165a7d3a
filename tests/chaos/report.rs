//! The results of rounds: a line for each round, and the table in `docs/RELIABILITY.md`.

use super::checker::Findings;
use super::clients::Traffic;
use super::cluster::{Cluster, faketime_library};
use super::faults::Fault;
use super::subscriber::EventCount;
use diesel::QueryableByName;
use diesel::sql_types::BigInt;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A fault, and the time from its start to the start of the next one.
pub struct InjectedFault {
    pub kind: Fault,
    pub began: (Instant, SystemTime),
    pub ended: (Instant, SystemTime),
}

/// What a fault caused.
struct Outage {
    kind: Fault,
    /// The longest time without a 202 answer.
    without_accepts: Duration,
    /// The longest time in which no operation was finished.
    without_results: Duration,
}

#[derive(QueryableByName)]
struct FinishedAt {
    #[diesel(sql_type = BigInt)]
    millis: i64,
}

/// The longest time between two of these times, from the start to the end.
fn longest_gap<T: Copy + Ord>(times: &[T], began: T, ended: T, between: impl Fn(T, T) -> Duration) -> Duration {
    let mut inside: Vec<T> = times.iter().copied().filter(|time| (began..ended).contains(time)).collect();
    inside.extend([began, ended]);
    inside.sort();
    inside.windows(2).map(|pair| between(pair[0], pair[1])).max().unwrap_or_default()
}

fn outages(faults: &[InjectedFault], traffic: &Traffic, cluster: &Cluster) -> Vec<Outage> {
    let accepted = traffic.accept_times.lock().unwrap().clone();
    let finished: Vec<SystemTime> = cluster
        .stack
        .database
        .rows::<FinishedAt>("SELECT floor(extract(epoch FROM completed_at) * 1000)::bigint AS millis FROM operations")
        .iter()
        .map(|row| UNIX_EPOCH + Duration::from_millis(u64::try_from(row.millis).unwrap()))
        .collect();
    let outage = |fault: &InjectedFault| Outage {
        kind: fault.kind,
        without_accepts: longest_gap(&accepted, fault.began.0, fault.ended.0, |from, to| to - from),
        without_results: longest_gap(&finished, fault.began.1, fault.ended.1, |from, to| {
            to.duration_since(from).unwrap_or_default()
        }),
    };
    faults.iter().map(outage).collect()
}

/// The result of one round.
pub struct Round {
    seed: u64,
    faults: Vec<Outage>,
    requests: usize,
    accepted: usize,
    refused: usize,
    repeated: usize,
    events: EventCount,
    slowest: Duration,
    took: Duration,
    /// Operations that the checker of the history judged.
    checked: usize,
    violations: Vec<String>,
}

impl Round {
    pub fn new(
        seed: u64,
        faults: &[InjectedFault],
        traffic: &Traffic,
        cluster: &Cluster,
        events: EventCount,
        took: Duration,
        Findings { checked, violations }: Findings,
    ) -> Self {
        Self {
            seed,
            faults: outages(faults, traffic, cluster),
            requests: traffic.finished_requests.load(Ordering::Relaxed),
            accepted: traffic.accepted.lock().unwrap().len(),
            refused: traffic.refused.load(Ordering::Relaxed),
            repeated: traffic.repeated.load(Ordering::Relaxed),
            events,
            slowest: *traffic.slowest.lock().unwrap(),
            took,
            checked,
            violations,
        }
    }

    /// The broken promises.
    pub fn violations(&self) -> impl Iterator<Item = &str> {
        self.violations.iter().map(String::as_str)
    }

    #[track_caller]
    pub fn assert_no_violations(&self) {
        assert!(self.violations.is_empty(), "{self}\n{}", self.violations.join("\n"));
        assert_eq!(self.accepted + self.refused, self.requests, "{self}");
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Outage::to_string).collect();
        write!(
            f,
            "seed {}: {} accepted, {} refused (412), {} attempts repeated, {} operations checked, {} events ({} again), \
             slowest answer {:.1} s, {:.0} s, {}: {}",
            self.seed,
            self.accepted,
            self.refused,
            self.repeated,
            self.checked,
            self.events.received,
            self.events.repeated,
            self.slowest.as_secs_f64(),
            self.took.as_secs_f64(),
            if self.violations.is_empty() { "passed" } else { "FAILED" },
            faults.join(" ")
        )
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (accepts, results) = (self.without_accepts.as_secs_f64(), self.without_results.as_secs_f64());
        write!(f, "{:?} ({accepts:.1} s, {results:.1} s)", self.kind)
    }
}

/// The lines before and after the table of a Makefile target.
fn markers() -> (String, String) {
    let target = std::env::var("CONTACTS_CHAOS_TARGET").unwrap_or_else(|_| "chaos".into());
    let marker = |position| format!("<!-- made by `make {target}`: {position} -->\n");
    (marker("begin"), marker("end"))
}

/// Writes the table to the document.
pub fn write(rounds: &[Round]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RELIABILITY.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = markers();
    let (before, rest) = document.split_once(&begin).unwrap();
    let after = rest.split_once(&end).unwrap().1;
    std::fs::write(&path, format!("{before}{begin}{}{end}{after}", table(rounds))).unwrap();
}

fn table(rounds: &[Round]) -> String {
    let mut by_fault: BTreeMap<Fault, FaultRow> = BTreeMap::new();
    for round in rounds {
        let kinds: BTreeSet<Fault> = round.faults.iter().map(|outage| outage.kind).collect();
        for kind in kinds {
            let row = by_fault.entry(kind).or_default();
            row.rounds += 1;
            row.failed += usize::from(!round.violations.is_empty());
        }
        for outage in &round.faults {
            let row = by_fault.entry(outage.kind).or_default();
            row.without_accepts.push(outage.without_accepts);
            row.without_results.push(outage.without_results);
        }
    }
    let sum = |count: fn(&Round) -> usize| rounds.iter().map(count).sum::<usize>();
    let slowest = rounds.iter().map(|round| round.slowest).max().unwrap_or_default();
    let clock = if faketime_library().is_some() { "one producer's clock 5 s behind" } else { "all clocks correct" };
    let mut table = format!(
        "{} rounds, seeds {} to {}, two producers, three consumers, {clock}: {} changes accepted, {} refused with 412, \
         {} operations judged by the checker, {} events received, {} of them again, {} attempts answered 503 or not at all and repeated, slowest answer \
         {:.1} s, {} failed rounds (a change lost, applied twice or with a wrong result, or a request that hung).\n\n\
         | fault | times | rounds | failed rounds | no write accepted for: median, worst | no write finished for: median, worst |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        rounds.len(),
        rounds.first().map_or(0, |round| round.seed),
        rounds.last().map_or(0, |round| round.seed),
        sum(|round| round.accepted),
        sum(|round| round.refused),
        sum(|round| round.checked),
        sum(|round| round.events.received),
        sum(|round| round.events.repeated),
        sum(|round| round.repeated),
        slowest.as_secs_f64(),
        sum(|round| usize::from(!round.violations.is_empty())),
    );
    for (fault, FaultRow { rounds, failed, mut without_accepts, mut without_results }) in by_fault {
        let times = without_accepts.len();
        let (accepts, results) = (median_and_worst(&mut without_accepts), median_and_worst(&mut without_results));
        table.push_str(&format!("| {} | {times} | {rounds} | {failed} | {accepts} | {results} |\n", fault.text()));
    }
    table
}

#[derive(Default)]
struct FaultRow {
    rounds: usize,
    failed: usize,
    without_accepts: Vec<Duration>,
    without_results: Vec<Duration>,
}

fn median_and_worst(times: &mut [Duration]) -> String {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    format!("{:.1} s, {:.1} s", median.as_secs_f64(), worst.as_secs_f64())
}
