//! Groups records into batches. Each batch is one request.
//!
//! All requests have the same idempotency key. The service makes the key of a record from this key and the values of the
//! record. So it recognises every record that it has accepted, whatever the batch.

use crate::transfer::arguments::Format;
use crate::transfer::records::{ReadError, Record, RecordReader};
use std::io::Read;
use std::ops::Range;

/// The maximum length of a batch, in bytes; a single record can be longer. The service answers while it reads, but this
/// client reads the answer only after it has sent the request. The answers to this length fit into the buffers of a
/// connection, so the two sides never block each other.
const MAX_BATCH_BYTES: usize = 64 * 1024;

/// The records of one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The header, if the format has one, and the records.
    pub(super) body: Vec<u8>,
    header_lines: u64,
    /// The line in the file, from 1.
    pub(super) first_line: u64,
    /// The line in the file, from 1.
    pub(super) last_line: u64,
    /// For each record: its last line in the file and its range in the body.
    records: Vec<(u64, Range<usize>)>,
}

/// All batches of a source.
pub(super) struct Batches<R> {
    records: RecordReader<R>,
    header: Option<Record>,
    has_header: bool,
    max_records: usize,
    /// A record that did not fit into the last batch.
    pending: Option<Record>,
}

impl<R: Read> Batches<R> {
    pub(super) fn new(source: R, format: Format, max_records: u32) -> Self {
        Self {
            records: RecordReader::new(source, format),
            header: None,
            has_header: format == Format::Csv,
            max_records: max_records as usize,
            pending: None,
        }
    }

    /// The header. It is empty before the first batch is read.
    pub(super) fn header(&self) -> &[u8] {
        self.header.as_ref().map_or(&[], |header| &header.bytes)
    }

    /// The next batch, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Batch>, ReadError> {
        if self.has_header && self.header.is_none() {
            self.header = self.records.next()?;
        }
        let mut batch = Batch {
            body: self.header().to_vec(),
            header_lines: self.header.as_ref().map_or(0, |header| header.lines),
            ..Batch::default()
        };
        let header_bytes = batch.body.len();
        while batch.records.len() < self.max_records {
            let record = match self.pending.take() {
                Some(record) => record,
                None => match self.records.next()? {
                    Some(record) => record,
                    None => break,
                },
            };
            if !batch.records.is_empty() && batch.body.len() - header_bytes + record.bytes.len() > MAX_BATCH_BYTES {
                self.pending = Some(record);
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
        let start = self.body.len();
        self.body.extend_from_slice(&record.bytes);
        self.records.push((self.last_line, start..self.body.len()));
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The length of the records, without the header.
    pub(super) fn bytes(&self) -> usize {
        self.records.iter().map(|(_, range)| range.len()).sum()
    }

    /// Converts a line of the body to a line of the file.
    pub(super) const fn line_in_file(&self, line: u64) -> u64 {
        if line <= self.header_lines { line } else { self.first_line + line - self.header_lines - 1 }
    }

    /// The index of the record at this line of the file.
    pub(super) fn record_at(&self, line: u64) -> Option<usize> {
        let index = self.records.partition_point(|(last, _)| *last < line);
        (index < self.records.len()).then_some(index)
    }

    /// The bytes of a record, as in the file.
    pub(super) fn record(&self, index: usize) -> &[u8] {
        self.records.get(index).and_then(|(_, range)| self.body.get(range.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, format: Format, max_records: u32) -> Vec<Batch> {
        let mut batches = Batches::new(text.as_bytes(), format, max_records);
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    #[test]
    fn every_batch_has_the_header_and_converts_its_lines() {
        let text = "\nname,\"e-\nmail\"\n1,a\n2,\"b\nb\"\n\n3,c\n4,d\n5,e";
        let batches = all(text, Format::Csv, 2);
        let bodies: Vec<&str> = batches.iter().map(|batch| str::from_utf8(&batch.body).unwrap()).collect();
        let head = "\nname,\"e-\nmail\"\n";
        assert_eq!(bodies, ["1,a\n2,\"b\nb\"\n", "\n3,c\n4,d\n", "5,e"].map(|rows| format!("{head}{rows}")));
        let lines: Vec<(u64, u64)> = batches.iter().map(|batch| (batch.first_line, batch.last_line)).collect();
        assert_eq!(lines, [(4, 6), (7, 9), (10, 10)]);
        // Row 3 is at line 5 of the body (after three lines of the header and a blank line) and at line 8 of the file.
        let second = &batches[1];
        assert_eq!((second.line_in_file(5), second.line_in_file(6), second.line_in_file(2)), (8, 9, 2));
        assert_eq!((second.record_at(8), second.record_at(9)), (Some(0), Some(1)));
        assert_eq!((second.record(0), second.record(1)), (&b"\n3,c\n"[..], &b"4,d\n"[..]));
        assert_eq!((batches[0].record_at(6), batches[0].record_at(7)), (Some(1), None));
        assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), 5);
    }

    #[test]
    fn a_batch_with_several_records_fits_into_the_buffers_of_a_connection() {
        let text = format!("\"{}\"\n", "x".repeat(MAX_BATCH_BYTES / 3)).repeat(7)
            + &format!("\"{}\"\n", "y".repeat(3 * MAX_BATCH_BYTES));
        let batches = all(&text, Format::Ndjson, 1_000);
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 2, 1, 1]);
        assert_eq!(batches.iter().map(Batch::bytes).sum::<usize>(), text.len());
    }

    #[test]
    fn a_file_without_records_has_no_batch() {
        for format in [Format::Ndjson, Format::Csv, Format::Vcard] {
            assert!(all("\n\n", format, 10).is_empty());
        }
        assert!(all("name,phone\n", Format::Csv, 10).is_empty());
    }
}
