//! How far a transfer is: a bar at a terminal, else a line now and then. All on standard error.

use crate::terminal::harmless;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often it is said where there is no terminal to draw it on.
const SAY_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    total: Option<u64>,
    began: Instant,
    said: Cell<Instant>,
    noted: Cell<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    /// Of work with so many bytes, if that is known.
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        let terminal = stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_prefix(what);
        let template = match total {
            Some(_) => "{prefix} {wide_bar} {percent}%  {msg}  {eta} left",
            None => "{spinner} {prefix}  {msg}",
        };
        // The template is ours and right; a plain bar would be as good.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let now = Instant::now();
        Self { bar, what, total, began: now, said: Cell::new(now), noted: Cell::new(None), terminal }
    }

    /// So many bytes and things are done.
    pub(super) fn at(&self, bytes: u64, count: u64, things: &str) {
        let rate = count as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        self.bar.set_message(format!("{count} {things}  {rate:.0}/s"));
        self.bar.set_position(bytes);
        if self.terminal || self.said.get().elapsed() < SAY_EVERY {
            return;
        }
        self.said.set(Instant::now());
        let share = match self.total {
            Some(total) if total > 0 => format!(", {} %", bytes.min(total).saturating_mul(100) / total),
            Some(_) | None => String::new(),
        };
        self.note(&format!("{}: {count} {things}{share}", self.what));
    }

    /// For people, besides the result.
    pub(super) fn note(&self, text: &str) {
        // A closed standard error is nobody.
        self.bar.suspend(|| drop(writeln!(stderr(), "{}", harmless(text))));
    }

    /// What would else be said again and again.
    pub(super) fn note_now_and_then(&self, text: &str) {
        if self.noted.get().is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.noted.set(Some(Instant::now()));
            self.note(text);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
