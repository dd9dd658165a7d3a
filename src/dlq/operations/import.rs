//! `import`: sends the messages of an exported file, fixed or unchanged.

use super::export::ExportLine;
use super::replay::open_reachable_store;
use crate::dlq::operator::{Activity, Answer, Question};
use crate::dlq::report::Report;
use crate::dlq::resend::{Throttle, publish};
use crate::dlq::results::Results;
use crate::dlq::{DlqError, Run, SendOptions};
use crate::domain::OperationId;
use crate::message::{Header, Message, decode};
use crate::store::Store;
use serde_json::error::Category;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use uuid::Uuid;

/// The caller of a record that an operator has corrected. No API key has such a name.
const CALLER: &str = "contacts dlq-drain";

/// The maximum number of errors, and of new operations, to show.
const MAX_SHOWN: usize = 20;

/// Sends the messages of a file.
pub(in crate::dlq) fn run(run: &Run<'_>, path: &Path, options: &SendOptions) -> Result<Report, DlqError> {
    // The file is read twice: to check all lines, and to send them.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) || path == Path::new("-") {
        return Err(DlqError::Usage(format!("{} is not a regular file: import reads it twice", path.display())));
    }
    let (mut changed, mut unchanged, mut errors) = (0, 0, Vec::new());
    let (mut changed_ids, mut new_operations) = (HashMap::new(), Vec::new());
    for (number, line) in read_lines(path)? {
        match line? {
            Ok(PreparedLine { is_changed: false, .. }) => unchanged += 1,
            Ok(PreparedLine { original_id, message, .. }) => {
                changed += 1;
                if let Some(first) = changed_ids.insert(original_id.clone(), number) {
                    errors.push(format!("line {number}: {original_id} is already on line {first}: fix it only once"));
                }
                if new_operations.len() < MAX_SHOWN {
                    new_operations.push(format!("{original_id} becomes operation {}", message.id));
                }
            }
            Err(error) => errors.push(format!("line {number}: {error}")),
        }
    }
    if !errors.is_empty() {
        let more = errors.len().saturating_sub(MAX_SHOWN);
        errors.truncate(MAX_SHOWN);
        if more > 0 {
            errors.push(format!("and {more} more"));
        }
        return Err(DlqError::Failed(format!("the file is not valid; nothing was sent\n  {}", errors.join("\n  "))));
    }
    let selected = changed + unchanged;
    let mut notes = vec![format!("{changed} changed (new commands), {unchanged} unchanged (replays)")];
    notes.extend(new_operations);
    let question = format!("send {changed} changed and {unchanged} unchanged lines?");
    let answer = run.operator.confirm(Question { count: selected, groups: None, notes: &notes, text: &question })?;
    let mut report = Report {
        operation: "import",
        past_tense: "sent",
        dry_run: answer == Answer::DryRun,
        declined: answer != Answer::Yes,
        selected,
        remaining: selected,
        notes,
        ..Report::default()
    };
    if selected > 0 && answer == Answer::Yes {
        let store = open_reachable_store(run).ok();
        let mut results = Results::default();
        if let Err(error) = send(run, path, options, store.as_deref(), (selected, &mut results)) {
            report.notes.push(format!("{error}; import the file again: what was sent already takes effect once"));
        }
        report.done = results.sent();
        report.interrupted = run.stop.is_set();
        results.wait(run, store.as_deref(), options.wait);
        let outcomes = results.outcomes().clone();
        report.remaining = selected - report.done + outcomes.unsuccessful();
        report.outcomes = (outcomes.total() > 0).then_some(outcomes);
    }
    Ok(report)
}

