//! One round of measurements. They run one after the other, each with empty queues and tables.

use super::broker;
use super::load::{self, SteadyResult};
use super::measurements::{Measurements, percentile};
use super::peers::Peer;
use super::process::{Process, drain_rate, free_port};
use super::setup::{Environment, Schema};
use contacts::config::{ConsumerSettings, DatabaseSettings, Url};
use contacts::domain::Attempt;
use contacts::queue::QueueKind;
use contacts::queue::embedded::EmbeddedQueue;
use contacts::stop::Stop;
use contacts::store::Store;
use contacts::store::postgres::Postgres;
use contacts::telemetry::Health;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Messages in flight of the bare publisher. The same as the producer's default.
const WINDOW: usize = 4_096;
/// Slow programs get a backlog that is smaller by this factor.
const SMALL_BACKLOG_DIVISOR: usize = 20;

/// The size of the measurements of a round.
#[derive(Clone, Copy)]
pub struct RoundOptions {
    pub seconds: u32,
    pub backlog: usize,
    pub peers: bool,
}

/// The expected rate of two steps that share one machine: their times per command add up.
fn combined_rate(first: f64, second: f64) -> f64 {
    1.0 / (1.0 / first + 1.0 / second)
}

/// Sends creates with an empty queue, and checks that every accepted change is in the queue.
fn measure_accepted(schema: &Schema<'_>, process: &Process, seconds: u32) -> load::Accepted {
    let accepted = load::wrk(schema.environment, &process.url, seconds);
    let waiting = broker::take_changes(&schema.environment.broker, &schema.queue(), schema.waiting());
    assert!(waiting >= accepted.count, "{} changes were accepted, but the queue has only {waiting}", accepted.count);
    schema.purge_queues();
    accepted
}

pub fn producer(environment: &Environment, options: RoundOptions, measurements: &mut Measurements) {
    let schema = environment.schema("bench");
    schema.declare_queues();

    let port = free_port();
    let mut bare = Command::new(std::env::current_exe().unwrap());
    bare.args(["--serve-bare", &port.to_string()]);
    let bare = Process::server(environment, bare, "bare", port);
    let http = measurements.add("limit.http", "requests/s", load::wrk(environment, &bare.url, options.seconds).rate);
    drop(bare);

    let process = Process::role("producer", &schema, &[]);
    measurements.add("producer.start", "s", process.start.as_secs_f64());
    let before = process.cpu();
    let created = measure_accepted(&schema, &process, options.seconds);
    measurements.add("producer.accepted", "commands/s", created.rate);
    measurements.add("producer.cpu", "s per 10,000", (process.cpu() - before) * 1e4 / created.count as f64);
    measurements.add("producer.rss_peak", "MiB", process.peak_rss());
    drop(process);
    if let Some(before) = &environment.before {
        let process = Process::role_of(before, "producer", &schema, &[]);
        let rate = measure_accepted(&schema, &process, options.seconds);
        measurements.add("before.accepted", "commands/s", rate.rate);
        measurements.add("producer.over_before", "", created.rate / rate.rate);
    }

    let messages = load::messages(options.backlog);
    let duration = broker::publish(&environment.broker, &schema.queue(), &messages, WINDOW);
    let publish = measurements.add("limit.publish", "messages/s", messages.len() as f64 / duration.as_secs_f64());
    schema.purge_queues();
    measurements.add("producer.efficiency", "", created.rate / combined_rate(http, publish));

    if options.peers {
        let peers = [
            ("go", Peer::Go),
            ("node", Peer::Node),
            ("python", Peer::Python(1)),
            ("python_2_workers", Peer::Python(2)),
        ];
        for (name, peer) in peers.into_iter().filter(|(_, peer)| peer.is_installed()) {
            let process = peer.producer(&schema);
            let rate = measure_accepted(&schema, &process, options.seconds).rate;
            measurements.add(&format!("peer.{name}.accepted"), "commands/s", rate);
            measurements.add(&format!("producer.over_{name}"), "", created.rate / rate);
        }
    }
}

