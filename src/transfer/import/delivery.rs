//! One request until it is settled: sent again, with the same key, while the service is away or busy.

use super::batches::Batch;
use super::response::Answer;
use crate::backoff::Backoff;
use crate::stop::Stop;
use crate::transfer::client::{Client, Failure};
use crate::transfer::progress::Progress;
use humantime_serde::re::humantime::format_duration;
use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest time to go on trying.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How batches are sent.
pub(super) struct Delivery<'a> {
    pub(super) client: &'a Client,
    pub(super) stop: &'a Stop,
    pub(super) media_type: &'static str,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) dry_run: bool,
    pub(super) retry_for: Duration,
}

/// Why a batch is not settled.
pub(super) enum Unsettled {
    /// Ctrl-C.
    Interrupted,
    /// No use in trying on; what the service said of the batch at last, if anything.
    Failed { why: String, not_accepted: u64 },
}

impl Delivery<'_> {
    fn once(&self, batch: &Batch) -> Result<Answer, Failure> {
        // What the request says besides its body: its records are others in another format or other columns.
        let says = [&[("type", self.media_type)], &*self.query].concat();
        let key = (!self.dry_run).then(|| batch.key(&says));
        Answer::read(self.client.import(&self.query, self.media_type, key.as_deref(), &batch.body)?, batch)
    }

    /// Sends it until the service has judged, and unless it is invalid accepted, each record.
    pub(super) fn deliver(&self, batch: &Batch, progress: &Progress) -> Result<Answer, Unsettled> {
        let began = Instant::now();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let (mut not_accepted, mut wanted) = (0, None);
            let why = match self.once(batch) {
                Ok(answer) if answer.is_settled() => return Ok(answer),
                Ok(answer) => {
                    not_accepted = answer.not_accepted;
                    let why = answer.why.unwrap_or_else(|| "no reason given".to_owned());
                    match not_accepted {
                        0 => format!("the service did not read everything: {why}"),
                        1 => format!("1 record was not accepted: {why}"),
                        count => format!("{count} records were not accepted: {why}"),
                    }
                }
                Err(Failure::Refused(why)) => return Err(Unsettled::Failed { why, not_accepted }),
                Err(Failure::Passing { why, after }) => {
                    wanted = after;
                    why
                }
            };
            let wait = backoff.next_wait().max(wanted.map(a_little_more).unwrap_or_default());
            let left = self.retry_for.min(LONGEST).saturating_sub(began.elapsed());
            if left.is_zero() || wanted.is_some_and(|wanted| wanted > left) {
                let why = format!("{why}; gave up after {} (--retry-for)", format_duration(self.retry_for));
                return Err(Unsettled::Failed { why, not_accepted });
            }
            progress.note_now_and_then(&format!("{why}; trying again"));
            if self.stop.sleep(wait.min(left)) {
                return Err(Unsettled::Interrupted);
            }
        }
    }
}

/// Not all that were asked to wait shall come back at once.
fn a_little_more(wanted: Duration) -> Duration {
    wanted.mul_f64(1.0 + fastrand::f64() / 4.0)
}
