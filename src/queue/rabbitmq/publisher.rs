//! The publisher thread. It owns the connection, keeps many messages in flight and sends each caller the result of its
//! message. After a lost connection it publishes the unconfirmed messages again.

use super::super::{ConnectionState, Mailbox, Publication, PublishError, QueueError, QueueKind};
use super::connection::{BrokerConnection, describe, lost};
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

/// How often the thread checks deadlines.
const TICK: Duration = Duration::from_millis(100);
/// With this many messages in flight, the thread waits for [`BATCHING_DELAY`] and then handles everything that arrived.
/// Under load it costs more to wake the threads and the broker for one message than to publish it.
const BATCHING_THRESHOLD: usize = 16;
/// Short compared with the time that the messages in flight take.
const BATCHING_DELAY: Duration = Duration::from_micros(500);
/// A node that confirms nothing for this time, although messages are in flight, may be cut off from the other nodes. The
/// thread then connects again, to another node if it can.
const MAX_SILENCE: Duration = Duration::from_secs(5);
/// After a queue refused every message for this time, the thread opens a new connection to check whether it is still
/// full. A full queue normally notifies each channel when it has space again. RabbitMQ 3.10 does not if its limit was
/// removed.
const MAX_REFUSAL: Duration = Duration::from_secs(5);

pub(super) struct PublisherThread {
    broker: Arc<Broker>,
    mailbox: Mailbox,
    max_in_flight: usize,
    component: Component,
    stop: Stop,
    /// Messages that an earlier connection did not confirm. They are published before new messages.
    unconfirmed: VecDeque<Publication>,
}

/// How a connection ended.
enum ConnectionEnd {
    /// All publishers are dropped, and every message has a result.
    Finished,
    Lost(QueueError),
}

/// What the broker sends on one connection.
struct Notifications {
    confirms: Receiver<Confirm>,
    returns: Receiver<Return>,
    blocked: Receiver<ConnectionBlockedNotification>,
}

impl Notifications {
    /// Waits for a notification or a publication, but not longer than [`TICK`].
    fn wait(&self, inbox: Option<&Receiver<Publication>>) {
        let mut select = Select::new();
        select.recv(&self.confirms);
        select.recv(&self.blocked);
        if let Some(inbox) = inbox {
            select.recv(inbox);
        }
        // The caller receives whatever is ready. After a timeout it checks the deadlines.
        let _ = select.ready_timeout(TICK);
    }

    fn are_empty(&self) -> bool {
        self.confirms.is_empty() && self.blocked.is_empty()
    }
}

/// The messages in flight: published and not confirmed yet. The broker numbers them with delivery tags, from 1.
#[derive(Default)]
struct InFlight {
    /// The delivery tag of the first entry of `pending`.
    first_tag: u64,
    pending: VecDeque<PendingConfirm>,
    /// When the last confirm arrived, or the broker began to take messages again.
    last_confirm: Option<Instant>,
    /// Whether a message was sent or confirmed since the last check.
    active: bool,
    /// Queues that refuse every message, and since when.
    refusing_since: HashMap<QueueKind, Instant>,
}

struct PendingConfirm {
    sent: Instant,
    /// `None` if the caller has its result.
    publication: Option<Publication>,
}

