//! The queue of `contacts standalone`, in one SQLite file. Messages survive `kill -9` and power loss.
//!
//! One writer thread commits all messages that arrived since its last commit. So one `fsync` covers many messages.
//! Other processes may read the file and add messages. Only one process may take messages, which the lock of the data
//! folder guarantees.

mod copy;
mod dead_letters;
mod file;
mod monitor;
mod source;
mod writer;

use super::{BrowseHandler, DeadLetterQueue, Monitor, Publisher, Queue, QueueError, SessionHandler, mailbox};
use crate::stop::Stop;
use crate::telemetry::Component;
pub use copy::{QueueContents, check_copy, copy};
use file::QueueFile;
use source::{Dispatcher, EmbeddedSource};
use std::fs::{OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name of the file in the data folder.
pub const FILE: &str = "queue.db";

/// The embedded queue.
pub struct EmbeddedQueue {
    dispatcher: Arc<Dispatcher>,
    path: PathBuf,
}

impl EmbeddedQueue {
    /// Opens or creates the queue in a folder, and starts the writer thread. The thread ends after the queue and every
    /// clone of the publisher are dropped.
    pub fn open(
        folder: &Path,
        max_waiting: usize,
        component: Component,
        stop: &Stop,
    ) -> Result<(Self, Publisher, JoinHandle<()>), QueueError> {
        let path = folder.join(FILE);
        let mut file = QueueFile::open(&path)?;
        let (publisher, mailbox) = mailbox(max_waiting);
        let (acknowledged, acknowledgements) = crossbeam_channel::unbounded();
        let dispatcher = Arc::new(Dispatcher::open(folder, &mut file, acknowledged)?);
        let writer = writer::Writer::new(file, mailbox, acknowledgements, Arc::downgrade(&dispatcher), component);
        let thread = stop
            .spawn("queue-writer".into(), move || writer.run())
            .map_err(|error| QueueError::Lost(format!("cannot start a thread: {error}")))?;
        Ok((Self { dispatcher, path }, publisher, thread))
    }

    /// A monitor with its own connection to the file.
    pub fn monitor(&self) -> Result<impl Monitor + use<>, QueueError> {
        Ok(monitor::EmbeddedMonitor::new(QueueFile::open(&self.path)?))
    }
}

impl Queue for EmbeddedQueue {
    fn session(&self, _prefetch: u16, handler: &mut SessionHandler<'_>) -> Result<(), QueueError> {
        // No prefetch: each `take` reads the file.
        handler(&mut EmbeddedSource::new(&self.dispatcher))
    }
}

/// The dead letter queue of a folder. The process that works on the queue of this folder may run or not.
pub struct EmbeddedDeadLetters {
    path: PathBuf,
    /// Locked while a browser is open: two browsers would remove or replay the same messages.
    lock: PathBuf,
}

/// How long to wait until another program closes its browser.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

impl EmbeddedDeadLetters {
    /// The existing queue of a folder, to browse it.
    pub fn in_folder(folder: &Path) -> Result<Self, QueueError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(QueueError::Misconfigured(format!("there is no queue in {}: no {FILE}", folder.display())));
        }
        Ok(Self { path, lock: folder.join("queue.lock") })
    }

    /// A monitor with its own connection to the file.
    pub fn monitor(&self) -> Result<impl Monitor + use<>, QueueError> {
        Ok(monitor::EmbeddedMonitor::new(QueueFile::open(&self.path)?))
    }

    /// Opens the existing queue of a folder, and starts a writer thread for the publisher.
    pub fn open(
        folder: &Path,
        max_waiting: usize,
        component: Component,
        stop: &Stop,
    ) -> Result<(Self, Publisher, JoinHandle<()>), QueueError> {
        let queue = Self::in_folder(folder)?;
        let (publisher, mailbox) = mailbox(max_waiting);
        // This process has no sessions, so there are no acknowledgements.
        let (_, acknowledgements) = crossbeam_channel::unbounded();
        let file = QueueFile::open(&queue.path)?;
        let writer = writer::Writer::new(file, mailbox, acknowledgements, Weak::new(), component);
        let thread = stop
            .spawn("queue-writer".into(), move || writer.run())
            .map_err(|error| QueueError::Lost(format!("cannot start a thread: {error}")))?;
        Ok((queue, publisher, thread))
    }
}

impl DeadLetterQueue for EmbeddedDeadLetters {
    fn browse(&self, handler: &mut BrowseHandler<'_>) -> Result<(), QueueError> {
        let lock_error =
            |error: std::io::Error| QueueError::Lost(format!("cannot lock {}: {error}", self.lock.display()));
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&self.lock).map_err(lock_error)?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    let path = self.path.display();
                    return Err(QueueError::Busy(format!("another program works on the dead letters of {path}")));
                }
                Err(TryLockError::Error(error)) => return Err(lock_error(error)),
            }
        }
        handler(&mut dead_letters::EmbeddedBrowser::new(QueueFile::open(&self.path)?)?)
    }

    fn purge_files(&self) -> Result<bool, QueueError> {
        QueueFile::open(&self.path)?.purge()?;
        Ok(true)
    }
}
