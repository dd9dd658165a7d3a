//! The operator's console: who may use it, what it says is wrong, and the life of a change.

use crate::support::{Answer, Client, Process, Proxy, Stack, eventually, person, start_standalone};
use contacts::config::{ApiKey, Scopes};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const CONSOLE: (&str, &str) = ("X-Contacts-Console", "1");
const READ: (&str, &str) = ("Authorization", "Bearer read-key");
const WRITE: (&str, &str) = ("Authorization", "Bearer write-key");

/// The entries of a key that reads and of a key that writes.
fn keys() -> String {
    let read = Scopes { read: true, ..Scopes::NONE };
    [ApiKey::entry("day", read, "read-key"), ApiKey::entry("night", Scopes::CONTACTS, "write-key")].join(",")
}

/// A standalone with the console.
fn standalone(folder: &Path, more: &[(&str, &str)]) -> Process {
    start_standalone(folder, &[&[("CONTACTS__ADMIN__CONSOLE", "true")], more].concat())
}

fn get(admin: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    admin.send("GET", path, headers, None).unwrap()
}

#[track_caller]
fn now(admin: &Client, headers: &[(&str, &str)]) -> Value {
    let answer = get(admin, "/console/api/now", &[&[CONSOLE], headers].concat());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the console has this finding as its first, and returns it.
#[track_caller]
fn finding(admin: &Client, code: &str) -> Value {
    eventually(code, || {
        let first = now(admin, &[])["findings"][0].clone();
        (first["code"] == code).then_some(first)
    })
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!((answer.header("content-type"), answer.text("code")), ("application/problem+json", code.to_owned()));
}

#[test]
fn the_console_is_served_only_on_the_admin_port_and_only_if_it_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut without = start_standalone(folder.path(), &[]);
    for path in ["/console", "/console/", "/console/api/now", "/console/runbook"] {
        assert_eq!(get(&without.admin(), path, &[CONSOLE]).status, 404, "{path}");
    }
    without.terminate();
    let mut with = standalone(folder.path(), &[]);
    let (public, admin) = (with.client(), with.admin());
    for path in ["/console/", "/console/assets/console.css", "/console/runbook", "/console/api/now"] {
        assert_eq!(get(&admin, path, &[CONSOLE]).status, 200, "{path}");
        assert_eq!(get(&public, path, &[CONSOLE]).status, 404, "{path}");
    }
    assert!(with.log().contains(&format!("Console on http://{}/console/", admin.address())), "{}", with.log());
    with.terminate();
}

#[test]
fn without_keys_the_console_is_only_served_to_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["standalone", "--data-dir", folder.path().to_str().unwrap()];
    let settings = [("CONTACTS__ADMIN__CONSOLE", "true"), ("CONTACTS__ADMIN__LISTEN", "0.0.0.0:0")];
    let (status, log) = Process::run(&arguments, &settings);
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.lines().last().unwrap().contains("admin.console_keys is empty"), "{log}");
    let mut process = standalone(folder.path(), &[]);
    let admin = process.admin();
    let port = admin.address().rsplit(':').next().unwrap();
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:8081", 200),
        ("127.0.0.1:8081", 200),
        ("[::1]:8081", 200),
        ("[::1]", 200),
        (&format!("rebound.example:{port}"), 403),
        ("localhost.example", 403),
        ("192.0.2.1", 403),
        ("[2001:db8::1]:80", 403),
    ] {
        let answer = get(&admin, "/console/api/now", &[CONSOLE, ("Host", host)]);
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
    assert_eq!(now(&admin, &[])["operator"], serde_json::json!({ "name": "loopback", "write": true }));
}

