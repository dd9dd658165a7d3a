//! What can go wrong in SQL, classed where it arises: the class decides between waiting and the dead letters.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

/// A failure of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may work later: unreachable, overloaded, a deadlock, a disk that is full.
    #[error("{0}")]
    Unavailable(String),
    /// The data of a command in the batch breaks a rule of the schema.
    #[error("{0}")]
    Rejected(String),
    /// It can never work as it is set up: an older schema, a URL that is none, a row that this version cannot read.
    #[error("{0}")]
    Misconfigured(String),
}

impl StoreError {
    pub(super) fn pool(error: impl std::fmt::Display) -> Self {
        let error = error.to_string();
        if error.contains("SSL support is not compiled in") {
            return Self::Misconfigured(
                "database.url asks for TLS, which this build does not have: build with --features tls".into(),
            );
        }
        Self::Unavailable(format!("no connection to the database: {}", one_line(&error)))
    }
}

impl From<DieselError> for StoreError {
    /// Only what is known to lie in the data is a rejection: everything unknown is held to be temporary, because waiting
    /// loses nothing. A unique violation is a race with another worker, which the next try will see.
    ///
    /// A database's words may quote the row, also those of a trigger, so only some of them are kept.
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(kind, information) => {
                let message = words(kind, &**information);
                match kind {
                    DatabaseErrorKind::NotNullViolation
                    | DatabaseErrorKind::CheckViolation
                    | DatabaseErrorKind::ForeignKeyViolation
                    | DatabaseErrorKind::ExclusionViolation
                    | DatabaseErrorKind::RestrictViolation => Self::Rejected(message),
                    _ => Self::Unavailable(message),
                }
            }
            DieselError::SerializationError(_) | DieselError::InvalidCString(_) => {
                Self::Rejected("a value cannot be sent to the database".into())
            }
            DieselError::DeserializationError(_) => {
                Self::Misconfigured("a row cannot be read: was it written by something else?".into())
            }
            other => Self::Unavailable(one_line(&other.to_string())),
        }
    }
}

/// How messages begin that PostgreSQL and SQLite have about themselves, and that an operator needs.
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

/// What may be said of a database's error: the rule that was broken, by its name, or a message that is about the database
/// itself. Any other may quote a value, as those of triggers and conversions do.
fn words(kind: &DatabaseErrorKind, information: &dyn DatabaseErrorInformation) -> String {
    let message = one_line(information.message());
    let rule = information.constraint_name().or_else(|| information.column_name());
    match (kind, rule) {
        (DatabaseErrorKind::Unknown | DatabaseErrorKind::ClosedConnection, _)
        | (DatabaseErrorKind::SerializationFailure | DatabaseErrorKind::ReadOnlyTransaction, _)
        | (DatabaseErrorKind::UnableToSendCommand, _)
            if OPERATIONAL.iter().any(|beginning| message.starts_with(beginning)) =>
        {
            message
        }
        (_, Some(rule)) => format!("{kind:?} of {rule}"),
        (kind, None) => format!("{kind:?}; the database's own log has its words, which may quote data"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
