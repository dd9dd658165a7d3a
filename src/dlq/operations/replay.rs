//! `replay`: publishes dead letters to the work queue again.

use crate::dlq::browse::{SelectedMessages, select_and_confirm};
use crate::dlq::outcomes::{Outcomes, SentOperation, wait_for_outcomes};
use crate::dlq::output::Report;
use crate::dlq::resend::{ReplayBatch, Throttle, replay_batch};
use crate::dlq::{Completion, Confirmation, Context, DlqError, Selection, SendOptions};
use crate::queue::QueueError;
use crate::store::{Store, StoreError};
use std::time::Duration;

/// The maximum number of dead letters in one browse. It limits the memory, and how long they stay unacknowledged:
/// RabbitMQ allows 30 minutes by default.
const BATCH_MESSAGES: usize = 10_000;
/// The maximum time of one browse, in seconds.
const BATCH_SECONDS: usize = 300;
/// How many browses may fail in a row. Then the replay stops.
const MAX_FAILURES: u64 = 5;

pub(in crate::dlq) fn run(
    context: &Context,
    selection: &Selection,
    options: &SendOptions,
    with_canary: bool,
    confirmation: Confirmation,
) -> Result<Completion, DlqError> {
    let (count, selected) = select_and_confirm(context, selection, confirmation, "replay", "")?;
    let mut report = Report {
        operation: "replay",
        past_tense: "replayed",
        dry_run: confirmation.dry_run,
        selected: count,
        ..Report::default()
    };
    report.declined = selected.is_none();
    let mut remaining = if confirmation.dry_run { 0 } else { count };
    if let Some(selected) = selected {
        let mut replay =
            Replay { context, options, selected, sent: Vec::new(), outcomes: Outcomes::default(), notes: Vec::new() };
        let store = open_reachable_store(context);
        if let (true, Err(error)) = (with_canary, &store) {
            return Err(DlqError::Failed(format!(
                "SQL is needed for the result of the canary, but it is unavailable ({error}); use --no-canary to \
                 replay without a canary"
            )));
        }
        let store = store.ok();
        if !with_canary || replay.canary_succeeds(store.as_deref())? {
            replay.send_all(store.as_deref());
        }
        report.done = replay.sent.len() + replay.outcomes.total();
        report.interrupted = context.stop.is_set();
        let (still_there, notes) = replay.selected.verify_removal(context);
        replay.notes.extend(notes);
        let outcomes = replay.outcomes + collect_outcomes(context, store.as_deref(), &replay.sent, options.wait);
        remaining = count - report.done + still_there + outcomes.unsuccessful();
        report.outcomes = (outcomes.total() > 0).then_some(outcomes);
        report.notes = replay.notes;
    }
    context.console.print_report(&report)?;
    Ok(Completion::from_remaining(remaining))
}

/// Opens the database and checks that it answers.
pub(in crate::dlq) fn open_reachable_store(context: &Context) -> Result<Box<dyn Store>, StoreError> {
    let store = (context.open_store)()?;
    store.check()?;
    Ok(store)
}

/// The results of everything that was sent. `None` in `sent` is a message without an operation.
pub(in crate::dlq) fn collect_outcomes(
    context: &Context,
    store: Option<&dyn Store>,
    sent: &[Option<SentOperation>],
    wait: Duration,
) -> Outcomes {
    let operations: Vec<SentOperation> = sent.iter().flatten().copied().collect();
    let without_operation = sent.len() - operations.len();
    let count = operations.len();
    let outcomes = store.map(|store| wait_for_outcomes(context, store, operations, wait));
    let mut outcomes = outcomes.unwrap_or(Outcomes { not_known: count, ..Outcomes::default() });
    outcomes.not_known += without_operation;
    outcomes
}

struct Replay<'a> {
    context: &'a Context,
    options: &'a SendOptions,
    selected: SelectedMessages,
    /// Confirmed messages; `None` for a message without an operation.
    sent: Vec<Option<SentOperation>>,
    /// The outcomes of the canary.
    outcomes: Outcomes,
    notes: Vec<String>,
}

impl Replay<'_> {
    /// Replays one message and waits for its result. Returns true if the others may follow: the canary was applied or
    /// superseded, or no message names an operation.
    fn canary_succeeds(&mut self, store: Option<&dyn Store>) -> Result<bool, DlqError> {
        let progress = self.context.console.progress("replaying the canary", 1);
        let batch = ReplayBatch {
            store,
            limit: 1,
            only_with_operation: true,
            selected: &mut self.selected,
            sent: &mut self.sent,
        };
        let result = replay_batch(self.context, batch, &mut Throttle::new(self.options.rate), &progress);
        drop(progress);
        match result {
            Err(error) if self.sent.is_empty() => {
                self.notes.push(format!("the canary could not be sent: {error}"));
                return Ok(false);
            }
            // The canary was sent. An error may have left it in the queue, but its result still matters.
            Err(_) | Ok(()) => {}
        }
        if self.sent.is_empty() && self.context.stop.is_set() {
            return Ok(false);
        }
        let [Some(canary)] = self.sent[..] else {
            self.context.console.print_note("No selected message names an operation: replaying without a canary.")?;
            return Ok(true);
        };
        self.outcomes = collect_outcomes(self.context, store, &self.sent, self.options.wait);
        self.sent.clear();
        if self.outcomes.unsuccessful() == 0 {
            return Ok(true);
        }
        self.notes.push(format!("the canary, operation {}, did not succeed; no other message was replayed", canary.id));
        if self.selected.len() > 0 {
            self.notes.push("select other messages, for example with --reason, or use --no-canary".to_owned());
        }
        Ok(false)
    }

    fn send_all(&mut self, store: Option<&dyn Store>) {
        let mut throttle = Throttle::new(self.options.rate);
        let progress = self.context.console.progress("replaying", self.selected.len());
        let limit = BATCH_MESSAGES.min(self.options.rate as usize * BATCH_SECONDS).max(1);
        let mut failures = 0;
        while self.selected.len() > 0 && !self.context.stop.is_set() {
            let before = self.selected.len();
            let batch = ReplayBatch {
                store,
                limit,
                only_with_operation: false,
                selected: &mut self.selected,
                sent: &mut self.sent,
            };
            let result = replay_batch(self.context, batch, &mut throttle, &progress);
            let progressed = self.selected.len() < before;
            match result {
                Ok(()) if progressed => failures = 0,
                Ok(()) => {
                    if !self.context.stop.is_set() {
                        self.notes.push(
                            "the other messages are no longer in the queue, or another run of dlq-drain reads them"
                                .to_owned(),
                        );
                    }
                    return;
                }
                Err(DlqError::Queue(QueueError::Lost(_))) if progressed || failures < MAX_FAILURES => {
                    failures = if progressed { 1 } else { failures + 1 };
                    self.context.stop.sleep(Duration::from_secs(failures));
                }
                Err(error) => {
                    self.notes.push(format!("the other messages stay in the dead letter queue: {error}"));
                    return;
                }
            }
        }
    }
}
