//! What is told of each request: metrics by route template (a path has ids in it and would make a label each), a line
//! with its trace and operation ids, a span.

use super::Api;
use super::connections::{Busy, Connection, Sent};
use crate::domain::OperationId;
use crate::telemetry::TRAFFIC;
use crate::telemetry::metrics::{HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS};
use crate::telemetry::spans::{self, Kind, Span, Value};
use crate::telemetry::trace::{MAX_TRACESTATE, TRACEPARENT, TRACESTATE, Trace};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};
use tracing::Level;

type Key = (&'static str, &'static str, u16);

/// What each route is known to answer; anything else gets its series when it happens.
const KNOWN: &[(&str, &[&str], &[u16])] = &[
    ("/contacts", &["GET", "HEAD"], &[200, 401, 403, 422, 429, 500, 503]),
    ("/contacts", &["POST"], &[201, 202, 400, 401, 403, 408, 413, 415, 422, 429, 500, 503]),
    ("/contacts/{id}", &["GET", "HEAD"], &[200, 304, 401, 403, 404, 429, 500, 503]),
    ("/contacts/{id}", &["PUT"], &[200, 202, 400, 401, 403, 404, 408, 412, 413, 415, 422, 429, 500, 503]),
    ("/contacts/{id}", &["DELETE"], &[202, 204, 401, 403, 404, 412, 422, 429, 500, 503]),
    ("/contacts/import", &["POST"], &[200, 401, 403, 415, 422, 429]),
    ("/contacts/export", &["GET"], &[200, 401, 403, 406, 422, 429, 503]),
    ("/areas", &["GET", "HEAD"], &[200, 304, 401, 403, 429]),
    ("/", &["GET", "HEAD"], &[200, 304]),
    ("/assets/{file}", &["GET", "HEAD"], &[200, 304, 404]),
    ("/docs", &["GET", "HEAD"], &[200, 304]),
    ("/docs/{file}", &["GET", "HEAD"], &[200, 304, 404]),
    ("/openapi.json", &["GET", "HEAD"], &[200, 304]),
    ("/problems", &["GET", "HEAD"], &[200]),
    ("/problems/{slug}", &["GET", "HEAD"], &[200, 404]),
    ("/operations/{id}", &["GET", "HEAD"], &[200, 401, 403, 404, 429, 500, 503]),
    ("other", &["GET", "HEAD", "POST", "PUT", "DELETE", "other"], &[401, 403, 404, 429]),
    ("/contacts", &["other"], &[401, 403, 405, 429]),
    ("/contacts/{id}", &["other"], &[401, 403, 405, 429]),
    ("/operations/{id}", &["other"], &[401, 403, 405, 429]),
];

/// Handles of the label sets seen so far.
pub(super) struct Requests {
    seen: RwLock<HashMap<Key, (Counter, Histogram)>>,
    in_flight: Gauge,
}

impl Requests {
    pub(super) fn new() -> Self {
        let mut seen = HashMap::new();
        for (route, methods, statuses) in KNOWN {
            for method in *methods {
                seen.extend(
                    statuses.iter().map(|status| ((*method, *route, *status), handles(method, route, *status))),
                );
            }
        }
        let in_flight = gauge!(HTTP_IN_FLIGHT);
        in_flight.set(0.0);
        Self { seen: RwLock::new(seen), in_flight }
    }

    fn record(&self, key: Key, seconds: f64) {
        let record = |(requests, duration): &(Counter, Histogram)| {
            requests.increment(1);
            duration.record(seconds);
        };
        if let Some(handles) = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return record(handles);
        }
        let (method, route, status) = key;
        let handles = handles(method, route, status);
        record(self.seen.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(handles));
    }
}

fn handles(method: &'static str, route: &'static str, status: u16) -> (Counter, Histogram) {
    (
        counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status.to_string()),
        histogram!(HTTP_DURATION, "method" => method, "route" => route),
    )
}

/// A request that is being handled; a caller that goes away ends it, too.
struct InFlight(Gauge);

