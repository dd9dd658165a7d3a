//! Writes what the operator reads: tables, questions and progress on a terminal; JSON for scripts.
//!
//! Results go to standard output, everything else to standard error.

use super::groups::{Groups, message_count, rfc3339};
use super::operator::{Activity, Answer, Operator, Progress, Question};
use super::report::Report;
use super::{Confirmation, DlqError, Format};
use crate::domain::Timestamp;
use crate::terminal::sanitize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::time::{Duration, Instant};

/// The time between two progress lines if there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The operator's terminal, or the files and pipes in its place.
pub struct Console {
    format: Format,
    bold: bool,
}

#[derive(Serialize)]
struct GroupView<'a> {
    reason: &'a str,
    operation: &'a str,
    count: usize,
    oldest: Option<String>,
    newest: Option<String>,
    example: &'a str,
}

#[derive(Serialize)]
struct ListView<'a> {
    total: usize,
    not_selected: usize,
    groups: Vec<GroupView<'a>>,
}

impl Console {
    /// A console that writes results in this format.
    pub fn new(format: Format) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { format, bold: colours && stdout().is_terminal() }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn print(&self, text: &str) -> Result<(), DlqError> {
        Ok(stdout().write_all(sanitize(text).as_bytes())?)
    }

    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), DlqError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| DlqError::Failed(error.to_string()))?;
        Ok(writeln!(stdout(), "{text}")?)
    }

    pub(super) fn print_json_line(&self, value: &impl Serialize) -> Result<(), DlqError> {
        let text = serde_json::to_string(value).map_err(|error| DlqError::Failed(error.to_string()))?;
        Ok(writeln!(stdout(), "{text}")?)
    }

    /// Writes a text for people to standard error.
    pub(crate) fn print_note(&self, text: &str) -> Result<(), DlqError> {
        Ok(writeln!(stderr(), "{}", sanitize(text.trim_end()))?)
    }

    pub(super) fn print_groups(&self, groups: &Groups, others: &Groups) -> Result<(), DlqError> {
        let time = |at: Option<Timestamp>| at.map(rfc3339);
        if self.is_json() {
            let groups_view = groups.sorted().into_iter().map(|((reason, operation), group)| GroupView {
                reason,
                operation,
                count: group.count,
                oldest: time(group.oldest),
                newest: time(group.newest),
                example: &group.example,
            });
            return self.print_json(&ListView {
                total: groups.total(),
                not_selected: others.total(),
                groups: groups_view.collect(),
            });
        }
        if groups.is_empty() {
            let text = if others.is_empty() {
                "the dead letter queue is empty\n"
            } else {
                "no dead-lettered message matches the selection\n"
            };
            return self.print(text);
        }
        let table = groups.table();
        match table.split_once('\n') {
            Some((head, rows)) if self.bold => {
                writeln!(stdout(), "\u{1b}[1m{head}\u{1b}[0m")?;
                self.print(rows)?;
            }
            _ => self.print(&table)?,
        }
        let total = message_count(groups.total());
        self.print(&format!(
            "{total}. `contacts dlq-drain list --messages` shows their ids, `contacts dlq-drain show ID` shows one in \
             full.\n"
        ))
    }

    pub(super) fn print_report(&self, report: &Report) -> Result<(), DlqError> {
        if self.is_json() { self.print_json(report) } else { self.print(&report.text()) }
    }

    pub(super) fn print_report_as_note(&self, report: &Report) -> Result<(), DlqError> {
        self.print_note(&report.text())
    }

    /// Fails if there is no terminal and no `--yes`. Called first, so that a run cannot fail at its question.
    pub(crate) fn require_terminal_or_yes(&self, confirmation: Confirmation) -> Result<(), DlqError> {
        if confirmation.yes || confirmation.dry_run || (stdin().is_terminal() && stderr().is_terminal()) {
            return Ok(());
        }
        Err(DlqError::Usage(
            "there is no terminal to ask for confirmation: add --yes to confirm, or --dry-run to change nothing".into(),
        ))
    }

    /// Asks the operator for confirmation, unless `--yes` is given.
    pub(crate) fn confirm(&self, confirmation: Confirmation, question: &str) -> Result<bool, DlqError> {
        if confirmation.yes {
            return Ok(true);
        }
        write!(stderr(), "{question} [y/N] ")?;
        stderr().flush()?;
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Shows the progress of long work: a bar on a terminal, otherwise a line from time to time.
    pub(crate) fn progress(&self, activity: &'static str, total: usize) -> ProgressLine {
        let terminal = stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_message(activity);
        let template = "{msg} {wide_bar} {pos}/{len}  {rate}  {eta} left";
        // The template is valid. If it were not, the default bar would do.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        ProgressLine { bar, activity, total, last_line: Cell::new(Instant::now()), terminal }
    }
}

/// The operator at a terminal, with the confirmation of the command line.
pub(super) struct TerminalOperator<'a> {
    pub(super) console: &'a Console,
    pub(super) confirmation: Confirmation,
    /// Called after the last question.
    pub(super) watch_signals: &'a dyn Fn(),
}

impl TerminalOperator<'_> {
    /// Fails if the operator cannot answer. Called first, so that a run cannot fail at its question.
    pub(super) fn require_terminal_or_yes(&self) -> Result<(), DlqError> {
        self.console.require_terminal_or_yes(self.confirmation)
    }
}

impl Operator for TerminalOperator<'_> {
    fn confirm(&self, question: Question<'_>) -> Result<Answer, DlqError> {
        let Confirmation { yes, dry_run } = self.confirmation;
        if question.count == 0 {
            return Ok(if dry_run { Answer::DryRun } else { Answer::No });
        }
        if let Some(groups) = question.groups.filter(|_| !yes || dry_run) {
            self.console.print_note(&groups.table())?;
        }
        let answer = if dry_run {
            Answer::DryRun
        } else {
            if !yes {
                question.notes.iter().try_for_each(|note| self.console.print_note(note))?;
            }
            match self.console.confirm(self.confirmation, question.text)? {
                true => Answer::Yes,
                false => Answer::No,
            }
        };
        (self.watch_signals)();
        Ok(answer)
    }

    fn nothing_selected(&self, others: &Groups) -> Result<(), DlqError> {
        self.console.print_note("No message matches the selection. The queue contains:")?;
        self.console.print_note(&others.table())
    }

    fn note(&self, text: &str) -> Result<(), DlqError> {
        self.console.print_note(text)
    }

    fn progress(&self, activity: Activity, total: usize) -> Box<dyn Progress> {
        Box::new(self.console.progress(activity.text(), total))
    }
}

pub(crate) struct ProgressLine {
    bar: ProgressBar,
    activity: &'static str,
    total: usize,
    last_line: Cell<Instant>,
    terminal: bool,
}

impl ProgressLine {
    pub(crate) fn advance(&self, by: usize) {
        self.bar.inc(by as u64);
        if !self.terminal && self.last_line.get().elapsed() > PROGRESS_INTERVAL {
            self.last_line.set(Instant::now());
            let (position, left) = (self.bar.position(), self.bar.eta().as_secs());
            // Standard error may be closed.
            let _ = writeln!(stderr(), "{}: {position} of {}, {left} s left", self.activity, self.total);
        }
    }
}

impl Progress for ProgressLine {
    fn advance(&self, by: usize) {
        self.advance(by);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
