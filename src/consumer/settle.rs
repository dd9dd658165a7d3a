//! Outcomes to lanes: what must be tried again or dead-lettered is published and confirmed before it is acknowledged.

use super::observe::{Tally, operation_id};
use super::verdict::Verdict;
use super::{Shared, Unfinished};
use crate::backoff::Backoff;
use crate::domain::Outcome;
use crate::message::Message;
use crate::queue::{Delivery, Lane};
use std::time::Duration;

/// How long one try to publish may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

impl Shared {
    /// Publishes what does not end here; afterwards the whole batch may be acknowledged.
    pub(super) fn settle(&self, batch: &[Delivery], verdicts: &[Verdict]) -> Result<(), Unfinished> {
        let now = chrono::Utc::now();
        let mut moving: Vec<(Lane, Message)> = Vec::new();
        for (delivery, verdict) in batch.iter().zip(verdicts) {
            let mut message = delivery.message.clone();
            let lane = match verdict {
                Verdict::Decided(Outcome::Applied | Outcome::Superseded | Outcome::Duplicate, _) => continue,
                Verdict::Postponed => Lane::Retry,
                Verdict::Suspected => {
                    message.headers.record_suspicion();
                    tracing::warn!(
                        operation_id = operation_id(&message),
                        returned = delivery.returned,
                        "comes back again and again"
                    );
                    Lane::Retry
                }
                Verdict::Decided(Outcome::Wait(reason), detail) => {
                    message.headers.record_failure(*reason, detail, now);
                    Lane::Retry
                }
                Verdict::Decided(Outcome::Failed(reason), detail) => {
                    let reason_text = reason.as_str();
                    tracing::warn!(
                        operation_id = operation_id(&message),
                        reason = reason_text,
                        detail,
                        "dead-lettered"
                    );
                    message.headers.record_failure(*reason, detail, now);
                    Lane::DeadLetters
                }
            };
            moving.push((lane, message));
        }
        self.publish(moving)
    }

    /// Puts messages back behind the others, as they are.
    pub(super) fn postpone(&self, held: Vec<Delivery>) -> Result<(), Unfinished> {
        let count = held.len();
        self.publish(held.into_iter().map(|delivery| (Lane::Retry, delivery.message)).collect())?;
        self.metrics.settled(&Tally::postponed(count));
        tracing::info!(messages = count, "given back to the queue until the database can be used");
        Ok(())
    }

    /// Publishes until every message is confirmed or the role ends. One that is published twice does no harm: its
    /// operation has ended. There is no point in giving up: nobody else could publish either.
    fn publish(&self, mut moving: Vec<(Lane, Message)>) -> Result<(), Unfinished> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while !moving.is_empty() {
            let batch = moving.iter().map(|(lane, message)| (*lane, message.clone(), self.retry.delay));
            let results = self.publisher.publish_all(batch, PUBLISH_TIMEOUT);
            let mut failure = None;
            moving = moving
                .into_iter()
                .zip(results)
                .filter_map(|(message, result)| result.err().map(|error| (failure = Some(error), message).1))
                .collect();
            if let Some(error) = failure {
                tracing::debug!(%error, messages = moving.len(), "cannot settle yet");
                if self.stop.sleep(backoff.next_wait()) {
                    return Err(Unfinished::Stopped);
                }
            }
        }
        Ok(())
    }
}
