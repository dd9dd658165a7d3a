//! Tests of metrics, log lines and traces. None of them may contain personal data.

use crate::support::{
    Client, Process, Proxy, Stack, create, eventually, json, new_contact, person, start_standalone, update,
};
use contacts::message::{Header, Message};
use contacts::queue::QueueKind;
use contacts::telemetry::metrics::CATALOGUE;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The exposed metrics, with the names of their labels.
fn exposed(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut exposed = BTreeMap::new();
    let mut histograms = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            if kind == "histogram" {
                histograms.insert(name.to_owned());
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            let (sample, _value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let name = base.filter(|base| histograms.contains(*base)).unwrap_or(name);
            let labels = labels.trim_end_matches('}').split(',').filter_map(|label| Some(label.split_once('=')?.0));
            let labels = labels.filter(|label| *label != "le").map(str::to_owned);
            exposed.entry(name.to_owned()).or_insert_with(BTreeSet::new).extend(labels);
        }
    }
    exposed
}

fn metrics(process: &mut Process) -> String {
    process.admin().get("/metrics").body
}

/// The value of one series.
fn value(process: &mut Process, series: &str) -> f64 {
    let metrics = metrics(process);
    let line = metrics.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[track_caller]
fn eventually_shows(process: &mut Process, series: &str, expected: impl Fn(f64) -> bool) {
    eventually(series, || expected(value(process, series)).then_some(()));
}

#[test]
fn the_roles_together_expose_the_whole_catalogue_from_the_start() {
    let stack = Stack::new();
    let folder = tempfile::tempdir().unwrap();
    let reads = stack.database.url.replace("application_name", "connect_timeout=7&application_name");
    let producer = stack.start_with("producer", &[("CONTACTS__DATABASE__READ_URL", &reads)]);
    let consumer = stack.start_with("consumer", &[("CONTACTS__EVENTS__ENABLED", "true")]);
    let mut roles = [producer, consumer, start_standalone(folder.path(), &[])];
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for role in &mut roles {
        role.wait_until_ready();
        let text = metrics(role);
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool comes with `make test`");
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{errors}");
        for (name, labels) in exposed(&text) {
            all.entry(name).or_default().extend(labels);
        }
    }
    let catalogue: BTreeMap<String, BTreeSet<String>> = CATALOGUE
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| (*label).to_owned()).collect()))
        .collect();
    assert_eq!(all, catalogue);
    // Histograms and counters exist with the value 0 before the first event.
    let consumer = metrics(&mut roles[1]);
    for zero in [
        "contacts_consumer_age_at_commit_seconds_bucket{le=\"5\"} 0",
        "contacts_consumer_messages_total{outcome=\"failed\"} 0",
        "contacts_consumer_dead_letters_total{reason=\"poison\"} 0",
        "contacts_consumer_apply_failures_total{class=\"unavailable\"} 0",
    ] {
        assert!(consumer.contains(zero), "no {zero}\n{consumer}");
    }
    assert!(metrics(&mut roles[0]).contains("{method=\"POST\",route=\"/contacts\",status=\"503\"} 0"));
}

#[test]
fn queue_metrics_are_exposed_while_no_consumer_runs() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato\"}", |messages| messages == 0.0);
    assert_eq!(value(&mut producer, "contacts_queue_oldest_age_seconds{queue=\"contato.dlq\"}"), 0.0);
    let client = producer.client();
    for _ in 0..3 {
        client.create("Ana");
    }
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato\"}", |messages| messages == 3.0);
    eventually_shows(&mut producer, "contacts_queue_consumers{queue=\"contato\"}", |consumers| consumers == 0.0);
    let mut consumer = stack.start("consumer");
    consumer.wait_until_ready();
    eventually_shows(&mut producer, "contacts_queue_consumers{queue=\"contato\"}", |consumers| consumers == 2.0);
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato\"}", |messages| messages == 0.0);
    // Dead letters: their number, and the age of the oldest one.
    stack.broker.publish_raw(&[b"not ours", b"nor this"]);
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato.dlq\"}", |messages| messages == 2.0);
    let oldest = "contacts_queue_oldest_age_seconds{queue=\"contato.dlq\"}";
    eventually_shows(&mut producer, oldest, |age| age > 5.0 && age < 600.0);
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 2, "browsing removes nothing");
    assert_eq!(value(&mut consumer, "contacts_consumer_dead_letters_total{reason=\"undecodable\"}"), 2.0);
}

