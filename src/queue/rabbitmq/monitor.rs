//! A look at the queues from outside, by a connection that is kept between looks.

use super::super::{Backlog, Monitor, QueueError, QueueKind, waiting_since};
use super::connection::{Link, describe, lost};
use super::{Broker, properties};
use crate::domain::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Watcher {
    broker: Arc<Broker>,
    link: Option<Link>,
    /// What the last look at the first dead letter showed.
    seen: Option<Seen>,
}

/// The first dead letter, as it was seen.
#[derive(Clone, Copy)]
struct Seen {
    since: Option<Timestamp>,
    /// How many there were.
    letters: u64,
    at: Instant,
    /// How often it had been given back by then.
    redeliveries: u32,
}

/// How long what was seen is held to be true while letters only come and none goes.
const SEEN_FOR: Duration = Duration::from_secs(60 * 60);
/// A letter that was given back so often is not looked at again: a policy of the broker may limit how often it can be.
const MAX_LOOKS: u32 = 10;

impl Watcher {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, link: None, seen: None }
    }

    fn poll(&mut self, link: &Link) -> Result<[(QueueKind, Backlog); 3], QueueError> {
        let mut backlogs = QueueKind::ALL.map(|lane| (lane, Backlog::default()));
        for (lane, backlog) in &mut backlogs {
            let name = self.broker.topology.queue(*lane);
            let (messages, consumers) = link.call(|channel| {
                let queue = channel.queue_declare_passive(name).map_err(failed)?;
                Ok((queue.declared_message_count(), queue.declared_consumer_count()))
            })?;
            backlog.messages = messages.unwrap_or_default().into();
            backlog.consumers = consumers;
            if *lane == QueueKind::DeadLetter {
                self.seen = self.first_dead_letter(link, *backlog)?;
                backlog.oldest = self.seen.and_then(|seen| seen.since);
            }
        }
        Ok(backlogs)
    }

    /// The first dead letter. It is taken and given back at once; while somebody else looks at the letters, and while none
    /// was removed since, what is known must do. Only dead letters can be looked at like this: elsewhere a return counts
    /// against the message.
    fn first_dead_letter(&self, link: &Link, backlog: Backlog) -> Result<Option<Seen>, QueueError> {
        let letters = backlog.messages;
        match self.seen {
            _ if backlog.consumers != Some(0) => return Ok(self.seen),
            _ if letters == 0 => return Ok(None),
            Some(seen)
                if letters >= seen.letters && (seen.at.elapsed() < SEEN_FOR || seen.redeliveries >= MAX_LOOKS) =>
            {
                return Ok(Some(Seen { letters, ..seen }));
            }
            _ => {}
        }
        let queue = self.broker.topology.queue(QueueKind::DeadLetter);
        let first = link.call(|channel| {
            let Some(first) = channel.basic_get(queue, false).map_err(failed)? else { return Ok(None) };
            let properties = first.delivery.properties.clone();
            first.nack(channel, true).map_err(failed)?;
            Ok(Some(properties))
        })?;
        Ok(first.map(|properties| {
            let (message, redeliveries) = properties::to_message(&properties, Vec::new());
            Seen { since: waiting_since(QueueKind::DeadLetter, &message), letters, at: Instant::now(), redeliveries }
        }))
    }
}

impl Monitor for Watcher {
    fn backlogs(&mut self) -> Result<[(QueueKind, Backlog); 3], QueueError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.broker)?,
        };
        match self.poll(&link) {
            Ok(backlogs) => {
                self.link = Some(link);
                Ok(backlogs)
            }
            Err(error) => Err(link.explain(error)),
        }
    }
}

fn failed(error: amiquip::Error) -> QueueError {
    lost(&describe(&error))
}
