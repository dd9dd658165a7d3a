//! The operator's console: shows what is wrong, the dead-lettered messages, and the life of a change. It is served under
//! `/console` on the admin port.
//!
//! Rule of this module: nothing in it decides what happens to a change; it reads metrics, and it uses the operations of
//! `dlq`. Personal data is shown only to an operator who may write, and each such act is a line in the log. The console
//! keeps its state in bounded memory, and needs neither the broker nor the database to be served.

mod access;
mod dead_letters;
mod diagnosis;
mod files;
mod find;
mod now;
mod problem;
mod runbook;
mod samples;

pub use access::ConsoleError;

use crate::config::{AdminSettings, AdminUrl};
use crate::domain::{OperationId, Timestamp};
use crate::queue::{DeadLetterQueue, Publisher, QueueError};
use crate::stop::Stop;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::MetricsExporter;
use crate::telemetry::{Health, LastError};
use access::Access;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use dead_letters::DeadLetters;
use now::Now;
use problem::Problem;
use samples::Sources;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What the console needs of its process, when the process has started. Clones share it.
#[derive(Clone)]
pub struct Parts {
    /// Opens the dead letter queue.
    pub open_queue: Arc<dyn Fn() -> Result<Box<dyn DeadLetterQueue>, QueueError> + Send + Sync>,
    /// Publishes replays.
    pub publisher: Publisher,
    /// Opens the database.
    pub open_store: Arc<dyn Fn() -> Result<Box<dyn Store>, StoreError> + Send + Sync>,
    /// `pending`, `expired` or `unknown`: what an operation is that SQL does not know, if older operations than this were
    /// removed.
    pub unfinished: Arc<dyn Fn(OperationId, Option<Timestamp>) -> &'static str + Send + Sync>,
    /// The data folder of a standalone, if the process works on one.
    pub data_folder: Option<PathBuf>,
    /// The stop signal of the process.
    pub stop: Stop,
}

/// The console of a process. Clones share it.
#[derive(Clone)]
pub struct Console(Arc<Shared>);

struct Shared {
    access: Access,
    /// The role of the process.
    role: &'static str,
    /// Tells a page that the process, and so its jobs, began anew.
    started_at: Timestamp,
    targets: Vec<AdminUrl>,
    now: Arc<Mutex<Now>>,
    /// `None` before the process has started and while it stops.
    parts: Mutex<Option<Parts>>,
    dead_letters: DeadLetters,
}

impl Console {
    /// Checks the settings. The console can be served at once; it answers 503 to what needs [`Parts`].
    pub fn new(role: &'static str, settings: &AdminSettings) -> Result<Self, ConsoleError> {
        Ok(Self(Arc::new(Shared {
            access: Access::new(settings)?,
            role,
            started_at: chrono::Utc::now(),
            targets: settings.console_targets.clone(),
            now: Arc::default(),
            parts: Mutex::default(),
            dead_letters: DeadLetters::default(),
        })))
    }

    /// Reads the keys again. Returns the names of the operators if the keys changed.
    pub fn reload(&self, settings: &AdminSettings) -> Result<Option<String>, ConsoleError> {
        self.0.access.reload(settings)
    }

    /// Takes samples until the process exits. `admin` is the address of the admin port.
    pub async fn sample(self, exporter: MetricsExporter, health: Health, database_error: LastError, admin: SocketAddr) {
        let targets = self.0.targets.clone();
        now::watch(self.0.now.clone(), Sources { exporter, health, database_error, admin, targets }).await;
    }

    /// The process has started.
    pub fn start(&self, parts: Parts) {
        *self.lock_parts() = Some(parts);
    }

    /// The process stops. The console gives its publisher back, because the thread of the publisher waits for that.
    pub fn stop(&self) {
        *self.lock_parts() = None;
    }

    /// Registers the paths below `/console`.
    pub fn routes(&self, config: &mut ServiceConfig) {
        let api = web::scope("/api")
            .wrap(from_fn(access::admit))
            .route("/now", web::get().to(now::now))
            .route("/find", web::get().to(find::find))
            .configure(dead_letters::routes)
            .default_service(web::to(problem::not_found));
        let console = web::scope("/console")
            .app_data(Data::new(self.clone()))
            .configure(problem::input_errors)
            .wrap(from_fn(access::add_headers))
            .service(api)
            .configure(files::routes)
            .configure(runbook::routes)
            .default_service(web::to(problem::not_found));
        config.service(console);
    }

    fn parts(&self) -> Result<Parts, Problem> {
        self.lock_parts().clone().ok_or_else(Problem::not_started)
    }

    fn lock_parts(&self) -> std::sync::MutexGuard<'_, Option<Parts>> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
