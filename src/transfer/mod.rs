//! `contacts import` and `contacts export`: transfer a file of contacts to a running service, or from it.
//!
//! The rules of this module: a repeated import sends the same requests with the same keys, so it can run again at any
//! time; an exported file is complete or does not exist. This module uses only the API. It does not know queues, stores
//! or settings.

mod arguments;
mod client;
mod export;
mod import;
mod progress;
mod records;

pub use arguments::{Export, Import};

use crate::stop::Stop;

/// Why a transfer did not complete.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The command line is not valid.
    #[error("{0}")]
    Usage(String),
    /// The transfer failed.
    #[error("{0}")]
    Failed(String),
    /// The output cannot be written.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

/// The outcome of a complete transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    /// Every record is accepted, valid (dry run) or exported.
    Complete,
    /// Some records are not valid. All other records are accepted.
    SomeInvalid,
}

/// Sends a file of contacts to the service.
pub fn import(arguments: &Import, stop: &Stop) -> Result<TransferOutcome, TransferError> {
    import::run(arguments, stop)
}

/// Writes contacts from the service to a file.
pub fn export(arguments: &Export, stop: &Stop) -> Result<TransferOutcome, TransferError> {
    export::run(arguments, stop)
}
