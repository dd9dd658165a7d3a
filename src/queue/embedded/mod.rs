//! The queue of `contacts standalone`: the same seam on one SQLite file, durable across `kill -9` and power loss.
//!
//! One writer thread commits whatever has come in since its last commit (group commit: one `fsync` for many messages).
//! Other processes may look at the file and add to it; only one may take from it (the data folder's lock sees to that).

mod feed;
mod file;
mod writer;

use super::{Publisher, Queue, QueueError, Work, mailbox};
use crate::message::Message;
use crate::stop::Stop;
use crate::telemetry::Component;
use feed::{Feed, Session};
use file::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The file's name in the data folder.
const FILE: &str = "queue.db";

/// The embedded queue.
pub struct Embedded {
    path: PathBuf,
    feed: Arc<Feed>,
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
        Ok((Self { path, feed }, publisher, thread))
    }
}

impl Queue for Embedded {
    fn session(&self, _prefetch: u16, work: &mut Work<'_>) -> Result<(), QueueError> {
        // Taking reads the file itself, so nothing is fetched ahead.
        work(&mut Session::new(&self.feed))
    }

    fn peek_dead_letters(&self, limit: usize) -> Result<Vec<Message>, QueueError> {
        File::open(&self.path)?.dead_letters(limit)
    }
}
