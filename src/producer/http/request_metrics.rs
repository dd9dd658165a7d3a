//! The metrics of requests by route template. Paths contain ids, so they would create too many series.

use crate::telemetry::metrics::{HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

pub(crate) type SeriesKey = (&'static str, &'static str, u16);

/// The usual answers of each route. Their series exist from the start; other series are created at the first answer.
const KNOWN_SERIES: &[(&str, &[&str], &[u16])] = &[
    ("/contacts", &["GET", "HEAD"], &[200, 401, 403, 422, 429, 500, 503]),
    ("/contacts", &["POST"], &[201, 202, 400, 401, 403, 408, 413, 415, 422, 429, 500, 503]),
    ("/contacts/{id}", &["GET", "HEAD"], &[200, 304, 401, 403, 404, 429, 500, 503]),
    ("/contacts/{id}", &["PUT", "PATCH"], &[200, 202, 400, 401, 403, 404, 408, 412, 413, 415, 422, 429, 500, 503]),
    ("/contacts/{id}", &["DELETE"], &[202, 204, 401, 403, 404, 412, 422, 429, 500, 503]),
    ("/contacts/{id}/history", &["GET", "HEAD"], &[200, 401, 403, 404, 422, 429, 500, 503]),
    ("/contacts/duplicates", &["GET", "HEAD"], &[200, 401, 403, 422, 429, 500, 503]),
    ("/contacts/import", &["POST"], &[200, 401, 403, 415, 422, 429]),
    ("/contacts/export", &["GET"], &[200, 401, 403, 406, 422, 429, 503]),
    ("/subjects/find", &["POST"], &[200, 400, 401, 403, 415, 422, 429, 500, 503]),
    ("/subjects/export", &["POST"], &[200, 400, 401, 403, 415, 422, 429, 500, 503]),
    ("/subjects/erase", &["POST"], &[200, 400, 401, 403, 415, 422, 429, 500, 503]),
    ("/areas", &["GET", "HEAD"], &[200, 304, 401, 403, 429]),
    ("/", &["GET", "HEAD"], &[200, 304]),
    ("/assets/{file}", &["GET", "HEAD"], &[200, 304, 404]),
    ("/docs", &["GET", "HEAD"], &[200, 304]),
    ("/docs/{file}", &["GET", "HEAD"], &[200, 304, 404]),
    ("/openapi.json", &["GET", "HEAD"], &[200, 304]),
    ("/problems", &["GET", "HEAD"], &[200]),
    ("/problems/{slug}", &["GET", "HEAD"], &[200, 404]),
    ("/operations/{id}", &["GET", "HEAD"], &[200, 401, 403, 404, 429, 500, 503]),
    ("/changes", &["GET", "HEAD"], &[200, 401, 403, 410, 422, 429, 500, 503]),
    ("other", &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"], &[401, 403, 404, 429]),
    ("/contacts", &["other"], &[401, 403, 405, 429]),
    ("/contacts/{id}", &["other"], &[401, 403, 405, 429]),
    ("/operations/{id}", &["other"], &[401, 403, 405, 429]),
];

/// The handles of all series so far.
pub(crate) struct RequestMetrics {
    series: RwLock<HashMap<SeriesKey, (Counter, Histogram)>>,
    pub(crate) in_flight: Gauge,
}

impl RequestMetrics {
    pub(crate) fn new() -> Self {
        let mut series = HashMap::new();
        for (route, methods, statuses) in KNOWN_SERIES {
            for method in *methods {
                series.extend(
                    statuses.iter().map(|status| ((*method, *route, *status), register(method, route, *status))),
                );
            }
        }
        let in_flight = gauge!(HTTP_IN_FLIGHT);
        in_flight.set(0.0);
        Self { series: RwLock::new(series), in_flight }
    }

    pub(crate) fn record(&self, key: SeriesKey, seconds: f64) {
        let record = |(requests, duration): &(Counter, Histogram)| {
            requests.increment(1);
            duration.record(seconds);
        };
        if let Some(handles) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return record(handles);
        }
        let (method, route, status) = key;
        let handles = register(method, route, status);
        record(self.series.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(handles));
    }
}

fn register(method: &'static str, route: &'static str, status: u16) -> (Counter, Histogram) {
    (
        counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status.to_string()),
        histogram!(HTTP_DURATION, "method" => method, "route" => route),
    )
}

/// Counts a request in the gauge until it is dropped, also if the client disconnects.
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
