//! Files as real programs write them, with invented people: `tests/corpus/`. Each is imported with exact results.

use crate::support::{Client, eventually, start_standalone};
use contacts::domain::Timestamp;
use contacts::formats::{Columns, ContactView, Format, Reader, write_header, write_record};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::Command;
use uuid::Uuid;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn expected() -> Map<String, Value> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let Value::Object(files) = serde_json::from_str(&text).unwrap() else { panic!("not an object") };
    files
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// `phone other_value: 11 3456-7890`.
fn ignored_texts<'a>(ignored: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>) -> Value {
    let texts = ignored.into_iter().map(|(field, reason, value)| match value {
        Some(value) => format!("{field} {reason}: {value}"),
        None => format!("{field} {reason}"),
    });
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    json!(texts)
}

fn sorted(texts: &Value) -> Value {
    let mut texts: Vec<&str> = texts.as_array().into_iter().flatten().map(text).collect();
    texts.sort_unstable();
    json!(texts)
}

#[test]
fn every_file_has_the_expected_records() {
    let files = expected();
    assert!(files.len() >= 40, "{}", files.len());
    let names: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in &names {
        assert!(name == "expected.json" || name == "README.md" || files.contains_key(name), "{name} has no results");
    }
    let mut wrong = Vec::new();
    for (name, file) in &files {
        let format = Format::parse(text(&file["format"])).unwrap();
        let bytes = std::fs::read(folder().join(name)).unwrap();
        let (mut reader, mut entries) = (Reader::new(format, Columns::default()), Vec::new());
        reader
            .push(&bytes, &mut entries)
            .and_then(|()| reader.finish(&mut entries))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let found: Vec<Value> = entries
            .iter()
            .map(|entry| {
                let ignored = entry.ignored.iter().map(|i| (i.field.as_str(), i.reason, i.value.as_deref()));
                match &entry.result {
                    Ok(details) => json!({
                        "line": entry.line, "name": details.name.as_str(), "phone": details.phone.to_string(),
                        "email": details.email.as_ref().map(|email| email.as_str()), "ignored": ignored_texts(ignored),
                    }),
                    Err(errors) => json!({
                        "line": entry.line,
                        "errors": errors.iter().map(|e| format!("{}:{}", e.field, e.invalid.code)).collect::<Vec<_>>(),
                    }),
                }
            })
            .collect();
        let records: Vec<Value> = file["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                let mut record = record.clone();
                if record.get("errors").is_none() {
                    record["ignored"] = sorted(&record["ignored"]);
                }
                record
            })
            .collect();
        let (encoding, delimiter) = (json!(reader.encoding().name()), json!(reader.delimiter()));
        if found != records
            || encoding != file["encoding"]
            || delimiter != *file.get("delimiter").unwrap_or(&Value::Null)
        {
            wrong.push(format!(
                "{name}: {encoding} {delimiter}\n  found    {}\n  expected {}",
                json!(found),
                json!(records)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn media_type(file: &Value) -> &'static str {
    match text(&file["format"]) {
        "csv" => "text/csv",
        "vcard" => "text/vcard",
        _ => "application/x-ndjson",
    }
}

/// The contacts of the service by name, phone number and address, in order.
fn stored(client: &Client) -> Vec<String> {
    let text = client.get("/contacts/export?format=ndjson").body;
    let contacts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut contacts: Vec<String> =
        contacts.map(|contact| json!([contact["name"], contact["phone"], contact["email"]]).to_string()).collect();
    contacts.sort();
    contacts
}

fn expected_contacts(files: &Map<String, Value>) -> Vec<String> {
    let records = files.values().flat_map(|file| file["records"].as_array().unwrap());
    let valid = records.filter(|record| record.get("errors").is_none());
    let mut contacts: Vec<String> =
        valid.map(|record| json!([record["name"], record["phone"], record["email"]]).to_string()).collect();
    contacts.sort();
    contacts
}

#[test]
fn every_file_is_imported_over_http() {
    let data = tempfile::tempdir().unwrap();
    let mut process = start_standalone(data.path(), &[]);
    let client = process.client();
    let files = expected();
    for (name, file) in &files {
        let body = std::fs::read(folder().join(name)).unwrap();
        let headers = [("content-type", media_type(file))];
        let answer = client.send("POST", "/contacts/import", &headers, Some(&body)).unwrap();
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = &lines.last().unwrap()["summary"];
        assert_eq!(summary["encoding"], file["encoding"], "{name}");
        assert_eq!(summary["delimiter"], *file.get("delimiter").unwrap_or(&Value::Null), "{name}");
        for (line, record) in lines.iter().zip(file["records"].as_array().unwrap()) {
            let status = if record.get("errors").is_some() { "invalid" } else { "accepted" };
            assert_eq!((&line["line"], &line["status"]), (&record["line"], &json!(status)), "{name}: {line}");
            if status == "accepted" {
                let empty = Vec::new();
                let ignored = line["ignored"].as_array().unwrap_or(&empty).iter();
                let ignored = ignored.map(|i| (text(&i["field"]), text(&i["reason"]), i["value"].as_str()));
                assert_eq!(ignored_texts(ignored), sorted(&record["ignored"]), "{name}");
            }
        }
    }
    let contacts = expected_contacts(&files);
    eventually("all contacts are stored", || (stored(&client) == contacts).then_some(()));
}

#[test]
fn every_file_is_imported_from_the_terminal() {
    let data = tempfile::tempdir().unwrap();
    let mut process = start_standalone(data.path(), &[]);
    let client = process.client();
    let url = format!("http://{}", client.address());
    let files = expected();
    for (name, file) in &files {
        let records = file["records"].as_array().unwrap();
        let invalid = records.iter().filter(|record| record.get("errors").is_some()).count();
        let output = Command::new(env!("CARGO_BIN_EXE_contacts"))
            .args(["import", "--url", &url, "--output", "json"])
            .arg(folder().join(name))
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(report["accepted"], json!(records.len() - invalid), "{name}: {report}");
        assert_eq!(report["invalid"], json!(invalid), "{name}: {report}");
        let has_ignored = |record: &&Value| record.get("ignored").is_some();
        let ignores = records.iter().any(|record| has_ignored(&record) && record.get("errors").is_none());
        assert_eq!(report["ignored"] != json!({}), ignores, "{name}: {report}");
    }
    // Two files with the same content in different encodings are the same import.
    let unique = |mut contacts: Vec<String>| {
        contacts.dedup();
        contacts
    };
    let contacts = unique(expected_contacts(&files));
    eventually("all contacts are stored", || (unique(stored(&client)) == contacts).then_some(()));
}

/// `CONTACTS_ENDURANCE_LINES` sets the number of contacts: 100,000 in `make endurance`, otherwise 3,000.
#[test]
fn endurance_contacts_survive_every_format_and_encoding() {
    let count: usize = std::env::var("CONTACTS_ENDURANCE_LINES").map_or(3_000, |lines| lines.parse().unwrap());
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    for format in Format::ALL {
        for (encoding, only_latin) in [
            ("UTF-8", false),
            ("UTF-8 with mark", false),
            ("UTF-16LE", false),
            ("UTF-16BE", false),
            ("windows-1252", true),
        ] {
            if only_latin && format == Format::Ndjson {
                // JSON is never Windows-1252 (RFC 8259 section 8.1).
                continue;
            }
            let mut written = Vec::new();
            write_header(format, &mut written);
            let people: Vec<(String, String, Option<String>)> = (0..count).map(|n| invented(n, only_latin)).collect();
            for (name, phone, email) in &people {
                let record = ContactView {
                    id: Uuid::nil(),
                    name: name.clone(),
                    phone: phone.clone(),
                    ddd: 11,
                    state: "SP",
                    region: "Sudeste",
                    email: email.clone(),
                    version: Uuid::nil(),
                    created_by: None,
                    created_at: Timestamp::UNIX_EPOCH,
                    updated_at: Timestamp::UNIX_EPOCH,
                };
                write_record(format, &record, &mut written);
            }
            let text = String::from_utf8(written).unwrap();
            let bytes = match encoding {
                "UTF-8" => text.into_bytes(),
                "UTF-8 with mark" => format!("\u{feff}{text}").into_bytes(),
                "UTF-16LE" => utf16(&format!("\u{feff}{text}"), u16::to_le_bytes),
                "UTF-16BE" => utf16(&format!("\u{feff}{text}"), u16::to_be_bytes),
                _ => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
            };
            let (mut reader, mut entries) = (Reader::new(format, Columns::default()), Vec::new());
            bytes.chunks(4_093).for_each(|chunk| reader.push(chunk, &mut entries).unwrap());
            reader.finish(&mut entries).unwrap();
            assert_eq!(entries.len(), count, "{format:?} {encoding}");
            for (entry, (name, phone, email)) in entries.iter().zip(&people) {
                let details = entry.result.as_ref().unwrap_or_else(|e| panic!("{format:?} {encoding} {name}: {e:?}"));
                let read =
                    (details.name.as_str(), details.phone.to_string(), details.email.as_ref().map(|e| e.as_str()));
                assert_eq!(read, (name.as_str(), phone.clone(), email.as_deref()), "{format:?} {encoding}");
            }
        }
    }
}

/// The n-th invented person.
fn invented(n: usize, only_latin: bool) -> (String, String, Option<String>) {
    let first = ["José", "Conceição", "Ângela", "Zoë", "D'Ávila; filho", "\"Zé\", o Grande", "=Ana", "Õ"][n % 8];
    let last =
        if only_latin { "Gonçalves" } else { ["Łukasz", "👩\u{200d}🚀", "Αθηνά", "Gonçalves"][n / 8 % 4] };
    let phone = format!("+55119{:08}", 10_000_000 + n);
    (format!("{first} {last} {n}"), phone, (!n.is_multiple_of(3)).then(|| format!("p{n}@example.com")))
}
