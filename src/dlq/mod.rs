//! The operator's tool for dead letters: one file for each operation.
//!
//! The rule this room keeps: a letter is removed only after the broker confirmed its replay, or after the file that holds
//! it was synced to disk, or because it was asked to be discarded. Ended at any moment, a letter is in the queue, or
//! delivered, or both, which is harmless: its operation takes effect once. What a run touches is what it saw at its
//! start; letters that come later are left alone.

mod arguments;
mod browse;
mod facts;
mod operations;
mod outcomes;
mod output;
mod resend;
mod selection;

pub use arguments::{Confirmation, Format, Operation, SendOptions};
pub use output::Console;
pub use selection::Selection;

use crate::queue::{DeadLetterQueue, Publisher, QueueError};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// Why an operation ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// It failed; what was done is said, the rest is where it was.
    #[error("{0}")]
    Failed(String),
    /// The queue failed.
    #[error("the dead letters cannot be reached: {0}")]
    Queue(#[from] QueueError),
    /// Nobody reads what we write.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

/// Whether everything that was selected has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It has.
    Complete,
    /// Something is still, or again, a dead letter, or is not known to have ended.
    Partial,
}

impl Completion {
    const fn if_any(count: usize) -> Self {
        if count == 0 { Self::Complete } else { Self::Partial }
    }
}

/// What an operation works with.
pub struct Context {
    /// The dead letters.
    pub letters: Box<dyn DeadLetterQueue>,
    /// Where replays go.
    pub publisher: Publisher,
    /// Opens the database, to see how replays end.
    pub open_store: Box<dyn Fn() -> Result<Box<dyn Store>, StoreError>>,
    /// Set by Ctrl-C.
    pub stop: Stop,
    /// Begins to listen to Ctrl-C: only once nobody is asked any more.
    pub watch_signals: Box<dyn Fn()>,
    /// What the operator sees.
    pub console: Console,
}

/// Does what was asked for.
pub fn run(context: &Context, operation: &Operation) -> Result<Completion, DlqError> {
    match operation {
        Operation::List { selection, each } => operations::list::run(context, selection, *each),
        Operation::Show { id } => operations::show::run(context, id),
        Operation::Replay { selection, sending, no_canary, confirmation } => {
            operations::replay::run(context, selection, sending, !no_canary, *confirmation)
        }
        Operation::Export { file, selection, keep, confirmation } => {
            operations::export::run(context, file, selection, *keep, *confirmation)
        }
        Operation::Import { file, sending, confirmation } => {
            operations::import::run(context, file, sending, *confirmation)
        }
        Operation::Discard { selection, confirmation } => operations::discard::run(context, selection, *confirmation),
    }
}
