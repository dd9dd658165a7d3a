//! Instructions and allocations for fixed work, which no noisy machine changes: the guard against slow decay.
//!
//! Each is the difference between a longer and a shorter run under valgrind, so start and end cancel out.

use super::broker;
use super::load;
use super::process::Process;
use super::setup::{Schema, Stand};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Commands of the two runs.
const RUNS: [usize; 2] = [500, 2_500];
/// How much more than the baseline is too much. What a scrape, a check of the services or another libc adds is less.
const MARGIN: f64 = 1.10;

/// A count by name.
type Counts = BTreeMap<String, f64>;

fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/baseline.json")
}

/// Counts, and holds the counts against the baseline, or makes them the baseline. False if one is too large.
pub fn guard(stand: &Stand, accept: bool) -> bool {
    let counts = count(stand);
    let text = format!("{}\n", serde_json::to_string_pretty(&counts).unwrap());
    fs::write(stand.folder.join("counts.json"), &text).unwrap();
    if accept {
        fs::write(baseline(), text).unwrap();
        return true;
    }
    let known: Counts = serde_json::from_str(&fs::read_to_string(baseline()).unwrap()).unwrap();
    let mut fine = known.keys().eq(counts.keys());
    println!("{:<24} {:>12} {:>12} {:>8}", "for one command", "baseline", "now", "ratio");
    for (name, now) in &counts {
        let before = known.get(name).copied().unwrap_or_else(|| panic!("bench/baseline.json has no {name}"));
        let ratio = now / before;
        println!("{name:<24} {before:>12.1} {now:>12.1} {ratio:>8.3}");
        if ratio.is_nan() || ratio <= 0.5 {
            fine = false;
            println!("  cannot be: something was not counted");
        } else if ratio > MARGIN {
            fine = false;
            println!(
                "  more than {MARGIN} times the baseline: see bench/counts.rs; if it is worth it, `make bench-counts ACCEPT=1`"
            );
        } else if ratio < 1.0 / MARGIN {
            println!("  less than before: keep the gain with `make bench-counts ACCEPT=1`");
        }
    }
    fine
}

fn count(stand: &Stand) -> Counts {
    let schema = stand.schema("bench_counts");
    schema.declare();
    let mut counts = Counts::new();
    for (work, run) in [("publish", publish as fn(&Schema<'_>, &Tool, usize) -> f64), ("apply", apply)] {
        for tool in TOOLS {
            let [short, long] = RUNS.map(|commands| run(&schema, &tool, commands));
            let each = (long - short) / (RUNS[1] - RUNS[0]) as f64;
            counts.insert(format!("{work}.{}", tool.counts), (each * 10.0).round() / 10.0);
        }
    }
    counts
}

/// A tool of valgrind, and where it says its total.
struct Tool {
    counts: &'static str,
    name: &'static str,
    options: &'static [&'static str],
    /// The number is the last one of the line with this text.
    line: &'static str,
}

const TOOLS: [Tool; 2] = [
    Tool {
        counts: "instructions",
        name: "callgrind",
        // Not counted is what is made once: the metrics' clock (quanta) is, by a loop of up to 200 ms.
        options: &[
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=once_cell::imp::OnceCell<T>::initialize",
            "--collect-atstart=yes",
        ],
        line: "Collected :",
    },
    Tool { counts: "allocations", name: "dhat", options: &["--dhat-out-file=/dev/null"], line: "Total:" },
];

impl Tool {
    /// Runs a role under the tool while `work` lasts; the total.
    fn total(&self, role: &str, schema: &Schema<'_>, work: impl FnOnce(&Process)) -> f64 {
        let log = schema.stand.folder.join("logs").join(format!("{}-{role}.log", self.name));
        let mut valgrind =
            vec!["valgrind".to_owned(), format!("--tool={}", self.name), format!("--log-file={}", log.display())];
        valgrind.extend(self.options.iter().map(|&option| option.to_owned()));
        let process = Process::slow_role(&valgrind, role, schema);
        work(&process);
        drop(process);
        let text = fs::read_to_string(&log).unwrap();
        let line = text.lines().rev().find(|line| line.contains(self.line)).unwrap_or_else(|| panic!("{text}"));
        let number = line.split_whitespace().rev().find_map(|word| word.replace(',', "").parse().ok());
        number.unwrap_or_else(|| panic!("{line}"))
    }
}

/// One create after the other, each answered by 202.
fn publish(schema: &Schema<'_>, tool: &Tool, commands: usize) -> f64 {
    schema.empty();
    let total = tool.total("producer", schema, |producer| load::one_by_one(&producer.url, commands));
    assert_eq!(schema.waiting(), commands);
    total
}

/// A backlog, applied in batches.
fn apply(schema: &Schema<'_>, tool: &Tool, commands: usize) -> f64 {
    schema.empty();
    broker::publish(&schema.stand.broker, &schema.queue(), &load::messages(commands), commands);
    tool.total("consumer", schema, |_| {
        let deadline = Instant::now() + broker::PATIENCE;
        while (schema.rows() as usize) < commands {
            assert!(Instant::now() < deadline, "only {} of {commands} were applied", schema.rows());
            sleep(Duration::from_millis(50));
        }
    })
}
