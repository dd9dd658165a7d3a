//! Reads contacts from NDJSON, CSV and vCard while the bytes arrive, and writes contacts in the same formats.
//!
//! The rules of this module: memory is bounded for every input; the size of the chunks does not change the result; the
//! reader can read everything that the writer writes. This module does not know I/O, HTTP, messages or SQL.

mod contact_view;
mod csv;
mod encoding;
mod format;
pub mod json;
mod lines;
mod ndjson;
mod reader;
mod record;
#[cfg(test)]
mod testing;
mod values;
mod vcard;
mod writer;

pub use contact_view::{ContactView, OldValuesView};
pub use csv::Columns;
pub use encoding::{DecodingReader, Encoding};
pub use format::Format;
pub use reader::Reader;
pub use record::{Entry, Ignored, ReadAborted, RecordError};
pub use writer::{write_header, write_record};
