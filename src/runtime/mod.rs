//! What every role shares at its start and its end: logs, metrics, the admin port, signals, the deadline.
//!
//! The rule this room keeps: a role starts with whatever is away and becomes ready by itself, but ends at once, with one
//! clear line, on what no waiting can heal. Asked to end, it finishes what it has begun within `shutdown.grace`.

mod commands;
mod key_reload;
mod monitor;

use crate::config::{Layers, Settings};
use crate::consumer::{self, LagTracker};
use crate::producer::{self, Credentials, CredentialsError, CursorKey, ServeError};
use crate::queue::embedded::Embedded;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::{Publisher, QueueError};
use crate::stop::{Cause, Stop};
use crate::store::postgres::Postgres;
use crate::store::sqlite::Sqlite;
use crate::store::{Direction, Store, StoreError};
use crate::telemetry::metrics::{BUILD_INFO, Exposition, LOG_LINES_DROPPED};
use crate::telemetry::spans::{self, SpansError};
use crate::telemetry::{self, Health, LogError, Logs};
use actix_web::dev::{Server, ServerHandle};
pub use commands::{api_key, dlq, export, healthcheck, import, migrate, prune};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code when a second signal cuts the end short: 128 and the number of SIGTERM, as a shell shows it.
const KILLED: i32 = 143;
/// Signals this close together are one wish: `timeout`, for example, signals its child and then its group.
const SAME_WISH: Duration = Duration::from_millis(500);
/// The database's file name in the data folder.
const DATABASE: &str = "contacts.db";
/// The file name of what seals cursors.
const CURSOR_KEY: &str = "cursor.key";

/// The roles that run until they are asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The HTTP API.
    Producer,
    /// The worker.
    Consumer,
    /// Both, on SQLite and the embedded queue.
    Standalone,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Standalone => "standalone",
        }
    }
}

/// Why a role ended or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings, queues or schema are not what this version needs.
    #[error("{0}")]
    Misconfigured(String),
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<QueueError> for RunError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Misconfigured(why) => Self::Misconfigured(why),
            QueueError::Lost(why) => Self::Failed(why),
        }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Misconfigured(why) => Self::Misconfigured(why),
            StoreError::Unavailable(why) | StoreError::Rejected(why) => Self::Failed(why),
        }
    }
}

impl From<CredentialsError> for RunError {
    fn from(error: CredentialsError) -> Self {
        Self::Misconfigured(error.to_string())
    }
}

impl From<ServeError> for RunError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Unsafe(why) => Self::Misconfigured(why),
            ServeError::Credentials(why) => why.into(),
            error @ ServeError::Listen(..) => Self::Failed(error.to_string()),
        }
    }
}

impl From<LogError> for RunError {
    fn from(error: LogError) -> Self {
        Self::Misconfigured(error.to_string())
    }
}

impl From<SpansError> for RunError {
    fn from(error: SpansError) -> Self {
        Self::Misconfigured(error.to_string())
    }
}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A started role: what must be ended, in the order of ending.
#[derive(Default)]
struct Running {
    http: Option<ServerHandle>,
    /// Workers first, then what they publish with.
    threads: Vec<JoinHandle<()>>,
    /// Held until the role has ended.
    _lock: Option<File>,
}

/// Runs a role until it is asked to end, or cannot go on. From `layers` the keys of callers are read again.
pub fn run(role: Role, settings: &Settings, layers: &Layers) -> Result<(), RunError> {
    // Held to the end, so that the last lines are written.
    let logs = telemetry::init_logs(&settings.log, role.name())?;
    spans::start(&settings.trace, &format!("contacts-{}", role.name()))?;
    let system = actix_web::rt::System::new();
    let result = system.block_on(serve(role, settings, layers, &logs));
    // Dropped, it would wait without a limit for reads that still hang in a database. The process ends instead.
    std::mem::forget(system);
    spans::finish();
    result
}

