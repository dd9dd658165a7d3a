//! `contacts backup`: copies a data folder to a new folder.

use super::manifest::Manifest;
use super::temporary_folder::TemporaryFolder;
use super::{BackupError, Step, Summary, cannot, check_copies, new_file, require_data, require_not_stopped};
use crate::data_folder::{COPIED, CURSOR_KEY, DATABASE};
use crate::queue::embedded;
use crate::stop::Stop;
use crate::store::sqlite;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Copies the data folder to a new folder. A standalone may run on it. Calls `report` before each step.
pub fn create(data: &Path, target: &Path, stop: &Stop, report: &mut dyn FnMut(Step)) -> Result<Summary, BackupError> {
    let begun_at = chrono::Utc::now();
    require_data(data)?;
    let folder = TemporaryFolder::create(target)?;
    let canonical = |path: &Path| path.canonicalize().map_err(cannot("use", path));
    if canonical(folder.path())?.starts_with(canonical(data)?) {
        return Err(BackupError::Failed(format!(
            "{} is in the data folder: a backup must be in another place, best on another disk",
            target.display()
        )));
    }
    let mut begin = |step| {
        require_not_stopped(stop)?;
        report(step);
        Ok::<(), BackupError>(())
    };
    // In this order; see the rule of this module.
    begin(Step::CopyQueue)?;
    copy_queue(data, folder.path())?;
    begin(Step::CopyDatabase)?;
    copy_database(data, folder.path())?;
    // The key is written once, before the first change is accepted. So it exists if the copies have operations.
    copy_cursor_key(data, folder.path())?;
    begin(Step::Check)?;
    let mut manifest = Manifest::new(begun_at);
    for name in COPIED {
        manifest.add(folder.path(), name)?;
    }
    let summary = check_copies(folder.path(), begun_at, manifest.bytes())?;
    manifest.write(folder.path())?;
    require_not_stopped(stop)?;
    folder.commit()?;
    Ok(summary)
}

fn copy_queue(data: &Path, folder: &Path) -> Result<(), BackupError> {
    let target = folder.join(embedded::FILE);
    new_file(&target)?;
    Ok(embedded::copy(&data.join(embedded::FILE), &target)?)
}

fn copy_database(data: &Path, folder: &Path) -> Result<(), BackupError> {
    let (source, target) = (data.join(DATABASE), folder.join(DATABASE));
    new_file(&target)?;
    sqlite::copy(&source, &target).map_err(cannot("copy", &source))
}

fn copy_cursor_key(data: &Path, folder: &Path) -> Result<(), BackupError> {
    let source = data.join(CURSOR_KEY);
    match File::open(&source) {
        Ok(mut key) => {
            let mut file = new_file(&folder.join(CURSOR_KEY))?;
            io::copy(&mut key, &mut file).map_err(cannot("copy", &source))?;
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot("read", &source)(error)),
    }
}
