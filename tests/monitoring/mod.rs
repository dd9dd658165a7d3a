//! Tests of the dashboards and alerts. A real Prometheus scrapes the roles and services while a client sends requests
//! and faults happen. Every panel query returns data, and each fault fires its own alerts and no others.

mod prometheus;
mod texts;

use crate::support::{Client, Process, Proxy, Stack, eventually, person};
use prometheus::{Prometheus, free_port};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long to observe after the expected alerts have fired. Longer than every scaled `for:`, so that unexpected alerts
/// can fire, too.
const OBSERVATION_TIME: Duration = Duration::from_secs(14);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The roles and services, the monitoring, and a client that sends requests all the time.
struct MonitoredStack {
    client: LoadGenerator,
    prometheus: Prometheus,
    producer: Process,
    consumer: Process,
    broker: Proxy,
    database: Proxy,
    reads: Proxy,
    _exporter: Exporter,
    stack: Stack,
}

impl MonitoredStack {
    fn start() -> Self {
        let stack = Stack::new();
        let (broker, database) = (Proxy::to(stack.broker.address()), Proxy::to(stack.database.address()));
        let reads = Proxy::to(stack.database.address());
        let (broker_url, database_url) =
            (broker.rewrite_url(&stack.broker.url), database.rewrite_url(&stack.database.url));
        let read_url = reads.rewrite_url(&stack.database.url);
        let settings = [
            ("CONTACTS__BROKER__URL", broker_url.as_str()),
            ("CONTACTS__DATABASE__URL", database_url.as_str()),
            ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "1s"),
            // The roles must detect the fault within seconds: one second here is one minute of the rules.
            ("CONTACTS__DATABASE__CONNECT_TIMEOUT", "1s"),
            ("CONTACTS__DATABASE__READ_URL", read_url.as_str()),
            ("CONTACTS__DATABASE__MAX_CONNECTIONS", "3"),
            ("CONTACTS__LOG__TRAFFIC", "false"),
        ];
        // The events need one more connection.
        let events = [("CONTACTS__EVENTS__ENABLED", "true"), ("CONTACTS__DATABASE__MAX_CONNECTIONS", "4")];
        let (mut producer, mut consumer) = (
            stack.start_with("producer", &settings),
            stack.start_with("consumer", &[&settings[..], &events[..]].concat()),
        );
        producer.wait_until_ready();
        consumer.wait_until_ready();
        let exporter = Exporter::start(&stack.database.url);
        let admin_address = |process: &Process| process.log_lines("starting")[0]["admin"].as_str().unwrap().to_owned();
        let prometheus = Prometheus::start(&[
            ("contacts", &admin_address(&producer), "", "producer"),
            ("contacts", &admin_address(&consumer), "", "consumer"),
            ("rabbitmq", &broker_metrics_address(), "", "rabbitmq"),
            (
                "rabbitmq-queues",
                &broker_metrics_address(),
                "metrics_path: /metrics/detailed\n  params: {family: [queue_coarse_metrics, queue_consumer_count]}",
                "rabbitmq",
            ),
            ("postgres", &exporter.address, "", "postgres"),
        ]);
        let client = LoadGenerator::start(producer.client());
        let monitored =
            Self { client, prometheus, producer, consumer, broker, database, reads, _exporter: exporter, stack };
        eventually("all targets are scraped and changes are applied", || {
            let up = monitored.prometheus.query("sum(up)");
            let applied =
                monitored.prometheus.query("rate(contacts_consumer_messages_total{outcome=\"applied\"}[10s])");
            (up == [5.0] && applied.iter().any(|rate| *rate > 0.0)).then_some(())
        });
        monitored
    }

    /// Waits until the expected alerts fire, observes for [`OBSERVATION_TIME`], and returns all alerts that fired.
    #[track_caller]
    fn fired_alerts(&self, expected: &[&str]) -> BTreeSet<String> {
        let mut fired = BTreeSet::new();
        eventually(&format!("{expected:?} fire"), || {
            let now = self.prometheus.firing();
            fired.extend(now.iter().cloned());
            expected.iter().all(|name| now.contains(*name)).then_some(())
        });
        let end = Instant::now() + OBSERVATION_TIME;
        while Instant::now() < end {
            fired.extend(self.prometheus.firing());
            std::thread::sleep(Duration::from_millis(200));
        }
        fired
    }

    /// Expects that exactly these alerts fire.
    #[track_caller]
    fn assert_only_these_fire(&self, expected: &[&str]) {
        let fired = self.fired_alerts(expected);
        assert_eq!(fired, expected.iter().map(|name| (*name).to_owned()).collect(), "{}", self.prometheus.state());
    }
}

/// The address of RabbitMQ's own metrics.
fn broker_metrics_address() -> String {
    std::env::var("CONTACTS_TEST_BROKER_METRICS").unwrap_or_else(|_| "127.0.0.1:15692".into())
}

