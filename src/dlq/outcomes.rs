//! How replays end, as SQL knows it.

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

/// Operations asked for at once.
const TOGETHER: usize = 500;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// How often SQL is asked.
const EVERY: Duration = Duration::from_millis(250);
/// When the dead letters are looked at first; then twice as long after, and so on.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// An operation that was sent, and how often it had been replayed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: OperationId,
    pub(super) replays: u32,
}

impl Sent {
    /// `None` for a message that names no operation. What counts for the consumer is the body.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let named = decode(&message.body).ok().map(|command| command.operation_id);
        Some(Self { id: named.or_else(|| message.id.parse().ok())?, replays: message.headers.replays() })
    }
}

/// How many ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcomes {
    pub(super) applied: usize,
    pub(super) superseded: usize,
    /// By reason.
    pub(super) failed_again: BTreeMap<String, usize>,
    /// Not ended in time, or without an operation to look for, or SQL could not be asked.
    pub(super) not_known: usize,
}

impl Outcomes {
    /// Those that did not end well, as far as is known.
    pub(super) fn left(&self) -> usize {
        self.failed_again.values().sum::<usize>() + self.not_known
    }

    pub(super) fn total(&self) -> usize {
        self.applied + self.superseded + self.left()
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
        let mut part = |count: usize, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        part(self.applied, "applied");
        part(self.superseded, "superseded");
        for (reason, count) in &self.failed_again {
            part(*count, &format!("failed again ({reason})"));
        }
        part(self.not_known, "not known to have ended");
        f.write_str(&parts.join(", "))
    }
}

/// Finds those that are dead letters again: what cannot be decoded fails without a row in SQL.
fn came_back(context: &Context, open: &mut Vec<Sent>, outcomes: &mut Outcomes) -> Result<(), QueueError> {
    let mut back: BTreeMap<OperationId, (u32, String)> = BTreeMap::new();
    context.letters.browse(&mut |letters| {
        while let Some(letter) = letters.next()? {
            if context.stop.is_set() {
                break;
            }
            if let (Some(sent), Some(failure)) = (Sent::of(&letter.message), letter.message.headers.failure()) {
                let known = back.entry(sent.id).or_insert((sent.replays, String::new()));
                if sent.replays >= known.0 {
                    *known = (sent.replays, failure.reason);
                }
            }
        }
        Ok(())
    })?;
    open.retain(|sent| match back.get(&sent.id) {
        Some((replays, reason)) if *replays >= sent.replays => {
            *outcomes.failed_again.entry(reason.clone()).or_default() += 1;
            false
        }
        _ => true,
    });
    Ok(())
}

/// Waits until all have ended, or for so long.
pub(super) fn follow(context: &Context, store: &dyn Store, sent: Vec<Sent>, wait: Duration) -> Outcomes {
    let deadline = Instant::now() + wait.min(LONGEST);
    let progress = context.console.progress("waiting for them to end", sent.len());
    let (mut outcomes, mut open) = (Outcomes::default(), sent);
    let (mut next_look, mut between_looks) = (Instant::now() + FIRST_LOOK, FIRST_LOOK);
    loop {
        let mut still = Vec::new();
        for some in open.chunks(TOGETHER) {
            let ids: Vec<OperationId> = some.iter().map(|sent| sent.id).collect();
            // A database that is away for a moment is asked again.
            let known = store.operations(&ids).unwrap_or_default();
            let ended: BTreeMap<OperationId, Operation> =
                known.into_iter().map(|operation| (operation.id, operation)).collect();
            for sent in some {
                match ended.get(&sent.id) {
                    // A failure recorded before this replay says nothing about it.
                    Some(operation)
                        if !matches!(operation.status, Status::Failed(_)) || operation.replays >= sent.replays =>
                    {
                        outcomes.count(operation.status);
                        progress.advance(1);
                    }
                    _ => still.push(*sent),
                }
            }
        }
        open = still;
        let over = Instant::now() >= deadline;
        if !open.is_empty() && (over || Instant::now() >= next_look) {
            between_looks *= 2;
            next_look = Instant::now() + between_looks;
            // Without it, nothing is wrong but the answer less complete.
            let _ = came_back(context, &mut open, &mut outcomes);
        }
        if open.is_empty() || over || context.stop.sleep(EVERY) {
            outcomes.not_known += open.len();
            return outcomes;
        }
    }
}
