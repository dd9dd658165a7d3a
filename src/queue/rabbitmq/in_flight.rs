//! The publications in flight: sent and not confirmed yet.

use super::super::{ConnectionState, Publication, PublishError, QueueKind};
use super::{Topology, pack, properties};
use amiquip::{Confirm, Return};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// After a queue refused every message for this time, the thread opens a new connection to check whether it is still
/// full. A full queue normally notifies each channel when it has space again. RabbitMQ 3.10 does not if its limit was
/// removed.
const MAX_REFUSAL: Duration = Duration::from_secs(5);

/// The publications in flight, in the order in which they were sent. A message of the broker holds one or several of
/// them. The broker numbers its messages with delivery tags, from 1.
pub(super) struct InFlight {
    /// The delivery tag of the first entry of `sent`.
    first_tag: u64,
    sent: VecDeque<Sent>,
    /// `None` if the caller has its result. The last ones may not be sent yet.
    publications: VecDeque<Option<Publication>>,
    /// When the last confirm arrived, or the broker began to take messages again.
    pub(super) last_confirm: Option<Instant>,
    /// Whether a message was sent or confirmed since the last check.
    pub(super) active: bool,
    /// Queues that refuse every message, and since when.
    refusing_since: HashMap<QueueKind, Instant>,
}

/// A message of the broker that is not confirmed.
struct Sent {
    at: Instant,
    /// How many of the publications it holds.
    count: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self {
            first_tag: 1,
            sent: VecDeque::new(),
            publications: VecDeque::new(),
            last_confirm: None,
            active: false,
            refusing_since: HashMap::new(),
        }
    }
}

impl InFlight {
    /// The number of publications.
    pub(super) fn len(&self) -> usize {
        self.publications.len()
    }

    /// The number of messages of the broker.
    pub(super) fn messages(&self) -> usize {
        self.sent.len()
    }

    /// Adds a publication that is sent next.
    pub(super) fn add(&mut self, publication: Publication) {
        self.publications.push_back(Some(publication));
    }

