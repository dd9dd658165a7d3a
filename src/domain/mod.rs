//! What a contact is and how commands change it: pure rules, no I/O, no clock, no library of the outside.
//!
//! The rule this room keeps: a value of one of its types is valid, because parsing is the only way to make one.
//! It must not know messages, queues, SQL or HTTP.

mod apply;
mod batch;
mod command;
mod contact;
mod ids;
mod invalid;
mod reason;
mod stamp;
#[cfg(test)]
mod testing;
mod timestamp;

pub use apply::{Decision, apply};
pub use batch::{Attempt, Batch, BatchResult, EndedOperation, OperationRecord, Outcome, SHORTEST_RETENTION, Status};
pub use command::{Action, Command, Fingerprint, OperationKind};
pub use contact::{
    AREAS, AreaCode, Contact, ContactState, Details, Email, Lifecycle, Name, NameKey, Phone, Region, State,
};
pub use ids::{ContactId, OperationId};
pub use invalid::Invalid;
pub use reason::Reason;
pub use stamp::{HybridClock, Stamp};
pub use timestamp::Micros;

/// A moment in UTC, with microseconds (what PostgreSQL's `timestamptz` keeps).
pub type Timestamp = chrono::DateTime<chrono::Utc>;
