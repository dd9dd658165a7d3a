//! Two producers and three consumers, each behind proxies to the broker and to SQL.

use super::clients::Traffic;
use super::services::Services;
use crate::support::{PATIENCE, Process, Proxy, Stack};
use contacts::queue::QueueKind;
use std::net::TcpListener;
use std::time::{Duration, Instant};

pub const PRODUCERS: usize = 2;
const CONSUMERS: usize = 3;
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);

struct Member {
    role: &'static str,
    listen: String,
    process: Option<Process>,
    /// A clock that is behind, for one of them.
    late: bool,
}

pub struct Cluster {
    pub stack: Stack,
    pub broker: Proxy,
    pub database: Proxy,
    members: Vec<Member>,
    /// Exit codes that were not what they should be.
    pub wrong: Vec<String>,
    broker_url: String,
    database_url: String,
}

impl Cluster {
    pub fn start(services: Option<&Services>) -> Self {
        let stack = services.map_or_else(Stack::new, Services::stack);
        let broker = Proxy::to(stack.broker.address());
        let database = Proxy::to(stack.database.address());
        let (broker_url, database_url) = (broker.in_url(&stack.broker.url), database.in_url(&stack.database.url));
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let producers =
            (0..PRODUCERS).map(|number| Member { role: "producer", listen: free(), process: None, late: number == 1 });
        let consumers = (0..CONSUMERS).map(|_| Member { role: "consumer", listen: free(), process: None, late: false });
        let members = producers.chain(consumers).collect();
        let mut cluster = Self { stack, broker, database, members, wrong: Vec::new(), broker_url, database_url };
        cluster.start_missing();
        for member in &mut cluster.members {
            member.process.as_mut().unwrap().ready();
        }
        if services.is_some() {
            // RabbitMQ 3.10, killed in the first second of a quorum queue, may forget the queue's log; see
            // docs/RELIABILITY.md. Queues are made once in their life: the round begins after that.
            std::thread::sleep(Duration::from_secs(3));
        }
        cluster
    }

    pub fn producers(&self) -> Vec<String> {
        self.members.iter().filter(|member| member.role == "producer").map(|member| member.listen.clone()).collect()
    }

    pub fn start_missing(&mut self) {
        for member in &mut self.members {
            if let Some(process) = &mut member.process
                && let Some(status) = process.ended()
            {
                self.wrong.push(format!("a {} ended by itself with {status}:\n{}", member.role, process.log()));
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
                ];
                let library = late_clock();
                if let (true, Some(library)) = (member.late, &library) {
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

    fn any(&mut self, role: &str, random: &mut fastrand::Rng) -> &mut Member {
        let those: Vec<usize> = (0..self.members.len()).filter(|index| self.members[*index].role == role).collect();
        &mut self.members[those[random.usize(..those.len())]]
    }

    pub fn kill(&mut self, role: &str, random: &mut fastrand::Rng) {
        if let Some(mut process) = self.any(role, random).process.take() {
            process.kill();
        }
    }

    pub fn kill_all(&mut self, role: &str) {
        let those = self.members.iter_mut().filter(|member| member.role == role);
        those.filter_map(|member| member.process.take()).for_each(|mut process| process.kill());
    }

    pub fn terminate(&mut self, role: &str, random: &mut fastrand::Rng) {
        if let Some(mut process) = self.any(role, random).process.take() {
            // It must have begun to listen to signals.
            process.admin();
            process.signal("TERM");
            let status = process.wait();
            if status.code() != Some(0) {
                self.wrong.push(format!("a {role} that was asked to end ended with {status}:\n{}", process.log()));
            }
        }
    }

    /// Stops and continues a process, as a machine does that is out of memory or being moved.
    pub fn freeze(&mut self, role: &str, random: &mut fastrand::Rng, time: Duration) {
        if let Some(process) = &self.any(role, random).process {
            process.signal("STOP");
            std::thread::sleep(time);
            process.signal("CONT");
        }
    }

    /// Undoes every fault.
    pub fn heal(&mut self, services: Option<&Services>) {
        if let Some(services) = services {
            services.heal();
        }
        self.broker.heal();
        self.database.heal();
        self.start_missing();
    }

    /// Whether everything accepted has ended and the queues are empty.
    pub fn all_ended(&self, traffic: &Traffic) -> bool {
        let accepted = i64::try_from(traffic.accepted.lock().unwrap().len()).unwrap();
        let empty = |lane| self.stack.broker.depth(lane) == 0;
        self.stack.database.count("operations") >= accepted && empty(QueueKind::Work) && empty(QueueKind::Retry)
    }

    /// Waits until everything has ended.
    pub fn settle(&mut self, traffic: &Traffic) {
        let started = Instant::now();
        self.start_missing();
        while !self.all_ended(traffic) {
            if started.elapsed() > PATIENCE {
                self.wrong.push(format!("after {PATIENCE:?} not all has ended, or the queues are not empty"));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            self.start_missing();
        }
        for member in &mut self.members {
            let mut process = member.process.take().unwrap();
            process.admin();
            process.signal("TERM");
            let status = process.wait();
            if status.code() != Some(0) {
                self.wrong.push(format!("a {} ended with {status}:\n{}", member.role, process.log()));
            }
        }
    }
}

/// The library that moves a process's clock, if this machine has it (Debian: `libfaketime`).
pub fn late_clock() -> Option<String> {
    let path = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    std::path::Path::new(&path).exists().then_some(path)
}
