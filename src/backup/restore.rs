//! `contacts restore`: puts a backup into an empty data folder.
//!
//! The files get their names in the data folder one after the other. Until the last one has it, the folder
//! [`data_folder::RESTORE`] exists, and no standalone starts. So this also works if the data folder is a volume, which
//! cannot be renamed.

use super::manifest::Manifest;
use super::{BackupError, Step, Summary, cannot, check_copies, require_not_stopped, sync};
use crate::data_folder::{self, DATABASE};
use crate::stop::Stop;
use crate::store::{StoreError, sqlite};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Copies a backup into a data folder that is empty or does not exist. Calls `report` before each step.
pub fn restore(backup: &Path, data: &Path, stop: &Stop, report: &mut dyn FnMut(Step)) -> Result<Summary, BackupError> {
    let manifest = Manifest::read(backup)?;
    let _lock = data_folder::open_for_restore(data)?;
    let part = data.join(data_folder::RESTORE);
    remove_leftovers(data, &part)?;
    DirBuilder::new().mode(0o700).create(&part).map_err(cannot("create", &part))?;
    let result = prepare(&manifest, backup, &part, stop, report);
    if result.is_err() {
        // If this fails, a standalone refuses the folder, and the next restore removes it.
        let _ = fs::remove_dir_all(&part);
    }
    let summary = result?;
    for name in manifest.names() {
        fs::rename(part.join(name), data.join(name)).map_err(cannot("write to", data))?;
    }
    sync(data)?;
    fs::remove_dir(&part).map_err(cannot("remove", &part))?;
    sync(data)?;
    // The folder itself may be new, and the folders above it.
    let absolute = std::path::absolute(data).map_err(cannot("use", data))?;
    for folder in absolute.ancestors().skip(1) {
        // Not every folder above may be opened by this user. Those are not new.
        let _ = sync(folder);
    }
    Ok(summary)
}

/// Removes what an interrupted restore left. [`data_folder::open_for_restore`] has checked that there is nothing else.
fn remove_leftovers(data: &Path, part: &Path) -> Result<(), BackupError> {
    if !part.exists() {
        return Ok(());
    }
    for name in data_folder::COPIED {
        match fs::remove_file(data.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot("write to", data)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    // Last: while it exists, the next restore knows that the other files are leftovers.
    fs::remove_dir_all(part).map_err(cannot("remove", part))
}

/// Copies the files to a folder and checks them.
fn prepare(
    manifest: &Manifest,
    backup: &Path,
    part: &Path,
    stop: &Stop,
    report: &mut dyn FnMut(Step),
) -> Result<Summary, BackupError> {
    report(Step::CopyFiles);
    for name in manifest.names() {
        require_not_stopped(stop)?;
        manifest.copy(name, backup, part)?;
    }
    require_not_stopped(stop)?;
    report(Step::Check);
    let summary = check_copies(part, manifest.begun_at, manifest.bytes())?;
    sqlite::require_known_schema(&part.join(DATABASE)).map_err(|error| match error {
        StoreError::Misconfigured(reason) => BackupError::Newer(format!("{reason}: restore it with that version")),
        other => BackupError::Failed(other.to_string()),
    })?;
    require_not_stopped(stop)?;
    sync(part)?;
    Ok(summary)
}
