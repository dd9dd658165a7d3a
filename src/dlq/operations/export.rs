//! `export`: writes dead letters to a file that a person can edit and that `import` can read.

use crate::dlq::browse::{REMOVE_BATCH, SelectedMessages, select_and_confirm};
use crate::dlq::operator::{Activity, Answer};
use crate::dlq::report::Report;
use crate::dlq::summary::{Fingerprint, fingerprint, message_id};
use crate::dlq::{DlqError, Run, Selection};
use crate::message::{Headers, Message};
use crate::queue::{DeadLetterBrowser, QueueError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A dead letter as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportLine {
    pub(in crate::dlq) id: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    timestamp: u64,
    #[serde(default)]
    pub(in crate::dlq) headers: Headers,
    /// The body if it is JSON, unchanged except that line breaks become spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    /// The body if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// The fingerprint of the exported message. It differs from the line after a change.
    #[serde(default)]
    digest: String,
}

/// Unchanged JSON on one line. `None` for text that is not JSON, and for a bare `null`, which would be read as no body.
fn single_line_json(text: &str) -> Option<Box<RawValue>> {
    // A JSON string cannot contain a line break.
    let line = text.trim().replace(['\n', '\r'], " ");
    (line != "null").then(|| RawValue::from_string(line).ok()).flatten()
}

impl ExportLine {
    pub(crate) fn of(message: &Message) -> Self {
        let body = str::from_utf8(&message.body).ok().and_then(single_line_json);
        let body_base64 = body.is_none().then(|| BASE64_STANDARD.encode(&message.body));
        let mut line = Self {
            id: message_id(message),
            kind: message.kind.clone(),
            timestamp: message.timestamp,
            headers: message.headers.clone(),
            body,
            body_base64,
            digest: String::new(),
        };
        line.digest = line.compute_digest();
        line
    }

    /// The same line with another JSON body.
    pub(in crate::dlq) fn with_body(self, body: &str) -> Self {
        Self { body: single_line_json(body), body_base64: None, ..self }
    }

    /// Whether the line is unchanged since its export.
    pub(in crate::dlq) fn is_unchanged(&self) -> bool {
        self.digest == self.compute_digest()
    }

    fn compute_digest(&self) -> String {
        let message = self.message().unwrap_or_default();
        fingerprint(&message).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The message of this line.
    pub(in crate::dlq) fn message(&self) -> Result<Message, String> {
        let body = match (&self.body, &self.body_base64) {
            (Some(value), None) => value.get().as_bytes().to_vec(),
            (None, Some(text)) => {
                BASE64_STANDARD.decode(text).map_err(|error| format!("body_base64 is not base64: {error}"))?
            }
            _ => return Err("the line needs either body or body_base64".to_owned()),
        };
        Ok(Message {
            id: self.id.clone(),
            kind: self.kind.clone(),
            timestamp: self.timestamp,
            headers: self.headers.clone(),
            body,
        })
    }
}

/// Where `export` writes to.
pub(in crate::dlq) struct Target {
    path: PathBuf,
    pub(in crate::dlq) is_stdout: bool,
    /// Copy the messages and leave them in the queue.
    keep: bool,
}

impl Target {
    /// Checks the path before the queue is read.
    pub(in crate::dlq) fn new(path: &Path, keep: bool) -> Result<Self, DlqError> {
        let is_stdout = path == Path::new("-");
        let path = file_path(path);
        if is_stdout && !keep {
            return Err(DlqError::Usage("standard output may lose messages: add --keep, or name a file".into()));
        }
        if !is_stdout && path.exists() {
            return Err(DlqError::Failed(format!("{} already exists: name a new file", path.display())));
        }
        Ok(Self { path, is_stdout, keep })
    }
}

/// Writes the selected dead letters to a file and, unless they are kept, removes them from the queue.
pub(in crate::dlq) fn run(run: &Run<'_>, target: &Target, selection: &Selection) -> Result<Report, DlqError> {
    let Target { path, is_stdout, keep } = target;
    let consequence = format!(" to {} and remove from the queue", path.display());
    let confirmed = select_and_confirm(run, selection, "export", &consequence)?;
    let mut report = Report {
        operation: "export",
        past_tense: if *keep { "copied" } else { "exported" },
        dry_run: confirmed.answer == Answer::DryRun,
        declined: confirmed.answer != Answer::Yes,
        selected: confirmed.count,
        remaining: confirmed.count,
        ..Report::default()
    };
    if let Some(mut selected) = confirmed.into_messages() {
        let write_error =
            |error: std::io::Error| QueueError::Misconfigured(format!("cannot write {}: {error}", path.display()));
        let mut file = if *is_stdout { None } else { Some(create_file(path)?) };
        let result: Result<(), QueueError> = run.queue.browse(&mut |browser| {
            let mut out: Box<dyn Write + '_> = match &mut file {
                Some(file) => Box::new(BufWriter::new(file)),
                None => Box::new(std::io::stdout().lock()),
            };
            let written = write_lines(run, browser, &selected, &mut *out, !keep).map_err(|error| match error {
                WriteError::Queue(error) => error,
                WriteError::Output(error) => write_error(error),
            })?;
            drop(out);
            if let Some(file) = &file {
                // After this, a crash cannot lose the messages.
                file.sync_all().and_then(|()| sync_parent_folder(path)).map_err(write_error)?;
            }
            report.done = written.len();
            if !keep {
                for batch in written.chunks(REMOVE_BATCH) {
                    browser.remove(&batch.iter().map(|(tag, _)| *tag).collect::<Vec<_>>())?;
                    batch.iter().for_each(|(_, fingerprint)| selected.mark_done(fingerprint));
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            if report.done == 0 && !is_stdout {
                // All messages are still in the queue, so the file is not needed.
                let _ = std::fs::remove_file(path);
            }
            let state = if report.done > 0 {
                "the file is complete; some or all of its messages are also still in the queue"
            } else {
                "nothing was removed from the queue, and no file was written"
            };
            return Err(DlqError::Failed(format!("{error}; {state}")));
        }
        let (still_there, notes) = selected.verify_removal(run);
        report.remaining = report.selected - report.done + still_there;
        report.notes = notes;
        if report.done > 0 && !is_stdout {
            report.notes.insert(0, format!("the messages are in {}", path.display()));
        }
    }
    report.interrupted = run.stop.is_set();
    Ok(report)
}

/// Why lines could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("{0}")]
    Queue(#[from] QueueError),
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

/// Writes the selected dead letters, one line for each. Returns the tags and fingerprints of those that are written.
fn write_lines(
    run: &Run<'_>,
    browser: &mut dyn DeadLetterBrowser,
    selected: &SelectedMessages,
    out: &mut dyn Write,
    remove_later: bool,
) -> Result<Vec<(u64, Fingerprint)>, WriteError> {
    let progress = run.operator.progress(Activity::Export, selected.len());
    let (mut matches, mut written) = (selected.remaining_matches(), Vec::new());
    while let Some(dead_letter) = browser.next()? {
        if run.stop.is_set() {
            break;
        }
        let fingerprint = fingerprint(&dead_letter.message);
        if matches.take(&fingerprint) {
            let line = serde_json::to_string(&ExportLine::of(&dead_letter.message)).map_err(std::io::Error::from)?;
            writeln!(out, "{line}")?;
            if remove_later {
                browser.mark_for_removal();
            }
            written.push((dead_letter.tag, fingerprint));
            progress.advance(1);
        }
    }
    out.flush()?;
    Ok(written)
}

/// Writes the selected dead letters as `export --keep` does. Returns those that are written: exactly they may be
/// discarded afterwards.
pub(crate) fn copy(
    run: &Run<'_>,
    selected: &SelectedMessages,
    out: &mut dyn Write,
) -> Result<SelectedMessages, WriteError> {
    let mut copied = SelectedMessages::default();
    let mut output_error = None;
    run.queue.browse(&mut |browser| {
        match write_lines(run, browser, selected, out, false) {
            Ok(written) => written.iter().for_each(|(_, fingerprint)| copied.add(*fingerprint)),
            Err(WriteError::Queue(error)) => return Err(error),
            Err(WriteError::Output(error)) => output_error = Some(error),
        }
        Ok(())
    })?;
    output_error.map_or(Ok(copied), |error| Err(error.into()))
}

/// The path of the file to write. In a folder, the file is named after the time.
fn file_path(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join(Utc::now().format("dead-letters-%Y-%m-%dT%H-%M-%S%.3fZ.ndjson").to_string());
    }
    path.to_owned()
}

/// Creates the file. Only its owner may read it, because it contains personal data.
fn create_file(path: &Path) -> Result<File, DlqError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| DlqError::Failed(format!("cannot create the file {}: {error}", path.display())))
}

/// Syncs the folder, so that the file's name survives a crash like its content.
fn sync_parent_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    #[test]
    fn a_change_of_a_line_is_detected() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let strange =
            br#"{"b": 1, "a":"\u00e9", "a":"twice", "n":123456789012345678901234567890, "f":0.1234567890123456789}"#;
        for body in [&strange[..], b"null", b" null\n", deep.as_bytes(), b"\xff\x00 not json", b""] {
            let mut message = Message { id: "i".into(), kind: "k".into(), body: body.to_vec(), ..Message::default() };
            message.headers.set("x", Header::Text("y".into()));
            let text = serde_json::to_string(&ExportLine::of(&message)).unwrap();
            let mut line: ExportLine = serde_json::from_str(&text).unwrap();
            assert!(line.is_unchanged(), "{text}");
            let back = line.message().unwrap();
            assert_eq!(back, Message { id: back.id.clone(), ..message.clone() });
            line.id.push('j');
            assert!(!line.is_unchanged());
        }
        assert_eq!(
            ExportLine::of(&Message { body: b"\xff".to_vec(), ..Message::default() }).message().unwrap().body,
            b"\xff"
        );
    }
}
