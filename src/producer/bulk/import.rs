//! Many contacts in one request: read as they arrive, each a command of its own, each answered by a line of its own.
//!
//! The rule this room keeps: memory stays bounded, however much is sent, and an answered record is as safe as an answered
//! request. It must not know how a format is written.

use crate::domain::{Action, Command, Details, Fingerprint, Invalid, OperationId};
use crate::formats::{Columns, Entry, Format, ReadAborted, Reader, RecordError};
use crate::producer::auth::Caller;
use crate::producer::contacts::write;
use crate::producer::http::conditional::{idempotency_key, media_type};
use crate::producer::http::parameters::{boolean, parameters};
use crate::producer::language::{self, Language};
use crate::producer::operations::ids;
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldError, FieldLocation, Kind};
use crate::producer::state::AppState;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::poll_fn;
use serde::Serialize;
use std::collections::HashMap;
use std::convert::Infallible;
use std::task::Poll;
use tokio::sync::mpsc::{Sender, channel};
use uuid::Uuid;

/// Records that are published at a time; their results leave together.
const AT_ONCE: usize = 256;
/// Batches of results that may wait for a caller who does not read them; then nothing more is read either.
const RESULTS_WAITING: usize = 4;

const UNKNOWN: Invalid = Invalid {
    code: "unknown_parameter",
    detail: "is not a parameter: dry_run, name_column, phone_column, email_column",
};
const REUSED: Invalid =
    Invalid { code: "key_reused", detail: "belongs to an earlier import that had another contact in this line" };
const TOO_LONG: Invalid = Invalid { code: "too_long", detail: "must have at most 100 characters" };
const QUEUE_TAKES_NOTHING: &str =
    "The queue takes no changes now: send the rest again later, with the same Idempotency-Key.";
const UNREADABLE: &str = "cannot be read as contacts";
const EMPTY: Invalid = Invalid { code: "required", detail: "must not be empty" };

/// What is asked for.
struct Order {
    caller: Caller,
    key: Option<String>,
    dry_run: bool,
    language: Language,
}

impl Order {
    fn invalid(&self, errors: impl IntoIterator<Item = FieldError>) -> Outcome {
        Outcome::Invalid { errors: errors.into_iter().map(|error| error.spoken(self.language)).collect() }
    }
}

/// What became of one record.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Outcome {
    Valid,
    Accepted { operation_id: Uuid, contact_id: Uuid },
    Invalid { errors: Vec<FieldError> },
    NotAccepted { reason: &'static str, detail: String },
}

#[derive(Serialize)]
struct ResultLine {
    line: u64,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The last line: what there was, and whether that was all.
#[derive(Default, Serialize)]
struct Summary {
    records: u64,
    accepted: u64,
    valid: u64,
    invalid: u64,
    not_accepted: u64,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// How many in a row the queue has not taken.
    #[serde(skip)]
    refused: usize,
}

#[derive(Serialize)]
struct LastLine<'a> {
    summary: &'a Summary,
}

/// Why reading ended before the body did.
enum Ended {
    /// The caller has gone away.
    Gone,
    ReadAborted(ReadAborted),
}

impl Ended {
    /// Not because of a record.
    fn early(detail: impl Into<String>) -> Self {
        Self::ReadAborted(ReadAborted { line: 0, code: "cut_short", detail: detail.into() })
    }
}

