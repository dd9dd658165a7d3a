//! `contacts` stores the contacts of a company. Its HTTP API never loses a change that it has accepted.
//!
//! `docs/ARCHITECTURE.md` describes the modules and which modules each may use. `tests/architecture.rs` checks it.

pub mod backoff;
pub mod backup;
pub mod cli;
pub mod config;
pub mod console;
pub mod consumer;
pub mod data_folder;
pub mod dlq;
pub mod domain;
pub mod events;
pub mod formats;
pub mod message;
pub mod producer;
pub mod queue;
pub mod runtime;
mod security_headers;
pub mod stop;
pub mod store;
pub mod subject;
pub mod telemetry;
pub mod terminal;
pub mod transfer;
