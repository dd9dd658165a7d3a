//! What must have come of a round, from what was accepted and what SQL and the dead letters hold.

use super::clients::{Accepted, Traffic, Wish};
use super::cluster::Cluster;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

#[derive(Debug, QueryableByName)]
struct Ended {
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
struct Row {
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

/// Everything that is not as it must be.
pub fn faults_of(traffic: &Traffic, cluster: &Cluster) -> Vec<String> {
    let accepted = traffic.accepted.lock().unwrap();
    let database = &cluster.stack.database;
    let ended: BTreeMap<String, Ended> = database
        .rows::<Ended>(
            "SELECT id::text, status, reason, floor(extract(epoch FROM accepted_at) * 1000)::bigint AS accepted_millis \
             FROM operations",
        )
        .into_iter()
        .map(|ended| (ended.id.clone(), ended))
        .collect();
    let rows = database.rows::<Row>(
        "SELECT id::text, version::text, stamp >> 16 AS stamp_millis, deleted_at IS NOT NULL AS deleted, name FROM contacts",
    );
    let letters: BTreeSet<String> = cluster.stack.dead_letters().into_iter().map(|letter| letter.id).collect();

    let mut wrong = traffic.wrong.lock().unwrap().clone();
    wrong.extend(cluster.wrong.iter().cloned());
    let mut complain = |what: String| wrong.push(what);

    // P1, P4, P5: whatever was accepted has ended; what failed is a dead letter; nothing else is there.
    for operation in accepted.keys().filter(|operation| !ended.contains_key(*operation)) {
        complain(format!("operation {operation} was accepted and never ended"));
    }
    let unaccepted = ended.keys().filter(|operation| !accepted.contains_key(*operation)).count();
    if unaccepted > traffic.refused.load(Ordering::Relaxed) {
        complain(format!("{unaccepted} operations ended that nobody was promised"));
    }
    for operation in ended.values().filter(|operation| operation.status == "failed") {
        if !letters.contains(&operation.id) {
            complain(format!("{operation:?} failed and is no dead letter"));
        }
        if !matches!(operation.reason.as_deref(), Some("contact_deleted" | "version_conflict")) {
            complain(format!("{operation:?} failed without a cause in the round"));
        }
    }
    for letter in &letters {
        if ended.get(letter).is_none_or(|operation| operation.status != "failed") {
            complain(format!("dead letter {letter} did not fail"));
        }
    }

    // P2, P3, contact by contact.
    let mut asked: BTreeMap<&str, Vec<(&Accepted, &Ended)>> = BTreeMap::new();
    for (operation, wish) in accepted.iter() {
        if let Some(ended) = ended.get(operation) {
            asked.entry(&wish.contact).or_default().push((wish, ended));
        }
    }
    let rows: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    for (contact, asked) in asked {
        match rows.get(contact) {
            None => complain(format!("contact {contact} is not there")),
            Some(row) => check(row, &asked, &mut complain),
        }
    }
    wrong
}

fn check(row: &Row, asked: &[(&Accepted, &Ended)], complain: &mut impl FnMut(String)) {
    let contact = &row.id;
    let applied = |ended: &Ended| ended.status == "applied";
    let deleted = asked.iter().any(|(wish, ended)| wish.wish == Wish::Delete && applied(ended));
    if row.deleted != deleted {
        complain(format!("contact {contact}: deleted is {}, a delete applied is {deleted}", row.deleted));
    }
    let mut by_condition: BTreeMap<&str, usize> = BTreeMap::new();
    for (wish, ended) in asked {
        match (wish.wish, &wish.expects, ended.status.as_str()) {
            (Wish::Create, _, "applied") => {}
            (Wish::Create, ..) => complain(format!("contact {contact}: its create ended {ended:?}")),
            (Wish::Delete, None, "failed") => complain(format!("contact {contact}: a plain delete ended {ended:?}")),
            (Wish::Update, None, "failed") if !row.deleted => {
                complain(format!("contact {contact}: a plain update ended {ended:?}"));
            }
            (_, Some(expects), "applied") => *by_condition.entry(expects).or_default() += 1,
            (_, Some(expects), "failed") if *expects == row.version => {
                complain(format!("contact {contact}: its version is what {ended:?} expects"));
            }
            _ => {}
        }
        // The newest plain update decides, unless something that follows from a later state does.
        let plain_update = wish.wish == Wish::Update && wish.expects.is_none();
        if plain_update && !row.deleted && ended.accepted_millis > row.stamp_millis {
            complain(format!("contact {contact}: {ended:?} is newer than its state, {row:?}"));
        }
    }
    for (version, times) in by_condition.into_iter().filter(|(_, times)| *times > 1) {
        complain(format!("contact {contact}: {times} changes took effect on version {version}"));
    }
    if !row.deleted {
        match asked.iter().find(|(wish, _)| wish.operation == row.version) {
            Some((wish, ended)) if applied(ended) && row.name.as_deref() == Some(&wish.name) => {}
            found => complain(format!("contact {contact} shows {row:?}, its version is of {found:?}")),
        }
    }
}
