//! Tests `contacts import` and `contacts export` as processes against a real service.
//!
//! `CONTACTS_ENDURANCE_LINES` sets the number of lines of the large file: 100,000 in `make endurance`, otherwise 5,000.

use crate::support::{Client, Process, eventually, start_standalone};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

struct Output {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Output {
    #[track_caller]
    fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }

    /// Checks that one line of standard error contains all parts.
    #[track_caller]
    fn reports(&self, parts: &[&str]) {
        let found = self.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "no line with {parts:?}:\n{}", self.stderr);
    }
}

fn run_with(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let output = Process::command(arguments, settings).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[])
}

/// A running service with its own folder.
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
        let mut process = start_standalone(&folder.path().join("data"), settings);
        process.wait_until_ready();
        let client = process.client();
        let address = process.log_lines("listening")[0]["address"].as_str().unwrap().to_owned();
        Self { process, client, url: format!("http://{address}"), address, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Kills the service and starts it again with the same data and address.
    fn restart(&mut self) {
        self.process.kill();
        self.process = start_standalone(&self.folder.path().join("data"), &[("CONTACTS__HTTP__LISTEN", &self.address)]);
        self.process.wait_until_ready();
    }

    fn import(&self, file: &Path, options: &[&str]) -> Output {
        run(&[&["import", file.to_str().unwrap(), "--url", &self.url], options].concat())
    }

    fn export(&self, file: &Path, options: &[&str]) -> Output {
        run(&[&["export", file.to_str().unwrap(), "--url", &self.url], options].concat())
    }

    fn current_contacts(&self) -> Vec<Contact> {
        let exported = self.export(Path::new("-"), &[]);
        let text = |contact: &Value, name: &str| contact[name].as_str().unwrap().to_owned();
        let mut all: Vec<Contact> = exported
            .expect(0)
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|contact| (text(&contact, "name"), text(&contact, "phone"), text(&contact, "email")))
            .filter(|(name, _, _)| name != "Marker")
            .collect();
        all.sort();
        all
    }

    /// All contacts, after all accepted changes are applied. The queue keeps the order, so a marker shows this.
    fn contacts(&self) -> Vec<Contact> {
        let marker = self.client.create("Marker").text("operation_id");
        eventually("the marker is applied", || {
            let operation = self.client.get(&format!("/operations/{marker}"));
            (operation.json()["status"] == "applied").then_some(())
        });
        self.current_contacts()
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

/// Writes a CSV with two lines for each contact. Returns the lines of the contacts with an invalid phone number.
fn write_csv(path: &Path, count: usize, is_invalid: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut text = "note,name,phone,email\n".to_owned();
    let mut invalid = Vec::new();
    for number in 0..count {
        let (name, phone, email) = contact(number);
        let phone = if is_invalid(number) { "none" } else { &phone };
        if phone == "none" {
            invalid.push(2 + 2 * number as u64);
        }
        text += &format!("\"said \"\"yes, \n\"\" twice\",{name},{phone},{email}\r\n");
    }
    fs::write(path, text).unwrap();
    invalid
}

#[test]
fn every_record_has_its_result_and_a_repeated_import_changes_nothing() {
    let service = Service::start();
    let file = service.path("people.csv");
    let (rejected, errors) = (service.path("rejected.csv"), service.path("errors.ndjson"));
    let invalid = write_csv(&file, 10_000, |number| number % 997 == 5 || number == 9_999);
    let expected: Vec<Contact> = contacts(10_000)
        .into_iter()
        .filter(|(name, _, _)| !invalid.iter().any(|line| *name == contact(line_to_number(*line)).0))
        .collect();

    let checked = service.import(&file, &["--dry-run", "--output", "json"]);
    let report = checked.expect(3).json();
    assert_eq!((&report["valid"], &report["invalid"]), (&(10_000 - invalid.len()).into(), &invalid.len().into()));
    assert!(service.contacts().is_empty(), "a dry run creates nothing");

    let files = ["--errors", errors.to_str().unwrap(), "--rejected", rejected.to_str().unwrap(), "--output", "json"];
    let report = service.import(&file, &files).expect(3).json();
    assert_eq!((&report["records"], &report["accepted"]), (&10_000.into(), &(10_000 - invalid.len()).into()));
    assert_eq!((&report["not_accepted"], &report["complete"]), (&0.into(), &true.into()));
    let written: Vec<Value> =
        fs::read_to_string(&errors).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written.iter().map(|record| record["line"].as_u64().unwrap()).collect::<Vec<_>>(), invalid);
    assert!(written.iter().all(|record| record["errors"][0]["field"] == "phone"), "{written:#?}");
    assert_eq!(service.contacts(), expected);

    for options in [&[][..], &["--from-line", "9000"]] {
        let again = service.import(&file, options);
        again.expect(3).reports(&[&format!("line {}:", invalid.last().unwrap()), "phone"]);
        assert_eq!(service.contacts(), expected, "{options:?}");
    }
    service.import(&file, &files).expect(1).reports(&["already exists"]);

    // Fix the rejected records and import their file.
    let mut text = fs::read_to_string(&rejected).unwrap();
    for line in &invalid {
        text = text.replacen(",none,", &format!(",{},", contact(line_to_number(*line)).1), 1);
    }
    fs::write(&rejected, text).unwrap();
    service.import(&rejected, &[]).expect(0);
    assert_eq!(service.contacts(), contacts(10_000));
}

