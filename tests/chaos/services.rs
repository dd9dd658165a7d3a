//! A broker and a database that a round may kill: `make chaos` starts them with `tests/services`.

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
    /// The services of `make chaos`, if it runs this.
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
        Stack::on(Broker::at(&self.broker_url), Database::at(&self.database_url))
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.script).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Ends a service by a signal and starts it on the same data.
    pub fn restart(&self, service: &str, signal: &str) {
        self.run(&["restart", service, signal]);
    }

    pub fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        self.run(&[&["rabbitmqctl"], arguments].concat())
    }

    /// Lets a queue hold no more than so many messages. A limit that is lifted instead of raised leaves those who were
    /// refused meanwhile waiting for ever, also the broker itself when it dead-letters; see docs/RELIABILITY.md.
    pub fn limit(&self, queue: &str, messages: usize) {
        let limit = format!(r#"{{"max-length": {messages}, "overflow": "reject-publish"}}"#);
        self.rabbitmqctl(&["set_policy", "full", &format!("^{queue}$"), &limit, "--apply-to", "queues"]);
    }

    /// Takes every connection the database has left.
    pub fn exhaust_connections(&self, time: Duration) {
        let database = Database::at(&self.database_url);
        let mut taken = Vec::new();
        while let Some(connection) = database.try_hold() {
            taken.push(connection);
        }
        std::thread::sleep(time);
    }

    /// Undoes what does not end by itself.
    pub fn heal(&self) {
        self.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]);
    }
}
