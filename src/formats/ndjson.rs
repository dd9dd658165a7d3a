//! Reads NDJSON: one contact per line, with the fields of the API.
//!
//! A malformed line does not affect other lines. `json.rs` parses each contact.

use super::json::{self, JsonError, Source};
use super::lines::{Line, Lines};
use super::record::{Entry, NOT_UTF8, RecordError, TOO_LONG};
use crate::domain::{Details, Invalid};

const REPEATED: Invalid = Invalid::new("repeated", "must occur once");
const MALFORMED: Invalid =
    Invalid::new("malformed", "must be a JSON object with name, phone and email, all on one line");

/// The reader for NDJSON.
#[derive(Default)]
pub(super) struct Ndjson(Lines);

impl Ndjson {
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) {
        self.0.push(bytes, |line| out.extend(entry(&line)));
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Entry>) {
        self.0.finish(|line| out.extend(entry(&line)));
    }
}

fn entry(line: &Line<'_>) -> Option<Entry> {
    let blank = line.whole && line.bytes.trim_ascii().is_empty();
    (!blank).then(|| Entry { line: line.number, result: details(line), ignored: Vec::new() })
}

fn details(line: &Line<'_>) -> Result<Details, Vec<RecordError>> {
    if !line.whole {
        return Err(RecordError::whole_record(TOO_LONG));
    }
    // serde_json checks only the strings that it keeps.
    if std::str::from_utf8(line.bytes).is_err() {
        return Err(RecordError::whole_record(NOT_UTF8));
    }
    json::parse(line.bytes, Source::Line).map_err(|error| match error {
        JsonError::Malformed { .. } => RecordError::whole_record(MALFORMED),
        JsonError::Repeated(field) => vec![RecordError::new(field, REPEATED)],
        JsonError::Invalid(errors) => errors,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, summaries};
    use super::super::{Format, record::LIMIT};

    const ANA: &str = r#"{"name":"Ana","phone":"11 98765-4321","email":"ana@example.com"}"#;

    #[test]
    fn each_line_is_a_contact_and_blank_lines_only_count() {
        let text = format!("{ANA}\r\n\n \t\r\n{ANA}");
        assert_eq!(summaries(&read(Format::Ndjson, text.as_bytes())), ["1 Ana", "4 Ana"]);
        assert_eq!(summaries(&read(Format::Ndjson, b"")), [""; 0]);
        let with_mark = format!("\u{feff}{ANA}\n");
        assert_eq!(summaries(&read(Format::Ndjson, with_mark.as_bytes())), ["1 Ana"]);
    }

    #[test]
    fn a_malformed_line_does_not_affect_other_lines() {
        let mut text = b"{\"name\":\"Ana\n".to_vec();
        text.extend_from_slice(b"{\"id\":\"\xff\",\"name\":\"Ana\",\"phone\":\"\",\"email\":\"a@b.co\"}\n[]\n");
        text.extend(std::iter::repeat_n(b' ', LIMIT + 1));
        text.extend_from_slice(format!("\n{{\"phone\":1,\"mail\":\"\"}}\n\u{feff}{ANA}\n{ANA}\n").as_bytes());
        assert_eq!(
            summaries(&read(Format::Ndjson, &text)),
            [
                "1 (line):malformed",
                "2 (line):not_utf8",
                "3 (line):wrong_type",
                "4 (line):too_long",
                "5 name:required phone:wrong_type mail:unknown_field",
                "6 (line):malformed",
                "7 Ana",
            ]
        );
    }
}
