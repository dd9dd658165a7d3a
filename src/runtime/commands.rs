//! The commands that are no roles: migrate, prune, backup, restore, dlq-drain, subject, import, export, api-key,
//! healthcheck.

use super::{RunError, signals};
use crate::backup::{self, BackupError, Step, Summary};
use crate::config::{ApiKey, BrokerSettings, DatabaseSettings, LogSettings, Scopes, Settings};
use crate::data_folder::{self, DATABASE};
use crate::dlq::{self, DlqError};
use crate::domain::SHORTEST_RETENTION;
use crate::queue::embedded::EmbeddedDeadLetters;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::{DeadLetterQueue, QueueError};
use crate::stop::{Cause, Stop};
use crate::store::postgres::Postgres;
use crate::store::sqlite::Sqlite;
use crate::store::{Direction, Pruned, Store, StoreError};
use crate::subject::{self, Sources, SubjectError};
use crate::telemetry::{self, Health};
use crate::transfer::{self, TransferError, TransferOutcome};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{SecondsFormat, TimeDelta};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Opens the database of a data folder or of `database.url`.
pub(super) fn open_store(settings: &Settings, data_dir: Option<&Path>) -> Result<Box<dyn Store>, StoreError> {
    Ok(match (data_dir, settings.database.url.reveal().strip_prefix("sqlite:")) {
        (Some(folder), _) => Box::new(Sqlite::new(&folder.join(DATABASE))?),
        (None, Some(path)) => {
            let folder = Path::new(path).parent().unwrap_or(Path::new("."));
            data_folder::require_restored(folder).map_err(|error| StoreError::Unavailable(error.to_string()))?;
            Box::new(Sqlite::new(Path::new(path))?)
        }
        (None, None) => Box::new(Postgres::new(&settings.database)?),
    })
}

/// Removes finished operations and tombstones older than `older_than`, in steps of `batch` rows, and prints the
/// progress.
pub fn prune(settings: &Settings, older_than: Duration, batch: u32, data_dir: Option<&Path>) -> Result<(), RunError> {
    let age = TimeDelta::from_std(older_than).unwrap_or(TimeDelta::MAX);
    // Twice the shortest retention, because the clocks of producers may differ by that time.
    if age < SHORTEST_RETENTION * 2 {
        return Err(RunError::Failed(
            "--older-than must be at least 1h: younger operations may still be delivered".into(),
        ));
    }
    let horizon = chrono::Utc::now()
        .checked_sub_signed(age)
        .ok_or_else(|| RunError::Failed("--older-than is too long".into()))?;
    data_dir.map_or(Ok(()), data_folder::require_restored)?;
    let store = open_store(settings, data_dir)?;
    store.check()?;
    store.set_pruned_before(horizon)?;
    let (mut sum, mut last_report) = (Pruned::default(), Instant::now());
    let report = |sum: Pruned, done| {
        let Pruned { operations, tombstones, digests } = sum;
        let so_far = if done { "" } else { " so far" };
        // Standard output may be closed.
        let _ = writeln!(
            std::io::stdout(),
            "pruned {operations} operations and {tombstones} deleted contacts, \
             and the digests of {digests} failed operations{so_far}"
        );
    };
    loop {
        let step = store.prune(batch)?;
        sum.operations += step.operations;
        sum.tombstones += step.tombstones;
        sum.digests += step.digests;
        if step == Pruned::default() {
            report(sum, true);
            return Ok(());
        }
        if last_report.elapsed() > Duration::from_secs(2) {
            report(sum, false);
            last_report = Instant::now();
        }
    }
}

