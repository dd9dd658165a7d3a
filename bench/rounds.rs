//! One round: what is compared is measured in turn, one after the other, on empty queues and tables.

use super::broker;
use super::figures::{Figures, percentile};
use super::load::{self, Steady};
use super::peers::Peer;
use super::process::{Process, drained, free_port};
use super::setup::{Schema, Stand};
use contacts::config::{ConsumerSettings, DatabaseSettings, Url};
use contacts::domain::Attempt;
use contacts::queue::QueueKind;
use contacts::queue::embedded::Embedded;
use contacts::stop::Stop;
use contacts::store::Store;
use contacts::store::postgres::Postgres;
use contacts::telemetry::Health;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Messages in flight of the bare publisher; as many as the producer allows itself.
const WINDOW: usize = 4_096;
/// Backlogs of those that need not so many to show their rate.
const SMALL: usize = 20;

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Plan {
    pub seconds: u32,
    pub backlog: usize,
    pub peers: bool,
}

/// The rate of two steps that share one machine: their work adds up.
fn bound(first: f64, second: f64) -> f64 {
    1.0 / (1.0 / first + 1.0 / second)
}

/// Creates a second into an empty queue; every one that was answered must be there.
fn accepted(schema: &Schema<'_>, process: &Process, seconds: u32) -> load::Accepted {
    let accepted = load::wrk(schema.stand, &process.url, seconds);
    let waiting = schema.waiting();
    assert!(waiting >= accepted.count, "{} were accepted, and {waiting} are in the queue", accepted.count);
    schema.purge();
    accepted
}

pub fn producer(stand: &Stand, plan: Plan, figures: &mut Figures) {
    let schema = stand.schema("bench");
    schema.declare();

    let port = free_port();
    let mut bare = Command::new(std::env::current_exe().unwrap());
    bare.args(["--serve-bare", &port.to_string()]);
    let bare = Process::server(stand, bare, "bare", port);
    let http = figures.add("limit.http", "requests/s", load::wrk(stand, &bare.url, plan.seconds).rate);
    drop(bare);

    let ours = Process::role("producer", &schema, &[]);
    figures.add("producer.start", "s", ours.start.as_secs_f64());
    let before = ours.cpu();
    let created = accepted(&schema, &ours, plan.seconds);
    figures.add("producer.accepted", "commands/s", created.rate);
    figures.add("producer.cpu", "s per 10,000", (ours.cpu() - before) * 1e4 / created.count as f64);
    figures.add("producer.rss_peak", "MiB", ours.peak_rss());
    drop(ours);

    let messages = load::messages(plan.backlog);
    let took = broker::publish(&stand.broker, &schema.queue(), &messages, WINDOW);
    let publish = figures.add("limit.publish", "messages/s", messages.len() as f64 / took.as_secs_f64());
    schema.purge();
    figures.add("producer.efficiency", "", created.rate / bound(http, publish));

    if plan.peers {
        for (name, peer) in [("node", Peer::Node), ("python", Peer::Python(1)), ("python_2_workers", Peer::Python(2))] {
            let process = peer.producer(&schema);
            let rate = accepted(&schema, &process, plan.seconds).rate;
            figures.add(&format!("peer.{name}.accepted"), "commands/s", rate);
            figures.add(&format!("producer.over_{name}"), "", created.rate / rate);
        }
    }
}

/// Commands a second that one consumer process applies from a backlog.
fn applied(schema: &Schema<'_>, count: usize, settings: &[(&str, String)], figures: Option<&mut Figures>) -> f64 {
    schema.empty();
    broker::publish(&schema.stand.broker, &schema.queue(), &load::messages(count), WINDOW);
    let consumer = Process::role("consumer", schema, settings);
    let rate = consumer.drained(count);
    if let Some(figures) = figures {
        figures.add("consumer.start", "s", consumer.start.as_secs_f64());
        figures.add("consumer.cpu", "s per 10,000", consumer.cpu() * 1e4 / count as f64);
        figures.add("consumer.rss_peak", "MiB", consumer.peak_rss());
    }
    drop(consumer);
    assert_eq!(schema.rows() as usize, count);
    rate
}

