//! What can be asked for, as the command line reads it.

use super::Selection;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object, for scripts.
    Json,
}

/// What to do with the dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Operation {
    /// Count them, by reason and operation (the default)
    List {
        /// Which.
        #[command(flatten)]
        selection: Selection,
    },
    /// Show one in full: its headers, and its body with the personal data in it
    Show {
        /// Its id, as `list` and `export` show it.
        id: String,
    },
    /// Send them again, in the order in which they failed first
    ///
    /// One is sent alone first and must end well, as a canary; then the rest follow. What fails again comes back as a
    /// dead letter. Sending one twice changes nothing: an operation takes effect once.
    Replay {
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// How.
        #[command(flatten)]
        sending: Sending,
        /// Send all without trying one first
        #[arg(long)]
        no_canary: bool,
        /// How to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Move them to a new file, one JSON object a line: to archive them, or to mend them for `import`
    Export {
        /// The file, which must not exist yet; - for standard output, with --keep.
        file: PathBuf,
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// Leave them in the queue, too
        #[arg(long)]
        keep: bool,
        /// How to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Send what was exported and mended: each changed line becomes a new command that names the old one
    ///
    /// Every line is checked first; if one is wrong nothing is sent. A line that was not changed is replayed as it is.
    /// Importing a file twice changes nothing.
    Import {
        /// The file.
        file: PathBuf,
        /// How.
        #[command(flatten)]
        sending: Sending,
        /// How to ask.
        #[command(flatten)]
        consent: Consent,
    },
    /// Remove them for good; their operations stay `failed`. `export` keeps a copy
    Discard {
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// How to ask.
        #[command(flatten)]
        consent: Consent,
    },
}

impl Default for Operation {
    fn default() -> Self {
        Self::List { selection: Selection::default() }
    }
}

/// How letters are sent.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sending")]
pub struct Sending {
    /// How many to send in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long to wait for the canary, and at the end for the others, to be applied or to fail
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub wait: Duration,
}

/// What must be clear before anything is changed.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Consent")]
pub struct Consent {
    /// Do not ask; needed where there is no terminal to ask at
    #[arg(long, short)]
    pub yes: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}
