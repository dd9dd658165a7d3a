//! The command line: parses it, reads the settings, runs the command, and turns errors into exit codes.

use crate::config::{ApiKey, ConfigError, Layers, Scopes, Settings};
use crate::dlq::{self, Completion, Format};
use crate::runtime::{self, Role, RunError};
use crate::store::Direction;
use crate::subject;
use crate::transfer;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const FAILURE: u8 = 1;
/// The command completed only a part of its work.
const PARTIAL: u8 = 3;
/// `EX_USAGE` of BSD's sysexits.
const USAGE: u8 = 64;
/// `EX_CONFIG` of BSD's sysexits.
const CONFIG: u8 = 78;

/// Stores the contacts of a company. The HTTP API never loses a change that it has accepted.
#[derive(Debug, Parser)]
#[command(name = "contacts", version, max_term_width = 100)]
struct Arguments {
    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one setting, for example `http.listen=127.0.0.1:0`. May be repeated.
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API: publish writes to RabbitMQ, read from PostgreSQL.
    Producer {
        /// Address and port of the API (setting http.listen).
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
    },
    /// Apply messages from RabbitMQ to PostgreSQL.
    Consumer,
    /// Run producer and consumer in one process, with SQLite and an embedded queue.
    Standalone {
        /// Address and port of the API (setting http.listen).
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// The folder of the database and the queue (setting standalone.data_dir).
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<String>,
    },
    /// Serve the operator's console alone, on the admin port.
    ///
    /// The console shows what is wrong, the dead-lettered messages, and the life of a change. Roles serve it, too, if the
    /// setting admin.console is true. docs/CONSOLE.md describes it.
    Console {
        /// Address and port of the console (setting admin.listen).
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// The data folder of a standalone, running or not, instead of broker.url and database.url.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<String>,
    },
    /// Update the database schema to this version of the program.
    ///
    /// The setting database.url names the database. Run this once for each new version, before its roles start.
    Migrate {
        /// Revert the newest migration instead. This deletes the data of its tables and columns.
        #[arg(long)]
        down: bool,
    },
    /// Remove old operations and the tombstones of deleted contacts from the database.
    ///
    /// Consumers may run at the same time. Failed operations stay, because their messages may wait in the dead letter
    /// queue. After this, a create that is older than --older-than fails with the reason `expired`, unless its
    /// operation is still known. So a late redelivery or replay cannot restore a deleted contact.
    Prune {
        /// The minimum age, for example 30d or 12h. At least 1h.
        #[arg(long, value_name = "AGE", value_parser = humantime_serde::re::humantime::parse_duration)]
        older_than: Duration,
        /// The number of rows to remove in one step.
        #[arg(long, value_name = "ROWS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        batch: u32,
        /// The data folder of a standalone, instead of database.url.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Copy the data of a standalone to a new folder.
    ///
    /// The standalone may run. The copy holds every change that was accepted before this command began. The folder gets
    /// its name when it is complete. It contains personal data.
    #[command(after_help = "Examples:\n  \
        contacts backup /var/backups/contacts/2026-08-01\n  \
        contacts backup monday --data-dir /var/lib/contacts\n\n\
        Exit codes:\n  \
        0   the backup is complete\n  \
        1   failure: there is no backup, and the data folder is unchanged\n  \
        64  wrong command line\n  \
        78  wrong settings")]
    Backup {
        /// The new folder. It must be empty or not exist.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// The data folder of the standalone (setting standalone.data_dir).
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<String>,
    },
    /// Put a backup into an empty data folder.
    ///
    /// This checks the backup first. Then start the standalone on the data folder. Changes that were accepted after the
    /// backup began are not in it.
    #[command(after_help = "Examples:\n  \
        contacts restore /var/backups/contacts/2026-08-01\n  \
        contacts restore monday --data-dir /var/lib/contacts\n\n\
        Exit codes:\n  \
        0   the data folder is complete\n  \
        1   failure: nothing was restored\n  \
        64  wrong command line\n  \
        78  wrong settings, or the backup is of a newer version of this program")]
    Restore {
        /// A folder that `contacts backup` made.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// The data folder of the standalone (setting standalone.data_dir). It must be empty or not exist.
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<String>,
    },
    /// List, show, replay, export, fix and discard dead-lettered messages.
    ///
    /// A dead-lettered message is a change that was accepted and could not be applied. Without a subcommand, this
    /// counts the messages by reason and operation.
    #[command(after_help = "Exit codes:\n  \
        0   done\n  \
        1   failure\n  \
        3   messages are left: not confirmed, interrupted, failed again, or with unknown result\n  \
        64  wrong command line\n  \
        78  wrong settings")]
    DlqDrain {
        #[command(subcommand)]
        operation: Option<dlq::Operation>,
        /// The format of results: a table for people, or JSON for scripts.
        #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
        output: Format,
        /// The data folder of a standalone, running or not, instead of broker.url and database.url.
        #[arg(long, global = true, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Find, export or erase what is stored about a person.
    ///
    /// This searches contacts in the database and messages in the dead letter queue. It counts the messages that wait in
    /// the other queues, because these cannot be read. Each value that matches is enough to select a contact or a message.
    /// docs/PRIVACY.md says what else may have data of a person.
    #[command(after_help = "Examples:\n  \
        contacts subject find --phone '(11) 98765-4321' --email ana@example.com\n  \
        contacts subject export ana.json --email ana@example.com\n  \
        contacts subject erase --email ana@example.com\n\n\
        Exit codes:\n  \
        0   done\n  \
        1   failure\n  \
        3   something is left: not confirmed, or not everything could be erased\n  \
        64  wrong command line\n  \
        78  wrong settings")]
    Subject {
        #[command(subcommand)]
        operation: subject::Operation,
        /// The data folder of a standalone, running or not, instead of broker.url and database.url.
        #[arg(long, global = true, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
    /// Send a file of contacts to a service: NDJSON, CSV or vCard.
    ///
    /// Each valid record becomes a contact. The other records are rejected and reported with their line numbers. You
    /// may run the same import again: with the same file, the same columns and the same --batch, no contact is created
    /// twice.
    #[command(after_help = "Examples:\n  \
        contacts import people.csv --dry-run --errors errors.ndjson\n  \
        contacts import people.csv --rejected rejected.csv\n  \
        $EDITOR rejected.csv\n  \
        contacts import rejected.csv\n\n\
        Exit codes:\n  \
        0   all records are accepted; with --dry-run: all records are valid\n  \
        1   failure; the output says how to continue\n  \
        3   some records are rejected, all others are accepted\n  \
        64  wrong command line")]
    Import(transfer::Import),
    /// Write contacts from a service to a file: NDJSON, CSV or vCard.
    ///
    /// The file gets its name when it is complete.
    #[command(after_help = "Examples:\n  \
        contacts export contacts.csv\n  \
        contacts export paulistas.vcf --state SP\n\n\
        Exit codes:\n  \
        0   the file is complete\n  \
        1   failure\n  \
        64  wrong command line")]
    Export(transfer::Export),
    /// Check the liveness of a local role.
    ///
    /// The role must run on this machine and with the same settings, because admin.listen names its address. Containers
    /// can use this if they have no other HTTP client.
    #[command(after_help = "Exit codes:\n  0   live, or with --ready: ready\n  1   not live, or not ready\n  \
        64  wrong command line\n  78  wrong settings")]
    Healthcheck {
        /// Check the readiness of the role (/readyz) instead of its liveness (/livez).
        #[arg(long)]
        ready: bool,
    },
    /// Create an API key and its entry for http.api_keys, or for admin.console_keys.
    ///
    /// The first line of the output is the key. It is shown only once. The second line is the entry, which contains no
    /// secret.
    ApiKey {
        /// The name of the key in the log. It says who uses the key, for example web-shop.
        #[arg(value_name = "NAME", value_parser = key_name)]
        name: String,
        /// What the key allows: read, write and subjects, joined by +. `subjects` is for the data of a person.
        #[arg(long, value_name = "SCOPES", default_value = "read+write")]
        scopes: Scopes,
    },
    /// Print the settings in effect and hide the secrets.
    Config,
    /// Print the completion script for a shell.
    #[command(after_help = "Example: contacts completions bash > /etc/bash_completion.d/contacts")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the manual pages of all commands.
    #[command(after_help = "Example: contacts man | man -l -")]
    Man {
        /// Write a manual page for each command to this folder.
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
            // The output may be closed.
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
        Ok(Completion::Partial) => ExitCode::from(PARTIAL),
        Err(error) => {
            // Standard error may be closed.
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
        Command::Console { listen, data_dir } => {
            layers.flag("admin.listen", listen.as_ref()).flag("standalone.data_dir", data_dir.as_ref())
        }
        Command::Backup { data_dir, .. } | Command::Restore { data_dir, .. } => {
            layers.flag("standalone.data_dir", data_dir.as_ref())
        }
        _ => layers,
    })
}

fn run(command: &Command, settings: &Settings, layers: &Layers) -> Result<Completion, RunError> {
    match command {
        Command::Producer { .. } => runtime::run(Role::Producer, settings, layers)?,
        Command::Consumer => runtime::run(Role::Consumer, settings, layers)?,
        Command::Standalone { .. } => runtime::run(Role::Standalone, settings, layers)?,
        Command::Console { data_dir, .. } => {
            runtime::run(Role::Console { embedded: data_dir.is_some() }, settings, layers)?;
        }
        Command::Migrate { down } => runtime::migrate(settings, if *down { Direction::Down } else { Direction::Up })?,
        Command::Prune { older_than, batch, data_dir } => {
            runtime::prune(settings, *older_than, *batch, data_dir.as_deref())?;
        }
        Command::Backup { folder, .. } => runtime::backup(settings, folder)?,
        Command::Restore { folder, .. } => runtime::restore(settings, folder)?,
        Command::DlqDrain { operation, output, data_dir } => {
            let operation = operation.clone().unwrap_or_default();
            return runtime::dlq(settings, data_dir.as_deref(), *output, &operation);
        }
        Command::Subject { operation, data_dir } => return runtime::subject(settings, data_dir.as_deref(), operation),
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
    // Generated in memory, because the generator panics if its output is closed.
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
    fn the_command_line_definition_is_valid() {
        Arguments::command().debug_assert();
    }
}
