//! Publishes dead letters to the work queue at a limited rate, and removes each one after its publisher confirm.

use super::browse::{FailureOrder, SelectedMessages, failure_order};
use super::operator::Progress;
use super::results::{Results, SentOperation};
use super::summary::{DeadLetterSummary, Fingerprint, fingerprint};
use super::{DlqError, Run};
use crate::domain::{OperationId, Status};
use crate::message::Message;
use crate::queue::{PublishError, QueueError, QueueKind};
use crate::store::Store;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long one step may wait for its publisher confirms.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum size of all bodies of one batch, in bytes. A single message may be larger.
const BATCH_BYTES: usize = 64 * 1024 * 1024;
/// The maximum size of all bodies of one step, in bytes. A single message may be larger.
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// The number of steps in a second, if the rate allows it.
const STEPS_PER_SECOND: u32 = 10;

/// How often a paused run asks whether it may go on.
const PAUSE_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Limits how many messages are sent in a second.
pub(super) struct Throttle {
    rate: u32,
    /// When the next message may be sent.
    next: Instant,
}

impl Throttle {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// How many messages to send in one step.
    pub(super) fn step_size(&self) -> usize {
        (self.rate / STEPS_PER_SECOND).clamp(1, 500) as usize
    }

    /// Waits until `count` more messages may be sent. Returns false if the operator stops the run.
    pub(super) fn wait(&mut self, run: &Run<'_>, count: usize) -> bool {
        let stopped = run.stop.sleep(self.next.saturating_duration_since(Instant::now()));
        // After a pause, the rate does not increase.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.next = self.next.max(Instant::now()) + Duration::from_secs(1) * count / self.rate;
        !stopped
    }
}

/// Publishes to the work queue and waits for the publisher confirms. If SQL already has a failure of an operation, the
/// message gets a higher replay count. Without it, the consumer would take the message for the earlier attempt.
pub(super) fn publish(
    run: &Run<'_>,
    store: Option<&dyn Store>,
    messages: &mut [Message],
) -> Vec<Result<(), PublishError>> {
    let ids: Vec<Option<OperationId>> =
        messages.iter().map(|message| SentOperation::of(message).map(|sent| sent.id)).collect();
    let known_ids: Vec<OperationId> = ids.iter().flatten().copied().collect();
    let operations = store.and_then(|store| store.operations(&known_ids).ok()).unwrap_or_default();
    let failed = operations.iter().filter(|operation| matches!(operation.status, Status::Failed(_)));
    let replays: HashMap<OperationId, u32> = failed.map(|operation| (operation.id, operation.replays)).collect();
    for (message, id) in messages.iter_mut().zip(&ids) {
        if let Some(recorded) = id.and_then(|id| replays.get(&id)) {
            message.headers.raise_replays(recorded.saturating_add(1));
        }
    }
    let batch = messages.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
    run.publisher.publish_all(batch, CONFIRM_TIMEOUT)
}

/// Waits while the operator pauses the run. Returns false if the operator stops it.
pub(super) fn wait_while_paused(run: &Run<'_>, mut meanwhile: impl FnMut()) -> bool {
    while run.operator.is_paused() && !run.stop.is_set() {
        meanwhile();
        run.stop.sleep(PAUSE_POLL_INTERVAL);
    }
    !run.stop.is_set()
}

/// What one browse replays.
pub(super) struct ReplayBatch<'a> {
    pub(super) store: Option<&'a dyn Store>,
    /// The maximum number of messages. The messages that failed first are replayed.
    pub(super) limit: usize,
    /// Replay only messages that name an operation, because only their results are visible.
    pub(super) only_with_operation: bool,
    pub(super) selected: &'a mut SelectedMessages,
    pub(super) results: &'a mut Results,
}

/// How many messages to send in the next step: at most `limit`, and not more bytes than can be confirmed in time.
fn next_step(pending: &[(u64, Fingerprint, Message)], limit: usize) -> usize {
    let mut bytes = 0;
    let fitting = pending.iter().take(limit).take_while(|(_, _, message)| {
        bytes += message.body.len();
        bytes <= STEP_BYTES
    });
    fitting.count().max(1).min(pending.len())
}

/// Finds selected dead letters in one browse, replays them in the order of their first failure, and removes each one
/// after its publisher confirm. Returns whether a pause ended the browse.
pub(super) fn replay_batch(
    run: &Run<'_>,
    batch: ReplayBatch<'_>,
    throttle: &mut Throttle,
    progress: &dyn Progress,
) -> Result<bool, DlqError> {
    let ReplayBatch { store, limit, only_with_operation, selected, results } = batch;
    let mut paused = false;
    let result: Result<(), QueueError> = run.queue.browse(&mut |browser| {
        let (mut matches, mut position) = (selected.remaining_matches(), 0);
        let mut earliest: BTreeMap<FailureOrder, (u64, Fingerprint, Message)> = BTreeMap::new();
        let mut bytes = 0;
        while let Some(dead_letter) = browser.next()? {
            position += 1;
            let fingerprint = fingerprint(&dead_letter.message);
            if run.stop.is_set() {
                break;
            }
            // Decodes the body, so only if it matters.
            let skip = || only_with_operation && SentOperation::of(&dead_letter.message).is_none();
            if skip() || !matches.take(&fingerprint) {
                continue;
            }
            let order = failure_order(&DeadLetterSummary::of(&dead_letter.message), position);
            let full = earliest.len() >= limit || bytes >= BATCH_BYTES;
            if full && earliest.last_key_value().is_some_and(|(last, _)| *last < order) {
                continue;
            }
            browser.mark_for_removal();
            bytes += dead_letter.message.body.len();
            earliest.insert(order, (dead_letter.tag, fingerprint, dead_letter.message));
            while earliest.len() > limit || (earliest.len() > 1 && bytes > BATCH_BYTES) {
                let Some((_, (_, _, message))) = earliest.pop_last() else { break };
                bytes -= message.body.len();
            }
        }
        let mut pending: Vec<_> = earliest.into_values().collect();
        while !pending.is_empty() {
            // The canary is one message, so it has no pause.
            paused = !only_with_operation && run.operator.is_paused();
            if paused {
                break;
            }
            let rest = pending.split_off(next_step(&pending, throttle.step_size()));
            let step = std::mem::replace(&mut pending, rest);
            if !throttle.wait(run, step.len()) {
                break;
            }
            let mut replays: Vec<Message> = step
                .iter()
                .map(|(_, _, message)| {
                    let mut message = message.clone();
                    message.headers.record_replay();
                    message
                })
                .collect();
            let mut failure = None;
            let mut confirmed = Vec::new();
            let published = publish(run, store, &mut replays);
            for ((result, (tag, fingerprint, _)), replay) in published.into_iter().zip(&step).zip(&replays) {
                match result {
                    Ok(()) => {
                        confirmed.push(*tag);
                        selected.mark_done(fingerprint);
                        results.add(replay);
                        progress.advance(1);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            browser.remove(&confirmed)?;
            if !only_with_operation {
                results.poll_from_time_to_time(run, store);
            }
            if let Some(error) = failure {
                return Err(QueueError::Lost(error.to_string()));
            }
        }
        Ok(())
    });
    result?;
    Ok(paused)
}
