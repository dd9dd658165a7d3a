//! Connects to PostgreSQL: to one of several hosts, with a deadline for each statement.

use super::super::error::{StoreError, TRANSACTION_POOLING};
use super::sockets::{NewSockets, OwnSocket};
use super::watchdog::{Statements, Watchdog};
use crate::config::{DatabaseSettings, Url};
use diesel::connection::{Connection, SimpleConnection};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::{Error, ManageConnection, R2D2Connection};
use diesel::sql_types::{Nullable, Text};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// The shortest connect timeout of libpq.
const MIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait until another connection of this process is open.
const MAX_TURN: Duration = Duration::from_secs(1);
/// How often a connection is opened whose socket cannot be found.
const MAX_TRIES: u32 = 2;
/// How long a batch waits for a locked row. Workers hold a lock for milliseconds.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens, checks and discards the connections of a pool.
pub(super) struct Manager {
    url: String,
    ports: Vec<u16>,
    several_hosts: bool,
    connect_timeout: Duration,
    /// How long it may take to open a connection, with all hosts.
    open_timeout: Duration,
    statement_timeout: Duration,
    watchdog: Watchdog,
    /// Whether a second connection has shown that each connection has its own session.
    has_sessions: AtomicBool,
    /// Whether a socket was not found.
    has_unknown_socket: AtomicBool,
}

impl Manager {
    /// `must_write`: whether the connections must lead to a host that accepts writes.
    pub(super) fn new(url: &Url, settings: &DatabaseSettings, must_write: bool) -> Result<Self, StoreError> {
        let DatabaseSettings { connect_timeout, statement_timeout, .. } = *settings;
        let hosts = url.for_each_host();
        let port = |url: &Url| url::Url::parse(url.reveal()).ok().and_then(|url| url.port()).unwrap_or(5432);
        // A host that does not answer takes `connect_timeout`; then the login and the first statements follow.
        let open_timeout = connect_timeout.max(MIN_CONNECT_TIMEOUT) * (u32::try_from(hosts.len()).unwrap_or(1) + 1);
        Ok(Self {
            url: with_defaults(url, connect_timeout, must_write)?,
            ports: hosts.iter().map(port).collect(),
            several_hosts: hosts.len() > 1,
            connect_timeout,
            open_timeout,
            statement_timeout,
            has_sessions: AtomicBool::new(false),
            has_unknown_socket: AtomicBool::new(false),
            watchdog: Watchdog::start()
                .map_err(|error| StoreError::Unavailable(format!("cannot start a thread: {error}")))?,
        })
    }

    /// Opens a connection with a deadline for its statements.
    fn establish(&self) -> Result<PgConnection, Error> {
        let (connection, socket) = establish(&self.url, &self.ports, &self.watchdog, self.open_timeout);
        let mut connection = connection.map_err(Error::ConnectionError)?;
        if socket.is_none() && !self.has_unknown_socket.swap(true, Ordering::Relaxed) {
            tracing::warn!("the socket of a database connection is not known: its statements have no deadline here");
        }
        connection.set_instrumentation(self.watchdog.watch(socket, self.statement_timeout));
        Ok(connection)
    }

    /// Whether the server has become read-only. With one host there is no other to report: the worker says that it waits.
    fn must_leave(&self, connection: &mut PgConnection) -> bool {
        let report = || {
            if self.several_hosts {
                tracing::warn!("the database has become read-only: connecting to another host");
            }
        };
        statements(connection).is_some_and(|statements| self.watchdog.must_leave(statements, report))
    }

    /// Sets the timeouts of the session.
    fn prepare(&self, connection: &mut PgConnection) -> QueryResult<()> {
        // PostgreSQL plans a statement once per session. A plan from a time when the tables are small would read them
        // sequentially until the session ends, even if they grow. All statements here have an index.
        //
        // The statements are short: to compile them or to start workers takes longer than it saves. A search for words
        // that many names have needs memory for all their rows; with less, PostgreSQL compares whole pages again.
        let timeout = self.statement_timeout.as_millis();
        let settings = format!(
            "SET statement_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout}; \
             SET enable_seqscan = off; SET jit = off; SET max_parallel_workers_per_gather = 0; \
             SET work_mem = '32MB'; SET lock_timeout = {}; SET contacts.session = 'used'",
            LOCK_TIMEOUT.as_millis()
        );
        require_own_session(connection)?;
        connection.batch_execute(&settings)
    }
}

/// Fails if another connection has used this session. A new session does not have the mark that [`Manager::prepare`] sets,
/// and a pooler that resets its sessions removes it.
fn require_own_session(connection: &mut PgConnection) -> QueryResult<()> {
    let session: SessionMark =
        diesel::sql_query("SELECT current_setting('contacts.session', true) AS mark").get_result(connection)?;
    match session.mark.as_deref() {
        None | Some("") => Ok(()),
        Some(_) => Err(diesel::result::Error::QueryBuilderError(TRANSACTION_POOLING.into())),
    }
}

