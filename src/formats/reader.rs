//! Reads any format: it takes bytes and gives each record as soon as the record is complete.
//!
//! This file chooses the reader of a format, and decodes the input before it.

use super::csv::Csv;
use super::encoding::{Decoder, Encoding};
use super::ndjson::Ndjson;
use super::vcard::VCards;
use super::{Columns, Entry, Format, ReadAborted};

/// Reads contacts from bytes as they arrive.
pub struct Reader {
    decoder: Decoder,
    records: RecordReader,
}

/// The reader of a format, for UTF-8.
struct RecordReader {
    format: FormatReader,
    aborted: Option<ReadAborted>,
}

enum FormatReader {
    Ndjson(Ndjson),
    Csv(Box<Csv>),
    VCard(Box<VCards>),
}

impl Reader {
    /// A reader for a format. Only CSV uses the columns.
    pub fn new(format: Format, columns: Columns) -> Self {
        let decoder = Decoder::new(format.can_be_windows_1252());
        let format = match format {
            Format::Ndjson => FormatReader::Ndjson(Ndjson::default()),
            Format::Csv => FormatReader::Csv(Box::new(Csv::new(columns))),
            Format::VCard4 | Format::VCard3 => FormatReader::VCard(Box::default()),
        };
        Self { decoder, records: RecordReader { format, aborted: None } }
    }

    /// The sender says that the bytes are UTF-8: the encoding is not guessed.
    #[must_use]
    pub const fn declared_utf8(mut self) -> Self {
        self.decoder.disable_fallback();
        self
    }

    /// Takes the next bytes and appends the records that they complete. A chunk can end anywhere.
    ///
    /// # Errors
    /// The reader stops at an error, and every later call gives the same error. The entries before the error are valid.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        self.records.push(self.decoder.decode(bytes, false), out)
    }

    /// Ends the input and appends the last record, if it is not yet complete.
    ///
    /// # Errors
    /// The same as [`Self::push`].
    pub fn finish(&mut self, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        self.records.push(self.decoder.decode(b"", true), out)?;
        match &mut self.records.format {
            FormatReader::Ndjson(lines) => lines.finish(out),
            FormatReader::Csv(csv) => csv.finish(out)?,
            FormatReader::VCard(cards) => cards.finish(out),
        }
        Ok(())
    }

    /// The encoding of the input, as far as it is known.
    pub const fn encoding(&self) -> Encoding {
        self.decoder.encoding()
    }

    /// The name of the delimiter of a CSV, after its header.
    pub fn delimiter(&self) -> Option<&'static str> {
        match &self.records.format {
            FormatReader::Csv(csv) => csv.delimiter(),
            FormatReader::Ndjson(_) | FormatReader::VCard(_) => None,
        }
    }
}

impl RecordReader {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if let Some(aborted) = &self.aborted {
            return Err(aborted.clone());
        }
        match &mut self.format {
            FormatReader::Ndjson(lines) => lines.push(bytes, out),
            FormatReader::VCard(cards) => cards.push(bytes, out),
            FormatReader::Csv(csv) => {
                csv.push(bytes, out).inspect_err(|aborted| self.aborted = Some(aborted.clone()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{contact, details, read_chunks};
    use super::super::{ContactView, write_header, write_record};
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    /// Elements of the formats. A random sequence of them is often close to a valid file.
    const PIECES: &[&[u8]] = &[
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b" ",
        b"\t",
        b"\"",
        b"\"\"",
        b",",
        b";",
        b":",
        b"\\",
        b"=",
        b"{",
        b"}",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xef\xbb",
        b"\xff",
        "é".as_bytes(),
        b"name,phone,email\n",
        b"E-mail;Nome;Celular\r\n",
        b"Ana,11987654321,ana@example.com\n",
        b"Ana",
        b"11987654321",
        b"{\"name\":\"Ana\",\"phone\":\"11987654321\",\"email\":\"ana@example.com\"}\n",
        b"BEGIN:VCARD\r\n",
        b"BEGIN:VCARD\nVERSION:3.0\n",
        b"VERSION:4.0\r\n",
        b"END:VCARD\r\n",
        b"FN:Ana\r\n",
        b"FN:",
        b"N:Souza;Ana;;;\n",
        b"TEL;TYPE=cell:11987654321\n",
        b"TEL;VALUE=uri:tel:+55-11-",
        b"EMAIL:ana@example.com\r\n",
        b"PHOTO;ENCODING=b:AAAA\r\n ",
        b"AAAA",
        b"item1.EMAIL;",
    ];

    fn chunks<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
        let mut offsets: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        offsets.extend([0, bytes.len()]);
        offsets.sort_unstable();
        offsets.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    fn written(format: Format, contacts: &[crate::domain::Details]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(format, &mut bytes);
        for details in contacts {
            write_record(format, &ContactView::new(&contact(details.clone())).unwrap(), &mut bytes);
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn written_contacts_are_read_again(
            contacts in proptest::collection::vec(details(), 0..5),
            format in select(Format::ALL.to_vec()),
            cuts in proptest::collection::vec(any::<Index>(), 0..5),
        ) {
            let bytes = written(format, &contacts);
            let (entries, finished) = read_chunks(format, chunks(&bytes, &cuts));
            prop_assert_eq!(finished, Ok(()));
            let read: Vec<_> = entries.into_iter().map(|entry| entry.result).collect();
            prop_assert_eq!(read, contacts.into_iter().map(Ok).collect::<Vec<_>>(), "{}", String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn the_chunks_do_not_change_the_result(
            pieces in proptest::collection::vec(select(PIECES), 0..40),
            format in select(Format::ALL.to_vec()),
            cuts in proptest::collection::vec(any::<Index>(), 0..8),
        ) {
            let bytes = pieces.concat();
            let whole = read_chunks(format, [bytes.as_slice()]);
            prop_assert_eq!(&read_chunks(format, chunks(&bytes, &cuts)), &whole);
            prop_assert_eq!(&read_chunks(format, bytes.chunks(1)), &whole);
        }

        #[test]
        fn any_bytes_are_read_or_rejected(bytes: Vec<u8>, format in select(Format::ALL.to_vec())) {
            let whole = read_chunks(format, [bytes.as_slice()]);
            prop_assert_eq!(&read_chunks(format, bytes.chunks(1)), &whole);
        }
    }

    #[test]
    fn an_aborted_reader_stays_aborted() {
        let mut reader = Reader::new(Format::Csv, Columns::default());
        let mut entries = Vec::new();
        let aborted = reader.push(b"a,b\n", &mut entries).unwrap_err();
        assert_eq!(
            reader.push(b"name,phone,email\nAna,11987654321,ana@example.com\n", &mut entries),
            Err(aborted.clone())
        );
        assert_eq!(reader.finish(&mut entries), Err(aborted));
        assert_eq!(entries, []);
    }
}
