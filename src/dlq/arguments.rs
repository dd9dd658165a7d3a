//! The operations of `dlq-drain` and their options, as the command line parses them.

use super::Selection;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

macro_rules! exit_codes {
    () => {
        "Exit codes:\n  \
           0   all selected messages are done, or no message is selected\n  \
           1   failure\n  \
           3   messages are left: not confirmed, interrupted, failed again, or with unknown result\n  \
           64  wrong command line\n  \
           78  wrong settings"
    };
}

const EXIT_CODES: &str = exit_codes!();

/// The format of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON object, for scripts
    Json,
}

/// What to do with the dead-lettered messages.
#[derive(Clone, Debug, Subcommand)]
pub enum Operation {
    /// Count the messages by reason and operation (the default)
    List {
        /// Write one line for each message instead: id, operation, time, reason and detail, oldest message first. With
        /// `--output json` each line is a JSON object
        #[arg(long, alias = "each")]
        messages: bool,
        /// The messages to list.
        #[command(flatten)]
        selection: Selection,
    },
    /// Show one message in full: headers and body, with personal data
    Show {
        /// The id of the message, as `list --messages` shows it
        id: String,
    },
    /// Publish messages to the work queue again, in the order of their first failure.
    ///
    /// The first message is the canary: it is replayed alone. The others follow only if it is applied or superseded
    /// within --wait. A message that fails again returns to the dead letter queue. You may replay a message twice: its
    /// operation takes effect once.
    #[command(after_help = EXIT_CODES)]
    Replay {
        /// The messages to replay.
        #[command(flatten)]
        selection: Selection,
        /// How to send them.
        #[command(flatten)]
        options: SendOptions,
        /// Replay all messages without a canary
        #[arg(long)]
        no_canary: bool,
        /// How to confirm.
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Move messages to a new file, to archive them or to fix them for `import`.
    ///
    /// Each line of the file is one message as a JSON object. The file contains personal data; only its owner may read
    /// it.
    #[command(after_help = EXIT_CODES)]
    Export {
        /// The new file, or a folder for the new file. With --keep, - is standard output
        file: PathBuf,
        /// Copy the messages and leave them in the queue. If you import the copy and a message fails again, the queue
        /// contains it twice
        #[arg(long)]
        keep: bool,
        /// The messages to export.
        #[command(flatten)]
        selection: Selection,
        /// How to confirm.
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Send the messages of an exported file: fixed messages as new commands, the others unchanged.
    ///
    /// To fix a message, change the member `body` of its line. Leave `id` and `digest` unchanged. A changed line
    /// becomes a new operation, which names the old operation. You may import a file twice: each operation takes effect
    /// once. An unchanged line is replayed. All lines are checked first: if one is not valid, nothing is sent.
    #[command(after_help = concat!("Example: fix the messages that are not valid\n  \
        contacts dlq-drain export dead-letters.ndjson --reason invalid\n  \
        $EDITOR dead-letters.ndjson\n  contacts dlq-drain import dead-letters.ndjson\n\n", exit_codes!()))]
    Import {
        /// The file that `export` wrote
        file: PathBuf,
        /// How to send the messages.
        #[command(flatten)]
        options: SendOptions,
        /// How to confirm.
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Remove messages for good, without a copy.
    ///
    /// The status of their operations does not change. To keep a copy of the messages, use `export` instead.
    #[command(after_help = EXIT_CODES)]
    Discard {
        /// The messages to discard.
        #[command(flatten)]
        selection: Selection,
        /// How to confirm.
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

impl Default for Operation {
    fn default() -> Self {
        Self::List { selection: Selection::default(), messages: false }
    }
}

impl Operation {
    /// How the operator confirms. An operation that only reads, or only copies, needs no confirmation.
    pub(super) const fn confirmation(&self) -> Confirmation {
        match self {
            Self::List { .. } | Self::Show { .. } => Confirmation { yes: true, dry_run: false },
            Self::Export { keep, confirmation: Confirmation { yes, dry_run }, .. } => {
                Confirmation { yes: *yes || *keep, dry_run: *dry_run }
            }
            Self::Replay { confirmation, .. }
            | Self::Import { confirmation, .. }
            | Self::Discard { confirmation, .. } => *confirmation,
        }
    }
}

/// How messages are sent.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sending")]
pub struct SendOptions {
    /// The maximum number of messages to send in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long to wait for results after the last message is sent, for example 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime_serde::re::humantime::parse_duration)]
    pub wait: Duration,
}

/// How the operator confirms a change.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Confirmation")]
pub struct Confirmation {
    /// Do not ask for confirmation. Required if there is no terminal
    #[arg(long, short)]
    pub yes: bool,
    /// Only report what the operation would do; change nothing
    #[arg(long)]
    pub dry_run: bool,
}
