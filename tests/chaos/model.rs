//! The model: checks the database and the dead letter queue against the accepted requests of a round.

use super::clients::{Accepted, RequestKind, Traffic};
use super::cluster::Cluster;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

#[derive(Debug, QueryableByName)]
struct FinishedOperation {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    accepted_millis: i64,
}

#[derive(Debug, QueryableByName)]
struct ContactRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = BigInt)]
    stamp_millis: i64,
    #[diesel(sql_type = Bool)]
    deleted: bool,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
}

/// Every difference between the expected and the actual result of a round.
pub fn violations(traffic: &Traffic, cluster: &Cluster) -> Vec<String> {
    let accepted = traffic.accepted.lock().unwrap();
    let database = &cluster.stack.database;
    let finished: BTreeMap<String, FinishedOperation> = database
        .rows::<FinishedOperation>(
            "SELECT id::text, status, reason, floor(extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_millis \
             FROM operations",
        )
        .into_iter()
        .map(|operation| (operation.id.clone(), operation))
        .collect();
    let rows = database.rows::<ContactRow>(
        "SELECT id::text, version::text, stamp >> 16 AS stamp_millis, deleted_at IS NOT NULL AS deleted, name FROM contacts",
    );
    let dead_letters: BTreeSet<String> =
        cluster.stack.dead_letters().into_iter().map(|dead_letter| dead_letter.id).collect();

    let mut violations = traffic.violations.lock().unwrap().clone();
    violations.extend(cluster.violations.iter().cloned());
    let mut report = |violation: String| violations.push(violation);

    // P1, P4, P5: every accepted operation is finished, every failed operation is dead-lettered, and there is nothing
    // else.
    for operation in accepted.keys().filter(|operation| !finished.contains_key(*operation)) {
        report(format!("operation {operation} was accepted and is not finished"));
    }
    let unaccepted = finished.keys().filter(|operation| !accepted.contains_key(*operation)).count();
    if unaccepted > traffic.refused.load(Ordering::Relaxed) {
        report(format!("{unaccepted} operations are finished that were not accepted"));
    }
    for operation in finished.values().filter(|operation| operation.status == "failed") {
        if !dead_letters.contains(&operation.id) {
            report(format!("{operation:?} failed and is not dead-lettered"));
        }
        if !matches!(operation.reason.as_deref(), Some("contact_deleted" | "version_conflict")) {
            report(format!("{operation:?} failed with an unexpected reason"));
        }
    }
    for id in &dead_letters {
        if finished.get(id).is_none_or(|operation| operation.status != "failed") {
            report(format!("the operation of dead letter {id} did not fail"));
        }
    }

    // P2, P3 for each contact.
    let mut by_contact: BTreeMap<&str, Vec<(&Accepted, &FinishedOperation)>> = BTreeMap::new();
    for (id, request) in accepted.iter() {
        if let Some(operation) = finished.get(id) {
            by_contact.entry(&request.contact).or_default().push((request, operation));
        }
    }
    let rows: BTreeMap<&str, &ContactRow> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    for (contact, changes) in by_contact {
        match rows.get(contact) {
            None => report(format!("contact {contact} does not exist")),
            Some(row) => check_contact(row, &changes, &mut report),
        }
    }
    violations
}

fn check_contact(row: &ContactRow, changes: &[(&Accepted, &FinishedOperation)], report: &mut impl FnMut(String)) {
    let contact = &row.id;
    let applied = |operation: &FinishedOperation| operation.status == "applied";
    let deleted = changes.iter().any(|(request, operation)| request.kind == RequestKind::Delete && applied(operation));
    if row.deleted != deleted {
        report(format!("contact {contact}: deleted is {}, expected {deleted}", row.deleted));
    }
    let mut by_condition: BTreeMap<&str, usize> = BTreeMap::new();
    for (request, operation) in changes {
        match (request.kind, &request.expects, operation.status.as_str()) {
            (RequestKind::Create, _, "applied") => {}
            (RequestKind::Create, ..) => {
                report(format!("contact {contact}: its create was not applied: {operation:?}"))
            }
            (RequestKind::Delete, None, "failed") => {
                report(format!("contact {contact}: an unconditional delete failed: {operation:?}"))
            }
            (RequestKind::Update, None, "failed") if !row.deleted => {
                report(format!("contact {contact}: an unconditional update failed: {operation:?}"));
            }
            (_, Some(expects), "applied") => *by_condition.entry(expects).or_default() += 1,
            (_, Some(expects), "failed") if *expects == row.version => {
                report(format!("contact {contact}: {operation:?} failed, but it expects the current version"));
            }
            _ => {}
        }
        // The contact state must not be older than its newest unconditional update.
        let unconditional_update = request.kind == RequestKind::Update && request.expects.is_none();
        if unconditional_update && !row.deleted && operation.accepted_millis > row.stamp_millis {
            report(format!("contact {contact}: {operation:?} is newer than {row:?}"));
        }
    }
    for (version, times) in by_condition.into_iter().filter(|(_, times)| *times > 1) {
        report(format!("contact {contact}: {times} changes took effect on version {version}"));
    }
    if !row.deleted {
        match changes.iter().find(|(request, _)| request.operation == row.version) {
            Some((request, operation)) if applied(operation) && row.name.as_deref() == Some(&request.name) => {}
            found => report(format!("contact {contact} is {row:?}, but its version belongs to {found:?}")),
        }
    }
}
