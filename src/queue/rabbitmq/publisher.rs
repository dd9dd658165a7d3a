//! The publisher thread. It owns the connection, keeps many messages in flight and sends each caller the result of its
//! message. After a lost connection it publishes the unconfirmed messages again.

use super::super::{Mailbox, Publication, PublishError, QueueError, QueueKind};
use super::connection::{BrokerConnection, describe, lost, warn_of_missing};
use super::in_flight::InFlight;
use super::{Broker, pack, properties};
use crate::backoff::Backoff;
use crate::config::BrokerSettings;
use crate::stop::Stop;
use crate::telemetry::Component;
use crate::telemetry::metrics::QUEUE_CONNECTIONS;
use amiquip::{Channel, Confirm, ConnectionBlockedNotification, Publish, Return};
use crossbeam_channel::{Receiver, RecvTimeoutError, Select, TryRecvError};
use metrics::counter;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the thread checks deadlines.
const TICK: Duration = Duration::from_millis(100);
/// With this many messages in flight, the thread waits for a confirm, and then packs what arrived meanwhile. So under load
/// the packs grow, and a message waits no longer than a confirm takes.
const PACKING_THRESHOLD: usize = 8;
/// Without packs: with this many messages in flight, the thread waits for [`BATCHING_DELAY`] and then handles everything that arrived.
/// Under load it costs more to wake the threads and the broker for one message than to publish it.
const BATCHING_THRESHOLD: usize = 16;
/// Short compared with the time that the messages in flight take.
const BATCHING_DELAY: Duration = Duration::from_micros(500);
/// A node that confirms nothing for this time, although messages are in flight, may be cut off from the other nodes. The
/// thread then connects again, to another node if it can.
const MAX_SILENCE: Duration = Duration::from_secs(5);

