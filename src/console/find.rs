//! `GET /console/api/find`: the life of a change, by operation id, contact id or trace id.
//!
//! Rule of this file: no personal data. It reads the finished operations from SQL and the failed ones from the dead letter
//! queue; the messages of the other queues cannot be read. If one of the two does not answer, the answer says so.

use super::access::Operator;
use super::problem::Problem;
use super::{Console, Parts};
use crate::dlq::DeadLetterSummary;
use crate::domain::{Contact, ContactId, OperationId, Status, Timestamp};
use crate::message::Message;
use crate::queue::QueueError;
use crate::store::{Operation, StoreError};
use crate::telemetry::trace::{TRACEPARENT, Trace};
use actix_web::HttpResponse;
use actix_web::web::{self, Data, Query};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The most lives in an answer.
const MAX_LIVES: usize = 100;

#[derive(Deserialize)]
pub(super) struct Parameters {
    q: String,
}

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// An operation or a contact.
    Id(Uuid),
    Trace(u128),
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
    note: Option<String>,
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
    let search = web::block(move || search(&parts, target, query)).await;
    search.map_or_else(|_| Err(Problem::not_started()), |found| Ok(HttpResponse::Ok().json(found)))
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        if let Some(trace) = Trace::parse(&text.to_lowercase()) {
            return Some(Self::Trace(trace.trace_id));
        }
        // A UUID has hyphens, as the API and the log write it. Without them it is a trace id.
        match text.len() {
            36 => Uuid::try_parse(text).ok().map(Self::Id),
            32 if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u128::from_str_radix(text, 16).ok().map(Self::Trace)
            }
            _ => None,
        }
    }
}

fn search(parts: &Parts, target: Target, query: String) -> Found {
    let mut found =
        Found { kind: "nothing", query, lives: Vec::new(), contact: None, searched: Vec::new(), note: None };
    let (mut lives, mut notes) = (BTreeMap::new(), Vec::new());
    match search_store(parts, target, &mut lives) {
        Ok((kind, contact)) => {
            (found.kind, found.contact) = (kind, contact.as_ref().map(ContactView::of));
            found.searched.push("operations");
        }
        Err(error) => notes.push(format!("The operations were not searched: {error}.")),
    }
    // To browse the queue takes long, and keeps others out. An operation that took effect has no message there.
    let took_effect = |life: &Life| matches!(life.status, "applied" | "superseded");
    if found.kind != "operation" || !lives.values().any(took_effect) {
        match search_dead_letters(parts, target, &mut lives) {
            Ok(kind) => {
                if found.kind == "nothing" {
                    found.kind = kind;
                }
                found.searched.push("dead letter queue");
            }
            Err(error) => notes.push(format!("The dead letter queue was not searched: {error}.")),
        }
    }
    found.lives = lives.into_values().collect();
    found.lives.sort_by_key(|life| std::cmp::Reverse(life.steps.iter().filter_map(|step| step.at).max()));
    if found.lives.len() > MAX_LIVES {
        found.lives.truncate(MAX_LIVES);
        notes.push(format!("Only the newest {MAX_LIVES} changes are shown."));
    }
    found.note = (!notes.is_empty()).then(|| notes.join(" "));
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
    let Target::Id(id) = target else { return Ok(("nothing", None)) };
    let operation = OperationId::new(id);
    if let Some(finished) = store.operation(operation)? {
        let contact = store.contact(finished.contact_id)?;
        lives.insert(id.to_string(), Life::finished(&finished));
        return Ok(("operation", contact));
    }
    if let Some(contact) = store.contact(ContactId::new(id))? {
        return Ok(("contact", Some(contact)));
    }
    let status = (parts.unfinished)(operation, store.pruned_before()?);
    if status == "unknown" {
        return Ok(("nothing", None));
    }
    lives.insert(id.to_string(), Life::unfinished(id, status));
    Ok(("operation", None))
}

/// Returns what the target is.
fn search_dead_letters(parts: &Parts, target: Target, lives: &mut Lives) -> Result<&'static str, QueueError> {
    let queue = (parts.open_queue)()?;
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
                Target::Trace(wanted) => trace.is_some_and(|trace| trace.trace_id == wanted).then_some("trace"),
                Target::Id(wanted) => {
                    let wanted = wanted.to_string();
                    let is_operation = (summary.id == wanted).then_some("operation");
                    is_operation.or_else(|| (summary.contact.as_deref() == Some(&wanted)).then_some("contact"))
                }
            };
            if let Some(matched) = matched {
                kind = matched;
                // Some more than are shown, so that the newest are among them.
                if lives.len() < 10 * MAX_LIVES || lives.contains_key(&summary.id) {
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
        caller: None,
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
        let mut steps = vec![Step { step: "accepted", at: Some(operation.accepted_at), detail: None }];
        if operation.replays > 0 {
            steps.push(replayed(operation.replays));
        }
        steps.push(Step { step: status, at: Some(operation.completed_at), detail: reason.clone() });
        Self {
            operation_id: operation.id.to_string(),
            contact_id: Some(operation.contact_id.to_string()),
            operation: Some(operation.kind.as_str().to_owned()),
            caller: None,
            trace_id: None,
            attempts: None,
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
        let number = u128::from_str_radix(trace, 16).unwrap();
        assert_eq!(Target::parse(id), Some(Target::Id(id.parse().unwrap())));
        assert_eq!(Target::parse(&id.to_uppercase()), Target::parse(id));
        for text in [trace.to_owned(), trace.to_uppercase(), format!("00-{trace}-00f067aa0ba902b7-01")] {
            assert_eq!(Target::parse(&text), Some(Target::Trace(number)), "{text}");
        }
        for wrong in ["", "x", "Ana", &trace[1..], &format!("{trace}0"), "%"] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }
}
