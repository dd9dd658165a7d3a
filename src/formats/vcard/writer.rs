//! Writes vCards: version 4.0 (RFC 6350), and version 3.0 (RFC 2426) for programs that do not read 4.0.
//!
//! A line has at most 75 octets, and no line is folded within a character.

use crate::formats::ExportRecord;

/// The maximum length of a line without its end, in octets (RFC 6350 section 3.2).
const MAX_LINE: usize = 75;

pub(in crate::formats) fn v4(contact: &ExportRecord<'_>, out: &mut Vec<u8>) {
    let kind = if is_mobile(contact.phone) { "cell" } else { "voice" };
    card(contact, "4.0", &format!("TEL;VALUE=uri;TYPE={kind}:tel:{}", contact.phone), "EMAIL:", out);
}

pub(in crate::formats) fn v3(contact: &ExportRecord<'_>, out: &mut Vec<u8>) {
    let kind = if is_mobile(contact.phone) { "CELL" } else { "VOICE" };
    card(contact, "3.0", &format!("TEL;TYPE={kind}:{}", contact.phone), "EMAIL;TYPE=INTERNET:", out);
}

fn card(contact: &ExportRecord<'_>, version: &str, phone: &str, email: &str, out: &mut Vec<u8>) {
    let name = escaped(contact.name);
    line("BEGIN:VCARD", out);
    line(&format!("VERSION:{version}"), out);
    line(&format!("UID:urn:uuid:{}", contact.id), out);
    line(&format!("FN:{name}"), out);
    // The service does not know which part of a name is the family name.
    line(&format!("N:;{name};;;"), out);
    line(phone, out);
    if let Some(address) = contact.email {
        line(&format!("{email}{}", escaped(address)), out);
    }
    if let Some(revision) = timestamp(contact.updated_at) {
        line(&format!("REV:{revision}"), out);
    }
    line("END:VCARD", out);
}

/// A mobile number has a 9 after `+55` and the area code.
fn is_mobile(phone: &str) -> bool {
    phone.as_bytes().get(5) == Some(&b'9')
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\\' | ',' | ';' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Turns RFC 3339 in UTC into the basic form of ISO 8601 in seconds. Both versions of vCard know this form.
fn timestamp(text: &str) -> Option<String> {
    let seconds = text.strip_suffix('Z')?.get(..19)?;
    let basic: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    (basic.len() == 15).then(|| basic + "Z")
}

fn line(text: &str, out: &mut Vec<u8>) {
    let mut free = MAX_LINE;
    for c in text.chars() {
        if c.len_utf8() > free {
            out.extend_from_slice(b"\r\n ");
            free = MAX_LINE - 1;
        }
        free -= c.len_utf8();
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANA: ExportRecord<'_> = ExportRecord {
        id: "01890a5d-ac96-774b-bcce-b302099a8057",
        name: "Ana; Souza",
        phone: "+5511987654321",
        ddd: 11,
        state: "SP",
        region: "Sudeste",
        email: Some("ana@example.com"),
        version: "2",
        created_at: "2026-01-02T03:04:05Z",
        updated_at: "2026-01-02T03:04:06.123456Z",
    };

    #[test]
    fn cards_have_the_form_of_the_standards() {
        let mut out = Vec::new();
        v4(&ANA, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057\r\n\
             FN:Ana\\; Souza\r\nN:;Ana\\; Souza;;;\r\nTEL;VALUE=uri;TYPE=cell:tel:+5511987654321\r\n\
             EMAIL:ana@example.com\r\nREV:20260102T030406Z\r\nEND:VCARD\r\n"
        );
        let mut out = Vec::new();
        v3(&ExportRecord { phone: "+551133334444", updated_at: "yesterday", ..ANA }, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057\r\n\
             FN:Ana\\; Souza\r\nN:;Ana\\; Souza;;;\r\nTEL;TYPE=VOICE:+551133334444\r\n\
             EMAIL;TYPE=INTERNET:ana@example.com\r\nEND:VCARD\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_line_is_too_long_or_cut_within_a_character(text in "\\PC{0,300}") {
            let mut out = Vec::new();
            line(&text, &mut out);
            let folded = String::from_utf8(out).unwrap();
            let content = folded.strip_suffix("\r\n").unwrap();
            prop_assert!(content.split("\r\n").all(|line| line.len() <= MAX_LINE));
            prop_assert!(content.split("\r\n").skip(1).all(|line| line.starts_with(' ')));
            prop_assert_eq!(content.replace("\r\n ", ""), text);
        }
    }
}
