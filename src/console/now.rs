//! `GET /console/api/now`: what is wrong, the figures, and the plots of the last hour.

use super::Console;
use super::access::Operator;
use super::diagnosis::{self, Code, Finding, Observation, State};
use super::samples::{AllSeries, FIGURE, FIVE_MINUTES, INTERVAL, MINUTE, Process, Reading, Samples, Sources};
use crate::domain::Timestamp;
use crate::telemetry::ComponentStatus;
use actix_web::HttpResponse;
use actix_web::web::Data;
use chrono::{SecondsFormat, SubsecRound};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// What the console knows now.
#[derive(Default)]
pub(super) struct Now {
    samples: Samples,
    findings: Vec<Finding>,
    state: State,
    /// Since when each finding lasts, also those that another one explains.
    since: BTreeMap<Code, Timestamp>,
}

impl Now {
    fn add(&mut self, at: Timestamp, elapsed: Duration, readings: Vec<Reading>) {
        self.samples.add(at, elapsed, &readings);
        let observation = Observation {
            readings,
            figures: self.samples.figures(),
            newest: self.samples.sum(FIGURE).0,
            minute: self.samples.sum(MINUTE).0,
            five_minutes: self.samples.sum(FIVE_MINUTES).0,
            work: self.samples.recent(|gauges| gauges.work),
            consumers: self.samples.recent(|gauges| gauges.consumers),
            dead_letters: self.samples.recent(|gauges| gauges.dead_letters),
        };
        let at = at.trunc_subsecs(0);
        let mut findings = diagnosis::find(&observation, at);
        self.since.retain(|code, _| findings.iter().any(|finding| finding.code == *code));
        for finding in &mut findings {
            finding.since = *self.since.entry(finding.code).or_insert(at);
        }
        self.state = observation.state(&findings);
        self.findings = diagnosis::hide_consequences(findings);
    }
}

/// Takes a sample at each interval until the process exits.
pub(super) async fn watch(now: Arc<Mutex<Now>>, sources: Sources) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let readings = sources.read().await;
        let (elapsed, at) = (last.elapsed(), chrono::Utc::now());
        last += elapsed;
        now.lock().unwrap_or_else(PoisonError::into_inner).add(at, elapsed, readings);
    }
}

pub(super) async fn now(console: Data<Console>, operator: Operator) -> HttpResponse {
    let now = console.0.now.lock().unwrap_or_else(PoisonError::into_inner);
    let samples = &now.samples;
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
        "state": now.state,
        "processes": samples.processes.iter().map(process).collect::<Vec<_>>(),
        "findings": now.findings,
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
    let component = |(component, since): &(ComponentStatus, Timestamp)| {
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

#[cfg(test)]
mod tests {
    use super::super::samples::Answer;
    use super::*;

    #[test]
    fn a_finding_keeps_the_time_when_it_began_also_while_another_explains_it() {
        let at = |seconds| Timestamp::from_timestamp(seconds, 0).unwrap();
        let reading = |up: f64, paused: f64| {
            let mut answer = Answer::default();
            answer.exposition.gauges.database_up = Some(up);
            answer.exposition.gauges.paused = Some(paused);
            vec![Reading { name: "a".into(), answer: Ok(answer) }]
        };
        let mut now = Now::default();
        let mut add = |seconds, reading| {
            now.add(at(seconds), INTERVAL, reading);
            let first = now.findings.first().map(|finding| (finding.code, finding.since));
            (first, now.state)
        };
        assert_eq!(add(0, reading(1.0, 0.0)), (None, State::Working));
        assert_eq!(add(5, reading(0.0, 0.0)), (Some((Code::DatabaseDown, at(5))), State::Stopped));
        assert_eq!(add(10, reading(0.0, 1.0)), (Some((Code::DatabaseDown, at(5))), State::Stopped));
        assert_eq!(add(15, reading(1.0, 1.0)), (Some((Code::ConsumersPaused, at(10))), State::Stopped));
        assert_eq!(add(20, reading(1.0, 0.0)), (None, State::Working));
        assert_eq!(add(25, reading(0.0, 0.0)).0, Some((Code::DatabaseDown, at(25))), "it began anew");
    }
}
