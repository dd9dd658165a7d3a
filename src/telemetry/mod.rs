//! What a role shows of itself: logs, metrics, health, and the admin port that serves them.
//!
//! The rule this room keeps: no name, phone or e-mail address in a log line, a label or a health text.

pub mod admin;
mod health;
mod json_line;
mod logs;
pub mod metrics;
pub mod spans;
pub mod trace;

pub use health::{Component, Health};
pub use logs::{LogError, Logs, TRAFFIC, init as init_logs};