#[test]
fn the_api_asks_for_a_key_and_for_a_header_that_no_other_page_can_send() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys();
    let mut process = standalone(folder.path(), &[("CONTACTS__ADMIN__CONSOLE_KEYS", &keys)]);
    let admin = process.admin();
    let api = |headers: &[(&str, &str)]| get(&admin, "/console/api/now", headers);
    assert_eq!(now(&admin, &[READ])["operator"], serde_json::json!({ "name": "day", "write": false }));
    assert_eq!(now(&admin, &[WRITE])["operator"], serde_json::json!({ "name": "night", "write": true }));
    assert_problem(&api(&[CONSOLE]), 401, "unauthorized");
    assert_problem(&api(&[CONSOLE, ("Authorization", "Bearer wrong")]), 401, "unauthorized");
    assert_problem(&api(&[CONSOLE, ("Authorization", "read-key")]), 401, "unauthorized");
    assert_problem(&api(&[CONSOLE, READ, WRITE]), 401, "unauthorized");
    assert_problem(&api(&[READ]), 403, "foreign_page");
    assert_problem(&api(&[READ, ("X-Contacts-Console", "2")]), 403, "foreign_page");
    for site in ["cross-site", "same-site"] {
        assert_problem(&api(&[CONSOLE, READ, ("Sec-Fetch-Site", site)]), 403, "foreign_page");
    }
    assert_eq!(api(&[CONSOLE, READ, ("Sec-Fetch-Site", "same-origin")]).status, 200);
    // A page of another site would have to ask first.
    let preflight = [
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "x-contacts-console,authorization"),
    ];
    let answer = admin.send("OPTIONS", "/console/api/now", &preflight, None).unwrap();
    assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_empty(), "{answer:?}");
    // A form of another site has the address, but not the header.
    let form = [("Content-Type", "application/x-www-form-urlencoded"), WRITE];
    let answer = admin.send("POST", "/console/api/dead-letters/jobs", &form, Some(b"kind=discard")).unwrap();
    assert_problem(&answer, 403, "foreign_page");
}

#[test]
fn a_key_that_reads_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys();
    let mut process = standalone(folder.path(), &[("CONTACTS__ADMIN__CONSOLE_KEYS", &keys)]);
    let admin = process.admin();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in ["/console/api/now", "/console/api/dead-letters/jobs", "/console/api/any"] {
            let answer = admin.send(method, path, &[CONSOLE, READ], Some(b"{}")).unwrap();
            assert_problem(&answer, 403, "needs_write");
            assert_eq!(answer.text("scope"), "operate:write");
        }
    }
}

#[test]
fn many_wrong_keys_are_answered_429_and_lock_no_operator_out() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys();
    let mut process = standalone(folder.path(), &[("CONTACTS__ADMIN__CONSOLE_KEYS", &keys)]);
    let admin = process.admin();
    let guess = |number: u32| {
        let guess = format!("Bearer guess-{number}");
        get(&admin, "/console/api/now", &[CONSOLE, ("Authorization", guess.as_str())])
    };
    let refused = (0..40).map(guess).find(|answer| answer.status == 429).expect("no guess is refused");
    assert_problem(&refused, 429, "too_many_wrong_keys");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    now(&admin, &[READ]);
    assert!(!process.log().contains("guess-"), "a key is in the log");
}

#[test]
fn a_key_that_is_removed_is_refused_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, keys()).unwrap();
    let settings = [("CONTACTS__ADMIN__CONSOLE_KEYS_FILE", file.to_str().unwrap())];
    let mut process = standalone(&folder.path().join("data"), &settings);
    let admin = process.admin();
    process.wait_until_ready();
    now(&admin, &[READ]);
    let replace = |text: &str| {
        std::fs::write(file.with_extension("new"), text).unwrap();
        std::fs::rename(file.with_extension("new"), &file).unwrap();
        process.signal("HUP");
    };
    replace(keys().split(',').next_back().unwrap());
    eventually("the key is refused", || {
        (get(&admin, "/console/api/now", &[CONSOLE, READ]).status == 401).then_some(())
    });
    now(&admin, &[WRITE]);
    replace("");
    eventually("an empty file is refused", || process.log_lines("credentials cannot be reloaded").first().map(drop));
    now(&admin, &[WRITE]);
}

#[test]
fn every_answer_of_the_console_keeps_other_pages_out() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys();
    let mut process = standalone(folder.path(), &[("CONTACTS__ADMIN__CONSOLE_KEYS", &keys)]);
    let admin = process.admin();
    for (path, status, cache) in [
        ("/console/", 200, "no-cache"),
        ("/console/assets/app.js", 200, "no-cache"),
        ("/console/runbook", 200, "no-store"),
        ("/console/api/now", 200, "no-store"),
        ("/console/api/none", 404, "no-store"),
        ("/console/none", 404, "no-store"),
        ("/console/assets/none.js", 404, "no-store"),
        ("/console/api/find", 400, "no-store"),
    ] {
        let answer = get(&admin, path, &[CONSOLE, READ]);
        assert_eq!((answer.status, answer.header("cache-control")), (status, cache), "{path}");
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(answer.header("set-cookie").is_empty(), "{path}");
    }
    let unauthorized = get(&admin, "/console/api/now", &[CONSOLE]);
    assert!(unauthorized.header("content-security-policy").contains("frame-ancestors 'none'"));
    let redirect = get(&admin, "/console?x=1", &[]);
    assert!(redirect.status == 200 || redirect.header("location") == "console/", "{redirect:?}");
}