#[test]
fn a_standalone_exposes_the_number_and_age_of_waiting_messages() {
    let folder = tempfile::tempdir().unwrap();
    // The update waits for a create that is never sent.
    let mut process = start_standalone(folder.path(), &[("CONTACTS__RETRY__DELAY", "1h")]);
    process.wait_until_ready();
    let answer = process.client().write("PUT", &format!("/contacts/{}", new_contact()), &[], &person("Ana"));
    assert_eq!(answer.status, 202);
    eventually_shows(&mut process, "contacts_queue_messages{queue=\"contato.retry\"}", |messages| messages == 1.0);
    eventually_shows(&mut process, "contacts_queue_oldest_age_seconds{queue=\"contato.retry\"}", |age| age > 1.0);
    assert!(value(&mut process, "contacts_queue_consumers{queue=\"contato\"}").is_nan());
}

#[test]
fn an_older_schema_is_exposed_as_not_current() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    eventually_shows(&mut producer, "contacts_database_schema_current", |current| current == 1.0);
    let (status, log) = Process::run(&["migrate", "--down"], &stack.settings(&[]));
    assert!(status.success(), "{log}");
    eventually_shows(&mut producer, "contacts_database_schema_current", |current| current == 0.0);
    assert_eq!(value(&mut producer, "contacts_database_up"), 1.0);
}

#[test]
fn the_age_of_unapplied_messages_grows_while_sql_is_unavailable() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.database.address());
    let url = proxy.rewrite_url(&stack.database.url);
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__DATABASE__URL", &url)]);
    consumer.wait_until_ready();
    let age = "contacts_consumer_oldest_unapplied_age_seconds";
    assert_eq!(value(&mut consumer, age), 0.0);
    proxy.refuse_connections(true);
    proxy.close_connections();
    let mut command = create(new_contact(), "Ana");
    command.accepted_at = chrono::Utc::now();
    stack.publish([Message::new(&command)]);
    eventually_shows(&mut consumer, "contacts_consumer_paused", |paused| paused == 1.0);
    eventually_shows(&mut consumer, age, |age| age > 3.0);
    eventually_shows(&mut consumer, "contacts_database_up", |up| up == 0.0);
    eventually_shows(&mut consumer, "contacts_component_ready{component=\"database\"}", |ready| ready == 0.0);
    assert!(value(&mut consumer, "contacts_consumer_apply_failures_total{class=\"unavailable\"}") > 0.0);
    proxy.clear_faults();
    eventually_shows(&mut consumer, age, |age| age == 0.0);
    eventually_shows(&mut consumer, "contacts_consumer_messages_total{outcome=\"applied\"}", |applied| applied == 1.0);
}

#[test]
fn a_database_and_a_broker_that_hang_are_exposed_as_unavailable() {
    let stack = Stack::new();
    let (database, broker) = (Proxy::to(stack.database.address()), Proxy::to(stack.broker.address()));
    let (database_url, broker_url) = (database.rewrite_url(&stack.database.url), broker.rewrite_url(&stack.broker.url));
    let settings = [("CONTACTS__DATABASE__URL", &*database_url), ("CONTACTS__BROKER__URL", &*broker_url)];
    let mut producer = stack.start_with("producer", &settings);
    producer.wait_until_ready();
    let waiting = "contacts_queue_messages{queue=\"contato\"}";
    eventually_shows(&mut producer, "contacts_database_up", |up| up == 1.0);
    eventually_shows(&mut producer, waiting, |messages| messages == 0.0);
    // Connections stay open, but no answer arrives.
    database.stall(true);
    broker.stall(true);
    eventually_shows(&mut producer, "contacts_database_up", |up| up == 0.0);
    eventually_shows(&mut producer, waiting, f64::is_nan);
}

/// The log line of the batch with this operation.
fn batch_with(process: &Process, operation: &str) -> String {
    eventually("the batch is in the log", || {
        let lines = process.log_lines("batch");
        let mut operations = lines.iter().filter_map(|line| Some(line["operations"].as_str()?.to_owned()));
        operations.find(|operations| operations.contains(operation))
    })
}

