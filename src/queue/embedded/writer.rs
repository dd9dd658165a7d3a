//! The writer thread. It commits publications, acknowledgements and due retries in groups.

use super::super::{Mailbox, Publication, PublishError, QueueError, QueueKind};
use super::file::{QueueFile, insert, move_due, remove};
use super::source::Dispatcher;
use crate::telemetry::Component;
use crossbeam_channel::{Receiver, never, select};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// The maximum number of publications in one commit.
const GROUP_SIZE: usize = 1024;
/// How often the writer checks for due retries while it has no other work.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    file: QueueFile,
    mailbox: Mailbox,
    acknowledgements: Receiver<Vec<i64>>,
    dispatcher: Weak<Dispatcher>,
    component: Component,
    /// When the next retry is due, in milliseconds since 1970.
    next_due: Option<i64>,
    /// The numbers of the messages that are acknowledged and not removed yet.
    acknowledged: Vec<i64>,
}

impl Writer {
    pub(super) fn new(
        mut file: QueueFile,
        mailbox: Mailbox,
        acknowledgements: Receiver<Vec<i64>>,
        dispatcher: Weak<Dispatcher>,
        component: Component,
    ) -> Self {
        // If this fails, the first commit reports the error. Until then every retry counts as due.
        let next_due = file.next_due().unwrap_or(Some(0));
        Self { file, mailbox, acknowledgements, dispatcher, component, next_due, acknowledged: Vec::new() }
    }

    pub(super) fn run(mut self) {
        self.component.set_ready();
        self.mailbox.connection_state.set_connected(true);
        let (mut publishers, mut sessions) = (true, true);
        while publishers || sessions {
            let mut group = Vec::new();
            let inbox = if publishers { self.mailbox.inbox.clone() } else { never() };
            let acknowledgements = if sessions { self.acknowledgements.clone() } else { never() };
            select! {
                recv(inbox) -> publication => match publication {
                    Ok(publication) => group.push(publication),
                    Err(_) => publishers = false,
                },
                recv(acknowledgements) -> seqs => match seqs {
                    Ok(seqs) => self.acknowledged.extend(seqs),
                    Err(_) => sessions = false,
                },
                default(TICK) => {}
            }
            group.extend(self.mailbox.inbox.try_iter().take(GROUP_SIZE));
            self.acknowledged.extend(self.acknowledgements.try_iter().take(GROUP_SIZE).flatten());
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Publication>) {
        let now = Instant::now();
        let now_millis = chrono::Utc::now().timestamp_millis();
        let (stale, group): (Vec<_>, Vec<_>) = group.into_iter().partition(|publication| publication.is_stale(now));
        for publication in stale {
            publication.reply(Err(PublishError::TimedOut));
        }
        let retries_due = self.next_due.is_some_and(|due| due <= now_millis);
        self.mailbox.report_load(group.len());
        if group.is_empty() && self.acknowledged.is_empty() && !retries_due {
            return;
        }
        match self.write(&group, retries_due, now_millis) {
            Ok(()) => {
                if self.component.set_ready() {
                    tracing::info!("the queue file can be written");
                }
                if !group.is_empty() {
                    self.mailbox.connection_state.record_confirms(group.len(), now.elapsed());
                }
                for publication in group {
                    publication.reply(Ok(()));
                }
                if let Some(dispatcher) = self.dispatcher.upgrade() {
                    dispatcher.wake();
                }
            }
            Err(error) => {
                if self.component.set_not_ready(error.to_string()) {
                    tracing::error!(%error, "the queue file cannot be written");
                }
                for publication in group {
                    publication.reply(Err(PublishError::Refused));
                }
                // The next commit includes the acknowledgements. If the process stops before, the messages are
                // redelivered.
                std::thread::sleep(TICK);
            }
        }
    }

    fn write(&mut self, group: &[Publication], retries_due: bool, now_millis: i64) -> Result<(), QueueError> {
        let mut next_due = self.next_due;
        let acknowledged = ranges(&mut self.acknowledged);
        self.file.commit(|connection| {
            for (first, last) in acknowledged {
                remove(connection, first, last)?;
            }
            for publication in group {
                let mut due_millis = 0;
                if publication.queue == QueueKind::Retry {
                    let delay = i64::try_from(publication.delay.as_millis()).unwrap_or(i64::MAX);
                    due_millis = now_millis.saturating_add(delay);
                    next_due = Some(next_due.map_or(due_millis, |next| next.min(due_millis)));
                }
                insert(connection, publication.queue, &publication.message, due_millis)?;
            }
            if retries_due {
                move_due(connection, now_millis)?;
            }
            Ok(())
        })?;
        self.acknowledged.clear();
        self.next_due = if retries_due { self.file.next_due()? } else { next_due };
        Ok(())
    }
}

/// Joins numbers that follow each other to ranges, so that a batch is removed with few statements.
fn ranges(seqs: &mut [i64]) -> Vec<(i64, i64)> {
    seqs.sort_unstable();
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for &mut seq in seqs {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 >= seq => *last = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::ranges;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_contain_exactly_the_acknowledged_numbers(mut seqs in proptest::collection::vec(0i64..40, 0..30)) {
            let contained: Vec<i64> = ranges(&mut seqs).into_iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(contained, seqs.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        }
    }
}
