//! Connections that begin another request and never end it: the HTTP library has a deadline for the first head of a
//! connection only, and forgets the one for idling as soon as a byte has come.
//!
//! The rule this file keeps: who asks for nothing is cut off in time, and who is being answered is left alone.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream as Accepted;
use actix_web::web::Bytes;
use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How often all are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// All open connections.
pub(crate) struct Connections(Mutex<Vec<Weak<Connection>>>);

/// One connection; the HTTP library holds it as long as the socket itself.
pub(crate) struct Connection {
    /// The same socket once more, to end it by: the library does not let go of its own.
    socket: TcpStream,
    state: Mutex<State>,
}

struct State {
    /// Requests that are being answered.
    busy: usize,
    /// Since when there is none.
    since: Instant,
}

impl Connections {
    /// Cuts those off that ask for nothing for longer than `patience`, until it is dropped.
    pub(crate) fn watch(patience: Duration) -> Arc<Self> {
        let connections = Arc::new(Self(Mutex::default()));
        let watched = Arc::downgrade(&connections);
        actix_web::rt::spawn(async move {
            while let Some(connections) = watched.upgrade() {
                connections.sweep(patience);
                drop(connections);
                tokio::time::sleep(EVERY).await;
            }
        });
        connections
    }

    /// Notes a connection that was accepted.
    pub(crate) fn opened(&self, accepted: &dyn Any, data: &mut Extensions) {
        let Some(accepted) = accepted.downcast_ref::<Accepted>() else { return };
        // Without a descriptor left it stays unwatched; the library will hardly take it either.
        let Ok(socket) = accepted.as_fd().try_clone_to_owned() else { return };
        let state = Mutex::new(State { busy: 0, since: Instant::now() });
        let connection = Arc::new(Connection { socket: socket.into(), state });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    fn sweep(&self, patience: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let State { busy, since } = *connection.state();
            if busy == 0 && since.elapsed() > patience {
                // The library sees the end of it, and forgets it. It may have ended by itself.
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
            true
        });
    }
}

impl Connection {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
pub(crate) struct Busy(Arc<Connection>);

impl Busy {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        connection.state().busy += 1;
        Self(connection.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy = state.busy.saturating_sub(1);
        state.since = Instant::now();
    }
}

/// A body that keeps its connection busy until it is sent.
pub(crate) struct Sent {
    pub(crate) body: BoxBody,
    pub(crate) busy: Option<Busy>,
}

impl MessageBody for Sent {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        let Self { body, busy } = self;
        body.try_into_bytes().map_err(|body| Self { body, busy })
    }
}
