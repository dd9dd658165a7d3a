//! What travels through the queue: the body, its properties and our headers.
//!
//! The rule this room keeps: whatever arrives is either a valid command or a reason for the dead letters, and a reason
//! never repeats personal data. It must not know how messages are carried or what becomes of them.

mod codec;
mod headers;

pub use codec::{Undecodable, decode, encode};
pub use headers::{Failure, Header, Headers};

use crate::domain::{Command, Timestamp};

/// A message as the queue carries it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The operation id, as text; foreign messages may have anything or nothing.
    pub id: String,
    /// `contact.insert`, `contact.update` or `contact.delete`.
    pub kind: String,
    /// When it was accepted, in whole seconds since 1970; 0 if unknown.
    pub timestamp: u64,
    /// Our headers and any others of a simple type.
    pub headers: Headers,
    /// JSON, see [`encode`].
    pub body: Vec<u8>,
}

impl Message {
    /// The message of an accepted command.
    pub fn new(command: &Command) -> Self {
        Self {
            id: command.operation_id.to_string(),
            kind: format!("contact.{}", command.kind().as_str()),
            timestamp: seconds(command.accepted_at),
            headers: Headers::default(),
            body: encode(command),
        }
    }
}

fn seconds(moment: Timestamp) -> u64 {
    u64::try_from(moment.timestamp()).unwrap_or(0)
}
