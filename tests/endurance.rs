//! What a role does while its broker or database is unavailable. It loses no change, answers every client in time, logs
//! the fault once, and its memory does not grow.
//!
//! `CONTACTS_ENDURANCE_SECONDS` is how long a fault lasts: 60 for `make endurance`, 4 by default.

use crate::support::{Client, Process, Proxy, Stack, eventually, person};
use contacts::queue::QueueKind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn fault_duration() -> Duration {
    let seconds = std::env::var("CONTACTS_ENDURANCE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Resident memory, in KiB.
fn resident_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The answers to the creates of all clients.
#[derive(Default)]
struct Answers {
    accepted: AtomicU64,
    unavailable: AtomicU64,
    slowest_millis: AtomicU64,
}

/// Sends creates from several clients until `stop` is set. Each client pauses after each answer.
fn load(address: &str, clients: usize, pause: Duration, stop: &AtomicBool, answers: &Answers) {
    let client = Client::new(address);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let answer = client.write("POST", "/contacts", &[], &person("Ana"));
                    let took = u64::try_from(started.elapsed().as_millis()).unwrap();
                    answers.slowest_millis.fetch_max(took, Ordering::Relaxed);
                    match answer.status {
                        202 => answers.accepted.fetch_add(1, Ordering::Relaxed),
                        503 => answers.unavailable.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{answer:?}"),
                    };
                    std::thread::sleep(pause);
                }
            });
        }
    });
}

/// Runs `action` while clients send creates.
fn under_load<T>(address: &str, clients: usize, pause: Duration, answers: &Answers, action: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| load(address, clients, pause, &stop, answers));
        let result = action();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// The peak of a process's resident memory during a time, in KiB.
fn peak_kib(process: &Process, time: Duration) -> u64 {
    let (end, mut peak) = (Instant::now() + time, resident_kib(process));
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        peak = peak.max(resident_kib(process));
    }
    peak
}

#[test]
fn a_consumer_waits_for_an_unavailable_database() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.database.address());
    let url = proxy.rewrite_url(&stack.database.url);
    let mut producer = stack.start("producer");
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__DATABASE__URL", &url)]);
    producer.wait_until_ready();
    consumer.wait_until_ready();
    let address = producer.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
    let (answers, pause) = (Answers::default(), Duration::from_millis(40));
    let applied = || u64::try_from(stack.database.count("operations WHERE status = 'applied'")).unwrap();

    under_load(&address, 8, pause, &answers, || {
        eventually("the consumer has applied some changes", || (applied() > 500).then_some(()));
    });
    // A request that was answered 503 may be accepted later, so more changes may be applied than were answered 202.
    let accepted = || answers.accepted.load(Ordering::Relaxed);
    eventually("all changes are applied", || {
        (applied() >= accepted() && stack.broker.depth(QueueKind::Work) == 0).then_some(())
    });
    let (steady, before, accepted_before) = (resident_kib(&consumer), applied(), accepted());

    proxy.refuse_connections(true);
    proxy.close_connections();
    let peak = under_load(&address, 8, pause, &answers, || {
        let admin = consumer.admin();
        eventually("/readyz reports the fault", || (admin.get("/readyz").status == 503).then_some(()));
        peak_kib(&consumer, fault_duration())
    });
    let backlog = accepted() - accepted_before;
    assert_eq!((applied(), stack.broker.depth(QueueKind::DeadLetter)), (before, 0));
    assert_eq!(consumer.log_lines("the database cannot be used: consuming is paused").len(), 1, "{}", consumer.log());
    proxy.clear_faults();
    let repaired = Instant::now();
    eventually("the backlog is applied", || (applied() >= before + backlog).then_some(()));
    println!(
        "{:?} without the database: {backlog} changes accepted, all applied {:?} after its return; {steady} KiB before, {peak} at most",
        fault_duration(),
        repaired.elapsed()
    );
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    assert!(peak < 2 * steady, "{peak} KiB, {steady} before");
    producer.terminate();
    consumer.terminate();
}