async fn serve(role: Role, settings: &Settings, layers: &Layers, logs: &Logs) -> Result<(), RunError> {
    let exposition = Exposition::install().map_err(|error| RunError::Failed(error.to_string()))?;
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "role" => role.name()).set(1.0);
    let (health, stop) = (Health::default(), Stop::default());
    watch_signals(stop.clone())?;
    let process = health.component("process");

    let (upkeep, parts) = (exposition.clone(), health.clone());
    exposition.before_scrape(move || parts.export());
    let (dropped, lines) = (logs.dropped(), metrics::counter!(LOG_LINES_DROPPED));
    exposition.before_scrape(move || lines.absolute(dropped()));
    actix_web::rt::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    let (admin, address) = telemetry::admin::server(settings.admin.listen, health.clone(), exposition.clone())
        .map_err(|error| RunError::Failed(format!("cannot listen on {} (admin): {error}", settings.admin.listen)))?;
    actix_web::rt::spawn(admin);
    tracing::info!(role = role.name(), version = env!("CARGO_PKG_VERSION"), admin = %address, "starting");

    let running = match role {
        Role::Producer => start_producer(settings, layers, &health, &stop, &exposition)?,
        Role::Consumer => start_consumer(settings, &health, &stop, &exposition)?,
        Role::Standalone => start_standalone(settings, layers, &health, &stop, &exposition)?,
    };
    process.ready();

    stop.wait().await;
    process.not_ready("ending");
    let finished = running.end(settings).await;
    match stop.cause() {
        Some(Cause::Misconfigured(why)) => Err(RunError::Misconfigured(why)),
        Some(Cause::Broken(why)) => Err(RunError::Failed(why)),
        Some(Cause::Asked) | None if finished => {
            tracing::info!("ended");
            Ok(())
        }
        Some(Cause::Asked) | None => Err(RunError::Failed(
            "shutdown.grace is over and not everything was finished; nothing accepted is lost".into(),
        )),
    }
}

/// The first SIGTERM or SIGINT asks everything to end; a second ends the process at once.
fn watch_signals(stop: Stop) -> Result<(), RunError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    actix_web::rt::spawn(async move {
        let mut asked: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match asked {
                None => {
                    // First: a log that nobody reads must not hold up the end.
                    stop.ask();
                    tracing::info!("asked to end: finishing what has begun");
                    asked = Some(Instant::now());
                }
                Some(first) if first.elapsed() < SAME_WISH => {}
                Some(_) => {
                    tracing::warn!("asked a second time: ending at once");
                    std::process::exit(KILLED);
                }
            }
        }
    });
    Ok(())
}

impl Running {
    /// Finishes requests, then workers, then what they published. False if the grace was too short for it.
    async fn end(mut self, settings: &Settings) -> bool {
        let deadline = Instant::now() + settings.shutdown.grace;
        let ending = async {
            if let Some(http) = self.http.take() {
                http.stop(true).await;
            }
            let threads = std::mem::take(&mut self.threads);
            let joining = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    // One that panicked has said so itself.
                    let _ = thread.join();
                }
            });
            let _ = joining.await;
        };
        tokio::time::timeout_at(deadline.into(), ending).await.is_ok()
    }
}

fn start_producer(
    settings: &Settings,
    layers: &Layers,
    health: &Health,
    stop: &Stop,
    exposition: &Exposition,
) -> Result<Running, RunError> {
    let credentials = open_door(settings)?;
    let store: Arc<dyn Store> = Arc::new(Postgres::new(&settings.database)?);
    require_schema(&*store)?;
    let rabbit = RabbitMq::new(&settings.broker)?;
    let (publisher, thread) = rabbit.publisher(&settings.broker, health.component("queue"), stop.clone())?;
    // All replicas have the same database, and so the same key.
    let cursors = CursorKey::new(settings.database.url.reveal());
    let door = Door { layers, credentials };
    let http = start_http(settings, door, publisher, store.clone(), cursors, stop)?;
    monitor::start(rabbit.monitor(), store, stop, exposition)?;
    Ok(Running { http: Some(http), threads: vec![thread], _lock: None })
}

fn start_consumer(
    settings: &Settings,
    health: &Health,
    stop: &Stop,
    exposition: &Exposition,
) -> Result<Running, RunError> {
    let store: Arc<dyn Store> = Arc::new(Postgres::new(&settings.database)?);
    require_schema(&*store)?;
    let rabbit = RabbitMq::new(&settings.broker)?;
    let (publisher, thread) = rabbit.publisher(&settings.broker, health.component("publisher"), stop.clone())?;
    monitor::start(rabbit.monitor(), store.clone(), stop, exposition)?;
    let parts = consumer::Parts { queue: Arc::new(rabbit), store, publisher, lag: shown_lateness(exposition) };
    let mut threads = consumer::start(parts, &settings.consumer, &settings.retry, health, stop)?;
    threads.push(thread);
    Ok(Running { http: None, threads, _lock: None })
}

