//! A deadline for each statement, on this side of the network.
//!
//! PostgreSQL's own `statement_timeout` does not help if the server, its disk or the network stops: then no answer comes
//! at all. So a thread closes the socket of a connection whose statement is overdue. libpq then reports a lost
//! connection. Neither libpq nor diesel has such a deadline.

use super::sockets::{NewSockets, OwnSocket};
use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often the thread looks at the deadlines.
const TICK: Duration = Duration::from_millis(200);
/// A server that cancels a statement at its timeout needs a little time to say so.
const MARGIN: Duration = Duration::from_millis(500);
/// No statement runs.
const IDLE: u64 = u64::MAX;

/// The connections of one pool, and a thread that ends with this value.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    sessions: Mutex<Vec<Weak<Session>>>,
    /// How often the server was found read-only. Connections of before are left.
    generation: AtomicU64,
    /// The connections that are being opened, by a number.
    opening: Mutex<HashMap<u64, Opening>>,
    opened: AtomicU64,
}

/// A connection that is being opened. Its socket is not known yet.
struct Opening {
    deadline: Instant,
    sockets: NewSockets,
}

impl Watchdog {
    pub(super) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            sessions: Mutex::default(),
            generation: AtomicU64::new(0),
            opening: Mutex::default(),
            opened: AtomicU64::new(0),
        });
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new().name("sql-watchdog".into()).spawn(move || {
            while let Some(shared) = watched.upgrade() {
                shared.close_overdue();
                shared.close_opening();
                drop(shared);
                std::thread::sleep(TICK);
            }
        })?;
        Ok(Self { shared })
    }

    /// Runs `open`, which opens a connection. After `limit`, closes its socket, which is one of `sockets`. libpq has a timeout
    /// for the login, but a pooler may accept it and then let the first statement wait.
    pub(super) fn while_opening<T>(&self, limit: Duration, sockets: NewSockets, open: impl FnOnce() -> T) -> T {
        let opening = Opening { deadline: Instant::now() + limit, sockets };
        let number = self.shared.opened.fetch_add(1, Ordering::Relaxed);
        self.shared.opening.lock().unwrap_or_else(PoisonError::into_inner).insert(number, opening);
        let result = open();
        self.shared.opening.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        result
    }

    /// Watches the statements of a new connection. Without its socket nothing can be closed.
    pub(super) fn watch(&self, socket: Option<OwnSocket>, statement_timeout: Duration) -> Statements {
        let session = Arc::new(Session {
            started: self.shared.started,
            socket,
            limit: AtomicU64::new(millis(statement_timeout + MARGIN)),
            deadline: AtomicU64::new(IDLE),
            read_only: AtomicBool::new(false),
            generation: self.shared.generation.load(Ordering::Relaxed),
        });
        let mut sessions = self.shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(&session));
        Statements(session)
    }
}

impl Watchdog {
    /// Whether a connection must be left, because the server has become read-only. Then all connections of the pool must,
    /// and `report` is called once for all of them.
    pub(super) fn must_leave(&self, statements: &Statements, report: impl FnOnce()) -> bool {
        let Session { generation, read_only, .. } = &*statements.0;
        if !read_only.load(Ordering::Relaxed) {
            return *generation != self.shared.generation.load(Ordering::Relaxed);
        }
        let next = generation.saturating_add(1);
        if self.shared.generation.compare_exchange(*generation, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            report();
        }
        true
    }
}

impl Shared {
    /// Closes the connections with an overdue statement. Then it also closes those without a statement: they lead to
    /// the same server, and each would keep its next user waiting as long.
    fn close_overdue(&self) {
        let now = millis(self.started.elapsed());
        let sessions: Vec<_> = {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.iter().filter_map(Weak::upgrade).collect()
        };
        let overdue = sessions.iter().filter(|session| session.deadline.load(Ordering::Relaxed) < now).count();
        if overdue == 0 {
            return;
        }
        tracing::warn!(statements = overdue, "the database did not answer in time: its connections are closed");
        for session in sessions {
            let deadline = session.deadline.load(Ordering::Relaxed);
            if deadline < now || deadline == IDLE {
                session.close();
            }
        }
    }
}

impl Shared {
    fn close_opening(&self) {
        let now = Instant::now();
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, opening| {
            let in_time = now < opening.deadline;
            if !in_time {
                tracing::warn!("the database did not open a connection in time: it is closed");
                opening.sockets.shut_down();
            }
            in_time
        });
    }
}

/// One connection.
struct Session {
    started: Instant,
    socket: Option<OwnSocket>,
    /// How long a statement may take, in milliseconds; [`IDLE`] for no limit.
    limit: AtomicU64,
    /// When the running statement is overdue, in milliseconds since `started`; [`IDLE`] if none runs.
    deadline: AtomicU64,
    /// The server refused a write because it is read-only, for example after a failover.
    read_only: AtomicBool,
    /// The generation of its pool when it was opened.
    generation: u64,
}

impl Session {
    fn close(&self) {
        if let Some(socket) = &self.socket {
            socket.shut_down();
        }
        // Closed once.
        self.deadline.store(IDLE, Ordering::Relaxed);
    }
}

/// Records when statements of a connection begin and end.
pub(super) struct Statements(Arc<Session>);

impl Statements {
    /// Sets the time that each of the next statements may take; `None` for no limit. Returns the limit of before.
    pub(super) fn set_limit(&self, limit: Option<Duration>) -> Option<Duration> {
        let before = self.0.limit.swap(limit.map_or(IDLE, millis), Ordering::Relaxed);
        (before != IDLE).then(|| Duration::from_millis(before))
    }
}

impl Instrumentation for Statements {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                let limit = self.0.limit.load(Ordering::Relaxed);
                let now = millis(self.0.started.elapsed());
                self.0.deadline.store(now.saturating_add(limit), Ordering::Relaxed);
            }
            InstrumentationEvent::FinishQuery { error, .. } => {
                self.0.deadline.store(IDLE, Ordering::Relaxed);
                if let Some(DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)) = error {
                    self.0.read_only.store(true, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(IDLE)
}
