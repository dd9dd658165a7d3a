//! Logs: text on a terminal, otherwise JSON with one event on each line. Optionally also log files.

use super::json_line::JsonLine;
use super::trace::Trace;
use crate::config::{LogFormat, LogSettings};
use std::error::Error;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::Duration;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// The target of the lines for each request and each batch. `log.traffic` turns these lines off.
pub const TRAFFIC: &str = "contacts::traffic";

/// `log.traffic_sample`
static TRAFFIC_SAMPLE: OnceLock<f64> = OnceLock::new();

/// Whether a request of this trace has a line. All processes decide the same for one trace.
pub fn is_request_logged(trace: &Trace) -> bool {
    let share = TRAFFIC_SAMPLE.get().copied().unwrap_or(1.0);
    is_in_share(trace.trace_id, share)
}

fn is_in_share(trace_id: u128, share: f64) -> bool {
    // The low half, as the W3C recommends: some programs have a time in the high half.
    share >= 1.0 || (trace_id as u64 as f64) < share * u64::MAX as f64
}

/// How many lines may wait to be written. Further lines are dropped and counted, so that a slow log never blocks the
/// process.
const MAX_PENDING_LINES: usize = 8_192;
/// How long the log thread waits after it wrote several lines. Under load, a wake-up costs more than writing a line.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// How long the shutdown waits until the last lines are written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps the log threads running. When it is dropped, it writes the remaining lines for at most two seconds.
#[must_use = "without it, waiting lines are lost"]
pub struct Logs {
    dropped: Vec<ErrorCounter>,
    /// Lines that could not be written, for example to a full disk.
    failed: Arc<AtomicU64>,
    writers: Vec<WorkerGuard>,
}

impl Drop for Logs {
    fn drop(&mut self) {
        let writers = std::mem::take(&mut self.writers);
        let (finished, receiver) = crossbeam_channel::bounded::<()>(0);
        // To drop the writers may block, if nothing reads the output.
        let flush = std::thread::Builder::new().name("log-flush".into()).spawn(move || {
            drop(writers);
            drop(finished);
        });
        if flush.is_ok() {
            let _ = receiver.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

impl Logs {
    /// Returns a function that counts the lines that were dropped so far.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let (counters, failed) = (self.dropped.clone(), self.failed.clone());
        move || {
            let dropped: u64 = counters.iter().map(|counter| counter.dropped_lines() as u64).sum();
            dropped + failed.load(Ordering::Relaxed)
        }
    }

    /// A writer that never blocks. A thread writes the lines.
    fn non_blocking(&mut self, writer: impl Write + Send + 'static) -> NonBlocking {
        let builder =
            NonBlockingBuilder::default().thread_name("log").buffered_lines_limit(MAX_PENDING_LINES).lossy(true);
        let (writer, guard) =
            builder.finish(BatchingWriter { writer: BufWriter::new(writer), lines: 0, failed: self.failed.clone() });
        self.dropped.push(writer.error_counter());
        self.writers.push(guard);
        writer
    }
}

/// Delays the log thread after a flush, so that it writes several lines together. The thread flushes when no line
/// waits. The delay applies if there were several lines since the last flush.
struct BatchingWriter<W: Write> {
    writer: BufWriter<W>,
    lines: usize,
    failed: Arc<AtomicU64>,
}

impl<W: Write> Write for BatchingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines += 1;
        // After an error the rest of the line is not written.
        self.writer.write(line).inspect_err(|_error| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        if std::mem::take(&mut self.lines) > 1 {
            sleep(BATCH_DELAY);
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
        // The source of the error has the reason.
        Self(error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
    }
}

/// Starts logging to standard error, and to files if `log.dir` is set. The names of the files contain `process`.
pub fn init(settings: &LogSettings, process: &str) -> Result<Logs, LogError> {
    let mut logs = Logs { dropped: Vec::new(), failed: Arc::default(), writers: Vec::new() };
    let level = match settings.level.as_str() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let traffic = if settings.traffic { level } else { LevelFilter::OFF };
    // Set once for each process, before it serves requests.
    let _ = TRAFFIC_SAMPLE.set(settings.traffic_sample);
    // Libraries log what matters to an operator at "warn". Lower levels would hide our own lines.
    let filter =
        Targets::new().with_default(LevelFilter::WARN).with_target("contacts", level).with_target(TRAFFIC, traffic);
    let terminal = io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let colors = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let console = fmt::layer().with_writer(logs.non_blocking(io::stderr()));
    let console = if text {
        console.with_ansi(colors).with_target(false).boxed()
    } else {
        console.with_ansi(false).event_format(JsonLine).boxed()
    };
    let files = match &settings.dir {
        Some(folder) => {
            // Pods may share a volume. Each one needs its own folder, because the library finds old files by their
            // prefix.
            let host = std::env::var("HOSTNAME").unwrap_or_default();
            let is_folder_name = !host.is_empty() && !host.starts_with('.') && !host.contains('/');
            let folder = if is_folder_name { folder.join(host) } else { folder.clone() };
            std::fs::create_dir_all(&folder)
                .map_err(|error| LogError(format!("cannot create {}: {error}", folder.display())))?;
            let appender = RollingFileAppender::builder()
                .rotation(Rotation::DAILY)
                .filename_prefix(format!("contacts-{process}"))
                .filename_suffix("log")
                .max_log_files(settings.keep)
                .build(folder)?;
            Some(fmt::layer().with_ansi(false).event_format(JsonLine).with_writer(logs.non_blocking(appender)))
        }
        None => None,
    };
    // Only tests start two roles in one process. They keep the logging of the first role.
    let _ = tracing_subscriber::registry().with(filter).with(console).with(files).try_init();
    Ok(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_logged() {
        let logged = |share| (0..10_000).filter(|_| is_in_share(fastrand::u128(1..), share)).count();
        assert_eq!((logged(0.0), logged(1.0)), (0, 10_000));
        assert!((500..1_500).contains(&logged(0.1)));
        // The time in the high half of some trace ids has no influence.
        assert!(is_in_share(u128::from(u64::MAX) << 64, 0.1) && !is_in_share(u128::from(u64::MAX), 0.1));
    }

    #[test]
    fn lines_for_a_full_disk_are_counted() {
        let mut logs = Logs { dropped: Vec::new(), failed: Arc::default(), writers: Vec::new() };
        let dropped = logs.dropped();
        let mut writer = logs.non_blocking(std::fs::File::options().write(true).open("/dev/full").unwrap());
        for _ in 0..100 {
            writer.write_all(&[b'x'; 1_000]).unwrap();
        }
        let started = std::time::Instant::now();
        while dropped() == 0 {
            assert!(started.elapsed() < Duration::from_secs(60), "no line is counted");
            sleep(BATCH_DELAY);
        }
    }
}
