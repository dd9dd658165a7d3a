//! Many contacts in one request, and all of them in one answer, against a real process.

use crate::support::{Client, PATIENCE, Stack, eventually, json, standalone};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn import(client: &Client, query: &str, media_type: &str, body: &str, headers: &[(&str, &str)]) -> Vec<Value> {
    let mut all = vec![("content-type", media_type)];
    all.extend_from_slice(headers);
    let answer = client.send("POST", &format!("/contacts/import{query}"), &all, Some(body.as_bytes())).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{answer:?}");
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn summary(lines: &[Value]) -> Value {
    lines.last().unwrap()["summary"].clone()
}

/// All contacts as (name, phone, email), once there are as many.
fn everyone(client: &Client, count: usize) -> BTreeSet<(String, String, String)> {
    eventually("all are applied", || {
        let body = client.get("/contacts/export").body;
        (body.lines().count() == count).then(|| {
            let text = |contact: &Value, field: &str| contact[field].as_str().unwrap().to_owned();
            let contacts = body.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            contacts.map(|one| (text(&one, "name"), text(&one, "phone"), text(&one, "email"))).collect()
        })
    })
}

#[test]
fn each_line_has_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    let client = process.client();
    let csv = "Nome;Telefone;E-mail;Obs\n\
               Ana Souza;(11) 98765-4321;ana@example.com;\"two\nlines\"\n\
               Bia;123;bia;\n\
               \n\
               \"Souza; Caio\";85 3456-7890;caio@example.com;x\n";
    // The check first: nothing happens.
    let checked = import(&client, "?dry_run=true", "text/csv; charset=utf-8", csv, &[]);
    let states = |lines: &[Value]| -> Vec<(u64, String)> {
        let lines = lines.iter().filter(|line| line["line"].is_u64());
        lines.map(|line| (line["line"].as_u64().unwrap(), line["status"].as_str().unwrap().to_owned())).collect()
    };
    let expected = |good: &str| vec![(2, good.to_owned()), (4, "invalid".to_owned()), (6, good.to_owned())];
    assert_eq!(states(&checked), expected("valid"));
    assert_eq!(
        summary(&checked),
        json!({ "records": 3, "accepted": 0, "valid": 2, "invalid": 1, "not_accepted": 0, "complete": true })
    );
    let wrong = &checked[1]["errors"];
    assert_eq!((&wrong[0]["field"], &wrong[0]["code"]), (&json!("phone"), &json!("malformed")));
    assert_eq!((&wrong[1]["field"], &wrong[1]["code"]), (&json!("email"), &json!("malformed")));
    assert_eq!(client.get("/contacts").json()["items"], json!([]));

    let keyed = [("idempotency-key", "first-import")];
    let done = import(&client, "", "text/csv", csv, &keyed);
    assert_eq!(states(&done), expected("accepted"));
    let names: Vec<String> = everyone(&client, 2).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["Ana Souza", "Souza; Caio"]);
    let contact = client.get(&format!("/contacts/{}", done[0]["contact_id"].as_str().unwrap())).json();
    assert_eq!((&contact["name"], &contact["version"]), (&json!("Ana Souza"), &done[0]["operation_id"]));

    // The same again is the same; another contact in a line of the same key is refused.
    assert_eq!(import(&client, "", "text/csv", csv, &keyed), done);
    let other = import(&client, "", "text/csv", &csv.replace("Ana Souza", "Ana Lima"), &keyed);
    assert_eq!((&other[0]["status"], &other[0]["errors"][0]["code"]), (&json!("invalid"), &json!("key_reused")));
    assert_eq!(everyone(&client, 2).len(), 2);

    // What cannot be read to its end says so, and where.
    let cut = import(&client, "?dry_run=true", "text/csv", &format!("{csv}\"Open;1;x\n"), &[]);
    assert_eq!((&summary(&cut)["complete"], &summary(&cut)["line"]), (&json!(false), &json!(7)));
    // What cannot be read at all is refused as a whole.
    for (body, language, detail) in [
        ("a,b\n1,2\n", "en", "The header line has no column for: name, phone, email."),
        ("", "en", "There is no header line"),
        ("nome,fone\n", "pt", "A linha de cabeçalho não tem coluna para: email."),
    ] {
        let headers = [("content-type", "text/csv"), ("accept-language", language)];
        let refused = client.send("POST", "/contacts/import", &headers, Some(body.as_bytes())).unwrap();
        assert_eq!((refused.status, refused.text("type")), (422, "/problems/validation".into()));
        assert!(refused.text("detail").starts_with(detail), "{refused:?}");
    }
    let mapped = import(
        &client,
        "?dry_run=true&name_column=a&phone_column=b&email_column=c",
        "text/csv",
        "c,b,a\nana@example.com,11987654321,Ana\n",
        &[],
    );
    assert_eq!(states(&mapped), [(2, "valid".to_owned())]);
    for (query, media_type, status) in
        [("", "application/json", 415), ("?dry_run=yes", "text/csv", 422), ("?x=1", "text/csv", 422)]
    {
        let headers = [("content-type", media_type)];
        let answer = client.send("POST", &format!("/contacts/import{query}"), &headers, Some(b"")).unwrap();
        assert_eq!(answer.status, status, "{query} {media_type}");
    }
}

