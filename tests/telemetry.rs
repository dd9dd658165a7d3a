//! What a role shows of itself: metrics, log lines, traces, and no personal data in any of them.

use crate::support::{
    Client, Process, Proxy, Stack, create, eventually, json, new_contact, person, standalone, update,
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

/// Each metric that a role shows, with the names of its labels.
fn shown(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown = BTreeMap::new();
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
            shown.entry(name.to_owned()).or_insert_with(BTreeSet::new).extend(labels);
        }
    }
    shown
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
fn the_roles_together_show_the_whole_catalogue_from_the_start() {
    let stack = Stack::new();
    let folder = tempfile::tempdir().unwrap();
    let reads = stack.database.url.replace("application_name", "connect_timeout=7&application_name");
    let producer = stack.start_with("producer", &[("CONTACTS__DATABASE__READ_URL", &reads)]);
    let mut roles = [producer, stack.start("consumer"), standalone(folder.path(), &[])];
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for role in &mut roles {
        role.ready();
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
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
        for (name, labels) in shown(&text) {
            all.entry(name).or_default().extend(labels);
        }
    }
    let catalogue: BTreeMap<String, BTreeSet<String>> = CATALOGUE
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| (*label).to_owned()).collect()))
        .collect();
    assert_eq!(all, catalogue);
    // Histograms begin at zero, too, and counters of what has not happened yet.
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
fn what_waits_is_shown_while_nobody_takes_it() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.ready();
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato\"}", |messages| messages == 0.0);
    assert_eq!(value(&mut producer, "contacts_queue_oldest_age_seconds{queue=\"contato.dlq\"}"), 0.0);
    let client = producer.client();
    for _ in 0..3 {
        client.create("Ana");
    }
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato\"}", |messages| messages == 3.0);
    eventually_shows(&mut producer, "contacts_queue_consumers{queue=\"contato\"}", |consumers| consumers == 0.0);
    let mut consumer = stack.start("consumer");
    consumer.ready();
    eventually_shows(&mut producer, "contacts_queue_consumers{queue=\"contato\"}", |consumers| consumers == 2.0);
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato\"}", |messages| messages == 0.0);
    // Dead letters: how many, and since when the first has been waiting.
    stack.broker.publish_raw(&[b"not ours", b"nor this"]);
    eventually_shows(&mut producer, "contacts_queue_messages{queue=\"contato.dlq\"}", |messages| messages == 2.0);
    let oldest = "contacts_queue_oldest_age_seconds{queue=\"contato.dlq\"}";
    eventually_shows(&mut producer, oldest, |age| age > 5.0 && age < 600.0);
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 2, "looking takes nothing");
    assert_eq!(value(&mut consumer, "contacts_consumer_dead_letters_total{reason=\"undecodable\"}"), 2.0);
}

#[test]
fn a_standalone_shows_what_waits_and_since_when() {
    let folder = tempfile::tempdir().unwrap();
    // Its update waits for a create that never comes.
    let mut process = standalone(folder.path(), &[("CONTACTS__RETRY__DELAY", "1h")]);
    process.ready();
    let answer = process.client().write("PUT", &format!("/contacts/{}", new_contact()), &[], &person("Ana"));
    assert_eq!(answer.status, 202);
    eventually_shows(&mut process, "contacts_queue_messages{queue=\"contato.retry\"}", |messages| messages == 1.0);
    eventually_shows(&mut process, "contacts_queue_oldest_age_seconds{queue=\"contato.retry\"}", |age| age > 1.0);
    assert!(value(&mut process, "contacts_queue_consumers{queue=\"contato\"}").is_nan());
}

#[test]
fn a_schema_that_was_taken_away_is_shown() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.ready();
    eventually_shows(&mut producer, "contacts_database_schema_current", |current| current == 1.0);
    let (status, log) = Process::run(&["migrate", "--down"], &stack.settings(&[]));
    assert!(status.success(), "{log}");
    eventually_shows(&mut producer, "contacts_database_schema_current", |current| current == 0.0);
    assert_eq!(value(&mut producer, "contacts_database_up"), 1.0);
}

