//! Browses the dead letters in the file.

use super::super::{DeadLetter, DeadLetterBrowser, QueueError};
use super::file::QueueFile;
use std::collections::VecDeque;

/// How many dead letters one query reads.
const CHUNK_SIZE: usize = 500;

pub(super) struct EmbeddedBrowser {
    file: QueueFile,
    total: usize,
    /// The number of the last dead letter when the browser started.
    last: i64,
    cursor: i64,
    chunk: VecDeque<DeadLetter>,
}

impl EmbeddedBrowser {
    pub(super) fn new(mut file: QueueFile) -> Result<Self, QueueError> {
        let (total, last) = file.count_dead_letters()?;
        Ok(Self { file, total, last, cursor: 0, chunk: VecDeque::new() })
    }
}

impl DeadLetterBrowser for EmbeddedBrowser {
    fn total(&self) -> usize {
        self.total
    }

    fn next(&mut self) -> Result<Option<DeadLetter>, QueueError> {
        if self.chunk.is_empty() {
            for stored in self.file.dead_letters(self.cursor, self.last, CHUNK_SIZE)? {
                self.cursor = stored.seq;
                self.chunk.push_back(DeadLetter { tag: stored.seq.unsigned_abs(), message: stored.message });
            }
        }
        Ok(self.chunk.pop_front())
    }

    fn remove(&mut self, tags: &[u64]) -> Result<(), QueueError> {
        self.file.remove_dead_letters(tags)
    }
}
