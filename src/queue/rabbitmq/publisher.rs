//! The publisher thread: it owns the connection, keeps many messages in flight, and wakes each caller by its own
//! confirm. What was not confirmed when a connection is lost is published again on the next one.

use super::super::{Condition, Mailbox, Publication, PublishError, QueueError, QueueKind};
use super::connection::{Link, describe, lost};
use super::{Broker, Topology, properties};
use crate::backoff::Backoff;
use crate::stop::Stop;
use crate::telemetry::Component;
use crate::telemetry::metrics::QUEUE_CONNECTIONS;
use amiquip::{Channel, Confirm, ConnectionBlockedNotification, Publish, Return};
use crossbeam_channel::{Receiver, RecvTimeoutError, Select, TryRecvError};
use metrics::counter;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often deadlines are looked at while nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// With so many messages in flight, what comes in from either side gathers for a moment and is taken together: under
/// load, each time the threads and the broker wake up for one message costs more than the message itself.
const BUSY: usize = 16;
/// How long that moment is: little beside the time that so many messages take.
const GATHER: Duration = Duration::from_micros(500);
/// With as many messages in flight as allowed, a confirm that takes longer than this never comes.
const STALLED: Duration = Duration::from_secs(30);
/// A full queue tells each channel when it has room again, but RabbitMQ (3.10 seen) forgets to when its limit is lifted:
/// after this long without one message taken, another connection must show whether it is still full.
const REFUSING: Duration = Duration::from_secs(5);

pub(super) struct Publishing {
    broker: Arc<Broker>,
    mailbox: Mailbox,
    max_in_flight: usize,
    component: Component,
    stop: Stop,
    /// To be published before anything new: what an earlier connection left unconfirmed.
    unconfirmed: VecDeque<Publication>,
}

/// Why a connection's loop ended.
enum End {
    /// Nobody publishes any more and everything is answered.
    Finished,
    Lost(QueueError),
}

/// What the broker tells us on one connection.
struct Signals {
    confirms: Receiver<Confirm>,
    returns: Receiver<Return>,
    blocked: Receiver<ConnectionBlockedNotification>,
}

impl Signals {
    /// Waits until there may be something to take, here or in the inbox.
    fn wait(&self, inbox: Option<&Receiver<Publication>>) {
        let mut select = Select::new();
        select.recv(&self.confirms);
        select.recv(&self.blocked);
        if let Some(inbox) = inbox {
            select.recv(inbox);
        }
        // What is ready is taken by the caller. A timeout is as good.
        let _ = select.ready_timeout(TICK);
    }
}

/// Published and not yet confirmed, by delivery tag: the broker numbers them from 1 in the order they were published.
#[derive(Default)]
struct Flight {
    first_tag: u64,
    slots: VecDeque<Slot>,
    /// Whether any was sent or confirmed since this was last asked.
    moved: bool,
    /// Lanes that take nothing, and since when.
    refusing: HashMap<QueueKind, Instant>,
}

struct Slot {
    sent: Instant,
    /// `None` once answered.
    publication: Option<Publication>,
}

impl Publishing {
    pub(super) fn new(
        broker: Arc<Broker>,
        mailbox: Mailbox,
        max_in_flight: usize,
        component: Component,
        stop: Stop,
    ) -> Self {
        Self { broker, mailbox, max_in_flight, component, stop, unconfirmed: VecDeque::new() }
    }

