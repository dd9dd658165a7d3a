//! Commands that do one thing and end: migrate, prune, treat dead letters, import and export.

use super::{DATABASE, RunError, watch_signals};
use crate::config::{ApiKey, LogSettings, Scopes, Settings};
use crate::dlq::{self, DlqError};
use crate::domain::SHORTEST_RETENTION;
use crate::queue::embedded::Beside;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::{DeadLetterQueue, QueueError};
use crate::stop::{Cause, Stop};
use crate::store::postgres::Postgres;
use crate::store::sqlite::Sqlite;
use crate::store::{Direction, Pruned, Store, StoreError};
use crate::telemetry::{self, Health};
use crate::transfer::{self, Ended, TransferError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The database that commands outside the roles work on.
fn open_store(settings: &Settings, data_dir: Option<&Path>) -> Result<Box<dyn Store>, StoreError> {
    Ok(match (data_dir, settings.database.url.reveal().strip_prefix("sqlite:")) {
        (Some(folder), _) => Box::new(Sqlite::new(&folder.join(DATABASE))?),
        (None, Some(path)) => Box::new(Sqlite::new(Path::new(path))?),
        (None, None) => Box::new(Postgres::new(&settings.database)?),
    })
}

/// Forgets what ended before `older_than` ago, step by step, and says how far it is.
pub fn prune(settings: &Settings, older_than: Duration, batch: u32, data_dir: Option<&Path>) -> Result<(), RunError> {
    let age = TimeDelta::from_std(older_than).unwrap_or(TimeDelta::MAX);
    // The clocks of producers may differ by as much as the shortest retention.
    if age < SHORTEST_RETENTION * 2 {
        return Err(RunError::Failed(
            "--older-than must be at least 1h: younger operations may still be delivered".into(),
        ));
    }
    let horizon = chrono::Utc::now()
        .checked_sub_signed(age)
        .ok_or_else(|| RunError::Failed("--older-than is longer than time".into()))?;
    let store = open_store(settings, data_dir)?;
    store.check()?;
    store.set_pruned_before(horizon)?;
    let (mut sum, mut said) = (Pruned::default(), Instant::now());
    let say = |sum: Pruned, done| {
        let Pruned { operations, tombstones } = sum;
        let so_far = if done { "" } else { " so far" };
        // Nobody may be listening.
        let _ = writeln!(std::io::stdout(), "pruned {operations} operations and {tombstones} deleted contacts{so_far}");
    };
    loop {
        let step = store.prune(batch)?;
        sum.operations += step.operations;
        sum.tombstones += step.tombstones;
        if step == Pruned::default() {
            say(sum, true);
            return Ok(());
        }
        if said.elapsed() > Duration::from_secs(2) {
            say(sum, false);
            said = Instant::now();
        }
    }
}

impl From<DlqError> for RunError {
    fn from(error: DlqError) -> Self {
        match error {
            DlqError::Usage(why) => Self::Usage(why),
            DlqError::Queue(QueueError::Misconfigured(why)) => Self::Misconfigured(why),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Treats the dead letters of the broker, or of a folder of `standalone`.
pub fn dlq(
    settings: &Settings,
    data_dir: Option<&Path>,
    format: dlq::Format,
    operation: &dlq::Operation,
) -> Result<dlq::Completion, RunError> {
    // What is asked for is said on standard output; the log only says what goes wrong.
    let level = if settings.log.level == "info" { "error".to_owned() } else { settings.log.level.clone() };
    let _logs = telemetry::init_logs(&LogSettings { level, ..settings.log.clone() }, "dlq-drain")?;
    let (health, stop) = (Health::default(), Stop::default());
    let (component, waiting) = (health.component("queue"), settings.broker.max_waiting);
    let (letters, publisher, thread): (Box<dyn DeadLetterQueue>, _, _) = match data_dir {
        Some(folder) => {
            let (letters, publisher, thread) = Beside::open(folder, waiting, component, &stop)?;
            (Box::new(letters), publisher, thread)
        }
        None => {
            let rabbit = RabbitMq::new(&settings.broker)?;
            let (publisher, thread) = rabbit.publisher(&settings.broker, component, stop.clone())?;
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
            if let Err(error) = watch_signals_in_thread(stop.clone()) {
                tracing::warn!(%error, "Ctrl-C will end this at once");
            }
        }
    };
    let context = dlq::Context {
        letters,
        publisher,
        open_store: Box::new(open_store),
        stop: stop.clone(),
        watch_signals: Box::new(watch_signals),
        console: dlq::Console::new(format),
    };
    let result = dlq::run(&context, operation);
    drop(context);
    // With nobody left to publish it ends, unless it waits for a broker that is away: the process ends anyway.
    if thread.is_finished() || result.is_ok() {
        let _ = thread.join();
    }
    match stop.cause() {
        Some(Cause::Misconfigured(why)) => Err(RunError::Misconfigured(why)),
        Some(Cause::Broken(why)) => Err(RunError::Failed(why)),
        Some(Cause::Asked) | None => Ok(result?),
    }
}

impl From<TransferError> for RunError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Usage(why) => Self::Usage(why),
            TransferError::Failed(why) => Self::Failed(why),
            TransferError::Output(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Sends a file of contacts to a service.
pub fn import(arguments: &transfer::Import) -> Result<dlq::Completion, RunError> {
    transfer(|stop| transfer::import(arguments, stop))
}

/// Brings contacts from a service to a file.
pub fn export(arguments: &transfer::Export) -> Result<dlq::Completion, RunError> {
    transfer(|stop| transfer::export(arguments, stop))
}

fn transfer(work: impl FnOnce(&Stop) -> Result<Ended, TransferError>) -> Result<dlq::Completion, RunError> {
    let stop = Stop::default();
    watch_signals_in_thread(stop.clone())?;
    Ok(match work(&stop)? {
        Ended::Well => dlq::Completion::Complete,
        Ended::SomeInvalid => dlq::Completion::Partial,
    })
}

/// For commands that are no role: they work in threads and have no reactor.
fn watch_signals_in_thread(stop: Stop) -> Result<(), RunError> {
    let (ready, watching) = crossbeam_channel::bounded(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let system = actix_web::rt::System::new();
        let result = system.block_on(async { watch_signals(stop) });
        let started = result.is_ok();
        let _ = ready.send(result);
        if started {
            // Until the process ends.
            let _ = system.run();
        }
    })?;
    watching.recv().unwrap_or(Ok(()))
}

/// Makes a key: itself on one line and its entry for `http.api_keys` on the next, so that a script can tell them apart.
pub fn api_key(name: &str, scopes: Scopes) -> Result<(), RunError> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| RunError::Failed(format!("no randomness from the system: {error}")))?;
    // The beginning is for programs that look for secrets in the wrong places.
    let key = format!("ctk_{}", URL_SAFE_NO_PAD.encode(random));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{key}\n{}", ApiKey::entry(name, scopes, &key))?;
    // Nobody may be there to read it.
    let _ = writeln!(
        std::io::stderr(),
        "The first line is the key: give it to the caller, it is shown only now. The second is its entry: add it to \
         http.api_keys, as to the file that CONTACTS__HTTP__API_KEYS_FILE names (entries apart by commas or line ends); a \
         running role takes it within 10 s."
    );
    Ok(())
}

/// How long a role may take to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the role whose admin port is where the settings say.
pub fn healthcheck(settings: &Settings, ready: bool) -> Result<(), RunError> {
    let mut address = settings.admin.listen;
    // "Everywhere" is an address to listen at, not one to ask.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let path = if ready { "/readyz" } else { "/livez" };
    let answer =
        ask(address, path).map_err(|error| RunError::Failed(format!("no answer at {address}{path}: {error}")))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(RunError::Failed(format!("{address}{path} answers {status}: {body}")))
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    // The role is ours; whatever else listens there is not waited for without an end.
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Migrates the database of `database.url` and says what was done.
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
