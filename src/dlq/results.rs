//! Reads the results of replays from SQL.

use super::Context;
use crate::domain::{OperationId, Status};
use crate::message::{Message, decode};
use crate::queue::QueueError;
use crate::store::{Operation, Store};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;
use std::time::{Duration, Instant};

/// How many operations to read in one query.
const QUERY_BATCH: usize = 500;
/// The longest wait, so that the deadline cannot overflow.
const MAX_WAIT: Duration = Duration::from_secs(365 * 86_400);
/// The time between two queries.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The time until the dead letter queue is browsed first. It doubles for each further browse.
const FIRST_BROWSE: Duration = Duration::from_secs(1);

/// An operation that was sent, and the replay count of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SentOperation {
    pub(super) id: OperationId,
    pub(super) replays: u32,
}

impl SentOperation {
    /// `None` for a message that names no operation. The body comes first, because the consumer reads only the body.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let in_body = decode(&message.body).ok().map(|command| command.operation_id);
        Some(Self { id: in_body.or_else(|| message.id.parse().ok())?, replays: message.headers.replays() })
    }
}

/// How many operations had each result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcomes {
    pub(super) applied: usize,
    pub(super) superseded: usize,
    /// By reason.
    pub(super) failed_again: BTreeMap<String, usize>,
    /// Not finished in time, or without an operation id, or SQL was unavailable.
    pub(super) not_known: usize,
}

impl Outcomes {
    /// Operations that failed or have an unknown result.
    pub(super) fn unsuccessful(&self) -> usize {
        self.failed_again.values().sum::<usize>() + self.not_known
    }

    pub(super) fn total(&self) -> usize {
        self.applied + self.superseded + self.unsuccessful()
    }

    fn count(&mut self, status: Status) {
        match status {
            Status::Applied => self.applied += 1,
            Status::Superseded => self.superseded += 1,
            Status::Failed(reason) => *self.failed_again.entry(reason.as_str().to_owned()).or_default() += 1,
        }
    }
}

impl Add for Outcomes {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self.applied += other.applied;
        self.superseded += other.superseded;
        self.not_known += other.not_known;
        for (reason, count) in other.failed_again {
            *self.failed_again.entry(reason).or_default() += count;
        }
        self
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |count: usize, result: &str| {
            if count > 0 {
                parts.push(format!("{count} {result}"));
            }
        };
        part(self.applied, "applied");
        part(self.superseded, "superseded");
        for (reason, count) in &self.failed_again {
            part(*count, &format!("failed again ({reason})"));
        }
        part(self.not_known, "with unknown result");
        f.write_str(&parts.join(", "))
    }
}

/// Finds the operations that are in the dead letter queue again. SQL does not know all of them: a message that cannot
/// be decoded fails without a row.
fn find_failed_again(
    context: &Context,
    pending: &mut Vec<SentOperation>,
    outcomes: &mut Outcomes,
) -> Result<(), QueueError> {
    let mut found: BTreeMap<OperationId, (u32, String)> = BTreeMap::new();
    context.queue.browse(&mut |browser| {
        while let Some(dead_letter) = browser.next()? {
            if context.stop.is_set() {
                break;
            }
            let message = &dead_letter.message;
            if let (Some(operation), Some(failure)) = (SentOperation::of(message), message.headers.failure()) {
                let latest = found.entry(operation.id).or_insert((operation.replays, String::new()));
                if operation.replays >= latest.0 {
                    *latest = (operation.replays, failure.reason);
                }
            }
        }
        Ok(())
    })?;
    pending.retain(|sent| match found.get(&sent.id) {
        Some((replays, reason)) if *replays >= sent.replays => {
            *outcomes.failed_again.entry(reason.clone()).or_default() += 1;
            false
        }
        _ => true,
    });
    Ok(())
}

/// Waits until all operations are finished, at most for `wait`.
pub(super) fn wait_for_outcomes(
    context: &Context,
    store: &dyn Store,
    sent: Vec<SentOperation>,
    wait: Duration,
) -> Outcomes {
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    let progress = context.console.progress("waiting for results", sent.len());
    let (mut outcomes, mut pending) = (Outcomes::default(), sent);
    let (mut next_browse, mut browse_interval) = (Instant::now() + FIRST_BROWSE, FIRST_BROWSE);
    loop {
        let mut still_pending = Vec::new();
        for batch in pending.chunks(QUERY_BATCH) {
            let ids: Vec<OperationId> = batch.iter().map(|sent| sent.id).collect();
            // If the database is unavailable, the next query tries again.
            let operations = store.operations(&ids).unwrap_or_default();
            let finished: BTreeMap<OperationId, Operation> =
                operations.into_iter().map(|operation| (operation.id, operation)).collect();
            for sent in batch {
                match finished.get(&sent.id) {
                    // A failure from before this replay does not count.
                    Some(operation)
                        if !matches!(operation.status, Status::Failed(_)) || operation.replays >= sent.replays =>
                    {
                        outcomes.count(operation.status);
                        progress.advance(1);
                    }
                    _ => still_pending.push(*sent),
                }
            }
        }
        pending = still_pending;
        let expired = Instant::now() >= deadline;
        if !pending.is_empty() && (expired || Instant::now() >= next_browse) {
            browse_interval *= 2;
            next_browse = Instant::now() + browse_interval;
            // If the queue cannot be browsed, the outcomes are only less complete.
            let _ = find_failed_again(context, &mut pending, &mut outcomes);
        }
        if pending.is_empty() || expired || context.stop.sleep(POLL_INTERVAL) {
            outcomes.not_known += pending.len();
            return outcomes;
        }
    }
}
