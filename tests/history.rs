//! The history of a contact: in the stores, over HTTP, and for a person who is erased.

use crate::stores::{PostgresDatabase, SqliteDatabase, TestDatabase, apply, attempt, migrated, on_both_databases};
use crate::support::{
    Client, Stack, create, delete, details, eventually, new_contact, patch, start_standalone, update,
};
use contacts::config::ApiKey;
use contacts::domain::{
    Attempt, ChangedMembers, Command, ContactId, EmailPatch, Fingerprint, OperationId, Origin, Outcome, Patch, Reason,
    Status,
};
use contacts::store::{HistoryPage, Operation, Store};
use serde_json::{Value, json};
use std::num::NonZeroU128;
use uuid::Uuid;

const NOTHING: ChangedMembers = ChangedMembers { name: false, phone: false, email: false };

fn page(contact: ContactId) -> HistoryPage {
    HistoryPage { contact, before: None, limit: 100 }
}

/// What a history says of each operation.
fn summary(history: &[Operation]) -> Vec<(Status, Option<ChangedMembers>)> {
    history.iter().map(|operation| (operation.status, operation.changed)).collect()
}

fn each_operation_says_what_it_changed_and_who_asked<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    let origin = Origin { caller: Some("web-shop".into()), trace_id: NonZeroU128::new(0xABC), attempts: 3 };
    let same = update(id, 20, "Ana");
    let renamed = update(id, 30, "Bia");
    let no_address = patch(id, 40, Patch { email: Some(EmailPatch::Remove), ..Patch::default() });
    let late = update(id, 10, "Carla");
    let conflict = Command { expects: Some(renamed.operation_id), ..update(id, 50, "Dora") };
    let commands = [create(id, "Ana"), same, renamed, no_address, late, conflict, delete(id, 60)];
    for command in commands {
        let attempt = Attempt { origin: origin.clone(), last_attempt: true, ..attempt(command) };
        store.apply(&[attempt]).unwrap();
    }
    let history = store.history(&page(id)).unwrap();
    let changed = |members: &str| {
        let has = |member| members.contains(member);
        (Status::Applied, Some(ChangedMembers { name: has("name"), phone: has("phone"), email: has("email") }))
    };
    let expected = [
        changed("name phone"),
        (Status::Failed(Reason::VersionConflict), None),
        (Status::Superseded, None),
        changed("email"),
        changed("name"),
        (Status::Applied, Some(NOTHING)),
        changed("name phone email"),
    ];
    assert_eq!(summary(&history), expected);
    assert!(history.iter().all(|operation| operation.origin == origin && operation.old_values.is_none()));
    assert_eq!(store.history(&page(new_contact())).unwrap(), []);
}

fn old_values_are_kept_if_asked_and_erased_with_the_fingerprints<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = D::keep_old_values(database.store().clone());
    let (ana, bia) = (new_contact(), new_contact());
    let keyed = Command { fingerprint: Some(Fingerprint(7)), ..create(ana, "Ana") };
    let no_address = patch(ana, 40, Patch { email: Some(EmailPatch::Remove), ..Patch::default() });
    apply(&store, &[&keyed, &create(bia, "Bia")]);
    apply(&store, &[&update(ana, 30, "Ana Souza"), &update(bia, 30, "Bia Lima")]);
    apply(&store, &[&no_address]);
    apply(&store, &[&delete(ana, 50)]);
    let before = details("Ana Souza");
    let values = |contact| -> Vec<Option<Patch>> {
        store.history(&page(contact)).unwrap().into_iter().map(|operation| operation.old_values).collect()
    };
    let expected = [
        Some(Patch { name: Some(before.name.clone()), phone: Some(before.phone), email: None }),
        Some(Patch { email: before.email.clone().map(EmailPatch::Set), ..Patch::default() }),
        Some(Patch { name: Some(details("Ana").name), ..Patch::default() }),
        None,
    ];
    assert_eq!(values(ana), expected);
    let mut found = Vec::new();
    store
        .old_values(&mut |operation| {
            found.push((operation.contact_id, operation.old_values));
            true
        })
        .unwrap();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|(_, values)| values.is_some()));

    // The three changes, and the create with its fingerprint.
    assert_eq!(store.erase_history(&[ana], &[]).unwrap(), 4);
    assert_eq!(values(ana), [None, None, None, None]);
    assert_eq!(store.operation(keyed.operation_id).unwrap().unwrap().fingerprint, None);
    assert_eq!(values(bia).iter().flatten().count(), 1, "another contact keeps its history");
    let of_bia = store.history(&page(bia)).unwrap()[0].id;
    assert_eq!(store.erase_history(&[], &[of_bia]).unwrap(), 1);
    assert_eq!(store.erase_history(&[ana, bia], &[of_bia]).unwrap(), 0);
}

