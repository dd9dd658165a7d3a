//! The result of an operation.

use super::Completion;
use super::groups::message_count;
use crate::domain::Status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// Why an operation did not process everything, although nobody stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedEarly {
    /// The canary was not sent.
    CanaryNotSent,
    /// The canary failed again, or its result is not known.
    CanaryFailed,
    /// The other messages are no longer in the queue.
    MessagesMissing,
    /// The queue or its connection failed.
    QueueFailed,
}

/// How many operations had each result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcomes {
    pub(crate) applied: usize,
    pub(crate) superseded: usize,
    /// By reason.
    pub(crate) failed_again: BTreeMap<String, usize>,
    /// Not finished in time, or without an operation id, or SQL was unavailable.
    pub(crate) not_known: usize,
}

impl Outcomes {
    /// Operations that failed or have an unknown result.
    pub(super) fn unsuccessful(&self) -> usize {
        self.failed_again.values().sum::<usize>() + self.not_known
    }

    pub(super) fn total(&self) -> usize {
        self.applied + self.superseded + self.unsuccessful()
    }

    pub(super) fn count(&mut self, status: Status) {
        match status {
            Status::Applied => self.applied += 1,
            Status::Superseded => self.superseded += 1,
            Status::Failed(reason) => *self.failed_again.entry(reason.as_str().to_owned()).or_default() += 1,
        }
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |count: usize, result: &str| {
            if count > 0 {
                parts.push(format!("{count} {result}"));
            }
        };
        part(self.applied, "applied");
        part(self.superseded, "superseded");
        for (reason, count) in &self.failed_again {
            part(*count, &format!("failed again ({reason})"));
        }
        part(self.not_known, "with unknown result");
        f.write_str(&parts.join(", "))
    }
}

/// The result of an operation.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(super) operation: &'static str,
    /// The operation's verb in the past tense, for people.
    #[serde(skip)]
    pub(super) past_tense: &'static str,
    pub(super) dry_run: bool,
    pub(crate) interrupted: bool,
    /// The operator did not confirm.
    #[serde(skip)]
    pub(crate) declined: bool,
    /// How many dead letters are selected, or how many lines the file has.
    pub(crate) selected: usize,
    pub(crate) done: usize,
    /// How many are not done, failed again, or have an unknown result.
    #[serde(skip)]
    pub(super) remaining: usize,
    #[serde(skip)]
    pub(crate) ended_early: Option<EndedEarly>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcomes: Option<Outcomes>,
    /// Further information for the operator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// The report of something that is no operation of the command line.
    pub(crate) fn of(selected: usize, done: usize) -> Self {
        Self { selected, done, ..Self::default() }
    }

    /// Whether the operation completed everything that was selected.
    pub(super) const fn completion(&self) -> Completion {
        if self.dry_run { Completion::Complete } else { Completion::from_remaining(self.remaining) }
    }

    /// The report for people.
    pub(super) fn text(&self) -> String {
        if self.dry_run {
            return format!("dry run: {} selected, nothing changed\n{}", self.selection_size(), self.note_lines());
        }
        if self.selected == 0 {
            return "nothing to do\n".to_owned();
        }
        if self.declined {
            return "not confirmed, nothing changed\n".to_owned();
        }
        let mut text = format!("{} {} of {}", self.past_tense, self.done, self.selection_size());
        if let Some(outcomes) = &self.outcomes {
            let _ = write!(text, ": {outcomes}");
        }
        text.push('\n');
        if self.interrupted && self.done < self.selected {
            text.push_str("interrupted: the rest was not processed\n");
        }
        text + &self.note_lines()
    }

    fn selection_size(&self) -> String {
        match (self.operation, self.selected) {
            ("import", 1) => "1 line".to_owned(),
            ("import", lines) => format!("{lines} lines"),
            (_, count) => message_count(count),
        }
    }

    fn note_lines(&self) -> String {
        self.notes.iter().map(|note| format!("{note}\n")).collect()
    }
}