    /// The last `count` publications.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Publication> + Clone {
        self.publications.range(self.len().saturating_sub(count)..).flatten()
    }

    /// Records that the last `count` publications were sent as one message.
    pub(super) fn record_sent(&mut self, count: usize, at: Instant) {
        self.active = true;
        self.sent.push_back(Sent { at, count });
    }

    /// The publications without a result.
    pub(super) fn into_publications(self) -> impl Iterator<Item = Publication> {
        self.publications.into_iter().flatten()
    }

    /// Sends a result for each publication of a returned message. A return has no delivery tag, but it has the ids of
    /// the messages and their queue.
    pub(super) fn handle_return(&mut self, returned: &Return, topology: &Topology) {
        let (message, _) = properties::to_message(&returned.properties, returned.content.clone());
        let ids: Vec<String> = match pack::decode(&message) {
            Some(messages) => messages.into_iter().map(|message| message.id).collect(),
            None => vec![message.id],
        };
        self.reply_if(PublishError::Unroutable, |publication| {
            ids.contains(&publication.message.id) && topology.queue_name(publication.queue) == returned.routing_key
        });
    }

    /// Sends the results for the messages of a confirm.
    pub(super) fn handle_confirm(&mut self, confirm: Confirm, connection_state: &ConnectionState) {
        let now = Instant::now();
        self.active = true;
        self.last_confirm = Some(now);
        let (payload, result) = match confirm {
            Confirm::Ack(payload) => (payload, Ok(())),
            Confirm::Nack(payload) => (payload, Err(PublishError::Refused)),
        };
        let first = if payload.multiple { self.first_tag } else { payload.delivery_tag };
        let index = |tag: u64| tag.checked_sub(self.first_tag).and_then(|offset| usize::try_from(offset).ok());
        let (Some(first), Some(last)) = (index(first.max(self.first_tag)), index(payload.delivery_tag)) else { return };
        let mut start: usize = self.sent.iter().take(first).map(|sent| sent.count).sum();
        for sent in self.sent.iter().take(last + 1).skip(first) {
            let end = start + sent.count;
            for publication in self.publications.range_mut(start..end).filter_map(Option::take) {
                match result {
                    Ok(()) => {
                        connection_state.record_confirms(1, now - sent.at);
                        self.refusing_since.remove(&publication.queue);
                    }
                    Err(_) => drop(self.refusing_since.entry(publication.queue).or_insert(now)),
                }
                publication.reply(result);
            }
            start = end;
        }
        self.discard_finished();
    }

    /// Removes the first messages if all their publications have a result.
    fn discard_finished(&mut self) {
        while let Some(Sent { count, .. }) = self.sent.front()
            && self.publications.range(..*count).all(Option::is_none)
        {
            self.publications.drain(..*count);
            self.sent.pop_front();
            self.first_tag += 1;
        }
    }

    /// Whether every publication has a result.
    pub(super) fn is_empty(&self) -> bool {
        self.publications.iter().all(Option::is_none)
    }

    /// A queue that has refused every message for too long.
    pub(super) fn refusing_queue(&self, now: Instant) -> Option<QueueKind> {
        let mut refusing = self.refusing_since.iter();
        refusing.find(|(_, since)| now.saturating_duration_since(**since) > MAX_REFUSAL).map(|(queue, _)| *queue)
    }

    /// Since when the broker should have confirmed a message. `None` if nothing is in flight.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        let sent = self.sent.front()?.at;
        Some(self.last_confirm.map_or(sent, |confirmed| confirmed.max(sent)))
    }

    /// Sends a result for each publication whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        self.reply_if(PublishError::TimedOut, |publication| publication.is_stale(now));
    }

    pub(super) fn reply_to_all(&mut self, error: PublishError) {
        self.reply_if(error, |_| true);
    }

    fn reply_if(&mut self, error: PublishError, condition: impl Fn(&Publication) -> bool) {
        let matching =
            self.publications.iter_mut().filter_map(|entry| entry.take_if(|publication| condition(publication)));
        for publication in matching {
            publication.reply(Err(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Mailbox, mailbox};
    use super::*;
    use crate::message::Message;
    use amiquip::ConfirmPayload;
    use std::thread::JoinHandle;

    type Results = Vec<Result<(), PublishError>>;

    /// Publishes a message for each timeout, and waits in a thread for the results.
    fn publish(timeouts: &[u64]) -> (Mailbox, Vec<JoinHandle<Results>>) {
        let (publisher, mailbox) = mailbox(100);
        let callers = timeouts.iter().enumerate().map(|(number, seconds)| {
            let (publisher, timeout) = (publisher.clone(), Duration::from_secs(*seconds));
            let message = Message { id: number.to_string(), body: b"{}".to_vec(), ..Message::default() };
            let caller = std::thread::spawn(move || {
                publisher.publish_all([(QueueKind::Work, message, Duration::ZERO)], timeout)
            });
            // One after the other, so that the order is known.
            while mailbox.inbox.len() <= number {
                std::thread::yield_now();
            }
            caller
        });
        let callers = callers.collect();
        (mailbox, callers)
    }

    /// Sends what is in the mailbox as messages of these sizes.
    fn send(mailbox: &Mailbox, sizes: &[usize]) -> InFlight {
        let mut in_flight = InFlight::default();
        for size in sizes {
            (0..*size).for_each(|_| in_flight.add(mailbox.inbox.recv().unwrap()));
            in_flight.record_sent(*size, Instant::now());
        }
        in_flight
    }

    const fn payload(delivery_tag: u64, multiple: bool) -> ConfirmPayload {
        ConfirmPayload { delivery_tag, multiple }
    }

    fn results(callers: Vec<JoinHandle<Results>>) -> Results {
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    }

    #[test]
    fn a_confirm_is_the_result_of_every_publication_in_its_message() {
        let (mailbox, callers) = publish(&[60; 9]);
        let state = &mailbox.connection_state;
        let mut in_flight = send(&mailbox, &[1, 3, 2, 3]);
        in_flight.handle_confirm(Confirm::Nack(payload(3, false)), state);
        assert_eq!((in_flight.len(), in_flight.messages()), (9, 4));
        in_flight.handle_confirm(Confirm::Ack(payload(2, true)), state);
        assert_eq!((in_flight.len(), in_flight.messages()), (3, 1));
        // A late confirm of finished messages changes nothing.
        in_flight.handle_confirm(Confirm::Nack(payload(2, true)), state);
        in_flight.handle_confirm(Confirm::Nack(payload(1, false)), state);
        assert!(!in_flight.is_empty());
        in_flight.handle_confirm(Confirm::Ack(payload(4, false)), state);
        assert_eq!((in_flight.is_empty(), in_flight.messages()), (true, 0));
        let refused = [false, false, false, false, true, true, false, false, false];
        let expected = refused.map(|refused| if refused { Err(PublishError::Refused) } else { Ok(()) });
        assert_eq!(results(callers), expected);
    }

    #[test]
    fn a_publication_that_expires_in_a_pack_does_not_shift_the_others() {
        let (mailbox, callers) = publish(&[60, 1, 60, 60]);
        let mut in_flight = send(&mailbox, &[3, 1]);
        in_flight.expire(Instant::now() + Duration::from_secs(5));
        in_flight.handle_confirm(Confirm::Ack(payload(1, false)), &mailbox.connection_state);
        in_flight.handle_confirm(Confirm::Nack(payload(2, false)), &mailbox.connection_state);
        let mut results = results(callers);
        assert!(results.remove(1).is_err());
        assert_eq!(results, [Ok(()), Ok(()), Err(PublishError::Refused)]);
    }

    #[test]
    fn what_has_no_result_is_published_again_after_a_lost_connection() {
        let (mailbox, callers) = publish(&[60; 4]);
        let mut in_flight = send(&mailbox, &[2, 2]);
        in_flight.handle_confirm(Confirm::Ack(payload(1, false)), &mailbox.connection_state);
        let ids: Vec<_> = in_flight
            .into_publications()
            .map(|publication| {
                let id = publication.message.id.clone();
                publication.reply(Ok(()));
                id
            })
            .collect();
        assert_eq!(ids, ["2", "3"]);
        assert!(results(callers).iter().all(Result::is_ok));
    }
}
