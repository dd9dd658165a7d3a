//! Writing contacts in any format, one after another into a buffer that the caller empties.
//!
//! What is written is read again as the same contact, whatever its name. So a name that a spreadsheet would take for a
//! formula is quoted like others, but not changed.

use super::vcard::writer as vcard_writer;
use super::{ExportRecord, Format};

/// Writes what stands before all contacts: the header line of CSV, of the others nothing.
pub fn header(format: Format, out: &mut Vec<u8>) {
    if format == Format::Csv {
        out.extend_from_slice(b"id,name,phone,ddd,state,region,email,version,created_at,updated_at\r\n");
    }
}

/// Writes one contact.
pub fn write(format: Format, contact: &ExportRecord<'_>, out: &mut Vec<u8>) {
    match format {
        Format::Ndjson => ndjson(contact, out),
        Format::Csv => csv(contact, out),
        Format::VCard4 => vcard_writer::v4(contact, out),
        Format::VCard3 => vcard_writer::v3(contact, out),
    }
}

fn ndjson(contact: &ExportRecord<'_>, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(&mut *out, contact);
    debug_assert!(written.is_ok(), "texts and a number always fit into memory");
    out.push(b'\n');
}

fn csv(contact: &ExportRecord<'_>, out: &mut Vec<u8>) {
    let ddd = contact.ddd.to_string();
    let cells = [
        contact.id,
        contact.name,
        contact.phone,
        &ddd,
        contact.state,
        contact.region,
        contact.email,
        contact.version,
        contact.created_at,
        contact.updated_at,
    ];
    for (index, text) in cells.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        cell(text, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Quoted where it must be (RFC 4180 section 2), and where a program might take another delimiter.
fn cell(text: &str, out: &mut Vec<u8>) {
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
    use super::*;

    const ANA: ExportRecord<'_> = ExportRecord {
        id: "1",
        name: "=Ana \"A\", Souza",
        phone: "+5511987654321",
        ddd: 11,
        state: "SP",
        region: "Sudeste",
        email: "ana@example.com",
        version: "2",
        created_at: "2026-01-02T03:04:05Z",
        updated_at: "2026-01-02T03:04:06Z",
    };

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        header(format, &mut out);
        write(format, &ANA, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_has_a_header_and_quotes_what_must_be() {
        assert_eq!(
            written(Format::Csv),
            "id,name,phone,ddd,state,region,email,version,created_at,updated_at\r\n\
             1,\"=Ana \"\"A\"\", Souza\",+5511987654321,11,SP,Sudeste,ana@example.com,2,\
             2026-01-02T03:04:05Z,2026-01-02T03:04:06Z\r\n"
        );
    }

    #[test]
    fn ndjson_is_what_the_api_shows() {
        assert_eq!(
            written(Format::Ndjson),
            concat!(
                r#"{"id":"1","name":"=Ana \"A\", Souza","phone":"+5511987654321","ddd":11,"state":"SP","#,
                r#""region":"Sudeste","email":"ana@example.com","version":"2","#,
                r#""created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z"}"#,
                "\n"
            )
        );
    }
}
