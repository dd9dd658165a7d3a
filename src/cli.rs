//! The command line: parse it, read the settings, dispatch to a role, turn errors into exit codes.

use crate::config::{ApiKey, ConfigError, Layers, Scopes, Settings};
use crate::dlq::{self, Completion, Format};
use crate::runtime::{self, Role, RunError};
use crate::store::Direction;
use crate::transfer;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const FAILURE: u8 = 1;
/// It worked, but something of what was asked for is left to be done.
const LEFT: u8 = 3;
/// `EX_USAGE` and `EX_CONFIG` of BSD's sysexits.
const USAGE: u8 = 64;
const CONFIG: u8 = 78;

/// Keeps a company's contacts behind an HTTP API that never loses an accepted change.
#[derive(Debug, Parser)]
#[command(name = "contacts", version, max_term_width = 100)]
struct Arguments {
    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one setting, as `http.listen=127.0.0.1:0`; may be repeated.
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API: writes go to RabbitMQ, reads come from PostgreSQL.
    Producer {
        /// Address and port of the API (http.listen).
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
    },
    /// Apply messages from RabbitMQ to PostgreSQL.
    Consumer,
    /// Everything in one process, on SQLite and an embedded queue: needs nothing else.
    Standalone {
        /// Address and port of the API (http.listen).
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// The folder to keep everything in (standalone.data_dir).
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<String>,
    },
    /// Bring the schema of database.url to what this version needs.
    Migrate {
        /// Revert the newest migration instead: its tables and columns are lost.
        #[arg(long)]
        down: bool,
    },
    /// Forget operations that ended, and deleted contacts, long ago; safe beside running consumers.
    ///
    /// Failed operations stay, because their dead letters may wait. Afterwards a create from before that time whose
    /// operation is not known any more is refused (reason `expired`), so neither a late redelivery nor a replay can bring
    /// a deleted contact back.
    Prune {
        /// How old, as 30d or 12h; at least 1h.
        #[arg(long, value_name = "AGE", value_parser = humantime_serde::re::humantime::parse_duration)]
        older_than: Duration,
        /// Rows to remove in one step.
        #[arg(long, value_name = "ROWS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        batch: u32,
        /// Prune this folder of `standalone` instead of database.url.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Look at the dead letters, and replay, mend, archive or discard them.
    ///
    /// A dead letter is a change that was accepted and could not be applied. Without an operation, they are counted.
    /// Exit codes: 0 all that was selected is dealt with, 3 something is left (it failed again, was interrupted, or is not
    /// known to have ended), 1 failure, 64 wrong command line, 78 wrong settings.
    DlqDrain {
        #[command(subcommand)]
        operation: Option<dlq::Operation>,
        /// How to write results: a table for people, or one JSON object for scripts.
        #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
        output: Format,
        /// The folder of a `standalone`, running or not, instead of broker.url and database.url.
        #[arg(long, global = true, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Send a file of contacts to a running service: NDJSON, CSV or vCard.
    ///
    /// Every record is created as a contact, or it is said why not, by the file's line. To run the same import again is safe,
    /// however it ended: each record is created once, as long as what was sent of the file, the columns and --batch stay the
    /// same. Exit codes: 0 all records are accepted (with --dry-run: valid), 3 some are not valid, the others are accepted,
    /// 1 failure, and it is said how to go on, 64 wrong command line.
    #[command(after_help = "For instance:\n  contacts import people.csv --dry-run --rejects why.ndjson\n  \
        contacts import people.csv --mend mend.csv\n  $EDITOR mend.csv\n  contacts import mend.csv")]
    Import(transfer::Import),
    /// Bring contacts from a running service to a file: NDJSON, CSV or vCard.
    ///
    /// The file appears under its name only once it is complete. Exit codes: 0 it is, 1 failure, 64 wrong command line.
    #[command(after_help = "For instance:\n  contacts export contacts.csv\n  contacts export paulistas.vcf --state SP")]
    Export(transfer::Export),
    /// Ask a running role on this machine whether it lives: for containers, which may have no other program to ask with.
    ///
    /// Asks /livez at admin.listen, so it needs the same settings as the role. Exit codes: 0 yes, 1 no.
    Healthcheck {
        /// Whether it can work (/readyz), not only whether it lives.
        #[arg(long)]
        ready: bool,
    },
    /// Make a key for a caller, and the entry of http.api_keys that stands for it.
    ///
    /// Prints the key, which is shown only now, and on a second line its entry, which holds no secret.
    ApiKey {
        /// What the key is called in the log: who uses it, as web-shop.
        #[arg(value_name = "NAME", value_parser = key_name)]
        name: String,
        /// What its holder may do: read, write or read+write.
        #[arg(long, value_name = "SCOPES", default_value = "read+write")]
        scopes: Scopes,
    },
    /// Print the settings in effect, secrets hidden.
    Config,
    /// Print what makes a shell complete our command lines.
    #[command(after_help = "For instance: contacts completions bash > /etc/bash_completion.d/contacts")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all pages.
    #[command(after_help = "For instance: contacts man | man -l -")]
    Man {
        /// Write a page for each command into this folder.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

fn key_name(text: &str) -> Result<String, &'static str> {
    ApiKey::check_name(text).map(|()| text.to_owned())
}

/// Runs the program with these arguments and environment.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe takes nobody's help text away.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    let read = layers(&arguments, environment).and_then(|layers| Ok((layers.clone().load()?, layers)));
    let result = match read {
        Ok((settings, layers)) => run(&arguments.command, &settings, &layers),
        Err(error) => Err(RunError::Misconfigured(error.to_string())),
    };
    match result {
        Ok(Completion::Complete) => ExitCode::SUCCESS,
        Ok(Completion::Partial) => ExitCode::from(LEFT),
        Err(error) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "contacts: {error}");
            ExitCode::from(match error {
                RunError::Misconfigured(_) => CONFIG,
                RunError::Usage(_) => USAGE,
                RunError::Failed(_) => FAILURE,
            })
        }
    }
}

