//! Copies Swagger UI from the archive in the crate `utoipa-swagger-ui-vendored`, for `src/producer/web/api_docs.rs`.
//!
//! The rule of this file: nothing is downloaded and nothing is decompressed. A deflated entry of a ZIP archive becomes
//! a gzip file with a new header and trailer (APPNOTE.TXT 4.3, RFC 1952). Browsers receive the compressed data of the
//! archive.

use std::error::Error;
use std::path::Path;
use std::{env, fs};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// The files to copy from the only folder of the archive. Each becomes `OUT_DIR/NAME.gz`.
const FILES: [&str; 4] = ["dist/swagger-ui-bundle.js", "dist/swagger-ui.css", "LICENSE", "NOTICE"];

/// An entry of the archive's central directory.
struct Entry<'a> {
    name: &'a str,
    flags: u16,
    method: u16,
    crc: &'a [u8],
    size: &'a [u8],
    data: &'a [u8],
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let entries = read_entries(SWAGGER_UI_VENDORED)
        .ok_or("the archive of Swagger UI is not a ZIP file that build.rs can read")?;
    for file in FILES {
        let entry = entries
            .iter()
            .find(|entry| entry.name.split_once('/').is_some_and(|(_, name)| name == file))
            .ok_or_else(|| format!("the archive of Swagger UI has no file {file}"))?;
        let name = file.rsplit('/').next().unwrap_or(file);
        fs::write(Path::new(&out).join(format!("{name}.gz")), gzip(entry)?)?;
    }
    Ok(())
}

/// All entries of the archive; `None` if it is malformed.
fn read_entries(archive: &[u8]) -> Option<Vec<Entry<'_>>> {
    // The end record of the directory is searched backwards, because a comment may follow it.
    let end = archive.get(archive.windows(4).rposition(|four| four == b"PK\x05\x06")?..)?;
    let mut headers = archive.get(read_u32(end, 16)?..)?;
    let mut entries = Vec::new();
    for _ in 0..read_u16(end, 10)? {
        let (entry, rest) = read_entry(archive, headers)?;
        entries.push(entry);
        headers = rest;
    }
    Some(entries)
}

/// The entry of the first header, and the remaining headers.
fn read_entry<'a>(archive: &'a [u8], headers: &'a [u8]) -> Option<(Entry<'a>, &'a [u8])> {
    let (header, rest) = headers.strip_prefix(b"PK\x01\x02").and(headers.split_at_checked(46))?;
    let length = |offset| read_u16(header, offset).map(usize::from);
    let (name, rest) = rest.split_at_checked(length(28)?)?;
    let rest = rest.get(length(30)? + length(32)?..)?;
    // The local header repeats the name and the extra field, perhaps with other lengths.
    let local =
        archive.get(read_u32(header, 42)?..)?.strip_prefix(b"PK\x03\x04").and(archive.get(read_u32(header, 42)?..))?;
    let data = local.get(30 + usize::from(read_u16(local, 26)?) + usize::from(read_u16(local, 28)?)..)?;
    let entry = Entry {
        name: std::str::from_utf8(name).ok()?,
        flags: read_u16(header, 8)?,
        method: read_u16(header, 10)?,
        crc: header.get(16..20)?,
        size: header.get(24..28)?,
        data: data.get(..read_u32(header, 20)?)?,
    };
    Some((entry, rest))
}

/// The entry as a gzip file: header, compressed data, checksum and size.
fn gzip(entry: &Entry<'_>) -> Result<Vec<u8>, String> {
    let mut file = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    match (entry.flags, entry.method) {
        (0, 8) => {}
        // Not compressed: a single stored block of deflate (RFC 1951, section 3.2.4).
        (0, 0) => {
            let length = u16::try_from(entry.data.len()).map_err(|error| format!("{}: {error}", entry.name))?;
            file.push(1);
            file.extend(length.to_le_bytes());
            file.extend((!length).to_le_bytes());
        }
        (flags, method) => return Err(format!("{} has flags {flags} and method {method}", entry.name)),
    }
    file.extend(entry.data);
    file.extend(entry.crc);
    file.extend(entry.size);
    Ok(file)
}

fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..)?.first_chunk().copied()?))
}

fn read_u32(bytes: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(offset..)?.first_chunk().copied()?)).ok()
}
