//! The metrics of requests, by route template: a path has ids in it and would make a label each.

use crate::telemetry::metrics::{HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

pub(crate) type Key = (&'static str, &'static str, u16);

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
pub(crate) struct RequestMetrics {
    seen: RwLock<HashMap<Key, (Counter, Histogram)>>,
    pub(crate) in_flight: Gauge,
}

impl RequestMetrics {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn record(&self, key: Key, seconds: f64) {
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
pub(crate) struct InFlight(Gauge);

impl InFlight {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