fn layers(
    arguments: &Arguments,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layers, ConfigError> {
    let mut layers = Layers::default().file(arguments.config.clone()).environment(environment)?;
    for (name, value) in &arguments.set {
        layers = layers.flag(name, Some(value));
    }
    Ok(match &arguments.command {
        Command::Producer { listen } => layers.flag("http.listen", listen.as_ref()),
        Command::Standalone { listen, data_dir } => {
            layers.flag("http.listen", listen.as_ref()).flag("standalone.data_dir", data_dir.as_ref())
        }
        _ => layers,
    })
}

fn run(command: &Command, settings: &Settings, layers: &Layers) -> Result<Completion, RunError> {
    match command {
        Command::Producer { .. } => runtime::run(Role::Producer, settings, layers)?,
        Command::Consumer => runtime::run(Role::Consumer, settings, layers)?,
        Command::Standalone { .. } => runtime::run(Role::Standalone, settings, layers)?,
        Command::Migrate { down } => runtime::migrate(settings, if *down { Direction::Down } else { Direction::Up })?,
        Command::Prune { older_than, batch, data_dir } => {
            runtime::prune(settings, *older_than, *batch, data_dir.as_deref())?;
        }
        Command::DlqDrain { operation, output, data_dir } => {
            let operation = operation.clone().unwrap_or_default();
            return runtime::dlq(settings, data_dir.as_deref(), *output, &operation);
        }
        Command::Import(arguments) => return runtime::import(arguments),
        Command::Export(arguments) => return runtime::export(arguments),
        Command::Healthcheck { ready } => runtime::healthcheck(settings, *ready)?,
        Command::ApiKey { name, scopes } => runtime::api_key(name, *scopes)?,
        Command::Config => print!("{}", settings.to_toml()),
        Command::Completions { shell } => completions(*shell)?,
        Command::Man { dir } => manual(dir.as_deref())?,
    }
    Ok(Completion::Complete)
}

fn completions(shell: clap_complete::Shell) -> std::io::Result<()> {
    // Made in memory: the generator panics when its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "contacts", &mut script);
    std::io::stdout().write_all(&script)
}

fn manual(folder: Option<&Path>) -> std::io::Result<()> {
    match folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            clap_mangen::generate_to(Arguments::command(), folder)
        }
        None => clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
