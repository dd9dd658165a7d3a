//! The operations of `dlq-drain`: one file for each.

pub(super) mod discard;
pub(super) mod export;
pub(super) mod import;
pub(super) mod list;
pub(super) mod replay;
pub(super) mod show;