#[test]
fn a_standalone_shows_what_it_accepts_and_applies() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    let (client, admin) = (process.client(), process.admin());
    let shown = eventually("changes are accepted and applied", || {
        client.create("Ana Souza");
        let now = now(&admin, &[]);
        let figures = &now["figures"];
        let rate = |name: &str| figures[name].as_f64().unwrap_or_default();
        (rate("accepted") > 0.0 && rate("applied") > 0.0 && rate("age_p99") > 0.0).then_some(now)
    });
    assert_eq!((&shown["state"], &shown["role"]), (&"working".into(), &"standalone".into()), "{shown}");
    assert_eq!(
        (&shown["findings"], &shown["figures"]["dead_letters"]),
        (&Value::Array(vec![]), &0.0.into()),
        "{shown}"
    );
    let process = &shown["processes"][0];
    assert_eq!((&process["name"], &process["role"]), (&"this process".into(), &"standalone".into()));
    assert!(process["components"].as_array().unwrap().iter().all(|component| component["ready"] == true), "{process}");
    let lengths: Vec<usize> = ["accepted", "applied", "failed", "age_p50", "age_p99", "work", "retry", "dead_letters"]
        .iter()
        .map(|name| shown["series"][name].as_array().unwrap().len())
        .collect();
    assert!(lengths[0] > 1 && lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
}

/// A producer and a consumer behind proxies, and a console that reads both.
struct Watched {
    stack: Stack,
    database: Proxy,
    broker: Proxy,
    producer: Process,
    consumer: Process,
    console: Process,
}

impl Watched {
    fn start() -> Self {
        let stack = Stack::new();
        let (database, broker) = (Proxy::to(stack.database.address()), Proxy::to(stack.broker.address()));
        let database_url = database.rewrite_url(&stack.database.url);
        let broker_url = broker.rewrite_url(&stack.broker.url);
        let behind_proxies = [
            ("CONTACTS__DATABASE__URL", database_url.as_str()),
            ("CONTACTS__DATABASE__CONNECT_TIMEOUT", "2s"),
            ("CONTACTS__BROKER__URL", &broker_url),
            ("CONTACTS__CONSUMER__HOLD", "1s"),
        ];
        let mut producer = stack.start_with("producer", &behind_proxies);
        let mut consumer = stack.start_with("consumer", &behind_proxies);
        let targets = format!("http://{},http://{}", producer.admin().address(), consumer.admin().address());
        let settings = [&behind_proxies[..], &[("CONTACTS__ADMIN__CONSOLE_TARGETS", targets.as_str())]].concat();
        let mut console = stack.start_with("console", &settings);
        producer.wait_until_ready();
        consumer.wait_until_ready();
        console.wait_until_ready();
        Self { stack, database, broker, producer, consumer, console }
    }

    fn works_again(&mut self) {
        let admin = self.console.admin();
        eventually("the console says that all works", || (now(&admin, &[])["state"] == "working").then_some(()));
    }
}

