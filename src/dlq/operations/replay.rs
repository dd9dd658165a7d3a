//! `replay`: publishes dead letters to the work queue again.

use crate::dlq::browse::{SelectedMessages, select_and_confirm};
use crate::dlq::operator::{Activity, Answer};
use crate::dlq::report::{EndedEarly, Report};
use crate::dlq::resend::{ReplayBatch, Throttle, replay_batch, wait_while_paused};
use crate::dlq::results::Results;
use crate::dlq::{DlqError, Run, Selection, SendOptions};
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

/// Replays the selected dead letters.
pub(crate) fn run(
    run: &Run<'_>,
    selection: &Selection,
    options: &SendOptions,
    with_canary: bool,
) -> Result<Report, DlqError> {
    let confirmed = select_and_confirm(run, selection, "replay", "")?;
    let count = confirmed.count;
    let mut report = Report {
        operation: "replay",
        past_tense: "replayed",
        dry_run: confirmed.answer == Answer::DryRun,
        declined: confirmed.answer != Answer::Yes,
        selected: count,
        remaining: count,
        ..Report::default()
    };
    if let Some(selected) = confirmed.into_messages() {
        let mut replay =
            Replay { run, options, selected, results: Results::default(), notes: Vec::new(), ended_early: None };
        let store = open_reachable_store(run);
        if let (true, Err(error)) = (with_canary, &store) {
            return Err(DlqError::NoStore(format!(
                "SQL is needed for the result of the canary, but it is unavailable ({error}); use --no-canary to \
                 replay without a canary"
            )));
        }
        let store = store.ok();
        if !with_canary || replay.canary_succeeds(store.as_deref())? {
            replay.send_all(store.as_deref());
        }
        report.done = replay.results.sent();
        report.interrupted = run.stop.is_set();
        let (still_there, notes) = replay.selected.verify_removal(run);
        replay.notes.extend(notes);
        replay.results.wait(run, store.as_deref(), options.wait);
        let outcomes = replay.results.outcomes().clone();
        report.remaining = count - report.done + still_there + outcomes.unsuccessful();
        report.outcomes = (outcomes.total() > 0).then_some(outcomes);
        report.notes = replay.notes;
        report.ended_early = replay.ended_early;
    }
    Ok(report)
}

/// Opens the database and checks that it answers.
pub(in crate::dlq) fn open_reachable_store(run: &Run<'_>) -> Result<Box<dyn Store>, StoreError> {
    let store = (run.open_store)()?;
    store.check()?;
    Ok(store)
}

struct Replay<'a> {
    run: &'a Run<'a>,
    options: &'a SendOptions,
    selected: SelectedMessages,
    results: Results,
    notes: Vec<String>,
    ended_early: Option<EndedEarly>,
}

impl Replay<'_> {
    /// Replays one message and waits for its result. Returns true if the others may follow: the canary was applied or
    /// superseded, or no message names an operation.
    fn canary_succeeds(&mut self, store: Option<&dyn Store>) -> Result<bool, DlqError> {
        if !wait_while_paused(self.run, || {}) {
            return Ok(false);
        }
        let progress = self.run.operator.progress(Activity::Canary, 1);
        let batch = ReplayBatch {
            store,
            limit: 1,
            only_with_operation: true,
            selected: &mut self.selected,
            results: &mut self.results,
        };
        let result = replay_batch(self.run, batch, &mut Throttle::new(self.options.rate), &*progress);
        drop(progress);
        match result {
            Err(error) if self.results.sent() == 0 => {
                self.notes.push(format!("the canary could not be sent: {error}"));
                self.ended_early = Some(EndedEarly::CanaryNotSent);
                return Ok(false);
            }
            // The canary was sent. An error may have left it in the queue, but its result still matters.
            Err(_) | Ok(_) => {}
        }
        if self.results.sent() == 0 && self.run.stop.is_set() {
            return Ok(false);
        }
        let Some(canary) = self.results.first_pending() else {
            self.run.operator.note("No selected message names an operation: replaying without a canary.")?;
            return Ok(true);
        };
        self.results.wait(self.run, store, self.options.wait);
        if self.results.outcomes().unsuccessful() == 0 {
            return Ok(true);
        }
        self.ended_early = Some(EndedEarly::CanaryFailed);
        self.notes.push(format!("the canary, operation {canary}, did not succeed; no other message was replayed"));
        if self.selected.len() > 0 {
            self.notes.push("select other messages, for example with --reason, or use --no-canary".to_owned());
        }
        Ok(false)
    }

    fn send_all(&mut self, store: Option<&dyn Store>) {
        let mut throttle = Throttle::new(self.options.rate);
        let progress = self.run.operator.progress(Activity::Replay, self.selected.len());
        let limit = BATCH_MESSAGES.min(self.options.rate as usize * BATCH_SECONDS).max(1);
        let mut failures = 0;
        let run = self.run;
        while self.selected.len() > 0 && wait_while_paused(run, || self.results.poll_from_time_to_time(run, store)) {
            let before = self.selected.len();
            let batch = ReplayBatch {
                store,
                limit,
                only_with_operation: false,
                selected: &mut self.selected,
                results: &mut self.results,
            };
            let result = replay_batch(self.run, batch, &mut throttle, &*progress);
            let progressed = self.selected.len() < before;
            match result {
                Ok(paused) if progressed || paused => failures = 0,
                Ok(_) => {
                    if !self.run.stop.is_set() {
                        self.notes.push(
                            "the other messages are no longer in the queue, or another run of dlq-drain reads them"
                                .to_owned(),
                        );
                        self.ended_early = Some(EndedEarly::MessagesMissing);
                    }
                    return;
                }
                Err(DlqError::Queue(QueueError::Lost(_) | QueueError::Busy(_)))
                    if progressed || failures < MAX_FAILURES =>
                {
                    failures = if progressed { 1 } else { failures + 1 };
                    self.run.stop.sleep(Duration::from_secs(failures));
                }
                Err(error) => {
                    self.notes.push(format!("the other messages stay in the dead letter queue: {error}"));
                    self.ended_early = Some(EndedEarly::QueueFailed);
                    return;
                }
            }
        }
    }
}
