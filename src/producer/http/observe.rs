//! Records each request: a log line with its trace and operation ids, its metrics, and a span.

use super::connections::{ActiveRequest, Connection, TrackedBody};
use super::request_context::RequestContext;
use super::request_metrics::{InFlight, RequestMetrics};
use crate::stop::Stop;
use crate::telemetry::spans::{self, Kind, Span, Value};
use crate::telemetry::{TRAFFIC, is_request_logged};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Method};
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

/// The paths without a parameter.
const FIXED: [&str; 15] = [
    "/contacts",
    "/contacts/duplicates",
    "/contacts/import",
    "/contacts/export",
    "/changes",
    "/areas",
    "/subjects/find",
    "/subjects/export",
    "/subjects/erase",
    "/",
    "/docs",
    "/docs/",
    "/openapi.json",
    "/problems",
    "/problems/pages.css",
];

/// The paths with a parameter: what is before it, what is after it, and the template.
const WITH_PARAMETER: [(&str, &str, &str); 6] = [
    ("/contacts/", "", "/contacts/{id}"),
    ("/contacts/", "/history", "/contacts/{id}/history"),
    ("/operations/", "", "/operations/{id}"),
    ("/assets/", "", "/assets/{file}"),
    ("/docs/", "", "/docs/{file}"),
    ("/problems/", "", "/problems/{slug}"),
];

/// The template of a path, for metrics and the log. The library can name the template too, but matches the path against
/// all routes a second time for it.
fn route(path: &str) -> &'static str {
    let fixed = FIXED.into_iter().find(|fixed| *fixed == path);
    let is_parameter = |text: &str| !text.is_empty() && !text.contains('/');
    let with_parameter = || {
        let parameter = |prefix: &str, suffix: &str| path.strip_prefix(prefix)?.strip_suffix(suffix);
        let (_, _, template) = WITH_PARAMETER
            .into_iter()
            .find(|(prefix, suffix, _)| parameter(prefix, suffix).is_some_and(is_parameter))?;
        Some(template)
    };
    fixed.or_else(with_parameter).unwrap_or("other")
}

pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<TrackedBody>, Error> {
    let active_request = request.conn_data::<Arc<Connection>>().map(ActiveRequest::new);
    let (began, started) = (SystemTime::now(), Instant::now());
    let metrics = request.app_data::<web::Data<RequestMetrics>>().cloned();
    let _in_flight = metrics.as_ref().map(|metrics| InFlight::new(&metrics.in_flight));
    let (method, route) = (method(request.method()), route(request.path()));
    let context = Rc::new(RequestContext::from_headers(request.headers()));
    request.extensions_mut().insert(context.clone());
    let mut result = next.call(request).await;
    if let Ok(response) = &mut result
        && response.request().app_data::<web::Data<Stop>>().is_some_and(|stop| stop.is_set())
    {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::{TestRequest, init_service, try_call_service};

    #[test]
    fn every_route_of_the_api_has_its_template() {
        for (path, template) in [
            ("/contacts", "/contacts"),
            ("/contacts/duplicates", "/contacts/duplicates"),
            ("/contacts/01890000-0000-7000-8000-000000000001", "/contacts/{id}"),
            ("/contacts/", "other"),
            ("/contacts/a/b", "other"),
            ("/contacts/01890000-0000-7000-8000-000000000001/history", "/contacts/{id}/history"),
            ("/contacts/history", "/contacts/{id}"),
            ("/contacts//history", "other"),
            ("/contacts/a/b/history", "other"),
            ("/docs/", "/docs/"),
            ("/docs/swagger-ui.css", "/docs/{file}"),
            ("/problems/pages.css", "/problems/pages.css"),
            ("/problems/not-found", "/problems/{slug}"),
            ("/nothing", "other"),
        ] {
            assert_eq!(route(path), template, "{path}");
        }
    }

    #[test]
    fn the_templates_are_those_of_the_router() {
        actix_web::rt::System::new().block_on(check_templates());
    }

    async fn check_templates() {
        let app = init_service(actix_web::App::new().configure(crate::producer::routes)).await;
        let parameters =
            WITH_PARAMETER.into_iter().map(|(prefix, suffix, template)| (format!("{prefix}x{suffix}"), template));
        for (path, template) in FIXED.into_iter().map(|path| (path.to_owned(), path)).chain(parameters) {
            // OPTIONS: each route answers 405, and needs no state for it.
            let request = TestRequest::default().method(Method::OPTIONS).uri(&path).to_request();
            let matched = match try_call_service(&app, request).await {
                Ok(response) => response.request().match_pattern(),
                Err(error) => panic!("{path}: {error}"),
            };
            assert_eq!(matched.as_deref(), Some(template), "{path}");
        }
    }
}
