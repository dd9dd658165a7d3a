//! Accepts changes: parses the request, creates the command, publishes it, and answers after the confirm.

use super::body;
use crate::domain::{Action, Command, ContactId, OperationId, Status, Timestamp};
use crate::formats::ContactView;
use crate::message::{Header, Message};
use crate::producer::auth::Caller;
use crate::producer::http::conditional::{check_if_none_match, expected_versions, idempotency_key};
use crate::producer::http::parameters::parse_id;
use crate::producer::http::prefer::{PREFERENCE_APPLIED, Preferences};
use crate::producer::http::request_context::RequestContext;
use crate::producer::operations::ids;
use crate::producer::operations::views::AcceptedView;
use crate::producer::problems::Kind;
use crate::producer::problems::Problem;
use crate::producer::state::AppState;
use crate::queue::{PublishError, QueueKind};
use crate::store::Operation;
use crate::telemetry::spans::{self, Kind as SpanKind, Span, Value};
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE, Trace};
use actix_web::http::header::{ETAG, LOCATION, RETRY_AFTER};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use std::rc::Rc;
use std::time::SystemTime;

pub(crate) async fn create(
    api: Data<AppState>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    check_if_none_match(&request, true)?;
    let details = body::read_details(&api, &request, payload).await?;
    accept(&api, &request, None, &[], Action::Create(details)).await
}

pub(crate) async fn update(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (id, expects) = (parse_id(&path)?, expected_versions(&request)?);
    check_if_none_match(&request, false)?;
    let details = body::read_details(&api, &request, payload).await?;
    accept(&api, &request, Some(id), &expects, Action::Update(details)).await
}

pub(crate) async fn patch(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (id, expects) = (parse_id(&path)?, expected_versions(&request)?);
    check_if_none_match(&request, false)?;
    let patch = body::read_patch(&api, &request, payload).await?;
    accept(&api, &request, Some(id), &expects, Action::Patch(patch)).await
}

pub(crate) async fn delete(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let (id, expects) = (parse_id(&path)?, expected_versions(&request)?);
    check_if_none_match(&request, false)?;
    accept(&api, &request, Some(id), &expects, Action::Delete).await
}

async fn accept(
    api: &AppState,
    request: &HttpRequest,
    contact: Option<ContactId>,
    expected: &[OperationId],
    action: Action,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(request)?;
    let caller = request.extensions().get::<Caller>().copied().ok_or_else(missing_caller)?;
    let expects = choose_expected(api, contact, expected).await;
    let now = now();
    let command = Command {
        operation_id: ids::operation_id(&api.ids, caller, key),
        contact_id: contact.unwrap_or_else(|| ids::contact_id(caller, key)),
        stamp: api.clock.stamp(now.timestamp_millis()),
        expects,
        accepted_at: now,
        fingerprint: key.map(|_| ids::fingerprint(contact, expected, &action)),
        action,
    };
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    if let Some(context) = &context {
        context.set_operation(command.operation_id);
    }
    let preferences = Preferences::parse(request.headers());
    let mut finished = find_finished(api, &command).await?;
    if finished.is_none() {
        reject_known_conflict(api, &command).await?;
        publish(api, &command, context.as_deref()).await?;
        if let Some(time) = preferences.wait() {
            finished = api.waiters.wait_for(command.operation_id, time, &api.stop).await;
            // An earlier request with the same key may have been pending.
            reject_other_request(&command, finished.as_ref())?;
        }
    }
    let mut response = match finished.filter(|_| preferences.wait().is_some()) {
        Some(operation) => {
            finished_response(api, &command, &operation).await.map_err(|problem| match preferences.applied() {
                Some(applied) => problem.with_header(PREFERENCE_APPLIED, applied),
                None => problem,
            })?
        }
        None => accepted_response(&command),
    };
    if let Some(applied) = preferences.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// The version that a command expects. Of several in `If-Match`, this is the current one. If none is, it is one that SQL
/// does not know yet, and then any.
async fn choose_expected(api: &AppState, contact: Option<ContactId>, expected: &[OperationId]) -> Option<OperationId> {
    let (Some(contact), [_, _, ..]) = (contact, expected) else { return expected.first().copied() };
    let all = expected.to_vec();
    let chosen = api.reader.try_read(move |store| {
        let current = store.contact(contact)?.map(|contact| contact.version);
        let finished = store.operations(&all)?;
        let is_finished = |version: &&OperationId| finished.iter().any(|operation| operation.id == **version);
        let unfinished = all.iter().find(|version| !is_finished(version));
        Ok(all.iter().find(|version| Some(**version) == current).or(unfinished).copied())
    });
    chosen.await.flatten().or_else(|| expected.first().copied())
}

/// The 202: the queue has confirmed the command, and it will be applied.
fn accepted_response(command: &Command) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/operations/{}", command.operation_id)))
        .insert_header((ETAG, format!("\"{}\"", command.operation_id)))
        .insert_header((RETRY_AFTER, "1"))
        .json(AcceptedView::new(command.operation_id, command.contact_id))
}

