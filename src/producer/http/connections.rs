//! Closes connections that send no complete request. The HTTP library has a deadline only for the first head of a
//! connection. Its keep-alive timeout stops at the first byte of the next request.
//!
//! Rule of this file: an idle connection is closed after a timeout. A connection with an active request stays open. At the
//! end of the process, each client is told that its connection closes.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream as AsyncTcpStream;
use actix_web::web::Bytes;
use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How often all connections are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How often a farewell looks whether it is over.
const FAREWELL_INTERVAL: Duration = Duration::from_millis(20);

/// All open connections.
pub(crate) struct Connections(Mutex<Vec<Weak<Connection>>>);

/// One connection. The HTTP library keeps it as long as the socket.
pub(crate) struct Connection {
    /// A duplicate of the socket, to close it. The library does not give access to its own.
    socket: TcpStream,
    state: Mutex<State>,
}

struct State {
    /// Requests that are being handled.
    active_requests: usize,
    /// Since when the connection has no active request.
    idle_since: Instant,
}

impl Connections {
    /// Starts the task that closes idle connections. The task ends when the returned value is dropped.
    pub(crate) fn watch(idle_timeout: Duration) -> Arc<Self> {
        let connections = Arc::new(Self(Mutex::default()));
        let watched = Arc::downgrade(&connections);
        actix_web::rt::spawn(async move {
            while let Some(connections) = watched.upgrade() {
                connections.sweep(idle_timeout);
                drop(connections);
                tokio::time::sleep(SWEEP_INTERVAL).await;
            }
        });
        connections
    }

    /// Starts to watch an accepted connection.
    pub(crate) fn track(&self, accepted: &dyn Any, data: &mut Extensions) {
        let Some(accepted) = accepted.downcast_ref::<AsyncTcpStream>() else { return };
        // If no file descriptor is left, the connection is not watched.
        let Ok(socket) = accepted.as_fd().try_clone_to_owned() else { return };
        let state = Mutex::new(State { active_requests: 0, idle_since: Instant::now() });
        let connection = Arc::new(Connection { socket: socket.into(), state });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    /// Whether an open connection has no active request.
    fn any_idle(&self) -> bool {
        let connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().filter_map(Weak::upgrade).any(|connection| connection.state().active_requests == 0)
    }

    fn sweep(&self, idle_timeout: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let State { active_requests, idle_since } = *connection.state();
            if active_requests == 0 && idle_since.elapsed() > idle_timeout {
                // The library then drops the connection. An error means that it is already closed.
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
            true
        });
    }
}

/// The end of the API. A client that reuses its connection cannot know that the process stops. If the process closed the
/// connection at once, a request on its way would fail. So each client first gets an answer with `Connection: close`.
pub struct Farewell {
    pub(crate) connections: Arc<Connections>,
    /// How long clients without a request are waited for.
    pub(crate) limit: Duration,
}

impl Farewell {
    /// Waits until every connection without a request is closed, or until the limit. The answers must have
    /// `Connection: close` already.
    pub async fn wait(&self) {
        let end = Instant::now() + self.limit;
        while self.connections.any_idle() && Instant::now() < end {
            tokio::time::sleep(FAREWELL_INTERVAL).await;
        }
    }
}

impl Connection {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request as active until it is dropped.
pub(crate) struct ActiveRequest(Arc<Connection>);

impl ActiveRequest {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        connection.state().active_requests += 1;
        Self(connection.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.active_requests = state.active_requests.saturating_sub(1);
        state.idle_since = Instant::now();
    }
}

/// A body that keeps its request active until the body is sent.
pub(crate) struct TrackedBody {
    pub(crate) body: BoxBody,
    pub(crate) active_request: Option<ActiveRequest>,
}

impl MessageBody for TrackedBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, active_request } = self;
        body.try_into_bytes().map_err(|body| Self { body, active_request })
    }
}