#[test]
fn while_sql_is_away_the_age_of_what_waits_grows() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.database.address());
    let url = proxy.in_url(&stack.database.url);
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__DATABASE__URL", &url)]);
    consumer.ready();
    let age = "contacts_consumer_oldest_unapplied_age_seconds";
    assert_eq!(value(&mut consumer, age), 0.0);
    proxy.refuse(true);
    proxy.cut();
    let mut command = create(new_contact(), "Ana");
    command.accepted_at = chrono::Utc::now();
    stack.publish([Message::new(&command)]);
    eventually_shows(&mut consumer, "contacts_consumer_paused", |paused| paused == 1.0);
    eventually_shows(&mut consumer, age, |age| age > 3.0);
    eventually_shows(&mut consumer, "contacts_database_up", |up| up == 0.0);
    eventually_shows(&mut consumer, "contacts_component_ready{component=\"database\"}", |ready| ready == 0.0);
    assert!(value(&mut consumer, "contacts_consumer_apply_failures_total{class=\"unavailable\"}") > 0.0);
    proxy.heal();
    eventually_shows(&mut consumer, age, |age| age == 0.0);
    eventually_shows(&mut consumer, "contacts_consumer_messages_total{outcome=\"applied\"}", |applied| applied == 1.0);
}

#[test]
fn a_database_and_a_broker_that_hang_are_not_shown_as_there() {
    let stack = Stack::new();
    let (database, broker) = (Proxy::to(stack.database.address()), Proxy::to(stack.broker.address()));
    let (database_url, broker_url) = (database.in_url(&stack.database.url), broker.in_url(&stack.broker.url));
    let settings = [("CONTACTS__DATABASE__URL", &*database_url), ("CONTACTS__BROKER__URL", &*broker_url)];
    let mut producer = stack.start_with("producer", &settings);
    producer.ready();
    let waiting = "contacts_queue_messages{queue=\"contato\"}";
    eventually_shows(&mut producer, "contacts_database_up", |up| up == 1.0);
    eventually_shows(&mut producer, waiting, |messages| messages == 0.0);
    // Nothing is refused and nothing answers.
    database.swallow(true);
    broker.swallow(true);
    eventually_shows(&mut producer, "contacts_database_up", |up| up == 0.0);
    eventually_shows(&mut producer, waiting, f64::is_nan);
}

/// The line of the batch with this operation.
fn batch_with(process: &Process, operation: &str) -> String {
    eventually("the batch is in the log", || {
        let lines = process.said("batch");
        let mut operations = lines.iter().filter_map(|line| Some(line["operations"].as_str()?.to_owned()));
        operations.find(|operations| operations.contains(operation))
    })
}

#[test]
fn a_trace_leads_from_the_request_to_the_batch() {
    let stack = Stack::new();
    let (mut producer, mut consumer) = (stack.start("producer"), stack.start("consumer"));
    producer.ready();
    consumer.ready();
    let client = producer.client();
    let answer = client.write("POST", "/contacts", &[("traceparent", TRACEPARENT)], &person("Ana"));
    let operation = answer.text("operation_id");
    let request = |operation: &str| -> Value {
        eventually("the request is in the log", || {
            producer.said("request").into_iter().find(|line| line["operation_id"] == operation)
        })
    };
    let line = request(&operation);
    assert_eq!((line["trace_id"].as_str(), line["status"].as_u64()), (Some(TRACE_ID), Some(202)), "{line}");
    assert_eq!(line["route"], "/contacts");
    assert!(batch_with(&consumer, &operation).contains(&format!("{operation}:{TRACE_ID}")));

    // Without a caller's trace, or with one that cannot be read, a new one begins and leads as far.
    for headers in [&[][..], &[("traceparent", "00-0-0-00")]] {
        let operation = client.write("POST", "/contacts", headers, &person("Bia")).text("operation_id");
        let trace = request(&operation)["trace_id"].as_str().unwrap().to_owned();
        assert!(trace.len() == 32 && trace != TRACE_ID, "{trace}");
        assert!(batch_with(&consumer, &operation).contains(&format!("{operation}:{trace}")));
    }
    // Requests that lead to no operation have a line, too.
    client.send("GET", "/contacts", &[("traceparent", TRACEPARENT)], None).unwrap();
    eventually("the read is in the log", || {
        let lines = producer.said("request");
        lines.into_iter().find(|line| line["method"] == "GET" && line["trace_id"] == TRACE_ID)
    });
}

