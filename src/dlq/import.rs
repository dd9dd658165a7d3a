//! `import`: exported letters, mended or not, back to work.

use super::export::Line;
use super::following::Sent;
use super::replay::{outcomes, reachable};
use super::screen::Report;
use super::sending::{Pace, publish};
use super::{Consent, Desk, DlqError, Left, Sending};
use crate::domain::OperationId;
use crate::message::{Message, decode};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use uuid::Uuid;

/// The most wrong lines that are shown.
const SHOWN: usize = 20;

pub(super) fn run(desk: &Desk, path: &Path, sending: &Sending, consent: Consent) -> Result<Left, DlqError> {
    desk.screen.can_ask(consent)?;
    let (mut changed, mut unchanged, mut wrong) = (0, 0, Vec::new());
    for (number, line) in lines(path)? {
        match line? {
            Ok(Prepared::Changed(_)) => changed += 1,
            Ok(Prepared::Unchanged(_)) => unchanged += 1,
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
        dry_run: consent.dry_run,
        selected,
        notes: vec![format!("{changed} changed and sent as new commands, {unchanged} unchanged and replayed")],
        ..Report::default()
    };
    let question = format!("send {changed} changed and {unchanged} unchanged?");
    let mut left = if consent.dry_run { 0 } else { selected };
    if selected > 0 && !consent.dry_run && desk.screen.ask(consent, &question)? {
        (desk.watch_signals)();
        let sent = send(desk, path, sending, selected, &mut report)?;
        report.done = sent.len();
        report.interrupted = desk.stop.is_set();
        let store = reachable(desk).ok();
        let outcomes = outcomes(desk, store.as_deref(), &sent, sending.wait);
        left = selected - report.done + outcomes.left();
        report.outcomes = Some(outcomes);
    }
    desk.screen.put_report(&report)?;
    Ok(Left::if_any(left))
}

fn send(
    desk: &Desk,
    path: &Path,
    sending: &Sending,
    total: usize,
    report: &mut Report,
) -> Result<Vec<Option<Sent>>, DlqError> {
    let progress = desk.screen.progress("sending", total);
    let (mut pace, mut sent) = (Pace::new(sending.rate), Vec::new());
    let mut lines = lines(path)?;
    loop {
        let mut step = Vec::new();
        for (number, line) in lines.by_ref().take(pace.step()) {
            match line? {
                Ok(Prepared::Changed(message) | Prepared::Unchanged(message)) => step.push(message),
                Err(why) => {
                    return Err(DlqError::Failed(format!("the file was changed meanwhile; line {number}: {why}")));
                }
            }
        }
        if step.is_empty() || !pace.wait(desk, step.len()) {
            return Ok(sent);
        }
        for (result, message) in publish(desk, step.clone()).into_iter().zip(&step) {
            match result {
                Ok(()) => {
                    sent.push(Sent::of(message));
                    progress.advance(1);
                }
                Err(error) => {
                    report
                        .notes
                        .push(format!("stopped: {error}; import the file again, which sends nothing twice in effect"));
                    return Ok(sent);
                }
            }
        }
    }
}

/// What a line becomes.
enum Prepared {
    Changed(Message),
    Unchanged(Message),
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
    let line: Line = serde_json::from_str(text).map_err(|error| format!("it is not a line of `export`: {error}"))?;
    let mut old = line.message()?;
    if line.is_unchanged() {
        old.headers.record_replay();
        return Ok(Prepared::Unchanged(old));
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
    Ok(Prepared::Changed(new))
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
