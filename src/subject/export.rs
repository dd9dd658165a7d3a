//! Exports a person: everything that was found, as one JSON document.

use super::views::ExportView;
use super::{Sources, Subject, SubjectError, find};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Finds everything that can be reached about a person, with operations and the bodies of messages.
pub fn export(sources: &mut Sources, subject: &Subject) -> Result<ExportView, SubjectError> {
    let found = find::find(sources, subject)?;
    ExportView::read(&*sources.store, &found)
}

/// Writes a new file. Only its owner may read it. A file that exists is not changed.
pub(super) fn write_file(path: &Path, export: &ExportView) -> Result<(), SubjectError> {
    let failed = |error: std::io::Error| SubjectError::Failed(format!("cannot write {}: {error}", path.display()));
    let text = serde_json::to_string_pretty(export).map_err(|error| SubjectError::Failed(error.to_string()))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = writeln!(file, "{text}").and_then(|()| file.sync_all());
    if let Err(error) = written {
        // An incomplete file must not be taken for an answer.
        let _ = std::fs::remove_file(path);
        return Err(failed(error));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
