//! How processes start and end: exit codes, clear lines, signals.

use crate::support::{Broker, Database, Process, Stack, eventually, standalone};
use contacts::queue::QueueKind;
use std::net::TcpListener;

#[test]
fn every_role_ends_cleanly_when_asked() {
    let stack = Stack::new();
    let folder = tempfile::tempdir().unwrap();
    for mut process in [stack.start("producer"), stack.start("consumer"), standalone(folder.path(), &[])] {
        process.ready();
        process.terminate();
    }
}

#[test]
fn a_role_that_still_waits_for_its_broker_ends_cleanly_too() {
    let stack = Stack::new();
    for role in ["producer", "consumer"] {
        let mut process = stack.start_with(role, &[("CONTACTS__BROKER__URL", "amqp://127.0.0.1:1/%2f")]);
        let admin = process.admin();
        let answer = eventually("the reason is shown", || {
            let answer = admin.send("GET", "/readyz", &[], None).ok()?;
            answer.body.contains("cannot connect").then_some(answer)
        });
        assert_eq!(answer.status, 503);
        assert_eq!(admin.get("/livez").status, 200, "it lives, it only waits");
        process.terminate();
    }
}

#[test]
fn what_no_waiting_can_heal_ends_the_start_with_one_line() {
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
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    fails(&standalone, &[("CONTACTS__HTTP__LISTEN", &taken)], 1, &taken);
    fails(&standalone, &[("CONTACTS__ADMIN__LISTEN", &taken)], 1, &taken);
    fails(&["standalone", "--data-dir", "/proc/nowhere"], &[], 1, "/proc/nowhere");
}

#[test]
fn a_role_can_be_asked_for_its_health() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    process.ready();
    let admin = process.said("starting")[0]["admin"].as_str().unwrap().to_owned();
    let ask = |arguments: &[&str], admin: &str| Process::run(arguments, &[("CONTACTS__ADMIN__LISTEN", admin)]);
    let everywhere = admin.replace("127.0.0.1", "0.0.0.0");
    for (arguments, admin) in
        [(&["healthcheck"][..], &admin), (&["healthcheck", "--ready"], &admin), (&["healthcheck"], &everywhere)]
    {
        let (status, said) = ask(arguments, admin);
        assert!(status.success() && said.is_empty(), "{arguments:?}: {said}");
    }
    process.terminate();
    let (status, said) = ask(&["healthcheck"], &admin);
    assert!(status.code() == Some(1) && said.contains(&admin), "{said}");

    // One that lives and cannot work.
    let stack = Stack::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("amqp://{nobody}");
    let mut producer = stack.start_with("producer", &[("CONTACTS__BROKER__URL", &url)]);
    let admin = producer.admin();
    eventually("it says why", || admin.get("/readyz").body.contains("cannot connect").then_some(()));
    let admin = producer.said("starting")[0]["admin"].as_str().unwrap().to_owned();
    assert!(ask(&["healthcheck"], &admin).0.success());
    let (status, said) = ask(&["healthcheck", "--ready"], &admin);
    assert!(status.code() == Some(1) && said.contains("503") && said.contains("cannot connect"), "{said}");
}

#[test]
fn an_older_schema_is_refused() {
    let database = Database::new();
    for role in ["producer", "consumer"] {
        let (status, log) = Process::run(&[role], &[("CONTACTS__DATABASE__URL", &database.url)]);
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.lines().last().unwrap().contains("run `contacts migrate`"), "{log}");
    }
}

#[test]
fn queues_of_other_arguments_end_a_role_with_one_line() {
    let stack = Stack::new();
    let mut connection = stack.broker.connect();
    let channel = connection.open_channel(None).unwrap();
    let options = amiquip::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(stack.broker.queue(QueueKind::Work), options).unwrap();
    for role in ["producer", "consumer"] {
        let mut process = stack.start(role);
        assert_eq!(process.wait().code(), Some(78), "{}", process.log());
        let log = process.log();
        assert!(log.lines().last().unwrap().contains("exists with other arguments"), "{log}");
    }
}

#[test]
fn two_processes_do_not_share_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = standalone(folder.path(), &[]);
    first.ready();
    let mut second = standalone(folder.path(), &[]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.log().contains("used by another process"), "{}", second.log());
    first.terminate();
    let mut third = standalone(folder.path(), &[]);
    third.ready();
}

#[test]
fn a_data_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/data");
    standalone(&folder, &[]).ready();
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
        for _ in 0..3 {
            assert!(run(&["migrate", "--down"]).starts_with("reverted "));
        }
        assert!(run(&["migrate", "--down"]).starts_with("nothing to do"));
    }
}

#[test]
fn the_settings_in_effect_are_shown_without_secrets() {
    let broker = Broker::new();
    let settings = [
        ("CONTACTS__HTTP__API_KEYS", "hunter2"),
        ("CONTACTS__BROKER__URL", "amqp://user:hunter2@host/%2f"),
        ("CONTACTS__BROKER__PREFIX", &*broker.prefix),
    ];
    let (status, shown) = Process::run(&["config", "--set", "consumer.workers=7"], &settings);
    assert!(status.success() && !shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("workers = 7") && shown.contains(&broker.prefix), "{shown}");
}

#[test]
fn help_reads_well() {
    let mut shown = String::new();
    for arguments in [&["--help"][..], &["producer", "--help"], &["standalone", "--help"], &["migrate", "--help"]] {
        let (status, help) = Process::run(arguments, &[]);
        assert!(status.success());
        shown.push_str(&help);
        shown.push_str("\n----\n");
    }
    insta::assert_snapshot!(shown);
}
