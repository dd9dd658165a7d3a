//! The operator's tool for the dead letter queue: one file for each operation.
//!
//! The rule of this module: a dead letter is removed only after the broker confirmed its replay, after its file is on
//! disk, or because the operator discards it. If the tool stops at any time, a dead letter is in the queue, delivered,
//! or both. Both is harmless, because an operation takes effect once. A run changes only the dead letters that it saw
//! at its start.

mod arguments;
mod browse;
mod operations;
mod outcomes;
mod output;
mod resend;
mod selection;
mod summary;

pub use arguments::{Confirmation, Format, Operation, SendOptions};
pub(crate) use operations::export::ExportLine as DeadLetterLine;
pub use output::Console;
pub use selection::Selection;
pub(crate) use summary::DeadLetterSummary;

use crate::queue::{DeadLetterQueue, Publisher, QueueError};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// Why an operation stopped early.
#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The operation failed. The text says what was done; the rest is unchanged.
    #[error("{0}")]
    Failed(String),
    /// The queue failed.
    #[error("the dead letter queue cannot be used: {0}")]
    Queue(#[from] QueueError),
    /// Standard input, output or error failed.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

/// Whether the operation completed everything that was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Everything is done.
    Complete,
    /// Something is left to do, failed again, or has an unknown result.
    Partial,
}

impl Completion {
    const fn from_remaining(count: usize) -> Self {
        if count == 0 { Self::Complete } else { Self::Partial }
    }
}

/// What an operation works with.
pub struct Context {
    /// The dead letter queue.
    pub queue: Box<dyn DeadLetterQueue>,
    /// Publishes replays.
    pub publisher: Publisher,
    /// Opens the database, which knows the results of replays.
    pub open_store: Box<dyn Fn() -> Result<Box<dyn Store>, StoreError>>,
    /// Set by Ctrl-C.
    pub stop: Stop,
    /// Starts to handle Ctrl-C. Called after the last question: until then Ctrl-C stops the process at once.
    pub watch_signals: Box<dyn Fn()>,
    /// The operator's terminal.
    pub console: Console,
}

/// Runs an operation.
pub fn run(context: &Context, operation: &Operation) -> Result<Completion, DlqError> {
    match operation {
        Operation::List { selection, messages } => operations::list::run(context, selection, *messages),
        Operation::Show { id } => operations::show::run(context, id),
        Operation::Replay { selection, options, no_canary, confirmation } => {
            operations::replay::run(context, selection, options, !no_canary, *confirmation)
        }
        Operation::Export { file, selection, keep, confirmation } => {
            operations::export::run(context, file, selection, *keep, *confirmation)
        }
        Operation::Import { file, options, confirmation } => {
            operations::import::run(context, file, options, *confirmation)
        }
        Operation::Discard { selection, confirmation } => operations::discard::run(context, selection, *confirmation),
    }
}