/// One busy contact has more changes than a statement of SQLite can name.
fn many_operations_are_read_and_erased<D: TestDatabase>() {
    const MANY: u128 = 40_000;
    let database = migrated::<D>();
    let store = D::keep_old_values(database.store().clone());
    let ana = new_contact();
    let renamed = update(ana, 30, "Bia");
    apply(&store, &[&create(ana, "Ana"), &renamed]);
    let ids = || (1..=MANY).map(Uuid::from_u128);
    let operations: Vec<OperationId> = ids().map(OperationId::new).chain([renamed.operation_id]).collect();
    let contacts: Vec<ContactId> = ids().map(ContactId::new).chain([ana]).collect();
    assert_eq!(store.operations(&operations).unwrap().len(), 1);
    assert_eq!(store.operations_of(&contacts).unwrap().len(), 2);
    assert_eq!(store.erase_history(&contacts, &operations).unwrap(), 1);
}

fn a_history_is_read_in_pages_in_the_order_of_the_changes<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    // Changes of one batch finish at the same time. Their order is that in which they took effect. The ids, and so the
    // rows, are in the opposite order.
    let mut ids: Vec<OperationId> = (0..7).map(|_| create(id, "Ana").operation_id).collect();
    ids.sort_unstable();
    ids.reverse();
    let mut versions = ids.clone();
    let chain = ids.windows(2).enumerate().map(|(number, pair)| Command {
        operation_id: pair[1],
        expects: Some(pair[0]),
        ..update(id, 100, &format!("Ana {number}"))
    });
    let first = Command { operation_id: ids[0], ..create(id, "Ana") };
    let batch: Vec<Attempt> = [first].into_iter().chain(chain).map(attempt).collect();
    assert_eq!(store.apply(&batch).unwrap(), vec![Outcome::Applied; 7]);
    let last = update(id, 200, "Bia");
    apply(store, &[&last]);
    versions.push(last.operation_id);
    apply(store, &[&create(new_contact(), "Somebody else")]);
    for limit in [1, 3, 8] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store.history(&HistoryPage { contact: id, before, limit }).unwrap();
            let Some(oldest) = page.last() else { break };
            before = Some(oldest.history_position());
            seen.extend(page.iter().map(|operation| operation.id));
        }
        seen.reverse();
        assert_eq!(seen, versions, "{limit}");
    }
}

fn operations_are_found_by_their_trace<D: TestDatabase>() {
    let database = migrated::<D>();
    let store = database.store();
    let trace_id = NonZeroU128::new(7).unwrap();
    let of_trace = |command: Command| {
        let mut attempt = attempt(command);
        attempt.origin.trace_id = Some(trace_id);
        attempt
    };
    let (first, second) = (create(new_contact(), "Ana"), create(new_contact(), "Bia"));
    store.apply(&[of_trace(first.clone())]).unwrap();
    let between = store.operation(first.operation_id).unwrap().unwrap().completed_at;
    store.apply(&[of_trace(second.clone()), attempt(create(new_contact(), "Carla"))]).unwrap();
    let found = |since, limit| -> Vec<_> {
        let found = store.operations_of_trace(trace_id, since, limit).unwrap();
        found.into_iter().map(|operation| operation.id).collect()
    };
    assert_eq!(found(between, 10), [second.operation_id, first.operation_id]);
    assert_eq!(found(between, 1), [second.operation_id]);
    assert_eq!(found(between + chrono::TimeDelta::microseconds(1), 10), [second.operation_id]);
}

