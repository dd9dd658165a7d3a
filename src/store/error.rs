//! What can go wrong in SQL, classed where it arises: the class decides between waiting and the dead letters.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

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
    /// The details of a database error quote the row, so only its message is kept.
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(kind, information) => {
                let message = one_line(information.message());
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

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