pub(crate) async fn import(
    api: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (mut dry_run, mut columns) = (false, Columns::default());
    let errors = parameters(request.query_string(), UNKNOWN, |name, value| {
        let column = match name {
            "dry_run" => return Some(boolean(value).map(|wanted| dry_run = wanted)),
            "name_column" => &mut columns.name,
            "phone_column" => &mut columns.phone,
            "email_column" => &mut columns.email,
            _ => return None,
        };
        *column = Some(value.to_owned());
        Some(match value.trim().chars().count() {
            0 => Err(EMPTY),
            1..=100 => Ok(()),
            _ => Err(TOO_LONG),
        })
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let format = media_type(&request).and_then(|mime| Format::of_media_type(mime.essence_str()));
    let format = format.ok_or_else(|| {
        let detail = "Send `Content-Type: application/x-ndjson`, `text/csv` or `text/vcard`.";
        Problem::new(Kind::UnsupportedMediaType, detail)
    })?;
    let caller = request.extensions().get::<Caller>().copied().ok_or_else(write::no_caller)?;
    let key = idempotency_key(&request)?.map(str::to_owned);
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > api.settings.import_limit) {
        let limit = api.settings.import_limit;
        return Err(Problem::new(Kind::BodyTooLarge, format!("The body may have at most {limit} bytes.")));
    }
    let (sender, mut receiver) = channel(RESULTS_WAITING);
    let order = Order { caller, key, dry_run, language: language::negotiate(request.headers()) };
    actix_web::rt::spawn(work(api, order, Reader::new(format, columns), payload, sender));
    // The answer begins when there is something to answer with: of what cannot be read at all nothing was taken.
    let mut first = match receiver.recv().await {
        Some(Answer::Unreadable(stopped)) => {
            let fault = Invalid { code: stopped.code, detail: UNREADABLE };
            let mut problem = Problem::validation(vec![FieldError::new(FieldLocation::Body, "(file)", fault)]);
            problem.set_detail(stopped.detail);
            return Err(problem);
        }
        Some(Answer::Lines(lines)) => Some(lines),
        None => None,
    };
    let lines = poll_fn(move |context| match first.take() {
        Some(lines) => Poll::Ready(Some(Ok::<_, Infallible>(lines))),
        None => receiver.poll_recv(context).map(|answer| match answer? {
            Answer::Lines(lines) => Some(Ok(lines)),
            Answer::Unreadable(_) => None,
        }),
    });
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/x-ndjson")).streaming(lines))
}

/// What the worker has to say.
enum Answer {
    Lines(Bytes),
    /// Not even the first record could be read.
    Unreadable(ReadAborted),
}

/// Reads to the end and answers each record.
async fn work(api: Data<AppState>, order: Order, reader: Reader, payload: Payload, results: Sender<Answer>) {
    let mut summary = Summary::default();
    match read(&api, &order, reader, payload, &results, &mut summary).await {
        Err(Ended::Gone) => return,
        Ok(()) => summary.complete = true,
        // A line of 0 is of no record: the body ended, or came too slowly.
        Err(Ended::ReadAborted(stopped)) if summary.records == 0 && stopped.line > 0 => {
            let _ = results.send(Answer::Unreadable(stopped)).await;
            return;
        }
        Err(Ended::ReadAborted(stopped)) => {
            let detail = order.language.say(&stopped.detail).into_owned();
            (summary.line, summary.detail) = (Some(stopped.line).filter(|line| *line > 0), Some(detail));
        }
    }
    // Nobody there is nobody who needs to know.
    let _ = results.send(Answer::Lines(line(&LastLine { summary: &summary }).into())).await;
}

async fn read(
    api: &AppState,
    order: &Order,
    mut reader: Reader,
    mut payload: Payload,
    results: &Sender<Answer>,
    summary: &mut Summary,
) -> Result<(), Ended> {
    let (mut entries, mut size) = (Vec::new(), 0);
    loop {
        if api.stop.is_set() {
            return Err(Ended::early(
                "The service is shutting down: send the rest again, with the same Idempotency-Key.",
            ));
        }
        let read = match tokio::time::timeout(api.settings.read_timeout, payload.next()).await {
            Ok(Some(Ok(chunk))) => {
                size += chunk.len();
                if size > api.settings.import_limit {
                    let limit = api.settings.import_limit;
                    return Err(Ended::early(format!("The body may have at most {limit} bytes.")));
                }
                reader.push(&chunk, &mut entries)
            }
            Ok(Some(Err(PayloadError::Incomplete(_) | PayloadError::EncodingCorrupted))) => {
                return Err(Ended::early("The body ended before it was complete."));
            }
            Ok(Some(Err(_broken))) => return Err(Ended::early("The body cannot be read.")),
            Err(_elapsed) => return Err(Ended::early("The body did not go on in time.")),
            Ok(None) => {
                let ended = reader.finish(&mut entries);
                answer(api, order, entries, results, summary).await?;
                return ended.map_err(Ended::ReadAborted);
            }
        };
        answer(api, order, std::mem::take(&mut entries), results, summary).await?;
        read.map_err(Ended::ReadAborted)?;
    }
}

/// Answers some records, in their order; ends if the queue takes nothing, as the next ones would only wait to be refused.
async fn answer(
    api: &AppState,
    order: &Order,
    entries: Vec<Entry>,
    results: &Sender<Answer>,
    summary: &mut Summary,
) -> Result<(), Ended> {
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        if summary.refused >= AT_ONCE {
            return Err(Ended::early(QUEUE_TAKES_NOTHING));
        }
        let batch: Vec<_> = entries.by_ref().take(AT_ONCE).map(|Entry { line, result }| (line, result)).collect();
        let batch =
            batch.into_iter().map(|(line, result)| (line, result.map(|details| command(api, order, line, details))));
        let batch: Vec<(u64, Result<Command, Vec<RecordError>>)> = batch.collect();
        let known = ended_before(api, order, &batch).await;
        let outcomes = {
            // Never closed: then there would be no permit, and nothing to hold. Given back before the results are sent,
            // which takes as long as their reader likes.
            let _turn = api.imports.acquire().await.ok();
            join_all(batch.iter().map(|(_, result)| outcome(api, order, result, &known))).await
        };
        let mut text = Vec::new();
        for ((number, result), outcome) in batch.iter().zip(outcomes) {
            summary.records += 1;
            match (&outcome, result) {
                (Outcome::NotAccepted { .. }, _) => summary.refused += 1,
                (Outcome::Accepted { .. }, Ok(command)) if !known.contains_key(&command.operation_id) => {
                    summary.refused = 0;
                }
                _ => {}
            }
            *match outcome {
                Outcome::Valid => &mut summary.valid,
                Outcome::Accepted { .. } => &mut summary.accepted,
                Outcome::Invalid { .. } => &mut summary.invalid,
                Outcome::NotAccepted { .. } => &mut summary.not_accepted,
            } += 1;
            text.extend(line(&ResultLine { line: *number, outcome }));
        }
        results.send(Answer::Lines(text.into())).await.map_err(|_gone| Ended::Gone)?;
    }
    Ok(())
}

