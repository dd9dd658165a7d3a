//! A folder that gets its name only when it is complete.

use super::{BackupError, cannot, sync};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A temporary folder beside its target. It is removed unless [`Self::commit`] is called.
pub(super) struct TemporaryFolder {
    target: PathBuf,
    path: PathBuf,
}

impl TemporaryFolder {
    /// Creates the folder. Fails at once if the target cannot be made.
    pub(super) fn create(target: &Path) -> Result<Self, BackupError> {
        let Some(name) = target.file_name() else {
            return Err(BackupError::Usage(format!("{} is no name of a new folder", target.display())));
        };
        let parent = parent(target);
        if !parent.exists() {
            return Err(BackupError::Failed(format!("folder {} does not exist: create it", parent.display())));
        }
        let metadata = |path: &Path| fs::metadata(path).map_err(cannot("use", path));
        if fs::symlink_metadata(target).is_ok_and(|target| target.is_symlink()) {
            return Err(BackupError::Failed(format!("{} is a link: name a new folder", target.display())));
        }
        match fs::read_dir(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => {
                if opened.map_err(cannot("write to", target))?.next().is_some() {
                    return Err(not_empty(target));
                }
                if metadata(target)?.dev() != metadata(parent)?.dev() {
                    return Err(BackupError::Failed(format!(
                        "{} is a file system of its own: name a new folder in it",
                        target.display()
                    )));
                }
            }
        }
        let path = parent.join(format!(".{}.{:08x}.part", name.to_string_lossy(), fastrand::u32(..)));
        DirBuilder::new().mode(0o700).create(&path).map_err(cannot("create", &path))?;
        Ok(Self { target: target.to_owned(), path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the folder to its target. Its files must be on disk.
    pub(super) fn commit(self) -> Result<(), BackupError> {
        // This replaces an empty folder, and nothing else.
        match fs::rename(&self.path, &self.target) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                Err(not_empty(&self.target))
            }
            renamed => renamed.map_err(cannot("write to", &self.target)),
        }?;
        sync(parent(&self.target))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // After a commit it does not exist.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn not_empty(target: &Path) -> BackupError {
    BackupError::Failed(format!("{} is not empty: name a new folder", target.display()))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
