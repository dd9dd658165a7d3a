//! `GET /console/api/find`: the life of a change, by operation id, contact id or trace id.
//!
//! Rule of this file: no personal data. It reads the finished operations from SQL and the messages of the dead letter
//! queue; those of the other queues cannot be read. If one of the two does not answer, the answer says so.

use super::access::Operator;
use super::problem::Problem;
use super::{Console, Parts};
use crate::dlq::DeadLetterSummary;
use crate::domain::{Contact, ContactId, OperationId, Status, Timestamp};
use crate::message::Message;
use crate::queue::{DeadLetterQueue, QueueError};
use crate::store::{HistoryPage, Operation, StoreError};
use crate::telemetry::trace::{TRACEPARENT, Trace};
use actix_web::HttpResponse;
use actix_web::web::{self, Data, Query};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU128;
use uuid::Uuid;

/// The most lives in an answer.
const MAX_LIVES: u32 = 100;
/// Where the console searches.
const OPERATIONS: &str = "operations";
const DEAD_LETTERS: &str = "dead letter queue";
/// How far back SQL is searched for a trace. It reads all operations of this time.
const TRACE_HOURS: i64 = 24;

#[derive(Deserialize)]
pub(super) struct Parameters {
    q: String,
}

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// An operation or a contact.
    Id(Uuid),
    Trace(NonZeroU128),
}

/// A step in the life of a change.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    at: Option<Timestamp>,
    detail: Option<String>,
}

/// The life of one change.
#[derive(Debug, Serialize)]
struct Life {
    operation_id: String,
    contact_id: Option<String>,
    operation: Option<String>,
    caller: Option<String>,
    trace_id: Option<String>,
    attempts: Option<u32>,
    status: &'static str,
    reason: Option<String>,
    steps: Vec<Step>,
}

/// A contact without its personal data.
#[derive(Debug, Serialize)]
struct ContactView {
    id: String,
    version: String,
    deleted: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Serialize)]
struct Found {
    kind: &'static str,
    query: String,
    /// The newest first.
    lives: Vec<Life>,
    contact: Option<ContactView>,
    searched: Vec<&'static str>,
    /// What the operator must know about the result.
    notes: Vec<Note>,
}

/// The page has a sentence for each code.
#[derive(Debug, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
enum Note {
    /// This place was not searched.
    NotSearched { place: &'static str, reason: String },
    /// Only the operations of the last hours were searched.
    LastHours { hours: i64 },
    /// There are more changes than are shown.
    OnlyNewest { count: u32 },
}

pub(super) async fn find(
    console: Data<Console>,
    _operator: Operator,
    parameters: Query<Parameters>,
) -> Result<HttpResponse, Problem> {
    let query = parameters.into_inner().q.trim().to_owned();
    let target = Target::parse(&query)
        .ok_or_else(|| Problem::invalid("Write an operation id, a contact id, a trace id or a traceparent."))?;
    let parts = console.parts()?;
    let search = web::block(move || search(&console, &parts, target, query)).await;
    search.map_or_else(|_| Err(Problem::not_started()), |found| Ok(HttpResponse::Ok().json(found)))
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        if let Some(trace) = Trace::parse(&text.to_lowercase()) {
            return NonZeroU128::new(trace.trace_id).map(Self::Trace);
        }
        // A UUID has hyphens, as the API and the log write it. Without them it is a trace id.
        match text.len() {
            36 => Uuid::try_parse(text).ok().map(Self::Id),
            32 if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u128::from_str_radix(text, 16).ok().and_then(NonZeroU128::new).map(Self::Trace)
            }
            _ => None,
        }
    }
}

