//! The operations of `dlq-drain`: one file for each, and `fix`, which only the console has.

pub(super) mod discard;
pub(super) mod export;
pub(super) mod fix;
pub(super) mod import;
pub(super) mod list;
pub(super) mod replay;
pub(super) mod show;
