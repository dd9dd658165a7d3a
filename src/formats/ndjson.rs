//! NDJSON: one contact a line, in the shape that the API shows and takes.
//!
//! A line that cannot be read harms no other. It must not know JSON: that is one contact's matter.

use super::json::{self, JsonFault, Source};
use super::lines::{Line, Lines};
use super::record::{Entry, NOT_UTF8, RecordError, TOO_LONG};
use crate::domain::{Details, Invalid};

const MALFORMED: Invalid =
    Invalid { code: "malformed", detail: "must be a JSON object with name, phone and email, all on one line" };

/// The lines so far.
#[derive(Default)]
pub(super) struct Ndjson(Lines);

impl Ndjson {
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        self.0.push(bytes, |line| out.extend(entry(&line)));
    }

    pub(super) fn finish(mut self, out: &mut Vec<Entry>) {
        self.0.finish(|line| out.extend(entry(&line)));
    }
}

fn entry(line: &Line<'_>) -> Option<Entry> {
    let blank = line.whole && line.bytes.trim_ascii().is_empty();
    (!blank).then(|| Entry { line: line.number, result: details(line) })
}

fn details(line: &Line<'_>) -> Result<Details, Vec<RecordError>> {
    if !line.whole {
        return Err(RecordError::whole(TOO_LONG));
    }
    // The library looks only into the texts that it keeps.
    if std::str::from_utf8(line.bytes).is_err() {
        return Err(RecordError::whole(NOT_UTF8));
    }
    json::parse(line.bytes, Source::Line).map_err(|fault| match fault {
        JsonFault::Malformed { .. } => RecordError::whole(MALFORMED),
        JsonFault::Invalid(faults) => faults,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, said};
    use super::super::{Format, record::LIMIT};

    const ANA: &str = r#"{"name":"Ana","phone":"11 98765-4321","email":"ana@example.com"}"#;

    #[test]
    fn lines_are_contacts_and_blank_lines_only_count() {
        let text = format!("{ANA}\r\n\n \t\r\n{ANA}");
        assert_eq!(said(&read(Format::Ndjson, text.as_bytes())), ["1 Ana", "4 Ana"]);
        assert_eq!(said(&read(Format::Ndjson, b"")), [""; 0]);
        let marked = format!("\u{feff}{ANA}\n");
        assert_eq!(said(&read(Format::Ndjson, marked.as_bytes())), ["1 Ana"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_harms_no_other() {
        let mut text = b"{\"name\":\"Ana\n".to_vec();
        text.extend_from_slice(b"{\"id\":\"\xff\",\"name\":\"Ana\",\"phone\":\"\",\"email\":\"a@b.co\"}\n[]\n");
        text.extend(std::iter::repeat_n(b' ', LIMIT + 1));
        text.extend_from_slice(format!("\n{{\"phone\":1,\"mail\":\"\"}}\n\u{feff}{ANA}\n{ANA}\n").as_bytes());
        assert_eq!(
            said(&read(Format::Ndjson, &text)),
            [
                "1 (line):malformed",
                "2 (line):not_utf8",
                "3 (line):wrong_type",
                "4 (line):too_long",
                "5 name:required phone:wrong_type email:required mail:unknown_field",
                "6 (line):malformed",
                "7 Ana",
            ]
        );
    }
}
