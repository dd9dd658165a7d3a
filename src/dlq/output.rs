//! What an operator sees: tables, questions and progress at a terminal; JSON for scripts.
//!
//! Results go to standard output, everything else to standard error.

use super::facts::DeadLetterSummary;
use super::outcomes::Outcomes;
use super::{Confirmation, DlqError, Format};
use crate::domain::Timestamp;
use crate::terminal::{columns, harmless};
use chrono::{SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::time::{Duration, Instant};

/// How often progress is said where there is no terminal to draw it on.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The operator's side.
pub struct Console {
    format: Format,
    bold: bool,
}

/// DeadLetterBrowser that failed for one reason and ask for one operation.
#[derive(Clone, Debug)]
struct Group {
    count: usize,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    example: String,
}

/// All groups.
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

/// What an operation did.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) operation: &'static str,
    /// The past tense, for people.
    #[serde(skip)]
    pub(super) done_word: &'static str,
    pub(super) dry_run: bool,
    pub(super) interrupted: bool,
    /// The operator said no.
    #[serde(skip)]
    pub(super) declined: bool,
    /// Dead letters, or lines of the file, that the operation was for.
    pub(super) selected: usize,
    pub(super) done: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcomes: Option<Outcomes>,
    /// What the operator should know besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl Groups {
    pub(super) fn add(&mut self, facts: &DeadLetterSummary) {
        let at = facts.last_failed;
        let group = self.0.entry((facts.reason.clone(), facts.operation.clone())).or_insert_with(|| Group {
            count: 0,
            oldest: at,
            newest: at,
            example: facts.id.clone(),
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

    fn sorted(&self) -> Vec<(&(String, String), &Group)> {
        let mut groups: Vec<_> = self.0.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        groups
    }

    /// For people.
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
        columns(&rows)
    }
}

/// A time as seen from now.
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
    fn sentence(&self) -> String {
        if self.dry_run {
            return format!("{} selected; nothing was done (--dry-run)\n{}", self.what(), self.more());
        }
        if self.selected == 0 {
            return "nothing to do\n".to_owned();
        }
        if self.declined {
            return "nothing was done: not agreed\n".to_owned();
        }
        let mut text = format!("{} {} of {}", self.done_word, self.done, self.what());
        if self.interrupted && self.done < self.selected {
            text.push_str(", then was asked to stop; the others are where they were");
        }
        if let Some(outcomes) = &self.outcomes {
            let _ = write!(text, ": {outcomes}");
        }
        text.push('\n');
        text + &self.more()
    }

    fn what(&self) -> String {
        match (self.operation, self.selected) {
            ("import", 1) => "1 line".to_owned(),
            ("import", lines) => format!("{lines} lines"),
            (_, count) => letters(count),
        }
    }

    fn more(&self) -> String {
        self.notes.iter().map(|note| format!("{note}\n")).collect()
    }
}

impl Console {
    /// Writes results in this format.
    pub fn new(format: Format) -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { format, bold: colours && stdout().is_terminal() }
    }

    pub(super) fn json(&self) -> bool {
        self.format == Format::Json
    }

    pub(super) fn put(&self, text: &str) -> Result<(), DlqError> {
        Ok(stdout().write_all(harmless(text).as_bytes())?)
    }

    pub(super) fn put_json(&self, value: &impl Serialize) -> Result<(), DlqError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| DlqError::Failed(error.to_string()))?;
        Ok(writeln!(stdout(), "{text}")?)
    }

    pub(super) fn put_json_line(&self, value: &impl Serialize) -> Result<(), DlqError> {
        let text = serde_json::to_string(value).map_err(|error| DlqError::Failed(error.to_string()))?;
        Ok(writeln!(stdout(), "{text}")?)
    }

    /// For people, beside the result.
    pub(super) fn note(&self, text: &str) -> Result<(), DlqError> {
        Ok(writeln!(stderr(), "{}", harmless(text.trim_end()))?)
    }

    pub(super) fn put_groups(&self, groups: &Groups, others: &Groups) -> Result<(), DlqError> {
        let time = |at: Option<Timestamp>| at.map(rfc3339);
        if self.json() {
            let groups_view = groups.sorted().into_iter().map(|((reason, operation), group)| GroupView {
                reason,
                operation,
                count: group.count,
                oldest: time(group.oldest),
                newest: time(group.newest),
                example: &group.example,
            });
            return self.put_json(&ListView {
                total: groups.total(),
                not_selected: others.total(),
                groups: groups_view.collect(),
            });
        }
        if groups.is_empty() {
            let none = if others.is_empty() { "no dead letters\n" } else { "none of the dead letters is selected\n" };
            return self.put(none);
        }
        let table = groups.table();
        match table.split_once('\n') {
            Some((head, rows)) if self.bold => {
                writeln!(stdout(), "\u{1b}[1m{head}\u{1b}[0m")?;
                self.put(rows)?;
            }
            _ => self.put(&table)?,
        }
        let total = letters(groups.total());
        self.put(&format!("{total}; `contacts dlq-drain list --each` shows their ids, `show ID` one in full\n"))
    }

    pub(super) fn put_report(&self, report: &Report) -> Result<(), DlqError> {
        if self.json() { self.put_json(report) } else { self.put(&report.sentence()) }
    }

    pub(super) fn note_report(&self, report: &Report) -> Result<(), DlqError> {
        self.note(&report.sentence())
    }

    /// Refuses early what could not be asked later.
    pub(super) fn can_ask(&self, confirmation: Confirmation) -> Result<(), DlqError> {
        if confirmation.yes || confirmation.dry_run || (stdin().is_terminal() && stderr().is_terminal()) {
            return Ok(());
        }
        Err(DlqError::Usage("there is no terminal to ask at: add --yes to go on without, or --dry-run to look".into()))
    }

    pub(super) fn ask(&self, confirmation: Confirmation, question: &str) -> Result<bool, DlqError> {
        if confirmation.yes {
            return Ok(true);
        }
        write!(stderr(), "{question} [y/N] ")?;
        stderr().flush()?;
        let mut answer = String::new();
        stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Shows how far long work is: a bar at a terminal, else a line now and then.
    pub(super) fn progress(&self, what: &'static str, total: usize) -> Progress {
        let terminal = stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_message(what);
        let template = "{msg} {wide_bar} {pos}/{len}  {rate}  {eta} left";
        // The template is ours and right; a plain bar would be as good.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
        Progress { bar, what, total, said: Cell::new(Instant::now()), terminal }
    }
}

pub(super) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    total: usize,
    said: Cell<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn advance(&self, by: usize) {
        self.bar.inc(by as u64);
        if !self.terminal && self.said.get().elapsed() > SAY_EVERY {
            self.said.set(Instant::now());
            let (position, left) = (self.bar.position(), self.bar.eta().as_secs());
            // A closed standard error is nobody.
            let _ = writeln!(stderr(), "{}: {position} of {}, {left} s left", self.what, self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// So many dead letters, in words.
pub(super) fn letters(count: usize) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_seen_from_now() {
        let now = Timestamp::from_timestamp(1_000_000, 0).unwrap();
        let at = |seconds: i64| ago(Timestamp::from_timestamp(1_000_000 - seconds, 0), now);
        assert_eq!(
            [at(-5), at(0), at(59), at(60), at(7_300), at(200_000)],
            ["in the future", "0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!(ago(None, now), "unknown");
    }
}
