//! Many contacts at once, from a terminal: a file to the API of a running service, and back.
//!
//! The rule this room keeps: what is sent again is the same request, byte for byte and key for key, so that an import ended
//! at any moment is gone on with by running it again; and an export either is there whole or not at all. It speaks to the
//! API only: it must not know queues, stores or settings.

mod arguments;
mod client;
mod export;
mod import;
mod progress;
mod records;

pub use arguments::{Export, Import};

use crate::stop::Stop;

/// Why a transfer ended before its end, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// It failed; what was done is said.
    #[error("{0}")]
    Failed(String),
    /// Nobody reads what we write.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

/// How a transfer that came to its end did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every record was accepted, or is valid, or was exported.
    Well,
    /// Some records are not valid; all others were accepted.
    SomeInvalid,
}

/// Sends a file to the service.
pub fn import(arguments: &Import, stop: &Stop) -> Result<Ended, TransferError> {
    import::run(arguments, stop)
}

/// Brings contacts from the service to a file.
pub fn export(arguments: &Export, stop: &Stop) -> Result<Ended, TransferError> {
    export::run(arguments, stop)
}
