//! A look at the file from outside.

use super::super::{Backlog, Lane, Monitor, QueueError, waits_since};
use super::file::File;

pub(super) struct Watcher {
    file: File,
}

impl Watcher {
    pub(super) const fn new(file: File) -> Self {
        Self { file }
    }

    fn backlog(&mut self, lane: Lane) -> Result<Backlog, QueueError> {
        let (messages, first) = self.file.waiting(lane)?;
        let oldest = first.and_then(|first| waits_since(lane, &first.message));
        Ok(Backlog { messages, consumers: None, oldest })
    }
}

impl Monitor for Watcher {
    fn backlogs(&mut self) -> Result<[(Lane, Backlog); 3], QueueError> {
        let mut backlogs = Lane::ALL.map(|lane| (lane, Backlog::default()));
        for (lane, backlog) in &mut backlogs {
            *backlog = self.backlog(*lane)?;
        }
        Ok(backlogs)
    }
}
