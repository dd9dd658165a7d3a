//! Classifies the errors of the databases. The class decides: wait, dead-letter the message, or stop.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// In the error for a pooler that gives each transaction another session.
pub(super) const TRANSACTION_POOLING: &str = "the pooler in front of PostgreSQL gives each transaction another session, \
    but this program needs sessions: set pool_mode = session in PgBouncer, or connect to PostgreSQL itself";

/// At the end of an error whose own text is not shown.
const HIDDEN: &str = "the message is only in the database's log, because it can contain data";

/// An error of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may work later: the database is unreachable or overloaded, a deadlock, a full disk.
    #[error("{0}")]
    Unavailable(String),
    /// Another session holds a lock for longer than a batch waits.
    #[error("{0}")]
    Locked(String),
    /// The data of a command in the batch violates a constraint of the schema.
    #[error("{0}")]
    Rejected(String),
    /// Waiting does not help: the schema is older, the URL is not valid, or this version cannot read a row.
    #[error("{0}")]
    Misconfigured(String),
}

impl StoreError {
    /// The error of a batch that took at least the time that it waits for a lock. A database can write its texts in another
    /// language, and diesel does not show the code of this error.
    pub(super) fn or_locked(self) -> Self {
        match self {
            Self::Unavailable(why) if why.ends_with(HIDDEN) => Self::Locked(why),
            known => known,
        }
    }

    pub(super) fn pool(error: impl std::fmt::Display) -> Self {
        let error = error.to_string();
        if error.contains("SSL support is not compiled in") {
            return Self::Misconfigured(
                "database.url asks for TLS, which this build does not have: build with --features tls".into(),
            );
        }
        if let Some(start) = error.find(TRANSACTION_POOLING) {
            return Self::Misconfigured(error.get(start..).unwrap_or_default().to_owned());
        }
        Self::Unavailable(format!("no connection to the database: {}", one_line(&error)))
    }
}

impl From<DieselError> for StoreError {
    /// Only an error that is known to come from the data is `Rejected`. Every unknown error is `Unavailable`, because
    /// waiting loses nothing. A unique violation is a race with another worker; the next try sees the other row.
    ///
    /// The message of a database, also of a trigger, can contain the row. So only known messages are kept.
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(kind, information) => {
                let message = safe_message(kind, &**information);
                match kind {
                    DatabaseErrorKind::NotNullViolation
                    | DatabaseErrorKind::CheckViolation
                    | DatabaseErrorKind::ForeignKeyViolation
                    | DatabaseErrorKind::ExclusionViolation
                    | DatabaseErrorKind::RestrictViolation => Self::Rejected(message),
                    // diesel does not show the code of this error.
                    _ if message.starts_with("canceling statement due to lock timeout") => Self::Locked(message),
                    _ => Self::Unavailable(message),
                }
            }
            DieselError::SerializationError(_) | DieselError::InvalidCString(_) => {
                Self::Rejected("a value cannot be sent to the database".into())
            }
            DieselError::DeserializationError(_) => {
                Self::Misconfigured("a row cannot be read: another program may have written it".into())
            }
            other => Self::Unavailable(one_line(&other.to_string())),
        }
    }
}

/// The starts of messages of PostgreSQL and SQLite about their own state. They contain no data, and an operator needs
/// them.
const OPERATIONAL: &[&str] = &[
    "canceling ",
    "cannot execute ",
    "connection ",
    "could not connect",
    "could not extend file",
    "could not obtain lock",
    "could not receive data",
    "could not send data",
    "could not serialize",
    "could not write",
    "current transaction is aborted",
    "database ",
    "deadlock detected",
    "disk I/O error",
    "no connection to the server",
    "no such table",
    "out of memory",
    "out of shared memory",
    "password authentication failed",
    "permission denied",
    "relation \"",
    "remaining connection slots",
    "server closed the connection",
    "sorry, too many clients",
    "SSL ",
    "terminating connection",
    "the database system",
    "unable to open database file",
    "attempt to write a readonly database",
];

/// A message without data: the name of the violated constraint, or a message about the state of the database. Other
/// messages, such as those of triggers and conversions, can contain a value.
fn safe_message(kind: &DatabaseErrorKind, information: &dyn DatabaseErrorInformation) -> String {
    let message = one_line(information.message());
    let constraint = information.constraint_name().or_else(|| information.column_name());
    match (kind, constraint) {
        (DatabaseErrorKind::Unknown | DatabaseErrorKind::ClosedConnection, _)
        | (DatabaseErrorKind::SerializationFailure | DatabaseErrorKind::ReadOnlyTransaction, _)
        | (DatabaseErrorKind::UnableToSendCommand, _)
            if OPERATIONAL.iter().any(|start| message.starts_with(start)) =>
        {
            message
        }
        (_, Some(constraint)) => format!("{kind:?} of {constraint}"),
        (kind, None) => format!("{kind:?}; {HIDDEN}"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
