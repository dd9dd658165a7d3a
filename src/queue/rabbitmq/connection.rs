//! One connection with one channel. A timeout limits each call that waits for the broker.

use super::super::{QueueError, QueueKind};
use super::Broker;
use super::endpoint::Endpoint;
use amiquip::{Channel, Connection, ConnectionOptions, ConnectionTuning, Error};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use mio::net::TcpStream as MioStream;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// In seconds. A silent broker is noticed after about twice this time.
const HEARTBEAT_SECONDS: u16 = 10;
/// The timeout of a call that waits for an answer of the broker.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest timeout of the declarations on a new connection. A node without a majority may never answer them.
const MIN_DECLARE_TIMEOUT: Duration = Duration::from_secs(3);
/// The timeout of closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout of closing if the broker must process all earlier calls first. That can take long for a large queue.
const LONG_TIMEOUT: Duration = Duration::from_secs(60);
/// How many calls can wait for the I/O thread. Then the caller blocks.
const CALL_BUFFER_SIZE: usize = 512;

/// An open connection. The consumer on its channel must be dropped first.
pub(super) struct BrokerConnection {
    node: Arc<Endpoint>,
    channel: Option<Channel>,
    connection: Option<Connection>,
    watchdog: Watchdog,
}

/// Says that queues did not exist. Only at the first start that is normal.
pub(super) fn warn_of_missing(queues: &str) {
    tracing::warn!(
        queues,
        "the broker did not have these queues: if this is not the first start, their messages are lost"
    );
}

impl BrokerConnection {
    /// Connects to a node, opens a channel and declares the queues. Tries one node after the other, each within
    /// `broker.connect_timeout`.
    pub(super) fn open(broker: &Broker) -> Result<Self, QueueError> {
        let mut failures = Vec::new();
        for node in broker.endpoints.in_random_order() {
            match Self::open_node(broker, node.clone()) {
                Ok(connection) => return Ok(connection),
                // Another node has the same queues and users.
                Err(error @ (QueueError::Misconfigured(_) | QueueError::Busy(_))) => return Err(error),
                Err(QueueError::Lost(why)) => {
                    node.avoid();
                    failures.push(why);
                }
            }
        }
        failures.sort();
        Err(QueueError::Lost(failures.join("; ")))
    }

    fn open_node(broker: &Broker, node: Arc<Endpoint>) -> Result<Self, QueueError> {
        let unreachable = |cause: &dyn std::fmt::Display| lost(&format!("cannot connect to {node}: {cause}"));
        let stream = connect(&node, broker.connect_timeout).map_err(|error| unreachable(&error))?;
        let watchdog = Watchdog::start(stream.try_clone().map_err(|error| unreachable(&error))?)
            .map_err(|error| unreachable(&error))?;
        let stream = MioStream::from_stream(stream).map_err(|error| unreachable(&error))?;
        let options = ConnectionOptions::default()
            .auth(node.auth.clone())
            .virtual_host(node.virtual_host.as_str())
            .heartbeat(HEARTBEAT_SECONDS)
            .connection_timeout(Some(broker.connect_timeout))
            .information(Some("contacts".into()));
        let tuning = ConnectionTuning::default().mem_channel_bound(CALL_BUFFER_SIZE);
        let opened = watchdog.run(broker.connect_timeout, || {
            let mut connection = start(stream, &node, options, tuning)?;
            let channel = connection.open_channel(None)?;
            Ok((connection, channel))
        });
        let (connection, channel) = match opened {
            Ok(opened) => opened,
            Err(error @ Error::TlsFeatureNotEnabled) => {
                return Err(QueueError::Misconfigured(format!(
                    "broker.url asks for TLS: {}; build with --features tls",
                    describe(&error)
                )));
            }
            Err(error) => return Err(unreachable(&describe(&error))),
        };
        let mut connection = Self { node, channel: Some(channel), connection: Some(connection), watchdog };
        let timeout = broker.connect_timeout.max(MIN_DECLARE_TIMEOUT);
        let missing = connection.missing_queues(broker, timeout);
        let declared = connection
            .channel()
            .and_then(|channel| connection.watchdog.run(timeout, || broker.topology.declare(channel)));
        match declared {
            Ok(()) => {
                if !missing.is_empty() {
                    warn_of_missing(&missing.join(", "));
                }
                Ok(connection)
            }
            Err(error) => Err(connection.into_cause(error)),
        }
    }