impl From<DlqError> for RunError {
    fn from(error: DlqError) -> Self {
        match error {
            DlqError::Usage(reason) => Self::Usage(reason),
            DlqError::Queue(QueueError::Misconfigured(reason)) => Self::Misconfigured(reason),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Runs `dlq-drain` on the dead letter queue of the broker or of a data folder.
pub fn dlq(
    settings: &Settings,
    data_dir: Option<&Path>,
    format: dlq::Format,
    operation: &dlq::Operation,
) -> Result<dlq::Completion, RunError> {
    // Results go to standard output. By default the log contains only errors.
    let level = if settings.log.level == "info" { "error".to_owned() } else { settings.log.level.clone() };
    let _logs = telemetry::init_logs(&LogSettings { level, ..settings.log.clone() }, "dlq-drain")?;
    let (health, stop) = (Health::default(), Stop::default());
    let (component, max_waiting) = (health.component("queue"), settings.broker.max_waiting);
    let (queue, publisher, thread): (Box<dyn DeadLetterQueue>, _, _) = match data_dir {
        Some(folder) => {
            data_folder::require_restored(folder)?;
            let (queue, publisher, thread) = EmbeddedDeadLetters::open(folder, max_waiting, component, &stop)?;
            (Box::new(queue), publisher, thread)
        }
        None => {
            let rabbit = RabbitMq::new(&settings.broker)?;
            // A replayed message stays a message of its own, as it was in the dead letter queue.
            let alone = BrokerSettings { pack_max: 1, ..settings.broker.clone() };
            let (publisher, thread) = rabbit.publisher(&alone, component, stop.clone())?;
            (Box::new(rabbit), publisher, thread)
        }
    };
    let open_store = {
        let (settings, folder) = (settings.clone(), data_dir.map(Path::to_path_buf));
        move || open_store(&settings, folder.as_deref())
    };
    let watch_signals = {
        let stop = stop.clone();
        move || {
            if let Err(error) = signals::watch_in_thread(stop.clone()) {
                tracing::warn!(%error, "signals cannot be handled, Ctrl-C stops the command at once");
            }
        }
    };
    let context = dlq::Context {
        queue,
        publisher,
        open_store: Box::new(open_store),
        stop: stop.clone(),
        watch_signals: Box::new(watch_signals),
        console: dlq::Console::new(format),
    };
    let result = dlq::run(&context, operation);
    drop(context);
    // Without a publisher its thread ends, unless it waits for an unavailable broker. After an error the process does
    // not wait for it.
    if thread.is_finished() || result.is_ok() {
        let _ = thread.join();
    }
    match stop.cause() {
        Some(Cause::Misconfigured(reason)) => Err(RunError::Misconfigured(reason)),
        Some(Cause::Failed(reason)) => Err(RunError::Failed(reason)),
        Some(Cause::Requested) | None => Ok(result?),
    }
}

impl From<SubjectError> for RunError {
    fn from(error: SubjectError) -> Self {
        match error {
            SubjectError::Usage(reason) => Self::Usage(reason),
            SubjectError::Queue(QueueError::Misconfigured(reason))
            | SubjectError::Store(StoreError::Misconfigured(reason)) => Self::Misconfigured(reason),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Opens the database and the queues, of the broker or of a data folder, to search them for a person.
pub(super) fn open_sources(settings: &Settings, data_dir: Option<&Path>, stop: &Stop) -> Result<Sources, SubjectError> {
    let failed = |error: data_folder::DataFolderError| SubjectError::Failed(error.to_string());
    data_dir.map_or(Ok(()), data_folder::require_restored).map_err(failed)?;
    // Not from a replica, which may not have the last changes.
    let database = DatabaseSettings { read_url: None, ..settings.database.clone() };
    let store = open_store(&Settings { database, ..settings.clone() }, data_dir)?;
    store.check()?;
    let (stop, console) = (stop.clone(), None);
    Ok(match data_dir {
        Some(folder) => {
            let queue = EmbeddedDeadLetters::in_folder(folder)?;
            let monitor = Box::new(queue.monitor()?);
            Sources { store, dead_letters: Box::new(queue), monitor, stop, console }
        }
        None => {
            let rabbit = RabbitMq::new(&settings.broker)?;
            let monitor = Box::new(rabbit.monitor());
            Sources { store, dead_letters: Box::new(rabbit), monitor, stop, console }
        }
    })
}

/// Finds, exports or erases a person.
pub fn subject(
    settings: &Settings,
    data_dir: Option<&Path>,
    operation: &subject::Operation,
) -> Result<dlq::Completion, RunError> {
    // An erasure logs a line as a proof. The others only read.
    let erases = matches!(operation, subject::Operation::Erase { .. });
    let level = if settings.log.level == "info" && !erases { "error".to_owned() } else { settings.log.level.clone() };
    let _logs = telemetry::init_logs(&LogSettings { level, ..settings.log.clone() }, "subject")?;
    let stop = Stop::default();
    let console = || dlq::Console::new(dlq::Format::Table);
    let open = || Ok(Sources { console: Some(console()), ..open_sources(settings, data_dir, &stop)? });
    let watch_signals = || {
        if let Err(error) = signals::watch_in_thread(stop.clone()) {
            tracing::warn!(%error, "signals cannot be handled, Ctrl-C stops the command at once");
        }
    };
    Ok(subject::run(&console(), operation, open, watch_signals)?)
}

impl From<BackupError> for RunError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Usage(reason) => Self::Usage(reason),
            BackupError::Newer(reason) => Self::Misconfigured(reason),
            BackupError::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// Copies the data folder of a standalone to a new folder and prints what the copy holds.
pub fn backup(settings: &Settings, target: &Path) -> Result<(), RunError> {
    let data = &settings.standalone.data_dir;
    let (summary, duration) = with_progress(|stop, report| backup::create(data, target, stop, report))?;
    print_line(format_args!("{} is a complete backup of {} ({summary})", target.display(), data.display()));
    print_line(format_args!("it took {duration:.1?}"));
    Ok(())
}

/// Puts a backup into the empty data folder of a standalone and prints what it holds.
pub fn restore(settings: &Settings, from: &Path) -> Result<(), RunError> {
    let data = &settings.standalone.data_dir;
    let (summary, duration) = with_progress(|stop, report| backup::restore(from, data, stop, report))?;
    print_line(format_args!("{} has the backup {} ({summary})", data.display(), from.display()));
    let begun_at = summary.begun_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    print_line(format_args!("it took {duration:.1?}; changes accepted after {begun_at} are not in it"));
    Ok(())
}

/// Prints each step. The first signal stops the work after its step.
fn with_progress(
    work: impl FnOnce(&Stop, &mut dyn FnMut(Step)) -> Result<Summary, BackupError>,
) -> Result<(Summary, Duration), RunError> {
    let (stop, started) = (Stop::default(), Instant::now());
    signals::watch_in_thread(stop.clone())?;
    let summary = work(&stop, &mut |step| print_line(format_args!("{step}")))?;
    Ok((summary, started.elapsed()))
}

/// Standard output may be closed.
fn print_line(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

impl From<TransferError> for RunError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Usage(reason) => Self::Usage(reason),
            TransferError::Failed(reason) => Self::Failed(reason),
            TransferError::Output(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Imports a file of contacts into a service.
pub fn import(arguments: &transfer::Import) -> Result<dlq::Completion, RunError> {
    transfer(|stop| transfer::import(arguments, stop))
}

/// Exports contacts from a service to a file.
pub fn export(arguments: &transfer::Export) -> Result<dlq::Completion, RunError> {
    transfer(|stop| transfer::export(arguments, stop))
}

fn transfer(work: impl FnOnce(&Stop) -> Result<TransferOutcome, TransferError>) -> Result<dlq::Completion, RunError> {
    let stop = Stop::default();
    signals::watch_in_thread(stop.clone())?;
    Ok(match work(&stop)? {
        TransferOutcome::Complete => dlq::Completion::Complete,
        TransferOutcome::SomeInvalid => dlq::Completion::Partial,
    })
}

/// Creates an API key. Prints the key on the first line and its entry for `http.api_keys` on the second, for scripts.
pub fn api_key(name: &str, scopes: Scopes) -> Result<(), RunError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| RunError::Failed(format!("the system provides no random bytes: {error}")))?;
    // The prefix helps programs that search files for secrets.
    let key = format!("ctk_{}", URL_SAFE_NO_PAD.encode(random));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{key}\n{}", ApiKey::entry(name, scopes, &key))?;
    // Standard error may be closed.
    let _ = writeln!(
        std::io::stderr(),
        "The first line is the key. Give it to the caller; it is not shown again.\n\
         The second line is its entry. Add it to http.api_keys, for example in the file of CONTACTS__HTTP__API_KEYS_FILE.\n\
         For an operator add it to admin.console_keys instead.\n\
         Separate entries by commas or line breaks. A running role reads the entry within 10 s."
    );
    Ok(())
}

/// How long a role may take to answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Checks the liveness, or the readiness, of the role at `admin.listen`.
pub fn healthcheck(settings: &Settings, ready: bool) -> Result<(), RunError> {
    let mut address = settings.admin.listen;
    // 0.0.0.0 and :: are for listening only.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let path = if ready { "/readyz" } else { "/livez" };
    let answer = http_get(address, path)
        .map_err(|error| RunError::Failed(format!("no answer from {address}{path}: {error}")))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(RunError::Failed(format!("{address}{path} answers {status}: {body}")))
}

fn http_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    // Limited, because another program may listen there.
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Migrates the database of `database.url` and prints each migration.
pub fn migrate(settings: &Settings, direction: Direction) -> Result<(), RunError> {
    let migrations = open_store(settings, None)?.migrate(direction)?;
    let done = match direction {
        Direction::Up => "migrated",
        Direction::Down => "reverted",
    };
    for migration in &migrations {
        println!("{done} {migration}");
    }
    if migrations.is_empty() {
        println!("nothing to do: the schema is {}", if direction == Direction::Up { "current" } else { "empty" });
    }
    Ok(())
}
