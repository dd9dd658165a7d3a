//! The dead letter queue, for one user of this process after the other.
//!
//! Rule of this file: the queue allows one browser at a time. Within the process nobody has to find that out from the
//! broker, and a request does not wait for a job.

use crate::console::Parts;
use crate::queue::{BrowseHandler, DeadLetterQueue, QueueError};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Who browses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A request: seconds.
    Reader,
    /// A job: minutes.
    Job,
}

/// How long a request waits for another one.
const READER_WAIT: Duration = Duration::from_secs(10);
/// How long a request waits for a job.
const READER_WAIT_FOR_JOB: Duration = Duration::from_secs(1);
/// How long a job waits for the requests.
const JOB_WAIT: Duration = Duration::from_secs(60);

/// Whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    holder: Mutex<Option<Holder>>,
    changed: Condvar,
}

/// Ends the turn when it is dropped.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.changed.notify_one();
    }
}

impl Turns {
    /// Opens the queue. Each browse is a turn.
    pub(super) fn open(&self, parts: &Parts, holder: Holder) -> Result<SharedQueue<'_>, QueueError> {
        Ok(SharedQueue { queue: (parts.open_queue)()?, turns: self, holder })
    }

    fn take(&self, holder: Holder) -> Result<Turn<'_>, QueueError> {
        let mut current = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = match (holder, *current) {
            (Holder::Job, _) => JOB_WAIT,
            (Holder::Reader, Some(Holder::Job)) => READER_WAIT_FOR_JOB,
            (Holder::Reader, _) => READER_WAIT,
        };
        let waited = self.changed.wait_timeout_while(current, wait, |current| current.is_some());
        current = waited.unwrap_or_else(PoisonError::into_inner).0;
        match *current {
            Some(Holder::Job) => Err(QueueError::Busy("a job of this console has the dead letter queue".into())),
            Some(Holder::Reader) => Err(QueueError::Busy("other requests read the dead letter queue".into())),
            None => {
                *current = Some(holder);
                Ok(Turn(self))
            }
        }
    }
}

/// The dead letter queue.
pub(super) struct SharedQueue<'a> {
    queue: Box<dyn DeadLetterQueue>,
    turns: &'a Turns,
    holder: Holder,
}

impl DeadLetterQueue for SharedQueue<'_> {
    fn browse(&self, handler: &mut BrowseHandler<'_>) -> Result<(), QueueError> {
        let _turn = self.turns.take(self.holder)?;
        self.queue.browse(handler)
    }

    fn purge_files(&self) -> Result<bool, QueueError> {
        self.queue.purge_files()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_request_does_not_wait_for_a_job_and_a_job_waits_for_a_request() {
        let turns = Turns::default();
        let job = turns.take(Holder::Job).unwrap_or_else(|error| panic!("{error}"));
        let started = Instant::now();
        assert!(matches!(turns.take(Holder::Reader), Err(QueueError::Busy(_))));
        assert!(started.elapsed() < READER_WAIT);
        drop(job);
        let request = turns.take(Holder::Reader).unwrap_or_else(|error| panic!("{error}"));
        std::thread::scope(|scope| {
            let job = scope.spawn(|| turns.take(Holder::Job).is_ok());
            std::thread::sleep(Duration::from_millis(50));
            drop(request);
            assert!(job.join().unwrap());
        });
        assert!(turns.take(Holder::Reader).is_ok());
    }
}
