//! `GET /console/api/now`: what is wrong, the figures, and the plots of the last hour.

use super::Console;
use super::access::Operator;
use super::samples::{AllSeries, INTERVAL, Process};
use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::SecondsFormat;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::PoisonError;

pub(super) async fn now(console: Data<Console>, operator: Operator) -> HttpResponse {
    let samples = console.0.samples.lock().unwrap_or_else(PoisonError::into_inner);
    let figures = samples.figures();
    let gauges = figures.gauges;
    let AllSeries { accepted, applied, failed, age_p50, age_p99, work, retry, dead_letters } = &samples.series;
    HttpResponse::Ok().json(json!({
        "time": chrono::Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        "started_at": console.0.started_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "interval_seconds": INTERVAL.as_secs(),
        "role": console.0.role,
        "version": env!("CARGO_PKG_VERSION"),
        "operator": operator,
        "state": samples.state,
        "processes": samples.processes.iter().map(process).collect::<Vec<_>>(),
        "findings": samples.findings,
        "figures": {
            "accepted": rounded(figures.accepted),
            "applied": rounded(figures.applied),
            "failed": rounded(figures.failed),
            "age_p50": rounded(figures.age_p50),
            "age_p99": rounded(figures.age_p99),
            "oldest_unapplied": rounded(gauges.oldest_unapplied),
            "work": gauges.work,
            "retry": gauges.retry,
            "dead_letters": gauges.dead_letters,
            "oldest_dead_letter": rounded(gauges.oldest_dead_letter),
        },
        "series": {
            "end": samples.end.map(|end| end.timestamp()),
            "accepted": series(accepted),
            "applied": series(applied),
            "failed": series(failed),
            "age_p50": series(age_p50),
            "age_p99": series(age_p99),
            "work": series(work),
            "retry": series(retry),
            "dead_letters": series(dead_letters),
        },
    }))
}

fn process(process: &Process) -> Value {
    let component = |(component, since): &(_, _)| {
        let component: &crate::telemetry::ComponentStatus = component;
        let since: &crate::domain::Timestamp = since;
        json!({
            "name": component.name,
            "ready": component.ready,
            "since": since.to_rfc3339_opts(SecondsFormat::Secs, true),
            "reason": component.reason,
        })
    };
    json!({
        "name": process.name,
        "role": process.role,
        "version": process.version,
        "reachable": process.error.is_none(),
        "error": process.error,
        "components": process.components.iter().map(component).collect::<Vec<_>>(),
    })
}

/// Values to a thousandth. Nobody reads more, and the answer is small.
fn rounded(value: Option<f64>) -> Option<f64> {
    value.map(|value| (value * 1_000.0).round() / 1_000.0)
}

/// NaN becomes null.
fn series(values: &VecDeque<f32>) -> Vec<Option<f64>> {
    values.iter().map(|value| rounded(Some(f64::from(*value)).filter(|value| value.is_finite()))).collect()
}
