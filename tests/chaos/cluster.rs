//! Two producers and three consumers. Unless the broker and the database are clusters themselves, proxies are between them.

use super::clients::Traffic;
use super::environment::Environment;
use crate::support::{MAX_WAIT, Process, Proxy, Stack};
use contacts::queue::QueueKind;
use std::net::TcpListener;
use std::time::{Duration, Instant};

pub const PRODUCERS: usize = 2;
const CONSUMERS: usize = 3;
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

struct ClusterMember {
    role: &'static str,
    listen: String,
    process: Option<Process>,
    /// The process's clock is 5 s behind.
    late_clock: bool,
}

/// The proxies between the processes and their services.
pub struct Proxies {
    pub broker: Proxy,
    pub database: Proxy,
}

pub struct Cluster {
    pub stack: Stack,
    proxies: Option<Proxies>,
    members: Vec<ClusterMember>,
    /// Unexpected exits, and operations that were not finished in time.
    pub violations: Vec<String>,
    broker_url: String,
    database_url: String,
}

impl Cluster {
    pub fn start(environment: &Environment) -> Self {
        let stack = environment.stack();
        let proxies = environment.has_proxies().then(|| Proxies {
            broker: Proxy::to(stack.broker.address()),
            database: Proxy::to(stack.database.address()),
        });
        let (broker_url, database_url) = match &proxies {
            Some(Proxies { broker, database }) => {
                (broker.rewrite_url(&stack.broker.url), database.rewrite_url(&stack.database.url))
            }
            None => (stack.broker.url.clone(), stack.database.url.clone()),
        };
        // The other processes take free ports of 127.0.0.1, also while this one is stopped.
        let free_address = || TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().to_string();
        let producers = (0..PRODUCERS).map(|number| ClusterMember {
            role: "producer",
            listen: free_address(),
            process: None,
            late_clock: number == 1,
        });
        let consumers = (0..CONSUMERS).map(|_| ClusterMember {
            role: "consumer",
            listen: free_address(),
            process: None,
            late_clock: false,
        });
        let members = producers.chain(consumers).collect();
        let mut cluster = Self { stack, proxies, members, violations: Vec::new(), broker_url, database_url };
        cluster.start_missing();
        for member in &mut cluster.members {
            member.process.as_mut().unwrap().wait_until_ready();
        }
        if !matches!(environment, Environment::Shared) {
            // RabbitMQ 3.10 may lose the log of a quorum queue if it is killed within a second of the queue's
            // declaration; see docs/RELIABILITY.md. Queues are declared only once, so the round starts later.
            std::thread::sleep(Duration::from_secs(3));
        }
        cluster
    }

    /// The proxies. Only faults that need them call this.
    pub fn proxies(&self) -> &Proxies {
        self.proxies.as_ref().expect("this environment has no proxies")
    }

    /// The addresses of the producers.
    pub fn producers(&self) -> Vec<String> {
        self.members.iter().filter(|member| member.role == "producer").map(|member| member.listen.clone()).collect()
    }

    /// Starts every member that does not run.
    pub fn start_missing(&mut self) {
        for member in &mut self.members {
            if let Some(process) = &mut member.process
                && let Some(status) = process.exit_status()
            {
                self.violations.push(format!("a {} exited by itself with {status}:\n{}", member.role, process.log()));
                member.process = None;
            }
            if member.process.is_none() {
                let statement_timeout = format!("{}s", STATEMENT_TIMEOUT.as_secs());
                let mut settings = vec![
                    ("CONTACTS__BROKER__URL", self.broker_url.as_str()),
                    ("CONTACTS__DATABASE__URL", self.database_url.as_str()),
                    ("CONTACTS__HTTP__LISTEN", member.listen.as_str()),
                    ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "3s"),
                    ("CONTACTS__BROKER__CONNECT_TIMEOUT", "1s"),
                    ("CONTACTS__DATABASE__CONNECT_TIMEOUT", "1s"),
                    ("CONTACTS__DATABASE__STATEMENT_TIMEOUT", statement_timeout.as_str()),
                    ("CONTACTS__CONSUMER__HOLD", "1s"),
                    ("CONTACTS__HTTP__STREAM_HEARTBEAT", "1s"),
                ];
                let library = faketime_library();
                if let (true, Some(library)) = (member.late_clock, &library) {
                    settings.extend([
                        ("LD_PRELOAD", library.as_str()),
                        ("FAKETIME", "-5s"),
                        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                    ]);
                }
                member.process = Some(self.stack.start_with(member.role, &settings));
            }
        }
    }

    fn random_member(&mut self, role: &str, random: &mut fastrand::Rng) -> &mut ClusterMember {
        let indices: Vec<usize> = (0..self.members.len()).filter(|index| self.members[*index].role == role).collect();
        &mut self.members[indices[random.usize(..indices.len())]]
    }

    pub fn kill(&mut self, role: &str, random: &mut fastrand::Rng) {
        if let Some(mut process) = self.random_member(role, random).process.take() {
            process.kill();
        }
    }

    pub fn kill_all(&mut self, role: &str) {
        let members = self.members.iter_mut().filter(|member| member.role == role);
        members.filter_map(|member| member.process.take()).for_each(|mut process| process.kill());
    }

    pub fn terminate(&mut self, role: &str, random: &mut fastrand::Rng) {
        if let Some(mut process) = self.random_member(role, random).process.take() {
            // Wait until the process handles signals.
            process.admin();
            process.signal("TERM");
            let status = process.wait();
            if status.code() != Some(0) {
                self.violations.push(format!("a {role} exited with {status} after SIGTERM:\n{}", process.log()));
            }
        }
    }

    /// Suspends and continues a process, like a machine without memory or a virtual machine that is migrated.
    pub fn freeze(&mut self, role: &str, random: &mut fastrand::Rng, time: Duration) {
        if let Some(process) = &self.random_member(role, random).process {
            process.signal("STOP");
            std::thread::sleep(time);
            process.signal("CONT");
        }
    }

    /// Removes every fault.
    pub fn clear_faults(&mut self, environment: &Environment) {
        environment.clear_faults();
        if let Some(Proxies { broker, database }) = &self.proxies {
            broker.clear_faults();
            database.clear_faults();
        }
        self.start_missing();
    }

    /// Whether every accepted operation is finished and the queues are empty.
    pub fn all_finished(&self, traffic: &Traffic) -> bool {
        let accepted = i64::try_from(traffic.accepted.lock().unwrap().len()).unwrap();
        let empty = |queue| self.stack.broker.depth(queue) == 0;
        self.stack.database.count("operations") >= accepted && empty(QueueKind::Work) && empty(QueueKind::Retry)
    }

    /// Waits until every accepted operation is finished.
    pub fn wait_until_finished(&mut self, traffic: &Traffic) {
        let started = Instant::now();
        self.start_missing();
        while !self.all_finished(traffic) {
            if started.elapsed() > MAX_WAIT {
                self.violations
                    .push(format!("after {MAX_WAIT:?} an operation is not finished or a queue is not empty"));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            self.start_missing();
        }
    }

    /// Stops all members.
    pub fn stop(&mut self) {
        for member in &mut self.members {
            let mut process = member.process.take().unwrap();
            process.admin();
            process.signal("TERM");
            let status = process.wait();
            if status.code() != Some(0) {
                self.violations.push(format!("a {} exited with {status}:\n{}", member.role, process.log()));
            }
        }
    }
}

/// The library that changes a process's clock, if this machine has it (Debian package `libfaketime`).
pub fn faketime_library() -> Option<String> {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    std::path::Path::new(&path).exists().then_some(path)
}
