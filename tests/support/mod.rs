//! Helpers that tests share: services, `contacts` processes, an API client, a browser, commands.

mod broker;
mod browser;
mod client;
mod database;
mod event_stream;
mod process;
mod proxy;

pub use broker::Broker;
pub use browser::{Browser, ENTER, ESCAPE, TAB};
pub use client::{Answer, Client, json, person};
pub use database::Database;
pub use event_stream::{Event, EventStream};
pub use process::{Process, Stack, all_dead_letters, start_standalone};
pub use proxy::Proxy;

use contacts::domain::{Action, Command, ContactId, Details, Email, Name, OperationId, Patch, Phone, Stamp, Timestamp};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The longest time that a test waits for a condition. Only a failing test waits that long.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// Waits until a condition returns `Some`. `expectation` is for the failure message.
#[track_caller]
pub fn eventually<T>(expectation: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < MAX_WAIT, "not within {MAX_WAIT:?}: {expectation}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Host and port of a URL.
pub fn host_and_port(url: &str, default: u16) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(default))
}

/// The value of an environment variable (`make test` sets the services' URLs), or a default.
fn environment_variable(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

pub fn details(name: &str) -> Details {
    Details {
        name: Name::parse(name).unwrap(),
        phone: Phone::parse("11987654321").unwrap(),
        email: Some(Email::parse("someone@example.com").unwrap()),
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

pub fn patch(contact: ContactId, stamp: i64, patch: Patch) -> Command {
    command(contact, stamp, Action::Patch(patch))
}

pub fn delete(contact: ContactId, stamp: i64) -> Command {
    command(contact, stamp, Action::Delete)
}