#[test]
fn each_outage_is_one_finding_that_names_its_cause() {
    let mut watched = Watched::start();
    let (client, admin) = (watched.producer.client(), watched.console.admin());
    client.create("Ana Souza");
    watched.works_again();
    let shown = now(&admin, &[]);
    let roles: Vec<&str> =
        shown["processes"].as_array().unwrap().iter().map(|process| process["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["console", "producer", "consumer"]);

    watched.database.refuse_connections(true);
    watched.database.close_connections();
    let found = finding(&admin, "database_down");
    assert_eq!((&found["severity"], &found["runbook"]), (&"critical".into(), &"contactsdatabasedown".into()));
    let explained = eventually("the workers pause", || {
        let shown = now(&admin, &[]);
        let explained = shown["findings"][0]["consequences"].to_string().contains("consumers_paused");
        (explained && shown["state"] == "stopped").then_some(shown)
    });
    assert_eq!(explained["findings"].as_array().unwrap().len(), 1, "{explained}");
    assert_eq!(explained["findings"][0]["values"]["of"], 3, "{explained}");
    assert!(!explained["findings"][0]["values"]["reason"].as_str().unwrap().is_empty(), "{explained}");
    assert_eq!(explained["findings"][0]["since"], found["since"], "it lasts");
    watched.database.clear_faults();
    watched.works_again();

    watched.broker.refuse_connections(true);
    watched.broker.close_connections();
    let found = finding(&admin, "broker_down");
    assert!(found["values"]["reason"].as_str().unwrap().contains("127.0.0.1"), "{found}");
    assert_eq!(now(&admin, &[])["state"], "stopped");
    watched.broker.clear_faults();
    watched.works_again();

    watched.stack.broker.publish_raw(&[b"x"; 30].map(|body: &[u8; 1]| &body[..]));
    let found = finding(&admin, "dead_letters_burst");
    assert_eq!(
        (&found["values"]["reason"], &found["values"]["count"]),
        (&"undecodable".into(), &30.0.into()),
        "{found}"
    );

    watched.consumer.kill();
    client.create("Bia Lima");
    let found = finding(&admin, "no_consumers");
    assert_eq!(found["values"]["messages"], 1.0, "{found}");
    let shown = now(&admin, &[]);
    let codes: Vec<&Value> = shown["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
    assert!(codes.contains(&&"target_unreachable".into()), "{codes:?}");
    let process = &shown["processes"][2];
    assert_eq!((&process["reachable"], &process["role"]), (&false.into(), &"consumer".into()), "{process}");
}

/// A program that is no admin port: it writes an answer to each connection, piece after piece.
fn other_program(write: impl Fn(&mut TcpStream) -> std::io::Result<()> + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = connection.read(&mut [0; 1_000]);
                let _ = write(&mut connection);
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn a_target_that_hangs_or_never_ends_or_is_another_program_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hangs = other_program(|_| {
        std::thread::sleep(Duration::from_secs(3_600));
        Ok(())
    });
    // Each of its two answers comes just in time.
    let slow = other_program(|connection| {
        std::thread::sleep(Duration::from_millis(2_800));
        connection.write_all(b"HTTP/1.0 200 OK\r\n\r\ncontacts_build_info{role=\"producer\"} 1\n")
    });
    let endless = other_program(|connection| {
        connection.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
        for number in 0.. {
            let line = format!("contacts_consumer_dead_letters_total{{reason=\"{number}\"}} 1\n");
            connection.write_all(line.repeat(100).as_bytes())?;
        }
        Ok(())
    });
    let other = other_program(|connection| connection.write_all(b"HTTP/1.0 200 OK\r\n\r\n<script>alert(1)</script>"));
    let targets = [hangs, slow, endless, other].join(",");
    let mut process = standalone(folder.path(), &[("CONTACTS__ADMIN__CONSOLE_TARGETS", &targets)]);
    let admin = process.admin();
    // The same number of samples as without these targets: one in 5 s.
    let samples = |now: &Value| now["series"]["work"].as_array().unwrap().len();
    let first = eventually("there is a sample", || Some(now(&admin, &[])).filter(|now| samples(now) > 0));
    let begin = first["series"]["end"].as_i64().unwrap();
    let later = eventually("there are more samples", || {
        Some(now(&admin, &[])).filter(|now| samples(now) > samples(&first) + 3)
    });
    let series = later["series"]["work"].as_array().unwrap();
    assert!(series[1..].iter().all(|value| !value.is_null()), "a sample is missing: {series:?}, since {begin}");
    let errors: Vec<&str> =
        later["processes"].as_array().unwrap().iter().map(|process| process["error"].as_str().unwrap_or("")).collect();
    let late = "it does not answer in time";
    assert_eq!(errors, ["", late, late, "its answer is too long", "it is no admin port of contacts"]);
    assert!(process.peak_rss_mib() < 150.0, "{} MiB", process.peak_rss_mib());
    process.terminate();
}

#[test]
fn paths_lead_to_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    let admin = process.admin();
    for path in [
        "/console/assets/../../../../etc/passwd",
        "/console/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/console/assets/%2e%2e/%2e%2e/etc/passwd",
        "/console/assets//etc/passwd",
        "/console/assets/",
        "/console/assets/console.css%00.js",
        "/console/runbook-..%2fSCALE",
        "/console/runbook/../metrics",
        "/console/api/dead-letters/jobs/..%2f..%2fqueue.db/archive",
        "/console/api/dead-letters/jobs/%2e%2e/archive",
    ] {
        let mut connection = TcpStream::connect(admin.address()).unwrap();
        // As it is: a client would make another path of it.
        let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\nx-contacts-console: 1\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap();
        assert!(["400", "404"].contains(&status) && !answer.contains("root:"), "{path}: {answer}");
    }
}

#[test]
fn the_life_of_a_change_is_found_by_each_of_its_ids() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    let (client, admin) = (process.client(), process.admin());
    let find = |query: &str| {
        let answer = get(&admin, &format!("/console/api/find?q={query}"), &[CONSOLE]);
        assert_eq!(answer.status, 200, "{answer:?}");
        for personal in ["Ana", "Souza", "98765", "example.com"] {
            assert!(!answer.body.contains(personal), "{}", answer.body);
        }
        answer.json()
    };
    let created = client.create("Ana Souza");
    let (operation, contact) = (created.text("operation_id"), created.text("contact_id"));
    client.finished_operation(&operation);
    let found = find(&operation);
    assert_eq!((&found["kind"], &found["contact"]["id"]), (&"operation".into(), &contact.as_str().into()), "{found}");
    let life = &found["lives"][0];
    assert_eq!((&life["status"], &life["operation"]), (&"applied".into(), &"insert".into()), "{life}");
    let steps: Vec<&Value> = life["steps"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["accepted", "applied"]);
    assert_eq!((&life["attempts"], &life["caller"]), (&1.into(), &Value::Null), "{life}");
    let of_trace = find(life["trace_id"].as_str().unwrap());
    assert_eq!(
        (&of_trace["kind"], &of_trace["lives"][0]["operation_id"]),
        (&"trace".into(), &operation.as_str().into())
    );
    let of_contact = find(&contact);
    assert_eq!(
        (&of_contact["kind"], &of_contact["lives"][0]["operation_id"]),
        (&"contact".into(), &operation.as_str().into())
    );
    assert_eq!(of_contact["contact"]["version"], operation.as_str());

    // A delete of a contact that does not exist waits for its create, and fails in the end.
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    let missing = uuid::Uuid::now_v7();
    let answer = client.write("PUT", &format!("/contacts/{missing}"), &[("traceparent", &traceparent)], &person("Ana"));
    let operation = answer.text("operation_id");
    let pending = find(&operation);
    assert_eq!(pending["lives"][0]["status"], "pending", "{pending}");
    process.terminate();
    let settings = [("CONTACTS__RETRY__MAX_ATTEMPTS", "2"), ("CONTACTS__RETRY__DELAY", "10ms")];
    let mut process = standalone(folder.path(), &settings);
    let (client, admin) = (process.client(), process.admin());
    assert_eq!(client.finished_operation(&operation)["status"], "failed");
    for (query, kind) in [(trace, "trace"), (&traceparent, "trace"), (&operation, "operation")] {
        let found = get(&admin, &format!("/console/api/find?q={query}"), &[CONSOLE]).json();
        assert_eq!((&found["kind"], found["lives"].as_array().unwrap().len()), (&kind.into(), 1), "{found}");
        let life = &found["lives"][0];
        assert_eq!((&life["operation_id"], &life["trace_id"]), (&operation.as_str().into(), &trace.into()), "{life}");
        assert_eq!((&life["reason"], &life["contact_id"]), (&"contact_not_found".into(), &missing.to_string().into()));
        assert!(life["steps"].as_array().unwrap().iter().any(|step| step["step"] == "dead_lettered"), "{life}");
    }
    let unknown = get(&admin, &format!("/console/api/find?q={}", uuid::Uuid::new_v4()), &[CONSOLE]).json();
    assert_eq!((&unknown["kind"], &unknown["lives"]), (&"nothing".into(), &Value::Array(vec![])), "{unknown}");
    assert_problem(&get(&admin, "/console/api/find?q=Ana", &[CONSOLE]), 400, "invalid_request");
}

#[test]
fn the_role_console_works_on_the_data_folder_of_a_standalone() {
    let folder = tempfile::tempdir().unwrap();
    let mut standalone = start_standalone(folder.path(), &[]);
    let created = standalone.client().create("Ana Souza");
    standalone.client().finished_operation(&created.text("operation_id"));
    let mut console = Process::start(&["console", "--data-dir", folder.path().to_str().unwrap()], &[]);
    let admin = console.admin();
    console.wait_until_ready();
    let found = get(&admin, &format!("/console/api/find?q={}", created.text("operation_id")), &[CONSOLE]).json();
    assert_eq!(found["lives"][0]["status"], "applied", "{found}");
    let shown = eventually("the queue is known", || {
        let now = now(&admin, &[]);
        (now["figures"]["work"] == 0.0).then_some(now)
    });
    assert_eq!((&shown["state"], &shown["figures"]["accepted"]), (&"unknown".into(), &Value::Null), "{shown}");
    console.terminate();
    standalone.terminate();
}
