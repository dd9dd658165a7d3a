//! The measured processes: starts them, reads their metrics, and stops them.

use super::broker::MAX_WAIT;
use super::setup::{Environment, Schema};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Clock ticks per second in `/proc/PID/stat`. Source: proc(5), sysconf(_SC_CLK_TCK) on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process. It is stopped when the value is dropped.
pub struct Process {
    child: Child,
    /// The URL of its API.
    pub url: String,
    /// The URL of its admin port.
    admin: String,
    /// The time from its start until it was ready.
    pub start: Duration,
}

fn origin(url: &str) -> String {
    url.rsplit_once('/').unwrap().0.to_owned()
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Process {
    /// Starts a role with default settings, except `settings`, and waits until it is ready.
    pub fn role(role: &str, schema: &Schema<'_>, settings: &[(&str, String)]) -> Self {
        Self::role_of(&schema.environment.contacts, role, schema, settings)
    }

    /// The same with this binary.
    pub fn role_of(binary: &Path, role: &str, schema: &Schema<'_>, settings: &[(&str, String)]) -> Self {
        let command = schema.environment.command_of(binary, role, schema);
        Self::start_role(command, role, schema, settings, Duration::from_millis(2))
    }

    /// Starts a role under another program. It polls readiness rarely, because each request is measured, too.
    pub fn wrapped_role(wrapper: &[String], role: &str, schema: &Schema<'_>) -> Self {
        let command = schema.environment.wrapped_command(wrapper, role, schema);
        Self::start_role(command, role, schema, &[], Duration::from_millis(200))
    }

    fn start_role(
        mut command: Command,
        role: &str,
        schema: &Schema<'_>,
        settings: &[(&str, String)],
        pause: Duration,
    ) -> Self {
        let (http, admin) = (free_port(), free_port());
        command
            .env("CONTACTS__HTTP__LISTEN", format!("127.0.0.1:{http}"))
            .env("CONTACTS__ADMIN__LISTEN", format!("127.0.0.1:{admin}"))
            .envs(settings.iter().map(|(name, value)| (name, value)));
        Self::start(schema.environment, command, role, http, format!("http://127.0.0.1:{admin}/readyz"), pause)
    }

    /// Starts a server that answers `/livez` on its port when it is ready.
    pub fn server(environment: &Environment, command: Command, name: &str, port: u16) -> Self {
        Self::start(
            environment,
            command,
            name,
            port,
            format!("http://127.0.0.1:{port}/livez"),
            Duration::from_millis(2),
        )
    }

    /// Starts a program without an HTTP port.
    pub fn program(environment: &Environment, mut command: Command, name: &str) -> Self {
        let child = command.stdout(environment.log(name)).stderr(Stdio::from(environment.log(name))).spawn().unwrap();
        Self { child, url: String::new(), admin: String::new(), start: Duration::ZERO }
    }

    fn start(
        environment: &Environment,
        mut command: Command,
        name: &str,
        port: u16,
        ready: String,
        pause: Duration,
    ) -> Self {
        let log = environment.log(&format!("{name}.log"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut process =
            Self { child, url: format!("http://127.0.0.1:{port}"), admin: origin(&ready), start: Duration::ZERO };
        while ureq::get(&ready).call().is_err() {
            let exited = process.child.try_wait().unwrap();
            assert!(exited.is_none() && started.elapsed() < MAX_WAIT, "{name} is not ready: see target/bench/logs");
            sleep(pause);
        }
        process.start = started.elapsed();
        process
    }

    /// CPU time used until now (user and system), in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The fields follow the process name, which ends with the last parenthesis and may contain any character.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_PER_SECOND
    }

    /// The peak of its resident memory, in MiB.
    pub fn peak_rss(&self) -> f64 {
        peak_rss(self.child.id()).unwrap()
    }

    /// The number of commands applied until now.
    pub fn applied(&self) -> f64 {
        self.metric("contacts_consumer_messages_total{outcome=\"applied\"}")
    }

    /// The number of dead-lettered messages until now.
    pub fn failed(&self) -> f64 {
        self.metric("contacts_consumer_messages_total{outcome=\"failed\"}")
    }

    fn metric(&self, series: &str) -> f64 {
        let Ok(mut answer) = ureq::get(format!("{}/metrics", self.admin)).call() else { return 0.0 };
        let text = answer.body_mut().read_to_string().unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)).map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until `count` commands are applied. Returns the rate, in commands per second.
    pub fn drain_rate(&self, count: usize) -> f64 {
        drain_rate(count, Duration::from_millis(20), || self.applied())
    }
}

/// The peak of a process's resident memory, in MiB. `None` if the process has exited.
pub fn peak_rss(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0)
}

/// Waits until `progress` reaches `count`. Returns the growth per second, from the first poll with progress to the last
/// poll.
pub fn drain_rate(count: usize, pause: Duration, progress: impl Fn() -> f64) -> f64 {
    let deadline = Instant::now() + MAX_WAIT;
    let mut first = None;
    loop {
        let (now, done) = (Instant::now(), progress());
        let (start, before) = *first.get_or_insert((now, done));
        if done >= count as f64 {
            return (done - before) / (now - start).as_secs_f64();
        }
        if before < 1.0 {
            first = None;
        }
        assert!(now < deadline, "only {done} of {count} were applied");
        sleep(pause);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(30);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            sleep(Duration::from_millis(5));
        }
    }
}