pub(super) struct PublisherThread {
    broker: Arc<Broker>,
    mailbox: Mailbox,
    max_in_flight: usize,
    pack_max: usize,
    component: Component,
    stop: Stop,
    /// Messages to send, in order. Those that an earlier connection did not confirm come first.
    waiting: VecDeque<Publication>,
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

impl PublisherThread {
    pub(super) fn new(
        broker: Arc<Broker>,
        mailbox: Mailbox,
        settings: &BrokerSettings,
        component: Component,
        stop: Stop,
    ) -> Self {
        let BrokerSettings { max_in_flight, pack_max, .. } = *settings;
        Self { broker, mailbox, max_in_flight, pack_max, component, stop, waiting: VecDeque::new() }
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
            self.waiting = discard_stale(std::mem::take(&mut self.waiting), now);
            self.mailbox.report_load(self.waiting.len());
            if now >= end {
                return false;
            }
            let tick = TICK.min(end - now);
            if self.waiting.len() >= self.max_in_flight {
                std::thread::sleep(tick);
                continue;
            }
            match self.mailbox.inbox.recv_timeout(tick) {
                Ok(publication) => self.waiting.push_back(publication),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    for publication in self.waiting.drain(..) {
                        publication.reply(Err(PublishError::Closed));
                    }
                    return true;
                }
            }
        }
    }

    fn run_connection(&mut self, mut connection: BrokerConnection) -> ConnectionEnd {
        let mut in_flight = InFlight::default();
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
                let unconfirmed = in_flight.into_publications().chain(self.waiting.drain(..)).collect();
                self.waiting = discard_stale(unconfirmed, now);
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
        let mut blocked = false;
        let mut next_tick = Instant::now() + TICK;
        loop {
            // Handle all notifications before sending new messages.
            while let Some(notification) = received(notifications.blocked.try_recv())? {
                blocked = self.handle_blocked(notification, in_flight);
            }
            while let Some(confirm) = received(notifications.confirms.try_recv())? {
                self.handle_confirm(connection, notifications, in_flight, confirm)?;
            }
            let open = self.receive(in_flight, blocked);
            while self.send_next(channel, in_flight)? {}
            if !open && self.waiting.is_empty() && in_flight.is_empty() {
                return Ok(());
            }

            let full = in_flight.len() >= self.max_in_flight;
            let active = std::mem::take(&mut in_flight.active);
            if self.pack_max > 1 && in_flight.messages() >= PACKING_THRESHOLD {
                notifications.wait(None);
            } else if self.pack_max == 1 && active && in_flight.len() >= BATCHING_THRESHOLD {
                std::thread::sleep(BATCHING_DELAY);
            } else {
                notifications.wait((open && !full).then_some(&self.mailbox.inbox));
            }
            let now = Instant::now();
            if now >= next_tick {
                self.mailbox.report_load(in_flight.len());
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

    /// Takes what arrived from the mailbox, as far as it may be sent now. Returns whether more can arrive.
    fn receive(&mut self, in_flight: &InFlight, blocked: bool) -> bool {
        while in_flight.len() + self.waiting.len() < self.max_in_flight {
            match self.mailbox.inbox.try_recv() {
                Ok(publication) if blocked => publication.reply(Err(PublishError::Blocked)),
                Ok(publication) => self.waiting.push_back(publication),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Sends the next message, together with those behind it that fit into a pack with it. Returns whether there was one
    /// and it may be sent.
    fn send_next(&mut self, channel: &Channel, in_flight: &mut InFlight) -> Result<bool, QueueError> {
        let now = Instant::now();
        let (mut count, mut size) = (0, 0);
        while in_flight.len() < self.max_in_flight
            && let Some(next) = self.waiting.front()
        {
            if next.is_stale(now) {
                if let Some(stale) = self.waiting.pop_front() {
                    stale.reply(Err(PublishError::TimedOut));
                }
                continue;
            }
            let is_alone = self.pack_max == 1 || (count == 0 && self.waiting.len() == 1);
            let next_size = if is_alone { None } else { pack::size(next) };
            let fits = count < self.pack_max && next_size.is_some_and(|next_size| size + next_size <= pack::MAX_SIZE);
            if count > 0 && !fits {
                break;
            }
            if let Some(publication) = self.waiting.pop_front() {
                in_flight.add(publication);
            }
            count += 1;
            match next_size {
                Some(next_size) => size += next_size,
                // It cannot be packed.
                None => break,
            }
        }
        if count == 0 {
            return Ok(false);
        }
        let sent = self.publish(channel, in_flight.last(count));
        // Also if the call failed, because a part of the message may have been sent.
        in_flight.record_sent(count, now);
        sent?;
        Ok(true)
    }

    /// Publishes one message, or several as a pack.
    fn publish<'a>(
        &self,
        channel: &Channel,
        publications: impl Iterator<Item = &'a Publication> + Clone,
    ) -> Result<(), QueueError> {
        let count = publications.clone().count();
        let Some(first) = publications.clone().next() else { return Ok(()) };
        let packed;
        let message = if count == 1 {
            &first.message
        } else {
            packed = pack::encode(publications.map(|publication| &publication.message));
            &packed
        };
        if first.queue == QueueKind::Work {
            self.broker.pack_size.record(count);
        }
        let delay = (first.queue == QueueKind::Retry).then_some(first.delay);
        let publish = Publish {
            body: &message.body,
            routing_key: self.broker.topology.queue_name(first.queue),
            mandatory: true,
            immediate: false,
            properties: properties::from_message(message, delay),
        };
        channel.basic_publish("", publish).map_err(|error| lost(&describe(&error)))
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
        let mut deleted = BTreeSet::new();
        while let Ok(returned) = notifications.returns.try_recv() {
            in_flight.handle_return(&returned, &self.broker.topology);
            deleted.insert(returned.routing_key);
        }
        in_flight.handle_confirm(confirm, &self.mailbox.connection_state);
        if !deleted.is_empty() {
            // Create them again for the retries of the callers.
            warn_of_missing(&deleted.into_iter().collect::<Vec<_>>().join(", "));
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
