//! The result of an import: counts, messages, and the files of `--errors` and `--rejected`.

use super::batches::Batch;
use super::response::{Answer, InvalidRecord, Preview};
use crate::terminal::{align_columns, sanitize};
use crate::transfer::TransferError;
use crate::transfer::arguments::{Import, Output};
use crate::transfer::progress::Progress;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How many invalid records are shown one by one.
const MAX_SHOWN: usize = 20;

/// How many contacts of a dry run are shown.
const PREVIEWS: usize = 5;
/// How many fields that contacts do not keep are shown.
const MAX_IGNORED: usize = 40;

/// The counts of an import.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    dry_run: bool,
    /// Records with a final answer.
    records: u64,
    accepted: u64,
    valid: u64,
    pub(super) invalid: u64,
    /// Records of the last request, if the import gave up.
    pub(super) not_accepted: u64,
    /// Records whose contact exists (`--skip-existing`).
    existing: u64,
    /// The lines of the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    existing_lines: Vec<u64>,
    /// Records before `--from-line`.
    skipped: u64,
    pub(super) complete: bool,
    #[serde(rename = "go_on_from_line", skip_serializing_if = "Option::is_none")]
    pub(super) continue_from_line: Option<u64>,
    /// The first contacts of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    previews: Vec<Preview>,
    /// The values that the contacts do not keep: the field, and how many records have one.
    ignored: BTreeMap<String, u64>,
    /// The first invalid records.
    lines: Vec<InvalidRecord>,
}

/// A file that is created at the first write. An existing file is not changed, unless `--from-line` continues an
/// import: then the file is from that import, and the new bytes are appended.
struct LazyFile {
    path: PathBuf,
    append: bool,
    file: Option<File>,
}

impl LazyFile {
    fn new(path: Option<&Path>, append: bool) -> Result<Option<Self>, TransferError> {
        let Some(path) = path else { return Ok(None) };
        if !append && path.symlink_metadata().is_ok() {
            return Err(TransferError::Failed(format!("{} already exists: name a new file", path.display())));
        }
        Ok(Some(Self { path: path.to_owned(), append, file: None }))
    }

    /// Writes the bytes. An empty file first gets the header.
    fn write(&mut self, header: &[u8], bytes: &[u8]) -> Result<(), TransferError> {
        let failed = |error| TransferError::Failed(format!("cannot write {}: {error}", self.path.display()));
        if bytes.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.append(true).mode(0o600);
                let options = if self.append { options.create(true) } else { options.create_new(true) };
                let mut file = options.open(&self.path).map_err(failed)?;
                if file.metadata().map_err(failed)?.len() == 0 {
                    file.write_all(header).map_err(failed)?;
                }
                self.file.insert(file)
            }
        };
        file.write_all(bytes).map_err(failed)
    }
}

/// The files for invalid records.
pub(super) struct RejectedFiles {
    errors: Option<LazyFile>,
    records: Option<LazyFile>,
}

impl RejectedFiles {
    pub(super) fn new(arguments: &Import) -> Result<Self, TransferError> {
        let append = arguments.from_line > 1;
        let errors = LazyFile::new(arguments.errors.as_deref(), append)?;
        Ok(Self { errors, records: LazyFile::new(arguments.rejected.as_deref(), append)? })
    }

    fn add(&mut self, answer: &Answer, batch: &Batch, header: &[u8]) -> Result<(), TransferError> {
        let invalid = &answer.invalid;
        if let Some(file) = &mut self.errors {
            let mut text = Vec::new();
            for record in invalid {
                serde_json::to_writer(&mut text, record).map_err(|error| TransferError::Failed(error.to_string()))?;
                text.push(b'\n');
            }
            file.write(b"", &text)?;
        }
        let Some(file) = &mut self.records else { return Ok(()) };
        let mut text = Vec::new();
        // A valid card can have invalid text before it. It must not be imported again, because that would create it
        // again.
        let rejected: BTreeSet<usize> = invalid.iter().filter_map(|invalid| batch.record_at(invalid.line)).collect();
        for record in rejected.difference(&answer.with_contact).map(|index| batch.record(*index)) {
            text.extend_from_slice(record);
            if !record.ends_with(b"\n") {
                text.push(b'\n');
            }
        }
        file.write(header, &text)
    }
}

