//! The peers: programs with the same function in two other stacks; see `bench/peers`.

use super::process::{Process, free_port};
use super::setup::Schema;
use std::path::Path;
use std::process::Command;

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Node,
    /// With this number of HTTP processes.
    Python(u32),
}

impl Peer {
    fn command(self, program: &str, schema: &Schema<'_>) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = match self {
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(root.join(format!("bench/peers/node/{program}.js"))).env("NODE_ENV", "production");
                command
            }
            Self::Python(workers) => {
                let mut command = Command::new(root.join("target/bench/python/bin/python"));
                command.arg(root.join(format!("bench/peers/python/{program}.py"))).env("WORKERS", workers.to_string());
                command
            }
        };
        command
            .env("AMQP_URL", schema.environment.broker.as_str())
            .env("QUEUE", schema.queue())
            .env("DATABASE_URL", &schema.environment.database)
            .env("SCHEMA", &schema.name);
        command
    }

    pub fn producer(self, schema: &Schema<'_>) -> Process {
        let port = free_port();
        let mut command = self.command("producer", schema);
        command.env("PORT", port.to_string());
        Process::server(schema.environment, command, "peer-producer", port)
    }

    pub fn consumer(self, schema: &Schema<'_>) -> Process {
        Process::program(schema.environment, self.command("consumer", schema), "peer-consumer.log")
    }
}
