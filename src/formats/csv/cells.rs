//! One record of a CSV: its cells, in buffers that are used again for the next, and the contact in them.
//!
//! A record that fills a buffer has no end as far as anyone can tell. It must not know lines or the header's words.

use super::columns::Mapping;
use crate::domain::{Details, Email, Invalid, Name, Phone};
use crate::formats::record::{LIMIT, NOT_UTF8, REQUIRED, RecordError, assemble};
use csv_core::ReadRecordResult;

/// Address books have some ninety columns.
const MAX_COLUMNS: usize = 1024;

/// The record that is read: its text without quotes, and where each cell ends.
pub(super) struct Cells {
    text: Box<[u8]>,
    ends: Box<[usize]>,
    filled: usize,
    ended: usize,
}

impl Default for Cells {
    fn default() -> Self {
        // The parser calls a buffer full that has no room for one more.
        Self { text: vec![0; LIMIT + 1].into(), ends: vec![0; MAX_COLUMNS + 1].into(), filled: 0, ended: 0 }
    }
}

impl Cells {
    /// Reads on; gives how that ended and how many bytes it took.
    pub(super) fn read(&mut self, core: &mut csv_core::Reader, bytes: &[u8]) -> (ReadRecordResult, usize) {
        let text = self.text.get_mut(self.filled..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ended..).unwrap_or_default();
        let (result, read, filled, ended) = core.read_record(bytes, text, ends);
        self.filled += filled;
        self.ended += ended;
        (result, read)
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.ended = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ended).filter_map(|index| self.get(index))
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let ends = self.ends.get(..self.ended)?;
        let begin = index.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
        self.text.get(begin..*ends.get(index)?)
    }

    /// A cell, which a short record may not have.
    fn text(&self, index: usize) -> Result<&str, Invalid> {
        let cell = self.get(index).ok_or(REQUIRED)?;
        std::str::from_utf8(cell).map_err(|_error| NOT_UTF8)
    }

    /// The contact, as the mapping says where.
    pub(super) fn details(&self, mapping: &Mapping) -> Result<Details, Vec<RecordError>> {
        let phone = self.text(mapping.phone).and_then(Phone::parse);
        let email = self.text(mapping.email).and_then(Email::parse);
        assemble(self.name(&mapping.name), phone, email, Vec::new())
    }

    fn name(&self, columns: &[usize]) -> Result<Name, Invalid> {
        if let [column] = columns {
            return Name::parse(self.text(*column)?);
        }
        let mut parts = Vec::new();
        for column in columns {
            match self.text(*column) {
                Ok(part) => parts.push(part.trim()),
                // There is no more of a short record, and the parts there are may do.
                Err(REQUIRED) => {}
                Err(invalid) => return Err(invalid),
            }
        }
        parts.retain(|part| !part.is_empty());
        Name::parse(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(record: &[u8]) -> Cells {
        let mut cells = Cells::default();
        let (result, read) = cells.read(&mut csv_core::Reader::new(), record);
        assert_eq!((result, read), (ReadRecordResult::Record, record.len()));
        cells
    }

    fn named(record: &[u8], name: &[usize]) -> Result<String, &'static str> {
        cells(record).name(name).map(|name| name.as_str().to_owned()).map_err(|invalid| invalid.code)
    }

    #[test]
    fn cells_are_what_was_between_the_delimiters() {
        let cells = cells(b"\"a,\"\"b\",,c\n");
        assert_eq!(cells.iter().collect::<Vec<_>>(), [&b"a,\"b"[..], b"", b"c"]);
        assert_eq!(cells.text(3), Err(REQUIRED));
    }

    #[test]
    fn a_name_is_joined_of_the_parts_there_are() {
        assert_eq!(named(b"Lima, Ana ,\n", &[1, 2, 0]), Ok("Ana Lima".into()));
        assert_eq!(named(b"Lima\n", &[1, 2, 0]), Ok("Lima".into()));
        assert_eq!(named(b"Lima\n", &[1]), Err("required"));
        assert_eq!(named(b", ,\n", &[0, 1]), Err("required"));
        assert_eq!(named(b"Lima,\xff\n", &[0, 1]), Err("not_utf8"));
    }
}
