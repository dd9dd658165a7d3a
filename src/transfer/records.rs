//! Splits a file into records of raw bytes with their line numbers. It reads only one record ahead.
//!
//! The rule: each byte of the file is in exactly one record; blank lines belong to the next record. So line numbers in
//! a request can be converted to line numbers in the file. The bytes are UTF-8, whatever the encoding of the file. This
//! file does not check the content; the service does.

use super::arguments::Format;
use crate::formats::DecodingReader;
use std::io::{BufRead, BufReader, ErrorKind, Read};

/// The maximum length of a card or a line of NDJSON, in bytes. A photo in a card has about 100 KiB.
const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The maximum length of a row, in bytes. The service stops at a longer row, because a quotation mark may not be
/// closed. This check finds such a row before its batch is sent.
const MAX_ROW_BYTES: usize = 64 * 1024;

/// Why the next record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the record at line {line} {problem}")]
    Malformed { line: u64, problem: &'static str },
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The line in the file, from 1.
    pub(super) first_line: u64,
    /// The number of lines.
    pub(super) lines: u64,
    pub(super) bytes: Vec<u8>,
}

/// Reads the records of a source in order. The first record of a CSV is its header.
pub(super) struct RecordReader<R> {
    source: BufReader<DecodingReader<R>>,
    format: Format,
    next_line: u64,
    /// The delimiter of a CSV, after the header has shown it.
    delimiter: Option<u8>,
}

/// The position in a cell of a CSV (RFC 4180). In an unquoted cell, a quotation mark is a normal character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CellState {
    Start,
    Unquoted,
    Quoted,
    /// After a quotation mark in a quoted cell. It ends the cell, or it is the first of two.
    QuoteInQuoted,
}

impl CellState {
    fn after(self, byte: u8, is_delimiter: impl Fn(u8) -> bool) -> Self {
        match (self, byte) {
            (Self::Start | Self::QuoteInQuoted, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::QuoteInQuoted,
            (Self::Quoted, _) => Self::Quoted,
            (_, byte) if is_delimiter(byte) => Self::Start,
            _ => Self::Unquoted,
        }
    }
}

/// The possible delimiters. Spreadsheets use the semicolon in countries with a decimal comma.
const fn can_delimit(byte: u8) -> bool {
    matches!(byte, b',' | b';' | b'\t' | b'|')
}

/// The most frequent delimiter of a header, or the comma.
fn delimiter_of(header: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut cell = CellState::Start;
    for &byte in header {
        if !matches!(cell, CellState::Quoted) {
            for (delimiter, count) in &mut counts {
                *count += usize::from(*delimiter == byte);
            }
        }
        cell = cell.after(byte, can_delimit);
    }
    // `max_by_key` takes the last of equal elements. That must be the comma.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

/// The delimiter that a line declares, as Excel does: `sep=;`.
fn declared_delimiter(line: &[u8]) -> Option<u8> {
    let line = line.trim_ascii_start();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match line.strip_suffix(b"\r").unwrap_or(line) {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] if can_delimit(*delimiter) => Some(*delimiter),
        _ => None,
    }
}

/// Finds the last line of a card. The value of an AGENT property can be another card (vCard 2.1).
#[derive(Default)]
struct CardLines {
    after_agent: bool,
    agent_depth: usize,
}

impl CardLines {
    fn ends_record(&mut self, line: &[u8]) -> bool {
        // A line with a space before it continues a folded value.
        let line = line.trim_ascii_end().to_ascii_uppercase();
        if line.is_empty() {
            return false;
        }
        let name_end = line.iter().position(|byte| matches!(byte, b':' | b';')).unwrap_or(line.len());
        let name = line.get(..name_end).and_then(|name| name.rsplit(|byte| *byte == b'.').next()).unwrap_or_default();
        let is_agent = name == b"AGENT";
        let after_agent = std::mem::replace(&mut self.after_agent, is_agent && line.ends_with(b":"));
        match line.as_slice() {
            _ if is_agent && line.ends_with(b":BEGIN:VCARD") => self.agent_depth += 1,
            b"BEGIN:VCARD" if after_agent => self.agent_depth += 1,
            b"BEGIN:VCARD" => self.agent_depth = 0,
            b"END:VCARD" if self.agent_depth > 0 => self.agent_depth -= 1,
            b"END:VCARD" => return true,
            _ => {}
        }
        false
    }
}

impl<R: Read> RecordReader<R> {
    pub(super) fn new(source: R, format: Format) -> Self {
        // Only a CSV without a mark can be Windows-1252; a vCard names its charsets, and JSON is UTF-8.
        let source = DecodingReader::new(source, format == Format::Csv);
        Self { source: BufReader::with_capacity(64 * 1024, source), format, next_line: 1, delimiter: None }
    }