/// Before `--rejected` and `--errors`, the options had other names.
#[test]
fn the_old_names_of_the_file_options_work() {
    let service = Service::start();
    let (file, rejected, errors) = (service.path("people.csv"), service.path("mend.csv"), service.path("why.ndjson"));
    let invalid = write_csv(&file, 3, |number| number == 1);
    let old_names = ["--rejects", errors.to_str().unwrap(), "--mend", rejected.to_str().unwrap()];
    service.import(&file, &old_names).expect(3);
    let error: Value = serde_json::from_str(&fs::read_to_string(&errors).unwrap()).unwrap();
    assert_eq!((&error["line"], &error["errors"][0]["field"]), (&invalid[0].into(), &"phone".into()));
    let text = fs::read_to_string(&rejected).unwrap();
    assert!(text.starts_with("note,name,phone,email\n") && text.contains("Ana 1") && !text.contains("Ana 2"), "{text}");
}

fn line_to_number(line: u64) -> usize {
    usize::try_from((line - 2) / 2).unwrap()
}

#[test]
fn a_killed_import_can_run_again() {
    let service = Service::start();
    let file = service.path("people.csv");
    write_csv(&file, 10_000, |_| false);
    let arguments = ["import", file.to_str().unwrap(), "--url", &service.url, "--batch", "100"];
    for before in [1, 2_000] {
        let mut import = Process::start(&arguments, &[]);
        eventually("the import is in the middle", || (service.current_contacts().len() >= before).then_some(()));
        import.kill();
    }
    assert!(service.contacts().len() < 10_000, "the import was killed in the middle");
    run(&arguments).expect(0);
    assert_eq!(service.contacts(), contacts(10_000));
}

#[test]
fn an_interrupted_import_reports_how_to_continue() {
    let service = Service::start();
    let file = service.path("people.csv");
    write_csv(&file, 10_000, |_| false);
    let arguments = ["import", file.to_str().unwrap(), "--url", &service.url, "--batch", "100"];
    let mut import = Process::start(&arguments, &[]);
    eventually("the import is in the middle", || (service.current_contacts().len() >= 500).then_some(()));
    import.signal("INT");
    assert_eq!(import.wait().code(), Some(1), "{}", import.log());
    let log = import.log();
    let line = log.split("--from-line ").nth(1).unwrap().split(';').next().unwrap();
    run(&[&arguments[..], &["--from-line", line]].concat()).expect(0);
    assert_eq!(service.contacts(), contacts(10_000));
}

#[test]
fn an_import_continues_after_the_service_restarts() {
    let mut service = Service::start();
    let file = service.path("people.csv");
    write_csv(&file, 10_000, |_| false);
    let arguments = ["import", file.to_str().unwrap(), "--url", &service.url, "--batch", "100"];
    let mut import = Process::start(&arguments, &[]);
    for before in [500, 3_000] {
        eventually("the import is in the middle", || (service.current_contacts().len() >= before).then_some(()));
        service.restart();
    }
    assert_eq!(import.wait().code(), Some(0), "{}", import.log());
    assert_eq!(service.contacts(), contacts(10_000));
}

