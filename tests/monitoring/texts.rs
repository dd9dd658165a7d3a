//! Checks of the texts of rules and dashboards: durations, queries, selectors and metric names.

use super::root;
use contacts::telemetry::metrics::CATALOGUE;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The factor by which durations are shorter than in production.
const SPEEDUP: u64 = 60;

/// Divides every duration in the rules by [`SPEEDUP`]: ranges in brackets, and the values of `for:`, `interval:` and
/// `offset`.
pub fn scale_durations(rules: &str) -> String {
    let mut out = String::new();
    let mut rest = rules;
    while let Some((at, opening)) =
        ["[", "for: ", "interval: ", "offset "].iter().filter_map(|opening| Some((rest.find(opening)?, *opening))).min()
    {
        let (before, after) = rest.split_at(at + opening.len());
        let length = after.find(|c: char| !c.is_ascii_alphanumeric() && c != ':').unwrap_or(after.len());
        out.push_str(before);
        let parts: Vec<String> = after[..length].split(':').map(scale_duration).collect();
        out.push_str(&parts.join(":"));
        rest = &after[length..];
    }
    out + rest
}

/// Divides a duration by [`SPEEDUP`]. Returns any other text unchanged.
fn scale_duration(text: &str) -> String {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return text.to_owned(),
    };
    number.parse::<u64>().map_or_else(|_| text.to_owned(), |number| format!("{}ms", (number * millis / SPEEDUP).max(1)))
}

fn dashboards() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), serde_json::from_str(&text).unwrap()));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Every panel of a dashboard, also the panels in rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let own = dashboard["panels"].as_array().unwrap();
    own.iter()
        .flat_map(|panel| std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten()))
        .collect()
}

/// Every query of every panel, with the panel's name. The variables in the queries are replaced.
pub fn dashboard_queries(namespace: &str) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let query = target["expr"].as_str().unwrap();
                let query = [
                    ("$namespace", namespace),
                    ("$pod", ".*"),
                    ("$__rate_interval", "10s"),
                    ("$__interval", "5s"),
                    ("$__range", "30s"),
                ]
                .iter()
                .fold(query.to_owned(), |query, (name, value)| {
                    query.replace(&format!("${{{}}}", &name[1..]), value).replace(name, value)
                });
                // Any other `$` must be a group of a regular expression, as in label_replace.
                let unknown = query.split('$').skip(1).find(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
                assert_eq!(unknown, None, "{file}: unknown variable: {query}");
                queries.push((format!("{file}, {}", panel["title"]), query));
            }
        }
    }
    queries
}

/// The selectors of an expression with the project's metrics: names and labels. Metrics of other systems are left out.
pub fn selectors(expression: &str) -> Vec<String> {
    let mut selectors = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let braces = if after.starts_with('{') { after.find('}').unwrap() + 1 } else { 0 };
        if name.starts_with("contacts_") || name.starts_with("contacts:") || name == "up" {
            selectors.push(format!("{name}{}", &after[..braces]));
        }
        rest = &after[braces..];
    }
    selectors
}

/// The project's metrics that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let known = |name: &str| CATALOGUE.iter().any(|metric| metric.name == name);
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .filter(|word| word.starts_with("contacts_") || word.starts_with("process_"))
        .map(|word| {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            base.filter(|base| known(base)).unwrap_or(word).to_owned()
        })
        .collect()
}

fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|other| other == extension) {
            found.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
        }
    }
    found
}