    /// The queues that the broker does not have. Other errors are left to whoever declares them.
    fn missing_queues(&mut self, broker: &Broker, timeout: Duration) -> Vec<String> {
        let mut missing = Vec::new();
        let Some(connection) = self.connection.as_mut() else { return missing };
        self.watchdog.run(timeout, || {
            let mut channel = None;
            for queue in QueueKind::ALL {
                let name = broker.topology.queue_name(queue);
                let Ok(open) = channel.take().map_or_else(|| connection.open_channel(None), Ok) else { return };
                match open.queue_declare_passive(name.as_str()) {
                    Ok(_) => channel = Some(open),
                    // The broker closes a channel that names a queue which does not exist.
                    Err(Error::ServerClosedChannel { code: 404, .. }) => missing.push(name),
                    Err(_) => return,
                }
            }
        });
        missing
    }

    /// The node that it is connected to.
    pub(super) fn node(&self) -> &Endpoint {
        &self.node
    }

    /// The channel.
    pub(super) fn channel(&self) -> Result<&Channel, QueueError> {
        self.channel.as_ref().ok_or_else(|| lost("the channel is closed"))
    }

    /// The connection of the library.
    pub(super) fn amqp_connection(&mut self) -> Result<&mut Connection, QueueError> {
        self.connection.as_mut().ok_or_else(|| lost("the connection is closed"))
    }

    /// Opens another channel and calls `prepare` with it.
    pub(super) fn open_channel(
        &mut self,
        prepare: impl FnOnce(&Channel) -> Result<(), Error>,
    ) -> Result<Channel, Error> {
        let Some(connection) = self.connection.as_mut() else { return Err(Error::ClientClosedConnection) };
        self.watchdog.run(CALL_TIMEOUT, || {
            let channel = connection.open_channel(None)?;
            prepare(&channel)?;
            Ok(channel)
        })
    }

    /// Runs calls on the channel that wait for an answer of the broker.
    pub(super) fn call<T>(&self, call: impl FnOnce(&Channel) -> Result<T, QueueError>) -> Result<T, QueueError> {
        let channel = self.channel()?;
        self.watchdog.run(CALL_TIMEOUT, || call(channel))
    }

    /// Runs work within the timeout of closing.
    pub(super) fn within_close_timeout<T>(&self, work: impl FnOnce() -> T) -> T {
        self.watchdog.run(CLOSE_TIMEOUT, work)
    }

    /// Runs work within the long timeout.
    pub(super) fn within_long_timeout<T>(&self, work: impl FnOnce() -> T) -> T {
        self.watchdog.run(LONG_TIMEOUT, work)
    }

    /// Runs work within the timeout of [`Self::call`].
    pub(super) fn within_call_timeout<T>(&self, work: impl FnOnce() -> T) -> T {
        self.watchdog.run(CALL_TIMEOUT, work)
    }

    /// Closes the connection. If the connection was lost, the error contains the cause, which earlier errors do not.
    pub(super) fn close(mut self) -> Result<(), QueueError> {
        self.close_within(CLOSE_TIMEOUT)
    }

    /// Closes the connection after the broker processed all earlier calls.
    pub(super) fn flush_and_close(mut self) -> Result<(), QueueError> {
        self.close_within(LONG_TIMEOUT)
    }

    fn close_within(&mut self, timeout: Duration) -> Result<(), QueueError> {
        let (channel, connection) = (self.channel.take(), self.connection.take());
        self.watchdog.run(timeout, || {
            drop(channel);
            match connection.map(Connection::close) {
                None | Some(Ok(())) => Ok(()),
                Some(Err(error)) => Err(lost(&describe(&error))),
            }
        })
    }

    /// Closes the connection and returns the cause of an error: the error of the close, if there is one. The next
    /// connections try other nodes first.
    pub(super) fn into_cause(self, error: QueueError) -> QueueError {
        let QueueError::Lost(why) = error else {
            // The error matters more than the result of the close.
            let _ = self.close();
            return error;
        };
        let node = self.node.clone();
        node.avoid();
        match self.close() {
            Err(QueueError::Lost(cause)) => lost(&format!("{node}: {cause}")),
            Ok(()) | Err(QueueError::Misconfigured(_) | QueueError::Busy(_)) => lost(&format!("{node}: {why}")),
        }
    }
}

