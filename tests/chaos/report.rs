//! The results of rounds: a line for each round, and the table in `docs/RELIABILITY.md`.

use super::clients::Traffic;
use super::cluster::faketime_library;
use super::faults::Fault;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The result of one round.
pub struct Round {
    seed: u64,
    faults: Vec<Fault>,
    requests: usize,
    accepted: usize,
    refused: usize,
    repeated: usize,
    slowest: Duration,
    took: Duration,
    /// Operations that the checker of the history judged.
    checked: usize,
    violations: Vec<String>,
}

impl Round {
    pub fn new(
        seed: u64,
        faults: Vec<Fault>,
        traffic: &Traffic,
        took: Duration,
        checked: usize,
        violations: Vec<String>,
    ) -> Self {
        Self {
            seed,
            faults,
            requests: traffic.finished_requests.load(Ordering::Relaxed),
            accepted: traffic.accepted.lock().unwrap().len(),
            refused: traffic.refused.load(Ordering::Relaxed),
            repeated: traffic.repeated.load(Ordering::Relaxed),
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
        let faults: Vec<String> = self.faults.iter().map(|fault| format!("{fault:?}")).collect();
        write!(
            f,
            "seed {}: {} accepted, {} refused (412), {} attempts repeated, {} operations checked, slowest answer {:.1} s, \
             {:.0} s, {}: {}",
            self.seed,
            self.accepted,
            self.refused,
            self.repeated,
            self.checked,
            self.slowest.as_secs_f64(),
            self.took.as_secs_f64(),
            if self.violations.is_empty() { "passed" } else { "FAILED" },
            faults.join(" ")
        )
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
    let mut by_fault: BTreeMap<Fault, (usize, usize, usize)> = BTreeMap::new();
    for round in rounds {
        let mut kinds = round.faults.clone();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let (rounds, times, failed) = by_fault.entry(kind).or_default();
            *rounds += 1;
            *times += round.faults.iter().filter(|fault| **fault == kind).count();
            *failed += usize::from(!round.violations.is_empty());
        }
    }
    let sum = |count: fn(&Round) -> usize| rounds.iter().map(count).sum::<usize>();
    let slowest = rounds.iter().map(|round| round.slowest).max().unwrap_or_default();
    let clock = if faketime_library().is_some() { "one producer's clock 5 s behind" } else { "all clocks correct" };
    let mut table = format!(
        "{} rounds, seeds {} to {}, two producers, three consumers, {clock}: {} changes accepted, {} refused with 412, \
         {} operations judged by the checker, {} attempts answered 503 or not at all and repeated, slowest answer \
         {:.1} s, {} failed rounds (a change lost, applied twice or with a wrong result, or a request that hung).\n\n\
         | fault | times | rounds | failed rounds |\n| --- | --- | --- | --- |\n",
        rounds.len(),
        rounds.first().map_or(0, |round| round.seed),
        rounds.last().map_or(0, |round| round.seed),
        sum(|round| round.accepted),
        sum(|round| round.refused),
        sum(|round| round.checked),
        sum(|round| round.repeated),
        slowest.as_secs_f64(),
        sum(|round| usize::from(!round.violations.is_empty())),
    );
    for (fault, (rounds, times, failed)) in by_fault {
        table.push_str(&format!("| {} | {times} | {rounds} | {failed} |\n", fault.text()));
    }
    table
}
