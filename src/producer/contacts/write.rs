//! Accepting changes: parse, make the command, publish it, answer when it is safe.

use super::body;
use crate::domain::{Action, Command, ContactId, OperationId, Status, Timestamp};
use crate::message::{Header, Message};
use crate::producer::auth::Caller;
use crate::producer::contacts::views::ContactView;
use crate::producer::http::conditional::{expected_version, idempotency_key};
use crate::producer::http::parameters::id;
use crate::producer::http::prefer::{PREFERENCE_APPLIED, Preferences};
use crate::producer::http::request_context::RequestContext;
use crate::producer::operations::ids;
use crate::producer::operations::views::Accepted;
use crate::producer::problems::Kind;
use crate::producer::problems::Problem;
use crate::producer::state::AppState;
use crate::queue::{PublishError, QueueKind};
use crate::store::Operation;
use crate::telemetry::spans::{self, Kind as SpanKind, Span, Value};
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE};
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
    let details = body::details(&api, &request, payload).await?;
    accept(&api, &request, None, None, Action::Create(details)).await
}

pub(crate) async fn update(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (id, expects) = (id(&path)?, expected_version(&request)?);
    let details = body::details(&api, &request, payload).await?;
    accept(&api, &request, Some(id), expects, Action::Update(details)).await
}

pub(crate) async fn delete(
    api: Data<AppState>,
    request: HttpRequest,
    path: Path<String>,
) -> Result<HttpResponse, Problem> {
    let (id, expects) = (id(&path)?, expected_version(&request)?);
    accept(&api, &request, Some(id), expects, Action::Delete).await
}

async fn accept(
    api: &AppState,
    request: &HttpRequest,
    contact: Option<ContactId>,
    expects: Option<OperationId>,
    action: Action,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(request)?;
    let caller = request.extensions().get::<Caller>().copied().ok_or_else(no_caller)?;
    let now = now();
    let command = Command {
        operation_id: ids::operation_id(caller, key),
        contact_id: contact.unwrap_or_else(|| ids::contact_id(caller, key)),
        stamp: api.clock.stamp(now.timestamp_millis()),
        expects,
        accepted_at: now,
        fingerprint: key.map(|_| ids::fingerprint(contact, expects, &action)),
        action,
    };
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    if let Some(context) = &context {
        context.set_operation(command.operation_id);
    }
    let preferences = Preferences::of(request.headers());
    let mut ended = ended_before(api, &command).await?;
    if ended.is_none() {
        refuse_known_conflict(api, &command).await?;
        publish(api, &command, context.as_deref()).await?;
        if let Some(time) = preferences.wait() {
            ended = api.waiters.ended(command.operation_id, time, &api.stop).await;
            // An earlier request with the same key may have been on its way.
            refuse_other_request(&command, ended.as_ref())?;
        }
    }
    let mut response = match ended.filter(|_| preferences.wait().is_some()) {
        Some(operation) => {
            finished(api, &command, &operation).await.map_err(|problem| match preferences.applied() {
                Some(applied) => problem.with_header(PREFERENCE_APPLIED, applied),
                None => problem,
            })?
        }
        None => accepted(&command),
    };
    if let Some(applied) = preferences.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// It is safe, and will be applied.
fn accepted(command: &Command) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/operations/{}", command.operation_id)))
        .insert_header((ETAG, format!("\"{}\"", command.operation_id)))
        .insert_header((RETRY_AFTER, "1"))
        .json(Accepted::new(command.operation_id, command.contact_id))
}

/// It has ended: what became of it.
async fn finished(api: &AppState, command: &Command, operation: &Operation) -> Result<HttpResponse, Problem> {
    if let Status::Failed(reason) = operation.status {
        return Err(Problem::failed(reason));
    }
    let id = command.contact_id;
    let mut response = match command.action {
        Action::Delete => return Ok(HttpResponse::NoContent().finish()),
        Action::Update(_) => HttpResponse::Ok(),
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
        // It was deleted meanwhile, or cannot be read: the operation still tells what happened.
        None => Ok(accepted(command)),
    }
}

/// Cannot be: nothing gets here past `auth::admit`.
pub(crate) fn no_caller() -> Problem {
    Problem::new(Kind::Internal, "It is not known who calls.")
}

/// Hands the command to the queue, with the request's trace.
pub(crate) async fn publish(
    api: &AppState,
    command: &Command,
    context: Option<&RequestContext>,
) -> Result<(), PublishError> {
    let mut message = Message::new(command);
    let Some(context) = context else {
        return api.publisher.publish(QueueKind::Work, message, api.settings.accept_timeout).await;
    };
    let (place, began) = (context.trace.child(), SystemTime::now());
    message.headers.set(TRACEPARENT, Header::Text(place.to_string()));
    if let Some(state) = &context.state {
        message.headers.set(TRACESTATE, Header::Text(state.clone()));
    }
    let result = api.publisher.publish(QueueKind::Work, message, api.settings.accept_timeout).await;
    spans::record(&place, || Span {
        trace: place,
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

/// The time in whole microseconds, which is what every store keeps.
pub(crate) fn now() -> Timestamp {
    let now = chrono::Utc::now();
    Timestamp::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// How it ended, if the request is a retry of one that SQL knows to have ended: then it needs no message. The
/// same key for another request is refused. What SQL does not know yet is caught by the operation id: the first request of
/// a key takes effect, whatever comes later.
async fn ended_before(api: &AppState, command: &Command) -> Result<Option<Operation>, Problem> {
    let id = command.operation_id;
    if command.fingerprint.is_none() {
        return Ok(None);
    }
    let known = api.reader.try_read(move |store| store.operation(id)).await.flatten();
    refuse_other_request(command, known.as_ref())?;
    Ok(known)
}

/// Refuses a key that belongs to a request which asked for something else.
fn refuse_other_request(command: &Command, known: Option<&Operation>) -> Result<(), Problem> {
    let Some(print) = command.fingerprint else { return Ok(()) };
    match known.and_then(|known| known.fingerprint) {
        Some(known) if known != print => Err(Problem::new(
            Kind::IdempotencyKeyReused,
            "This key belongs to an earlier request that asked for something else: use a new key for a new request.",
        )),
        _ => Ok(()),
    }
}

/// A condition that cannot hold any more, as far as SQL shows: the version it names has ended and is not the current one.
/// The consumer's check is the one that counts.
async fn refuse_known_conflict(api: &AppState, command: &Command) -> Result<(), Problem> {
    let (own, contact) = (command.operation_id, command.contact_id);
    let Some(expected) = command.expects else { return Ok(()) };
    let conflict = api.reader.try_read(move |store| {
        // In this order: a version that had ended before the contact was read, and is not the one read, is not to come.
        let ended = store.operation(expected)?.is_some();
        let current = store.contact(contact)?.map(|contact| contact.version);
        let conflict = ended && current.is_some_and(|current| current != expected);
        // Of a retry it may be the request's own change that is current.
        Ok(conflict && store.operation(own)?.is_none())
    });
    match conflict.await {
        Some(true) => Err(Problem::new(
            Kind::VersionConflict,
            "The version named by If-Match is not the current one: read the contact again and decide anew.",
        )),
        Some(false) | None => Ok(()),
    }
}
