//! The peers: programs with the same function in three other stacks; see `bench/peers`.

use super::process::{Process, free_port};
use super::setup::Schema;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Go,
    Node,
    /// With this number of HTTP processes.
    Python(u32),
}

/// A path in this repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn go_program(name: &str) -> PathBuf {
    path(&format!("target/bench/go/{name}"))
}

impl Peer {
    /// Not every machine can build the Go peer. Without it, the run goes on, and says so.
    pub fn is_installed(self) -> bool {
        let installed = self != Self::Go || ["producer", "consumer"].iter().all(|name| go_program(name).exists());
        if !installed {
            eprintln!("  the Go peer is missing: `bench/peers/install` says why");
        }
        installed
    }

    fn command(self, program: &str, schema: &Schema<'_>) -> Command {
        let mut command = match self {
            Self::Go => Command::new(go_program(program)),
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(path(&format!("bench/peers/node/{program}.js"))).env("NODE_ENV", "production");
                command
            }
            Self::Python(workers) => {
                let mut command = Command::new(path("target/bench/python/bin/python"));
                command.arg(path(&format!("bench/peers/python/{program}.py"))).env("WORKERS", workers.to_string());
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
