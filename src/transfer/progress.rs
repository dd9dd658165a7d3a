//! Shows the progress of a transfer on standard error: a bar on a terminal, otherwise a line at intervals.

use crate::terminal::sanitize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// The interval of lines without a terminal, and of repeated notes.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    activity: &'static str,
    total: Option<u64>,
    started: Instant,
    last_line: Cell<Instant>,
    last_note: Cell<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    /// Starts an activity. `total` is its size in bytes, if known.
    pub(super) fn new(activity: &'static str, total: Option<u64>) -> Self {
        let terminal = stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_prefix(activity);
        let template = match total {
            Some(_) => "{prefix} {wide_bar} {percent}%  {msg}  {eta} left",
            None => "{spinner} {prefix}  {msg}",
        };
        // The template is constant and valid; the default bar only avoids a panic.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let now = Instant::now();
        Self { bar, activity, total, started: now, last_line: Cell::new(now), last_note: Cell::new(None), terminal }
    }

    /// Shows how many bytes and items are done. `items` names the items in the plural.
    pub(super) fn update(&self, bytes: u64, count: u64, items: &str) {
        let rate = count as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!("{count} {items}  {rate:.0}/s"));
        self.bar.set_position(bytes);
        if self.terminal || self.last_line.get().elapsed() < INTERVAL {
            return;
        }
        self.last_line.set(Instant::now());
        let share = match self.total {
            Some(total) if total > 0 => format!(", {} %", bytes.min(total).saturating_mul(100) / total),
            Some(_) | None => String::new(),
        };
        self.note(&format!("{}: {count} {items}{share}", self.activity));
    }

    /// Prints a line.
    pub(super) fn note(&self, text: &str) {
        // Standard error may be closed.
        self.bar.suspend(|| drop(writeln!(stderr(), "{}", sanitize(text))));
    }

    /// Prints a line that would repeat often, at most once per interval.
    pub(super) fn note_at_intervals(&self, text: &str) {
        if self.last_note.get().is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.last_note.set(Some(Instant::now()));
            self.note(text);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
