//! Contacts, and how commands change them. All functions are pure: no I/O, no system clock.
//!
//! The rule of this module: every value of its types is valid, because only parsing makes one. This module does not
//! know messages, queues, SQL or HTTP.

mod apply;
mod batch;
mod command;
mod contact;
mod erasure;
mod ids;
mod invalid;
mod reason;
mod stamp;
#[cfg(test)]
mod testing;
mod timestamp;

pub use apply::{Decision, apply};
pub use batch::{
    Attempt, Batch, BatchResult, FailedOperation, FinishedOperation, OperationRecord, Outcome, SHORTEST_RETENTION,
    Status,
};
pub use command::{Action, Command, Fingerprint, OperationKind, Origin};
pub use contact::{
    AREAS, AreaCode, ChangedMembers, Contact, Details, Email, EmailPatch, Lifecycle, MemberWrites, Name, NameKey,
    Patch, Phone, Region, Search, State, Write,
};
pub use erasure::{ErasedValues, Erasure, ErasureKey, Erasures};
pub use ids::{ContactId, ErasureId, OperationId};
pub use invalid::{Invalid, SuggestedPhone};
pub use reason::Reason;
pub use stamp::{HybridClock, Stamp};
pub use timestamp::Rfc3339Micros;

/// A point in time in UTC. The stores keep it to the microsecond.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