#[test]
fn what_was_exported_makes_the_same_contacts_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut process = standalone(here.path(), &[]);
    let client = process.client();
    let names =
        ["José \"Zé\" d'Ávila", "=Ana, Bia; Caio", "\\n\\,;", "Łukasz 🌻", "a".repeat(100).as_str()].map(str::to_owned);
    for name in &names {
        let person = json!({ "name": name, "phone": "(85) 98765-4321", "email": "Someone+x@example.com" });
        assert_eq!(client.write("POST", "/contacts", &[("prefer", "wait=30")], &person).status, 201);
    }
    let all = everyone(&client, names.len());
    for (format, media_type, name) in [
        ("ndjson", "application/x-ndjson", "contacts.ndjson"),
        ("csv", "text/csv; charset=utf-8; header=present", "contacts.csv"),
        ("vcard", "text/vcard; charset=utf-8; version=4.0", "contacts.vcf"),
        ("vcard3", "text/vcard; charset=utf-8; version=3.0", "contacts.vcf"),
    ] {
        let exported = client.get(&format!("/contacts/export?format={format}&state=CE"));
        assert_eq!((exported.status, exported.header("content-type")), (200, media_type));
        assert_eq!(exported.header("content-disposition"), format!("attachment; filename=\"{name}\""));
        let folder = there.path().join(format);
        let mut second = standalone(&folder, &[]);
        let other = second.client();
        let lines = import(&other, "", media_type, &exported.body, &[]);
        assert_eq!(summary(&lines)["accepted"], json!(names.len()), "{format}: {lines:?}\n{}", exported.body);
        assert_eq!(everyone(&other, names.len()), all, "{format}");
    }
    let accept = |accept: &str| client.send("GET", "/contacts/export", &[("accept", accept)], None).unwrap();
    assert!(accept("text/html, text/csv;q=0.5").header("content-type").starts_with("text/csv"));
    assert!(accept("text/vcard;version=3.0").header("content-type").contains("version=3.0"));
    assert!(accept("*/*").header("content-type").starts_with("application/x-ndjson"));
    assert_eq!(accept("text/html").status, 406);
    let csv = client.get("/contacts/export?format=csv&q=nobody").body;
    assert_eq!(csv.trim_end(), "id,name,phone,ddd,state,region,email,version,created_at,updated_at");
}

fn lines(count: usize) -> String {
    let mut csv = "name,phone,email\r\n".to_owned();
    for number in 0..count {
        // Each hundredth is wrong.
        let phone = if number % 100 == 99 { "1".to_owned() } else { format!("119{number:08}") };
        write!(csv, "Person {number},{phone},person{number}@example.com\r\n").unwrap();
    }
    csv
}

#[test]
fn a_hundred_thousand_lines_have_exact_results_in_bounded_memory() {
    const COUNT: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[]);
    let client = process.client();
    let address = client.address().to_owned();
    let body = lines(COUNT);
    // Read beside writing, as the results arrive.
    let mut socket = TcpStream::connect(&address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writing = socket.try_clone().unwrap();
    let head = format!(
        "POST /contacts/import HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {}\r\nConnection: close\r\n\
         Idempotency-Key: large\r\n\r\n",
        body.len()
    );
    let writer = std::thread::spawn(move || {
        writing.write_all(head.as_bytes()).unwrap();
        writing.write_all(body.as_bytes()).unwrap();
    });
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    writer.join().unwrap();
    let text = String::from_utf8(answer).unwrap();
    let results: Vec<Value> =
        text.lines().filter(|line| line.starts_with('{')).filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut next = 2;
    for result in results.iter().filter(|result| result["line"].is_u64()) {
        assert_eq!(result["line"], json!(next));
        assert_eq!(result["status"], json!(if (next - 2) % 100 == 99 { "invalid" } else { "accepted" }), "{result}");
        next += 1;
    }
    assert_eq!(next, COUNT as u64 + 2);
    let invalid = COUNT / 100;
    assert_eq!(
        summary(&results),
        json!({ "records": COUNT, "accepted": COUNT - invalid, "valid": 0, "invalid": invalid, "not_accepted": 0,
            "complete": true })
    );
    let peak = process.peak_rss_mib();
    println!("peak {peak} MiB");
    assert!(peak < 200.0, "{peak} MiB");
    assert_eq!(everyone(&client, COUNT - invalid).len(), COUNT - invalid);
    process.terminate();
}