#[test]
fn a_message_carries_the_trace_and_its_state() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.ready();
    let headers = [("traceparent", TRACEPARENT), ("tracestate", "vendor=opaque")];
    let answer = producer.client().write("PUT", &format!("/contacts/{}", new_contact()), &headers, &person("Ana"));
    assert_eq!(answer.status, 202);
    producer.terminate();
    // Nobody will create what it updates: it ends among the dead letters, with its headers.
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__RETRY__MAX_ATTEMPTS", "2")]);
    consumer.ready();
    eventually("it has failed", || (stack.broker.depth(QueueKind::DeadLetter) == 1).then_some(()));
    consumer.terminate();
    let letter = stack.dead_letters().remove(0);
    let sent = letter.headers.text("traceparent").unwrap().to_owned();
    assert!(sent.starts_with(&format!("00-{TRACE_ID}-")) && sent.ends_with("-01") && sent != TRACEPARENT, "{sent}");
    assert_eq!(letter.headers.text("tracestate"), Some("vendor=opaque"));
}

#[test]
fn log_files_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("deep/logs"));
    let settings = [("CONTACTS__LOG__DIR", logs.to_str().unwrap()), ("HOSTNAME", "pod-1")];
    for _ in 0..2 {
        let mut process = standalone(&data, &settings);
        process.ready();
        assert_eq!(process.client().create("Ana").status, 202);
        process.terminate();
    }
    let files: Vec<_> = std::fs::read_dir(logs.join("pod-1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with("contacts-standalone.") && name.ends_with(".log")));
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let messages: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |message: &str| messages.iter().filter(|line| line["message"] == message).count();
    assert_eq!((count("starting"), count("ended"), count("request")), (2, 2, 2), "{text}");

    let (status, log) = Process::run(&["standalone"], &[("CONTACTS__LOG__DIR", "/proc/nowhere")]);
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("log.dir") && log.contains("/proc/nowhere"), "{log}");
}

