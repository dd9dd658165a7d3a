//! Reads the processes: this one directly, the others by HTTP from their admin ports.

use super::exposition::Exposition;
use crate::config::AdminUrl;
use crate::telemetry::metrics::MetricsExporter;
use crate::telemetry::{ComponentStatus, Health, LastError};
use futures_util::future::join_all;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// The name of the process that serves the console.
const THIS_PROCESS: &str = "this process";
/// How long another process may take to answer, with the time to resolve its name. It is shorter than the time between
/// two samples, so that one process that hangs does not delay the next sample.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answer, in bytes. The metrics of a process are less than a tenth of it.
const MAX_ANSWER: u64 = 1 << 20;
/// The maximum number of processes.
const MAX_PROCESSES: usize = 64;

/// What one process said.
#[derive(Clone, Debug)]
pub(in crate::console) struct Reading {
    pub(in crate::console) name: String,
    pub(in crate::console) answer: Result<Answer, String>,
}

#[derive(Clone, Debug, Default)]
pub(in crate::console) struct Answer {
    pub(in crate::console) exposition: Exposition,
    /// One for each name: the first that is not ready.
    pub(in crate::console) components: Vec<ComponentStatus>,
    /// Why the database does not answer. Only this process says it.
    pub(in crate::console) database_error: Option<String>,
}

/// Where the samples come from.
pub(in crate::console) struct Sources {
    pub(in crate::console) exporter: MetricsExporter,
    pub(in crate::console) health: Health,
    pub(in crate::console) database_error: LastError,
    /// The port of this process.
    pub(in crate::console) admin: SocketAddr,
    pub(in crate::console) targets: Vec<AdminUrl>,
}

impl Sources {
    /// Reads all processes at the same time. This process is the first.
    pub(in crate::console) async fn read(&self) -> Vec<Reading> {
        let own = Answer {
            exposition: Exposition::parse(&self.exporter.render()),
            components: by_name(self.health.statuses()),
            database_error: self.database_error.get(),
        };
        let mut readings = vec![Reading { name: THIS_PROCESS.into(), answer: Ok(own) }];
        let deadline = Instant::now() + TIMEOUT;
        let targets = join_all(self.targets.iter().map(|target| resolve(target, deadline))).await.into_iter().flatten();
        let targets = targets.take(MAX_PROCESSES - 1);
        let others = targets.map(|(name, address)| async move {
            let answer = match address {
                Ok(address) => match timeout_at(deadline, read(address, self.admin.port())).await {
                    Ok(answer) => answer.map_err(|error| error.to_string()),
                    Err(_) => Err("it does not answer in time".to_owned()),
                },
                Err(error) => Err(error),
            };
            Some(Reading { name, answer: answer.transpose()? })
        });
        readings.extend(join_all(others).await.into_iter().flatten());
        readings
    }
}

/// The addresses of a target, each with the name of its process. Addresses change, so each reading asks again.
async fn resolve(target: &AdminUrl, deadline: Instant) -> Vec<(String, Result<SocketAddr, String>)> {
    let name = target.authority();
    let addresses: Vec<SocketAddr> = match timeout_at(deadline, lookup_host(name)).await {
        Ok(Ok(addresses)) => {
            let (v4, v6): (Vec<SocketAddr>, _) = addresses.partition(SocketAddr::is_ipv4);
            // A process with addresses of both families is one process.
            if v4.is_empty() { v6 } else { v4 }
        }
        Ok(Err(error)) => return vec![(name.to_owned(), Err(error.to_string()))],
        Err(_) => return vec![(name.to_owned(), Err("its name is not resolved in time".into()))],
    };
    match addresses.as_slice() {
        [] => vec![(name.to_owned(), Err("its name has no address".into()))],
        [address] => vec![(name.to_owned(), Ok(*address))],
        several => several.iter().map(|address| (format!("{name} ({})", address.ip()), Ok(*address))).collect(),
    }
}

/// Reads a process. `None`: it is this process, which is known already.
async fn read(address: SocketAddr, own_port: u16) -> io::Result<Option<Answer>> {
    let Some(metrics) = get(address, "/metrics", own_port).await? else { return Ok(None) };
    let Some(readiness) = get(address, "/readyz", own_port).await? else { return Ok(None) };
    let exposition = Exposition::parse(&metrics);
    if exposition.role.is_empty() {
        return Err(io::Error::other("it is no admin port of contacts"));
    }
    let readiness: Readiness = serde_json::from_str(&readiness).unwrap_or_default();
    Ok(Some(Answer { exposition, components: by_name(readiness.parts), database_error: None }))
}

/// The answer of `/readyz`.
#[derive(Default, Deserialize)]
struct Readiness {
    parts: Vec<ComponentStatus>,
}

/// Sends a request and returns the body of the answer, whatever its status is. `None`: it would reach this process.
async fn get(address: SocketAddr, path: &str, own_port: u16) -> io::Result<Option<String>> {
    let mut stream = TcpStream::connect(address).await?;
    if address.port() == own_port && stream.local_addr()?.ip() == address.ip() {
        return Ok(None);
    }
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER + 1).read_to_end(&mut answer).await?;
    if answer.len() as u64 > MAX_ANSWER {
        return Err(io::Error::other("its answer is too long"));
    }
    match String::from_utf8_lossy(&answer).split_once("\r\n\r\n") {
        Some((_, body)) => Ok(Some(body.to_owned())),
        None => Err(io::Error::other("its answer is not HTTP")),
    }
}

/// Components with the same name count as one, as in the metrics.
fn by_name(all: Vec<ComponentStatus>) -> Vec<ComponentStatus> {
    let mut merged = BTreeMap::new();
    for component in all {
        match merged.get(&component.name) {
            Some(ComponentStatus { ready: false, .. }) => {}
            _ => drop(merged.insert(component.name.clone(), component)),
        }
    }
    merged.into_values().collect()
}
