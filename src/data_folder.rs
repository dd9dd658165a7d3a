//! The data folder of a standalone: the names of its files, its lock, and the mark of a restore that is not finished.

use crate::queue::embedded;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The file name of the database.
pub const DATABASE: &str = "contacts.db";
/// The file name of the cursor key.
pub const CURSOR_KEY: &str = "cursor.key";
/// The files that a backup copies. All others belong to one run of a standalone.
pub const COPIED: [&str; 3] = [embedded::FILE, DATABASE, CURSOR_KEY];
/// The folder in which a restore prepares its files. While it exists, nothing else may use the data folder: one of the
/// other files may be missing.
pub const RESTORE: &str = ".restore.part";

/// The file that a process locks while it uses the data folder.
const LOCK: &str = "lock";
/// What a new file system has in its first folder.
const LOST_AND_FOUND: &str = "lost+found";

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataFolderError(String);

fn failed(folder: &Path, error: &std::io::Error) -> DataFolderError {
    DataFolderError(format!("data folder {}: {error}", folder.display()))
}

/// Creates the data folder, for its owner only, and locks it: two processes with one queue would deliver messages
/// twice. Fails if a restore into it is not finished.
pub fn open(folder: &Path) -> Result<File, DataFolderError> {
    let lock = create_and_lock(folder)?;
    require_restored(folder)?;
    Ok(lock)
}

/// Creates and locks the data folder for a restore. Fails if it holds data.
pub fn open_for_restore(folder: &Path) -> Result<File, DataFolderError> {
    // Before the lock, which creates a file: the folder may be something else by mistake.
    require_empty(folder)?;
    let lock = create_and_lock(folder)?;
    require_empty(folder)?;
    Ok(lock)
}

/// Fails if a restore into this folder was interrupted.
pub fn require_restored(folder: &Path) -> Result<(), DataFolderError> {
    if folder.join(RESTORE).exists() {
        return Err(DataFolderError(format!(
            "a restore into {} is running or was interrupted: run `contacts restore` again",
            folder.display()
        )));
    }
    Ok(())
}

fn create_and_lock(folder: &Path) -> Result<File, DataFolderError> {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        return Err(failed(folder, &error));
    }
    let path = folder.join(LOCK);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let lock = opened.map_err(|error| failed(folder, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(used(folder)),
        Err(TryLockError::Error(error)) => Err(failed(folder, &error)),
    }
}

fn used(folder: &Path) -> DataFolderError {
    DataFolderError(format!(
        "data folder {} is used by another process: stop that process, or choose another folder with --data-dir",
        folder.display()
    ))
}

fn require_empty(folder: &Path) -> Result<(), DataFolderError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(folder, &error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        if is_data(folder, &path) {
            let lock = File::open(folder.join(LOCK));
            return Err(match lock.map(|lock| lock.try_lock()) {
                Ok(Err(TryLockError::WouldBlock)) => used(folder),
                Ok(_) | Err(_) => DataFolderError(format!(
                    "{} is not empty: choose another folder with --data-dir, or rename this one",
                    folder.display()
                )),
            });
        }
    }
    Ok(())
}

/// Whether a restore may not replace this entry of the folder.
fn is_data(folder: &Path, entry: &Path) -> bool {
    let is_one_of = |names: &[&str]| names.iter().any(|name| entry.ends_with(name));
    // An interrupted restore leaves nothing else. The folder was empty when it began, and nothing used it since.
    let is_leftover = folder.join(RESTORE).exists() && (is_one_of(&[RESTORE]) || is_one_of(&COPIED));
    !is_one_of(&[LOCK, LOST_AND_FOUND]) && !is_leftover
}
