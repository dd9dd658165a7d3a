//! Who runs an operation: the operator answers its question, sees its progress and pauses it.
//!
//! The rule of this file: an operation knows no terminal. A terminal and a job of the console are two kinds of
//! operators.

use super::DlqError;
use super::groups::Groups;
use super::report::Outcomes;

/// What an operation does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It finds the selected dead letters.
    Read,
    /// It searches for one dead letter.
    Search,
    /// It replays the canary.
    Canary,
    /// It replays the others.
    Replay,
    /// It writes dead letters to a file.
    Export,
    /// It sends the lines of a file.
    Send,
    /// It removes dead letters.
    Discard,
    /// It checks that removed dead letters are no longer in the queue.
    Check,
    /// It waits for the results of what it sent.
    Results,
}

impl Activity {
    /// The activity in words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Read => "reading the queue",
            Self::Search => "searching",
            Self::Canary => "replaying the canary",
            Self::Replay => "replaying",
            Self::Export => "exporting",
            Self::Send => "sending",
            Self::Discard => "discarding",
            Self::Check => "checking the queue",
            Self::Results => "waiting for results",
        }
    }
}

/// What an operation is about to do.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    /// How many dead letters, or lines of a file, it is about.
    pub(crate) count: usize,
    /// The selected dead letters. `None` for a file.
    pub(super) groups: Option<&'a Groups>,
    /// What the file contains.
    pub(super) notes: &'a [String],
    pub(super) text: &'a str,
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    /// Only report what would be done.
    DryRun,
}

/// Shows how far an activity is.
pub(crate) trait Progress {
    fn advance(&self, by: usize);
}

/// Shows nothing.
pub(crate) struct NoProgress;

impl Progress for NoProgress {
    fn advance(&self, _by: usize) {}
}

/// Who runs an operation.
pub(crate) trait Operator {
    /// Whether the operation may change what it found.
    fn confirm(&self, question: Question<'_>) -> Result<Answer, DlqError>;

    /// No dead letter is selected, but the queue contains these.
    fn nothing_selected(&self, _others: &Groups) -> Result<(), DlqError> {
        Ok(())
    }

    /// Further information.
    fn note(&self, text: &str) -> Result<(), DlqError>;

    /// An activity starts. It ends when the progress is dropped.
    fn progress(&self, activity: Activity, total: usize) -> Box<dyn Progress>;

    /// The results that are known so far.
    fn results(&self, _outcomes: &Outcomes) {}

    /// Whether the operation must wait. It waits between two messages and leaves the queue to others meanwhile.
    fn is_paused(&self) -> bool {
        false
    }
}
