//! Tests import and export of many contacts by HTTP, against a real process.

use crate::support::{Client, MAX_WAIT, Stack, eventually, json, start_standalone};
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

/// Waits until there are `count` contacts. Returns each as (name, phone, email).
fn all_contacts(client: &Client, count: usize) -> BTreeSet<(String, String, String)> {
    eventually("all contacts are created", || {
        let body = client.get("/contacts/export").body;
        (body.lines().count() == count).then(|| {
            let text = |contact: &Value, field: &str| contact[field].as_str().unwrap_or_default().to_owned();
            let contacts = body.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            contacts.map(|one| (text(&one, "name"), text(&one, "phone"), text(&one, "email"))).collect()
        })
    })
}

#[test]
fn each_record_has_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[]);
    let client = process.client();
    let csv = "Nome;Telefone;E-mail;Obs\n\
               Ana Souza;(11) 98765-4321;ana@example.com;\"two\nlines\"\n\
               Bia;123;bia;\n\
               \n\
               \"Souza; Caio\";85 3456-7890;caio@example.com;x\n";
    // A dry run creates nothing.
    let checked = import(&client, "?dry_run=true", "text/csv; charset=utf-8", csv, &[]);
    let states = |lines: &[Value]| -> Vec<(u64, String)> {
        let lines = lines.iter().filter(|line| line["line"].is_u64());
        lines.map(|line| (line["line"].as_u64().unwrap(), line["status"].as_str().unwrap().to_owned())).collect()
    };
    let expected = |valid: &str| vec![(2, valid.to_owned()), (4, "invalid".to_owned()), (6, valid.to_owned())];
    assert_eq!(states(&checked), expected("valid"));
    let ana = json!({ "name": "Ana Souza", "phone": "+5511987654321", "email": "ana@example.com" });
    assert_eq!(checked[0]["contact"], ana);
    assert_eq!(
        summary(&checked),
        json!({ "records": 3, "accepted": 0, "valid": 2, "invalid": 1, "not_accepted": 0, "complete": true,
            "encoding": "UTF-8", "delimiter": "semicolon" })
    );
    for charset in ["macintosh", "iso-8859-2", "klingon", "\"\""] {
        let headers = [("content-type", &*format!("text/csv; charset={charset}"))];
        let answer = client.send("POST", "/contacts/import", &headers, Some(csv.as_bytes())).unwrap();
        assert_eq!(
            (answer.status, answer.text("type").as_str()),
            (415, "/problems/unsupported-media-type"),
            "{charset}"
        );
    }
    for charset in ["iso-8859-1", "UTF-8", "windows-1252", "utf-16le"] {
        import(&client, "?dry_run=true", &format!("text/csv; charset={charset}"), csv, &[]);
    }
    let latin = [("content-type", "application/x-ndjson; charset=iso-8859-1")];
    assert_eq!(client.send("POST", "/contacts/import", &latin, Some(b"{}")).unwrap().status, 415);
    let errors = &checked[1]["errors"];
    assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!("phone"), &json!("malformed")));
    assert_eq!((&errors[1]["field"], &errors[1]["code"]), (&json!("email"), &json!("malformed")));
    assert_eq!(client.get("/contacts").json()["items"], json!([]));

    let keyed = [("idempotency-key", "first-import")];
    let results = import(&client, "", "text/csv", csv, &keyed);
    assert_eq!(states(&results), expected("accepted"));
    let names: Vec<String> = all_contacts(&client, 2).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["Ana Souza", "Souza; Caio"]);
    let contact = client.get(&format!("/contacts/{}", results[0]["contact_id"].as_str().unwrap())).json();
    assert_eq!((&contact["name"], &contact["version"]), (&json!("Ana Souza"), &results[0]["operation_id"]));

    // A repeated import has the same results. An edited file with the same key creates only what changed.
    assert_eq!(import(&client, "", "text/csv", csv, &keyed), results);
    let edited = csv
        .replace("Bia;123;bia;", "Bia;(21) 91234-5678;bia@example.com;")
        .replace("Obs\n", "Obs\nAna;11987654321;;\n");
    let other = import(&client, "", "text/csv", &edited, &keyed);
    assert_eq!(states(&other), [2, 3, 5, 7].map(|line| (line, "accepted".to_owned())));
    assert_eq!(
        (&other[1]["contact_id"], &other[3]["contact_id"]),
        (&results[0]["contact_id"], &results[2]["contact_id"])
    );
    assert_eq!(all_contacts(&client, 4).len(), 4);
    // Without a key, but skipping what exists: the same name and number, whatever the case, the accents and the address.
    let again = edited.replace("Ana Souza", "ANA SOUZÁ").replace("caio@example.com", "").replace("Ana;119", "Eva;119");
    let skipped = import(&client, "?skip_existing=true", "text/csv", &again, &[]);
    let statuses: Vec<(u64, String)> =
        [(2, "accepted"), (3, "skipped"), (5, "skipped"), (7, "skipped")].map(|(l, s)| (l, s.to_owned())).into();
    assert_eq!(states(&skipped), statuses);
    assert_eq!(skipped[1]["contact_id"], results[0]["contact_id"]);
    assert_eq!((&summary(&skipped)["skipped"], &summary(&skipped)["accepted"]), (&json!(3), &json!(1)));
    assert_eq!(all_contacts(&client, 5).len(), 5);

    // The duplicates, by number and by address.
    let duplicates = client.get("/contacts/duplicates").json();
    let group = &duplicates["items"][0];
    assert_eq!(
        (&group["value"], &group["count"], &duplicates["next"]),
        (&json!("+5511987654321"), &json!(3), &json!(null))
    );
    assert_eq!(group["contacts"].as_array().unwrap().len(), 3);
    assert_eq!(client.get("/contacts/duplicates?by=email").json()["items"], json!([]));
    for query in ["by=name", "x=1", "cursor=abc", "limit=0"] {
        assert_eq!(client.get(&format!("/contacts/duplicates?{query}")).status, 422, "{query}");
    }

    // If the reader stops, the summary has the line.
    let unclosed = import(&client, "?dry_run=true", "text/csv", &format!("{csv}\"Open;1;x\n"), &[]);
    assert_eq!((&summary(&unclosed)["complete"], &summary(&unclosed)["line"]), (&json!(false), &json!(7)));
    // A body without a usable header is rejected as a whole.
    for (body, language, detail) in [
        ("a,b\n1,2\n", "en", "The header line has no column for: name, phone."),
        ("", "en", "There is no header line"),
        ("nome,e-mail\n", "pt", "A linha de cabeçalho não tem coluna para: phone."),
    ] {
        let headers = [("content-type", "text/csv"), ("accept-language", language)];
        let answer = client.send("POST", "/contacts/import", &headers, Some(body.as_bytes())).unwrap();
        assert_eq!((answer.status, answer.text("type")), (422, "/problems/validation".into()));
        assert!(answer.text("detail").starts_with(detail), "{answer:?}");
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
fn an_export_creates_the_same_contacts_in_another_service() {
    let (first_folder, other_folders) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut process = start_standalone(first_folder.path(), &[]);
    let client = process.client();
    let names =
        ["José \"Zé\" d'Ávila", "=Ana, Bia; Caio", "\\n\\,;", "Łukasz 🌻", "a".repeat(100).as_str()].map(str::to_owned);
    for name in &names {
        let contact = json!({ "name": name, "phone": "(85) 98765-4321", "email": "Someone+x@example.com" });
        assert_eq!(client.write("POST", "/contacts", &[("prefer", "wait=30")], &contact).status, 201);
    }
    let all = all_contacts(&client, names.len());
    for (format, media_type, name) in [
        ("ndjson", "application/x-ndjson", "contacts.ndjson"),
        ("csv", "text/csv; charset=utf-8; header=present", "contacts.csv"),
        ("vcard", "text/vcard; charset=utf-8; version=4.0", "contacts.vcf"),
        ("vcard3", "text/vcard; charset=utf-8; version=3.0", "contacts.vcf"),
    ] {
        let exported = client.get(&format!("/contacts/export?format={format}&state=CE"));
        assert_eq!((exported.status, exported.header("content-type")), (200, media_type));
        assert_eq!(exported.header("content-disposition"), format!("attachment; filename=\"{name}\""));
        let folder = other_folders.path().join(format);
        let mut second = start_standalone(&folder, &[]);
        let other = second.client();
        let lines = import(&other, "", media_type, &exported.body, &[]);
        assert_eq!(summary(&lines)["accepted"], json!(names.len()), "{format}: {lines:?}\n{}", exported.body);
        assert_eq!(all_contacts(&other, names.len()), all, "{format}");
    }
    let accept = |accept: &str| client.send("GET", "/contacts/export", &[("accept", accept)], None).unwrap();
    assert!(accept("text/html, text/csv;q=0.5").header("content-type").starts_with("text/csv"));
    assert!(accept("text/vcard;version=3.0").header("content-type").contains("version=3.0"));
    assert!(accept("*/*").header("content-type").starts_with("application/x-ndjson"));
    assert_eq!(accept("text/html").status, 406);
    let csv = client.get("/contacts/export?format=csv&q=nobody").body;
    assert_eq!(csv.trim_end(), "id,name,phone,ddd,state,region,email,version,created_at,updated_at");
}

/// A CSV with this many contacts. Every hundredth phone number is invalid.
fn csv_of(count: usize) -> String {
    let mut csv = "name,phone,email\r\n".to_owned();
    for number in 0..count {
        let phone = if number % 100 == 99 { "1".to_owned() } else { format!("119{number:08}") };
        write!(csv, "Person {number},{phone},person{number}@example.com\r\n").unwrap();
    }
    csv
}

#[test]
fn a_hundred_thousand_records_have_exact_results_in_bounded_memory() {
    const COUNT: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let mut process = start_standalone(folder.path(), &[]);
    let client = process.client();
    let address = client.address().to_owned();
    let body = csv_of(COUNT);
    // Another thread writes, so that this thread can read results as they arrive.
    let mut socket = TcpStream::connect(&address).unwrap();
    socket.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let mut write_half = socket.try_clone().unwrap();
    let head = format!(
        "POST /contacts/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: {}\r\nConnection: close\r\n\
         Idempotency-Key: large\r\n\r\n",
        body.len()
    );
    let writer = std::thread::spawn(move || {
        write_half.write_all(head.as_bytes()).unwrap();
        write_half.write_all(body.as_bytes()).unwrap();
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
            "complete": true, "encoding": "UTF-8", "delimiter": "comma" })
    );
    let peak = process.peak_rss_mib();
    println!("peak memory {peak} MiB");
    assert!(peak < 200.0, "{peak} MiB");
    assert_eq!(all_contacts(&client, COUNT - invalid).len(), COUNT - invalid);
    process.terminate();
}

