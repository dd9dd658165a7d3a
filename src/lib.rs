//! `contacts`: a company's contacts behind an HTTP API that never loses an accepted change.
//!
//! The rooms and the direction their dependencies take are drawn in `docs/ARCHITECTURE.md`; a test holds them to it.

pub mod backoff;
pub mod cli;
pub mod config;
pub mod consumer;
pub mod dlq;
pub mod domain;
pub mod formats;
pub mod message;
pub mod producer;
pub mod queue;
pub mod runtime;
pub mod stop;
pub mod store;
pub mod telemetry;
pub mod terminal;
pub mod transfer;
