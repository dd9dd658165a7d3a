//! What it was measured on.

use super::setup::Stand;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Facts by name.
pub type Machine = BTreeMap<&'static str, String>;

pub fn describe(stand: &Stand) -> Machine {
    let first_line = |program: &str, argument: &str| {
        let done = Command::new(program).arg(argument).output().ok()?;
        let text = if done.stdout.is_empty() { done.stderr } else { done.stdout };
        Some(String::from_utf8_lossy(&text).lines().next()?.trim().to_owned())
    };
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let broker = super::broker::version(&stand.broker);
    let facts = [
        ("processor", field("/proc/cpuinfo", "model name").map(|model| format!("{model}, {cores} cores"))),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|release| release.trim().to_owned())),
        ("RabbitMQ", Some(broker)),
        ("PostgreSQL", Some(stand.word("SELECT current_setting('server_version') AS word"))),
        ("shared_buffers", Some(stand.word("SELECT current_setting('shared_buffers') AS word"))),
        ("max_wal_size", Some(stand.word("SELECT current_setting('max_wal_size') AS word"))),
        ("Rust", first_line("rustc", "--version")),
        ("Node", first_line("node", "--version")),
        ("load", first_line("wrk", "-v").map(|line| line.chars().take(20).collect())),
        ("contacts", first_line(&stand.contacts.to_string_lossy(), "--version")),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
