//! A look at the queues from outside, by a connection that is kept between looks.

use super::super::{Backlog, Lane, Monitor, QueueError, waits_since};
use super::link::{Link, describe, lost};
use super::{Broker, properties};
use crate::domain::Moment;
use std::sync::Arc;

pub(super) struct Watcher {
    broker: Arc<Broker>,
    link: Option<Link>,
    /// What the last look at the first dead letter showed.
    oldest: Option<Moment>,
}

impl Watcher {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, link: None, oldest: None }
    }

    fn look(&mut self, link: &Link) -> Result<[(Lane, Backlog); 3], QueueError> {
        let mut backlogs = Lane::ALL.map(|lane| (lane, Backlog::default()));
        for (lane, backlog) in &mut backlogs {
            let name = self.broker.topology.queue(*lane);
            let (messages, consumers) = link.call(|channel| {
                let queue = channel.queue_declare_passive(name).map_err(failed)?;
                Ok((queue.declared_message_count(), queue.declared_consumer_count()))
            })?;
            backlog.messages = messages.unwrap_or_default().into();
            backlog.consumers = consumers;
            if *lane == Lane::DeadLetters {
                self.oldest = self.first_dead_letter(link, *backlog)?;
                backlog.oldest = self.oldest;
            }
        }
        Ok(backlogs)
    }

    /// Since when the first dead letter waits. It is taken and given back at once, which leaves it where it was; while
    /// somebody else looks at the letters, what is known must do. Only dead letters can be looked at like this: elsewhere
    /// a return counts against the message.
    fn first_dead_letter(&self, link: &Link, backlog: Backlog) -> Result<Option<Moment>, QueueError> {
        if backlog.messages == 0 || backlog.consumers != Some(0) {
            return Ok(self.oldest.filter(|_| backlog.consumers != Some(0)));
        }
        let queue = self.broker.topology.queue(Lane::DeadLetters);
        let first = link.call(|channel| {
            let Some(first) = channel.basic_get(queue, false).map_err(failed)? else { return Ok(None) };
            let properties = first.delivery.properties.clone();
            first.nack(channel, true).map_err(failed)?;
            Ok(Some(properties))
        })?;
        let message = first.map(|properties| properties::to_message(&properties, Vec::new()).0);
        Ok(message.and_then(|message| waits_since(Lane::DeadLetters, &message)))
    }
}

impl Monitor for Watcher {
    fn backlogs(&mut self) -> Result<[(Lane, Backlog); 3], QueueError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.broker)?,
        };
        match self.look(&link) {
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