/// The create of one contact. Its key is the request's with the record's line, so that the same body sent again makes
/// nothing new.
fn command(api: &AppState, order: &Order, line: u64, details: Details) -> Command {
    // No header holds a line break, so this is never the key of another request.
    let key = order.key.as_ref().map(|key| format!("{key}\n{line}"));
    let now = write::now();
    let action = Action::Create(details);
    Command {
        operation_id: ids::operation_id(order.caller, key.as_deref()),
        contact_id: ids::contact_id(order.caller, key.as_deref()),
        stamp: api.clock.stamp(now.timestamp_millis()),
        expects: None,
        accepted_at: now,
        fingerprint: key.as_ref().map(|_| ids::fingerprint(None, None, &action)),
        action,
    }
}

/// Those that SQL knows to have ended, by an earlier request with the same key: they need no message.
async fn ended_before(
    api: &AppState,
    order: &Order,
    batch: &[(u64, Result<Command, Vec<RecordError>>)],
) -> HashMap<OperationId, Option<Fingerprint>> {
    if order.key.is_none() || order.dry_run {
        return HashMap::new();
    }
    let ids: Vec<OperationId> =
        batch.iter().filter_map(|(_, result)| Some(result.as_ref().ok()?.operation_id)).collect();
    let known = api.reader.try_read(move |store| store.operations(&ids)).await.unwrap_or_default();
    known.into_iter().map(|operation| (operation.id, operation.fingerprint)).collect()
}

async fn outcome(
    api: &AppState,
    order: &Order,
    result: &Result<Command, Vec<RecordError>>,
    known: &HashMap<OperationId, Option<Fingerprint>>,
) -> Outcome {
    let command = match result {
        Err(faults) => return order.invalid(faults.iter().map(error)),
        Ok(_) if order.dry_run => return Outcome::Valid,
        Ok(command) => command,
    };
    let (operation_id, contact_id) = (command.operation_id.uuid(), command.contact_id.uuid());
    match known.get(&command.operation_id) {
        Some(print) if *print == command.fingerprint => return Outcome::Accepted { operation_id, contact_id },
        Some(_) => {
            return order.invalid([FieldError::new(FieldLocation::Header, "idempotency-key", REUSED)]);
        }
        None => {}
    }
    match write::publish(api, command, None).await {
        Ok(()) => Outcome::Accepted { operation_id, contact_id },
        Err(error) => Outcome::NotAccepted {
            reason: error.as_str(),
            detail: order.language.say(Problem::from(error).detail()).into_owned(),
        },
    }
}

fn error(fault: &RecordError) -> FieldError {
    FieldError::new(FieldLocation::Body, fault.field.clone(), fault.invalid)
}

fn line(result: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(result).unwrap_or_default();
    text.push(b'\n');
    text
}
