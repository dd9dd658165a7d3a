//! The integration tests, one binary: real RabbitMQ and PostgreSQL, real processes.
//!
//! `make test` brings the services up; each test has a schema and a queue prefix of its own.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

mod api;
mod architecture;
mod browser;
mod bulk;
mod chaos;
mod corpora;
mod delivery;
mod dlq;
mod docs;
mod endurance;
mod monitoring;
mod openapi;
mod plans;
mod poison;
mod queues;
mod roles;
mod rolling;
mod security;
mod stores;
mod support;
mod telemetry;
#[cfg(feature = "otlp")]
mod traces;
mod transfer;
