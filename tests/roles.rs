//! How processes start and stop: exit codes, clear error lines, signals, help texts.

use crate::support::{Broker, Database, Process, Stack, eventually, start_standalone};
use contacts::queue::QueueKind;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

#[test]
fn every_role_shuts_down_gracefully_on_a_signal() {
    let stack = Stack::new();
    let folder = tempfile::tempdir().unwrap();
    for mut process in [stack.start("producer"), stack.start("consumer"), start_standalone(folder.path(), &[])] {
        process.wait_until_ready();
        process.terminate();
    }
}

/// A client with an open connection cannot know that the process stops. Its next request must not fail: the answer says
/// that the connection closes.
#[test]
fn a_process_that_stops_answers_on_open_connections_and_then_closes_them() {
    let folder = tempfile::tempdir().unwrap();
    // A tenth of it is the time in which the next request must come. The process does not wait longer than necessary.
    let mut process = start_standalone(folder.path(), &[("CONTACTS__SHUTDOWN__GRACE", "600s")]);
    process.wait_until_ready();
    let mut socket = TcpStream::connect(process.client().address()).unwrap();
    let mut answer_head = || {
        write!(socket, "GET /areas HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = BufReader::new(&socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(answer.read_line(&mut head).unwrap(), 0, "closed without an answer: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        answer.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
        head
    };
    assert!(!answer_head().contains("connection: close"));
    process.signal("TERM");
    eventually("the signal is handled", || (!process.log_lines("graceful shutdown started").is_empty()).then_some(()));
    let head = answer_head();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
    assert_eq!(socket.read(&mut [0]).unwrap(), 0, "the connection is still open");
    assert_eq!(process.wait().code(), Some(0), "{}", process.log());
}

/// Whoever starts first creates the queues. If a queue was deleted, its messages are lost, and somebody must know.
#[test]
fn a_role_says_which_queues_the_broker_did_not_have() {
    let stack = Stack::new();
    let start = |role: &str| {
        let mut process = stack.start(role);
        process.wait_until_ready();
        let lines = process
            .log_lines("the broker did not have these queues: if this is not the first start, their messages are lost");
        let queues: Vec<String> = lines.iter().map(|line| line["queues"].as_str().unwrap().to_owned()).collect();
        (process, queues)
    };
    let name = |queue| stack.broker.queue_name(queue);
    let (producer, missing) = start("producer");
    let all = QueueKind::ALL.map(name).join(", ");
    assert!(missing.contains(&all), "{missing:?}");
    let (consumer, missing) = start("consumer");
    assert!(missing.is_empty(), "{missing:?}");
    consumer.terminate();
    stack.broker.delete_queue(QueueKind::Work);
    let (consumer, missing) = start("consumer");
    assert!(!missing.is_empty() && missing.iter().all(|queues| *queues == name(QueueKind::Work)), "{missing:?}");
    consumer.terminate();
    producer.terminate();
}

#[test]
fn a_role_that_waits_for_its_broker_shuts_down_gracefully() {
    let stack = Stack::new();
    for role in ["producer", "consumer"] {
        let mut process = stack.start_with(role, &[("CONTACTS__BROKER__URL", "amqp://127.0.0.1:1/%2f")]);
        let admin = process.admin();
        let answer = eventually("/readyz contains the reason", || {
            let answer = admin.send("GET", "/readyz", &[], None).ok()?;
            answer.body.contains("cannot connect").then_some(answer)
        });
        assert_eq!(answer.status, 503);
        assert_eq!(admin.get("/livez").status, 200, "a role that waits is live");
        process.terminate();
    }
}

#[test]
fn an_error_that_waiting_cannot_fix_stops_the_start_with_one_line() {
    let fails = |arguments: &[&str], settings: &[(&str, &str)], code: i32, part: &str| {
        let (status, log) = Process::run(arguments, settings);
        assert_eq!(status.code(), Some(code), "{arguments:?} {settings:?}:\n{log}");
        let line = log.lines().find(|line| line.contains(part));
        assert!(line.is_some(), "no line with {part:?}:\n{log}");
    };
    fails(&[], &[], 64, "Usage");
    fails(&["produce"], &[], 64, "producer");
    fails(&["consumer", "--listen", "x"], &[], 64, "--listen");
    fails(&["config", "--set", "http.listen"], &[], 64, "NAME=VALUE");
    fails(&["config", "--set", "http.listne=127.0.0.1:0"], &[], 78, "listne");
    fails(&["config", "--config", "/nowhere.toml"], &[], 78, "/nowhere.toml");
    fails(&["config"], &[("CONTACTS__CONSUMER__WORKERS", "many")], 78, "consumer.workers");
    fails(&["producer"], &[("CONTACTS__BROKER__URL", "rabbit")], 78, "broker.url");
    fails(&["consumer"], &[("CONTACTS__DATABASE__URL", "mysql://localhost/x")], 78, "database.url");

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let standalone = ["standalone", "--data-dir", folder];
    fails(&standalone, &[("CONTACTS__HTTP__LISTEN", "0.0.0.0:0")], 78, "http.api_keys");
    let used_address = TcpListener::bind("127.0.0.1:0").unwrap();
    let used_address = used_address.local_addr().unwrap().to_string();
    fails(&standalone, &[("CONTACTS__HTTP__LISTEN", &used_address)], 1, &used_address);
    fails(&standalone, &[("CONTACTS__ADMIN__LISTEN", &used_address)], 1, &used_address);
    fails(&["standalone", "--data-dir", "/proc/nowhere"], &[], 1, "/proc/nowhere");
}

#[test]
fn healthcheck_reports_the_liveness_and_the_readiness_of_a_role() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[]);
    process.wait_until_ready();
    let admin = process.log_lines("starting")[0]["admin"].as_str().unwrap().to_owned();
    let check = |arguments: &[&str], admin: &str| Process::run(arguments, &[("CONTACTS__ADMIN__LISTEN", admin)]);
    let unspecified = admin.replace("127.0.0.1", "0.0.0.0");
    for (arguments, admin) in
        [(&["healthcheck"][..], &admin), (&["healthcheck", "--ready"], &admin), (&["healthcheck"], &unspecified)]
    {
        let (status, output) = check(arguments, admin);
        assert!(status.success() && output.is_empty(), "{arguments:?}: {output}");
    }
    process.terminate();
    let (status, output) = check(&["healthcheck"], &admin);
    assert!(status.code() == Some(1) && output.contains(&admin), "{output}");

    // A role that is live and not ready.
    let stack = Stack::new();
    let unused_address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("amqp://{unused_address}");
    let mut producer = stack.start_with("producer", &[("CONTACTS__BROKER__URL", &url)]);
    let admin = producer.admin();
    eventually("/readyz contains the reason", || admin.get("/readyz").body.contains("cannot connect").then_some(()));
    let admin = producer.log_lines("starting")[0]["admin"].as_str().unwrap().to_owned();
    assert!(check(&["healthcheck"], &admin).0.success());
    let (status, output) = check(&["healthcheck", "--ready"], &admin);
    assert!(status.code() == Some(1) && output.contains("503") && output.contains("cannot connect"), "{output}");
}

