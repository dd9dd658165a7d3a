//! Settles a batch: publishes each message that is retried, deferred or dead-lettered, and waits for the confirms.

use super::disposition::Disposition;
use super::observe::{OutcomeCounts, operation_id};
use super::{Shared, Unfinished};
use crate::backoff::Backoff;
use crate::domain::Outcome;
use crate::message::Message;
use crate::queue::{Delivery, QueueKind};
use std::time::Duration;

/// The timeout of one attempt to publish.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How many messages are published at once. All workers together must not fill the mailbox of the publisher.
const MAX_PUBLISHED: usize = 1_024;

impl Shared {
    /// Publishes the messages that are not finished. Afterwards the worker may acknowledge the whole batch.
    pub(super) fn settle(&self, batch: &[Delivery], dispositions: &[Disposition]) -> Result<(), Unfinished> {
        let now = chrono::Utc::now();
        let mut pending: Vec<(QueueKind, Message)> = Vec::new();
        for (delivery, disposition) in batch.iter().zip(dispositions) {
            let mut message = delivery.message.clone();
            let queue = match disposition {
                Disposition::Decided(Outcome::Applied | Outcome::Superseded | Outcome::Duplicate, _) => continue,
                Disposition::Deferred | Disposition::Split => QueueKind::Retry,
                Disposition::RedeliveredTooOften => {
                    message.headers.record_requeue();
                    tracing::warn!(
                        operation_id = operation_id(&message),
                        returned = delivery.redeliveries,
                        "message reached the redelivery limit"
                    );
                    QueueKind::Retry
                }
                Disposition::Decided(Outcome::Wait(reason), detail) => {
                    message.headers.record_failure(*reason, detail, now);
                    QueueKind::Retry
                }
                Disposition::Decided(Outcome::Failed(reason), _) if !reason.is_dead_lettered() => {
                    let reason = reason.as_str();
                    tracing::warn!(operation_id = operation_id(&message), reason, "message dropped");
                    continue;
                }
                Disposition::Decided(Outcome::Failed(reason), detail) => {
                    let reason_text = reason.as_str();
                    tracing::warn!(
                        operation_id = operation_id(&message),
                        reason = reason_text,
                        detail,
                        "message dead-lettered"
                    );
                    message.headers.record_failure(*reason, detail, now);
                    QueueKind::DeadLetter
                }
            };
            pending.push((queue, message));
        }
        self.publish(pending)
    }

    /// Publishes messages to the retry queue unchanged.
    pub(super) fn defer(&self, deliveries: Vec<Delivery>) -> Result<(), Unfinished> {
        let count = deliveries.len();
        self.publish(deliveries.into_iter().map(|delivery| (QueueKind::Retry, delivery.message)).collect())?;
        self.metrics.record_settled(&OutcomeCounts::deferred(count));
        tracing::info!(messages = count, "messages deferred until the database is available");
        Ok(())
    }

    /// Publishes until the broker confirmed every message or the role stops. There is no other limit: no other worker
    /// could publish either. A duplicate has no second effect, because an operation takes effect once.
    fn publish(&self, mut pending: Vec<(QueueKind, Message)>) -> Result<(), Unfinished> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while !pending.is_empty() {
            let mut last_error = None;
            let mut unfinished = Vec::new();
            for part in pending.chunks(MAX_PUBLISHED) {
                // Without a broker each part waits for its timeout. A stop must not wait for them all.
                if last_error.is_some() {
                    unfinished.extend_from_slice(part);
                    continue;
                }
                let batch = part.iter().map(|(queue, message)| (*queue, message.clone(), self.retry.delay));
                let results = self.publisher.publish_all(batch, PUBLISH_TIMEOUT);
                for ((queue, message), result) in part.iter().zip(results) {
                    let Err(error) = result else { continue };
                    last_error = Some(error);
                    unfinished.push((*queue, message.clone()));
                }
            }
            pending = unfinished;
            if let Some(error) = last_error {
                tracing::debug!(%error, messages = pending.len(), "batch cannot be settled yet");
                if self.stop.sleep(backoff.next_wait()) {
                    return Err(Unfinished::Stopped);
                }
            }
        }
        Ok(())
    }
}
