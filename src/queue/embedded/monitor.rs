//! Reads the backlogs from the file.

use super::super::{Backlog, Monitor, QueueError, QueueKind, waiting_since};
use super::file::QueueFile;

pub(super) struct EmbeddedMonitor {
    file: QueueFile,
}

impl EmbeddedMonitor {
    pub(super) const fn new(file: QueueFile) -> Self {
        Self { file }
    }

    fn backlog(&mut self, queue: QueueKind) -> Result<Backlog, QueueError> {
        let (messages, first) = self.file.backlog(queue)?;
        let oldest = first.and_then(|first| waiting_since(queue, &first.message));
        Ok(Backlog { messages, changes: messages as f64, consumers: None, oldest })
    }
}

impl Monitor for EmbeddedMonitor {
    fn backlogs(&mut self) -> Result<[(QueueKind, Backlog); 3], QueueError> {
        let mut backlogs = QueueKind::ALL.map(|queue| (queue, Backlog::default()));
        for (queue, backlog) in &mut backlogs {
            *backlog = self.backlog(*queue)?;
        }
        Ok(backlogs)
    }
}
