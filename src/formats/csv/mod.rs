//! CSV: a header line, then one contact a record (RFC 4180, and what spreadsheets make of it).
//!
//! Line numbers are exact: they are counted here, because csv-core's are wrong after CRLF and blank lines. An open
//! quote ends the reading, for what looks like later records may lie inside it.

mod cells;
mod columns;
mod header;

use crate::formats::record::{Entry, LIMIT, ReadAborted};
use cells::Cells;
pub use columns::Columns;
use columns::Mapping;
use csv_core::ReadRecordResult as Read;
use header::Heading;

/// The records so far.
pub(super) struct Csv {
    columns: Columns,
    /// The header line, until it is complete.
    heading: Heading,
    /// Then the parser for its delimiter.
    core: Option<csv_core::Reader>,
    mapping: Option<Mapping>,
    cells: Cells,
    /// The line of the next byte.
    line: u64,
    /// The first line of the record that is read.
    start: u64,
    between_records: bool,
    after_cr: bool,
}

impl Csv {
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            columns,
            heading: Heading::default(),
            core: None,
            mapping: None,
            cells: Cells::default(),
            line: 1,
            start: 1,
            between_records: true,
            after_cr: false,
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        // The parser takes an empty slice for the end.
        while let Some((&first, rest)) = bytes.split_first() {
            if self.between_records {
                if matches!(first, b'\r' | b'\n') {
                    self.count_line_end(first);
                    bytes = rest;
                    continue;
                }
                self.between_records = false;
                self.after_cr = false;
                self.start = self.line;
            }
            if self.core.is_some() {
                bytes = self.read(bytes, out)?;
            } else {
                bytes = rest;
                self.head(first, out)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if !self.between_records {
            // One more line end completes every record, except within quotes.
            self.push(b"\n", out)?;
        }
        if !self.between_records {
            return Err(self.stopped("unclosed_quote", "A quote is opened here and not closed before the end."));
        }
        match self.mapping {
            Some(_) => Ok(()),
            None => Err(self.stopped("no_header", "There is no header line.")),
        }
    }

    fn stopped(&self, code: &'static str, detail: impl Into<String>) -> ReadAborted {
        ReadAborted { line: self.start, code, detail: detail.into() }
    }

    fn too_long(&self) -> ReadAborted {
        self.stopped("too_long", "A record may have 64 KiB and 1024 cells at most; perhaps a quote is not closed.")
    }

    /// Takes a byte of the header line; when that is complete, it is read like any record.
    fn head(&mut self, byte: u8, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if self.heading.len() > LIMIT {
            return Err(self.too_long());
        }
        if let Some(delimiter) = self.heading.take(byte) {
            self.core = Some(csv_core::ReaderBuilder::new().delimiter(delimiter).build());
            let heading = std::mem::take(&mut self.heading).into_bytes();
            // Without the quotes of what is no delimiter after all, it may be more than one record.
            self.between_records = true;
            self.push(&heading, out)?;
        }
        Ok(())
    }

    /// Reads on to the end of a record or of the bytes; gives what is left.
    fn read<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<Entry>) -> Result<&'a [u8], ReadAborted> {
        let Some(core) = &mut self.core else { return Ok(bytes) };
        let (result, read) = self.cells.read(core, bytes);
        let (taken, rest) = bytes.split_at_checked(read).unwrap_or((bytes, &[]));
        self.line += taken.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        match result {
            Read::InputEmpty | Read::End => {}
            Read::OutputFull | Read::OutputEndsFull => return Err(self.too_long()),
            Read::Record => {
                if taken.last() == Some(&b'\r') {
                    self.count_line_end(b'\r');
                }
                self.between_records = true;
                self.record(out)?;
                self.cells.clear();
            }
        }
        Ok(rest)
    }

    /// CR, LF, or CR LF, which is one.
    fn count_line_end(&mut self, byte: u8) {
        let second_half = byte == b'\n' && self.after_cr;
        self.line += u64::from(!second_half);
        self.after_cr = byte == b'\r';
    }

    fn record(&mut self, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if let Some(mapping) = &self.mapping {
            out.push(Entry { line: self.start, result: self.cells.details(mapping) });
            return Ok(());
        }
        let headers: Vec<String> = self.cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
        let mapping = Mapping::find(&headers, &self.columns);
        self.mapping = Some(mapping.map_err(|detail| self.stopped("missing_column", detail))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Columns, Format, Reader};
    use super::*;
    use crate::formats::testing::{read, read_chunks, said};

    fn rows(text: &str) -> Vec<String> {
        said(&read(Format::Csv, text.as_bytes()))
    }

    /// What was read before it stopped, where and why.
    fn stopped(bytes: &[u8]) -> (Vec<String>, u64, &'static str) {
        let (entries, finished) = read_chunks(Format::Csv, [bytes]);
        let stopped = finished.unwrap_err();
        (said(&entries), stopped.line, stopped.code)
    }

    const ANA: &str = "Ana,11987654321,ana@example.com";

    #[test]
    fn line_numbers_are_exact() {
        for (end, name) in [("\n", "LF"), ("\r\n", "CR LF"), ("\r", "CR")] {
            let text = format!("\n\nname,phone,email\n{ANA}\n\n\n{ANA}\n{ANA}").replace('\n', end);
            assert_eq!(rows(&text), ["4 Ana", "7 Ana", "8 Ana"], "{name}");
        }
        let quoted = format!("\"name\",phone,email,\"a\r\nb\"\r\n\"A\r\nB\",1,2\r\n\r\n{ANA},\"\n\n\"\n{ANA}\n");
        assert_eq!(rows(&quoted), ["3 name:control_character phone:malformed email:malformed", "6 Ana", "9 Ana"]);
    }

    #[test]
    fn what_looked_like_quotes_in_the_header_may_be_none() {
        let text = format!("name,phone,email,a\t\"b\n\n{ANA}\n\"{ANA}\"\n{ANA}\n");
        assert_eq!(rows(&text), ["3 Ana", "4 phone:required email:required", "5 Ana"]);
    }

    #[test]
    fn the_header_decides() {
        assert_eq!(rows("name,phone,email\n"), [""; 0]);
        assert_eq!(
            rows("\u{feff}\"E-mail\";\"Telefone\";\"Nome\"\nana@example.com;11987654321;\"So;uza\"\n"),
            ["2 So;uza"]
        );
        let google = "First Name\tLast Name\tPhone 1 - Value\tE-mail 1 - Value\nAna\tLima\t11987654321\ta@b.co\n\
                      \tLima\t11987654321\ta@b.co\n\t\t11987654321\ta@b.co\n";
        assert_eq!(rows(google), ["2 Ana Lima", "3 Lima", "4 name:required"]);

        let columns = Columns { name: Some("apelido".into()), ..Columns::default() };
        let mut reader = Reader::new(Format::Csv, columns);
        let mut entries = Vec::new();
        reader.push(format!("name,phone,email,Apelido\n{ANA},Aninha\n").as_bytes(), &mut entries).unwrap();
        assert_eq!(said(&entries), ["2 Aninha"]);
    }

    #[test]
    fn a_wrong_record_harms_no_other() {
        let mut bytes = format!("name,phone,email\nAna\n,,,,\nJos\"e,1\n{ANA},more,cells\n").into_bytes();
        bytes.extend_from_slice(b"Jos\xe9,11987654321,a@b.co\nAna,11987654321,a@b.co,\xff\n");
        assert_eq!(
            said(&read(Format::Csv, &bytes)),
            [
                "2 phone:required email:required",
                "3 name:required phone:required email:required",
                "4 phone:malformed email:required",
                "5 Ana",
                "6 name:not_utf8",
                "7 Ana",
            ]
        );
    }

    #[test]
    fn what_cannot_be_trusted_ends_the_reading() {
        let head = "name,phone,email\n";
        assert_eq!(stopped(b"").1, 1);
        assert_eq!(stopped(b"\r\n\n").2, "no_header");
        assert_eq!(stopped(b"nome,fax\nAna,1").2, "missing_column");
        assert_eq!(stopped(b"\"name,phone,email\nAna"), (vec![], 1, "unclosed_quote"));
        let open = format!("{head}{ANA}\n{ANA},\"\n{ANA}\n{ANA}\n");
        assert_eq!(stopped(open.as_bytes()), (vec!["2 Ana".into()], 3, "unclosed_quote"));
        let long = format!("{head}{ANA}\n\"{}", "x\n".repeat(LIMIT));
        assert_eq!(stopped(long.as_bytes()), (vec!["2 Ana".into()], 3, "too_long"));
        assert_eq!(stopped("x".repeat(2 * LIMIT).as_bytes()), (vec![], 1, "too_long"));
        assert_eq!(stopped(format!("{head}{}\n", ",".repeat(2000)).as_bytes()).2, "too_long");
    }

    #[test]
    fn the_limit_does_not_depend_on_the_chunks() {
        let head = "name,phone,email\n";
        for length in LIMIT - 2..LIMIT + 3 {
            let text = format!("{head}{}\n{ANA}", "x".repeat(length));
            let whole = read_chunks(Format::Csv, [text.as_bytes()]);
            assert_eq!(whole.1.is_ok(), length <= LIMIT, "{length}");
            for cut in [head.len() + length - 1, head.len() + length, head.len() + length + 1] {
                let (first, second) = text.as_bytes().split_at(cut);
                assert_eq!(read_chunks(Format::Csv, [first, second]), whole, "{length} {cut}");
            }
        }
    }
}