fn send(
    run: &Run<'_>,
    path: &Path,
    options: &SendOptions,
    store: Option<&dyn Store>,
    (total, results): (usize, &mut Results),
) -> Result<(), DlqError> {
    let progress = run.operator.progress(Activity::Send, total);
    let mut throttle = Throttle::new(options.rate);
    let mut lines = read_lines(path)?;
    loop {
        let mut step = Vec::new();
        for (number, line) in lines.by_ref().take(throttle.step_size()) {
            match line? {
                Ok(prepared) => step.push(prepared.message),
                Err(error) => {
                    return Err(DlqError::Failed(format!(
                        "the file was changed during the import; line {number}: {error}"
                    )));
                }
            }
        }
        if step.is_empty() || !throttle.wait(run, step.len()) {
            return Ok(());
        }
        let mut failure = None;
        for (published, message) in publish(run, store, &mut step).into_iter().zip(&step) {
            match published {
                Ok(()) => {
                    results.add(message);
                    progress.advance(1);
                }
                Err(error) => failure = Some(error),
            }
        }
        results.poll_from_time_to_time(run, store);
        if let Some(error) = failure {
            return Err(DlqError::Failed(error.to_string()));
        }
    }
}

/// A valid line of the file and the message to send for it.
pub(super) struct PreparedLine {
    original_id: String,
    pub(super) is_changed: bool,
    pub(super) message: Message,
}

/// A line number, and the line, the error in the line, or the error of reading it.
type NumberedLine = (usize, Result<Result<PreparedLine, String>, DlqError>);

/// The lines of the file with their numbers. Empty lines are skipped.
fn read_lines(path: &Path) -> Result<impl Iterator<Item = NumberedLine>, DlqError> {
    let name = path.display().to_string();
    let read_error = move |error: std::io::Error| DlqError::Failed(format!("cannot read {name}: {error}"));
    let file = File::open(path).map_err(&read_error)?;
    let lines = BufReader::new(file).lines().enumerate();
    Ok(lines.filter_map(move |(index, line)| {
        let prepared = match line {
            Ok(text) if text.trim().is_empty() => return None,
            Ok(text) => Ok(prepare(&text)),
            Err(error) => Err(read_error(error)),
        };
        Some((index + 1, prepared))
    }))
}

fn prepare(text: &str) -> Result<PreparedLine, String> {
    // The text of serde's errors contains a line number, which would always be 1.
    let line: ExportLine = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => "not an exported message: an object with id, headers and body is expected".to_owned(),
        _ => format!("not a JSON object on one line (column {})", error.column()),
    })?;
    prepare_line(&line)
}

/// Makes the message to send for a line.
pub(super) fn prepare_line(line: &ExportLine) -> Result<PreparedLine, String> {
    let mut original = line.message()?;
    check_size(&original)?;
    if line.is_unchanged() {
        original.headers.record_replay();
        return Ok(PreparedLine { original_id: line.id.clone(), is_changed: false, message: original });
    }
    let mut command = decode(&original.body).map_err(|error| error.to_string())?;
    // The id is made from the content, so a second import of the file sends the same operation.
    command.operation_id = derive_operation_id(&line.id, &original.body);
    let mut message = Message::new(&command);
    let is_internal = |name: &str| name.starts_with("x-contacts-");
    for (name, value) in line.headers.iter().filter(|(name, _)| !is_internal(name)) {
        message.headers.set(name, value.clone());
    }
    message.headers.set_replaces(&line.id);
    message.headers.set_caller(CALLER);
    Ok(PreparedLine { original_id: line.id.clone(), is_changed: true, message })
}

/// Checks the limits of AMQP: 255 bytes for a short string, 128 KiB for a frame.
fn check_size(message: &Message) -> Result<(), String> {
    let too_long = |name: &str| format!("{name} is longer than 255 bytes");
    for (name, text) in [("id", &message.id), ("type", &message.kind)] {
        if text.len() > 255 {
            return Err(too_long(name));
        }
    }
    let mut bytes = 0;
    for (name, value) in message.headers.iter() {
        if name.len() > 255 {
            return Err(too_long("the name of a header"));
        }
        bytes += name.len() + 64 + if let Header::Text(text) = value { text.len() } else { 8 };
    }
    if bytes > 64 * 1024 { Err("the headers are larger than 64 KiB".to_owned()) } else { Ok(()) }
}

fn derive_operation_id(original_id: &str, body: &[u8]) -> OperationId {
    let mut hash = Sha256::new();
    for part in [b"import", original_id.as_bytes(), body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hash.finalize().split_at(16).0);
    OperationId::new(Uuid::new_v8(bytes))
}