#[derive(QueryableByName)]
struct SessionMark {
    #[diesel(sql_type = Nullable<Text>)]
    mark: Option<String>,
}

impl ManageConnection for Manager {
    type Connection = PgConnection;
    type Error = Error;

    fn connect(&self) -> Result<PgConnection, Error> {
        let mut connection = self.establish()?;
        self.prepare(&mut connection).map_err(Error::QueryError)?;
        // A pooler that shares sessions gives the second connection the session that the first one has just used. If the
        // second cannot be opened, the next connection checks it again.
        if !self.has_sessions.load(Ordering::Relaxed)
            && let Ok(mut second) = self.establish()
        {
            require_own_session(&mut second).map_err(Error::QueryError)?;
            self.has_sessions.store(true, Ordering::Relaxed);
        }
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut PgConnection) -> Result<(), Error> {
        if self.must_leave(connection) {
            return Err(Error::QueryError(diesel::result::Error::BrokenTransactionManager));
        }
        let before = statements(connection).and_then(|statements| statements.set_limit(Some(self.connect_timeout)));
        let result = connection.ping().map_err(Error::QueryError);
        if let Some(statements) = statements(connection) {
            statements.set_limit(before);
        }
        result
    }

    fn has_broken(&self, connection: &mut PgConnection) -> bool {
        self.must_leave(connection) || std::thread::panicking() || connection.is_broken()
    }
}

/// The watch of a connection.
pub(super) fn statements(connection: &mut PgConnection) -> Option<&mut Statements> {
    connection.instrumentation().downcast_mut()
}

/// Adds parameters that detect a dead connection and that choose a host, unless the URL sets them. Source: libpq,
/// "Parameter Key Words".
fn with_defaults(url: &Url, connect_timeout: Duration, must_write: bool) -> Result<String, StoreError> {
    if !has_valid_percent_encoding(url.reveal()) {
        return Err(StoreError::Misconfigured(
            "database.url holds a % that is not followed by two hexadecimal digits".into(),
        ));
    }
    let seconds = connect_timeout.as_secs().max(2).to_string();
    let mut defaults = vec![
        ("application_name", "contacts"),
        ("connect_timeout", seconds.as_str()),
        ("tcp_user_timeout", "10000"),
        ("keepalives_idle", "10"),
        ("keepalives_interval", "5"),
        ("keepalives_count", "3"),
    ];
    if url.for_each_host().len() > 1 {
        defaults.push(("load_balance_hosts", "random"));
        if must_write {
            defaults.push(("target_session_attrs", "read-write"));
        }
    }
    let mut is_postgres = false;
    let changed = url.map(|url| {
        is_postgres = matches!(url.scheme(), "postgres" | "postgresql");
        for (name, value) in defaults {
            if !url.query_pairs().any(|(given, _)| given == name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Some(())
    });
    let Some(changed) = changed else {
        return Err(StoreError::Misconfigured(
            "database.url is not a URL; it looks like postgres://user:password@host:5432/database, with commas between \
             several hosts"
                .into(),
        ));
    };
    if !is_postgres {
        return Err(StoreError::Misconfigured("database.url must begin with postgres://".into()));
    }
    Ok(changed.reveal().to_owned())
}

/// Without this check, libpq rejects the URL with a message that contains the password.
fn has_valid_percent_encoding(url: &str) -> bool {
    let digits = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    url.split('%').skip(1).all(digits)
}

/// Connects, and finds the socket of the connection. libpq does not show it, so it is the socket that is new. If another
/// connection is being opened at the same time, there are two, until the other one is identified. If that does not happen, the
/// connection is opened again.
fn establish(
    url: &str,
    ports: &[u16],
    watchdog: &Watchdog,
    limit: Duration,
) -> (ConnectionResult<PgConnection>, Option<OwnSocket>) {
    let mut tries = 0;
    loop {
        tries += 1;
        let turn = wait_for_turn();
        let new = NewSockets::from_now(ports);
        let connection = watchdog.while_opening(limit, new.clone(), || PgConnection::establish(url));
        drop(turn);
        if connection.is_err() {
            return (connection, None);
        }
        let started = Instant::now();
        loop {
            let mut sockets = new.find();
            if sockets.len() < 2 {
                return (connection, sockets.pop().map(OwnSocket::claim));
            }
            if started.elapsed() > MAX_TURN {
                break;
            }
            drop(sockets);
            std::thread::sleep(Duration::from_millis(5));
        }
        if tries == MAX_TRIES {
            return (connection, None);
        }
    }
}

/// One connection is opened at a time, so that usually no other is new, too. But a host that does not answer must not keep the
/// other connections waiting.
fn wait_for_turn() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    let started = Instant::now();
    loop {
        match TURN.try_lock() {
            Ok(turn) => return Some(turn),
            Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) if started.elapsed() > MAX_TURN => return None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
