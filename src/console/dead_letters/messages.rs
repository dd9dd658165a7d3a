//! `GET /console/api/dead-letters/messages` and one message: what it is, why it failed, and its body.

use super::audit::audit;
use super::body::{BodyView, Values};
use super::selection::{SelectionRequest, command, quoted};
use super::{blocking, with_queue};
use crate::console::access::{Operator, Writer};
use crate::console::problem::Problem;
use crate::console::{Console, Parts};
use crate::dlq::{Activity, Copies, DeadLetterSummary, FailureOrder, browse_all, failure_order, rfc3339};
use crate::message::{Header, Message, decode};
use crate::telemetry::trace::{TRACEPARENT, Trace};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The number of messages in an answer.
const DEFAULT_COUNT: usize = 50;
const MAX_COUNT: usize = 200;
/// With a limit, the messages are in the order of their failure, and all before the page are kept in memory.
const MAX_OFFSET_WITH_LIMIT: usize = 10_000;
/// The longest text of a header in an answer, in characters.
const MAX_TEXT: usize = 1_000;
/// The headers that contain no personal data: those of this system, and the trace context.
const SAFE_HEADERS: &str = "x-contacts-";

pub(super) async fn messages(
    console: Data<Console>,
    _operator: Operator,
    parameters: Query<Vec<(String, String)>>,
) -> Result<HttpResponse, Problem> {
    let (mut offset, mut count) = (0, DEFAULT_COUNT);
    let mut options = Vec::new();
    for (name, value) in parameters.into_inner() {
        let number =
            || value.parse::<usize>().map_err(|_malformed| Problem::invalid(format!("{name} is a whole number")));
        match name.as_str() {
            "offset" => offset = number()?,
            "count" => count = number()?,
            _ => options.push((name, value)),
        }
    }
    if !(1..=MAX_COUNT).contains(&count) {
        return Err(Problem::invalid(format!("count is from 1 to {MAX_COUNT}")));
    }
    let request = SelectionRequest::from_parameters(options)?;
    if request.selection.limit.is_some() && offset > MAX_OFFSET_WITH_LIMIT {
        return Err(Problem::invalid(format!("with a limit, offset is at most {MAX_OFFSET_WITH_LIMIT}")));
    }
    let parts = console.parts()?;
    let answer = blocking(move || {
        let read_at = chrono::Utc::now();
        let (messages, more) = page(&console, &parts, &request, offset, count)?;
        Ok(json!({ "read_at": rfc3339(read_at), "messages": messages, "more": more }))
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}

/// A page of the selected messages, and whether there are more. Without a limit it is in the order of the queue, and the
/// rest of the queue is not read.
fn page(
    console: &Console,
    parts: &Parts,
    request: &SelectionRequest,
    offset: usize,
    count: usize,
) -> Result<(Vec<Value>, bool), Problem> {
    let selection = &request.selection;
    let limit = selection.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    // One more shows whether there are more.
    let needed = offset.saturating_add(count + 1).min(limit);
    let mut rows: BTreeMap<FailureOrder, Value> = BTreeMap::new();
    let (mut position, mut matched) = (0, 0);
    with_queue(console, parts, |run| {
        browse_all(run, Activity::Read, |summary, message| {
            position += 1;
            if !selection.matches(summary) {
                return true;
            }
            matched += 1;
            if selection.limit.is_some() {
                rows.insert(failure_order(summary, position), row(summary, message));
                if rows.len() > needed {
                    rows.pop_last();
                }
                return true;
            }
            if matched > offset {
                rows.insert((chrono::DateTime::UNIX_EPOCH, position), row(summary, message));
            }
            matched < needed
        })
    })?;
    let skip = if selection.limit.is_some() { offset } else { 0 };
    let mut rows: Vec<Value> = rows.into_values().skip(skip).collect();
    let more = rows.len() > count;
    rows.truncate(count);
    Ok((rows, more))
}

/// A text of a header. Another program can set a very long one, and a page has many messages.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A message without its body.
fn row(summary: &DeadLetterSummary, message: &Message) -> Value {
    let operation = decode(&message.body).ok().map(|command| command.operation_id.to_string());
    let operation = operation.or_else(|| summary.id.parse::<uuid::Uuid>().ok().map(|id| id.to_string()));
    let trace = message.headers.text(TRACEPARENT).and_then(Trace::parse);
    let failure = message.headers.failure();
    json!({
        "id": summary.id,
        "operation_id": operation,
        "contact_id": summary.contact,
        "reason": summary.reason,
        "operation": summary.operation,
        "first_failed_at": summary.first_failed.map(rfc3339),
        "last_failed_at": summary.last_failed.map(rfc3339),
        "attempts": message.headers.attempts(),
        "replays": message.headers.replays(),
        "trace_id": trace.map(|trace| trace.id().to_string()),
        "size": message.body.len(),
        "detail": failure.map(|failure| shortened(&failure.detail)),
    })
}

pub(super) async fn message(
    console: Data<Console>,
    _operator: Operator,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let view = view(&console, id.into_inner(), Values::Hidden).await?;
    Ok(HttpResponse::Ok().json(view))
}

pub(super) async fn reveal(
    console: Data<Console>,
    Writer(operator): Writer,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let selection = format!("id={id}");
    let revealed = view(&console, id, Values::Shown).await;
    let outcome = if revealed.is_ok() { "shown" } else { "failed" };
    audit(&operator.name, "show personal data", &selection, usize::from(revealed.is_ok()), outcome);
    Ok(HttpResponse::Ok().json(revealed?))
}

async fn view(console: &Data<Console>, id: String, values: Values) -> Result<Value, Problem> {
    let (console, parts) = (console.clone(), console.parts()?);
    blocking(move || {
        let read_at = chrono::Utc::now();
        let mut copies = Copies::default();
        with_queue(&console, &parts, |run| {
            browse_all(run, Activity::Search, |summary, message| {
                if summary.id == id {
                    copies.add(message);
                }
                true
            })
        })?;
        let Some(message) = copies.latest else { return Err(no_message(&id)) };
        let mut view = row(&DeadLetterSummary::of(&message), &message);
        let BodyView { body, mut hidden, fields, decodable, shown_bytes } = BodyView::of(&message, values);
        let headers = headers(&message, values, &mut hidden);
        let more = json!({
            "read_at": rfc3339(read_at),
            "accepted_at": message.accepted_at().map(rfc3339),
            "copies": copies.count,
            "headers": headers,
            "body": body,
            "hidden": hidden,
            "decodable": decodable,
            "shown_bytes": shown_bytes,
            "editable": !fields.is_empty(),
            "fields": fields,
            "command": command(parts.data_folder.as_deref(), &format!("show {}", quoted(&id))),
        });
        if let (Some(view), Value::Object(more)) = (view.as_object_mut(), more) {
            view.extend(more);
        }
        Ok(view)
    })
    .await
}

/// The headers. A header of another program can contain personal data.
fn headers(message: &Message, values: Values, hidden: &mut Vec<String>) -> Map<String, Value> {
    let mut view = Map::new();
    for (name, value) in message.headers.iter() {
        let is_safe = name.starts_with(SAFE_HEADERS) || name == TRACEPARENT;
        let value = match (value, values) {
            (_, Values::Hidden) if !is_safe => {
                hidden.push(format!("headers.{name}"));
                Value::Null
            }
            (Header::Number(number), _) => (*number).into(),
            (Header::Text(text), _) => shortened(text).into(),
        };
        view.insert(name.to_owned(), value);
    }
    view
}

pub(super) fn no_message(id: &str) -> Problem {
    let detail = format!("No dead-lettered message has the id {id}. It may have been replayed or discarded.");
    Problem::new(StatusCode::NOT_FOUND, "no_such_message", detail)
}