/// The Prometheus exporter for PostgreSQL.
struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    fn start(database: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let separator = if database.contains('?') { '&' } else { '?' };
        let mut url = url::Url::parse(&format!("{database}{separator}sslmode=disable")).unwrap();
        // The exporter's driver does not support the parameter `options`.
        let kept: Vec<(String, String)> =
            url.query_pairs().filter(|(name, _)| name != "options").map(|(n, v)| (n.into(), v.into())).collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
        let child = Command::new("prometheus-postgres-exporter")
            .arg(format!("--web.listen-address={address}"))
            .env("DATA_SOURCE_NAME", url.as_str())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-postgres-exporter is missing: `make test` provides it");
        Self { child, address }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that sends all kinds of requests until it is dropped.
struct LoadGenerator {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LoadGenerator {
    fn start(client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread_stop = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut contact_id = String::new();
            for round in 0_u64.. {
                if thread_stop.load(Ordering::Relaxed) {
                    return;
                }
                let json = [("content-type", "application/json")];
                let body = person("Ana").to_string();
                let path = format!("/contacts/{contact_id}");
                let answer = match round % 8 {
                    0..=3 => client.send("POST", "/contacts", &json, Some(body.as_bytes())),
                    4 if !contact_id.is_empty() => client.send("PUT", &path, &json, Some(body.as_bytes())),
                    5 => client.send("GET", "/contacts?limit=5", &[], None),
                    6 => client.send("GET", &path, &[], None),
                    _ => client.send("POST", "/contacts", &json, Some(b"{}")),
                };
                if let Ok(answer) = answer
                    && answer.status == 202
                {
                    contact_id = answer.text("contact_id");
                }
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for LoadGenerator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn every_query_returns_data_and_no_alert_fires_without_a_fault() {
    let monitored = MonitoredStack::start();
    let queries = texts::dashboard_queries("test");
    let alerts = monitored.prometheus.rules();
    assert!(queries.len() > 50 && alerts.len() > 12, "{} queries, {} rules", queries.len(), alerts.len());
    let selectors = alerts.iter().flat_map(|(name, expression)| {
        let with_rule = |selector| (format!("rule {name}"), selector);
        texts::selectors(expression).into_iter().map(with_rule).collect::<Vec<_>>()
    });
    let mut empty: Vec<(String, String)> = queries.into_iter().chain(selectors).collect();
    let started = Instant::now();
    while !empty.is_empty() && started.elapsed() < crate::support::MAX_WAIT {
        empty.retain(|(_, query)| monitored.prometheus.query(query).is_empty());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(empty.is_empty(), "{} without data: {empty:#?}", empty.len());
    assert_eq!(monitored.fired_alerts(&[]), BTreeSet::new(), "{}", monitored.prometheus.state());
}

/// The script that `make observe` runs.
#[test]
fn observe_shows_the_load_and_stops_all_its_processes() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(root().join("deploy/observe/run"));
    command
        .arg("standalone")
        .env("OBSERVE_STATE", folder.path().join("state"))
        .env("CONTACTS", env!("CARGO_BIN_EXE_contacts"))
        .stdin(Stdio::null());
    let mut script = Process::from_command(command);
    let address = eventually("the script prints the address of Prometheus", || {
        let output = script.log();
        assert!(script.exit_status().is_none(), "{output}");
        let rest = output.split_once("Prometheus: http://")?.1;
        rest.split_once(' ').map(|(address, _)| address.to_owned())
    });
    let prometheus = Client::new(&address);
    let query = "/api/v1/query?query=sum(rate(contacts_consumer_messages_total%7Boutcome%3D%22applied%22%7D%5B30s%5D))";
    eventually("Prometheus shows the load", || {
        let answer = prometheus.get(query).json();
        let applied: f64 = answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()?;
        (applied > 0.0).then_some(())
    });
    script.signal("TERM");
    assert_eq!(script.wait().code(), Some(143), "{}", script.log());
    assert!(prometheus.send("GET", "/-/ready", &[], None).is_err(), "Prometheus still runs");
    let log = std::fs::read_to_string(folder.path().join("state/standalone.log")).unwrap();
    assert!(log.lines().last().unwrap().contains("\"stopped\""), "{log}");
}

#[test]
fn an_unreachable_database_fires_only_its_alert() {
    let monitored = MonitoredStack::start();
    for proxy in [&monitored.database, &monitored.reads] {
        proxy.refuse_connections(true);
        proxy.close_connections();
    }
    monitored.assert_only_these_fire(&["ContactsDatabaseDown"]);
}

/// A replica that accepts connections and never answers.
#[test]
fn hanging_reads_fire_only_the_alert_of_their_pool() {
    let monitored = MonitoredStack::start();
    monitored.reads.stall(true);
    monitored.assert_only_these_fire(&["ContactsPoolExhausted"]);
}

#[test]
fn an_unreachable_broker_fires_only_its_alerts() {
    let monitored = MonitoredStack::start();
    monitored.broker.refuse_connections(true);
    monitored.broker.close_connections();
    monitored.assert_only_these_fire(&[
        "ContactsBrokerDown",
        "ContactsAcceptBudgetBurnFast",
        "ContactsAcceptBudgetBurnSlow",
    ]);
}

#[test]
fn a_burst_of_malformed_messages_fires_only_its_alert() {
    let monitored = MonitoredStack::start();
    let bodies: Vec<Vec<u8>> = (0..60).map(|number| format!("malformed, {number}").into_bytes()).collect();
    monitored.stack.broker.publish_raw(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
    monitored.assert_only_these_fire(&["ContactsDeadLetterBurst"]);
}

#[test]
fn a_killed_consumer_fires_only_its_alerts() {
    let mut monitored = MonitoredStack::start();
    monitored.consumer.kill();
    monitored.assert_only_these_fire(&["ContactsConsumerDown", "ContactsProcessDown"]);
    assert!(monitored.producer.exit_status().is_none());
    // The client must run until the end of the test.
    drop(monitored.client);
}
