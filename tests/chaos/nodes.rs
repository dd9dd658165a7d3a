//! A real cluster: three broker nodes, and a primary with a synchronous standby, each in its own network namespace.
//! `make cluster` starts it with `tests/cluster`.

use crate::support::{Broker, Database, Stack};
use std::path::PathBuf;
use std::process::Command;

pub struct Nodes {
    script: PathBuf,
    broker_url: String,
    database_url: String,
}

impl Nodes {
    /// The cluster of `make cluster`, or `None` if something else runs the tests.
    pub fn from_variables() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        variable("CONTACTS_CHAOS_CLUSTER")?;
        Some(Self {
            script: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cluster"),
            broker_url: variable("CONTACTS_TEST_BROKER_URL")?,
            database_url: variable("CONTACTS_TEST_DATABASE_URL")?,
        })
    }

    pub fn stack(&self) -> Stack {
        Stack::with(Broker::with_url(&self.broker_url), Database::with_url(&self.database_url))
    }

    /// Runs a command of `tests/cluster`, which returns when its effect is complete.
    pub fn run(&self, arguments: &[&str]) {
        self.read(arguments);
    }

    /// The number of the node that leads a queue.
    pub fn leader(&self, queue: &str) -> String {
        self.read(&["leader", queue])
    }

    /// The number of the database that accepts writes.
    pub fn primary(&self) -> String {
        self.read(&["primary"])
    }

    fn read(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.script).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}
