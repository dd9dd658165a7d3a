//! `list`: how many, by reason and operation, or each on a line.

use super::choosing::{choose, look_through};
use super::letter::Facts;
use super::screen::{ago, rfc3339};
use super::{Desk, DlqError, Left, Selection};
use crate::message::Message;
use serde::Serialize;

/// A letter on one line, without personal data.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    reason: &'a str,
    operation: &'a str,
    contact: Option<&'a str>,
    first_failed_at: Option<String>,
    last_failed_at: Option<String>,
    replays: u32,
    detail: String,
}

pub(super) fn run(desk: &Desk, selection: &Selection, each: bool) -> Result<Left, DlqError> {
    if each {
        return each_on_a_line(desk, selection);
    }
    let (_, groups, others) = choose(desk, selection)?;
    desk.screen.put_groups(&groups, &others)?;
    Ok(Left::Nothing)
}

fn each_on_a_line(desk: &Desk, selection: &Selection) -> Result<Left, DlqError> {
    let most = selection.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let (mut shown, mut result) = (0, Ok(()));
    look_through(desk, "looking through", |facts, message| {
        if selection.matches(facts) {
            result = put(desk, facts, message);
            shown += 1;
        }
        result.is_ok() && shown < most
    })?;
    result?;
    if shown == 0 && !desk.screen.json() {
        desk.screen.note("nothing is selected")?;
    }
    Ok(Left::Nothing)
}

fn put(desk: &Desk, facts: &Facts, message: &Message) -> Result<(), DlqError> {
    let detail = message.headers.failure().map(|failure| failure.detail).unwrap_or_default();
    if desk.screen.json() {
        return desk.screen.put_json_line(&Row {
            id: &facts.id,
            reason: &facts.reason,
            operation: &facts.operation,
            contact: facts.contact.as_deref(),
            first_failed_at: facts.first_failed.map(rfc3339),
            last_failed_at: facts.last_failed.map(rfc3339),
            replays: message.headers.replays(),
            detail,
        });
    }
    let (at, Facts { id, reason, operation, .. }) = (ago(facts.last_failed, chrono::Utc::now()), facts);
    desk.screen.put(&format!("{id}  {operation:<7}  {at:<10}  {reason}: {detail}\n"))
}