#[test]
fn an_export_can_be_imported_into_another_service() {
    let service = Service::start();
    let names = ["Zoë d'Ávila", "Souza, \"Ana\"; a segunda", "C:\\novo", "=1+1", "ANA  LIMA", "李 小龙", "Ação 100%"];
    for (number, name) in names.iter().enumerate() {
        let (_, phone, email) = contact(number);
        let body = serde_json::json!({ "name": name, "phone": phone, "email": email });
        assert_eq!(service.client.write("POST", "/contacts", &[], &body).status, 202);
    }
    let expected = service.contacts();
    assert_eq!(expected.len(), names.len());
    for (name, options) in
        [("all.ndjson", &[][..]), ("all.csv", &[]), ("all.vcf", &[]), ("3.vcf", &["--format", "vcard3"])]
    {
        let file = service.path(name);
        // The export also contains the marker.
        let exported = service.export(&file, options);
        assert!(
            exported.expect(0).stdout.contains(&format!("exported {} contacts", names.len() + 1)),
            "{}",
            exported.stdout
        );
        let other = Service::start();
        other.import(&file, &[]).expect(0);
        assert_eq!(other.contacts(), expected, "{name}");
    }
    let file = service.path("some.ndjson");
    let (_, phone, email) = contact(2);
    service.export(&file, &["--ddd", "11", "--phone", &phone, "--email", &email]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    service.export(&service.path("none.csv"), &["--state", "XX"]).expect(1).reports(&["422", "state"]);
    assert!(!service.path("none.csv").exists());
}

#[test]
fn an_export_replaces_a_file_only_with_force() {
    let service = Service::start();
    service.contacts();
    let file = service.path("all.csv");
    fs::write(&file, "mine").unwrap();
    service.export(&file, &[]).expect(1).reports(&["already exists", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    service.export(&file, &["--force"]).expect(0);
    assert!(fs::read_to_string(&file).unwrap().contains("Marker"));
}

/// Starts a server that answers every connection with this text and closes it. Returns its URL.
fn start_server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // The thread ends with the process.
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
fn an_incomplete_export_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.ndjson");
    let answers = [
        ("transfer-encoding: chunked", "8\r\n{\"a\":1}\n\r\n", "incomplete"),
        ("content-length: 100", "{\"a\":1}\n", "incomplete"),
        ("connection: close", "{\"a\":1}\n", "no length"),
    ];
    for (head, body, reason) in answers {
        let url = start_server(format!("HTTP/1.1 200 OK\r\n{NDJSON}\r\n{head}\r\n\r\n{body}").leak());
        run(&["export", file.to_str().unwrap(), "--url", &url]).expect(1).reports(&[reason]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{head}");
    }
    // Another program answers.
    let url = start_server("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n");
    run(&["export", file.to_str().unwrap(), "--url", &url]).expect(1).reports(&["text/html", "--url"]);
}

#[test]
fn an_import_gives_up_after_the_retry_time_and_reports_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.ndjson");
    fs::write(&file, "{}\n").unwrap();
    let problem = r#"{"title":"Rate limited","status":429,"detail":"Too many requests."}"#;
    let head = "content-type: application/problem+json\r\nretry-after: 1\r\nconnection: close";
    let busy =
        format!("HTTP/1.1 429 Too Many Requests\r\n{head}\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
    let incomplete = format!("HTTP/1.1 200 OK\r\n{NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n");
    let closed_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls = [
        (start_server(busy.leak()), &["429", "Too many requests", "gave up after 2s"]),
        (start_server(incomplete.leak()), &["the answer is incomplete", "gave up", "--retry-for"]),
        (format!("http://{closed_port}"), &["cannot be reached", "refused", "gave up after 2s"]),
    ];
    for (url, parts) in urls {
        run(&["import", file.to_str().unwrap(), "--url", &url, "--retry-for", "2s"]).expect(1).reports(parts);
    }
}

#[test]
fn an_invalid_command_line_is_rejected_before_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.xlsx");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    for command in ["import", "export"] {
        run(&[command, file]).expect(64).reports(&["does not show the format", "--format", "ndjson, csv"]);
        run(&[command, file, "--format", "xlsx"]).expect(64).reports(&["possible values", "vcard"]);
        let secret = ["--format", "csv", "--url", "http://me:hunter2@127.0.0.1"];
        let output = run(&[&[command, "-"], &secret[..]].concat());
        output.expect(64).reports(&["--key-file"]);
        assert!(!output.stderr.contains("hunter2"));
        if cfg!(not(feature = "tls")) {
            let over_tls = ["--format", "csv", "--url", "https://127.0.0.1"];
            run(&[&[command, "-"], &over_tls[..]].concat()).expect(64).reports(&["https", "--features tls"]);
        }
    }
    run(&["import", "-"]).expect(64).reports(&["standard input", "--format"]);
    run(&["import", file, "--format", "vcard", "--name-column", "x"]).expect(64).reports(&["CSV"]);
    run(&["import", "/nowhere.csv"]).expect(1).reports(&["/nowhere.csv"]);
}

#[test]
fn the_api_key_is_required_and_never_shown() {
    let service = Service::with(&[("CONTACTS__HTTP__API_KEYS", "hunter2")]);
    let (file, key) = (service.path("one.ndjson"), service.path("key"));
    fs::write(&file, r#"{"name":"Ana","phone":"11987654321","email":"ana@example.com"}"#).unwrap();
    service.import(&file, &[]).expect(1).reports(&["requires an API key", "--key-file", "CONTACTS_API_KEY"]);
    service.export(&service.path("x.csv"), &[]).expect(1).reports(&["requires an API key"]);
    let with_file = ["--key-file", key.to_str().unwrap()];
    for (text, code, part) in [("hunter3\n", 1, "does not know this API key"), ("", 64, "does not contain a key")] {
        fs::write(&key, text).unwrap();
        let output = service.import(&file, &with_file);
        output.expect(code).reports(&[part]);
        assert!(!output.stderr.contains("hunter"), "{}", output.stderr);
    }
    fs::write(&key, "hunter2\n").unwrap();
    service.import(&file, &with_file).expect(0);
    let arguments = ["export", "-", "--url", &service.url];
    let exported = run_with(&arguments, &[("CONTACTS_API_KEY", "hunter2")]);
    assert!(!exported.expect(0).stderr.contains("hunter2"), "{}", exported.stderr);
}

/// The peak memory of a running process, in KiB.
fn peak_memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn endurance_of_a_large_file() {
    const LIMIT: u64 = 120 * 1024;
    let lines = std::env::var("CONTACTS_ENDURANCE_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let service = Service::start();
    let (file, back) = (service.path("people.csv"), service.path("back.ndjson"));
    write_csv(&file, lines, |_| false);
    let mut peaks = Vec::new();
    let commands = [
        ["import", file.to_str().unwrap(), "--url", &service.url],
        ["export", back.to_str().unwrap(), "--url", &service.url],
    ];
    for arguments in commands {
        let (mut process, mut peak) = (Process::start(&arguments, &[]), 0);
        let status = loop {
            peak = peak_memory(process.id()).map_or(peak, |current| current.max(peak));
            match process.exit_status() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        assert!(status.success(), "{}", process.log());
        peaks.push(peak);
        let marker = service.client.create("Marker").text("operation_id");
        // Without a time limit, because the file may be large.
        while service.client.get(&format!("/operations/{marker}")).json()["status"] != "applied" {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    peaks.push(peak_memory(service.process.id()).unwrap());
    println!("{lines} lines; peak memory of import, export and service: {peaks:?} KiB");
    let names: BTreeSet<String> = fs::read_to_string(&back)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned())
        .collect();
    // All contacts and the marker.
    assert_eq!(names.len(), lines + 1);
    assert!(peaks.iter().all(|peak| *peak < LIMIT), "{peaks:?} KiB");
}

#[test]
fn their_help_reads_well() {
    let texts = ["import", "export"].map(|command| run(&[command, "--help"]).expect(0).stdout.clone());
    insta::assert_snapshot!(texts.join("\n----\n"));
}