    /// The next record, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        let mut record = Record { first_line: self.next_line, ..Record::default() };
        let found = match self.format {
            Format::Ndjson => self.read_lines(&mut record, |line| !line.trim_ascii().is_empty())?,
            Format::Vcard => {
                let mut cards = CardLines::default();
                self.read_lines(&mut record, |line| cards.ends_record(line))?
            }
            Format::Csv => self.read_row(&mut record)?,
        };
        self.next_line += record.lines;
        Ok(found.then_some(record))
    }

    /// Reads lines up to the last line of a record. Returns false at the end; blank lines at the end are no record.
    fn read_lines(&mut self, record: &mut Record, mut is_last: impl FnMut(&[u8]) -> bool) -> Result<bool, ReadError> {
        loop {
            let start = record.bytes.len();
            self.read_line(record)?;
            if record.bytes.len() > MAX_RECORD_BYTES {
                let problem = "has more than 4 MiB: is its end missing?";
                return Err(ReadError::Malformed { line: record.first_line, problem });
            }
            let line = record.bytes.get(start..).unwrap_or_default();
            if line.is_empty() {
                return Ok(record.bytes.iter().any(|byte| !byte.is_ascii_whitespace()));
            }
            record.lines += 1;
            if is_last(line) {
                return Ok(true);
            }
        }
    }

    /// Reads one line with its LF, CRLF or CR.
    fn read_line(&mut self, record: &mut Record) -> std::io::Result<()> {
        loop {
            if self.peek()?.is_none() || record.bytes.len() > MAX_RECORD_BYTES {
                return Ok(());
            }
            let buffer = self.source.buffer();
            let end = buffer.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let length = end.map_or(buffer.len(), |end| end + 1);
            record.bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
            self.source.consume(length);
            if end.is_some() {
                if record.bytes.ends_with(b"\r") && self.peek()? == Some(b'\n') {
                    self.take(b'\n', record);
                }
                return Ok(());
            }
        }
    }