impl Drop for BrokerConnection {
    fn drop(&mut self) {
        // No caller waits for the result.
        let _ = self.close_within(CLOSE_TIMEOUT);
    }
}

/// Opens a TCP connection. A name may have several addresses.
fn connect(node: &Endpoint, timeout: Duration) -> std::io::Result<TcpStream> {
    let mut last_error = std::io::Error::other("the name has no address");
    for address in (node.host.as_str(), node.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                // Without this, each publish waits for the delayed TCP acknowledgement of the one before.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

#[cfg(not(feature = "tls"))]
fn start(
    stream: MioStream,
    endpoint: &Endpoint,
    options: ConnectionOptions<amiquip::Auth>,
    tuning: ConnectionTuning,
) -> Result<Connection, Error> {
    if endpoint.tls {
        Err(Error::TlsFeatureNotEnabled)
    } else {
        Connection::insecure_open_stream(stream, options, tuning)
    }
}

#[cfg(feature = "tls")]
fn start(
    stream: MioStream,
    endpoint: &Endpoint,
    options: ConnectionOptions<amiquip::Auth>,
    tuning: ConnectionTuning,
) -> Result<Connection, Error> {
    if endpoint.tls {
        let connector = native_tls::TlsConnector::new().map_err(|source| Error::CreateTlsConnector { source })?;
        Connection::open_tls_stream(connector, &endpoint.host, stream, options, tuning)
    } else {
        Connection::insecure_open_stream(stream, options, tuning)
    }
}

/// Closes the socket if a call takes too long, because the calls of the library have no timeouts.
struct Watchdog {
    timeouts: Sender<Option<Duration>>,
}

impl Watchdog {
    fn start(socket: TcpStream) -> std::io::Result<Self> {
        let (timeouts, received) = bounded::<Option<Duration>>(4);
        thread::Builder::new().name("amqp-watchdog".into()).spawn(move || {
            let mut timeout = None;
            loop {
                let next = match timeout {
                    None => received.recv().map_err(RecvTimeoutError::from),
                    Some(timeout) => received.recv_timeout(timeout),
                };
                match next {
                    Ok(next_timeout) => timeout = next_timeout,
                    Err(RecvTimeoutError::Timeout) => {
                        // This fails if the socket is closed already.
                        let _ = socket.shutdown(Shutdown::Both);
                        timeout = None;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { timeouts })
    }

    fn run<T>(&self, timeout: Duration, work: impl FnOnce() -> T) -> T {
        // The thread runs as long as this sender exists, so the sends do not fail.
        let _ = self.timeouts.send(Some(timeout));
        let result = work();
        let _ = self.timeouts.send(None);
        result
    }
}

/// An error that a new connection may solve.
pub(super) fn lost(cause: &(impl std::fmt::Display + ?Sized)) -> QueueError {
    QueueError::Lost(cause.to_string())
}

/// The text of an error, without a URL. Some errors of the library show a URL with its password.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::UrlParseError { .. }
        | Error::InsecureUrl { .. }
        | Error::UrlNoSocketAddrs { .. }
        | Error::ResolveUrlToSocketAddr { .. }
        | Error::FailedToConnect { .. }
        | Error::SpecifyUrlPort { .. }
        | Error::InvalidUrlScheme { .. }
        | Error::UrlMissingDomain { .. }
        | Error::ExtraUrlPathSegments { .. }
        | Error::UrlParseHeartbeat { .. }
        | Error::UrlParseChannelMax { .. }
        | Error::UrlParseConnectionTimeout { .. }
        | Error::UrlInvalidAuthMechanism { .. }
        | Error::UrlUnsupportedParameter { .. } => "the broker's address cannot be used".into(),
        Error::InvalidCredentials => "the broker refused the user name or password".into(),
        Error::MissedServerHeartbeats => "the broker sends no heartbeats".into(),
        Error::UnexpectedSocketClose => "the broker closed the connection without a reason".into(),
        other => other.to_string(),
    }
}
