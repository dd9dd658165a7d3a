//! A look at the dead letters in the file.

use super::super::{DeadLetter, DeadLetterBrowser, QueueError};
use super::file::File;
use std::collections::VecDeque;

/// DeadLetterBrowser read at once.
const CHUNK: usize = 500;

pub(super) struct Browser {
    file: File,
    total: usize,
    /// The last one there when the look began.
    last: i64,
    cursor: i64,
    chunk: VecDeque<DeadLetter>,
}

impl Browser {
    pub(super) fn new(mut file: File) -> Result<Self, QueueError> {
        let (total, last) = file.count_dead_letters()?;
        Ok(Self { file, total, last, cursor: 0, chunk: VecDeque::new() })
    }
}

impl DeadLetterBrowser for Browser {
    fn total(&self) -> usize {
        self.total
    }

    fn next(&mut self) -> Result<Option<DeadLetter>, QueueError> {
        if self.chunk.is_empty() {
            for numbered in self.file.dead_letters(self.cursor, self.last, CHUNK)? {
                self.cursor = numbered.seq;
                self.chunk.push_back(DeadLetter { tag: numbered.seq.unsigned_abs(), message: numbered.message });
            }
        }
        Ok(self.chunk.pop_front())
    }

    fn remove(&mut self, tags: &[u64]) -> Result<(), QueueError> {
        self.file.remove_dead_letters(tags)
    }
}
