//! One connection with one channel, opened and closed under deadlines.

use super::super::QueueError;
use super::Broker;
use amiquip::{Channel, Connection, ConnectionOptions, ConnectionTuning, Error};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use mio::net::TcpStream as MioStream;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

/// Loss of a silent peer shows after about twice this, in seconds.
const HEARTBEAT_SECONDS: u16 = 10;
/// How long a call that waits for the broker's answer may take before the socket is cut under it.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The same for saying goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The same where what was said before must have been heard: a queue may have much to put in order first.
const PATIENT_LIMIT: Duration = Duration::from_secs(60);
/// Calls that may wait for the I/O thread before the caller blocks.
const CALLS_BUFFERED: usize = 512;

/// An open connection. The consumer on its channel must be dropped before it.
pub(super) struct Link {
    channel: Option<Channel>,
    connection: Option<Connection>,
    watchdog: Watchdog,
}

impl Link {
    /// Connects, opens a channel and declares the queues.
    pub(super) fn open(broker: &Broker) -> Result<Self, QueueError> {
        let endpoint = &broker.endpoint;
        let unreachable =
            |why: &dyn std::fmt::Display| QueueError::Lost(format!("cannot connect to {endpoint}: {why}"));

        let addresses =
            (endpoint.host.as_str(), endpoint.port).to_socket_addrs().map_err(|error| unreachable(&error))?;
        let mut failure = None;
        let mut connected = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, broker.connect_timeout) {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => failure = Some(error),
            }
        }
        let stream = match (connected, failure) {
            (Some(stream), _) => stream,
            (None, Some(error)) => return Err(unreachable(&error)),
            (None, None) => return Err(unreachable(&"the name has no address")),
        };
        // Without this, each publish waits for the delayed acknowledgement of the one before.
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        let watchdog = Watchdog::start(stream.try_clone().map_err(|error| unreachable(&error))?)
            .map_err(|error| unreachable(&error))?;

        let stream = MioStream::from_stream(stream).map_err(|error| unreachable(&error))?;
        let options = ConnectionOptions::default()
            .auth(endpoint.auth.clone())
            .virtual_host(endpoint.virtual_host.as_str())
            .heartbeat(HEARTBEAT_SECONDS)
            .connection_timeout(Some(broker.connect_timeout))
            .information(Some("contacts".into()));
        let tuning = ConnectionTuning::default().mem_channel_bound(CALLS_BUFFERED);
        let opened = watchdog.guard(CALL_LIMIT, || {
            let mut connection = start(stream, endpoint, options, tuning)?;
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
        let link = Self { channel: Some(channel), connection: Some(connection), watchdog };
        link.call(|channel| broker.topology.declare(channel))?;
        Ok(link)
    }

    /// The channel.
    pub(super) fn channel(&self) -> Result<&Channel, QueueError> {
        self.channel.as_ref().ok_or_else(|| lost("the channel is closed"))
    }

    /// The connection.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, QueueError> {
        self.connection.as_mut().ok_or_else(|| lost("the connection is closed"))
    }

    /// Opens another channel and prepares it.
    pub(super) fn another(&mut self, prepare: impl FnOnce(&Channel) -> Result<(), Error>) -> Result<Channel, Error> {
        let Some(connection) = self.connection.as_mut() else { return Err(Error::ClientClosedConnection) };
        self.watchdog.guard(CALL_LIMIT, || {
            let channel = connection.open_channel(None)?;
            prepare(&channel)?;
            Ok(channel)
        })
    }

    /// Runs calls that wait for the broker's answer; a dead peer cannot hold them for ever.
    pub(super) fn call<T>(&self, call: impl FnOnce(&Channel) -> Result<T, QueueError>) -> Result<T, QueueError> {
        let channel = self.channel()?;
        self.watchdog.guard(CALL_LIMIT, || call(channel))
    }

    /// Runs work that needs the broker's answer only to end well.
    pub(super) fn parting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.watchdog.guard(CLOSE_LIMIT, work)
    }

    /// Runs work whose end matters more than when it comes.
    pub(super) fn patiently<T>(&self, work: impl FnOnce() -> T) -> T {
        self.watchdog.guard(PATIENT_LIMIT, work)
    }

    /// The same for work that must succeed; see [`Self::call`].
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> T) -> T {
        self.watchdog.guard(CALL_LIMIT, work)
    }

    /// Closes, and says what ended the connection if it was not us: calls on a lost one only say that it is lost.
    pub(super) fn close(mut self) -> Result<(), QueueError> {
        self.shut(CLOSE_LIMIT)
    }

    /// The same, but waits for everything said before to be heard.
    pub(super) fn close_patiently(mut self) -> Result<(), QueueError> {
        self.shut(PATIENT_LIMIT)
    }

    fn shut(&mut self, limit: Duration) -> Result<(), QueueError> {
        let (channel, connection) = (self.channel.take(), self.connection.take());
        self.watchdog.guard(limit, || {
            drop(channel);
            match connection.map(Connection::close) {
                None | Some(Ok(())) => Ok(()),
                Some(Err(error)) => Err(lost(&describe(&error))),
            }
        })
    }

    /// The better of two explanations of a failure: the connection's own, if it has one.
    pub(super) fn explain(self, failure: QueueError) -> QueueError {
        match (&failure, self.close()) {
            (QueueError::Lost(_), Err(cause)) => cause,
            _ => failure,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Nobody is left to hear how the goodbye went.
        let _ = self.shut(CLOSE_LIMIT);
    }
}

#[cfg(not(feature = "tls"))]
fn start(
    stream: MioStream,
    endpoint: &super::Endpoint,
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
    endpoint: &super::Endpoint,
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

/// Cuts the socket when guarded work takes too long: the library's calls have no deadlines of their own.
struct Watchdog {
    orders: Sender<Option<Duration>>,
}

impl Watchdog {
    fn start(socket: TcpStream) -> std::io::Result<Self> {
        let (orders, inbox) = bounded::<Option<Duration>>(4);
        thread::Builder::new().name("amqp-watchdog".into()).spawn(move || {
            let mut limit = None;
            loop {
                let order = match limit {
                    None => inbox.recv().map_err(RecvTimeoutError::from),
                    Some(limit) => inbox.recv_timeout(limit),
                };
                match order {
                    Ok(new_limit) => limit = new_limit,
                    Err(RecvTimeoutError::Timeout) => {
                        // It may be cut already; that is as good.
                        let _ = socket.shutdown(Shutdown::Both);
                        limit = None;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { orders })
    }

    fn guard<T>(&self, limit: Duration, work: impl FnOnce() -> T) -> T {
        // The thread lives as long as this sender, so neither send fails.
        let _ = self.orders.send(Some(limit));
        let result = work();
        let _ = self.orders.send(None);
        result
    }
}

/// A failure that a new connection may heal.
pub(super) fn lost(why: &(impl std::fmt::Display + ?Sized)) -> QueueError {
    QueueError::Lost(why.to_string())
}

/// An error in words that hold no URL: some of the library's print the password.
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
        Error::MissedServerHeartbeats => "the broker fell silent (no heartbeats)".into(),
        Error::UnexpectedSocketClose => "the broker closed the connection without a word".into(),
        other => other.to_string(),
    }
}
