//! Delivers messages to the sessions of this process. All sessions share one cursor.

use super::super::{Delivery, QueueError, Source};
use super::file::{QueueFile, StoredMessage};
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The name of the file that holds the highest delivered number, as 8 bytes. It is written before the delivery. Without
/// an fsync it still survives a crash of the process. The next start counts all messages up to this number as
/// redelivered.
const TAKEN: &str = "queue.taken";
/// How often a session checks for messages that another process added.
const POLL: Duration = Duration::from_millis(250);

/// Delivers messages to sessions. Each message is delivered to one session at a time.
pub(super) struct Dispatcher {
    state: Mutex<State>,
    arrived: Condvar,
    acknowledged: Sender<Vec<i64>>,
}

struct State {
    file: QueueFile,
    cursor: i64,
    /// The messages up to the cursor that a session did not acknowledge: number and redeliveries.
    redelivered: BTreeMap<i64, u32>,
    taken: File,
}

impl Dispatcher {
    pub(super) fn open(
        folder: &Path,
        file: &mut QueueFile,
        acknowledged: Sender<Vec<i64>>,
    ) -> Result<Self, QueueError> {
        let path = folder.join(TAKEN);
        let open_error =
            |error: std::io::Error| QueueError::Misconfigured(format!("cannot open {}: {error}", path.display()));
        let taken =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(open_error)?;
        let mut last_delivered = [0; 8];
        if taken.metadata().map_err(open_error)?.len() >= 8 {
            taken.read_exact_at(&mut last_delivered, 0).map_err(open_error)?;
        }
        let last_delivered = i64::from_le_bytes(last_delivered);
        if last_delivered > 0 {
            file.count_redeliveries(last_delivered, chrono::Utc::now())?;
        }
        let file = QueueFile::open(&folder.join(super::FILE))?;
        let state = State { file, cursor: 0, redelivered: BTreeMap::new(), taken };
        Ok(Self { state: Mutex::new(state), arrived: Condvar::new(), acknowledged })
    }

    /// Wakes the sessions after a commit.
    pub(super) fn wake(&self) {
        // Locks, so that a session that has just checked and will now wait does not miss the signal.
        drop(self.lock());
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // After a graceful shutdown no session holds a message. So the next start counts no redeliveries.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = state.taken.write_all_at(&0i64.to_le_bytes(), 0);
    }
}

impl State {
    fn next(&mut self, max: usize) -> Result<Vec<StoredMessage>, QueueError> {
        let mut batch = Vec::new();
        while batch.len() < max
            && let Some((seq, redeliveries)) = self.redelivered.pop_first()
        {
            match self.file.message(seq) {
                Ok(found) => batch.extend(found.map(|stored| StoredMessage { redeliveries, ..stored })),
                Err(error) => {
                    self.redelivered.insert(seq, redeliveries);
                    self.redelivered
                        .extend(batch.into_iter().map(|stored: StoredMessage| (stored.seq, stored.redeliveries)));
                    return Err(error);
                }
            }
        }
        if batch.is_empty() {
            batch = self.file.messages_after(self.cursor, max)?;
            if let Some(last) = batch.last() {
                self.taken
                    .write_all_at(&last.seq.to_le_bytes(), 0)
                    .map_err(|error| QueueError::Lost(format!("cannot write {TAKEN}: {error}")))?;
                self.cursor = last.seq;
            }
        }
        Ok(batch)
    }
}

/// The session of one worker.
pub(super) struct EmbeddedSource<'a> {
    dispatcher: &'a Dispatcher,
    /// Taken and not acknowledged: number and redeliveries.
    unacknowledged: Vec<(i64, u32)>,
    cancelled: bool,
}

impl<'a> EmbeddedSource<'a> {
    pub(super) fn new(dispatcher: &'a Dispatcher) -> Self {
        Self { dispatcher, unacknowledged: Vec::new(), cancelled: false }
    }
}

impl Source for EmbeddedSource<'_> {
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError> {
        if self.cancelled {
            return Ok(None);
        }
        let deadline = Instant::now() + wait;
        let mut state = self.dispatcher.lock();
        loop {
            let batch = state.next(max)?;
            let now = Instant::now();
            if !batch.is_empty() || now >= deadline {
                self.unacknowledged.extend(batch.iter().map(|stored| (stored.seq, stored.redeliveries)));
                let deliver = |stored: StoredMessage| Delivery {
                    message: stored.message,
                    redeliveries: stored.redeliveries,
                    packed: false,
                };
                return Ok(Some(batch.into_iter().map(deliver).collect()));
            }
            let timeout = POLL.min(deadline - now);
            state = self.dispatcher.arrived.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn acknowledge(&mut self) -> Result<(), QueueError> {
        let seqs = self.unacknowledged.drain(..).map(|(seq, _)| seq).collect();
        self.dispatcher.acknowledged.send(seqs).map_err(|_closed| QueueError::Lost("the queue is closed".into()))
    }

    fn cancel(&mut self) -> Result<(), QueueError> {
        self.cancelled = true;
        Ok(())
    }
}

impl Drop for EmbeddedSource<'_> {
    fn drop(&mut self) {
        if !self.unacknowledged.is_empty() {
            let redelivered =
                self.unacknowledged.drain(..).map(|(seq, redeliveries)| (seq, redeliveries.saturating_add(1)));
            self.dispatcher.lock().redelivered.extend(redelivered);
            self.dispatcher.arrived.notify_all();
        }
    }
}