fn start_standalone(
    settings: &Settings,
    layers: &Layers,
    health: &Health,
    stop: &Stop,
    exposition: &Exposition,
) -> Result<Running, RunError> {
    let credentials = open_door(settings)?;
    let folder = &settings.standalone.data_dir;
    let lock = open_data_folder(folder)?;
    let store = Sqlite::new(&folder.join(DATABASE))?;
    for migration in store.migrate(Direction::Up)? {
        tracing::info!(migration, "migrated");
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let (queue, publisher, thread) =
        Embedded::open(folder, settings.broker.max_waiting, health.component("queue file"), stop)?;
    // The port first: if it is taken, nothing has begun.
    let cursors = cursor_key(folder)?;
    let door = Door { layers, credentials };
    let http = start_http(settings, door, publisher.clone(), store.clone(), cursors, stop)?;
    monitor::start(queue.monitor()?, store.clone(), stop, exposition)?;
    let parts = consumer::Parts { queue: Arc::new(queue), store, publisher, lag: shown_lateness(exposition) };
    // SQLite has one writer, so more workers would only wait for each other.
    let one_worker = crate::config::ConsumerSettings { workers: 1, ..settings.consumer.clone() };
    let mut threads = consumer::start(parts, &one_worker, &settings.retry, health, stop)?;
    threads.push(thread);
    Ok(Running { http: Some(http), threads, _lock: Some(lock) })
}

fn shown_lateness(exposition: &Exposition) -> LagTracker {
    let lag = LagTracker::default();
    let shown = lag.clone();
    exposition.before_scrape(move || shown.export());
    lag
}

/// An older schema ends the start; a database that does not answer does not: roles wait for it.
fn require_schema(store: &dyn Store) -> Result<(), RunError> {
    match store.check() {
        Err(error @ StoreError::Misconfigured(_)) => Err(error.into()),
        Err(StoreError::Unavailable(why) | StoreError::Rejected(why)) => {
            tracing::warn!(reason = why, "the database does not answer yet");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The key of the data folder's cursors, made with its first start: cursors outlive a restart.
fn cursor_key(folder: &Path) -> Result<CursorKey, RunError> {
    let path = folder.join(CURSOR_KEY);
    let cannot = |error: std::io::Error| RunError::Failed(format!("{}: {error}", path.display()));
    match fs::read_to_string(&path) {
        Ok(secret) if !secret.is_empty() => return Ok(CursorKey::new(&secret)),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
    }
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&path).map_err(cannot)?;
    file.write_all(secret.as_bytes()).map_err(cannot)?;
    Ok(CursorKey::new(&secret))
}

/// Who is let in, and where that is read anew.
struct Door<'a> {
    layers: &'a Layers,
    credentials: Credentials,
}

/// Who will be let in; the end of the start if that would be everyone by mistake.
fn open_door(settings: &Settings) -> Result<Credentials, RunError> {
    producer::require_authentication(&settings.http)?;
    let credentials = Credentials::new(&settings.http)?;
    tracing::info!(callers = %credentials, "who may call");
    Ok(credentials)
}

fn start_http(
    settings: &Settings,
    door: Door<'_>,
    publisher: Publisher,
    store: Arc<dyn Store>,
    cursors: CursorKey,
    stop: &Stop,
) -> Result<ServerHandle, RunError> {
    // As many again may wait for a connection, so that the pool shows when it is too small.
    let readers = settings.database.max_connections as usize * 2;
    let grace = settings.shutdown.grace;
    let Door { layers, credentials } = door;
    let parts = producer::Parts {
        credentials: credentials.clone(),
        publisher,
        store,
        readers,
        cursors,
        grace,
        stop: stop.clone(),
    };
    let (server, address): (Server, SocketAddr) = producer::server(&settings.http, parts)?;
    let handle = server.handle();
    actix_web::rt::spawn(server);
    tracing::info!(%address, "listening");
    let key = if credentials.asks_callers() { " -H 'Authorization: Bearer KEY'" } else { "" };
    key_reload::start(layers.clone(), credentials)?;
    // For the person at the terminal; a closed standard output is nobody.
    let _ = writeln!(
        std::io::stdout(),
        "Listening on http://{address}: a page to work with there, the API to try at /docs. Or:\n  curl -i http://{address}/contacts{key} -H 'Content-Type: application/json' \
         -d '{{\"name\":\"Ana Souza\",\"phone\":\"(11) 98765-4321\",\"email\":\"ana@example.com\"}}'"
    );
    Ok(handle)
}

/// Makes the folder, for its owner only, and takes its lock: two processes on one queue would hand messages out twice.
fn open_data_folder(folder: &Path) -> Result<File, RunError> {
    let cannot = |error: std::io::Error| RunError::Failed(format!("data folder {}: {error}", folder.display()));
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        return Err(cannot(error));
    }
    let lock =
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(cannot)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RunError::Failed(format!(
            "data folder {} is used by another process: end it, or take another folder with --data-dir",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}