/// An older version fills none of the new columns.
fn rows_of_an_older_version_can_be_read<D: TestDatabase>() {
    let database = migrated::<D>();
    let (store, id) = (database.store(), new_contact());
    apply(store, &[&create(id, "Ana")]);
    database.execute("UPDATE operations SET caller = NULL, trace_id = NULL, attempts = NULL, changed = NULL");
    let history = store.history(&page(id)).unwrap();
    assert_eq!(summary(&history), [(Status::Applied, None)]);
    assert_eq!(history[0].origin, Origin::default());
}

on_both_databases! {
    each_operation_says_what_it_changed_and_who_asked,
    old_values_are_kept_if_asked_and_erased_with_the_fingerprints,
    many_operations_are_read_and_erased,
    a_history_is_read_in_pages_in_the_order_of_the_changes,
    operations_are_found_by_their_trace,
    rows_of_an_older_version_can_be_read,
}

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A request of the caller `web-shop`.
struct WebShop {
    client: Client,
    authorization: String,
}

impl WebShop {
    /// The caller, and the value of `http.api_keys`.
    fn key() -> (String, String) {
        let entry = ApiKey::entry("web-shop", "read+write".parse().unwrap(), "shop-secret");
        ("Bearer shop-secret".to_owned(), entry)
    }

    fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
        let headers = [("authorization", &*self.authorization), ("prefer", "wait=30"), ("traceparent", &traceparent)];
        let answer = self.client.write(method, path, &headers, body);
        assert!(matches!(answer.status, 200 | 201 | 204), "{answer:?}");
        if answer.status == 204 { Value::Null } else { answer.json() }
    }

    fn read(&self, path: &str) -> (u16, Value) {
        let answer = self.client.send("GET", path, &[("authorization", &*self.authorization)], None).unwrap();
        (answer.status, answer.json())
    }
}

/// The caller and the trace travel with the message; the consumer records them.
#[test]
fn the_history_shows_the_caller_of_each_change_that_came_through_the_broker() {
    let stack = Stack::new();
    let (authorization, entry) = WebShop::key();
    let mut producer = stack.start_with("producer", &[("CONTACTS__HTTP__API_KEYS", &entry)]);
    let consumer = stack.start_with("consumer", &[("CONTACTS__HISTORY__VALUES", "true")]);
    producer.wait_until_ready();
    let shop = WebShop { client: producer.client(), authorization };
    let ana = json!({ "name": "Ana Souza", "phone": "(11) 98765-4321", "email": "ana@example.com" });
    let created = shop.write("POST", "/contacts", &ana);
    let path = format!("/contacts/{}", created["id"].as_str().unwrap());
    let changed = shop.write("PATCH", &path, &json!({ "phone": "(11) 91234-5678", "email": null }));
    shop.write("PUT", &path, &json!({ "name": "Ana Souza", "phone": "(11) 91234-5678" }));

    let (status, history) = shop.read(&format!("{path}/history"));
    assert_eq!((status, &history["next"], &history["pruned_before"]), (200, &Value::Null, &Value::Null));
    let items = history["items"].as_array().unwrap();
    let of = |member: &str| items.iter().map(|item| item[member].clone()).collect::<Vec<_>>();
    assert_eq!(of("operation"), ["update", "patch", "insert"]);
    assert_eq!(of("changed"), [json!([]), json!(["phone", "email"]), json!(["name", "phone", "email"])]);
    let old = json!({ "phone": "+5511987654321", "email": "ana@example.com" });
    assert_eq!(of("old_values"), [json!({}), old, Value::Null]);
    assert_eq!(items[1]["version"], changed["version"]);
    for item in items {
        let who = (&item["caller"], &item["trace_id"], &item["status"]);
        assert_eq!(who, (&json!("web-shop"), &json!(TRACE_ID), &json!("applied")), "{item}");
    }
    // An import publishes a message for each record.
    let (authorization, traceparent) = (&*shop.authorization, format!("00-{TRACE_ID}-00f067aa0ba902b7-01"));
    let headers =
        [("authorization", authorization), ("content-type", "application/x-ndjson"), ("traceparent", &traceparent)];
    let answer = shop.client.send("POST", "/contacts/import", &headers, Some(ana.to_string().as_bytes())).unwrap();
    let result: Value = serde_json::from_str(answer.body.lines().next().unwrap()).unwrap();
    let imported = format!("/contacts/{}/history", result["contact_id"].as_str().unwrap());
    let item = eventually("the record is applied", || {
        let (status, history) = shop.read(&imported);
        (status == 200).then(|| history["items"][0].clone())
    });
    assert_eq!((&item["caller"], &item["trace_id"]), (&json!("web-shop"), &json!(TRACE_ID)), "{item}");

    shop.write("DELETE", &path, &Value::Null);
    let (status, history) = shop.read(&format!("{path}/history?limit=1"));
    assert_eq!((status, &history["items"][0]["operation"]), (200, &json!("delete")), "also after a delete");
    consumer.terminate();
    producer.terminate();
}

