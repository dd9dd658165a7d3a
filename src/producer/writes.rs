//! Accepting changes: parse, make the command, publish it, answer when it is safe.

use super::auth::Caller;
use super::conditions::{expected_version, idempotency_key};
use super::observe::Journey;
use super::problem::Kind;
use super::views::Accepted;
use super::{Api, Problem, body, identity, reads};
use crate::domain::{Action, Command, ContactId, Moment, OperationId};
use crate::message::{Header, Message};
use crate::queue::{Lane, PublishError};
use crate::telemetry::spans::{self, Kind as SpanKind, Span, Value};
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE};
use actix_web::http::header::{ETAG, LOCATION, RETRY_AFTER};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use std::rc::Rc;
use std::time::SystemTime;

pub(super) async fn create(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let details = body::details(&api, &request, payload).await?;
    accept(&api, &request, None, None, Action::Create(details)).await
}

pub(super) async fn update(
    api: Data<Api>,
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (id, expects) = (reads::id(&path)?, expected_version(&request)?);
    let details = body::details(&api, &request, payload).await?;
    accept(&api, &request, Some(id), expects, Action::Update(details)).await
}

pub(super) async fn delete(api: Data<Api>, request: HttpRequest, path: Path<String>) -> Result<HttpResponse, Problem> {
    let (id, expects) = (reads::id(&path)?, expected_version(&request)?);
    accept(&api, &request, Some(id), expects, Action::Delete).await
}

async fn accept(
    api: &Api,
    request: &HttpRequest,
    contact: Option<ContactId>,
    expects: Option<OperationId>,
    action: Action,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(request)?;
    let caller = request.extensions().get::<Caller>().copied().ok_or_else(Problem::unauthorized)?;
    let now = now();
    let command = Command {
        operation_id: identity::operation_id(caller, key),
        contact_id: contact.unwrap_or_else(|| identity::contact_id(caller, key)),
        stamp: api.clock.stamp(now.timestamp_millis()),
        expects,
        accepted_at: now,
        fingerprint: key.map(|_| identity::fingerprint(contact, expects, &action)),
        action,
    };
    let journey = request.extensions().get::<Rc<Journey>>().cloned();
    if let Some(journey) = &journey {
        journey.leads_to(command.operation_id);
    }
    if !has_ended_before(api, &command).await? {
        refuse_known_conflict(api, &command).await?;
        publish(api, &command, journey.as_deref()).await?;
    }
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/operations/{}", command.operation_id)))
        .insert_header((ETAG, format!("\"{}\"", command.operation_id)))
        .insert_header((RETRY_AFTER, "1"))
        .json(Accepted::new(command.operation_id, command.contact_id)))
}

/// Hands the command to the queue, with the request's trace.
async fn publish(api: &Api, command: &Command, journey: Option<&Journey>) -> Result<(), PublishError> {
    let mut message = Message::new(command);
    let Some(journey) = journey else {
        return api.publisher.publish(Lane::Work, message, api.settings.accept_timeout).await;
    };
    let (place, began) = (journey.trace.child(), SystemTime::now());
    message.headers.set(TRACEPARENT, Header::Text(place.to_string()));
    if let Some(state) = &journey.state {
        message.headers.set(TRACESTATE, Header::Text(state.clone()));
    }
    let result = api.publisher.publish(Lane::Work, message, api.settings.accept_timeout).await;
    spans::record(&place, || Span {
        trace: place,
        parent: Some(journey.trace.span_id),
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
fn now() -> Moment {
    let now = chrono::Utc::now();
    Moment::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// Whether the request is a retry of one that SQL knows to have ended: then it has its answer and needs no message. The
/// same key for another request is refused. What SQL does not know yet is caught by the operation id: the first request of
/// a key takes effect, whatever comes later.
async fn has_ended_before(api: &Api, command: &Command) -> Result<bool, Problem> {
    let (id, Some(print)) = (command.operation_id, command.fingerprint) else { return Ok(false) };
    match api.reader.try_read(move |store| store.operation(id)).await.flatten() {
        Some(known) if known.fingerprint.is_some_and(|known| known != print) => Err(Problem::new(
            Kind::IdempotencyKeyReused,
            "This key belongs to an earlier request that asked for something else: use a new key for a new request.",
        )),
        known => Ok(known.is_some()),
    }
}

/// A condition that cannot hold any more, as far as SQL shows: the version it names has ended and is not the current one.
/// The consumer's check is the one that counts.
async fn refuse_known_conflict(api: &Api, command: &Command) -> Result<(), Problem> {
    let (contact, Some(expected)) = (command.contact_id, command.expects) else { return Ok(()) };
    let conflict = api.reader.try_read(move |store| {
        // In this order: a version that had ended before the contact was read, and is not the one read, is not to come.
        let ended = store.operation(expected)?.is_some();
        let current = store.contact(contact)?.map(|contact| contact.version);
        Ok(ended && current.is_some_and(|current| current != expected))
    });
    match conflict.await {
        Some(true) => Err(Problem::new(
            Kind::VersionConflict,
            "The version named by If-Match is not the current one: read the contact again and decide anew.",
        )),
        Some(false) | None => Ok(()),
    }
}
