//! Logs, metrics, traces and health of a process, and the admin port that serves them.
//!
//! Rule of this module: no log line, label or health text contains a name, a phone number or an e-mail address.

pub mod admin;
mod health;
mod json_line;
mod logs;
pub mod metrics;
pub mod spans;
pub mod trace;

pub use health::{Component, ComponentStatus, Health, LastError};
pub use logs::{LogError, Logs, TRAFFIC, init as init_logs, is_request_logged};
