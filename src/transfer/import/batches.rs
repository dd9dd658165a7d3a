//! Records in batches, each a request body with a key of its own.
//!
//! The rule: where a batch is cut, and its key, depend on nothing but the file from its beginning, the format, the columns and
//! `--batch`. So the same import run again sends the same requests, and the service, which makes each record's key from the
//! request's key and the record's line in the body, recognises every one.

use crate::transfer::arguments::Format;
use crate::transfer::records::{Record, RecordError, Records};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read;
use std::ops::Range;

/// Where a batch is cut though it could have more records. The service answers while it reads, and we read the answer only
/// once all is sent: so much fits what the two sides of a connection buffer, and neither waits for the other for ever.
const FULL: usize = 64 * 1024;

/// One request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The header first, if the format has one.
    pub(super) body: Vec<u8>,
    header_lines: u64,
    /// In the file, from 1.
    pub(super) first_line: u64,
    pub(super) last_line: u64,
    /// Each record's last line in the file and its place in the body.
    records: Vec<(u64, Range<usize>)>,
}

/// All batches of a source.
pub(super) struct Batches<R> {
    records: Records<R>,
    header: Option<Record>,
    has_header: bool,
    most: usize,
    /// Read, and for the next batch.
    waiting: Option<Record>,
}

impl<R: Read> Batches<R> {
    pub(super) fn new(source: R, format: Format, most: u32) -> Self {
        Self {
            records: Records::new(source, format),
            header: None,
            has_header: format == Format::Csv,
            most: most as usize,
            waiting: None,
        }
    }

    /// The header, once the first batch was asked for.
    pub(super) fn header(&self) -> &[u8] {
        self.header.as_ref().map_or(&[], |header| &header.bytes)
    }

    pub(super) fn next(&mut self) -> Result<Option<Batch>, RecordError> {
        if self.has_header && self.header.is_none() {
            self.header = self.records.next()?;
        }
        let mut batch = Batch {
            body: self.header().to_vec(),
            header_lines: self.header.as_ref().map_or(0, |header| header.lines),
            ..Batch::default()
        };
        let begin = batch.body.len();
        while batch.records.len() < self.most {
            let record = match self.waiting.take() {
                Some(record) => record,
                None => match self.records.next()? {
                    Some(record) => record,
                    None => break,
                },
            };
            if !batch.records.is_empty() && batch.body.len() - begin + record.bytes.len() > FULL {
                self.waiting = Some(record);
                break;
            }
            batch.add(&record);
        }
        Ok((!batch.records.is_empty()).then_some(batch))
    }
}

impl Batch {
    fn add(&mut self, record: &Record) {
        if self.records.is_empty() {
            self.first_line = record.first_line;
        }
        self.last_line = record.first_line + record.lines.saturating_sub(1);
        let begin = self.body.len();
        self.body.extend_from_slice(&record.bytes);
        self.records.push((self.last_line, begin..self.body.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// How much of the file it is, without the header.
    pub(super) fn bytes(&self) -> usize {
        self.records.iter().map(|(_, range)| range.len()).sum()
    }

    /// The line of the file that is this line of the body.
    pub(super) const fn line_in_file(&self, line: u64) -> u64 {
        if line <= self.header_lines { line } else { self.first_line + line - self.header_lines - 1 }
    }

    /// Which of its records stands on this line of the file.
    pub(super) fn record_at(&self, line: u64) -> Option<usize> {
        let at = self.records.partition_point(|(last, _)| *last < line);
        (at < self.records.len()).then_some(at)
    }

    /// This record, as it is in the file.
    pub(super) fn record(&self, at: usize) -> &[u8] {
        self.records.get(at).and_then(|(_, range)| self.body.get(range.clone())).unwrap_or_default()
    }

    /// Its key: made from all that the request says, so that another request never has it, and from where it stands, so that
    /// a part that is in the file twice is imported twice.
    pub(super) fn key(&self, says: &[(&str, &str)]) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (name, value) in says {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        part(&self.first_line.to_le_bytes());
        part(&self.body);
        hash.finalize().iter().fold("import-".to_owned(), |mut key, byte| {
            // Writing to a text cannot fail.
            let _ = write!(key, "{byte:02x}");
            key
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, format: Format, most: u32) -> Vec<Batch> {
        let mut batches = Batches::new(text.as_bytes(), format, most);
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    #[test]
    fn every_batch_has_the_header_and_finds_its_lines_in_the_file() {
        let text = "\nname,\"e-\nmail\"\n1,a\n2,\"b\nb\"\n\n3,c\n4,d\n5,e";
        let batches = all(text, Format::Csv, 2);
        let bodies: Vec<&str> = batches.iter().map(|batch| str::from_utf8(&batch.body).unwrap()).collect();
        let head = "\nname,\"e-\nmail\"\n";
        assert_eq!(bodies, ["1,a\n2,\"b\nb\"\n", "\n3,c\n4,d\n", "5,e"].map(|rows| format!("{head}{rows}")));
        let lines: Vec<(u64, u64)> = batches.iter().map(|batch| (batch.first_line, batch.last_line)).collect();
        assert_eq!(lines, [(4, 6), (7, 9), (10, 10)]);
        // Row 3 is line 5 of the body, after the header's three and a blank one, and line 8 of the file.
        let second = &batches[1];
        assert_eq!((second.line_in_file(5), second.line_in_file(6), second.line_in_file(2)), (8, 9, 2));
        assert_eq!((second.record_at(8), second.record_at(9)), (Some(0), Some(1)));
        assert_eq!((second.record(0), second.record(1)), (&b"\n3,c\n"[..], &b"4,d\n"[..]));
        assert_eq!((batches[0].record_at(6), batches[0].record_at(7)), (Some(1), None));
        assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), 5);
    }

    #[test]
    fn no_batch_is_larger_than_what_a_connection_buffers() {
        let text = format!("\"{}\"\n", "x".repeat(FULL / 3)).repeat(7) + &format!("\"{}\"\n", "y".repeat(3 * FULL));
        let batches = all(&text, Format::Ndjson, 1_000);
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 2, 1, 1]);
        assert_eq!(batches.iter().map(Batch::bytes).sum::<usize>(), text.len());
    }

    #[test]
    fn keys_are_the_same_for_the_same_request_only() {
        let key = |text: &str, at: usize, says: &[(&str, &str)]| all(text, Format::Ndjson, 1)[at].key(says);
        let first = key("1\n1\n", 0, &[("a", "bc")]);
        assert_eq!(first, key("1\n2\n", 0, &[("a", "bc")]), "whatever follows");
        assert!(first.len() == 71 && first.starts_with("import-"));
        for (text, at, says) in [("1\n1\n", 1, ("a", "bc")), ("2\n", 0, ("a", "bc")), ("1\n", 0, ("ab", "c"))] {
            assert_ne!(first, key(text, at, &[says]), "{text:?} {at} {says:?}");
        }
    }

    #[test]
    fn nothing_is_no_batch() {
        for format in [Format::Ndjson, Format::Csv, Format::Vcard] {
            assert!(all("\n\n", format, 10).is_empty());
        }
        assert!(all("name,phone\n", Format::Csv, 10).is_empty());
    }
}