/// The rate at which one consumer process applies a backlog of single messages, in commands per second.
fn measure_applied(schema: &Schema<'_>, count: usize, settings: &[(&str, String)]) -> f64 {
    schema.clear();
    broker::publish(&schema.environment.broker, &schema.queue(), &load::messages(count), WINDOW);
    let consumer = Process::role("consumer", schema, settings);
    let rate = consumer.drain_rate(count);
    drop(consumer);
    assert_eq!(schema.rows() as usize, count);
    rate
}

pub fn consumer(environment: &Environment, options: RoundOptions, measurements: &mut Measurements) {
    let schema = environment.schema("bench");
    schema.declare_queues();

    // As a producer under load leaves it.
    schema.clear();
    broker::publish_in_packs(&environment.broker, &schema.prefix(), &load::messages(options.backlog));
    let consumer = Process::role("consumer", &schema, &[]);
    let rate = measurements.add("consumer.applied", "commands/s", consumer.drain_rate(options.backlog));
    measurements.add("consumer.start", "s", consumer.start.as_secs_f64());
    measurements.add("consumer.cpu", "s per 10,000", consumer.cpu() * 1e4 / options.backlog as f64);
    measurements.add("consumer.rss_peak", "MiB", consumer.peak_rss());
    drop(consumer);
    assert_eq!(schema.rows() as usize, options.backlog);

    let single = measure_applied(&schema, options.backlog, &[]);
    measurements.add("consumer.applied_single", "commands/s", single);

    schema.clear();
    broker::publish(&environment.broker, &schema.queue(), &load::messages(options.backlog), WINDOW);
    let ConsumerSettings { workers, prefetch, .. } = ConsumerSettings::default();
    // The broker always has more to send while these are acknowledged.
    let batch = usize::from(prefetch) / 2;
    let slowest = thread::scope(|scope| {
        let take = || broker::consume(&environment.broker, &schema.queue(), options.backlog / workers, prefetch, batch);
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    let consume = measurements.add("limit.consume", "messages/s", options.backlog as f64 / slowest.as_secs_f64());

    let sql = measurements.add("limit.sql", "commands/s", measure_sql(&schema, options.backlog));
    measurements.add("consumer.efficiency", "", rate / combined_rate(consume, sql));
    measurements.add("consumer.efficiency_single", "", single / combined_rate(consume, sql));

    let one_by_one = [
        ("CONTACTS__CONSUMER__BATCH_MAX", "1".to_owned()),
        ("CONTACTS__CONSUMER__PREFETCH", "1".to_owned()),
        ("CONTACTS__CONSUMER__WORKERS", "1".to_owned()),
    ];
    let slow = measure_applied(&schema, options.backlog / SMALL_BACKLOG_DIVISOR, &one_by_one);
    measurements.add("consumer.one_by_one", "commands/s", slow);
    measurements.add("consumer.speedup", "", single / slow);

    if options.peers {
        let peers = [("go", Peer::Go, 2), ("node", Peer::Node, 5), ("python", Peer::Python(1), SMALL_BACKLOG_DIVISOR)];
        for (name, peer, share) in peers.into_iter().filter(|(_, peer, _)| peer.is_installed()) {
            let count = options.backlog / share;
            schema.clear();
            broker::publish(&environment.broker, &schema.queue(), &load::messages(count), WINDOW);
            let process = peer.consumer(&schema);
            let peer_rate = drain_rate(count, Duration::from_millis(250), || schema.rows() as f64);
            drop(process);
            measurements.add(&format!("peer.{name}.applied"), "commands/s", peer_rate);
            measurements.add(&format!("consumer.over_{name}"), "", rate / peer_rate);
        }
    }
}

/// The rate of the consumer's SQL statements without a queue, with the same number of connections and the same batch
/// size.
fn measure_sql(schema: &Schema<'_>, count: usize) -> f64 {
    schema.clear();
    let ConsumerSettings { workers, batch_max, .. } = ConsumerSettings::default();
    let settings = DatabaseSettings { url: Url::from(schema.url().as_str()), ..DatabaseSettings::default() };
    let store = Postgres::new(&settings).unwrap();
    let attempts: Vec<Attempt> = load::commands(count).into_iter().map(Attempt::new).collect();
    let started = Instant::now();
    thread::scope(|scope| {
        for share in attempts.chunks(count.div_ceil(workers)) {
            let store = &store;
            scope.spawn(move || share.chunks(batch_max).for_each(|batch| drop(store.apply(batch).unwrap())));
        }
    });
    let rate = count as f64 / started.elapsed().as_secs_f64();
    assert_eq!(schema.rows() as usize, count);
    rate
}

pub fn standalone(environment: &Environment, options: RoundOptions, measurements: &mut Measurements) {
    let schema = environment.schema("bench");
    let folder = environment.folder.join("standalone");
    let reset_folder = || {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
    };
    let settings = [("CONTACTS__STANDALONE__DATA_DIR", folder.to_string_lossy().into_owned())];

    reset_folder();
    let process = Process::role("standalone", &schema, &settings);
    measurements.add("standalone.start", "s", process.start.as_secs_f64());
    let created = load::wrk(environment, &process.url, options.seconds);
    measurements.add("standalone.accepted", "commands/s", created.rate);
    process.drain_rate(created.count);
    measurements.add("standalone.cpu", "s per 10,000", process.cpu() * 1e4 / created.count as f64);
    measurements.add("standalone.rss_peak", "MiB", process.peak_rss());
    drop(process);

    reset_folder();
    let messages = load::messages(options.backlog);
    {
        let (stop, health) = (Stop::default(), Health::default());
        let (queue, publisher, thread) =
            EmbeddedQueue::open(&folder, WINDOW, health.component("queue"), &stop).unwrap();
        for part in messages.chunks(WINDOW / 2) {
            let batch = part.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
            assert!(publisher.publish_all(batch, broker::MAX_WAIT).iter().all(Result::is_ok));
        }
        drop((queue, publisher));
        thread.join().unwrap();
    }
    let process = Process::role("standalone", &schema, &settings);
    let rate = measurements.add("standalone.applied", "commands/s", process.drain_rate(options.backlog));
    drop(process);
    let _ = std::fs::remove_dir_all(&folder);
    measurements.add("standalone.over_stack", "", rate / measurements.last("consumer.applied"));
}

/// A service under a steady rate: a producer and a consumer, or standalone.
struct Service {
    api: Process,
    consumer: Option<Process>,
}

impl Service {
    /// A producer and a consumer of this binary.
    fn of(binary: &Path, schema: &Schema<'_>) -> Self {
        let start = |role| Process::role_of(binary, role, schema, &[]);
        Self { api: start("producer"), consumer: Some(start("consumer")) }
    }

    fn applied(&self) -> f64 {
        self.consumer.as_ref().unwrap_or(&self.api).applied()
    }

    /// Sends creates at this rate. Returns the results and the lag: how many accepted creates were not applied at the
    /// end.
    fn run(&self, rate: f64, time: Duration, follow: bool) -> (SteadyResult, f64) {
        let before = self.applied();
        let result = load::steady(&self.api.url, rate, time, follow);
        let accepted = result.accepted.len() as f64;
        let lag = accepted - (self.applied() - before);
        let deadline = Instant::now() + broker::MAX_WAIT;
        while self.applied() - before < accepted {
            assert!(Instant::now() < deadline, "not all creates were applied");
            thread::sleep(Duration::from_millis(20));
        }
        (result, lag)
    }

    /// The highest rate, found by bisection, at which no create is refused, the answers are in time, and the lag does
    /// not grow: at the end, the lag is at most the number of creates that arrive in a tenth of the time.
    fn sustained_rate(&self, max_rate: f64, time: Duration) -> f64 {
        let (mut low, mut high) = (0.0, max_rate);
        for _ in 0..6 {
            let rate = f64::midpoint(low, high);
            let started = Instant::now();
            let (result, lag) = self.run(rate, time, false);
            let late = result.accepted.iter().filter(|latency| **latency > time / 10).count();
            let in_time = result.refused == 0 && late * 100 < result.accepted.len() && started.elapsed() < time * 3;
            if in_time && lag < rate * time.as_secs_f64() / 10.0 { low = rate } else { high = rate }
        }
        low
    }
}

pub fn steady(environment: &Environment, options: RoundOptions, measurements: &mut Measurements) {
    let time = Duration::from_secs(options.seconds.into());
    let schema = environment.schema("bench");
    schema.declare_queues();

    let max_rate = measurements.median("producer.accepted").unwrap_or(25_000.0);
    let before = environment.before.as_ref().map(|before| {
        let rate = Service::of(before, &schema).sustained_rate(max_rate, time);
        measurements.add("before.sustained", "commands/s", rate)
    });
    let stack = Service::of(&environment.contacts, &schema);
    let sustained = measurements.add("end_to_end.sustained", "commands/s", stack.sustained_rate(max_rate, time));
    if let Some(before) = before {
        measurements.add("end_to_end.over_before", "", sustained / before);
    }
    for percent in [10, 50, 80] {
        let rate = sustained * f64::from(percent) / 100.0;
        let (mut result, _) = stack.run(rate, time, true);
        add_latencies(measurements, "latency", percent, &mut result);
    }
    let Service { api, consumer } = stack;
    measurements.add("steady.producer_rss_peak", "MiB", api.peak_rss());
    measurements.add("steady.consumer_rss_peak", "MiB", consumer.as_ref().unwrap().peak_rss());
    drop(api);

    // The same messages at the same rate to the same consumer, without the producer.
    let rate = sustained / 2.0;
    let messages = load::messages((rate * time.as_secs_f64()) as usize);
    let mut bare = broker::publish_at(&environment.broker, &schema.queue(), &messages, rate);
    measurements.add("latency.bare_publish_p50_at_50", "ms", percentile(&mut bare, 0.5));
    let bare = measurements.add("latency.bare_publish_p99_at_50", "ms", percentile(&mut bare, 0.99));
    drop(consumer);
    let producer = measurements.last("latency.accepted_p99_at_50");
    measurements.add("latency.accepted_p99_over_bare", "", producer / bare);

    let folder = environment.folder.join("standalone");
    let _ = std::fs::remove_dir_all(&folder);
    let settings = [("CONTACTS__STANDALONE__DATA_DIR", folder.to_string_lossy().into_owned())];
    let standalone = Service { api: Process::role("standalone", &schema, &settings), consumer: None };
    let max_rate = measurements.median("standalone.accepted").unwrap_or(25_000.0);
    let sustained = measurements.add("standalone.sustained", "commands/s", standalone.sustained_rate(max_rate, time));
    for percent in [10, 50, 80] {
        let (mut result, _) = standalone.run(sustained * f64::from(percent) / 100.0, time, true);
        add_latencies(measurements, "standalone.latency", percent, &mut result);
    }
    drop(standalone);
    let _ = std::fs::remove_dir_all(&folder);
}

fn add_latencies(measurements: &mut Measurements, name: &str, percent: u32, result: &mut SteadyResult) {
    for (step, samples) in [("accepted", &mut result.accepted), ("applied", &mut result.applied)] {
        for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
            measurements.add(&format!("{name}.{step}_{label}_at_{percent}"), "ms", percentile(samples, share));
        }
    }
}
