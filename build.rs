//! Takes Swagger UI out of the archive inside the crate `utoipa-swagger-ui-vendored`, for `src/producer/web/api_docs.rs`.
//!
//! The rule it keeps: nothing is downloaded and nothing is unpacked. A deflated entry of a ZIP archive is a gzip member
//! without its frame (APPNOTE.TXT 4.3, RFC 1952), so what browsers are sent is what the archive has.

use std::error::Error;
use std::path::Path;
use std::{env, fs};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// What is taken, below the archive's one folder; each becomes `OUT_DIR/NAME.gz`.
const WANTED: [&str; 4] = ["dist/swagger-ui-bundle.js", "dist/swagger-ui.css", "LICENSE", "NOTICE"];

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
    let entries =
        entries(SWAGGER_UI_VENDORED).ok_or("the archive of Swagger UI is not a ZIP as this build.rs reads it")?;
    for wanted in WANTED {
        let entry = entries
            .iter()
            .find(|entry| entry.name.split_once('/').is_some_and(|(_, name)| name == wanted))
            .ok_or_else(|| format!("the archive of Swagger UI has no {wanted}"))?;
        let name = wanted.rsplit('/').next().unwrap_or(wanted);
        fs::write(Path::new(&out).join(format!("{name}.gz")), gzip(entry)?)?;
    }
    Ok(())
}

/// All entries; none if the archive is not one.
fn entries(archive: &[u8]) -> Option<Vec<Entry<'_>>> {
    // The end of the directory is found from behind, as a comment may follow it.
    let end = archive.get(archive.windows(4).rposition(|four| four == b"PK\x05\x06")?..)?;
    let mut headers = archive.get(long(end, 16)?..)?;
    let mut entries = Vec::new();
    for _ in 0..short(end, 10)? {
        let (entry, rest) = entry(archive, headers)?;
        entries.push(entry);
        headers = rest;
    }
    Some(entries)
}

/// The entry that the first of these headers tells of, and the headers after it.
fn entry<'a>(archive: &'a [u8], headers: &'a [u8]) -> Option<(Entry<'a>, &'a [u8])> {
    let (header, rest) = headers.strip_prefix(b"PK\x01\x02").and(headers.split_at_checked(46))?;
    let length = |at| short(header, at).map(usize::from);
    let (name, rest) = rest.split_at_checked(length(28)?)?;
    let rest = rest.get(length(30)? + length(32)?..)?;
    // The name and the extra field are there again, and may be of other lengths.
    let local = archive.get(long(header, 42)?..)?.strip_prefix(b"PK\x03\x04").and(archive.get(long(header, 42)?..))?;
    let data = local.get(30 + usize::from(short(local, 26)?) + usize::from(short(local, 28)?)..)?;
    let entry = Entry {
        name: std::str::from_utf8(name).ok()?,
        flags: short(header, 8)?,
        method: short(header, 10)?,
        crc: header.get(16..20)?,
        size: header.get(24..28)?,
        data: data.get(..long(header, 20)?)?,
    };
    Some((entry, rest))
}

/// The entry as a gzip file: header, deflated data, checksum and size.
fn gzip(entry: &Entry<'_>) -> Result<Vec<u8>, String> {
    let mut file = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    match (entry.flags, entry.method) {
        (0, 8) => {}
        // Not compressed: one last block of deflate that is stored (RFC 1951 section 3.2.4).
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

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?)).ok()
}
