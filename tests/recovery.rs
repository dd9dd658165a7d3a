//! What is lost with a disk, and how it comes back: the recipes of docs/OPERATIONS.md, "Backup and restore".

use crate::support::{Broker, Client, Database, Process, Stack, eventually, person};
use contacts::queue::QueueKind;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use uuid::Uuid;

/// A client that can repeat its requests: each has its own `Idempotency-Key`.
struct Requests {
    keys: Vec<String>,
}

impl Requests {
    fn new(count: usize) -> Self {
        Self { keys: (0..count).map(|_| Uuid::now_v7().to_string()).collect() }
    }

    /// Sends the requests with these numbers. Returns their operations.
    fn send(&self, client: &Client, numbers: std::ops::Range<usize>) -> Vec<String> {
        let send = |number: usize| {
            let headers = [("idempotency-key", self.keys[number].as_str())];
            let answer = client.write("POST", "/contacts", &headers, &person(&format!("Ana {number}")));
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            answer.text("operation_id")
        };
        numbers.map(send).collect()
    }
}

/// The recipe: the operations that the producers' logs say were accepted, and that SQL does not know. What waits in a
/// queue is among them, until it is applied.
fn accepted_and_unknown(logs: &[&Process], client: &Client) -> BTreeSet<String> {
    let accepted = logs.iter().flat_map(|process| process.log_lines("request"));
    let accepted = accepted
        .filter(|line| line["status"] == 202)
        .filter_map(|line| Some(line["operation_id"].as_str()?.to_owned()));
    accepted.filter(|operation| client.get(&format!("/operations/{operation}")).json()["status"] == "pending").collect()
}

fn started(mut process: Process) -> Process {
    process.wait_until_ready();
    process
}

#[test]
fn changes_that_were_lost_with_the_queue_are_found_and_repeated() {
    let stack = Stack::new();
    let mut producer = started(stack.start("producer"));
    let consumer = started(stack.start("consumer"));
    let client = producer.client();
    let requests = Requests::new(40);
    let applied = requests.send(&client, 0..20);
    applied.iter().for_each(|operation| drop(client.finished_operation(operation)));
    consumer.terminate();
    let lost: BTreeSet<String> = requests.send(&client, 20..40).into_iter().collect();

    // The disk of the queues is gone. The new broker is empty.
    [QueueKind::Work, QueueKind::Retry, QueueKind::DeadLetter]
        .into_iter()
        .for_each(|queue| stack.broker.delete_queue(queue));
    let consumer = started(stack.start("consumer"));
    assert_eq!(accepted_and_unknown(&[&producer], &client), lost);

    let repeated = requests.send(&client, 0..40);
    repeated.iter().for_each(|operation| drop(client.finished_operation(operation)));
    assert_eq!(accepted_and_unknown(&[&producer], &client), BTreeSet::new());
    assert_eq!(stack.database.count("contacts"), 40, "each request took effect once");
    consumer.terminate();
}

