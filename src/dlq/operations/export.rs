//! `export`: writes dead letters to a file that a person can edit and that `import` can read.

use crate::dlq::browse::{REMOVE_BATCH, select_and_confirm};
use crate::dlq::output::Report;
use crate::dlq::summary::{fingerprint, message_id};
use crate::dlq::{Completion, Confirmation, Context, DlqError, Selection};
use crate::message::{Headers, Message};
use crate::queue::QueueError;
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

pub(in crate::dlq) fn run(
    context: &Context,
    path: &Path,
    selection: &Selection,
    keep: bool,
    confirmation: Confirmation,
) -> Result<Completion, DlqError> {
    let to_stdout = path == Path::new("-");
    let path = &file_path(path);
    if to_stdout && !keep {
        return Err(DlqError::Usage("standard output may lose messages: add --keep, or name a file".into()));
    }
    // A copy changes nothing, so it needs no confirmation.
    let confirmation = Confirmation { yes: confirmation.yes || keep, ..confirmation };
    if !to_stdout && path.exists() {
        return Err(DlqError::Failed(format!("{} already exists: name a new file", path.display())));
    }
    let consequence = format!(" to {} and remove from the queue", path.display());
    let (count, mut selected) = select_and_confirm(context, selection, confirmation, "export", &consequence)?;
    let (mut done, mut still_there, mut notes) = (0, 0, Vec::new());
    if let Some(selected) = &mut selected {
        let write_error =
            |error: std::io::Error| QueueError::Misconfigured(format!("cannot write {}: {error}", path.display()));
        let mut file = if to_stdout { None } else { Some(create_file(path)?) };
        let result: Result<(), QueueError> = context.queue.browse(&mut |browser| {
            let progress = context.console.progress("exporting", selected.len());
            let mut out: Box<dyn Write + '_> = match &mut file {
                Some(file) => Box::new(BufWriter::new(file)),
                None => Box::new(std::io::stdout().lock()),
            };
            let (mut matches, mut written) = (selected.remaining_matches(), Vec::new());
            while let Some(dead_letter) = browser.next()? {
                if context.stop.is_set() {
                    break;
                }
                let fingerprint = fingerprint(&dead_letter.message);
                if matches.take(&fingerprint) {
                    let line = serde_json::to_string(&ExportLine::of(&dead_letter.message));
                    let line = line.map_err(|error| write_error(error.into()))?;
                    writeln!(out, "{line}").map_err(write_error)?;
                    browser.mark_for_removal();
                    written.push((dead_letter.tag, fingerprint));
                    progress.advance(1);
                }
            }
            out.flush().map_err(write_error)?;
            drop(out);
            if let Some(file) = &file {
                // After this, a crash cannot lose the messages.
                file.sync_all().and_then(|()| sync_parent_folder(path)).map_err(write_error)?;
            }
            done = written.len();
            if !keep {
                for batch in written.chunks(REMOVE_BATCH) {
                    browser.remove(&batch.iter().map(|(tag, _)| *tag).collect::<Vec<_>>())?;
                    batch.iter().for_each(|(_, fingerprint)| selected.mark_done(fingerprint));
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            if done == 0 && !to_stdout {
                // All messages are still in the queue, so the file is not needed.
                let _ = std::fs::remove_file(path);
            }
            let state = if done > 0 {
                "the file is complete; some or all of its messages are also still in the queue"
            } else {
                "nothing was removed from the queue, and no file was written"
            };
            return Err(DlqError::Failed(format!("{error}; {state}")));
        }
        (still_there, notes) = selected.verify_removal(context);
    }
    if done > 0 && !to_stdout {
        notes.insert(0, format!("the messages are in {}", path.display()));
    }
    let report = Report {
        operation: "export",
        past_tense: if keep { "copied" } else { "exported" },
        dry_run: confirmation.dry_run,
        interrupted: context.stop.is_set(),
        declined: selected.is_none(),
        selected: count,
        done,
        notes,
        ..Report::default()
    };
    if to_stdout {
        context.console.print_report_as_note(&report)?;
    } else {
        context.console.print_report(&report)?;
    }
    Ok(Completion::from_remaining(if confirmation.dry_run { 0 } else { count - done + still_there }))
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
