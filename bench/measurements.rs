//! Measurements and their targets, and the report as JSON and as tables.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The samples of one measurement, with their median and range.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measurement {
    pub unit: String,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub samples: Vec<f64>,
}

/// A bound for a measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Target {
    /// The name of the measurement.
    #[serde(rename = "figure")]
    pub measurement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

/// The targets. Most are ratios within one run.
pub const TARGETS: [Target; 14] = [
    at_least("producer.efficiency", 0.95),
    at_least("consumer.efficiency", 1.0),
    at_least("consumer.speedup", 15.0),
    at_least("producer.over_node", 3.0),
    at_least("producer.over_go", 1.5),
    at_least("consumer.over_node", 6.0),
    at_least("standalone.over_stack", 1.0),
    at_least("end_to_end.over_before", 1.5),
    at_least("growth.drain_10m_over_empty", 0.60),
    at_least("growth.drain_10m_over_empty_as_deployed", 0.80),
    at_most("growth.last_page_over_first", 1.5),
    at_most("latency.accepted_p99_over_bare", 1.2),
    at_most("producer.rss_peak", 32.0),
    at_most("consumer.rss_peak", 32.0),
];

const fn at_least(measurement: &'static str, bound: f64) -> Target {
    Target { measurement, at_least: Some(bound), at_most: None }
}

const fn at_most(measurement: &'static str, bound: f64) -> Target {
    Target { measurement, at_least: None, at_most: Some(bound) }
}

/// All measurements of a run.
#[derive(Default)]
pub struct Measurements {
    all: BTreeMap<String, Measurement>,
    /// The names of the measurements of this run.
    new: BTreeSet<String>,
}

impl Measurements {
    /// The measurements of an earlier report. The first new sample of a measurement replaces its old samples.
    pub fn from_report(text: &str) -> Self {
        let mut report: serde_json::Value = serde_json::from_str(text).unwrap();
        Self { all: serde_json::from_value(report["figures"].take()).unwrap(), new: BTreeSet::new() }
    }

    /// Adds a sample and prints it.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) -> f64 {
        eprintln!("  {name:<44} {:>12} {unit}", format_number(value));
        let measurement = self.all.entry(name.to_owned()).or_default();
        if self.new.insert(name.to_owned()) {
            measurement.samples.clear();
        }
        measurement.unit = unit.to_owned();
        measurement.samples.push(value);
        let mut sorted = measurement.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        measurement.median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        measurement.min = sorted[0];
        measurement.max = sorted[sorted.len() - 1];
        value
    }

    pub fn median(&self, name: &str) -> Option<f64> {
        self.all.get(name).map(|measurement| measurement.median)
    }

    /// The latest sample.
    pub fn last(&self, name: &str) -> f64 {
        self.all.get(name).and_then(|measurement| measurement.samples.last().copied()).unwrap_or(f64::NAN)
    }

    /// Each target with its measured value and whether the target is met. `None` if it is not measured.
    pub fn target_results(&self) -> Vec<(Target, Option<f64>, Option<bool>)> {
        let result = |target: Target| {
            let measured = self.median(target.measurement);
            let met = measured.map(|value| {
                target.at_least.is_none_or(|bound| value >= bound) && target.at_most.is_none_or(|bound| value <= bound)
            });
            (target, measured, met)
        };
        TARGETS.into_iter().map(result).collect()
    }

    /// The report as JSON.
    pub fn json(&self, machine: &BTreeMap<&'static str, String>, rounds: usize) -> String {
        let targets: Vec<_> = self
            .target_results()
            .into_iter()
            .map(|(target, measured, met)| serde_json::json!({ "target": target, "measured": measured, "met": met }))
            .collect();
        let report = serde_json::json!({
            "schema": 1, "machine": machine, "rounds": rounds, "figures": self.all, "targets": targets,
        });
        serde_json::to_string_pretty(&report).unwrap()
    }

    /// The measurements and the targets as tables.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| target | bound | measured | met |\n| --- | --- | --- | --- |\n");
        for (target, measured, met) in self.target_results() {
            let bound = match (target.at_least, target.at_most) {
                (Some(bound), _) => format!("at least {}", format_number(bound)),
                (None, bound) => format!("at most {}", format_number(bound.unwrap_or_default())),
            };
            let met = met.map_or("not measured", |met| if met { "yes" } else { "no" });
            let measured = measured.map_or_else(|| "–".to_owned(), format_number);
            writeln!(text, "| `{}` | {bound} | {measured} | {met} |", target.measurement).unwrap();
        }
        text.push_str("\n| figure | unit | median | min | max |\n| --- | --- | --- | --- | --- |\n");
        for (name, Measurement { unit, median, min, max, .. }) in &self.all {
            let (median, min, max) = (format_number(*median), format_number(*min), format_number(*max));
            writeln!(text, "| `{name}` | {unit} | {median} | {min} | {max} |").unwrap();
        }
        text
    }
}

/// Rounds a number to its significant digits.
fn format_number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The percentile of the samples, in milliseconds. `share` is between 0 and 1.
pub fn percentile(samples: &mut [std::time::Duration], share: f64) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    samples.sort_unstable();
    let index = ((samples.len() as f64 * share).ceil() as usize).clamp(1, samples.len()) - 1;
    samples[index].as_secs_f64() * 1e3
}
