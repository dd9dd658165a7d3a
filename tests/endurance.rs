//! What a role does while its peer is away, for as long as `CONTACTS_ENDURANCE_SECONDS` says (`make endurance`: 60; else a
//! few): it keeps what it was given, answers everyone in time, says so once, and does not grow.

use crate::support::{Client, Process, Proxy, Stack, eventually, person};
use contacts::queue::QueueKind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn for_how_long() -> Duration {
    let seconds = std::env::var("CONTACTS_ENDURANCE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// Resident memory, in KiB.
fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What clients were answered while they sent creates.
#[derive(Default)]
struct Answers {
    accepted: AtomicU64,
    unavailable: AtomicU64,
    slowest_millis: AtomicU64,
}

/// Sends creates from so many clients until `enough`, each after a pause.
fn load(address: &str, clients: usize, pause: Duration, enough: &AtomicBool, answers: &Answers) {
    let client = Client::new(address);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let answer = client.write("POST", "/contacts", &[], &person("Ana"));
                    let took = u64::try_from(asked.elapsed().as_millis()).unwrap();
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

/// Runs `during` while clients send creates.
fn under_load<T>(address: &str, clients: usize, pause: Duration, answers: &Answers, during: impl FnOnce() -> T) -> T {
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| load(address, clients, pause, &enough, answers));
        let result = during();
        enough.store(true, Ordering::Relaxed);
        result
    })
}

/// The most memory a process takes while the time passes.
fn peak(process: &Process, time: Duration) -> u64 {
    let (until, mut peak) = (Instant::now() + time, memory(process));
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
        peak = peak.max(memory(process));
    }
    peak
}

#[test]
fn without_sql_a_consumer_waits_for_it() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.database.address());
    let url = proxy.in_url(&stack.database.url);
    let mut producer = stack.start("producer");
    let mut consumer = stack.start_with("consumer", &[("CONTACTS__DATABASE__URL", &url)]);
    producer.ready();
    consumer.ready();
    let address = producer.said("listening")[0]["address"].as_str().unwrap().to_owned();
    let (answers, pause) = (Answers::default(), Duration::from_millis(40));
    let applied = || u64::try_from(stack.database.count("operations WHERE status = 'applied'")).unwrap();

    under_load(&address, 8, pause, &answers, || {
        eventually("it is warm", || (applied() > 500).then_some(()));
    });
    // More may be applied than were answered 202: a 503 may have been accepted after all.
    let accepted = || answers.accepted.load(Ordering::Relaxed);
    eventually("all is applied", || {
        (applied() >= accepted() && stack.broker.depth(QueueKind::Work) == 0).then_some(())
    });
    let (steady, before, accepted_before) = (memory(&consumer), applied(), accepted());

    proxy.refuse(true);
    proxy.cut();
    let peak = under_load(&address, 8, pause, &answers, || {
        let admin = consumer.admin();
        eventually("it says so", || (admin.get("/readyz").status == 503).then_some(()));
        peak(&consumer, for_how_long())
    });
    let backlog = accepted() - accepted_before;
    assert_eq!((applied(), stack.broker.depth(QueueKind::DeadLetter)), (before, 0));
    assert_eq!(consumer.said("the database cannot be used: consuming is paused").len(), 1, "{}", consumer.log());
    proxy.heal();
    let healed = Instant::now();
    eventually("the backlog is gone", || (applied() >= before + backlog).then_some(()));
    println!(
        "{:?} without SQL: {backlog} accepted meanwhile, all applied {:?} after; {steady} KiB before, {peak} at most",
        for_how_long(),
        healed.elapsed()
    );
    assert_eq!(stack.broker.depth(QueueKind::DeadLetter), 0);
    assert!(peak < 2 * steady, "{peak} KiB, {steady} before");
    producer.terminate();
    consumer.terminate();
}

#[test]
fn without_a_broker_a_producer_answers_all_in_time() {
    let stack = Stack::new();
    let proxy = Proxy::to(stack.broker.address());
    let url = proxy.in_url(&stack.broker.url);
    let settings = [
        ("CONTACTS__BROKER__URL", url.as_str()),
        ("CONTACTS__BROKER__MAX_WAITING", "32"),
        ("CONTACTS__BROKER__MAX_IN_FLIGHT", "32"),
        ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "1s"),
    ];
    let mut producer = stack.start_with("producer", &settings);
    producer.ready();
    let address = producer.said("listening")[0]["address"].as_str().unwrap().to_owned();
    let warm = Answers::default();
    under_load(&address, 64, Duration::ZERO, &warm, || {
        eventually("it is warm", || (warm.accepted.load(Ordering::Relaxed) > 2_000).then_some(()));
    });
    let steady = memory(&producer);

    // A broker that takes a tenth of what is asked for, and then none.
    let (slow, none) = (Answers::default(), Answers::default());
    proxy.delay(Duration::from_millis(150));
    let peak_slow = under_load(&address, 64, Duration::ZERO, &slow, || peak(&producer, for_how_long()));
    proxy.heal();
    proxy.refuse(true);
    proxy.cut();
    let peak_none = under_load(&address, 64, Duration::ZERO, &none, || peak(&producer, for_how_long()));
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{:?} each; slow broker: {} accepted, {} answered 503, slowest {} ms; no broker: {} answered 503, slowest {} ms; \
         {steady} KiB before, {peak_slow} and {peak_none} at most",
        for_how_long(),
        count(&slow.accepted),
        count(&slow.unavailable),
        count(&slow.slowest_millis),
        count(&none.unavailable),
        count(&none.slowest_millis),
    );
    assert!(count(&slow.accepted) > 0 && count(&none.unavailable) > 0);
    // The deadline is a second; the rest is the machine's.
    assert!(count(&slow.slowest_millis).max(count(&none.slowest_millis)) < 10_000);
    assert!(peak_slow.max(peak_none) < 2 * steady, "{peak_slow} and {peak_none} KiB, {steady} before");
    proxy.heal();
    eventually("it accepts again", || {
        let client = Client::new(&address);
        (client.write("POST", "/contacts", &[], &person("Bia")).status == 202).then_some(())
    });
    producer.terminate();
}

/// A limit on the size of its files is to SQLite what a full disk is: the next page cannot be written.
#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // A process that does not ignore this signal dies of it instead of getting the error.
    let plain = Process::command(&["standalone", "--data-dir", folder.path().to_str().unwrap()], &[]);
    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    ignoring.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    ignoring.env("CONTACTS__HTTP__ACCEPT_TIMEOUT", "1s");
    let mut service = Process::of(ignoring);
    service.ready();
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
    // The hard limit stays, so that it can be lifted again.
    limit("4096:unlimited");
    eventually("it refuses", || (!create(50)).then_some(()));
    let admin = client.get("/contacts");
    assert_eq!(admin.status, 200, "reading goes on");
    limit("unlimited:unlimited");
    eventually("it accepts again", || create(50).then_some(()));
    assert!((51..60).all(&mut create));
    for operation in &accepted {
        assert_eq!(client.ended(operation)["status"], "applied");
    }
    service.terminate();
}
