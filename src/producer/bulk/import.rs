//! `POST /contacts/import`: reads records while they arrive, publishes a command for each, and answers a line for each.
//!
//! Rule of this file: memory is bounded, whatever the size of the body. A record with the status `accepted` is as safe
//! as a 202.

use crate::domain::{Action, Command, ContactId, Details, Invalid, NameKey, OperationId, Phone, Status};
use crate::formats::{Columns, Entry, Format, Ignored, ReadAborted, Reader, RecordError};
use crate::producer::auth::Caller;
use crate::producer::contacts::write;
use crate::producer::http::conditional::{check_content_encoding, idempotency_key, media_type};
use crate::producer::http::parameters::{parse_boolean, parse_query};
use crate::producer::http::request_context::RequestContext;
use crate::producer::language::{self, Language};
use crate::producer::operations::ids;
use crate::producer::problems::Problem;
use crate::producer::problems::{FieldError, FieldLocation, Kind};
use crate::producer::state::AppState;
use crate::queue::QueueKind;
use crate::telemetry::trace::Trace;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, mime};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::poll_fn;
use serde::Serialize;
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::mpsc::{Sender, channel};
use uuid::Uuid;

/// How many records are published together. Their results are sent together.
const BATCH_RECORDS: usize = 256;
/// How many batches of results may wait for a slow client. Then the producer stops reading the body.
const MAX_PENDING_BATCHES: usize = 4;

/// How many contacts a dry run shows. More would make the answer longer than the request.
const PREVIEWS: u64 = 5;

const UNKNOWN: Invalid = Invalid::new(
    "unknown_parameter",
    "is not a parameter: dry_run, skip_existing, name_column, phone_column, email_column",
);
const FAILED_BEFORE: Invalid = Invalid::new(
    "failed_before",
    "belongs to an earlier import of this record, and its operation failed; use another key",
);
const COLUMN_TOO_LONG: Invalid = Invalid::new("too_long", "must have at most 100 characters");
const QUEUE_UNAVAILABLE: &str =
    "The queue accepts no changes now. Send the rest again later, with the same Idempotency-Key.";
const UNKNOWN_CONTACTS: &str =
    "The contacts cannot be read now. Send the rest again later, with the same Idempotency-Key.";
const UNREADABLE: &str = "cannot be read as contacts";
const EMPTY_COLUMN: Invalid = Invalid::new("required", "must not be empty");

/// The parameters of an import.
struct ImportRequest {
    caller: Caller,
    key: Option<String>,
    dry_run: bool,
    skip_existing: bool,
    language: Language,
    /// The name of the caller and the trace of the request. Each message has them.
    name: Option<Arc<str>>,
    trace: Option<Trace>,
}

impl ImportRequest {
    fn invalid(&self, errors: impl IntoIterator<Item = FieldError>) -> Outcome {
        Outcome::Invalid { errors: errors.into_iter().map(|error| error.localized(self.language)).collect() }
    }
}

/// The line of a record, and its command or its errors.
type NumberedCommand = (u64, Result<Command, Vec<RecordError>>);

/// The result of one record.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Outcome {
    Valid {
        /// The contact, for the first valid records of a request.
        #[serde(skip_serializing_if = "Option::is_none")]
        contact: Option<Preview>,
    },
    Accepted {
        operation_id: Uuid,
        contact_id: Uuid,
    },
    /// A contact with the same name and phone number exists.
    Skipped {
        contact_id: Uuid,
    },
    Invalid {
        errors: Vec<FieldError>,
    },
    NotAccepted {
        reason: &'static str,
        detail: String,
    },
}

/// The contact of a valid record, as it would be created.
#[derive(Serialize)]
struct Preview {
    name: String,
    phone: String,
    email: Option<String>,
}

impl Preview {
    fn new(command: &Command) -> Option<Self> {
        let (Action::Create(details) | Action::Update(details)) = &command.action else { return None };
        Some(Self {
            name: details.name.as_str().to_owned(),
            phone: details.phone.to_string(),
            email: details.email.as_ref().map(|email| email.as_str().to_owned()),
        })
    }
}

#[derive(Serialize)]
struct ResultLine {
    line: u64,
    #[serde(flatten)]
    outcome: Outcome,
    /// What the record has and the contact does not keep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<Ignored>,
}

/// The last line of the answer: counts, and whether the whole body was read.
#[derive(Default, Serialize)]
struct Summary {
    records: u64,
    accepted: u64,
    valid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
    invalid: u64,
    not_accepted: u64,
    complete: bool,
    /// The encoding in which the body was read.
    encoding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// How many records in a row the queue did not accept.
    #[serde(skip)]
    not_accepted_in_a_row: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct LastLine<'a> {
    summary: &'a Summary,
}

