//! The cells of one CSV record, and the contact in them. All records use the same buffers.
//!
//! A record that does not fit into the buffers is an error. This file does not know lines or header names.

use super::columns::{Mapping, ValueColumn};
use crate::domain::{Details, Invalid, Name};
use crate::formats::record::{Ignored, LIMIT, NOT_UTF8, REQUIRED, RecordError, assemble};
use crate::formats::values::{Preference, Values};
use csv_core::ReadRecordResult;

/// A label with one of these words: the number is not answered, or another person answers.
const NOT_OWN_VOICE: [&str; 4] = ["fax", "pager", "assistant", "assistente"];
/// The maximum number of cells in a record. Address books export about 90 columns.
const MAX_COLUMNS: usize = 1024;

/// The current record.
pub(super) struct Cells {
    /// The text of all cells, without quotes and delimiters.
    text: Box<[u8]>,
    /// Where each cell ends in `text`.
    ends: Box<[usize]>,
    text_length: usize,
    cell_count: usize,
}

impl Default for Cells {
    fn default() -> Self {
        // csv-core reports a full buffer when the last element is used.
        Self { text: vec![0; LIMIT + 1].into(), ends: vec![0; MAX_COLUMNS + 1].into(), text_length: 0, cell_count: 0 }
    }
}

impl Cells {
    /// Continues the current record. Returns the result and how many bytes the parser took.
    pub(super) fn read(&mut self, parser: &mut csv_core::Reader, bytes: &[u8]) -> (ReadRecordResult, usize) {
        let text = self.text.get_mut(self.text_length..).unwrap_or_default();
        let ends = self.ends.get_mut(self.cell_count..).unwrap_or_default();
        let (result, taken, text_length, cell_count) = parser.read_record(bytes, text, ends);
        self.text_length += text_length;
        self.cell_count += cell_count;
        (result, taken)
    }

    pub(super) fn clear(&mut self) {
        self.text_length = 0;
        self.cell_count = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.cell_count).filter_map(|index| self.get(index))
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let ends = self.ends.get(..self.cell_count)?;
        let start = index.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
        self.text.get(start..*ends.get(index)?)
    }

    /// The text of a cell. A short record can lack it.
    fn text(&self, index: usize) -> Result<&str, Invalid> {
        let cell = self.get(index).ok_or(REQUIRED)?;
        std::str::from_utf8(cell).map_err(|_error| NOT_UTF8)
    }

    /// The contact in the columns of the mapping, and what it does not keep.
    pub(super) fn details(&self, mapping: &Mapping) -> (Result<Details, Vec<RecordError>>, Vec<Ignored>) {
        let (mut phones, mut emails, mut ignored) = (Values::phones(), Values::emails(), Vec::new());
        for column in &mapping.phones {
            match self.text(column.index) {
                Ok(cell) => phones.add(cell, self.preference(column)),
                Err(REQUIRED) => {}
                Err(invalid) => phones.add_error(invalid),
            }
        }
        for column in &mapping.emails {
            match self.text(column.index) {
                Ok(cell) => emails.add(cell, self.preference(column)),
                Err(REQUIRED) => {}
                Err(invalid) => emails.add_error(invalid),
            }
        }
        let name = self.name_or_organization(mapping, &mut ignored);
        let (phone, email) = (phones.choose(&mut ignored), emails.choose(&mut ignored));
        let is_filled = |column: usize| self.get(column).is_some_and(|cell| !cell.trim_ascii().is_empty());
        let others = mapping.others.iter().filter(|(column, _)| is_filled(*column));
        ignored.extend(
            others
                .filter(|(column, _)| Some(*column) != mapping.organization)
                .map(|(_, header)| Ignored::no_field(header)),
        );
        (assemble(name, phone, email, Vec::new()), ignored)
    }

    /// How the label of a value, or its header, prefers it.
    fn preference(&self, column: &ValueColumn) -> Preference {
        let label = column.label.and_then(|label| self.text(label).ok()).unwrap_or_default().to_lowercase();
        match label.trim() {
            label if NOT_OWN_VOICE.iter().any(|word| label.contains(word)) => Preference::NotOwnVoice,
            // Google marks the main value with an asterisk.
            label if label.starts_with('*') => Preference::Preferred(1),
            _ if column.primary => Preference::Preferred(1),
            _ => Preference::Plain,
        }
    }

    /// The name, or the organisation of a contact without a name.
    fn name_or_organization(&self, mapping: &Mapping, ignored: &mut Vec<Ignored>) -> Result<Name, Invalid> {
        let name = self.name(&mapping.name);
        let Some(column) = mapping.organization.filter(|column| !mapping.name.contains(column)) else { return name };
        let organization = self.text(column).unwrap_or_default().trim();
        match name {
            Err(invalid) if invalid.code == REQUIRED.code && !organization.is_empty() => Name::parse(organization),
            name => {
                if !organization.is_empty() {
                    ignored.extend(
                        mapping
                            .others
                            .iter()
                            .filter(|(other, _)| *other == column)
                            .map(|(_, header)| Ignored::no_field(header)),
                    );
                }
                name
            }
        }
    }

    fn name(&self, columns: &[usize]) -> Result<Name, Invalid> {
        if let [column] = columns {
            return Name::parse(self.text(*column)?);
        }
        let mut parts = Vec::new();
        for column in columns {
            match self.text(*column) {
                Ok(part) => parts.push(part.trim()),
                // A short record lacks this part. The other parts can be enough.
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
        let (result, taken) = cells.read(&mut csv_core::Reader::new(), record);
        assert_eq!((result, taken), (ReadRecordResult::Record, record.len()));
        cells
    }

    fn name(record: &[u8], name: &[usize]) -> Result<String, &'static str> {
        cells(record).name(name).map(|name| name.as_str().to_owned()).map_err(|invalid| invalid.code)
    }

    #[test]
    fn cells_are_the_texts_between_delimiters() {
        let cells = cells(b"\"a,\"\"b\",,c\n");
        assert_eq!(cells.iter().collect::<Vec<_>>(), [&b"a,\"b"[..], b"", b"c"]);
        assert_eq!(cells.text(3), Err(REQUIRED));
    }

    #[test]
    fn a_name_is_joined_from_the_parts_that_exist() {
        assert_eq!(name(b"Lima, Ana ,\n", &[1, 2, 0]), Ok("Ana Lima".into()));
        assert_eq!(name(b"Lima\n", &[1, 2, 0]), Ok("Lima".into()));
        assert_eq!(name(b"Lima\n", &[1]), Err("required"));
        assert_eq!(name(b", ,\n", &[0, 1]), Err("required"));
        assert_eq!(name(b"Lima,\xff\n", &[0, 1]), Err("not_utf8"));
    }
}
