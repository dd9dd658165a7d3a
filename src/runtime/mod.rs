//! Starts and stops the roles: logs, metrics, the admin port, signals and the deadline for the shutdown.
//!
//! The rule of this module: a role also starts while the broker or the database is unavailable, and becomes ready
//! later. It stops at once, with one clear line, on an error that waiting cannot fix. A graceful shutdown takes at most
//! `shutdown.grace`.

mod commands;
mod key_reload;
mod monitor;
mod signals;

use crate::config::{BrokerSettings, ConsumerSettings, DatabaseSettings, Layers, Settings, Url};
use crate::console::{self, Console, ConsoleError};
use crate::consumer::{self, LagTracker};
use crate::data_folder::{self, CURSOR_KEY, DATABASE, DataFolderError};
use crate::events::{self, EventLag};
use crate::producer::{self, Credentials, CredentialsError, CursorKey, IdKey, ServeError, Unknown};
use crate::queue::embedded::{EmbeddedDeadLetters, EmbeddedQueue};
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::{Publisher, QueueError};
use crate::stop::{Cause, Stop};
use crate::store::postgres::Postgres;
use crate::store::sqlite::Sqlite;
use crate::store::{Direction, Store, StoreError};
use crate::telemetry::metrics::{BUILD_INFO, LOG_LINES_DROPPED, MetricsExporter};
use crate::telemetry::spans::{self, SpansError};
use crate::telemetry::{self, Health, LastError, LogError, Logs};
use actix_web::dev::{Server, ServerHandle};
use actix_web::web::ServiceConfig;
pub use commands::{api_key, backup, dlq, export, healthcheck, import, migrate, prune, restore, subject};
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a process does until a signal stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The HTTP API.
    Producer,
    /// The workers that apply messages.
    Consumer,
    /// Both in one process, on SQLite and the embedded queue.
    Standalone,
    /// Only the operator's console.
    Console {
        /// For the data folder of a standalone, instead of RabbitMQ and PostgreSQL.
        embedded: bool,
    },
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Standalone => "standalone",
            Self::Console { .. } => "console",
        }
    }
}

/// Why a role or a command stopped or did not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A setting, a queue or the schema is wrong.
    #[error("{0}")]
    Misconfigured(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Any other failure.
    #[error("{0}")]
    Failed(String),
}

impl From<QueueError> for RunError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Misconfigured(reason) => Self::Misconfigured(reason),
            QueueError::Lost(reason) | QueueError::Busy(reason) => Self::Failed(reason),
        }
    }
}

