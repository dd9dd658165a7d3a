//! `GET /changes`: pages, and streams of Server-Sent Events.

use crate::support::{
    Answer, Client, Event, EventStream, MAX_WAIT, Process, Stack, eventually, json, person, start_standalone,
};
use contacts::store::Store;
use contacts::store::postgres::Postgres;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Opens a stream. A small buffer makes the client slow.
#[track_caller]
fn open(address: &str, path: &str, headers: &str, buffer: Option<usize>) -> EventStream {
    EventStream::open(address, path, headers, buffer, MAX_WAIT).unwrap()
}

/// The next event with a name.
#[track_caller]
fn event(stream: &mut EventStream) -> Event {
    let started = Instant::now();
    loop {
        // Heartbeats go on, so no read ends by itself.
        assert!(started.elapsed() < MAX_WAIT, "no event");
        let block = stream.block().unwrap().expect("the stream goes on");
        if !block.name.is_empty() {
            return block;
        }
    }
}

/// Reads to the end. Returns the last event.
fn last_event(mut stream: EventStream) -> Event {
    let mut last = Event::default();
    while let Some(block) = stream.block().unwrap() {
        if !block.name.is_empty() {
            last = block;
        }
    }
    last
}

const WAIT: &[(&str, &str)] = &[("prefer", "wait=30")];

/// Creates a contact and waits until it is applied. Returns its id and its version.
fn create(client: &Client, name: &str) -> (String, String) {
    let created = client.write("POST", "/contacts", WAIT, &person(name));
    assert_eq!(created.status, 201, "{created:?}");
    (created.text("id"), created.text("version"))
}

fn versions(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["version"].as_str().unwrap().to_owned()).collect()
}

