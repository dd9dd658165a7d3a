//! Reads CSV: a header line, then one contact per record (RFC 4180, and the variants that spreadsheets write).
//!
//! This file counts lines itself, because the line numbers of csv-core are wrong after CRLF and blank lines. A quote
//! that is not closed stops the reader, because later records could be inside the quote.

mod cells;
mod columns;
mod delimiter;

use crate::formats::record::{Entry, LIMIT, ReadAborted};
use cells::Cells;
pub use columns::Columns;
use columns::Mapping;
use csv_core::ReadRecordResult as Read;
use delimiter::Header;

/// The reader for CSV.
pub(super) struct Csv {
    columns: Columns,
    /// The header line, until it is complete.
    header: Header,
    /// The parser, after the header line has shown the delimiter.
    parser: Option<csv_core::Reader>,
    delimiter: Option<u8>,
    mapping: Option<Mapping>,
    cells: Cells,
    /// The line of the next byte.
    line: u64,
    /// The first line of the current record.
    record_line: u64,
    between_records: bool,
    after_cr: bool,
}

impl Csv {
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            columns,
            header: Header::default(),
            parser: None,
            delimiter: None,
            mapping: None,
            cells: Cells::default(),
            line: 1,
            record_line: 1,
            between_records: true,
            after_cr: false,
        }
    }

    /// The name of the delimiter, after the header has shown it.
    pub(super) fn delimiter(&self) -> Option<&'static str> {
        self.delimiter.map(delimiter::name)
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        // For the parser, an empty slice means the end of the input.
        while let Some((&first, rest)) = bytes.split_first() {
            if self.between_records {
                if matches!(first, b'\r' | b'\n') {
                    self.count_line_end(first);
                    bytes = rest;
                    continue;
                }
                self.between_records = false;
                self.after_cr = false;
                self.record_line = self.line;
            }
            if self.parser.is_some() {
                bytes = self.read_record(bytes, out)?;
            } else {
                bytes = rest;
                self.read_header(first, out)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if !self.between_records {
            // A line end completes the record, except within quotes.
            self.push(b"\n", out)?;
        }
        if !self.between_records {
            return Err(self.abort("unclosed_quote", "A quote is opened here and not closed before the end."));
        }
        match self.mapping {
            Some(_) => Ok(()),
            None => Err(self.abort("no_header", "There is no header line.")),
        }
    }

    fn abort(&self, code: &'static str, detail: impl Into<String>) -> ReadAborted {
        ReadAborted { line: self.record_line, code, detail: detail.into() }
    }

    fn too_long(&self) -> ReadAborted {
        self.abort("too_long", "A record may have 64 KiB and 1024 cells at most; perhaps a quote is not closed.")
    }

    /// Takes a byte of the header line. When the line is complete, it is parsed like a record.
    fn read_header(&mut self, byte: u8, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if self.header.len() > LIMIT {
            return Err(self.too_long());
        }
        if let Some(delimiter) = self.header.push(byte) {
            if let Some(declared) = self.header.declared_delimiter() {
                // Excel reads the line `sep=;` as a declaration, not as a header.
                self.header = Header::with_delimiter(declared);
                self.between_records = true;
                self.count_line_end(byte);
                return Ok(());
            }
            self.delimiter = Some(delimiter);
            self.parser = Some(csv_core::ReaderBuilder::new().delimiter(delimiter).build());
            let header = std::mem::take(&mut self.header).into_bytes();
            // With the known delimiter, some quotes do not open a cell. Then these bytes can be more than one record.
            self.between_records = true;
            self.push(&header, out)?;
        }
        Ok(())
    }

    /// Reads to the end of the record or of the bytes. Returns the remaining bytes.
    fn read_record<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<Entry>) -> Result<&'a [u8], ReadAborted> {
        let Some(parser) = &mut self.parser else { return Ok(bytes) };
        let (result, length) = self.cells.read(parser, bytes);
        let (taken, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.line += taken.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        match result {
            Read::InputEmpty | Read::End => {}
            Read::OutputFull | Read::OutputEndsFull => return Err(self.too_long()),
            Read::Record => {
                if taken.last() == Some(&b'\r') {
                    self.count_line_end(b'\r');
                }
                self.between_records = true;
                self.finish_record(out)?;
                self.cells.clear();
            }
        }
        Ok(rest)
    }

    /// Counts CR, LF or CR LF as one line end.
    fn count_line_end(&mut self, byte: u8) {
        let ends_crlf = byte == b'\n' && self.after_cr;
        self.line += u64::from(!ends_crlf);
        self.after_cr = byte == b'\r';
    }

    /// Takes the first record as the header, and every other record as a contact.
    fn finish_record(&mut self, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if let Some(mapping) = &self.mapping {
            let (result, ignored) = self.cells.details(mapping);
            out.push(Entry { line: self.record_line, result, ignored });
            return Ok(());
        }
        let headers: Vec<String> = self.cells.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
        let mapping = Mapping::find(&headers, &self.columns);
        self.mapping = Some(mapping.map_err(|detail| self.abort("missing_column", detail))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Columns, Format, Reader};
    use super::*;
    use crate::formats::testing::{read, read_chunks, summaries};

    fn rows(text: &str) -> Vec<String> {
        summaries(&read(Format::Csv, text.as_bytes()))
    }

    /// The entries before the error, its line and its code.
    fn aborted(bytes: &[u8]) -> (Vec<String>, u64, &'static str) {
        let (entries, finished) = read_chunks(Format::Csv, [bytes]);
        let aborted = finished.unwrap_err();
        (summaries(&entries), aborted.line, aborted.code)
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
    fn a_quote_after_another_delimiter_does_not_open_a_cell() {
        let text = format!("name,phone,email,a\t\"b\n\n{ANA}\n\"{ANA}\"\n{ANA}\n");
        assert_eq!(rows(&text), ["3 Ana", "4 phone:required", "5 Ana"]);
    }

    #[test]
    fn the_header_decides_the_delimiter_and_the_columns() {
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
        assert_eq!(summaries(&entries), ["2 Aninha"]);
    }

    #[test]
    fn an_invalid_record_does_not_affect_other_records() {
        let mut bytes = format!("name,phone,email\nAna\n,,,,\nJos\"e,1\n{ANA},more,cells\n").into_bytes();
        bytes.extend_from_slice(b"Jos\xe9,11987654321,a@b.co\nAna,11987654321,a@b.co,\xff\n");
        assert_eq!(
            summaries(&read(Format::Csv, &bytes)),
            ["2 phone:required", "3 name:required phone:required", "4 phone:malformed", "5 Ana", "6 José", "7 Ana",]
        );
    }

    #[test]
    fn a_missing_header_or_an_open_quote_stops_the_reader() {
        let head = "name,phone,email\n";
        assert_eq!(aborted(b"").1, 1);
        assert_eq!(aborted(b"\r\n\n").2, "no_header");
        assert_eq!(aborted(b"nome,fax\nAna,1").2, "missing_column");
        assert_eq!(aborted(b"\"name,phone,email\nAna"), (vec![], 1, "unclosed_quote"));
        let open = format!("{head}{ANA}\n{ANA},\"\n{ANA}\n{ANA}\n");
        assert_eq!(aborted(open.as_bytes()), (vec!["2 Ana".into()], 3, "unclosed_quote"));
        let long = format!("{head}{ANA}\n\"{}", "x\n".repeat(LIMIT));
        assert_eq!(aborted(long.as_bytes()), (vec!["2 Ana".into()], 3, "too_long"));
        assert_eq!(aborted("x".repeat(2 * LIMIT).as_bytes()), (vec![], 1, "too_long"));
        assert_eq!(aborted(format!("{head}{}\n", ",".repeat(2000)).as_bytes()).2, "too_long");
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
