//! Logs: one line each, text for a person at a terminal, JSON for machines, and files that outlive the process.

use super::json_line::JsonLine;
use crate::config::{LogFormat, LogSettings};
use std::error::Error;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::thread::sleep;
use std::time::Duration;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// The target of the lines for each request and each batch, which `log.traffic` turns off.
pub const TRAFFIC: &str = "contacts::traffic";

/// Lines that may wait to be written. More are dropped and counted: a log that nobody reads must not stop the work.
const WAITING: usize = 8_192;
/// How long lines gather after some were written: under load, waking up for each costs more than writing it.
const GATHER: Duration = Duration::from_millis(5);

/// How long the last lines may take to be written.
const LAST: Duration = Duration::from_secs(2);

/// What writes the logs, as long as this lives; when it ends, what waits is written, for two seconds at most.
#[must_use = "without it, lines that wait are lost"]
pub struct Logs {
    dropped: Vec<ErrorCounter>,
    writers: Vec<WorkerGuard>,
}

impl Drop for Logs {
    fn drop(&mut self) {
        let writers = std::mem::take(&mut self.writers);
        let (ended, waiting) = crossbeam_channel::bounded::<()>(0);
        // Its own end may wait for whoever does not read.
        let ending = std::thread::Builder::new().name("log-end".into()).spawn(move || {
            drop(writers);
            drop(ended);
        });
        if ending.is_ok() {
            let _ = waiting.recv_timeout(LAST);
        }
    }
}

impl Logs {
    /// How many lines were dropped because too many waited; can be asked at any time.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let counters = self.dropped.clone();
        move || counters.iter().map(|counter| counter.dropped_lines() as u64).sum()
    }

    /// A writer that never waits, in front of a thread that does.
    fn behind(&mut self, writer: impl Write + Send + 'static) -> NonBlocking {
        let builder = NonBlockingBuilder::default().thread_name("log").buffered_lines_limit(WAITING).lossy(true);
        let (writer, guard) = builder.finish(Gathering { writer: BufWriter::new(writer), lines: 0 });
        self.dropped.push(writer.error_counter());
        self.writers.push(guard);
        writer
    }
}

/// Its thread flushes when no line waits. If there were several since the last time, it lets more gather before it looks
/// again.
struct Gathering<W: Write> {
    writer: BufWriter<W>,
    lines: usize,
}

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines += 1;
        self.writer.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        if std::mem::take(&mut self.lines) > 1 {
            sleep(GATHER);
        }
        Ok(())
    }
}

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
pub fn init(settings: &LogSettings, process: &str) -> Result<Logs, LogError> {
    let mut logs = Logs { dropped: Vec::new(), writers: Vec::new() };
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
    let terminal = io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let console = fmt::layer().with_writer(logs.behind(io::stderr()));
    let console = if text {
        console.with_ansi(colours).with_target(false).boxed()
    } else {
        console.with_ansi(false).event_format(JsonLine).boxed()
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
            Some(fmt::layer().with_ansi(false).event_format(JsonLine).with_writer(logs.behind(appender)))
        }
        None => None,
    };
    // Only tests start two roles in one process; the first one's logging stays.
    let _ = tracing_subscriber::registry().with(filter).with(console).with(files).try_init();
    Ok(logs)
}