fn page(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("/changes?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn latest(client: &Client) -> String {
    let page = page(client, "after=latest");
    assert_eq!(page["items"], json!([]));
    page["next"].as_str().unwrap().to_owned()
}

fn changes_are_read_in_pages(client: &Client) {
    let empty = page(client, "");
    assert_eq!((&empty["items"], &empty["more"]), (&json!([]), &json!(false)));
    let start = empty["next"].as_str().unwrap();
    assert_eq!(latest(client), start);

    let (ana, created) = create(client, "Ana");
    let (_, bia) = create(client, "Bia");
    let updated = client.write("PUT", &format!("/contacts/{ana}"), WAIT, &person("Ana Lima")).text("version");
    let deleted = client.send("DELETE", &format!("/contacts/{ana}"), WAIT, None).unwrap();
    assert_eq!(deleted.status, 204);

    let first = client.get("/changes?limit=3");
    assert_eq!(first.header("cache-control"), "no-store");
    let next = first.text("next");
    assert_eq!(first.header("link"), format!("</changes?after={next}&limit=3>; rel=\"next\""));
    let body = first.json();
    assert_eq!((versions(&body), &body["more"]), (vec![created.clone(), bia, updated.clone()], &json!(true)));
    let item = &body["items"][0];
    let operation = client.get(&format!("/operations/{created}")).json();
    assert_eq!(
        (&item["contact_id"], &item["operation"], &item["completed_at"]),
        (&json!(ana), &json!("insert"), &operation["completed_at"])
    );
    assert!(item.get("contact").is_none());
    assert_eq!(body["items"][2]["cursor"], body["next"]);

    // The contacts are as they are now: Ana is deleted.
    let all = client.get("/changes?include=contact&limit=2");
    assert!(all.header("link").ends_with("&limit=2&include=contact>; rel=\"next\""), "{all:?}");
    let contacts =
        all.json()["items"].as_array().unwrap().iter().map(|item| item["contact"].clone()).collect::<Vec<_>>();
    assert_eq!((&contacts[0], &contacts[1]["name"]), (&Value::Null, &json!("Bia")));

    let rest = client.get(&format!("/changes?after={next}"));
    assert_eq!((rest.json()["items"][0]["operation"].as_str(), rest.header("link")), (Some("delete"), ""));
    let end = rest.text("next");
    assert_eq!(latest(client), end);
    let nothing = page(client, &format!("after={end}"));
    assert_eq!((&nothing["items"], &nothing["next"], &nothing["more"]), (&json!([]), &json!(end), &json!(false)));
    let (_, caio) = create(client, "Caio");
    assert_eq!(versions(&page(client, &format!("after={end}"))), [caio]);

    let head = client.send("HEAD", "/changes", &[("accept", "text/event-stream")], None).unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(client.get("/changes?after=abc").status, 422);
    // A cursor of another database.
    let other = "AQAAAAAAAQAAAZnwpH0cemCPbjsMXh0vSg";
    assert_expired(&client.get(&format!("/changes?after={other}")));
    let accept = ("accept", "text/event-stream");
    let stream =
        |headers: &[(&str, &str)]| client.send("GET", "/changes", &[&[accept], headers].concat(), None).unwrap();
    assert_expired(&stream(&[("last-event-id", other)]));
    assert_eq!(stream(&[("last-event-id", "7")]).status, 422);
    // A page does not begin after it, and it is checked, too.
    let page = |id| client.send("GET", "/changes?after=latest", &[("last-event-id", id)], None).unwrap().status;
    assert_eq!(["7", other, ""].map(page), [422, 200, 200]);
}

#[track_caller]
fn assert_expired(answer: &Answer) {
    assert_eq!((answer.status, answer.text("type").as_str()), (410, "/problems/cursor-expired"), "{answer:?}");
    assert!(answer.text("detail").contains("/changes?after=latest"), "{answer:?}");
}

fn changes_are_streamed(client: &Client) {
    let (_, ana) = create(client, "Ana");
    let mut stream = open(client.address(), "/changes?include=contact", "Accept-Encoding: gzip\r\n", None);
    let first = event(&mut stream);
    let change = first.change();
    assert_eq!(
        (&change["version"], &change["cursor"], &change["contact"]["name"]),
        (&json!(ana), &json!(first.id), &json!("Ana"))
    );
    let (_, bia) = create(client, "Bia");
    let second = event(&mut stream);
    assert_eq!(second.change()["version"], bia);
    eventually("a heartbeat", || (stream.block().unwrap().unwrap().comment == "heartbeat").then_some(()));
    drop(stream);

    // A client that connects again goes on after its last event, whatever its URL says.
    let headers = format!("Last-Event-ID: {}\r\n", first.id);
    let mut again = open(client.address(), "/changes?after=latest", &headers, None);
    assert_eq!(event(&mut again), Event { data: without_contact(&second), ..second });

    // A client that begins with what is new knows its place at once.
    let mut new = open(client.address(), "/changes?after=latest", "", None);
    let place = new.block().unwrap().unwrap();
    assert_eq!((place.id, place.name.as_str()), (latest(client), ""));
    let (_, caio) = create(client, "Caio");
    assert_eq!(event(&mut new).change()["version"], caio);
    assert_eq!(event(&mut again).change()["version"], caio);
}

fn without_contact(event: &Event) -> String {
    // The members keep their order.
    event.data.split(",\"contact\":").next().unwrap().to_owned() + "}"
}

/// A producer and a consumer on RabbitMQ and PostgreSQL.
fn roles<'a>(stack: &'a Stack, settings: &[(&'a str, &'a str)]) -> [Process; 2] {
    let mut roles = [stack.start_with("producer", settings), stack.start("consumer")];
    roles.iter_mut().for_each(Process::wait_until_ready);
    roles
}

const FAST_HEARTBEAT: (&str, &str) = ("CONTACTS__HTTP__STREAM_HEARTBEAT", "1s");

#[test]
fn standalone_shows_changes_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    changes_are_read_in_pages(&start_standalone(folder.path(), &[]).client());
}