impl PublisherThread {
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
        self.mailbox.report_load(0);
        loop {
            let error = match BrokerConnection::open(&self.broker) {
                Ok(connection) => {
                    connections.increment(1);
                    tracing::info!(broker = %connection.node(), "publisher connected");
                    backoff.reset();
                    self.component.set_ready();
                    self.mailbox.connection_state.set_connected(true);
                    let end = self.run_connection(connection);
                    self.mailbox.connection_state.set_connected(false);
                    self.mailbox.connection_state.set_blocked(false);
                    match end {
                        ConnectionEnd::Finished => return,
                        ConnectionEnd::Lost(error) => error,
                    }
                }
                Err(error) => error,
            };
            if let QueueError::Misconfigured(why) = &error {
                self.component.set_not_ready(why);
                self.stop.misconfigured(why);
                return;
            }
            if self.component.set_not_ready(error.to_string()) {
                tracing::warn!(%error, "publisher has no connection, trying again");
            } else {
                tracing::debug!(%error, "publisher still has no connection");
            }
            if self.wait_to_reconnect(backoff.next_wait()) {
                return;
            }
        }
    }

    /// Waits before the next connection. Meanwhile it accepts publications and drops those whose deadline passes.
    /// Returns whether all publishers are dropped.
    fn wait_to_reconnect(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            self.unconfirmed = discard_stale(std::mem::take(&mut self.unconfirmed), now);
            self.mailbox.report_load(self.unconfirmed.len());
            if now >= end {
                return false;
            }
            let tick = TICK.min(end - now);
            if self.unconfirmed.len() >= self.max_in_flight {
                std::thread::sleep(tick);
                continue;
            }
            match self.mailbox.inbox.recv_timeout(tick) {
                Ok(publication) => self.unconfirmed.push_back(publication),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    for publication in self.unconfirmed.drain(..) {
                        publication.reply(Err(PublishError::Closed));
                    }
                    return true;
                }
            }
        }
    }

    fn run_connection(&mut self, mut connection: BrokerConnection) -> ConnectionEnd {
        let mut in_flight = InFlight { first_tag: 1, ..InFlight::default() };
        let result = self
            .subscribe(&mut connection)
            .and_then(|notifications| self.publish_loop(&connection, &notifications, &mut in_flight));
        match result {
            Ok(()) => {
                // Every message is confirmed, so an error of the close does not matter.
                let _ = connection.close();
                ConnectionEnd::Finished
            }
            Err(error) => {
                let now = Instant::now();
                let unconfirmed = in_flight
                    .pending
                    .into_iter()
                    .filter_map(|pending| pending.publication)
                    .chain(self.unconfirmed.drain(..))
                    .collect();
                self.unconfirmed = discard_stale(unconfirmed, now);
                ConnectionEnd::Lost(connection.into_cause(error))
            }
        }
    }

    fn subscribe(&self, connection: &mut BrokerConnection) -> Result<Notifications, QueueError> {
        let blocked =
            connection.amqp_connection()?.listen_for_connection_blocked().map_err(|error| lost(&describe(&error)))?;
        connection.call(|channel| {
            let confirms = channel.listen_for_publisher_confirms().map_err(|error| lost(&describe(&error)))?;
            let returns = channel.listen_for_returns().map_err(|error| lost(&describe(&error)))?;
            channel.enable_publisher_confirms().map_err(|error| lost(&describe(&error)))?;
            Ok(Notifications { confirms, returns, blocked })
        })
    }

    fn publish_loop(
        &mut self,
        connection: &BrokerConnection,
        notifications: &Notifications,
        in_flight: &mut InFlight,
    ) -> Result<(), QueueError> {
        let channel = connection.channel()?;
        let (mut open, mut blocked) = (true, false);
        let mut next_tick = Instant::now() + TICK;
        loop {
            // Handle all notifications before sending new messages.
            while let Some(notification) = received(notifications.blocked.try_recv())? {
                blocked = self.handle_blocked(notification, in_flight);
            }
            while let Some(confirm) = received(notifications.confirms.try_recv())? {
                self.handle_confirm(connection, notifications, in_flight, confirm)?;
            }
            while in_flight.pending.len() < self.max_in_flight {
                match self.unconfirmed.pop_front() {
                    Some(publication) => self.send(channel, in_flight, publication)?,
                    None => match self.mailbox.inbox.try_recv() {
                        Ok(publication) if blocked => publication.reply(Err(PublishError::Blocked)),
                        Ok(publication) => self.send(channel, in_flight, publication)?,
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => {
                            open = false;
                            break;
                        }
                    },
                }
            }
            if !open && in_flight.is_empty() {
                return Ok(());
            }

            let full = in_flight.pending.len() >= self.max_in_flight;
            if std::mem::take(&mut in_flight.active) && in_flight.pending.len() >= BATCHING_THRESHOLD {
                std::thread::sleep(BATCHING_DELAY);
            } else {
                notifications.wait((open && !full).then_some(&self.mailbox.inbox));
            }
            let now = Instant::now();
            if now >= next_tick {
                self.mailbox.report_load(in_flight.pending.len());
                in_flight.expire(now);
                if let Some(queue) = in_flight.refusing_queue(now) {
                    let queue = self.broker.topology.queue_name(queue);
                    return Err(lost(&format!("queue {queue} refuses every message; it may be full")));
                }
                let is_silent = in_flight.silent_since().is_some_and(|since| now - since > MAX_SILENCE);
                // What arrived while this thread was sending is not handled yet.
                if is_silent && !blocked && notifications.are_empty() {
                    return Err(lost("the broker has stopped confirming"));
                }
                next_tick = now + TICK;
            }
        }
    }

    fn send(&self, channel: &Channel, in_flight: &mut InFlight, publication: Publication) -> Result<(), QueueError> {
        let now = Instant::now();
        if publication.is_stale(now) {
            publication.reply(Err(PublishError::TimedOut));
            return Ok(());
        }
        let delay = (publication.queue == QueueKind::Retry).then_some(publication.delay);
        let publish = Publish {
            body: &publication.message.body,
            routing_key: self.broker.topology.queue_name(publication.queue),
            mandatory: true,
            immediate: false,
            properties: properties::from_message(&publication.message, delay),
        };
        in_flight.active = true;
        let sent = channel.basic_publish("", publish);
        // Also if the call failed, because a part of the message may have been sent.
        in_flight.pending.push_back(PendingConfirm { sent: now, publication: Some(publication) });
        sent.map_err(|error| lost(&describe(&error)))
    }

    /// Handles a confirm. The broker also confirms a message for which it has no queue, but it sends a return before
    /// the confirm. So this handles all returns first.
    fn handle_confirm(
        &self,
        connection: &BrokerConnection,
        notifications: &Notifications,
        in_flight: &mut InFlight,
        confirm: Confirm,
    ) -> Result<(), QueueError> {
        let mut unroutable = false;
        while let Ok(returned) = notifications.returns.try_recv() {
            in_flight.handle_return(&returned, &self.broker.topology);
            unroutable = true;
        }
        in_flight.handle_confirm(confirm, &self.mailbox.connection_state);
        if unroutable {
            // A queue was deleted. Create it again for the retries of the callers.
            connection.call(|channel| self.broker.topology.declare(channel))?;
        }
        Ok(())
    }

    fn handle_blocked(&self, notification: ConnectionBlockedNotification, in_flight: &mut InFlight) -> bool {
        let blocked = match notification {
            ConnectionBlockedNotification::Blocked(reason) => {
                tracing::warn!(reason, "the broker takes no messages");
                self.component.set_not_ready(format!("the broker takes no messages: {reason}"));
                in_flight.reply_to_all(PublishError::Blocked);
                true
            }
            ConnectionBlockedNotification::Unblocked => {
                tracing::info!("the broker takes messages again");
                self.component.set_ready();
                // Its confirms begin again from now.
                in_flight.last_confirm = Some(Instant::now());
                false
            }
        };
        self.mailbox.connection_state.set_blocked(blocked);
        blocked
    }
}