fn search(console: &Console, parts: &Parts, target: Target, query: String) -> Found {
    let mut found =
        Found { kind: "nothing", query, lives: Vec::new(), contact: None, searched: Vec::new(), notes: Vec::new() };
    let mut lives = BTreeMap::new();
    match search_store(parts, target, &mut lives) {
        Ok((kind, contact)) => {
            (found.kind, found.contact) = (kind, contact.as_ref().map(ContactView::of));
            found.searched.push(OPERATIONS);
            if let Target::Trace(_) = target {
                found.notes.push(Note::LastHours { hours: TRACE_HOURS });
            }
        }
        Err(error) => found.notes.push(Note::NotSearched { place: OPERATIONS, reason: error.to_string() }),
    }
    // To browse the queue takes long, and keeps others out. An operation that took effect has no message there.
    let took_effect = |life: &Life| matches!(life.status, "applied" | "superseded");
    if found.kind != "operation" || !lives.values().any(took_effect) {
        match search_dead_letters(console, parts, target, &mut lives) {
            Ok(kind) => {
                if found.kind == "nothing" {
                    found.kind = kind;
                }
                found.searched.push(DEAD_LETTERS);
            }
            Err(error) => found.notes.push(Note::NotSearched { place: DEAD_LETTERS, reason: error.to_string() }),
        }
    }
    found.lives = lives.into_values().collect();
    found.lives.sort_by_key(|life| std::cmp::Reverse(life.steps.iter().filter_map(|step| step.at).max()));
    if found.lives.len() > MAX_LIVES as usize {
        found.lives.truncate(MAX_LIVES as usize);
        found.notes.push(Note::OnlyNewest { count: MAX_LIVES });
    }
    found
}

type Lives = BTreeMap<String, Life>;

/// Returns what the target is, and its contact.
fn search_store(
    parts: &Parts,
    target: Target,
    lives: &mut Lives,
) -> Result<(&'static str, Option<Contact>), StoreError> {
    let store = (parts.open_store)()?;
    let id = match target {
        Target::Id(id) => id,
        Target::Trace(trace) => {
            let since = chrono::Utc::now() - TimeDelta::hours(TRACE_HOURS);
            add_finished(lives, &store.operations_of_trace(trace, since, MAX_LIVES)?);
            return Ok((if lives.is_empty() { "nothing" } else { "trace" }, None));
        }
    };
    let operation = OperationId::new(id);
    if let Some(finished) = store.operation(operation)? {
        add_finished(lives, std::slice::from_ref(&finished));
        return Ok(("operation", store.contact(finished.contact_id)?));
    }
    let page = HistoryPage { contact: ContactId::new(id), before: None, limit: MAX_LIVES };
    let (history, contact) = (store.history(&page)?, store.contact(ContactId::new(id))?);
    if contact.is_some() || !history.is_empty() {
        add_finished(lives, &history);
        return Ok(("contact", contact));
    }
    let status = (parts.unfinished)(operation, store.pruned_before()?);
    if status == "unknown" {
        return Ok(("nothing", None));
    }
    lives.insert(id.to_string(), Life::unfinished(id, status));
    Ok(("operation", None))
}

fn add_finished(lives: &mut Lives, operations: &[Operation]) {
    lives.extend(operations.iter().map(|operation| (operation.id.to_string(), Life::finished(operation))));
}

/// Returns what the target is.
fn search_dead_letters(
    console: &Console,
    parts: &Parts,
    target: Target,
    lives: &mut Lives,
) -> Result<&'static str, QueueError> {
    let queue = console.0.dead_letters.open_to_read(parts)?;
    let mut kind = "nothing";
    queue.browse(&mut |browser| {
        while let Some(dead_letter) = browser.next()? {
            if parts.stop.is_set() {
                break;
            }
            let message = &dead_letter.message;
            let summary = DeadLetterSummary::of(message);
            let trace = message.headers.text(TRACEPARENT).and_then(Trace::parse);
            let matched = match target {
                Target::Trace(wanted) => trace.is_some_and(|trace| trace.trace_id == wanted.get()).then_some("trace"),
                Target::Id(wanted) => {
                    let wanted = wanted.to_string();
                    let is_operation = (summary.id == wanted).then_some("operation");
                    is_operation.or_else(|| (summary.contact.as_deref() == Some(&wanted)).then_some("contact"))
                }
            };
            if let Some(matched) = matched {
                kind = matched;
                // Some more than are shown, so that the newest are among them.
                if lives.len() < 10 * MAX_LIVES as usize || lives.contains_key(&summary.id) {
                    let trace_id = trace.map(|trace| trace.id().to_string());
                    add_dead_letter(lives, &summary, message, trace_id);
                }
            }
        }
        Ok(())
    })?;
    Ok(kind)
}

