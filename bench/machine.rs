//! The machine and the versions of a run.

use super::setup::Environment;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Descriptions by name.
pub type Machine = BTreeMap<&'static str, String>;

pub fn describe(environment: &Environment) -> Machine {
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let broker = super::broker::version(&environment.broker);
    let descriptions = [
        ("processor", field("/proc/cpuinfo", "model name").map(|model| format!("{model}, {cores} cores"))),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|release| release.trim().to_owned())),
        ("RabbitMQ", Some(broker)),
        ("PostgreSQL", Some(environment.setting("server_version"))),
        ("shared_buffers", Some(environment.setting("shared_buffers"))),
        ("max_wal_size", Some(environment.setting("max_wal_size"))),
        ("Rust", first_line("rustc", "--version")),
        ("Node", first_line("node", "--version")),
        ("load", first_line("wrk", "-v").map(|line| line.chars().take(20).collect())),
        ("contacts", first_line(&environment.contacts.to_string_lossy(), "--version")),
    ];
    descriptions.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
