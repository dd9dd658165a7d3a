//! `replay`: the same command again.

use crate::dlq::browse::{Chosen, choose_with_consent};
use crate::dlq::outcomes::{Outcomes, Sent, follow};
use crate::dlq::output::Report;
use crate::dlq::resend::{Pace, Portion, send_some};
use crate::dlq::{Completion, Confirmation, Context, DlqError, Selection, SendOptions};
use crate::queue::QueueError;
use crate::store::{Store, StoreError};
use std::time::Duration;

/// DeadLetterBrowser taken in one look: a bound for memory, and for how long RabbitMQ lets letters be held (30 minutes by default).
const PORTION: usize = 10_000;
/// For how long at most one look sends, in seconds.
const PORTION_SECONDS: usize = 300;
/// How often in a row a look may fail before the rest is given up.
const MAX_FAILURES: u64 = 5;

pub(in crate::dlq) fn run(
    context: &Context,
    selection: &Selection,
    sending: &SendOptions,
    canary: bool,
    confirmation: Confirmation,
) -> Result<Completion, DlqError> {
    let (selected, chosen) = choose_with_consent(context, selection, confirmation, "replay", "")?;
    let mut report = Report {
        operation: "replay",
        done_word: "replayed",
        dry_run: confirmation.dry_run,
        selected,
        ..Report::default()
    };
    report.declined = chosen.is_none();
    let mut left = if confirmation.dry_run { 0 } else { selected };
    if let Some(chosen) = chosen {
        let mut replay =
            Replay { context, sending, chosen, sent: Vec::new(), outcomes: Outcomes::default(), notes: Vec::new() };
        let store = reachable(context);
        if let (true, Err(error)) = (canary, &store) {
            return Err(DlqError::Failed(format!(
                "the canary cannot be followed, because SQL cannot be asked ({error}); --no-canary replays without one"
            )));
        }
        let store = store.ok();
        if !canary || replay.canary_lives(store.as_deref())? {
            replay.send_all(store.as_deref());
        }
        report.done = replay.sent.len() + replay.outcomes.total();
        report.interrupted = context.stop.is_set();
        let (still, notes) = replay.chosen.sweep(context);
        replay.notes.extend(notes);
        let outcomes = replay.outcomes + outcomes(context, store.as_deref(), &replay.sent, sending.wait);
        left = selected - report.done + still + outcomes.left();
        report.outcomes = (outcomes.total() > 0).then_some(outcomes);
        report.notes = replay.notes;
    }
    context.console.put_report(&report)?;
    Ok(Completion::if_any(left))
}

/// The database, if it answers.
pub(in crate::dlq) fn reachable(context: &Context) -> Result<Box<dyn Store>, StoreError> {
    let store = (context.open_store)()?;
    store.check()?;
    Ok(store)
}

/// How what was sent has ended.
pub(in crate::dlq) fn outcomes(
    context: &Context,
    store: Option<&dyn Store>,
    sent: &[Option<Sent>],
    wait: Duration,
) -> Outcomes {
    let known: Vec<Sent> = sent.iter().flatten().copied().collect();
    let nameless = sent.len() - known.len();
    let count = known.len();
    let followed = store.map(|store| follow(context, store, known, wait));
    let mut outcomes = followed.unwrap_or(Outcomes { not_known: count, ..Outcomes::default() });
    outcomes.not_known += nameless;
    outcomes
}

struct Replay<'a> {
    context: &'a Context,
    sending: &'a SendOptions,
    chosen: Chosen,
    /// Confirmed; `None` for one that names no operation.
    sent: Vec<Option<Sent>>,
    /// Of the canary.
    outcomes: Outcomes,
    notes: Vec<String>,
}

impl Replay<'_> {
    /// Sends one and waits for its end. True if it ended well, or if no letter can be followed.
    fn canary_lives(&mut self, store: Option<&dyn Store>) -> Result<bool, DlqError> {
        let progress = self.context.console.progress("sending a canary", 1);
        let portion = Portion { store, most: 1, to_follow: true, chosen: &mut self.chosen, sent: &mut self.sent };
        let result = send_some(self.context, portion, &mut Pace::new(self.sending.rate), &progress);
        drop(progress);
        match result {
            Err(error) if self.sent.is_empty() => {
                self.notes.push(format!("the canary could not be sent: {error}"));
                return Ok(false);
            }
            // Sent, though it may be in the queue still: whoever is asked to end, or cannot remove it, learns how it ended.
            Err(_) | Ok(()) => {}
        }
        if self.sent.is_empty() && self.context.stop.is_set() {
            return Ok(false);
        }
        let [Some(canary)] = self.sent[..] else {
            self.context.console.note("None of them names an operation that could be followed: no canary.")?;
            return Ok(true);
        };
        self.outcomes = outcomes(self.context, store, &self.sent, self.sending.wait);
        self.sent.clear();
        if self.outcomes.left() == 0 {
            return Ok(true);
        }
        self.notes
            .push(format!("the canary was operation {}; it did not end well, so nothing else was replayed", canary.id));
        if self.chosen.len() > 0 {
            self.notes.push("select others, for instance by --reason, or replay all with --no-canary".to_owned());
        }
        Ok(false)
    }

    fn send_all(&mut self, store: Option<&dyn Store>) {
        let mut pace = Pace::new(self.sending.rate);
        let progress = self.context.console.progress("replaying", self.chosen.len());
        let most = PORTION.min(self.sending.rate as usize * PORTION_SECONDS).max(1);
        let mut failures = 0;
        while self.chosen.len() > 0 && !self.context.stop.is_set() {
            let before = self.chosen.len();
            let portion = Portion { store, most, to_follow: false, chosen: &mut self.chosen, sent: &mut self.sent };
            let result = send_some(self.context, portion, &mut pace, &progress);
            let progressed = self.chosen.len() < before;
            match result {
                Ok(()) if progressed => failures = 0,
                Ok(()) => {
                    if !self.context.stop.is_set() {
                        self.notes.push("the others are not there any more, or another run holds them".to_owned());
                    }
                    return;
                }
                Err(DlqError::Queue(QueueError::Lost(_))) if progressed || failures < MAX_FAILURES => {
                    failures = if progressed { 1 } else { failures + 1 };
                    self.context.stop.sleep(Duration::from_secs(failures));
                }
                Err(error) => {
                    self.notes.push(format!("the others are where they were: {error}"));
                    return;
                }
            }
        }
    }
}