#[test]
fn an_import_is_answered_while_it_arrives_and_ends_if_it_stalls() {
    let stack = Stack::new();
    let mut producer = stack.start("producer");
    producer.wait_until_ready();
    let client = producer.client();
    let mut socket = TcpStream::connect(client.address()).unwrap();
    let first = "{\"name\":\"Ana\",\"phone\":\"11987654321\",\"email\":\"ana@example.com\"}\n";
    let head = "POST /contacts/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
                Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    write!(socket, "{head}{:x}\r\n{first}\r\n", first.len()).unwrap();
    socket.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let mut received = String::new();
    let mut buffer = [0; 4096];
    // The first record is answered before the rest arrives. The rest never arrives, so the answer ends.
    for expected in ["\"accepted\"", "\"summary\""] {
        while !received.contains(expected) {
            let count = socket.read(&mut buffer).unwrap();
            assert!(count > 0, "{received}");
            received.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
    assert!(
        received.contains("\"complete\":false") && received.contains("next part of the body did not arrive in time"),
        "{received}"
    );
    drop(socket);
    producer.terminate();
}

/// More records than fit into all buffers between the service and a client.
const RECORDS: usize = 60_000;

/// Imports [`RECORDS`] records. Returns how many contacts that creates.
fn import_records(client: &Client) -> usize {
    for part in 0..6 {
        let body: String = csv_of(RECORDS / 6).replace("@example", &format!("{part}@example"));
        import(client, "", "text/csv", &body, &[]);
    }
    let count = RECORDS - RECORDS / 100;
    all_contacts(client, count);
    count
}

/// A client that requests an export and reads it only at the end.
struct StalledReader(TcpStream);

impl StalledReader {
    fn connect(client: &Client) -> Self {
        let mut socket = TcpStream::connect(client.address()).unwrap();
        socket.set_read_timeout(Some(MAX_WAIT)).unwrap();
        socket.write_all(b"GET /contacts/export HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        Self(socket)
    }

    /// Checks that the answer is visibly incomplete.
    fn expect_incomplete_answer(mut self) {
        let mut answer = Vec::new();
        let _error = self.0.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 200"), "{text:.100}");
        assert!(!text.ends_with("0\r\n\r\n"), "the answer looks complete");
        assert!(text.lines().filter(|line| line.starts_with("{\"id\"")).count() < RECORDS);
    }
}

#[test]
fn an_export_to_a_stalled_reader_is_aborted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("CONTACTS__HTTP__WRITE_TIMEOUT", "60s"), ("CONTACTS__SHUTDOWN__GRACE", "10s")];
    let mut process = start_standalone(folder.path(), &settings);
    let client = process.client();
    let count = import_records(&client);
    let stalled = StalledReader::connect(&client);
    eventually("the service gives up and logs it", || {
        (!process.log_lines("an export was aborted: the client stopped reading").is_empty()).then_some(())
    });
    // The next export is complete.
    all_contacts(&client, count);
    // The shutdown does not wait for a reader that stalls later.
    let mut started = StalledReader::connect(&client);
    started.0.read_exact(&mut [0; 8]).unwrap();
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.log());
    assert_eq!(process.log_lines("an export was aborted by the shutdown").len(), 1);
    stalled.expect_incomplete_answer();
}

