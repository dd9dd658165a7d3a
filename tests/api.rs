//! Tests of the HTTP API against a real process.

use crate::support::{Client, Process, Stack, eventually, json, person, start_standalone};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

struct Served {
    process: Process,
    client: Client,
    _folder: TempDir,
}

fn serve(settings: &[(&str, &str)]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), settings);
    let client = process.client();
    Served { process, client, _folder: folder }
}

impl Served {
    /// The number of messages that the queue has confirmed.
    fn published(&mut self) -> u64 {
        let metrics = self.process.admin().get("/metrics").body;
        let line =
            metrics.lines().find(|line| line.starts_with("contacts_publish_total{result=\"confirmed\"}")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn test_life_cycle(client: &Client) {
    let accepted = client.create("Ana Souza");
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let (operation, id) = (accepted.text("operation_id"), accepted.text("contact_id"));
    assert_eq!(accepted.header("location"), format!("/operations/{operation}"));
    assert_eq!(accepted.header("etag"), format!("\"{operation}\""));
    assert_eq!(accepted.header("retry-after"), "1");
    assert_eq!(accepted.text("version"), operation);
    assert_eq!(accepted.text("status"), "accepted");

    let ended = client.finished_operation(&operation);
    assert_eq!(
        (&ended["status"], &ended["operation"], &ended["contact_id"]),
        (&json!("applied"), &json!("insert"), &json!(id))
    );
    assert!(ended["accepted_at"].is_string() && ended["completed_at"].is_string() && ended["reason"].is_null());

    let path = format!("/contacts/{id}");
    let read = client.get(&path);
    assert_eq!((read.status, read.header("etag").to_owned()), (200, format!("\"{operation}\"")));
    let contact = read.json();
    for (field, value) in [
        ("id", json!(id)),
        ("name", json!("Ana Souza")),
        ("phone", json!("+5511987654321")),
        ("ddd", json!(11)),
        ("state", json!("SP")),
        ("region", json!("Sudeste")),
        ("email", json!("someone@example.com")),
        ("version", json!(operation)),
    ] {
        assert_eq!(contact[field], value, "{field}");
    }
    let not_modified = client.send("GET", &path, &[("if-none-match", read.header("etag"))], None).unwrap();
    assert_eq!((not_modified.status, not_modified.body.as_str()), (304, ""));

    let changed = client.write("PUT", &path, &[("if-match", read.header("etag"))], &person("Ana Lima"));
    assert_eq!(changed.status, 202);
    assert_eq!(client.finished_operation(&changed.text("operation_id"))["status"], "applied");
    assert_eq!(client.get(&path).json()["name"], "Ana Lima");

    // A patch changes single members.
    let merge_patch =
        [("content-type", "application/merge-patch+json"), ("if-match", &*format!("\"{}\"", changed.text("version")))];
    let patched = client.send("PATCH", &path, &merge_patch, Some(br#"{"email":null,"phone":"1134567890"}"#)).unwrap();
    assert_eq!(patched.status, 202, "{patched:?}");
    let operation = client.finished_operation(&patched.text("operation_id"));
    assert_eq!((&operation["status"], &operation["operation"]), (&json!("applied"), &json!("patch")));
    let contact = client.get(&path).json();
    assert_eq!(
        (&contact["name"], &contact["phone"], &contact["email"]),
        (&json!("Ana Lima"), &json!("+551134567890"), &json!(null))
    );
    assert_eq!(contact["version"], patched.text("operation_id"));
    let stale = client.send("PATCH", &path, &merge_patch, Some(br#"{"name":"Nobody"}"#)).unwrap();
    assert_eq!((stale.status, stale.text("type")), (412, "/problems/version-conflict".into()));
    let json_patch = [("content-type", "application/json-patch+json")];
    let unknown = client.send("PATCH", &path, &json_patch, Some(b"[]")).unwrap();
    assert_eq!((unknown.status, unknown.header("accept-patch")), (415, "application/merge-patch+json"));
    let waited = [("content-type", "application/json"), ("prefer", "wait=30")];
    let restored = client.send("PATCH", &path, &waited, Some(br#"{"email":"ana@example.com"}"#)).unwrap();
    assert_eq!((restored.status, restored.text("email")), (200, "ana@example.com".into()));

    // SQL shows that the old version is no longer current, so the answer is immediate.
    let stale = client.write("PUT", &path, &[("if-match", read.header("etag"))], &person("Nobody"));
    assert_eq!((stale.status, stale.text("type")), (412, "/problems/version-conflict".into()));

    let removed = client.send("DELETE", &path, &[], None).unwrap();
    assert_eq!(removed.status, 202);
    assert_eq!(client.finished_operation(&removed.text("operation_id"))["status"], "applied");
    assert_eq!(client.get(&path).status, 404);
    let again = client.send("DELETE", &path, &[], None).unwrap();
    assert_eq!(client.finished_operation(&again.text("operation_id"))["status"], "superseded");
    let late = client.write("PUT", &path, &[], &person("Late"));
    let late = client.finished_operation(&late.text("operation_id"));
    assert_eq!((&late["status"], &late["reason"]), (&json!("failed"), &json!("contact_deleted")));
}

#[test]
fn a_contact_is_created_changed_and_deleted_in_a_standalone() {
    let served = serve(&[]);
    test_life_cycle(&served.client);
    served.process.terminate();
}

#[test]
fn a_contact_is_created_changed_and_deleted_over_rabbitmq_and_postgresql() {
    let stack = Stack::new();
    let (mut producer, mut one, mut two) = (stack.start("producer"), stack.start("consumer"), stack.start("consumer"));
    for process in [&mut producer, &mut one, &mut two] {
        process.wait_until_ready();
    }
    test_life_cycle(&producer.client());
    for process in [producer, one, two] {
        process.terminate();
    }
}

#[test]
fn invalid_input_is_rejected_and_never_published() {
    let mut served = serve(&[]);
    let client = served.client.clone();
    let good = person("Ana");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let long = "x".repeat(101);
    let cases: Vec<(&str, Value)> = vec![
        ("name", json!(null)),
        ("name", json!("")),
        ("name", json!("   ")),
        ("name", json!(long)),
        ("name", json!("a\u{0}b")),
        ("name", json!("a\nb")),
        ("name", json!(5)),
        ("name", json!(["Ana"])),
        ("name", json!({"first": "Ana"})),
        ("phone", json!(null)),
        ("phone", json!("")),
        ("phone", json!(11_987_654_321_u64)),
        ("phone", json!("98765-4321")),
        ("phone", json!("(20) 98765-4321")),
        ("phone", json!("(11) 88765-4321")),
        ("phone", json!("0800 123 4567")),
        ("phone", json!("4004-1234")),
        ("phone", json!("+1 212 555 0123")),
        ("phone", json!("1".repeat(5_000))),
        ("phone", json!("'; DROP TABLE contacts; --")),
        ("email", json!("")),
        ("email", json!("ana")),
        ("email", json!("ana@localhost")),
        ("email", json!("Ana <ana@example.com>")),
        ("email", json!(format!("{}@example.com", "a".repeat(300)))),
        ("email", json!(true)),
        ("nickname", json!("Aninha")),
        ("id", json!("01890000-0000-7000-8000-000000000001")),
    ];
    let id = "/contacts/01890000-0000-7000-8000-000000000001";
    for (field, value) in &cases {
        for (method, path) in [("POST", "/contacts"), ("PUT", id)] {
            let answer = client.write(method, path, &[], &with(field, value.clone()));
            assert_eq!(answer.status, 422, "{method} {field} = {value:.60}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let errors = answer.json()["errors"].clone();
            assert_eq!(errors[0]["field"], *field, "{errors}");
            assert!(errors[0]["code"].is_string() && errors[0]["detail"].is_string() && errors[0]["in"] == "body");
        }
    }
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>| {
        let answer = client.send(method, path, headers, body).unwrap();
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}: {answer:?}");
        assert_eq!(answer.json()["status"], answer.status);
        (answer.status, answer.text("type").replace("/problems/", ""))
    };
    let json = [("content-type", "application/json")];
    let body = good.to_string();
    let body = Some(body.as_bytes());
    let huge = vec![b' '; 20_000];
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let is = |status, slug: &str| (status, slug.to_owned());
    for wrong in [&b"{"[..], b"", b"not json", b"\xff\xfe", deep.as_bytes(), b"{\"name\":\"\\ud800\"}"] {
        assert_eq!(send("POST", "/contacts", &json, Some(wrong)), is(400, "malformed-json"), "{:.20?}", wrong);
    }
    let twice = br#"{"name":"Ana","name":"Bia","phone":"11987654321","email":"ana@example.com"}"#;
    assert_eq!(send("POST", "/contacts", &json, Some(twice)), is(400, "malformed-json"));
    let latin = [("content-type", "application/json; charset=iso-8859-1")];
    assert_eq!(send("POST", "/contacts", &latin, body), is(415, "unsupported-media-type"));
    for wrong in [&b"null"[..], b"[]", b"\"x\"", b"5"] {
        assert_eq!(send("POST", "/contacts", &json, Some(wrong)), is(422, "validation"));
    }
    assert_eq!(send("POST", "/contacts", &json, Some(&huge)), is(413, "body-too-large"));
    assert_eq!(send("POST", "/contacts", &[], body), is(415, "unsupported-media-type"));
    assert_eq!(send("POST", "/contacts", &[("content-type", "text/plain")], body), is(415, "unsupported-media-type"));
    assert_eq!(send("PATCH", "/contacts", &json, body), is(405, "method-not-allowed"));
    assert_eq!(send("DELETE", "/contacts", &[], None), is(405, "method-not-allowed"));
    assert_eq!(send("POST", id, &json, body), is(405, "method-not-allowed"));
    for path in ["/nothing", "/contact", "/contacts/", "/contacts/a/b", "/metrics", "/readyz", "/operations", "/%00"] {
        assert_eq!(send("GET", path, &[], None), is(404, "not-found"), "{path}");
    }
    for (method, path) in [("GET", "/contacts/x"), ("DELETE", "/contacts/1"), ("GET", "/operations/x")] {
        assert_eq!(send(method, path, &[], None), is(404, "not-found"), "{path}");
    }
    assert_eq!(send("PUT", "/contacts/x", &json, body), is(404, "not-found"));
    for query in [
        "ddd=20",
        "ddd=1",
        "ddd=abc",
        "state=XX",
        "region=Leste",
        "q=",
        "q=%00",
        "q=a&cursor=a01933a66000070008000000000000001",
        "cursor=bAZM6ZgAAcACAAAAAAAAAAWFuYQ",
        "limit=0",
        "limit=x",
        "cursor=x",
        "dd=11",
        "ddd=11&ddd=12",
    ] {
        assert_eq!(send("GET", &format!("/contacts?{query}"), &[], None), is(422, "validation"), "{query}");
    }
    let long_key = "k".repeat(256);
    for (name, value) in [("if-match", "x"), ("if-match", "\"x\""), ("idempotency-key", &*long_key)] {
        let headers = [json[0], (name, value)];
        assert_eq!(send("PUT", id, &headers, body), is(422, "validation"), "{name}: {value:.20}");
    }
    assert_eq!(served.published(), 0, "nothing was published");
    assert_eq!(client.get("/contacts").json()["items"], json!([]));
}

/// The names on this page and on all pages after it.
fn names_of_all_pages(client: &Client, path: &str) -> Vec<String> {
    let (mut names, mut path) = (Vec::new(), path.to_owned());
    loop {
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let page = answer.json();
        names.extend(
            page["items"].as_array().unwrap().iter().map(|contact| contact["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            assert_eq!(answer.header("link"), "");
            return names;
        };
        let link = answer.header("link").to_owned();
        assert!(link.contains(next) && link.ends_with("; rel=\"next\""), "{link}");
        path = link.trim_start_matches('<').split_once('>').unwrap().0.to_owned();
    }
}

#[test]
fn a_list_is_filtered_by_area_and_name() {
    let served = serve(&[]);
    let client = &served.client;
    let mut operations = Vec::new();
    for (name, phone) in [
        ("José da Silva", "(11) 98765-4321"),
        ("JOSE Antônio", "(27) 98765-4321"),
        ("Josefa & Cia", "(85) 98765-4321"),
        ("Bia", "(19) 98765-4321"),
        ("Ana", "(61) 98765-4321"),
    ] {
        let mut body = person(name);
        body["phone"] = json!(phone);
        operations.push(client.write("POST", "/contacts", &[], &body).text("operation_id"));
    }
    for operation in &operations {
        client.finished_operation(operation);
    }
    for (query, expected) in [
        ("q=jos%C3%A9", &["JOSE Antônio", "José da Silva", "Josefa & Cia"][..]),
        ("q=JOSE+d", &["José da Silva"]),
        ("q=josefa+%26", &["Josefa & Cia"]),
        ("q=zulmira", &[]),
        ("state=sp", &["José da Silva", "Bia"]),
        ("region=sudeste", &["José da Silva", "JOSE Antônio", "Bia"]),
        ("region=Centro-Oeste", &["Ana"]),
        ("region=sudeste&state=ES", &["JOSE Antônio"]),
        ("region=sudeste&state=CE", &[]),
        ("q=jose&region=Sudeste", &["JOSE Antônio", "José da Silva"]),
        ("q=jose&state=SP&ddd=11&region=SUDESTE", &["José da Silva"]),
        ("q=jose&ddd=19", &[]),
    ] {
        for limit in [1, 2, 50] {
            let path = format!("/contacts?{query}&limit={limit}");
            assert_eq!(names_of_all_pages(client, &path), expected, "{path}");
        }
    }
}

#[test]
fn a_list_is_read_page_by_page() {
    let served = serve(&[]);
    let client = &served.client;
    let mut operations = Vec::new();
    for number in 0..25 {
        let mut body = person(&format!("Ana {number}"));
        body["phone"] = json!(if number % 5 == 0 { "(85) 3456-7890" } else { "(11) 98765-4321" });
        operations.push(client.write("POST", "/contacts", &[], &body).text("operation_id"));
    }
    for operation in &operations {
        client.finished_operation(operation);
    }
    let names = names_of_all_pages(client, "/contacts?ddd=11&limit=7");
    // Requests without an `Idempotency-Key` get ids that grow with time.
    let expected: Vec<String> =
        (0..25).filter(|number| number % 5 != 0).map(|number| format!("Ana {number}")).collect();
    assert_eq!(names, expected);
    assert_eq!(client.get("/contacts?limit=100000").json()["items"].as_array().unwrap().len(), 25);
}

#[test]
fn an_idempotency_key_makes_a_request_repeatable() {
    let served = serve(&[]);
    let client = &served.client;
    let send = |key: &str, name: &str| client.write("POST", "/contacts", &[("idempotency-key", key)], &person(name));
    let (first, second) = (send("a-key", "Ana"), send("a-key", "Ana"));
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(first.body, second.body);
    assert_eq!(client.finished_operation(&first.text("operation_id"))["status"], "applied");
    assert_eq!(send("a-key", "Ana").body, first.body);
    let misused = send("a-key", "Bia");
    assert_eq!((misused.status, misused.text("type")), (422, "/problems/idempotency-key-reused".into()));
    assert_ne!(send("b-key", "Ana").text("contact_id"), first.text("contact_id"));
    let found = client.get("/contacts").json()["items"].as_array().unwrap().len();
    assert!(found <= 2, "{found}");
}

#[test]
fn keys_are_required_and_identify_callers() {
    let served = serve(&[("CONTACTS__HTTP__API_KEYS", "first-key,second-key")]);
    let client = &served.client;
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Basic first-key")],
        &[("authorization", "first-key")],
        &[("x-api-key", "")],
        &[("x-api-key", "first-key,second-key")],
        &[("x-api-key", "wrong"), ("authorization", "Bearer first-key")],
    ] {
        for (method, path) in [("GET", "/contacts"), ("POST", "/contacts"), ("GET", "/nowhere")] {
            let answer = client.send(method, path, headers, None).unwrap();
            assert_eq!(answer.status, 401, "{headers:?}");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{headers:?}");
            assert_eq!(answer.text("type"), "/problems/unauthorized");
        }
    }
    let create = |header: (&str, &str)| {
        client.write("POST", "/contacts", &[header, ("idempotency-key", "same")], &person("Ana")).text("contact_id")
    };
    let first = create(("authorization", "Bearer first-key"));
    assert_eq!(create(("x-api-key", "first-key")), first);
    assert_ne!(create(("x-api-key", "second-key")), first, "an Idempotency-Key belongs to one caller");
}

#[test]
fn an_operation_with_a_foreign_id_is_not_found() {
    let served = serve(&[]);
    let unknown = |id: &str| served.client.get(&format!("/operations/{id}"));
    assert_eq!(unknown("00000000-0000-4000-8000-000000000000").status, 404);
    assert_eq!(unknown("01890000-0000-7000-8000-000000000001").status, 404);
    // The check is short, so another id may pass it.
    let passed = (0..100).filter(|_| unknown(&Uuid::now_v7().to_string()).status != 404);
    assert!(passed.count() < 5);
}

#[test]
fn a_slow_body_is_answered_408() {
    let mut served = serve(&[("CONTACTS__HTTP__READ_TIMEOUT", "300ms")]);
    let address = served.process.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
    let mut socket = TcpStream::connect(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = "POST /contacts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"name\":";
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 256];
    let length = socket.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(served.published(), 0);
}

#[test]
fn problems_keep_their_form() {
    let served = serve(&[]);
    let client = &served.client;
    let json = [("content-type", "application/json")];
    let show = |method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>| {
        let answer = client.send(method, path, headers, body).unwrap();
        format!("{method} {path}\n{}\n", serde_json::to_string_pretty(&answer.json()).unwrap())
    };
    let shown = [
        show("POST", "/contacts", &json, Some(br#"{"name":"","phone":"0800 123 4567","age":3}"#)),
        show("POST", "/contacts", &json, Some(b"{")),
        show("POST", "/contacts", &[("content-type", "text/csv")], Some(b"")),
        show("POST", "/contacts", &json, Some(&[b' '; 20_000])),
        show("GET", "/contacts?ddd=10&limit=0&state=XX&region=Leste&q=&page=2", &[], None),
        show("GET", "/contacts/x", &[], None),
        show("GET", "/nowhere", &[], None),
        show("PATCH", "/contacts", &[], None),
    ];
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_request_that_waits_is_answered_with_its_result() {
    let served = serve(&[]);
    let client = &served.client;
    let waiting = [("prefer", "wait=30")];
    let created = client.write("POST", "/contacts", &waiting, &person("Ana Souza"));
    assert_eq!((created.status, created.header("preference-applied")), (201, "wait=30"), "{created:?}");
    let (id, version) = (created.text("id"), created.text("version"));
    let path = format!("/contacts/{id}");
    assert_eq!(
        (created.header("location"), created.header("etag")),
        (path.as_str(), format!("\"{version}\"").as_str())
    );
    assert_eq!(created.json(), client.get(&path).json());

    let changed = client.write("PUT", &path, &[("prefer", "respond-async, wait=30")], &person("Ana Lima"));
    assert_eq!((changed.status, changed.header("preference-applied")), (200, "respond-async, wait=30"));
    assert_eq!((changed.text("name"), changed.text("id")), ("Ana Lima".into(), id));
    assert_ne!(changed.header("etag"), created.header("etag"));

    let removed = client.send("DELETE", &path, &waiting, None).unwrap();
    assert_eq!((removed.status, removed.body.as_str()), (204, ""));
    // A second delete has nothing to do.
    assert_eq!(client.send("DELETE", &path, &waiting, None).unwrap().status, 204);
    let late = client.write("PUT", &path, &waiting, &person("Late"));
    assert_eq!(
        (late.status, late.text("type"), late.text("reason")),
        (410, "/problems/contact-deleted".into(), "contact_deleted".into())
    );
    assert_eq!(late.header("preference-applied"), "wait=30");
}

#[test]
fn a_retry_with_the_same_key_waits_for_the_same_operation() {
    let served = serve(&[]);
    let keyed = [("idempotency-key", "waits"), ("prefer", "wait=30")];
    let once = served.client.write("POST", "/contacts", &keyed, &person("Ana"));
    let again = served.client.write("POST", "/contacts", &keyed, &person("Ana"));
    assert_eq!((once.status, again.status), (201, 201));
    assert_eq!(once.json(), again.json());
    let other = served.client.write("POST", "/contacts", &keyed, &person("Bia"));
    assert_eq!((other.status, other.text("type")), (422, "/problems/idempotency-key-reused".into()));
}

#[test]
fn a_key_of_a_pending_request_is_not_accepted_for_a_different_request() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    let client = producer.client();
    let key = [("idempotency-key", "one"), ("prefer", "wait=60")];
    let first = client.write("POST", "/contacts", &key[..1], &person("Ana"));
    assert_eq!(first.status, 202);
    let path = format!("/contacts/{}", first.text("contact_id"));
    let other = std::thread::spawn({
        let client = client.clone();
        move || client.send("DELETE", &path, &key, None).unwrap()
    });
    let mut consumer = stack.start("consumer");
    consumer.wait_until_ready();
    let other = other.join().unwrap();
    // Only one of the two takes effect, and the other request must not report success.
    let contact = client.get(&format!("/contacts/{}", first.text("contact_id")));
    match other.status {
        422 => assert_eq!((other.text("type"), contact.status), ("/problems/idempotency-key-reused".into(), 200)),
        404 => assert_eq!(contact.status, 404),
        _ => panic!("{other:?}"),
    }
}

#[test]
fn a_waiting_request_is_answered_in_time_and_uses_no_thread() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    let client = producer.client();
    // No consumer runs, so nothing is applied.
    let short = client.write("POST", "/contacts", &[("prefer", "wait=1")], &person("Ana"));
    assert_eq!((short.status, short.header("preference-applied")), (202, "wait=1"));
    assert_eq!(short.header("location"), format!("/operations/{}", short.text("operation_id")));

    // More requests wait than there are threads or SQL connections. Other requests are still served.
    let waiters: Vec<_> = (0..200)
        .map(|number| {
            let client = client.clone();
            std::thread::spawn(move || {
                client.write("POST", "/contacts", &[("prefer", "wait=60")], &person(&format!("Waiter {number}")))
            })
        })
        .collect();
    let admin = producer.admin();
    let metric = |name: &str| {
        let metrics = admin.get("/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    eventually("all wait", || (metric("contacts_http_requests_in_flight") >= 200.0).then_some(()));
    assert!(metric("process_threads") < 100.0, "{}", metric("process_threads"));
    assert_eq!(client.get("/contacts").status, 200);
    let mut consumer = stack.start("consumer");
    consumer.wait_until_ready();
    let statuses: Vec<u16> = waiters.into_iter().map(|waiter| waiter.join().unwrap().status).collect();
    // All finish at once. On a slow machine, a contact cannot be read in half a second; then the answer is 202.
    assert!(statuses.iter().all(|status| matches!(status, 201 | 202)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 201).count() > 100, "{statuses:?}");

    // A waiting request does not delay the shutdown.
    consumer.terminate();
    let waiter = {
        let client = client.clone();
        std::thread::spawn(move || client.write("POST", "/contacts", &[("prefer", "wait=60")], &person("Last")))
    };
    eventually("it waits", || (metric("contacts_http_requests_in_flight") >= 1.0).then_some(()));
    producer.terminate();
    assert_eq!(waiter.join().unwrap().status, 202);
}

#[test]
fn lists_are_filtered_narrowed_and_paged() {
    let served = serve(&[]);
    let client = &served.client;
    for number in 0..7 {
        let mut body = person(&format!("Ana {number}"));
        body["email"] = json!(if number == 3 { "three@example.com" } else { "shared@example.com" });
        body["phone"] = json!(if number < 5 { "(11) 98765-4321" } else { "(85) 98765-4321" });
        assert_eq!(client.write("POST", "/contacts", &[("prefer", "wait=30")], &body).status, 201);
    }
    let count = |query: &str| client.get(&format!("/contacts?{query}")).json()["items"].as_array().unwrap().len();
    assert_eq!(count("email=SHARED@example.com"), 6);
    assert_eq!(count("email=three@example.com&q=ana"), 1);
    assert_eq!(count("phone=85987654321"), 2);
    assert_eq!(count("phone=%2B5511987654321&email=shared@example.com&state=SP&region=Sudeste&q=an"), 4);
    assert_eq!(count("phone=85987654321&state=SP"), 0);

    let first = client.get("/contacts?email=shared@example.com&limit=4&fields=name,phone");
    assert_eq!(first.json()["items"][0], json!({ "name": "Ana 0", "phone": "+5511987654321" }));
    let link = first.header("link").split_once('<').unwrap().1.split_once('>').unwrap().0.to_owned();
    let second = client.get(&link).json();
    assert_eq!(second["items"].as_array().unwrap().len(), 2);
    assert_eq!((&second["next"], &second["items"][1]["name"]), (&Value::Null, &json!("Ana 6")));
    // A cursor is valid only for its list, and only if it was not changed.
    let cursor = first.text("next");
    for query in [format!("limit=4&cursor={cursor}"), format!("email=shared@example.com&cursor=A{cursor}")] {
        let refused = client.get(&format!("/contacts?{query}"));
        assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!("cursor")));
    }

    let one = client.get("/contacts?fields=id,version&limit=1").json()["items"][0].clone();
    let (id, version) = (one["id"].as_str().unwrap(), one["version"].as_str().unwrap());
    let part = client.get(&format!("/contacts/{id}?fields=name"));
    assert_eq!((part.json(), part.header("etag")), (json!({ "name": "Ana 0" }), format!("\"{version}\"").as_str()));
    assert_eq!(client.get(&format!("/contacts/{id}?fields=nome")).status, 422);

    let areas = client.get("/areas");
    assert_eq!(areas.json()["items"].as_array().unwrap().len(), 67);
    assert_eq!(areas.json()["items"][0], json!({ "ddd": 11, "state": "SP", "region": "Sudeste" }));
    let known = client.send("GET", "/areas", &[("if-none-match", areas.header("etag"))], None).unwrap();
    assert_eq!((known.status, known.body.as_str()), (304, ""));
}
