//! The promises, held while things break: real processes, random clients, random faults, and a model that says what
//! must have come of it.
//!
//! A round is made from one seed: what clients ask for, the faults, and their moments, which are set by the work that is
//! done and not by the clock. Clients go on while things are broken. `make test` runs one round of a fixed seed; `make chaos` runs many, with faults that need
//! services of its own, and writes the table in `docs/RELIABILITY.md`. A seed that failed can be run again.

mod clients;
mod cluster;
mod faults;
mod model;
mod report;
mod services;

use clients::Traffic;
use cluster::Cluster;
use faults::Fault;
use report::Round;
use services::Services;
use std::time::Instant;

/// Requests of all clients that must end between two faults; during a fault they go on.
const REQUESTS: usize = 60;
/// Faults in one round.
const FAULTS: usize = 6;

/// Numbers that depend on a seed and a purpose only.
fn random(seed: u64, purpose: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose)
}

fn play(seed: u64, faults: &[Fault], services: Option<&Services>) -> Round {
    let started = Instant::now();
    let mut cluster = Cluster::start(services);
    let traffic = Traffic::new(seed, cluster.producers());
    std::thread::scope(|scope| {
        scope.spawn(|| traffic.run());
        let mut random = random(seed, 1);
        traffic.wait_for(REQUESTS);
        for fault in faults {
            fault.happen(&mut cluster, &traffic, &mut random, services);
            cluster.heal(services);
            traffic.wait_for(REQUESTS);
        }
        traffic.finish();
    });
    cluster.settle(&traffic);
    let wrong = model::faults_of(&traffic, &cluster);
    Round::new(seed, faults.to_vec(), &traffic, started.elapsed(), wrong)
}

fn mixed(seed: u64, own_services: bool) -> Vec<Fault> {
    let mut random = random(seed, 2);
    let kinds: Vec<Fault> =
        Fault::ALL.iter().copied().filter(|fault| own_services || !fault.needs_own_services()).collect();
    (0..FAULTS).map(|_| kinds[random.usize(..kinds.len())]).collect()
}

/// One round for every run of the tests, of the faults that each promise is most easily broken by.
#[test]
fn a_round_of_mixed_faults() {
    use Fault::{CutDatabase, KillConsumer, KillProducer, RefuseBroker, SwallowBroker, SwallowDatabase};
    let faults = [
        SwallowBroker,
        KillConsumer,
        CutDatabase,
        KillProducer,
        SwallowBroker,
        KillConsumer,
        RefuseBroker,
        SwallowDatabase,
    ];
    play(20_261_122, &faults, None).expect_right();
}

/// `make chaos`: as many rounds as `CONTACTS_CHAOS_ROUNDS` says, from the seed `CONTACTS_CHAOS_SEED` on; first each fault
/// alone, then mixed.
#[test]
#[ignore = "takes long: run by `make chaos`"]
fn many_rounds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("CONTACTS_CHAOS_ROUNDS").expect("CONTACTS_CHAOS_ROUNDS says how many");
    let first = number("CONTACTS_CHAOS_SEED").unwrap_or(1);
    let services = Services::from_environment();
    let possible = |fault: &&Fault| services.is_some() || !fault.needs_own_services();
    let alone: Vec<Fault> = Fault::ALL.iter().filter(possible).copied().collect();
    let mut played = Vec::new();
    for seed in (first..).take(usize::try_from(rounds).unwrap()) {
        // The first seeds are for each fault alone.
        let faults = match alone.get(usize::try_from(seed - 1).unwrap()) {
            Some(fault) => vec![*fault; 3],
            None => mixed(seed, services.is_some()),
        };
        let round = play(seed, &faults, services.as_ref());
        println!("{round}");
        round.wrong().for_each(|wrong| println!("{wrong}"));
        played.push(round);
        // After each, so that a run that is cut short leaves what it found.
        report::write(&played);
    }
    played.iter().for_each(Round::expect_right);
}
