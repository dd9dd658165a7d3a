//! A file that appears under its name only once it is complete.

use crate::transfer::TransferError;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is written so far, beside where it will be; removed unless it is kept.
pub(super) struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    force: bool,
}

impl Part {
    /// Refuses early what could not be kept later.
    pub(super) fn of(target: &Path, force: bool) -> Result<Self, TransferError> {
        match fs::symlink_metadata(target) {
            Ok(_) if !force => return Err(exists(target)),
            // To replace a device or a folder is nobody's wish.
            Ok(about) if !about.is_file() => {
                let text = format!("{} is no plain file; - is standard output", target.display());
                return Err(TransferError::Usage(text));
            }
            Ok(_) | Err(_) => {}
        }
        let name =
            target.file_name().ok_or_else(|| TransferError::Usage(format!("{} names no file", target.display())))?;
        let hidden = format!(".{}.{:08x}.part", name.to_string_lossy(), fastrand::u32(..));
        let path = folder_of(target).join(hidden);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| cannot_write(target, &error))?;
        Ok(Self { target: target.to_owned(), path, file, force })
    }

    /// Gives it its name, once all of it is on the disk.
    pub(super) fn keep(self) -> Result<(), TransferError> {
        let cannot = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists => exists(&self.target),
            _ => cannot_write(&self.target, &error),
        };
        self.file.sync_all().map_err(cannot)?;
        if self.force {
            fs::rename(&self.path, &self.target).map_err(cannot)?;
        } else {
            match fs::hard_link(&self.path, &self.target) {
                // A file system without such links: another file may come in between, which is then replaced.
                Err(error) if error.kind() != ErrorKind::AlreadyExists && !self.target.exists() => {
                    fs::rename(&self.path, &self.target).map_err(cannot)?;
                }
                linked => linked.map_err(cannot)?,
            }
        }
        File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all()).map_err(cannot)
    }
}

impl Write for &Part {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Kept, it may still have this name besides its own, or none of it.
        let _ = fs::remove_file(&self.path);
    }
}

fn exists(target: &Path) -> TransferError {
    TransferError::Failed(format!("{} exists already: name a new file, or add --force to replace it", target.display()))
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
    fn it_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("all.csv");
        let given_up = Part::of(&target, false).unwrap();
        (&given_up).write_all(b"half").unwrap();
        assert!(!target.exists());
        drop(given_up);
        assert!(files(folder.path()).is_empty());

        let whole = Part::of(&target, false).unwrap();
        (&whole).write_all(b"one").unwrap();
        whole.keep().unwrap();
        assert_eq!((fs::read(&target).unwrap(), files(folder.path())), (b"one".to_vec(), vec!["all.csv".to_owned()]));
        assert!(matches!(Part::of(&target, false), Err(TransferError::Failed(_))));

        let replacing = Part::of(&target, true).unwrap();
        (&replacing).write_all(b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        replacing.keep().unwrap();
        assert_eq!((fs::read(&target).unwrap(), files(folder.path())), (b"two".to_vec(), vec!["all.csv".to_owned()]));
    }

    #[test]
    fn what_came_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("all.csv");
        let late = Part::of(&target, false).unwrap();
        fs::write(&target, "another's").unwrap();
        assert!(matches!(late.keep(), Err(TransferError::Failed(_))));
        assert_eq!((fs::read(&target).unwrap(), files(folder.path()).len()), (b"another's".to_vec(), 1));
        assert!(matches!(Part::of(Path::new("/dev/null"), true), Err(TransferError::Usage(_))));
    }
}
