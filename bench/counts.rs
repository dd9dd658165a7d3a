//! Counts instructions and allocations for fixed work, and compares them with a baseline. Unlike times, the counts do
//! not depend on the load of the machine, so they detect small regressions.
//!
//! Each count is the difference between a long and a short run under valgrind, so that start and shutdown are not
//! counted.

use super::broker;
use super::load;
use super::process::Process;
use super::setup::{Environment, Schema};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The number of commands in the short and in the long run.
const RUNS: [usize; 2] = [500, 2_500];
/// The allowed increase over the baseline. A scrape, a health check or another libc changes the counts less than this.
const MARGIN: f64 = 1.10;

/// Counts by name.
type Counts = BTreeMap<String, f64>;

fn baseline_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/baseline.json")
}

/// Counts, and compares the counts with the baseline. With `accept`, saves them as the baseline. False if a count is
/// too large.
pub fn check(environment: &Environment, accept: bool) -> bool {
    let counts = count(environment);
    let text = format!("{}\n", serde_json::to_string_pretty(&counts).unwrap());
    fs::write(environment.folder.join("counts.json"), &text).unwrap();
    if accept {
        fs::write(baseline_path(), text).unwrap();
        return true;
    }
    let baseline: Counts = serde_json::from_str(&fs::read_to_string(baseline_path()).unwrap()).unwrap();
    let mut passed = baseline.keys().eq(counts.keys());
    println!("{:<24} {:>12} {:>12} {:>8}", "per command", "baseline", "now", "ratio");
    for (name, now) in &counts {
        let before = baseline.get(name).copied().unwrap_or_else(|| panic!("bench/baseline.json has no {name}"));
        let ratio = now / before;
        println!("{name:<24} {before:>12.1} {now:>12.1} {ratio:>8.3}");
        if ratio.is_nan() || ratio <= 0.5 {
            passed = false;
            println!("  impossible: the count is not complete");
        } else if ratio > MARGIN {
            passed = false;
            println!(
                "  more than {MARGIN} times the baseline (see bench/counts.rs); accept it with `make bench-counts ACCEPT=1`"
            );
        } else if ratio < 1.0 / MARGIN {
            println!("  less than the baseline: save the improvement with `make bench-counts ACCEPT=1`");
        }
    }
    passed
}

fn count(environment: &Environment) -> Counts {
    let schema = environment.schema("bench_counts");
    schema.declare_queues();
    let mut counts = Counts::new();
    for (work, run) in [("publish", publish as fn(&Schema<'_>, &ValgrindTool, usize) -> f64), ("apply", apply)] {
        for tool in TOOLS {
            let [short, long] = RUNS.map(|commands| run(&schema, &tool, commands));
            let each = (long - short) / (RUNS[1] - RUNS[0]) as f64;
            counts.insert(format!("{work}.{}", tool.counts), (each * 10.0).round() / 10.0);
        }
    }
    counts
}

/// A tool of valgrind, and the line of its output with the total.
struct ValgrindTool {
    counts: &'static str,
    name: &'static str,
    options: &'static [&'static str],
    /// The total is the last number of the line with this text.
    line: &'static str,
}

const TOOLS: [ValgrindTool; 2] = [
    ValgrindTool {
        counts: "instructions",
        name: "callgrind",
        // Do not count one-time initialization: the clock of the metrics (quanta) calibrates in a loop of up to 200 ms.
        options: &[
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=once_cell::imp::OnceCell<T>::initialize",
            "--collect-atstart=yes",
        ],
        line: "Collected :",
    },
    ValgrindTool { counts: "allocations", name: "dhat", options: &["--dhat-out-file=/dev/null"], line: "Total:" },
];

impl ValgrindTool {
    /// Runs a role under the tool while `work` runs, and returns the total.
    fn total(&self, role: &str, schema: &Schema<'_>, work: impl FnOnce(&Process)) -> f64 {
        let log = schema.environment.folder.join("logs").join(format!("{}-{role}.log", self.name));
        let mut valgrind =
            vec!["valgrind".to_owned(), format!("--tool={}", self.name), format!("--log-file={}", log.display())];
        valgrind.extend(self.options.iter().map(|&option| option.to_owned()));
        let process = Process::wrapped_role(&valgrind, role, schema);
        work(&process);
        drop(process);
        let text = fs::read_to_string(&log).unwrap();
        let line = text.lines().rev().find(|line| line.contains(self.line)).unwrap_or_else(|| panic!("{text}"));
        let number = line.split_whitespace().rev().find_map(|text| text.replace(',', "").parse().ok());
        number.unwrap_or_else(|| panic!("{line}"))
    }
}

/// Sends creates to a producer, one after the other.
fn publish(schema: &Schema<'_>, tool: &ValgrindTool, commands: usize) -> f64 {
    schema.clear();
    let total = tool.total("producer", schema, |producer| load::one_by_one(&producer.url, commands));
    assert_eq!(schema.waiting(), commands);
    total
}

/// Lets a consumer apply a backlog.
fn apply(schema: &Schema<'_>, tool: &ValgrindTool, commands: usize) -> f64 {
    schema.clear();
    broker::publish(&schema.environment.broker, &schema.queue(), &load::messages(commands), commands);
    tool.total("consumer", schema, |_| {
        let deadline = Instant::now() + broker::MAX_WAIT;
        while (schema.rows() as usize) < commands {
            assert!(Instant::now() < deadline, "only {} of {commands} were applied", schema.rows());
            sleep(Duration::from_millis(50));
        }
    })
}
