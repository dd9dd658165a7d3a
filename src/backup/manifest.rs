//! The manifest of a backup: its files with their digests. It is written last.

use super::{BackupError, cannot, new_file, sync};
use crate::data_folder::{COPIED, DATABASE};
use crate::domain::Timestamp;
use crate::queue::embedded;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// The file name of the manifest.
const MANIFEST: &str = "backup.json";
/// The form of a backup that this version writes and reads.
const FORMAT: u32 = 1;
/// No manifest is longer. Another program may have written the file.
const MAX_LENGTH: u64 = 64 * 1024;
/// How much is read at once.
const CHUNK_SIZE: usize = 256 * 1024;

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Manifest {
    format: u32,
    /// The version of the program.
    program: String,
    pub(super) begun_at: Timestamp,
    files: BTreeMap<String, FileDigest>,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct FileDigest {
    bytes: u64,
    sha256: String,
}

/// Only the form, to tell a newer manifest from a damaged one.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl Manifest {
    pub(super) fn new(begun_at: Timestamp) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, program, begun_at, files: BTreeMap::new() }
    }

    /// Adds a file of the folder, if it exists, and writes the file to disk.
    pub(super) fn add(&mut self, folder: &Path, name: &str) -> Result<(), BackupError> {
        let path = folder.join(name);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(cannot("read", &path))?,
        };
        let digest = digest(&mut file, |_chunk| Ok(())).map_err(cannot("read", &path))?;
        file.sync_all().map_err(cannot("write", &path))?;
        self.files.insert(name.to_owned(), digest);
        Ok(())
    }

    /// The size of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    /// The names of the files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(MANIFEST);
        let mut file = new_file(&path)?;
        let text = serde_json::to_string_pretty(self).map_err(cannot("write", &path))?;
        file.write_all(text.as_bytes()).map_err(cannot("write", &path))?;
        file.sync_all().map_err(cannot("write", &path))?;
        sync(folder)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let mut text = String::new();
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !folder.exists() => {
                return Err(BackupError::Failed(format!("the backup {} does not exist", folder.display())));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(BackupError::Failed(format!(
                    "{} is no complete backup: it has no {MANIFEST}; name a folder that `contacts backup` made",
                    folder.display()
                )));
            }
            opened => opened.and_then(|file| file.take(MAX_LENGTH).read_to_string(&mut text)),
        }
        .map_err(cannot("read", &path))?;
        let damaged = |reason: &dyn std::fmt::Display| {
            BackupError::Failed(format!("{} is damaged ({reason}): use another backup", path.display()))
        };
        let FormatOnly { format } = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
        if format > FORMAT {
            return Err(BackupError::Newer(format!(
                "the backup {} is of a newer version of contacts: restore it with that version",
                folder.display()
            )));
        }
        let manifest: Self = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
        let has = |name: &str| manifest.files.contains_key(name);
        if !has(embedded::FILE) || !has(DATABASE) {
            return Err(damaged(&"a file is missing"));
        }
        // A name could also lead out of the folder.
        if manifest.names().any(|name| !COPIED.contains(&name)) {
            return Err(damaged(&"it names an unknown file"));
        }
        Ok(manifest)
    }

    /// Copies a file of the backup to disk. Fails if it is not what the backup wrote.
    pub(super) fn copy(&self, name: &str, from: &Path, to: &Path) -> Result<(), BackupError> {
        let (source, target) = (from.join(name), to.join(name));
        let mut file = File::open(&source).map_err(|error| match error.kind() {
            ErrorKind::NotFound => BackupError::Failed(format!("{} is missing: use another backup", source.display())),
            _ => cannot("read", &source)(error),
        })?;
        let mut copy = new_file(&target)?;
        let digest = digest(&mut file, |chunk| copy.write_all(chunk)).map_err(cannot("copy", &source))?;
        if self.files.get(name) != Some(&digest) {
            return Err(BackupError::Failed(format!(
                "{} is damaged: it is not what the backup wrote; use another backup",
                source.display()
            )));
        }
        copy.sync_all().map_err(cannot("write", &target))
    }
}

/// Reads a file to its end and gives each chunk to `each`.
fn digest(file: &mut File, mut each: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<FileDigest> {
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK_SIZE]);
    loop {
        let length = file.read(&mut buffer)?;
        let chunk = buffer.get(..length).unwrap_or_default();
        if chunk.is_empty() {
            let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(FileDigest { bytes, sha256 });
        }
        hash.update(chunk);
        bytes += length as u64;
        each(chunk)?;
    }
}