#[test]
fn a_trace_leads_from_the_request_to_the_batch() {
    let stack = Stack::new();
    let (mut producer, mut consumer) = (stack.start("producer"), stack.start("consumer"));
    producer.wait_until_ready();
    consumer.wait_until_ready();
    let client = producer.client();
    let answer = client.write("POST", "/contacts", &[("traceparent", TRACEPARENT)], &person("Ana"));
    let operation = answer.text("operation_id");
    let request = |operation: &str| -> Value {
        eventually("the request is in the log", || {
            producer.log_lines("request").into_iter().find(|line| line["operation_id"] == operation)
        })
    };
    let line = request(&operation);
    assert_eq!((line["trace_id"].as_str(), line["status"].as_u64()), (Some(TRACE_ID), Some(202)), "{line}");
    assert_eq!(line["route"], "/contacts");
    assert!(batch_with(&consumer, &operation).contains(&format!("{operation}:{TRACE_ID}")));

    // Without a valid `traceparent` a new trace starts. It also leads to the batch.
    for headers in [&[][..], &[("traceparent", "00-0-0-00")]] {
        let operation = client.write("POST", "/contacts", headers, &person("Bia")).text("operation_id");
        let trace = request(&operation)["trace_id"].as_str().unwrap().to_owned();
        assert!(trace.len() == 32 && trace != TRACE_ID, "{trace}");
        assert!(batch_with(&consumer, &operation).contains(&format!("{operation}:{trace}")));
    }
    // Requests without an operation have a line, too.
    client.send("GET", "/contacts", &[("traceparent", TRACEPARENT)], None).unwrap();
    eventually("the read is in the log", || {
        let lines = producer.log_lines("request");
        lines.into_iter().find(|line| line["method"] == "GET" && line["trace_id"] == TRACE_ID)
    });
}

#[test]
fn a_message_carries_the_trace_and_its_state() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "vendor=opaque")];
    let answer = producer.client().write("PUT", &format!("/contacts/{}", new_contact()), &headers, &person("Ana"));
    assert_eq!(answer.status, 202);
    producer.terminate();
    // The contact is never created, so the update becomes a dead letter with its headers.
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__RETRY__MAX_ATTEMPTS", "2")]);
    consumer.wait_until_ready();
    eventually("the update has failed", || (stack.broker.depth(QueueKind::DeadLetter) == 1).then_some(()));
    consumer.terminate();
    let dead_letter = stack.dead_letters().remove(0);
    let sent = dead_letter.headers.text("traceparent").unwrap().to_owned();
    assert!(sent.starts_with(&format!("00-{TRACE_ID}-")) && sent.ends_with("-01") && sent != TRACEPARENT, "{sent}");
    assert_eq!(dead_letter.headers.text("tracestate"), Some("vendor=opaque"));
}

#[test]
fn log_files_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("deep/logs"));
    let settings = [("CONTACTS__LOG__DIR", logs.to_str().unwrap()), ("HOSTNAME", "pod-1")];
    for _ in 0..2 {
        let mut process = start_standalone(&data, &settings);
        process.wait_until_ready();
        assert_eq!(process.client().create("Ana").status, 202);
        process.terminate();
    }
    let files: Vec<_> = std::fs::read_dir(logs.join("pod-1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with("contacts-standalone.") && name.ends_with(".log")));
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let messages: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |message: &str| messages.iter().filter(|line| line["message"] == message).count();
    assert_eq!((count("starting"), count("stopped"), count("request")), (2, 2, 2), "{text}");

    let (status, log) = Process::run(&["standalone"], &[("CONTACTS__LOG__DIR", "/proc/nowhere")]);
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("log.dir") && log.contains("/proc/nowhere"), "{log}");
}

/// Kills the process when it is dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_nothing_reads_does_not_block_the_process() {
    /// More lines than the mailbox, its writer and the pipe can hold.
    const LINES: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let admin = format!("127.0.0.1:{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let settings = [("CONTACTS__ADMIN__LISTEN", admin.as_str())];
    let mut command = Process::command(&["standalone", "--data-dir", folder.path().to_str().unwrap()], &settings);
    // The test keeps the pipes open and does not read standard error.
    let mut process = KilledOnDrop(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut output = String::new();
    BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut output).unwrap();
    let address = output.split_once("http://").unwrap().1.split_once(": ").unwrap().0;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = Client::new(address);
                for number in 0..LINES / 4 {
                    assert_eq!(client.get("/nothing").status, 404, "request {number}");
                }
            });
        }
    });
    assert_eq!(Client::new(address).create("Ana Example").status, 202);
    let metrics = Client::new(&admin).get("/metrics").body;
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("contacts_log_lines_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 0);
    let status = Command::new("kill").arg(process.0.id().to_string()).status().unwrap();
    assert!(status.success());
    let status = eventually("the process has stopped", || process.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn traffic_lines_can_be_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[("CONTACTS__LOG__TRAFFIC", "false")]);
    process.wait_until_ready();
    let client = process.client();
    let operation = client.create("Ana").text("operation_id");
    client.finished_operation(&operation);
    assert_eq!((process.log_lines("request").len(), process.log_lines("batch").len()), (0, 0), "{}", process.log());
    assert_eq!(process.log_lines("listening").len(), 1);
}

