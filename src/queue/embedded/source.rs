//! Handing messages out: a cursor that all sessions of the process share.

use super::super::{Delivery, QueueError, Source};
use super::file::{File, Numbered};
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Holds, as 8 bytes, the highest number handed out. It is written before a message is handed out, without fsync: that
/// is enough to survive the death of the process, which is what it counts.
const TAKEN: &str = "queue.taken";
/// How often to look for messages that another process added.
const POLL: Duration = Duration::from_millis(250);

pub(super) struct Feed {
    state: Mutex<State>,
    arrived: Condvar,
    settled: Sender<Vec<i64>>,
}

struct State {
    file: File,
    cursor: i64,
    /// Numbers at or before the cursor that a session gave back, and how often each was handed out.
    redeliveries: BTreeMap<i64, u32>,
    taken: std::fs::File,
}

impl Feed {
    pub(super) fn open(folder: &Path, file: &mut File, settled: Sender<Vec<i64>>) -> Result<Self, QueueError> {
        let path = folder.join(TAKEN);
        let cannot =
            |error: std::io::Error| QueueError::Misconfigured(format!("cannot open {}: {error}", path.display()));
        let taken =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(cannot)?;
        let mut mark = [0; 8];
        if taken.metadata().map_err(cannot)?.len() >= 8 {
            taken.read_exact_at(&mut mark, 0).map_err(cannot)?;
        }
        let mark = i64::from_le_bytes(mark);
        if mark > 0 {
            file.count_returns(mark, chrono::Utc::now())?;
        }
        let state =
            State { file: File::open(&folder.join(super::FILE))?, cursor: 0, redeliveries: BTreeMap::new(), taken };
        Ok(Self { state: Mutex::new(state), arrived: Condvar::new(), settled })
    }

    /// Tells sessions that something was committed.
    pub(super) fn wake(&self) {
        // Through the lock, so that a session between looking and waiting does not miss it.
        drop(self.lock());
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // A clean end: no session holds anything, so nothing counts as redeliveries at the next start.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = state.taken.write_all_at(&0i64.to_le_bytes(), 0);
    }
}

impl State {
    fn next(&mut self, max: usize) -> Result<Vec<Numbered>, QueueError> {
        let mut batch = Vec::new();
        while batch.len() < max
            && let Some((seq, redeliveries)) = self.redeliveries.pop_first()
        {
            match self.file.one(seq) {
                Ok(one) => batch.extend(one.map(|message| Numbered { redeliveries, ..message })),
                Err(error) => {
                    self.redeliveries.insert(seq, redeliveries);
                    self.redeliveries
                        .extend(batch.into_iter().map(|message: Numbered| (message.seq, message.redeliveries)));
                    return Err(error);
                }
            }
        }
        if batch.is_empty() {
            batch = self.file.after(self.cursor, max)?;
            if let Some(last) = batch.last() {
                let mark = last.seq.to_le_bytes();
                self.taken
                    .write_all_at(&mark, 0)
                    .map_err(|error| QueueError::Lost(format!("cannot write {TAKEN}: {error}")))?;
                self.cursor = last.seq;
            }
        }
        Ok(batch)
    }
}

/// One worker's session.
pub(super) struct Session<'a> {
    feed: &'a Feed,
    held: Vec<(i64, u32)>,
    cancelled: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(feed: &'a Feed) -> Self {
        Self { feed, held: Vec::new(), cancelled: false }
    }
}

impl Source for Session<'_> {
    fn take(&mut self, max: usize, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError> {
        if self.cancelled {
            return Ok(None);
        }
        let deadline = Instant::now() + wait;
        let mut state = self.feed.lock();
        loop {
            let batch = state.next(max)?;
            let now = Instant::now();
            if !batch.is_empty() || now >= deadline {
                self.held.extend(batch.iter().map(|message| (message.seq, message.redeliveries)));
                let deliver =
                    |numbered: Numbered| Delivery { message: numbered.message, redeliveries: numbered.redeliveries };
                return Ok(Some(batch.into_iter().map(deliver).collect()));
            }
            let pause = POLL.min(deadline - now);
            state = self.feed.arrived.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn acknowledge(&mut self) -> Result<(), QueueError> {
        let seqs = self.held.drain(..).map(|(seq, _)| seq).collect();
        self.feed.settled.send(seqs).map_err(|_gone| QueueError::Lost("the queue is closed".into()))
    }

    fn cancel(&mut self) -> Result<(), QueueError> {
        self.cancelled = true;
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            let redeliveries = self.held.drain(..).map(|(seq, redeliveries)| (seq, redeliveries.saturating_add(1)));
            self.feed.lock().redeliveries.extend(redeliveries);
            self.feed.arrived.notify_all();
        }
    }
}
