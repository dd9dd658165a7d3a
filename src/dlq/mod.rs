//! The operator's tool for the dead letter queue: one file for each operation.
//!
//! The rule of this module: a dead letter is removed only after the broker confirmed its replay, after its file is on
//! disk, or because the operator discards it. If the tool stops at any time, a dead letter is in the queue, delivered,
//! or both. Both is harmless, because an operation takes effect once. A run changes only the dead letters that it saw
//! at its start.

mod arguments;
mod browse;
mod groups;
mod operations;
mod operator;
mod output;
mod report;
mod resend;
mod results;
mod selection;
mod summary;

pub use arguments::{Confirmation, Format, Operation, SendOptions};
pub(crate) use browse::{FailureOrder, SelectedMessages, browse_all, failure_order, group, select};
pub(crate) use groups::rfc3339;
pub(crate) use operations::discard::{discard, run as discard_selected};
pub(crate) use operations::export::{ExportLine as DeadLetterLine, WriteError, copy};
pub(crate) use operations::fix::{Copies, FixError, FixedBody, Replacement, run as fix};
pub(crate) use operations::replay::run as replay;
pub(crate) use operator::{Activity, Answer, NoProgress, Operator, Progress, Question};
pub use output::Console;
pub(crate) use report::{EndedEarly, Outcomes, Report};
pub use selection::Selection;
pub(crate) use summary::DeadLetterSummary;

use output::TerminalOperator;

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
    /// The operation needs the database, which does not answer. Nothing was done.
    #[error("{0}")]
    NoStore(String),
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

/// What the command line works with.
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

/// One run of an operation: what it works with.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) queue: &'a dyn DeadLetterQueue,
    /// Publishes replays.
    pub(crate) publisher: &'a Publisher,
    /// Opens the database, which knows the results of replays.
    pub(crate) open_store: &'a dyn Fn() -> Result<Box<dyn Store>, StoreError>,
    /// Set if the operator stops the run.
    pub(crate) stop: &'a Stop,
    pub(crate) operator: &'a dyn Operator,
}

/// Runs an operation of the command line.
pub fn run(context: &Context, operation: &Operation) -> Result<Completion, DlqError> {
    let Context { queue, publisher, open_store, stop, watch_signals, console } = context;
    let operator = TerminalOperator { console, confirmation: operation.confirmation(), watch_signals };
    let run = &Run { queue: &**queue, publisher, open_store, stop, operator: &operator };
    let report = match operation {
        Operation::List { selection, messages } => return operations::list::run(run, console, selection, *messages),
        Operation::Show { id } => return operations::show::run(run, console, id),
        Operation::Replay { selection, options, no_canary, .. } => {
            selection.require_criteria("replay")?;
            operator.require_terminal_or_yes()?;
            operations::replay::run(run, selection, options, !no_canary)?
        }
        Operation::Export { file, selection, keep, .. } => {
            let target = operations::export::Target::new(file, *keep)?;
            selection.require_criteria("export")?;
            operator.require_terminal_or_yes()?;
            let report = operations::export::run(run, &target, selection)?;
            if target.is_stdout {
                console.print_report_as_note(&report)?;
                return Ok(report.completion());
            }
            report
        }
        Operation::Import { file, options, .. } => {
            operator.require_terminal_or_yes()?;
            operations::import::run(run, file, options)?
        }
        Operation::Discard { selection, .. } => {
            selection.require_criteria("discard")?;
            operator.require_terminal_or_yes()?;
            operations::discard::run(run, selection)?
        }
    };
    console.print_report(&report)?;
    Ok(report.completion())
}
