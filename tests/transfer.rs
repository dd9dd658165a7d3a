//! Import and export from a terminal, as processes, against a real service.
//!
//! `CONTACTS_ENDURANCE_LINES` says how many lines the large file has (`make endurance`: 100,000; else some thousands).

use crate::support::{Client, Process, eventually, standalone};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

struct Ended {
    code: Option<i32>,
    said: String,
    noted: String,
}

impl Ended {
    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.said, self.noted);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("{}{}", self.said, self.noted))
    }

    /// One line says all of this.
    #[track_caller]
    fn says(&self, parts: &[&str]) {
        let said = self.noted.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(said, "no line with {parts:?}:\n{}", self.noted);
    }
}

fn run_with(arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
    let output = Process::command(arguments, settings).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), said: text(output.stdout), noted: text(output.stderr) }
}

fn run(arguments: &[&str]) -> Ended {
    run_with(arguments, &[])
}

/// A running service with a folder of its own.
struct Service {
    process: Process,
    client: Client,
    address: String,
    url: String,
    folder: TempDir,
}

type Contact = (String, String, String);

impl Service {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = standalone(&folder.path().join("data"), settings);
        process.ready();
        let client = process.client();
        let address = process.said("listening")[0]["address"].as_str().unwrap().to_owned();
        Self { process, client, url: format!("http://{address}"), address, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Dies, and is there again with the same data at the same place.
    fn restart(&mut self) {
        self.process.kill();
        self.process = standalone(&self.folder.path().join("data"), &[("CONTACTS__HTTP__LISTEN", &self.address)]);
        self.process.ready();
    }

    fn import(&self, file: &Path, more: &[&str]) -> Ended {
        run(&[&["import", file.to_str().unwrap(), "--url", &self.url], more].concat())
    }

    fn export(&self, file: &Path, more: &[&str]) -> Ended {
        run(&[&["export", file.to_str().unwrap(), "--url", &self.url], more].concat())
    }

    fn now(&self) -> Vec<Contact> {
        let exported = self.export(Path::new("-"), &[]);
        let text = |contact: &Value, name: &str| contact[name].as_str().unwrap().to_owned();
        let mut all: Vec<Contact> = exported
            .expect(0)
            .said
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|contact| (text(&contact, "name"), text(&contact, "phone"), text(&contact, "email")))
            .filter(|(name, _, _)| name != "Marker")
            .collect();
        all.sort();
        all
    }

    /// All contacts, once everything that was accepted before is applied: the queue keeps the order.
    fn contacts(&self) -> Vec<Contact> {
        let marker = self.client.create("Marker").text("operation_id");
        eventually("the marker is applied", || {
            let operation = self.client.get(&format!("/operations/{marker}"));
            (operation.json()["status"] == "applied").then_some(())
        });
        self.now()
    }
}

fn contact(number: usize) -> Contact {
    (format!("Ana {number}"), format!("+55119{number:08}"), format!("ana{number}@example.com"))
}

fn contacts(count: usize) -> Vec<Contact> {
    let mut all: Vec<Contact> = (0..count).map(contact).collect();
    all.sort();
    all
}

/// A CSV of so many contacts, each on two lines, and the lines of those that have no phone number.
fn csv(path: &Path, count: usize, is_bad: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut text = "note,name,phone,email\n".to_owned();
    let mut bad = Vec::new();
    for number in 0..count {
        let (name, phone, email) = contact(number);
        let phone = if is_bad(number) { "none" } else { &phone };
        if phone == "none" {
            bad.push(2 + 2 * number as u64);
        }
        text += &format!("\"said \"\"yes, \n\"\" twice\",{name},{phone},{email}\r\n");
    }
    fs::write(path, text).unwrap();
    bad
}

