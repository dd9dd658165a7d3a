//! The writer thread: group commit of publications, acknowledgements and retries that have become due.

use super::super::{Mailbox, Publication, PublishError, QueueError, QueueKind};
use super::file::{File, insert, move_due, remove};
use super::source::Feed;
use crate::telemetry::Component;
use crossbeam_channel::{Receiver, never, select};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// The most publications in one commit.
const GROUP: usize = 1024;
/// How often retries are looked at while nothing else happens.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    file: File,
    mailbox: Mailbox,
    settlements: Receiver<Vec<i64>>,
    feed: Weak<Feed>,
    component: Component,
    next_due: Option<i64>,
    /// Acknowledged and not yet removed.
    settled: Vec<i64>,
}

impl Writer {
    pub(super) fn new(
        mut file: File,
        mailbox: Mailbox,
        settlements: Receiver<Vec<i64>>,
        feed: Weak<Feed>,
        component: Component,
    ) -> Self {
        // A failure shows again at the first commit; until then every retry counts as due.
        let next_due = file.next_due().unwrap_or(Some(0));
        Self { file, mailbox, settlements, feed, component, next_due, settled: Vec::new() }
    }

    pub(super) fn run(mut self) {
        self.component.ready();
        self.mailbox.condition.set_connected(true);
        let (mut publishers, mut sessions) = (true, true);
        while publishers || sessions {
            let mut group = Vec::new();
            let inbox = if publishers { self.mailbox.inbox.clone() } else { never() };
            let settlements = if sessions { self.settlements.clone() } else { never() };
            select! {
                recv(inbox) -> publication => match publication {
                    Ok(publication) => group.push(publication),
                    Err(_) => publishers = false,
                },
                recv(settlements) -> seqs => match seqs {
                    Ok(seqs) => self.settled.extend(seqs),
                    Err(_) => sessions = false,
                },
                default(TICK) => {}
            }
            group.extend(self.mailbox.inbox.try_iter().take(GROUP));
            self.settled.extend(self.settlements.try_iter().take(GROUP).flatten());
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Publication>) {
        let now = Instant::now();
        let now_millis = chrono::Utc::now().timestamp_millis();
        let (stale, group): (Vec<_>, Vec<_>) = group.into_iter().partition(|publication| publication.is_stale(now));
        for publication in stale {
            publication.answer(Err(PublishError::TimedOut));
        }
        let due = self.next_due.is_some_and(|due| due <= now_millis);
        self.mailbox.show_load(group.len());
        if group.is_empty() && self.settled.is_empty() && !due {
            return;
        }
        match self.write(&group, due, now_millis) {
            Ok(()) => {
                if self.component.ready() {
                    tracing::info!("the queue file can be written");
                }
                if !group.is_empty() {
                    self.mailbox.condition.confirmed(group.len(), now.elapsed());
                }
                for publication in group {
                    publication.answer(Ok(()));
                }
                if let Some(feed) = self.feed.upgrade() {
                    feed.wake();
                }
            }
            Err(error) => {
                if self.component.not_ready(error.to_string()) {
                    tracing::error!(%error, "cannot write to the queue file");
                }
                for publication in group {
                    publication.answer(Err(PublishError::Refused));
                }
                // Acknowledgements stay for the next try; at worst they are forgotten and messages come again.
                std::thread::sleep(TICK);
            }
        }
    }

    fn write(&mut self, group: &[Publication], due: bool, now_millis: i64) -> Result<(), QueueError> {
        let mut next_due = self.next_due;
        let settled = runs(&mut self.settled);
        self.file.commit(|connection| {
            for (first, last) in settled {
                remove(connection, first, last)?;
            }
            for publication in group {
                let mut due_millis = 0;
                if publication.lane == QueueKind::Retry {
                    let delay = i64::try_from(publication.delay.as_millis()).unwrap_or(i64::MAX);
                    due_millis = now_millis.saturating_add(delay);
                    next_due = Some(next_due.map_or(due_millis, |next| next.min(due_millis)));
                }
                insert(connection, publication.lane, &publication.message, due_millis)?;
            }
            if due {
                move_due(connection, now_millis)?;
            }
            Ok(())
        })?;
        self.settled.clear();
        self.next_due = if due { self.file.next_due()? } else { next_due };
        Ok(())
    }
}

/// Turns numbers into runs of neighbours, so that a batch is removed by few statements.
fn runs(seqs: &mut [i64]) -> Vec<(i64, i64)> {
    seqs.sort_unstable();
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for &mut seq in seqs {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 >= seq => *last = seq,
            _ => runs.push((seq, seq)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::runs;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn runs_cover_exactly_what_was_settled(mut seqs in proptest::collection::vec(0i64..40, 0..30)) {
            let covered: Vec<i64> = runs(&mut seqs).into_iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(covered, seqs.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
        }
    }
}