    pub(super) fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let connections = counter!(QUEUE_CONNECTIONS, "user" => "publisher");
        self.mailbox.show_load(0);
        loop {
            let error = match Link::open(&self.broker) {
                Ok(link) => {
                    connections.increment(1);
                    tracing::info!(broker = %self.broker.endpoint, "publisher connected");
                    backoff.reset();
                    self.component.ready();
                    self.mailbox.condition.set_connected(true);
                    let end = self.serve(link);
                    self.mailbox.condition.set_connected(false);
                    self.mailbox.condition.set_blocked(false);
                    match end {
                        End::Finished => return,
                        End::Lost(error) => error,
                    }
                }
                Err(error) => error,
            };
            if let QueueError::Misconfigured(why) = &error {
                self.component.not_ready(why);
                self.stop.misconfigured(why);
                return;
            }
            if self.component.not_ready(error.to_string()) {
                tracing::warn!(%error, "publisher has no connection, trying again");
            } else {
                tracing::debug!(%error, "publisher still has no connection");
            }
            if self.wait(backoff.next_wait()) {
                return;
            }
        }
    }

    /// Waits for the next try, letting go of those whose deadline passes. True when there is nobody left to serve.
    fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            self.unconfirmed = discard_stale(std::mem::take(&mut self.unconfirmed), now);
            self.mailbox.show_load(self.unconfirmed.len());
            if now >= until {
                return false;
            }
            let tick = TICK.min(until - now);
            if self.unconfirmed.len() >= self.max_in_flight {
                std::thread::sleep(tick);
                continue;
            }
            match self.mailbox.inbox.recv_timeout(tick) {
                Ok(publication) => self.unconfirmed.push_back(publication),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    for publication in self.unconfirmed.drain(..) {
                        publication.answer(Err(PublishError::Closed));
                    }
                    return true;
                }
            }
        }
    }

    fn serve(&mut self, mut link: Link) -> End {
        let mut flight = Flight { first_tag: 1, ..Flight::default() };
        let result = self.listen(&mut link).and_then(|signals| self.pump(&link, &signals, &mut flight));
        match result {
            Ok(()) => {
                // All is confirmed; how the goodbye goes changes nothing.
                let _ = link.close();
                End::Finished
            }
            Err(error) => {
                let now = Instant::now();
                let again = flight
                    .slots
                    .into_iter()
                    .filter_map(|slot| slot.publication)
                    .chain(self.unconfirmed.drain(..))
                    .collect();
                self.unconfirmed = discard_stale(again, now);
                End::Lost(link.explain(error))
            }
        }
    }

    fn listen(&self, link: &mut Link) -> Result<Signals, QueueError> {
        let blocked = link.connection()?.listen_for_connection_blocked().map_err(|error| lost(&describe(&error)))?;
        link.call(|channel| {
            let confirms = channel.listen_for_publisher_confirms().map_err(|error| lost(&describe(&error)))?;
            let returns = channel.listen_for_returns().map_err(|error| lost(&describe(&error)))?;
            channel.enable_publisher_confirms().map_err(|error| lost(&describe(&error)))?;
            Ok(Signals { confirms, returns, blocked })
        })
    }

    fn pump(&mut self, link: &Link, signals: &Signals, flight: &mut Flight) -> Result<(), QueueError> {
        let channel = link.channel()?;
        let (mut open, mut blocked) = (true, false);
        let mut next_tick = Instant::now() + TICK;
        loop {
            // What the broker says, all of it, before anything new is sent.
            while let Some(notification) = received(signals.blocked.try_recv())? {
                blocked = self.note_blocked(notification, flight);
            }
            while let Some(confirm) = received(signals.confirms.try_recv())? {
                self.note_confirm(link, signals, flight, confirm)?;
            }
            while flight.slots.len() < self.max_in_flight {
                match self.unconfirmed.pop_front() {
                    Some(publication) => self.send(channel, flight, publication)?,
                    None => match self.mailbox.inbox.try_recv() {
                        Ok(publication) if blocked => publication.answer(Err(PublishError::Blocked)),
                        Ok(publication) => self.send(channel, flight, publication)?,
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => {
                            open = false;
                            break;
                        }
                    },
                }
            }
            if !open && flight.is_answered() {
                return Ok(());
            }

            let full = flight.slots.len() >= self.max_in_flight;
            if std::mem::take(&mut flight.moved) && flight.slots.len() >= BUSY {
                std::thread::sleep(GATHER);
            } else {
                signals.wait((open && !full).then_some(&self.mailbox.inbox));
            }
            let now = Instant::now();
            if now >= next_tick {
                self.mailbox.show_load(flight.slots.len());
                flight.expire(now);
                if let Some(lane) = flight.refusing(now) {
                    let queue = self.broker.topology.queue(lane);
                    return Err(lost(&format!("queue {queue} refuses every message, as a full one does")));
                }
                if full && !blocked && flight.waiting_since().is_some_and(|sent| now - sent > STALLED) {
                    return Err(lost("the broker has stopped confirming"));
                }
                next_tick = now + TICK;
            }
        }
    }

    fn send(&self, channel: &Channel, flight: &mut Flight, publication: Publication) -> Result<(), QueueError> {
        let now = Instant::now();
        if publication.is_stale(now) {
            publication.answer(Err(PublishError::TimedOut));
            return Ok(());
        }
        let delay = (publication.lane == QueueKind::Retry).then_some(publication.delay);
        let publish = Publish {
            body: &publication.message.body,
            routing_key: self.broker.topology.queue(publication.lane),
            mandatory: true,
            immediate: false,
            properties: properties::from_message(&publication.message, delay),
        };
        flight.moved = true;
        let sent = channel.basic_publish("", publish);
        // In flight even if the call failed: part of it may have left.
        flight.slots.push_back(Slot { sent: now, publication: Some(publication) });
        sent.map_err(|error| lost(&describe(&error)))
    }

    /// A confirm, after the returns that came before it: the broker confirms a message that no queue took, too, but it
    /// sends the return first, so by now the return of whatever this confirm covers has arrived.
    fn note_confirm(
        &self,
        link: &Link,
        signals: &Signals,
        flight: &mut Flight,
        confirm: Confirm,
    ) -> Result<(), QueueError> {
        let mut unroutable = false;
        while let Ok(returned) = signals.returns.try_recv() {
            flight.give_back(&returned, &self.broker.topology);
            unroutable = true;
        }
        flight.confirm(confirm, &self.mailbox.condition);
        if unroutable {
            // A queue was deleted under us: make it again for those who retry.
            link.call(|channel| self.broker.topology.declare(channel))?;
        }
        Ok(())
    }

    fn note_blocked(&self, notification: ConnectionBlockedNotification, flight: &mut Flight) -> bool {
        let blocked = match notification {
            ConnectionBlockedNotification::Blocked(reason) => {
                tracing::warn!(reason, "the broker takes no messages");
                self.component.not_ready(format!("the broker takes no messages: {reason}"));
                flight.answer_all(PublishError::Blocked);
                true
            }
            ConnectionBlockedNotification::Unblocked => {
                tracing::info!("the broker takes messages again");
                self.component.ready();
                false
            }
        };
        self.mailbox.condition.set_blocked(blocked);
        blocked
    }
}

