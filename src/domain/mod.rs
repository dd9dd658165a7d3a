//! What a contact is and how commands change it: pure rules, no I/O, no clock, no library of the outside.
//!
//! The rule this room keeps: a value of one of its types is valid, because parsing is the only way to make one.
//! It must not know messages, queues, SQL or HTTP.

mod apply;
mod area;
mod batch;
mod command;
mod contact;
mod email;
mod ids;
mod invalid;
mod moment;
mod name;
mod name_key;
mod phone;
mod reason;
mod stamp;
#[cfg(test)]
mod testing;

pub use apply::{Decision, apply};
pub use area::{AREAS, AreaCode, Region, State};
pub use batch::{Attempt, Batch, Finished, Folded, Outcome, Record, SHORTEST_RETENTION, Status};
pub use command::{Action, Command, Fingerprint, OperationKind};
pub use contact::{Contact, Details, Life, Standing};
pub use email::Email;
pub use ids::{ContactId, OperationId};
pub use invalid::Invalid;
pub use moment::Micros;
pub use name::Name;
pub use name_key::NameKey;
pub use phone::Phone;
pub use reason::Reason;
pub use stamp::{HybridClock, Stamp};

/// A moment in UTC, with microseconds (what PostgreSQL's `timestamptz` keeps).
pub type Moment = chrono::DateTime<chrono::Utc>;
