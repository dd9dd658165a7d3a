//! Copies the data folder of a standalone to a new folder, and puts such a copy into an empty data folder.
//!
//! The rule of this module: the queue is copied before the database. So a change that was accepted before the backup
//! began is in the copy of the queue, or its effect is in the copy of the database, or both. Both is harmless, because
//! the database knows which operations took effect. `docs/adr/0020-backup.md` has the whole argument.

mod create;
mod manifest;
mod restore;
mod temporary_folder;

pub use create::create;
pub use restore::restore;

use crate::data_folder::{self, DATABASE, DataFolderError};
use crate::domain::Timestamp;
use crate::queue::{QueueError, embedded};
use crate::stop::Stop;
use crate::store::sqlite;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a backup or a restore does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Copy the queue.
    CopyQueue,
    /// Copy the database.
    CopyDatabase,
    /// Copy the files of a backup.
    CopyFiles,
    /// Check the copies.
    Check,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CopyQueue => "copying the queue",
            Self::CopyDatabase => "copying the database",
            Self::CopyFiles => "copying the files",
            Self::Check => "checking the copies",
        })
    }
}

/// What a complete backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// When the backup began. It holds every change that was accepted before.
    pub begun_at: Timestamp,
    /// Live contacts.
    pub contacts: u64,
    /// Finished operations.
    pub operations: u64,
    /// Messages that wait to be applied.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// The size of all files.
    pub bytes: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { contacts, operations, waiting, dead_letters, bytes, .. } = self;
        let mebibytes = *bytes as f64 / (1024.0 * 1024.0);
        write!(
            formatter,
            "contacts: {contacts}, operations: {operations}, waiting messages: {waiting}, dead-lettered messages: \
             {dead_letters}, size: {mebibytes:.1} MiB"
        )
    }
}

/// Why there is no backup, or why it was not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The path is no name of a folder.
    #[error("{0}")]
    Usage(String),
    /// The backup is of a newer version of the program.
    #[error("{0}")]
    Newer(String),
    /// Any other failure.
    #[error("{0}")]
    Failed(String),
}

impl From<DataFolderError> for BackupError {
    fn from(error: DataFolderError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<QueueError> for BackupError {
    fn from(error: QueueError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// An error with the path that it is about.
fn cannot<E: fmt::Display>(what: &str, path: &Path) -> impl Fn(E) -> BackupError {
    let start = format!("cannot {what} {}", path.display());
    move |error| BackupError::Failed(format!("{start}: {error}"))
}

fn require_not_stopped(stop: &Stop) -> Result<(), BackupError> {
    if stop.is_set() { Err(BackupError::Failed("interrupted; nothing was changed".into())) } else { Ok(()) }
}

/// Creates a file that only its owner may read.
fn new_file(path: &Path) -> Result<File, BackupError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(cannot("create", path))
}

/// Writes a file or the entries of a folder to disk.
fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(cannot("write", path))
}

/// Fails if the folder is no data folder with a queue and a database.
fn require_data(folder: &Path) -> Result<(), BackupError> {
    data_folder::require_restored(folder)?;
    for name in [embedded::FILE, DATABASE] {
        let path = folder.join(name);
        match File::open(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(BackupError::Failed(format!(
                    "{} is no data folder of a standalone: it has no {name}; name the folder with --data-dir",
                    folder.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(BackupError::Failed(format!(
                    "cannot read {}: {error}; run this command as the user of the standalone",
                    path.display()
                )));
            }
            Err(error) => return Err(cannot("read", &path)(error)),
        }
    }
    Ok(())
}

/// Checks the copies in a folder and counts what they hold.
fn check_copies(folder: &Path, begun_at: Timestamp, bytes: u64) -> Result<Summary, BackupError> {
    let queue = embedded::check_copy(&folder.join(embedded::FILE))?;
    let path = folder.join(DATABASE);
    let database = sqlite::check_copy(&path).map_err(cannot("use", &path))?;
    Ok(Summary {
        begun_at,
        contacts: database.contacts,
        operations: database.operations,
        waiting: queue.waiting,
        dead_letters: queue.dead_letters,
        bytes,
    })
}
