//! A look at the file from outside.

use super::super::{Backlog, Monitor, QueueError, QueueKind, waiting_since};
use super::file::File;

pub(super) struct Watcher {
    file: File,
}

impl Watcher {
    pub(super) const fn new(file: File) -> Self {
        Self { file }
    }

    fn backlog(&mut self, lane: QueueKind) -> Result<Backlog, QueueError> {
        let (messages, first) = self.file.waiting(lane)?;
        let oldest = first.and_then(|first| waiting_since(lane, &first.message));
        Ok(Backlog { messages, consumers: None, oldest })
    }
}

impl Monitor for Watcher {
    fn backlogs(&mut self) -> Result<[(QueueKind, Backlog); 3], QueueError> {
        let mut backlogs = QueueKind::ALL.map(|lane| (lane, Backlog::default()));
        for (lane, backlog) in &mut backlogs {
            *backlog = self.backlog(*lane)?;
        }
        Ok(backlogs)
    }
}
