//! How fast it is, in ratios: each figure beside the limits of what it stands on, and beside what users would write
//! instead, all in one run on one machine. `make bench` runs it; `docs/PERFORMANCE.md` says what the figures mean.
#![expect(unreachable_pub, reason = "a measurement has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement ends where it fails"
)]

mod bare;
mod broker;
mod counts;
mod figures;
mod growth;
mod load;
mod machine;
mod peers;
mod process;
mod rounds;
mod setup;

use clap::{Parser, ValueEnum};
use figures::Figures;
use setup::Stand;
use std::fs;
use std::path::Path;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Accepting creates, with its limits and the peers.
    Producer,
    /// Applying a backlog, with its limits and the peers.
    Consumer,
    /// The program on its own.
    Standalone,
    /// The highest steady rate, and latencies below it.
    Steady,
    /// Large tables.
    Growth,
    /// Many dead letters.
    Letters,
    /// Several consumers.
    Consumers,
}

/// Measures the program beside its limits and its peers.
#[derive(Parser)]
struct Arguments {
    /// Rounds; each figure is measured once in each.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Messages of each backlog.
    #[arg(long, default_value_t = 200_000)]
    backlog: usize,
    /// Contacts in the largest table.
    #[arg(long, default_value_t = 10_000_000)]
    contacts: usize,
    /// Only these; all if none is given.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Keep those figures of the last report that this run does not measure.
    #[arg(long)]
    keep: bool,
    /// Leave out the peers.
    #[arg(long)]
    no_peers: bool,
    /// Only count instructions and allocations, and hold them against bench/baseline.json.
    #[arg(long)]
    counts: bool,
    /// With --counts: make them the baseline.
    #[arg(long)]
    accept: bool,
    /// Write docs/PERFORMANCE.md, too.
    #[arg(long)]
    document: bool,
    /// Serves the bare handler on this port; for the program itself.
    #[arg(long, hide = true)]
    serve_bare: Option<u16>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(port) = arguments.serve_bare {
        return bare::serve(port);
    }
    let wants = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let stand = Stand::find();
    if arguments.counts {
        std::process::exit(i32::from(!counts::guard(&stand, arguments.accept)));
    }
    let machine = machine::describe(&stand);
    let mut figures = match arguments.keep {
        true => Figures::of_report(&fs::read_to_string(stand.folder.join("report.json")).unwrap()),
        false => Figures::default(),
    };
    let plan = rounds::Plan { seconds: arguments.seconds, backlog: arguments.backlog, peers: !arguments.no_peers };
    let in_rounds = [Part::Producer, Part::Consumer, Part::Standalone, Part::Steady].into_iter().any(wants);
    let rounds = if in_rounds { arguments.rounds } else { 0 };
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        if wants(Part::Producer) {
            rounds::producer(&stand, plan, &mut figures);
        }
        if wants(Part::Consumer) {
            rounds::consumer(&stand, plan, &mut figures);
        }
        if wants(Part::Standalone) {
            rounds::standalone(&stand, plan, &mut figures);
        }
        if wants(Part::Steady) {
            rounds::steady(&stand, plan, &mut figures);
        }
        save(&stand, &machine, &figures, round);
    }
    if wants(Part::Growth) {
        eprintln!("growth");
        growth::tables(&stand, arguments.contacts, arguments.rounds, &mut figures);
        save(&stand, &machine, &figures, arguments.rounds);
    }
    if wants(Part::Letters) {
        eprintln!("letters");
        growth::letters(&stand, &mut figures);
        save(&stand, &machine, &figures, arguments.rounds);
    }
    if wants(Part::Consumers) {
        eprintln!("consumers");
        growth::consumers(&stand, arguments.rounds, &mut figures);
        save(&stand, &machine, &figures, arguments.rounds);
    }
    println!("{}", figures.markdown());
    if arguments.document {
        document(&machine, &figures, arguments.rounds);
    }
}

/// After each round, so that a run that is cut short has its report, too.
fn save(stand: &Stand, machine: &machine::Machine, figures: &Figures, rounds: usize) {
    fs::write(stand.folder.join("report.json"), figures.json(machine, rounds)).unwrap();
}

/// Replaces what stands between the two marks in docs/PERFORMANCE.md.
fn document(machine: &machine::Machine, figures: &Figures, rounds: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PERFORMANCE.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- measured: begin -->", "<!-- measured: end -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let machine: String = machine.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    let tables = figures.markdown();
    let text = format!("{before}{begin}\n{rounds} rounds on\n\n{machine}\n{tables}{end}{after}");
    fs::write(&path, text).unwrap();
}
