//! Writes what the operator reads: tables, questions and progress on a terminal; JSON for scripts.
//!
//! Results go to standard output, everything else to standard error.

use super::outcomes::Outcomes;
use super::summary::DeadLetterSummary;
use super::{Confirmation, DlqError, Format};
use crate::domain::Timestamp;
use crate::terminal::{align_columns, sanitize};
use chrono::{SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::time::{Duration, Instant};

/// The time between two progress lines if there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The operator's terminal, or the files and pipes in its place.
pub struct Console {
    format: Format,
    bold: bool,
}

/// Dead letters with the same reason and operation.
#[derive(Clone, Debug)]
struct Group {
    count: usize,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    example: String,
}

/// Groups of dead letters, by reason and operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(BTreeMap<(String, String), Group>);

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

/// The result of an operation.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) operation: &'static str,
    /// The operation's verb in the past tense, for people.
    #[serde(skip)]
    pub(super) past_tense: &'static str,
    pub(super) dry_run: bool,
    pub(super) interrupted: bool,
    /// The operator did not confirm.
    #[serde(skip)]
    pub(super) declined: bool,
    /// How many dead letters are selected, or how many lines the file has.
    pub(super) selected: usize,
    pub(super) done: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcomes: Option<Outcomes>,
    /// Further information for the operator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl Groups {
    pub(super) fn add(&mut self, summary: &DeadLetterSummary) {
        let at = summary.last_failed;
        let group = self.0.entry((summary.reason.clone(), summary.operation.clone())).or_insert_with(|| Group {
            count: 0,
            oldest: at,
            newest: at,
            example: summary.id.clone(),
        });
        group.count += 1;
        if let Some(at) = at {
            group.oldest = Some(group.oldest.map_or(at, |oldest| oldest.min(at)));
            group.newest = Some(group.newest.map_or(at, |newest| newest.max(at)));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn total(&self) -> usize {
        self.0.values().map(|group| group.count).sum()
    }

    /// The groups, largest first.
    fn sorted(&self) -> Vec<(&(String, String), &Group)> {
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        groups
    }

    /// The groups as a table for people.
    pub(super) fn table(&self) -> String {
        let now = Utc::now();
        let mut rows = vec![["REASON", "OPERATION", "COUNT", "OLDEST", "NEWEST", "EXAMPLE"].map(str::to_owned)];
        for ((reason, operation), group) in self.sorted() {
            rows.push([
                reason.clone(),
                operation.clone(),
                group.count.to_string(),
                ago(group.oldest, now),
                ago(group.newest, now),
                group.example.clone(),
            ]);
        }
        align_columns(&rows)
    }
}

/// The age of a time, in words.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return "unknown".to_owned() };
    let seconds = (now - at).num_seconds();
    match seconds {
        ..0 => "in the future".to_owned(),
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

pub(super) fn rfc3339(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Report {
    fn text(&self) -> String {
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
    pub(crate) fn progress(&self, activity: &'static str, total: usize) -> Progress {
        let terminal = stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_message(activity);
        let template = "{msg} {wide_bar} {pos}/{len}  {rate}  {eta} left";
        // The template is valid. If it were not, the default bar would do.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        Progress { bar, activity, total, last_line: Cell::new(Instant::now()), terminal }
    }
}

pub(crate) struct Progress {
    bar: ProgressBar,
    activity: &'static str,
    total: usize,
    last_line: Cell<Instant>,
    terminal: bool,
}

impl Progress {
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

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A number of dead-lettered messages, in words.
pub(super) fn message_count(count: usize) -> String {
    if count == 1 { "1 dead-lettered message".to_owned() } else { format!("{count} dead-lettered messages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_its_age() {
        let now = Timestamp::from_timestamp(1_000_000, 0).unwrap();
        let at = |seconds: i64| ago(Timestamp::from_timestamp(1_000_000 - seconds, 0), now);
        assert_eq!(
            [at(-5), at(0), at(59), at(60), at(7_300), at(200_000)],
            ["in the future", "0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!(ago(None, now), "unknown");
    }
}
