//! Fault injection: real processes, random clients and random faults. A model checks the result against the promises in
//! `docs/RELIABILITY.md`. An independent checker judges the history of all requests. Others follow the change feed and the
//! events.
//!
//! One seed determines a round: the requests, the faults and their order. The number of finished requests determines
//! when a fault starts, not the clock. Clients continue during faults. `make test` runs one round with a fixed seed.
//! `make chaos` runs many rounds, with its own services for some faults, and `make cluster` with three broker nodes and
//! two databases. Both write their table in `docs/RELIABILITY.md`. A failed seed can be run again.

mod checker;
mod clients;
mod cluster;
mod environment;
mod faults;
mod followers;
mod history;
mod model;
mod nodes;
mod report;
mod services;
mod subscriber;

use checker::Findings;
use clients::Traffic;
use cluster::Cluster;
use environment::{Environment, Needs};
use faults::Fault;
use followers::Followers;
use report::{InjectedFault, Round};
use std::time::{Instant, SystemTime};
use subscriber::Subscriber;

/// How many requests of all clients are finished between two faults.
const REQUESTS_BETWEEN_FAULTS: usize = 60;
/// Faults in a round of random faults, and in a round of one kind of fault.
const FAULTS: (usize, usize) = (6, 3);
/// The same in a cluster, whose faults take longer.
const FAULTS_OF_NODES: (usize, usize) = (3, 2);

/// A random number generator that depends only on a seed and a purpose.
fn random(seed: u64, purpose: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose)
}

/// Runs one round and checks its result.
fn run_round(seed: u64, faults: &[Fault], environment: &Environment) -> Round {
    let started = Instant::now();
    let mut cluster = Cluster::start(environment);
    let traffic = Traffic::new(seed, cluster.producers());
    let followers = Followers::new(cluster.producers());
    let subscriber = Subscriber::new(&cluster);
    let mut injected = Vec::new();
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| traffic.run());
        scope.spawn(|| followers.run());
        scope.spawn(|| subscriber.run());
        let mut random = random(seed, 1);
        traffic.wait_for(REQUESTS_BETWEEN_FAULTS);
        for fault in faults {
            let began = (Instant::now(), SystemTime::now());
            fault.inject(&mut cluster, &traffic, &mut random, environment);
            cluster.clear_faults(environment);
            traffic.wait_for(REQUESTS_BETWEEN_FAULTS);
            injected.push(InjectedFault { kind: *fault, began, ended: (Instant::now(), SystemTime::now()) });
        }
        traffic.stop();
        clients.join().unwrap();
        cluster.wait_until_finished(&traffic);
        followers.stop(&cluster);
        subscriber.wait_for_events(&cluster);
        cluster.stop();
        subscriber.stop();
    });
    let mut violations = model::violations(&traffic, &cluster);
    // A primary that restarts can show commits that its standby does not have, and then the standby takes over.
    violations.extend(followers.violations(&traffic, &cluster, matches!(environment, Environment::Nodes(_))));
    violations.extend(subscriber.violations(&cluster, faults.contains(&Fault::RestartPrimaryWithoutStandby)));
    let history = traffic.history.operations();
    let file = history::write(seed, &history);
    let findings = checker::check(&history);
    violations.extend(findings.violations.iter().map(|violation| format!("{violation}; see {}", file.display())));
    let findings = Findings { violations, ..findings };
    Round::new(seed, &injected, &traffic, &cluster, subscriber.count(), started.elapsed(), findings)
}

/// Random faults for one round, of the kinds that the environment allows.
fn random_faults(seed: u64, environment: &Environment) -> Vec<Fault> {
    let mut random = random(seed, 2);
    let kinds = possible_faults(environment);
    (0..faults_in_a_round(environment).0).map(|_| kinds[random.usize(..kinds.len())]).collect()
}

fn faults_in_a_round(environment: &Environment) -> (usize, usize) {
    if environment.has_proxies() { FAULTS } else { FAULTS_OF_NODES }
}

fn possible_faults(environment: &Environment) -> Vec<Fault> {
    Fault::ALL.iter().copied().filter(|fault| environment.provides(fault.needs())).collect()
}

/// One round for `make test`, with the faults that break each promise most easily.
#[test]
fn a_round_of_mixed_faults_keeps_the_promises() {
    use Fault::{DisconnectDatabase, KillConsumer, KillProducer, RefuseBroker, StallBroker, StallDatabase};
    let faults = [
        StallBroker,
        KillConsumer,
        DisconnectDatabase,
        KillProducer,
        StallBroker,
        KillConsumer,
        RefuseBroker,
        StallDatabase,
    ];
    run_round(20_261_122, &faults, &Environment::Shared).assert_no_violations();
}

/// `make chaos`: `CONTACTS_CHAOS_ROUNDS` rounds, starting at seed `CONTACTS_CHAOS_SEED`. The first seeds run each fault
/// alone, the others run mixed faults.
#[test]
#[ignore = "slow: `make chaos` runs it"]
fn many_rounds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("CONTACTS_CHAOS_ROUNDS").expect("CONTACTS_CHAOS_ROUNDS is the number of rounds");
    let first = number("CONTACTS_CHAOS_SEED").unwrap_or(1);
    let environment = Environment::from_variables();
    // In a cluster, the faults of nodes come first and alone; the other chaos targets have run the rest alone.
    let alone: Vec<Fault> = possible_faults(&environment)
        .into_iter()
        .filter(|fault| environment.has_proxies() || fault.needs() == Needs::Nodes)
        .collect();
    let mut rounds_run = Vec::new();
    for seed in (first..).take(usize::try_from(rounds).unwrap()) {
        let faults = match alone.get(usize::try_from(seed - 1).unwrap()) {
            Some(fault) => vec![*fault; faults_in_a_round(&environment).1],
            None => random_faults(seed, &environment),
        };
        let round = run_round(seed, &faults, &environment);
        println!("{round}");
        round.violations().for_each(|violation| println!("{violation}"));
        rounds_run.push(round);
        // Write after each round, so that an interrupted run leaves its results.
        report::write(&rounds_run);
    }
    rounds_run.iter().for_each(Round::assert_no_violations);
}
