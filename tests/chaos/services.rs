//! A private broker and a private database, which a round may kill. `make chaos` starts them with `tests/services`.

use crate::support::{Broker, Database, Stack};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub struct Services {
    script: PathBuf,
    broker_url: String,
    database_url: String,
}

impl Services {
    /// The services of `make chaos`, or `None` if something else runs the tests.
    pub fn from_environment() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        variable("CONTACTS_CHAOS_OWN_SERVICES")?;
        Some(Self {
            script: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/services"),
            broker_url: variable("CONTACTS_TEST_BROKER_URL")?,
            database_url: variable("CONTACTS_TEST_DATABASE_URL")?,
        })
    }

    pub fn stack(&self) -> Stack {
        Stack::with(Broker::with_url(&self.broker_url), Database::with_url(&self.database_url))
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.script).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops a service with a signal and starts it again with the same data.
    pub fn restart(&self, service: &str, signal: &str) {
        self.run(&["restart", service, signal]);
    }

    pub fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        self.run(&[&["rabbitmqctl"], arguments].concat())
    }

    /// Sets the maximum length of a queue. Raise the limit to end the fault: if the limit is removed, publishers that
    /// were rejected before wait for ever; see docs/RELIABILITY.md.
    pub fn set_queue_limit(&self, queue: &str, messages: usize) {
        let limit = format!(r#"{{"max-length": {messages}, "overflow": "reject-publish"}}"#);
        self.rabbitmqctl(&["set_policy", "full", &format!("^{queue}$"), &limit, "--apply-to", "queues"]);
    }

    /// Opens all free connections of the database for a time.
    pub fn exhaust_connections(&self, time: Duration) {
        let database = Database::with_url(&self.database_url);
        let mut connections = Vec::new();
        while let Some(connection) = database.try_connect() {
            connections.push(connection);
        }
        std::thread::sleep(time);
    }

    /// Ends the memory alarm. The other faults end by themselves.
    pub fn clear_faults(&self) {
        self.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]);
    }
}