#[test]
fn an_import_is_answered_while_it_arrives_and_ends_when_it_stalls() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.ready();
    let client = producer.client();
    let mut socket = TcpStream::connect(client.address()).unwrap();
    let first = "{\"name\":\"Ana\",\"phone\":\"11987654321\",\"email\":\"ana@example.com\"}\n";
    let head = "POST /contacts/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    write!(socket, "{head}{:x}\r\n{first}\r\n", first.len()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    // The first line is answered while the rest is still to come; that it never comes ends the answer.
    for awaited in ["\"accepted\"", "\"summary\""] {
        while !seen.contains(awaited) {
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "{seen}");
            seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
    assert!(seen.contains("\"complete\":false") && seen.contains("did not go on in time"), "{seen}");
    drop(socket);
    producer.terminate();
}

/// More contacts than fit into all buffers between the service and who reads an export.
const MANY: usize = 60_000;

/// Those that are there once the many are imported.
fn fill(client: &Client) -> usize {
    for part in 0..6 {
        let body: String = lines(MANY / 6).replace("@example", &format!("{part}@example"));
        import(client, "", "text/csv", &body, &[]);
    }
    let count = MANY - MANY / 100;
    everyone(client, count);
    count
}

/// Someone who asks for an export and reads only when it is over, which must show that it is not whole.
struct Dawdler(TcpStream);

impl Dawdler {
    fn ask(client: &Client) -> Self {
        let mut socket = TcpStream::connect(client.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET /contacts/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Self(socket)
    }

    fn sees_a_part(mut self) {
        let mut answer = Vec::new();
        let _cut = self.0.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200"), "{text:.100}");
        assert!(!text.ends_with("0\r\n\r\n"), "it looks whole");
        assert!(text.lines().filter(|line| line.starts_with("{\"id\"")).count() < MANY);
    }
}

#[test]
fn an_export_that_nobody_reads_to_its_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("CONTACTS__HTTP__WRITE_TIMEOUT", "60s"), ("CONTACTS__SHUTDOWN__GRACE", "10s")];
    let mut process = standalone(folder.path(), &settings);
    let client = process.client();
    let count = fill(&client);
    let stalled = Dawdler::ask(&client);
    // Until the service has given up, which its log says.
    eventually("the service gives up", || {
        (!process.said("an export was not read to its end").is_empty()).then_some(())
    });
    // The next one is whole.
    everyone(&client, count);
    // The end of the service waits for nobody who does not read, whether that is known yet or not.
    let mut begun = Dawdler::ask(&client);
    begun.0.read_exact(&mut [0; 8]).unwrap();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.log());
    assert_eq!(process.said("an export was cut off, because the service ends").len(), 1);
    stalled.sees_a_part();
}

#[test]
fn an_import_ends_when_the_queue_takes_nothing() {
    let stack = Stack::new();
    let nowhere = [("CONTACTS__BROKER__URL", "amqp://127.0.0.1:1/%2f"), ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "200ms")];
    let mut producer = stack.start_with("producer", &nowhere);
    let client = producer.client();
    let answer = import(&client, "", "text/csv", &lines(10_000), &[]);
    let summary = summary(&answer);
    assert_eq!((&summary["complete"], &summary["accepted"]), (&json!(false), &json!(0)));
    assert!(summary["detail"].as_str().unwrap().contains("takes no changes"), "{summary}");
    // 256 in a row that were refused are enough to know; some between them are not valid.
    assert!((256..=512).contains(&summary["records"].as_u64().unwrap()), "{summary}");
    // Of a few all are answered.
    let few = import(&client, "", "text/csv", &lines(10), &[]);
    assert_eq!(few.last().unwrap()["summary"]["complete"], json!(true));
    producer.terminate();
}

#[test]
fn who_does_not_read_results_holds_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(folder.path(), &[("CONTACTS__HTTP__WRITE_TIMEOUT", "10m")]);
    let client = process.client();
    // Short lines with long results, far more than all buffers between the two hold.
    let body = format!("name,phone,email\n{}", ",1,y\n".repeat(4_000_000));
    let head = format!(
        "POST /contacts/import HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let stalled: Vec<TcpStream> = (0..6)
        .map(|_| {
            let mut socket = TcpStream::connect(client.address()).unwrap();
            socket.write_all(head.as_bytes()).unwrap();
            socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            // Its results are not read, so the service stops reading it.
            assert!(socket.write_all(body.as_bytes()).is_err());
            socket
        })
        .collect();
    let done = import(&client, "", "text/csv", &lines(1_000), &[]);
    assert_eq!(summary(&done)["accepted"], json!(990));
    drop(stalled);
}
