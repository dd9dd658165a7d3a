//! Tests of the simulation in `bench/scale.rs`: its rules, and that `docs/SCALE.md` has its tables.

#[path = "../bench/scale.rs"]
mod model;

use model::{COSTS, Cores, Findings, Load, Processors, Setup, may_send, pack_size, simulate, tables};
use std::path::Path;

/// 256 connections on two cores.
const MACHINE: Setup = Setup {
    load: Load::Closed { connections: 256 },
    cores: Cores::Shared(2.0),
    producers: 1,
    pack_max: 64,
    sync: 1_000.0,
    network: 0.0,
};

/// Parts that are large enough for this many creates a second.
fn fleet(per_second: f64, producers: usize) -> Setup {
    let cores = Cores::Apart { producer: 4.0, broker: 8.0, consumers: 8.0, database: 32.0 };
    Setup { load: Load::Open { per_second }, cores, producers, ..MACHINE }
}

#[test]
fn a_pack_has_at_most_what_waits_the_setting_and_32_kib() {
    assert_eq!(pack_size(0, 64), 0);
    assert_eq!(pack_size(5, 64), 5);
    assert_eq!(pack_size(100, 64), 64);
    assert_eq!(pack_size(100, 1), 1);
    assert_eq!(pack_size(10_000, 1_000), 32 * 1024 / model::CHANGE_SIZE);
}

#[test]
fn with_eight_messages_in_flight_the_publisher_waits_for_a_confirm() {
    assert!(may_send(64, 7, false));
    assert!(!may_send(64, 8, false));
    assert!(may_send(64, 8, true));
    assert!(may_send(1, 4_096, false), "without packs it never waits");
}

#[test]
fn threads_with_work_take_turns_on_the_cores() {
    let total = |cores: f64, wanted: &[usize], steps: usize| {
        let mut processors = Processors::new(cores);
        let mut total = vec![0.0; wanted.len()];
        for _ in 0..steps {
            total.iter_mut().zip(processors.step(wanted)).for_each(|(total, time)| *total += time);
        }
        total
    };
    let alone = total(2.0, &[1], 600)[0];
    assert_eq!(total(2.0, &[1, 1], 600), [alone, alone], "a core for each");
    assert_eq!(total(2.0, &[2, 1, 1], 600), [alone, alone / 2.0, alone / 2.0]);
    assert_eq!(total(1.0, &[1, 0, 1], 600), [alone / 2.0, 0.0, alone / 2.0]);
    assert_eq!(total(0.5, &[1], 600), [alone / 2.0], "others have the other half");
}

#[test]
fn the_same_input_has_the_same_output() {
    assert_eq!(simulate(&COSTS, &MACHINE), simulate(&COSTS, &MACHINE));
}

#[test]
fn no_part_uses_more_than_its_cores_and_all_work_is_paid() {
    for pack_max in [1, 64] {
        let found = simulate(&COSTS, &Setup { pack_max, ..MACHINE });
        let Findings { accepted, pack, http, publisher, broker, .. } = found;
        let total = http + publisher + broker + accepted * COSTS.client / 2e6;
        assert!(total <= 1.001, "{found:?}");
        let each = COSTS.client + COSTS.http + COSTS.publisher.each(pack) + COSTS.broker.each(pack);
        assert!((accepted * each / 2e6 - total).abs() < 0.02, "{found:?}: {total}");
    }
}

#[test]
fn without_packs_each_message_has_one_change_and_packs_accept_more() {
    let unpacked = simulate(&COSTS, &Setup { pack_max: 1, ..MACHINE });
    let packed = simulate(&COSTS, &MACHINE);
    assert!((unpacked.pack - 1.0).abs() < 1e-9, "{unpacked:?}");
    assert!(packed.pack > 4.0 && packed.accepted > 1.3 * unpacked.accepted, "{packed:?} {unpacked:?}");
}

#[test]
fn parts_with_enough_cores_accept_what_arrives() {
    let found = simulate(&COSTS, &fleet(1_000.0, 2));
    assert!((found.accepted - 1_000.0).abs() < 10.0, "{found:?}");
    assert!(found.pack < 1.5, "at low load a change leaves alone: {found:?}");
}

#[test]
fn packs_grow_with_the_load_of_a_producer() {
    let packs = [2_000.0, 8_000.0, 30_000.0].map(|rate| simulate(&COSTS, &fleet(rate, 1)).pack);
    assert!(packs.is_sorted() && packs[0] < packs[2], "{packs:?}");
}

#[test]
fn a_full_part_limits_what_is_accepted() {
    let cores = Cores::Apart { producer: 1.0, broker: 8.0, consumers: 8.0, database: 32.0 };
    let found = simulate(&COSTS, &Setup { cores, ..fleet(100_000.0, 1) });
    assert!(found.accepted < 1e6 / COSTS.http && found.http + found.publisher > 0.99, "{found:?}");
}

#[test]
fn where_the_database_is_full_changes_are_accepted_and_wait() {
    let cores = Cores::Apart { producer: 4.0, broker: 8.0, consumers: 8.0, database: 1.0 };
    let found = simulate(&COSTS, &Setup { cores, ..fleet(20_000.0, 2) });
    assert!((found.accepted - 20_000.0).abs() < 200.0 && found.database > 0.99, "{found:?}");
    assert!((found.applied * COSTS.sql / 1e6 - 1.0).abs() < 0.02, "{found:?}");
}

#[test]
fn the_document_has_the_tables_of_the_simulation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCALE.md");
    let document = std::fs::read_to_string(path).unwrap();
    for table in tables().split("\n\n") {
        assert!(document.contains(table.trim()), "docs/SCALE.md is old. Print the tables with --scale:\n{table}");
    }
}
