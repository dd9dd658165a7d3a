//! Reading in any format: bytes in, records out, as soon as each is complete.
//!
//! The only place that knows which reader a format has. A byte order mark before everything is no part of any.

use super::csv::Csv;
use super::ndjson::Ndjson;
use super::vcard::VCards;
use super::{Columns, Entry, Format, ReadAborted};

/// Reads contacts from bytes as they arrive.
pub struct Reader {
    mark: Mark,
    of: Of,
    stopped: Option<ReadAborted>,
}

enum Of {
    Ndjson(Ndjson),
    Csv(Box<Csv>),
    VCard(Box<VCards>),
}

impl Reader {
    /// Begins to read a format. The columns matter for CSV only.
    pub fn new(format: Format, columns: Columns) -> Self {
        let of = match format {
            Format::Ndjson => Of::Ndjson(Ndjson::default()),
            Format::Csv => Of::Csv(Box::new(Csv::new(columns))),
            Format::VCard4 | Format::VCard3 => Of::VCard(Box::default()),
        };
        Self { mark: Mark::default(), of, stopped: None }
    }

    /// Takes the next bytes, however cut, and appends the records that they complete.
    ///
    /// # Errors
    /// Nothing later can be trusted, so nothing later is read: every further call gives the same error. What was
    /// appended before is right.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        let (withheld, rest) = self.mark.strip(bytes);
        self.push_content(withheld, out)?;
        self.push_content(rest, out)
    }

    /// Says that there are no more bytes, and appends the record that only needed to know it.
    ///
    /// # Errors
    /// As for [`Self::push`].
    pub fn finish(mut self, out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        let withheld = self.mark.withheld();
        self.push_content(withheld, out)?;
        match self.of {
            Of::Ndjson(lines) => lines.finish(out),
            Of::Csv(csv) => csv.finish(out)?,
            Of::VCard(cards) => cards.finish(out),
        }
        Ok(())
    }

    fn push_content(&mut self, bytes: &[u8], out: &mut Vec<Entry>) -> Result<(), ReadAborted> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        match &mut self.of {
            Of::Ndjson(lines) => lines.push(bytes, out),
            Of::VCard(cards) => cards.push(bytes, out),
            Of::Csv(csv) => csv.push(bytes, out).inspect_err(|stopped| self.stopped = Some(stopped.clone()))?,
        }
        Ok(())
    }
}

/// U+FEFF in UTF-8, which some programs write first.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// How much of the mark there was, while it still may be one.
#[derive(Default)]
struct Mark {
    matched: usize,
    decided: bool,
}

impl Mark {
    /// What was withheld and turned out to be no mark, and what follows.
    fn strip<'a>(&mut self, mut bytes: &'a [u8]) -> (&'static [u8], &'a [u8]) {
        while !self.decided
            && let Some((first, rest)) = bytes.split_first()
        {
            if MARK.get(self.matched) != Some(first) {
                return (self.withheld(), bytes);
            }
            bytes = rest;
            self.matched += 1;
            self.decided = self.matched == MARK.len();
        }
        (&[], bytes)
    }

    /// What looked like the begin of a mark and was none.
    fn withheld(&mut self) -> &'static [u8] {
        if std::mem::replace(&mut self.decided, true) { &[] } else { MARK.get(..self.matched).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{details, read_chunks};
    use super::super::{ExportRecord, header, write};
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    /// What the formats are made of, so that a random text of them means something.
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
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    fn written(format: Format, contacts: &[crate::domain::Details]) -> Vec<u8> {
        let mut bytes = Vec::new();
        header(format, &mut bytes);
        for details in contacts {
            let phone = details.phone.to_string();
            write(
                format,
                &ExportRecord {
                    id: "01890a5d-ac96-774b-bcce-b302099a8057",
                    name: details.name.as_str(),
                    phone: &phone,
                    ddd: details.phone.area().number(),
                    state: details.phone.area().state().as_str(),
                    region: details.phone.area().state().region().as_str(),
                    email: details.email.as_str(),
                    version: "01890a5d-ac96-774b-bcce-b302099a8057",
                    created_at: "2026-01-02T03:04:05.123456Z",
                    updated_at: "2026-01-02T03:04:05.123456Z",
                },
                &mut bytes,
            );
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_is_written_is_read_again(
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
        fn how_bytes_are_cut_makes_no_difference(
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
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, format in select(Format::ALL.to_vec())) {
            let whole = read_chunks(format, [bytes.as_slice()]);
            prop_assert_eq!(&read_chunks(format, bytes.chunks(1)), &whole);
        }
    }

    #[test]
    fn a_reader_that_stopped_stays_so() {
        let mut reader = Reader::new(Format::Csv, Columns::default());
        let mut entries = Vec::new();
        let stopped = reader.push(b"a,b\n", &mut entries).unwrap_err();
        assert_eq!(
            reader.push(b"name,phone,email\nAna,11987654321,ana@example.com\n", &mut entries),
            Err(stopped.clone())
        );
        assert_eq!(reader.finish(&mut entries), Err(stopped));
        assert_eq!(entries, []);
    }

    #[test]
    fn a_mark_is_stripped_only_where_it_is_one() {
        let mut mark = Mark::default();
        assert_eq!(mark.strip(b"\xef"), (&b""[..], &b""[..]));
        assert_eq!(mark.strip(b"\xbb\xbfa\xef\xbb\xbf"), (&b""[..], &b"a\xef\xbb\xbf"[..]));
        let mut broken = Mark::default();
        assert_eq!(broken.strip(b"\xef\xbb"), (&b""[..], &b""[..]));
        assert_eq!(broken.strip(b"a"), (&b"\xef\xbb"[..], &b"a"[..]));
        assert_eq!(broken.strip(b"\xef"), (&b""[..], &b"\xef"[..]));
        let mut ended = Mark { matched: 1, decided: false };
        assert_eq!((ended.withheld(), ended.withheld()), (&b"\xef"[..], &b""[..]));
    }
}