#[test]
fn every_line_has_its_result_and_importing_again_changes_nothing() {
    let service = Service::start();
    let (file, rejects, mend) = (service.path("people.csv"), service.path("why.ndjson"), service.path("mend.csv"));
    let bad = csv(&file, 10_000, |number| number % 997 == 5 || number == 9_999);
    let expected: Vec<Contact> = contacts(10_000)
        .into_iter()
        .filter(|(name, _, _)| !bad.iter().any(|line| *name == contact(line_to_number(*line)).0))
        .collect();

    let checked = service.import(&file, &["--dry-run", "--output", "json"]);
    let report = checked.expect(3).json();
    assert_eq!((&report["valid"], &report["invalid"]), (&(10_000 - bad.len()).into(), &bad.len().into()));
    assert!(service.contacts().is_empty(), "nothing was sent on");

    let more = ["--rejects", rejects.to_str().unwrap(), "--mend", mend.to_str().unwrap(), "--output", "json"];
    let report = service.import(&file, &more).expect(3).json();
    assert_eq!((&report["records"], &report["accepted"]), (&10_000.into(), &(10_000 - bad.len()).into()));
    assert_eq!((&report["not_accepted"], &report["complete"]), (&0.into(), &true.into()));
    let written: Vec<Value> =
        fs::read_to_string(&rejects).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written.iter().map(|reject| reject["line"].as_u64().unwrap()).collect::<Vec<_>>(), bad);
    assert!(written.iter().all(|reject| reject["errors"][0]["field"] == "phone"), "{written:#?}");
    assert_eq!(service.contacts(), expected);

    for more in [&[][..], &["--from-line", "9000"]] {
        let again = service.import(&file, more);
        again.expect(3).says(&[&format!("line {}:", bad.last().unwrap()), "phone"]);
        assert_eq!(service.contacts(), expected, "{more:?}");
    }
    service.import(&file, &more).expect(1).says(&["exists already"]);

    // What was wrong, mended where it was put.
    let mut text = fs::read_to_string(&mend).unwrap();
    for line in &bad {
        text = text.replacen(",none,", &format!(",{},", contact(line_to_number(*line)).1), 1);
    }
    fs::write(&mend, text).unwrap();
    service.import(&mend, &[]).expect(0);
    assert_eq!(service.contacts(), contacts(10_000));
}

fn line_to_number(line: u64) -> usize {
    usize::try_from((line - 2) / 2).unwrap()
}

#[test]
fn an_import_that_was_killed_is_gone_on_with() {
    let service = Service::start();
    let file = service.path("people.csv");
    csv(&file, 10_000, |_| false);
    let arguments = ["import", file.to_str().unwrap(), "--url", &service.url, "--batch", "100"];
    for before in [1, 2_000] {
        let mut import = Process::start(&arguments, &[]);
        eventually("it is in the middle", || (service.now().len() >= before).then_some(()));
        import.kill();
    }
    assert!(service.contacts().len() < 10_000, "it was killed in the middle");
    run(&arguments).expect(0);
    assert_eq!(service.contacts(), contacts(10_000));
}

#[test]
fn an_import_that_was_interrupted_says_how_to_go_on() {
    let service = Service::start();
    let file = service.path("people.csv");
    csv(&file, 10_000, |_| false);
    let arguments = ["import", file.to_str().unwrap(), "--url", &service.url, "--batch", "100"];
    let mut import = Process::start(&arguments, &[]);
    eventually("it is in the middle", || (service.now().len() >= 500).then_some(()));
    import.signal("INT");
    assert_eq!(import.wait().code(), Some(1), "{}", import.log());
    let said = import.log();
    let line = said.split("--from-line ").nth(1).unwrap().split(';').next().unwrap();
    run(&[&arguments[..], &["--from-line", line]].concat()).expect(0);
    assert_eq!(service.contacts(), contacts(10_000));
}

#[test]
fn an_import_outlives_a_service_that_dies() {
    let mut service = Service::start();
    let file = service.path("people.csv");
    csv(&file, 10_000, |_| false);
    let arguments = ["import", file.to_str().unwrap(), "--url", &service.url, "--batch", "100"];
    let mut import = Process::start(&arguments, &[]);
    for before in [500, 3_000] {
        eventually("it is in the middle", || (service.now().len() >= before).then_some(()));
        service.restart();
    }
    assert_eq!(import.wait().code(), Some(0), "{}", import.log());
    assert_eq!(service.contacts(), contacts(10_000));
}

