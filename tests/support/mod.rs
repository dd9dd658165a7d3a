//! What tests share: services, processes of ours, a client, commands.

mod broker;
mod browser;
mod client;
mod database;
mod process;
mod proxy;

pub use broker::Broker;
pub use browser::{Browser, ENTER, ESCAPE, TAB};
pub use client::{Answer, Client, json, person};
pub use database::Database;
pub use process::{Process, Stack, all_letters, standalone};
pub use proxy::Proxy;

use contacts::domain::{Action, Command, ContactId, Details, Email, Name, OperationId, Phone, Stamp, Timestamp};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The longest a test waits for anything; only a failure takes that long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "still not after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where the server of a URL listens.
pub fn host_and_port(url: &str, default: u16) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(default))
}

/// An address of a service: from the environment (as `make test` sets it), else the usual local one.
fn service(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

pub fn details(name: &str) -> Details {
    Details {
        name: Name::parse(name).unwrap(),
        phone: Phone::parse("11987654321").unwrap(),
        email: Email::parse("someone@example.com").unwrap(),
    }
}

pub fn new_contact() -> ContactId {
    ContactId::new(Uuid::now_v7())
}

pub fn command(contact: ContactId, stamp: i64, action: Action) -> Command {
    Command {
        operation_id: OperationId::new(Uuid::now_v7()),
        contact_id: contact,
        stamp: Stamp::new(stamp).unwrap(),
        expects: None,
        accepted_at: Timestamp::from_timestamp_millis(1_700_000_000_000 + stamp).unwrap(),
        fingerprint: None,
        action,
    }
}

pub fn create(contact: ContactId, name: &str) -> Command {
    command(contact, 1, Action::Create(details(name)))
}

pub fn update(contact: ContactId, stamp: i64, name: &str) -> Command {
    command(contact, stamp, Action::Update(details(name)))
}

pub fn delete(contact: ContactId, stamp: i64) -> Command {
    command(contact, stamp, Action::Delete)
}