/// Why the import stopped before the end of the body.
enum StopReason {
    /// The client has disconnected.
    ClientGone,
    ReadAborted(ReadAborted),
}

impl StopReason {
    /// A reason that does not belong to a record.
    fn aborted(detail: impl Into<String>) -> Self {
        Self::ReadAborted(ReadAborted { line: 0, code: "cut_short", detail: detail.into() })
    }
}

pub(crate) async fn import(
    api: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (mut dry_run, mut skip_existing, mut columns) = (false, false, Columns::default());
    let errors = parse_query(request.query_string(), UNKNOWN, |name, value| {
        let column = match name {
            "dry_run" => return Some(parse_boolean(value).map(|value| dry_run = value)),
            "skip_existing" => return Some(parse_boolean(value).map(|value| skip_existing = value)),
            "name_column" => &mut columns.name,
            "phone_column" => &mut columns.phone,
            "email_column" => &mut columns.email,
            _ => return None,
        };
        *column = Some(value.to_owned());
        Some(match value.trim().chars().count() {
            0 => Err(EMPTY_COLUMN),
            1..=100 => Ok(()),
            _ => Err(COLUMN_TOO_LONG),
        })
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    check_content_encoding(&request)?;
    let content_type = media_type(&request);
    let format = content_type.as_ref().and_then(|mime| Format::of_media_type(mime.essence_str()));
    let charset = content_type.as_ref().and_then(|mime| mime.get_param(mime::CHARSET));
    // Labels such as `iso-8859-1` mean Windows-1252 (WHATWG Encoding Standard).
    let declared = charset.map(|label| match label.as_str() {
        // UTF-8 contains it.
        ascii if ascii.eq_ignore_ascii_case("us-ascii") => Some(UTF_8),
        label => Encoding::for_label(label.as_bytes()),
    });
    let format = format.ok_or_else(|| {
        let detail = "Send `Content-Type: application/x-ndjson`, `text/csv` or `text/vcard`.";
        Problem::new(Kind::UnsupportedMediaType, detail)
    })?;
    let can_be_read = |encoding| {
        [UTF_8, UTF_16LE, UTF_16BE].contains(&encoding) || encoding == WINDOWS_1252 && format != Format::Ndjson
    };
    if declared.is_some_and(|encoding| !encoding.is_some_and(can_be_read)) {
        let detail = "Send the file in UTF-8, or a CSV or vCard also in Windows-1252.";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let caller = request.extensions().get::<Caller>().copied().ok_or_else(write::missing_caller)?;
    let key = idempotency_key(&request)?.map(str::to_owned);
    let content_length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if content_length.is_some_and(|length: usize| length > api.settings.import_limit) {
        let limit = api.settings.import_limit;
        return Err(Problem::new(Kind::BodyTooLarge, format!("The body may have at most {limit} bytes.")));
    }
    let (sender, mut receiver) = channel(MAX_PENDING_BATCHES);
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    let import = ImportRequest {
        caller,
        key,
        dry_run,
        skip_existing,
        language: language::negotiate(&request),
        name: context.as_ref().and_then(|context| context.caller.get().cloned()),
        // A span for each record would be too many.
        trace: context.map(|context| Trace { sampled: false, ..context.trace }),
    };
    let reader = Reader::new(format, columns);
    let reader = if declared == Some(Some(UTF_8)) { reader.declared_utf8() } else { reader };
    actix_web::rt::spawn(run(api, import, reader, payload, sender));
    // The producer waits for the first results. If the file cannot be read at all, no record was accepted, and it can
    // still answer 422.
    let mut first = match receiver.recv().await {
        Some(WorkerResult::Unreadable(aborted)) => {
            let fault = Invalid::new(aborted.code, UNREADABLE);
            let mut problem = Problem::validation(vec![FieldError::new(FieldLocation::Body, "(file)", fault)]);
            problem.set_detail(aborted.detail);
            return Err(problem);
        }
        Some(WorkerResult::Lines(lines)) => Some(lines),
        None => None,
    };
    let lines = poll_fn(move |context| match first.take() {
        Some(lines) => Poll::Ready(Some(Ok::<_, Infallible>(lines))),
        None => receiver.poll_recv(context).map(|answer| match answer? {
            WorkerResult::Lines(lines) => Some(Ok(lines)),
            WorkerResult::Unreadable(_) => None,
        }),
    });
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/x-ndjson")).streaming(lines))
}

/// What the import task sends to the answer.
enum WorkerResult {
    Lines(Bytes),
    /// The file could not be read before the first record.
    Unreadable(ReadAborted),
}

/// Reads the whole body and sends the results.
async fn run(
    api: Data<AppState>,
    import: ImportRequest,
    reader: Reader,
    payload: Payload,
    results: Sender<WorkerResult>,
) {
    let mut summary = Summary::default();
    let mut reader = reader;
    let read = read_records(&api, &import, &mut reader, payload, &results, &mut summary).await;
    (summary.encoding, summary.delimiter) = (reader.encoding().name(), reader.delimiter());
    match read {
        Err(StopReason::ClientGone) => return,
        Ok(()) => summary.complete = true,
        // Line 0 means that no record is the cause: the body ended early, or it arrived too slowly.
        Err(StopReason::ReadAborted(aborted)) if summary.records == 0 && aborted.line > 0 => {
            let _ = results.send(WorkerResult::Unreadable(aborted)).await;
            return;
        }
        Err(StopReason::ReadAborted(aborted)) => {
            let detail = import.language.translate(&aborted.detail).into_owned();
            (summary.line, summary.detail) = (Some(aborted.line).filter(|line| *line > 0), Some(detail));
        }
    }
    // A client that has disconnected needs no summary.
    let _ = results.send(WorkerResult::Lines(json_line(&LastLine { summary: &summary }).into())).await;
}

async fn read_records(
    api: &AppState,
    import: &ImportRequest,
    reader: &mut Reader,
    mut payload: Payload,
    results: &Sender<WorkerResult>,
    summary: &mut Summary,
) -> Result<(), StopReason> {
    let (mut entries, mut size) = (Vec::new(), 0);
    loop {
        if api.stop.is_set() {
            return Err(StopReason::aborted(
                "The service is shutting down. Send the rest again, with the same Idempotency-Key.",
            ));
        }
        let read = match tokio::time::timeout(api.settings.read_timeout, payload.next()).await {
            Ok(Some(Ok(chunk))) => {
                size += chunk.len();
                if size > api.settings.import_limit {
                    let limit = api.settings.import_limit;
                    return Err(StopReason::aborted(format!("The body may have at most {limit} bytes.")));
                }
                reader.push(&chunk, &mut entries)
            }
            Ok(Some(Err(PayloadError::Incomplete(_) | PayloadError::EncodingCorrupted))) => {
                return Err(StopReason::aborted("The body ended before it was complete."));
            }
            Ok(Some(Err(_broken))) => return Err(StopReason::aborted("The body cannot be read.")),
            Err(_elapsed) => return Err(StopReason::aborted("The next part of the body did not arrive in time.")),
            Ok(None) => {
                let ended = reader.finish(&mut entries);
                process(api, import, entries, results, summary).await?;
                return ended.map_err(StopReason::ReadAborted);
            }
        };
        process(api, import, std::mem::take(&mut entries), results, summary).await?;
        read.map_err(StopReason::ReadAborted)?;
    }
}

/// Processes some records in their order. Stops if the queue accepts nothing: further records would only wait and fail.
async fn process(
    api: &AppState,
    import: &ImportRequest,
    entries: Vec<Entry>,
    results: &Sender<WorkerResult>,
    summary: &mut Summary,
) -> Result<(), StopReason> {
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        if summary.not_accepted_in_a_row >= BATCH_RECORDS {
            return Err(StopReason::aborted(QUEUE_UNAVAILABLE));
        }
        let (batch, ignored): (Vec<NumberedCommand>, Vec<_>) = entries
            .by_ref()
            .take(BATCH_RECORDS)
            .map(|Entry { line, result, ignored }| {
                ((line, result.map(|details| create_command(api, import, details))), ignored)
            })
            .unzip();
        let existing = find_existing(api, import, &batch).await?;
        let known = find_finished(api, import, &batch).await;
        let outcomes = {
            // The semaphore is never closed. The permit is released before the results are sent, because a slow client
            // may take long to read them.
            let _permit = api.import_permits.acquire().await.ok();
            join_all(batch.iter().map(|(_, result)| publish_record(api, import, result, &known, &existing))).await
        };
        let mut text = Vec::new();
        for (((number, result), mut outcome), ignored) in batch.iter().zip(outcomes).zip(ignored) {
            summary.records += 1;
            if let (Outcome::Valid { contact }, Ok(command)) = (&mut outcome, result)
                && summary.valid < PREVIEWS
            {
                *contact = Preview::new(command);
            }
            match (&outcome, result) {
                (Outcome::NotAccepted { .. }, _) => summary.not_accepted_in_a_row += 1,
                (Outcome::Accepted { .. }, Ok(command)) if !known.contains_key(&command.operation_id) => {
                    summary.not_accepted_in_a_row = 0;
                }
                _ => {}
            }
            *match outcome {
                Outcome::Valid { .. } => &mut summary.valid,
                Outcome::Accepted { .. } => &mut summary.accepted,
                Outcome::Skipped { .. } => &mut summary.skipped,
                Outcome::Invalid { .. } => &mut summary.invalid,
                Outcome::NotAccepted { .. } => &mut summary.not_accepted,
            } += 1;
            text.extend(json_line(&ResultLine { line: *number, outcome, ignored }));
        }
        results.send(WorkerResult::Lines(text.into())).await.map_err(|_gone| StopReason::ClientGone)?;
    }
    Ok(())
}

/// The create command of one record. Its key is the key of the request plus the values of the record. So the same file can
/// be sent again and creates nothing new, and an edited file creates only what changed.
fn create_command(api: &AppState, import: &ImportRequest, details: Details) -> Command {
    let action = Action::Create(details);
    let fingerprint = import.key.as_ref().map(|_| ids::fingerprint(None, &[], &action));
    // A header cannot contain a line break, so this is never the key of another request.
    let key = import.key.as_ref().zip(fingerprint).map(|(key, values)| format!("{key}\n{:032x}", values.0));
    let now = write::now();
    Command {
        operation_id: ids::operation_id(&api.ids, import.caller, key.as_deref()),
        contact_id: ids::contact_id(import.caller, key.as_deref()),
        stamp: api.clock.stamp(now.timestamp_millis()),
        expects: None,
        accepted_at: now,
        fingerprint,
        action,
    }
}

/// The operations that an earlier request with the same key has already finished. They need no message.
async fn find_finished(
    api: &AppState,
    import: &ImportRequest,
    batch: &[NumberedCommand],
) -> HashMap<OperationId, Status> {
    if import.key.is_none() || import.dry_run {
        return HashMap::new();
    }
    let ids: Vec<OperationId> =
        batch.iter().filter_map(|(_, result)| Some(result.as_ref().ok()?.operation_id)).collect();
    let known = api.reader.try_read(move |store| store.operations(&ids)).await.unwrap_or_default();
    known.into_iter().map(|operation| (operation.id, operation.status)).collect()
}

/// The contacts that exist already, by the phone number and the key of the name.
type Existing = HashMap<(Phone, String), ContactId>;

/// With `skip_existing`: the contacts that have the name and the phone number of a record.
async fn find_existing(
    api: &AppState,
    import: &ImportRequest,
    batch: &[NumberedCommand],
) -> Result<Existing, StopReason> {
    if !import.skip_existing {
        return Ok(Existing::new());
    }
    let person = |details: &Details| (details.phone, NameKey::of(&details.name));
    let people: Vec<(Phone, NameKey)> = batch.iter().filter_map(|(_, result)| created(result).map(person)).collect();
    let asked = people.clone();
    let found = api.reader.read(move |store| store.existing(&asked)).await;
    // Without the answer, records could be created a second time.
    let found = found.map_err(|_problem| StopReason::aborted(UNKNOWN_CONTACTS))?;
    let existing = people.into_iter().zip(found);
    Ok(existing.filter_map(|((phone, name), id)| Some(((phone, name.into()), id?))).collect())
}

/// The details of a record.
const fn created(result: &Result<Command, Vec<RecordError>>) -> Option<&Details> {
    match result {
        Ok(Command { action: Action::Create(details), .. }) => Some(details),
        _ => None,
    }
}

async fn publish_record(
    api: &AppState,
    import: &ImportRequest,
    result: &Result<Command, Vec<RecordError>>,
    known: &HashMap<OperationId, Status>,
    existing: &Existing,
) -> Outcome {
    let command = match result {
        Err(faults) => return import.invalid(faults.iter().map(field_error)),
        Ok(command) => command,
    };
    let (operation_id, contact_id) = (command.operation_id.uuid(), command.contact_id.uuid());
    match known.get(&command.operation_id) {
        Some(Status::Failed(_)) => {
            return import.invalid([FieldError::new(FieldLocation::Header, "idempotency-key", FAILED_BEFORE)]);
        }
        Some(Status::Applied | Status::Superseded) => return Outcome::Accepted { operation_id, contact_id },
        None => {}
    }
    let same = |details: &Details| existing.get(&(details.phone, NameKey::of(&details.name).into()));
    if let Some(contact) = created(result).filter(|_| !existing.is_empty()).and_then(same) {
        return Outcome::Skipped { contact_id: contact.uuid() };
    }
    if import.dry_run {
        return Outcome::Valid { contact: None };
    }
    let message = write::message(command, import.name.as_deref(), import.trace);
    match api.publisher.publish(QueueKind::Work, message, api.settings.accept_timeout).await {
        Ok(()) => Outcome::Accepted { operation_id, contact_id },
        Err(error) => Outcome::NotAccepted {
            reason: error.as_str(),
            detail: import.language.translate(Problem::from(error).detail()).into_owned(),
        },
    }
}

fn field_error(fault: &RecordError) -> FieldError {
    FieldError::new(FieldLocation::Body, fault.field.clone(), fault.invalid)
}

fn json_line(result: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(result).unwrap_or_default();
    text.push(b'\n');
    text
}