/// The answer after the operation has finished.
async fn finished_response(api: &AppState, command: &Command, operation: &Operation) -> Result<HttpResponse, Problem> {
    if let Status::Failed(reason) = operation.status {
        return Err(Problem::failed(reason));
    }
    let id = command.contact_id;
    let mut response = match command.action {
        Action::Delete => return Ok(HttpResponse::NoContent().finish()),
        Action::Update(_) | Action::Patch(_) => HttpResponse::Ok(),
        Action::Create(_) => HttpResponse::Created(),
    };
    let contact = api.reader.try_read(move |store| store.contact(id)).await.flatten();
    match contact.as_ref().and_then(|contact| Some((contact.version, ContactView::new(contact)?))) {
        Some((version, view)) => {
            if matches!(command.action, Action::Create(_)) {
                response.insert_header((LOCATION, format!("/contacts/{id}")));
            }
            Ok(response.insert_header((ETAG, format!("\"{version}\""))).json(view))
        }
        // The contact was deleted in the meantime or cannot be read. The client can still read the operation.
        None => Ok(accepted_response(command)),
    }
}

/// Does not happen: `auth::admit` sets the caller of every request.
pub(crate) fn missing_caller() -> Problem {
    Problem::new(Kind::Internal, "The caller of the request is unknown.")
}

/// Publishes the command, with the trace of the request.
pub(crate) async fn publish(
    api: &AppState,
    command: &Command,
    context: Option<&RequestContext>,
) -> Result<(), PublishError> {
    let Some(context) = context else {
        return api.publisher.publish(QueueKind::Work, message(command, None, None), api.settings.accept_timeout).await;
    };
    let (trace, began) = (context.trace.child(), SystemTime::now());
    let mut message = message(command, context.caller.get().map(|name| &**name), Some(trace));
    if let Some(tracestate) = &context.tracestate {
        message.headers.set(TRACESTATE, Header::Text(tracestate.clone()));
    }
    let result = api.publisher.publish(QueueKind::Work, message, api.settings.accept_timeout).await;
    spans::record(&trace, || Span {
        trace,
        parent: Some(context.trace.span_id),
        name: "publish contato".into(),
        kind: SpanKind::Producer,
        began,
        ended: SystemTime::now(),
        attributes: vec![
            ("messaging.operation.type", Value::Text("send".into())),
            ("messaging.destination.name", Value::Text("contato".into())),
            ("messaging.message.id", Value::Text(command.operation_id.to_string())),
        ],
        failed: result.is_err(),
    });
    result
}

/// The message of a command, with the caller and the trace of its request.
pub(crate) fn message(command: &Command, caller: Option<&str>, trace: Option<Trace>) -> Message {
    let mut message = Message::new(command);
    if let Some(trace) = trace {
        message.headers.set(TRACEPARENT, Header::Text(trace.to_string()));
    }
    if let Some(caller) = caller {
        message.headers.set_caller(caller);
    }
    message
}

/// The current time in whole microseconds, the precision of every store.
pub(crate) fn now() -> Timestamp {
    let now = chrono::Utc::now();
    Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// The finished operation of an earlier request with the same key. Then no message is needed. Returns a problem if the
/// earlier request was different.
///
/// SQL may not know a pending operation yet. Then the operation id prevents a second effect: only the first request of
/// a key takes effect.
async fn find_finished(api: &AppState, command: &Command) -> Result<Option<Operation>, Problem> {
    let id = command.operation_id;
    if command.fingerprint.is_none() {
        return Ok(None);
    }
    let known = api.reader.try_read(move |store| store.operation(id)).await.flatten();
    reject_other_request(command, known.as_ref())?;
    Ok(known)
}

/// Returns a problem if the key belongs to a different request.
fn reject_other_request(command: &Command, known: Option<&Operation>) -> Result<(), Problem> {
    let Some(fingerprint) = command.fingerprint else { return Ok(()) };
    match known.and_then(|known| known.fingerprint) {
        Some(known) if known != fingerprint => Err(Problem::new(
            Kind::IdempotencyKeyReused,
            "This key belongs to an earlier request that was different. Use a new key for a new request.",
        )),
        _ => Ok(()),
    }
}

/// Returns a problem if SQL already shows that the condition cannot hold: the expected version was applied and is not
/// the current one. The consumer makes the decisive check.
async fn reject_known_conflict(api: &AppState, command: &Command) -> Result<(), Problem> {
    let (own, contact) = (command.operation_id, command.contact_id);
    let Some(expected) = command.expects else { return Ok(()) };
    let conflict = api.reader.try_read(move |store| {
        // The order matters. If the version was applied before the contact was read, and the contact has another
        // version, then the expected version will not become current again.
        let finished = store.operation(expected)?.is_some();
        let current = store.contact(contact)?.map(|contact| contact.version);
        let conflict = finished && current.is_some_and(|current| current != expected);
        // For a retry, the current version may be the change of the request itself.
        Ok(conflict && store.operation(own)?.is_none())
    });
    match conflict.await {
        Some(true) => Err(Problem::new(
            Kind::VersionConflict,
            "If-Match names a version that is not the current one. Read the contact again before you repeat the change.",
        )),
        Some(false) | None => Ok(()),
    }
}
