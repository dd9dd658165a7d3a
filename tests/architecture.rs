//! The direction of dependencies, read from the sources: the drawing in `docs/ARCHITECTURE.md` as a test.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and those it may use, besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("formats", &["domain"]),
    ("message", &["domain"]),
    ("config", &[]),
    ("stop", &[]),
    ("backoff", &[]),
    ("terminal", &[]),
    ("telemetry", &["domain", "config"]),
    ("queue", &["domain", "message", "config", "telemetry", "stop", "backoff"]),
    ("store", &["domain", "config", "telemetry"]),
    ("producer", &["domain", "formats", "message", "queue", "store", "config", "telemetry", "stop"]),
    ("consumer", &["domain", "message", "queue", "store", "config", "telemetry", "stop", "backoff"]),
    ("dlq", &["domain", "message", "queue", "store", "stop", "terminal"]),
    ("transfer", &["formats", "stop", "backoff", "terminal"]),
    (
        "runtime",
        &["domain", "producer", "consumer", "dlq", "transfer", "queue", "store", "config", "telemetry", "stop"],
    ),
    ("cli", &["runtime", "dlq", "transfer", "store", "config"]),
];

/// Libraries that only some rooms may name.
const CONTAINED: &[(&str, &[&str])] = &[
    ("amiquip", &["queue/rabbitmq/"]),
    ("csv_core", &["formats/"]),
    ("diesel", &["store/", "queue/embedded/"]),
    ("actix_web", &["producer/", "telemetry/admin.rs", "runtime/"]),
    ("clap", &["cli.rs", "dlq/arguments.rs", "dlq/selection.rs", "transfer/arguments.rs"]),
    ("ureq", &["transfer/client.rs"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every source file by its path below `src`, without comments.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let strip = |text: String| -> String {
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    };
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    sources(&root).iter().map(|path| (name(path), strip(fs::read_to_string(path).unwrap()))).collect()
}

/// The rooms a text names as `crate::ROOM` or in `crate::{ROOM, ...}`.
fn rooms_named(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let group = match rest.strip_prefix('{') {
            Some(group) => group.split_once('}').unwrap().0.to_owned(),
            None => rest.to_owned(),
        };
        let parts: Vec<&str> = if rest.starts_with('{') { group.split(',').collect() } else { vec![&group] };
        for part in parts {
            let word: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            named.push(word);
        }
    }
    named
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in code() {
        let room = file.split(['/', '.']).next().unwrap();
        if matches!(room, "main" | "lib") {
            continue;
        }
        let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("no rule for {file}"));
        for named in rooms_named(&text) {
            if named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{file} uses {named}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (file, text) in code() {
        for (library, rooms) in CONTAINED {
            let named = text.contains(&format!("{library}::")) || text.contains(&format!("use {library}"));
            if named && !rooms.iter().any(|room| file.starts_with(room)) {
                wrong.push(format!("{file} names {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rules_are_not_circular() {
    for (index, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let at = ROOMS.iter().position(|(name, _)| name == used).unwrap();
            assert!(at < index, "{room} may use only rooms above it in the list, not {used}");
        }
    }
}

/// Mutations are run by hand and seldom; that they can be is checked here.
#[test]
fn every_mutation_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut hunks = 0;
    for entry in fs::read_dir(root.join("tests/mutations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let patch = format!("\n{}", fs::read_to_string(&path).unwrap());
        for file in patch.split("\n--- a/").skip(1) {
            let source = fs::read_to_string(root.join(file.lines().next().unwrap())).unwrap();
            for hunk in file.split("\n@@ ").skip(1) {
                let before = |line: &&str| line.starts_with([' ', '-']);
                let old: Vec<&str> = hunk.lines().skip(1).filter(before).map(|line| &line[1..]).collect();
                assert!(source.contains(&old.join("\n")), "{} does not apply:\n{}", path.display(), old.join("\n"));
                hunks += 1;
            }
        }
    }
    assert!(hunks >= 8, "{hunks}");
}
