//! Fault injection: real processes, random clients and random faults. A model checks the result against the promises in
//! `docs/RELIABILITY.md`. An independent checker judges the history of all requests.
//!
//! One seed determines a round: the requests, the faults and their order. The number of finished requests determines
//! when a fault starts, not the clock. Clients continue during faults. `make test` runs one round with a fixed seed.
//! `make chaos` runs many rounds, with its own services for some faults, and writes the table in `docs/RELIABILITY.md`.
//! A failed seed can be run again.

mod checker;
mod clients;
mod cluster;
mod faults;
mod history;
mod model;
mod report;
mod services;

use clients::Traffic;
use cluster::Cluster;
use faults::Fault;
use report::Round;
use services::Services;
use std::time::Instant;

/// How many requests of all clients are finished between two faults.
const REQUESTS_BETWEEN_FAULTS: usize = 60;
/// Faults in a round of random faults.
const FAULTS: usize = 6;

/// A random number generator that depends only on a seed and a purpose.
fn random(seed: u64, purpose: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose)
}

/// Runs one round and checks its result.
fn run_round(seed: u64, faults: &[Fault], services: Option<&Services>) -> Round {
    let started = Instant::now();
    let mut cluster = Cluster::start(services);
    let traffic = Traffic::new(seed, cluster.producers());
    std::thread::scope(|scope| {
        scope.spawn(|| traffic.run());
        let mut random = random(seed, 1);
        traffic.wait_for(REQUESTS_BETWEEN_FAULTS);
        for fault in faults {
            fault.inject(&mut cluster, &traffic, &mut random, services);
            cluster.clear_faults(services);
            traffic.wait_for(REQUESTS_BETWEEN_FAULTS);
        }
        traffic.stop();
    });
    cluster.finish(&traffic);
    let mut violations = model::violations(&traffic, &cluster);
    let history = traffic.history.operations();
    let file = history::write(seed, &history);
    let findings = checker::check(&history);
    violations.extend(findings.violations.iter().map(|violation| format!("{violation}; see {}", file.display())));
    Round::new(seed, faults.to_vec(), &traffic, started.elapsed(), findings.checked, violations)
}

/// Random faults for one round. `own_services` allows faults that need their own services.
fn random_faults(seed: u64, own_services: bool) -> Vec<Fault> {
    let mut random = random(seed, 2);
    let kinds: Vec<Fault> =
        Fault::ALL.iter().copied().filter(|fault| own_services || !fault.needs_own_services()).collect();
    (0..FAULTS).map(|_| kinds[random.usize(..kinds.len())]).collect()
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
    run_round(20_261_122, &faults, None).assert_no_violations();
}

/// `make chaos`: `CONTACTS_CHAOS_ROUNDS` rounds, starting at seed `CONTACTS_CHAOS_SEED`. The first seeds run each fault
/// alone, the others run mixed faults.
#[test]
#[ignore = "slow: `make chaos` runs it"]
fn many_rounds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("CONTACTS_CHAOS_ROUNDS").expect("CONTACTS_CHAOS_ROUNDS is the number of rounds");
    let first = number("CONTACTS_CHAOS_SEED").unwrap_or(1);
    let services = Services::from_environment();
    let is_possible = |fault: &&Fault| services.is_some() || !fault.needs_own_services();
    let alone: Vec<Fault> = Fault::ALL.iter().filter(is_possible).copied().collect();
    let mut rounds_run = Vec::new();
    for seed in (first..).take(usize::try_from(rounds).unwrap()) {
        let faults = match alone.get(usize::try_from(seed - 1).unwrap()) {
            Some(fault) => vec![*fault; 3],
            None => random_faults(seed, services.is_some()),
        };
        let round = run_round(seed, &faults, services.as_ref());
        println!("{round}");
        round.violations().for_each(|violation| println!("{violation}"));
        rounds_run.push(round);
        // Write after each round, so that an interrupted run leaves its results.
        report::write(&rounds_run);
    }
    rounds_run.iter().for_each(Round::assert_no_violations);
}
