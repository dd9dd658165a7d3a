//! Contacts as files: read from NDJSON, CSV and vCard as their bytes arrive, and written in the same formats.
//!
//! The rule this room keeps: memory stays bounded whatever arrives, how the bytes are cut into chunks makes no
//! difference, and what is written can be read again. It must not know I/O, HTTP, messages or SQL.

mod csv;
mod format;
pub mod json;
mod lines;
mod ndjson;
mod reader;
mod record;
#[cfg(test)]
mod testing;
mod vcard;
mod writer;

pub use csv::Columns;
pub use format::Format;
pub use reader::Reader;
pub use record::{Entry, ExportRecord, ReadAborted, RecordError};
pub use writer::{header, write};