pub fn consumer(stand: &Stand, plan: Plan, figures: &mut Figures) {
    let schema = stand.schema("bench");
    schema.declare();

    let rate = applied(&schema, plan.backlog, &[], Some(figures));
    figures.add("consumer.applied", "commands/s", rate);

    schema.empty();
    broker::publish(&stand.broker, &schema.queue(), &load::messages(plan.backlog), WINDOW);
    let ConsumerSettings { workers, prefetch, batch_max, .. } = ConsumerSettings::default();
    let slowest = thread::scope(|scope| {
        let take = || broker::consume(&stand.broker, &schema.queue(), plan.backlog / workers, prefetch, batch_max);
        let takers: Vec<_> = (0..workers).map(|_| scope.spawn(take)).collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).max().unwrap()
    });
    let consume = figures.add("limit.consume", "messages/s", plan.backlog as f64 / slowest.as_secs_f64());

    let sql = figures.add("limit.sql", "commands/s", straight(&schema, plan.backlog));
    figures.add("consumer.efficiency", "", rate / bound(consume, sql));

    let one = [
        ("CONTACTS__CONSUMER__BATCH_MAX", "1".to_owned()),
        ("CONTACTS__CONSUMER__PREFETCH", "1".to_owned()),
        ("CONTACTS__CONSUMER__WORKERS", "1".to_owned()),
    ];
    let single = figures.add("consumer.one_by_one", "commands/s", applied(&schema, plan.backlog / SMALL, &one, None));
    figures.add("consumer.speedup", "", rate / single);

    if plan.peers {
        for (name, peer, share) in [("node", Peer::Node, 5), ("python", Peer::Python(1), SMALL)] {
            let count = plan.backlog / share;
            schema.empty();
            broker::publish(&stand.broker, &schema.queue(), &load::messages(count), WINDOW);
            let process = peer.consumer(&schema);
            let theirs = drained(count, Duration::from_millis(250), || schema.rows() as f64);
            drop(process);
            figures.add(&format!("peer.{name}.applied"), "commands/s", theirs);
            figures.add(&format!("consumer.over_{name}"), "", rate / theirs);
        }
    }
}

/// The statements of the consumer sent to PostgreSQL by as many connections and in as large batches, from memory.
fn straight(schema: &Schema<'_>, count: usize) -> f64 {
    schema.empty();
    let ConsumerSettings { workers, batch_max, .. } = ConsumerSettings::default();
    let settings = DatabaseSettings { url: Url::from(schema.url().as_str()), ..DatabaseSettings::default() };
    let store = Postgres::new(&settings).unwrap();
    let attempts: Vec<Attempt> = load::commands(count)
        .into_iter()
        .map(|command| Attempt { command, replays: 0, last_attempt: false, must_fail: None })
        .collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for share in attempts.chunks(count.div_ceil(workers)) {
            let store = &store;
            scope.spawn(move || share.chunks(batch_max).for_each(|batch| drop(store.apply(batch).unwrap())));
        }
    });
    let rate = count as f64 / began.elapsed().as_secs_f64();
    assert_eq!(schema.rows() as usize, count);
    rate
}

pub fn standalone(stand: &Stand, plan: Plan, figures: &mut Figures) {
    let schema = stand.schema("bench");
    let folder = stand.folder.join("standalone");
    let fresh = || {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
    };
    let settings = [("CONTACTS__STANDALONE__DATA_DIR", folder.to_string_lossy().into_owned())];

    fresh();
    let process = Process::role("standalone", &schema, &settings);
    figures.add("standalone.start", "s", process.start.as_secs_f64());
    let created = load::wrk(stand, &process.url, plan.seconds);
    figures.add("standalone.accepted", "commands/s", created.rate);
    process.drained(created.count);
    figures.add("standalone.cpu", "s per 10,000", process.cpu() * 1e4 / created.count as f64);
    figures.add("standalone.rss_peak", "MiB", process.peak_rss());
    drop(process);

    fresh();
    let messages = load::messages(plan.backlog);
    {
        let (stop, health) = (Stop::default(), Health::default());
        let (queue, publisher, thread) = Embedded::open(&folder, WINDOW, health.component("queue"), &stop).unwrap();
        for part in messages.chunks(WINDOW / 2) {
            let batch = part.iter().map(|message| (QueueKind::Work, message.clone(), Duration::ZERO));
            assert!(publisher.publish_all(batch, broker::PATIENCE).iter().all(Result::is_ok));
        }
        drop((queue, publisher));
        thread.join().unwrap();
    }
    let process = Process::role("standalone", &schema, &settings);
    let rate = figures.add("standalone.applied", "commands/s", process.drained(plan.backlog));
    drop(process);
    let _ = std::fs::remove_dir_all(&folder);
    figures.add("standalone.over_stack", "", rate / figures.last("consumer.applied"));
}

