//! Writes vCards: version 4.0 (RFC 6350), and version 3.0 (RFC 2426) for programs that do not read 4.0.
//!
//! A line has at most 75 octets, and no line is folded within a character.

use crate::formats::ContactView;

/// The maximum length of a line without its end, in octets (RFC 6350 section 3.2).
const MAX_LINE: usize = 75;

pub(in crate::formats) fn v4(contact: &ContactView, out: &mut Vec<u8>) {
    let kind = if is_mobile(&contact.phone) { "cell" } else { "voice" };
    card(contact, "4.0", &format!("TEL;VALUE=uri;TYPE={kind}:tel:{}", contact.phone), "EMAIL:", out);
}

pub(in crate::formats) fn v3(contact: &ContactView, out: &mut Vec<u8>) {
    let kind = if is_mobile(&contact.phone) { "CELL" } else { "VOICE" };
    card(contact, "3.0", &format!("TEL;TYPE={kind}:{}", contact.phone), "EMAIL;TYPE=INTERNET:", out);
}

fn card(contact: &ContactView, version: &str, phone: &str, email: &str, out: &mut Vec<u8>) {
    let name = escaped(&contact.name);
    line("BEGIN:VCARD", out);
    line(&format!("VERSION:{version}"), out);
    line(&format!("UID:urn:uuid:{}", contact.id), out);
    line(&format!("FN:{name}"), out);
    // The service does not know which part of a name is the family name.
    line(&format!("N:;{name};;;"), out);
    line(phone, out);
    if let Some(address) = &contact.email {
        line(&format!("{email}{}", escaped(address)), out);
    }
    // The basic form of ISO 8601 in seconds: both versions know it.
    line(&format!("REV:{}", contact.updated_at.format("%Y%m%dT%H%M%SZ")), out);
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
    use crate::domain::Details;
    use crate::formats::testing::contact;
    use proptest::prelude::*;

    #[test]
    fn cards_have_the_form_of_the_standards() {
        let written = |write: fn(&ContactView, &mut Vec<u8>), phone: &str| {
            let details = Details::parse("Ana; Souza", phone, Some("ana@example.com")).unwrap();
            let mut out = Vec::new();
            write(&ContactView::new(&contact(details)).unwrap(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(v4, "11987654321"),
            "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:00000000-0000-0000-0000-000000000001\r\n\
             FN:Ana\\; Souza\r\nN:;Ana\\; Souza;;;\r\nTEL;VALUE=uri;TYPE=cell:tel:+5511987654321\r\n\
             EMAIL:ana@example.com\r\nREV:20260102T030406Z\r\nEND:VCARD\r\n"
        );
        assert_eq!(
            written(v3, "1133334444"),
            "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:urn:uuid:00000000-0000-0000-0000-000000000001\r\n\
             FN:Ana\\; Souza\r\nN:;Ana\\; Souza;;;\r\nTEL;TYPE=VOICE:+551133334444\r\n\
             EMAIL;TYPE=INTERNET:ana@example.com\r\nREV:20260102T030406Z\r\nEND:VCARD\r\n"
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