#[test]
fn a_request_outside_of_the_sample_has_a_line_only_if_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[("CONTACTS__LOG__TRAFFIC_SAMPLE", "0")]);
    process.wait_until_ready();
    let client = process.client();
    let operation = client.create("Ana").text("operation_id");
    client.finished_operation(&operation);
    assert_eq!(client.get("/contacts/0").status, 404);
    eventually("the failed request has a line", || (!process.log_lines("request").is_empty()).then_some(()));
    let lines = process.log_lines("request");
    assert!(lines.len() == 1 && lines[0]["status"] == 404, "{lines:?}");
    assert_eq!(process.log_lines("batch").len(), 1);
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_otlp_rejects_the_otlp_url() {
    let (status, log) = Process::run(&["standalone"], &[("CONTACTS__TRACE__OTLP_URL", "http://collector/v1/traces")]);
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("--features otlp"), "{log}");
}

/// The personal data of the test contact. It must appear only in the stored data.
const MARKS: [&str; 4] = ["Zyxwvut", "Qponmlk", "987001234", "zyx.mark"];

fn marked() -> Value {
    json!({ "name": "Zyxwvut Qponmlk", "phone": "(11) 98700-1234", "email": "zyx.mark@example.com" })
}

/// Sends the test contact to every path of the API, also with invalid requests. Returns the accepted operations.
fn send_marked(client: &Client) -> Vec<String> {
    let mut operations = Vec::new();
    let mut write = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let answer = client.write(method, path, headers, body);
        assert!(MARKS.iter().all(|mark| !answer.body.contains(mark)), "{answer:?}");
        if answer.status == 202 {
            operations.push(answer.text("operation_id"));
            return Some(answer.text("contact_id"));
        }
        None
    };
    let id = write("POST", "/contacts", &[("idempotency-key", "key-of-zyx")], &marked()).unwrap();
    write("POST", "/contacts", &[("idempotency-key", "key-of-zyx")], &marked());
    write("PUT", &format!("/contacts/{id}"), &[], &marked());
    write("PUT", &format!("/contacts/{}", new_contact()), &[], &marked());
    for (field, wrong) in [
        ("name", json!("Zyxwvut\u{7}Qponmlk")),
        ("name", json!(["Zyxwvut"])),
        ("phone", json!("(10) 98700-1234")),
        ("phone", json!("987001234")),
        ("email", json!("zyx.mark@@example.com")),
        ("surname", json!("Qponmlk")),
    ] {
        let mut body = marked();
        body[field] = wrong;
        assert_eq!(write("POST", "/contacts", &[], &body), None);
    }
    for (path, headers, body) in [
        (
            "/contacts",
            vec![("content-type", "application/json")],
            "{\"name\": \"Zyxwvut Qponmlk\", zyx.mark".to_owned(),
        ),
        ("/contacts", vec![("content-type", "text/zyx.mark")], marked().to_string()),
        ("/contacts", vec![("content-type", "application/json")], format!("\"{}\"", "Zyxwvut ".repeat(10_000))),
        ("/contacts/Zyxwvut-Qponmlk", vec![("content-type", "application/json")], marked().to_string()),
        ("/contacts/zyx.mark@example.com/987001234", vec![], marked().to_string()),
        ("/contacts", vec![("content-type", "application/json"), ("if-match", "\"Zyxwvut\"")], marked().to_string()),
        ("/contacts", vec![("content-type", "application/json"), ("traceparent", "Zyxwvut")], marked().to_string()),
    ] {
        for method in ["POST", "PUT", "GET", "PATCH"] {
            let body = (method != "GET").then_some(body.as_bytes());
            let answer = client.send(method, path, &headers, body);
            // The service may close the connection in the middle of a large body.
            if let Ok(answer) = answer {
                assert!(MARKS.iter().all(|mark| !answer.body.contains(mark) || answer.status == 200), "{answer:?}");
            }
        }
    }
    for query in ["ddd=Zyxwvut", "limit=zyx.mark", "cursor=987001234", "Qponmlk=1"] {
        client.get(&format!("/contacts?{query}"));
    }
    client.write("DELETE", &format!("/contacts/{id}"), &[], &json!({}));
    operations
}

#[track_caller]
fn assert_no_personal_data(source: &str, text: &str) {
    for mark in MARKS {
        let line = text.lines().find(|line| line.contains(mark));
        assert_eq!(line, None, "{source} contains {mark}");
    }
}