#[test]
fn producer_and_consumer_show_changes_in_pages() {
    let stack = Stack::new();
    let [mut producer, _consumer] = roles(&stack, &[]);
    changes_are_read_in_pages(&producer.client());
    // All changes before the newest one are removed.
    let client = producer.client();
    let all = page(&client, "");
    let cursors: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|item| item["cursor"].as_str().unwrap()).collect();
    let (newest, older) = cursors.split_last().unwrap();
    let newest_version = all["items"][cursors.len() - 1]["version"].as_str().unwrap();
    stack.database.execute(&format!("DELETE FROM operations WHERE id <> '{newest_version}'"));
    older[..older.len() - 1].iter().for_each(|cursor| assert_expired(&client.get(&format!("/changes?after={cursor}"))));
    assert_eq!(versions(&page(&client, &format!("after={}", older[older.len() - 1]))), [newest_version]);
    assert_eq!(versions(&page(&client, &format!("after={newest}"))).len(), 0);
    assert_eq!(versions(&page(&client, "")), [newest_version]);
}

#[test]
fn standalone_streams_changes() {
    let folder = tempfile::tempdir().unwrap();
    changes_are_streamed(&start_standalone(folder.path(), &[FAST_HEARTBEAT]).client());
}

#[test]
fn producer_and_consumer_stream_changes() {
    let stack = Stack::new();
    let [mut producer, _consumer] = roles(&stack, &[FAST_HEARTBEAT]);
    changes_are_streamed(&producer.client());
}

#[test]
fn a_stream_ends_when_its_place_has_expired() {
    let stack = Stack::new();
    let [mut producer, _consumer] = roles(&stack, &[]);
    let client = producer.client();
    let (_, ana) = create(&client, "Ana");
    create(&client, "Bia");
    let mut stream = open(client.address(), "/changes", "Accept-Language: pt\r\n", None);
    let _ = (event(&mut stream), event(&mut stream));
    // The database is restored from a backup that has only the first change.
    stack.database.execute(&format!(
        "ALTER TABLE operations DISABLE TRIGGER USER; DELETE FROM operations WHERE id <> '{ana}'; \
         ALTER TABLE operations ENABLE TRIGGER USER"
    ));
    let last = last_event(stream);
    let problem: Value = serde_json::from_str(&last.data).unwrap();
    assert_eq!(
        (last.name.as_str(), last.id.as_str(), &problem["type"]),
        ("expired", "", &json!("/problems/cursor-expired"))
    );
    assert_eq!(problem["title"], "O cursor expirou");
}

#[test]
fn a_stream_reads_again_after_a_failure_also_if_heartbeats_come_more_often() {
    let stack = Stack::new();
    let [mut producer, _consumer] = roles(&stack, &[FAST_HEARTBEAT]);
    let client = producer.client();
    let (ana, _) = create(&client, "Ana");
    let mut stream = open(client.address(), "/changes?include=contact", "", None);
    event(&mut stream);
    // That there is a change can be read, its contact cannot.
    stack.database.execute("ALTER TABLE contacts RENAME TO hidden");
    let version = uuid::Uuid::now_v7();
    stack.database.execute(&format!(
        "INSERT INTO operations (id, contact_id, operation, status, replays, accepted_at, completed_at) \
         VALUES ('{version}', '{ana}', 'update', 'applied', 0, now(), now())"
    ));
    for _ in 0..5 {
        assert_eq!(stream.block().unwrap().unwrap().comment, "heartbeat");
    }
    stack.database.execute("ALTER TABLE hidden RENAME TO contacts");
    assert_eq!(event(&mut stream).change()["version"], version.to_string());
}

