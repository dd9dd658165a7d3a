//! Dashboards and alerts against the real thing: a real Prometheus watches the stack while a client works and things
//! break. Every query of every panel returns data, and each fault fires its own alerts and no others.

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

/// How long to go on watching after the expected alerts have fired: longer than any of the scaled `for`, so that
/// whatever else is going to fire does.
const AFTERMATH: Duration = Duration::from_secs(14);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The stack, its watchers, and a client that works all the time.
struct Watched {
    client: Load,
    prometheus: Prometheus,
    producer: Process,
    consumer: Process,
    broker: Proxy,
    database: Proxy,
    reads: Proxy,
    _exporter: Exporter,
    stack: Stack,
}

impl Watched {
    fn start() -> Self {
        let stack = Stack::new();
        let (broker, database) = (Proxy::to(stack.broker.address()), Proxy::to(stack.database.address()));
        let reads = Proxy::to(stack.database.address());
        let (broker_url, database_url) = (broker.in_url(&stack.broker.url), database.in_url(&stack.database.url));
        let read_url = reads.in_url(&stack.database.url);
        let settings = [
            ("CONTACTS__BROKER__URL", broker_url.as_str()),
            ("CONTACTS__DATABASE__URL", database_url.as_str()),
            ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "1s"),
            // Found to be away in seconds, which are the rules' minutes here.
            ("CONTACTS__DATABASE__CONNECT_TIMEOUT", "1s"),
            ("CONTACTS__DATABASE__READ_URL", read_url.as_str()),
            ("CONTACTS__DATABASE__MAX_CONNECTIONS", "3"),
            ("CONTACTS__LOG__TRAFFIC", "false"),
        ];
        let (mut producer, mut consumer) =
            (stack.start_with("producer", &settings), stack.start_with("consumer", &settings));
        producer.ready();
        consumer.ready();
        let exporter = Exporter::start(&stack.database.url);
        let admin = |process: &Process| process.said("starting")[0]["admin"].as_str().unwrap().to_owned();
        let prometheus = Prometheus::watch(&[
            ("contacts", &admin(&producer), "", "producer"),
            ("contacts", &admin(&consumer), "", "consumer"),
            ("rabbitmq", &broker_metrics(), "", "rabbitmq"),
            (
                "rabbitmq-queues",
                &broker_metrics(),
                "metrics_path: /metrics/detailed\n  params: {family: [queue_coarse_metrics, queue_consumer_count]}",
                "rabbitmq",
            ),
            ("postgres", &exporter.address, "", "postgres"),
        ]);
        let client = Load::start(producer.client());
        let watched =
            Self { client, prometheus, producer, consumer, broker, database, reads, _exporter: exporter, stack };
        eventually("everything is watched and work is done", || {
            let up = watched.prometheus.query("sum(up)");
            let applied = watched.prometheus.query("rate(contacts_consumer_messages_total{outcome=\"applied\"}[10s])");
            (up == [5.0] && applied.iter().any(|rate| *rate > 0.0)).then_some(())
        });
        watched
    }

    /// Whatever fires until some time after all of these have.
    #[track_caller]
    fn fires(&self, expected: &[&str]) -> BTreeSet<String> {
        let mut fired = BTreeSet::new();
        eventually(&format!("{expected:?} fire"), || {
            let now = self.prometheus.firing();
            fired.extend(now.iter().cloned());
            expected.iter().all(|name| now.contains(*name)).then_some(())
        });
        let until = Instant::now() + AFTERMATH;
        while Instant::now() < until {
            fired.extend(self.prometheus.firing());
            std::thread::sleep(Duration::from_millis(200));
        }
        fired
    }

    /// The fault fires all of these, and nothing else.
    #[track_caller]
    fn fires_only(&self, expected: &[&str]) {
        let fired = self.fires(expected);
        assert_eq!(fired, expected.iter().map(|name| (*name).to_owned()).collect(), "{}", self.prometheus.state());
    }
}

/// Where RabbitMQ tells of itself.
fn broker_metrics() -> String {
    std::env::var("CONTACTS_TEST_BROKER_METRICS").unwrap_or_else(|_| "127.0.0.1:15692".into())
}