    /// Reads one row. It ends at LF, CRLF or CR outside quotation marks, as in the service. Returns false at the end.
    fn read_row(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        let malformed = |record: &Record, problem| ReadError::Malformed { line: record.first_line, problem };
        let (mut cell, mut started) = (CellState::Start, false);
        while let Some(byte) = self.peek()? {
            self.take(byte, record);
            if record.bytes.len() > MAX_ROW_BYTES {
                return Err(malformed(record, "has more than 64 KiB: is a quotation mark not closed?"));
            }
            if cell == CellState::Quoted || !matches!(byte, b'\r' | b'\n') {
                record.lines += u64::from(byte == b'\n');
                let delimiter = self.delimiter;
                cell = cell.after(byte, |byte| delimiter.map_or_else(|| can_delimit(byte), |known| known == byte));
                started = true;
                continue;
            }
            if byte == b'\r' && self.peek()? == Some(b'\n') {
                self.take(b'\n', record);
            }
            record.lines += 1;
            if started {
                if self.delimiter.is_none() && declared_delimiter(&record.bytes).is_some() {
                    // The declaration belongs to the header: it is sent with every batch.
                    self.delimiter = declared_delimiter(&record.bytes);
                    (cell, started) = (CellState::Start, false);
                    continue;
                }
                self.delimiter.get_or_insert_with(|| delimiter_of(&record.bytes));
                return Ok(true);
            }
        }
        if cell == CellState::Quoted {
            return Err(malformed(record, "has a quotation mark that is not closed before the end of the file"));
        }
        record.lines += u64::from(started);
        Ok(started)
    }

    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            match self.source.fill_buf() {
                Ok(buffer) => return Ok(buffer.first().copied()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the byte that [`Self::peek`] returned.
    fn take(&mut self, byte: u8, record: &mut Record) {
        self.source.consume(1);
        record.bytes.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{self, Columns, Reader};

    fn split(text: &str, format: Format) -> Vec<(u64, u64, String)> {
        let mut records = RecordReader::new(text.as_bytes(), format);
        let mut all = Vec::new();
        while let Some(Record { first_line, lines, bytes }) = records.next().unwrap() {
            all.push((first_line, lines, String::from_utf8(bytes).unwrap()));
        }
        all
    }

    fn texts(text: &str, format: Format) -> Vec<String> {
        split(text, format).into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn each_line_of_ndjson_is_a_record() {
        let expected = [(1, 1, "{}\n"), (2, 2, " \r\n{\"a\":1}\r\n"), (4, 1, "{}")];
        assert_eq!(split("{}\n \r\n{\"a\":1}\r\n{}", Format::Ndjson), expected.map(|(a, b, c)| (a, b, c.to_owned())));
        assert!(split("\n \n", Format::Ndjson).is_empty());
    }

    #[test]
    fn a_row_ends_at_a_line_end_outside_quotation_marks() {
        let text = "\u{feff}\"na\nme\",note\nAna,\"two\nlines \"\"so\"\", \n\"\r\n\nBia \"B\",5\"\n\"x\"y\"\nz\n";
        let expected = [
            (1, 2, "\"na\nme\",note\n"),
            (3, 3, "Ana,\"two\nlines \"\"so\"\", \n\"\r\n"),
            (6, 2, "\nBia \"B\",5\"\n"),
            (8, 1, "\"x\"y\"\n"),
            (9, 1, "z\n"),
        ];
        assert_eq!(split(text, Format::Csv), expected.map(|(a, b, c)| (a, b, c.to_owned())));
    }

    #[test]
    fn rows_can_have_semicolons_and_tabs() {
        assert_eq!(texts("a;b\n1;\"2\n3\"\n4;5,\"\n", Format::Csv), ["a;b\n", "1;\"2\n3\"\n", "4;5,\"\n"]);
        assert_eq!(texts("a\tb\n1\t\"2\n3\"\n", Format::Csv), ["a\tb\n", "1\t\"2\n3\"\n"]);
        assert_eq!(texts("a|b\n1|2\n", Format::Csv), ["a|b\n", "1|2\n"]);
        assert_eq!(texts("sep=;\r\na;b\n1;2\n", Format::Csv), ["sep=;\r\na;b\n", "1;2\n"]);
        assert_eq!(texts("sep=\t\na\tb\n1\t2\n", Format::Csv), ["sep=\t\na\tb\n", "1\t2\n"]);
        assert_eq!(delimiter_of(b"\"a;b;c\",d\n"), b',');
        assert_eq!(delimiter_of(b"name\n"), b',');
    }

    #[test]
    fn a_card_ends_at_its_last_line() {
        let (one, two) =
            ("BEGIN:VCARD\r\nFN:Ana\r\nEND:VCARD\r\n", "\nBEGIN:VCARD\nFN:END:VCARD\n END:VCAR\nend:vcard");
        assert_eq!(texts(&format!("{one}{two}\n\n"), Format::Vcard), [one.to_owned(), format!("{two}\n")]);
        assert_eq!(
            texts("BEGIN:VCARD\nFN:A", Format::Vcard),
            ["BEGIN:VCARD\nFN:A"],
            "the service reports what is missing"
        );
    }

    #[test]
    fn rows_can_end_with_any_line_end() {
        let expected = [(1, 1, "a,b\r"), (2, 2, "\r1,2\r\n"), (4, 2, "3,\"\r\n\r\"\r"), (6, 1, "5")];
        assert_eq!(split("a,b\r\r1,2\r\n3,\"\r\n\r\"\r5", Format::Csv), expected.map(|(a, b, c)| (a, b, c.to_owned())));
    }

    #[test]
    fn a_record_without_end_is_an_error_with_its_line() {
        for rest in ["x\n".to_owned(), "x\n".repeat(MAX_ROW_BYTES)] {
            let text = format!("name\nAna\n\"Bia\n{rest}");
            let mut records = RecordReader::new(text.as_bytes(), Format::Csv);
            records.next().unwrap();
            records.next().unwrap();
            let error = records.next().unwrap_err().to_string();
            assert!(error.contains("line 3") && error.contains("quotation mark"), "{error}");
        }
        let text = "x".repeat(MAX_RECORD_BYTES + 1);
        let error = RecordReader::new(text.as_bytes(), Format::Ndjson).next().unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("4 MiB"), "{error}");
    }

    /// The reader of the service must find the same records at the same lines. Otherwise a result would name a wrong
    /// line.
    #[test]
    fn the_service_finds_the_same_records() {
        let csv = "sep=;\nname;phone;\"no\nte\";email\r\n\n\"A; \"\"B\"\"\nC\";1;x\rD\"E\";2;\"\r\n\"\r\n\r\r;;\n\"F\"G\";3;y";
        let cards = "\nBEGIN:VCARD\nFN:A\nAGENT:\nBEGIN:VCARD\nEND:VCARD\nEND:VCARD\r\n\r\nbegin:vcard\r\nFN:B\r\nend:vcard\n\nBEGIN:VCARD\nFN:C\nEND:VCARD";
        let objects = "\u{feff}{}\n\r\n{\"name\":1}\r\n \n[]\nx";
        for (format, service_format, text) in [
            (Format::Csv, formats::Format::Csv, csv),
            (Format::Vcard, formats::Format::VCard4, cards),
            (Format::Ndjson, formats::Format::Ndjson, objects),
        ] {
            let (mut reader, mut entries) = (Reader::new(service_format, Columns::default()), Vec::new());
            reader.push(text.as_bytes(), &mut entries).unwrap();
            reader.finish(&mut entries).unwrap();
            let header = usize::from(format == Format::Csv);
            let records = split(text, format);
            let first_lines: Vec<u64> = records
                .iter()
                .skip(header)
                // Without the blank lines before the record.
                .map(|(first, _, text)| first + blank_lines(text))
                .collect();
            assert_eq!(first_lines, entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), "{format:?}");
        }
    }

    fn blank_lines(text: &str) -> u64 {
        let blank: String = text.chars().take_while(|c| c.is_whitespace()).collect();
        blank.replace("\r\n", "\n").chars().filter(|c| matches!(c, '\r' | '\n')).count() as u64
    }
}
