//! Counting and timing requests, by route template: a path has ids in it and would make a label each.

use super::Api;
use crate::telemetry::metrics::{HTTP_DURATION, HTTP_REQUESTS};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, web};
use metrics::{Counter, Histogram, counter, histogram};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

type Key = (&'static str, &'static str, u16);

/// Handles of the label sets seen so far.
#[derive(Default)]
pub(super) struct Requests(RwLock<HashMap<Key, (Counter, Histogram)>>);

impl Requests {
    fn record(&self, key: Key, seconds: f64) {
        let record = |(requests, duration): &(Counter, Histogram)| {
            requests.increment(1);
            duration.record(seconds);
        };
        if let Some(handles) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return record(handles);
        }
        let (method, route, status) = key;
        let handles = (
            counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status.to_string()),
            histogram!(HTTP_DURATION, "method" => method, "route" => route),
        );
        record(self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(handles));
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
        Some("/operations/{id}") => "/operations/{id}",
        _ => "other",
    }
}

pub(super) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let api = request.app_data::<web::Data<Api>>().cloned();
    let (method, route) = (method(request.method()), route(request.match_pattern().as_deref()));
    let result = next.call(request).await;
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let took = started.elapsed();
    if let Some(api) = api {
        api.requests.record((method, route, status.as_u16()), took.as_secs_f64());
    }
    tracing::debug!(method, route, status = status.as_u16(), micros = took.as_micros() as u64, "request");
    result
}