#[test]
fn every_metric_in_a_text_exists_and_every_metric_is_on_a_dashboard() {
    let all: BTreeSet<String> = CATALOGUE.iter().map(|metric| metric.name.to_owned()).collect();
    let dashboards = files("dashboards", "json");
    let others = ["deploy/prometheus/rules", "deploy/prometheus/tests"].map(|folder| files(folder, "yml")).concat();
    let documents = [files("docs", "md"), files(".", "md")].concat();
    for (file, text) in [&dashboards[..], &others, &documents].concat() {
        let unknown: Vec<String> = metrics_in(&text).difference(&all).cloned().collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    let shown: BTreeSet<String> = dashboards.iter().flat_map(|(_, text)| metrics_in(text)).collect();
    let unshown: Vec<&str> = all.difference(&shown).map(String::as_str).collect();
    // No panel shows these: the limit is the kernel's limit for every process.
    assert_eq!(unshown, ["process_virtual_memory_bytes", "process_virtual_memory_max_bytes"]);
}

#[test]
fn every_alert_has_a_runbook_section_and_a_dashboard() {
    let operations = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/rules/alerts.yml")).unwrap();
    let headings: BTreeSet<&str> = operations.lines().filter_map(|line| line.strip_prefix("### Contacts")).collect();
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: Contacts")).collect();
    assert!(alerts.len() >= 15);
    assert_eq!(alerts, headings);
    for alert in &alerts {
        let anchor = format!("runbook_url: docs/OPERATIONS.md#contacts{}\n", alert.to_lowercase());
        assert!(rules.contains(&anchor), "no {anchor}");
    }
    let uids: BTreeMap<String, String> = dashboards()
        .into_iter()
        .map(|(file, dashboard)| (dashboard["uid"].as_str().unwrap().to_owned(), file))
        .collect();
    assert_eq!(uids.len(), 5, "{uids:?}");
    for uid in rules.lines().filter_map(|line| line.trim().strip_prefix("dashboard: ")) {
        assert!(uids.contains_key(uid), "no dashboard {uid}");
    }
}

#[test]
fn dashboards_can_be_provisioned() {
    for (file, dashboard) in dashboards() {
        assert!(dashboard["id"].is_null() && dashboard["uid"].as_str().unwrap().starts_with("contacts-"), "{file}");
        assert!(dashboard.get("__inputs").is_none(), "{file}");
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(&dashboard) {
            let title = format!("{file}: {}", panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: duplicate panel id");
            let position = &panel["gridPos"];
            let number = |name: &str| position[name].as_u64().unwrap();
            for x in number("x")..number("x") + number("w") {
                for y in number("y")..number("y") + number("h") {
                    assert!(x < 24 && cells.insert((x, y)), "{title}: overlaps another panel");
                }
            }
            let queries = panel["targets"].as_array().map_or(0, Vec::len);
            if queries > 0 {
                assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
                assert!(
                    panel["description"].as_str().is_some_and(|text| text.len() > 20),
                    "{title}: the description is too short"
                );
                assert!(panel["fieldConfig"]["defaults"]["unit"].is_string() || panel["type"] == "table", "{title}");
            }
        }
    }
}

/// `promtool` checks the rules and runs their unit tests.
#[test]
fn the_rules_pass_promtool() {
    let folder = root().join("deploy/prometheus");
    let promtool = |arguments: &[&str], pattern: &str| {
        let files = files(pattern, "yml");
        assert!(!files.is_empty());
        let output = Command::new("promtool")
            .args(arguments)
            .args(files.iter().map(|(path, _)| path))
            .current_dir(&folder)
            .output()
            .expect("promtool is missing: `make test` provides it");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "promtool {arguments:?}: {text}");
    };
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], "deploy/prometheus/rules");
    promtool(&["test", "rules"], "deploy/prometheus/tests");
}

#[test]
fn the_prometheus_configuration_is_valid() {
    let path = root().join("deploy/prometheus/prometheus.yml");
    let output = Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(path).output();
    let output = output.expect("promtool is missing: `make test` provides it");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Debian's Prometheus is built without Kubernetes support, so this error is expected. Every other error is not.
    let errors = text.lines().filter(|line| line.contains("line ") || line.contains("FAILED"));
    let errors: Vec<&str> = errors.filter(|line| !line.contains("kubernetes_sd_configs not found in type")).collect();
    assert!(output.status.success() || errors.iter().all(|line| line.contains("yaml: unmarshal errors:")), "{text}");
    assert!(output.status.success() || text.contains("kubernetes_sd_configs"), "{text}");
}

#[test]
fn scaling_changes_only_durations() {
    assert_eq!(scale_durations("for: 1m\nrate(x{le=\"5\"}[5m]) > 600"), "for: 1000ms\nrate(x{le=\"5\"}[5000ms]) > 600");
    assert_eq!(scale_durations("ratio_rate1h[6h:30s] offset 2m"), "ratio_rate1h[360000ms:500ms] offset 2000ms");
    assert_eq!(scale_durations("severity: page # [sic] for: ever"), "severity: page # [sic] for: ever");
    assert_eq!(
        selectors("sum(rate(contacts_x_total{a=\"b\"}[5m])) > up{job=\"c\"} and on (d) kube_x == 1"),
        ["contacts_x_total{a=\"b\"}", "up{job=\"c\"}"]
    );
}