#[test]
fn what_was_exported_can_be_imported_elsewhere() {
    let service = Service::start();
    let names = ["Zoë d'Ávila", "Souza, \"Ana\"; a segunda", "C:\\novo", "=1+1", "ANA  LIMA", "李 小龙", "Ação 100%"];
    for (number, name) in names.iter().enumerate() {
        let (_, phone, email) = contact(number);
        let body = serde_json::json!({ "name": name, "phone": phone, "email": email });
        assert_eq!(service.client.write("POST", "/contacts", &[], &body).status, 202);
    }
    let expected = service.contacts();
    assert_eq!(expected.len(), names.len());
    for (name, more) in
        [("all.ndjson", &[][..]), ("all.csv", &[]), ("all.vcf", &[]), ("3.vcf", &["--format", "vcard3"])]
    {
        let file = service.path(name);
        // The marker is one of them.
        let exported = service.export(&file, more);
        assert!(
            exported.expect(0).said.contains(&format!("exported {} contacts", names.len() + 1)),
            "{}",
            exported.said
        );
        let other = Service::start();
        other.import(&file, &[]).expect(0);
        assert_eq!(other.contacts(), expected, "{name}");
    }
    let file = service.path("some.ndjson");
    let (_, phone, email) = contact(2);
    service.export(&file, &["--ddd", "11", "--phone", &phone, "--email", &email]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    service.export(&service.path("none.csv"), &["--state", "XX"]).expect(1).says(&["422", "state"]);
    assert!(!service.path("none.csv").exists());
}

#[test]
fn an_export_replaces_nothing_unless_it_is_told_to() {
    let service = Service::start();
    service.contacts();
    let file = service.path("all.csv");
    fs::write(&file, "mine").unwrap();
    service.export(&file, &[]).expect(1).says(&["exists already", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    service.export(&file, &["--force"]).expect(0);
    assert!(fs::read_to_string(&file).unwrap().contains("Marker"));
}

/// Answers every connection with this, and closes it.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Until the process ends.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

const NDJSON: &str = "content-type: application/x-ndjson";

#[test]
fn an_export_that_is_cut_short_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.ndjson");
    let answers = [
        ("transfer-encoding: chunked", "8\r\n{\"a\":1}\n\r\n", "cut short"),
        ("content-length: 100", "{\"a\":1}\n", "cut short"),
        ("connection: close", "{\"a\":1}\n", "where it ends"),
    ];
    for (head, body, why) in answers {
        let url = answering(format!("HTTP/1.1 200 OK\r\n{NDJSON}\r\n{head}\r\n\r\n{body}").leak());
        run(&["export", file.to_str().unwrap(), "--url", &url]).expect(1).says(&[why]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{head}");
    }
    // Something that is no service of ours.
    let url = answering("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n");
    run(&["export", file.to_str().unwrap(), "--url", &url]).expect(1).says(&["text/html", "--url"]);
}

#[test]
fn an_import_gives_up_in_time_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.ndjson");
    fs::write(&file, "{}\n").unwrap();
    let problem = r#"{"title":"Rate limited","status":429,"detail":"Too many requests."}"#;
    let head = "content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close";
    let busy =
        format!("HTTP/1.1 429 Too Many Requests\r\n{head}\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
    let cut = format!("HTTP/1.1 200 OK\r\n{NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = [
        (answering(busy.leak()), &["429", "Too many requests", "gave up after 2s"]),
        (answering(cut.leak()), &["answer was cut short", "gave up", "--retry-for"]),
        (format!("http://{nobody}"), &["cannot be reached", "refused", "gave up after 2s"]),
    ];
    for (url, why) in urls {
        run(&["import", file.to_str().unwrap(), "--url", &url, "--retry-for", "2s"]).expect(1).says(why);
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.xlsx");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    for command in ["import", "export"] {
        run(&[command, file]).expect(64).says(&["does not tell the format", "--format", "ndjson, csv"]);
        run(&[command, file, "--format", "xlsx"]).expect(64).says(&["possible values", "vcard"]);
        let secret = ["--format", "csv", "--url", "http://me:hunter2@127.0.0.1"];
        let refused = run(&[&[command, "-"], &secret[..]].concat());
        refused.expect(64).says(&["--key-file"]);
        assert!(!refused.noted.contains("hunter2"));
        if cfg!(not(feature = "tls")) {
            let over_tls = ["--format", "csv", "--url", "https://127.0.0.1"];
            run(&[&[command, "-"], &over_tls[..]].concat()).expect(64).says(&["https", "--features tls"]);
        }
    }
    run(&["import", "-"]).expect(64).says(&["standard input", "--format"]);
    run(&["import", file, "--format", "vcard", "--name-column", "x"]).expect(64).says(&["CSV"]);
    run(&["import", "/nowhere.csv"]).expect(1).says(&["/nowhere.csv"]);
}

#[test]
fn the_key_is_needed_and_never_shown() {
    let service = Service::with(&[("CONTACTS__HTTP__API_KEYS", "hunter2")]);
    let (file, key) = (service.path("one.ndjson"), service.path("key"));
    fs::write(&file, r#"{"name":"Ana","phone":"11987654321","email":"ana@example.com"}"#).unwrap();
    service.import(&file, &[]).expect(1).says(&["wants a key", "--key-file", "CONTACTS_API_KEY"]);
    service.export(&service.path("x.csv"), &[]).expect(1).says(&["wants a key"]);
    let with_file = ["--key-file", key.to_str().unwrap()];
    for (text, code, part) in [("hunter3\n", 1, "does not know this key"), ("", 64, "holds no key")] {
        fs::write(&key, text).unwrap();
        let refused = service.import(&file, &with_file);
        refused.expect(code).says(&[part]);
        assert!(!refused.noted.contains("hunter"), "{}", refused.noted);
    }
    fs::write(&key, "hunter2\n").unwrap();
    service.import(&file, &with_file).expect(0);
    let arguments = ["export", "-", "--url", &service.url];
    let exported = run_with(&arguments, &[("CONTACTS_API_KEY", "hunter2")]);
    assert!(!exported.expect(0).noted.contains("hunter2"), "{}", exported.noted);
}

/// The most memory a process had so far, in KiB; nothing once it has ended.
fn peak(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn endurance_of_a_large_file() {
    const BOUND: u64 = 120 * 1024;
    let lines = std::env::var("CONTACTS_ENDURANCE_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let service = Service::start();
    let (file, back) = (service.path("people.csv"), service.path("back.ndjson"));
    csv(&file, lines, |_| false);
    let mut peaks = Vec::new();
    let commands = [
        ["import", file.to_str().unwrap(), "--url", &service.url],
        ["export", back.to_str().unwrap(), "--url", &service.url],
    ];
    for arguments in commands {
        let (mut process, mut most) = (Process::start(&arguments, &[]), 0);
        let ended = loop {
            most = peak(process.id()).map_or(most, |peak| peak.max(most));
            match process.ended() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(ended.success(), "{}", process.log());
        peaks.push(most);
        let marker = service.client.create("Marker").text("operation_id");
        // As long as it takes: the file may be large.
        while service.client.get(&format!("/operations/{marker}")).json()["status"] != "applied" {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    peaks.push(peak(service.process.id()).unwrap());
    println!("{lines} lines; at most {peaks:?} KiB: import, export, service");
    let names: BTreeSet<String> = fs::read_to_string(&back)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
        .collect();
    // And the marker.
    assert_eq!(names.len(), lines + 1);
    assert!(peaks.iter().all(|peak| *peak < BOUND), "{peaks:?} KiB");
}

#[test]
fn their_help_reads_well() {
    let shown: Vec<String> =
        ["import", "export"].map(|command| run(&[command, "--help"]).expect(0).said.clone()).to_vec();
    insta::assert_snapshot!(shown.join("\n----\n"));
}
