//! The rights of a person: finds, exports and erases what is stored about one person.
//!
//! The rule of this module: personal data is only in the results that the caller asked for, never in an error or a log
//! line. Nothing that an erasure names returns, and an erasure that was interrupted can be run again.

mod arguments;
mod erase;
mod export;
mod find;
mod matcher;
mod run;
mod views;

pub use arguments::{Operation, Selector};
pub use erase::{Erased, erase};
pub use export::export;
pub use find::{Found, find};
pub use run::run;
pub use views::{ErasedView, ExportView, FoundView};

use crate::dlq::{Console, DlqError};
use crate::domain::{ContactId, Email, Name, Phone};
use crate::queue::{DeadLetterQueue, Monitor, QueueError};
use crate::stop::Stop;
use crate::store::{Store, StoreError};

/// A person, by the values that contacts and messages have. Each value that matches is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The phone numbers.
    pub phones: Vec<Phone>,
    /// The e-mail addresses.
    pub emails: Vec<Email>,
    /// Whole names.
    pub names: Vec<Name>,
    /// The ids of contacts.
    pub contacts: Vec<ContactId>,
}

impl Subject {
    /// Whether there is no value, so that nothing can match.
    pub const fn is_empty(&self) -> bool {
        self.phones.is_empty() && self.emails.is_empty() && self.names.is_empty() && self.contacts.is_empty()
    }
}

/// Where personal data is.
pub struct Sources {
    /// The database. It reads from the primary: a replica may not have the last changes.
    pub store: Box<dyn Store>,
    /// The dead letter queue.
    pub dead_letters: Box<dyn DeadLetterQueue>,
    /// Counts the messages of the other queues.
    pub monitor: Box<dyn Monitor>,
    /// Stops the work after its current step.
    pub stop: Stop,
    /// Shows the progress, if somebody watches.
    pub console: Option<Console>,
}

/// Why a search, an export or an erasure stopped.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Something else failed. The text says what was done.
    #[error("{0}")]
    Failed(String),
    /// The dead letter queue failed.
    #[error("the dead letter queue cannot be used: {0}")]
    Queue(#[from] QueueError),
    /// The database failed.
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    /// Standard input, output or error failed.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

impl From<DlqError> for SubjectError {
    fn from(error: DlqError) -> Self {
        match error {
            DlqError::Usage(reason) => Self::Usage(reason),
            DlqError::Failed(reason) | DlqError::NoStore(reason) => Self::Failed(reason),
            DlqError::Queue(error) => Self::Queue(error),
            DlqError::Output(error) => Self::Output(error),
        }
    }
}
