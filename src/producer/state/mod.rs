//! What the handlers share: where changes go, where reads come from, and what bounds both.
//!
//! The rule this room keeps: work that callers can ask for in any number (reads, exports, imports, waiting) has a limit here.

mod reader;
mod waiters;

use crate::config::HttpSettings;
use crate::domain::HybridClock;
use crate::queue::Publisher;
use crate::stop::Stop;
pub(crate) use reader::Reader;
use std::sync::Arc;
use tokio::sync::Semaphore;
pub(crate) use waiters::Waiters;

/// How many exports may run at once: each holds a connection and a snapshot.
const EXPORTS: usize = 2;
/// How many batches of imports may be published at once: the rest of the mailbox is for those who ask for one change.
const IMPORTS: usize = 4;

/// The state of the application, shared by all HTTP threads.
pub(crate) struct AppState {
    pub(crate) publisher: Publisher,
    pub(crate) reader: Arc<Reader>,
    pub(crate) waiters: Waiters,
    /// Exports that may still begin.
    pub(crate) exports: Arc<Semaphore>,
    /// Batches of imports that may still be published.
    pub(crate) imports: Semaphore,
    pub(crate) stop: Stop,
    pub(crate) clock: HybridClock,
    pub(crate) settings: HttpSettings,
}

impl AppState {
    pub(crate) fn new(
        settings: HttpSettings,
        publisher: Publisher,
        reader: Arc<Reader>,
        waiters: Waiters,
        stop: Stop,
    ) -> Self {
        Self {
            publisher,
            reader,
            waiters,
            exports: Arc::new(Semaphore::new(EXPORTS)),
            imports: Semaphore::new(IMPORTS),
            stop,
            clock: HybridClock::default(),
            settings,
        }
    }
}