/// A PostgreSQL server of this test, with an archive of its WAL.
struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    fn create() -> Self {
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        versions.sort();
        let programs = versions.pop().expect("this test needs Debian's package postgresql").join("bin");
        let folder = PathBuf::from(format!("/var/tmp/contacts-test-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(folder.join("archive")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { programs, folder, port, process: None };
        if is_root() {
            let status = Command::new("chown").args(["-R", "postgres:"]).arg(&server.folder).status().unwrap();
            assert!(status.success());
        }
        let data = server.data();
        server.run("initdb", &["--pgdata", &data, "--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        server
    }

    fn data(&self) -> String {
        self.folder.join("data").to_str().unwrap().to_owned()
    }

    /// A program of PostgreSQL, as a user that it accepts.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn start(&mut self, settings: &[&str]) {
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let archive = format!("archive_command=cp %p {}/archive/%f", self.folder.display());
        let mut command = self.command("postgres");
        let port = format!("port={}", self.port);
        let fixed = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "archive_mode=on", &archive, &port];
        command.args(["-D", &self.data()]);
        for setting in fixed.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        self.process = Some(command.stderr(log).spawn().unwrap());
        eventually("PostgreSQL accepts writes", || {
            let url = format!("{}?target_session_attrs=read-write", self.url());
            self.command("psql")
                .args(["-XqAt", "-d", &url, "-c", "SELECT 1"])
                .output()
                .unwrap()
                .status
                .success()
                .then_some(())
        });
    }

    fn sql(&self, statement: &str) -> String {
        let output = self.run("psql", &["-XqAt", "-d", &self.url(), "-c", statement]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn stop(&mut self, signal: &str) {
        let mut process = self.process.take().unwrap();
        let status = Command::new("kill").args(["-s", signal, &process.id().to_string()]).status().unwrap();
        assert!(status.success());
        process.wait().unwrap();
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.stop("QUIT");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The database is restored to a time in the past. The queues are of today.
#[test]
#[ignore = "needs the programs of PostgreSQL: `make recovery` runs it"]
fn changes_that_a_restored_database_does_not_have_are_found_and_repeated() {
    let mut server = Server::create();
    server.start(&[]);
    let stack = Stack::with(Broker::new(), Database::with_url(&server.url()));
    let mut producer = started(stack.start("producer"));
    let consumer = started(stack.start("consumer"));
    let client = producer.client();
    let requests = Requests::new(60);
    let finish =
        |operations: &[String]| operations.iter().for_each(|operation| drop(client.finished_operation(operation)));

    server.run(
        "pg_basebackup",
        &["-d", &server.url(), "-D", server.folder.join("base").to_str().unwrap(), "--checkpoint=fast"],
    );
    finish(&requests.send(&client, 0..20));
    // A change that fails before the time of the restore, and one that fails after it.
    let nobody = format!("/contacts/{}", client.create("Bia").text("contact_id"));
    finish(&[client.send("DELETE", &nobody, &[], None).unwrap().text("operation_id")]);
    let fail = || {
        let operation = client.write("PUT", &nobody, &[], &person("Caio")).text("operation_id");
        assert_eq!(client.finished_operation(&operation)["status"], "failed");
        operation
    };
    fail();
    let restore_to = server.sql("SELECT now()");
    let lost = requests.send(&client, 20..40);
    finish(&lost);
    let failed_later = fail();
    consumer.terminate();
    requests.send(&client, 40..60);
    let last = server.folder.join("archive").join(server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())"));
    server.sql("SELECT pg_switch_wal()");
    eventually("the WAL is archived", || last.exists().then_some(()));
    server.stop("INT");

    // The recipe of docs/OPERATIONS.md.
    std::fs::rename(server.data(), server.folder.join("broken")).unwrap();
    std::fs::rename(server.folder.join("base"), server.data()).unwrap();
    std::fs::set_permissions(server.data(), std::fs::Permissions::from_mode(0o700)).unwrap();
    own(&Path::new(&server.data()).join("recovery.signal"));
    let restore = format!("restore_command=cp {}/archive/%f %p", server.folder.display());
    server.start(&[&restore, &format!("recovery_target_time={restore_to}"), "recovery_target_action=promote"]);
    assert_eq!(stack.database.count("contacts WHERE deleted_at IS NULL"), 20);

    let consumer = started(stack.start("consumer"));
    // What waited in the queue is applied. What was applied after the time of the restore is lost.
    let missing: BTreeSet<String> = lost.into_iter().chain([failed_later]).collect();
    eventually("only the changes of the lost time are missing", || {
        (accepted_and_unknown(&[&producer], &client) == missing).then_some(())
    });
    // The message of the change that failed is still in the dead letter queue. A replay records its result again.
    let (_, log) = Process::run(&["dlq-drain", "replay", "--all", "--yes", "--no-canary"], &stack.settings(&[]));
    assert!(log.contains("contact_deleted"), "{log}");
    finish(&requests.send(&client, 0..60));
    assert_eq!(accepted_and_unknown(&[&producer], &client), BTreeSet::new());
    assert_eq!(stack.database.count("contacts WHERE deleted_at IS NULL"), 60, "each request took effect once");
    consumer.terminate();
    drop(producer);
    drop(stack);
}

/// Creates an empty file that PostgreSQL may remove.
fn own(path: &Path) {
    std::fs::write(path, "").unwrap();
    if is_root() {
        assert!(Command::new("chown").arg("postgres:").arg(path).status().unwrap().success());
    }
}
