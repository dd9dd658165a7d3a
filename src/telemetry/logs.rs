//! Logs: one line each, text for a person at a terminal, JSON for machines, and files that outlive the process.

use crate::config::{LogFormat, LogSettings};
use std::error::Error;
use std::io::IsTerminal;
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// The target of the lines for each request and each batch, which `log.traffic` turns off.
pub const TRAFFIC: &str = "contacts::traffic";

/// The log files cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("log.dir: {0}")]
pub struct LogError(String);

impl From<InitError> for LogError {
    fn from(error: InitError) -> Self {
        // The error itself only says that it failed.
        Self(error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
    }
}

/// Starts logging to standard error, and to files for `process` if there is a folder for them.
pub fn init(settings: &LogSettings, process: &str) -> Result<(), LogError> {
    let level = match settings.level.as_str() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let traffic = if settings.traffic { level } else { LevelFilter::OFF };
    // The libraries below say at "warn" what matters to an operator; more only drowns our own lines.
    let filter =
        Targets::new().with_default(LevelFilter::WARN).with_target("contacts", level).with_target(TRAFFIC, traffic);
    let terminal = std::io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let console = fmt::layer().with_writer(std::io::stderr);
    let console = if text {
        console.with_ansi(colours).with_target(false).boxed()
    } else {
        console.json().flatten_event(true).boxed()
    };
    let files = match &settings.dir {
        Some(folder) => {
            // Pods that share a volume have folders of their own: old files are told by how their names begin.
            let host = std::env::var("HOSTNAME").unwrap_or_default();
            let named = !host.is_empty() && !host.starts_with('.') && !host.contains('/');
            let folder = if named { folder.join(host) } else { folder.clone() };
            std::fs::create_dir_all(&folder)
                .map_err(|error| LogError(format!("cannot make {}: {error}", folder.display())))?;
            let appender = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(format!("contacts-{process}"))
                .filename_suffix("log")
                .max_log_files(settings.keep)
                .build(folder)?;
            Some(fmt::layer().json().flatten_event(true).with_writer(appender))
        }
        None => None,
    };
    // Only tests start two roles in one process; the first one's logging stays.
    let _ = tracing_subscriber::registry().with(filter).with(console).with(files).try_init();
    Ok(())
}