/// A process that is ended with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    /// More than the mailbox, its writer and the pipe hold together.
    const LINES: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let admin = format!("127.0.0.1:{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let settings = [("CONTACTS__ADMIN__LISTEN", admin.as_str())];
    let mut command = Process::command(&["standalone", "--data-dir", folder.path().to_str().unwrap()], &settings);
    // Held open and never read.
    let mut process = Ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let address = said.split_once("http://").unwrap().1.split_once(": ").unwrap().0;
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
    let shown = Client::new(&admin).get("/metrics").body;
    let dropped = shown.lines().find_map(|line| line.strip_prefix("contacts_log_lines_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 0);
    let status = Command::new("kill").arg(process.0.id().to_string()).status().unwrap();
    assert!(status.success());
    let status = eventually("the end", || process.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn lines_for_each_request_can_be_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[("CONTACTS__LOG__TRAFFIC", "false")]);
    process.ready();
    let client = process.client();
    let operation = client.create("Ana").text("operation_id");
    client.ended(&operation);
    assert_eq!((process.said("request").len(), process.said("batch").len()), (0, 0), "{}", process.log());
    assert_eq!(process.said("listening").len(), 1);
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_that_cannot_send_traces_says_so() {
    let (status, log) = Process::run(&["standalone"], &[("CONTACTS__TRACE__OTLP_URL", "http://collector/v1/traces")]);
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("--features otlp"), "{log}");
}

/// What must not be seen anywhere but in the data: the parts of a marked person.
const MARKS: [&str; 4] = ["Zyxwvut", "Qponmlk", "987001234", "zyx.mark"];

fn marked() -> Value {
    json!({ "name": "Zyxwvut Qponmlk", "phone": "(11) 98700-1234", "email": "zyx.mark@example.com" })
}

/// Sends the marked person through every path of a role that accepts, also those that fail.
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
            // One that is cut off in the middle of a large body is as good as refused.
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
fn assert_unseen(what: &str, text: &str) {
    for mark in MARKS {
        let line = text.lines().find(|line| line.contains(mark));
        assert_eq!(line, None, "{mark} is seen in {what}");
    }
}

#[test]
fn no_personal_data_is_seen_in_logs_and_metrics() {
    let stack = Stack::new();
    let loud = ("CONTACTS__LOG__LEVEL", "trace");
    let mut producer = stack.start_with("producer", &[loud]);
    let mut consumer = stack.start_with("consumer", &[loud, ("CONTACTS__RETRY__MAX_ATTEMPTS", "3")]);
    producer.ready();
    consumer.ready();
    let client = producer.client();
    let operations = send_marked(&client);
    assert!(operations.len() >= 4, "{operations:?}");

    // What only other programs send: no JSON, rules broken, a name where an id should be.
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
    // What the database refuses, quoting the row.
    stack.database.execute("ALTER TABLE contacts ADD CONSTRAINT no_marks CHECK (name NOT LIKE 'Refused%')");
    // What a trigger says, in the words of a broken rule and in its own.
    stack.database.execute(
        "CREATE FUNCTION telling() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.name LIKE 'Told%' THEN RAISE '%, %, %', NEW.name, NEW.phone, NEW.email USING ERRCODE = '23514'; END IF; \
         IF NEW.name LIKE 'Slow%' AND NEW.created_at > now() - interval '4 seconds' \
         THEN RAISE 'not yet: %, %', NEW.name, NEW.email; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER telling BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION telling()",
    );
    let told = create(new_contact(), "Told Zyxwvut Qponmlk");
    let mut slow = create(new_contact(), "Slow Zyxwvut Qponmlk");
    slow.accepted_at = chrono::Utc::now();
    stack.publish([&told, &slow].map(Message::new));
    assert_eq!(client.ended(&told.operation_id.to_string())["status"], "failed");
    assert_eq!(client.ended(&slow.operation_id.to_string())["status"], "applied");
    let refused = create(new_contact(), "Refused Zyxwvut Qponmlk");
    let missing = update(new_contact(), 5, "Zyxwvut Qponmlk");
    stack.publish([&refused, &missing].map(Message::new));
    for command in [&refused, &missing] {
        assert_eq!(client.ended(&command.operation_id.to_string())["status"], "failed");
    }
    for operation in &operations {
        client.ended(operation);
    }
    // One was never created, two were neither, one refused, one missing.
    eventually("all that must fail has failed", || (stack.broker.depth(QueueKind::DeadLetter) >= 5).then_some(()));

    let letters = Process::run(&["dlq-drain", "list", "--each"], &stack.settings(&[loud]));
    assert!(letters.0.success(), "{}", letters.1);
    for process in [&mut producer, &mut consumer] {
        assert_unseen("the metrics", &metrics(process));
        assert_unseen("a log", &process.log());
    }
    assert_unseen("dlq-drain list", &letters.1);
    assert!(producer.said("request").len() > 30 && !consumer.said("batch").is_empty());
    assert!(consumer.said("dead-lettered").len() >= 5, "{}", consumer.log());
}

#[test]
fn no_personal_data_is_seen_of_a_standalone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, logs) = (folder.path().join("data"), folder.path().join("logs"));
    let settings = [
        ("CONTACTS__LOG__LEVEL", "trace"),
        ("CONTACTS__LOG__DIR", logs.to_str().unwrap()),
        ("CONTACTS__RETRY__MAX_ATTEMPTS", "2"),
    ];
    let mut process = standalone(&data, &settings);
    process.ready();
    let client = process.client();
    for operation in send_marked(&client) {
        client.ended(&operation);
    }
    assert_unseen("the metrics", &metrics(&mut process));
    assert_unseen("the log", &process.log());
    for file in std::fs::read_dir(&logs).unwrap() {
        assert_unseen("a log file", &std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
}
