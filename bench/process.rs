//! Processes under measurement: started, watched, ended.

use super::broker::PATIENCE;
use super::setup::{Schema, Stand};
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Clock ticks in a second, as `/proc/PID/stat` counts. Source: proc(5), sysconf(_SC_CLK_TCK) on Linux.
const TICKS: f64 = 100.0;

/// A running process; it ends with this value.
pub struct Process {
    child: Child,
    /// Where its API is.
    pub url: String,
    /// Where its metrics are.
    admin: String,
    /// From its start until it was ready.
    pub start: Duration,
}

fn origin(url: &str) -> String {
    url.rsplit_once('/').unwrap().0.to_owned()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Process {
    /// Starts a role of ours with all settings at their defaults but these, and waits until it is ready.
    pub fn role(role: &str, schema: &Schema<'_>, settings: &[(&str, String)]) -> Self {
        let command = schema.stand.command(role, schema);
        Self::of_ours(command, role, schema, settings, Duration::from_millis(2))
    }

    /// The same behind another program, and asked seldom whether it is ready: each question is work, too.
    pub fn slow_role(wrapper: &[String], role: &str, schema: &Schema<'_>) -> Self {
        let command = schema.stand.command_behind(wrapper, role, schema);
        Self::of_ours(command, role, schema, &[], Duration::from_millis(200))
    }

    fn of_ours(
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
        Self::start(schema.stand, command, role, http, format!("http://127.0.0.1:{admin}/readyz"), pause)
    }

    /// Starts any server that answers `/livez` on its port once it can be used.
    pub fn server(stand: &Stand, command: Command, name: &str, port: u16) -> Self {
        Self::start(stand, command, name, port, format!("http://127.0.0.1:{port}/livez"), Duration::from_millis(2))
    }

    /// Starts a program that shows nothing of itself.
    pub fn program(stand: &Stand, mut command: Command, name: &str) -> Self {
        let child = command.stdout(stand.log(name)).stderr(Stdio::from(stand.log(name))).spawn().unwrap();
        Self { child, url: String::new(), admin: String::new(), start: Duration::ZERO }
    }

    fn start(stand: &Stand, mut command: Command, name: &str, port: u16, ready: String, pause: Duration) -> Self {
        let log = stand.log(&format!("{name}.log"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let began = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut process =
            Self { child, url: format!("http://127.0.0.1:{port}"), admin: origin(&ready), start: Duration::ZERO };
        while ureq::get(&ready).call().is_err() {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{name} does not start: see target/bench/logs");
            sleep(pause);
        }
        process.start = began.elapsed();
        process
    }

    /// CPU seconds used so far, user and system.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which may hold anything and ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
    }

    /// The most memory it has had, in MiB.
    pub fn peak_rss(&self) -> f64 {
        peak_rss(self.child.id()).unwrap()
    }

    /// Commands applied so far.
    pub fn applied(&self) -> f64 {
        self.metric("contacts_consumer_messages_total{outcome=\"applied\"}")
    }

    /// Commands that ended as dead letters so far.
    pub fn failed(&self) -> f64 {
        self.metric("contacts_consumer_messages_total{outcome=\"failed\"}")
    }

    fn metric(&self, series: &str) -> f64 {
        let Ok(mut answer) = ureq::get(format!("{}/metrics", self.admin)).call() else { return 0.0 };
        let text = answer.body_mut().read_to_string().unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)).map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until `count` were applied: commands a second between the first look that saw some and the last.
    pub fn drained(&self, count: usize) -> f64 {
        drained(count, Duration::from_millis(20), || self.applied())
    }
}

/// The most memory that a process has had, in MiB; nothing if it has ended.
pub fn peak_rss(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0)
}

/// Waits until `progress` reaches `count`: its growth a second between the first look that saw some and the last.
pub fn drained(count: usize, pause: Duration, progress: impl Fn() -> f64) -> f64 {
    let deadline = Instant::now() + PATIENCE;
    let mut first = None;
    loop {
        let (now, done) = (Instant::now(), progress());
        let (since, before) = *first.get_or_insert((now, done));
        if done >= count as f64 {
            return (done - before) / (now - since).as_secs_f64();
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
