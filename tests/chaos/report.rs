//! What rounds showed, for people: a line each, and the table of `docs/RELIABILITY.md`.

use super::clients::Traffic;
use super::cluster::late_clock;
use super::faults::Fault;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub struct Round {
    seed: u64,
    faults: Vec<Fault>,
    requests: usize,
    accepted: usize,
    refused: usize,
    tried_again: usize,
    slowest: Duration,
    took: Duration,
    wrong: Vec<String>,
}

impl Round {
    pub fn new(seed: u64, faults: Vec<Fault>, traffic: &Traffic, took: Duration, wrong: Vec<String>) -> Self {
        Self {
            seed,
            faults,
            requests: traffic.done.load(Ordering::Relaxed),
            accepted: traffic.accepted.lock().unwrap().len(),
            refused: traffic.refused.load(Ordering::Relaxed),
            tried_again: traffic.tried_again.load(Ordering::Relaxed),
            slowest: *traffic.slowest.lock().unwrap(),
            took,
            wrong,
        }
    }

    /// What is not as it must be.
    pub fn wrong(&self) -> impl Iterator<Item = &str> {
        self.wrong.iter().map(String::as_str)
    }

    #[track_caller]
    pub fn expect_right(&self) {
        assert!(self.wrong.is_empty(), "{self}\n{}", self.wrong.join("\n"));
        assert_eq!(self.accepted + self.refused, self.requests, "{self}");
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|fault| format!("{fault:?}")).collect();
        write!(
            f,
            "seed {}: {} accepted, {} refused (412), {} tries repeated, slowest answer {:.1} s, {:.0} s, {}: {}",
            self.seed,
            self.accepted,
            self.refused,
            self.tried_again,
            self.slowest.as_secs_f64(),
            self.took.as_secs_f64(),
            if self.wrong.is_empty() { "right" } else { "WRONG" },
            faults.join(" ")
        )
    }
}

/// The marks around the table of a target of the Makefile.
fn marks() -> (String, String) {
    let target = std::env::var("CONTACTS_CHAOS_TARGET").unwrap_or_else(|_| "chaos".into());
    let mark = |which| format!("<!-- made by `make {target}`: {which} -->\n");
    (mark("begin"), mark("end"))
}

/// Puts the table into the document.
pub fn write(rounds: &[Round]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RELIABILITY.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = marks();
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
            let (rounds, times, wrong) = by_fault.entry(kind).or_default();
            *rounds += 1;
            *times += round.faults.iter().filter(|fault| **fault == kind).count();
            *wrong += usize::from(!round.wrong.is_empty());
        }
    }
    let sum = |count: fn(&Round) -> usize| rounds.iter().map(count).sum::<usize>();
    let slowest = rounds.iter().map(|round| round.slowest).max().unwrap_or_default();
    let clock = if late_clock().is_some() { "one producer's clock 5 s behind" } else { "all clocks right" };
    let mut table = format!(
        "{} rounds, seeds {} to {}, two producers, three consumers, {clock}: {} changes accepted, {} refused with 412, \
         {} tries answered 503 or not at all and repeated, slowest answer {:.1} s, {} rounds with anything lost, applied twice, wrong at the end, or hanging.\n\n\
         | fault | times | in rounds | of them wrong |\n| --- | --- | --- | --- |\n",
        rounds.len(),
        rounds.first().map_or(0, |round| round.seed),
        rounds.last().map_or(0, |round| round.seed),
        sum(|round| round.accepted),
        sum(|round| round.refused),
        sum(|round| round.tried_again),
        slowest.as_secs_f64(),
        sum(|round| usize::from(!round.wrong.is_empty())),
    );
    for (fault, (rounds, times, wrong)) in by_fault {
        table.push_str(&format!("| {} | {times} | {rounds} | {wrong} |\n", fault.text()));
    }
    table
}
