//! Three outages, seen only from the console's page: how long it takes until the page says what is wrong, and what it says.
//!
//! It needs `rabbitmqctl` for a policy, so it is no part of `make test`. `make console-trial` runs it.

use crate::support::{Browser, Process, Proxy, Stack, eventually};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contacts::queue::QueueKind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A policy of RabbitMQ that limits the work queue of this test. It ends with the value.
struct Limit<'a>(&'a str);

fn rabbitmqctl(host: &str, arguments: &[&str]) {
    let output = Command::new("rabbitmqctl").args(["--quiet", "--vhost", host]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

impl<'a> Limit<'a> {
    fn set(host: &'a str, queue: &str, messages: u32) -> Self {
        let pattern = format!("^{}$", queue.replace('.', "\\."));
        let definition = format!("{{\"max-length\":{messages},\"overflow\":\"reject-publish\"}}");
        rabbitmqctl(host, &["set_policy", "--apply-to", "queues", "console-trial", &pattern, &definition]);
        Self(host)
    }
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        rabbitmqctl(self.0, &["clear_policy", "console-trial"]);
    }
}

/// The page of a console that reads a producer and a consumer.
struct Trial {
    browser: Browser,
    pictures: Option<PathBuf>,
}

impl Trial {
    /// Waits until the page says that all works.
    #[track_caller]
    fn works(&self) {
        self.browser.wait_for_text("#sentence", "Everything works.");
    }

    /// Waits until the page names this outage, and prints how long it took and what the page says.
    #[track_caller]
    fn says(&self, outage: &str, sentence: &str, started: Instant) {
        self.browser.wait_for_text("#sentence", sentence);
        let seconds = started.elapsed().as_secs_f64();
        let again = started.elapsed() + Duration::from_secs(20);
        println!("=== {outage}: {seconds:.1} s\n{}", self.browser.text(".headline"));
        // What follows is known later.
        while started.elapsed() < again {
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("--- 20 s later\n{}\n{}\n", self.browser.text(".headline"), self.browser.text(".others"));
        println!("--- figures\n{}\n{}", self.browser.text(".tile"), self.browser.text(".dependencies tbody tr"));
        if let Some(folder) = &self.pictures {
            for (width, theme) in [(1280, "light"), (360, "dark")] {
                self.browser.show_as(width, 1200, theme);
                let name = format!("{}-{width}.png", outage.replace(' ', "-"));
                std::fs::write(folder.join(name), STANDARD.decode(self.browser.picture()).unwrap()).unwrap();
            }
            self.browser.show_as(1280, 900, "light");
        }
    }
}

/// Ends the load, also if the trial fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn start(stack: &Stack, role: &str, settings: &[(&str, &str)]) -> Process {
    let mut process = stack.start_with(role, settings);
    process.wait_until_ready();
    process
}

#[test]
#[ignore = "needs rabbitmqctl"]
fn an_operator_reads_three_outages_from_the_page() {
    let stack = Stack::new();
    let host = stack.broker.url.rsplit('/').next().unwrap().replace("%2f", "/");
    let database = Proxy::to(stack.database.address());
    let database_url = database.rewrite_url(&stack.database.url);
    let settings = [("CONTACTS__DATABASE__URL", database_url.as_str()), ("CONTACTS__DATABASE__CONNECT_TIMEOUT", "5s")];
    let mut producer = start(&stack, "producer", &settings);
    let mut consumer = start(&stack, "consumer", &settings);
    let consumer_address = consumer.admin().address().to_owned();
    let targets = format!("http://{},http://{consumer_address}", producer.admin().address());
    let mut console =
        start(&stack, "console", &[&settings[..], &[("CONTACTS__ADMIN__CONSOLE_TARGETS", targets.as_str())]].concat());
    let trial = Trial {
        browser: Browser::open(&format!("http://{}/console/", console.admin().address())),
        pictures: std::env::var_os("CONTACTS_TRIAL_PICTURES").map(PathBuf::from),
    };
    let (client, ended) = (producer.client(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // A light load. Whether it is accepted does not matter.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let _ = client.send("POST", "/contacts", &[("content-type", "application/json")], Some(BODY));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let _ended = Ended(&ended);
        trial.works();

        let started = Instant::now();
        database.refuse_connections(true);
        database.close_connections();
        trial.says("database closed", "database", started);
        database.clear_faults();
        trial.works();

        let started = Instant::now();
        database.stall(true);
        trial.says("database stalled", "database", started);
        database.clear_faults();
        trial.works();

        // A policy limits the work queue, and the consumer is gone.
        let started = Instant::now();
        let limit = Limit::set(&host, &stack.broker.queue_name(QueueKind::Work), 20);
        consumer.kill();
        trial.says("queue full", "queue is full", started);
        let started = Instant::now();
        drop(limit);
        trial.says("consumer gone", "No consumer", started);
        let listen = ("CONTACTS__ADMIN__LISTEN", consumer_address.as_str());
        let _consumer = start(&stack, "consumer", &[&settings[..], &[listen]].concat());
        trial.works();

        let started = Instant::now();
        let foreign: Vec<String> = (0..200).map(|number| format!("foreign {number}")).collect();
        stack.broker.publish_raw(&foreign.iter().map(String::as_bytes).collect::<Vec<_>>());
        trial.says("poison burst", "Many messages fail", started);
    });
    eventually("everything is applied", || (stack.broker.depth(QueueKind::Work) == 0).then_some(()));
}

const BODY: &[u8] = br#"{"name":"Made Up","phone":"(11) 98765-4321","email":"someone@example.com"}"#;