#[test]
fn a_stop_ends_streams_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // A stream that did not end would be cut off after four fifths of this time.
    let mut process = start_standalone(
        folder.path(),
        &[("CONTACTS__SHUTDOWN__GRACE", "10m"), ("CONTACTS__HTTP__STREAM_HEARTBEAT", "10m")],
    );
    let client = process.client();
    let (_, ana) = create(&client, "Ana");
    let mut streams =
        [open(client.address(), "/changes", "", None), open(client.address(), "/changes?after=latest", "", None)];
    assert_eq!(event(&mut streams[0]).change()["version"], ana);
    // Its idle connection would be waited for.
    drop(client);
    process.signal("TERM");
    for stream in streams {
        assert_eq!(last_event(stream), Event::default());
    }
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn the_number_of_streams_is_limited() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("CONTACTS__HTTP__CHANGE_STREAMS", "1"), FAST_HEARTBEAT];
    let mut process = start_standalone(folder.path(), &settings);
    let (client, admin) = (process.client(), process.admin());
    let counted = || {
        eventually("the streams are counted", || {
            let metrics = admin.get("/metrics").body;
            let line = metrics.lines().find(|line| line.starts_with("contacts_change_streams "))?;
            Some(line.split_once(' ')?.1.to_owned())
        })
    };
    assert_eq!(counted(), "0");
    let first = open(client.address(), "/changes", "", None);
    assert_eq!(counted(), "1");
    let accept = [("accept", "text/event-stream")];
    let second = client.send("GET", "/changes", &accept, None).unwrap();
    assert_eq!((second.status, second.text("type").as_str()), (503, "/problems/reads-unavailable"));
    assert!(!second.header("retry-after").is_empty());
    // A page is no stream.
    assert_eq!(client.get("/changes").status, 200);
    drop(first);
    eventually("the place of the first stream is free", || (counted() == "0").then_some(()));
    open(client.address(), "/changes", "", None);
}

/// The client reads nothing while there are more changes than all buffers on the way can hold.
#[test]
fn a_slow_client_costs_little_memory_and_misses_nothing() {
    const CHANGES: usize = 60_000;
    let stack = Stack::new();
    let mut producer = stack.start_with("producer", &[FAST_HEARTBEAT]);
    producer.wait_until_ready();
    let (client, admin) = (producer.client(), producer.admin());
    // The connection is kept although its client does not read.
    let mut slow = open(client.address(), "/changes?limit=200", "", Some(4_096));
    stack.database.execute(&format!(
        "INSERT INTO operations (id, contact_id, operation, status, replays, accepted_at, completed_at) \
         SELECT gen_random_uuid(), gen_random_uuid(), 'insert', 'applied', 0, now(), now() \
         FROM generate_series(1, {CHANGES})"
    ));
    let sent = || {
        let metrics = admin.get("/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with("contacts_changes_sent_total{in=\"stream\"}"));
        line.and_then(|line| line.split_once(' ')?.1.parse::<usize>().ok()).unwrap_or_default()
    };
    let mut before = 0;
    let taken = eventually("the stream waits for its client", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = sent();
        (std::mem::replace(&mut before, now) == now && now > 0).then_some(now)
    });
    assert!(taken < CHANGES / 2, "{taken} changes were read for a client that reads nothing");
    // Another client is served meanwhile, and the slow one gets everything later.
    assert_eq!(page(&client, "limit=200")["items"].as_array().unwrap().len(), 200);
    let mut seen = BTreeSet::new();
    for _ in 0..CHANGES {
        assert!(seen.insert(event(&mut slow).change()["version"].as_str().unwrap().to_owned()));
    }
    let store = Postgres::new(&stack.database.settings()).unwrap();
    assert_eq!(slow.block().unwrap().map(|block| block.comment), Some("heartbeat".to_owned()));
    assert!(seen.contains(&store.last_change().unwrap().operation.to_string()));
}

#[test]
fn the_feed_needs_the_scope_for_reads() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |scopes: &str| {
        let hex: String = Sha256::digest(scopes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{scopes}r:{scopes}:sha256:{hex}")
    };
    let keys = [entry("read"), entry("write")].join(",");
    let mut process = start_standalone(folder.path(), &[("CONTACTS__HTTP__API_KEYS", &keys)]);
    let client = process.client();
    for accept in ["application/json", "text/event-stream"] {
        let status = |key: &str| {
            let headers = [("x-api-key", key), ("accept", accept)];
            client.send("GET", "/changes?after=abc", &headers, None).unwrap().status
        };
        // The request is not valid, so it gets no stream.
        assert_eq!(["", "write", "read"].map(status), [401, 403, 422]);
    }
}