/// PostgreSQL's exporter.
struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    fn start(database: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let separator = if database.contains('?') { '&' } else { '?' };
        let mut url = url::Url::parse(&format!("{database}{separator}sslmode=disable")).unwrap();
        // Its driver takes no options of a session.
        let kept: Vec<(String, String)> =
            url.query_pairs().filter(|(name, _)| name != "options").map(|(n, v)| (n.into(), v.into())).collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
        let child = Command::new("prometheus-postgres-exporter")
            .arg(format!("--web.listen-address={address}"))
            .env("DATA_SOURCE_NAME", url.as_str())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-postgres-exporter comes with `make test`");
        Self { child, address }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that does a little of everything until it is dropped.
struct Load {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start(client: Client) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let stop = enough.clone();
        let thread = std::thread::spawn(move || {
            let mut known = String::new();
            for round in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let json = [("content-type", "application/json")];
                let body = person("Ana").to_string();
                let path = format!("/contacts/{known}");
                let answer = match round % 8 {
                    0..=3 => client.send("POST", "/contacts", &json, Some(body.as_bytes())),
                    4 if !known.is_empty() => client.send("PUT", &path, &json, Some(body.as_bytes())),
                    5 => client.send("GET", "/contacts?limit=5", &[], None),
                    6 => client.send("GET", &path, &[], None),
                    _ => client.send("POST", "/contacts", &json, Some(b"{}")),
                };
                if let Ok(answer) = answer
                    && answer.status == 202
                {
                    known = answer.text("contact_id");
                }
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        Self { enough, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn every_query_returns_data_and_no_alert_fires_without_a_fault() {
    let watched = Watched::start();
    let queries = texts::queries_of_the_dashboards("test");
    let alerts = watched.prometheus.rules();
    assert!(queries.len() > 50 && alerts.len() > 12, "{} queries, {} rules", queries.len(), alerts.len());
    let selectors = alerts.iter().flat_map(|(name, expression)| {
        let of = |selector| (format!("rule {name}"), selector);
        texts::selectors(expression).into_iter().map(of).collect::<Vec<_>>()
    });
    let all: Vec<(String, String)> = queries.into_iter().chain(selectors).collect();
    let mut empty: Vec<(String, String)> = all;
    let started = Instant::now();
    while !empty.is_empty() && started.elapsed() < crate::support::PATIENCE {
        empty.retain(|(_, query)| watched.prometheus.query(query).is_empty());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(empty.is_empty(), "{} without data: {empty:#?}", empty.len());
    assert_eq!(watched.fires(&[]), BTreeSet::new(), "{}", watched.prometheus.state());
}

/// What `make observe` runs.
#[test]
fn observing_shows_a_light_load_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(root().join("deploy/observe/run"));
    command
        .arg("standalone")
        .env("OBSERVE_STATE", folder.path().join("state"))
        .env("CONTACTS", env!("CARGO_BIN_EXE_contacts"))
        .stdin(Stdio::null());
    let mut script = Process::of(command);
    let address = eventually("Prometheus is there", || {
        let said = script.log();
        assert!(script.ended().is_none(), "{said}");
        let rest = said.split_once("Prometheus: http://")?.1;
        rest.split_once(' ').map(|(address, _)| address.to_owned())
    });
    let prometheus = Client::new(&address);
    let query = "/api/v1/query?query=sum(rate(contacts_consumer_messages_total%7Boutcome%3D%22applied%22%7D%5B30s%5D))";
    eventually("the load is seen", || {
        let answer = prometheus.get(query).json();
        let applied: f64 = answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()?;
        (applied > 0.0).then_some(())
    });
    script.signal("TERM");
    assert_eq!(script.wait().code(), Some(143), "{}", script.log());
    assert!(prometheus.send("GET", "/-/ready", &[], None).is_err(), "Prometheus still runs");
    let log = std::fs::read_to_string(folder.path().join("state/standalone.log")).unwrap();
    assert!(log.lines().last().unwrap().contains("\"ended\""), "{log}");
}

#[test]
fn sql_stopped_fires_its_alert_and_no_other() {
    let watched = Watched::start();
    for proxy in [&watched.database, &watched.reads] {
        proxy.refuse(true);
        proxy.cut();
    }
    watched.fires_only(&["ContactsDatabaseDown"]);
}

/// A replica that is reached and never answers.
#[test]
fn reads_that_hang_fire_the_alert_of_their_pool_and_no_other() {
    let watched = Watched::start();
    watched.reads.swallow(true);
    watched.fires_only(&["ContactsPoolExhausted"]);
}

#[test]
fn the_broker_stopped_fires_its_alerts_and_no_others() {
    let watched = Watched::start();
    watched.broker.refuse(true);
    watched.broker.cut();
    watched.fires_only(&["ContactsBrokerDown", "ContactsAcceptBudgetBurnFast", "ContactsAcceptBudgetBurnSlow"]);
}

#[test]
fn a_burst_of_poison_fires_its_alert_and_no_other() {
    let watched = Watched::start();
    let bodies: Vec<Vec<u8>> = (0..60).map(|number| format!("not ours, {number}").into_bytes()).collect();
    watched.stack.broker.publish_raw(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
    watched.fires_only(&["ContactsDeadLetterBurst"]);
}

#[test]
fn a_consumer_killed_fires_its_alerts_and_no_others() {
    let mut watched = Watched::start();
    watched.consumer.kill();
    watched.fires_only(&["ContactsConsumerDown", "ContactsProcessDown"]);
    assert!(watched.producer.ended().is_none());
    // Kept to the end of the test.
    drop(watched.client);
}
