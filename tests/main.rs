//! The integration tests. They are one binary and use a real RabbitMQ, a real PostgreSQL and real processes.
//!
//! `make test` starts the services. Each test has its own database schema and its own queue prefix.
#![expect(unreachable_pub, reason = "nothing else uses a test binary")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it fails"
)]

mod api;
mod architecture;
mod backup;
mod browser;
mod bulk;
mod changes;
mod chaos;
mod console;
mod console_dead_letters;
mod console_page;
mod console_trial;
mod corpora;
mod corpus;
mod delivery;
mod dlq;
mod docs;
mod endurance;
mod events;
mod examples;
mod failover;
mod feed;
mod history;
mod monitoring;
mod openapi;
mod phone_numbers;
mod plans;
mod poison;
mod queues;
mod recovery;
mod rights;
mod roles;
mod rolling;
mod scale;
mod security;
mod stores;
mod subjects;
mod support;
mod telemetry;
#[cfg(feature = "otlp")]
mod traces;
mod transfer;
