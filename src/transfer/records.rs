//! Cuts a file into its records, as raw bytes, with the lines they stand on; reads no further ahead than one record.
//!
//! The rule: every byte of the file is in exactly one record (blank lines are in the one after them), so that a line of any
//! run of records is found again in the file by counting. What a record says it must not know: that is the service's to judge.

use super::arguments::Format;
use std::io::{BufRead, BufReader, ErrorKind, Read};

/// The longest card, or line of NDJSON: a photo on a card has some 100 KiB.
const LONGEST: usize = 4 * 1024 * 1024;
/// The longest row. The service reads no more of a CSV after a longer one: all from there on may lie within a quotation mark
/// that is not closed. So that is found before anything of its batch is sent.
const LONGEST_ROW: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why there is no next record.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("the record that begins at line {line} {what}")]
    Unreadable { line: u64, what: &'static str },
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// In the file, from 1.
    pub(super) first_line: u64,
    pub(super) lines: u64,
    pub(super) bytes: Vec<u8>,
}

/// The records of a source, one after another; of a CSV the first is its header.
pub(super) struct Records<R> {
    source: BufReader<R>,
    format: Format,
    next_line: u64,
    /// What stands between the fields of a CSV, once the header has shown it.
    delimiter: Option<u8>,
}

/// Where in a CSV's field one is, as RFC 4180 has it; a quotation mark within an unquoted field is only a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quotation mark within a quoted field: its end, or the first of two.
    Closing,
}

