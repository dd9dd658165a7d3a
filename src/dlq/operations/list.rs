//! `list`: how many, by reason and operation, or each on a line.

use crate::dlq::browse::{choose, look_through, order};
use crate::dlq::facts::DeadLetterSummary;
use crate::dlq::output::{ago, rfc3339};
use crate::dlq::{Completion, Context, DlqError, Selection};
use crate::domain::Timestamp;
use crate::message::Message;
use serde::Serialize;

/// A letter on one line, without personal data.
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
    failed: Option<Timestamp>,
}

pub(in crate::dlq) fn run(context: &Context, selection: &Selection, each: bool) -> Result<Completion, DlqError> {
    if each {
        return each_on_a_line(context, selection);
    }
    let (_, groups, others) = choose(context, selection)?;
    context.console.put_groups(&groups, &others)?;
    Ok(Completion::Complete)
}

fn each_on_a_line(context: &Context, selection: &Selection) -> Result<Completion, DlqError> {
    let (mut number, mut result, mut limited) = (0, Ok(()), Vec::new());
    look_through(context, "looking through", |facts, message| {
        number += 1;
        if !selection.matches(facts) {
            return true;
        }
        let row = Row::of(facts, message);
        if selection.limit.is_some() {
            limited.push((order(facts, number), row));
        } else {
            result = put(context, &row);
        }
        result.is_ok()
    })?;
    result?;
    limited.sort_by_key(|(order, _)| *order);
    limited.truncate(selection.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
    limited.iter().try_for_each(|(_, row)| put(context, row))?;
    Ok(Completion::Complete)
}

impl Row {
    fn of(facts: &DeadLetterSummary, message: &Message) -> Self {
        Self {
            id: facts.id.clone(),
            reason: facts.reason.clone(),
            operation: facts.operation.clone(),
            contact: facts.contact.clone(),
            first_failed_at: facts.first_failed.map(rfc3339),
            last_failed_at: facts.last_failed.map(rfc3339),
            replays: message.headers.replays(),
            detail: message.headers.failure().map(|failure| failure.detail).unwrap_or_default(),
            failed: facts.last_failed,
        }
    }
}

fn put(context: &Context, row: &Row) -> Result<(), DlqError> {
    if context.console.json() {
        return context.console.put_json_line(row);
    }
    let (at, Row { id, reason, operation, detail, .. }) = (ago(row.failed, chrono::Utc::now()), row);
    let line = format!("{id}  {operation:<7}  {at:<10}  {reason}: {detail}").replace('\n', " ");
    context.console.put(&format!("{line}\n"))
}