#[test]
fn a_producer_answers_in_time_without_a_broker() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.broker.address());
    let url = proxy.rewrite_url(&stack.broker.url);
    let settings = [
        ("CONTACTS__BROKER__URL", url.as_str()),
        ("CONTACTS__BROKER__MAX_WAITING", "32"),
        ("CONTACTS__BROKER__MAX_IN_FLIGHT", "32"),
        ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "1s"),
    ];
    let mut producer = stack.start_with("producer", &settings);
    producer.wait_until_ready();
    let address = producer.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
    let warm = Answers::default();
    under_load(&address, 64, Duration::ZERO, &warm, || {
        eventually("the producer has accepted some changes", || {
            (warm.accepted.load(Ordering::Relaxed) > 2_000).then_some(())
        });
    });
    let steady = resident_kib(&producer);

    // First a slow broker, which confirms a tenth of the messages. Then no broker.
    let (slow, none) = (Answers::default(), Answers::default());
    proxy.delay(Duration::from_millis(150));
    let peak_slow = under_load(&address, 64, Duration::ZERO, &slow, || peak_kib(&producer, fault_duration()));
    proxy.clear_faults();
    proxy.refuse_connections(true);
    proxy.close_connections();
    let peak_none = under_load(&address, 64, Duration::ZERO, &none, || peak_kib(&producer, fault_duration()));
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{:?} each; slow broker: {} accepted, {} answered 503, slowest {} ms; no broker: {} answered 503, slowest {} ms; \
         {steady} KiB before, {peak_slow} and {peak_none} at most",
        fault_duration(),
        count(&slow.accepted),
        count(&slow.unavailable),
        count(&slow.slowest_millis),
        count(&none.unavailable),
        count(&none.slowest_millis),
    );
    assert!(count(&slow.accepted) > 0 && count(&none.unavailable) > 0);
    // The deadline is 1 s. The rest is a margin for a slow machine.
    assert!(count(&slow.slowest_millis).max(count(&none.slowest_millis)) < 10_000);
    assert!(peak_slow.max(peak_none) < 2 * steady, "{peak_slow} and {peak_none} KiB, {steady} before");
    proxy.clear_faults();
    eventually("the producer accepts again", || {
        let client = Client::new(&address);
        (client.write("POST", "/contacts", &[], &person("Bia")).status == 202).then_some(())
    });
    producer.terminate();
}

/// A limit on the size of its files stands in for a full disk: SQLite cannot write the next page.
#[test]
fn with_a_full_disk_creates_fail_and_no_accepted_change_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    // The process must ignore SIGXFSZ. Otherwise the signal kills it, and it never gets the write error.
    let plain = Process::command(&["standalone", "--data-dir", folder.path().to_str().unwrap()], &[]);
    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    ignoring.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    ignoring.env("CONTACTS__HTTP__ACCEPT_TIMEOUT", "1s");
    let mut service = Process::from_command(ignoring);
    service.wait_until_ready();
    let client = service.client();
    let limit = |size: &str| {
        let status = Command::new("prlimit")
            .args([&format!("--pid={}", service.id()), &format!("--fsize={size}")])
            .status()
            .unwrap();
        assert!(status.success());
    };
    let mut accepted = Vec::new();
    let mut create = |number: usize| {
        let key = format!("create-{number}");
        let answer = client.write("POST", "/contacts", &[("idempotency-key", &key)], &person("Ana"));
        match answer.status {
            202 => {
                accepted.push(answer.text("operation_id"));
                true
            }
            503 => false,
            _ => panic!("{answer:?}"),
        }
    };
    assert!((0..50).all(&mut create));
    // The hard limit stays unlimited, so that the test can raise the limit again.
    limit("4096:unlimited");
    eventually("a create fails", || (!create(50)).then_some(()));
    assert_eq!(client.get("/contacts").status, 200, "reads still work");
    limit("unlimited:unlimited");
    eventually("a create is accepted again", || create(50).then_some(()));
    assert!((51..60).all(&mut create));
    for operation in &accepted {
        assert_eq!(client.finished_operation(operation)["status"], "applied");
    }
    service.terminate();
}
