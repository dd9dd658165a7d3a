//! The queue of `contacts standalone`: the same seam on one SQLite file, durable across `kill -9` and power loss.
//!
//! One writer thread commits whatever has come in since its last commit (group commit: one `fsync` for many messages).
//! Other processes may look at the file and add to it; only one may take from it (the data folder's lock sees to that).

mod dead_letters;
mod file;
mod monitor;
mod source;
mod writer;

use super::{Browse, DeadLetterQueue, Monitor, Publisher, Queue, QueueError, Work, mailbox};
use crate::stop::Stop;
use crate::telemetry::Component;
use file::File;
use source::{Feed, Session};
use std::fs::{OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The file's name in the data folder.
const FILE: &str = "queue.db";

/// The embedded queue.
pub struct Embedded {
    feed: Arc<Feed>,
    path: PathBuf,
}

impl Embedded {
    /// Opens or makes the queue in a folder, and starts the thread that writes to it. The thread ends when every clone of
    /// the publisher and the queue itself are dropped.
    pub fn open(
        folder: &Path,
        max_waiting: usize,
        component: Component,
        stop: &Stop,
    ) -> Result<(Self, Publisher, JoinHandle<()>), QueueError> {
        let path = folder.join(FILE);
        let mut file = File::open(&path)?;
        let (publisher, mailbox) = mailbox(max_waiting);
        let (settled, settlements) = crossbeam_channel::unbounded();
        let feed = Arc::new(Feed::open(folder, &mut file, settled)?);
        let writer = writer::Writer::new(file, mailbox, settlements, Arc::downgrade(&feed), component);
        let thread = stop
            .spawn("queue-writer".into(), move || writer.run())
            .map_err(|error| QueueError::Lost(format!("cannot start a thread: {error}")))?;
        Ok((Self { feed, path }, publisher, thread))
    }

    /// What looks at the queue, by a connection of its own.
    pub fn monitor(&self) -> Result<impl Monitor + use<>, QueueError> {
        Ok(monitor::Watcher::new(File::open(&self.path)?))
    }
}

impl Queue for Embedded {
    fn session(&self, _prefetch: u16, work: &mut Work<'_>) -> Result<(), QueueError> {
        // Taking reads the file itself, so nothing is fetched ahead.
        work(&mut Session::new(&self.feed))
    }
}

/// The dead letters of a folder, beside the process that works on its queue or without one.
pub struct Beside {
    path: PathBuf,
    /// Held during a look, as RabbitMQ does it by itself: two at once would undo what the other does.
    lock: PathBuf,
}

/// How long to wait for another look to end.
const OTHERS: Duration = Duration::from_secs(10);

impl Beside {
    /// Opens the queue of a folder that has one, and starts a thread that adds to it for the publisher.
    pub fn open(
        folder: &Path,
        max_waiting: usize,
        component: Component,
        stop: &Stop,
    ) -> Result<(Self, Publisher, JoinHandle<()>), QueueError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(QueueError::Misconfigured(format!("there is no queue in {}: no {FILE}", folder.display())));
        }
        let (publisher, mailbox) = mailbox(max_waiting);
        // Nobody takes from the queue here, so nothing is acknowledged.
        let (_, settlements) = crossbeam_channel::unbounded();
        let writer = writer::Writer::new(File::open(&path)?, mailbox, settlements, Weak::new(), component);
        let thread = stop
            .spawn("queue-writer".into(), move || writer.run())
            .map_err(|error| QueueError::Lost(format!("cannot start a thread: {error}")))?;
        Ok((Self { path, lock: folder.join("queue.lock") }, publisher, thread))
    }
}

impl DeadLetterQueue for Beside {
    fn browse(&self, browse: &mut Browse<'_>) -> Result<(), QueueError> {
        let cannot = |error: std::io::Error| QueueError::Lost(format!("cannot lock {}: {error}", self.lock.display()));
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&self.lock).map_err(cannot)?;
        let asked = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if asked.elapsed() < OTHERS => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    let path = self.path.display();
                    return Err(QueueError::Lost(format!("another program works on the dead letters of {path}")));
                }
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
            }
        }
        browse(&mut dead_letters::Browser::new(File::open(&self.path)?)?)
    }
}