impl Place {
    fn after(self, byte: u8, delimits: impl Fn(u8) -> bool) -> Self {
        match (self, byte) {
            (Self::FieldStart | Self::Closing, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Closing,
            (Self::Quoted, _) => Self::Quoted,
            (_, byte) if delimits(byte) => Self::FieldStart,
            _ => Self::Unquoted,
        }
    }
}

/// What may stand between fields: spreadsheets of countries that write 1,5 use a semicolon.
const fn may_delimit(byte: u8) -> bool {
    matches!(byte, b',' | b';' | b'\t')
}

/// What delimits most in a header, the comma where none does.
fn delimiter_of(header: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut place = Place::FieldStart;
    for &byte in header {
        if !matches!(place, Place::Quoted) {
            for (delimiter, count) in &mut counts {
                *count += usize::from(*delimiter == byte);
            }
        }
        place = place.after(byte, may_delimit);
    }
    // Of equals the last would be taken, and the comma is to be.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| *delimiter)
}

impl<R: Read> Records<R> {
    pub(super) fn new(source: R, format: Format) -> Self {
        Self { source: BufReader::with_capacity(64 * 1024, source), format, next_line: 1, delimiter: None }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, RecordError> {
        let mut record = Record { first_line: self.next_line, ..Record::default() };
        let found = match self.format {
            Format::Ndjson => self.lines(&mut record, |line| !line.trim_ascii().is_empty())?,
            Format::Vcard => self.lines(&mut record, |line| line.trim_ascii().eq_ignore_ascii_case(b"END:VCARD"))?,
            Format::Csv => self.row(&mut record)?,
        };
        self.next_line += record.lines;
        Ok(found.then_some(record))
    }

    /// Takes lines up to the last of a record. False at the end; blank lines there belong to nothing.
    fn lines(&mut self, record: &mut Record, is_last: impl Fn(&[u8]) -> bool) -> Result<bool, RecordError> {
        loop {
            let before = record.bytes.len();
            let room = (LONGEST - before) as u64 + 1;
            self.source.by_ref().take(room).read_until(b'\n', &mut record.bytes)?;
            if record.bytes.len() > LONGEST {
                let what = "has more than 4 MiB: is its end missing?";
                return Err(RecordError::Unreadable { line: record.first_line, what });
            }
            let line = record.bytes.get(before..).unwrap_or_default();
            if line.is_empty() {
                return Ok(record.bytes.iter().any(|byte| !byte.is_ascii_whitespace()));
            }
            record.lines += 1;
            if is_last(line) {
                return Ok(true);
            }
        }
    }

    /// Takes one row, which ends, as for the service, at LF, CRLF or CR outside of quotation marks. False at the end.
    fn row(&mut self, record: &mut Record) -> Result<bool, RecordError> {
        let unreadable = |record: &Record, what| RecordError::Unreadable { line: record.first_line, what };
        let (mut place, mut begun) = (Place::FieldStart, false);
        while let Some(byte) = self.peek()? {
            self.take(byte, record);
            if record.bytes.len() > LONGEST_ROW {
                return Err(unreadable(record, "has more than 64 KiB: is a quotation mark not closed?"));
            }
            if place == Place::Quoted || !matches!(byte, b'\r' | b'\n') {
                record.lines += u64::from(byte == b'\n');
                let delimiter = self.delimiter;
                place = place.after(byte, |byte| delimiter.map_or_else(|| may_delimit(byte), |known| known == byte));
                begun = true;
                if record.first_line == 1 && record.bytes == BYTE_ORDER_MARK {
                    (place, begun) = (Place::FieldStart, false);
                }
                continue;
            }
            if byte == b'\r' && self.peek()? == Some(b'\n') {
                self.take(b'\n', record);
            }
            record.lines += 1;
            if begun {
                self.delimiter.get_or_insert_with(|| delimiter_of(&record.bytes));
                return Ok(true);
            }
        }
        if place == Place::Quoted {
            return Err(unreadable(record, "has a quotation mark that is not closed before the end of the file"));
        }
        record.lines += u64::from(begun);
        Ok(begun)
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

    /// Takes the byte that was seen.
    fn take(&mut self, byte: u8, record: &mut Record) {
        self.source.consume(1);
        record.bytes.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{self, Columns, Reader};

    fn cut(text: &str, format: Format) -> Vec<(u64, u64, String)> {
        let mut records = Records::new(text.as_bytes(), format);
        let mut all = Vec::new();
        while let Some(Record { first_line, lines, bytes }) = records.next().unwrap() {
            all.push((first_line, lines, String::from_utf8(bytes).unwrap()));
        }
        all
    }

    fn texts(text: &str, format: Format) -> Vec<String> {
        cut(text, format).into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn objects_by_line() {
        let expected = [(1, 1, "{}\n"), (2, 2, " \r\n{\"a\":1}\r\n"), (4, 1, "{}")];
        assert_eq!(cut("{}\n \r\n{\"a\":1}\r\n{}", Format::Ndjson), expected.map(|(a, b, c)| (a, b, c.to_owned())));
        assert!(cut("\n \n", Format::Ndjson).is_empty());
    }

    #[test]
    fn rows_by_line_ends_outside_quotation_marks() {
        let text = "\u{feff}\"na\nme\",note\nAna,\"two\nlines \"\"so\"\", \n\"\r\n\nBia \"B\",5\"\n\"x\"y\"\nz\n";
        let expected = [
            (1, 2, "\u{feff}\"na\nme\",note\n"),
            (3, 3, "Ana,\"two\nlines \"\"so\"\", \n\"\r\n"),
            (6, 2, "\nBia \"B\",5\"\n"),
            (8, 1, "\"x\"y\"\n"),
            (9, 1, "z\n"),
        ];
        assert_eq!(cut(text, Format::Csv), expected.map(|(a, b, c)| (a, b, c.to_owned())));
    }

    #[test]
    fn rows_with_semicolons_and_tabs() {
        assert_eq!(texts("a;b\n1;\"2\n3\"\n4;5,\"\n", Format::Csv), ["a;b\n", "1;\"2\n3\"\n", "4;5,\"\n"]);
        assert_eq!(texts("a\tb\n1\t\"2\n3\"\n", Format::Csv), ["a\tb\n", "1\t\"2\n3\"\n"]);
        assert_eq!(delimiter_of(b"\"a;b;c\",d\n"), b',');
        assert_eq!(delimiter_of(b"name\n"), b',');
    }

    #[test]
    fn cards_by_their_end() {
        let (one, two) =
            ("BEGIN:VCARD\r\nFN:Ana\r\nEND:VCARD\r\n", "\nBEGIN:VCARD\nFN:END:VCARD\n END:VCAR\nend:vcard");
        assert_eq!(texts(&format!("{one}{two}\n\n"), Format::Vcard), [one.to_owned(), format!("{two}\n")]);
        assert_eq!(texts("BEGIN:VCARD\nFN:A", Format::Vcard), ["BEGIN:VCARD\nFN:A"], "the service says what it lacks");
    }

    #[test]
    fn rows_by_any_line_end_counted_as_the_service_does() {
        let expected = [(1, 1, "a,b\r"), (2, 2, "\r1,2\r\n"), (4, 2, "3,\"\r\n\r\"\r"), (6, 1, "5")];
        assert_eq!(cut("a,b\r\r1,2\r\n3,\"\r\n\r\"\r5", Format::Csv), expected.map(|(a, b, c)| (a, b, c.to_owned())));
    }

    #[test]
    fn what_never_ends_is_told_with_its_line() {
        for rest in ["x\n".to_owned(), "x\n".repeat(LONGEST_ROW)] {
            let text = format!("name\nAna\n\"Bia\n{rest}");
            let mut records = Records::new(text.as_bytes(), Format::Csv);
            records.next().unwrap();
            records.next().unwrap();
            let why = records.next().unwrap_err().to_string();
            assert!(why.contains("line 3") && why.contains("quotation mark"), "{why}");
        }
        let text = "x".repeat(LONGEST + 1);
        let why = Records::new(text.as_bytes(), Format::Ndjson).next().unwrap_err().to_string();
        assert!(why.contains("line 1") && why.contains("4 MiB"), "{why}");
    }

    /// The service's own reader must see the same records at the same lines, or results would name the wrong ones.
    #[test]
    fn the_service_finds_the_same_records() {
        let csv = "\u{feff}name;phone;\"no\nte\";email\r\n\n\"A; \"\"B\"\"\nC\";1;x\rD\"E\";2;\"\r\n\"\r\n\r\r;;\n\"F\"G\";3;y";
        let cards =
            "\nBEGIN:VCARD\nFN:A\nEND:VCARD\r\n\r\nbegin:vcard\r\nFN:B\r\nend:vcard\n\nBEGIN:VCARD\nFN:C\nEND:VCARD";
        let objects = "\u{feff}{}\n\r\n{\"name\":1}\r\n \n[]\nx";
        for (format, theirs, text) in [
            (Format::Csv, formats::Format::Csv, csv),
            (Format::Vcard, formats::Format::VCard4, cards),
            (Format::Ndjson, formats::Format::Ndjson, objects),
        ] {
            let (mut reader, mut entries) = (Reader::new(theirs, Columns::default()), Vec::new());
            reader.push(text.as_bytes(), &mut entries).unwrap();
            reader.finish(&mut entries).unwrap();
            let header = usize::from(format == Format::Csv);
            let ours = cut(text, format);
            let begins: Vec<u64> = ours
                .iter()
                .skip(header)
                // Without the blank lines before it.
                .map(|(first, _, text)| first + blank_lines(text))
                .collect();
            assert_eq!(begins, entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), "{format:?}");
        }
    }

    fn blank_lines(text: &str) -> u64 {
        let blank: String = text.chars().take_while(|c| c.is_whitespace()).collect();
        blank.replace("\r\n", "\n").chars().filter(|c| matches!(c, '\r' | '\n')).count() as u64
    }
}
