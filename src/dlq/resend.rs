//! DeadLetterBrowser back to work, at a pace, each removed once its replay is confirmed.

use super::browse::{Chosen, Order, order};
use super::facts::{DeadLetterSummary, Fingerprint, fingerprint};
use super::outcomes::Sent;
use super::output::Progress;
use super::{Context, DlqError};
use crate::domain::{OperationId, Status};
use crate::message::Message;
use crate::queue::{PublishError, QueueError, QueueKind};
use crate::store::Store;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long one step may wait for its confirms.
const CONFIRM: Duration = Duration::from_secs(15);
/// The most bytes of bodies in hand, and in one step, unless a single letter has more.
const PORTION_BYTES: usize = 64 * 1024 * 1024;
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// Steps in a second, if the rate allows.
const STEPS: u32 = 10;

/// Sends no more than so many in a second.
pub(super) struct Pace {
    rate: u32,
    /// When the next may be sent.
    next: Instant,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// How many to send in one step.
    pub(super) fn step(&self) -> usize {
        (self.rate / STEPS).clamp(1, 500) as usize
    }

    /// Waits until so many more may be sent. False when asked to stop.
    pub(super) fn wait(&mut self, context: &Context, count: usize) -> bool {
        let asked = context.stop.sleep(self.next.saturating_duration_since(Instant::now()));
        // Time that passed without sending is not made up for.
        let takes = u32::try_from(count).unwrap_or(u32::MAX);
        self.next = self.next.max(Instant::now()) + Duration::from_secs(1) * takes / self.rate;
        !asked
    }
}

/// Publishes to the work lane and waits for the confirms. An operation that is known to have failed is told from its
/// earlier tries by a higher count, or the consumer would take it for one of them.
pub(super) fn publish(
    context: &Context,
    store: Option<&dyn Store>,
    messages: &mut [Message],
) -> Vec<Result<(), PublishError>> {
    let ids: Vec<Option<OperationId>> = messages.iter().map(|message| Sent::of(message).map(|sent| sent.id)).collect();
    let asked: Vec<OperationId> = ids.iter().flatten().copied().collect();
    let known = store.and_then(|store| store.operations(&asked).ok()).unwrap_or_default();
    let failed = known.iter().filter(|operation| matches!(operation.status, Status::Failed(_)));
    let replays: HashMap<OperationId, u32> = failed.map(|operation| (operation.id, operation.replays)).collect();
    for (message, id) in messages.iter_mut().zip(&ids) {
        if let Some(recorded) = id.and_then(|id| replays.get(&id)) {
            message.headers.raise_replays(recorded.saturating_add(1));
        }
    }
    let batch = messages.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
    context.publisher.publish_all(batch, CONFIRM)
}

/// What one look is to send.
pub(super) struct Portion<'a> {
    pub(super) store: Option<&'a dyn Store>,
    /// At most so many: those that failed first.
    pub(super) most: usize,
    /// Only those whose end can be seen.
    pub(super) to_follow: bool,
    pub(super) chosen: &'a mut Chosen,
    pub(super) sent: &'a mut Vec<Option<Sent>>,
}

/// How many to send in one step: no more than `most`, nor more bytes than can be confirmed in time.
fn step(waiting: &[(u64, Fingerprint, Message)], most: usize) -> usize {
    let mut bytes = 0;
    let fits = waiting.iter().take(most).take_while(|(_, _, message)| {
        bytes += message.body.len();
        bytes <= STEP_BYTES
    });
    fits.count().max(1).min(waiting.len())
}

/// One look: finds chosen letters, sends those that failed first in that order, and removes what was confirmed.
pub(super) fn send_some(
    context: &Context,
    portion: Portion<'_>,
    pace: &mut Pace,
    progress: &Progress,
) -> Result<(), DlqError> {
    let Portion { store, most, to_follow, chosen, sent } = portion;
    let result: Result<(), QueueError> = context.letters.browse(&mut |letters| {
        let (mut ticket, mut number) = (chosen.ticket(), 0);
        let mut first: BTreeMap<Order, (u64, Fingerprint, Message)> = BTreeMap::new();
        let mut bytes = 0;
        while let Some(letter) = letters.next()? {
            number += 1;
            let which = fingerprint(&letter.message);
            if context.stop.is_set() {
                break;
            }
            if (to_follow && Sent::of(&letter.message).is_none()) || !ticket.take(&which) {
                continue;
            }
            let order = order(&DeadLetterSummary::of(&letter.message), number);
            let full = first.len() >= most || bytes >= PORTION_BYTES;
            if full && first.last_key_value().is_some_and(|(last, _)| *last < order) {
                continue;
            }
            letters.mark_for_removal();
            bytes += letter.message.body.len();
            first.insert(order, (letter.tag, which, letter.message));
            while first.len() > most || (first.len() > 1 && bytes > PORTION_BYTES) {
                let Some((_, (_, _, message))) = first.pop_last() else { break };
                bytes -= message.body.len();
            }
        }
        let mut waiting: Vec<_> = first.into_values().collect();
        while !waiting.is_empty() {
            let rest = waiting.split_off(step(&waiting, pace.step()));
            let step = std::mem::replace(&mut waiting, rest);
            if !pace.wait(context, step.len()) {
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
            let mut removing = Vec::new();
            let results = publish(context, store, &mut replays);
            for ((result, (tag, which, _)), replay) in results.into_iter().zip(&step).zip(&replays) {
                match result {
                    Ok(()) => {
                        removing.push(*tag);
                        chosen.done(which);
                        sent.push(Sent::of(replay));
                        progress.advance(1);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            letters.remove(&removing)?;
            if let Some(error) = failure {
                return Err(QueueError::Lost(error.to_string()));
            }
        }
        Ok(())
    });
    Ok(result?)
}
