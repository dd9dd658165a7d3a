//! Reads the results of replays from SQL.

use super::Run;
use super::operator::Activity;
use super::report::Outcomes;
use crate::domain::{OperationId, Status};
use crate::message::{Message, decode};
use crate::queue::QueueError;
use crate::store::{Operation, Store};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How many operations to read in one query.
const QUERY_BATCH: usize = 500;
/// The longest wait, so that the deadline cannot overflow.
const MAX_WAIT: Duration = Duration::from_secs(365 * 86_400);
/// The time between two queries.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The time between two queries during the sending.
const PROGRESS_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How many operations to read at most in one of these queries.
const PROGRESS_POLL_OPERATIONS: usize = 2_000;
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

/// What was sent, and the results that are known so far.
#[derive(Default)]
pub(super) struct Results {
    sent: usize,
    /// Not finished when last read, the first one to read next.
    pending: VecDeque<SentOperation>,
    outcomes: Outcomes,
    last_poll: Option<Instant>,
}

impl Results {
    /// How many messages were sent.
    pub(super) const fn sent(&self) -> usize {
        self.sent
    }

    pub(super) const fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// The operation that was sent first, if it is not finished.
    pub(super) fn first_pending(&self) -> Option<OperationId> {
        self.pending.front().map(|sent| sent.id)
    }

    /// Records a message that was sent. The result of a message without an operation cannot be known.
    pub(super) fn add(&mut self, message: &Message) {
        self.sent += 1;
        match SentOperation::of(message) {
            Some(operation) => self.pending.push_back(operation),
            None => self.outcomes.not_known += 1,
        }
    }

    /// Reads the results of some pending operations, if the last time is long enough ago. For progress during the
    /// sending.
    pub(super) fn poll_from_time_to_time(&mut self, run: &Run<'_>, store: Option<&dyn Store>) {
        let due = self.last_poll.get_or_insert_with(Instant::now).elapsed() >= PROGRESS_POLL_INTERVAL;
        if let Some(store) = store.filter(|_| due) {
            self.poll(store, PROGRESS_POLL_OPERATIONS);
            run.operator.results(&self.outcomes);
        }
    }

    /// Reads the results of at most `limit` pending operations. Returns how many are finished now.
    fn poll(&mut self, store: &dyn Store, limit: usize) -> usize {
        self.last_poll = Some(Instant::now());
        let (mut left, mut finished_now) = (limit.min(self.pending.len()), 0);
        while left > 0 {
            let batch: Vec<SentOperation> = self.pending.drain(..left.min(QUERY_BATCH)).collect();
            left -= batch.len();
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
                        self.outcomes.count(operation.status);
                        finished_now += 1;
                    }
                    _ => self.pending.push_back(sent),
                }
            }
        }
        finished_now
    }

    /// Finds the operations that are in the dead letter queue again. SQL does not know all of them: a message that
    /// cannot be decoded has a row only if [`Message::failed_operation`] finds its operation and SQL takes the row.
    fn find_failed_again(&mut self, run: &Run<'_>) -> Result<(), QueueError> {
        let mut found: BTreeMap<OperationId, (u32, String)> = BTreeMap::new();
        run.queue.browse(&mut |browser| {
            while let Some(dead_letter) = browser.next()? {
                if run.stop.is_set() {
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
        let outcomes = &mut self.outcomes;
        self.pending.retain(|sent| match found.get(&sent.id) {
            Some((replays, reason)) if *replays >= sent.replays => {
                *outcomes.failed_again.entry(reason.clone()).or_default() += 1;
                false
            }
            _ => true,
        });
        Ok(())
    }

    /// Waits until all operations are finished, at most for `wait`. After it, no operation is pending: a result that is
    /// not there counts as not known.
    pub(super) fn wait(&mut self, run: &Run<'_>, store: Option<&dyn Store>, wait: Duration) {
        if let Some(store) = store {
            self.wait_for_all(run, store, wait);
        }
        self.outcomes.not_known += self.pending.len();
        self.pending.clear();
        run.operator.results(&self.outcomes);
    }

    fn wait_for_all(&mut self, run: &Run<'_>, store: &dyn Store, wait: Duration) {
        let deadline = Instant::now() + wait.min(MAX_WAIT);
        let progress = run.operator.progress(Activity::Results, self.pending.len());
        let (mut next_browse, mut browse_interval) = (Instant::now() + FIRST_BROWSE, FIRST_BROWSE);
        loop {
            progress.advance(self.poll(store, usize::MAX));
            run.operator.results(&self.outcomes);
            let expired = Instant::now() >= deadline;
            if !self.pending.is_empty() && (expired || Instant::now() >= next_browse) {
                browse_interval *= 2;
                next_browse = Instant::now() + browse_interval;
                // If the queue cannot be browsed, the outcomes are only less complete.
                let _ = self.find_failed_again(run);
            }
            if self.pending.is_empty() || expired || run.stop.sleep(POLL_INTERVAL) {
                return;
            }
        }
    }
}
