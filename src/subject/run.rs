//! The command `contacts subject`: asks, runs an operation and shows its result.

use super::arguments::Operation;
use super::matcher::MatchedBy;
use super::views::{ErasedView, FoundView, NOT_SEARCHED};
use super::{Sources, SubjectError, erase, export, find};
use crate::dlq::{Completion, Confirmation, Console};
use crate::domain::Timestamp;
use crate::terminal::align_columns;
use chrono::SecondsFormat;
use std::path::Path;

/// Runs an operation. `open` opens the sources; `watch_signals` is called after the last question.
pub fn run(
    console: &Console,
    operation: &Operation,
    open: impl FnOnce() -> Result<Sources, SubjectError>,
    watch_signals: impl FnOnce(),
) -> Result<Completion, SubjectError> {
    match operation {
        Operation::Find { selector, json } => {
            let subject = selector.subject()?;
            let found = find::find(&mut open()?, &subject)?;
            let view = FoundView::from(&found);
            if *json { console.print_json(&view)? } else { console.print(&found_text(&view))? }
        }
        Operation::Export { file, selector } => {
            let subject = selector.subject()?;
            require_new(file)?;
            let view = export::export(&mut open()?, &subject)?;
            export::write_file(file, &view)?;
            let (contacts, dead_letters) = view.counts();
            console.print(&format!(
                "{} has {} and {}\n",
                file.display(),
                counted(contacts, "contact"),
                counted(dead_letters, "dead-lettered message")
            ))?;
        }
        Operation::Erase { selector, confirmation, json } => {
            let subject = selector.subject()?;
            console.require_terminal_or_yes(*confirmation)?;
            let mut sources = open()?;
            if !confirmation.yes || confirmation.dry_run {
                let found = FoundView::from(&find::find(&mut sources, &subject)?);
                if *json && confirmation.dry_run {
                    console.print_json(&found)?
                } else {
                    console.print(&found_text(&found))?
                }
                if confirmation.dry_run || !confirm(console, *confirmation, &found)? {
                    console.print_note("nothing changed")?;
                    return Ok(if confirmation.dry_run { Completion::Complete } else { Completion::Partial });
                }
            }
            watch_signals();
            let erased = erase::erase(&mut sources, &subject)?;
            let view = ErasedView::from(&erased);
            if *json {
                console.print_json(&view)?
            } else {
                console.print(&erased_text(&view))?
            }
            return Ok(if erased.is_complete() { Completion::Complete } else { Completion::Partial });
        }
    }
    Ok(Completion::Complete)
}

/// Fails before the search if the file exists.
fn require_new(file: &Path) -> Result<(), SubjectError> {
    match file.exists() {
        true => Err(SubjectError::Failed(format!("{} already exists: name a new file", file.display()))),
        false => Ok(()),
    }
}

fn confirm(console: &Console, confirmation: Confirmation, found: &FoundView) -> Result<bool, SubjectError> {
    Ok(console.confirm(confirmation, &format!("erase {} for good?", counts(found)))?)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The result of a search, with personal data: the operator asked for it.
fn found_text(found: &FoundView) -> String {
    let mut text = String::new();
    if !found.contacts.is_empty() {
        let mut rows = vec![["CONTACT", "NAME", "PHONE", "EMAIL", "CHANGED"].map(str::to_owned)];
        rows.extend(found.contacts.iter().map(|contact| {
            let email = contact.email.clone().unwrap_or_default();
            [contact.id.to_string(), contact.name.clone(), contact.phone.clone(), email, time(contact.updated_at)]
        }));
        text.push_str(&align_columns(&rows));
    }
    if !found.dead_letters.is_empty() {
        let mut rows =
            vec![["DEAD-LETTERED MESSAGE", "REASON", "OPERATION", "FAILED", "MATCHED BY"].map(str::to_owned)];
        rows.extend(found.dead_letters.iter().map(|found| {
            let failed = found.last_failed_at.map_or_else(|| "unknown".to_owned(), time);
            [found.id.clone(), found.reason.clone(), found.operation.clone(), failed, matched_by(&found.matched_by)]
        }));
        text.push_str(&align_columns(&rows));
    }
    if !found.old_values.is_empty() {
        let mut rows = vec![["OPERATION WITH OLD VALUES", "CONTACT", "COMPLETED", "MATCHED BY"].map(str::to_owned)];
        rows.extend(found.old_values.iter().map(|found| {
            let matched = matched_by(&found.matched_by);
            [found.operation_id.clone(), found.contact_id.clone(), time(found.completed_at), matched]
        }));
        text.push_str(&align_columns(&rows));
    }
    text.push_str(&format!("{} found\n", counts(found)));
    text + &waiting_text(found.waiting.work, found.waiting.retry) + &list("not searched", &NOT_SEARCHED)
}

/// What was found, in numbers.
fn counts(found: &FoundView) -> String {
    let contacts = counted(found.contacts.len(), "contact");
    let dead_letters = counted(found.dead_letters.len(), "dead-lettered message");
    match found.old_values.len() {
        0 => format!("{contacts} and {dead_letters}"),
        operations => format!("{contacts}, {dead_letters} and the old values of {}", counted(operations, "operation")),
    }
}

fn matched_by(matched: &[MatchedBy]) -> String {
    matched.iter().map(|by| format!("{by:?}").to_lowercase()).collect::<Vec<_>>().join(", ")
}

fn waiting_text(work: u64, retry: u64) -> String {
    match work + retry {
        0 => "no message waits in the work queue or in the retry queue\n".to_owned(),
        _ => {
            format!("{work} messages wait in the work queue and {retry} in the retry queue: their data is not known\n")
        }
    }
}

fn list(title: &str, lines: &[&str]) -> String {
    format!("{title}:\n{}", lines.iter().map(|line| format!("  - {line}\n")).collect::<String>())
}

fn erased_text(erased: &ErasedView) -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, value: String| rows.push([name.to_owned(), value]);
    row("erasure", erased.erasure_id.clone());
    row("erased at", time(erased.erased_at));
    row("contacts deleted", erased.contacts.len().to_string());
    row("messages discarded", erased.dead_letters.to_string());
    row("operations erased", erased.old_values.to_string());
    row("complete", if erased.complete { "yes".into() } else { "no: run the command again".into() });
    let mut text = align_columns(&rows);
    if erased.undecodable > 0 {
        text.push_str(&format!(
            "{} of the messages could not be decoded: their text named the person\n",
            erased.undecodable
        ));
    }
    if erased.not_suppressed > 0 {
        text.push_str(&format!(
            "{} of the contacts stay valid for changes that are on the way, because other contacts have them too\n",
            counted(erased.not_suppressed, "value")
        ));
    }
    erased.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
    text + &waiting_text(erased.waiting.work, erased.waiting.retry) + &list("not reached", &erased.not_reached)
}
