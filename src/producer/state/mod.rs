//! The state that the request handlers share: publisher, reads, waiting requests, and their limits.
//!
//! Rule of this module: work that callers can request in any number has a limit here (reads, exports, imports,
//! waiting).

mod id_key;
mod reader;
mod waiters;

use crate::config::HttpSettings;
use crate::domain::HybridClock;
use crate::queue::Publisher;
use crate::stop::Stop;
pub(crate) use id_key::{IdKey, Unknown};
pub(crate) use reader::Reader;
use std::sync::Arc;
use tokio::sync::Semaphore;
pub(crate) use waiters::OperationWaiters;

/// How many exports may run at the same time. Each one holds a database connection and a snapshot.
const MAX_CONCURRENT_EXPORTS: usize = 2;
/// How many import batches may be published at the same time. The rest of the mailbox is for single changes.
const MAX_CONCURRENT_IMPORT_BATCHES: usize = 4;

/// The state of the API. All HTTP threads share it.
pub(crate) struct AppState {
    pub(crate) publisher: Publisher,
    pub(crate) reader: Arc<Reader>,
    pub(crate) waiters: OperationWaiters,
    /// Permits for exports.
    pub(crate) export_permits: Arc<Semaphore>,
    /// Permits to publish import batches.
    pub(crate) import_permits: Semaphore,
    pub(crate) stop: Stop,
    pub(crate) clock: HybridClock,
    /// Makes operation ids.
    pub(crate) ids: IdKey,
    pub(crate) settings: HttpSettings,
}

impl AppState {
    pub(crate) fn new(
        settings: HttpSettings,
        publisher: Publisher,
        reader: Arc<Reader>,
        waiters: OperationWaiters,
        ids: IdKey,
        stop: Stop,
    ) -> Self {
        Self {
            publisher,
            reader,
            waiters,
            export_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_EXPORTS)),
            import_permits: Semaphore::new(MAX_CONCURRENT_IMPORT_BATCHES),
            stop,
            clock: HybridClock::default(),
            ids,
            settings,
        }
    }
}