#[test]
fn logs_and_metrics_contain_no_personal_data() {
    let stack = Stack::new();
    let trace_level = ("CONTACTS__LOG__LEVEL", "trace");
    let mut producer = stack.start_with("producer", &[trace_level]);
    let mut consumer = stack.start_with("consumer", &[trace_level, ("CONTACTS__RETRY__MAX_ATTEMPTS", "3")]);
    producer.wait_until_ready();
    consumer.wait_until_ready();
    let client = producer.client();
    let operations = send_marked(&client);
    assert!(operations.len() >= 4, "{operations:?}");

    // Messages that only other programs send: not JSON, invalid values, a name instead of an id.
    let mut foreign = Message::new(&create(new_contact(), "Zyxwvut Qponmlk"));
    foreign.id = "zyx.mark@example.com".into();
    foreign.kind = "Zyxwvut".into();
    foreign.headers.set("traceparent", Header::Text("Zyxwvut".into()));
    foreign.headers.set("x-987001234", Header::Text("Qponmlk".into()));
    let mut undecodable = foreign.clone();
    undecodable.body = b"{\"name\": \"Zyxwvut Qponmlk\"".to_vec();
    let mut broken = foreign.clone();
    broken.body = String::from_utf8(broken.body).unwrap().replace("11987654321", "987001234 Zyxwvut").into_bytes();
    stack.publish([foreign, undecodable, broken]);
    // PostgreSQL quotes the row in the error of this constraint.
    stack.database.execute("ALTER TABLE contacts ADD CONSTRAINT no_marks CHECK (name NOT LIKE 'Refused%')");
    // This trigger raises errors with personal data: one with the code of a constraint, one with the default code.
    stack.database.execute(
        "CREATE FUNCTION reveal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.name LIKE 'Rejected%' THEN RAISE '%, %, %', NEW.name, NEW.phone, NEW.email USING ERRCODE = '23514'; END IF; \
         IF NEW.name LIKE 'Slow%' AND NEW.created_at > now() - interval '4 seconds' \
         THEN RAISE 'not yet: %, %', NEW.name, NEW.email; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER reveal BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION reveal()",
    );
    let rejected = create(new_contact(), "Rejected Zyxwvut Qponmlk");
    let mut slow = create(new_contact(), "Slow Zyxwvut Qponmlk");
    slow.accepted_at = chrono::Utc::now();
    stack.publish([&rejected, &slow].map(Message::new));
    assert_eq!(client.finished_operation(&rejected.operation_id.to_string())["status"], "failed");
    assert_eq!(client.finished_operation(&slow.operation_id.to_string())["status"], "applied");
    let refused = create(new_contact(), "Refused Zyxwvut Qponmlk");
    let missing = update(new_contact(), 5, "Zyxwvut Qponmlk");
    stack.publish([&refused, &missing].map(Message::new));
    for command in [&refused, &missing] {
        assert_eq!(client.finished_operation(&command.operation_id.to_string())["status"], "failed");
    }
    for operation in &operations {
        client.finished_operation(operation);
    }
    // An update without a create, two invalid messages, one refused by the database, one missing contact.
    eventually("all these messages have failed", || (stack.broker.depth(QueueKind::DeadLetter) >= 5).then_some(()));

    let (status, output) = Process::run(&["dlq-drain", "list", "--messages"], &stack.settings(&[trace_level]));
    assert!(status.success(), "{output}");
    for process in [&mut producer, &mut consumer] {
        assert_no_personal_data("the metrics", &metrics(process));
        assert_no_personal_data("a log", &process.log());
    }
    assert_no_personal_data("dlq-drain list", &output);
    assert!(producer.log_lines("request").len() > 30 && !consumer.log_lines("batch").is_empty());
    assert!(consumer.log_lines("message dead-lettered").len() >= 5, "{}", consumer.log());
}

#[test]
fn logs_and_metrics_of_a_standalone_contain_no_personal_data() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    let settings = [
        ("CONTACTS__LOG__LEVEL", "trace"),
        ("CONTACTS__LOG__DIR", logs.to_str().unwrap()),
        ("CONTACTS__RETRY__MAX_ATTEMPTS", "2"),
    ];
    let mut process = start_standalone(&data, &settings);
    process.wait_until_ready();
    let client = process.client();
    for operation in send_marked(&client) {
        client.finished_operation(&operation);
    }
    assert_no_personal_data("the metrics", &metrics(&mut process));
    assert_no_personal_data("the log", &process.log());
    for file in std::fs::read_dir(&logs).unwrap() {
        assert_no_personal_data("a log file", &std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
}
