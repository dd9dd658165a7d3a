//! Copies the queue file for a backup, and checks a copy.
//!
//! The number of the last delivered message is not copied: no worker holds a message of a copy. So a restored queue
//! begins without redeliveries of its own.

use super::super::{QueueError, QueueKind};
use super::file::QueueFile;
use std::path::Path;

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueContents {
    /// Messages of the work queue and of the retry queue.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// Copies the queue file as one transaction sees it. Other processes may use it meanwhile. The target must be an empty
/// file; it is not synced to disk.
pub fn copy(source: &Path, target: &Path) -> Result<(), QueueError> {
    let target =
        target.to_str().ok_or_else(|| QueueError::Misconfigured("the path of the copy is not UTF-8".into()))?;
    QueueFile::open_to_copy(source)?.copy_to(target)
}

/// Checks that a file is a complete queue file, and counts what it holds.
pub fn check_copy(path: &Path) -> Result<QueueContents, QueueError> {
    let mut file = QueueFile::open_to_copy(path)?;
    file.check()?;
    let mut count = |queue| file.backlog(queue).map(|(count, _)| count);
    let waiting = count(QueueKind::Work)? + count(QueueKind::Retry)?;
    Ok(QueueContents { waiting, dead_letters: count(QueueKind::DeadLetter)? })
}
