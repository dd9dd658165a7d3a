//! Letters back to work, at a pace, each removed once its replay is confirmed.

use super::choosing::{Chosen, Order, order};
use super::following::Sent;
use super::letter::{Facts, Fingerprint, fingerprint};
use super::screen::Progress;
use super::{Desk, DlqError};
use crate::message::Message;
use crate::queue::{Lane, PublishError, QueueError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long one step may wait for its confirms.
const CONFIRM: Duration = Duration::from_secs(15);
/// Steps in a second, if the rate allows.
const STEPS: u32 = 10;

/// Sends no more than so many in a second.
pub(super) struct Pace {
    rate: u32,
    began: Instant,
    sent: u32,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, began: Instant::now(), sent: 0 }
    }

    /// How many to send in one step.
    pub(super) fn step(&self) -> usize {
        (self.rate / STEPS).clamp(1, 500) as usize
    }

    /// Waits until so many more may be sent. False when asked to stop.
    pub(super) fn wait(&mut self, desk: &Desk, count: usize) -> bool {
        let due = Duration::from_secs_f64(f64::from(self.sent) / f64::from(self.rate));
        let asked = desk.stop.sleep(due.saturating_sub(self.began.elapsed()));
        self.sent = self.sent.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        !asked
    }
}

/// Publishes to the work lane and waits for the confirms.
pub(super) fn publish(desk: &Desk, messages: impl IntoIterator<Item = Message>) -> Vec<Result<(), PublishError>> {
    let batch = messages.into_iter().map(|message| (Lane::Work, message, Duration::ZERO));
    desk.publisher.publish_all(batch, CONFIRM)
}

/// What one look is to send.
pub(super) struct Portion<'a> {
    /// At most so many: those that failed first.
    pub(super) most: usize,
    /// Only those whose end can be seen.
    pub(super) to_follow: bool,
    pub(super) chosen: &'a mut Chosen,
    pub(super) sent: &'a mut Vec<Option<Sent>>,
}

/// One look: finds chosen letters, sends those that failed first in that order, and removes what was confirmed.
pub(super) fn send_some(
    desk: &Desk,
    portion: Portion<'_>,
    pace: &mut Pace,
    progress: &Progress,
) -> Result<(), DlqError> {
    let Portion { most, to_follow, chosen, sent } = portion;
    let result: Result<(), QueueError> = desk.letters.look(&mut |letters| {
        let (mut ticket, mut number) = (chosen.ticket(), 0);
        let mut first: BTreeMap<Order, (u64, Fingerprint, Message)> = BTreeMap::new();
        while let Some(letter) = letters.next()? {
            number += 1;
            let which = fingerprint(&letter.message);
            if desk.stop.is_set() {
                break;
            }
            if (to_follow && Sent::of(&letter.message).is_none()) || !ticket.take(&which) {
                continue;
            }
            let order = order(&Facts::of(&letter.message), number);
            if first.len() == most {
                if first.last_key_value().is_some_and(|(last, _)| *last < order) {
                    continue;
                }
                first.pop_last();
            }
            letters.hold();
            first.insert(order, (letter.place, which, letter.message));
        }
        let mut waiting: Vec<_> = first.into_values().collect();
        while !waiting.is_empty() {
            let rest = waiting.split_off(pace.step().min(waiting.len()));
            let step = std::mem::replace(&mut waiting, rest);
            if !pace.wait(desk, step.len()) {
                break;
            }
            let replays: Vec<Message> = step
                .iter()
                .map(|(_, _, message)| {
                    let mut message = message.clone();
                    message.headers.record_replay();
                    message
                })
                .collect();
            let mut failure = None;
            let mut removing = Vec::new();
            for ((result, (place, which, _)), replay) in
                publish(desk, replays.clone()).into_iter().zip(&step).zip(&replays)
            {
                match result {
                    Ok(()) => {
                        removing.push(*place);
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
