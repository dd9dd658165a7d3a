//! `list`: counts dead letters by reason and operation, or writes one line for each.

use crate::dlq::browse::{browse_all, failure_order, group};
use crate::dlq::groups::{ago, rfc3339};
use crate::dlq::operator::Activity;
use crate::dlq::output::Console;
use crate::dlq::summary::DeadLetterSummary;
use crate::dlq::{Completion, DlqError, Run, Selection};
use crate::domain::Timestamp;
use crate::message::Message;
use serde::Serialize;

/// The line of one dead letter, without personal data.
#[derive(Serialize)]
struct Row {
    id: String,
    reason: String,
    operation: String,
    contact: Option<String>,
    first_failed_at: Option<String>,
    last_failed_at: Option<String>,
    replays: u32,
    detail: String,
    #[serde(skip)]
    last_failed: Option<Timestamp>,
}

pub(in crate::dlq) fn run(
    run: &Run<'_>,
    console: &Console,
    selection: &Selection,
    messages: bool,
) -> Result<Completion, DlqError> {
    if messages {
        return list_messages(run, console, selection);
    }
    let (groups, others) = group(run, selection)?;
    console.print_groups(&groups, &others)?;
    Ok(Completion::Complete)
}

fn list_messages(run: &Run<'_>, console: &Console, selection: &Selection) -> Result<Completion, DlqError> {
    let (mut position, mut result, mut candidates) = (0, Ok(()), Vec::new());
    browse_all(run, Activity::Read, |summary, message| {
        position += 1;
        if !selection.matches(summary) {
            return true;
        }
        let row = Row::of(summary, message);
        if selection.limit.is_some() {
            candidates.push((failure_order(summary, position), row));
        } else {
            result = print(console, &row);
        }
        result.is_ok()
    })?;
    result?;
    candidates.sort_by_key(|(order, _)| *order);
    candidates.truncate(selection.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
    candidates.iter().try_for_each(|(_, row)| print(console, row))?;
    Ok(Completion::Complete)
}

impl Row {
    fn of(summary: &DeadLetterSummary, message: &Message) -> Self {
        Self {
            id: summary.id.clone(),
            reason: summary.reason.clone(),
            operation: summary.operation.clone(),
            contact: summary.contact.clone(),
            first_failed_at: summary.first_failed.map(rfc3339),
            last_failed_at: summary.last_failed.map(rfc3339),
            replays: message.headers.replays(),
            detail: message.headers.failure().map(|failure| failure.detail).unwrap_or_default(),
            last_failed: summary.last_failed,
        }
    }
}

fn print(console: &Console, row: &Row) -> Result<(), DlqError> {
    if console.is_json() {
        return console.print_json_line(row);
    }
    let (age, Row { id, reason, operation, detail, .. }) = (ago(row.last_failed, chrono::Utc::now()), row);
    let line = format!("{id}  {operation:<7}  {age:<10}  {reason}: {detail}").replace('\n', " ");
    console.print(&format!("{line}\n"))
}
