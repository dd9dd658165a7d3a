//! What is lost with a disk, and how it comes back: the recipes of docs/OPERATIONS.md, "Backup and restore". Also what needs
//! a PostgreSQL server of its own: a standby that is gone, a replica that is behind.

use crate::support::{Broker, Client, Database, Process, Stack, create, eventually, new_contact, person, update};
use contacts::config::{DatabaseSettings, Url};
use contacts::domain::Attempt;
use contacts::queue::QueueKind;
use contacts::store::postgres::Postgres;
use contacts::store::{Direction, Filter, Store, StoreError};
use diesel::QueryableByName;
use diesel::sql_types::Text;
use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
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

/// The recipe of the runbook: runs its script with the logs of these processes. Returns the lost and the failed operations.
fn lost_and_failed(logs: &[&Process], client: &Client) -> (BTreeSet<String>, BTreeSet<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("logs")).unwrap();
    for (number, process) in logs.iter().enumerate() {
        std::fs::write(folder.path().join(format!("logs/{number}.log")), process.log()).unwrap();
    }
    let url = format!("http://{}", client.address());
    let output = Command::new("bash")
        .args(["-euc", &script()])
        .current_dir(folder.path())
        .envs([("URL", url.as_str()), ("KEY", "none")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    assert_eq!(list("unknown.txt"), BTreeSet::new());
    (list("lost.txt"), list("failed.txt"))
}

/// The script in docs/OPERATIONS.md.
fn script() -> String {
    let document = include_str!("../docs/OPERATIONS.md");
    let after = document.split_once("<!-- tests/recovery.rs runs this -->\n```sh\n").unwrap().1;
    after.split_once("```").unwrap().0.to_owned()
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
    // A change that failed: its message is in the dead letter queue.
    let nobody = client.write("POST", "/contacts", &[("prefer", "wait=30")], &person("Bia"));
    assert_eq!(nobody.status, 201, "{nobody:?}");
    let nobody = format!("/contacts/{}", nobody.json()["id"].as_str().unwrap());
    assert_eq!(client.send("DELETE", &nobody, &[("prefer", "wait=30")], None).unwrap().status, 204);
    let failed = client.write("PUT", &nobody, &[], &person("Caio")).text("operation_id");
    assert_eq!(client.finished_operation(&failed)["status"], "failed");
    let old_consumer = consumer;
    old_consumer.signal("STOP");
    let mut lost: BTreeSet<String> = requests.send(&client, 20..40).into_iter().collect();
    let without_key = client.create("Davi").text("operation_id");
    lost.insert(without_key.clone());

    // The disk of the queues is gone. The new broker is empty.
    [QueueKind::Work, QueueKind::Retry, QueueKind::DeadLetter]
        .into_iter()
        .for_each(|queue| stack.broker.delete_queue(queue));
    let consumer = started(stack.start("consumer"));
    // The service may now have another address of the same database.
    let moved = stack.database.url.replace("127.0.0.1", "localhost");
    let mut reader = started(stack.start_with("producer", &[("CONTACTS__DATABASE__URL", moved.as_str())]));
    let reader = reader.client();
    let logs = [&producer, &old_consumer];
    assert_eq!(lost_and_failed(&logs, &reader), (lost, BTreeSet::from([failed.clone()])));

    let repeated = requests.send(&client, 0..40);
    repeated.iter().for_each(|operation| drop(client.finished_operation(operation)));
    let still_lost = BTreeSet::from([without_key]);
    assert_eq!(lost_and_failed(&logs, &reader), (still_lost, BTreeSet::from([failed])));
    assert_eq!(stack.database.count("contacts WHERE deleted_at IS NULL"), 40, "each request took effect once");
    consumer.terminate();
    drop(old_consumer);
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
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
        let server = Self::without_data();
        let data = server.data();
        server.run("initdb", &["--pgdata", &data, "--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        server
    }

    /// A replica of this server. It is not started.
    fn replica(&self) -> Self {
        let server = Self::without_data();
        let arguments = ["-d", &self.url(), "-D", &server.data(), "--checkpoint=fast", "--write-recovery-conf"];
        server.run("pg_basebackup", &arguments);
        server
    }

    fn without_data() -> Self {
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
        let is_replica = Path::new(&self.data()).join("standby.signal").exists();
        let accepts = if is_replica { "standby" } else { "read-write" };
        eventually("PostgreSQL is ready", || {
            let url = format!("{}?target_session_attrs={accepts}", self.url());
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
    let mut consumer = started(stack.start("consumer"));
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
    let mut lost = requests.send(&client, 20..40);
    // The changes of an import are only in the log of the consumer.
    let import = || {
        let csv = [("content-type", "text/csv"), ("idempotency-key", "people.csv")];
        let answer = client.send("POST", "/contacts/import", &csv, Some(b"name;phone\nElis;11987654321\n")).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let version = "version::text AS version FROM contacts WHERE name = 'Elis'";
        let rows = || stack.database.rows::<Version>(&format!("SELECT {version}"));
        eventually("the import is applied", || Some(rows().pop()?.version))
    };
    lost.push(import());
    finish(&lost);
    let failed_later = fail();
    consumer.signal("TERM");
    consumer.wait();
    let logs = [&producer, &consumer];
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

    let new_consumer = started(stack.start("consumer"));
    // What waited in the queue is applied. What was applied after the time of the restore is lost.
    let missing: BTreeSet<String> = lost.into_iter().chain([failed_later]).collect();
    eventually("only the changes of the lost time are missing", || {
        (lost_and_failed(&logs, &client).0 == missing).then_some(())
    });
    // The message of the change that failed is still in the dead letter queue. A replay records its result again.
    let (_, log) = Process::run(&["dlq-drain", "replay", "--all", "--yes", "--no-canary"], &stack.settings(&[]));
    assert!(log.contains("contact_deleted"), "{log}");
    finish(&requests.send(&client, 0..60));
    import();
    let (lost, failed) = lost_and_failed(&logs, &client);
    assert_eq!((lost, failed.len()), (BTreeSet::new(), 2));
    assert_eq!(stack.database.count("contacts WHERE deleted_at IS NULL"), 61, "each request took effect once");
    new_consumer.terminate();
    drop((producer, consumer));
    drop(stack);
}

/// While the synchronous standby is gone, each commit leaves a session that waits, and a batch that is rolled back does not
/// notice it. So the probe must, or a consumer would fill the server with such sessions.
#[test]
#[ignore = "needs the programs of PostgreSQL: `make recovery` runs it"]
fn a_probe_fails_while_commits_wait_for_the_standby() {
    let mut server = Server::create();
    server.start(&[]);
    // Not dropped: in a failing test that would wait for the standby. The server removes its data.
    let database = ManuallyDrop::new(Database::with_url(&server.url()));
    let settings = DatabaseSettings { statement_timeout: Duration::from_secs(1), ..database.settings() };
    let store = Postgres::new(&settings).unwrap();
    store.migrate(Direction::Up).unwrap();
    store.probe().unwrap();
    let existing = new_contact();
    store.apply(&[Attempt::new(create(existing, "Bia"))]).unwrap();
    // Nobody has this name, so every commit waits.
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    server.sql("SELECT pg_reload_conf()");
    eventually("the setting is in effect", || (server.sql("SHOW synchronous_standby_names") == "nobody").then_some(()));
    let contact = new_contact();
    let attempt = Attempt { last_attempt: true, ..Attempt::new(create(contact, "Ana")) };
    let applied = store.apply(std::slice::from_ref(&attempt));
    assert!(matches!(applied, Err(StoreError::Unavailable(_))), "the result is unknown: {applied:?}");
    let probed = store.probe();
    assert!(matches!(&probed, Err(StoreError::Unavailable(why)) if why.contains("standby")), "{probed:?}");
    // Its session holds the lock of the contact. That is an outage, and no lock of somebody else.
    let updated = store.apply(&[Attempt::new(update(existing, 5, "Caio"))]);
    assert!(matches!(updated, Err(StoreError::Unavailable(_))), "the result is unknown: {updated:?}");
    let locked = store.locked(&[existing]);
    assert!(matches!(&locked, Err(StoreError::Unavailable(why)) if why.contains("standby")), "{locked:?}");

    server.sql("ALTER SYSTEM RESET synchronous_standby_names");
    server.sql("SELECT pg_reload_conf()");
    eventually("commits work again", || store.probe().ok());
    store.apply(&[attempt]).unwrap();
    assert_eq!(database.count(&format!("operations WHERE contact_id = '{contact}'")), 1, "the change took effect once");
}

/// A reader of the change feed gets a cursor and then exports. An export that is older than the cursor would miss changes.
#[test]
#[ignore = "needs the programs of PostgreSQL: `make recovery` runs it"]
fn an_export_from_a_replica_waits_until_the_replica_has_what_the_primary_has() {
    let mut primary = Server::create();
    primary.start(&[]);
    let mut replica = primary.replica();
    replica.start(&[]);
    let database = Database::with_url(&primary.url());
    let read_url = database.url.replace(&primary.url(), &replica.url());
    let settings = DatabaseSettings { read_url: Some(Url::from(read_url.as_str())), ..database.settings() };
    let store = Postgres::new(&settings).unwrap();
    store.migrate(Direction::Up).unwrap();
    let apply = |name| {
        let contact = new_contact();
        let attempt = Attempt { last_attempt: true, ..Attempt::new(create(contact, name)) };
        store.apply(&[attempt]).unwrap();
        contact
    };
    let exported = || {
        let mut count = 0;
        let result = store.export(&Filter::default(), &mut |page| {
            count += page.len();
            true
        });
        result.map(|()| count)
    };
    let pause = || {
        replica.sql("SELECT pg_wal_replay_pause()");
        let paused = || replica.sql("SELECT pg_get_wal_replay_pause_state()") == "paused";
        eventually("the replica stays behind", || paused().then_some(()));
    };
    apply("Ana");
    assert_eq!(exported().unwrap(), 1);

    pause();
    let bia = apply("Bia");
    assert_eq!(store.contact(bia).unwrap(), None, "reads are from the replica");
    let waited = std::thread::scope(|scope| {
        let export = scope.spawn(exported);
        std::thread::sleep(Duration::from_secs(1));
        assert!(!export.is_finished(), "the replica does not have Bia");
        replica.sql("SELECT pg_wal_replay_resume()");
        export.join().unwrap()
    });
    assert_eq!(waited.unwrap(), 2);

    pause();
    apply("Caio");
    let behind = exported();
    assert!(matches!(&behind, Err(StoreError::Unavailable(why)) if why.contains("is behind")), "{behind:?}");
    replica.sql("SELECT pg_wal_replay_resume()");
    assert_eq!(exported().unwrap(), 3);
}

/// Creates an empty file that PostgreSQL may remove.
fn own(path: &Path) {
    std::fs::write(path, "").unwrap();
    if is_root() {
        assert!(Command::new("chown").arg("postgres:").arg(path).status().unwrap().success());
    }
}