impl Flight {
    /// Answers the one whose message came back: a return has no tag, but it names the message and its queue.
    fn give_back(&mut self, returned: &Return, topology: &Topology) {
        let id = returned.properties.message_id().as_deref().unwrap_or_default();
        let is_it =
            |waiting: &Publication| waiting.message.id == id && topology.queue(waiting.lane) == returned.routing_key;
        let slot = self.slots.iter_mut().find(|slot| slot.publication.as_ref().is_some_and(is_it));
        if let Some(publication) = slot.and_then(|slot| slot.publication.take()) {
            publication.answer(Err(PublishError::Unroutable));
        }
    }

    /// Answers what a confirm covers.
    fn confirm(&mut self, confirm: Confirm, condition: &Condition) {
        let now = Instant::now();
        self.moved = true;
        let (payload, result) = match confirm {
            Confirm::Ack(payload) => (payload, Ok(())),
            Confirm::Nack(payload) => (payload, Err(PublishError::Refused)),
        };
        let first = if payload.multiple { self.first_tag } else { payload.delivery_tag };
        for tag in first..=payload.delivery_tag {
            let index = tag.checked_sub(self.first_tag).and_then(|offset| usize::try_from(offset).ok());
            let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else { continue };
            let Some(publication) = slot.publication.take() else { continue };
            match result {
                Ok(()) => {
                    condition.confirmed(1, now - slot.sent);
                    self.refusing.remove(&publication.lane);
                }
                Err(_) => drop(self.refusing.entry(publication.lane).or_insert(now)),
            }
            publication.answer(result);
        }
        while self.slots.front().is_some_and(|slot| slot.publication.is_none()) {
            self.slots.pop_front();
            self.first_tag += 1;
        }
    }

    fn is_answered(&self) -> bool {
        self.slots.iter().all(|slot| slot.publication.is_none())
    }

    /// A lane that has taken nothing for too long.
    fn refusing(&self, now: Instant) -> Option<QueueKind> {
        self.refusing.iter().find(|(_, since)| now.saturating_duration_since(**since) > REFUSING).map(|(lane, _)| *lane)
    }

    /// When the oldest message without a confirm was sent.
    fn waiting_since(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.sent)
    }

    /// Answers those whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        self.answer_if(PublishError::TimedOut, |publication| publication.is_stale(now));
    }

    fn answer_all(&mut self, error: PublishError) {
        self.answer_if(error, |_| true);
    }

    fn answer_if(&mut self, error: PublishError, which: impl Fn(&Publication) -> bool) {
        for publication in self.slots.iter_mut().filter_map(|slot| slot.publication.take_if(|waiting| which(waiting))) {
            publication.answer(Err(error));
        }
    }
}

/// A message, or none yet, or the end of the connection.
fn received<T>(received: Result<T, TryRecvError>) -> Result<Option<T>, QueueError> {
    match received {
        Ok(value) => Ok(Some(value)),
        Err(TryRecvError::Empty) => Ok(None),
        Err(TryRecvError::Disconnected) => Err(lost("the connection is gone")),
    }
}

fn discard_stale(publications: VecDeque<Publication>, now: Instant) -> VecDeque<Publication> {
    let (stale, fresh): (VecDeque<_>, VecDeque<_>) =
        publications.into_iter().partition(|publication| publication.is_stale(now));
    for publication in stale {
        publication.answer(Err(PublishError::Disconnected));
    }
    fresh
}
