//! Sends a batch. While the service is unavailable or busy, the sender retries the batch with the same key.

use super::batches::Batch;
use super::response::Answer;
use crate::backoff::Backoff;
use crate::stop::Stop;
use crate::transfer::client::{Client, RequestError};
use crate::transfer::progress::Progress;
use humantime_serde::re::humantime::format_duration;
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The maximum of `--retry-for`.
const MAX_RETRY: Duration = Duration::from_secs(365 * 86_400);

/// Sends the batches of one import.
pub(super) struct BatchSender<'a> {
    pub(super) client: &'a Client,
    pub(super) stop: &'a Stop,
    pub(super) media_type: &'static str,
    pub(super) query: Vec<(&'a str, &'a str)>,
    /// The idempotency key. A dry run has none.
    pub(super) key: Option<&'a str>,
    pub(super) retry_for: Duration,
}

/// Why a batch has no final answer.
pub(super) enum SendError {
    /// The operator stopped the import.
    Interrupted,
    /// A retry does not help, or the time for retries is over. `not_accepted` is from the last answer.
    Failed { reason: String, not_accepted: u64 },
}

impl BatchSender<'_> {
    fn try_once(&self, batch: &Batch) -> Result<Answer, RequestError> {
        Answer::read(self.client.import(&self.query, self.media_type, self.key, &batch.body)?, batch)
    }

    /// Sends a batch until each record is accepted, valid or invalid.
    pub(super) fn send(&self, batch: &Batch, progress: &Progress) -> Result<Answer, SendError> {
        if self.stop.is_set() {
            return Err(SendError::Interrupted);
        }
        let started = Instant::now();
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        loop {
            let (mut not_accepted, mut retry_after) = (0, None);
            let reason = match self.try_once(batch) {
                Ok(answer) if answer.is_final() => return Ok(answer),
                Ok(answer) => {
                    not_accepted = answer.not_accepted;
                    let reason = answer.reason.unwrap_or_else(|| "no reason given".to_owned());
                    match not_accepted {
                        0 => format!("the service did not read all records: {reason}"),
                        1 => format!("1 record was not accepted: {reason}"),
                        count => format!("{count} records were not accepted: {reason}"),
                    }
                }
                Err(RequestError::Permanent(reason)) => return Err(SendError::Failed { reason, not_accepted }),
                Err(RequestError::Temporary { reason, retry_after: wait }) => {
                    retry_after = wait;
                    reason
                }
            };
            let wait = backoff.next_wait().max(retry_after.map(with_jitter).unwrap_or_default());
            let remaining = self.retry_for.min(MAX_RETRY).saturating_sub(started.elapsed());
            if remaining.is_zero() || retry_after.is_some_and(|wait| wait > remaining) {
                let reason = format!("{reason}; gave up after {} (--retry-for)", format_duration(self.retry_for));
                return Err(SendError::Failed { reason, not_accepted });
            }
            progress.note_at_intervals(&format!("{reason}; retrying"));
            if self.stop.sleep(wait.min(remaining)) {
                return Err(SendError::Interrupted);
            }
        }
    }
}

/// Adds a random time, so that clients with the same `Retry-After` do not retry at the same time.
fn with_jitter(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + fastrand::f64() / 4.0)
}
