//! `import`: exported letters, mended or not, back to work.

use super::export::Line;
use super::replay::{outcomes, reachable};
use crate::dlq::outcomes::Sent;
use crate::dlq::output::Report;
use crate::dlq::resend::{Pace, publish};
use crate::dlq::{Completion, Confirmation, Context, DlqError, SendOptions};
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

/// The most wrong lines that are shown.
const SHOWN: usize = 20;

pub(in crate::dlq) fn run(
    context: &Context,
    path: &Path,
    sending: &SendOptions,
    confirmation: Confirmation,
) -> Result<Completion, DlqError> {
    context.console.can_ask(confirmation)?;
    // It is read twice.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) || path == Path::new("-") {
        return Err(DlqError::Usage(format!("{} is no file: import reads its lines twice", path.display())));
    }
    let (mut changed, mut unchanged, mut wrong) = (0, 0, Vec::new());
    let (mut seen, mut successors) = (HashMap::new(), Vec::new());
    for (number, line) in lines(path)? {
        match line? {
            Ok(Prepared { changed: false, .. }) => unchanged += 1,
            Ok(Prepared { old, message, .. }) => {
                changed += 1;
                if let Some(first) = seen.insert(old.clone(), number) {
                    wrong.push(format!("line {number}: {old} is on line {first}, too: mend it once"));
                }
                if successors.len() < SHOWN {
                    successors.push(format!("{old} becomes operation {}", message.id));
                }
            }
            Err(why) => wrong.push(format!("line {number}: {why}")),
        }
    }
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(SHOWN);
        wrong.truncate(SHOWN);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        return Err(DlqError::Failed(format!("nothing was sent, because of\n  {}", wrong.join("\n  "))));
    }
    let selected = changed + unchanged;
    let mut report = Report {
        operation: "import",
        done_word: "sent",
        dry_run: confirmation.dry_run,
        selected,
        declined: true,
        notes: vec![format!("{changed} changed, to be new commands, and {unchanged} unchanged, to be replayed")],
        ..Report::default()
    };
    report.notes.extend(successors);
    if !confirmation.yes && !confirmation.dry_run {
        report.notes.iter().try_for_each(|note| context.console.note(note))?;
    }
    let question = format!("send {changed} changed and {unchanged} unchanged lines?");
    let mut left = if confirmation.dry_run { 0 } else { selected };
    if selected > 0 && !confirmation.dry_run && context.console.ask(confirmation, &question)? {
        report.declined = false;
        (context.watch_signals)();
        let store = reachable(context).ok();
        let mut sent = Vec::new();
        if let Err(error) = send(context, path, sending, store.as_deref(), (selected, &mut sent)) {
            report.notes.push(format!("{error}; import the file again: what was sent already takes effect once"));
        }
        report.done = sent.len();
        report.interrupted = context.stop.is_set();
        let outcomes = outcomes(context, store.as_deref(), &sent, sending.wait);
        left = selected - report.done + outcomes.left();
        report.outcomes = (outcomes.total() > 0).then_some(outcomes);
    }
    context.console.put_report(&report)?;
    Ok(Completion::if_any(left))
}

fn send(
    context: &Context,
    path: &Path,
    sending: &SendOptions,
    store: Option<&dyn Store>,
    (total, sent): (usize, &mut Vec<Option<Sent>>),
) -> Result<(), DlqError> {
    let progress = context.console.progress("sending", total);
    let mut pace = Pace::new(sending.rate);
    let mut lines = lines(path)?;
    loop {
        let mut step = Vec::new();
        for (number, line) in lines.by_ref().take(pace.step()) {
            match line? {
                Ok(prepared) => step.push(prepared.message),
                Err(why) => {
                    return Err(DlqError::Failed(format!("the file was changed meanwhile; line {number}: {why}")));
                }
            }
        }
        if step.is_empty() || !pace.wait(context, step.len()) {
            return Ok(());
        }
        let mut failure = None;
        for (result, message) in publish(context, store, &mut step).into_iter().zip(&step) {
            match result {
                Ok(()) => {
                    sent.push(Sent::of(message));
                    progress.advance(1);
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(DlqError::Failed(error.to_string()));
        }
    }
}

/// What a line becomes.
struct Prepared {
    /// The id it has in the file.
    old: String,
    changed: bool,
    message: Message,
}

type Numbered = (usize, Result<Result<Prepared, String>, DlqError>);

/// The file's lines with their numbers, empty ones left out.
fn lines(path: &Path) -> Result<impl Iterator<Item = Numbered>, DlqError> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(|error| DlqError::Failed(cannot(error)))?;
    let name = path.to_owned();
    let lines = BufReader::new(file).lines().enumerate();
    Ok(lines.filter_map(move |(index, line)| {
        let prepared = match line {
            Ok(text) if text.trim().is_empty() => return None,
            Ok(text) => Ok(prepare(&text)),
            Err(error) => Err(DlqError::Failed(format!("cannot read {}: {error}", name.display()))),
        };
        Some((index + 1, prepared))
    }))
}

fn prepare(text: &str) -> Result<Prepared, String> {
    // Serde's own words would name a line of this line.
    let line: Line = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => "it is JSON, but not as `export` writes it: an object with id, headers and body".to_owned(),
        _ => format!("it is not JSON, one object on one line (column {})", error.column()),
    })?;
    let mut old = line.message()?;
    fits(&old)?;
    if line.is_unchanged() {
        old.headers.record_replay();
        return Ok(Prepared { old: line.id, changed: false, message: old });
    }
    let mut command = decode(&old.body).map_err(|why| format!("{why}"))?;
    // Made from the content, so that importing a file twice sends the same operation.
    command.operation_id = successor(&line.id, &old.body);
    let mut new = Message::new(&command);
    let ours = |name: &str| name.starts_with("x-contacts-");
    for (name, value) in line.headers.iter().filter(|(name, _)| !ours(name)) {
        new.headers.set(name, value.clone());
    }
    new.headers.set_replaces(&line.id);
    Ok(Prepared { old: line.id, changed: true, message: new })
}

/// Whether a message can be published at all: AMQP's short texts have 255 bytes, a frame 128 KiB.
fn fits(message: &Message) -> Result<(), String> {
    let long = |name: &str| format!("{name} is longer than 255 bytes");
    for (name, text) in [("id", &message.id), ("type", &message.kind)] {
        if text.len() > 255 {
            return Err(long(name));
        }
    }
    let mut bytes = 0;
    for (name, value) in message.headers.iter() {
        if name.len() > 255 {
            return Err(long("the name of a header"));
        }
        bytes += name.len() + 64 + if let Header::Text(text) = value { text.len() } else { 8 };
    }
    if bytes > 64 * 1024 { Err("its headers have more than 64 KiB".to_owned()) } else { Ok(()) }
}

fn successor(old: &str, body: &[u8]) -> OperationId {
    let mut hash = Sha256::new();
    for part in [b"import", old.as_bytes(), body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hash.finalize().split_at(16).0);
    OperationId::new(Uuid::new_v8(bytes))
}
