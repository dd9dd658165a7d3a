//! The messages in the queues: body, properties and headers.
//!
//! The rule of this module: each body is decoded to a valid command or to a reason why it is dead-lettered. A reason
//! never contains personal data. This module does not know how messages are transported or handled.

mod codec;
mod headers;

pub use codec::{Undecodable, decode, encode};
pub use headers::{Failure, Header, Headers};

use crate::domain::{Command, ContactId, FailedOperation, OperationId, OperationKind, Origin, Reason, Timestamp};
use uuid::Uuid;

/// A message in a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The operation id as text. In a message of another program it can be any text, or empty.
    pub id: String,
    /// `contact.insert`, `contact.update`, `contact.delete` or `contact.patch`.
    pub kind: String,
    /// When the command was accepted, in seconds since 1970. 0 if unknown.
    pub timestamp: u64,
    /// The headers of this system, and all others with a value of a simple type.
    pub headers: Headers,
    /// JSON; see [`encode`].
    pub body: Vec<u8>,
}

impl Message {
    /// Makes the message of an accepted command.
    pub fn new(command: &Command) -> Self {
        Self {
            id: command.operation_id.to_string(),
            kind: format!("contact.{}", command.kind().as_str()),
            timestamp: unix_seconds(command.accepted_at),
            headers: Headers::default(),
            body: encode(command),
        }
    }
}

impl Message {
    /// When the change was accepted. A message that cannot be decoded may have the time in its body or in its properties.
    pub fn accepted_at(&self) -> Option<Timestamp> {
        let of_body = match decode(&self.body) {
            Ok(command) => Some(command.accepted_at),
            Err(_undecodable) => codec::accepted_at_of(&self.body),
        };
        let seconds = i64::try_from(self.timestamp).ok().filter(|seconds| *seconds > 0);
        of_body.or_else(|| Timestamp::from_timestamp(seconds?, 0))
    }

    /// The operation of a message that cannot be decoded, if its properties name it. Its client may be waiting for it.
    pub fn failed_operation(&self, reason: Reason, origin: Origin) -> Option<FailedOperation> {
        let accepted_at = i64::try_from(self.timestamp).ok().filter(|seconds| *seconds > 0)?;
        Some(FailedOperation {
            id: OperationId::new(Uuid::try_parse(&self.id).ok()?),
            contact_id: ContactId::new(codec::contact_of(&self.body).unwrap_or_default()),
            kind: OperationKind::parse(self.kind.strip_prefix("contact.")?)?,
            reason,
            replays: self.headers.replays(),
            accepted_at: Timestamp::from_timestamp(accepted_at, 0)?,
            origin,
        })
    }
}

fn unix_seconds(timestamp: Timestamp) -> u64 {
    u64::try_from(timestamp.timestamp()).unwrap_or(0)
}
