//! Outcomes to lanes: what must be tried again or dead-lettered is published and confirmed before it is acknowledged.

use super::disposition::Disposition;
use super::observe::{Tally, operation_id};
use super::{Shared, Unfinished};
use crate::backoff::Backoff;
use crate::domain::Outcome;
use crate::message::Message;
use crate::queue::{Delivery, QueueKind};
use std::time::Duration;

/// How long one try to publish may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

impl Shared {
    /// Publishes what does not end here; afterwards the whole batch may be acknowledged.
    pub(super) fn settle(&self, batch: &[Delivery], dispositions: &[Disposition]) -> Result<(), Unfinished> {
        let now = chrono::Utc::now();
        let mut moving: Vec<(QueueKind, Message)> = Vec::new();
        for (delivery, disposition) in batch.iter().zip(dispositions) {
            let mut message = delivery.message.clone();
            let lane = match disposition {
                Disposition::Decided(Outcome::Applied | Outcome::Superseded | Outcome::Duplicate, _) => continue,
                Disposition::Deferred => QueueKind::Retry,
                Disposition::RedeliveredTooOften => {
                    message.headers.record_suspicion();
                    tracing::warn!(
                        operation_id = operation_id(&message),
                        redeliveries = delivery.redeliveries,
                        "comes back again and again"
                    );
                    QueueKind::Retry
                }
                Disposition::Decided(Outcome::Wait(reason), detail) => {
                    message.headers.record_failure(*reason, detail, now);
                    QueueKind::Retry
                }
                Disposition::Decided(Outcome::Failed(reason), detail) => {
                    let reason_text = reason.as_str();
                    tracing::warn!(
                        operation_id = operation_id(&message),
                        reason = reason_text,
                        detail,
                        "dead-lettered"
                    );
                    message.headers.record_failure(*reason, detail, now);
                    QueueKind::DeadLetter
                }
            };
            moving.push((lane, message));
        }
        self.publish(moving)
    }

    /// Puts messages back behind the others, as they are.
    pub(super) fn defer(&self, held: Vec<Delivery>) -> Result<(), Unfinished> {
        let count = held.len();
        self.publish(held.into_iter().map(|delivery| (QueueKind::Retry, delivery.message)).collect())?;
        self.metrics.settled(&Tally::deferred(count));
        tracing::info!(messages = count, "given back to the queue until the database can be used");
        Ok(())
    }

    /// Publishes until every message is confirmed or the role ends. One that is published twice does no harm: its
    /// operation has ended. There is no point in giving up: nobody else could publish either.
    fn publish(&self, mut moving: Vec<(QueueKind, Message)>) -> Result<(), Unfinished> {
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