impl From<ConsoleError> for RunError {
    fn from(error: ConsoleError) -> Self {
        Self::Misconfigured(error.to_string())
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Misconfigured(reason) => Self::Misconfigured(reason),
            StoreError::Unavailable(reason) | StoreError::Locked(reason) | StoreError::Rejected(reason) => {
                Self::Failed(reason)
            }
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
            ServeError::Unsafe(reason) => Self::Misconfigured(reason),
            ServeError::Credentials(reason) => reason.into(),
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

impl From<DataFolderError> for RunError {
    fn from(error: DataFolderError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The parts of a running role, in the order of their shutdown.
#[derive(Default)]
struct Running {
    http: Option<(ServerHandle, producer::Farewell)>,
    console: Option<Console>,
    /// The workers first, then their publisher.
    threads: Vec<JoinHandle<()>>,
    /// Held until the role has stopped.
    _lock: Option<File>,
}

/// Runs a role until a signal or an error stops it. The API keys are read again from `layers` while it runs.
pub fn run(role: Role, settings: &Settings, layers: &Layers) -> Result<(), RunError> {
    // Dropped last, so that the last lines are written.
    let logs = telemetry::init_logs(&settings.log, role.name())?;
    spans::start(&settings.trace, &format!("contacts-{}", role.name()))?;
    let system = actix_web::rt::System::new();
    let result = system.block_on(serve(role, settings, layers, &logs));
    // Not dropped: it would wait without a limit for reads that the database does not answer.
    std::mem::forget(system);
    spans::finish();
    result
}

async fn serve(role: Role, settings: &Settings, layers: &Layers, logs: &Logs) -> Result<(), RunError> {
    let exporter = MetricsExporter::install().map_err(|error| RunError::Failed(error.to_string()))?;
    metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "role" => role.name()).set(1.0);
    let (health, stop) = (Health::default(), Stop::default());
    signals::watch(stop.clone())?;
    let process = health.component("process");

    let (upkeep, components) = (exporter.clone(), health.clone());
    exporter.before_scrape(move || components.export());
    let (dropped, counter) = (logs.dropped(), metrics::counter!(LOG_LINES_DROPPED));
    exporter.before_scrape(move || counter.absolute(dropped()));
    actix_web::rt::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    let with_console = settings.admin.console || matches!(role, Role::Console { .. });
    let console = if with_console { Some(Console::new(role.name(), &settings.admin)?) } else { None };
    let configure = {
        let console = console.clone();
        move |config: &mut ServiceConfig| console.iter().for_each(|console| console.routes(config))
    };
    let (admin, address) = telemetry::admin::server(settings.admin.listen, health.clone(), exporter.clone(), configure)
        .map_err(|error| RunError::Failed(format!("cannot listen on {} (admin): {error}", settings.admin.listen)))?;
    actix_web::rt::spawn(admin);
    let database_error = LastError::default();
    if let Some(console) = console.clone() {
        actix_web::rt::spawn(console.sample(exporter.clone(), health.clone(), database_error.clone(), address));
    }
    tracing::info!(role = role.name(), version = env!("CARGO_PKG_VERSION"), admin = %address, "starting");

    let (mut running, publisher) = match role {
        Role::Producer => start_producer(settings, layers, &health, &stop, &exporter, &database_error)?,
        Role::Consumer => start_consumer(settings, &health, &stop, &exporter, &database_error)?,
        Role::Standalone => start_standalone(settings, layers, &health, &stop, &exporter, &database_error)?,
        Role::Console { embedded } => start_console(settings, embedded, &health, &stop, &exporter, &database_error)?,
    };
    // Without a console this publisher must be gone: its thread waits for that in the shutdown.
    match console {
        None => drop(publisher),
        Some(console) => {
            let embedded = matches!(role, Role::Standalone | Role::Console { embedded: true });
            console.start(console_parts(settings, embedded, publisher, &stop)?);
            let _ = writeln!(std::io::stdout(), "Console on http://{address}/console/");
            let reloaded = console.clone();
            key_reload::start(layers.clone(), move |settings| {
                reloaded.reload(&settings.admin).map_err(|error| error.to_string())
            })?;
            running.console = Some(console);
        }
    }
    process.set_ready();

    stop.wait().await;
    process.set_not_ready("ending");
    let finished = running.shut_down(settings).await;
    match stop.cause() {
        Some(Cause::Misconfigured(reason)) => Err(RunError::Misconfigured(reason)),
        Some(Cause::Failed(reason)) => Err(RunError::Failed(reason)),
        Some(Cause::Requested) | None if finished => {
            tracing::info!("stopped");
            Ok(())
        }
        Some(Cause::Requested) | None => Err(RunError::Failed(
            "shutdown.grace is over before all work was finished; no accepted change is lost".into(),
        )),
    }
}

impl Running {
    /// Finishes the requests, then the workers, then the publisher. Returns false if `shutdown.grace` was too short.
    async fn shut_down(mut self, settings: &Settings) -> bool {
        let deadline = Instant::now() + settings.shutdown.grace;
        let shutdown = async {
            if let Some((http, farewell)) = self.http.take() {
                farewell.wait().await;
                http.stop(true).await;
            }
            if let Some(console) = self.console.take() {
                console.stop();
            }
            let threads = std::mem::take(&mut self.threads);
            let joining = tokio::task::spawn_blocking(move || {
                for thread in threads {
                    // A thread that panicked has set the stop signal.
                    let _ = thread.join();
                }
            });
            let _ = joining.await;
        };
        tokio::time::timeout_at(deadline.into(), shutdown).await.is_ok()
    }
}

fn start_producer(
    settings: &Settings,
    layers: &Layers,
    health: &Health,
    stop: &Stop,
    exporter: &MetricsExporter,
    database_error: &LastError,
) -> Result<(Running, Publisher), RunError> {
    let credentials = load_credentials(settings)?;
    let store: Arc<dyn Store> = Arc::new(Postgres::new(&settings.database)?);
    require_schema(&*store)?;
    let rabbit = RabbitMq::new(&settings.broker)?;
    let (publisher, thread) = rabbit.publisher(&settings.broker, health.component("queue"), stop.clone())?;
    // All replicas of the producer have the same database URL, so they have the same cursor key.
    let cursors = CursorKey::new(settings.database.url.reveal());
    // A new password or another host must not change this key: clients may still ask for operations from before.
    let ids = IdKey::new(database_name(&settings.database.url).as_bytes());
    let access = ReloadableCredentials { layers, credentials };
    let http = start_http(settings, access, publisher.clone(), (store.clone(), None), (cursors, ids), stop)?;
    monitor::start(rabbit.monitor(), store, stop, exporter, database_error)?;
    Ok((Running { http: Some(http), threads: vec![thread], ..Running::default() }, publisher))
}

fn start_consumer(
    settings: &Settings,
    health: &Health,
    stop: &Stop,
    exporter: &MetricsExporter,
    database_error: &LastError,
) -> Result<(Running, Publisher), RunError> {
    let store: Arc<dyn Store> = Arc::new(Postgres::new(&settings.database)?.keep_old_values(settings.history.values));
    require_schema(&*store)?;
    let rabbit = RabbitMq::new(&settings.broker)?;
    // What leaves a worker is a message of its own.
    let alone = BrokerSettings { pack_max: 1, ..settings.broker.clone() };
    let (publisher, thread) = rabbit.publisher(&alone, health.component("publisher"), stop.clone())?;
    monitor::start(rabbit.monitor(), store.clone(), stop, exporter, database_error)?;
    let events = start_events(settings, &rabbit, &store, stop, exporter)?;
    let parts =
        consumer::Parts { queue: Arc::new(rabbit), store, publisher: publisher.clone(), lag: export_lag(exporter) };
    let mut threads = consumer::start(parts, &settings.consumer, &settings.retry, health, stop)?;
    threads.push(thread);
    threads.extend(events);
    Ok((Running { threads, ..Running::default() }, publisher))
}

fn start_standalone(
    settings: &Settings,
    layers: &Layers,
    health: &Health,
    stop: &Stop,
    exporter: &MetricsExporter,
    database_error: &LastError,
) -> Result<(Running, Publisher), RunError> {
    let credentials = load_credentials(settings)?;
    let folder = &settings.standalone.data_dir;
    let lock = data_folder::open(folder)?;
    let store = Sqlite::new(&folder.join(DATABASE))?.keep_old_values(settings.history.values);
    for migration in store.migrate(Direction::Up)? {
        tracing::info!(migration, "migrated");
    }
    let store: Arc<dyn Store> = Arc::new(store);
    let (queue, publisher, thread) =
        EmbeddedQueue::open(folder, settings.broker.max_waiting, health.component("queue file"), stop)?;
    // The port before the workers: if another process uses it, no message was taken.
    let cursors = load_cursor_key(folder)?;
    let ids = cursors.id_key();
    let access = ReloadableCredentials { layers, credentials };
    let http =
        start_http(settings, access, publisher.clone(), (store.clone(), Some(folder.clone())), (cursors, ids), stop)?;
    monitor::start(queue.monitor()?, store.clone(), stop, exporter, database_error)?;
    let events = start_events(settings, &RabbitMq::new(&settings.broker)?, &store, stop, exporter)?;
    let parts =
        consumer::Parts { queue: Arc::new(queue), store, publisher: publisher.clone(), lag: export_lag(exporter) };
    // SQLite allows one writer, so more workers would only wait for each other.
    let one_worker = ConsumerSettings { workers: 1, ..settings.consumer.clone() };
    // The embedded queue has no packs, so a batch takes a message for each change.
    let two_batches = u16::try_from(one_worker.batch_max * 2).unwrap_or(u16::MAX);
    let one_worker = ConsumerSettings { prefetch: one_worker.prefetch.max(two_batches), ..one_worker };
    let mut threads = consumer::start(parts, &one_worker, &settings.retry, health, stop)?;
    threads.push(thread);
    threads.extend(events);
    Ok((Running { http: Some(http), threads, _lock: Some(lock), ..Running::default() }, publisher))
}

/// Only the console. It needs what `dlq-drain` needs, and watches the queues and the database.
fn start_console(
    settings: &Settings,
    embedded: bool,
    health: &Health,
    stop: &Stop,
    exporter: &MetricsExporter,
    database_error: &LastError,
) -> Result<(Running, Publisher), RunError> {
    let folder = embedded.then_some(settings.standalone.data_dir.as_path());
    folder.map_or(Ok(()), data_folder::require_restored)?;
    let store: Arc<dyn Store> = commands::open_store(settings, folder)?.into();
    require_schema(&*store)?;
    let component = health.component("queue");
    let (publisher, thread) = match folder {
        Some(folder) => {
            let (queue, publisher, thread) =
                EmbeddedDeadLetters::open(folder, settings.broker.max_waiting, component, stop)?;
            monitor::start(queue.monitor()?, store, stop, exporter, database_error)?;
            (publisher, thread)
        }
        None => {
            let rabbit = RabbitMq::new(&settings.broker)?;
            // A replayed message stays a message of its own, as it was in the dead letter queue.
            let alone = BrokerSettings { pack_max: 1, ..settings.broker.clone() };
            let (publisher, thread) = rabbit.publisher(&alone, component, stop.clone())?;
            monitor::start(rabbit.monitor(), store, stop, exporter, database_error)?;
            (publisher, thread)
        }
    };
    Ok((Running { threads: vec![thread], ..Running::default() }, publisher))
}

/// What the console needs of a role that has started.
fn console_parts(
    settings: &Settings,
    embedded: bool,
    publisher: Publisher,
    stop: &Stop,
) -> Result<console::Parts, RunError> {
    let ids = match embedded {
        true => load_cursor_key(&settings.standalone.data_dir)?.id_key(),
        false => IdKey::new(database_name(&settings.database.url).as_bytes()),
    };
    let folder = embedded.then(|| settings.standalone.data_dir.clone());
    // Not from a replica, which may not have the last operations.
    let database = DatabaseSettings { read_url: None, ..settings.database.clone() };
    let settings = Settings { database, ..settings.clone() };
    let (broker, store_folder, data_folder) = (settings.broker.clone(), folder.clone(), folder.clone());
    Ok(console::Parts {
        open_queue: Arc::new(move || {
            Ok(match &folder {
                Some(folder) => Box::new(EmbeddedDeadLetters::in_folder(folder)?),
                None => Box::new(RabbitMq::new(&broker)?),
            })
        }),
        publisher,
        open_store: Arc::new(move || commands::open_store(&settings, store_folder.as_deref())),
        unfinished: Arc::new(move |operation, pruned_before| match ids.unknown(operation, pruned_before) {
            Unknown::Pending => "pending",
            Unknown::Expired => "expired",
            Unknown::NeverIssued => "unknown",
        }),
        data_folder,
        stop: stop.clone(),
    })
}

/// Starts to publish events, if `events.enabled` is set.
fn start_events(
    settings: &Settings,
    rabbit: &RabbitMq,
    store: &Arc<dyn Store>,
    stop: &Stop,
    exporter: &MetricsExporter,
) -> Result<Option<JoinHandle<()>>, RunError> {
    if !settings.events.enabled {
        return Ok(None);
    }
    let lag = EventLag::default();
    let exported = lag.clone();
    exporter.before_scrape(move || exported.export());
    Ok(Some(events::start(store.clone(), rabbit.events(), &settings.events, lag, stop)?))
}

/// A lag tracker that is exported before each scrape.
fn export_lag(exporter: &MetricsExporter) -> LagTracker {
    let lag = LagTracker::default();
    let exported = lag.clone();
    exporter.before_scrape(move || exported.export());
    lag
}

/// Fails if the schema is too old. An unavailable database is no failure, because the role waits for it.
fn require_schema(store: &dyn Store) -> Result<(), RunError> {
    match store.check() {
        Err(error @ StoreError::Misconfigured(_)) => Err(error.into()),
        Err(StoreError::Unavailable(reason) | StoreError::Locked(reason) | StoreError::Rejected(reason)) => {
            tracing::warn!(reason, "database is not available yet");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The name of the database in its URL.
fn database_name(url: &Url) -> String {
    let mut name = String::new();
    let _ = url.map(|url| {
        name = url.path().to_owned();
        Some(())
    });
    name
}

/// Reads the cursor key of the data folder. The first start creates it, so that cursors stay valid after a restart.
fn load_cursor_key(folder: &Path) -> Result<CursorKey, RunError> {
    let path = folder.join(CURSOR_KEY);
    let failed = |error: std::io::Error| RunError::Failed(format!("{}: {error}", path.display()));
    match fs::read_to_string(&path) {
        Ok(secret) if !secret.is_empty() => return Ok(CursorKey::new(&secret)),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&path).map_err(failed)?;
    // The ids of operations depend on it, so it must survive a power failure like them.
    file.write_all(secret.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(CursorKey::new(&secret))
}

/// The credentials in effect, and the layers from which they are read again.
struct ReloadableCredentials<'a> {
    layers: &'a Layers,
    credentials: Credentials,
}

/// Reads the credentials. Fails if a public address would need none.
fn load_credentials(settings: &Settings) -> Result<Credentials, RunError> {
    producer::require_authentication(&settings.http)?;
    let credentials = Credentials::new(&settings.http)?;
    tracing::info!(callers = %credentials, "credentials loaded");
    Ok(credentials)
}

fn start_http(
    settings: &Settings,
    access: ReloadableCredentials<'_>,
    publisher: Publisher,
    (store, data_dir): (Arc<dyn Store>, Option<PathBuf>),
    (cursors, ids): (CursorKey, IdKey),
    stop: &Stop,
) -> Result<(ServerHandle, producer::Farewell), RunError> {
    // More readers than connections, so that the metrics of the pool show when it is too small.
    let readers = settings.database.max_connections as usize * 2;
    let grace = settings.shutdown.grace;
    let ReloadableCredentials { layers, credentials } = access;
    let subjects: producer::OpenSources = {
        let (settings, stop) = (settings.clone(), stop.clone());
        Arc::new(move || commands::open_sources(&settings, data_dir.as_deref(), &stop))
    };
    let parts = producer::Parts {
        credentials: credentials.clone(),
        publisher,
        store,
        readers,
        cursors,
        ids,
        subjects,
        grace,
        stop: stop.clone(),
    };
    let (server, address, farewell): (Server, SocketAddr, _) = producer::server(&settings.http, parts)?;
    let handle = server.handle();
    actix_web::rt::spawn(server);
    tracing::info!(%address, "listening");
    let key = if credentials.asks_callers() { " -H 'Authorization: Bearer KEY'" } else { "" };
    key_reload::start(layers.clone(), move |settings| {
        let changed = credentials.reload(&settings.http).map_err(|error| error.to_string())?;
        Ok(changed.then(|| credentials.to_string()))
    })?;
    // For the person at the terminal. Standard output may be closed.
    let _ = writeln!(
        std::io::stdout(),
        "Listening on http://{address}: web page at /, API documentation at /docs. Example:\n  \
         curl -i http://{address}/contacts{key} -H 'Content-Type: application/json' \
         -d '{{\"name\":\"Ana Souza\",\"phone\":\"(11) 98765-4321\",\"email\":\"ana@example.com\"}}'"
    );
    Ok((handle, farewell))
}
