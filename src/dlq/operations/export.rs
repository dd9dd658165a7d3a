//! `export`: letters to a file, in a form that a person can mend and `import` can read.

use crate::dlq::browse::{TOGETHER, choose_with_consent};
use crate::dlq::facts::{self, fingerprint};
use crate::dlq::output::Report;
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

/// A letter as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dlq) struct Line {
    pub(in crate::dlq) id: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    timestamp: u64,
    #[serde(default)]
    pub(in crate::dlq) headers: Headers,
    /// The body as it is, if it is JSON; only line breaks become spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    /// The body, if it is anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// Tells whether the line was changed since.
    #[serde(default)]
    digest: String,
}

/// JSON as it is written, but on one line. A bare `null` would read as no body at all.
fn raw(text: &str) -> Option<Box<RawValue>> {
    // Within a string there can be no line break.
    let line = text.trim().replace(['\n', '\r'], " ");
    (line != "null").then(|| RawValue::from_string(line).ok()).flatten()
}

impl Line {
    pub(in crate::dlq) fn of(message: &Message) -> Self {
        let body = str::from_utf8(&message.body).ok().and_then(raw);
        let body_base64 = body.is_none().then(|| BASE64_STANDARD.encode(&message.body));
        let mut line = Self {
            id: facts::id(message),
            kind: message.kind.clone(),
            timestamp: message.timestamp,
            headers: message.headers.clone(),
            body,
            body_base64,
            digest: String::new(),
        };
        line.digest = line.own_digest();
        line
    }

    /// Whether it is as it was exported.
    pub(in crate::dlq) fn is_unchanged(&self) -> bool {
        self.digest == self.own_digest()
    }

    fn own_digest(&self) -> String {
        let message = self.message().unwrap_or_default();
        fingerprint(&message).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The message it stands for.
    pub(in crate::dlq) fn message(&self) -> Result<Message, String> {
        let body = match (&self.body, &self.body_base64) {
            (Some(value), None) => value.get().as_bytes().to_vec(),
            (None, Some(text)) => {
                BASE64_STANDARD.decode(text).map_err(|error| format!("body_base64 is not base64: {error}"))?
            }
            _ => return Err("it needs either body or body_base64".to_owned()),
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
    let to_output = path == Path::new("-");
    let path = &file_of(path);
    if to_output && !keep {
        return Err(DlqError::Usage("standard output is not kept: add --keep, or name a file".into()));
    }
    // What changes nothing needs no confirmation.
    let confirmation = Confirmation { yes: confirmation.yes || keep, ..confirmation };
    if !to_output && path.exists() {
        return Err(DlqError::Failed(format!("{} exists already: name a new file", path.display())));
    }
    let (selected, mut chosen) = choose_with_consent(
        context,
        selection,
        confirmation,
        "export",
        &format!(" to {} and remove from the queue", path.display()),
    )?;
    let (mut done, mut still, mut notes) = (0, 0, Vec::new());
    if let Some(chosen) = &mut chosen {
        let failed =
            |error: std::io::Error| QueueError::Misconfigured(format!("cannot write {}: {error}", path.display()));
        let mut file = if to_output { None } else { Some(create(path)?) };
        let result: Result<(), QueueError> = context.letters.browse(&mut |letters| {
            let progress = context.console.progress("exporting", chosen.len());
            let mut out: Box<dyn Write + '_> = match &mut file {
                Some(file) => Box::new(BufWriter::new(file)),
                None => Box::new(std::io::stdout().lock()),
            };
            let (mut ticket, mut tags) = (chosen.ticket(), Vec::new());
            while let Some(letter) = letters.next()? {
                if context.stop.is_set() {
                    break;
                }
                let which = fingerprint(&letter.message);
                if ticket.take(&which) {
                    let line =
                        serde_json::to_string(&Line::of(&letter.message)).map_err(|error| failed(error.into()))?;
                    writeln!(out, "{line}").map_err(failed)?;
                    letters.mark_for_removal();
                    tags.push((letter.tag, which));
                    progress.advance(1);
                }
            }
            out.flush().map_err(failed)?;
            drop(out);
            if let Some(file) = &file {
                // From here on the file holds them, whatever happens.
                file.sync_all().and_then(|()| sync_folder_of(path)).map_err(failed)?;
            }
            done = tags.len();
            if !keep {
                for some in tags.chunks(TOGETHER) {
                    letters.remove(&some.iter().map(|(tag, _)| *tag).collect::<Vec<_>>())?;
                    some.iter().for_each(|(_, which)| chosen.done(which));
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            if done == 0 && !to_output {
                // Nothing was removed from the queue, so nothing is lost with it.
                let _ = std::fs::remove_file(path);
            }
            let where_they_are = if done > 0 {
                "the file is whole; some or all of its letters are still in the queue, too"
            } else {
                "nothing was removed from the queue, and there is no file"
            };
            return Err(DlqError::Failed(format!("{error}; {where_they_are}")));
        }
        (still, notes) = chosen.sweep(context);
    }
    if done > 0 && !to_output {
        notes.insert(0, format!("they are in {}", path.display()));
    }
    let report = Report {
        operation: "export",
        done_word: if keep { "copied" } else { "exported" },
        dry_run: confirmation.dry_run,
        interrupted: context.stop.is_set(),
        declined: chosen.is_none(),
        selected,
        done,
        notes,
        ..Report::default()
    };
    if to_output {
        context.console.note_report(&report)?;
    } else {
        context.console.put_report(&report)?;
    }
    Ok(Completion::if_any(if confirmation.dry_run { 0 } else { selected - done + still }))
}

/// In a folder, a file named after the time.
fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join(Utc::now().format("dead-letters-%Y-%m-%dT%H-%M-%S%.3fZ.ndjson").to_string());
    }
    path.to_owned()
}

/// For its owner only: it holds personal data.
fn create(path: &Path) -> Result<File, DlqError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| DlqError::Failed(format!("cannot make the file {}: {error}", path.display())))
}

/// Makes the file's name as durable as its content.
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    #[test]
    fn a_line_knows_whether_it_was_changed() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let strange =
            br#"{"b": 1, "a":"\u00e9", "a":"twice", "n":123456789012345678901234567890, "f":0.1234567890123456789}"#;
        for body in [&strange[..], b"null", b" null\n", deep.as_bytes(), b"\xff\x00 not json", b""] {
            let mut message = Message { id: "i".into(), kind: "k".into(), body: body.to_vec(), ..Message::default() };
            message.headers.set("x", Header::Text("y".into()));
            let text = serde_json::to_string(&Line::of(&message)).unwrap();
            let mut line: Line = serde_json::from_str(&text).unwrap();
            assert!(line.is_unchanged(), "{text}");
            let back = line.message().unwrap();
            assert_eq!(back, Message { id: back.id.clone(), ..message.clone() });
            line.id.push('j');
            assert!(!line.is_unchanged());
        }
        assert_eq!(
            Line::of(&Message { body: b"\xff".to_vec(), ..Message::default() }).message().unwrap().body,
            b"\xff"
        );
    }
}
