//! What an import has come to: counted, told, and written to the files that were asked for.

use super::batches::Batch;
use super::response::{Answer, Invalid};
use crate::terminal::columns;
use crate::transfer::TransferError;
use crate::transfer::arguments::{Import, Output};
use crate::transfer::progress::Progress;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// So many records that are not valid are told one by one.
const TOLD: usize = 20;

/// The result.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    dry_run: bool,
    /// Those the service has judged.
    records: u64,
    accepted: u64,
    valid: u64,
    pub(super) invalid: u64,
    /// Of the last request, when it was given up.
    pub(super) not_accepted: u64,
    /// Completion out because of `--from-line`.
    skipped: u64,
    pub(super) complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) go_on_from_line: Option<u64>,
    /// The first that are not valid.
    lines: Vec<Invalid>,
}

/// A file that is made when there is something to write. What was there before is somebody's data, unless the import is one
/// that is gone on with: then it is what that import wrote.
struct Side {
    path: PathBuf,
    go_on: bool,
    file: Option<File>,
}

impl Side {
    fn new(path: Option<&Path>, go_on: bool) -> Result<Option<Self>, TransferError> {
        let Some(path) = path else { return Ok(None) };
        if !go_on && path.symlink_metadata().is_ok() {
            return Err(TransferError::Failed(format!("{} exists already: name a new file", path.display())));
        }
        Ok(Some(Self { path: path.to_owned(), go_on, file: None }))
    }

    /// Writes, after the header if it is the first that is written.
    fn write(&mut self, header: &[u8], bytes: &[u8]) -> Result<(), TransferError> {
        let cannot = |error| TransferError::Failed(format!("cannot write {}: {error}", self.path.display()));
        if bytes.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.append(true).mode(0o600);
                let options = if self.go_on { options.create(true) } else { options.create_new(true) };
                let mut file = options.open(&self.path).map_err(cannot)?;
                if file.metadata().map_err(cannot)?.len() == 0 {
                    file.write_all(header).map_err(cannot)?;
                }
                self.file.insert(file)
            }
        };
        file.write_all(bytes).map_err(cannot)
    }
}

/// Where the records that are not valid go.
pub(super) struct Rejects {
    reasons: Option<Side>,
    records: Option<Side>,
}

impl Rejects {
    pub(super) fn new(arguments: &Import) -> Result<Self, TransferError> {
        let go_on = arguments.from_line > 1;
        let reasons = Side::new(arguments.rejects.as_deref(), go_on)?;
        Ok(Self { reasons, records: Side::new(arguments.mend.as_deref(), go_on)? })
    }

    fn add(&mut self, answer: &Answer, batch: &Batch, header: &[u8]) -> Result<(), TransferError> {
        let invalid = &answer.invalid;
        if let Some(file) = &mut self.reasons {
            let mut text = Vec::new();
            for record in invalid {
                serde_json::to_writer(&mut text, record).map_err(|error| TransferError::Failed(error.to_string()))?;
                text.push(b'\n');
            }
            file.write(b"", &text)?;
        }
        let Some(file) = &mut self.records else { return Ok(()) };
        let mut text = Vec::new();
        // A card can have what is no card before it; imported again it would be created again.
        let wrong: BTreeSet<usize> = invalid.iter().filter_map(|invalid| batch.record_at(invalid.line)).collect();
        for record in wrong.difference(&answer.taken).map(|at| batch.record(*at)) {
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

    /// How many records are behind us.
    pub(super) const fn passed(&self) -> u64 {
        self.records + self.skipped
    }

    /// Counts, tells and writes what became of a batch.
    pub(super) fn add(
        &mut self,
        answer: Answer,
        (batch, header): (&Batch, &[u8]),
        rejects: &mut Rejects,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        rejects.add(&answer, batch, header)?;
        self.accepted += answer.accepted;
        self.valid += answer.valid;
        self.invalid += answer.invalid.len() as u64;
        self.records += answer.accepted + answer.valid + answer.invalid.len() as u64;
        for invalid in answer.invalid {
            if self.lines.len() == TOLD {
                break;
            }
            progress.note(&invalid.sentence());
            self.lines.push(invalid);
        }
        Ok(())
    }

    /// The result, on standard output.
    pub(super) fn put(&self, arguments: &Import) -> Result<(), TransferError> {
        let text = match arguments.output {
            Output::Json => {
                serde_json::to_string_pretty(self).map_err(|error| TransferError::Failed(error.to_string()))? + "\n"
            }
            Output::Table => self.table(arguments),
        };
        // Where nothing was done, the error says all there is.
        if arguments.output == Output::Table && !self.complete && self.passed() + self.not_accepted == 0 {
            return Ok(());
        }
        Ok(stdout().write_all(text.as_bytes())?)
    }

    fn table(&self, arguments: &Import) -> String {
        let (good, count) = if self.dry_run { ("VALID", self.valid) } else { ("ACCEPTED", self.accepted) };
        let counts = [self.records + self.not_accepted, count, self.invalid, self.not_accepted];
        let mut text =
            columns(&[["RECORDS", good, "INVALID", "NOT ACCEPTED"].map(str::to_owned), counts.map(|n| n.to_string())]);
        if self.skipped > 0 {
            text +=
                &format!("{} records before line {} were left out (--from-line)\n", self.skipped, arguments.from_line);
        }
        if self.invalid > TOLD as u64 && arguments.rejects.is_none() {
            text += &format!("the first {TOLD} that are not valid were shown; --rejects FILE writes all of them\n");
        }
        if self.invalid > 0 && !self.dry_run {
            text += match &arguments.mend {
                Some(path) => format!("mend what is not valid in {}, and import that\n", path.display()),
                None => {
                    "mend what is not valid in a file of its own (--mend FILE writes one): in this file a change would \
                         let its neighbours be created again\n"
                        .to_owned()
                }
            }
            .as_str();
        }
        text
    }
}
