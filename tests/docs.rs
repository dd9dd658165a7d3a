//! The documents say what is true: tables held against the code, commands really run, links followed.

use crate::support::standalone;
use contacts::config::Settings;
use contacts::domain::Reason;
use contacts::telemetry::metrics::{CATALOGUE, Kind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the README's table with this heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = read("README.md");
    let mut lines = readme.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    assert!(lines.next().is_some(), "no table {heading}");
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn plain(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

fn flatten(prefix: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, into);
            }
        }
        toml::Value::String(text) => drop(into.insert(prefix.to_owned(), text.clone())),
        other => drop(into.insert(prefix.to_owned(), other.to_string())),
    }
}

#[test]
fn the_readme_has_every_setting_with_its_default() {
    let mut actual = BTreeMap::new();
    flatten("", &Settings::default().to_toml().parse::<toml::Table>().unwrap().into(), &mut actual);
    // Hidden when shown, and absent when not set.
    actual.insert("broker.url".into(), "amqp://guest:guest@127.0.0.1:5672/%2f".into());
    actual.insert("database.read_url".into(), "the same as `database.url`".into());
    actual.insert("log.dir".into(), "none".into());
    for name in ["jwks_file", "issuer", "audience"] {
        actual.insert(format!("http.jwt.{name}"), "none".into());
    }
    actual.insert("trace.otlp_url".into(), "none".into());
    let documented: BTreeMap<String, String> = table("setting")
        .iter()
        .map(|row| {
            let default = if row[1].starts_with('`') { plain(&row[1]) } else { row[1].clone() };
            (plain(&row[0]), default)
        })
        .collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_readme_has_every_metric() {
    let documented: Vec<Vec<String>> = table("metric");
    let actual: Vec<Vec<String>> = CATALOGUE
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            vec![format!("`{}`", metric.name), kind.into(), labels.join(", "), metric.help.into()]
        })
        .collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_readme_has_every_reason() {
    let documented: Vec<(String, String)> =
        table("reason").iter().map(|row| (plain(&row[0]), row[1].clone())).collect();
    let actual: Vec<(String, String)> =
        Reason::ALL.iter().map(|reason| (reason.as_str().into(), reason.sentence().into())).collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_readme_has_every_problem_type() {
    let source = read("src/producer/problems/kind.rs");
    let slugs = source.split("fn slug").nth(1).unwrap().split("fn title").next().unwrap();
    let actual: Vec<String> = slugs.split('"').skip(1).step_by(2).map(|slug| format!("`/problems/{slug}`")).collect();
    assert!(actual.len() > 10);
    let documented: Vec<String> = table("problem type").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, actual);
}

#[test]
fn the_tour_of_the_readme_works_as_it_stands() {
    let readme = read("README.md");
    let tour = readme.split("## Try it").nth(1).unwrap().split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut process = standalone(&folder.path().join("data"), &[]);
    process.ready();
    let address = process.said("listening")[0]["address"].as_str().unwrap().to_owned();
    let script = tour.replace("127.0.0.1:8080", &address);
    let output = Command::new("timeout")
        .args(["60", "bash", "-eu", "-o", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("\"status\":\"accepted\"") && said.contains("Ana Souza") && said.contains("Ana Lima"),
        "{said}"
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = ["README.md", "README.pt-BR.md", "CHANGELOG.md"].map(PathBuf::from).to_vec();
    for folder in ["docs", "docs/adr"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert!(documents.len() > 8);
    let mut broken = Vec::new();
    for document in documents {
        let text = read(&document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let path = root().join(document.parent().unwrap()).join(target);
                if !path.exists() {
                    broken.push(format!("{}: {link}", document.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What a document has in every language: for each kind its items in order, each with the line that it stands in.
fn skeleton(path: &str) -> [(&'static str, Vec<(String, String)>); 4] {
    let text = read(path);
    let (mut headings, mut code, mut cells, mut links) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        let item = |key: &str| (key.to_owned(), format!("{path}:{number}: {line}"));
        if line.starts_with("```") {
            fenced = !fenced;
            code.push(item(line));
        } else if fenced {
            if !line.trim().starts_with('#') {
                code.push(item(line.split_once(" # ").map_or(line, |(command, _)| command).trim_end()));
            }
        } else {
            if line.starts_with('#') {
                headings.push(item(line.split(' ').next().unwrap_or_default()));
            }
            // The line below a table's heads tells where another table begins.
            let cell = line.trim_matches('|').split(" | ").next().unwrap_or_default().trim();
            if line.starts_with('|') && cell.starts_with(['`', '-']) {
                cells.push(item(cell));
            }
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.filter(|target| !["README.md", "README.pt-BR.md"].contains(target)).map(item));
        }
    }
    [("heading", headings), ("line of code", code), ("first cell", cells), ("link", links)]
}

#[test]
fn the_portuguese_readme_keeps_step() {
    let (english, portuguese) = ("README.md", "README.pt-BR.md");
    for (document, other) in [(english, portuguese), (portuguese, english)] {
        let line = read(document).lines().nth(2).map(str::to_owned).unwrap_or_default();
        assert!(line.contains(&format!("]({other})")), "{document}:3 does not link to {other}: {line}");
    }
    for ((kind, expected), (_, actual)) in skeleton(english).into_iter().zip(skeleton(portuguese)) {
        assert!(!expected.is_empty(), "{english} has no {kind}");
        for place in 0..expected.len().max(actual.len()) {
            let (expected, actual) = (expected.get(place), actual.get(place));
            let shown = |item: Option<&(String, String)>| {
                item.map_or("nothing more".to_owned(), |(key, line)| format!("{key:?} at {line}"))
            };
            assert!(
                expected.map(|(key, _)| key) == actual.map(|(key, _)| key),
                "the READMEs differ, first in {kind} {}:\n  {english} has {}\n  {portuguese} has {}",
                place + 1,
                shown(expected),
                shown(actual)
            );
        }
    }
}
