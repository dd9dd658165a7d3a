//! Writes contacts in any format, one after another, into a buffer that the caller empties.
//!
//! The reader must get the same contact from the written text. So the writer does not change a name that a spreadsheet
//! could take for a formula.

use super::vcard::writer as vcard_writer;
use super::{ContactView, Format};
use crate::domain::Timestamp;
use chrono::SecondsFormat;

/// Writes the header line of CSV. The other formats have no header.
pub fn write_header(format: Format, out: &mut Vec<u8>) {
    if format == Format::Csv {
        out.extend_from_slice(b"id,name,phone,ddd,state,region,email,version,created_at,updated_at\r\n");
    }
}

/// Writes one contact.
pub fn write_record(format: Format, contact: &ContactView, out: &mut Vec<u8>) {
    match format {
        Format::Ndjson => write_ndjson(contact, out),
        Format::Csv => write_csv(contact, out),
        Format::VCard4 => vcard_writer::v4(contact, out),
        Format::VCard3 => vcard_writer::v3(contact, out),
    }
}

fn write_ndjson(contact: &ContactView, out: &mut Vec<u8>) {
    let result = serde_json::to_writer(&mut *out, contact);
    debug_assert!(result.is_ok(), "strings and a number can always be written to memory");
    out.push(b'\n');
}

fn write_csv(contact: &ContactView, out: &mut Vec<u8>) {
    let time = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let cells: [&str; 10] = [
        &contact.id.to_string(),
        &contact.name,
        &contact.phone,
        &contact.ddd.to_string(),
        contact.state,
        contact.region,
        contact.email.as_deref().unwrap_or_default(),
        &contact.version.to_string(),
        &time(contact.created_at),
        &time(contact.updated_at),
    ];
    for (index, text) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_cell(text, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Quotes a cell where RFC 4180 section 2 requires it, and where a program could take a character for its delimiter.
fn write_cell(text: &str, out: &mut Vec<u8>) {
    if text.contains(['"', ',', ';', '\t', '\r', '\n']) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::contact;
    use super::*;
    use crate::domain::Details;

    fn written(format: Format) -> String {
        let details = Details::parse("=Ana \"A\", Souza", "11987654321", Some("ana@example.com")).unwrap();
        let mut out = Vec::new();
        write_header(format, &mut out);
        write_record(format, &ContactView::new(&contact(details)).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_has_a_header_and_quotes_special_characters() {
        assert_eq!(
            written(Format::Csv),
            "id,name,phone,ddd,state,region,email,version,created_at,updated_at\r\n\
             00000000-0000-0000-0000-000000000001,\"=Ana \"\"A\"\", Souza\",+5511987654321,11,SP,Sudeste,\
             ana@example.com,00000000-0000-0000-0000-000000000002,2026-01-02T03:04:05Z,2026-01-02T03:04:06.123456Z\r\n"
        );
    }

    #[test]
    fn ndjson_has_the_fields_of_the_api() {
        assert_eq!(
            written(Format::Ndjson),
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000001","name":"=Ana \"A\", Souza","phone":"+5511987654321","#,
                r#""ddd":11,"state":"SP","region":"Sudeste","email":"ana@example.com","#,
                r#""version":"00000000-0000-0000-0000-000000000002","#,
                r#""created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06.123456Z"}"#,
                "\n"
            )
        );
    }
}