#[test]
fn a_schema_that_is_too_old_stops_a_role() {
    let database = Database::new();
    for role in ["producer", "consumer"] {
        let (status, log) = Process::run(&[role], &[("CONTACTS__DATABASE__URL", &database.url)]);
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.lines().last().unwrap().contains("run `contacts migrate`"), "{log}");
    }
}

#[test]
fn queues_with_other_arguments_stop_a_role_with_one_line() {
    let stack = Stack::new();
    let mut connection = stack.broker.connect();
    let channel = connection.open_channel(None).unwrap();
    let options = amiquip::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(stack.broker.queue_name(QueueKind::Work), options).unwrap();
    for role in ["producer", "consumer"] {
        let mut process = stack.start(role);
        assert_eq!(process.wait().code(), Some(78), "{}", process.log());
        let log = process.log();
        assert!(log.lines().last().unwrap().contains("exists with other arguments"), "{log}");
    }
}

#[test]
fn a_second_process_cannot_use_the_same_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start_standalone(folder.path(), &[]);
    first.wait_until_ready();
    let mut second = start_standalone(folder.path(), &[]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.log().contains("used by another process"), "{}", second.log());
    first.terminate();
    let mut third = start_standalone(folder.path(), &[]);
    third.wait_until_ready();
}

#[test]
fn only_its_owner_can_read_a_data_folder() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/data");
    start_standalone(&folder, &[]).wait_until_ready();
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn migrations_go_up_and_down_on_both_databases() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("contacts.db").display());
    for url in [&database.url, &file] {
        let run = |arguments: &[&str]| {
            let (status, log) = Process::run(arguments, &[("CONTACTS__DATABASE__URL", url)]);
            assert!(status.success(), "{log}");
            log
        };
        assert!(run(&["migrate"]).starts_with("migrated "));
        assert!(run(&["migrate"]).starts_with("nothing to do"));
        for _ in 0..11 {
            assert!(run(&["migrate", "--down"]).starts_with("reverted "));
        }
        assert!(run(&["migrate", "--down"]).starts_with("nothing to do"));
    }
}

#[test]
fn config_prints_the_settings_without_secrets() {
    let broker = Broker::new();
    let settings = [
        ("CONTACTS__HTTP__API_KEYS", "hunter2"),
        ("CONTACTS__BROKER__URL", "amqp://user:hunter2@host/%2f"),
        ("CONTACTS__BROKER__PREFIX", &*broker.prefix),
    ];
    let (status, printed) = Process::run(&["config", "--set", "consumer.workers=7"], &settings);
    assert!(status.success() && !printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("workers = 7") && printed.contains(&broker.prefix), "{printed}");
}

#[test]
fn help_reads_well() {
    let mut help_texts = String::new();
    for command in [
        &[][..],
        &["producer"],
        &["standalone"],
        &["console"],
        &["migrate"],
        &["prune"],
        &["backup"],
        &["restore"],
        &["dlq-drain"],
        &["dlq-drain", "list"],
        &["dlq-drain", "replay"],
        &["dlq-drain", "export"],
        &["dlq-drain", "import"],
        &["subject"],
        &["subject", "find"],
        &["subject", "export"],
        &["subject", "erase"],
        &["healthcheck"],
    ] {
        let (status, help) = Process::run(&[command, &["--help"]].concat(), &[]);
        assert!(status.success());
        help_texts.push_str(&help);
        help_texts.push_str("\n----\n");
    }
    insta::assert_snapshot!(help_texts);
}
