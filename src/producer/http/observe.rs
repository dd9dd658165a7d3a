//! Records each request: a log line with its trace and operation ids, its metrics, and a span.

use super::connections::{ActiveRequest, Connection, TrackedBody};
use super::request_context::RequestContext;
use super::request_metrics::{InFlight, RequestMetrics};
use crate::telemetry::spans::{self, Kind, Span, Value};
use crate::telemetry::{TRAFFIC, is_request_logged};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tracing::Level;

/// A request that took longer has a log line, also if it is not in the sample.
const SLOW: Duration = Duration::from_secs(1);

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn route(pattern: Option<&str>) -> &'static str {
    match pattern {
        Some("/contacts") => "/contacts",
        Some("/contacts/{id}") => "/contacts/{id}",
        Some("/contacts/duplicates") => "/contacts/duplicates",
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

pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<TrackedBody>, Error> {
    let active_request = request.conn_data::<Arc<Connection>>().map(ActiveRequest::new);
    let (began, started) = (SystemTime::now(), Instant::now());
    let metrics = request.app_data::<web::Data<RequestMetrics>>().cloned();
    let _in_flight = metrics.as_ref().map(|metrics| InFlight::new(&metrics.in_flight));
    let (method, route) = (method(request.method()), route(request.match_pattern().as_deref()));
    let context = Rc::new(RequestContext::from_headers(request.headers()));
    request.extensions_mut().insert(context.clone());
    let result = next.call(request).await;
    let status = match &result {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.as_response_error().status_code().as_u16(),
    };
    let elapsed = started.elapsed();
    if let Some(metrics) = metrics {
        metrics.record((method, route, status), elapsed.as_secs_f64());
    }
    let RequestContext { trace, operation, caller, .. } = &*context;
    let is_remarkable = status >= 400 || elapsed > SLOW;
    if tracing::enabled!(target: TRAFFIC, Level::INFO) && (is_remarkable || is_request_logged(trace)) {
        let (micros, operation_id) = (elapsed.as_micros() as u64, operation.get().map(tracing::field::display));
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
            parent: context.parent_span_id,
            name: format!("{method} {route}"),
            kind: Kind::Server,
            began,
            ended: began + elapsed,
            attributes,
            failed: status >= 500,
        }
    });
    result.map(|response| response.map_body(|_, body| TrackedBody { body: body.boxed(), active_request }))
}
