//! Performance measurements. One run on one machine measures the program, the limits of its libraries and services, and
//! the peers: the same function in three other stacks. Targets are ratios within one run. `make bench` runs it;
//! `docs/PERFORMANCE.md` explains the measurements.
#![expect(unreachable_pub, reason = "nothing else uses a benchmark binary")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark stops where it fails"
)]

mod bare;
mod broker;
mod counts;
mod growth;
mod load;
mod machine;
mod measurements;
mod peers;
mod process;
mod rounds;
mod scale;
mod setup;

use clap::{Parser, ValueEnum};
use measurements::Measurements;
use setup::Environment;
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Accepting creates, compared with its limits and the peers
    Producer,
    /// Applying a backlog, compared with its limits and the peers
    Consumer,
    /// The standalone role
    Standalone,
    /// The highest sustained rate, and latencies at lower rates
    Steady,
    /// Large tables
    Growth,
    /// Many dead letters
    #[value(name = "letters")]
    DeadLetters,
    /// Several consumers
    Consumers,
}

/// Measures the performance of the program, its limits and its peers.
#[derive(Parser)]
struct Arguments {
    /// The number of rounds. Each round measures each value once
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Duration of each load, in seconds
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Messages in each backlog
    #[arg(long, default_value_t = 200_000)]
    backlog: usize,
    /// Contacts in the largest table
    #[arg(long, default_value_t = 10_000_000)]
    contacts: usize,
    /// Run only these parts. The default is all parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Keep the measurements of the last report that this run does not repeat
    #[arg(long)]
    keep: bool,
    /// Another build of the program. Its rates are measured in the same rounds, and compared
    #[arg(long, value_name = "BINARY")]
    before: Option<PathBuf>,
    /// Do not measure the peers
    #[arg(long)]
    no_peers: bool,
    /// Only count instructions and allocations, and compare them with bench/baseline.json
    #[arg(long)]
    counts: bool,
    /// With --counts: save the counts as the baseline
    #[arg(long)]
    accept: bool,
    /// Only print the tables of the model in docs/SCALE.md. This needs no services
    #[arg(long)]
    scale: bool,
    /// Also write the results to docs/PERFORMANCE.md
    #[arg(long)]
    document: bool,
    /// Serve the bare handler on this port. Used internally
    #[arg(long, hide = true)]
    serve_bare: Option<u16>,
    /// Cargo passes this option
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(port) = arguments.serve_bare {
        return bare::serve(port);
    }
    if arguments.scale {
        return print!("{}", scale::tables());
    }
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let environment = Environment { before: arguments.before, ..Environment::from_variables() };
    if arguments.counts {
        std::process::exit(i32::from(!counts::check(&environment, arguments.accept)));
    }
    let machine = machine::describe(&environment);
    let mut measurements = match arguments.keep {
        true => Measurements::from_report(&fs::read_to_string(environment.folder.join("report.json")).unwrap()),
        false => Measurements::default(),
    };
    let options =
        rounds::RoundOptions { seconds: arguments.seconds, backlog: arguments.backlog, peers: !arguments.no_peers };
    let has_rounds = [Part::Producer, Part::Consumer, Part::Standalone, Part::Steady].into_iter().any(wants);
    let rounds = if has_rounds { arguments.rounds } else { 0 };
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        if wants(Part::Producer) {
            rounds::producer(&environment, options, &mut measurements);
        }
        if wants(Part::Consumer) {
            rounds::consumer(&environment, options, &mut measurements);
        }
        if wants(Part::Standalone) {
            rounds::standalone(&environment, options, &mut measurements);
        }
        if wants(Part::Steady) {
            rounds::steady(&environment, options, &mut measurements);
        }
        save(&environment, &machine, &measurements, round);
    }
    if wants(Part::Growth) {
        eprintln!("growth");
        growth::tables(&environment, arguments.contacts, arguments.rounds, &mut measurements);
        save(&environment, &machine, &measurements, arguments.rounds);
    }
    if wants(Part::DeadLetters) {
        eprintln!("dead letters");
        growth::dead_letters(&environment, &mut measurements);
        save(&environment, &machine, &measurements, arguments.rounds);
    }
    if wants(Part::Consumers) {
        eprintln!("consumers");
        growth::consumers(&environment, arguments.rounds, &mut measurements);
        save(&environment, &machine, &measurements, arguments.rounds);
    }
    println!("{}", measurements.markdown());
    if arguments.document {
        write_document(&machine, &measurements, arguments.rounds);
    }
}

/// Writes the report. It is written after each round, so that an interrupted run has a report.
fn save(environment: &Environment, machine: &machine::Machine, measurements: &Measurements, rounds: usize) {
    fs::write(environment.folder.join("report.json"), measurements.json(machine, rounds)).unwrap();
}

/// Replaces the text between the two markers in docs/PERFORMANCE.md.
fn write_document(machine: &machine::Machine, measurements: &Measurements, rounds: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PERFORMANCE.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- measured: begin -->", "<!-- measured: end -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let machine: String = machine.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    let tables = measurements.markdown();
    let text = format!("{before}{begin}\n{rounds} rounds on\n\n{machine}\n{tables}{end}{after}");
    fs::write(&path, text).unwrap();
}