/// Adds what a dead-lettered message says to the life of its operation.
fn add_dead_letter(lives: &mut Lives, summary: &DeadLetterSummary, message: &Message, trace_id: Option<String>) {
    let life = lives.entry(summary.id.clone()).or_insert_with(|| Life {
        operation_id: summary.id.clone(),
        contact_id: summary.contact.clone(),
        operation: Some(summary.operation.clone()),
        caller: message.headers.caller().map(str::to_owned),
        trace_id: None,
        attempts: None,
        status: "failed",
        reason: Some(summary.reason.clone()),
        steps: vec![Step { step: "accepted", at: message.accepted_at(), detail: None }],
    });
    if matches!(life.status, "pending" | "expired") {
        life.status = "failed";
        life.reason = Some(summary.reason.clone());
        life.contact_id = summary.contact.clone();
        life.operation = Some(summary.operation.clone());
    }
    life.trace_id = trace_id.or(life.trace_id.take());
    life.attempts = Some(message.headers.attempts());
    if message.headers.replays() > 0 && !life.steps.iter().any(|step| step.step == "replayed") {
        life.steps.push(replayed(message.headers.replays()));
    }
    let detail = message.headers.failure().map(|failure| failure.detail);
    life.steps.push(Step { step: "dead_lettered", at: summary.last_failed, detail });
}

fn replayed(times: u32) -> Step {
    Step { step: "replayed", at: None, detail: Some(times.to_string()) }
}

impl Life {
    fn finished(operation: &Operation) -> Self {
        let (status, reason) = match operation.status {
            Status::Applied => ("applied", None),
            Status::Superseded => ("superseded", None),
            Status::Failed(reason) => ("failed", Some(reason.as_str().to_owned())),
        };
        let origin = &operation.origin;
        let mut steps = vec![Step { step: "accepted", at: Some(operation.accepted_at), detail: None }];
        if operation.replays > 0 {
            steps.push(replayed(operation.replays));
        }
        if origin.attempts > 1 {
            steps.push(Step { step: "retried", at: None, detail: Some((origin.attempts - 1).to_string()) });
        }
        steps.push(Step { step: status, at: Some(operation.completed_at), detail: reason.clone() });
        Self {
            operation_id: operation.id.to_string(),
            contact_id: Some(operation.contact_id.to_string()),
            operation: Some(operation.kind.as_str().to_owned()),
            caller: origin.caller.as_deref().map(str::to_owned),
            trace_id: origin.trace_id.map(|trace_id| format!("{trace_id:032x}")),
            // 0 if an older version finished it.
            attempts: Some(origin.attempts).filter(|attempts| *attempts > 0),
            status,
            reason,
            steps,
        }
    }

    /// An operation that SQL does not know: it waits in a queue, or its record was removed.
    fn unfinished(id: Uuid, status: &'static str) -> Self {
        let (seconds, nanos) = id.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
        let accepted = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let at = accepted.and_then(|seconds| Timestamp::from_timestamp(seconds, nanos));
        Self {
            operation_id: id.to_string(),
            contact_id: None,
            operation: None,
            caller: None,
            trace_id: None,
            attempts: None,
            status,
            reason: None,
            steps: vec![Step { step: "accepted", at, detail: None }],
        }
    }
}

impl ContactView {
    fn of(contact: &Contact) -> Self {
        Self {
            id: contact.id.to_string(),
            version: contact.version.to_string(),
            deleted: contact.details().is_none(),
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_trace_ids_and_trace_contexts_are_recognized() {
        let id = "01933a66-0000-7000-8000-000000000002";
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let number = NonZeroU128::new(u128::from_str_radix(trace, 16).unwrap()).unwrap();
        assert_eq!(Target::parse(id), Some(Target::Id(id.parse().unwrap())));
        assert_eq!(Target::parse(&id.to_uppercase()), Target::parse(id));
        for text in [trace.to_owned(), trace.to_uppercase(), format!("00-{trace}-00f067aa0ba902b7-01")] {
            assert_eq!(Target::parse(&text), Some(Target::Trace(number)), "{text}");
        }
        for wrong in ["", "x", "Ana", &trace[1..], &format!("{trace}0"), "%", &"0".repeat(32)] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }
}