/// A full stack or a standalone under a steady rate.
struct Service {
    api: Process,
    worker: Option<Process>,
}

impl Service {
    fn applied(&self) -> f64 {
        self.worker.as_ref().unwrap_or(&self.api).applied()
    }

    /// Sends creates at this rate; what was seen, and how many were accepted and not applied when the last was sent.
    fn run(&self, rate: f64, time: Duration, follow: bool) -> (Steady, f64) {
        let before = self.applied();
        let seen = load::steady(&self.api.url, rate, time, follow);
        let accepted = seen.accepted.len() as f64;
        let lag = accepted - (self.applied() - before);
        let deadline = Instant::now() + broker::PATIENCE;
        while self.applied() - before < accepted {
            assert!(Instant::now() < deadline, "not everything was applied");
            thread::sleep(Duration::from_millis(20));
        }
        (seen, lag)
    }

    /// The highest rate at which nothing is refused, answers keep up and what waits does not grow: at its end no more
    /// waits than arrives in a tenth of the time.
    fn sustained(&self, most: f64, time: Duration) -> f64 {
        let (mut low, mut high) = (0.0, most);
        for _ in 0..6 {
            let rate = f64::midpoint(low, high);
            let began = Instant::now();
            let (seen, lag) = self.run(rate, time, false);
            let late = seen.accepted.iter().filter(|took| **took > time / 10).count();
            let kept_up = seen.refused == 0 && late * 100 < seen.accepted.len() && began.elapsed() < time * 3;
            if kept_up && lag < rate * time.as_secs_f64() / 10.0 { low = rate } else { high = rate }
        }
        low
    }
}

pub fn steady(stand: &Stand, plan: Plan, figures: &mut Figures) {
    let time = Duration::from_secs(plan.seconds.into());
    let schema = stand.schema("bench");
    schema.declare();

    let stack =
        Service { api: Process::role("producer", &schema, &[]), worker: Some(Process::role("consumer", &schema, &[])) };
    let most = figures.median("producer.accepted").unwrap_or(25_000.0);
    let sustained = figures.add("end_to_end.sustained", "commands/s", stack.sustained(most, time));
    for percent in [10, 50, 80] {
        let rate = sustained * f64::from(percent) / 100.0;
        let (mut seen, _) = stack.run(rate, time, true);
        latencies(figures, "latency", percent, &mut seen);
    }
    let Service { api, worker } = stack;
    figures.add("steady.producer_rss_peak", "MiB", api.peak_rss());
    figures.add("steady.consumer_rss_peak", "MiB", worker.as_ref().unwrap().peak_rss());
    drop(api);

    // The same rate of the same messages to the same consumer, without our producer.
    let rate = sustained / 2.0;
    let messages = load::messages((rate * time.as_secs_f64()) as usize);
    let mut bare = broker::publish_at(&stand.broker, &schema.queue(), &messages, rate);
    figures.add("latency.bare_publish_p50_at_50", "ms", percentile(&mut bare, 0.5));
    let bare = figures.add("latency.bare_publish_p99_at_50", "ms", percentile(&mut bare, 0.99));
    drop(worker);
    let ours = figures.last("latency.accepted_p99_at_50");
    figures.add("latency.accepted_p99_over_bare", "", ours / bare);

    let folder = stand.folder.join("standalone");
    let _ = std::fs::remove_dir_all(&folder);
    let settings = [("CONTACTS__STANDALONE__DATA_DIR", folder.to_string_lossy().into_owned())];
    let alone = Service { api: Process::role("standalone", &schema, &settings), worker: None };
    let most = figures.median("standalone.accepted").unwrap_or(25_000.0);
    let sustained = figures.add("standalone.sustained", "commands/s", alone.sustained(most, time));
    for percent in [10, 50, 80] {
        let (mut seen, _) = alone.run(sustained * f64::from(percent) / 100.0, time, true);
        latencies(figures, "standalone.latency", percent, &mut seen);
    }
    drop(alone);
    let _ = std::fs::remove_dir_all(&folder);
}

fn latencies(figures: &mut Figures, name: &str, percent: u32, seen: &mut Steady) {
    for (what, samples) in [("accepted", &mut seen.accepted), ("applied", &mut seen.applied)] {
        for (label, share) in [("p50", 0.5), ("p99", 0.99)] {
            figures.add(&format!("{name}.{what}_{label}_at_{percent}"), "ms", percentile(samples, share));
        }
    }
}
