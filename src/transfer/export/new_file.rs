//! A file that gets its name only when it is complete.

use crate::transfer::TransferError;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A temporary file in the folder of its target. It is removed unless [`Self::commit`] is called.
pub(super) struct TemporaryFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    force: bool,
}

impl TemporaryFile {
    /// Creates the file. Fails at once if the target cannot be written.
    pub(super) fn create(target: &Path, force: bool) -> Result<Self, TransferError> {
        match fs::symlink_metadata(target) {
            Ok(_) if !force => return Err(exists(target)),
            // A device or a folder must not be replaced.
            Ok(metadata) if !metadata.is_file() => {
                let reason = format!("{} is not a regular file; use - for standard output", target.display());
                return Err(TransferError::Usage(reason));
            }
            Ok(_) | Err(_) => {}
        }
        let name = target
            .file_name()
            .ok_or_else(|| TransferError::Usage(format!("{} is not a file name", target.display())))?;
        let hidden = format!(".{}.{:08x}.part", name.to_string_lossy(), fastrand::u32(..));
        let path = folder_of(target).join(hidden);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| cannot_write(target, &error))?;
        Ok(Self { target: target.to_owned(), path, file, force })
    }

    /// Writes the file to disk and renames it to the target.
    pub(super) fn commit(self) -> Result<(), TransferError> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists => exists(&self.target),
            _ => cannot_write(&self.target, &error),
        };
        self.file.sync_all().map_err(failed)?;
        if self.force {
            fs::rename(&self.path, &self.target).map_err(failed)?;
        } else {
            match fs::hard_link(&self.path, &self.target) {
                // This file system has no hard links. A file that appears now would be replaced.
                Err(error) if error.kind() != ErrorKind::AlreadyExists && !self.target.exists() => {
                    fs::rename(&self.path, &self.target).map_err(failed)?;
                }
                linked => linked.map_err(failed)?,
            }
        }
        File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

impl Write for &TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // After a commit, this name may still exist beside the target, or not.
        let _ = fs::remove_file(&self.path);
    }
}

fn exists(target: &Path) -> TransferError {
    TransferError::Failed(format!("{} already exists: name a new file, or add --force to replace it", target.display()))
}

fn cannot_write(target: &Path, error: &std::io::Error) -> TransferError {
    TransferError::Failed(format!("cannot write {}: {error}", target.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_is_complete_or_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("all.csv");
        let abandoned = TemporaryFile::create(&target, false).unwrap();
        (&abandoned).write_all(b"half").unwrap();
        assert!(!target.exists());
        drop(abandoned);
        assert!(files(folder.path()).is_empty());

        let complete = TemporaryFile::create(&target, false).unwrap();
        (&complete).write_all(b"one").unwrap();
        complete.commit().unwrap();
        assert_eq!((fs::read(&target).unwrap(), files(folder.path())), (b"one".to_vec(), vec!["all.csv".to_owned()]));
        assert!(matches!(TemporaryFile::create(&target, false), Err(TransferError::Failed(_))));

        let replacing = TemporaryFile::create(&target, true).unwrap();
        (&replacing).write_all(b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        replacing.commit().unwrap();
        assert_eq!((fs::read(&target).unwrap(), files(folder.path())), (b"two".to_vec(), vec!["all.csv".to_owned()]));
    }

    #[test]
    fn a_file_that_appears_during_the_export_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("all.csv");
        let late = TemporaryFile::create(&target, false).unwrap();
        fs::write(&target, "other").unwrap();
        assert!(matches!(late.commit(), Err(TransferError::Failed(_))));
        assert_eq!((fs::read(&target).unwrap(), files(folder.path()).len()), (b"other".to_vec(), 1));
        assert!(matches!(TemporaryFile::create(Path::new("/dev/null"), true), Err(TransferError::Usage(_))));
    }
}