impl Report {
    pub(super) fn new(dry_run: bool) -> Self {
        Self { dry_run, ..Self::default() }
    }

    pub(super) fn skip(&mut self, records: usize) {
        self.skipped += records as u64;
    }

    /// The number of records that are done: with a final answer, or skipped.
    pub(super) const fn processed(&self) -> u64 {
        self.records + self.skipped
    }

    /// Writes the invalid records of a batch to the files, counts the results and shows the first errors.
    pub(super) fn add(
        &mut self,
        answer: Answer,
        (batch, header): (&Batch, &[u8]),
        files: &mut RejectedFiles,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        files.add(&answer, batch, header)?;
        self.accepted += answer.accepted;
        self.valid += answer.valid;
        self.invalid += answer.invalid.len() as u64;
        self.existing += answer.existing.len() as u64;
        self.records += answer.accepted + answer.valid + (answer.invalid.len() + answer.existing.len()) as u64;
        let shown = MAX_SHOWN.saturating_sub(self.existing_lines.len());
        self.existing_lines.extend(answer.existing.iter().take(shown));
        let more = PREVIEWS.saturating_sub(self.previews.len());
        self.previews.extend(answer.previews.into_iter().take(more));
        for (name, count) in answer.ignored {
            if self.ignored.len() < MAX_IGNORED || self.ignored.contains_key(&name) {
                *self.ignored.entry(name).or_default() += count;
            }
        }
        for invalid in answer.invalid {
            if self.lines.len() == MAX_SHOWN {
                break;
            }
            progress.note(&invalid.message());
            self.lines.push(invalid);
        }
        Ok(())
    }

    /// Prints the result on standard output.
    pub(super) fn print(&self, arguments: &Import) -> Result<(), TransferError> {
        let text = match arguments.output {
            Output::Json => {
                serde_json::to_string_pretty(self).map_err(|error| TransferError::Failed(error.to_string()))? + "\n"
            }
            Output::Table => self.table(arguments),
        };
        // If nothing was done, the error message is enough.
        if arguments.output == Output::Table && !self.complete && self.processed() + self.not_accepted == 0 {
            return Ok(());
        }
        Ok(stdout().write_all(text.as_bytes())?)
    }

    fn table(&self, arguments: &Import) -> String {
        let (label, count) = if self.dry_run { ("VALID", self.valid) } else { ("ACCEPTED", self.accepted) };
        let header = ["RECORDS", label, "INVALID", "NOT ACCEPTED"].map(str::to_owned);
        let counts = [self.records + self.not_accepted, count, self.invalid, self.not_accepted];
        let mut text = align_columns(&[header, counts.map(|count| count.to_string())]);
        if !self.previews.is_empty() {
            let mut rows = vec![["NAME", "PHONE", "E-MAIL"].map(str::to_owned)];
            let row = |Preview { name, phone, email }: &Preview| {
                [name.clone(), phone.clone(), email.clone().unwrap_or_default()]
            };
            rows.extend(self.previews.iter().map(row));
            text += &format!("the first contacts, as they would be created:\n{}", sanitize(&align_columns(&rows)));
        }
        if self.existing > 0 {
            let lines: Vec<String> = self.existing_lines.iter().map(ToString::to_string).collect();
            let more = if self.existing > lines.len() as u64 { ", …" } else { "" };
            text += &format!(
                "skipped {} records whose contact exists (--skip-existing), at lines {}{more}\n",
                self.existing,
                lines.join(", ")
            );
        }
        if self.skipped > 0 {
            text += &format!("skipped {} records before line {} (--from-line)\n", self.skipped, arguments.from_line);
        }
        if !self.ignored.is_empty() {
            let ignored: Vec<String> = self.ignored.iter().map(|(name, count)| format!("{name}: {count}")).collect();
            text += &format!("not kept, by field and number of values: {}\n", sanitize(&ignored.join(", ")));
        }
        if self.invalid > MAX_SHOWN as u64 && arguments.errors.is_none() {
            text += &format!("only the first {MAX_SHOWN} invalid records are shown; --errors FILE writes all errors\n");
        }
        if self.invalid > 0 && !self.dry_run {
            text += &match &arguments.rejected {
                Some(path) => format!("fix the invalid records in {} and import this file\n", path.display()),
                None => {
                    "fix the invalid records and import the file again: only changed records are created\n".to_owned()
                }
            };
        }
        text
    }
}