impl InFlight {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Where a request stands in its trace, and what it leads to.
pub(super) struct Journey {
    pub(super) trace: Trace,
    came_from: Option<u64>,
    /// What other systems added to the trace, to be carried along.
    pub(super) state: Option<String>,
    operation: Cell<Option<OperationId>>,
    caller: OnceCell<Arc<str>>,
}

impl Journey {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // One that cannot be read begins a new trace, as the recommendation asks.
        let sender = text(TRACEPARENT).and_then(Trace::parse);
        Self {
            trace: sender.map_or_else(|| Trace::begin(spans::sample()), |sender| sender.child()),
            came_from: sender.map(|sender| sender.span_id),
            state: text(TRACESTATE).filter(|text| sender.is_some() && text.len() <= MAX_TRACESTATE).map(str::to_owned),
            operation: Cell::new(None),
            caller: OnceCell::new(),
        }
    }

    /// Notes the operation that the request asks for.
    pub(super) fn leads_to(&self, operation: OperationId) {
        self.operation.set(Some(operation));
    }

    /// Notes what the caller's key or client is called.
    pub(super) fn called_by(&self, name: Arc<str>) {
        // Once a request.
        let _ = self.caller.set(name);
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn route(pattern: Option<&str>) -> &'static str {
    match pattern {
        Some("/contacts") => "/contacts",
        Some("/contacts/{id}") => "/contacts/{id}",
        Some("/contacts/import") => "/contacts/import",
        Some("/contacts/export") => "/contacts/export",
        Some("/") => "/",
        Some("/assets/{file}") => "/assets/{file}",
        Some("/docs") => "/docs",
        Some("/docs/") => "/docs/",
        Some("/docs/{file}") => "/docs/{file}",
        Some("/openapi.json") => "/openapi.json",
        Some("/problems") => "/problems",
        Some("/problems/{slug}") => "/problems/{slug}",
        Some("/problems/pages.css") => "/problems/pages.css",
        Some("/areas") => "/areas",
        Some("/operations/{id}") => "/operations/{id}",
        _ => "other",
    }
}

pub(super) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<Sent>, Error> {
    let busy = request.conn_data::<Arc<Connection>>().map(Busy::new);
    let (began, started) = (SystemTime::now(), Instant::now());
    let api = request.app_data::<web::Data<Api>>().cloned();
    let _in_flight = api.as_ref().map(|api| InFlight::new(&api.requests.in_flight));
    let (method, route) = (method(request.method()), route(request.match_pattern().as_deref()));
    let journey = Rc::new(Journey::of(request.headers()));
    request.extensions_mut().insert(journey.clone());
    let result = next.call(request).await;
    let status = match &result {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    };
    let took = started.elapsed();
    if let Some(api) = api {
        api.requests.record((method, route, status), took.as_secs_f64());
    }
    let Journey { trace, operation, caller, .. } = &*journey;
    if tracing::enabled!(target: TRAFFIC, Level::INFO) {
        let (micros, operation_id) = (took.as_micros() as u64, operation.get().map(tracing::field::display));
        let caller = caller.get().map(|name| &**name);
        let trace_id = tracing::field::display(trace.id());
        tracing::info!(target: TRAFFIC, method, route, status, micros, caller, trace_id, operation_id, "request");
    }
    spans::record(trace, || {
        let mut attributes = vec![
            ("http.request.method", Value::Text(method.into())),
            ("http.route", Value::Text(route.into())),
            ("http.response.status_code", Value::Number(status.into())),
        ];
        attributes.extend(operation.get().map(|id| ("contacts.operation_id", Value::Text(id.to_string()))));
        Span {
            trace: *trace,
            parent: journey.came_from,
            name: format!("{method} {route}"),
            kind: Kind::Server,
            began,
            ended: began + took,
            attributes,
            failed: status >= 500,
        }
    });
    result.map(|response| response.map_body(|_, body| Sent { body: body.boxed(), busy }))
}