#[test]
fn an_import_ends_if_the_queue_accepts_nothing() {
    let stack = Stack::new();
    let settings = [("CONTACTS__BROKER__URL", "amqp://127.0.0.1:1/%2f"), ("CONTACTS__HTTP__ACCEPT_TIMEOUT", "200ms")];
    let mut producer = stack.start_with("producer", &settings);
    let client = producer.client();
    let answer = import(&client, "", "text/csv", &csv_of(10_000), &[]);
    let summary = summary(&answer);
    assert_eq!((&summary["complete"], &summary["accepted"]), (&json!(false), &json!(0)));
    assert!(summary["detail"].as_str().unwrap().contains("accepts no changes"), "{summary}");
    // The import ends after 256 records that were not accepted. Invalid records between them do not count.
    assert!((256..=512).contains(&summary["records"].as_u64().unwrap()), "{summary}");
    // A short import is answered completely.
    let few = import(&client, "", "text/csv", &csv_of(10), &[]);
    assert_eq!(few.last().unwrap()["summary"]["complete"], json!(true));
    producer.terminate();
}

#[test]
fn a_client_that_does_not_read_results_does_not_block_others() {
    let folder = tempfile::tempdir().unwrap();
    // On a busy machine the service may see the request of the other client late. That is not what this test is about.
    let timeouts = [("CONTACTS__HTTP__WRITE_TIMEOUT", "10m"), ("CONTACTS__HTTP__READ_TIMEOUT", "20s")];
    let mut process = start_standalone(folder.path(), &timeouts);
    let client = process.client();
    // Short records with long results: much more than the buffers between service and client hold.
    let body = format!("name,phone,email\n{}", ",1,y\n".repeat(4_000_000));
    let head = format!(
        "POST /contacts/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let stalled: Vec<TcpStream> = (0..6)
        .map(|_| {
            let mut socket = TcpStream::connect(client.address()).unwrap();
            socket.write_all(head.as_bytes()).unwrap();
            socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            // The client does not read results, so the service stops reading the body.
            assert!(socket.write_all(body.as_bytes()).is_err());
            socket
        })
        .collect();
    let results = import(&client, "", "text/csv", &csv_of(1_000), &[]);
    assert_eq!(summary(&results)["accepted"], json!(990));
    drop(stalled);
}
