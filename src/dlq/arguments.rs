//! What can be asked for, as the command line reads it.

use super::Selection;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

macro_rules! exit_codes {
    () => {
        "Exit codes: 0 all that was selected is dealt with (or nothing was selected), 3 something is left: it failed again, \
         is not known to have ended, or was not agreed to; 1 failure, 64 wrong command line, 78 wrong settings."
    };
}

const EXIT_CODES: &str = exit_codes!();

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
        /// One line for each instead: id, operation, time, reason and detail, oldest first (with JSON, an object a line)
        #[arg(long)]
        each: bool,
    },
    /// Show one in full: its headers, and its body with the personal data in it
    Show {
        /// Its id, as `list` and `export` show it.
        id: String,
    },
    /// Send them again, in the order in which they failed first
    ///
    /// The one that failed first is sent alone, as a canary: only if it is applied or superseded within --wait do the others
    /// follow. What fails again comes back as a dead letter. SendOptions one twice changes nothing: an operation takes effect
    /// once.
    #[command(after_help = EXIT_CODES)]
    Replay {
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// How.
        #[command(flatten)]
        sending: SendOptions,
        /// Send all without trying one first
        #[arg(long)]
        no_canary: bool,
        /// How to ask.
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Move them to a new file, one JSON object a line: to archive them, or to mend them for `import`
    #[command(after_help = EXIT_CODES)]
    Export {
        /// The file, which must not exist yet, or a folder to make one in; - for standard output, with --keep
        file: PathBuf,
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// Leave them in the queue, too: to look at them. What is then imported and fails again is there twice
        #[arg(long)]
        keep: bool,
        /// How to ask.
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Send what was exported and mended: each changed line becomes a new command that names the old one
    ///
    /// Every line is checked first; if one is wrong nothing is sent. Change what is wrong in `body`, and leave id and digest as
    /// they are. A changed line becomes an operation of its own, made from its content: importing it twice changes nothing.
    /// A line that was not changed is replayed as it is.
    #[command(after_help = concat!("For instance, to mend what is invalid:\n  \
        contacts dlq-drain export letters.ndjson --reason invalid\n  \
        $EDITOR letters.ndjson\n  contacts dlq-drain import letters.ndjson\n\n", exit_codes!()))]
    Import {
        /// The file.
        file: PathBuf,
        /// How.
        #[command(flatten)]
        sending: SendOptions,
        /// How to ask.
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Remove them for good; their operations stay as they are. `export` keeps a copy
    #[command(after_help = EXIT_CODES)]
    Discard {
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// How to ask.
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

impl Default for Operation {
    fn default() -> Self {
        Self::List { selection: Selection::default(), each: false }
    }
}

/// How letters are sent.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "SendOptions")]
pub struct SendOptions {
    /// How many to send in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long to wait, after sending, until all are applied or have failed: 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub wait: Duration,
}

/// What must be clear before anything is changed.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Confirmation")]
pub struct Confirmation {
    /// Do not ask; needed where there is no terminal to ask at
    #[arg(long, short)]
    pub yes: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}