#[test]
fn a_history_is_read_in_pages_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let mut standalone = start_standalone(folder.path(), &[]);
    standalone.wait_until_ready();
    let client = standalone.client();
    let mut ids = Vec::new();
    for name in ["Ana", "Bia"] {
        let contact = json!({ "name": name, "phone": "(11) 98765-4321" });
        ids.push(client.write("POST", "/contacts", &[("prefer", "wait=30")], &contact).text("id"));
    }
    let mut names: Vec<String> = Vec::new();
    for number in 0..4 {
        let name = format!("Ana {number}");
        let headers = [("prefer", "wait=30"), ("content-type", "application/merge-patch+json")];
        let patch = json!({ "name": name }).to_string();
        let path = format!("/contacts/{}", ids[0]);
        let answer = client.send("PATCH", &path, &headers, Some(patch.as_bytes())).unwrap();
        names.push(answer.json()["version"].as_str().unwrap().to_owned());
    }
    let first = format!("/contacts/{}/history?limit=2", ids[0]);
    let (mut path, mut seen, mut cursor) = (first.clone(), Vec::new(), String::new());
    for page in 0..3 {
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        seen.extend(body["items"].as_array().unwrap().iter().map(|item| item["operation_id"].clone()));
        assert!(body["items"][0].get("old_values").is_none() && body["items"][0]["caller"].is_null(), "{body}");
        match body["next"].as_str() {
            Some(next) => {
                cursor = next.to_owned();
                path = format!("{first}&cursor={next}");
                assert_eq!(answer.header("link"), format!("<{path}>; rel=\"next\""));
            }
            None => assert_eq!((page, answer.header("link")), (2, "")),
        }
    }
    names.reverse();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[..4], names[..]);
    assert_eq!(client.send("HEAD", &first, &[], None).unwrap().status, 200);
    // A cursor belongs to one history.
    let other = client.get(&format!("/contacts/{}/history?limit=2&cursor={cursor}", ids[1]));
    assert_eq!((other.status, &other.json()["errors"][0]["code"]), (422, &json!("other_list")));
    let unknown = client.get(&format!("/contacts/{}/history", new_contact()));
    assert_eq!(unknown.status, 404);
    assert_eq!(client.get(&format!("/contacts/{}/history?offset=1", ids[0])).status, 422);
    assert_eq!(client.write("POST", &format!("/contacts/{}/history", ids[0]), &[], &json!({})).status, 405);
}