impl InFlight {
    /// Sends a result for a returned message. A return has no delivery tag, but it has the id of the message and its
    /// queue.
    fn handle_return(&mut self, returned: &Return, topology: &Topology) {
        let id = returned.properties.message_id().as_deref().unwrap_or_default();
        let is_returned = |publication: &Publication| {
            publication.message.id == id && topology.queue_name(publication.queue) == returned.routing_key
        };
        let found = self.pending.iter_mut().find(|pending| pending.publication.as_ref().is_some_and(is_returned));
        if let Some(publication) = found.and_then(|pending| pending.publication.take()) {
            publication.reply(Err(PublishError::Unroutable));
        }
    }

    /// Sends the results for the messages of a confirm.
    fn handle_confirm(&mut self, confirm: Confirm, connection_state: &ConnectionState) {
        let now = Instant::now();
        self.active = true;
        self.last_confirm = Some(now);
        let (payload, result) = match confirm {
            Confirm::Ack(payload) => (payload, Ok(())),
            Confirm::Nack(payload) => (payload, Err(PublishError::Refused)),
        };
        let first = if payload.multiple { self.first_tag } else { payload.delivery_tag };
        for tag in first..=payload.delivery_tag {
            let index = tag.checked_sub(self.first_tag).and_then(|offset| usize::try_from(offset).ok());
            let Some(pending) = index.and_then(|index| self.pending.get_mut(index)) else { continue };
            let Some(publication) = pending.publication.take() else { continue };
            match result {
                Ok(()) => {
                    connection_state.record_confirms(1, now - pending.sent);
                    self.refusing_since.remove(&publication.queue);
                }
                Err(_) => drop(self.refusing_since.entry(publication.queue).or_insert(now)),
            }
            publication.reply(result);
        }
        while self.pending.front().is_some_and(|pending| pending.publication.is_none()) {
            self.pending.pop_front();
            self.first_tag += 1;
        }
    }

    /// Whether every message has a result.
    fn is_empty(&self) -> bool {
        self.pending.iter().all(|pending| pending.publication.is_none())
    }

    /// A queue that has refused every message for too long.
    fn refusing_queue(&self, now: Instant) -> Option<QueueKind> {
        let mut refusing = self.refusing_since.iter();
        refusing.find(|(_, since)| now.saturating_duration_since(**since) > MAX_REFUSAL).map(|(queue, _)| *queue)
    }

    /// Since when the broker should have confirmed a message. `None` if nothing is in flight.
    fn silent_since(&self) -> Option<Instant> {
        let sent = self.pending.front()?.sent;
        Some(self.last_confirm.map_or(sent, |confirmed| confirmed.max(sent)))
    }

    /// Sends a result for each message whose deadline has passed.
    fn expire(&mut self, now: Instant) {
        self.reply_if(PublishError::TimedOut, |publication| publication.is_stale(now));
    }

    fn reply_to_all(&mut self, error: PublishError) {
        self.reply_if(error, |_| true);
    }

    fn reply_if(&mut self, error: PublishError, condition: impl Fn(&Publication) -> bool) {
        let matching = self
            .pending
            .iter_mut()
            .filter_map(|pending| pending.publication.take_if(|publication| condition(publication)));
        for publication in matching {
            publication.reply(Err(error));
        }
    }
}

/// The next notification, if there is one. An error means that the connection is lost.
fn received<T>(received: Result<T, TryRecvError>) -> Result<Option<T>, QueueError> {
    match received {
        Ok(value) => Ok(Some(value)),
        Err(TryRecvError::Empty) => Ok(None),
        Err(TryRecvError::Disconnected) => Err(lost("the connection is gone")),
    }
}

/// Sends a result for each stale publication, and returns the others.
fn discard_stale(publications: VecDeque<Publication>, now: Instant) -> VecDeque<Publication> {
    let (stale, fresh): (VecDeque<_>, VecDeque<_>) =
        publications.into_iter().partition(|publication| publication.is_stale(now));
    for publication in stale {
        publication.reply(Err(PublishError::Disconnected));
    }
    fresh
}
