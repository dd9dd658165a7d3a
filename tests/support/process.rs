//! `contacts` processes: started on free ports, observed through their log, stopped by their id.

use super::{Broker, Client, Database, MAX_WAIT, eventually};
use contacts::message::Message;
use contacts::queue::rabbitmq::RabbitMq;
use contacts::queue::{DeadLetterQueue, QueueKind};
use contacts::stop::Stop;
use contacts::telemetry::Health;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Process {
    child: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Process {
    /// Starts `contacts` with these arguments, on free ports. Settings are environment variables.
    pub fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::from_command(Self::command(arguments, settings))
    }

    /// Starts a command, for example a script that runs `contacts`.
    pub fn from_command(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let out = File::create(&log).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        Self { child: command.spawn().unwrap(), log, _folder: folder }
    }

    /// The command that [`Self::start`] starts.
    pub fn command(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        Self::command_of(env!("CARGO_BIN_EXE_contacts"), arguments, settings)
    }

    /// The same command of another build of the program.
    pub fn command_of(program: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("CONTACTS__HTTP__LISTEN", "127.0.0.1:0")
            .env("CONTACTS__ADMIN__LISTEN", "127.0.0.1:0")
            .env("RUST_BACKTRACE", "1")
            .envs(settings.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Runs `contacts` until it exits. Returns its exit status and its output.
    pub fn run(arguments: &[&str], settings: &[(&str, &str)]) -> (ExitStatus, String) {
        let mut process = Self::start(arguments, settings);
        let status = process.wait();
        (status, process.log())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The log lines with this message.
    pub fn log_lines(&self, message: &str) -> Vec<Value> {
        let lines = self.log();
        let parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect()
    }

    #[track_caller]
    fn field(&mut self, message: &str, field: &str) -> String {
        eventually(&format!("{message:?} in the log"), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("exited with {status}:\n{}", self.log());
            }
            Some(self.log_lines(message).first()?[field].as_str()?.to_owned())
        })
    }

    /// A client of the process's API.
    #[track_caller]
    pub fn client(&mut self) -> Client {
        Client::new(&self.field("listening", "address"))
    }

    /// A client of the process's admin port.
    #[track_caller]
    pub fn admin(&mut self) -> Client {
        Client::new(&self.field("starting", "admin"))
    }

    /// Waits until `/readyz` answers 200.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let admin = self.admin();
        eventually("the process is ready", || {
            (admin.send("GET", "/readyz", &[], None).ok()?.status == 200).then_some(())
        });
    }

    /// The peak of the process's resident memory, in MiB.
    pub fn peak_rss_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, or `None` while the process runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the process exits", || self.child.try_wait().unwrap())
    }

    /// Sends SIGTERM and expects exit code 0.
    #[track_caller]
    pub fn terminate(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of a process:\n{}", self.log());
        }
    }
}

/// The services of one test: a broker with the test's own queues, a database with the test's own migrated schema.
pub struct Stack {
    pub broker: Broker,
    pub database: Database,
}

impl Stack {
    pub fn new() -> Self {
        Self::with(Broker::new(), Database::new())
    }

    pub fn with(broker: Broker, database: Database) -> Self {
        let stack = Self { broker, database };
        let (status, log) = Process::run(&["migrate"], &stack.settings(&[]));
        assert!(status.success(), "{log}");
        stack
    }

    pub fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut settings = vec![
            ("CONTACTS__BROKER__URL", self.broker.url.as_str()),
            ("CONTACTS__BROKER__PREFIX", self.broker.prefix.as_str()),
            ("CONTACTS__DATABASE__URL", self.database.url.as_str()),
            ("CONTACTS__RETRY__DELAY", "100ms"),
            // With faults or on a slow machine, an update may wait for its create longer than production allows.
            ("CONTACTS__RETRY__MAX_ATTEMPTS", "3000"),
        ];
        settings.extend_from_slice(more);
        settings
    }

    /// Publishes messages as a producer would, each for itself, and waits for their confirms.
    pub fn publish(&self, messages: impl IntoIterator<Item = Message>) {
        self.publish_in_packs(messages, 1);
    }

    /// The same, with up to `pack_max` messages in one.
    pub fn publish_in_packs(&self, messages: impl IntoIterator<Item = Message>, pack_max: usize) {
        let settings = contacts::config::BrokerSettings { pack_max, ..self.broker.settings() };
        let component = Health::default().component("queue");
        let rabbit = RabbitMq::new(&settings).unwrap();
        let (publisher, _thread) = rabbit.publisher(&settings, component, Stop::default()).unwrap();
        let mut messages: Vec<Message> = messages.into_iter().collect();
        eventually("all messages are confirmed", || {
            let batch = messages.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
            let results = publisher.publish_all(batch, MAX_WAIT);
            // A busy RabbitMQ may reject messages while it creates the queue. A client of a producer would repeat its
            // request.
            let rejected = std::mem::take(&mut messages).into_iter().zip(results).filter(|(_, result)| result.is_err());
            messages = rejected.map(|(message, _)| message).collect();
            messages.is_empty().then_some(())
        });
    }

    /// All dead letters, oldest first.
    pub fn dead_letters(&self) -> Vec<Message> {
        all_dead_letters(&RabbitMq::new(&self.broker.settings()).unwrap())
    }

    pub fn start(&self, role: &str) -> Process {
        self.start_with(role, &[])
    }

    pub fn start_with(&self, role: &str, settings: &[(&str, &str)]) -> Process {
        Process::start(&[role], &self.settings(settings))
    }
}

/// Starts `contacts standalone` with this data folder.
pub fn start_standalone(folder: &Path, settings: &[(&str, &str)]) -> Process {
    Process::start(&["standalone", "--data-dir", folder.to_str().unwrap()], settings)
}

/// All dead letters of a queue, oldest first.
pub fn all_dead_letters(queue: &dyn DeadLetterQueue) -> Vec<Message> {
    let mut all = Vec::new();
    let result = queue.browse(&mut |browser| {
        while let Some(dead_letter) = browser.next()? {
            all.push(dead_letter.message);
        }
        Ok(())
    });
    result.unwrap();
    all
}
